"""Plan and price: what an order would cost, before anything is paid for.

Exact where the workspace knows (what is missing from syllabi that exist), estimated where it can't yet (how many subjects
a query will bring); every estimate is a range, and `basis` says how it was made.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

from glan_core.errors import GlanError
from glan_core.generation.settings import GenerationSettings, TeacherSettings
from glan_core.generation.stage_specs import GENERATION_STAGES, STAGE_SPECS
from glan_core.homework.concept_sampling import count_draws
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.prices import price_of
from glan_core.workspace import Workspace, call_rows, curriculum_rows, homework_rows

# New subjects that one query brings: the paper has 100 to 200 a discipline from 10 queries (section 2.2).
SUBJECTS_PER_QUERY = (10, 20)
# Completion speed where a teacher has no averages yet.
TOKENS_PER_SECOND = 60
SCRIPTED_SECONDS = 0.0006
KNOWN_ENOUGH = 20  # calls of a teacher at a stage from which its own averages are better than the typical ones

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a plan: calls (low, high), tokens of one call, price of all in dollars, seconds of one.

    `usd` is None where the price of a call is not known; no calls cost (0, 0) whatever their price.
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
    """What an order would do. `usd` is None where a price is not known; `seconds` is the time at full concurrency."""

    stages: tuple[StagePlan, ...]
    calls: tuple[int, int]
    tokens: tuple[int, int]
    usd: tuple[float, float] | None
    seconds: tuple[float, float]
    pairs: tuple[int, int]
    basis: str

    def as_dict(self) -> dict:
        """The plan as plain values, for JSON."""
        return asdict(self)


def plan(ws: Workspace, settings: GenerationSettings) -> Plan:
    """What is missing from the workspace for an order's target, and what it would cost.

    GlanError when a discipline is unknown, or a budget in money is set for a teacher without a price.
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
    """What so many calls of each stage, as (low, high), would cost; GlanError when a budget can't hold for want of a price."""
    stages, notes = [], []
    for stage in counts:
        stage_plan, known = _price_stage(ws, settings, stage, counts[stage])
        stages.append(stage_plan)
        if counts[stage][1] and not known:
            notes.append(stage)
    unpriced = sorted({s.teacher for s in stages if s.usd is None and s.calls[1]})
    if unpriced and settings.budget_usd is not None:
        raise GlanError(
            f"The price of {unpriced[0]} is not known, so a budget in money can't hold: "
            "give its price (IN,OUT, dollars per million tokens) or limit the calls instead."
        )
    return Plan(
        tuple(stages), _sum(s.calls for s in stages),
        _sum(tuple(round(n * (s.tokens_in + s.tokens_out)) for n in s.calls) for s in stages),
        None if unpriced else tuple(sum(s.usd[end] for s in stages) for end in (0, 1)),
        tuple(_seconds(stages, settings.max_in_flight, end) for end in (0, 1)),
        counts.get("answer", (0, 0)),
        _basis(settings, counts, notes, unpriced),
    )  # fmt: skip


def _missing(ws: Workspace, settings: GenerationSettings, discipline_id: str) -> dict[str, Range]:
    """How many calls of each stage a discipline lacks, as (low, high)."""
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
        return 2, 6  # its textbook has two a discipline, its scaffolding six, and every query brings the same
    return SUBJECTS_PER_QUERY[0], queries * SUBJECTS_PER_QUERY[1]


def _price_stage(ws: Workspace, settings: TeacherSettings, stage: str, calls: Range) -> tuple[StagePlan, bool]:
    """The price of a stage's calls, and whether it rests on the teacher's own averages."""
    teacher = settings.teacher_of(stage)
    averages = call_rows.stage_averages(ws.db, teacher).get(stage)
    known = averages is not None and averages[3] >= KNOWN_ENOUGH
    tokens_in, tokens_out = averages[:2] if known else STAGE_SPECS[stage].typical_tokens
    seconds = averages[2] if known else 0.5 + tokens_out / TOKENS_PER_SECOND
    if teacher == "scripted":
        seconds = SCRIPTED_SECONDS * settings.max_in_flight  # it is this process that works: nothing runs side by side
    price = price_of(teacher, settings.price)
    slack = 0.1 if known else 0.35
    if not calls[1]:
        usd = 0.0, 0.0  # no call costs nothing, also where the price of one is not known
    else:
        usd = price and tuple(
            price.of(n * tokens_in, n * tokens_out) * factor for n, factor in zip(calls, (1 - slack, 1 + slack), strict=True)
        )
    return StagePlan(stage, teacher, calls, tokens_in, tokens_out, usd, seconds), known


def _seconds(stages: list[StagePlan], in_flight: int, end: int) -> float:
    """Calls run side by side, but a pair can't be there before its chain of calls: at least one of each stage in turn."""
    needed = [s for s in stages if s.calls[end]]
    return max(sum(s.calls[end] * s.seconds for s in needed) / in_flight, sum(s.seconds for s in needed))


def _sum(ranges) -> Range:
    lows, highs = zip(*ranges, strict=True)
    return sum(lows), sum(highs)


def _basis(settings: TeacherSettings, counts: Mapping[str, Range], typical: list[str], unpriced: list[str]) -> str:
    """How the estimate was made, in words."""
    parts = []
    if len(set(counts.get("syllabus", ()))) > 1:
        parts.append("how many subjects the queries bring is not known yet (the paper has 100 to 200 from 10)")
    parts.append(
        "tokens per call are typical values" if len(typical) == sum(c[1] > 0 for c in counts.values())
        else "tokens per call are this workspace's averages" + (" where it has them" if typical else "")
    )  # fmt: skip
    if unpriced:
        parts.append(f"no price is known for {', '.join(unpriced)}")
    return "; ".join(parts) + "."
