"""The run that fine-tunes a student on a snapshot: in its own process, or by workers on several devices."""

import shutil

from glan_core.chat import process as chat_process
from glan_core.dataset.snapshot import read_snapshot
from glan_core.errors import GlanError
from glan_core.runs.jobs import Progress
from glan_core.taxonomy import quoted
from glan_core.training import models
from glan_core.training.distributed import train_on_several
from glan_core.training.learning import FOLDER, plain_faults, train
from glan_core.training.models import TunedModel
from glan_core.training.orders import FinetuneOrder
from glan_core.workspace import Workspace


def finetune(ws: Workspace, order: FinetuneOrder, progress: Progress) -> str:
    """Train a student as ordered and keep it as a model; what came of it, in a sentence.

    Stores its state on the way: after a pause or a kill the same run goes on from there, on the same curve. GlanError for what a
    person can mend: no such snapshot, weights that are not there, too little memory or disk, a loss that is no number.
    """
    snapshot = read_snapshot(ws, order.snapshot)
    if (target := models.folder_of(ws, order.name)).exists():
        there = models.read_model(ws, order.name)
        if there.run_id == progress.run_id:
            return _said(there)  # this run was killed after its work was done
        raise GlanError(f"There is already a model {quoted(order.name)}: choose another name.")
    folder = ws.folder / FOLDER / str(progress.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(exist_ok=True)
    chat_process.release()  # the models that are talked to give their memory to training
    with plain_faults(order, folder):
        if order.processes > 1:
            train_on_several(ws, order, progress, folder)
        else:
            train(ws, order, progress, snapshot, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return _said(models.read_model(ws, order.name))


def _said(model: TunedModel) -> str:
    held = model.losses.get("validation")
    early = ", ended early" if model.stopped_early else ""
    return (
        f"Fine-tuned {model.name} on {model.rows:,} pairs in {model.steps:,} steps{early}"
        + (f": held-out loss {held:.3f}" if held is not None else "")
        + "."
    )
