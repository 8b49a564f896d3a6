"""Tests for what a command prints while a run works: progress without a terminal, and the output of libraries."""

import io
import json
import os
import subprocess
import sys
import time

import pytest

from glan_core.cli.output import plain_progress
from glan_core.processes import cores
from glan_core.resources import CHECKOUT
from glan_core.workspace.run_rows import Sample, StageProgress

# A command whose run prints in all the ways that libraries do, including from native code.
NOISY = """
import os, sys, warnings, logging
from glan_core.runs import worker
from glan_core.cli import main

def work(ws, run_id, watch, waiting):
    os.write(1, b"native noise\\n")
    os.write(2, b"native noise\\n")
    print("printed noise")
    warnings.warn("warned noise")
    logging.getLogger("library").warning("logged noise")
    from tqdm import tqdm
    list(tqdm(range(3), desc="Loading weights noise", disable=False))
    if waiting:
        waiting(7)
    return real(ws, run_id, watch, waiting)

real, worker.work = worker.work, work
import glan_core.runs
glan_core.runs.work = work
sys.exit(main(sys.argv[1:]))
"""


def sample(requests: int = 0) -> Sample:
    return Sample(time.time(), 0, requests, 0, 0, 0, 0, 0, 0, 0.0)


def test_without_a_terminal_there_is_one_line_per_minute_and_the_last_state():
    now, out = 1000.0, io.StringIO()
    with plain_progress(out, clock=lambda: now) as watch:
        for second in range(181):
            now = 1000.0 + second
            watch(sample(), [StageProgress("answers", 200, second, 0)], [])
        assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["0/200", "60/200", "120/200", "180/200"]
        now = 1239.9  # less than a minute after the last line
        watch(sample(), [StageProgress("answers", 200, 200, 0)], [])
        assert len(out.getvalue().splitlines()) == 4
    assert out.getvalue().splitlines()[-1].endswith("200/200")


@pytest.mark.long
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_libraries_print_goes_to_the_log_of_the_run(tmp_path, options):
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}

    def glan(*words, code="from glan_core.cli import main; import sys; sys.exit(main(sys.argv[1:]))"):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done

    glan("init", "ws")
    words = ("generate", "ws", "--disciplines", "music", "--subject-queries", "1", "--questions-per-syllabus", "2")
    done = glan(*words, *options, code=NOISY)
    assert "noise" not in done.stdout + done.stderr
    log = (tmp_path / "ws" / "runs" / "1.log").read_text()
    said = ("native noise", "printed noise", "warned noise", "logged noise", "Loading weights noise")
    assert [words for words in said if words not in log] == [] and log.count("native noise") == 2
    if options:
        assert json.loads(done.stdout) and not done.stderr
    else:
        assert "Waiting for run 7" in done.stderr and "answers 2/2" in done.stderr


@pytest.mark.long
def test_a_run_without_noise_leaves_no_empty_log(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "glan_core"]
    subprocess.run([*command, "init", "ws"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    words = ["generate", "ws", "--disciplines", "music", "--subject-queries", "1", "--questions-per-syllabus", "2"]
    subprocess.run([*command, *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert not list((tmp_path / "ws" / "runs").glob("*.log"))


@pytest.mark.long
def test_computing_processes_get_as_many_threads_as_cores_and_their_idle_threads_sleep(tmp_path):
    code = "import os; from glan_core.cli import main; main(['--version'])"
    show = code.replace("main(['--version'])", "\ntry: main(['--version'])\nexcept SystemExit: pass\n") + (
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['OMP_NUM_THREADS'])"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    for given, expected in (({}, f"PASSIVE {cores()}"), ({"OMP_NUM_THREADS": "1"}, "PASSIVE 1")):
        environment = bare | {"PYTHONPATH": str(CHECKOUT)} | given
        done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, env=environment)
        assert done.stdout.splitlines()[-1] == expected, done.stderr
    assert 1 <= cores() <= len(os.sched_getaffinity(0))
