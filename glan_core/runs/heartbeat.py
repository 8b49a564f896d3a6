"""Jobs, the runs that ask no teacher: progress, heartbeat, and requests to pause or cancel.

A job is a function `(workspace, settings, progress) -> str` that returns one sentence about its result and raises GlanError
for what the user can correct. Run again after a pause or a kill, it does only what is missing.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.runs.registry import RUN_KINDS, settings_of
from glan_core.runs.states import CANCELLED, KEPT, PAUSED, TAKEN_OVER
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run, Sample, StageProgress

BEAT_SECONDS = 1.0

Watcher = Callable[[Sample, Sequence[StageProgress]], None]


class Stopped(Exception):
    """A person paused or cancelled the run, or another process took it over."""


def run_job(ws: Workspace, run: Run, claim: str, watch: Watcher | None = None) -> tuple[str, str]:
    """Run a claimed job in this process; SIGTERM pauses it.

    Returns:
        The state in which the run ended, and one sentence about its result.
    """
    progress = Progress(ws, run.id, claim, watch)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: progress.stop(PAUSED))
    with progress:
        try:
            said = load_symbol(RUN_KINDS[run.kind].work)(ws, settings_of(run.kind, run.params), progress)
        except Stopped as stopped:
            return ("cancelled", "Cancelled.") if str(stopped) == CANCELLED else ("paused", "Paused: resume it to go on.")
    return "finished", said


class Progress:
    """How a job says how far it is, and hears what people wish. A thread of its own keeps the run alive meanwhile, since a
    single step, such as fitting a map, can take minutes."""

    def __init__(self, ws: Workspace, run_id: int, claim: str, watch: Watcher | None = None) -> None:
        self.run_id = run_id
        self._ws, self._claim, self._watch = ws, claim, watch
        self._wish: str | None = None
        self._ended = threading.Event()
        self._stages: dict[str, StageProgress] = {s.stage: s for s in run_rows.stages(ws.db, run_id)}
        self._noted = 0.0
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def step(self, stage: str, done: int, planned: int) -> None:
        """Say that `done` of `planned` of a stage are done; the stage's name is shown to people. Costs nothing when called
        often: it is stored once a second. Raises Stopped when the work is to end."""
        self.say(stage, done, planned)
        if self._wish:
            raise Stopped(self._wish)

    @property
    def wish(self) -> str | None:
        """Why the work is to end, for jobs that have something to put away first: PAUSED, CANCELLED, TAKEN_OVER or KEPT."""
        return self._wish

    def say(self, stage: str, done: int, planned: int) -> None:
        """The same as `step`, but it never raises: the job looks at `wish` itself."""
        known = self._stages.get(stage)
        self._stages[stage] = StageProgress(stage, planned, done, 0)
        now = time.monotonic()
        if known is None or (done >= planned and known.done < planned) or now - self._noted >= BEAT_SECONDS:
            self._noted = now
            self._note()

    def stop(self, why: str) -> None:
        """Have the next step end the work."""
        self._wish = why

    def __enter__(self) -> "Progress":
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._heart.join()
        self._note()

    def _note(self) -> None:
        stages = list(self._stages.values())
        sample = Sample(time.time(), sum(s.done for s in stages), 0, 0, 0, 0, 0, 0, 0, 0.0)
        with self._ws.write() as db:
            if run_rows.holds(db, self.run_id, self._claim):
                run_rows.add_sample(db, self.run_id, sample)
                for stage in stages:
                    run_rows.set_stage(db, self.run_id, stage)
        if self._watch and stages:
            self._watch(sample, stages)

    def _beat(self) -> None:
        try:
            while not self._ended.wait(BEAT_SECONDS):
                with self._ws.write() as db:
                    run = run_rows.run(db, self.run_id)
                    if not run_rows.holds(db, self.run_id, self._claim):
                        self.stop(TAKEN_OVER)
                    else:
                        run_rows.update_run(db, self.run_id, heartbeat_at=time.time())
                        if run.wish:
                            self.stop({"pause": PAUSED, "keep": KEPT}.get(run.wish, CANCELLED))
        except (GlanError, OSError) as error:  # a run that seems lost must not go on
            self.stop(str(error))
        finally:
            self._ws.close()  # this thread's own connection
