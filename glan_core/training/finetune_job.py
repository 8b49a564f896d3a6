"""Fine-tuning job: trains a model on a snapshot, in the process of the run or with distributed workers, which Ray may start."""

import shutil

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.io import packaged_models
from glan_core.models import server_client, tuned_model_store
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress
from glan_core.training.distributed import train_distributed
from glan_core.training.preflight import prepare_memory
from glan_core.training.ray_training import train_on_ray
from glan_core.training.settings import FinetuneSettings
from glan_core.training.train_loop import FOLDER, TrainingRun, readable_errors, train
from glan_core.workspace import Workspace


def finetune(ws: Workspace, settings: FinetuneSettings, progress: Progress) -> str:
    """Fine-tune a model and store it.

    Checkpoints are written during training. After a pause or a kill the same run resumes from the last one, on the same loss
    curve; with the same number of threads the final weights are bitwise identical.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: For an error the user can fix: a missing snapshot or base model, too little memory or disk space, or a loss
            that is not finite.
    """
    snapshot = read_snapshot(ws, settings.snapshot)
    if (target := tuned_model_store.model_folder(ws, settings.name)).exists():
        existing = tuned_model_store.read_model(ws, settings.name)
        if existing.run_id == progress.run_id:  # this run was killed after it had finished its work
            return result_sentence(existing)
        raise GlanError(f"Model {quoted(settings.name)} already exists. Choose another name.")
    folder = ws.folder / FOLDER / str(progress.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(exist_ok=True)
    packaged_models.convert(settings.base or "", lambda text: progress.step("base model converted", 0, 1))
    server_client.try_release()  # frees the memory of chat models for training
    run = TrainingRun(ws, settings, snapshot, folder, progress)
    prepare_memory(ws, settings)
    with readable_errors(run):
        if settings.engine == "ray":
            train_on_ray(run)
        elif settings.world_size > 1:
            train_distributed(run)
        else:
            train(run)
    shutil.rmtree(folder, ignore_errors=True)
    return result_sentence(tuned_model_store.read_model(ws, settings.name))


def result_sentence(model: TunedModel) -> str:
    """Return the sentence about a finished run."""
    loss = model.losses.get("validation")
    early = ", ended early" if model.stopped_early else ""
    return (
        f"Fine-tuned {model.name} on {model.rows:,} pairs in {model.steps:,} steps{early}"
        + (f": validation loss {loss:.3f}" if loss is not None else "")
        + "."
    )
