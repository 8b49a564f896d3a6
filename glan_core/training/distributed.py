"""Distributed fine-tuning: one worker per device, started by torchrun, with FSDP2 sharding (DDP on CPUs).

The process of the run relays stop requests to the workers and reports their progress. To use several machines that share
the workspace folder, start the workers on each with

    torchrun --nnodes N --nproc-per-node M --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m glan_core.training.distributed DIR RUN
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.resources import CHECKOUT
from glan_core.runs.heartbeat import Stopped
from glan_core.runs.registry import settings_of
from glan_core.runs.states import KEPT, get
from glan_core.training.settings import FinetuneSettings
from glan_core.training.train_loop import FOLDER, TrainingRun, readable_errors, train
from glan_core.workspace import Workspace

DONE, WISH, FAULT = "done.json", "wish", "fault"  # files for communication between the run's process and its workers
LOOK_SECONDS = 0.5


def train_distributed(run: TrainingRun) -> None:
    """Start the workers and wait until they end.

    Raises:
        GlanError: If a worker failed.
        Stopped: If the run was paused or canceled.
    """
    settings, progress, folder = run.settings, run.progress, run.folder
    for name in (DONE, WISH, FAULT):
        (folder / name).unlink(missing_ok=True)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={settings.processes}"]
    workers = subprocess.Popen(
        [*words, "-m", __name__, str(run.ws.folder), str(progress.run_id)], stdin=subprocess.DEVNULL, env=variables
    )
    try:
        while workers.poll() is None:
            if progress.wish and not (folder / WISH).exists():
                (folder / WISH).write_text(progress.wish, "utf-8")
            if (latest := _read(folder / DONE)) is not None:
                progress.report(*latest)
            time.sleep(LOOK_SECONDS)
    finally:
        if workers.poll() is None:
            workers.terminate()
    if (folder / FAULT).exists():
        raise GlanError((folder / FAULT).read_text("utf-8"))
    if workers.returncode:
        raise GlanError(f"A worker exited with code {workers.returncode}. See runs/{progress.run_id}.log.")
    if progress.wish and progress.wish != KEPT:
        raise Stopped(progress.wish)


class WorkerProgress:
    """Implements the `Progress` interface for one worker.

    Rank 0 writes the progress for the run's process, and all workers see a stop request at the same step.
    """

    def __init__(self, folder: Path, run_id: int) -> None:
        self.run_id = run_id
        self._folder, self._first, self._reported_at = folder, int(os.environ.get("RANK", 0)) == 0, 0.0
        self._wish: str | None = None

    def report(self, stage: str, done: int, planned: int) -> None:
        """Report progress; a stop request seen by rank 0 is broadcast to all workers."""
        if self._first and (time.monotonic() - self._reported_at > LOOK_SECONDS or done >= planned):
            self._reported_at = time.monotonic()
            new = self._folder / f".{DONE}"
            new.write_text(json.dumps([stage, done, planned]), "utf-8")
            os.replace(new, self._folder / DONE)
        if stage == "steps":
            self._wish = self._agreed()

    def step(self, stage: str, done: int, planned: int) -> None:
        """Report progress without stopping, because workers read rows at their own pace."""
        self.report(stage, done, planned)

    @property
    def wish(self) -> str | None:
        """The pending stop request, if any."""
        return self._wish

    def _agreed(self) -> str | None:
        import torch.distributed as dist

        file = self._folder / WISH
        request = [file.read_text("utf-8") if self._first and file.exists() else None]
        dist.broadcast_object_list(request, src=0)
        return request[0]


def main(folder: str, run_id: int) -> int:
    """Run one worker; a known error is written to a file for the run's process to report."""
    ws = Workspace.open(folder)
    place = ws.folder / FOLDER / str(run_id)
    settings = settings_of("finetune", get(ws, run_id).params)
    if not isinstance(settings, FinetuneSettings):
        raise TypeError(f"run {run_id} is not a fine-tuning run")
    progress = WorkerProgress(place, run_id)
    run = TrainingRun(ws, settings, read_snapshot(ws, settings.snapshot), place, progress)
    try:
        with readable_errors(run):
            train(run)
    except Stopped:
        return 0
    except GlanError as error:
        (place / FAULT).write_text(str(error), "utf-8")
        return 1
    return 0


def _read(file: Path) -> list | None:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
