"""Runs in batches that are killed: nothing is submitted or paid for twice, and no reply is lost."""

import os
import random
import signal
from contextlib import suppress

import pytest
from support.batch_server import BatchServer
from support.kill_points import Killed, KillPoints
from support.runs import content, execute_run, number, resume_run, rows, wait_for

from glan_core import runs
from glan_core.generation import batch_engine
from glan_core.generation.batch_engine import Timing
from glan_core.workspace import batch_rows

POINTS = (
    "before file", "after file", "before upload", "after upload", "before create", "after create", "before get", "after get",
    "before download", "after download", "before transaction", "after transaction",
)  # fmt: skip
WANTED = {"subject_queries": 2, "questions_per_syllabus": 3, "max_subjects": 1}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Poll and retry at once."""
    monkeypatch.setattr(batch_engine, "TIMING", Timing(0, 1, 0, 0, 0, 60))


@pytest.fixture
def kills(monkeypatch):
    """The kill points of this process."""
    return KillPoints(monkeypatch)


@pytest.fixture
def server():
    """The double of the endpoint."""
    return BatchServer()


def run_through_kills(ws, wanted: dict, kills: KillPoints, next_kill) -> tuple[str, int]:
    """Run to the end through kills; `next_kill()` is the number of points until the next one. Return state and kills."""
    run_id, killed = runs.submit(ws, "generate", "test", wanted), 0
    kills.left = next_kill()
    with suppress(Killed):
        return runs.work(ws, run_id).state, killed
    while True:
        killed += 1
        assert killed < 400, kills.passed[-40:]
        kills.revive(ws, run_id)
        kills.left = next_kill()
        with suppress(Killed):
            return resume_run(ws, run_id).state, killed


def check(ws, server, expected: dict) -> None:
    """Check that everything was requested, stored and paid for exactly once."""
    assert content(ws, teachers=False) == expected
    assert set(server.served.values()) == {1}
    assert number(ws, "SELECT count(*) FROM calls") == sum(server.served.values())
    assert number(ws, "SELECT count(*) FROM batch_requests WHERE outcome IS NOT 'answered'") == 0
    remote = [batch.remote_id for batch in batch_rows.batches(ws.db, 1)]
    assert sorted(remote) == sorted(server.batches) and server.submitted["batches"] == len(remote)
    assert server.submitted["files"] == len({batch["input_file_id"] for batch in server.batches.values()})
    assert not list(ws.folder.glob("batches/.*")), "no unfinished files are left"


@pytest.fixture
def expected(new_workspace, settings):
    """The rows of the online engine."""
    ws = new_workspace("online")
    execute_run(ws, settings(**WANTED))
    return content(ws, teachers=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_killed_again_and_again_pays_each_request_once(new_workspace, settings, server, kills, expected, seed):
    rng, ws = random.Random(seed), new_workspace()
    with server.serving() as served:
        wanted = settings(**WANTED, teacher="openai:scripted", base_url=served.url, batch=True)
        state, killed = run_through_kills(ws, wanted, kills, lambda: rng.randint(1, 30))
    assert state == "finished" and killed > 5
    check(ws, server, expected)


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("which", [0, 3, 5])
def test_a_kill_at_each_step_of_a_batch(new_workspace, settings, server, kills, expected, point, which):
    ws, seen = new_workspace(), 0
    passing = kills.point

    def point_or_kill(name):
        nonlocal seen
        seen += name == point and not kills.dead
        if name == point and seen == which + 1:
            kills.left = 0
        passing(name)

    kills.point = point_or_kill
    with server.serving() as served:
        wanted = settings(**WANTED, teacher="openai:scripted", base_url=served.url, batch=True)
        state, killed = run_through_kills(ws, wanted, kills, lambda: None)
    assert (state, killed) == ("finished", 1)
    check(ws, server, expected)


def test_kills_during_partial_failures_and_expiry_lose_no_reply(new_workspace, settings, server, kills, expected):
    failed = set()

    def answer(custom_id, body):
        task = custom_id.partition("-")[2]
        if task not in failed and task.endswith(tuple("02468ace")):
            failed.add(task)
            return 500, {"error": {"message": "overloaded"}}

    server.answer, rng, ws = answer, random.Random(5), new_workspace()
    server.ends = {4: "expired", 6: "expired", 7: "expired"}
    with server.serving() as served:
        wanted = settings(**WANTED, teacher="openai:scripted", base_url=served.url, batch=True)
        state, killed = run_through_kills(ws, wanted, kills, lambda: rng.randint(5, 40))
    assert state == "finished" and killed > 5 and content(ws, teachers=False) == expected
    assert set(server.served.values()) == {1} and number(ws, "SELECT count(*) FROM calls") == sum(server.served.values())


def test_a_repair_turn_at_the_endpoint_survives_a_restart(new_workspace, settings, server, kills):
    def answer(custom_id, body):
        if "-sessions-" in custom_id and len(body["messages"]) == 1:
            return "no JSON at all"
        if "-sessions-" in custom_id and kills.left is None and not killed:
            killed.append(custom_id)
            kills.left = 0  # the repair turn is answered, and its results are not yet seen

    killed: list = []
    server.answer, ws = answer, new_workspace()
    with server.serving() as served:
        wanted = settings(**WANTED, teacher="openai:scripted", base_url=served.url, batch=True)
        assert run_through_kills(ws, wanted, kills, lambda: None) == ("finished", 1)
    assert set(server.served.values()) == {1}
    assert rows(ws, "SELECT outcome, attempts FROM calls WHERE stage = 'sessions' ORDER BY seq") == [
        ("malformed", 1),
        ("stored", 1),
    ]


def test_an_edited_question_whose_answer_is_at_the_endpoint_is_asked_for_again_after_a_restart(
    new_workspace, settings, server, kills
):
    from glan_core.homework import review

    ws = new_workspace()

    def answer(custom_id, body):
        if "-answer-" in custom_id and not edited:
            edited.append(rows(ws, "SELECT id FROM questions ORDER BY seq")[0][0])
            review.edit(ws, edited[0], "somebody", question="What is a group?", answer=None)
            kills.left = 0

    edited: list = []
    server.answer = answer
    with server.serving() as served:
        wanted = settings(**WANTED, teacher="openai:scripted", base_url=served.url, batch=True)
        assert run_through_kills(ws, wanted, kills, lambda: None) == ("finished", 1)
    outcomes = rows(ws, "SELECT outcome, count(*) FROM calls WHERE stage = 'answer' GROUP BY 1 ORDER BY 1")
    assert outcomes == [("discarded", 1), ("stored", 3)]
    assert "What is a group?" in server.lines(len(server.batches))[-1]["body"]["messages"][0]["content"]


@pytest.mark.long
@pytest.mark.processes
def test_a_worker_process_that_is_killed_while_its_batch_is_at_the_endpoint(new_workspace, settings, server, expected):
    ws = new_workspace()
    with server.serving() as served:
        wanted = settings(**WANTED, teacher="openai:scripted", base_url=served.url, batch=True)
        run_id = runs.submit(ws, "generate", "test", wanted)
        runs.launch(ws, run_id)
        wait_for(lambda: [b for b in batch_rows.batches(ws.db, run_id) if b.step == "submitted"], "a batch is submitted")
        pid = wait_for(lambda: runs.get(ws, run_id).pid, "the worker is known")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: runs.state_of(runs.get(ws, run_id)) == "lost", "the worker is gone")
        assert resume_run(ws, run_id).state == "finished"
    check(ws, server, expected)
