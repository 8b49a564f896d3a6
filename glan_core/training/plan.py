"""What a fine-tuning run will do and need, before it is started: steps, tokens, rows that are cut, memory, time.

Nothing here needs torch: a page computes it as a form changes.
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
from glan_core.training.chat_encoding import Encoder, find_file, open_encoder
from glan_core.training.recipes import PAPER_BASE
from glan_core.training.settings import FinetuneSettings
from glan_core.training.tiny_model import BOS, EOS, count_parameters, train_tokenizer
from glan_core.training.training_texts import Counted, encoded_rows, training_texts
from glan_core.workspace import Workspace

SAMPLE = 1000  # rows whose tokens are counted
CHARACTERS = 4.2  # of English text to a token of a usual vocabulary, where the tokenizer is not on this machine
KNOWN_SIZES = {PAPER_BASE: 7_241_732_096}
PEAK_TFLOPS = {  # dense bf16, by the makers' data sheets
    "H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 6000 Ada": 364, "RTX 4090": 165, "RTX 3090": 71, "A10": 125, "L4": 121,
    "T4": 65, "V100": 125,
}  # fmt: skip
GPU_USE = (0.15, 0.45)  # share of the peak that fine-tuning reaches
CPU_USE = (0.25, 0.7)  # share of what a product of large matrices reaches


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of this machine: its name and its memory in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a run will do. `rows` are trained on, `held_out` not; of the rows `cut` are cut at the length limit and `dropped` since
    their question alone fills it; `tokens` (padding not counted) and `trained_tokens` are those of all epochs. Where they are
    estimated, `basis` says from what. `memory` is in bytes, `seconds` a range; None where the size of the model is not known.
    `warnings` are sentences about what is unlikely to be meant."""

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
    """The plan of an order. GlanError when there is no such snapshot, or the base's tokenizer can't be read."""
    snapshot = read_snapshot(ws, settings.snapshot)
    counted, basis = count_rows(str(ws.folder), settings)
    steps = steps_of(settings, counted)
    per_epoch = steps_per_epoch(settings, counted)
    parameters = parameters_of(settings)
    trained = parameters if settings.method == "full" else parameters and _adapter_size(settings)
    passes = steps / per_epoch
    made = TrainingPlan(
        rows=counted.rows, held_out=snapshot.manifest.rows.get(VALIDATION, 0), cut=counted.cut, dropped=counted.dropped, steps=steps,
        steps_per_epoch=per_epoch, warmup=warmup_of(settings, steps), tokens=round(counted.tokens * passes),
        trained_tokens=round(counted.trained * passes), parameters=parameters, trained_parameters=trained,
        memory=parameters and _memory(settings, counted, parameters, trained or 0),
        seconds=parameters and _seconds(ws, settings, counted.tokens * passes, parameters), basis=basis, warnings=(),
    )  # fmt: skip
    return replace(made, warnings=_warnings(ws, settings, made))


def check(ws: Workspace, settings: FinetuneSettings) -> None:
    """GlanError when an order can't be begun: no snapshot, no room for its name, a base that is nowhere to be had, no disk."""
    read_snapshot(ws, settings.snapshot)
    if tuned_model_store.folder_of(ws, settings.name).exists():
        raise GlanError(f"There is already a model {quoted(settings.name)}: choose another name.")
    if settings.base is not None and find_file(settings.base, "config.json") is None:
        if (
            Path(settings.base).expanduser().is_dir()
            or settings.base.startswith((".", "/", "~"))
            or settings.base.count("/") != 1
        ):
            raise GlanError(
                f"There are no weights in {settings.base}: give a folder with config.json, tokenizer and safetensors files."
            )
        from glan_core.io import hub_reachability

        if not hub_reachability.is_reachable():
            raise GlanError(
                f"The base model {settings.base} is not on this machine, and the model hub can't be reached: give a folder, or bring it "
                f"with 'hf download {settings.base}' where there is a network."
            )
    need, free = _disk(settings), shutil.disk_usage(ws.folder).free
    if need and need > free:
        raise GlanError(f"This run needs about {size(need)} on the disk of {ws.folder}, which has {size(free)} left.")


