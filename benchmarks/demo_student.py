"""What the demo's adapter learned: `python benchmarks/demo_student.py [WORKSPACE]`, by default a fresh copy of the shipped demo.

Reads the answers of the tuned model and of its base to the first 60 held-out questions, as stored by the run 'Tuned vs base' (greedy
decoding, at most 320 tokens). Two rules, both between 0 and 1 and independent of the judge:

- agreement: the word F1 of an answer with the reference answer;
- definitions: the share of words of five letters or more, in the textbook's definitions of the question's key concepts, that the answer
  contains, without words of the question and without the concept's name.

Intervals are percentiles of the mean paired difference in 10,000 bootstrap samples with a fixed seed. One row per question is counted,
so a model that answers at greater length may score higher on the second rule; the mean number of words is printed beside it.
"""

import argparse
import json
import random
import re
import statistics
import tempfile
from collections import Counter
from pathlib import Path

from glan_core.dataset.glan_test_store import read_items
from glan_core.operations.demo_build import MODEL, TEST
from glan_core.operations.demo_workspace import create_workspace
from glan_core.teachers.scripted.textbook import textbook
from glan_core.workspace import Workspace, match_rows

ASKED = 60
SAMPLES = 10_000


def words(text: str) -> Counter:
    return Counter(re.findall(r"\w+", text.lower()))


def agreement(answer: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of words."""
    a, b = words(answer), words(reference)
    return 2 * (a & b).total() / max(1, a.total() + b.total())


def definition_recall(answer: str, question: str, concepts: dict[str, str]) -> float | None:
    """Return the share of the definitions' words that an answer contains; None if no definition has words of its own."""
    wanted = {word for name, text in concepts.items() for word in words(text).keys() - words(name).keys() if len(word) >= 5}
    wanted -= words(question).keys()
    return len(wanted & words(answer).keys()) / len(wanted) if wanted else None


def interval(differences: list[float]) -> list[float]:
    """Return the 95 % bootstrap interval of the mean."""
    draw = random.Random(1)
    means = sorted(statistics.fmean(draw.choices(differences, k=len(differences))) for _ in range(SAMPLES))
    return [round(means[int(SAMPLES * 0.025)], 3), round(means[int(SAMPLES * 0.975)], 3)]


def measure(ws: Workspace) -> dict:
    """Return both rules for both models, and the intervals of their differences."""
    match = next(m for m in match_rows.matches(ws.db) if m.test_name == TEST and MODEL in m.ours and MODEL in m.other)
    tuned, base = (match_rows.answers(ws.db, match.test, key) for key in (match.ours_key, match.other_key))
    definitions = {entry.concept.name: entry.concept.definition for entry in textbook().entries()}
    told: dict = {"questions": 0, "mean words": {}}
    scores: dict[str, list[tuple[float, float]]] = {"agreement": [], "definitions": []}
    items = read_items(ws, TEST)[:ASKED]
    told["questions"] = len(items)
    told["mean words"] = {
        name: round(statistics.fmean(len(answers[item.id].split()) for item in items))
        for name, answers in (("tuned", tuned), ("base", base))
    }
    for item in items:
        scores["agreement"].append((agreement(tuned[item.id], item.reference), agreement(base[item.id], item.reference)))
        asked = {name: definitions[name] for name in item.concepts if name in definitions}
        both = [definition_recall(answers[item.id], item.question, asked) for answers in (tuned, base)]
        if both[0] is not None and both[1] is not None:
            scores["definitions"].append((both[0], both[1]))
    for rule, pairs in scores.items():
        told[rule] = {
            "tuned": round(statistics.fmean(a for a, _ in pairs), 3), "base": round(statistics.fmean(b for _, b in pairs), 3),
            "difference": round(statistics.fmean(a - b for a, b in pairs), 3), "95 % interval": interval([a - b for a, b in pairs]),
            "tuned higher": sum(a > b for a, b in pairs), "base higher": sum(b > a for a, b in pairs),
        }  # fmt: skip
    return told


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?")
    folder = parser.parse_args().workspace
    with tempfile.TemporaryDirectory() as temporary:
        ws = Workspace.open(folder) if folder else create_workspace(Path(temporary) / "demo", demo=True)
        print(json.dumps(measure(ws), indent=1))
        ws.close()


if __name__ == "__main__":
    main()
