"""Results of an offline engine, such as those of `vllm run_batch`: checks of a file before anything of it is attached."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted
from glan_core.generation import batch_files
from glan_core.io.atomic import atomic_output
from glan_core.runs.states import state_of
from glan_core.teachers.batch_format import ResultLine, read_result
from glan_core.teachers.prices import SNAPSHOT
from glan_core.workspace import Workspace, batch_rows, run_rows
from glan_core.workspace.batch_rows import Batch
from glan_core.workspace.run_rows import LIVE

BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class ReadResults:
    """What a file of results holds.

    Attributes:
        run_id: Run that the results belong to.
        replies: Replies.
        errors: Requests that the engine could not answer.
        missing: Requests without a result, which are written to the next file.
        notices: What is wrong with the file, in sentences.
    """

    run_id: int
    replies: int = 0
    errors: int = 0
    missing: int = 0
    notices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Scan:
    """Lines of a file of results: places of the chosen ones by batch and custom id, and the number of all others."""

    chosen: dict[int, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    unreadable: list[int] = field(default_factory=list)
    truncated: bool = False


def waiting_files(ws: Workspace) -> list[tuple[Batch, Path]]:
    """Return the request files of offline runs that wait for results, oldest first."""
    found = []
    for run in run_rows.runs(ws.db, 1000)[::-1]:
        if run.params.get("batch_files"):
            found += [
                (batch, ws.folder / batch.file) for batch in batch_rows.open_batches(ws.db, run.id) if batch.step == "written"
            ]
    return found


def read_results(ws: Workspace, path: Path) -> ReadResults:
    """Take over a file of results for the offline run that it belongs to; the run attaches them when it is resumed.

    Lines may be in any order. Of several results of a request, the first reply counts.

    Raises:
        GlanError: If the file belongs to no request file that waits for results, or its replies are of another model. Nothing is read.
    """
    waiting = waiting_files(ws)
    batches = {batch.id: batch for batch, _ in waiting}
    open_ids = {id: {request.custom_id for request in batch_rows.open_requests(ws.db, id)} for id in batches}
    if not batches:
        raise GlanError("No request file waits for results. Write one with 'glan generate DIR … --batch-files'.")
    if path.exists() and not path.is_file():
        raise GlanError(f"{path} is not a regular file, and results are read twice. Write them to a file first.")
    try:
        scan = _scan(path, batches, open_ids)
    except OSError as error:
        raise GlanError(f"{path} cannot be read: {error.strerror}.") from None
    if not scan.chosen:
        known = ", ".join(str(file) for _, file in waiting)
        raise GlanError(f"{path} has no result of a request that waits for one. The request files are {known}.")
    run_ids = {batches[id].run_id for id in scan.chosen}
    if len(run_ids) > 1:
        raise GlanError(
            f"{path} has results of several runs ({', '.join(map(str, sorted(run_ids)))}). Read them from separate files."
        )
    run = run_rows.require_run(ws.db, run_ids.pop())
    if state_of(run) in LIVE:
        raise GlanError(f"Run {run.id} is {state_of(run)}. Pause it before its results are read.")
    result = ReadResults(run.id, notices=_notices(path, scan))
    for id, lines in scan.chosen.items():
        result.replies += sum(ok for _, ok in lines.values())
        result.errors += sum(not ok for _, ok in lines.values())
        result.missing += len(open_ids[id]) - len(lines)
        _copy(path, batch_files.result_paths(ws.folder / batches[id].file)[0], sorted(place for place, _ in lines.values()))
    with ws.write(f"run {run.id}") as db:
        for id, lines in scan.chosen.items():
            ok = sum(ok for _, ok in lines.values())
            batch_rows.update_batch(db, id, step="fetched", status="read", completed=ok, failed=len(lines) - ok)
    return result


def _scan(path: Path, batches: dict[int, Batch], open_ids: dict[int, set[str]]) -> _Scan:
    scan, foreign = _Scan(), Counter[tuple[str, str]]()
    with path.open("rb") as file:
        for number, (at, line) in enumerate(batch_files.lines(file), start=1):
            if not line.strip():
                continue
            result = read_result(line.removeprefix(BOM))
            if result is None:
                scan.unreadable.append(number)
                scan.truncated = not line.endswith(b"\n")
                continue
            id = _batch_of(result.custom_id)
            if id not in open_ids or result.custom_id not in open_ids[id]:
                scan.counts["unknown"] += 1
                continue
            if result.ok and (model := _foreign_model(result, batches[id])) is not None:
                foreign[model, batches[id].teacher.partition(":")[2]] += 1
                continue
            known = scan.chosen.setdefault(id, {})
            scan.counts["duplicates"] += result.custom_id in known
            if result.custom_id not in known or (result.ok and not known[result.custom_id][1]):
                known[result.custom_id] = (at, result.ok)
    if foreign:
        (found, wanted), count = foreign.most_common(1)[0]
        raise GlanError(
            f"{path} has {plural(count, 'reply', 'replies')} of the model {quoted(found)}, and the requests are for {quoted(wanted)}. "
            f"No results were read. Answer the request file with that model (for vLLM: --model {wanted}, or --served-model-name {wanted})."
        )
    return scan


def _batch_of(custom_id: str) -> int:
    number = custom_id.partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 15 else 0


def _foreign_model(result: ResultLine, batch: Batch) -> str | None:
    """Return the model of a reply if it is not that of the request; dated snapshots are those of their model."""
    found, wanted = result.body.get("model"), batch.teacher.partition(":")[2]
    if not isinstance(found, str) or not found or wanted in (found, SNAPSHOT.sub("", found)):
        return None
    return found


def _notices(path: Path, scan: _Scan) -> list[str]:
    """Return what is wrong with a file of results."""
    notices, unreadable = [], len(scan.unreadable)
    if scan.truncated:
        unreadable -= 1
        notices.append(f"The last line of {path} is truncated. Its request is written to the next file.")
    if unreadable:
        notices.append(
            f"{plural(unreadable, 'line')} of {path} cannot be read, the first of them is line {scan.unreadable[0]:,}. They are ignored."
        )
    if number := scan.counts["unknown"]:
        notices.append(f"{plural(number, 'line')} of {path} belong to no request that waits for a result. They are ignored.")
    if number := scan.counts["duplicates"]:
        notices.append(f"{plural(number, 'line')} of {path} repeat a request. The first reply to each request counts.")
    return notices


def _copy(source: Path, target: Path, places: Iterable[int]) -> None:
    """Copy the lines at these places."""
    with atomic_output(target, folder=False, mark=os.getpid()) as new, source.open("rb") as lines, new.open("wb") as out:
        for place in places:
            lines.seek(place)
            line = lines.readline().removeprefix(BOM)
            out.write(line if line.endswith(b"\n") else line + b"\n")
        out.flush()
        os.fsync(out.fileno())


def discard(ws: Workspace, batch_id: int, at: float) -> Batch:
    """Give up an open batch of a run that is not live; its requests are sent again when the run is resumed.

    Raises:
        GlanError: If it does not exist, has ended, or its run is live.
    """
    with ws.write(f"batch {batch_id}") as db:
        batch = batch_rows.batch(db, batch_id)
        if batch is None:
            raise GlanError(f"Batch {batch_id} does not exist in {ws.folder}.")
        if batch.step == "ended":
            raise GlanError(f"Batch {batch_id} has ended.")
        if state_of(run_rows.require_run(db, batch.run_id)) in LIVE:
            raise GlanError(f"Run {batch.run_id} is live. Pause it before its batches are given up.")
        batch_rows.end_batch(db, batch_id, at)
        return batch
