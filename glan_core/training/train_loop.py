"""Training itself, in the process that does it: rows, student, trainer, and the model put into its place."""

import errno
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from glan_core.dataset.snapshot_store import Snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.io.atomic import atomic_output
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress, Stopped
from glan_core.runs.states import KEPT
from glan_core.training.settings import FinetuneSettings
from glan_core.training.training_texts import (
    CHUNK,
    MOST_HELD_OUT,
    Counted,
    check_rows,
    encoded_rows,
    first_prompts,
    training_texts,
)
from glan_core.workspace import Workspace, training_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from glan_core.training.model_loading import LoadedModel
    from glan_core.training.trainer import SnapshotTrainer

RANK = int(os.environ.get("RANK", 0))  # of this process among those that train together
FOLDER = "training"  # in the workspace: what a run needs to go on
STATE = "trainer_state.json"  # written last: a checkpoint without it is half of one


def train(ws: Workspace, settings: FinetuneSettings, progress: Progress, snapshot: Snapshot, folder: Path) -> None:
    """Train in this process, which may be one of several that share the work, and put the model into its place. Stopped when
    a person wishes so, with a checkpoint stored."""
    _set_threads()
    student = _student(settings, snapshot, folder)
    rows, held_out, counted = _encoded(settings, snapshot, student, folder, progress)
    trainer = _trainer(ws, settings, snapshot, student, rows, held_out, counted, folder, progress)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
    if progress.wish and progress.wish != KEPT:
        raise Stopped(progress.wish)
    if settings.processes > 1:  # every process has a part of the weights
        trainer.save_model(str(folder / tuned_model_store.WEIGHTS))
    if trainer.is_world_process_zero():
        with atomic_output(tuned_model_store.folder_of(ws, settings.name), folder=True, mark=progress.run_id) as new:
            _keep(ws, settings, snapshot, student, counted, trainer, new, progress)


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint of a run; halves that a kill left are removed."""
    found = []
    for path in folder.glob("checkpoint-*"):
        if (path / STATE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


def _student(settings: FinetuneSettings, snapshot: Snapshot, folder: Path) -> "LoadedModel":
    from glan_core.training import model_loading, tiny_model

    precision = model_loading.choose_precision(settings.precision)
    if settings.base is not None:
        return model_loading.ready(*model_loading.load_base(settings, precision), settings, precision)
    tokenizer = tiny_model.wrap_tokenizer(
        tiny_model.train_tokenizer(training_texts(snapshot, settings.rows, settings.seed), settings.scratch.vocabulary)
    )
    made = model_loading.ready(
        tiny_model.make_model(settings.scratch, len(tokenizer), settings.seed), tokenizer, settings, precision
    )
    if (
        not (base := folder / tuned_model_store.BASE).exists() and RANK == 0
    ):  # kept as it is, to be shown beside what comes of it
        with atomic_output(base, folder=True, mark="base") as new:
            _save(made, new)
    return made


def _encoded(
    settings: FinetuneSettings, snapshot: Snapshot, student: "LoadedModel", folder: Path, progress: Progress
) -> tuple["Dataset", "Dataset | None", Counted]:
    """Training and held-out rows as tokens, in files, so that memory does not grow with them."""
    planned = min(settings.rows or math.inf, snapshot.manifest.rows.get(TRAIN, 0))
    counted, aside = Counted(), Counted()

    def step(done: int) -> None:
        progress.step("rows read", done, planned)

    rows = _filed(
        folder / f"train-{RANK}.arrow",
        encoded_rows(snapshot, TRAIN, student.encoder, settings.max_length, counted, settings.rows, settings.seed, step),
    )
    check_rows(counted, settings.max_length)
    held = encoded_rows(snapshot, VALIDATION, student.encoder, settings.max_length, aside, MOST_HELD_OUT, settings.seed)
    held_out = _filed(folder / f"validation-{RANK}.arrow", held)
    return rows, held_out if aside.rows else None, counted


def _filed(file: Path, rows: Iterator[dict]) -> "Dataset":
    import pyarrow as pa
    from datasets import Dataset

    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, schema) as stream:
        while chunk := list(islice(rows, CHUNK)):
            stream.write_batch(pa.RecordBatch.from_pylist(chunk, schema))
    return Dataset.from_file(str(file))


def _trainer(
    ws: Workspace, settings: FinetuneSettings, snapshot: Snapshot, student: "LoadedModel", rows: "Dataset", held_out: "Dataset | None",
    counted: Counted, folder: Path, progress: Progress,
) -> "SnapshotTrainer":  # fmt: skip
    from transformers import PrinterCallback, ProgressCallback

    from glan_core.training.plan import steps_of, warmup_of
    from glan_core.training.trainer import Logbook, SnapshotTrainer, trainer_arguments

    steps = steps_of(settings, counted)
    args = trainer_arguments(
        settings, student, str(folder), steps=steps, every=max(1, math.ceil(steps / settings.evaluations)), held_out=held_out is not None,
        warmup=warmup_of(settings, steps),
    )  # fmt: skip
    logbook = Logbook(ws, progress, student, settings.prompts or first_prompts(snapshot), settings.patience)
    trainer = SnapshotTrainer(
        model=student.model, args=args, train_dataset=rows, eval_dataset=held_out, processing_class=student.tokenizer,
        callbacks=[logbook], lengths=counted.lengths,
    )  # fmt: skip
    logbook.trainer = trainer
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    return trainer


def _keep(
    ws: Workspace, settings: FinetuneSettings, snapshot: Snapshot, student: "LoadedModel", counted: Counted, trainer: "SnapshotTrainer",
    new: Path, progress: Progress,
) -> None:  # fmt: skip
    """Write weights and facts into the folder that will be the model's."""
    folder = ws.folder / FOLDER / str(progress.run_id)
    if settings.processes > 1:
        student.tokenizer.save_pretrained(folder / tuned_model_store.WEIGHTS)
        shutil.copytree(
            folder / tuned_model_store.WEIGHTS, new / tuned_model_store.WEIGHTS, ignore=shutil.ignore_patterns("*.bin")
        )
    else:
        _save(student, new / tuned_model_store.WEIGHTS)
    if settings.base is None:
        shutil.copytree(folder / tuned_model_store.BASE, new / tuned_model_store.BASE)
    last = training_rows.last_step(ws.db, progress.run_id)
    logged = training_rows.steps(ws.db, progress.run_id)
    losses = {"train": next((step.loss for step in reversed(logged) if step.loss is not None), None)}
    held = [step.validation_loss for step in logged if step.validation_loss is not None]
    if held:
        losses["validation"] = min(held) if settings.keep_best else held[-1]
    steps = trainer.state.global_step
    model = TunedModel(
        name=settings.name, form="full" if settings.method == "full" else "adapter", base=settings.base or "", recipe=settings.recipe,
        snapshot=snapshot.manifest.name, snapshot_hash=snapshot.manifest.hash, disciplines=dict(counted.disciplines.most_common()),
        rows=counted.rows, held_out=snapshot.manifest.rows.get(VALIDATION, 0), tokens=last.tokens if last else 0, steps=steps,
        epochs=round(trainer.state.epoch or 0.0, 2), seconds=last.seconds if last else 0.0,
        losses={name: loss for name, loss in losses.items() if loss is not None}, parameters=student.parameters,
        trained_parameters=student.trained_parameters, precision=student.precision,
        template="base" if student.encoder.own_template else "alpaca", bytes=tuned_model_store.bytes_of(new / tuned_model_store.WEIGHTS),
        weights_hash=tuned_model_store.hash_weights(new / tuned_model_store.WEIGHTS), run_id=progress.run_id, created_at=time.time(),
        settings=settings.model_dump(mode="json"), stopped_early=progress.wish == KEPT,
    )  # fmt: skip
    (new / tuned_model_store.FILE).write_text(model.model_dump_json(indent=1), "utf-8")


