"""Export job: writes a dataset with provenance in the formats trainers read, and uploads it to the Hub."""

import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glan_core.dataset.card import is_card, write_card
from glan_core.dataset.formats import FORMATS, REASONING, row_writer, write_splits
from glan_core.dataset.manifest import FILE, Manifest, ManifestBuilder
from glan_core.dataset.settings import ExportFormat, ExportSettings, RowSelection
from glan_core.dataset.snapshot_store import exclusion_summary, read_snapshot
from glan_core.dataset.split_estimate import check_split
from glan_core.dataset.splits import TRAIN, SplitRule
from glan_core.dataset.trainer_settings import AXOLOTL, LLAMA_FACTORY, write_trainer_settings
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.ids import answer_id
from glan_core.io import hub
from glan_core.io.atomic import atomic_output
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, call_rows, homework_rows
from glan_core.workspace.output_paths import EXPORTS, check_output

OPENAI_ROWS = 10  # fewest rows of a file for OpenAI's fine-tuning
MOST_ROW = 10 * 2**20  # bytes of the first line read to recognize an earlier export

Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """What an export writes besides the rows.

    Attributes:
        as_folder: Write a folder even where the format would be a single file.
        trainer_settings: Declare the files of a folder to other trainers.
        card: Write a dataset card next to a file; a folder always has one.
        license: License identifier for the card.
        mark: Suffix that tells temporary files of concurrent exports apart; defaults to the process ID.
        reasoning: Add a column with the reasoning of the answers, as far as their runs kept it.
    """

    as_folder: bool = False
    trainer_settings: bool = True
    card: bool = False
    license: str | None = None
    mark: object = None
    reasoning: bool = False


def export_dataset(
    ws: Workspace,
    path: str | os.PathLike,
    form: ExportFormat,
    choice: RowSelection | None = None,
    *,
    snapshot: str | None = None,
    target: ExportTarget | None = None,
    step: Step | None = None,
) -> Manifest:
    """Export the rows of a snapshot, or rows selected from the workspace, oldest first.

    A dataset with a validation split, and the 'datasets' format, is written as a folder with one file per split, a card
    and a manifest; anything else is a single file. The output appears atomically. An existing folder is replaced only if
    it is an earlier export.

    Args:
        ws: Workspace.
        path: File or folder to write.
        form: 'chat' (JSONL with messages), 'alpaca' (JSONL with instruction, input, output), 'sharegpt' (JSONL with
            conversations), 'prompt-completion' (JSONL with both as lists of messages), 'openai' (JSONL with messages alone),
            'parquet' (messages, question, answer and provenance columns) or 'datasets' (the same columns, as a folder for
            `load_from_disk` and `load_dataset`).
        choice: Rows to export if no snapshot is given.
        snapshot: Name of a snapshot to export.
        target: Options for the output.
        step: Callback `step(done, planned)` for progress.

    Returns:
        Manifest of the exported dataset.

    Raises:
        GlanError: If no rows are selected or the path cannot be written.
    """
    if form not in FORMATS:
        raise GlanError(f"Export format {form!r} does not exist. Choose one of {', '.join(FORMATS)}.")
    path = Path(path).expanduser().absolute()
    choice = choice or RowSelection()
    target = target or ExportTarget()
    frozen = read_snapshot(ws, snapshot) if snapshot else None
    folder = is_folder(form, (frozen.manifest if frozen else choice).split, asked=target.as_folder)
    check_export_path(ws, path, folder=folder, card=target.card)
    rows: Iterable[tuple[str, dict]]
    if frozen:
        rows, planned = frozen.rows(), frozen.manifest.number
    else:
        rows, planned = (tally := ManifestBuilder(ws, choice)), homework_rows.last_seq(ws.db)
    if target.reasoning:
        if form == "openai":
            raise GlanError(
                "The format openai allows no further columns. Choose another format for the reasoning, or leave it out."
            )
        rows = _with_reasoning(ws, rows)
    rows = _stepping(rows, planned, step) if step else rows
    with atomic_output(path, folder=folder, mark=target.mark or os.getpid()) as new:
        if folder:
            write_splits(new, form, rows, reasoning=target.reasoning)
        else:
            with row_writer(new, form, reasoning=target.reasoning) as write:
                for _, row in rows:
                    write(row)
        manifest = frozen.manifest if frozen else tally.manifest()
        if not manifest.number:
            left = exclusion_summary(manifest.left_out)
            why = f"all pairs are excluded ({left}). Include them to export them" if left else "no pairs match"
            raise GlanError(f"Nothing to export: {why}.")
        if folder:
            (new / FILE).write_text(manifest.model_dump_json(indent=1), "utf-8")
            if target.trainer_settings:
                write_trainer_settings(new, form, manifest.rows)
            write_card(manifest, new / "README.md", form, license=target.license)
    if target.card and not folder:
        write_card(manifest, path.with_suffix(".md"), form, license=target.license, data=path.name)
    return manifest


