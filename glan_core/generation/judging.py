"""The judge: a teacher scores pairs by a rubric, and those below a minimum are tagged, so that the dataset leaves them out."""

import hashlib
import heapq
import time
from collections.abc import Iterable, Iterator
from typing import Any

import apsw
from pydantic import BaseModel, ConfigDict, Field, field_validator

from glan_core import ids, taxonomy, taxonomy_edit
from glan_core.generation import plan
from glan_core.generation.order import JudgeOrder
from glan_core.generation.work import Work, ask
from glan_core.homework import MAX_CHARACTERS
from glan_core.prompts import Prompt, prompt
from glan_core.replies import Line, Malformed, json_lines
from glan_core.teachers.base import Message
from glan_core.workspace import Workspace, homework_rows, judgement_rows, tag_rows
from glan_core.workspace.judgement_rows import SCORES, Judgement
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_fact

TAG = "judge"  # the name of its tags, which are of the kind 'quality'
FACT = "check:judge"
READ_AHEAD = 200  # pairs whose texts are read together


class Verdict(BaseModel):
    """What a judge says of a pair: whole numbers from 1 to 5, and a comment."""

    model_config = ConfigDict(str_strip_whitespace=True)

    correct: int = Field(ge=1, le=5)
    clear: int = Field(ge=1, le=5)
    self_contained: int = Field(ge=1, le=5)
    difficulty: int = Field(ge=1, le=5)
    comment: Line = Field("", max_length=2000)

    @field_validator(*SCORES, mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool):  # true would pass for 1, the worst
            raise ValueError("give a whole number from 1 to 5")
        return value


def chat_judge(question: str, answer: str, wording: Prompt | None = None) -> list[Message]:
    """The question and answer of a pair with the rubric; what is longer than a question may be is cut."""
    return ask(wording or prompt("judge"), question=question[:MAX_CHARACTERS], answer=answer[:MAX_CHARACTERS])


class JudgeFrontier:
    """One call for each pair of the order that nobody judged yet; the stage is its own, there being only one."""

    name = "judge"

    def __init__(self, ws: Workspace, order: JudgeOrder, run_id: int) -> None:
        check_disciplines(ws, order)
        self._ws, self._order, self._run_id = ws, order, run_id
        self._planned = missing(ws, order)
        self._works = self._all_works()

    def _all_works(self) -> Iterator[Work]:
        db = self._ws.db
        for chunk in _open_chunks(db, self._order):
            for pair in homework_rows.pairs_page(db, PairFilter(seqs=tuple(chunk)), limit=len(chunk)):
                question = pair.question
                if pair.answer is not None:
                    messages = chat_judge(question.text, pair.answer)
                    id = ids.judgement_id(question.id)
                    yield Work(self.name, id, question.discipline_id, prompt("judge"), messages, question.seq)

    def next(self) -> Work | None:
        """See Frontier."""
        return next(self._works, None)

    def stage(self, work: Work) -> "JudgeFrontier":
        """See Frontier."""
        return self

    def parse(self, work: Work, text: str) -> Verdict:
        """The scores; Malformed (repairable) when they are not all there, or there is more than one verdict."""
        verdicts = json_lines(text, Verdict)
        if len(verdicts) > 1:
            raise Malformed("malformed", f"there are {len(verdicts)} JSON objects: give one", repairable=True)
        return verdicts[0]

    def store(self, db: apsw.Connection, work: Work, parsed: Verdict, teacher: str) -> None:
        """Keep the scores, and tag the pair where one is too low."""
        judged = Judgement(work.facts, *(getattr(parsed, name) for name in SCORES), parsed.comment, teacher)
        judgement_rows.put_judgement(db, judged)
        if tag := _tag(judged, self._order):
            tag_rows.put_tags(db, [tag], self._run_id)

    def record_text(self, parsed: Verdict) -> None:
        """See Stage: none, the scores are kept apart from the reply's form."""

    def stored(self, work: Work, value: Any) -> None:
        """See Frontier: nothing follows."""

    def failed(self, work: Work) -> None:
        """See Frontier."""

    def ended(self, ending: tuple[str, str]) -> tuple[str, str]:
        """See Frontier: the minimums hold for all judgements, these and earlier ones."""
        apply_minimums(self._ws, self._order, self._run_id)
        return ending

    def planned(self) -> dict[str, int]:
        """See Frontier; what an earlier process of the run has stored is not included."""
        return {self.name: self._planned}


