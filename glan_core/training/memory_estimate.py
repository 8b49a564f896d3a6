"""Memory estimate of a fine-tuning run, from the tensors that are alive at its peak, and the memory of this machine.

Calibrated on a CPU with SmolLM2-135M-Instruct, LoRA and full, with and without gradient checkpointing, for batches of 1 to 4 rows
of 256 to 1,024 tokens (benchmarks/README.md): every estimate was within 20 % of the peak resident memory. The
figures for GPUs follow the same count and were not measured.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

from glan_core.processes import total_memory
from glan_core.training.model_shape import ModelShape
from glan_core.training.settings import FinetuneSettings

TOLERANCE = 0.2  # of the estimate: measured peaks lie within it
LIBRARIES = 520_000_000  # resident memory of Python, torch, transformers, TRL and PEFT
CUDA_CONTEXT = 800_000_000
LOGIT_BYTES = 64 * 2**20  # logits in memory at a time on one CPU process
LOGIT_COPIES = 4  # logits, log-probabilities, and the gradients of both
# Of the C heap, whose freed blocks are only partly reused by tensors of other sizes; with method 'full' by Adam's moments.
HEAP_OVERHEAD = {"full": 1.3, "lora": 1.6, "qlora": 1.6}
LARGE_SHARE = 0.5  # of the machine's memory, above which tensors are mapped one by one
MAPPED_BYTES = 2**18  # size from which tensors are mapped one by one, if memory is saved
HEAP_BYTES = 32 * 2**20  # size up to which tensors come from the heap otherwise; the maximum of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt (malloc.h)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of this machine: name and memory in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Memory that a run needs on each device.

    Attributes:
        bytes: Expected peak in bytes.
        maps_tensors: Whether tensors are mapped one by one on a CPU: less memory, but more time (`save_memory`).
    """

    bytes: int
    maps_tensors: bool

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest peak to expect."""
        return round(self.bytes * (1 - TOLERANCE)), round(self.bytes * (1 + TOLERANCE))


def estimate_memory(settings: FinetuneSettings, shape: ModelShape, longest: int, room: int | None = None) -> MemoryEstimate:
    """Estimate the peak memory of each device.

    Args:
        settings: Settings of the run.
        shape: Model to train.
        longest: Tokens of the longest row.
        room: Memory of the machine in bytes, None for that of this one.
    """
    gpu = bool(gpus())
    tokens = settings.device_batch_size * (settings.max_length if settings.packing else min(longest, settings.max_length))
    fixed, transient = _tensors(settings, shape, tokens, gpu=gpu)
    if gpu:
        return MemoryEstimate(round(CUDA_CONTEXT + fixed + transient), maps_tensors=False)
    processes = settings.processes  # all on this machine
    heap = processes * (LIBRARIES + fixed + HEAP_OVERHEAD[settings.method] * transient)
    if settings.gradient_checkpointing or heap > LARGE_SHARE * (total_memory() if room is None else room):
        return MemoryEstimate(round(processes * (LIBRARIES + fixed + transient)), maps_tensors=True)
    return MemoryEstimate(round(heap), maps_tensors=False)


def _tensors(settings: FinetuneSettings, shape: ModelShape, tokens: int, *, gpu: bool) -> tuple[float, float]:
    """Return the bytes of weights, optimizer state and gradients, and those of activations and logits.

    Activations are the tensors that PyTorch keeps for the backward pass of a layer with rotary embeddings, RMSNorm, grouped
    attention (keys and values are repeated to all heads) and a gated MLP; with gradient checkpointing only the input of every
    layer, and one layer at a time.
    """
    full = settings.method == "full"
    trained = shape.parameters if full else shape.adapter(settings.lora_rank)
    half = settings.precision == "bf16" or (gpu and settings.precision == "auto")
    frozen = 0 if full else shape.parameters * (0.6 if settings.method == "qlora" else 2 if half else 4)
    shards = settings.world_size if gpu else 1
    per_token = 4 * shape.heads + 4 * shape.inner + (6 if full else 4) * shape.hidden + (0 if full else 7 * settings.lora_rank)
    per_token *= 2 if half else 4
    if checkpoints(settings, gpu=gpu):
        activations = tokens * (shape.layers * shape.hidden * (2 if half else 4) + 2 * per_token)
    else:
        activations = tokens * (shape.layers + 1) * per_token
    logits = LOGIT_COPIES * 4 * tokens * shape.vocabulary
    if not gpu and settings.world_size == 1:
        logits = min(logits, LOGIT_COPIES * LOGIT_BYTES)
    head = 8 * shape.vocabulary * shape.hidden if full else 0  # two gradients of the output layer while they are added
    weights, moments, gradients = frozen + 4 * trained, 8 * trained, 4 * trained + head
    # Gradients appear while activations are freed: whichever is larger counts.
    transient = max(activations + logits, gradients)
    return (weights + moments) / shards, transient


def checkpoints(settings: FinetuneSettings, *, gpu: bool) -> bool:
    """Return whether activations are recomputed in the backward pass: as set, by default on a GPU with method 'full'."""
    if settings.gradient_checkpointing is not None:
        return settings.gradient_checkpointing
    return gpu and settings.method == "full"


def set_up_heap(*, maps_tensors: bool) -> None:
    """Choose how this process gets memory for tensors, on Linux with glibc.

    From the heap, allocation is fast, but freed blocks are only partly reused. Mapped one by one, memory is exactly what is
    alive, and a step takes about 40 % more CPU time, since the system clears every page.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES if maps_tensors else HEAP_BYTES)
        if not maps_tensors:
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):  # another C library
        return


@lru_cache(1)
def gpus() -> tuple[Gpu, ...]:
    """Return the NVIDIA GPUs of this machine, from nvidia-smi."""
    if shutil.which("nvidia-smi") is None or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return ()
    try:
        output = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"], capture_output=True, text=True,
            timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    found = (re.fullmatch(r"(.+), *(\d+)", line.strip()) for line in output.splitlines())
    return tuple(Gpu(match[1], int(match[2]) << 20) for match in found if match)
