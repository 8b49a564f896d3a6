"""Helpers for diversity tests: questions on a few topics, and a fake progress."""

import random

from glan_core import ids
from glan_core.diversity.comparison_job import compare_datasets
from glan_core.diversity.comparison_store import Comparison, list_comparisons
from glan_core.diversity.settings import ComparisonSettings
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.homework_rows import Question

TOPICS = {
    "mathematics": [
        "prime",
        "number",
        "divisor",
        "proof",
        "lemma",
        "integer",
        "modulus",
        "residue",
        "theorem",
        "factor",
        "congruence",
    ],
    "music": ["chord", "melody", "scale", "rhythm", "harmony", "cadence", "tempo", "fugue", "interval", "counterpoint"],
    "earth-science": ["magma", "basalt", "fault", "tectonic", "glacier", "erosion", "sediment", "mantle", "volcano", "strata"],
}
BREAD = [f"Bake bread {n} from flour, yeast and salt." for n in range(30)]
LEVELS = ("introductory", "advanced")


class Steps:
    """Fake progress that records steps; `stop_at` raises at the nth step."""

    run_id = 1

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[tuple[str, int, int]] = []
        self.stop_at = stop_at

    def step(self, stage: str, done: int, planned: int) -> None:
        self.seen.append((stage, done, planned))
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt

    def check(self) -> None:
        pass


def question(topic: str, rng: random.Random, words: int = 12) -> str:
    """Return a question about a topic with random numbers, so that no two are near-duplicates."""
    numbers = " ".join(str(rng.randrange(1000, 10_000)) for _ in range(4))
    return f"Explain how {' '.join(rng.choices(TOPICS[topic], k=words))} fit together at {numbers}."


def add_pairs(ws: Workspace, pairs: list[tuple[str, str, str | None]], teacher: str = "openai:test") -> None:
    """Add (discipline, question, answer) rows to a workspace; an answer may be None."""
    first = homework_rows.last_seq(ws.db)
    with ws.write() as db:
        for number, (discipline, text, answer) in enumerate(pairs, start=first):
            id = ids.derive("qst", discipline, str(number))
            row = Question(
                0,
                id,
                f"syl-{discipline}",
                discipline,
                "single",
                "uniform",
                0,
                number,
                (),
                (f"con-{number % 7}",),
                text,
                teacher,
            )
            homework_rows.add_question(db, row)
            if answer is not None:
                homework_rows.add_answer(db, id, discipline, answer, teacher)


def add_topics(ws: Workspace, number: int, seed: int = 0) -> None:
    """Add pairs to each of three disciplines in turn."""
    rng = random.Random(seed)
    add_pairs(ws, [(topic, question(topic, rng), f"Answer {n}.") for n in range(number) for topic in TOPICS])


def compare(ws: Workspace, path: object, **values: object) -> tuple[str, Comparison]:
    """Compare a dataset with a workspace; return the message and the comparison."""
    said = compare_datasets(ws, ComparisonSettings(path=str(path), embedder="words", **values), Steps())
    return said, list_comparisons(ws)[0]
