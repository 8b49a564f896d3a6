"""Saturation: how novel the latest questions of a discipline are compared with the first ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd

from glan_core.diversity.metric_store import MetricReport, list_metrics, read_metrics
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace

BINS = 20
FEWEST = 10  # minimum questions per bin
NEAR = 0.1  # mean novelty below which most new questions are near-duplicates
SLOWING, LITTLE = 0.6, 0.3  # ratio of the latest to the first novelty

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Saturation:
    """Interpretation of a novelty curve.

    Attributes:
        latest: Mean novelty of the latest questions.
        first: Mean novelty of the first questions.
        ratio: `latest` / `first`.
        verdict: 'new ground', 'slowing', 'little new ground', or 'too few to tell' (numbers may then be None).
    """

    latest: float | None
    first: float | None
    ratio: float | None
    verdict: str

    @property
    def saturated(self) -> bool:
        """Whether further questions would add little."""
        return self.verdict == "little new ground"


def novelty_curve(novelty: np.ndarray) -> list[tuple[int, float]]:
    """Return the novelty curve of a discipline in up to 20 bins of at least 10 questions.

    Args:
        novelty: Cosine distance of each question to the nearest earlier one, in chronological order; the first is ignored.

    Returns:
        (questions so far, mean novelty of the bin) per bin.
    """
    rest = np.asarray(novelty, dtype=np.float64)[1:]
    bins = min(BINS, len(rest) // FEWEST)
    if not bins:
        return []
    ends = np.linspace(0, len(rest), bins + 1).round().astype(int)
    return [(end + 1, float(rest[start:end].mean())) for start, end in pairwise(ends.tolist())]


def saturated_disciplines(ws: Workspace) -> set[str]:
    """Return the disciplines that were saturated when diversity was last measured."""
    measured = next((read_metrics(ws, name) for name in list_metrics(ws)), None)
    return {id for id, curve in measured.curves.items() if saturation(curve).saturated} if measured else set()


def saturation(curve: Curve) -> Saturation:
    """Interpret a novelty curve.

    A discipline is saturated if its latest questions are less than 30% as novel as the first ones, or if most of them are
    near-duplicates of earlier ones.
    """
    if len(curve) < 4:
        return Saturation(curve[-1][1] if curve else None, curve[0][1] if curve else None, None, "too few to tell")
    first, latest = curve[0][1], curve[-1][1]
    ratio = latest / first if first > 0 else 0.0
    if latest < NEAR or ratio < LITTLE:
        return Saturation(latest, first, ratio, "little new ground")
    return Saturation(latest, first, ratio, "slowing" if ratio < SLOWING else "new ground")


def saturation_frame(measured: MetricReport, tree: nx.DiGraph, focus: str | None = None) -> pd.DataFrame:
    """Return the novelty of each discipline below a node.

    Returns:
        Columns `id`, `name`, `questions`, `curve`, `first`, `latest`, `ratio` and `verdict`, by ascending novelty ratio.
    """
    rows = []
    for id in hierarchy.disciplines_under(tree, focus):
        if curve := measured.curves.get(id):
            found = saturation(curve)
            rows.append((id, tree.nodes[id]["node"].name, curve[-1][0], [value for _, value in curve], found.first, found.latest,
                         found.ratio, found.verdict))  # fmt: skip
    frame = pd.DataFrame(rows, columns=["id", "name", "questions", "curve", "first", "latest", "ratio", "verdict"])
    return frame.sort_values(["ratio", "latest"], ignore_index=True, na_position="last")
