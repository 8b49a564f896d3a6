"""Tests for the sandbox: harmful code fails, valid code passes, and unsupported machines are refused."""

import socket
import struct
import sys
import time
from dataclasses import replace

import pytest

from glan_core.errors import GlanError
from glan_core.evaluation.sandbox import runner, sandbox_child
from glan_core.evaluation.sandbox.runner import LIMITS, run_code

QUICK = replace(LIMITS, cpu_seconds=1, seconds=1.5)
HARM = {
    "fork": ("import os\nwhile True:\n    os.fork()", "PermissionError"),
    "a program": ("import subprocess\nsubprocess.run(['/bin/true'])", "Error"),
    "memory": ("held = bytearray(2 << 30)", "MemoryError"),
    "memory bit by bit": ("held = []\nwhile True:\n    held.append(bytes(1 << 24))", "MemoryError"),
    "threads": (
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "thread",
    ),
    "a socket": ("import socket\nsocket.create_connection(('127.0.0.1', {port}))", "PermissionError"),
    "writing outside": ("open({outside!r}, 'w')", "PermissionError"),
    "removing outside": ("import os\nos.unlink({outside!r})", "PermissionError"),
    "reading outside": ("open({outside!r}).read()", "PermissionError"),
    "killing its parent": ("import os\nos.kill(os.getppid(), 9)", "PermissionError"),
    "a file that signals its parent": (
        "import fcntl, os\nread, write = os.pipe()\nfcntl.fcntl(read, fcntl.F_SETOWN, os.getppid())",
        "PermissionError",
    ),
    "an endless loop": ("while True:\n    pass", "stopped after"),
    "endless sleep": ("import time\ntime.sleep(100)", "stopped after"),
    "endless words": ("while True:\n    print('word ' * 1000)", "stopped after"),
    "a huge file": ("open('big', 'wb').write(bytes(1 << 26))", "too large"),
    "many files": ("n = 0\nwhile True:\n    n += 1\n    open(str(n), 'wb').write(bytes(1 << 23))", "too much"),
    "leaving before the tests": ("import sys\nsys.exit(0)\nassert False", "SystemExit"),
    "leaving for good": ("import os\nos._exit(0)", "before its tests"),
    "a crash": ("import ctypes\nctypes.string_at(0)", "crash"),
    "a lie on every descriptor": (
        'import os\nfor number in range(3, 20):\n    try:\n        os.write(number, b\'{{"passed": "yes"}}\')\n'
        "    except OSError:\n        pass\nos._exit(0)",
        "before its tests",
    ),
}
HONEST = {
    "nothing much": "assert 1 + 1 == 2",
    "the standard library": "import collections, heapq, itertools, math, random, re, typing\nassert math.isqrt(81) == 9",
    "its own folder": "open('a.txt', 'w').write('b')\nassert open('a.txt').read() == 'b'",
    "threads": "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()",
    "a class with a main part": "class A:\n    pass\nif __name__ == '__main__':\n    done = A()\nassert done",
}


@pytest.mark.parametrize("deed", HARM)
def test_harm_is_stopped_and_has_failed(deed, tmp_path):
    outside = tmp_path / "kept.txt"
    outside.write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, why = HARM[deed]
        source = code.format(outside=str(outside), port=server.getsockname()[1])
        begun = time.monotonic()
        outcome = run_code(source, QUICK)
    assert not outcome.passed and why in outcome.why
    assert time.monotonic() - begun < 10 and outside.read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("deed", HONEST)
def test_honest_code_passes(deed):
    assert run_code(HONEST[deed]).passed, run_code(HONEST[deed]).why


def test_a_failed_test_says_why():
    assert (
        run_code("def add(a, b):\n    return a - b\nassert add(2, 3) == 5, 'not the sum'").why == "AssertionError: not the sum"
    )


def test_code_sees_no_variable_and_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    outcome = run_code("import os\nraise ValueError(sorted(os.environ), open('/proc/self/environ').read())")
    assert "secret" not in outcome.why and "PermissionError" in outcome.why
    assert "HF_TOKEN" not in run_code("import os\nraise ValueError(sorted(os.environ))").why


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run_code("open('a', 'w').write('b')")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unproved():
    runner.prove.cache_clear()
    yield
    runner.prove.cache_clear()


def test_without_a_lock_no_code_runs(unproved, monkeypatch, tmp_path):
    """A child without restrictions is refused with the names of all that is missing."""
    child = tmp_path / "child.py"
    child.write_text(runner.CHILD.read_text().replace("    _landlock(request", "    0 and _landlock(request"))
    monkeypatch.setattr(runner, "CHILD", child)
    ran = tmp_path / "ran"
    with pytest.raises(GlanError, match=r"does not hold: .*files outside.*Skip the code benchmarks"):
        run_code(f"open({str(ran)!r}, 'w')")
    assert not ran.exists()
    child.write_text(runner.CHILD.read_text().replace("    _seccomp()", "    0"))
    with pytest.raises(GlanError, match=r"other processes.*the network"):
        run_code("pass")


def test_a_machine_whose_calls_are_not_known_is_refused(unproved, monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text(runner.CHILD.read_text().replace("filter_program(platform.machine())", "filter_program('riscv64')"))
    monkeypatch.setattr(runner, "CHILD", child)
    with pytest.raises(GlanError, match="this machine lacks a system call filter for riscv64"):
        run_code("pass")
    monkeypatch.setattr(sys, "platform", "darwin")
    runner.prove.cache_clear()
    with pytest.raises(GlanError, match="only on Linux"):
        run_code("pass")


@pytest.mark.parametrize("machine", sandbox_child.NUMBERS)
def test_the_filter_of_calls_is_sound(machine):
    """Interpret the filter as the kernel would: only the intended calls are refused; threads are allowed."""
    _, clone, fcntl, numbers = sandbox_child.NUMBERS[machine]
    program = sandbox_child.filter_program(machine)
    refused = {number for number in numbers if number is not None}
    assert len(numbers) == len(sandbox_child.NAMES) and len(program) // 8 < 4096
    for number in range(600):
        answer = _run_filter(program, machine, number, (0, 0))
        if number in refused or number == clone:
            assert answer == sandbox_child.ERROR | sandbox_child.EPERM, number
        elif number >= sandbox_child.NEWER and number not in sandbox_child.NEWER_ALLOWED:
            assert answer == sandbox_child.ERROR | sandbox_child.ENOSYS, number
        else:
            assert answer == sandbox_child.ALLOW, number
    assert _run_filter(program, machine, clone, (sandbox_child.CLONE_THREAD | 0x100, 0)) == sandbox_child.ALLOW
    assert _run_filter(program, machine, fcntl, (0, 8)) == sandbox_child.ERROR | sandbox_child.EPERM
    assert _run_filter(program, machine, (1 << 30) | 57, (0, 0)) == sandbox_child.ERROR | sandbox_child.ENOSYS
    assert _run_filter(program, "other", 0, (0, 0)) == sandbox_child.KILL


def _run_filter(program: bytes, machine: str, number: int, arguments: tuple[int, int]) -> int:
    architecture = sandbox_child.NUMBERS[machine][0] if machine in sandbox_child.NUMBERS else 0x40000003
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("<HBBI", program))
    at = held = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == sandbox_child.LOAD:
            held = struct.unpack_from("<I", data, value)[0]
        elif code == sandbox_child.ANSWER:
            return value
        else:
            true = {
                sandbox_child.EQUAL: held == value,
                sandbox_child.AT_LEAST: held >= value,
                sandbox_child.ANY_BIT: held & value,
            }
            at += yes if true[code] else no
