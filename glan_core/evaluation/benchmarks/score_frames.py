"""Benchmark scores as data frames for display."""

from collections.abc import Sequence

import pandas as pd

from glan_core.evaluation.benchmarks.registry import BENCHMARKS, MAIN, WAY_LABELS, WayName
from glan_core.evaluation.proportions import wilson_interval
from glan_core.workspace.benchmark_score_rows import Score

FEWEST = 30  # rows below which a score is shown in gray: its 95% interval spans more than a third of the scale
COLUMNS = ("model", "benchmark", "way", "part", "score", "low", "high", "number")


def scores_frame(scores: Sequence[Score]) -> pd.DataFrame:
    """Return one row per model, benchmark, way and part with the newest score in percent.

    `low` and `high` are the ends of its 95% Wilson interval.
    """
    newest: dict[tuple, Score] = {}
    for score in sorted(scores, key=lambda score: score.at):
        newest[score.model, score.benchmark, score.way, score.part] = score
    rows = [
        (s.model, s.benchmark, s.way, s.part, 100 * s.score, *(100 * end for end in interval_of(s)), s.number)
        for s in newest.values()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(("score", "low", "high"), "float64"))


def interval_of(score: Score) -> tuple[float, float]:
    """Return the 95% Wilson interval of a score, as shares; NaN without rows."""
    return wilson_interval(score.score * score.number, score.number) or (float("nan"), float("nan"))


def whole_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of whole benchmarks in registry order, with the title (and the way, if there are two) in `row`."""
    whole = frame[frame["part"] == MAIN].copy()
    ways = whole.groupby("benchmark")["way"].transform("nunique") if len(whole) else whole["way"]
    titles = [
        BENCHMARKS[id].title + (f", {WAY_LABELS[way]}" if both > 1 else "") if id in BENCHMARKS else id
        for id, way, both in zip(whole["benchmark"], whole["way"], ways, strict=True)
    ]
    order = {id: nth for nth, id in enumerate(BENCHMARKS)}
    whole["row"] = titles
    whole["nth"] = [order.get(id, len(order)) for id in whole["benchmark"]]
    return whole.sort_values(["nth", "way"], kind="stable").drop(columns="nth")


def part_rows(frame: pd.DataFrame, benchmark: str, way: WayName) -> pd.DataFrame:
    """Return the scores of a benchmark's groups, or else its parts, and of its further metrics; titles are in `row`."""
    about = BENCHMARKS[benchmark]
    names = list(about.groups) or [part for part in about.parts if part != MAIN]
    names += list(about.ways[way].others)
    chosen = frame[(frame["benchmark"] == benchmark) & (frame["way"] == way) & frame["part"].isin(names)].copy()
    chosen["row"] = [part_title(benchmark, way, part) for part in chosen["part"]]
    chosen["nth"] = [names.index(part) for part in chosen["part"]]
    return chosen.sort_values("nth", kind="stable").drop(columns="nth")


def part_title(benchmark: str, way: WayName, part: str) -> str:
    """Return the display name of a part or of a further metric."""
    others = BENCHMARKS[benchmark].ways[way].others
    words = others[part].words if part in others else part.replace("_", " ")
    if part in others and len(BENCHMARKS[benchmark].parts) > 1:
        return f"All, by {words}"
    return "STEM" if part == "stem" else words[:1].upper() + words[1:]
