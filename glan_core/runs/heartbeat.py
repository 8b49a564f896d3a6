"""Execution of jobs (runs without teachers): progress, heartbeat, and requests to pause or cancel.

A job is a function `(workspace, settings, progress) -> str` that returns one sentence about its result and raises GlanError
for errors that the user can correct. Run again after a pause or a kill, it does only what is missing.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence

import apsw

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.runs.registry import RUN_KINDS, settings_of
from glan_core.runs.states import CANCELLED, KEPT, PAUSED, TAKEN_OVER
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run, Sample, StageProgress

BEAT_SECONDS = 1.0

Watcher = Callable[[Sample, Sequence[StageProgress], Sequence[str]], None]  # the last are sentences to show


class Stopped(Exception):
    """The user paused or cancelled the run, or another process took it over."""


def pausing_signals() -> list[signal.Signals]:
    """Return the signals that end a process in an orderly way; without SIGHUP where it is ignored, as below `nohup`."""
    names = ("SIGTERM", "SIGHUP", "SIGQUIT")  # the last two do not exist on Windows
    found = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    return [number for number in found if signal.getsignal(number) is not signal.SIG_IGN]


def run_job(ws: Workspace, run: Run, claim: str, watch: Watcher | None = None) -> tuple[str, str]:
    """Run a claimed job in this process; SIGTERM, SIGHUP and SIGQUIT pause it.

    Args:
        ws: The workspace.
        run: The run.
        claim: Token of this process's claim on the run.
        watch: Called with the progress whenever it is stored.

    Returns:
        The final state, and one sentence about the result.
    """
    progress = Progress(ws, run.id, claim, watch)
    if threading.current_thread() is threading.main_thread():
        for number in pausing_signals():
            signal.signal(number, lambda *_: progress.stop(PAUSED))
    with progress:
        try:
            message = load_symbol(RUN_KINDS[run.kind].work)(ws, settings_of(run.kind, run.params), progress)
        except Stopped as stopped:
            if str(stopped) not in (PAUSED, CANCELLED, KEPT, TAKEN_OVER):  # an error of the heartbeat
                raise GlanError(str(stopped)) from None
            return (
                ("cancelled", "Cancelled.") if str(stopped) == CANCELLED else ("paused", "Paused. Resume the run to continue.")
            )
    return "finished", message


class Progress:
    """Progress reports of a job, and the user's requests to it.

    A separate thread writes the heartbeat, because a single step such as fitting a map can take minutes.
    """

    def __init__(self, ws: Workspace, run_id: int, claim: str, watch: Watcher | None = None) -> None:
        self.run_id = run_id
        self._ws, self._claim, self._watch = ws, claim, watch
        self._wish: str | None = None
        self._finished = threading.Event()
        self._stages: dict[str, StageProgress] = {s.stage: s for s in run_rows.stages(ws.db, run_id)}
        self._stored_at = 0.0
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def step(self, stage: str, done: int, planned: int) -> None:
        """Report that `done` of `planned` items of a stage are complete; stored at most once a second.

        Raises:
            Stopped: If the job must stop.
        """
        self.report(stage, done, planned)
        self.check()

    def check(self) -> None:
        """Stop the job if it must stop.

        Raises:
            Stopped: If the job must stop.
        """
        if self._wish:
            raise Stopped(self._wish)

    @property
    def wish(self) -> str | None:
        """Why the job must stop: PAUSED, CANCELLED, TAKEN_OVER, KEPT or an error message; None if it need not."""
        return self._wish

    def report(self, stage: str, done: int, planned: int) -> None:
        """Report progress as `step` does, without raising; the job checks `wish` itself."""
        known = self._stages.get(stage)
        self._stages[stage] = StageProgress(stage, planned, done, 0)
        now = time.monotonic()
        if known is None or (done >= planned and known.done < planned) or now - self._stored_at >= BEAT_SECONDS:
            self._stored_at = now
            self._store()

    def stop(self, why: str) -> None:
        """Make the next `step` raise `Stopped`."""
        self._wish = why

    def __enter__(self) -> "Progress":
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._heart.join()
        self._store()

    def _store(self) -> None:
        stages = list(self._stages.values())
        sample = Sample(time.time(), sum(s.done for s in stages), 0, 0, 0, 0, 0, 0, 0, 0.0)
        with self._ws.write() as db:
            if run_rows.owns_run(db, self.run_id, self._claim):
                run_rows.add_sample(db, self.run_id, sample)
                for stage in stages:
                    run_rows.set_stage(db, self.run_id, stage)
        if self._watch and stages:
            try:
                self._watch(sample, stages, ())
            except OSError:  # the terminal was closed
                self._watch = None

    def _beat(self) -> None:
        try:
            while not self._finished.wait(BEAT_SECONDS):
                self._ws.check_in_place()
                with self._ws.write() as db:
                    run = run_rows.run(db, self.run_id)
                    if run is None or not run_rows.owns_run(db, self.run_id, self._claim):
                        self.stop(TAKEN_OVER)
                    else:
                        run_rows.update_run(db, self.run_id, heartbeat_at=time.time())
                        if run.wish:
                            self.stop({"pause": PAUSED, "keep": KEPT}.get(run.wish, CANCELLED))
        except (GlanError, OSError, apsw.Error) as error:  # a run without a heartbeat must not continue
            self.stop(str(error))
        finally:
            self._ws.close()  # closes the connection of this thread
