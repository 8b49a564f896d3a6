"""Plans: the calls, tokens, cost and time of a run before it starts.

Exact where the workspace has data (what is missing from existing syllabi), estimated otherwise (how many subjects a query
yields). Every estimate is a range whose upper end is at most three times the lower, and `basis` describes how it was made.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.generation.estimates import (
    ENGINE_FACTOR,
    ENGINE_SECONDS,
    SCRIPTED_START,
    SPEED_MARGIN,
    START_SECONDS,
    WIDEST,
    CallEstimate,
    TokenLimit,
    estimate_call,
    scripted_call_seconds,
    spread,
)
from glan_core.generation.rate_limits import Concurrency
from glan_core.generation.settings import GenerationSettings, TeacherSettings
from glan_core.generation.stage_specs import GENERATION_STAGES
from glan_core.homework.concept_sampling import count_draws
from glan_core.records import Node
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.endpoint_settings import is_local
from glan_core.teachers.scripted.course import count_subjects
from glan_core.workspace import Workspace, curriculum_rows, homework_rows

# New subjects per query: the paper reports 100 to 200 per discipline from 10 queries (section 2.2).
SUBJECTS_PER_QUERY = (10, 20)

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a plan.

    Attributes:
        teacher: The teacher of the stage.
        calls: Number of calls (low, high).
        tokens_in: Prompt tokens per call.
        tokens_out: Completion tokens per call.
        usd: Cost of all calls in USD (low, high), None if the price is unknown; (0, 0) without calls.
        seconds: Seconds per call.
    """

    stage: str
    teacher: str
    calls: tuple[int, int]
    tokens_in: float
    tokens_out: float
    usd: tuple[float, float] | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run, as ranges (low, high).

    Attributes:
        usd: Cost in USD, None if a price is unknown.
        seconds: Duration at the maximum concurrency, None if the speed of a teacher was never measured.
        basis: How the estimate was made.
    """

    stages: tuple[StagePlan, ...]
    calls: tuple[int, int]
    tokens: tuple[int, int]
    usd: tuple[float, float] | None
    seconds: tuple[float, float] | None
    pairs: tuple[int, int]
    basis: str

    def as_dict(self) -> dict:
        """Return the plan as plain values for JSON."""
        return asdict(self)


def plan(ws: Workspace, settings: GenerationSettings) -> Plan:
    """Plan what is missing from the workspace to reach the target of a generation run.

    Raises:
        GlanError: If a discipline is unknown, or a budget in USD is set for a teacher without a price.
    """
    counts: dict[str, list[int]] = {stage: [0, 0] for stage in GENERATION_STAGES}
    tree = tree_editing.tree(ws)
    for discipline_id in settings.target.disciplines:
        node = hierarchy.discipline(tree, discipline_id)
        for stage, (low, high) in _missing(ws, settings, node).items():
            counts[stage][0] += low
            counts[stage][1] += high
    return price(ws, settings, {stage: (low, high) for stage, (low, high) in counts.items()})


def price(
    ws: Workspace, settings: TeacherSettings, counts: Mapping[str, Range], limits: Mapping[str, TokenLimit] | None = None
) -> Plan:
    """Price a number of calls per stage.

    Args:
        ws: The workspace.
        settings: Settings of the run.
        counts: Number of calls (low, high) by stage.
        limits: Token limit by stage, where it differs from the usual one.

    Raises:
        GlanError: If a budget in USD is set for a teacher without a price.
    """
    calls = {stage: estimate_call(ws, settings.teacher_of(stage), stage, (limits or {}).get(stage)) for stage in counts}
    stages = [_price_stage(settings, stage, counts[stage], calls[stage]) for stage in counts]
    notes = [stage for stage in counts if counts[stage][1] and not calls[stage].known]
    unpriced = sorted({s.teacher for s in stages if s.usd is None and s.calls[1]})
    if unpriced and settings.budget_usd is not None:
        raise GlanError(
            f"The price of {unpriced[0]} is unknown, so a budget in USD cannot be enforced. "
            "Set its price (IN,OUT in USD per million tokens) or limit the number of calls."
        )
    costs = [s.usd or (0.0, 0.0) for s in stages]
    seconds = _seconds(settings, stages, calls)
    return Plan(
        tuple(stages), _sum(s.calls for s in stages),
        _sum(_tokens(s, calls[s.stage].margin) for s in stages),
        None if unpriced else (sum(low for low, _ in costs), sum(high for _, high in costs)),
        seconds,
        counts.get("answer", (0, 0)),
        _basis(settings, counts, notes, unpriced, timed=seconds is not None),
    )  # fmt: skip


def check_local_teachers(settings: TeacherSettings) -> None:
    """Check teachers as far as that is possible without a key or a call.

    Raises:
        GlanError: If a teacher given as a folder does not exist.
    """
    for spec in (settings.teacher, settings.answer_teacher, *(stage.teacher for stage in settings.stages.values())):
        kind, _, place = (spec or "").partition(":")
        if kind == "local" and place.startswith(("/", ".", "~")) and not Path(place).expanduser().is_dir():
            raise GlanError(
                f"Teacher {spec}: the folder {place} does not exist. Give the folder of a model, or its name on the Hub."
            )


def _missing(ws: Workspace, settings: GenerationSettings, discipline: Node) -> dict[str, Range]:
    """Return the missing calls of each stage for a discipline, as (low, high)."""
    db, target, discipline_id = ws.db, settings.target, discipline.id
    queries = {query.index: query for query in curriculum_rows.subject_queries(db, discipline_id)}
    lists = sum(index not in queries for index in range(target.subject_queries))
    reads = lists + sum(q.subjects is None for q in queries.values() if q.index < target.subject_queries)
    known = curriculum_rows.count_subjects(db, discipline_id)
    fewest, most = _new_subjects(settings, discipline.name, known, reads)
    cap = target.max_subjects if target.max_subjects is not None else 10**9
    found = [min(cap, known + fewest), min(cap, known + most)]
    shapes = curriculum_rows.syllabus_shapes(db, discipline_id, target.max_subjects)
    new = [max(0, number - sum(alike for _, _, alike in shapes)) for number in found]
    unread = sum(alike for sizes, _, alike in shapes if sizes is None)
    lacking = sum(
        alike * max(0, min(target.questions_per_syllabus, _room(sizes, settings.pair_share)) - questions)
        for sizes, questions, alike in shapes
        if sizes is not None
    )
    questions = [lacking + (number + unread) * target.questions_per_syllabus for number in new]
    waiting = homework_rows.count_unanswered(db, discipline_id)
    return {
        "subject_list": (lists, lists), "subjects": (reads, reads), "syllabus": (new[0], new[1]),
        "sessions": (new[0] + unread, new[1] + unread), "question": (questions[0], questions[1]),
        "answer": (questions[0] + waiting, questions[1] + waiting),
    }  # fmt: skip


@lru_cache(maxsize=8192)  # most syllabi are of a few shapes
def _room(sizes: tuple[int, ...], pair_share: float) -> int:
    return count_draws(sizes, pair_share)


def _new_subjects(settings: GenerationSettings, discipline: str, known: int, queries: int) -> Range:
    """How many new subjects some queries of one discipline bring.

    Queries repeat subjects of earlier ones, so the fewest are a third of what they list.
    """
    if not queries:
        return 0, 0
    teacher = settings.teacher_of("subjects")
    if teacher in homework_rows.SCRIPTED:  # the same subjects in every query, so none are new after the first
        new = max(0, count_subjects(discipline) - known)
        return new, new
    most = queries * SUBJECTS_PER_QUERY[1]
    return max(SUBJECTS_PER_QUERY[0], math.ceil(most / WIDEST)), most


def _price_stage(settings: TeacherSettings, stage: str, calls: Range, call: CallEstimate) -> StagePlan:
    """Price the calls of a stage."""
    teacher = settings.teacher_of(stage)
    seconds = call.seconds
    if teacher == "scripted":
        seconds = scripted_call_seconds()
    price = settings.price_of(stage)
    usd: tuple[float, float] | None = None
    if not calls[1]:
        usd = 0.0, 0.0  # even if the price is unknown
    elif price is not None:
        low, high = (price.of(n * call.tokens_in, n * call.tokens_out) for n in calls)
        usd = spread(low, high, call.margin)
    return StagePlan(stage, teacher, calls, call.tokens_in, call.tokens_out, usd, seconds)


def _tokens(stage: StagePlan, margin: float) -> Range:
    """Return the tokens of a stage as a range."""
    low, high = (n * (stage.tokens_in + stage.tokens_out) for n in stage.calls)
    low, high = spread(low, high, margin)
    return round(low), round(high)


def _seconds(
    settings: TeacherSettings, stages: list[StagePlan], calls: Mapping[str, CallEstimate]
) -> tuple[float, float] | None:
    """Estimate the duration; None if the speed of a teacher was never measured.

    The in-process scripted teacher has no concurrency. The time of batches is up to the endpoint, and unknown.
    """
    needed = [s for s in stages if s.calls[1]]
    if not needed:
        return 0.0, 0.0
    if settings.batch_mode or any(s.teacher != "scripted" and not calls[s.stage].timed for s in needed):
        return None
    ends = []
    for end in (0, 1):
        here = sum(s.calls[end] * s.seconds for s in needed if s.teacher == "scripted")
        sent = [s for s in needed if s.teacher != "scripted" and s.calls[end]]
        ends.append(
            START_SECONDS
            + (SCRIPTED_START + here if here else 0.0)
            + max(_sending_seconds(settings, sent, end), _rate_seconds(settings, sent, end))
        )
    return spread(ends[0], ends[1], SPEED_MARGIN)


def _sending_seconds(settings: TeacherSettings, sent: Sequence[StagePlan], end: int) -> float:
    """Estimate the time of calls to endpoints, whose concurrency is raised step by step (see `Concurrency`).

    One call of each stage must run in sequence.
    """
    number = sum(s.calls[end] for s in sent)
    if not number:
        return 0.0
    latency = sum(s.calls[end] * s.seconds for s in sent) / number
    limit = Concurrency(settings.max_in_flight, local=is_local(settings.base_url or "")).limit
    seconds, left = sum(s.seconds for s in sent), float(number)
    while left > 0:
        window = left if limit >= settings.max_in_flight else min(left, max(Concurrency.MIN_WINDOW, limit))
        seconds += window * max(latency / limit, ENGINE_SECONDS)
        left, limit = left - window, min(2 * limit, settings.max_in_flight)
    return ENGINE_FACTOR * seconds


def _rate_seconds(settings: TeacherSettings, sent: Sequence[StagePlan], end: int) -> float:
    """Return the time that the limits per minute need at least."""
    calls = sum(s.calls[end] for s in sent) / (settings.requests_per_minute or math.inf)
    tokens = sum(s.calls[end] * (s.tokens_in + s.tokens_out) for s in sent) / (settings.tokens_per_minute or math.inf)
    return 60 * max(calls, tokens)


def _sum(ranges: Iterable[Range]) -> Range:
    pairs = list(ranges)
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)


def _basis(
    settings: TeacherSettings, counts: Mapping[str, Range], typical: list[str], unpriced: list[str], *, timed: bool
) -> str:  # fmt: skip
    """Describe how the estimate was made."""
    parts = []
    if len(set(counts.get("syllabus", ()))) > 1:
        parts.append("the number of subjects per query is estimated (the paper reports 100 to 200 from 10 queries)")
    parts.append(
        "tokens per call are typical values" if len(typical) == sum(c[1] > 0 for c in counts.values())
        else "tokens per call are this workspace's averages" + (" where it has them" if typical else "")
    )  # fmt: skip
    if unpriced:
        parts.append(f"the price of {', '.join(unpriced)} is unknown")
    if settings.batch_mode == "api":
        parts.append("prices are half of the usual ones (Batch API); each stage takes up to 24 hours")
    elif settings.batch_mode == "files":
        parts.append("the time depends on the offline engine")
    elif not timed:
        parts.append("the time is known after the first calls of a model")
    return "; ".join(parts) + "."
