"""Pairwise judge: two models answer the questions of a test, and a judge scores both answers in both orders.

Follows section 3.6 of the paper and Zheng et al. (arXiv 2306.05685), whose judges favor the answer shown first. Hence both
orders are judged, and their disagreement is part of the result. Answers and verdicts are calls of a run like any other:
budgeted, resumable, and never repeated.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import apsw
from pydantic import BaseModel, ConfigDict, Field, field_validator

from glan_core.dataset.glan_test_store import GlanTestItem
from glan_core.dataset.held_out_filter import HeldOutFilter
from glan_core.dataset.splits import TRAIN
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import AnswerSource
from glan_core.evaluation.judge.match_setup import CUT, NOTHING, OTHER, OURS, VERDICT, MatchSetup, match_setup
from glan_core.evaluation.judge.match_statistics import match_summary
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings
from glan_core.generation import plan
from glan_core.generation.call_records import StageModel
from glan_core.generation.estimates import TokenLimit
from glan_core.generation.protocols import Work, ask
from glan_core.homework.question_parsing import MAX_CHARACTERS
from glan_core.models.tuned_model_store import read_model
from glan_core.prompts import prompt
from glan_core.reply_parsing import TRUNCATED, Line, MalformedReply, json_lines
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import Message
from glan_core.teachers.prices import price_of
from glan_core.training.training_texts import trained_rows
from glan_core.workspace import Workspace, call_rows, match_rows
from glan_core.workspace.match_rows import ASPECTS, OVERALL, Answer, Match, Verdict

if TYPE_CHECKING:
    from glan_core.models.weights_cache import WeightsCache


class Scores(BaseModel):
    """A judge's scores of one answer, from 1 to 10; aspects are optional."""

    model_config = ConfigDict(str_strip_whitespace=True)

    overall: float = Field(ge=1, le=10)
    helpfulness: float | None = Field(None, ge=1, le=10)
    relevance: float | None = Field(None, ge=1, le=10)
    accuracy: float | None = Field(None, ge=1, le=10)
    detail: float | None = Field(None, ge=1, le=10)

    @field_validator(OVERALL, *ASPECTS, mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool):  # true would be accepted as 1
            raise ValueError("give a number from 1 to 10")
        return value


class ParsedVerdict(BaseModel):
    """A parsed verdict."""

    first: Scores
    second: Scores
    comment: Line = Field("", max_length=4000)


def plan_judging(ws: Workspace, settings: PairwiseJudgeSettings) -> plan.Plan:
    """Return the number of answers and verdicts still needed and their price.

    Raises:
        GlanError: As for `match_setup`, or if a budget is set for a model without a known price.
    """
    it = match_setup(ws, settings)
    missing = {OURS: _unanswered(ws, it, it.ours), OTHER: _unanswered(ws, it, it.other)}
    if it.ours.key == it.other.key:
        missing[OTHER] = []
    judged = match_rows.judged(ws.db, it.id)
    askable = {item.id for item in it.items if REFERENCE not in (it.ours.key, it.other.key) or item.reference}
    counts = {stage: len(items) for stage, items in missing.items()}
    counts[VERDICT] = sum((id, swapped) not in judged for id in askable for swapped in (False, True))
    limits = {
        stage: TokenLimit(it.decoding.complete().max_tokens, _earlier_limit(ws, who.spec)) for stage, who in ((OURS, it.ours), (OTHER, it.other))
    }  # fmt: skip
    return plan.price(ws, settings, {stage: (number, number) for stage, number in counts.items()}, limits)


def _earlier_limit(ws: Workspace, spec: str) -> int | None:
    """Return the token limit of the newest match that a model took part in."""
    limits = (match.about.get("tokens") for match in match_rows.matches(ws.db) if spec in (match.ours, match.other))
    return next((int(limit) for limit in limits if limit), None)


def _unanswered(ws: Workspace, it: MatchSetup, who: AnswerSource) -> list[GlanTestItem]:
    if who.key == REFERENCE:
        return []
    known = match_rows.answered(ws.db, it.test.hash, who.key)
    return [item for item in it.items if item.id not in known]


