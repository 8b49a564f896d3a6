"""Training loop: encodes rows, loads the model, runs the trainer and stores the tuned model."""

import errno
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from glan_core.dataset.snapshot_store import Snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.io.atomic import atomic_output
from glan_core.io.packaged_models import name_base_in
from glan_core.models import tuned_model_store
from glan_core.models.checkpoints import copy_checkpoints, step_of
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress, Stopped
from glan_core.runs.states import KEPT
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.settings import FinetuneSettings
from glan_core.training.training_texts import (
    CHUNK,
    MOST_HELD_OUT,
    RowSample,
    TokenCounts,
    check_rows,
    encoded_rows,
    first_prompts,
    training_texts,
)
from glan_core.workspace import Workspace, training_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from glan_core.training.distributed import WorkerProgress
    from glan_core.training.model_loading import LoadedModel
    from glan_core.training.trainer import SnapshotTrainer

FOLDER = "training"  # workspace folder of checkpoints
TENSORBOARD = "tensorboard"  # workspace folder of event files, one folder per run
STATE = "trainer_state.json"  # written last: a checkpoint without it is incomplete


@dataclass(frozen=True)
class TrainingRun:
    """A fine-tuning run.

    Attributes:
        ws: Workspace.
        settings: Settings of the run.
        snapshot: Dataset to train on.
        folder: Folder of checkpoints and encoded rows.
        progress: Progress of the run.
    """

    ws: Workspace
    settings: FinetuneSettings
    snapshot: Snapshot
    folder: Path
    progress: "Progress | WorkerProgress"


@dataclass(frozen=True)
class EncodedRows:
    """Tokenized training and validation rows, memory-mapped from files, and their counts."""

    train: "Dataset"
    validation: "Dataset | None"
    counts: TokenCounts
    validation_counts: TokenCounts


def rank() -> int:
    """Return the rank of this process in distributed training."""
    return int(os.environ.get("RANK", 0))


def train(run: TrainingRun) -> None:
    """Train in this process, which may be one of several distributed workers, and store the model.

    Raises:
        Stopped: If the run was paused or canceled; a checkpoint is stored.
    """
    loaded = load_model(run)
    rows = encode_rows(run, loaded)
    trainer = create_trainer(run, loaded, rows)
    if run.settings.world_size > 1 and rank() == 0:
        kind = trainer.accelerator.distributed_type.value
        print(f"{run.settings.world_size} processes, {kind}.", flush=True)  # in the log of the run
    trainer.train(resume_from_checkpoint=newest_checkpoint(run.folder))
    if run.progress.wish and run.progress.wish != KEPT:
        raise Stopped(run.progress.wish)
    if run.settings.world_size > 1:  # every process holds a shard of the weights
        trainer.save_model(str(run.folder / tuned_model_store.WEIGHTS))
    if trainer.is_world_process_zero():
        target = tuned_model_store.model_folder(run.ws, run.settings.name)
        with atomic_output(target, folder=True, mark=run.progress.run_id) as new:
            _store_model(run, loaded, rows, trainer, new)


