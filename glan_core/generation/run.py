"""Carrying out an order: opens the teachers, drives the engine, keeps the run's row alive, and says how it ended."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import apsw

from glan_core.errors import GlanError
from glan_core.generation import streaming_state
from glan_core.generation.engine import Engine, StageModel
from glan_core.generation.protocols import WorkQueue
from glan_core.generation.rate_limits import Budget
from glan_core.generation.settings import GenerationSettings, RegenerateSettings, TeacherSettings
from glan_core.import_strings import load_symbol
from glan_core.runs import heartbeat
from glan_core.runs.heartbeat import Watcher
from glan_core.runs.registry import RUN_KINDS, settings_of
from glan_core.runs.states import CANCELLED, PAUSED, TAKEN_OVER
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import Teacher
from glan_core.teachers.prices import price_of
from glan_core.workspace import Workspace, call_rows, homework_rows, run_rows
from glan_core.workspace.group_commit import GroupCommit
from glan_core.workspace.run_rows import Run, Sample, StageProgress


def run_with_teachers(ws: Workspace, run: Run, claim: str, watch: Watcher | None = None) -> tuple[str, str]:
    """Do the work of a claimed run in this process; returns the state it ended in and a sentence.

    `watch` is called about once a second with the run's totals. SIGINT and SIGTERM pause the run. GlanError when the order
    can't be carried out as it is.
    """
    settings = settings_of(run.kind, run.params)
    frontier = load_symbol(RUN_KINDS[run.kind].work)(ws, settings, run.id)
    voices = open_voices(settings, settings.asked)
    if hasattr(frontier, "voices"):
        voices = frontier.voices(voices)
    heard = streaming_state.stream_to_file(ws.folder, voices) if settings.live else nullcontext(voices)
    with _account(ws, run, claim, settings), heard as voices:
        ending = asyncio.run(_drive(ws, run, claim, settings, voices, frontier, watch))
    return frontier.ended(ending) if hasattr(frontier, "ended") else ending


@contextmanager
def _account(ws: Workspace, run: Run, claim: str, settings: TeacherSettings) -> Iterator[None]:
    """Keep what the disciplines of an order hold before and after the work."""
    if isinstance(settings, GenerationSettings):
        with ws.write() as db:
            run_rows.record_counters_before(db, run.id, settings.target.disciplines)
    try:
        yield
    finally:
        with ws.write() as db:
            if run_rows.owns_run(db, run.id, claim):
                run_rows.record_counters_after(db, run.id)


async def _drive(
    ws: Workspace,
    run: Run,
    claim: str,
    settings: TeacherSettings,
    voices: dict[str, StageModel],
    frontier: WorkQueue,
    watch: Watcher | None,
) -> tuple[str, str]:
    commits = GroupCommit(ws)
    calls, usd = call_rows.run_cost(ws.db, run.id)
    engine = Engine(frontier, voices, settings, commits, run.id, Budget(settings.budget_usd, settings.max_calls, usd, calls))
    pulse = Pulse(ws, run.id, claim, engine, commits, watch)
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, engine.stop, PAUSED)
    beat = asyncio.create_task(pulse.beat())
    try:
        await engine.run()
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)
        await _close({id(voice.teacher): voice.teacher for voice in voices.values()}.values())
        try:
            await pulse.note()
            while await commits.store(homework_rows.index_text):
                await pulse.note()
        finally:
            await commits.close()
    return _ending(engine, settings)


def open_voices(settings: TeacherSettings, stages: Sequence[str], key: str | None = None) -> dict[str, StageModel]:
    """A voice for each stage; one teacher is opened for every name, however many stages it serves.

    GlanError when a teacher can't be opened, or a budget in money is set and a price is not known.
    """
    teachers: dict[str, Teacher] = {}
    voices = {}
    for stage in stages:
        spec = settings.teacher_of(stage)
        price = price_of(spec, settings.price)
        if price is None and settings.budget_usd is not None:
            raise GlanError(
                f"The price of {spec} is not known, so a budget in money can't hold: give its price, or limit the calls."
            )
        if spec not in teachers:
            teachers[spec] = open_teacher(spec, settings.base_url, key=key)
        voices[stage] = StageModel(teachers[spec], settings.decoding_of(stage), price)
    return voices


def check(settings: TeacherSettings, key: str | None = None) -> None:
    """Make sure that an order can be begun (teachers, key, address, prices); GlanError says what is missing.

    `key` is the one that the run's process will get, None for this process's own.
    """
    voices = open_voices(settings, settings.asked, key)
    teachers = {id(voice.teacher): voice.teacher for voice in voices.values()}
    asyncio.run(_close(teachers.values()))


async def _close(teachers) -> None:
    for teacher in teachers:
        await teacher.close()


class Pulse:
    """Keeps the row of a run alive: once a second it says how far the run is, and hears what people wish.

    Totals go on from where an earlier process of the same run left them.
    """

    def __init__(
        self, ws: Workspace, run_id: int, claim: str, engine: Engine, commits: GroupCommit, watch: Watcher | None
    ) -> None:
        self._ws, self._run_id, self._claim = ws, run_id, claim
        self._engine, self._commits, self._watch = engine, commits, watch
        self._before = run_rows.last_sample(ws.db, run_id)
        self._done_before = call_rows.stored_by_stage(ws.db, run_id)

    async def beat(self) -> None:
        """Note the progress every second, for ever; stop the engine when a person wishes so or the run was taken away, and
        when it can't be noted: a run that seems lost must not go on spending."""
        try:
            await self._beat()
        except Exception as error:
            self._engine.fail(error)

    async def _beat(self) -> None:
        while True:
            await self.note()
            row = run_rows.run(self._ws.db, self._run_id)
            if not run_rows.owns_run(self._ws.db, self._run_id, self._claim):
                self._engine.stop(TAKEN_OVER)
            elif row.wish:
                self._engine.stop(PAUSED if row.wish == "pause" else CANCELLED)
            await asyncio.sleep(heartbeat.BEAT_SECONDS)

    async def note(self) -> None:
        """Write heartbeat, totals and progress, unless the run is no longer this process's."""
        sample, stages = self._sample(), self._stages()

        def job(db: apsw.Connection) -> None:
            if not run_rows.owns_run(db, self._run_id, self._claim):
                return
            run_rows.update_run(db, self._run_id, heartbeat_at=sample.at)
            run_rows.add_sample(db, self._run_id, sample)
            for progress in stages:
                run_rows.set_stage(db, self._run_id, progress)

        await self._commits.store(job)
        if self._watch:
            self._watch(sample, stages)

    def _sample(self) -> Sample:
        engine, totals, before = self._engine, self._engine.totals, self._before
        return Sample(
            time.time(), sum(self._done_before.values()) + sum(totals.done.values()),
            totals.requests + (before.requests if before else 0), totals.throttled + (before.throttled if before else 0),
            totals.faults + (before.faults if before else 0), engine.in_flight, int(engine.concurrency.limit),
            totals.tokens_in + (before.tokens_in if before else 0), totals.tokens_out + (before.tokens_out if before else 0),
            engine.budget.spent_usd,
        )  # fmt: skip

    def _stages(self) -> list[StageProgress]:
        totals = self._engine.totals
        return [
            StageProgress(
                stage, number + (before := self._done_before.get(stage, 0)), totals.done.get(stage, 0) + before,
                totals.failed.get(stage, 0),
            )
            for stage, number in self._engine.frontier.planned().items()
        ]  # fmt: skip


def _ending(engine: Engine, settings: TeacherSettings) -> tuple[str, str]:
    """The state in which a run ends, and a sentence about it."""
    failed = sum(engine.totals.failed.values())
    match engine.stop_reason:
        case None if failed and isinstance(settings, RegenerateSettings):
            return "finished", "No reply came that could be used: ask again, or ask another teacher."
        case None if failed:
            return "finished", f"{failed:,} of the calls failed; the next run tries them again."
        case None:
            return "finished", ""
        case "Paused":
            return "paused", "Paused: resume it to go on."
        case "Cancelled":
            return "cancelled", "Cancelled: what was stored is kept."
        case reason:
            return "paused", f"{reason}: raise it to go on, or leave it; what was stored is kept."
