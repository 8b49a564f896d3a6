"""Fine-tuning on several devices: a worker for each, started by torchrun, that shard the student between them (FSDP2; on processors
each has a copy of its own).

The run's process stays what the studio talks to: it passes wishes on and tells how far the workers are. Over several machines that
share the workspace's folder, start the workers on each with

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
from glan_core.runs.heartbeat import Progress, Stopped
from glan_core.runs.registry import settings_of
from glan_core.runs.states import KEPT, get
from glan_core.training.settings import FinetuneSettings
from glan_core.training.train_loop import FOLDER, plain_faults, train
from glan_core.workspace import Workspace

DONE, WISH, FAULT = "done.json", "wish", "fault"  # files by which the run's process and its workers talk
LOOK_SECONDS = 0.5


def train_on_several(ws: Workspace, settings: FinetuneSettings, progress: Progress, folder: Path) -> None:
    """Start the workers and stay until they end. GlanError with what a worker said was wrong; Stopped as `learning.train`."""
    for name in (DONE, WISH, FAULT):
        (folder / name).unlink(missing_ok=True)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={settings.processes}"]
    workers = subprocess.Popen(
        [*words, "-m", __name__, str(ws.folder), str(progress.run_id)], stdin=subprocess.DEVNULL, env=variables
    )
    try:
        while workers.poll() is None:
            if progress.wish and not (folder / WISH).exists():
                (folder / WISH).write_text(progress.wish, "utf-8")
            if (told := _read(folder / DONE)) is not None:
                progress.say(*told)
            time.sleep(LOOK_SECONDS)
    finally:
        if workers.poll() is None:
            workers.terminate()
    if (folder / FAULT).exists():
        raise GlanError((folder / FAULT).read_text("utf-8"))
    if workers.returncode:
        raise GlanError(f"A worker ended with code {workers.returncode}; runs/{progress.run_id}.log tells where.")
    if progress.wish and progress.wish != KEPT:
        raise Stopped(progress.wish)


class WorkerProgress:
    """What `Progress` is to a job, for one worker of several: the first tells the run's process how far they are, and all hear its
    wishes at the same step."""

    def __init__(self, folder: Path, run_id: int) -> None:
        self.run_id = run_id
        self._folder, self._first, self._told = folder, int(os.environ.get("RANK", 0)) == 0, 0.0
        self._wish: str | None = None

    def say(self, stage: str, done: int, planned: int) -> None:
        """See Progress. The wish that is known from now on is the first worker's, for all of them."""
        if self._first and (time.monotonic() - self._told > LOOK_SECONDS or done >= planned):
            self._told = time.monotonic()
            new = self._folder / f".{DONE}"
            new.write_text(json.dumps([stage, done, planned]), "utf-8")
            os.replace(new, self._folder / DONE)
        if stage == "steps":
            self._wish = self._agreed()

    def step(self, stage: str, done: int, planned: int) -> None:
        """See Progress; reading rows is not stopped half-way, since workers read at a pace of their own."""
        self.say(stage, done, planned)

    @property
    def wish(self) -> str | None:
        """See Progress."""
        return self._wish

    def _agreed(self) -> str | None:
        import torch.distributed as dist

        file = self._folder / WISH
        said = [file.read_text("utf-8") if self._first and file.exists() else None]
        dist.broadcast_object_list(said, src=0)
        return said[0]


def main(folder: str, run_id: int) -> int:
    """One worker. What a person can mend is left for the run's process to say."""
    ws = Workspace.open(folder)
    place = ws.folder / FOLDER / str(run_id)
    settings = settings_of("finetune", get(ws, run_id).params)
    try:
        with plain_faults(settings, place):
            train(ws, settings, WorkerProgress(place, run_id), read_snapshot(ws, settings.snapshot), place)
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