def _save(student: "LoadedModel", folder: Path) -> None:
    """Weights (of an adapter only the adapter's) as safetensors, and the tokenizer with its chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    caching, student.model.config.use_cache = student.model.config.use_cache, True
    student.model.save_pretrained(folder)
    student.model.config.use_cache = caching
    student.tokenizer.save_pretrained(folder)


def _set_threads() -> None:
    """Let the processor's threads sleep while they wait (spinning ones cost other work, here the pages, half a core), and keep
    libraries from drawing bars into a log."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.disable_progress_bar()


@contextmanager
def plain_faults(settings: FinetuneSettings, folder: Path) -> Iterator[None]:
    """What a person can mend, said so that a person can mend it."""
    try:
        yield
    except MemoryError:
        raise GlanError(_no_memory(settings, "memory")) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise GlanError(
                f"The disk of {folder} is full: free some space, then resume; the last whole checkpoint is kept."
            ) from None
        raise
    except RuntimeError as error:
        if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
            raise GlanError(_no_memory(settings, "the GPU's memory" if "CUDA" in str(error) else "memory")) from None
        if "No space left" in str(error) or "file write failed" in str(error):
            raise GlanError(
                f"The disk of {folder} is full: free some space, then resume; the last whole checkpoint is kept."
            ) from None
        raise


def _no_memory(settings: FinetuneSettings, which: str) -> str:
    advice = ["fewer rows at once" if settings.per_device_batch_size > 1 else "", f"a length limit below {settings.max_length:,} tokens"]
    advice += ["gradient checkpointing"] if not settings.gradient_checkpointing else []
    advice += ["the method LoRA"] if settings.method == "full" and settings.base else []
    return f"There is too little room in {which} for this run: choose {', or '.join(filter(None, advice))}."
