"""Plans: the calls, tokens, cost and time of a run before it starts.

Exact where the workspace has data (what is missing from existing syllabi), estimated otherwise (how many subjects a query
yields). Every estimate is a range, and `basis` describes how it was made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

from glan_core.errors import GlanError
from glan_core.generation.settings import GenerationSettings, TeacherSettings
from glan_core.generation.stage_specs import GENERATION_STAGES, STAGE_SPECS
from glan_core.homework.concept_sampling import count_draws
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.prices import price_of
from glan_core.workspace import Workspace, call_rows, curriculum_rows, homework_rows

# New subjects per query: the paper reports 100 to 200 per discipline from 10 queries (section 2.2).
SUBJECTS_PER_QUERY = (10, 20)
# Completion speed of a teacher without averages.
TOKENS_PER_SECOND = 60
SCRIPTED_SECONDS = 0.0006
MIN_CALLS = 20  # calls of a teacher in a stage from which its own averages are used

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
        seconds: Duration at full concurrency.
        basis: How the estimate was made.
    """

    stages: tuple[StagePlan, ...]
    calls: tuple[int, int]
    tokens: tuple[int, int]
    usd: tuple[float, float] | None
    seconds: tuple[float, float]
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
        hierarchy.discipline(tree, discipline_id)
        for stage, (low, high) in _missing(ws, settings, discipline_id).items():
            counts[stage][0] += low
            counts[stage][1] += high
    return price(ws, settings, {stage: (low, high) for stage, (low, high) in counts.items()})


def price(ws: Workspace, settings: TeacherSettings, counts: Mapping[str, Range]) -> Plan:
    """Price a number of calls per stage.

    Args:
        ws: The workspace.
        settings: Settings of the run.
        counts: Number of calls (low, high) by stage.

    Raises:
        GlanError: If a budget in USD is set for a teacher without a price.
    """
    stages, notes = [], []
    for stage in counts:
        stage_plan, known = _price_stage(ws, settings, stage, counts[stage])
        stages.append(stage_plan)
        if counts[stage][1] and not known:
            notes.append(stage)
    unpriced = sorted({s.teacher for s in stages if s.usd is None and s.calls[1]})
    if unpriced and settings.budget_usd is not None:
        raise GlanError(
            f"The price of {unpriced[0]} is unknown, so a budget in USD cannot be enforced. "
            "Set its price (IN,OUT in USD per million tokens) or limit the number of calls."
        )
    costs = [s.usd or (0.0, 0.0) for s in stages]
    return Plan(
        tuple(stages), _sum(s.calls for s in stages),
        _sum((round(s.calls[0] * (s.tokens_in + s.tokens_out)), round(s.calls[1] * (s.tokens_in + s.tokens_out))) for s in stages),
        None if unpriced else (sum(low for low, _ in costs), sum(high for _, high in costs)),
        (_seconds(stages, settings.max_in_flight, 0), _seconds(stages, settings.max_in_flight, 1)),
        counts.get("answer", (0, 0)),
        _basis(settings, counts, notes, unpriced),
    )  # fmt: skip


def _missing(ws: Workspace, settings: GenerationSettings, discipline_id: str) -> dict[str, Range]:
    """Return the missing calls of each stage for a discipline, as (low, high)."""
    db, target = ws.db, settings.target
    queries = {query.index: query for query in curriculum_rows.subject_queries(db, discipline_id)}
    lists = sum(index not in queries for index in range(target.subject_queries))
    reads = lists + sum(q.subjects is None for q in queries.values() if q.index < target.subject_queries)
    known = curriculum_rows.count_subjects(db, discipline_id)
    fewest, most = _new_subjects(settings, reads)
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


def _new_subjects(settings: GenerationSettings, queries: int) -> Range:
    """How many new subjects some queries of one discipline bring: the fewest are those of one query."""
    if not queries:
        return 0, 0
    if settings.teacher_of("subjects") in homework_rows.SCRIPTED:
        return 2, 6  # two per textbook discipline, six placeholders otherwise, the same in every query
    return SUBJECTS_PER_QUERY[0], queries * SUBJECTS_PER_QUERY[1]


def _price_stage(ws: Workspace, settings: TeacherSettings, stage: str, calls: Range) -> tuple[StagePlan, bool]:
    """Price the calls of a stage; also return whether the teacher's own averages were used."""
    teacher = settings.teacher_of(stage)
    averages = call_rows.stage_averages(ws.db, teacher).get(stage)
    known = averages is not None and averages[3] >= MIN_CALLS
    tokens_in: float
    tokens_out: float
    if averages is not None and known:
        tokens_in, tokens_out, seconds, _ = averages
    else:
        tokens_in, tokens_out = STAGE_SPECS[stage].typical_tokens
        seconds = 0.5 + tokens_out / TOKENS_PER_SECOND
    if teacher == "scripted":
        seconds = SCRIPTED_SECONDS * settings.max_in_flight  # runs in this process, without concurrency
    price = price_of(teacher, settings.price)
    margin = 0.1 if known else 0.35
    usd: tuple[float, float] | None = None
    if not calls[1]:
        usd = 0.0, 0.0  # even if the price is unknown
    elif price is not None:
        low, high = (price.of(n * tokens_in, n * tokens_out) for n in calls)
        usd = low * (1 - margin), high * (1 + margin)
    return StagePlan(stage, teacher, calls, tokens_in, tokens_out, usd, seconds), known


def _seconds(stages: list[StagePlan], in_flight: int, end: int) -> float:
    """Estimate the duration: calls run concurrently, but one call of each stage must run in sequence."""
    needed = [s for s in stages if s.calls[end]]
    return max(sum(s.calls[end] * s.seconds for s in needed) / in_flight, sum(s.seconds for s in needed))


def _sum(ranges: Iterable[Range]) -> Range:
    pairs = list(ranges)
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)


def _basis(settings: TeacherSettings, counts: Mapping[str, Range], typical: list[str], unpriced: list[str]) -> str:
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
    return "; ".join(parts) + "."
