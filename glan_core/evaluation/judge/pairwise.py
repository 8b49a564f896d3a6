"""The pairwise judge: two models answer the questions of a test, and a teacher scores both answers, in both orders.

After the paper's section 3.6 and Zheng et al. (arXiv 2306.05685), whose judges favour the answer that they see first: hence both
orders, and the rate at which they disagree is part of the result. Answers, verdicts and failures are calls of a run like any
other: budgeted, resumed where they ended, never asked for twice.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apsw
from pydantic import BaseModel, ConfigDict, Field, field_validator

from glan_core.dataset.glan_test_store import GlanTestItem
from glan_core.dataset.held_out_filter import HeldOutFilter
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import TRAIN
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import AnswerSource
from glan_core.evaluation.judge.match_setup import CUT, NOTHING, OTHER, OURS, VERDICT, MatchSetup, match_setup
from glan_core.evaluation.judge.match_statistics import said
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings
from glan_core.generation import plan
from glan_core.generation.engine import StageModel
from glan_core.generation.protocols import Work, ask
from glan_core.homework.question_parsing import MAX_CHARACTERS
from glan_core.prompts import prompt
from glan_core.reply_parsing import TRUNCATED, Line, MalformedReply, json_lines
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import Message
from glan_core.teachers.prices import price_of
from glan_core.workspace import Workspace, call_rows, match_rows
from glan_core.workspace.match_rows import ASPECTS, OVERALL, Answer, Match, Verdict


class Scores(BaseModel):
    """A judge's scores of one answer, from 1 to 10; the aspects may be missing."""

    model_config = ConfigDict(str_strip_whitespace=True)

    overall: float = Field(ge=1, le=10)
    helpfulness: float | None = Field(None, ge=1, le=10)
    relevance: float | None = Field(None, ge=1, le=10)
    accuracy: float | None = Field(None, ge=1, le=10)
    detail: float | None = Field(None, ge=1, le=10)

    @field_validator(OVERALL, *ASPECTS, mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool):  # true would pass for 1, the worst
            raise ValueError("give a number from 1 to 10")
        return value


class Both(BaseModel):
    """A verdict as a judge gives it."""

    first: Scores
    second: Scores
    comment: Line = Field("", max_length=4000)


def plan_judging(ws: Workspace, settings: PairwiseJudgeSettings) -> plan.Plan:
    """How many answers and verdicts an order still needs, and what they would cost. GlanError as `contest`, or when a budget in
    money is set for somebody without a price."""
    it = match_setup(ws, settings)
    missing = {OURS: _unanswered(ws, it, it.ours), OTHER: _unanswered(ws, it, it.other)}
    if it.ours.key == it.other.key:
        missing[OTHER] = []
    judged = match_rows.judged(ws.db, it.id)
    askable = {item.id for item in it.items if REFERENCE not in (it.ours.key, it.other.key) or item.reference}
    counts = {stage: len(items) for stage, items in missing.items()}
    counts[VERDICT] = sum((id, swapped) not in judged for id in askable for swapped in (False, True))
    return plan.price(ws, settings, {stage: (number, number) for stage, number in counts.items()})


def _unanswered(ws: Workspace, it: MatchSetup, who: AnswerSource) -> list[GlanTestItem]:
    if who.key == REFERENCE:
        return []
    known = match_rows.answered(ws.db, it.test.hash, who.key)
    return [item for item in it.items if item.id not in known]