def _with_reasoning(ws: Workspace, rows: Iterable[tuple[str, dict]]) -> Iterator[tuple[str, dict]]:
    """Add the reasoning of the answer to each row; '' where its run did not keep it, or a person wrote the answer."""
    for split, row in rows:
        yield split, row | {REASONING: call_rows.kept_reasoning(ws.db, answer_id(row["id"])) or ""}


def is_folder(form: ExportFormat, split: SplitRule, *, asked: bool = False) -> bool:
    """Return whether an export is a folder: 'datasets', any format with a validation split, or if it is asked for."""
    return asked or form == "datasets" or split != "none"


def export_bytes(
    ws: Workspace, form: ExportFormat, choice: RowSelection | None = None, *, snapshot: str | None = None, folder: bool = False,
    reasoning: bool = False,
) -> bytes:  # fmt: skip
    """Return an export as the bytes of its file, or of a ZIP archive if it is a folder; for small datasets.

    Raises:
        GlanError: As for `export_dataset`.
    """
    with tempfile.TemporaryDirectory(prefix="glan-export-") as scratch:
        path = Path(scratch) / "dataset"
        export_dataset(ws, path, form, choice, snapshot=snapshot, target=ExportTarget(as_folder=folder, reasoning=reasoning))
        if path.is_file():
            return path.read_bytes()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                archive.write(file, file.relative_to(path))
        return out.getvalue()


def export_rows(ws: Workspace, settings: ExportSettings, progress: Progress) -> str:
    """Export the dataset to a path, to the Hub, or both.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If neither `path` nor `repo` is set, or the export fails.
    """
    if settings.path is None and settings.repo is None:
        raise GlanError("No destination given. Set a file or folder (path), a Hub dataset (repo), or both.")
    messages = []
    if not settings.snapshot:
        check_split(ws, settings.choice)
    if settings.repo:
        hub.check_login()
    if settings.path:
        manifest = export_dataset(
            ws, settings.path, settings.form, settings.choice, snapshot=settings.snapshot,
            target=target_of(settings, progress.run_id),
            step=lambda done, planned: progress.step("pairs written", done, planned),
        )  # fmt: skip
        messages.append(export_message(manifest, settings.path, settings.form))
    if settings.repo:
        step = lambda done, planned: progress.step("pairs written for the Hub", done, planned)  # noqa: E731
        messages.append(push_to_hub(ws, settings, step))
    return " ".join(messages)


def target_of(settings: ExportSettings, mark: object = None) -> ExportTarget:
    """Return the options for the output that settings ask for."""
    return ExportTarget(
        as_folder=settings.folder, card=settings.card, license=settings.license, mark=mark, reasoning=settings.reasoning
    )


