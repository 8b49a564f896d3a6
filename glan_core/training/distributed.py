"""Distributed fine-tuning: one worker per device, started by torchrun (`ray_training`: by Ray), with FSDP2 sharding (DDP on CPUs).

The process of the run starts the workers of its machine, relays stop requests to them and reports their progress. Workers of further
machines are started by the same command there (`join`). Their folder is shared; they get run and settings from the first worker and never
open the database, which network file systems do not support.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.processes import THREADS, threads_of_each
from glan_core.resources import CHECKOUT
from glan_core.runs.heartbeat import Stopped
from glan_core.runs.registry import settings_of
from glan_core.runs.states import KEPT, get
from glan_core.training.memory_estimate import gpus
from glan_core.training.settings import FinetuneSettings
from glan_core.training.train_loop import FOLDER, TrainingRun, newest_checkpoint, rank, readable_errors, train
from glan_core.workspace import Workspace

DONE, WISH, FAULT = "done.json", "wish", "fault"  # files for communication between the run's process and its workers
LOOK_SECONDS = 0.5
MODULE = "glan_core.training.distributed"
JOINING = 0  # in place of the run's ID for workers that get it from the first one


def torchrun_words(settings: FinetuneSettings, node_rank: int = 0) -> list[str]:
    """Return the torchrun command that starts the workers of a machine, without its arguments."""
    count = f"--nproc-per-node={settings.processes}"
    if settings.nodes == 1:
        return ["torchrun", "--standalone", count, "-m", MODULE]
    host, _, port = str(settings.main_address).rpartition(":")
    place = [
        f"--nnodes={settings.nodes}",
        f"--node-rank={node_rank}",
        f"--master-addr={host.strip('[]')}",
        f"--master-port={port}",
    ]
    return ["torchrun", *place, count, "-m", MODULE]


def torchrun_lines(folder: str, settings: FinetuneSettings) -> list[str]:
    """Return the torchrun command of each machine as shell lines, with RUN for the number of the run; [] for a single process."""
    if settings.world_size == 1 or settings.engine == "ray":
        return []
    runs = ["RUN", *[str(JOINING)] * (settings.nodes - 1)]
    return [shlex.join([*torchrun_words(settings, rank), folder, run]) for rank, run in enumerate(runs)]


def train_distributed(run: TrainingRun) -> None:
    """Start the workers of this machine, the first or only one, and wait until they end.

    Raises:
        GlanError: If a worker failed.
        Stopped: If the run was paused or canceled.
    """
    clear_messages(run.folder)
    workers = _start(run.settings, 0, str(run.ws.folder), run.progress.run_id)
    try:
        relay(run, lambda: workers.poll() is None)
    finally:
        if workers.poll() is None:
            workers.terminate()
    code = workers.returncode
    check_end(run, f"A worker exited with code {code}. See runs/{run.progress.run_id}.log." if code else "")


def clear_messages(folder: Path) -> None:
    """Remove the files for communication with the workers that an earlier start left."""
    for name in (DONE, WISH, FAULT):
        (folder / name).unlink(missing_ok=True)


def relay(run: TrainingRun, running: Callable[[], bool]) -> None:
    """Relay stop requests to the workers and report their progress, while they run."""
    progress, folder = run.progress, run.folder
    while running():
        if progress.wish and not (folder / WISH).exists():
            (folder / WISH).write_text(progress.wish, "utf-8")
        if (latest := _read(folder / DONE)) is not None:
            progress.report(*latest)
        time.sleep(LOOK_SECONDS)


def check_end(run: TrainingRun, failure: str) -> None:
    """Raise what ended the workers, if it was not the end of the training.

    Args:
        run: The run.
        failure: What happened to a worker that left no message, '' if nothing did.

    Raises:
        GlanError: If a worker failed.
        Stopped: If the run was paused or canceled.
    """
    if (run.folder / FAULT).exists():
        raise GlanError((run.folder / FAULT).read_text("utf-8"))
    if failure:
        raise GlanError(failure)
    if run.progress.wish and run.progress.wish != KEPT:
        raise Stopped(run.progress.wish)


def join(folder: Path, settings: FinetuneSettings, node_rank: int) -> int:
    """Run the workers of a further machine until the run ends or pauses; return their exit code.

    Args:
        folder: Shared folder of the workspace, which is not opened here.
        settings: Settings with the processes, nodes and main address; all others come from the first machine.
        node_rank: Number of this machine, from 1.

    Raises:
        GlanError: If there is no such machine in the settings.
    """
    if not 0 < node_rank < settings.nodes:
        raise GlanError(
            f"Node rank {node_rank} is not between 1 and {settings.nodes - 1}. Give --nodes, and a --node-rank below it."
        )
    if (found := gpus()) and settings.processes > len(found):
        raise GlanError(f"{settings.processes} processes need as many GPUs, and this machine has {len(found)}. Use fewer.")
    workers = _start(settings, node_rank, str(folder), JOINING)
    try:
        return workers.wait()
    finally:
        if workers.poll() is None:
            workers.terminate()


def _start(settings: FinetuneSettings, node_rank: int, folder: str, run_id: int) -> subprocess.Popen:
    """Start torchrun with the workers of this machine, which share its cores."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))}
    variables[THREADS] = threads_of_each(settings.processes)
    words = [sys.executable, "-m", "torch.distributed.run", *torchrun_words(settings, node_rank)[1:], folder, str(run_id)]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, env=variables)


