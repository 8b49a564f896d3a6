"""Weights cache: one copy of each base model for itself and all its adapters, with LRU eviction. Used in the model server only."""

import gc
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.io.packaged_models import display_name
from glan_core.json_text import parse_json
from glan_core.models import memory
from glan_core.models.model_specs import ResolvedModel
from glan_core.models.tuned_model_store import hash_weights

BASE = "__base__"  # PEFT's adapter name for the base weights
WORKING_SHARE = 1.1  # memory needed for inference relative to the size of the weights
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt")
HUB_SECONDS = 3.0
MOST_HEAD = 100 * 2**20  # bytes; the maximum header size of safetensors
_hashes: dict[tuple, str] = {}


class ModelUnavailable(Exception):
    """A model cannot be used; the message says why."""


@dataclass
class LoadedWeights:
    """Weights in memory.

    Attributes:
        folder: Folder of the weights.
        model: The model; a PEFT model once an adapter is attached.
        dtype: Dtype of the weights.
        bytes: Memory footprint.
        lock: Held during inference, because PEFT's batch hooks are attached to the model itself.
        adapters: Adapter names by folder and stamp.
        tokenizers: Tokenizers by folder.
        users: Number of current users.
        used_at: Time of the last use (monotonic).
    """

    folder: Path
    model: Any
    dtype: str
    bytes: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    adapters: dict[tuple, str] = field(default_factory=dict)
    tokenizers: dict[str, Any] = field(default_factory=dict)
    users: int = 0
    used_at: float = 0.0

    def adapter_name(self, folder: str) -> str | None:
        """Return the adapter name for a model: an adapter, the base, or None if the base has no adapters."""
        if folder:
            return self.adapters[_stamp(Path(folder))]
        return BASE if self.adapters else None


class WeightsCache:
    """All weights in memory.

    Args:
        free: Function that returns the free memory in bytes.
    """

    def __init__(self, free: Callable[[], int] = memory.free_bytes) -> None:
        self._free = free
        self._held: dict[tuple, LoadedWeights] = {}
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, pane: ResolvedModel) -> Iterator[LoadedWeights]:
        """Return the weights of a model's base, loading them if needed, and keep them while the block runs.

        Raises:
            ModelUnavailable: If the weights cannot be loaded.
        """
        with self._lock:
            folder = find_weights(pane.base)
            key = _stamp(folder)
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = self._load(folder)
            held.users += 1
        try:
            yield held
        finally:
            held.used_at = time.monotonic()
            held.users -= 1

    def _load(self, folder: Path) -> LoadedWeights:
        size, stored = _size(folder)
        dtype = "float32" if memory.bfloat16_is_slow() and stored < 4 else "auto"
        need = int(size * WORKING_SHARE)
        if dtype == "float32":
            wide = int(need * 4 / stored)
            need, dtype = (wide, dtype) if self._make_room(wide) else (need, "auto")  # slow is better than failing
        if not self._make_room(need):
            raise ModelUnavailable(
                f"{folder.name} needs {need / 2**30:.1f} GiB of memory, and {self._free() / 2**30:.1f} GiB are free. Use a "
                "smaller model or close other programs."
            )
        return load_weights(folder, dtype)

    def _make_room(self, need: int) -> bool:
        """Return whether so many bytes are free, after evicting the least recently used weights as needed."""
        while self._free() < need:
            idle = [(held.used_at, key) for key, held in self._held.items() if not held.users]
            if not idle:
                return False
            del self._held[min(idle)[1]]
            gc.collect()
        return True

    def fits_second_copy(self, held: LoadedWeights) -> bool:
        """Return whether a second copy of these weights fits without evicting any."""
        return self._free() > held.bytes * WORKING_SHARE

    def evict_unused(self) -> None:
        """Evict all weights that are not in use."""
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if held.users}
        gc.collect()

    def summary(self) -> list[dict]:
        """Return a summary of the loaded weights."""
        return [
            {"folder": str(held.folder), "bytes": held.bytes, "dtype": held.dtype, "adapters": len(held.adapters)}
            for held in list(self._held.values())
        ]


