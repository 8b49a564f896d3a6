"""Tuned model store: the models of a workspace, one folder each.

models/<name>/model.json   description and provenance
models/<name>/weights/     safetensors with tokenizer and chat template: a full model, or a PEFT adapter
models/<name>/base/        untrained weights of a model initialized from scratch
models/<name>/checkpoints/ weights of earlier evaluations, where the run was told to keep them (`checkpoints`)
"""

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.ids import slug
from glan_core.import_strings import load_symbol
from glan_core.io.packaged_models import display_name
from glan_core.settings import Settings, current_names
from glan_core.workspace import Workspace
from glan_core.workspace.removed import set_aside

FOLDER, FILE, WEIGHTS, BASE, CHECKPOINTS = "models", "model.json", "weights", "base", "checkpoints"
CHUNK = 1 << 20


class Checkpoint(Settings):
    """Weights of an earlier evaluation, kept with the model.

    Attributes:
        step: Optimizer step.
        validation_loss: Validation loss at this step in nats per token, None without a validation split.
        weights_hash: 'sha256:…' of the safetensors files.
    """

    step: int
    validation_loss: float | None
    bytes: int
    weights_hash: str


class TunedModel(Settings):
    """A model produced by a fine-tuning run.

    Attributes:
        form: 'adapter' if the weights are a LoRA adapter for `base`, 'full' for a full model.
        base: Folder, Hub ID or packaged name of the base model, '' if it was initialized from scratch (then it is in `base/`).
        disciplines: Training rows by discipline ID.
        losses: Last 'train' and 'validation' loss, and the validation loss of the 'base' before training; mean cross-entropy in
            nats per token of the answer.
        bits_per_byte: Validation loss per byte of the answers, comparable between tokenizers; None if unknown.
        template: Whose chat template is used: 'base' or 'alpaca'.
        weights_hash: 'sha256:…' of the safetensors files (`hash_weights`).
        settings: Settings of the run.
        merged_from: Name of the adapter that was merged into this model.
        base_hash: Hash of the weights that an adapter was trained on, '' if it was not recorded.
        checkpoints: Kept weights of earlier evaluations, first steps first.
    """

    name: str
    form: Literal["full", "adapter"]
    base: str
    recipe: str
    snapshot: str
    snapshot_hash: str
    disciplines: dict[str, int]
    rows: int
    held_out: int
    tokens: int
    steps: int
    epochs: float
    seconds: float
    losses: dict[str, float]
    parameters: int
    trained_parameters: int
    precision: str
    template: Literal["base", "alpaca"]
    bytes: int
    weights_hash: str
    run_id: int | None
    created_at: float
    settings: dict
    notes: str = ""
    stopped_early: bool = False
    merged_from: str | None = None
    bits_per_byte: float | None = None
    base_hash: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()

    @field_validator("settings")
    @classmethod
    def _current(cls, value: dict) -> dict:
        """Convert settings of earlier releases to their current names."""
        return current_names(load_symbol("glan_core.training.settings:FinetuneSettings"), value)

    def folder(self, ws: Workspace) -> Path:
        """Return the folder of the model."""
        return model_folder(ws, self.name)

    def weights(self, ws: Workspace) -> Path:
        """Return the folder of its weights and tokenizer."""
        return self.folder(ws) / WEIGHTS

    def checkpoint(self, step: int) -> Checkpoint:
        """Return the checkpoint of a step.

        Raises:
            GlanError: If it does not exist.
        """
        for kept in self.checkpoints:
            if kept.step == step:
                return kept
        known = ", ".join(str(kept.step) for kept in self.checkpoints)
        hint = f"Kept steps: {known}." if known else "It has no checkpoints."
        raise GlanError(f"Model {quoted(self.name)} has no checkpoint of step {step}. {hint}")

    @property
    def disk_bytes(self) -> int:
        """Size of its weights and checkpoints."""
        return self.bytes + sum(kept.bytes for kept in self.checkpoints)

    @property
    def base_name(self) -> str:
        """Public name of the base model: its Hub ID or folder name, '' for none."""
        return Path(self.base).name if self.base.startswith(("/", ".", "~")) else display_name(self.base)

    @property
    def tokenizer(self) -> str:
        """What the tokenizer is known by: the base model, or the data and settings it was trained with."""
        if self.base:
            return self.base
        scratch = self.settings.get("scratch") or {}
        return f"{self.snapshot_hash}/{scratch.get('vocabulary')}/{self.settings.get('rows')}/{self.settings.get('seed')}"

    def base_path(self, ws: Workspace) -> str:
        """Return the folder or Hub ID of the weights before training."""
        return self.base or str(self.folder(ws) / BASE)