class WorkerProgress:
    """Implements the `Progress` interface for one worker.

    Rank 0 writes the progress for the run's process, and all workers see a stop request at the same step.
    """

    def __init__(self, folder: Path, run_id: int) -> None:
        self.run_id = run_id
        self._folder, self._first, self._reported_at = folder, rank() == 0, 0.0
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
    """Run one worker of torchrun; return its exit code."""
    ws = Workspace(Path(folder).absolute(), read_only=True)  # not opened
    params: dict = {}
    if run_id != JOINING:
        ws = Workspace.open(folder)
        params = get(ws, run_id).params
    if run_id == JOINING or params.get("nodes", 1) > 1:
        run_id, params = _from_first((run_id, params))
    settings = settings_of("finetune", params)
    if not isinstance(settings, FinetuneSettings):
        raise TypeError(f"run {run_id} is not a fine-tuning run")
    if not train_worker(ws, settings, run_id):
        return 1
    _disconnect()
    return 0


def train_worker(ws: Workspace, settings: FinetuneSettings, run_id: int) -> bool:
    """Do the part of one worker of a run, whose rank is in the environment.

    Returns:
        Whether it ended without an error; a known error is written to a file for the run's process to report.
    """
    place = ws.folder / FOLDER / str(run_id)
    try:
        place.mkdir(parents=True, exist_ok=True)
        run = TrainingRun(ws, settings, read_snapshot(ws, settings.snapshot), place, WorkerProgress(place, run_id))
        if settings.on_several_machines:
            _check_shared(place)
        with readable_errors(run):
            train(run)
    except Stopped:
        pass
    except GlanError as error:
        (place / FAULT).write_text(str(error), "utf-8")
        return False
    return True


def _disconnect() -> None:
    """End the connections of the workers: a thread of gloo that is left at the end of a process may abort it."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _from_first(value: tuple[int, dict]) -> tuple[int, dict]:
    """Return the value of the first worker."""
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())  # connects the workers
    given = [value]
    dist.broadcast_object_list(given, src=0)
    return given[0]


def _check_shared(place: Path) -> None:
    """Check that this machine has the checkpoint that the first one resumes from.

    Raises:
        GlanError: If it does not: the workers would not train the same weights.
    """
    import torch.distributed as dist

    newest = [newest_checkpoint(place) if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(newest, src=0)
    name = Path(newest[0]).name if newest[0] else ""
    if name and not (place / name / "trainer_state.json").is_file():
        raise GlanError(f"{place / name} is not on this machine. All machines need the same folder, on shared storage.")


def _read(file: Path) -> list | None:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
