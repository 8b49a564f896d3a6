"""The weights that the model process holds: one copy of a base for itself and all its adapters, the least used one put away
when memory is short. In the model process only."""

import gc
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from glan_core.models import memory
from glan_core.models.model_specs import Pane
from glan_core.models.tuned_model_store import hash_weights

BASE = "__base__"  # peft's name for the weights without an adapter
WORKING_SHARE = 1.1  # of the weights' size, that a model needs with what it computes
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt")
HUB_SECONDS = 3.0
MOST_HEAD = 100 * 2**20  # bytes; safetensors allows no longer one
_hashes: dict[tuple, str] = {}


class PaneFault(Exception):
    """Why a pane can't answer, for people."""


@dataclass
class Held:
    """Weights in memory. `lock` is held while something is written or computed with them: peft's hooks for a batch hang on the
    model itself. `adapters`: folder and stamp of an adapter -> its name in the model."""

    folder: Path
    model: object
    dtype: str
    bytes: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    adapters: dict[tuple, str] = field(default_factory=dict)
    tokenizers: dict[str, object] = field(default_factory=dict)
    users: int = 0
    used_at: float = 0.0

    def adapter_name(self, folder: str) -> str | None:
        """How the model calls what a pane wants: an adapter, its bare self, or None where it never had adapters."""
        if folder:
            return self.adapters[_stamp(Path(folder))]
        return BASE if self.adapters else None


class WeightsCache:
    """All weights in memory. `free` tells how many bytes are left."""

    def __init__(self, free: Callable[[], int] = memory.free_bytes) -> None:
        self._free = free
        self._held: dict[tuple, Held] = {}
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, pane: Pane) -> Iterator[Held]:
        """The weights of a pane's base, loaded where need be, and kept while the block runs. PaneFault says why not."""
        with self._lock:
            folder = located(pane.base)
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

    def _load(self, folder: Path) -> Held:
        size, stored = _size(folder)
        dtype = "float32" if memory.half_is_slow() and stored < 4 else "auto"
        need = int(size * WORKING_SHARE)
        if dtype == "float32":
            wide = int(need * 4 / stored)
            need, dtype = (wide, dtype) if self._make_room(wide) else (need, "auto")  # slow is better than not at all
        if not self._make_room(need):
            raise PaneFault(
                f"{folder.name} needs {need / 2**30:.1f} GiB of memory, and {self._free() / 2**30:.1f} GiB are free: choose a "
                "smaller model, or end what else needs memory."
            )
        return load(folder, dtype)

    def _make_room(self, need: int) -> bool:
        """Whether so many bytes are free, after putting away what was not used for longest as far as needed."""
        while self._free() < need:
            idle = [(held.used_at, key) for key, held in self._held.items() if not held.users]
            if not idle:
                return False
            del self._held[min(idle)[1]]
            gc.collect()
        return True

    def room_beside(self, held: Held) -> bool:
        """Whether a second copy of these weights would fit without putting any away."""
        return self._free() > held.bytes * WORKING_SHARE

    def forget_unused(self) -> None:
        """Put away all that nobody uses now."""
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if held.users}
        gc.collect()

    def what(self) -> list[dict]:
        """What is held, for people."""
        return [
            {"folder": str(held.folder), "bytes": held.bytes, "dtype": held.dtype, "adapters": len(held.adapters)}
            for held in list(self._held.values())
        ]


def attach(held: Held, pane: Pane) -> None:
    """Put a pane's adapter on the base; call it with the base's lock. PaneFault says why not."""
    if not pane.adapter or (key := _stamp(Path(pane.adapter))) in held.adapters:
        return
    from peft import PeftConfig, PeftModel

    with _explained(pane.adapter):
        config = PeftConfig.from_pretrained(pane.adapter)
        if config.peft_type != "LORA" or getattr(config, "use_dora", False):
            raise PaneFault(f"{Path(pane.adapter).name} is no plain LoRA adapter: merge it into its base to talk to it.")
        name = f"adapter_{len(held.adapters)}"
        if isinstance(held.model, PeftModel):
            held.model.load_adapter(pane.adapter, name, is_trainable=False)
        else:
            held.model = PeftModel.from_pretrained(held.model, pane.adapter, adapter_name=name, is_trainable=False).eval()
        held.adapters[key] = name


def tokenizer_of(held: Held, pane: Pane) -> object:
    """The tokenizer that a pane's prompts are written with."""
    folder = pane.tokenizer or str(held.folder)
    if folder not in held.tokenizers:
        held.tokenizers[folder] = open_tokenizer(folder)
    return held.tokenizers[folder]


def open_tokenizer(folder: str) -> object:
    """The tokenizer of a folder; PaneFault says why it can't be read."""
    from transformers import AutoTokenizer

    with _explained(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load(folder: Path, dtype: str) -> Held:
    """Load a whole model from a folder into memory; PaneFault says why not."""
    from transformers import AutoModelForCausalLM

    with _explained(str(folder)):
        model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, use_safetensors=True, dtype=dtype)
    model = model.to(memory.device()).eval()
    return Held(folder, model, str(model.dtype).removeprefix("torch."), model.get_memory_footprint())


def located(base: str) -> Path:
    """The folder of weights that are named by a folder or by a name of the model hub; PaneFault when there are none."""
    folder = Path(base).expanduser()
    if not folder.is_dir():
        if base.startswith((".", "/", "~")) or base.count("/") > 1:
            raise PaneFault(f"There is no folder {base}: was it moved or removed?")
        folder = _from_hub(base)
    if not any(folder.glob("*.safetensors")):
        raise PaneFault(f"{folder} holds no safetensors weights; other formats can run code of strangers and are not loaded.")
    return folder


def hash_of(folder: Path) -> str:
    """The hash of the weights of a folder (`hash_weights`), read once for as long as its files stay as they are."""
    key = _stamp(folder)
    if key not in _hashes:
        _hashes[key] = hash_weights(folder)
    return _hashes[key]


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    for local in (True, False):
        with suppress(Exception):  # of the hub's HTTP library, which is not ours to know
            return Path(snapshot_download(
                name, local_files_only=local, allow_patterns=list(HUB_FILES), etag_timeout=HUB_SECONDS,
            ))  # fmt: skip
    raise PaneFault(f"The model {name} is not on this machine, and the model hub does not give it.")


def _stamp(folder: Path) -> tuple:
    """What changes when the weights of a folder do."""
    files = sorted(folder.glob("*.safetensors"))
    return (str(folder.resolve()), *((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


def _size(folder: Path) -> tuple[int, int]:
    """How many bytes the weights are, and how many each number takes."""
    files = sorted(folder.glob("*.safetensors"))
    kinds = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    with suppress(OSError, ValueError, struct.error), files[0].open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        head = json.loads(file.read(min(length, MOST_HEAD)))
        stored = [kinds.get(entry["dtype"], 1) for name, entry in head.items() if name != "__metadata__"]
        return sum(file.stat().st_size for file in files), max(stored, default=4)
    return sum(file.stat().st_size for file in files), 4


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turns what libraries raise while loading into one sentence."""
    import torch

    try:
        yield
    except PaneFault:
        raise
    except (MemoryError, torch.OutOfMemoryError):
        raise PaneFault(f"There is not enough memory for {Path(what).name}: choose a smaller model.") from None
    except Exception as error:  # whatever a damaged folder makes the libraries raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise PaneFault(f"{what} cannot be loaded: {first}") from None
