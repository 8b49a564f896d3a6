"""SmolLM2-135M behind `transformers serve`: a real server and a small model, whose failures must carry causes and advice."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest
from support.browser_driver import free_port
from support.smollm2 import smollm2_folder

from glan_core.cli import main
from glan_core.generation.failure_causes import CAUSES
from glan_core.teachers.endpoint_check import check_endpoint
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.workspace import Workspace, call_rows

pytestmark = pytest.mark.real
CURRICULUM = ("subject_list", "subjects", "syllabus", "sessions")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve SmolLM2 and return (URL, model name)."""
    packages = tmp_path_factory.mktemp("serving")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages), "fastapi", "uvicorn"]
    installed = subprocess.run(words, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"fastapi cannot be installed: {installed.stderr.strip().splitlines()[-1:]}")
    model, port = smollm2_folder(tmp_path_factory.mktemp("smollm2")), free_port()
    variables = {
        **os.environ,
        "PYTHONPATH": str(packages),
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "passive",
        "HF_HUB_OFFLINE": "1",
    }
    start = "import sys; from transformers.cli.transformers import main; sys.argv = ['transformers', *sys.argv[1:]]; main()"
    log = (packages / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-c", start, "serve", str(model), "--port", str(port)], env=variables, stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"http://localhost:{port}/health", timeout=2).read()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (packages / "server.log").read_text()[-2000:]
                time.sleep(1)
        yield f"http://localhost:{port}/v1", str(model)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def generate(ws: Workspace, served, *words: str) -> tuple[int, list]:
    """Generate from one subject with the served model; return the exit code and the failures."""
    url, model = served
    code = main(["generate", str(ws.folder), "--disciplines", "music", "--teacher", f"openai:{model}", "--base-url", url,
                 "--price", "0,0", "--subject-queries", "1", "--max-subjects", "1", *words])  # fmt: skip
    return code, call_rows.failure_groups(ws.db)


def test_the_server_is_checked_with_one_token(served):
    url, model = served
    found = check_endpoint(model, EndpointSettings(base_url=url))
    assert found.ok and found.seconds is not None, found


def test_every_stage_is_called_and_nothing_malformed_is_stored(served, ws, capsys):
    stages = [f"{stage}:max_tokens=96" for stage in ("subject_list", "subjects")]
    code, failures = generate(ws, served, "--questions-per-syllabus", "1", *[word for s in stages for word in ("--stage", s)])
    said = capsys.readouterr().out
    assert code == 1 and failures, said
    for group in failures:
        assert group.cause in CAUSES and group.cause in said and (CAUSES[group.cause].advice[:20] in said)
    assert not ws.db.execute("SELECT 1 FROM questions WHERE text LIKE '%subject_name%'").fetchall()


def test_with_a_scripted_curriculum_it_writes_questions_and_answers_and_judges(served, ws, capsys):
    scripted = [word for stage in CURRICULUM for word in ("--stage", f"{stage}:teacher=scripted")]
    penalty = '{"frequency_penalty": 0.2}'
    code, failures = generate(
        ws, served, "--questions-per-syllabus", "3", *scripted, "--stage", f"question:max_tokens=160,extra_body={penalty}",
        "--stage", f"answer:max_tokens=200,extra_body={penalty}",
    )  # fmt: skip
    called = {stage for (stage,) in ws.db.execute("SELECT DISTINCT stage FROM calls WHERE teacher LIKE 'openai:%'")}
    assert "question" in called and {group.cause for group in failures} <= set(CAUSES)
    stored = ws.db.execute("SELECT count(*) FROM questions").fetchone()[0]
    assert stored + sum(group.count for group in failures if group.stage == "question") == 3
    sent = ws.db.execute("SELECT DISTINCT sent FROM calls WHERE stage = 'question'").fetchall()
    assert sent == [(penalty,)] and (code == 0) == (not failures)
    url, model = served
    capsys.readouterr()
    if ws.db.execute("SELECT 1 FROM answers").fetchone():
        judged = ["judge", str(ws.folder), "--teacher", f"openai:{model}", "--base-url", url, "--price", "0,0", "--sample", "1",
                  "--stage", "judge:max_tokens=96", "--json"]  # fmt: skip
        code = main(judged)
        result = json.loads(capsys.readouterr().out)
        assert result["totals"]["done"] + sum(group["count"] for group in result["failures"]) == 1 and code in (0, 1)
