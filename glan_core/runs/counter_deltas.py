"""Changes of discipline counters that are due to a run."""

from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import LIVE, Counters, Run, counter_difference

LATEST = 20  # number of runs searched for the latest change


def counter_changes(ws: Workspace, run: Run) -> Counters:
    """Return how much a run changed each counter of its disciplines, up to now or to its end.

    Returns:
        Discipline id -> counter (`coverage.MEASURES` and others) -> change; 'failures' can be negative. Empty if the run has not
        started, has no disciplines, or is older than this record.
    """
    counters = run_rows.run_counters(ws.db, run.id)
    return {} if counters is None else counter_difference(counters.before, _after(ws, counters))


def current_counters(ws: Workspace, run: Run) -> Counters:
    """Return the counters of a run's disciplines, now or at its end; empty as for `counter_changes`."""
    counters = run_rows.run_counters(ws.db, run.id)
    return {} if counters is None else _after(ws, counters)


def _after(ws: Workspace, counters: run_rows.RunCounters) -> Counters:
    if counters.after is not None:
        return counters.after
    now = call_rows.counters(ws.db)
    return {id: now.get(id, {}) for id in counters.before}


def total_changes(gains: Counters) -> dict[str, float]:
    """Sum the changes of all disciplines by counter."""
    sums: dict[str, float] = {}
    for values in gains.values():
        for measure, value in values.items():
            sums[measure] = sums.get(measure, 0) + value
    return sums


def last_change(ws: Workspace) -> tuple[Run, Counters] | None:
    """Return the live or else latest run that changed any counter, with its changes, or None."""
    rows = run_rows.runs(ws.db, LATEST)
    for run in sorted(rows, key=lambda run: (run.state in LIVE, run.finished_at or run.started_at or 0), reverse=True):
        gains = counter_changes(ws, run)
        if any(total_changes(gains).values()):
            return run, gains
    return None
