"""Preflight checks of a fine-tuning run: everything that can fail is found before the run is queued.

The page shows the first obstacle beside its disabled button; the command refuses with exit code 2.
"""

import importlib.util
import os
import shutil
import struct
from pathlib import Path

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import TRAIN
from glan_core.errors import GlanError
from glan_core.formatting import quoted, size
from glan_core.io import packaged_models
from glan_core.json_text import parse_json
from glan_core.models import server_client, tuned_model_store
from glan_core.processes import available_memory
from glan_core.ray_cluster.connection import check_on_node
from glan_core.training.chat_encoding import find_model_file, open_encoder
from glan_core.training.memory_estimate import MemoryEstimate, estimate_memory, gpus, set_up_heap
from glan_core.training.model_shape import model_shape, read_config
from glan_core.training.plan import count_rows, longest_row
from glan_core.training.settings import FinetuneSettings
from glan_core.training.training_texts import check_rows
from glan_core.workspace import Workspace

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
MOST_HEAD = 100 * 2**20  # bytes; the maximum header size of safetensors


def check_settings(ws: Workspace, settings: FinetuneSettings, *, reach_hub: bool = True) -> None:
    """Check that a run can start and has what it needs.

    Args:
        ws: Workspace.
        settings: Settings of the run.
        reach_hub: Also check whether the Hub can be reached if the base model is not stored locally; takes up to 4 s.

    Raises:
        GlanError: If the snapshot does not exist or has no rows to train on, the model name is taken, the base model is
            missing, incomplete or unsuitable, a device or library is missing, or memory or disk space is too small.
    """
    snapshot = read_snapshot(ws, settings.snapshot)
    if tuned_model_store.model_folder(ws, settings.name).exists():
        raise GlanError(f"Model {quoted(settings.name)} already exists. Choose another name.")
    if not snapshot.manifest.rows.get(TRAIN):
        raise GlanError(f"Snapshot {quoted(settings.snapshot)} has no training rows. Create one with more pairs.")
    _check_devices(settings)
    _check_tracker(settings)
    if settings.base is not None:
        check_base_model(settings.base, reach_hub=reach_hub)
    counted, _ = count_rows(str(ws.folder), settings)
    check_rows(counted, settings.max_length)
    if not settings.on_cluster and (shape := model_shape(settings)) is not None:
        check_memory(settings, estimate_memory(settings, shape, longest_row(settings, counted)))
    _check_disk(ws, settings)


def find_obstacle(ws: Workspace, settings: FinetuneSettings) -> str:
    """Return why a run cannot start and what to change, '' if nothing is in its way; never waits for the network."""
    try:
        check_settings(ws, settings, reach_hub=False)
    except GlanError as error:
        return str(error)
    return ""


def check_memory(settings: FinetuneSettings, need: MemoryEstimate) -> None:
    """Check that the least memory that a run needs is available; that of the chat models counts, since it is released.

    Raises:
        GlanError: If it is not.
    """
    if found := gpus():
        room, where = max(gpu.bytes for gpu in found), f"the largest GPU has {size(max(gpu.bytes for gpu in found))}"
    else:
        room = available_memory() + server_client.memory_in_use()
        where = f"{size(room)} are available on this machine"
    least, most = need.range
    if least <= room:
        return
    advice = []
    if settings.per_device_batch_size > 1:
        advice.append(f"a per-device batch size below {settings.per_device_batch_size}")
    advice.append(f"a max length below {settings.max_length:,} tokens")
    if not settings.gradient_checkpointing:
        advice.append("gradient checkpointing")
    if settings.method == "full" and settings.base:
        advice.append("the method LoRA")
    advice.append("a smaller base model" if settings.base else "a smaller model")
    if not found:
        advice.append("or close other programs")
    raise GlanError(f"The run needs {size(least)} to {size(most)} of memory, and {where}. Use {', '.join(advice)}.")


def prepare_memory(ws: Workspace, settings: FinetuneSettings) -> None:
    """Check the memory, which may have changed since a run was queued, and choose how tensors get theirs.

    Raises:
        GlanError: If it is too small.
    """
    if settings.on_cluster or (shape := model_shape(settings)) is None:
        return
    counted, _ = count_rows(str(ws.folder), settings)
    need = estimate_memory(settings, shape, longest_row(settings, counted))
    check_memory(settings, need)
    if settings.world_size == 1:
        set_up_heap(maps_tensors=need.maps_tensors)


def _check_devices(settings: FinetuneSettings) -> None:
    if settings.engine == "ray":
        check_on_node(settings.ray_address)
    if settings.on_cluster:  # the run checks the devices of the cluster
        return
    found = gpus()
    if settings.method == "qlora":
        if not found:
            raise GlanError("QLoRA needs an NVIDIA GPU, and this machine has none. Use the method LoRA.")
        if importlib.util.find_spec("bitsandbytes") is None:
            raise GlanError("QLoRA needs bitsandbytes. Install it with 'pip install bitsandbytes', or use the method LoRA.")
    if found and settings.processes > len(found):
        raise GlanError(f"{settings.processes} processes need as many GPUs, and this machine has {len(found)}. Use fewer.")


