"""Every question of a benchmark run with what was answered, kept beside the scores:

evaluations/benchmarks/<key>.jsonl   a line an item; the key is made of weights, benchmark, way and settings
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
class Item:
    """A question: as the data set has it in `question`, as it was asked in `prompt`. `extracted` is what was taken from the `output`
    to be compared with the `target`; of a question asked by probability, the likeliest of its `options`, each with the logarithm
    of its probability. `right` from 0 to 1; `note`: why code failed, or which instructions were followed. Output, extract and note
    are a model's words, so untrusted."""

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
    """Some items, where the first of them stands among the chosen, and how many were chosen in all."""

    items: list[Item]
    start: int
    total: int


def items_file(ws: Workspace, weights_hash: str, benchmark: str, way: str, about: dict) -> Path:
    """Where the items of a score lie."""
    key = hashlib.sha256("\n".join((weights_hash, benchmark, way, settings_json(about))).encode()).hexdigest()[:32]
    return ws.folder / FOLDER / f"{key}.jsonl"


def write_items(file: Path, items: Iterable[Item]) -> None:
    """Keep items, all or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as opened:
        for item in items:
            opened.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
    os.replace(new, file)


def read_items(file: Path, start: int = 0, most: int = 50, *, right: bool | None = None, part: str | None = None) -> ItemPage:
    """`most` items from the chosen one at `start` on: those right or wrong where that is asked for, of one part where one is
    given. None of them where the file is gone or can't be read."""
    chosen: list[Item] = []
    total = 0
    try:
        with file.open(encoding="utf-8") as opened:
            for line in opened:
                values = json.loads(line)
                if (right is not None and (values["right"] >= 1) != right) or (part and values["part"] != part):
                    continue
                if start <= total < start + most:
                    options = tuple((text, chance) for text, chance in values.pop("options"))
                    chosen.append(Item(**values, options=options))
                total += 1
    except (OSError, ValueError, KeyError, TypeError):
        return ItemPage([], 0, 0)
    return ItemPage(chosen, start, total)
