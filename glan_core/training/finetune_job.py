"""The run that fine-tunes a student on a snapshot: in its own process, or by workers on several devices."""

import shutil

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.models import server_client as chat_process
from glan_core.models import tuned_model_store
from glan_core.models.tuned_model_store import TunedModel
from glan_core.runs.heartbeat import Progress
from glan_core.training.distributed import train_on_several
from glan_core.training.settings import FinetuneSettings
from glan_core.training.train_loop import FOLDER, plain_faults, train
from glan_core.workspace import Workspace


def finetune(ws: Workspace, settings: FinetuneSettings, progress: Progress) -> str:
    """Train a student as ordered and keep it as a model; what came of it, in a sentence.

    Stores its state on the way: after a pause or a kill the same run goes on from there, on the same curve. GlanError for what a
    person can mend: no such snapshot, weights that are not there, too little memory or disk, a loss that is no number.
    """
    snapshot = read_snapshot(ws, settings.snapshot)
    if (target := tuned_model_store.folder_of(ws, settings.name)).exists():
        there = tuned_model_store.read_model(ws, settings.name)
        if there.run_id == progress.run_id:
            return _said(there)  # this run was killed after its work was done
        raise GlanError(f"There is already a model {quoted(settings.name)}: choose another name.")
    folder = ws.folder / FOLDER / str(progress.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(exist_ok=True)
    chat_process.release()  # the models that are talked to give their memory to training
    with plain_faults(settings, folder):
        if settings.processes > 1:
            train_on_several(ws, settings, progress, folder)
        else:
            train(ws, settings, progress, snapshot, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return _said(tuned_model_store.read_model(ws, settings.name))


def _said(model: TunedModel) -> str:
    held = model.losses.get("validation")
    early = ", ended early" if model.stopped_early else ""
    return (
        f"Fine-tuned {model.name} on {model.rows:,} pairs in {model.steps:,} steps{early}"
        + (f": held-out loss {held:.3f}" if held is not None else "")
        + "."
    )
