"""The tuned models of a workspace, each a folder:

models/<name>/model.json   what it is and where it comes from
models/<name>/weights/     safetensors with tokenizer and chat template: a whole model, or an adapter as peft saves it
models/<name>/base/        only of a model that was made from nothing: the same model before training, untrained
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.ids import slug
from glan_core.import_strings import load_symbol
from glan_core.settings import Settings, current_names
from glan_core.workspace import Workspace

FOLDER, FILE, WEIGHTS, BASE = "models", "model.json", "weights", "base"
CHUNK = 1 << 20


class TunedModel(Settings):
    """A model that a fine-tuning run made.

    `form` 'adapter': the weights are a LoRA adapter to `base`; 'full': they are a whole model. `base` is the folder or hub name
    of the weights that training began with, '' where it began with a model made from nothing, which then lies in `base/`.
    `template` says whose chat template prompts are written in: 'base' (the base model's own) or 'alpaca'. `losses` holds the
    last 'train' and the 'validation' loss (mean cross-entropy in nats a token of the answer); `disciplines` the training rows
    by discipline id. `weights_hash` is 'sha256:…' over the safetensors files (`hash_weights`). `settings` is the whole order.
    `merged_from` names the adapter that was merged into this model.
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

    @field_validator("settings")
    @classmethod
    def _current(cls, value: dict) -> dict:
        """Name the settings of models from earlier releases as they are named now."""
        return current_names(load_symbol("glan_core.training.settings:FinetuneSettings"), value)

    def folder(self, ws: Workspace) -> Path:
        """The model's folder."""
        return folder_of(ws, self.name)

    def weights(self, ws: Workspace) -> Path:
        """Where its weights and tokenizer lie."""
        return self.folder(ws) / WEIGHTS

    @property
    def base_name(self) -> str:
        """The base as others may read it: its name on the hub, or the last part of its folder; '' for none."""
        return Path(self.base).name if self.base.startswith(("/", ".", "~")) else self.base

    def base_path(self, ws: Workspace) -> str:
        """The folder or hub name of the weights before training."""
        return self.base or str(self.folder(ws) / BASE)


def folder_of(ws: Workspace, name: str) -> Path:
    """Where a model of this name is, or would be; GlanError for what is no name."""
    if not name or slug(name) != name:
        raise GlanError(f"{quoted(name)} can't be a model's name: use lower-case letters, digits and hyphens.")
    return ws.folder / FOLDER / name


def list_models(ws: Workspace) -> list[TunedModel]:
    """The models of a workspace, newest first; folders that hold none, or a damaged one, are passed over."""
    read = (_read(file) for file in (ws.folder / FOLDER).glob(f"[!.]*/{FILE}"))
    return sorted((model for model in read if model), key=lambda model: -model.created_at)


def read_model(ws: Workspace, name: str) -> TunedModel:
    """A model by its name; GlanError when there is none."""
    model = _read(folder_of(ws, name) / FILE)
    if model is None:
        known = ", ".join(model.name for model in list_models(ws)[:10])
        raise GlanError(f"There is no model {quoted(name)}" + (f": there is {known}." if known else ": fine-tune one first."))
    return model


def write_model(ws: Workspace, model: TunedModel) -> None:
    """Keep what is known of a model; it counts from then on."""
    file = model.folder(ws) / FILE
    new = file.with_suffix(".new")
    new.write_text(model.model_dump_json(indent=1), "utf-8")
    os.replace(new, file)


def note(ws: Workspace, name: str, notes: str) -> None:
    """Keep a person's notes on a model."""
    write_model(ws, read_model(ws, name).model_copy(update={"notes": notes.strip()}))


def rename(ws: Workspace, name: str, new_name: str) -> TunedModel:
    """Give a model another name; GlanError when that is taken or can't be one, or an adapter finds its base under the old one. Its
    files stay the same."""
    model, target = read_model(ws, name), folder_of(ws, new_name)
    _check_unused(ws, model)
    if target.exists():
        raise GlanError(f"There is already a model {quoted(new_name)}: choose another name.")
    model.folder(ws).rename(target)
    renamed = model.model_copy(update={"name": new_name})
    write_model(ws, renamed)
    return renamed


def remove(ws: Workspace, name: str) -> None:
    """Remove a model with its weights for good; GlanError when there is none, or another one needs it."""
    model = read_model(ws, name)
    _check_unused(ws, model)
    gone = model.folder(ws).with_name(f".{name}.removed")
    shutil.rmtree(gone, ignore_errors=True)
    model.folder(ws).rename(gone)  # at once: half a model is none
    shutil.rmtree(gone, ignore_errors=True)


def _check_unused(ws: Workspace, model: TunedModel) -> None:
    """GlanError when an adapter has this model as its base."""
    weights = str(model.weights(ws))
    if users := [other.name for other in list_models(ws) if other.form == "adapter" and other.base == weights]:
        raise GlanError(
            f"{quoted(model.name)} is the base of {', '.join(users)}: remove these first, merged before if need be."
        )


def hash_weights(folder: Path) -> str:
    """'sha256:' and the hash of a folder's safetensors files, in the order of their names; reads all of them. '' for none."""
    digest, found = hashlib.sha256(), False
    for file in sorted(folder.glob("*.safetensors")):
        found = True
        digest.update(f"{file.name}\n".encode())
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}" if found else ""


def bytes_of(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _read(file: Path) -> TunedModel | None:
    try:
        model = TunedModel.model_validate_json(file.read_text("utf-8"))
    except (OSError, ValueError):  # what pydantic raises is one, too
        return None
    return model.model_copy(update={"name": file.parent.name})  # a rename that was cut short has moved the folder already
