"""Importing the result of a bundle: a tuned model and a finished run with its curves, after checks of everything that came back."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import apsw
from pydantic import TypeAdapter

from glan_core.dataset.manifest import Manifest
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.dataset.splits import TRAIN
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import CHECKPOINTS, WEIGHTS, TunedModel, model_folder
from glan_core.settings import read_settings
from glan_core.training.bundle import (
    MACHINE,
    MANIFEST,
    REPLIES,
    RESULT,
    STEPS,
    Bundle,
    BundleResult,
    read_bundle,
)
from glan_core.training.bundle_export import RECORD
from glan_core.training.bundle_files import MODEL_SUFFIXES, check_files, copy_checked, list_files, open_plain, read_document
from glan_core.training.bundle_training import name_base
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.finetune_job import result_sentence
from glan_core.training.preflight import is_complete_safetensors
from glan_core.training.settings import FinetuneSettings
from glan_core.untrusted import clean_line
from glan_core.workspace import Workspace, run_rows, training_rows
from glan_core.workspace.run_rows import StageProgress
from glan_core.workspace.training_rows import SampleReply, Step

MOST_LINE = 2**20  # bytes of a line of the curves or of a sample reply
MOST_LINES = 5_000_000
MOST_NUMBER = 2**53
DOCUMENTS = (MANIFEST, STEPS, REPLIES, tuned_model_store.FILE)
FOLDERS = {WEIGHTS: 1, tuned_model_store.BASE: 1, CHECKPOINTS: 2}  # of a result, and the levels between them and their files

_Row = TypeVar("_Row", Step, SampleReply)


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """An imported model.

    Attributes:
        model: The model.
        run_id: Its run.
        notices: Sentences about what could not be verified.
    """

    model: TunedModel
    run_id: int
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Returned:
    """What a bundle brought back, checked except for its weights."""

    bundle: Bundle
    result: BundleResult
    model: TunedModel
    steps: list[Step]
    replies: list[SampleReply]


def import_result(ws: Workspace, folder: Path, name: str | None = None) -> ImportedModel:
    """Store the model of a trained bundle, and its run with curves and sample replies.

    Args:
        ws: Workspace.
        folder: Folder of the bundle.
        name: Name of the model; None for that of the bundle.

    Raises:
        GlanError: If the bundle has no result, a file was changed, is unexpected or not safe to load, the base model is another one,
            the name is taken, or nothing may be changed here.
    """
    ws.writable_folder(tuned_model_store.FOLDER)
    folder = folder.expanduser().absolute()
    bundle, settings = read_bundle(folder)
    name = name or settings.name
    target = model_folder(ws, name)
    _check_free(target, name)
    returned = _read(folder, bundle, settings)
    manifest, notices = _lineage(ws, bundle)
    _check_rows(returned.model, manifest)
    notices += _check_base(bundle, returned)
    origin = _origin(bundle, returned.result)
    model = _description(returned, settings, name, manifest, [origin, *notices])
    target.parent.mkdir(exist_ok=True)
    with atomic_output(target, folder=True, mark=os.getpid()) as new:
        for path, expected in returned.result.files.items():
            if path not in DOCUMENTS:
                copy_checked(folder / RESULT / path, new / path, expected)
        model = _check_weights(model, new)
        with ws.write(f"model {name}") as db:
            _check_free(target, name)
            run_id = _store_run(db, model, returned, origin)
            model = model.model_copy(update={"run_id": run_id})
            (new / tuned_model_store.FILE).write_text(model.model_dump_json(indent=1), "utf-8")
    return ImportedModel(model, run_id, tuple(notices))


def _check_free(target: Path, name: str) -> None:
    if os.path.lexists(target):
        raise GlanError(f"Model {quoted(name)} already exists. Import it under another name with --name NAME.")


def _read(folder: Path, bundle: Bundle, settings: FinetuneSettings) -> _Returned:
    """Read and check the result of a bundle, except for the weights."""
    place = folder / RESULT
    if place.is_symlink() or not place.is_dir():
        raise GlanError(f"{folder} has no result. Train it with 'glan train-bundle {folder}', and copy {RESULT}/ back.")
    result = read_document(place / MANIFEST, BundleResult)
    if result.bundle != bundle.id:
        raise GlanError(f"The result in {folder} is of another bundle ({quoted(result.bundle)}, not {bundle.id}).")
    _check_listing(place, result)
    check_files(place, {name: result.files[name] for name in DOCUMENTS if name in result.files})
    model = read_document(place / tuned_model_store.FILE, TunedModel)
    _check_description(model, settings)
    steps = _read_lines(place / STEPS, Step, lambda row: (row.step, 0))
    replies = _read_lines(place / REPLIES, SampleReply, lambda row: (row.step, row.nth))
    last = max((row.step for rows in (steps, replies) for row in rows), default=0)
    if last > model.steps:
        raise GlanError(f"The curves of the result have step {last:,}, and its model was trained for {model.steps:,}.")
    return _Returned(bundle, result, model, steps, replies)


def _check_listing(place: Path, result: BundleResult) -> None:
    """Check that a result has the files of its manifest and no others, all of them of known types in their folders."""
    found = set(list_files(place)) - {MANIFEST}
    for path in sorted(found ^ set(result.files)):
        what = "is not listed in its manifest" if path in found else "is missing"
        raise GlanError(f"{quoted(path)} of the result {what}. Copy the result again.")
    for path in sorted(found):
        first, *rest = path.split("/")
        known = path in DOCUMENTS or (FOLDERS.get(first) == len(rest) and path.endswith(MODEL_SUFFIXES))
        if not known:
            raise GlanError(
                f"{quoted(path)} is not a file of a result, which has safetensors, configuration and tokenizer only. Other formats can "
                "execute code."
            )
    for path in (STEPS, REPLIES, tuned_model_store.FILE):
        if path not in found:
            raise GlanError(f"{path} of the result is missing. Copy the result again.")


def _check_description(model: TunedModel, settings: FinetuneSettings) -> None:
    """Check that a model was trained with the settings of its bundle, and that its numbers are plausible."""
    wanted = settings.model_dump(mode="json")
    for name, value in wanted.items():
        if name not in MACHINE and model.settings.get(name) != value:
            raise GlanError(f"The model of the result was trained with another {name.replace('_', ' ')} than the bundle's.")
    numbers = [getattr(model, name) for name in ("rows", "held_out", "tokens", "steps", "epochs", "seconds", "parameters")]
    numbers += [model.trained_parameters, *model.disciplines.values()]
    if not all(0 <= value <= MOST_NUMBER for value in numbers) or model.precision not in ("fp32", "bf16"):
        raise GlanError("The description of the result's model has values that a training never has. Copy the result again.")
    if not set(model.losses) <= {"train", "validation", "base"} or len({kept.step for kept in model.checkpoints}) < len(
        model.checkpoints
    ):
        raise GlanError("The description of the result's model has values that a training never has. Copy the result again.")


def _read_lines(file: Path, kind: type[_Row], key: Callable[[_Row], tuple[int, int]]) -> list[_Row]:
    """Read JSON lines in ascending order of a key; numbers are finite and within bounds."""
    adapter, last = TypeAdapter(kind), (-1, -1)
    rows: list[_Row] = []
    with open_plain(file) as opened:
        while line := opened.readline(MOST_LINE + 1):
            try:
                row = adapter.validate_json(line)
                values = [getattr(row, field.name) for field in fields(row)]
                numbers = [value for value in values if isinstance(value, int | float)]
                if not all(math.isfinite(value) and abs(value) <= MOST_NUMBER for value in numbers) or not last < key(row):
                    raise ValueError
            except ValueError:  # pydantic.ValidationError is a ValueError
                raise GlanError(
                    f"{file.name} of the result is damaged in line {len(rows) + 1:,}. Copy the result again."
                ) from None
            last = key(row)
            rows.append(row)
            if len(rows) > MOST_LINES:
                raise GlanError(f"{file.name} of the result has more than {MOST_LINES:,} lines.")
    return rows


def _lineage(ws: Workspace, bundle: Bundle) -> tuple[Manifest | None, list[str]]:
    """Return the snapshot of this workspace that a bundle was written from, and sentences about what is unknown."""
    manifest = next((one for one in list_snapshots(ws) if one.hash == bundle.snapshot_hash), None)
    if manifest is None:
        return None, [
            f"Its lineage is unknown: this workspace has no snapshot with the hash of {quoted(clean_line(bundle.snapshot))} "
            f"({clean_line(bundle.snapshot_hash)[:19]}…)."
        ]
    if ws.metadata(RECORD + bundle.id) is None:
        return manifest, ["The bundle was not written from this workspace; its snapshot is the same."]
    return manifest, []


def _check_rows(model: TunedModel, manifest: Manifest | None) -> None:
    """Check rows and disciplines of a model against its snapshot, as far as that is known."""
    names = set(model.disciplines)
    known = all(len(name) <= 300 and clean_line(name) == name for name in names)
    if manifest is not None:
        known = names <= set(manifest.disciplines) and model.rows <= manifest.rows.get(TRAIN, 0)
    if not known or sum(model.disciplines.values()) != model.rows:
        raise GlanError("The rows of the result's model are not those of its snapshot. Copy the result again.")


def _check_base(bundle: Bundle, returned: _Returned) -> list[str]:
    """Check that a model was trained on the base of its bundle, and that this is the one stored here; return what is unknown."""
    base, trained = bundle.base, returned.result.base_hash
    if base is None:
        return []
    if not trained or (base.weights_hash and trained != base.weights_hash):
        raise GlanError(
            f"The result was not trained on the weights of {quoted(base.name)} that its bundle names: their SHA-256 differs."
        )
    if (config := find_model_file(base.name, "config.json")) is None:
        return (
            [f"Its base model {quoted(clean_line(base.name))} is not stored here."] if returned.model.form == "adapter" else []
        )
    if tuned_model_store.hash_weights(config.parent) != trained:
        raise GlanError(
            f"The result was trained on other weights than those of {quoted(base.name)} stored here: their SHA-256 differs."
        )
    return []


def _origin(bundle: Bundle, result: BundleResult) -> str:
    devices = ", ".join(dict.fromkeys(clean_line(name) for name in result.devices))
    return f"Trained on {_host(result)}{f' ({devices})' if devices else ''} from bundle {bundle.id[:12]}."


def _host(result: BundleResult) -> str:
    return clean_line(result.host) or "another machine"


def _description(
    returned: _Returned, settings: FinetuneSettings, name: str, manifest: Manifest | None, notes: list[str]
) -> TunedModel:
    """Return the description of the model: what the bundle says, and of the result only what was measured."""
    machine = {field: returned.model.settings.get(field) for field in MACHINE if field in returned.model.settings}
    used = read_settings(FinetuneSettings, settings.model_dump() | machine | {"base": settings.base, "name": name})
    bundle = returned.bundle
    return returned.model.model_copy(update={
        "name": name, "base": settings.base or "", "recipe": settings.recipe, "settings": used.model_dump(mode="json"),
        "form": "full" if settings.method == "full" else "adapter", "notes": " ".join(notes), "merged_from": None, "created_at": time.time(),
        "snapshot": manifest.name if manifest else bundle.snapshot, "snapshot_hash": bundle.snapshot_hash,
        "base_hash": returned.result.base_hash if settings.method != "full" else "",
    })  # fmt: skip


def _check_weights(model: TunedModel, new: Path) -> TunedModel:
    """Check the copied weights of a model, of its base and of its checkpoints; return the description with their sizes."""
    adapter = model.form == "adapter"
    kept = {f"{CHECKPOINTS}/step-{one.step}": one for one in model.checkpoints}
    places = {WEIGHTS: model.weights_hash, **{place: one.weights_hash for place, one in kept.items()}}
    if not model.base:
        places[tuned_model_store.BASE] = ""
    there = {file.parent.relative_to(new).as_posix() for file in new.rglob("*") if file.is_file()}
    if there != set(places):
        odd = ", ".join(sorted(there ^ set(places))[:3])
        raise GlanError(f"The result has not the folders that its model has: {odd} differ. Copy the result again.")
    for place, expected in places.items():
        folder = new / place
        config = folder / ("adapter_config.json" if adapter else "config.json")
        files = list(folder.glob("*.safetensors"))
        if not files or not config.is_file():
            raise GlanError(f"{place}/ of the result has no {'adapter' if adapter else 'model'} in safetensors format.")
        if damaged := [file.name for file in files if not is_complete_safetensors(file)]:
            raise GlanError(
                f"{damaged[0]} in {place}/ of the result is not a complete safetensors file. Copy the result again."
            )
        if expected and tuned_model_store.hash_weights(folder) != expected:
            raise GlanError(f"The weights in {place}/ of the result are not those that were trained: their SHA-256 differs.")
        if adapter:
            name_base(config, model.base)
    return model.model_copy(update={
        "weights_hash": tuned_model_store.hash_weights(new / WEIGHTS), "bytes": tuned_model_store.folder_size(new / WEIGHTS),
        "checkpoints": tuple(
            one.model_copy(update={"bytes": tuned_model_store.folder_size(new / place), "weights_hash": tuned_model_store.hash_weights(new / place)})
            for place, one in kept.items()
        ),
    })  # fmt: skip


def _store_run(db: apsw.Connection, model: TunedModel, returned: _Returned, origin: str) -> int:
    """Store the finished run of an imported model with its curves; return its ID."""
    result = returned.result
    run_id = run_rows.add_run(db, "finetune", f"Fine-tune {model.name}", model.settings)
    run_rows.update_run(
        db, run_id, state="finished", host=_host(result), message=f"{result_sentence(model)} {origin}", started_at=result.started_at,
        heartbeat_at=result.finished_at, finished_at=result.finished_at,
    )  # fmt: skip
    run_rows.set_stage(db, run_id, StageProgress("steps", model.steps, model.steps, 0))
    training_rows.add_steps(db, run_id, returned.steps)
    training_rows.add_replies(db, run_id, returned.replies)
    return run_id
