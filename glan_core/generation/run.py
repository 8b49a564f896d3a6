"""Execution of runs with teachers: opens the teachers, drives the engine, reports progress and determines the final state."""

import asyncio
import gc
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import apsw

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation import batch_engine, failure_causes, streaming_state
from glan_core.generation.batch_engine import BatchEngine
from glan_core.generation.batch_steps import BatchRun
from glan_core.generation.call_records import StageModel, distinct_teachers
from glan_core.generation.engine import CANCEL_SECONDS, PAUSE_SECONDS, Engine
from glan_core.generation.protocols import WorkQueue
from glan_core.generation.rate_limits import Budget
from glan_core.generation.settings import GenerationSettings, RegenerateSettings, TeacherSettings
from glan_core.import_strings import load_symbol
from glan_core.runs import heartbeat
from glan_core.runs.heartbeat import Watcher
from glan_core.runs.registry import RUN_KINDS, settings_of
from glan_core.runs.states import CANCELLED, PAUSED, TAKEN_OVER
from glan_core.teachers import open_teacher
from glan_core.teachers.batch_client import BatchClient
from glan_core.teachers.contract import Teacher
from glan_core.teachers.endpoint_settings import KEY_VARIABLE
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.ray_teacher import RayTeacher
from glan_core.teachers.replicas import ReplicatedTeacher
from glan_core.workspace import Workspace, batch_rows, call_rows, homework_rows, run_rows
from glan_core.workspace.group_commit import GroupCommit
from glan_core.workspace.run_rows import EndpointProgress, Run, Sample, StageProgress

# Seconds between samples of a run in which nothing changes, such as while it waits for a batch; below `run_rows.STALE_AFTER`.
IDLE_SECONDS = 10.0
GARBAGE_OBJECTS = 50_000  # new objects between garbage collections; Python's default is 700


def run_with_teachers(ws: Workspace, run: Run, claim: str, watch: Watcher | None = None) -> tuple[str, str]:
    """Execute a claimed run in this process; SIGINT, SIGTERM, SIGHUP and SIGQUIT pause it.

    Args:
        ws: The workspace.
        run: The run.
        claim: Token of this process's claim on the run.
        watch: Called about once a second with the run's totals.

    Returns:
        The final state and a message.

    Raises:
        GlanError: If the settings cannot be executed.
    """
    settings = settings_of(run.kind, run.params)
    if not isinstance(settings, TeacherSettings):
        raise GlanError(f"Runs of kind {run.kind!r} do not call teachers.")
    queue = load_symbol(RUN_KINDS[run.kind].work)(ws, settings, run.id)
    models = open_stage_models(settings, settings.asked)
    if hasattr(queue, "stage_models"):
        models = queue.stage_models(models)
    _check_open_batches(ws, run, settings)
    live = settings.live and settings.batch_mode is None
    streamed = streaming_state.stream_to_file(ws.folder, models) if live else nullcontext(models)
    with (
        _record_counters(ws, run, claim, settings),
        _rare_garbage_collection,
        streamed as models,
        asyncio.Runner() as runner,
    ):
        outcome = runner.run(_drive(ws, run, claim, settings, models, queue, watch))
    return queue.finish(outcome) if hasattr(queue, "finish") else outcome


def _check_open_batches(ws: Workspace, run: Run, settings: TeacherSettings) -> None:
    """Check that no other run has requests for the same disciplines in open batches.

    Raises:
        GlanError: If one has; they would be paid for twice.
    """
    if not isinstance(settings, GenerationSettings):
        return
    other = batch_rows.run_with_open_requests(ws.db, run.id, settings.target.disciplines)
    if other is not None:
        raise GlanError(
            f"Run {other} has open batches with requests for the same disciplines, which would be paid for twice. Resume that run, or "
            "cancel it, first."
        )


@contextmanager
def _record_counters(ws: Workspace, run: Run, claim: str, settings: TeacherSettings) -> Iterator[None]:
    """Store the counters of the disciplines before and after a generation run."""
    if isinstance(settings, GenerationSettings):
        with ws.write() as db:
            run_rows.record_counters_before(db, run.id, settings.target.disciplines)
    try:
        yield
    finally:
        with ws.write() as db:
            if run_rows.owns_run(db, run.id, claim):
                run_rows.record_counters_after(db, run.id)


