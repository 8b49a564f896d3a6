"""Training a bundle: a fine-tuning run in a workspace inside the bundle, and its result as a folder.

The run is the one that `glan finetune` starts, with its checkpoints, pause and resume; only its workspace lies in the bundle.
"""

import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from glan_core import runs
from glan_core.dataset import snapshot_store
from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import CHECKPOINTS, WEIGHTS, TunedModel
from glan_core.runs.launcher import requeue
from glan_core.settings import read_settings
from glan_core.training.bundle import (
    BASE,
    MACHINE,
    MANIFEST,
    REPLIES,
    RESULT,
    SNAPSHOT,
    STEPS,
    WORK,
    BaseReference,
    Bundle,
    BundleResult,
    versions,
)
from glan_core.training.bundle_files import hash_file, hash_files, link_or_copy, read_document
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.memory_estimate import gpus
from glan_core.training.preflight import check_settings
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, run_rows, training_rows
from glan_core.workspace.run_rows import LIVE, Run
from glan_core.workspace.workspace import FILE as DATABASE

TRACKS = "tensorboard"  # event files of the run, kept beside the result
DOWNLOADS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


def finished_result(folder: Path) -> BundleResult | None:
    """Return the manifest of a bundle's result, None if it was not trained to its end.

    Raises:
        GlanError: If the result cannot be read.
    """
    return read_document(folder / RESULT / MANIFEST, BundleResult) if (folder / RESULT).exists() else None


def machine_settings(bundle: Bundle, settings: FinetuneSettings, folder: Path, given: Mapping[str, object]) -> FinetuneSettings:
    """Return the settings for this machine: those of the bundle, with the place of the base model and what suits the machine.

    Args:
        bundle: Manifest of the bundle.
        settings: Settings of the bundle.
        folder: Folder of the bundle.
        given: Values for the settings in `MACHINE`.

    Raises:
        GlanError: If the base model is not stored here and cannot be downloaded, or is another one than the bundle's.
    """
    unknown = [name for name in given if name not in MACHINE]
    if unknown:
        raise GlanError(f"{', '.join(unknown)} of a bundle cannot be changed. Write another bundle.")
    base = given.get("base")
    if bundle.base is None:
        if base:
            raise GlanError("The bundle initializes a model from scratch. Leave out --base.")
    else:
        base = _find_base(bundle.base, str(base) if base else str(folder / BASE) if bundle.base.included else bundle.base.name)
    return read_settings(FinetuneSettings, settings.model_dump() | dict(given) | {"base": base})


def _find_base(reference: BaseReference, place: str) -> str:
    """Return the place of a base model whose weights and tokenizer are those of the reference; a Hub model is downloaded."""
    packaged_models.convert(place)
    config = find_model_file(place, "config.json")
    if config is None:
        path = Path(place).expanduser()
        if place.startswith((".", "/", "~")) or path.is_dir() or place.count("/") != 1:
            raise GlanError(
                f"The base model {place} is not on this machine. Copy its folder and give it with --base FOLDER, or write the bundle "
                "again with --with-base."
            )
        _download(place)
        config = find_model_file(place, "config.json")
        if config is None:
            raise GlanError(f"Base model {place} has no config.json. Give a folder with its weights with --base FOLDER.")
    if reference.weights_hash and tuned_model_store.hash_weights(config.parent) != reference.weights_hash:
        raise GlanError(
            f"The weights of {place} are not those of {reference.name} that the bundle was written for: their SHA-256 differs. Give "
            "their folder with --base FOLDER, or write the bundle again with --with-base."
        )
    tokenizer = find_model_file(place, "tokenizer.json")
    if reference.tokenizer_hash and (tokenizer is None or hash_file(tokenizer.resolve()) != reference.tokenizer_hash):
        raise GlanError(
            f"The tokenizer of {place} is not the one that the bundle was written for: its SHA-256 differs. Copy it again."
        )
    return place


def _download(name: str) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(name, allow_patterns=list(DOWNLOADS))
    except (OSError, HTTPError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RuntimeError):
        raise GlanError(
            f"Base model {name} is not stored here and cannot be downloaded. Run 'hf download {name}' with a network connection, or "
            "give its folder with --base FOLDER."
        ) from None


