"""Training, chat, probes, benchmarks and judging interleaved at random with kills: nothing hangs, and everything can be cancelled.

The runs and the model server are children of a process that reaps none of them, as the server of the pages does: what was killed stays
a zombie, whose pid still exists.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import apsw
import psutil
import pytest
from support.benchmark_files import write_all
from support.chat_models import make_base, make_tuned
from support.probe_fixtures import make_rows, write_rows
from support.runs import execute_run
from support.training_fixtures import tiny_order

from glan_core import runs
from glan_core.dataset.glan_test_store import list_tests
from glan_core.errors import GlanError
from glan_core.models import server_client
from glan_core.processes import is_running
from glan_core.resources import CHECKOUT
from glan_core.workspace import chat_rows, run_rows
from glan_core.workspace.run_rows import LIVE

pytest_plugins = ["support.training_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.processes]

ACTIONS, SEED = 50, 13
MOMENTS = ("started", "started", "claimed", "working")  # at which trouble comes
MOST_LIVE = 3  # runs at once, queued ones included
SECONDS_TO_END, SECONDS_TO_CANCEL, SECONDS_TO_ANSWER = 120.0, 30.0, 60.0
ENDED = ("finished", "paused", "failed", "lost", "cancelled")

# A parent of runs and model server that never reaps: each line is a request, each printed line its result.
PARENT = """
import json, subprocess, sys
subprocess._cleanup = lambda: None
subprocess.Popen.__del__ = lambda self, **values: None
from glan_core import runs
from glan_core.chat import conversations
from glan_core.chat.conversations import ConversationSettings
from glan_core.errors import GlanError
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.runs.registry import settings_of
from glan_core.workspace import Workspace
ws = Workspace.open(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if "kind" in asked:
            result = runs.start(ws, asked["kind"], "test", settings_of(asked["kind"], asked["settings"]))
        elif "resume" in asked:
            result = runs.resume(ws, asked["resume"])
        else:
            decoding = SeededDecodingParams(max_tokens=asked["tokens"], temperature=0)
            result = conversations.ask(ws, None, ConversationSettings(specs=tuple(asked["chat"]), decoding=decoding), "hello")
        print(json.dumps({"result": result}), flush=True)
    except GlanError as error:
        print(json.dumps({"error": str(error)}), flush=True)
"""


def within(seconds: float, true: Callable[[], object], what: str) -> float:
    """Wait until something is so; return the seconds it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
    return time.monotonic() - begun


class Jobs:
    """The workspace, the parent that does not reap, and what was asked of it."""

    def __init__(self, ws, folder, base) -> None:
        self.ws, self.folder, self.base = ws, folder, base
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(ws.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        )  # fmt: skip
        self.number, self.done, self.slowest = 0, Counter(), {}

    def ask(self, request: dict) -> object:
        """Have the parent do something; a refusal in words is an answer, too."""
        self.parent.stdin.write(json.dumps(request) + "\n")
        self.parent.stdin.flush()
        reply = json.loads(self.parent.stdout.readline())
        self.done["refused" if "error" in reply else "accepted"] += 1
        return reply.get("result")

    def state(self, id: int) -> str:
        return runs.state_of(runs.get(self.ws, id))

    def live(self) -> list[run_rows.Run]:
        return [run for run in run_rows.live_runs(self.ws.db) if runs.state_of(run) in LIVE]

    def timed(self, what: str, seconds: float) -> None:
        self.slowest[what] = max(seconds, self.slowest.get(what, 0))

    # What is started.

    def train(self) -> int | None:
        self.number += 1
        return self.ask(
            {"kind": "finetune", "settings": tiny_order(f"student-{self.number}", epochs=1, evaluations=1, prompts=())}
        )

    def chat(self) -> None:
        self.ask({"chat": ["base:tuned", "tuned:tuned"], "tokens": 400})

    def probe(self) -> int | None:
        files = {role: {"source": str(self.folder / f"{role}.jsonl")} for role in ("train", "test")}
        return self.ask({"kind": "probe", "settings": {"name": "codes", "models": [f"local:{self.base}"], **files}})

    def bench(self) -> int | None:
        self.number += 1
        settings = {"models": ["tuned:tuned"], "benchmarks": ["gsm8k"], "data": str(self.folder), "max_tokens": 4 + self.number}
        return self.ask({"kind": "bench", "settings": settings})

    def judge(self) -> int | None:
        self.number += 1
        settings = {"test": "exam", "ours": "tuned:tuned", "other": "reference", "answer_tokens": 4 + self.number}
        return self.ask({"kind": "judge-models", "settings": settings})

    def reach(self, moment: str, id: int | None) -> None:
        """Wait until a run has a process, or works or waits for another one; at once for 'started' and for a chat."""
        if id is None or moment == "started":
            return

        def reached() -> bool:
            run = runs.get(self.ws, id)
            working = run.state == "queued" or bool(run_rows.stages(self.ws.db, id))
            return (run.claim is not None and (moment == "claimed" or working)) or self.state(id) in ENDED

        within(SECONDS_TO_END, reached, f"run {id} is {moment}")

    # What happens to it.

    def kill_a_run(self, rng: random.Random) -> None:
        if found := [run for run in self.live() if run.pid]:
            run = rng.choice(found)
            with suppress(ProcessLookupError):
                os.kill(run.pid, signal.SIGKILL)
            self.timed(
                "killed run is lost", within(SECONDS_TO_CANCEL, lambda: self.state(run.id) in ENDED, f"run {run.id} is lost")
            )

    def kill_the_server(self, rng: random.Random) -> None:
        if status := server_client.status():
            os.kill(status["pid"], signal.SIGKILL)
            self.timed(
                "killed server ends", within(SECONDS_TO_CANCEL, lambda: not is_running(status["pid"]), "the server ends")
            )

    def cancel_a_run(self, rng: random.Random) -> None:
        if found := self.live():
            run = rng.choice(found)
            with suppress(GlanError):  # it ended just now
                runs.cancel(self.ws, run.id)
            self.timed(
                f"cancel {run.kind} {run.state}",
                within(SECONDS_TO_CANCEL, lambda: self.state(run.id) in ENDED, f"{run.kind} {run.id} is cancelled"),
            )

    def pause_and_resume(self, rng: random.Random) -> None:
        if found := self.live():
            run = rng.choice(found)
            with suppress(GlanError):
                runs.pause(self.ws, run.id)
            self.timed(
                f"pause {run.kind} {run.state}",
                within(SECONDS_TO_CANCEL, lambda: self.state(run.id) in ENDED, f"{run.kind} {run.id} is paused"),
            )
            if self.state(run.id) == "paused":
                self.ask({"resume": run.id})

    def terminate_a_run(self, rng: random.Random) -> None:
        if found := [run for run in self.live() if run.pid]:
            run = rng.choice(found)
            with suppress(ProcessLookupError):
                os.kill(run.pid, signal.SIGTERM)
            self.timed(
                f"SIGTERM {run.kind} {run.state}",
                within(SECONDS_TO_CANCEL, lambda: self.state(run.id) in ENDED, f"{run.kind} {run.id} is ended"),
            )


@pytest.fixture
def jobs(taught, tmp_path, monkeypatch):
    monkeypatch.setenv("GLAN_RUNTIME", str(tmp_path / "runtime"))
    base = make_base(tmp_path / "base")
    make_tuned(taught, base)
    write_rows(tmp_path / "train.jsonl", make_rows(20, 1))
    write_rows(tmp_path / "test.jsonl", make_rows(20, 2))
    write_all(tmp_path)
    if not list_tests(taught):
        assert execute_run(taught, {"name": "exam", "questions": 2, "snapshot": "first"}, "glan-test").state == "finished"
    made = Jobs(taught, tmp_path, base)
    yield made
    made.parent.kill()
    made.parent.wait(10)
    for process in left_over(taught, tmp_path):
        process.kill()


def left_over(ws, folder) -> list[psutil.Process]:
    """Return the workers of the workspace and the model server that still run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if "glan_core" in words and (
                str(ws.folder) in words or process.environ().get("GLAN_RUNTIME") == str(folder / "runtime")
            ):
                found.append(process)
    return [process for process in found if is_running(process.pid)]


def test_50_jobs_in_random_order_with_kills_leave_nothing_that_hangs(jobs):
    rng, begun = random.Random(SEED), time.monotonic()
    actions = [jobs.train, jobs.chat, jobs.probe, jobs.bench, jobs.judge]
    troubles = [
        *[jobs.kill_a_run] * 3, *[jobs.cancel_a_run] * 3, *[jobs.terminate_a_run] * 2, jobs.kill_the_server, jobs.pause_and_resume, None,
    ]  # fmt: skip
    for _ in range(ACTIONS):
        action, trouble = rng.choice(actions), rng.choice(troubles)
        jobs.done[action.__name__] += 1
        jobs.reach(rng.choice(MOMENTS), action())
        if trouble is not None:
            jobs.done[trouble.__name__] += 1
            trouble(rng)
        waited = within(SECONDS_TO_END, lambda: len(jobs.live()) < MOST_LIVE, f"{MOST_LIVE} live runs: {jobs.live()}")
        jobs.timed("queue moves", waited)
    ws = jobs.ws
    jobs.timed("last runs end", within(SECONDS_TO_END, lambda: not jobs.live(), f"live runs: {jobs.live()}"))
    for run in run_rows.runs(ws.db, 500):
        if runs.state_of(run) in ("paused", "lost"):
            runs.cancel(ws, run.id)
    jobs.timed("replies end", within(SECONDS_TO_ANSWER, lambda: not unfinished(ws), "replies end"))
    released = time.monotonic()
    server_client.release()
    jobs.timed("release", time.monotonic() - released)
    jobs.timed("processes end", within(SECONDS_TO_CANCEL, lambda: not left_over(ws, jobs.folder), "processes end"))
    assert [run for run in run_rows.live_runs(ws.db)] == [], "the queue is empty"
    assert ws.db.pragma("integrity_check") == "ok"
    states = Counter(
        (run.kind, run.state) for run in run_rows.runs(ws.db, 500) if run.kind not in ("generate", "snapshot", "glan-test")
    )
    failed = {(run.kind, run.message) for run in run_rows.runs(ws.db, 500) if run.state == "failed"}
    print(
        f"{time.monotonic() - begun:.0f} s",
        dict(jobs.done),
        dict(states),
        failed,
        {k: round(v, 1) for k, v in jobs.slowest.items()},
    )
    assert not any("Unexpected error" in message for _, message in failed), failed
    for start in (jobs.train, jobs.probe, jobs.bench, jobs.judge):
        id = start()
        jobs.timed("a run after all of it", within(SECONDS_TO_END, lambda id=id: jobs.state(id) in ENDED, f"run {id} ends"))
        assert jobs.state(id) == "finished", runs.get(ws, id).message


def unfinished(ws) -> list:
    """Return the replies that are being written; those whose server is gone count as failed once they are looked at."""
    from glan_core.chat import conversations

    found = []
    for one in chat_rows.conversations(ws.db, "", 500):
        for shown in conversations.view_turns(ws, one):
            found += [reply for reply in shown.replies if reply.state == chat_rows.WRITING]
    return found


def test_the_database_can_be_opened_by_another_process_meanwhile(jobs):
    """A reader beside a killed writer sees a whole database."""
    jobs.judge()
    within(SECONDS_TO_END, lambda: any(run.pid for run in jobs.live()) or not jobs.live(), "it starts")
    jobs.kill_a_run(random.Random(0))
    other = apsw.Connection(str(jobs.ws.folder / "glan.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    assert other.pragma("integrity_check") == "ok"
    other.close()
