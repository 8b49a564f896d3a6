"""Merge job: merges a LoRA adapter into its base model, giving a full model that does not need PEFT."""

import time
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.formatting import quoted, size
from glan_core.io import packaged_models
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.settings import MergeSettings
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace


def merge_adapter(ws: Workspace, settings: MergeSettings, progress: Progress) -> str:
    """Merge the adapter of a tuned model into its base, stored under a new name; the adapter is kept.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the model has no adapter, the new name exists, or the base cannot be loaded.
    """
    model = check_merge(ws, settings)
    target = tuned_model_store.model_folder(ws, settings.name)
    progress.step("weights merged", 0, 1)
    with atomic_output(target, folder=True, mark=progress.run_id) as new:
        save_merged(ws, model, new / tuned_model_store.WEIGHTS)
        whole = model.model_copy(update={
            "name": settings.name, "form": "full", "merged_from": model.name, "bytes": tuned_model_store.folder_size(new / tuned_model_store.WEIGHTS),
            "weights_hash": tuned_model_store.hash_weights(new / tuned_model_store.WEIGHTS), "run_id": progress.run_id, "created_at": time.time(),
        })  # fmt: skip
        (new / tuned_model_store.FILE).write_text(whole.model_dump_json(indent=1), "utf-8")
    progress.step("weights merged", 1, 1)
    return f"Merged {model.name} into {settings.name}, a full model of {size(whole.bytes)}."


def check_merge(ws: Workspace, settings: MergeSettings) -> TunedModel:
    """Return the model to merge.

    Raises:
        GlanError: If it does not exist or has no adapter, or the new name is invalid or exists.
    """
    model = tuned_model_store.read_model(ws, settings.model)
    if model.form != "adapter":
        raise GlanError(f"Model {quoted(settings.model)} is a full model and has no adapter to merge.")
    if tuned_model_store.model_folder(ws, settings.name).exists():
        raise GlanError(f"Model {quoted(settings.name)} already exists. Choose another name.")
    return model


def save_merged(ws: Workspace, model: TunedModel, folder: Path) -> None:
    """Save the base of an adapter with the adapter merged into it, and the tokenizer.

    Raises:
        GlanError: If the base cannot be loaded.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    packaged_models.convert(model.base)
    try:
        base: Any = AutoModelForCausalLM.from_pretrained(
            packaged_models.local_place(model.base), trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise GlanError(f"Base model {model.base} cannot be loaded: {first}.") from None
    merged: Any = PeftModel.from_pretrained(base, str(model.weights(ws))).merge_and_unload()
    merged.config.use_cache = True
    merged.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model.weights(ws), trust_remote_code=False).save_pretrained(folder)