def steps_per_epoch(settings: FinetuneSettings, counted: Counted) -> int:
    """How many optimiser steps go through all rows once; packed rows are fewer, longer ones."""
    rows = ceil(counted.tokens / settings.max_length) if settings.packing else counted.rows
    batches = ceil(rows / (min(settings.per_device_batch_size, settings.global_batch_size) * settings.processes))
    return max(1, ceil(batches / settings.accumulation))


def steps_of(settings: FinetuneSettings, counted: Counted) -> int:
    """How many optimiser steps a run has."""
    return max(1, ceil(settings.epochs * steps_per_epoch(settings, counted)))


def warmup_of(settings: FinetuneSettings, steps: int) -> int:
    """How many of them warm up: those that were asked for, or at least one for a share of the run."""
    if settings.warmup_steps is not None:
        return settings.warmup_steps
    return max(1, round(settings.warmup_ratio * steps)) if settings.warmup_ratio else 0


@lru_cache(32)
def _count(folder: str, name: str, hash: str, base: str | None, vocabulary: int, rows: int | None, seed: int, limit: int):
    snapshot = read_snapshot(Workspace(Path(folder)), name)
    counted = Counted()
    taken = min(rows or snapshot.manifest.rows.get(TRAIN, 0), snapshot.manifest.rows.get(TRAIN, 0))
    sample = min(taken, SAMPLE)
    encoder = encoder_of(snapshot, base, vocabulary, rows, seed)
    if encoder is None:
        texts = list(islice(training_texts(snapshot, rows, seed), 2 * sample))
        questions, answers = (sum(map(len, texts[n::2])) for n in (0, 1))
        counted.rows, counted.tokens = sample, round((questions + answers) / CHARACTERS) + 30 * sample
        counted.trained = round(answers / CHARACTERS)
        basis = f"a token for each {CHARACTERS} characters: the tokenizer of {base} is not on this machine"
    else:
        for _ in islice(encoded_rows(snapshot, TRAIN, encoder, limit, counted, rows, seed), sample):
            pass
        basis = "all rows" if sample == taken else f"{sample:,} rows"
    share = taken / max(1, counted.rows + counted.dropped)
    for name in ("rows", "cut", "dropped", "tokens", "trained"):
        setattr(counted, name, round(getattr(counted, name) * share))
    return counted, basis


def count_rows(folder: str, settings: FinetuneSettings) -> tuple[Counted, str]:
    """The rows of an order's snapshot in tokens, from a sample of at most `SAMPLE` and scaled up; and what it rests on."""
    manifest = read_snapshot(Workspace(Path(folder)), settings.snapshot).manifest
    return _count(
        folder,
        settings.snapshot,
        manifest.hash,
        settings.base,
        settings.scratch.vocabulary,
        settings.rows,
        settings.seed,
        settings.max_length,
    )


@lru_cache(4)
def _scratch_encoder(folder: Path, hash: str, vocabulary: int, rows: int | None, seed: int) -> Encoder:
    from glan_core.training.chat_encoding import alpaca_template

    snapshot = read_snapshot(Workspace(folder.parents[1]), folder.name)
    texts = islice(training_texts(snapshot, rows, seed), 2 * SAMPLE)
    return Encoder(train_tokenizer(texts, vocabulary), alpaca_template(), bos=BOS, eos=EOS)


def encoder_of(snapshot: Snapshot, base: str | None, vocabulary: int, rows: int | None, seed: int) -> Encoder | None:
    """How rows of a snapshot are written for a base model; for a student made from nothing (None) as far as the first rows tell.
    None where the base's tokenizer is not on this machine."""
    if base is None:
        return _scratch_encoder(snapshot.folder, snapshot.manifest.hash, vocabulary, rows, seed)
    return None if find_file(base, "tokenizer.json") is None else open_encoder(base)


