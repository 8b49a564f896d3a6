"""Cost of judging two models beside generating their answers: `python benchmarks/evaluation.py HOME [--student NAME]`.

Creates the demo workspace in HOME/demo if missing, holds out 10 questions per discipline, and judges a model beside its untrained base with the
scripted judge, as `glan evaluate judge` does; without --student a model of the demo's size is created and trained for one step. Beside it, in the
same process, the same prompts go through a bare loop of transformers' `generate` in batches of 16. CPU seconds are of the process and its threads.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from glan_core import runs
from glan_core.dataset.glan_test_store import list_tests, read_items
from glan_core.evaluation.judge.match_setup import match_setup
from glan_core.evaluation.settings import PairwiseJudgeSettings
from glan_core.models.tuned_model_store import read_model
from glan_core.workspace import Workspace, match_rows

TEST, TOKENS, BATCH = "bench-test", 512, 16


def bare(folder: str, questions: list[str]) -> list[str]:
    """Generate answers in a plain loop; the longest answer of a batch determines its time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model, said = AutoModelForCausalLM.from_pretrained(folder).eval(), []
    for start in range(0, len(questions), BATCH):
        chats = [[{"role": "user", "content": question}] for question in questions[start : start + BATCH]]
        texts = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False, return_token_type_ids=False)
        written = model.generate(**batch, max_new_tokens=TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        said += tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


def timed(work) -> tuple[object, dict]:
    """Return the result of a function with its wall and CPU seconds."""
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    return result, {"wall s": round(time.monotonic() - wall, 1), "CPU s": round(time.process_time() - cpu, 1)}


def made(folder: Path, student: str | None) -> tuple[Workspace, str]:
    """Return the workspace with its test, and the model."""
    glan = [sys.executable, "-m", "glan_core"]
    if not folder.exists():
        subprocess.run([*glan, "init", str(folder), "--demo"], check=True)
    ws = Workspace.open(folder)
    if TEST not in {test.name for test in list_tests(ws)}:
        subprocess.run([*glan, "evaluate", "glan-test", str(folder), "freeze", TEST, "--questions", "10"], check=True)
    if student is None:
        student = "bench-student"
        subprocess.run([*glan, "snapshot", str(folder), "take", "bench", "--split", "combination"], check=True)
        train = ["--snapshot", "bench", "--name", student, "--rows", "2", "--epochs", "1", "--evaluations", "1"]
        subprocess.run([*glan, "finetune", str(folder), *train], check=True)
    return ws, student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--student", help="a model of HOME/demo (default: one is made)")
    args = parser.parse_args()
    ws, student = made(args.home / "demo", args.student)
    settings = PairwiseJudgeSettings(test=TEST, ours=f"tuned:{student}", other=f"base:{student}", answer_tokens=TOKENS)
    match = match_setup(ws, settings)
    with ws.write() as db:  # answered before: answered again for this measurement
        db.execute("DELETE FROM verdicts WHERE match = ?", (match.id,))
        for who in (match.ours, match.other):
            db.execute("DELETE FROM test_answers WHERE answerer = ?", (who.key,))
    questions = [item.question for item in read_items(ws, TEST)]
    model = read_model(ws, student)
    places = [str(model.weights(ws)), model.base_path(ws)]
    timed(lambda: bare(places[0], questions[:1]))  # imports
    _, ours = timed(lambda: runs.work(ws, runs.submit(ws, "judge-models", "benchmark", settings.model_dump(mode="json"))))
    _, loop = timed(lambda: [bare(place, questions) for place in places])
    answers = sum(len(match_rows.answers(ws.db, match.test.hash, who.key)) for who in (match.ours, match.other))
    told = {"questions": len(questions), "answers": answers, "judged": len(match_rows.judged(ws.db, match.id)), "ours": ours, "bare": loop,
            "CPU ratio": round(loop["CPU s"] / ours["CPU s"], 2), "wall ratio": round(loop["wall s"] / ours["wall s"], 2),
            "said": runs.get(ws, max(run_ids(ws))).message}  # fmt: skip
    print(json.dumps(told, indent=1))


def run_ids(ws: Workspace) -> list[int]:
    """Return the IDs of the judging runs."""
    return [id for (id,) in ws.db.execute("SELECT id FROM runs WHERE kind = 'judge-models'")]


if __name__ == "__main__":
    main()
