"""Check of a workspace: `glan doctor --workspace DIR` finds what is inconsistent in it and repairs what can be repaired.

Nothing that a run paid for is deleted: orphaned rows are set aside, and `removals` restores them.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glan_core import access
from glan_core.errors import GlanError
from glan_core.formatting import number, plural, size
from glan_core.io.atomic import REPLACED, UNFINISHED
from glan_core.models import tuned_model_store
from glan_core.runs.states import live_runs, state_of
from glan_core.workspace import Workspace, consistency, removed, removed_rows, run_rows
from glan_core.workspace.workspace import FILE, set_metadata

LARGE_LOG = 256 << 20  # bytes of write-ahead log that SQLite should have written back
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a workspace.

    Attributes:
        what: What it is, in a sentence.
        repair: Repairs it; None if that needs a person.
        advice: What to do if it cannot be repaired here.
    """

    what: str
    repair: Callable[[], None] | None = None
    advice: str = ""


def find_faults(ws: Workspace) -> Iterator[Finding]:
    """Yield what is wrong in a workspace, the database first."""
    if broken := consistency.integrity(ws.db):
        yield Finding(f"The database is damaged: {broken[0]}", advice="Restore the workspace from a backup.")
        return
    for find in (_runs, _orphans, _questions, _syllabi, _counters, _partial_files, _removed, _models, _log):
        yield from find(ws)


def repair(ws: Workspace, finding: Finding) -> None:
    """Repair a fault.

    Raises:
        GlanError: If a run is live, whose work the repair could disturb, or the workspace is read-only.
    """
    access.check_may_change()
    if finding.repair is None:
        raise GlanError(finding.advice)
    check_idle(ws, "a repair")
    finding.repair()


def check_idle(ws: Workspace, what: str) -> None:
    """Check that no run is live.

    Raises:
        GlanError: If one is; `what` must wait for its end.
    """
    if live := live_runs(ws):
        raise GlanError(f"Run {live[0].id} ({live[0].title}) is live. Pause or cancel it before {what}.")


def _runs(ws: Workspace) -> Iterator[Finding]:
    lost = [run for run in run_rows.live_runs(ws.db) if state_of(run) == "lost"]

    def settle() -> None:
        with ws.write() as db:
            for run in lost:
                message = "Its worker ended without storing why. Stored results are kept; resume the run to continue."
                run_rows.update_run(db, run.id, state="paused", claim=None, wish=None, message=message, finished_at=time.time())

    if lost:
        names = ", ".join(str(run.id) for run in lost[:SHOWN])
        yield Finding(f"{plural(len(lost), 'run')} without a worker (run {names}) counted as live.", settle)


def _orphans(ws: Workspace) -> Iterator[Finding]:
    found = consistency.count_orphans(ws.db)

    if found:
        tables = ", ".join(f"{number(rows)} of {table}" for table, rows in found.items())
        yield Finding(
            f"Orphaned rows: {tables}. A repair removes them; 'glan removed {ws.folder} restore KEY' restores them.",
            lambda: removed_rows.take_orphans(ws),
        )


def _questions(ws: Workspace) -> Iterator[Finding]:
    def write() -> None:
        with ws.write() as db:
            consistency.repair_questions(db)

    if wrong := consistency.count_wrong_questions(ws.db):
        yield Finding(f"{plural(wrong, 'question')} with facts about the answer that differ from it.", write)


def _syllabi(ws: Workspace) -> Iterator[Finding]:
    def write() -> None:
        with ws.write() as db:
            consistency.repair_syllabi(db)

    if wrong := consistency.count_wrong_syllabi(ws.db):
        yield Finding(f"{plural(wrong, 'syllabus', 'syllabi')} with a number of questions that differs from a recount.", write)


def _counters(ws: Workspace) -> Iterator[Finding]:
    def write() -> None:
        with ws.write() as db:  # counted anew, after the repairs before this one
            consistency.set_counters(db, {key: after for key, (_, after) in consistency.wrong_counters(db).items()})

    if wrong := consistency.wrong_counters(ws.db):
        (node, measure), (before, after) = next(iter(wrong.items()))
        example = f"{measure} of {node}: {before:g} stored, {after:g} counted"
        yield Finding(f"{plural(len(wrong), 'counter')} that differ from a recount ({example}).", write)


def _partial_files(ws: Workspace) -> Iterator[Finding]:
    """Find what interrupted writes left: unfinished outputs, and earlier ones that were about to be replaced."""
    found = [path for path in ws.folder.rglob(".*") if UNFINISHED in path.name or REPLACED in path.name]
    if found and not live_runs(ws):
        names = ", ".join(path.relative_to(ws.folder).as_posix() for path in found[:SHOWN])
        yield Finding(f"{plural(len(found), 'partial file')} of interrupted writes: {names}.", lambda: _clear(found))


def _clear(paths: list[Path]) -> None:
    for path in paths:
        kept = path.with_name(path.name[1:].partition(REPLACED)[0])
        if REPLACED in path.name and not kept.exists():
            path.rename(kept)  # interrupted between moving the earlier output away and the new one into its place
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _removed(ws: Workspace) -> Iterator[Finding]:
    home = ws.folder / removed.FOLDER
    known = {str(one.id) for one in removed.list_removed(ws)}
    unknown = [entry for entry in home.iterdir() if entry.is_dir() and entry.name not in known] if home.is_dir() else []
    for entry in unknown:
        if os.path.lexists(entry / removed.CONTENT):
            yield Finding(
                f"{entry} holds something that was removed, and its {removed.ABOUT} cannot be read.",
                advice="Move its content back by hand, or delete the folder.",
            )
    broken = [entry for entry in unknown if not os.path.lexists(entry / removed.CONTENT)]
    if broken:
        yield Finding(f"{plural(len(broken), 'half-removed item')} in {removed.FOLDER}/.", lambda: _delete(broken))


def _delete(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def _models(ws: Workspace) -> Iterator[Finding]:
    for model in tuned_model_store.list_models(ws):
        if not any(model.weights(ws).glob("*.safetensors")):
            yield Finding(
                f"The model {model.name} has no weights in {model.weights(ws)}.",
                advice="Restore them from a backup, or remove the model.",
            )


def _log(ws: Workspace) -> Iterator[Finding]:
    log = ws.folder / f"{FILE}-wal"
    length = log.stat().st_size if log.exists() else 0
    if length > LARGE_LOG:
        yield Finding(f"The write-ahead log has {size(length)}.", lambda: _write_back(ws))


def _write_back(ws: Workspace) -> None:
    with ws.write() as db:
        set_metadata(db, "checked_at", time.time())
    ws.db.pragma("wal_checkpoint(truncate)")