def parameters_of(settings: FinetuneSettings) -> int | None:
    """How many numbers the student has, from its configuration; None where that is not on this machine."""
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
    file = find_file(base, "config.json")
    try:
        config = json.loads(file.read_text("utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return config and (config.get("text_config") or config)


def _adapter_size(settings: FinetuneSettings) -> int:
    """The numbers of a LoRA adapter to every linear layer: rank times the widths at both ends of each."""
    config = _config(settings.base) or {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                                     "num_key_value_heads": 8, "intermediate_size": 14_336}  # fmt: skip
    hidden, heads = config.get("hidden_size", 0), config.get("num_attention_heads", 1)
    head = config.get("head_dim") or hidden // heads
    kv = (config.get("num_key_value_heads") or heads) * head
    inner = config.get("intermediate_size", 4 * hidden)
    widths = 2 * (hidden + heads * head) + 2 * (hidden + kv) + 3 * (hidden + inner)
    return settings.lora_rank * config.get("num_hidden_layers", 0) * widths


def _memory(settings: FinetuneSettings, counted: Counted, parameters: int, trained: int) -> int:
    """Bytes that training needs on a device: weights, of what is trained gradient and Adam's two averages in fp32, and what is
    kept of a batch for the way back.

    The last is a rule of thumb (Korthikanti et al., arXiv 2205.05198): 34 numbers a token, layer and width in 2 bytes, one with
    checkpointing, and the logits.
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
    kept = 2 if settings.gradient_checkpointing or (settings.gradient_checkpointing is None and gpu and settings.method == "full") else 17
    weights = parameters * (4 if settings.method == "full" else 0.6 if settings.method == "qlora" else size)
    return round(
        (weights + trained * 12) / max(1, settings.processes) + tokens * (hidden * layers * kept * size + 2 * vocabulary * 4)
    )


def _seconds(ws: Workspace, settings: FinetuneSettings, tokens: float, parameters: int) -> tuple[float, float]:
    """How long a run takes: 6 operations a token and parameter (Kaplan et al., arXiv 2001.08361), at the pace of this machine; or the
    pace of earlier models of this workspace of the same size."""
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
        peak, (least, most) = processor_pace(), CPU_USE
    return work / (most * peak), work / (least * peak)


@lru_cache(1)
def processor_pace() -> float:
    """Operations a second that this machine's processor reaches in a product of matrices."""
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
    """The NVIDIA GPUs of this machine, as its driver tells."""
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"], capture_output=True, text=True,
            timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    found = (re.fullmatch(r"(.+), *(\d+)", line.strip()) for line in told.splitlines())
    return tuple(Gpu(match[1], int(match[2]) << 20) for match in found if match)


def _disk(settings: FinetuneSettings) -> int | None:
    """Bytes of weights, and of two checkpoints with Adam's averages."""
    parameters = parameters_of(settings)
    if parameters is None:
        return None
    trained = parameters if settings.method == "full" else _adapter_size(settings)
    return trained * 4 + 3 * trained * 12


def _warnings(ws: Workspace, settings: FinetuneSettings, made: TrainingPlan) -> tuple[str, ...]:
    found = []
    if made.warmup >= made.steps:
        found.append(
            f"All {made.steps:,} steps are warm-up ({made.warmup:,}): the learning rate never reaches its peak. Give a share of the "
            "run instead."
        )
    if settings.method != "full" and settings.learning_rate < 5e-5:
        found.append("A learning rate below 5e-5 is too low for an adapter: 1e-4 to 3e-4 is usual.")
    if settings.method == "full" and settings.base and settings.learning_rate > 1e-4:
        found.append("A learning rate above 1e-4 destroys more of a whole base model than it teaches.")
    if made.cut > 0.02 * made.rows:
        found.append(f"{made.cut:,} rows are cut at {settings.max_length:,} tokens and lose the end of their answer.")
    room = max((gpu.bytes for gpu in gpus()), default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if made.memory and made.memory > 0.95 * room:
        found.append(
            f"It needs about {size(made.memory)} of memory, and this machine has {size(room)}: choose fewer rows at once, a shorter "
            f"length, {'LoRA' if settings.method == 'full' else 'a smaller base'}, or more devices."
        )
    if not made.held_out:
        found.append("The snapshot holds no rows out: nothing will tell when the student begins to learn by heart.")
    return tuple(found)
