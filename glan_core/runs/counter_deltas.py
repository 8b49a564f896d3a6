"""What runs brought: the counters of their disciplines after them, less those before."""

from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import LIVE, Counters, Run, difference

LATEST = 20  # runs among which the last change is looked for


def gained(ws: Workspace, run: Run) -> Counters:
    """What a run has added to each discipline of its target: discipline id -> measure -> gain (`coverage.MEASURES` and the
    other counters; 'failures' can be negative). Up to now while it works, up to its end afterwards.

    Empty for a run that has not begun, is for no disciplines, or was made before accounts were kept.
    """
    account = run_rows.account(ws.db, run.id)
    return {} if account is None else difference(account.before, _after(ws, account))


def held(ws: Workspace, run: Run) -> Counters:
    """What the disciplines of a run's target hold: now while it works, as it left them afterwards; empty as for `gained`."""
    account = run_rows.account(ws.db, run.id)
    return {} if account is None else _after(ws, account)


def _after(ws: Workspace, account: run_rows.Account) -> Counters:
    if account.after is not None:
        return account.after
    now = call_rows.counters(ws.db)
    return {id: now.get(id, {}) for id in account.before}


def in_all(gains: Counters) -> dict[str, float]:
    """The gains of all disciplines together, by measure."""
    sums: dict[str, float] = {}
    for values in gains.values():
        for measure, value in values.items():
            sums[measure] = sums.get(measure, 0) + value
    return sums


def last_change(ws: Workspace) -> tuple[Run, Counters] | None:
    """The run that works now, else the latest that brought anything, with what it `gained`; None where none of the latest
    did."""
    rows = run_rows.runs(ws.db, LATEST)
    for run in sorted(rows, key=lambda run: (run.state in LIVE, run.finished_at or run.started_at or 0), reverse=True):
        gains = gained(ws, run)
        if any(in_all(gains).values()):
            return run, gains
    return None
