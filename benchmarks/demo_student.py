"""What the demo recipe learns: `python benchmarks/demo_student.py HOME`.

Creates the demo workspace and a snapshot of Mathematics with a tenth of its combinations held out, fine-tunes with the demo recipe, and asks the
tuned model and its untrained base 30 held-out questions with greedy decoding. Reference answers define each of their concepts in a
paragraph ('**Tree.** A tree is …'). An answer is

- on topic if it has such paragraphs for at least half of the concepts that the reference answer defines;
- a hit if for at least half of them the definition, up to its first period or semicolon, also has a word F1 of at least 0.7 with the
  reference's.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.models.tuned_model_store import read_model
from glan_core.workspace import Workspace

ASKED = 30
MOST_TOKENS = 500
AGREES = 0.7


def words(text: str) -> Counter:
    return Counter(re.findall(r"\w+", text.lower()))


def f1(one: str, other: str) -> float:
    """Return the harmonic mean of precision and recall of words."""
    a, b = words(one), words(other)
    return 2 * (a & b).total() / max(1, a.total() + b.total())


def definitions(text: str) -> dict[str, str]:
    """Return the first sentence of each defining paragraph, by the concept it defines."""
    found = {}
    for paragraph in re.split(r"\n\n+", text):
        if match := re.match(r"\*\*(.+?)\.?\*\*\s*(.*)", paragraph, re.DOTALL):
            found[match[1].lower()] = re.split(r"(?<=[.;])\s", match[2])[0]
    return found


def ask(folder: str, rows: list[dict]) -> list[tuple[bool, bool, float]]:
    """Return (hit, on topic, F1 of the whole answer) for each row."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    results = []
    for row in rows:
        chat = [{"role": "user", "content": row["prompt"]}]
        batch = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = model.generate(**batch, max_new_tokens=MOST_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        reply = tokenizer.decode(output[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        asked = {concept.lower() for concept in row["concepts"]}
        wanted = {concept: words for concept, words in definitions(row["completion"]).items() if concept in asked}
        given = definitions(reply)
        there = [concept for concept in wanted if concept in given]
        right = [concept for concept in there if f1(wanted[concept], given[concept]) >= AGREES]
        results.append((2 * len(right) >= len(wanted), 2 * len(there) >= len(wanted), f1(reply, row["completion"])))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    folder = parser.parse_args().home / "demo"
    glan = [sys.executable, "-m", "glan_core"]
    if not folder.exists():
        subprocess.run([*glan, "init", str(folder), "--demo"], check=True)
    frozen = ["--disciplines", "mathematics", "--split", "combination", "--validation", "0.1"]
    subprocess.run([*glan, "snapshot", str(folder), "take", "mathematics", *frozen], check=True)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*glan, "finetune", str(folder), "--snapshot", "mathematics", "--name", "demo"], check=True)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    ws = Workspace.open(folder)
    model = read_model(ws, "demo")
    rows = [row for _, row in read_snapshot(ws, model.snapshot).rows("validation")][:ASKED]
    told = {
        "wall seconds": round(wall), "CPU seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "pairs": model.rows, "steps": model.steps, "tokens": model.tokens, "losses": model.losses,
    }  # fmt: skip
    for name, place in (("tuned", str(model.weights(ws))), ("untrained base", model.base_path(ws))):
        results = ask(place, rows)
        told[name] = {
            "asked": len(results), "hits": sum(hit for hit, _, _ in results), "on topic": sum(topic for _, topic, _ in results),
            "mean F1": round(sum(score for *_, score in results) / len(results), 3),
        }  # fmt: skip
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
