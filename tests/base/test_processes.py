"""Zombie processes, which have exited but were not reaped, block neither a job nor the queue behind it."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from glan_core import processes, runs
from glan_core.errors import GlanError
from glan_core.models import server_client
from glan_core.processes import command_has, is_running, wait_until_ended
from glan_core.workspace import run_rows

# A parent that starts a child, prints its pid once it has exited, and never reaps it.
ZOMBIE = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "pass", "serve-models"])
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
print(child.pid, flush=True)
sys.stdin.read()
"""
# A page server: it starts the model process with the production code and never reaps it.
PAGE = """
import sys
from glan_core.models import server_client
server_client.ensure_running()
print(server_client.status()["pid"], flush=True)
sys.stdin.read()
"""
RELEASE = "from glan_core.models import server_client; print(server_client.release())"


@contextmanager
def parent(code: str):
    """Run `code` in a parent process until the block ends; yield the pid of its child."""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield int(running.stdout.readline())
        finally:
            running.kill()


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("GLAN_RUNTIME", str(tmp_path / "runtime"))
    return server_client.runtime_folder()


def put_address(folder, pid: int) -> None:
    (folder / server_client.ADDRESS).write_text(server_client.Address(pid=pid, port=9, token="t", source="s").model_dump_json())


def test_a_zombie_does_not_run_and_a_process_that_works_does():
    with parent(ZOMBIE) as pid:
        os.kill(pid, 0)  # the pid still exists
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert not is_running(pid) and not command_has(pid, "serve-models") and wait_until_ended(pid, 0)
    assert is_running(os.getpid()) and not wait_until_ended(os.getpid(), 0)
    assert not is_running(2**22 + 1)


@pytest.mark.long
def test_a_model_process_that_a_page_does_not_wait_for_is_released_at_once(runtime):
    with parent(PAGE) as pid:
        assert is_running(pid)
        done = subprocess.run([sys.executable, "-c", RELEASE], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "True", done.stderr
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE and not is_running(pid)


def test_the_number_of_a_zombie_or_of_another_process_is_no_model_process(runtime, monkeypatch):
    with parent(ZOMBIE) as pid:
        put_address(runtime, pid)
        assert not server_client.release()
    monkeypatch.setattr(os, "kill", lambda *given: pytest.fail("it must not be ended"))
    put_address(runtime, os.getpid())  # the pid was reused by a process that serves no models
    assert not server_client.release()


def test_a_model_process_that_does_not_end_is_told_and_not_waited_for_forever(runtime, monkeypatch):
    put_address(runtime, 2**22 + 1)
    killed = []
    monkeypatch.setattr(server_client, "command_has", lambda pid, word: True)
    monkeypatch.setattr(server_client, "wait_until_ended", lambda pid, seconds: False)
    monkeypatch.setattr(os, "kill", lambda pid, sign: killed.append(pid))
    with pytest.raises(GlanError, match="does not exit"):
        server_client.release()
    assert killed == [2**22 + 1]


def test_a_run_whose_process_is_a_zombie_is_lost(ws):
    with parent(ZOMBIE) as pid, ws.write() as db:
        run_id = run_rows.add_run(db, "generate", "A run", {})
        now = time.time()
        run_rows.update_run(db, run_id, state="running", pid=pid, host=socket.gethostname(), started_at=now, heartbeat_at=now)
        assert runs.state_of(run_rows.run(db, run_id)) == "lost"


def test_freeing_chat_memory_cannot_fail_a_run(runtime, monkeypatch, capsys):
    """Whatever is wrong with the model server or its folder, it is noted in the log and the run goes on."""
    put_address(runtime, 2**22 + 1)
    monkeypatch.setattr(server_client, "command_has", lambda pid, word: True)
    monkeypatch.setattr(server_client, "wait_until_ended", lambda pid, seconds: False)
    monkeypatch.setattr(os, "kill", lambda pid, sign: None)
    server_client.try_release()
    assert "does not exit" in capsys.readouterr().err

    def denied(pid, sign):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "kill", denied)
    server_client.try_release()
    assert "Operation not permitted" in capsys.readouterr().err
    runtime.chmod(0o755)  # the folder is open to other users
    server_client.try_release()
    assert "accessible to you only" in capsys.readouterr().err and server_client.memory_in_use() == 0


def test_a_zombie_of_the_page_server_neither_holds_memory_nor_blocks_the_release(runtime):
    with parent(ZOMBIE) as pid:
        put_address(runtime, pid)
        started = time.monotonic()
        server_client.try_release()
        assert time.monotonic() - started < server_client.KILL_SECONDS and server_client.memory_in_use() == 0


@pytest.mark.long
def test_the_memory_of_a_running_model_server_counts_as_available_for_training(runtime):
    with parent(PAGE) as pid:
        assert server_client.memory_in_use() > 10_000_000
        server_client.try_release()
        assert not is_running(pid) and server_client.memory_in_use() == 0


def test_the_memory_of_a_container_is_its_limit_without_reclaimable_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "CONTROL_GROUP", tmp_path)
    whole = psutil.virtual_memory().total
    assert processes.total_memory() == whole and processes.cores() >= 1
    (tmp_path / "memory.max").write_text("max\n")
    assert processes.total_memory() == whole
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 200000\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert (processes.total_memory(), processes.available_memory(), processes.cores()) == (1_000_000, 500_000, 1)
