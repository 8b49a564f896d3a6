"""Time estimate of a fine-tuning run: from steps measured with this model on these rows, an earlier run, or the model size.

Measured speeds are stored in the workspace, in training/speed.json by `speed_key`.
"""

import hashlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from glan_core.dataset.snapshot_store import Snapshot
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import TunedModel
from glan_core.processes import cores
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.memory_estimate import gpus
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace

FILE = "training/speed.json"
MEASURED, EARLIER, ROUGH = "measured", "earlier run", "model size"
# Range around the expected duration; 9 of 10 runs on a busy machine lay within it (benchmarks/README.md).
LEAST, MOST = 0.62, 1.86
PEAK_TFLOPS = {  # dense bf16, from the manufacturers' data sheets
    "H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 6000 Ada": 364, "RTX 4090": 165, "RTX 3090": 71, "A10": 125, "L4": 121,
    "T4": 65, "V100": 125,
}  # fmt: skip
# Share of the throughput that fine-tuning reaches: of a GPU's peak, and of a matrix product on a CPU. A rough estimate spans a
# factor of three around it.
GPU_USE, CPU_USE = 0.26, 0.35
ROUGH_MARGIN = 3**0.5
ROUGH_LOADING, ROUGH_REPLY = 4.0, 0.007  # seconds to load a small model, and per token of the sample replies
VALIDATION_SHARE = 1 / 3  # of the work of a training token: the forward pass alone
LIBRARY_SECONDS = 8.0  # to import torch, transformers, TRL and PEFT
STEP_SECONDS = 0.05  # of the trainer itself, for logging, callbacks and the schedule
WRITTEN_BYTES = 150e6  # per second, of checkpoints
REPLY_TOKENS = 140  # usual length of the longest sample reply
SETTINGS = ("method", "lora_rank", "per_device_batch_size", "max_length", "precision", "gradient_checkpointing", "packing")


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of training steps, measured with a model on rows of a snapshot.

    Attributes:
        loading: Seconds until the model and the first rows are ready.
        token: Seconds per token, without padding, of the forward and backward pass.
        optimizer: Seconds per optimizer step.
        validation: Seconds per token of a validation batch.
        reply: Seconds per token of the sample replies, which are generated as one batch.
        slowdown: Time that the steps took, relative to their CPU time on all threads: 1 on a quiet machine, 2 where other
            programs take half of it. They may end or go on, so the expected duration is the geometric mean of both cases.
    """

    loading: float
    token: float
    optimizer: float
    validation: float
    reply: float
    slowdown: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Work of a run that takes time.

    Attributes:
        tokens: Tokens of all epochs.
        steps: Optimizer steps.
        evaluations: Evaluations.
        validation_tokens: Tokens of the validation rows.
        parameters: Parameters of the model.
        trained: Trainable parameters.
    """

    tokens: float
    steps: int
    evaluations: int
    validation_tokens: float
    parameters: int
    trained: int


def estimate_seconds(
    ws: Workspace, settings: FinetuneSettings, snapshot: Snapshot, work: Workload
) -> tuple[tuple[float, float], str]:
    """Return the range of the duration of a run in seconds, and what it is based on."""
    if (speed := read_speed(ws, settings, snapshot)) is not None:
        expected = _expected(speed, work)
        return (LEAST * expected, MOST * expected), MEASURED
    if (same := _earlier_run(ws, settings)) is not None:
        expected = work.tokens * same.seconds / same.tokens
        return (LEAST * expected, MOST * expected), EARLIER
    expected = _expected(_rough_speed(settings, work), work)
    return (expected / ROUGH_MARGIN, expected * ROUGH_MARGIN), ROUGH


def _rough_speed(settings: FinetuneSettings, work: Workload) -> Speed:
    """Return the speed that follows from the number of parameters: 6 FLOP per parameter and token, 4.2 for an adapter."""
    if found := gpus():
        peak = next((tera for name, tera in PEAK_TFLOPS.items() if name in found[0].name), 100) * 1e12
        reached = GPU_USE * peak * min(settings.processes, len(found)) * settings.nodes
    else:
        reached = CPU_USE * cpu_flops()
    flops = 6 * work.parameters * (1 if settings.method == "full" else 0.7)
    reply = max(ROUGH_REPLY, 2 * work.parameters / reached)
    return Speed(ROUGH_LOADING, flops / reached, 0.0, VALIDATION_SHARE * 6 * work.parameters / reached, reply)


def _expected(speed: Speed, work: Workload) -> float:
    evaluation = work.validation_tokens * speed.validation + REPLY_TOKENS * speed.reply + 12 * work.trained / WRITTEN_BYTES
    whole = (
        LIBRARY_SECONDS
        + speed.loading
        + work.tokens * speed.token
        + work.steps * (speed.optimizer + STEP_SECONDS)
        + work.evaluations * evaluation
    )
    return whole / speed.slowdown**0.5


def _earlier_run(ws: Workspace, settings: FinetuneSettings) -> TunedModel | None:
    """Return the newest model of the workspace that was trained from the same base in the same way."""
    same = ("base", "scratch", *SETTINGS)
    wanted = settings.model_dump(mode="json")
    return next((
        model for model in tuned_model_store.list_models(ws)
        if model.seconds > 20 and model.tokens and not model.merged_from and all(model.settings.get(n) == wanted[n] for n in same)
    ), None)  # fmt: skip


def speed_key(settings: FinetuneSettings, snapshot: Snapshot) -> str:
    """Return a hash of everything that a measured speed depends on: model, settings, rows and machine."""
    model: object = settings.scratch.model_dump()
    if settings.base is not None:
        files = [find_model_file(settings.base, name) for name in ("config.json", "model.safetensors")]
        model = [settings.base, *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file)]
    values = [getattr(settings, name) for name in SETTINGS]
    machine = [socket.gethostname(), cores(), [gpu.name for gpu in gpus()]]
    key = json.dumps(
        [model, values, min(settings.global_batch_size, settings.per_device_batch_size), snapshot.manifest.hash, machine]
    )
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def read_speed(ws: Workspace, settings: FinetuneSettings, snapshot: Snapshot) -> Speed | None:
    """Return the measured speed of a run, None if it was not measured or several processes share the work."""
    if settings.world_size > 1:
        return None
    stored = _stored(ws.folder / FILE).get(speed_key(settings, snapshot))
    try:
        return Speed(**stored) if stored else None
    except TypeError:  # of another release
        return None


def write_speed(ws: Workspace, settings: FinetuneSettings, snapshot: Snapshot, speed: Speed) -> None:
    """Store a measured speed."""
    file = ws.writable_folder(FILE)
    file.parent.mkdir(exist_ok=True)
    stored = _stored(file) | {speed_key(settings, snapshot): asdict(speed)}
    with atomic_output(file, folder=False, mark=os.getpid()) as new:
        new.write_text(json.dumps(stored, indent=1), "utf-8")


def _stored(file: Path) -> dict:
    try:
        data = json.loads(file.read_text("utf-8"))
        return data if isinstance(data, dict) else {}
    except (OSError, ValueError):
        return {}


@lru_cache(1)
def cpu_flops() -> float:
    """Return the FLOP/s of this machine's CPU in a matrix product."""
    import time

    import numpy as np

    a = np.ones((768, 768), dtype=np.float32)
    a @ a
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return 2 * 768**3 / best
