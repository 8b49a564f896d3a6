"""Training plan: steps, tokens, truncated rows, memory and time of a fine-tuning run before it starts.

The module does not need torch, so a page can update the plan as its form changes.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from math import ceil
from pathlib import Path

from glan_core.dataset.snapshot_store import Snapshot, read_snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.processes import cores
from glan_core.training.chat_encoding import Encoder, find_model_file, open_encoder
from glan_core.training.memory_estimate import MemoryEstimate, estimate_memory, gpus
from glan_core.training.model_shape import model_shape
from glan_core.training.settings import FinetuneSettings
from glan_core.training.time_estimate import Workload, estimate_seconds
from glan_core.training.tiny_model import BOS, EOS, train_tokenizer
from glan_core.training.training_texts import MOST_HELD_OUT, RowSample, TokenCounts, encoded_rows, training_texts
from glan_core.workspace import Workspace

SAMPLE = 1000  # rows tokenized for the estimate
CHARACTERS = 4.2  # English characters per token, used if the tokenizer is not stored locally


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
        memory: Memory per device, None if the model size is unknown.
        seconds: Range of the duration in seconds, None if the model size is unknown.
        time_basis: What the duration is estimated from: `time_estimate.MEASURED`, `EARLIER` or `ROUGH`.
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
    memory: MemoryEstimate | None
    seconds: tuple[float, float] | None
    time_basis: str
    basis: str
    warnings: tuple[str, ...]


def plan(ws: Workspace, settings: FinetuneSettings) -> TrainingPlan:
    """Estimate a fine-tuning run.

    Raises:
        GlanError: If the snapshot does not exist or the tokenizer of the base model cannot be read.
    """
    snapshot = read_snapshot(ws, settings.snapshot)
    counted, basis = count_rows(str(ws.folder), settings)
    steps, per_epoch = count_steps(settings, counted), steps_per_epoch(settings, counted)
    shape = model_shape(settings)
    parameters = shape.parameters if shape else None
    trained = parameters if settings.method == "full" else shape.adapter(settings.lora_rank) if shape else None
    passes, held_out = count_passes(settings, counted, steps), snapshot.manifest.rows.get(VALIDATION, 0)
    seconds, time_basis = None, ""
    if parameters:
        validation_tokens = min(held_out, MOST_HELD_OUT) * counted.tokens / max(1, counted.rows)
        evaluations = max(1, steps // ceil(steps / settings.evaluations)) if held_out else 0
        work = Workload(counted.tokens * passes, steps, evaluations, validation_tokens, parameters, trained or 0)
        seconds, time_basis = estimate_seconds(ws, settings, snapshot, work)
    made = TrainingPlan(
        rows=counted.rows, held_out=held_out, cut=counted.cut, dropped=counted.dropped, steps=steps, steps_per_epoch=per_epoch,
        warmup=count_warmup_steps(settings, steps), tokens=round(counted.tokens * passes),
        trained_tokens=round(counted.trained * passes), parameters=parameters, trained_parameters=trained,
        memory=estimate_memory(settings, shape, longest_row(settings, counted)) if shape else None, seconds=seconds,
        time_basis=time_basis, basis=basis, warnings=(),
    )  # fmt: skip
    return replace(made, warnings=_warnings(settings, made, shape.positions if shape else None))


def longest_row(settings: FinetuneSettings, counted: TokenCounts) -> int:
    """Return the tokens of the longest row, which decides the memory of the largest batch."""
    if counted.lengths:
        return max(counted.lengths)
    return min(settings.max_length, 2 * counted.tokens // max(1, counted.rows))  # without a tokenizer


def count_passes(settings: FinetuneSettings, counted: TokenCounts, steps: int) -> float:
    """Return how often the rows are read: the last step of an epoch is smaller than those of an epoch that stops early."""
    whole, rest = divmod(steps, steps_per_epoch(settings, counted))
    return whole + min(1.0, rest * settings.accumulation * _batch_rows(settings) / max(1, _epoch_rows(settings, counted)))


def _epoch_rows(settings: FinetuneSettings, counted: TokenCounts) -> int:
    """Return the rows per epoch; with packing there are fewer, longer ones."""
    return ceil(counted.tokens / settings.max_length) if settings.packing else counted.rows


def _batch_rows(settings: FinetuneSettings) -> int:
    return settings.device_batch_size * settings.world_size


def steps_per_epoch(settings: FinetuneSettings, counted: TokenCounts) -> int:
    """Return the optimizer steps per epoch."""
    batches = ceil(_epoch_rows(settings, counted) / _batch_rows(settings))
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


def _warnings(settings: FinetuneSettings, made: TrainingPlan, positions: int | None) -> tuple[str, ...]:
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
    if positions and settings.max_length > positions:
        found.append(
            f"The max length of {settings.max_length:,} tokens is above the context of the base model, which has {positions:,}."
        )
    if settings.processes > 1 and not settings.on_cluster and not gpus() and settings.processes > cores():
        found.append(f"{settings.processes} processes share {cores()} cores, and each needs the whole memory.")
    if not made.held_out:
        found.append("The snapshot has no validation split, so overfitting cannot be detected.")
    return tuple(found)