class PairwiseJudgeQueue:
    """The calls of a match: missing answers, one model after the other, and each verdict as soon as both answers exist."""

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
        """Return whether both answers to an item exist."""
        return self._askable(id) and not any(id in items for items in self._open.values())

    def next(self) -> Work | None:
        """Return the next call; see `WorkQueue`."""
        if self._verdicts:
            return self._verdicts.pop()
        while self._ready:
            self._verdicts = self._verdict_works(self._ready.pop())
            if self._verdicts:
                return self._verdicts.pop()
        for stage, items in self._answers.items():
            if stage == OTHER and _is_local(self._it.ours) and self._open[OURS].keys() - self._lost:
                return None  # two models at once would share processor and memory, in smaller batches
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
            text = stored.text if stored else item.reference
            texts.append(text[:MAX_CHARACTERS].strip() or NOTHING)
        for swapped in (True, False):
            if (id, swapped) not in self._judged:
                first, second = reversed(texts) if swapped else texts
                messages = ask(prompt("compare"), question=item.question[:MAX_CHARACTERS], first=first, second=second)
                works.append(
                    Work(VERDICT, self._it.verdict_work(id, swapped=swapped), None, prompt("compare"), messages, (id, swapped))
                )
        return works

    def stage(self, work: Work) -> Any:
        """Return the stage of a call; see `WorkQueue`."""
        return self._stages[work.stage]

    def stored(self, work: Work, value: Any) -> None:
        """Record a stored answer; a verdict is ready once both answers exist."""
        if work.stage != VERDICT:
            self._open[work.stage].pop(work.facts, None)
            if work.facts not in self._lost and self._complete(work.facts):
                self._ready.insert(0, work.facts)

    def failed(self, work: Work) -> None:
        """Record a failed call; without an answer there is no verdict."""
        if work.stage != VERDICT and work.facts not in self._lost:
            self._lost.add(work.facts)
            self._planned[VERDICT] -= 2

    def planned(self) -> dict[str, int]:
        """Return the planned calls by stage; see `WorkQueue`."""
        return dict(self._planned)

    def stage_models(self, models: dict[str, StageModel]) -> dict[str, StageModel]:
        """Store the match and add the answering models to that of the judge; see `WorkQueue`."""
        from glan_core.models import server_client
        from glan_core.models.weights_cache import WeightsCache

        self.note_match()
        found = dict(models)
        local = [who for who in (self._it.ours, self._it.other) if _is_local(who)]
        if local:
            server_client.try_release()  # frees the memory of chat models
        cache, pool = WeightsCache(), ThreadPoolExecutor(max(1, len(local)), thread_name_prefix="answering")
        for stage, who in ((OURS, self._it.ours), (OTHER, self._it.other)):
            if who.pane is not None:
                found[stage] = _stage_model(self._it, who, cache, pool)
        return found

    def finish(self, outcome: tuple[str, str]) -> tuple[str, str]:
        """Add the result of the match to the message of a finished run; see `WorkQueue`."""
        state, message = outcome
        if state != "finished":
            return outcome
        return state, f"{match_summary(self._ws, self._it.id)} {message}".strip()

    def note_match(self) -> Match:
        """Store the match with its provenance: hashes, and the training rows of each model that leak a test question.

        Reads the snapshots that do not state that they exclude the test.
        """
        it, settings = self._it, self._it.settings
        sides = {OURS: it.ours, OTHER: it.other}
        about = {
            "prompt": prompt("compare").version, "address": settings.base_url, "temperature": it.decoding.temperature,
            "tokens": it.decoding.max_tokens, "same": it.ours.key == it.other.key,
            "weights": {stage: _hashes(who) for stage, who in sides.items()},
            "given_away": {stage: count_leaks(self._ws, it, who) for stage, who in sides.items()},
        }  # fmt: skip
        match = Match(it.id, it.test.name, it.test.hash, it.ours.spec, it.ours.key, it.other.spec, it.other.key,
                      settings.teacher_of(VERDICT), about, self._run_id, time.time())  # fmt: skip
        with self._ws.write() as db:
            match_rows.put_match(db, match)
        return match