def plan_judging(ws: Workspace, order: JudgeOrder) -> plan.Plan:
    """How many calls an order still needs, and what they would cost. GlanError when a discipline is unknown, or a budget in
    money is set for a teacher without a price."""
    check_disciplines(ws, order)
    calls = missing(ws, order)
    return plan.price(ws, order, {"judge": (calls, calls)})


def missing(ws: Workspace, order: JudgeOrder) -> int:
    """How many pairs of an order nobody judged yet."""
    eligible, unjudged = judgement_rows.count_open(ws.db, order.disciplines)
    if order.sample is None or order.sample >= eligible:
        return unjudged
    if unjudged == eligible:
        return order.sample
    return sum(len(chunk) for chunk in _open_chunks(ws.db, order))


def apply_minimums(ws: Workspace, order: JudgeOrder, run_id: int) -> None:
    """Bring the tags of all judgements in line with the minimums of an order, which hold for earlier ones as well, and keep
    what the check was."""
    for page in judgement_rows.judgements(ws.db):
        with ws.write() as db:
            tag_rows.put_tags(db, [tag for judged in page if (tag := _tag(judged, order))], run_id)
    cleared = 1
    while cleared:
        with ws.write() as db:
            cleared = tag_rows.clear_tags(db, "quality", [TAG], except_run=run_id)
    settings = {name: getattr(order, f"least_{name}") for name in SCORES} | {"teacher": order.teacher_of("judge")}
    with ws.write() as db:
        last, number = homework_rows.last_seq(db), judgement_rows.count_judged(db)
        fact = {"settings": settings, "rows": number, "up_to": last, "at": time.time(), "run_id": run_id}
        set_fact(db, FACT, fact)


def check_disciplines(ws: Workspace, order: JudgeOrder) -> None:
    """GlanError when a discipline of an order is not in the taxonomy."""
    tree = taxonomy_edit.tree(ws)
    for discipline_id in order.disciplines or ():
        taxonomy.discipline(tree, discipline_id)


def _tag(judged: Judgement, order: JudgeOrder) -> Tag | None:
    """The tag of a judgement that is below a minimum; its score is the lowest of those that are."""
    low = {name: score for name in SCORES if (score := getattr(judged, name)) < getattr(order, f"least_{name}")}
    if not low:
        return None
    scores = {name: getattr(judged, name) for name in SCORES}
    detail = {"scores": scores, "below": list(low), "comment": judged.comment, "teacher": judged.teacher}
    return Tag(judged.seq, "quality", TAG, score=float(min(low.values())), detail=detail)


def _open_chunks(db: apsw.Connection, order: JudgeOrder) -> Iterator[list[int]]:
    """The `seq` of the pairs of an order that nobody judged yet, some at a time."""
    chunk: list[int] = []
    for seq, _, judged in _wanted(db, order):
        if not judged:
            chunk.append(seq)
        if len(chunk) == READ_AHEAD:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _wanted(db: apsw.Connection, order: JudgeOrder) -> Iterable[tuple[int, str, bool]]:
    """(seq, id, whether it is judged) of the pairs of an order, by `seq`. A sample holds the same rows whenever it is drawn
    from the same pairs, judged since or not."""

    def place(row: tuple[int, str, bool]) -> bytes:
        return hashlib.sha256(f"{order.seed}/{row[1]}".encode()).digest()

    rows = (row for page in judgement_rows.eligible(db, order.disciplines) for row in page)
    return rows if order.sample is None else sorted(heapq.nsmallest(order.sample, rows, key=place))
