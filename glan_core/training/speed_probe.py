"""Speed probe: times a few training steps of a model on rows of a snapshot, so that a plan states how long a run takes here.

It runs the trainer's own code in a process of its own, stores the speed in the workspace (`time_estimate`) and trains nothing:
the weights are discarded. Steps stop after `MOST_SECONDS`, so that a large model costs one step.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.models import server_client
from glan_core.runs.heartbeat import Progress
from glan_core.training.preflight import prepare_memory
from glan_core.training.settings import FinetuneSettings, SpeedSettings
from glan_core.training.time_estimate import Speed, write_speed
from glan_core.training.training_texts import first_prompts
from glan_core.workspace import Workspace

if TYPE_CHECKING:
    from datasets import Dataset

    from glan_core.training.trainer import SnapshotTrainer

FOLDER = "training/speed"
ROWS = 256  # rows from which the timed batches are drawn
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the batches by length
MOST_SECONDS = 30.0
REPLY_TOKENS = 16
Report = Callable[[str, int, int], None]


def measure_speed(ws: Workspace, settings: SpeedSettings, progress: Progress) -> str:
    """Measure the speed of a fine-tuning run and store it.

    Returns:
        One sentence about the result.
    """
    server_client.try_release()
    prepare_memory(ws, settings.finetune)
    speed = time_steps(ws, settings.finetune, progress.step)
    return f"Measured {1 / speed.token:,.0f} tokens/s in training."


def time_steps(ws: Workspace, settings: FinetuneSettings, report: Report) -> Speed:
    """Time the parts of a training run, store and return them.

    Args:
        ws: Workspace.
        settings: Settings of the run; one process.
        report: Callback `report(stage, done, planned)`.

    Raises:
        GlanError: If the model cannot be loaded, memory is short, or no rows are left to train on.
    """
    from glan_core.training.train_loop import TrainingRun, readable_errors

    snapshot, folder = read_snapshot(ws, settings.snapshot), ws.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    few = settings.model_copy(
        update={"rows": min(settings.rows or ROWS, ROWS), "processes": 1, "nodes": 1, "main_address": None, "engine": "local"}
    )
    run = TrainingRun(ws, few, snapshot, folder, cast("Progress", _Report(report)))
    try:
        with readable_errors(run):
            speed = _time_steps(run, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write_speed(ws, settings, snapshot, speed)
    return speed


class _Report:
    """Implements the `Progress` interface of a training run for a callback."""

    run_id, wish = 0, None

    def __init__(self, report: Report) -> None:
        self.step = self.report = report


def _time_steps(run: Any, report: Report) -> Speed:
    begun = time.perf_counter()
    from glan_core.training import train_loop
    from glan_core.training.trainer import sample_replies

    report("model loaded", 0, 1)
    loaded = train_loop.load_model(run)
    rows = train_loop.encode_rows(run, loaded)
    trainer = train_loop.create_trainer(run, loaded, rows)
    loading = time.perf_counter() - begun
    report("model loaded", 1, 1)
    batches = _batches(rows.train, rows.counts.lengths, trainer.args.train_batch_size)
    token, validation, slowdown = _time_batches(trainer, batches, report)
    optimizer = _time_optimizer(trainer)
    prompts = run.settings.prompts or first_prompts(run.snapshot)
    reply = _seconds(lambda: sample_replies(loaded, prompts, REPLY_TOKENS)) / REPLY_TOKENS
    return Speed(loading, token, optimizer, validation, reply, slowdown)


def _batches(rows: "Dataset", lengths: Sequence[int], size: int) -> list[list[dict]]:
    """Return batches of rows of similar length, the shortest first (for warming up), then those of the quantiles."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    if len(batches) > 1 and len(batches[-1]) < size:
        batches.pop()
    chosen = sorted({min(len(batches) - 1, int(share * len(batches))) for share in QUANTILES})
    return [[rows[n] for n in batches[at]] for at in (0, *chosen)]


def _time_batches(trainer: "SnapshotTrainer", batches: list[list[dict]], report: Report) -> tuple[float, float, float]:
    """Return the seconds per token of training and of validation, and the slowdown (`Speed`).

    The batches after the time limit are skipped.
    """
    import torch

    model = trainer.accelerator.prepare(trainer.model)
    model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # set by `train`
    spent = tokens = 0.0
    began, worked = time.perf_counter(), time.process_time()
    for nth, batch in enumerate(batches):
        report("steps timed", nth, len(batches))
        inputs = trainer.data_collator([{**row} for row in batch])
        seconds = _seconds(partial(trainer.training_step, model, dict(inputs)))
        if nth == 0 and len(batches) > 1 and seconds < MOST_SECONDS:  # memory and kernels are set up
            continue
        spent += seconds
        tokens += sum(len(row["input_ids"]) for row in batch)
        if time.perf_counter() - began > MOST_SECONDS:
            break
    report("steps timed", len(batches), len(batches))
    worked = (time.process_time() - worked) / torch.get_num_threads()
    slowdown = 1.0 if torch.cuda.is_available() else max(1.0, (time.perf_counter() - began) / max(1e-9, worked))
    middle = batches[len(batches) // 2]
    inputs = trainer.data_collator([{**row} for row in middle])
    model.eval()
    validation = _seconds(partial(trainer.prediction_step, model, dict(inputs), prediction_loss_only=True))
    return spent / tokens, validation / sum(len(row["input_ids"]) for row in middle), slowdown


def _time_optimizer(trainer: "SnapshotTrainer") -> float:
    """Return the seconds of an optimizer step with gradient clipping, after a first one that creates its state."""
    import torch

    optimizer = trainer.create_optimizer()
    model: Any = trainer.model
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(trained, trainer.args.max_grad_norm)
        optimizer.step()

    step()
    return _seconds(step)


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun
