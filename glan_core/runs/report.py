"""What a run is and did, in figures that can be set side by side: disciplines, estimate against actual, order, outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from glan_core.runs.counter_deltas import gained, held, in_all
from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import Run, StageProgress

NEAR = 0.005  # of a limit of an estimate: what rounds to 0 % off is not off


@dataclass(frozen=True, slots=True)
class DisciplineProgress:
    """How far a run has brought one discipline: what it holds, and the pairs that the run `gained`.

    `wanted` is how many pairs the run's target asks for, None as long as the discipline's subjects are not known; `share`
    is how much of it is there, 0 to 1: of pairs, or of syllabi where no questions were asked for.
    """

    discipline_id: str
    subjects: int
    syllabi: int
    pairs: int
    gained: int
    wanted: int | None
    share: float

    @property
    def state(self) -> str:
        """'done', 'under way' or 'not begun'."""
        return "done" if self.share >= 1 else "under way" if self.share or self.subjects or self.gained else "not begun"


def by_discipline(ws: Workspace, run: Run) -> list[DisciplineProgress]:
    """The disciplines of a run's target: those under way first, the most advanced of them leading, then those not begun, then
    those that are done. Reads counters alone; empty where no account of the run was kept."""
    target = run.params.get("target") or {}
    gains = gained(ws, run)
    rows = [_progress(id, counts, gains[id], target) for id, counts in held(ws, run).items()]
    settings = ("under way", "not begun", "done")
    return sorted(rows, key=lambda row: (settings.index(row.state), -row.share, -row.gained))


def _progress(id: str, counts: Mapping[str, float], gains: Mapping[str, float], target: Mapping) -> DisciplineProgress:
    subjects, syllabi, pairs = (int(counts.get(measure, 0)) for measure in ("subjects", "syllabi", "pairs"))
    most, per = target.get("max_subjects"), target.get("questions_per_syllabus", 0)
    taken = subjects if most is None else min(subjects, most)
    wanted = taken * per if subjects else None
    have, of = (pairs, wanted) if per else (syllabi, taken)
    return DisciplineProgress(
        id, subjects, syllabi, pairs, int(gains.get("pairs", 0)), wanted, min(1.0, have / of) if of else 0.0
    )


def expected(run: Run, stages: Sequence[StageProgress]) -> list[StageProgress]:
    """The stages of a run at work with as much planned as there will be at least: what is known so far, or the lower end of
    the plan as long as subjects and syllabi are still being asked for, since each of them brings more work."""
    if any(s.stage == "question" and s.planned for s in stages) and all(
        s.done + s.failed >= s.planned for s in stages if s.stage not in ("question", "answer")
    ):
        return list(stages)
    least = {stage["stage"]: stage["calls"][0] for stage in (run.plan or {}).get("stages", ())}
    return [replace(s, planned=max(s.planned, least.get(s.stage, 0))) for s in stages]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measure of a plan ('calls', 'pairs', 'tokens', 'usd', 'seconds') beside what it came to."""

    measure: str
    low: float
    high: float
    actual: float

    @property
    def off(self) -> float:
        """How far the actual value lies outside the estimate: 0.12 for 12 % above its upper end, -0.05 for 5 % below its
        lower one, 0 inside."""
        for limit, outside in ((self.high, self.actual > self.high), (self.low, self.actual < self.low)):
            if outside and limit and abs(self.actual / limit - 1) >= NEAR:
                return self.actual / limit - 1
        return float("inf") if self.actual > self.high == 0 else 0.0


def against_estimate(ws: Workspace, run: Run) -> list[Estimate]:
    """What a run was to take and bring, and did; empty where it has no plan or did not begin. Time is that at work: pauses
    do not count. Pairs are left out where no account was kept, money where no price was known."""
    outcome = outcome_of(ws, run)
    if not run.plan or outcome is None:
        return []
    actual = {
        "calls": outcome.calls, "pairs": outcome.gained.get("pairs") if outcome.gained else None,
        "tokens": outcome.tokens_in + outcome.tokens_out, "usd": outcome.usd, "seconds": outcome.seconds,
    }  # fmt: skip
    return [
        Estimate(measure, *run.plan[measure], value)
        for measure, value in actual.items()
        if value is not None and run.plan.get(measure) is not None
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `calls` are those stored; `seconds` those at work; `failures` those still open; `gained` what its
    disciplines gained in all, by measure, empty where no account was kept."""

    calls: int
    tokens_in: int
    tokens_out: int
    usd: float
    seconds: float
    requests: int
    throttled: int
    faults: int
    failures: int
    gained: dict[str, float]

    @property
    def rate(self) -> float:
        """Calls stored a second."""
        return self.calls / max(self.seconds, 0.001)

    @property
    def usd_per_pair(self) -> float | None:
        """Dollars for each pair that was gained; None where there is none."""
        pairs = self.gained.get("pairs", 0)
        return self.usd / pairs if pairs > 0 else None


def outcome_of(ws: Workspace, run: Run) -> Outcome | None:
    """What a run came to so far, or None where it never began."""
    last = run_rows.last_sample(ws.db, run.id)
    if last is None:
        return None
    failures = sum(count for _, _, count in call_rows.failure_causes(ws.db, run.id))
    return Outcome(
        last.done, last.tokens_in, last.tokens_out, last.cost_usd, run_rows.working_seconds(ws.db, run.id), last.requests,
        last.throttled, last.faults, failures, in_all(gained(ws, run)),
    )  # fmt: skip
