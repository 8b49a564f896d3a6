"""Training plan: steps, tokens, truncated rows, memory and time of a fine-tuning run before it starts.

The module does not need torch, so a page can update the plan as its form changes.
"""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from math import ceil
from pathlib import Path

from glan_core.dataset.snapshot_store import Snapshot, read_snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.formatting import quoted, size
from glan_core.models import tuned_model_store
from glan_core.training.chat_encoding import Encoder, find_model_file, open_encoder
from glan_core.training.recipes import PAPER_BASE
from glan_core.training.settings import FinetuneSettings
from glan_core.training.tiny_model import BOS, EOS, count_parameters, train_tokenizer
from glan_core.training.training_texts import RowSample, TokenCounts, encoded_rows, training_texts
from glan_core.workspace import Workspace

SAMPLE = 1000  # rows tokenized for the estimate
CHARACTERS = 4.2  # English characters per token, used if the tokenizer is not stored locally
KNOWN_SIZES = {PAPER_BASE: 7_241_732_096}
PEAK_TFLOPS = {  # dense bf16, from the manufacturers' data sheets
    "H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 6000 Ada": 364, "RTX 4090": 165, "RTX 3090": 71, "A10": 125, "L4": 121,
    "T4": 65, "V100": 125,
}  # fmt: skip
GPU_USE = (0.15, 0.45)  # range of the peak throughput that fine-tuning reaches
CPU_USE = (0.25, 0.7)  # range of the matrix product throughput that fine-tuning reaches


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of this machine: name and memory in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Estimate of a fine-tuning run.

    Attributes:
        rows: Training rows.
        held_out: Validation rows.
        cut: Rows truncated at the length limit.
        dropped: Rows dropped because the question alone fills the limit.
        steps: Optimizer steps.
        steps_per_epoch: Optimizer steps per epoch.
        warmup: Warmup steps.
        tokens: Tokens of all epochs, without padding.
        trained_tokens: Tokens in the loss, of all epochs.
        parameters: Parameters of the model, None if unknown.
        trained_parameters: Trainable parameters, None if unknown.
        memory: Bytes per device, None if the model size is unknown.
        seconds: Range of the duration in seconds, None if the model size is unknown.
        basis: What the token counts are estimated from.
        warnings: Sentences about likely mistakes in the settings.
    """

    rows: int
    held_out: int
    cut: int
    dropped: int
    steps: int
    steps_per_epoch: int
    warmup: int
    tokens: int
    trained_tokens: int
    parameters: int | None
    trained_parameters: int | None
    memory: int | None
    seconds: tuple[float, float] | None
    basis: str
    warnings: tuple[str, ...]


def plan(ws: Workspace, settings: FinetuneSettings) -> TrainingPlan:
    """Estimate a fine-tuning run.

    Raises:
        GlanError: If the snapshot does not exist or the tokenizer of the base model cannot be read.
    """
    snapshot = read_snapshot(ws, settings.snapshot)
    counted, basis = count_rows(str(ws.folder), settings)
    steps = count_steps(settings, counted)
    per_epoch = steps_per_epoch(settings, counted)
    parameters = model_parameters(settings)
    trained = parameters if settings.method == "full" else parameters and _adapter_size(settings)
    passes = steps / per_epoch
    made = TrainingPlan(
        rows=counted.rows, held_out=snapshot.manifest.rows.get(VALIDATION, 0), cut=counted.cut, dropped=counted.dropped, steps=steps,
        steps_per_epoch=per_epoch, warmup=count_warmup_steps(settings, steps), tokens=round(counted.tokens * passes),
        trained_tokens=round(counted.trained * passes), parameters=parameters, trained_parameters=trained,
        memory=parameters and _memory(settings, counted, parameters, trained or 0),
        seconds=_seconds(ws, settings, counted.tokens * passes, parameters) if parameters else None, basis=basis, warnings=(),
    )  # fmt: skip
    return replace(made, warnings=_warnings(ws, settings, made))


def check_settings(ws: Workspace, settings: FinetuneSettings) -> None:
    """Check that a run can start.

    Raises:
        GlanError: If the snapshot does not exist, the model name exists, the base model is unavailable, or disk space is low.
    """
    read_snapshot(ws, settings.snapshot)
    if tuned_model_store.model_folder(ws, settings.name).exists():
        raise GlanError(f"Model {quoted(settings.name)} already exists. Choose another name.")
    if settings.base is not None and find_model_file(settings.base, "config.json") is None:
        if (
            Path(settings.base).expanduser().is_dir()
            or settings.base.startswith((".", "/", "~"))
            or settings.base.count("/") != 1
        ):
            raise GlanError(
                f"There are no weights in {settings.base}. Use a folder with config.json, tokenizer and safetensors files."
            )
        from glan_core.io import hub_reachability

        if not hub_reachability.is_reachable():
            raise GlanError(
                f"Base model {settings.base} is not stored locally, and the Hub cannot be reached. Use a folder, or run "
                f"'hf download {settings.base}' with a network connection."
            )
    need, free = _disk(settings), shutil.disk_usage(ws.folder).free
    if need and need > free:
        raise GlanError(
            f"The run needs about {size(need)} of disk space in {ws.folder}, and {size(free)} are free. Free some space first."
        )


def steps_per_epoch(settings: FinetuneSettings, counted: TokenCounts) -> int:
    """Return the optimizer steps per epoch; with packing there are fewer, longer rows."""
    rows = ceil(counted.tokens / settings.max_length) if settings.packing else counted.rows
    batches = ceil(rows / (min(settings.per_device_batch_size, settings.global_batch_size) * settings.processes))
    return max(1, ceil(batches / settings.accumulation))


def count_steps(settings: FinetuneSettings, counted: TokenCounts) -> int:
    """Return the optimizer steps of a run."""
    return max(1, ceil(settings.epochs * steps_per_epoch(settings, counted)))


def count_warmup_steps(settings: FinetuneSettings, steps: int) -> int:
    """Return the warmup steps: the explicit number, or at least one for a nonzero ratio."""
    if settings.warmup_steps is not None:
        return settings.warmup_steps
    return max(1, round(settings.warmup_ratio * steps)) if settings.warmup_ratio else 0


@dataclass(frozen=True, slots=True)
class _CountKey:
    """Everything that token counts depend on; the snapshot hash invalidates cached counts."""

    folder: str
    snapshot: str
    hash: str
    base: str | None
    vocabulary: int
    rows: int | None
    seed: int
    max_length: int


@lru_cache(32)
def _count(key: _CountKey) -> tuple[TokenCounts, str]:
    snapshot = read_snapshot(Workspace(Path(key.folder)), key.snapshot)
    counted = TokenCounts()
    selected = min(key.rows or snapshot.manifest.rows.get(TRAIN, 0), snapshot.manifest.rows.get(TRAIN, 0))
    sample = min(selected, SAMPLE)
    encoder = plan_encoder(snapshot, key.base, key.vocabulary, key.rows, key.seed)
    if encoder is None:
        texts = list(islice(training_texts(snapshot, key.rows, key.seed), 2 * sample))
        questions, answers = (sum(map(len, texts[n::2])) for n in (0, 1))
        counted.rows, counted.tokens = sample, round((questions + answers) / CHARACTERS) + 30 * sample
        counted.trained = round(answers / CHARACTERS)
        basis = f"{CHARACTERS} characters per token, because the tokenizer of {key.base} is not stored locally"
    else:
        rows = encoded_rows(RowSample(snapshot, TRAIN, key.rows, key.seed), encoder, key.max_length, counted)
        for _ in islice(rows, sample):
            pass
        basis = "all rows" if sample == selected else f"{sample:,} rows"
    share = selected / max(1, counted.rows + counted.dropped)
    for name in ("rows", "cut", "dropped", "tokens", "trained"):
        setattr(counted, name, round(getattr(counted, name) * share))
    return counted, basis


def count_rows(folder: str, settings: FinetuneSettings) -> tuple[TokenCounts, str]:
    """Estimate the token counts of a snapshot from up to `SAMPLE` rows; return them and the basis of the estimate."""
    manifest = read_snapshot(Workspace(Path(folder)), settings.snapshot).manifest
    return _count(_CountKey(
        folder, settings.snapshot, manifest.hash, settings.base, settings.scratch.vocabulary, settings.rows, settings.seed,
        settings.max_length,
    ))  # fmt: skip


@lru_cache(4)
def _scratch_encoder(folder: Path, hash: str, vocabulary: int, rows: int | None, seed: int) -> Encoder:
    from glan_core.training.chat_encoding import alpaca_template

    snapshot = read_snapshot(Workspace(folder.parents[1]), folder.name)
    texts = islice(training_texts(snapshot, rows, seed), 2 * SAMPLE)
    return Encoder(train_tokenizer(texts, vocabulary), alpaca_template(), bos=BOS, eos=EOS)


def plan_encoder(snapshot: Snapshot, base: str | None, vocabulary: int, rows: int | None, seed: int) -> Encoder | None:
    """Return the encoder of a base model, or of a model initialized from scratch (None), trained on the first rows.

    Returns:
        None if the tokenizer of the base model is not stored locally.
    """
    if base is None:
        return _scratch_encoder(snapshot.folder, snapshot.manifest.hash, vocabulary, rows, seed)
    return None if find_model_file(base, "tokenizer.json") is None else open_encoder(base)


def model_parameters(settings: FinetuneSettings) -> int | None:
    """Return the number of parameters from the model configuration, or None if it is not stored locally."""
    if settings.base is None:
        return count_parameters(settings.scratch)
    config = _config(settings.base)
    if config is None:
        return KNOWN_SIZES.get(settings.base)
    try:
        hidden, layers, vocabulary = config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or hidden // heads
        kv = (config.get("num_key_value_heads") or heads) * head
        experts = config.get("num_local_experts") or config.get("num_experts") or 1
        layer = 2 * hidden * heads * head + 2 * hidden * kv + 3 * hidden * config.get("intermediate_size", 4 * hidden) * experts
        tied = 1 if config.get("tie_word_embeddings") else 2
        return layers * (layer + 2 * hidden) + tied * vocabulary * hidden + hidden
    except (KeyError, TypeError):
        return None


def _config(base: str) -> dict | None:
    file = find_model_file(base, "config.json")
    try:
        config = json.loads(file.read_text("utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return config and (config.get("text_config") or config)


def _adapter_size(settings: FinetuneSettings) -> int:
    """Return the parameters of a LoRA adapter to all linear layers: rank times (input + output width) of each."""
    config = (settings.base and _config(settings.base)) or {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                                     "num_key_value_heads": 8, "intermediate_size": 14_336}  # fmt: skip
    hidden, heads = config.get("hidden_size", 0), config.get("num_attention_heads", 1)
    head = config.get("head_dim") or hidden // heads
    kv = (config.get("num_key_value_heads") or heads) * head
    inner = config.get("intermediate_size", 4 * hidden)
    widths = 2 * (hidden + heads * head) + 2 * (hidden + kv) + 3 * (hidden + inner)
    return settings.lora_rank * config.get("num_hidden_layers", 0) * widths


def _memory(settings: FinetuneSettings, counted: TokenCounts, parameters: int, trained: int) -> int:
    """Estimate the training memory of a device in bytes.

    Counts weights, gradients and Adam moments of the trained parameters in fp32, activations and logits. Activations follow a
    rule of thumb (Korthikanti et al., arXiv 2205.05198): 34 bytes per token, layer and hidden unit at 2 bytes per value, 4
    with gradient checkpointing.
    """
    config = _config(settings.base) if settings.base else settings.scratch.model_dump()
    config = config or {"hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32_000}
    hidden, layers = (
        config.get("hidden_size", config.get("hidden", 0)),
        config.get("num_hidden_layers", config.get("layers", 0)),
    )
    vocabulary = config.get("vocab_size", config.get("vocabulary", 0))
    gpu = bool(gpus())
    size = 2 if gpu and settings.precision != "fp32" else 4
    length = settings.max_length if settings.packing else min(settings.max_length, 2 * counted.tokens // max(1, counted.rows))
    tokens = min(settings.per_device_batch_size, settings.global_batch_size) * length
    kept = (
        2
        if settings.gradient_checkpointing or (settings.gradient_checkpointing is None and gpu and settings.method == "full")
        else 17
    )
    weights = parameters * (4 if settings.method == "full" else 0.6 if settings.method == "qlora" else size)
    return round(
        (weights + trained * 12) / max(1, settings.processes) + tokens * (hidden * layers * kept * size + 2 * vocabulary * 4)
    )


def _seconds(ws: Workspace, settings: FinetuneSettings, tokens: float, parameters: int) -> tuple[float, float]:
    """Estimate the duration range of a run in seconds.

    Uses the throughput of an earlier model of similar size in the workspace, else 6 FLOPs per token and parameter (Kaplan et
    al., arXiv 2001.08361) at the throughput of this machine.
    """
    same = [m for m in tuned_model_store.list_models(ws) if m.seconds > 20 and m.tokens and 0.8 < m.parameters / parameters < 1.25
            and (m.form == "full") == (settings.method == "full")]  # fmt: skip
    if same:
        seconds = tokens * same[0].seconds / same[0].tokens
        return 0.8 * seconds, 1.3 * seconds
    work = 6 * tokens * parameters * (1 if settings.method == "full" else 0.7)
    if found := gpus():
        peak = next((tera for name, tera in PEAK_TFLOPS.items() if name in found[0].name), 100) * 1e12
        peak, (least, most) = peak * min(settings.processes, len(found)), GPU_USE
    else:
        peak, (least, most) = cpu_flops(), CPU_USE
    return work / (most * peak), work / (least * peak)


@lru_cache(1)
def cpu_flops() -> float:
    """Return the FLOP/s of this machine's CPU in a matrix product."""
    import numpy as np

    a = np.ones((768, 768), dtype=np.float32)
    a @ a
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return 2 * 768**3 / best


