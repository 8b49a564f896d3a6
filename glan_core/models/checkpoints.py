"""Checkpoints of a tuned model: the weights of earlier evaluations, kept in models/<name>/checkpoints/step-<n>/."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.formatting import number, quoted
from glan_core.io.atomic import atomic_output
from glan_core.io.packaged_models import name_base_in
from glan_core.models.tuned_model_store import (
    BASE,
    CHECKPOINTS,
    FILE,
    WEIGHTS,
    Checkpoint,
    TunedModel,
    checkpoint_folder,
    folder_size,
    hash_weights,
    list_models,
    model_folder,
    read_model,
    write_model,
)
from glan_core.workspace import Workspace
from glan_core.workspace.removed import Removed, put_back, set_aside

CHECKPOINT = "checkpoint"  # kind of a removed one

# The state of the optimizer, which only a resumed run needs, and formats other than safetensors.
NOT_KEPT = ("*.pt", "*.pth", "*.bin", "trainer_state.json", "README.md")


def copy_checkpoints(written: list[Path], model: Path, losses: dict[int, float]) -> tuple[Checkpoint, ...]:
    """Copy the weights of a trainer's checkpoints into the new folder of a model.

    Args:
        written: Folders `checkpoint-<step>` of the trainer.
        model: New folder of the model.
        losses: Validation loss by step.

    Returns:
        The checkpoints, first steps first.
    """
    kept = []
    for folder in sorted(written, key=step_of):
        place = model / CHECKPOINTS / f"step-{step_of(folder)}"
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(*NOT_KEPT))
        _use_cache(place / "config.json")
        name_base_in(place)
        kept.append(Checkpoint(
            step=step_of(folder), validation_loss=losses.get(step_of(folder)), bytes=folder_size(place), weights_hash=hash_weights(place)
        ))  # fmt: skip
    return tuple(kept)


def _use_cache(config: Path) -> None:
    """Have the model use its key/value cache, which training turns off and generation needs; adapters have no such file."""
    if config.exists():
        config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"use_cache": True}, indent=2), "utf-8")


def step_of(folder: Path) -> int:
    """Return the step of a trainer's checkpoint folder, `checkpoint-<step>`."""
    return int(folder.name.rpartition("-")[2])


def remove_checkpoint(ws: Workspace, name: str, step: int) -> None:
    """Remove a checkpoint of a model so that it can be restored.

    Raises:
        GlanError: If the model has no such checkpoint.
    """
    model = read_model(ws, name)
    gone = model.checkpoint(step)
    facts = {"weights": model.weights_hash, "checkpoint": gone.model_dump(mode="json")}
    set_aside(ws, checkpoint_folder(ws, name, step), CHECKPOINT, f"{name}, step {step}", **facts)
    write_model(ws, model.model_copy(update={"checkpoints": tuple(kept for kept in model.checkpoints if kept.step != step)}))


def return_checkpoint(ws: Workspace, one: Removed) -> None:
    """Restore a removed checkpoint of a model.

    Raises:
        GlanError: If the model no longer exists, has a checkpoint of this step, or the record cannot be read.
    """
    try:
        checkpoint = Checkpoint.model_validate(one.facts.get("checkpoint"))
    except ValueError:
        raise GlanError(f"The record of the checkpoint {quoted(one.name)} cannot be read. Restore it by hand.") from None
    model = next((model for model in list_models(ws) if model.weights_hash == one.facts.get("weights")), None)
    if model is None:
        raise GlanError(f"The model of the checkpoint {quoted(one.name)} no longer exists. Restore the model first.")
    place = checkpoint_folder(ws, model.name, checkpoint.step).relative_to(ws.folder).as_posix()  # it may have been renamed
    put_back(ws, replace(one, place=place))
    kept = sorted((*model.checkpoints, checkpoint), key=lambda each: each.step)
    write_model(ws, model.model_copy(update={"checkpoints": tuple(kept)}))


def model_from_checkpoint(ws: Workspace, name: str, step: int, new_name: str) -> TunedModel:
    """Store a checkpoint as a model of its own, which can be judged, benchmarked, merged and exported; the checkpoint is kept.

    Raises:
        GlanError: If the model has no such checkpoint, or the new name exists or is invalid.
    """
    model = read_model(ws, name)
    kept = model.checkpoint(step)
    target = model_folder(ws, new_name)
    if target.exists():
        raise GlanError(f"Model {quoted(new_name)} already exists. Choose another name.")
    share = step / model.steps if model.steps else 1.0
    losses = {name: loss for name, loss in model.losses.items() if name == "base"}
    new = model.model_copy(update={
        "name": new_name, "steps": step, "epochs": round(model.epochs * share, 2), "tokens": round(model.tokens * share),
        "seconds": model.seconds * share, "weights_hash": kept.weights_hash, "bytes": kept.bytes, "checkpoints": (),
        "losses": losses | ({} if kept.validation_loss is None else {"validation": kept.validation_loss}),
        "bits_per_byte": _scaled(model, kept), "created_at": time.time(), "run_id": None, "stopped_early": True,
        "notes": f"Checkpoint of {name} at step {number(step)} of {number(model.steps)}.",
    })  # fmt: skip
    with atomic_output(target, folder=True, mark=os.getpid()) as folder:
        shutil.copytree(checkpoint_folder(ws, name, step), folder / WEIGHTS)
        if not model.base:
            shutil.copytree(model.folder(ws) / BASE, folder / BASE)
        (folder / FILE).write_text(new.model_dump_json(indent=1), "utf-8")
    return new


def _scaled(model: TunedModel, kept: Checkpoint) -> float | None:
    """Return the bits per byte of a checkpoint: the loss per token times the same factor as that of the model."""
    last = model.losses.get("validation")
    if not last or model.bits_per_byte is None or kept.validation_loss is None:
        return None
    return model.bits_per_byte * kept.validation_loss / last
