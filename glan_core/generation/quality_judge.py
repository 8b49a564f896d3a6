"""The quality judge: a model scores pairs by a rubric, and pairs below a minimum are tagged and excluded from the dataset."""

import hashlib
import heapq
import time
from collections.abc import Iterable, Iterator
from typing import Any

import apsw
from pydantic import BaseModel, ConfigDict, Field, field_validator

from glan_core import ids
from glan_core.generation import plan
from glan_core.generation.protocols import Work, ask
from glan_core.generation.settings import QualityJudgeSettings
from glan_core.homework.question_parsing import MAX_CHARACTERS
from glan_core.prompts import Prompt, prompt
from glan_core.reply_parsing import Line, MalformedReply, json_lines
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.contract import Message
from glan_core.workspace import Workspace, homework_rows, judgment_rows, tag_rows
from glan_core.workspace.judgment_rows import SCORES, Judgment
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata

TAG = "judge"  # name of its tags of kind 'quality'
FACT = "check:judge"
READ_AHEAD = 200  # pairs read at once


class Verdict(BaseModel):
    """A judge's scores of a pair from 1 to 5, and a comment."""

    model_config = ConfigDict(str_strip_whitespace=True)

    correct: int = Field(ge=1, le=5)
    clear: int = Field(ge=1, le=5)
    self_contained: int = Field(ge=1, le=5)
    difficulty: int = Field(ge=1, le=5)
    comment: Line = Field("", max_length=2000)

    @field_validator(*SCORES, mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool):  # otherwise true would be read as 1
            raise ValueError("use an integer from 1 to 5")
        return value


def chat_judge(question: str, answer: str, wording: Prompt | None = None) -> list[Message]:
    """Build the chat with question, answer and rubric; texts above MAX_CHARACTERS are truncated."""
    return ask(wording or prompt("judge"), question=question[:MAX_CHARACTERS], answer=answer[:MAX_CHARACTERS])


class QualityJudgeQueue:
    """Work queue with one call per pair that is not judged; also its own only stage."""

    name = "judge"

    def __init__(self, ws: Workspace, settings: QualityJudgeSettings, run_id: int) -> None:
        check_disciplines(ws, settings)
        self._ws, self._settings, self._run_id = ws, settings, run_id
        self._planned = missing(ws, settings)
        self._works = self._all_works()

    def _all_works(self) -> Iterator[Work]:
        db = self._ws.db
        for chunk in _open_chunks(db, self._settings):
            for pair in homework_rows.pairs_page(db, PairFilter(seqs=tuple(chunk)), limit=len(chunk)):
                question = pair.question
                if pair.answer is not None:
                    messages = chat_judge(question.text, pair.answer)
                    id = ids.judgment_id(question.id)
                    yield Work(self.name, id, question.discipline_id, prompt("judge"), messages, question.seq)

    def next(self) -> Work | None:
        """See WorkQueue."""
        return next(self._works, None)

    def stage(self, work: Work) -> "QualityJudgeQueue":
        """See WorkQueue."""
        return self

    def parse(self, work: Work, text: str) -> Verdict:
        """Parse the scores.

        Raises:
            MalformedReply: If scores are missing or there is more than one object (repairable).
        """
        verdicts = json_lines(text, Verdict)
        if len(verdicts) > 1:
            raise MalformedReply("malformed", f"it contains {len(verdicts)} JSON objects instead of one", repairable=True)
        return verdicts[0]

    def store(self, db: apsw.Connection, work: Work, parsed: Verdict, teacher: str) -> None:
        """Store the scores, and tag the pair if a score is below its minimum."""
        judged = Judgment(work.facts, **parsed.model_dump(), teacher=teacher)
        judgment_rows.put_judgment(db, judged)
        if tag := _tag(judged, self._settings):
            tag_rows.put_tags(db, [tag], self._run_id)

    def record_text(self, parsed: Verdict) -> None:
        """See Stage: scores are stored in another form than the reply."""

    def stored(self, work: Work, value: Any) -> None:
        """See WorkQueue: judgments have no follow-up tasks."""

    def failed(self, work: Work) -> None:
        """See WorkQueue."""

    def finish(self, outcome: tuple[str, str]) -> tuple[str, str]:
        """See WorkQueue: apply the minimums to all judgments, including earlier ones."""
        apply_minimums(self._ws, self._settings, self._run_id)
        return outcome

    def planned(self) -> dict[str, int]:
        """See WorkQueue; tasks stored by an earlier process of the run are not included."""
        return {self.name: self._planned}


