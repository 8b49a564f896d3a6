"""Export of a dataset in the formats that trainers read, each row with its provenance."""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from glan_core.dataset.card import is_card, write_card
from glan_core.dataset.formats import FORMATS, write_splits, writer
from glan_core.dataset.manifest import FILE, Manifest, Tally
from glan_core.dataset.settings import ExportFormat, ExportSettings, RowSelection
from glan_core.dataset.snapshots import exclusion_titles, read_snapshot
from glan_core.dataset.splits import Rule
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.io import hub
from glan_core.io.atomic import placed
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.output_paths import EXPORTS, check_output

MOST_ROW = 10 * 2**20  # bytes of a line that is looked at

Step = Callable[[int, int], None]


def export(
    ws: Workspace, path: str | os.PathLike, form: ExportFormat, choice: RowSelection | None = None, *, snapshot: str | None = None,
    as_folder: bool = False, card: bool = False, licence: str | None = None, mark: object = None, step: Step | None = None,
) -> Manifest:  # fmt: skip
    """Write the rows of a snapshot, or those chosen from the workspace as it is, oldest first; returns what was written.

    `form`: 'chat' (JSONL, messages), 'alpaca' (JSONL, instruction/input/output), 'sharegpt' (JSONL, conversations),
    'prompt-completion' (JSONL), 'parquet' (prompt, completion and provenance as columns) or 'datasets' (the same, a folder for
    `load_from_disk` and `load_dataset`). Rows that are split, and 'datasets', make a folder, as `as_folder` does for others:
    it has a file a split, a card and the numbers of the dataset. The rest is a file, with `card` a card beside it. It appears
    whole or not at all; a folder takes the place of an earlier export only. `step(done, planned)` is called now and then.
    GlanError when there is nothing to write or the place can't be written.
    """
    if form not in FORMATS:
        raise GlanError(f"{form!r} is no export format: choose one of {', '.join(FORMATS)}.")
    path = Path(path).expanduser().absolute()
    choice = choice or RowSelection()
    frozen = read_snapshot(ws, snapshot) if snapshot else None
    folder = as_folder or is_folder(form, (frozen.manifest if frozen else choice).split)
    check_place(ws, path, folder, card=card)
    if frozen:
        rows, planned = frozen.rows(), frozen.manifest.number
    else:
        rows, planned = (tally := Tally(ws, choice)), homework_rows.last_seq(ws.db)
    rows = _stepping(rows, planned, step) if step else rows
    with placed(path, folder=folder, mark=mark or os.getpid()) as new:
        if folder:
            write_splits(new, form, rows)
        else:
            with writer(new, form) as write:
                for _, row in rows:
                    write(row)
        manifest = frozen.manifest if frozen else tally.manifest()
        if not manifest.number:
            left = exclusion_titles(manifest.left_out)
            why = f"left out were {left}; ask for them to be included" if left else "there are no pairs"
            raise GlanError(f"Nothing to export: {why}.")
        if folder:
            (new / FILE).write_text(manifest.model_dump_json(indent=1), "utf-8")
            write_card(manifest, new / "README.md", form, licence=licence)
    if card and not folder:
        write_card(manifest, path.with_suffix(".md"), form, licence=licence, data=path.name)
    return manifest


def is_folder(form: ExportFormat, split: Rule) -> bool:
    """Whether an export is a folder: one of rows that are split is, with a file a split, and so is 'datasets'."""
    return form == "datasets" or split != "none"


def packed(ws: Workspace, form: ExportFormat, choice: RowSelection | None = None, *, snapshot: str | None = None) -> bytes:
    """An export as the bytes of its file, or of a ZIP archive where it is a folder: for datasets that are small enough to be
    handed on at once. GlanError as `export`."""
    with tempfile.TemporaryDirectory(prefix="glan-export-") as scratch:
        path = Path(scratch) / "dataset"
        export(ws, path, form, choice, snapshot=snapshot)
        if path.is_file():
            return path.read_bytes()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                archive.write(file, file.relative_to(path))
        return out.getvalue()


