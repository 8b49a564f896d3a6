"""Merging an adapter into its base: a whole model that needs no peft, and loses nothing but the choice to take it off again."""

import time

from glan_core.dataset.placing import placed
from glan_core.errors import GlanError
from glan_core.runs.jobs import Progress
from glan_core.taxonomy import quoted
from glan_core.training import models
from glan_core.training.orders import MergeOrder
from glan_core.wording import size
from glan_core.workspace import Workspace


def merge(ws: Workspace, order: MergeOrder, progress: Progress) -> str:
    """Make a whole model of a tuned one's base and adapter, under a name of its own; the adapter stays. One sentence.

    GlanError when the model has no adapter, the name is taken, or the base can't be loaded.
    """
    model = models.read_model(ws, order.model)
    if model.form != "adapter":
        raise GlanError(f"{quoted(order.model)} is a whole model already: there is no adapter to merge.")
    target = models.folder_of(ws, order.name)
    if target.exists():
        raise GlanError(f"There is already a model {quoted(order.name)}: choose another name.")
    progress.step("weights merged", 0, 1)
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        base = AutoModelForCausalLM.from_pretrained(model.base, trust_remote_code=False, use_safetensors=True, dtype="auto")
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise GlanError(f"The base {model.base} can't be loaded: {first}.") from None
    merged = PeftModel.from_pretrained(base, model.weights(ws)).merge_and_unload()
    merged.config.use_cache = True
    with placed(target, folder=True, mark=progress.run_id) as new:
        merged.save_pretrained(new / models.WEIGHTS)
        AutoTokenizer.from_pretrained(model.weights(ws), trust_remote_code=False).save_pretrained(new / models.WEIGHTS)
        whole = model.model_copy(update={
            "name": order.name, "form": "full", "merged_from": model.name, "bytes": models.bytes_of(new / models.WEIGHTS),
            "weights_hash": models.hash_weights(new / models.WEIGHTS), "run_id": progress.run_id, "created_at": time.time(),
        })  # fmt: skip
        (new / models.FILE).write_text(whole.model_dump_json(indent=1), "utf-8")
    progress.step("weights merged", 1, 1)
    return f"Merged {model.name} into {order.name}: a whole model of {size(whole.bytes)}."