class PairwiseJudgeQueue:
    """The calls of a match: the answers that are missing, one model after the other, and each verdict as soon as both answers are
    there."""

    def __init__(self, ws: Workspace, settings: PairwiseJudgeSettings, run_id: int) -> None:
        self._ws, self._run_id = ws, run_id
        self._it = it = match_setup(ws, settings)
        self._items = {item.id: item for item in it.items}
        self._judged = match_rows.judged(ws.db, it.id)
        self._open = {OURS: self._missing(it.ours), OTHER: self._missing(it.other) if it.other.key != it.ours.key else {}}
        self._lost: set[str] = set()
        self._stages = {OURS: _AnswerStage(OURS, it, it.ours, run_id), OTHER: _AnswerStage(OTHER, it, it.other, run_id),
                        VERDICT: _VerdictStage(it)}  # fmt: skip
        self._answers = {stage: iter(list(items)) for stage, items in self._open.items()}
        self._ready = [item.id for item in reversed(it.items) if self._complete(item.id)]
        self._verdicts: list[Work] = []
        verdicts = sum(
            2 - ((id, False) in self._judged) - ((id, True) in self._judged) for id in self._items if self._askable(id)
        )
        self._planned = {OURS: len(self._open[OURS]), OTHER: len(self._open[OTHER]), VERDICT: verdicts}

    def _missing(self, who: AnswerSource) -> dict[str, None]:
        return dict.fromkeys(item.id for item in _unanswered(self._ws, self._it, who))

    def _askable(self, id: str) -> bool:
        return bool(self._items[id].reference) or REFERENCE not in (self._it.ours.key, self._it.other.key)

    def _complete(self, id: str) -> bool:
        """Whether both answers to an item are there."""
        return self._askable(id) and not any(id in items for items in self._open.values())

    def next(self) -> Work | None:
        """See WorkQueue."""
        if self._verdicts:
            return self._verdicts.pop()
        while self._ready:
            self._verdicts = self._verdict_works(self._ready.pop())
            if self._verdicts:
                return self._verdicts.pop()
        for stage, items in self._answers.items():
            if stage == OTHER and _is_local(self._it.ours) and self._open[OURS].keys() - self._lost:
                return None  # two models at once would share the processor and the memory, in smaller batches
            if (id := next(items, None)) is not None:
                who = self._it.ours if stage == OURS else self._it.other
                return Work(stage, self._it.answer_work(who, id), None, prompt("answer"), self._question(id), id)
        return None

    def _question(self, id: str) -> list[Message]:
        return [{"role": "user", "content": self._items[id].question}]

    def _verdict_works(self, id: str) -> list[Work]:
        item, db, works = self._items[id], self._ws.db, []
        texts = []
        for who in (self._it.ours, self._it.other):
            stored = None if who.key == REFERENCE else match_rows.answer(db, self._it.test.hash, who.key, id)
            texts.append((stored.text if stored else item.reference)[:MAX_CHARACTERS].strip() or NOTHING)
        for swapped in (True, False):
            if (id, swapped) not in self._judged:
                first, second = reversed(texts) if swapped else texts
                messages = ask(prompt("compare"), question=item.question[:MAX_CHARACTERS], first=first, second=second)
                works.append(
                    Work(VERDICT, self._it.verdict_work(id, swapped), None, prompt("compare"), messages, (id, swapped))
                )
        return works

    def stage(self, work: Work) -> Any:
        """See WorkQueue."""
        return self._stages[work.stage]

    def stored(self, work: Work, value: Any) -> None:
        """See WorkQueue."""
        if work.stage != VERDICT:
            self._open[work.stage].pop(work.facts, None)
            if work.facts not in self._lost and self._complete(work.facts):
                self._ready.insert(0, work.facts)

    def failed(self, work: Work) -> None:
        """See WorkQueue. Without an answer there is nothing to judge."""
        if work.stage != VERDICT and work.facts not in self._lost:
            self._lost.add(work.facts)
            self._planned[VERDICT] -= 2

    def planned(self) -> dict[str, int]:
        """See WorkQueue."""
        return dict(self._planned)

    def voices(self, voices: dict[str, StageModel]) -> dict[str, StageModel]:
        """See WorkQueue: those of the models beside the judge's. Says what the match is first (`note_match`)."""
        from glan_core.models import server_client as chat_process
        from glan_core.models.weights_cache import WeightsCache

        self.note_match()
        settings, found = self._it.settings, dict(voices)
        local = [who for who in (self._it.ours, self._it.other) if _is_local(who)]
        if local:
            chat_process.release()  # the models that are talked to give their memory to those that are tested
        shelf, pool = WeightsCache(), ThreadPoolExecutor(max(1, len(local)), thread_name_prefix="answering")
        for stage, who in ((OURS, self._it.ours), (OTHER, self._it.other)):
            if who.pane is not None:
                found[stage] = _voice(settings, stage, who, shelf, pool)
        return found

    def ended(self, ending: tuple[str, str]) -> tuple[str, str]:
        """See WorkQueue: a run that came to its end says what the match came to."""
        state, message = ending
        if state != "finished":
            return ending
        told = said(self._ws, self._it.id)
        return state, f"{told} {message}".strip()

    def note_match(self) -> Match:
        """Store what the match is, with what tells whether it can be believed: hashes, and how many training rows of each model
        give a question of the test away. Reads the snapshots that do not say that they kept the test out."""
        it, settings = self._it, self._it.settings
        sides = {OURS: it.ours, OTHER: it.other}
        about = {
            "prompt": prompt("compare").version, "address": settings.base_url, "temperature": settings.temperature,
            "tokens": settings.answer_tokens, "same": it.ours.key == it.other.key,
            "weights": {stage: _hashes(who) for stage, who in sides.items()},
            "given_away": {stage: given_away(self._ws, it, who) for stage, who in sides.items()},
        }  # fmt: skip
        match = Match(it.id, it.test.name, it.test.hash, it.ours.spec, it.ours.key, it.other.spec, it.other.key,
                      settings.teacher_of(VERDICT), about, self._run_id, time.time())  # fmt: skip
        with self._ws.write() as db:
            match_rows.put_match(db, match)
        return match