def plan_judging(ws: Workspace, settings: QualityJudgeSettings) -> plan.Plan:
    """Plan the calls that a judge run still needs.

    Raises:
        GlanError: If a discipline is unknown, or a budget in USD is set for a teacher without a price.
    """
    check_disciplines(ws, settings)
    calls = missing(ws, settings)
    return plan.price(ws, settings, {"judge": (calls, calls)})


def missing(ws: Workspace, settings: QualityJudgeSettings) -> int:
    """Return the number of selected pairs that are not judged."""
    eligible, unjudged = judgment_rows.count_open(ws.db, settings.disciplines)
    if settings.sample is None or settings.sample >= eligible:
        return unjudged
    if unjudged == eligible:
        return settings.sample
    return sum(len(chunk) for chunk in _open_chunks(ws.db, settings))


def apply_minimums(ws: Workspace, settings: QualityJudgeSettings, run_id: int) -> None:
    """Update the tags of all judgments to the minimums of the settings, and store metadata of the check."""
    for page in judgment_rows.judgments(ws.db):
        with ws.write() as db:
            tag_rows.put_tags(db, [tag for judged in page if (tag := _tag(judged, settings))], run_id)
    cleared = 1
    while cleared:
        with ws.write() as db:
            cleared = tag_rows.clear_tags(db, "quality", [TAG], except_run=run_id)
    minimums = {name: getattr(settings, f"min_{name}") for name in SCORES} | {"teacher": settings.teacher_of("judge")}
    with ws.write() as db:
        last, number = homework_rows.last_seq(db), judgment_rows.count_judged(db)
        fact = {"settings": minimums, "rows": number, "up_to": last, "at": time.time(), "run_id": run_id}
        set_metadata(db, FACT, fact)


def check_disciplines(ws: Workspace, settings: QualityJudgeSettings) -> None:
    """Check that all disciplines exist.

    Raises:
        GlanError: If a discipline is not in the taxonomy.
    """
    tree = tree_editing.tree(ws)
    for discipline_id in settings.disciplines or ():
        hierarchy.discipline(tree, discipline_id)


def _tag(judged: Judgment, settings: QualityJudgeSettings) -> Tag | None:
    """Return a tag if a score is below its minimum; its score is the lowest of those."""
    low = {name: score for name in SCORES if (score := getattr(judged, name)) < getattr(settings, f"min_{name}")}
    if not low:
        return None
    scores = {name: getattr(judged, name) for name in SCORES}
    detail = {"scores": scores, "below": list(low), "comment": judged.comment, "teacher": judged.teacher}
    return Tag(judged.seq, "quality", TAG, score=float(min(low.values())), detail=detail)


def _open_chunks(db: apsw.Connection, settings: QualityJudgeSettings) -> Iterator[list[int]]:
    """Yield chunks of `seq` of the selected pairs that are not judged."""
    chunk: list[int] = []
    for seq, _, judged in _wanted(db, settings):
        if not judged:
            chunk.append(seq)
        if len(chunk) == READ_AHEAD:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _wanted(db: apsw.Connection, settings: QualityJudgeSettings) -> Iterable[tuple[int, str, bool]]:
    """Return (seq, id, whether judged) of the selected pairs; a sample is independent of what is judged."""

    def place(row: tuple[int, str, bool]) -> bytes:
        return hashlib.sha256(f"{settings.seed}/{row[1]}".encode()).digest()

    rows = (row for page in judgment_rows.eligible(db, settings.disciplines) for row in page)
    return rows if settings.sample is None else sorted(heapq.nsmallest(settings.sample, rows, key=place))