def _check_tracker(settings: FinetuneSettings) -> None:
    if settings.report_to and importlib.util.find_spec(settings.report_to) is None:
        raise GlanError(
            f"Reporting to {settings.report_to} needs its package. Install it with 'pip install {settings.report_to}', or report to none."
        )


def check_base_model(base: str, *, reach_hub: bool) -> None:
    """Check configuration, weights and tokenizer of a base model.

    Raises:
        GlanError: If they are missing, incomplete, of an unknown architecture, or do not belong together.
    """
    folder = Path(base).expanduser()
    if base in packaged_models.available_bases() and not packaged_models.is_converted(base):
        return  # the run converts it first
    if find_model_file(base, "config.json") is None:
        _explain_absence(base, folder, reach_hub=reach_hub)
        return
    config = read_config(base)
    if config is None:
        raise GlanError(f"config.json of {base} cannot be read. Copy the folder again, or download the model again.")
    if config.get("quantization_config"):
        raise GlanError(f"The weights of {base} are quantized and cannot be trained. Use the original weights.")
    _check_architecture(base, config)
    _check_weights(base)
    if find_model_file(base, "tokenizer.json") is None:
        raise GlanError(f"{base} has no tokenizer.json. Copy the tokenizer of the model into the folder.")
    encoder = open_encoder(base)
    encoder.write([{"role": "user", "content": "Why?"}], ask=True)
    vocabulary = (config.get("text_config") or config).get("vocab_size")
    if isinstance(vocabulary, int) and max(encoder.end_id, encoder.largest_id) >= vocabulary:
        raise GlanError(
            f"The tokenizer of {base} has tokens up to {encoder.largest_id:,}, and the model knows {vocabulary:,}: they do not "
            "belong together. Copy the tokenizer of the model into the folder."
        )


def _explain_absence(base: str, folder: Path, *, reach_hub: bool) -> None:
    if base.startswith(packaged_models.PREFIX):
        raise GlanError(f"{base} is not installed. Install it with '{packaged_models.INSTALL}'.")
    if (folder / "adapter_config.json").is_file():
        raise GlanError(f"{base} is an adapter. Merge it into its base model first, and use the merged model.")
    if list(folder.glob("*.gguf")) if folder.is_dir() else base.endswith(".gguf"):
        raise GlanError(f"{base} is in GGUF format, which cannot be trained. Use the safetensors weights of the model.")
    if folder.is_dir() or base.startswith((".", "/", "~")) or base.count("/") != 1:
        raise GlanError(f"There are no weights in {base}. Use a folder with config.json, tokenizer and safetensors files.")
    if not reach_hub:
        return
    from glan_core.io import hub_reachability

    if not hub_reachability.is_reachable():
        raise GlanError(
            f"Base model {base} is not stored locally, and the Hub cannot be reached. Use a folder, or run 'hf download {base}' "
            "with a network connection."
        )


def _check_architecture(base: str, config: dict) -> None:
    """Check that transformers knows the architecture and that it generates text."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind, names = config.get("model_type"), config.get("architectures") or []
    if kind not in CONFIG_MAPPING_NAMES:
        remote = " Models that need code of their own are not supported." if config.get("auto_map") else ""
        raise GlanError(f"The architecture {kind!r} of {base} is not known to the installed transformers.{remote}")
    if names and not any("CausalLM" in name or "LMHead" in name or "ConditionalGeneration" in name for name in names):
        raise GlanError(f"{base} is a {names[0]}, which does not generate text. Use a causal language model.")


def _check_weights(base: str) -> None:
    """Check that all safetensors files are there and complete."""
    index = find_model_file(base, INDEX)
    names = [SINGLE]
    if index is not None:
        try:
            names = sorted(set(parse_json(index.read_text("utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError):
            raise GlanError(f"{INDEX} of {base} cannot be read. Copy or download the model again.") from None
    for name in names:
        file = find_model_file(base, name)
        if file is None:
            raise GlanError(
                f"{base} has no {name}. Only safetensors weights are loaded, since other formats can execute code; copy or "
                "download the missing file."
            )
        if not is_complete_safetensors(file):
            raise GlanError(f"{name} of {base} is truncated or damaged. Copy or download it again.")


def is_complete_safetensors(file: Path) -> bool:
    """Return whether a safetensors file is as long as its header says."""
    try:
        with file.open("rb") as opened:
            length = struct.unpack("<Q", opened.read(8))[0]
            if length > MOST_HEAD:
                return False
            head = parse_json(opened.read(length))
        ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
        return file.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error):
        return False


def _check_disk(ws: Workspace, settings: FinetuneSettings) -> None:
    """Check that the weights, the checkpoints with Adam moments and the kept ones fit, and that the folder can be written."""
    if not os.access(ws.folder, os.W_OK):
        raise GlanError(f"{ws.folder} cannot be written, so the model could not be stored.")
    if (shape := model_shape(settings)) is None:
        return
    trained = shape.parameters if settings.method == "full" else shape.adapter(settings.lora_rank)
    checkpoints = trained * 12 * (1 + max(2, settings.keep_checkpoints)) + trained * 4 * settings.keep_checkpoints
    need, free = trained * 4 + checkpoints, shutil.disk_usage(ws.folder).free
    if need > free:
        raise GlanError(
            f"The run needs about {size(need)} of disk space in {ws.folder}, and {size(free)} are free. Free some space first."
        )