def open_work(folder: Path, bundle: Bundle) -> Workspace:
    """Open the workspace of the training, with the snapshot of the bundle; it is created at the first start.

    Raises:
        GlanError: If it cannot be written, or has links, which a training never makes and by which files elsewhere would be changed.
    """
    place = folder / WORK
    if link := next((file for file in (place, *place.rglob("*")) if file.is_symlink()), None):
        raise GlanError(f"{link} is a link, which is not followed. Remove {place} and start again.")
    database = place / DATABASE
    ws = Workspace.open(place) if database.is_file() and database.stat().st_size else Workspace.create(place, "bundle")
    if ws.read_only:
        raise GlanError(f"{folder} is read-only. Copy the bundle to a folder that can be written.")
    target = snapshot_store.snapshot_folder(ws, bundle.snapshot)
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        with atomic_output(target, folder=True, mark=os.getpid()) as new:
            shutil.copytree(folder / SNAPSHOT, new, copy_function=link_or_copy, dirs_exist_ok=True)
    if snapshot_store.read_snapshot(ws, bundle.snapshot).manifest.hash != bundle.snapshot_hash:
        raise GlanError(f"{target} is not the snapshot of the bundle. Remove {place} and start again.")
    return ws


def submit_training(ws: Workspace, settings: FinetuneSettings) -> int:
    """Queue the run of a bundle, the first time or to resume it; return its ID.

    Raises:
        GlanError: If the run is live, or it cannot start here (`preflight.check_settings`).
    """
    run = run_rows.latest_of_kind(ws.db, settings.kind)
    if run is None:
        check_settings(ws, settings)
        return runs.submit(ws, settings.kind, f"Fine-tune {settings.name}", settings.model_dump(mode="json"))
    state = runs.state_of(run)
    if state in LIVE:
        raise GlanError(f"The bundle is being trained by process {run.pid} on {run.host}. Wait for it, or stop it first.")
    if state != "finished":
        requeue(ws, run.id, params=settings.model_dump(mode="json"))
    return run.id


def write_result(folder: Path, bundle: Bundle, ws: Workspace, run: Run) -> BundleResult:
    """Write the result of a finished run into the bundle, atomically, and remove its workspace.

    Raises:
        GlanError: If the folder cannot be written.
    """
    settings = read_settings(FinetuneSettings, run.params)
    model = tuned_model_store.read_model(ws, settings.name)
    with atomic_output(folder / RESULT, folder=True, mark=os.getpid()) as new:
        for name in (WEIGHTS, tuned_model_store.BASE, CHECKPOINTS):
            if (model.folder(ws) / name).is_dir():
                shutil.copytree(model.folder(ws) / name, new / name, copy_function=link_or_copy)
        if bundle.base is not None:
            for config in new.rglob("adapter_config.json"):
                name_base(config, bundle.base.name)
        (new / tuned_model_store.FILE).write_text(model.model_dump_json(indent=1), "utf-8")
        _write_lines(new / STEPS, (asdict(step) for step in training_rows.steps(ws.db, run.id, most=2**40)))
        _write_lines(new / REPLIES, (asdict(reply) for reply in training_rows.replies(ws.db, run.id)))
        result = BundleResult(
            bundle=bundle.id, host=socket.gethostname()[:300], devices=tuple(gpu.name for gpu in gpus())[:64],
            started_at=run.started_at or run.created_at, finished_at=run.finished_at or model.created_at,
            base_hash=_hash_of_base(settings), files=hash_files(new), **versions(),
        )  # fmt: skip
        (new / MANIFEST).write_text(result.model_dump_json(indent=1), "utf-8")
    ws.close()
    if (tracked := folder / WORK / TRACKS).is_dir() and not (folder / TRACKS).exists():
        tracked.rename(folder / TRACKS)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return result


def name_base(config: Path, base: str) -> None:
    """Set the base model in the configuration of an adapter, which has the place of the machine that trained it.

    Raises:
        GlanError: If the file is not a JSON object.
    """
    try:
        values = json.loads(config.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise GlanError(f"{config.name} of the adapter cannot be read.") from None
    new = json.dumps(values | {"base_model_name_or_path": base}, indent=2)
    config.unlink()  # it may be a second name of another file
    config.write_text(new, "utf-8")


def result_model(folder: Path) -> TunedModel:
    """Return the description of the model of a result.

    Raises:
        GlanError: If it cannot be read.
    """
    return read_document(folder / RESULT / tuned_model_store.FILE, TunedModel)


def _hash_of_base(settings: FinetuneSettings) -> str:
    config = find_model_file(settings.base, "config.json") if settings.base else None
    return tuned_model_store.hash_weights(config.parent) if config else ""


def _write_lines(file: Path, rows) -> None:
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")
