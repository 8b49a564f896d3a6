"""Runs that ask no teacher: embedding, mapping, measuring, cleaning, freezing and exporting what was generated, fine-tuning.

A job is an order (a pydantic model with its `kind`) and a function that carries it out; both are named here as text, so that
looking at runs loads neither. The function gets the workspace, its order and a `Progress`; it returns one sentence about what
was done, and raises GlanError for what a person can mend. It reconciles like any run: carried out again after a pause or a
kill, it does what is missing.
"""

import signal
import threading
import time
from dataclasses import dataclass

from glan_core.errors import GlanError
from glan_core.generation.kinds import KINDS, named
from glan_core.generation.order import Model, read_order
from glan_core.generation.run import BEAT_SECONDS, CANCELLED, PAUSED, TAKEN_OVER, Watcher
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run, Sample, StageProgress


@dataclass(frozen=True, slots=True)
class Job:
    """Where a job's order class and its function are, and its name for people. `lane`: of the jobs in a lane one works at a
    time; `keeps`: it can be ended early and what it made so far be kept."""

    word: str
    order: str
    function: str
    lane: str = "data"
    keeps: bool = False


JOBS = {
    "embed": Job("Embedding", "glan_core.diversity.orders:EmbedOrder", "glan_core.diversity.embedding:embed_rows"),
    "map": Job("Map", "glan_core.diversity.orders:MapOrder", "glan_core.diversity.mapping:make_map"),
    "measure": Job("Measures", "glan_core.diversity.orders:MeasureOrder", "glan_core.diversity.measuring:measure_rows"),
    "compare": Job("Comparison", "glan_core.diversity.orders:CompareOrder", "glan_core.diversity.comparing:compare_rows"),
    "dedup": Job("Near-duplicates", "glan_core.dataset.orders:DedupOrder", "glan_core.dataset.near_duplicates:tag_duplicates"),
    "decontaminate": Job(
        "Decontamination", "glan_core.dataset.orders:DecontaminateOrder", "glan_core.dataset.decontamination:tag_contaminated"
    ),
    "filter": Job("Filters", "glan_core.dataset.orders:FilterOrder", "glan_core.dataset.quality:tag_quality"),
    "snapshot": Job("Snapshot", "glan_core.dataset.orders:SnapshotOrder", "glan_core.dataset.snapshot:take_snapshot"),
    "export": Job("Export", "glan_core.dataset.orders:ExportOrder", "glan_core.dataset.export:export_rows"),
    "finetune": Job(
        "Fine-tuning",
        "glan_core.training.orders:FinetuneOrder",
        "glan_core.training.finetuning:finetune",
        "training",
        keeps=True,
    ),
    "merge": Job("Merging", "glan_core.training.orders:MergeOrder", "glan_core.training.merging:merge", "training"),
    "glan-test": Job("GLAN-Test", "glan_core.evaluation.orders:FreezeOrder", "glan_core.evaluation.freezing:freeze"),
    "scaling": Job(
        "Scaling study", "glan_core.evaluation.orders:ScalingOrder", "glan_core.evaluation.scaling:study", "studies"
    ),
    "probe": Job(
        "Contamination probe", "glan_core.evaluation.probe_order:ProbeOrder", "glan_core.evaluation.probe:run_probe", "training"
    ),
    "bench": Job(
        "Benchmarks",
        "glan_core.evaluation.benchmarks.orders:BenchOrder",
        "glan_core.evaluation.benchmarks.running:bench",
        "training",
    ),
    "model-export": Job(
        "Model export", "glan_core.training.orders:ModelExportOrder", "glan_core.training.taking_away:take_away"
    ),
}
KEPT = "Ended early: what it made so far is kept"


def lane_of(kind: str) -> str:
    """The lane of a run: that of its job or kind, 'teachers' for one of an older release."""
    known = JOBS.get(kind) or KINDS.get(kind)
    return known.lane if known else "teachers"


class Stopped(Exception):
    """A person paused or cancelled the run, or another process took it over."""


def order_of(kind: str, params: dict) -> Model:
    """The order of a job from its stored values; GlanError that names the setting at fault."""
    return read_order(named(JOBS[kind].order), params)


def carry_out(ws: Workspace, run: Run, claim: str, watch: Watcher | None = None) -> tuple[str, str]:
    """Do the work of a claimed job in this process; the state it ended in and a sentence. SIGTERM pauses it."""
    progress = Progress(ws, run.id, claim, watch)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: progress.stop(PAUSED))
    with progress:
        try:
            said = named(JOBS[run.kind].function)(ws, order_of(run.kind, run.params), progress)
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