@lru_cache(1)
def gpus() -> tuple[Gpu, ...]:
    """Return the NVIDIA GPUs of this machine, from nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
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


def _disk(settings: FinetuneSettings) -> int | None:
    """Return the bytes of the weights and two checkpoints with Adam moments, or None if the model size is unknown."""
    parameters = model_parameters(settings)
    if parameters is None:
        return None
    trained = parameters if settings.method == "full" else _adapter_size(settings)
    return trained * 4 + 3 * trained * 12


def _warnings(ws: Workspace, settings: FinetuneSettings, made: TrainingPlan) -> tuple[str, ...]:
    found = []
    if made.warmup >= made.steps:
        found.append(
            f"All {made.steps:,} steps are warmup ({made.warmup:,}), so the learning rate never reaches its peak. Set a warmup "
            "ratio instead."
        )
    if settings.method != "full" and settings.learning_rate < 5e-5:
        found.append("A learning rate below 5e-5 is too low for an adapter; 1e-4 to 3e-4 is usual.")
    if settings.method == "full" and settings.base and settings.learning_rate > 1e-4:
        found.append("A learning rate above 1e-4 is too high for training all weights of a base model.")
    if made.cut > 0.02 * made.rows:
        found.append(f"{made.cut:,} rows are truncated at {settings.max_length:,} tokens and lose the end of their answer.")
    room = max((gpu.bytes for gpu in gpus()), default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if made.memory and made.memory > 0.95 * room:
        found.append(
            f"The run needs about {size(made.memory)} of memory, and this machine has {size(room)}. Use a smaller per-device batch "
            f"size, a shorter max length, {'LoRA' if settings.method == 'full' else 'a smaller base model'}, or more devices."
        )
    if not made.held_out:
        found.append("The snapshot has no validation split, so overfitting cannot be detected.")
    return tuple(found)
