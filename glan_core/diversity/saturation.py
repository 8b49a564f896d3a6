"""Saturation: how much new ground the latest questions of a discipline cover, against how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd

from glan_core.diversity.metric_store import Measured, list_measures, read_measures
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace

BINS = 20
FEWEST = 10  # questions of a bin
NEAR = 0.1  # mean novelty below which most new questions nearly repeat an older one
SLOWING, LITTLE = 0.6, 0.3  # shares of the first novelty

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Saturation:
    """What a novelty curve says: the mean novelty of the `latest` and of the `first` questions, their `ratio`, and a `verdict`
    for people: 'new ground', 'slowing', 'little new ground', or 'too few to tell' (then the numbers may be None)."""

    latest: float | None
    first: float | None
    ratio: float | None
    verdict: str

    @property
    def saturated(self) -> bool:
        """Whether more questions of this kind would hardly add anything."""
        return self.verdict == "little new ground"


def novelty_curve(novelty: np.ndarray) -> list[tuple[int, float]]:
    """The curve of a discipline: (questions so far, mean novelty of the latest of them), in up to 20 steps of at least 10.

    `novelty` is the cosine distance of each question to the nearest one before it, in the order in which they came; the
    first, which has none before it, is left out.
    """
    rest = np.asarray(novelty, dtype=np.float64)[1:]
    bins = min(BINS, len(rest) // FEWEST)
    if not bins:
        return []
    ends = np.linspace(0, len(rest), bins + 1).round().astype(int)
    return [(end + 1, float(rest[start:end].mean())) for start, end in pairwise(ends.tolist())]


def saturated_disciplines(ws: Workspace) -> set[str]:
    """The disciplines in which, when diversity was last measured, more questions hardly added anything."""
    measured = next((read_measures(ws, name) for name in list_measures(ws)), None)
    return {id for id, curve in measured.curves.items() if saturation(curve).saturated} if measured else set()


def saturation(curve: Curve) -> Saturation:
    """What a novelty curve says. Saturated: the latest questions are under a third as novel as the first ones, or most of
    them nearly repeat one that was there."""
    if len(curve) < 4:
        return Saturation(curve[-1][1] if curve else None, curve[0][1] if curve else None, None, "too few to tell")
    first, latest = curve[0][1], curve[-1][1]
    ratio = latest / first if first > 0 else 0.0
    if latest < NEAR or ratio < LITTLE:
        return Saturation(latest, first, ratio, "little new ground")
    return Saturation(latest, first, ratio, "slowing" if ratio < SLOWING else "new ground")


def saturation_frame(measured: Measured, tree: nx.DiGraph, focus: str | None = None) -> pd.DataFrame:
    """The novelty of each discipline in focus: id, name, questions, its curve, novelty of the first and the latest questions,
    and what that says; those with the least new ground first."""
    rows = []
    for id in hierarchy.disciplines_under(tree, focus):
        if curve := measured.curves.get(id):
            said = saturation(curve)
            rows.append((id, tree.nodes[id]["node"].name, curve[-1][0], [value for _, value in curve], said.first, said.latest,
                         said.ratio, said.verdict))  # fmt: skip
    frame = pd.DataFrame(rows, columns=["id", "name", "questions", "curve", "first", "latest", "ratio", "verdict"])
    return frame.sort_values(["ratio", "latest"], ignore_index=True, na_position="last")
