"""Writing a bundle: snapshot, settings, and the base model or a reference to it."""

import shlex
import shutil
import time
from pathlib import Path

from glan_core import __version__
from glan_core.dataset import snapshot_store
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted, size
from glan_core.io import packaged_models
from glan_core.io.atomic import atomic_output
from glan_core.markdown import plain
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import folder_size
from glan_core.runs.heartbeat import Progress
from glan_core.training.bundle import (
    BASE,
    FILE,
    README,
    SETTINGS,
    SNAPSHOT,
    BaseReference,
    Bundle,
    bundle_id,
    versions,
)
from glan_core.training.bundle_files import copy_model_files, hash_file, hash_files
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.plan import count_rows
from glan_core.training.preflight import check_base_model
from glan_core.training.settings import BundleSettings, FinetuneSettings
from glan_core.training.training_texts import check_rows
from glan_core.workspace import Workspace
from glan_core.workspace.output_paths import EXPORTS, check_output
from glan_core.workspace.workspace import set_metadata

STEP = 1000  # rows between reports of progress
RECORD = "bundle:"  # prefix of the metadata by which a workspace knows the bundles it wrote


def export_bundle(ws: Workspace, settings: BundleSettings, progress: Progress) -> str:
    """Write a bundle to a new folder, atomically.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: See `check_bundle`; also if the base model is to be included and not stored locally.
    """
    check_bundle(ws, settings)
    folder, order = Path(settings.path), settings.finetune
    snapshot = snapshot_store.read_snapshot(ws, order.snapshot)
    if settings.with_base:
        packaged_models.convert(order.base or "", lambda text: progress.step("base model converted", 0, 1))
    if folder.parent == ws.folder / EXPORTS:
        folder.parent.mkdir(exist_ok=True)
    with atomic_output(folder, folder=True, mark=progress.run_id) as new:
        (new / SETTINGS).write_text(order.model_dump_json(indent=1), "utf-8")
        _copy_snapshot(snapshot, new / SNAPSHOT, progress)
        progress.step("base model read", 0, 1)
        base = _reference(order.base, new / BASE if settings.with_base else None) if order.base else None
        progress.step("base model read", 1, 1)
        (new / README).write_text(_readme(order, snapshot, base, folder.name), "utf-8")
        values = {
            "format": 1, "created_at": time.time(), "workspace": str(ws.metadata("name", "")), "snapshot": snapshot.manifest.name,
            "snapshot_hash": snapshot.manifest.hash, "base": base.model_dump() if base else None, "files": hash_files(new), **versions(),
        }  # fmt: skip
        bundle = Bundle(id=bundle_id(values), **values)
        (new / FILE).write_text(bundle.model_dump_json(indent=1), "utf-8")
    with ws.write(f"bundle {order.name}") as db:
        set_metadata(db, RECORD + bundle.id, {"name": order.name, "at": bundle.created_at})
    return (
        f"Wrote the bundle {bundle.id[:12]} to {folder} ({plural(len(bundle.files), 'file')}, {size(folder_size(folder))}). Copy it to the "
        f"other machine and run 'glan train-bundle {shlex.quote(folder.name)}' there; 'glan models DIR import FOLDER' imports the model."
    )


def check_bundle(ws: Workspace, settings: BundleSettings) -> None:
    """Check that a bundle can be written. Memory, devices and packages are checked on the machine that trains.

    Raises:
        GlanError: If the snapshot does not exist or has no rows to train on, the model name is taken, the base model is unsuitable, or the
            folder exists or may not be written.
    """
    order, folder = settings.finetune, Path(settings.path)
    snapshot = snapshot_store.read_snapshot(ws, order.snapshot)
    if tuned_model_store.model_folder(ws, order.name).exists():
        raise GlanError(f"Model {quoted(order.name)} already exists. Choose another name.")
    if not snapshot.manifest.rows.get(TRAIN):
        raise GlanError(f"Snapshot {quoted(order.snapshot)} has no training rows. Create one with more pairs.")
    if not folder.is_absolute() or not (folder.parent.is_dir() or folder.parent == ws.folder / EXPORTS):
        raise GlanError(f"{folder} cannot be written. Choose a new folder in an existing one.")
    check_output(ws, folder)
    if order.base is None and settings.with_base:
        raise GlanError("The model is initialized from scratch, so there is no base model to include. Leave out --with-base.")
    if order.base is not None:
        check_base_model(order.base, reach_hub=False)
    counted, _ = count_rows(str(ws.folder), order)
    check_rows(counted, order.max_length)


def _copy_snapshot(snapshot: snapshot_store.Snapshot, target: Path, progress: Progress) -> None:
    """Copy the rows of a snapshot, checking them against its content hash."""
    content, name, planned = snapshot_store.ContentHash(), snapshot.manifest.name, snapshot.manifest.number
    for done, _ in enumerate(content.update(snapshot.rows()), 1):
        if done % STEP == 0 or done == planned:
            progress.step("rows checked", done, planned)
    if content.hash != snapshot.manifest.hash:
        raise GlanError(f"Snapshot {quoted(name)} was changed after it was created: its hash differs. Create it again.")
    target.mkdir()
    for split in (TRAIN, VALIDATION):
        if snapshot.manifest.rows.get(split):
            shutil.copyfile(snapshot.file(split), target / f"{split}.parquet")
    (target / snapshot_store.FILE).write_text(snapshot.manifest.model_dump_json(indent=1), "utf-8")


def _reference(base: str, target: Path | None) -> BaseReference:
    """Return the reference to a base model; its files are copied to `target` if that is given."""
    config, tokenizer = (find_model_file(base, name) for name in ("config.json", "tokenizer.json"))
    if target is not None:
        if config is None:
            raise GlanError(
                f"Base model {base} is not stored locally. Download it first ('hf download {base}'), or leave out --with-base."
            )
        copy_model_files(config.parent, target)
    return BaseReference(
        name=base, weights_hash=tuned_model_store.hash_weights(config.parent) if config else "",
        tokenizer_hash=hash_file(tokenizer.resolve()) if tokenizer else "", included=target is not None,
    )  # fmt: skip


def _readme(settings: FinetuneSettings, snapshot: snapshot_store.Snapshot, base: BaseReference | None, name: str) -> str:
    rows = " and ".join(f"{plural(number, 'row')} for {split}" for split, number in snapshot.manifest.rows.items() if number)
    start = f"glan train-bundle {shlex.quote(name)}"
    if base is None:
        model = "initialized from scratch"
    elif base.included:
        model = f"trained from {plain(base.name)}, which is included"
    else:
        model = f"trained from {plain(base.name)}, which is not included: it is found by its name, or add `--base FOLDER`"
    return (
        f"# Fine-tuning bundle: {plain(settings.name)}\n\n"
        f"Snapshot {plain(snapshot.manifest.name)} ({rows}); model {model}.\n\n"
        f"On the machine that trains, with GLAN Studio {__version__} or later installed, in the folder that contains this one:\n\n"
        f"```sh\n{start}\n```\n\n"
        f"or `python -m glan_core train-bundle {shlex.quote(name)}`. All files are checked first. After an interruption the same command resumes "
        f"from the last checkpoint. `--processes N` trains on N GPUs.\n\n"
        "Copy the folder back (bundle.json, settings.json and result/ are enough) and import the model:\n\n"
        f"```sh\nglan models DIR import {shlex.quote(name)}\n```\n"
    )