class _AnswerStage:
    """Answers of one model; truncated, empty and refusing answers are stored because they are part of the evaluation."""

    def __init__(self, name: str, it: MatchSetup, who: AnswerSource, run_id: int) -> None:
        self.name, self._it, self._who, self._run_id = name, it, who, run_id

    def check_reply(self, text: str, finish_reason: str | None) -> str:
        """Return the answer, marked if it was truncated; see `Stage`."""
        return text.strip() + (CUT if (finish_reason or "").lower() in TRUNCATED else "")

    def parse(self, work: Work, text: str) -> str:
        """Return the answer unchanged; see `Stage`."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> None:
        """Store the answer; see `Stage`."""
        answer = Answer(self._it.test.hash, work.facts, self._who.key, parsed, teacher, self._run_id, time.time())
        match_rows.put_answer(db, answer)

    def record_text(self, parsed: str) -> str:
        """Return the text to record; see `Stage`."""
        return parsed


class _VerdictStage:
    """Verdicts of the judge."""

    name = VERDICT

    def __init__(self, it: MatchSetup) -> None:
        self._it = it
        self._disciplines = {item.id: item.discipline for item in it.items}

    def parse(self, work: Work, text: str) -> ParsedVerdict:
        """Parse the scores of both answers; repairable if scores are missing or there are several verdicts."""
        verdicts = json_lines(text, ParsedVerdict)
        if len(verdicts) > 1:
            raise MalformedReply("malformed", f"there are {len(verdicts)} JSON objects, expected one", repairable=True)
        return verdicts[0]

    def store(self, db: apsw.Connection, work: Work, parsed: ParsedVerdict, teacher: str) -> None:
        """Store the scores by model."""
        item, swapped = work.facts
        ours, other = (parsed.second, parsed.first) if swapped else (parsed.first, parsed.second)
        aspects = {name: (a, b) for name in ASPECTS if None not in (a := getattr(ours, name), b := getattr(other, name))}
        verdict = Verdict(self._it.id, item, swapped, ours.overall, other.overall, aspects, parsed.comment, time.time())
        if match_rows.put_verdict(db, verdict) and (discipline_id := self._disciplines[item]):
            call_rows.count(db, discipline_id, tested=1)

    def record_text(self, parsed: ParsedVerdict) -> None:
        """Return None: the scores are stored separately; see `Stage`."""


def _is_local(who: AnswerSource) -> bool:
    """Return whether local weights answer."""
    return who.pane is not None and not who.pane.teacher


def count_leaks(ws: Workspace, it: MatchSetup, who: AnswerSource) -> dict:
    """Count the training rows of a model that leak a question of the test.

    Returns:
        `number`, `rows` (those the model was trained on), and `snapshot` with its training rows in `of`; empty if the
        training data is unknown; `fault` if the snapshot cannot be read.
    """
    kind, _, name = who.spec.partition(":")
    if kind != "tuned" or not (model := read_model(ws, name)).snapshot:
        return {}
    try:
        sample = trained_rows(ws, model)
        manifest = sample.snapshot.manifest
        found = {"snapshot": manifest.name, "rows": sample.number, "of": manifest.rows.get(TRAIN, 0)}
        if it.test.hash in manifest.tests.values():
            return found | {"number": 0}
        guard = HeldOutFilter((item, it.test.threshold) for item in it.items)
        hit = (bool(guard.hits(row["prompt"], row["concepts"])) for row in sample.rows())
        return found | {"number": sum(hit)}
    except GlanError as fault:  # the snapshot was removed or replaced
        return {"fault": str(fault)}


def _hashes(who: AnswerSource) -> dict[str, str]:
    """Return the hashes of local weights; empty for other models."""
    from pathlib import Path

    from glan_core.models.weights_cache import ModelUnavailable, cached_hash, find_weights

    if not _is_local(who):
        return {}
    try:
        model = who.model
        adapter = cached_hash(Path(model.adapter)) if model.adapter else ""
        return {"weights": cached_hash(find_weights(model.base)), "adapter": adapter}
    except ModelUnavailable as fault:
        raise GlanError(str(fault)) from None


def _stage_model(it: MatchSetup, who: AnswerSource, cache: "WeightsCache", pool: ThreadPoolExecutor) -> StageModel:
    """Return how a model is asked for answers.

    Raises:
        GlanError: If the model is unavailable, or a budget is set and its price is unknown.
    """
    from glan_core.models.local_teacher import WeightsTeacher

    model = who.model
    if not model.teacher:
        return StageModel(WeightsTeacher(model, who.teacher, cache, pool), it.decoding, price_of(who.teacher))
    price = price_of(who.teacher, model.endpoint.price)
    if price is None and it.settings.budget_usd is not None:
        raise GlanError(
            f"The price of {who.teacher} is unknown, so a budget in USD cannot be enforced. Limit the number of calls instead."
        )
    return StageModel(open_teacher(who.teacher, model.base_url, settings=model.endpoint), it.decoding, price)