def export_rows(ws: Workspace, settings: ExportSettings, progress: Progress) -> str:
    """Carry out an order: write the dataset, send it to the Hub, or both; what was done, in a sentence."""
    if settings.path is None and settings.repo is None:
        raise GlanError("Say where the dataset is to go: a file or folder, or a dataset on the Hub.")
    said = []
    if settings.repo:
        hub.check_login()
    if settings.path:
        manifest = export(
            ws, settings.path, settings.form, settings.choice, snapshot=settings.snapshot, card=settings.card, licence=settings.licence,
            mark=progress.run_id, step=lambda done, planned: progress.step("pairs written", done, planned),
        )  # fmt: skip
        said.append(written(manifest, settings.path))
    if settings.repo:
        step = lambda done, planned: progress.step("pairs for the Hub", done, planned)  # noqa: E731
        said.append(publish(ws, settings, step))
    return " ".join(said)


def publish(ws: Workspace, settings: ExportSettings, step: Step | None = None) -> str:
    """Send the dataset of an order to the Hub as Parquet with its card; what was done, in a sentence. GlanError when the Hub
    can't be reached or does not take it."""
    hub.check_login()
    with tempfile.TemporaryDirectory(prefix="glan-hub-") as scratch:
        folder = Path(scratch) / "dataset"
        manifest = export(
            ws,
            folder,
            "parquet",
            settings.choice,
            snapshot=settings.snapshot,
            as_folder=True,
            licence=settings.licence,
            step=step,
        )
        address = hub.push(folder, settings.repo, private=settings.private, title=manifest.name)
    return f"Sent {plural(manifest.number, 'pair')} to {address}."


def written(manifest: Manifest, path: str | os.PathLike) -> str:
    """'Wrote 1,204 pairs to pairs.jsonl. Left out: 12 rejected.'"""
    left = exclusion_titles(manifest.left_out)
    return f"Wrote {plural(manifest.number, 'pair')} to {path}." + (f" Left out: {left}." if left else "")


def own_folder(ws: Workspace) -> Path:
    """The folder of a workspace for exports that are to lie nowhere else; made when one is written there."""
    return ws.folder.absolute() / EXPORTS


def check_place(ws: Workspace, path: Path, folder: bool, *, card: bool = False) -> None:
    """Make sure that an export may go to a path; the workspace's own folder for exports is made. GlanError as `check_output`,
    and where the folder above is not there."""
    if path.parent == own_folder(ws) and not ws.read_only:
        path.parent.mkdir(exist_ok=True)
    if not path.parent.is_dir():
        raise GlanError(f"{path} cannot be written: name a {'folder' if folder else 'file'} in a folder that exists.")
    if not folder and path.is_dir():
        raise GlanError(f"{path} cannot be written: it is a folder, and this format is a file. Name a file.")
    if folder and path.exists() and not path.is_dir():
        raise GlanError(f"{path} cannot be written: it is a file, and a dataset that is split is a folder. Name a new folder.")
    if folder and path.is_dir() and any(path.iterdir()) and not _is_export_folder(path):
        raise GlanError(f"{path} cannot be written: it holds other things than an export. Name a new folder.")
    check_output(ws, path, _is_export_folder if folder else _is_export_file)
    if card and not folder:
        check_output(ws, path.with_suffix(".md"), is_card)
        check_output(ws, path.with_suffix(".svg"), lambda figure: is_card(figure.with_suffix(".md")))


def _is_export_folder(path: Path) -> bool:
    try:
        Manifest.model_validate_json((path / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _is_export_file(path: Path) -> bool:
    """Whether a file begins as `formats` writes them: a row with its provenance, or columns that hold both."""
    from pyarrow import ArrowException, parquet

    try:
        with path.open("rb") as file:
            if file.read(4) == b"PAR1":
                return {"prompt", "completion", "question_teacher"} <= set(parquet.read_schema(path).names)
            file.seek(0)
            row = json.loads(file.readline(MOST_ROW))
    except (OSError, ValueError, RecursionError, ArrowException):
        return False
    return isinstance(row, dict) and isinstance(row.get("provenance"), dict) and "question_teacher" in row["provenance"]


def _stepping(rows: Iterable[tuple[str, dict]], planned: int, step: Step) -> Iterator[tuple[str, dict]]:
    number = 0
    for number, row in enumerate(rows, start=1):
        if number % 500 == 0:
            step(number, max(number, planned))
        yield row
    step(number, number)
