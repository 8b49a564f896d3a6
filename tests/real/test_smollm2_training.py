"""SmolLM2-135M-Instruct is planned, tuned, merged and exported with the command line, and used by plain transformers."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from support.runs import execute_run
from support.smollm2 import smollm2_folder

from glan_core.models import tuned_model_store
from glan_core.resources import CHECKOUT
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import DecodingParams
from glan_core.workspace import training_rows

pytestmark = [pytest.mark.real, pytest.mark.slow]
# The command of the product; its last line on stderr is its peak memory.
GLAN = """
import resource, sys
from glan_core.cli import main
code = main(sys.argv[1:])
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    return smollm2_folder(tmp_path_factory.mktemp("smollm2"))


def glan(*words: object) -> tuple[str, str, int]:
    """Run a command; return its stdout, its stderr and its peak memory in bytes."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", GLAN, *map(str, words)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    *lines, peak = done.stderr.splitlines()
    return done.stdout, "\n".join(lines), int(peak)


def test_smollm2_is_tuned_merged_and_loaded_by_plain_transformers(smollm2, ws, settings, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert execute_run(ws, settings("music", questions_per_syllabus=30)).state == "finished"
    assert (
        execute_run(ws, {"name": "first", "split": "combination", "validation_share": 0.2}, kind="snapshot").state == "finished"
    )
    tune = ["finetune", ws.folder, "--recipe", "lora", "--base", smollm2, "--snapshot", "first", "--name", "tuned",
            "--rows", 16, "--epochs", 1, "--max-length", 256, "--evaluations", 1, "--prompt", "What is a chord?"]  # fmt: skip
    plan = json.loads(glan(*tune, "--plan", "--json")[0])
    assert plan["obstacle"] is None and plan["time_basis"] == "measured" and plan["steps"] == 4
    said, shown, peak = glan(*tune)
    assert "Fine-tuned tuned on 16 pairs in 4 steps: validation loss" in said
    assert "Loading weights" not in shown and "Warning" not in shown, "what libraries print is in the log"
    assert 0.8 * plan["memory"]["bytes"] <= peak <= 1.2 * plan["memory"]["bytes"], "memory as planned, within 20 %"
    model = tuned_model_store.read_model(ws, "tuned")
    steps = training_rows.steps(ws.db, model.run_id)
    validation = [step.validation_loss for step in steps if step.validation_loss is not None]
    assert len([step for step in steps if step.loss is not None]) == 4 and validation[-1] < validation[0]
    assert model.template == "base" and model.parameters - model.trained_parameters == 134_515_008

    glan("models", ws.folder, "merge", "tuned", "whole")
    glan("models", ws.folder, "export", "whole", "--out", tmp_path / "whole")
    tokenizer, whole = (
        AutoTokenizer.from_pretrained(tmp_path / "whole"),
        AutoModelForCausalLM.from_pretrained(tmp_path / "whole"),
    )
    chat = [{"role": "user", "content": "What is a chord?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        logits = whole(**ids).logits
        before = AutoModelForCausalLM.from_pretrained(smollm2)(**ids).logits
    assert torch.isfinite(logits).all() and (logits - before).abs().max() > 0.01, "it is the base, but tuned"

    async def answer():
        teacher = open_teacher(f"local:{tmp_path / 'whole'}")
        try:
            greedy = DecodingParams(temperature=0.0, max_tokens=12)
            return await asyncio.gather(*(teacher.reply(chat, greedy) for _ in range(2)))
        finally:
            await teacher.close()

    first, second = asyncio.run(answer())
    generated = whole.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert first.text == second.text == tokenizer.decode(generated, skip_special_tokens=True)