class _RareGarbageCollection(AbstractContextManager):
    """Leaves what is loaded out of garbage collections and makes them rare: they would take an eighth of a run's CPU time.

    The settings are those of the process: the first of several runs at once changes them and the last one restores them.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._usual = threading.Lock(), 0, gc.get_threshold()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._usual = gc.get_threshold()
                gc.freeze()
                gc.set_threshold(GARBAGE_OBJECTS, *self._usual[1:])
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                gc.set_threshold(*self._usual)
                gc.unfreeze()


_rare_garbage_collection = _RareGarbageCollection()


async def _drive(
    ws: Workspace,
    run: Run,
    claim: str,
    settings: TeacherSettings,
    models: dict[str, StageModel],
    queue: WorkQueue,
    watch: Watcher | None,
) -> tuple[str, str]:
    commits = GroupCommit(ws, timed=not settings.batch_mode)
    calls, usd = call_rows.run_cost(ws.db, run.id)
    budget = Budget(settings.budget_usd, settings.max_calls, usd, calls)
    engine: Engine | BatchEngine
    if settings.batch_mode:
        engine = BatchEngine(BatchRun(ws, run.id, queue, models, commits, budget), settings)
    else:
        engine = Engine(queue, models, settings, commits, run.id, budget)
    reporter = ProgressReporter(ws, run.id, claim, engine, commits, watch)
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *heartbeat.pausing_signals()):
            loop.add_signal_handler(number, _interrupt, engine)
    beat = asyncio.create_task(reporter.beat())
    try:
        await engine.run()
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)
        await _close(distinct_teachers(models))
        try:
            await reporter.store()
            while await commits.store(homework_rows.index_text):
                await reporter.store()
        finally:
            await commits.close()
    return _ending(engine, settings, failure_causes.summary(call_rows.failure_groups(ws.db, run.id)))


def _interrupt(engine: Engine | BatchEngine) -> None:
    """Handle Ctrl-C or SIGTERM: the first one pauses the run, the second one abandons the calls in flight."""
    engine.stop(PAUSED, PAUSE_SECONDS if engine.stop_reason is None else 0.0)


def open_stage_models(
    settings: TeacherSettings, stages: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, StageModel]:
    """Open the teacher and determine the decoding parameters and price of each stage; teachers are shared by stages.

    Keys are read from `environment`, which holds those that a user typed, before the environment of this process.

    Raises:
        GlanError: If a teacher cannot be opened, or a budget in USD is set and a price is unknown.
    """
    teachers: dict[tuple[str, str], Teacher] = {}
    models = {}
    for stage in stages:
        spec, at = settings.teacher_of(stage), settings.endpoint_of(stage)
        price = settings.price_of(stage)
        if price is None and settings.budget_usd is not None:
            raise GlanError(
                f"The price of {spec} is unknown, so a budget in USD cannot be enforced. Set its price or limit the calls."
            )
        decoding = settings.decoding_of(stage)
        if settings.budget_usd is not None and decoding.max_tokens is None:
            raise GlanError(f"A budget in USD cannot be enforced if stage {stage} sends no token limit. Set its max_tokens.")
        same = (spec, at.model_dump_json())
        if same not in teachers:
            typed = (environment or {}).get(at.key_variable or KEY_VARIABLE)
            if settings.batch_mode == "files":
                typed = ""  # nothing is sent
            opened = open_teacher(spec, at.base_url, key=typed, settings=at, environment=environment)
            teachers[same] = _on_engine(settings, opened)
        models[stage] = StageModel(teachers[same], decoding, price)
    return models


def _on_engine(settings: TeacherSettings, teacher: Teacher) -> Teacher:
    """Return what calls a teacher on the chosen engine.

    Raises:
        GlanError: If the Ray engine cannot call this teacher.
    """
    if settings.engine == "local":
        return teacher
    if isinstance(teacher, ReplicatedTeacher):
        first = itertools.count(1, settings.ray_workers)
        return ReplicatedTeacher([_on_ray(settings, replica, next(first)) for replica in teacher.replicas])
    return _on_ray(settings, teacher)


def _on_ray(settings: TeacherSettings, teacher: Teacher, first: int = 1) -> RayTeacher:
    if not isinstance(teacher, HttpTeacher):
        raise GlanError(f"The Ray engine calls endpoints, and {teacher.name} has none. Use the local engine.")
    return RayTeacher(teacher, settings.ray_workers, settings.ray_address, first)


def check(settings: TeacherSettings, environment: Mapping[str, str] | None = None) -> None:
    """Check that a run can start: teachers, key, URL and prices.

    Args:
        settings: The settings.
        environment: Additional environment variables that the worker will receive, such as keys.

    Raises:
        GlanError: If something is missing.
    """
    models = open_stage_models(settings, settings.asked, environment)
    if settings.batch_mode == "api":
        for model in models.values():
            if isinstance(model.teacher, HttpTeacher):
                BatchClient(model.teacher)  # checks the address
    asyncio.run(_close(distinct_teachers(models)))


async def _close(teachers: Iterable[Teacher]) -> None:
    for teacher in teachers:
        await teacher.close()


class ProgressReporter:
    """Writes heartbeat and progress of a run once a second, and reads the user's requests.

    Totals continue from an earlier process of the same run.
    """

    def __init__(
        self, ws: Workspace, run_id: int, claim: str, engine: Engine | BatchEngine, commits: GroupCommit, watch: Watcher | None
    ) -> None:
        self._ws, self._run_id, self._claim = ws, run_id, claim
        self._engine, self._commits, self._watch = engine, commits, watch
        self._before = run_rows.last_sample(ws.db, run_id)
        self._last: Sample | None = None
        self._done_before = call_rows.stored_by_stage(ws.db, run_id)
        self._endpoints_before = {endpoint.name: endpoint for endpoint in run_rows.require_run(ws.db, run_id).endpoints}

    async def beat(self) -> None:
        """Report progress every second until cancelled.

        The engine is stopped on request or if the run was taken over, and fails if progress cannot be stored, because a run that
        seems lost must not continue to spend.
        """
        try:
            await self._beat()
        except Exception as error:
            self._engine.fail(error)

    async def _beat(self) -> None:
        while True:
            self._ws.check_in_place()
            await self.store()
            row = run_rows.run(self._ws.db, self._run_id)
            if not run_rows.owns_run(self._ws.db, self._run_id, self._claim):
                self._engine.stop(TAKEN_OVER, CANCEL_SECONDS)
            elif row is not None and row.wish == "pause":
                if self._engine.stop_reason is None:  # do not extend the time that an earlier request gave
                    self._engine.stop(PAUSED)
            elif row is not None and row.wish and self._engine.stop_reason in (None, PAUSED):
                self._engine.stop_reason = CANCELLED
                self._engine.stop(CANCELLED, CANCEL_SECONDS)
            await asyncio.sleep(heartbeat.BEAT_SECONDS)

    async def store(self) -> None:
        """Store heartbeat, totals and progress if this process still owns the run."""
        sample, stages = self._sample(), self._stages()
        waiting, notices, endpoints = self._engine.waiting(), self._engine.notices, self._endpoints()
        last = self._last
        changed = last is None or replace(sample, at=last.at) != last or sample.at - last.at >= IDLE_SECONDS
        self._last = sample if changed else last

        def job(db: apsw.Connection) -> None:
            if not run_rows.owns_run(db, self._run_id, self._claim):
                return
            run_rows.update_run(db, self._run_id, heartbeat_at=sample.at, waiting=waiting, notices=json.dumps(notices))
            run_rows.set_endpoints(db, self._run_id, endpoints)
            if changed:
                run_rows.add_sample(db, self._run_id, sample)
            for progress in stages:
                run_rows.set_stage(db, self._run_id, progress)

        await self._commits.store(job)
        if self._watch:
            try:
                self._watch(sample, stages, [*notices, *([waiting] if waiting else [])])
            except OSError:  # the terminal was closed
                self._watch = None

    def _sample(self) -> Sample:
        engine, totals, before = self._engine, self._engine.totals, self._before
        return Sample(
            time.time(), sum(self._done_before.values()) + sum(totals.done.values()),
            totals.requests + (before.requests if before else 0), totals.throttled + (before.throttled if before else 0),
            totals.faults + (before.faults if before else 0), engine.in_flight, engine.concurrency,
            totals.tokens_in + (before.tokens_in if before else 0), totals.tokens_out + (before.tokens_out if before else 0),
            engine.budget.spent_usd, totals.tokens_reasoning + (before.tokens_reasoning if before else 0),
        )  # fmt: skip

    def _endpoints(self) -> list[EndpointProgress]:
        """Return what the endpoints do, with the totals of an earlier process of the run."""
        now, before = self._engine.endpoints, self._endpoints_before
        names = {one.name for one in now}
        gone = [replace(one, state="not used", in_flight=0) for one in before.values() if one.name not in names]
        return [_continued(one, before.get(one.name)) for one in now] + gone

    def _stages(self) -> list[StageProgress]:
        totals = self._engine.totals
        return [
            StageProgress(
                stage, number + (before := self._done_before.get(stage, 0)), totals.done.get(stage, 0) + before,
                totals.failed.get(stage, 0),
            )
            for stage, number in self._engine.queue.planned().items()
        ]  # fmt: skip


def _continued(now: EndpointProgress, before: EndpointProgress | None) -> EndpointProgress:
    """Return what an endpoint does, with its totals before the run was resumed."""
    if before is None:
        return now
    return replace(
        now, answered=now.answered + before.answered, faults=now.faults + before.faults, outages=now.outages + before.outages
    )  # fmt: skip


def _ending(engine: Engine | BatchEngine, settings: TeacherSettings, failures: str) -> tuple[str, str]:
    """Return the final state of a run and a message, given what failed in it."""
    failed = sum(engine.totals.failed.values())
    match engine.stop_reason:
        case None if failed and isinstance(settings, RegenerateSettings):
            return "finished", f"No usable reply was received. {failures}".rstrip()
        case None if failed:
            return "finished", failures or f"{plural(failed, 'call')} failed."
        case None:
            return "finished", ""
        case "Paused" if engine.in_flight and isinstance(engine, BatchEngine):
            return "paused", "Paused. Its batches go on at the endpoint; resume the run to store their replies."
        case batch_engine.WRITTEN if isinstance(engine, BatchEngine):
            return "paused", engine.instructions()
        case "Paused":
            return "paused", "Paused. Resume the run to continue."
        case "Cancelled":
            return "cancelled", "Cancelled. Stored results are kept."
        case reason:
            return "paused", f"{reason}. Stored results are kept. Raise the limit and resume the run to continue."
