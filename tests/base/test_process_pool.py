"""The pool of processes: results in order, killed processes, errors, stop requests, and no process that outlives its parent."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import pool_functions
from support.diversity_rows import add_pairs, add_topics
from support.runs import execute_run, rows

from glan_core import process_pool
from glan_core.dataset.quality_filter_job import RULES
from glan_core.errors import GlanError
from glan_core.process_pool import map_in_processes
from glan_core.processes import wait_until_ended
from glan_core.workspace import homework_rows

TESTS = Path(__file__).parents[1]
TAGS = "SELECT seq, kind, name, other, score, detail FROM tags ORDER BY seq, kind, name"


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(process_pool, "cores", lambda: 2)
    monkeypatch.setattr(process_pool, "SERIAL_BATCHES", 3)


def test_the_first_batches_are_computed_here_and_the_others_by_processes_in_order():
    found = list(map_in_processes(iter(range(20)), pool_functions.squares, list))
    assert [square for square, _ in found] == [number**2 for number in range(20)]
    assert [elsewhere for _, elsewhere in found] == [False] * 3 + [True] * 17


def test_few_batches_or_one_core_start_no_process(monkeypatch):
    few = list(map_in_processes(range(3), pool_functions.squares, list))
    monkeypatch.setattr(process_pool, "cores", lambda: 1)
    many = list(map_in_processes(range(9), pool_functions.squares, list))
    assert [len(few), len(many)] == [3, 9] and not any(elsewhere for _, elsewhere in few + many)


@pytest.mark.parametrize("prepare", [pool_functions.fatal_at_seven, pool_functions.ending_in_a_result])
def test_when_a_process_is_killed_this_one_computes_what_is_left(prepare):
    found = []
    worker = threading.Thread(target=lambda: found.extend(map_in_processes(range(20), prepare, list)), daemon=True)
    worker.start()
    worker.join(60)
    assert found == [number**2 for number in range(20)] and not worker.is_alive()


def test_where_no_process_can_be_started_this_one_computes_all(monkeypatch):
    def refused(process) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", refused)
    assert list(map_in_processes(range(9), pool_functions.squares, list)) == [(number**2, False) for number in range(9)]


def test_the_error_of_a_batch_is_raised_after_the_results_before_it():
    found = []
    with pytest.raises(GlanError, match="Seven is not allowed"):
        found.extend(map_in_processes(range(20), pool_functions.refusing_seven, list))
    assert found == [number**2 for number in range(7)]


def test_a_stop_request_ends_the_processes_and_the_wait_for_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr(process_pool, "SERIAL_BATCHES", 0)
    monkeypatch.setattr(process_pool, "LOOK_SECONDS", 0.01)
    ended = []

    def stop() -> None:
        if pids := [int(file.name) for file in tmp_path.iterdir() if file.suffix != ".new"]:
            ended.extend(pids)
            raise GlanError("Stopped.")

    with pytest.raises(GlanError, match="Stopped"):
        list(map_in_processes([str(tmp_path)], pool_functions.endless, stop))
    assert ended and all(wait_until_ended(pid, 30) for pid in ended)


def test_processes_do_not_execute_the_script_that_starts_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from glan_core import process_pool; from support import pool_functions\n"
        "print('executed')\n"
        "process_pool.SERIAL_BATCHES, process_pool.cores = 0, lambda: 2\n"
        "print(list(process_pool.map_in_processes(range(2), pool_functions.squares, list)))",
        "utf-8",
    )
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    child = subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=60, check=True
    )
    assert child.stdout.splitlines() == ["executed", "[(0, True), (1, True)]"] and not child.stderr


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = (
        "from glan_core import process_pool; from support import pool_functions\n"
        "process_pool.SERIAL_BATCHES, process_pool.cores = 0, lambda: 2\n"
        f"list(process_pool.map_in_processes([{str(tmp_path)!r}] * 2, pool_functions.endless, list))"
    )
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths})
    deadline = time.monotonic() + 60
    while len(pids := [int(file.name) for file in tmp_path.iterdir() if file.suffix != ".new"]) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
    parent.kill()
    parent.wait()
    assert all(wait_until_ended(pid, 30) for pid in pids)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["decontaminate", "dedup", "filter"])
def test_checks_find_the_same_with_processes(new_workspace, monkeypatch, tmp_path, kind):
    texts = homework_rows.texts
    monkeypatch.setattr(homework_rows, "texts", lambda *values, **named: texts(*values, page=20, **named))
    found = []
    for serial in (10_000, 1):
        monkeypatch.setattr(process_pool, "SERIAL_BATCHES", serial)
        ws = new_workspace(f"{kind}-{serial}")
        add_topics(ws, 50)
        asked = [text.question for page in homework_rows.texts(ws.db) for text in page][::25]
        add_pairs(ws, [("music", question.upper(), question) for question in asked])
        file = tmp_path / "benchmark.jsonl"
        file.write_text("".join(json.dumps({"question": question}) + "\n" for question in asked[:4]), "utf-8")
        settings = {
            "decontaminate": {"benchmarks": [{"source": str(file)}]}, "dedup": {},
            "filter": {"rules": list(RULES), "min_question_words": 60},
        }  # fmt: skip
        run = execute_run(ws, settings[kind], kind=kind)
        assert run.state == "finished", run.message
        found.append((run.message, rows(ws, TAGS)))
    assert found[0] == found[1] and found[0][1]