def attach_adapter(held: LoadedWeights, pane: ResolvedModel) -> None:
    """Attach a model's adapter to its base; requires the lock of the base.

    Raises:
        ModelUnavailable: If the adapter cannot be used.
    """
    if not pane.adapter or (key := _stamp(Path(pane.adapter))) in held.adapters:
        return
    from peft import PeftConfig, PeftModel

    if pane.base_hash and cached_hash(held.folder) != pane.base_hash:
        raise ModelUnavailable(
            f"The adapter {Path(pane.adapter).parent.name} was trained on other weights of {display_name(Path(pane.base).name)}: their "
            "hashes differ. Use the base that it was trained on."
        )
    with _readable_errors(pane.adapter):
        config = PeftConfig.from_pretrained(pane.adapter)
        if config.peft_type != "LORA" or getattr(config, "use_dora", False):
            raise ModelUnavailable(f"{Path(pane.adapter).name} is not a plain LoRA adapter. Merge it into its base first.")
        name = f"adapter_{len(held.adapters)}"
        if isinstance(held.model, PeftModel):
            held.model.load_adapter(pane.adapter, name, is_trainable=False)
        else:
            held.model = PeftModel.from_pretrained(held.model, pane.adapter, adapter_name=name, is_trainable=False).eval()
        held.adapters[key] = name


def get_tokenizer(held: LoadedWeights, pane: ResolvedModel) -> Any:
    """Return the tokenizer of a model."""
    folder = pane.tokenizer or str(held.folder)
    if folder not in held.tokenizers:
        held.tokenizers[folder] = open_tokenizer(folder)
    return held.tokenizers[folder]


def open_tokenizer(folder: str) -> Any:
    """Open a tokenizer.

    Raises:
        ModelUnavailable: If it cannot be read.
    """
    from transformers import AutoTokenizer

    with _readable_errors(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_weights(folder: Path, dtype: str) -> LoadedWeights:
    """Load a model into memory.

    Raises:
        ModelUnavailable: If it cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    with _readable_errors(str(folder)):
        model: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, use_safetensors=True, dtype=dtype)
    model = model.to(memory.device()).eval()
    return LoadedWeights(folder, model, str(model.dtype).removeprefix("torch."), model.get_memory_footprint())


def find_weights(base: str) -> Path:
    """Return the folder of weights given by folder or Hub ID.

    Raises:
        ModelUnavailable: If there are no safetensors weights.
    """
    try:
        packaged_models.convert(base)
    except GlanError as error:
        raise ModelUnavailable(str(error)) from None
    base = packaged_models.local_place(base)
    folder = Path(base).expanduser()
    if not folder.is_dir():
        if base.startswith((".", "/", "~")) or base.count("/") > 1:
            raise ModelUnavailable(f"Folder {base} does not exist. It may have been moved or deleted.")
        folder = _from_hub(base)
    if not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(f"{folder} has no safetensors weights. Other formats can execute code and are not loaded.")
    return folder


def cached_hash(folder: Path) -> str:
    """Return the hash of the weights in a folder (`hash_weights`), cached until its files change."""
    key = _stamp(folder)
    if key not in _hashes:
        _hashes[key] = hash_weights(folder)
    return _hashes[key]


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    for local in (True, False):
        with suppress(Exception):  # the exception types of the Hub's HTTP client are not part of its API
            return Path(snapshot_download(
                name, local_files_only=local, allow_patterns=list(HUB_FILES), etag_timeout=HUB_SECONDS,
            ))  # fmt: skip
    raise ModelUnavailable(f"Model {name} is not stored locally and cannot be downloaded from the Hub.")


def _stamp(folder: Path) -> tuple:
    """Return a value that changes whenever the weights in a folder do."""
    files = sorted(folder.glob("*.safetensors"))
    return (str(folder.resolve()), *((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


def _size(folder: Path) -> tuple[int, int]:
    """Return the size of the weights and the bytes per parameter."""
    files = sorted(folder.glob("*.safetensors"))
    kinds = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    with suppress(OSError, ValueError, struct.error), files[0].open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        head = parse_json(file.read(min(length, MOST_HEAD)))
        stored = [kinds.get(entry["dtype"], 1) for name, entry in head.items() if name != "__metadata__"]
        return sum(file.stat().st_size for file in files), max(stored, default=4)
    return sum(file.stat().st_size for file in files), 4


@contextmanager
def _readable_errors(what: str) -> Iterator[None]:
    """Convert library errors while loading into one sentence."""
    import torch

    try:
        yield
    except ModelUnavailable:
        raise
    except (MemoryError, torch.OutOfMemoryError):
        raise ModelUnavailable(f"There is not enough memory for {Path(what).name}. Use a smaller model.") from None
    except Exception as error:  # libraries raise many exception types for damaged folders
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelUnavailable(f"{what} cannot be loaded: {first}") from None