def newest_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint of a run, or None; removes incomplete ones left by a kill."""
    found = []
    for path in folder.glob("checkpoint-*"):
        if (path / STATE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return str(max(found, key=step_of)) if found else None


def load_model(run: TrainingRun) -> "LoadedModel":
    """Load the base model, or initialize one, and prepare it for training."""
    from glan_core.training import model_loading, tiny_model

    settings = run.settings
    precision = model_loading.choose_precision(settings.precision)
    if settings.base is not None:
        return model_loading.prepare_model(*model_loading.load_base(settings, precision), settings, precision)
    texts = training_texts(run.snapshot, settings.rows, settings.seed)
    tokenizer = tiny_model.wrap_tokenizer(tiny_model.train_tokenizer(texts, settings.scratch.vocabulary))
    model = tiny_model.make_model(settings.scratch, len(tokenizer), settings.seed)
    loaded = model_loading.prepare_model(model, tokenizer, settings, precision)
    base = run.folder / tuned_model_store.BASE
    if not base.exists() and rank() == 0:  # kept untrained, for comparison with the tuned model
        with atomic_output(base, folder=True, mark="base") as new:
            _save_weights(loaded, new)
    return loaded


def encode_rows(run: TrainingRun, loaded: "LoadedModel") -> EncodedRows:
    """Tokenize the training and validation rows into files."""
    settings, snapshot = run.settings, run.snapshot
    available = snapshot.manifest.rows.get(TRAIN, 0)
    planned = min(settings.rows or available, available)
    counts, validation_counts = TokenCounts(), TokenCounts()

    def step(done: int) -> None:
        run.progress.step("rows read", done, planned)

    sample = RowSample(snapshot, TRAIN, settings.rows, settings.seed)
    rows = _write_rows(
        run.folder / f"train-{rank()}.arrow", encoded_rows(sample, loaded.encoder, settings.max_length, counts, step)
    )
    check_rows(counts, settings.max_length)
    held_out = RowSample(snapshot, VALIDATION, MOST_HELD_OUT, settings.seed)
    validation = _write_rows(
        run.folder / f"validation-{rank()}.arrow",
        encoded_rows(held_out, loaded.encoder, settings.max_length, validation_counts),
    )
    return EncodedRows(rows, validation if validation_counts.rows else None, counts, validation_counts)


def _write_rows(file: Path, rows: Iterator[dict]) -> "Dataset":
    """Write rows to an Arrow file, so that memory use does not grow with their number."""
    import pyarrow as pa
    from datasets import Dataset

    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, schema) as stream:
        while chunk := list(islice(rows, CHUNK)):
            stream.write_batch(pa.RecordBatch.from_pylist(chunk, schema))
    return Dataset.from_file(str(file))


def create_trainer(run: TrainingRun, loaded: "LoadedModel", rows: EncodedRows) -> "SnapshotTrainer":
    """Return the trainer of a run."""
    from transformers import PrinterCallback, ProgressCallback

    from glan_core.training.plan import count_steps, count_warmup_steps
    from glan_core.training.trainer import LogCallback, SnapshotTrainer, trainer_arguments

    settings = run.settings
    steps = count_steps(settings, rows.counts)
    args = trainer_arguments(
        settings, loaded, str(run.folder), steps=steps, every=max(1, math.ceil(steps / settings.evaluations)),
        validation=rows.validation is not None, warmup=count_warmup_steps(settings, steps),
    )  # fmt: skip
    # Read by the TensorBoard callback when the trainer is made.
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.ws.folder / TENSORBOARD / f"{settings.name}-run{run.progress.run_id}")
    # Evaluated before the first step, the curves show the gain over the base model; a resumed run has this already.
    args.eval_on_start = rows.validation is not None and newest_checkpoint(run.folder) is None
    prompts = settings.prompts or first_prompts(run.snapshot)
    log = LogCallback(run.ws, run.progress, loaded, prompts, settings.patience)
    trainer = SnapshotTrainer(
        model=loaded.model, args=args, train_dataset=rows.train, eval_dataset=rows.validation,
        processing_class=loaded.tokenizer, callbacks=[log], lengths=rows.counts.lengths,
        bucket=min(settings.per_device_batch_size, settings.global_batch_size),
    )  # fmt: skip
    log.trainer = trainer
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def _store_model(run: TrainingRun, loaded: "LoadedModel", rows: EncodedRows, trainer: "SnapshotTrainer", new: Path) -> None:
    """Write weights and model info into the new folder of the model."""
    settings, manifest, run_id, counts = run.settings, run.snapshot.manifest, run.progress.run_id, rows.counts
    if settings.world_size > 1:
        loaded.tokenizer.save_pretrained(run.folder / tuned_model_store.WEIGHTS)
        shutil.copytree(
            run.folder / tuned_model_store.WEIGHTS, new / tuned_model_store.WEIGHTS, ignore=shutil.ignore_patterns("*.bin")
        )
    else:
        _save_weights(loaded, new / tuned_model_store.WEIGHTS)
    if settings.base is None:
        shutil.copytree(run.folder / tuned_model_store.BASE, new / tuned_model_store.BASE)
    last = training_rows.last_step(run.ws.db, run_id)
    logged = training_rows.steps(run.ws.db, run_id)
    losses = {"train": next((step.loss for step in reversed(logged) if step.loss is not None), None)}
    by_step = {step.step: step.validation_loss for step in logged if step.validation_loss is not None}
    base_loss = by_step.pop(0, None)
    validation = list(by_step.values())
    if validation:
        losses |= {"validation": min(validation) if settings.keep_best else validation[-1], "base": base_loss}
    kept = (
        sorted(run.folder.glob("checkpoint-*"), key=step_of)[-settings.keep_checkpoints :] if settings.keep_checkpoints else []
    )
    model = TunedModel(
        name=settings.name, form="full" if settings.method == "full" else "adapter", base=settings.base or "",
        recipe=settings.recipe, snapshot=manifest.name, snapshot_hash=manifest.hash,
        disciplines=dict(counts.disciplines.most_common()), rows=counts.rows, held_out=manifest.rows.get(VALIDATION, 0),
        tokens=last.tokens if last else 0, steps=trainer.state.global_step, epochs=round(trainer.state.epoch or 0.0, 2),
        seconds=last.seconds if last else 0.0, losses={name: loss for name, loss in losses.items() if loss is not None},
        bits_per_byte=bits_per_byte(losses.get("validation"), rows.validation_counts),
        parameters=loaded.parameters, trained_parameters=loaded.trained_parameters, precision=loaded.precision,
        template="base" if loaded.encoder.own_template else "alpaca",
        bytes=tuned_model_store.folder_size(new / tuned_model_store.WEIGHTS),
        weights_hash=tuned_model_store.hash_weights(new / tuned_model_store.WEIGHTS), run_id=run_id, created_at=time.time(),
        settings=settings.model_dump(mode="json"), stopped_early=run.progress.wish == KEPT,
        checkpoints=copy_checkpoints(kept, new, by_step), base_hash=_base_hash(settings),
    )  # fmt: skip
    (new / tuned_model_store.FILE).write_text(model.model_dump_json(indent=1), "utf-8")


def _base_hash(settings: FinetuneSettings) -> str:
    """Return the hash of the base that an adapter was trained on, '' for other methods and unknown folders."""
    if settings.method == "full" or settings.base is None or (file := find_model_file(settings.base, "config.json")) is None:
        return ""
    return tuned_model_store.hash_weights(file.parent)


def bits_per_byte(loss: float | None, counts: TokenCounts) -> float | None:
    """Return a loss in nats per token as bits per byte of the answers, which tokenizers do not change; None if unknown.

    Source: Gao et al., The Pile, arXiv 2101.00027, section 3.1.
    """
    return None if loss is None or not counts.bytes else loss * counts.trained / (counts.bytes * math.log(2))


def _save_weights(loaded: "LoadedModel", folder: Path) -> None:
    """Save weights (of an adapter only its own) as safetensors, and the tokenizer with its chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    caching, loaded.model.config.use_cache = loaded.model.config.use_cache, True
    loaded.model.save_pretrained(folder)
    loaded.model.config.use_cache = caching
    loaded.tokenizer.save_pretrained(folder)
    name_base_in(folder)


@contextmanager
def readable_errors(run: TrainingRun) -> Iterator[None]:
    """Convert memory and disk errors into messages that say what to do."""
    disk_full = f"The disk of {run.folder} is full. Free some space and resume the run; the last checkpoint is kept."
    try:
        yield
    except MemoryError:
        raise GlanError(_out_of_memory(run.settings, "memory")) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise GlanError(disk_full) from None
        raise
    except RuntimeError as error:
        if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
            kind = "GPU memory" if "CUDA" in str(error) else "memory"
            raise GlanError(_out_of_memory(run.settings, kind)) from None
        if "No space left" in str(error) or "file write failed" in str(error):
            raise GlanError(disk_full) from None
        raise


def _out_of_memory(settings: FinetuneSettings, kind: str) -> str:
    advice = ["a smaller per-device batch size"] if settings.per_device_batch_size > 1 else []
    advice += [f"a max length below {settings.max_length:,} tokens"]
    advice += ["gradient checkpointing"] if not settings.gradient_checkpointing else []
    advice += ["the method LoRA"] if settings.method == "full" and settings.base else []
    return f"The run does not fit into the {kind} of this machine. Use {', or '.join(advice)}."
