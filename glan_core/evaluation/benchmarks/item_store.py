"""Item store: every question of a benchmark run with its answer.

evaluations/benchmarks/<key>.jsonl   one item per line; the key depends on weights, benchmark, way and settings
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from glan_core.workspace import Workspace
from glan_core.workspace.benchmark_score_rows import settings_json

FOLDER = Path("evaluations") / "benchmarks"


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """A benchmark question and its answer. `output`, `extracted` and `note` are untrusted model output.

    Attributes:
        part: Part of the benchmark.
        prompt: Prompt as sent to the model.
        output: Generated text.
        extracted: Answer extracted from the output; with option probabilities, the most likely option.
        target: Expected answer.
        right: Score from 0 to 1.
        note: Why code failed, or which instructions were followed.
        options: Options with their log-likelihoods.
        question: Question as in the dataset.
    """

    part: str
    prompt: str
    output: str
    extracted: str
    target: str
    right: float
    note: str = ""
    options: tuple[tuple[str, float], ...] = ()
    question: str = ""


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of items, its offset among the matching items, and their total number."""

    items: list[ScoredItem]
    start: int
    total: int


def items_file(ws: Workspace, weights_hash: str, benchmark: str, way: str, about: dict) -> Path:
    """Return the file with the items of a score."""
    key = hashlib.sha256("\n".join((weights_hash, benchmark, way, settings_json(about))).encode()).hexdigest()[:32]
    return ws.folder / FOLDER / f"{key}.jsonl"


def write_items(file: Path, items: Iterable[ScoredItem]) -> None:
    """Write items atomically; lone surrogates, which a program can put into its exceptions, become question marks."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8", errors="replace") as opened:
        for item in items:
            opened.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
    os.replace(new, file)


def read_items(file: Path, start: int = 0, most: int = 50, *, right: bool | None = None, part: str | None = None) -> ItemPage:
    """Return a page of items; empty if the file is missing or unreadable.

    Args:
        file: File of the items.
        start: Index of the first item among the matching ones.
        most: Page size.
        right: Return only right or only wrong items.
        part: Return only items of this part.
    """
    chosen: list[ScoredItem] = []
    total = 0
    try:
        with file.open(encoding="utf-8") as opened:
            for line in opened:
                values = json.loads(line)
                if (right is not None and (values["right"] >= 1) != right) or (part and values["part"] != part):
                    continue
                if start <= total < start + most:
                    options = tuple((text, chance) for text, chance in values.pop("options"))
                    chosen.append(ScoredItem(**values, options=options))
                total += 1
    except (OSError, ValueError, KeyError, TypeError):
        return ItemPage([], 0, 0)
    return ItemPage(chosen, start, total)
