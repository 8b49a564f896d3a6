"""Runs whose answers come from local weights: each is stored when it ends, and a killed run keeps them."""

import os
import signal

import pytest
from support.chat_models import make_base
from support.runs import execute_run, number, resume_run, wait_for

from glan_core import runs
from glan_core.runs.states import get


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Folder of a model whose replies at temperature 1 end after random numbers of tokens."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = make_base(tmp_path_factory.mktemp("noisy") / "model")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = torch.zeros_like(weights["lm_head.weight"])  # all tokens are equally likely
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def answers(ws) -> int:
    return number(ws, "SELECT count(*) FROM answers")


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_middle_of_a_batch_keeps_the_answers_that_had_ended(ws, settings, noisy):
    wanted = settings("music", questions_per_syllabus=14, max_in_flight=16) | {
        "answer_teacher": f"local:{noisy}", "stages": {"answer": {"max_tokens": 2000, "temperature": 1.0, "top_p": 1.0}},
    }  # fmt: skip
    run_id = runs.submit(ws, "generate", "test", wanted)
    runs.launch(ws, run_id)
    wait_for(lambda: answers(ws) >= 2, "two answers", 120)
    os.kill(get(ws, run_id).pid, signal.SIGKILL)
    kept, questions = answers(ws), number(ws, "SELECT count(*) FROM questions")
    assert 2 <= kept < questions, "the first answers were stored while others were being written"
    wait_for(lambda: runs.state_of(get(ws, run_id)) == "lost", "the run is lost")
    before = {row[0] for row in ws.db.execute("SELECT id FROM answers")}
    resume_run(ws, run_id)
    assert before < {row[0] for row in ws.db.execute("SELECT id FROM answers")}, "kept ones stay and the others follow"


def test_local_answers_are_as_many_as_questions_and_differ(ws, settings, noisy):
    wanted = settings("music", max_in_flight=4) | {
        "answer_teacher": f"local:{noisy}", "stages": {"answer": {"max_tokens": 3000, "temperature": 1.0, "top_p": 1.0}},
    }  # fmt: skip
    run = execute_run(ws, wanted)
    texts = [row[0] for row in ws.db.execute("SELECT text FROM answers")]
    assert run.state == "finished" and len(texts) >= 3 and len(set(texts)) == len(texts)
    assert {row[0] for row in ws.db.execute("SELECT teacher FROM answers")} == {f"local:{noisy}"}