def typed_model_name(typed: str) -> str:
    """Return the model name for what a person typed: 'Early Bird' gives 'early-bird'.

    Raises:
        GlanError: If it has no letter or digit.
    """
    if not any(letter.isalnum() for letter in typed):
        raise GlanError(
            f"The model name {quoted(typed)} has no letter or digit. Enter another name."
            if typed.strip()
            else "The model name is empty."
        )
    return slug(typed)


def model_folder(ws: Workspace, name: str) -> Path:
    """Return the folder of a model.

    Raises:
        GlanError: If the name is invalid.
    """
    if not name or slug(name) != name:
        raise GlanError(f"{quoted(name)} is not a valid model name. Use lowercase letters, digits and hyphens.")
    return ws.folder / FOLDER / name


def checkpoint_folder(ws: Workspace, name: str, step: int) -> Path:
    """Return the folder of a checkpoint's weights and tokenizer."""
    return model_folder(ws, name) / CHECKPOINTS / f"step-{step}"


def list_models(ws: Workspace) -> list[TunedModel]:
    """Return the models of a workspace, newest first; unreadable folders are skipped."""
    read = (_read(file) for file in (ws.folder / FOLDER).glob(f"[!.]*/{FILE}"))
    return sorted((model for model in read if model), key=lambda model: -model.created_at)


def read_model(ws: Workspace, name: str) -> TunedModel:
    """Return a model by name.

    Raises:
        GlanError: If the model does not exist.
    """
    model = _read(model_folder(ws, name) / FILE)
    if model is None:
        known = ", ".join(model.name for model in list_models(ws)[:10])
        hint = f"Available models: {known}." if known else "Fine-tune one first."
        raise GlanError(f"Model {quoted(name)} does not exist. {hint}")
    return model


def write_model(ws: Workspace, model: TunedModel) -> None:
    """Store the description of a model; it exists from then on."""
    ws.writable_folder(FOLDER)
    file = model.folder(ws) / FILE
    new = file.with_suffix(".new")
    new.write_text(model.model_dump_json(indent=1), "utf-8")
    os.replace(new, file)
    with ws.write(f"model {model.name}"):  # for the audit log
        pass


def set_notes(ws: Workspace, name: str, notes: str) -> None:
    """Store a person's notes on a model."""
    write_model(ws, read_model(ws, name).model_copy(update={"notes": notes.strip()}))


def rename_model(ws: Workspace, name: str, new_name: str) -> TunedModel:
    """Rename a model; its files stay the same.

    Raises:
        GlanError: If the new name exists or is invalid, or an adapter uses the model as its base.
    """
    model, target = read_model(ws, name), model_folder(ws, new_name)
    _check_unused(ws, model)
    if target.exists():
        raise GlanError(f"Model {quoted(new_name)} already exists. Choose another name.")
    ws.writable_folder(FOLDER)
    model.folder(ws).rename(target)
    renamed = model.model_copy(update={"name": new_name})
    write_model(ws, renamed)
    return renamed


def remove_model(ws: Workspace, name: str) -> None:
    """Remove a model and its weights so that it can be restored (`workspace.removed`).

    Raises:
        GlanError: If the model does not exist, or another model uses it as its base.
    """
    model = read_model(ws, name)
    _check_unused(ws, model)
    set_aside(ws, model.folder(ws), "model", name)


def _check_unused(ws: Workspace, model: TunedModel) -> None:
    """Raise GlanError if an adapter uses this model as its base."""
    weights = str(model.weights(ws))
    if users := [other.name for other in list_models(ws) if other.form == "adapter" and other.base == weights]:
        raise GlanError(f"Model {quoted(model.name)} is the base of {', '.join(users)}. Merge or remove these models first.")


def hash_weights(folder: Path) -> str:
    """Return 'sha256:' plus the hash of a folder's safetensors files in name order; '' if there are none."""
    digest, found = hashlib.sha256(), False
    for file in sorted(folder.glob("*.safetensors")):
        found = True
        digest.update(f"{file.name}\n".encode())
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}" if found else ""


def folder_size(folder: Path) -> int:
    """Return the total size of the files below a folder, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _read(file: Path) -> TunedModel | None:
    try:
        model = TunedModel.model_validate_json(file.read_text("utf-8"))
    except (OSError, ValueError):  # pydantic.ValidationError is a ValueError
        return None
    return model.model_copy(update={"name": file.parent.name})  # an interrupted rename may have moved only the folder
