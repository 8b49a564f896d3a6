"""Fine-tuning on a Ray cluster (`--engine ray`): Ray Train starts the workers.

They do what those of torchrun do. The first worker runs on the machine of the run, because it alone stores the curve in the database.
All nodes share the folder of the workspace.
"""

import os
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.ray_cluster.connection import cause_of, connected
from glan_core.training.distributed import DONE, FAULT, check_end, clear_messages, relay, train_worker
from glan_core.training.settings import FinetuneSettings
from glan_core.training.train_loop import TrainingRun
from glan_core.workspace import Workspace

RESTARTS = 3  # of the workers from the last checkpoint, after one of them or its node ended
RESULTS = "ray"  # folder in that of the run, for what Ray Train stores
NODE = "ray.io/node-id"  # label of every node
SILENCE_SECONDS = 600.0  # after a stop request, without a report of the workers


def train_on_ray(run: TrainingRun) -> None:
    """Train with the workers of a cluster, and wait until they end.

    Raises:
        GlanError: If the cluster cannot be used, or a worker failed.
        Stopped: If the run was paused or canceled.
    """
    clear_messages(run.folder)
    failures: list[Exception] = []
    with connected(run.settings.ray_address, run.settings.processes):
        trainer = _trainer(run)

        def fit() -> None:
            try:
                trainer.fit()
            except Exception as error:  # of many types
                failures.append(error)

        thread = threading.Thread(target=fit, daemon=True)
        thread.start()
        # A worker with a message has ended; the others may wait for it until the end of the connection ends them.
        answering = _answering(run)
        relay(run, lambda: thread.is_alive() and not (run.folder / FAULT).exists() and answering())
    if failures:
        traceback.print_exception(failures[0])  # in the log of the run
    failure = f"A worker of the Ray cluster {run.settings.ray_address} failed: " if failures else ""
    check_end(run, failure and f"{failure}{_cause(failures[0])}. Resume the run to continue from the last checkpoint.")


def _answering(run: TrainingRun) -> Callable[[], bool]:
    """Return a function that tells whether workers may still follow a stop request.

    While the cluster has no room for them, there are none, and Ray waits for room without end.
    """
    requested: float | None = None

    def answering() -> bool:
        nonlocal requested
        if not run.progress.wish:
            return True
        requested = requested or time.time()
        report = run.folder / DONE
        return report.exists() and time.time() - max(requested, report.stat().st_mtime) < SILENCE_SECONDS

    return answering


def _trainer(run: TrainingRun) -> Any:
    """Return the trainer of Ray Train."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # the base model may be a relative path
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    settings, here = run.settings, ray.get_runtime_context().get_node_id()
    gpu = _check_devices(settings, here)
    config = {
        "folder": str(run.ws.folder),
        "run_id": run.progress.run_id,
        "settings": settings.model_dump(mode="json"),
    }
    places: dict[str, Any] = {"label_selector": [{NODE: here}, *[{}] * (settings.processes - 1)]}  # unknown to the types of Ray
    return TorchTrainer(
        _work,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=settings.processes, use_gpu=gpu, **places),
        run_config=RunConfig(name=RESULTS, storage_path=str(run.folder), failure_config=FailureConfig(max_failures=RESTARTS)),
    )


def _check_devices(settings: FinetuneSettings, here: str) -> bool:
    """Return whether the cluster has GPUs.

    Raises:
        GlanError: If it has too few devices for the processes, or this machine has none, so that Ray would wait for them.
    """
    import ray

    gpus = int(ray.cluster_resources().get("GPU", 0))
    kind, found = ("GPU", gpus) if gpus else ("CPU", int(ray.cluster_resources().get("CPU", 0)))
    if settings.processes > found:
        raise GlanError(
            f"{settings.processes} processes need as many {kind}s, and the Ray cluster {settings.ray_address} has {found}. Use fewer."
        )
    mine: dict[str, float] = next((node["Resources"] for node in ray.nodes() if node["NodeID"] == here), {})
    if mine.get(kind, 0) < 1:
        raise GlanError(
            f"The first process runs on the machine of the run, which has no {kind} in the Ray cluster. Start the run on a node with one."
        )
    return bool(gpus)


def _work(config: dict) -> None:
    """Do the work of one worker; Ray Train has connected the workers and set their ranks."""
    import ray.train

    folder, first = Path(config["folder"]), ray.train.get_context().get_world_rank() == 0
    ws = Workspace.open(folder) if first else Workspace(folder, read_only=True)  # not opened
    train_worker(ws, FinetuneSettings(**config["settings"]), config["run_id"])


def _cause(error: Exception) -> str:
    """Return what happened to a worker, from an error of Ray Train."""
    workers = getattr(error, "worker_failures", None) or {}
    return cause_of(next(iter(workers.values()), error))