class _AnswerStage:
    """Answers of one model. What is cut, empty or refuses is kept: it is what is examined."""

    def __init__(self, name: str, it: MatchSetup, who: AnswerSource, run_id: int) -> None:
        self.name, self._it, self._who, self._run_id = name, it, who, run_id

    def whole(self, text: str, finish_reason: str | None) -> str:
        """See Stage."""
        return text.strip() + (CUT if (finish_reason or "").lower() in TRUNCATED else "")

    def parse(self, work: Work, text: str) -> str:
        """See Stage."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> None:
        """See Stage."""
        answer = Answer(self._it.test.hash, work.facts, self._who.key, parsed, teacher, self._run_id, time.time())
        match_rows.put_answer(db, answer)

    def record_text(self, parsed: str) -> str:
        """See Stage."""
        return parsed


class _VerdictStage:
    """Verdicts of the judge."""

    name = VERDICT

    def __init__(self, it: MatchSetup) -> None:
        self._it = it
        self._disciplines = {item.id: item.discipline for item in it.items}

    def parse(self, work: Work, text: str) -> Both:
        """The scores of both answers; Malformed (repairable) when they are not all there, or there is more than one verdict."""
        verdicts = json_lines(text, Both)
        if len(verdicts) > 1:
            raise MalformedReply("malformed", f"there are {len(verdicts)} JSON objects: give one", repairable=True)
        return verdicts[0]

    def store(self, db: apsw.Connection, work: Work, parsed: Both, teacher: str) -> None:
        """Keep the scores by whose answer they are of."""
        item, swapped = work.facts
        ours, other = (parsed.second, parsed.first) if swapped else (parsed.first, parsed.second)
        aspects = {name: (a, b) for name in ASPECTS if None not in (a := getattr(ours, name), b := getattr(other, name))}
        verdict = Verdict(self._it.id, item, swapped, ours.overall, other.overall, aspects, parsed.comment, time.time())
        if match_rows.put_verdict(db, verdict) and (discipline_id := self._disciplines[item]):
            call_rows.count(db, discipline_id, tested=1)

    def record_text(self, parsed: Both) -> None:
        """See Stage: none, the scores are kept apart from the reply's form."""


def _is_local(who: AnswerSource) -> bool:
    """Whether weights of this machine answer."""
    return who.pane is not None and not who.pane.teacher


def given_away(ws: Workspace, it: MatchSetup, who: AnswerSource) -> dict:
    """How many of the rows that a model was trained on give a question of the test away, of how many: `number`, `rows`, and
    `snapshot`; empty for a model of which that can't be known."""
    if not who.pane or not who.pane.snapshot or who.spec.startswith("base:"):
        return {}
    try:
        snapshot = read_snapshot(ws, who.pane.snapshot)
        told = {"snapshot": snapshot.manifest.name, "rows": snapshot.manifest.rows.get(TRAIN, 0)}
        if it.test.hash in snapshot.manifest.tests.values():
            return told | {"number": 0}
        guard = HeldOutFilter((item, it.test.threshold) for item in it.items)
        hit = (bool(guard.hits(row["prompt"], row["concepts"])) for _, row in snapshot.rows(TRAIN))
        return told | {"number": sum(hit)}
    except GlanError as fault:  # it was removed since
        return {"fault": str(fault)}


def _hashes(who: AnswerSource) -> dict[str, str]:
    """The hashes of the weights that answer, as they lie on the disk; empty for others."""
    from pathlib import Path

    from glan_core.models.weights_cache import PaneFault, hash_of, located

    if not _is_local(who):
        return {}
    try:
        adapter = hash_of(Path(who.pane.adapter)) if who.pane.adapter else ""
        return {"weights": hash_of(located(who.pane.base)), "adapter": adapter}
    except PaneFault as fault:
        raise GlanError(str(fault)) from None


def _voice(settings: PairwiseJudgeSettings, stage: str, who: AnswerSource, shelf, pool: ThreadPoolExecutor) -> StageModel:
    """How somebody is asked for answers. GlanError when that can't be, or a budget in money needs a price that is not known."""
    from glan_core.models.batched_teacher import WeightsTeacher

    if not who.pane.teacher:
        return StageModel(
            WeightsTeacher(who.pane, who.teacher, shelf, pool), settings.decoding_of(stage), price_of(who.teacher)
        )
    price = price_of(who.teacher)
    if price is None and settings.budget_usd is not None:
        raise GlanError(f"The price of {who.teacher} is not known, so a budget in money can't hold: limit the calls instead.")
    return StageModel(open_teacher(who.teacher, who.pane.base_url), settings.decoding_of(stage), price)