def push_to_hub(ws: Workspace, settings: ExportSettings, step: Step | None = None) -> str:
    """Upload the dataset to the Hub as Parquet with its card.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If no repository is set, the Hub cannot be reached, or it rejects the upload.
    """
    if settings.repo is None:
        raise GlanError("No Hub dataset given. Set repo to owner/name.")
    hub.check_login()
    with tempfile.TemporaryDirectory(prefix="glan-hub-") as scratch:
        folder = Path(scratch) / "dataset"
        manifest = export_dataset(
            ws, folder, "parquet", settings.choice, snapshot=settings.snapshot,
            target=ExportTarget(
                as_folder=True, trainer_settings=False, license=settings.license, reasoning=settings.reasoning
            ),
            step=step,
        )  # fmt: skip
        address = hub.push(folder, settings.repo, private=settings.private, title=manifest.name)
    return f"Uploaded {plural(manifest.number, 'pair')} to {address}."


def export_message(manifest: Manifest, path: str | os.PathLike, form: ExportFormat) -> str:
    """Return a message such as 'Wrote 1,204 pairs to pairs.jsonl. Excluded: 12 rejected.', with a warning if rows are too few."""
    left, message = exclusion_summary(manifest.left_out), f"Wrote {plural(manifest.number, 'pair')} to {path}."
    if left:
        message += f" Excluded: {left}."
    if form == "openai" and (rows := manifest.rows.get(TRAIN, 0)) < OPENAI_ROWS:
        message += f" OpenAI accepts files with at least {OPENAI_ROWS} training rows; this one has {rows}."
    return message


def exports_folder(ws: Workspace) -> Path:
    """Return the default folder for exports of a workspace; it is created on the first export."""
    return ws.folder.absolute() / EXPORTS


def check_export_path(ws: Workspace, path: Path, *, folder: bool, card: bool = False) -> None:
    """Check that an export may be written to a path; creates the workspace's exports folder if needed.

    Raises:
        GlanError: If the path is refused by `check_output`, or its parent folder does not exist.
    """
    if path.parent == exports_folder(ws) and not ws.read_only:
        path.parent.mkdir(exist_ok=True)
    if not path.parent.is_dir():
        raise GlanError(f"{path} cannot be written: its parent folder does not exist. Choose a path in an existing folder.")
    if not folder and path.is_dir():
        raise GlanError(f"{path} cannot be written: it is a folder, and this format is a single file. Choose a file name.")
    if folder and path.exists() and not path.is_dir():
        raise GlanError(f"{path} cannot be written: it is a file, and a split dataset is a folder. Choose a new folder.")
    if folder and path.is_dir() and any(path.iterdir()) and not _is_export_folder(path):
        raise GlanError(f"{path} cannot be written: the folder contains files other than an export. Choose a new folder.")
    check_output(ws, path, _is_export_folder if folder else _is_export_file)
    if card and not folder:
        if path.suffix.lower() in {".md", ".svg"}:
            raise GlanError(f"{path} cannot be written: its dataset card would replace it. Choose a name that ends in .jsonl.")
        check_output(ws, path.with_suffix(".md"), is_card)
        check_output(ws, path.with_suffix(".svg"), lambda figure: is_card(figure.with_suffix(".md")))


# Files and folders within an exported folder: manifest, card with its figure, and the splits in every format.
EXPORTED = re.compile(
    r"manifest\.json|README\.md|coverage\.svg|dataset_dict\.json|(?:train|validation)(?:\.jsonl|\.parquet)?"
    rf"|{re.escape(LLAMA_FACTORY)}|{re.escape(AXOLOTL)}"
    r"|(?:train|validation)/(?:data-\d{5}-of-\d{5}\.arrow|dataset_info\.json|state\.json)"
)


def _is_export_folder(path: Path) -> bool:
    """Return whether a folder contains an export and no other files, which replacing it would delete."""
    try:
        Manifest.model_validate_json((path / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return all(EXPORTED.fullmatch(entry.relative_to(path).as_posix()) and not entry.is_symlink() for entry in path.rglob("*"))


def _is_export_file(path: Path) -> bool:
    """Return whether a file starts like an export: a row with provenance, or the columns of both."""
    from pyarrow import ArrowException, parquet

    try:
        with path.open("rb") as file:
            if file.read(4) == b"PAR1":
                names = set(parquet.read_schema(path).names)  # of this release or an earlier one
                return "question_teacher" in names and ({"messages", "answer"} <= names or {"prompt", "completion"} <= names)
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
