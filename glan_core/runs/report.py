"""Reports of runs: progress by discipline, estimate against actual, and results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from glan_core.formatting import spent
from glan_core.runs.counter_deltas import counter_changes, current_counters, total_changes
from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import Run, StageProgress

TOLERANCE = 0.005  # relative deviations below this round to 0% and are ignored


@dataclass(frozen=True, slots=True)
class DisciplineProgress:
    """Progress of a run in one discipline.

    Attributes:
        subjects: Number of subjects.
        syllabi: Number of syllabi.
        pairs: Number of pairs.
        gained: Pairs added by the run.
        wanted: Target number of pairs, None until the subjects are known.
        share: Completed fraction of the target, of pairs or, without questions, of syllabi.
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
        """'done', 'in progress' or 'not started'."""
        return "done" if self.share >= 1 else "in progress" if self.share or self.subjects or self.gained else "not started"


def by_discipline(ws: Workspace, run: Run) -> list[DisciplineProgress]:
    """Return the progress by discipline: in progress (most advanced first), not started, done.

    Reads only counters; empty if none were recorded for the run.
    """
    target = run.params.get("target") or {}
    gains = counter_changes(ws, run)
    rows = [_progress(id, counts, gains[id], target) for id, counts in current_counters(ws, run).items()]
    states = ("in progress", "not started", "done")
    return sorted(rows, key=lambda row: (states.index(row.state), -row.share, -row.gained))


def _progress(id: str, counts: Mapping[str, float], gains: Mapping[str, float], target: Mapping) -> DisciplineProgress:
    subjects, syllabi, pairs = (int(counts.get(measure, 0)) for measure in ("subjects", "syllabi", "pairs"))
    most, per = target.get("max_subjects"), target.get("questions_per_syllabus", 0)
    used = subjects if most is None else min(subjects, most)
    wanted = used * per if subjects else None
    have, of = (pairs, wanted) if per else (syllabi, used)
    return DisciplineProgress(
        id, subjects, syllabi, pairs, int(gains.get("pairs", 0)), wanted, min(1.0, have / of) if of else 0.0
    )


def expected_stages(run: Run, stages: Sequence[StageProgress]) -> list[StageProgress]:
    """Return the stages with the planned number raised to the lower end of the plan.

    Applies while subjects and syllabi are being generated, because each adds further work.
    """
    if any(s.stage == "question" and s.planned for s in stages) and all(
        s.done + s.failed >= s.planned for s in stages if s.stage not in ("question", "answer")
    ):
        return list(stages)
    least = {stage["stage"]: stage["calls"][0] for stage in (run.plan or {}).get("stages", ())}
    return [replace(s, planned=max(s.planned, least.get(s.stage, 0))) for s in stages]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimate of a plan and its actual value.

    Attributes:
        measure: 'calls', 'pairs', 'tokens', 'usd' or 'seconds'.
        low: Lower end of the estimate.
        high: Upper end of the estimate.
        actual: Actual value.
    """

    measure: str
    low: float
    high: float
    actual: float

    @property
    def off(self) -> float:
        """Relative deviation from the estimate: 0.12 is 12% above its upper end, -0.05 is 5% below its lower end."""
        for limit, outside in ((self.high, self.actual > self.high), (self.low, self.actual < self.low)):
            if outside and limit and abs(self.actual / limit - 1) >= TOLERANCE:
                return self.actual / limit - 1
        return float("inf") if self.actual > self.high == 0 else 0.0


def compare_with_plan(ws: Workspace, run: Run) -> list[Estimate]:
    """Compare the plan of a run with its actual values; empty without a plan or before it starts.

    Time excludes pauses. Pairs are omitted if no counters were recorded, costs if no price was known.
    """
    outcome = results_of(ws, run)
    if not run.plan or outcome is None:
        return []
    actual = {
        "calls": outcome.calls, "pairs": outcome.gained.get("pairs") if outcome.gained else None,
        "tokens": outcome.tokens_in + outcome.tokens_out, "usd": None if outcome.unpriced else outcome.usd, "seconds": outcome.seconds,
    }  # fmt: skip
    return [
        Estimate(measure, low=run.plan[measure][0], high=run.plan[measure][1], actual=value)
        for measure, value in actual.items()
        if value is not None and run.plan.get(measure) is not None
    ]


@dataclass(frozen=True, slots=True)
class RunResults:
    """Results of a run.

    Attributes:
        calls: Stored calls.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        usd: Cost in USD of the calls with a known price.
        unpriced: Whether the price of any call is unknown.
        seconds: Active time in seconds.
        requests: HTTP requests sent.
        throttled: Requests answered with status 429.
        faults: Failed requests.
        failures: Open failures.
        gained: Change of the counters of its disciplines, empty if none were recorded.
    """

    calls: int
    tokens_in: int
    tokens_out: int
    usd: float
    unpriced: bool
    seconds: float
    requests: int
    throttled: int
    faults: int
    failures: int
    gained: dict[str, float]

    @property
    def rate(self) -> float:
        """Stored calls per second."""
        return self.calls / max(self.seconds, 0.001)

    @property
    def usd_per_pair(self) -> float | None:
        """Cost in USD per added pair, None without pairs or if a price is unknown."""
        pairs = self.gained.get("pairs", 0)
        return self.usd / pairs if pairs > 0 and not self.unpriced else None

    @property
    def cost(self) -> str:
        """Cost, such as '$1.20' or 'price unknown'."""
        return spent(self.usd, unpriced=self.unpriced)


def results_of(ws: Workspace, run: Run) -> RunResults | None:
    """Return the results of a run so far, or None before it starts."""
    last = run_rows.last_sample(ws.db, run.id)
    if last is None:
        return None
    failures = sum(group.count for group in call_rows.failure_groups(ws.db, run.id))
    return RunResults(
        last.done, last.tokens_in, last.tokens_out, last.cost_usd, call_rows.has_unpriced(ws.db, run.id), run_rows.active_seconds(ws.db, run.id),
        last.requests, last.throttled, last.faults, failures, total_changes(counter_changes(ws, run)),
    )  # fmt: skip
