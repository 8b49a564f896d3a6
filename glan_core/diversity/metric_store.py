"""What was measured: kept as JSON beside the database, a file for each embedder, with the words that explain each measure."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from glan_core.diversity.vector_store import write_json
from glan_core.ids import slug
from glan_core.workspace import Workspace

FOLDER = "measures"
OVERALL = ""  # the scope of all rows


@dataclass(frozen=True, slots=True)
class Measure:
    """What a measure is called and says: one `tooltip` sentence with what it says, which way is better and its formula's
    name. `unit` is written after its numbers; `digits` are shown after the point."""

    label: str
    tooltip: str
    better: Literal["higher", "lower"] | None = None
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True, slots=True)
class Value:
    """A measured value. `n` is how many rows it was measured on; `low` and `high` bound it at 95 % where those were a sample
    of more, None where they were all."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


MEASURES: dict[str, Measure] = {
    "mean_distance": Measure(
        "Mean distance", "How far apart two questions are on average; higher is more diverse. Mean pairwise cosine distance.",
        "higher"),
    "nearest_similarity": Measure(
        "Nearest similarity", "How alike a question and its nearest neighbour are on average; lower is more diverse. Mean "
        "nearest-neighbour cosine similarity.", "lower"),
    "near_share": Measure(
        "Near another", "The share of questions with a neighbour at a similarity above 0.9; lower is more diverse. "
        "Nearest-neighbour cosine similarity.", "lower", "%", 1),
    "vendi": Measure(
        "Vendi score", "The effective number of different questions; higher is more diverse, and at most the number of axes of "
        "the embedder. Exponential of the entropy of the cosine kernel's eigenvalues.", "higher", digits=1),
    "vendi_1000": Measure(
        "Vendi score of 1,000", "The effective number of different questions among 1,000 drawn at random, so that sizes "
        "compare; higher is more diverse. Vendi score of samples.", "higher", digits=1),
    "cluster_entropy": Measure(
        "Cluster entropy", "How evenly questions spread over the clusters of all data, less those that repeat another; higher "
        "is more diverse, 1 at most. Normalised entropy of k-means clusters.", "higher"),
    "novelsum": Measure(
        "NovelSum", "How new a question is to its surroundings, near ones counting most and crowded regions more finely; higher "
        "is more diverse. NovelSum, on a sample.", "higher"),
    "distinct_1": Measure("Distinct words", "The share of words that are different; higher is more diverse. Distinct-1.",
                          "higher", "%", 1),
    "distinct_2": Measure("Distinct word pairs", "The share of pairs of neighbouring words that are different; higher is more "
                          "diverse. Distinct-2.", "higher", "%", 1),
    "distinct_3": Measure("Distinct word triples", "The share of triples of neighbouring words that are different; higher is "
                          "more diverse. Distinct-3.", "higher", "%", 1),
    "compression": Measure("Compression ratio", "How many times shorter the questions get when packed; lower is more diverse. "
                           "Bytes over bytes after zlib, of a sample.", "lower", digits=2),
    "concept_coverage": Measure("Concepts asked", "The share of key concepts that some question asks about; higher is better. "
                                "Concept coverage.", "higher", "%", 1),
    "evenness": Measure("Evenness", "How evenly pairs spread over the disciplines, within a discipline over its syllabi; higher "
                        "is more even, 1 at most. Pielou's evenness.", "higher"),
    "question_length": Measure("Question length", "How long a question is, in characters; neither way is better. Median.",
                               digits=0),
    "answer_length": Measure("Answer length", "How long an answer is, in characters; neither way is better. Median.", digits=0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many rows fall between each two `edges`, or have each of the `names`."""

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


Scopes = dict[str, dict[str, Value]]


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of a workspace under one embedder.

    `scopes`: node id (field or discipline), '' for all -> measure (`MEASURES`) -> value; a measure that says nothing of a
    scope is not there. `curves`: discipline -> the steps of its novelty curve (`saturation`). `histograms`: 'nearest',
    'question_length', 'answer_length' or 'level' -> scope -> histogram. `about` says which embedder and what its distances
    mean; `rows` 'kept' or 'all', `number` how many; `sample` the most rows of a scope that a sampled measure looks at;
    `clusters` the k of cluster entropy; `dim` bounds the Vendi score; `up_to` the last `seq`.
    """

    embedder: str
    about: str
    dim: int
    rows: str
    number: int
    sample: int
    seed: int
    clusters: int
    made_at: float
    up_to: int
    scopes: Scopes
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    histograms: dict[str, dict[str, Histogram]] = field(default_factory=dict)


def read_measures(ws: Workspace, embedder: str) -> Measured | None:
    """What was measured with an embedder, by its name; None where nothing was."""
    try:
        data = json.loads(_file(ws, embedder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    histograms = {name: {id: histogram_of(item) for id, item in of.items()} for name, of in data["histograms"].items()}
    curves = {id: [(n, value) for n, value in curve] for id, curve in data["curves"].items()}
    return Measured(**{**data, "scopes": scopes_of(data["scopes"]), "curves": curves, "histograms": histograms})


def list_measures(ws: Workspace) -> list[str]:
    """The embedders that something was measured with, the latest first."""
    files = sorted((ws.folder / FOLDER).glob("*.json"), key=lambda file: -file.stat().st_mtime)
    return [json.loads(file.read_text(encoding="utf-8"))["embedder"] for file in files]


def write_measures(ws: Workspace, measured: Measured) -> None:
    """Keep what was measured, in the place of what was before."""
    file = _file(ws, measured.embedder)
    file.parent.mkdir(exist_ok=True)
    write_json(file, asdict(measured))


def scopes_of(data: dict) -> Scopes:
    """Scopes from JSON."""
    return {id: {name: Value(**value) for name, value in of.items()} for id, of in data.items()}


def histogram_of(data: dict) -> Histogram:
    """A histogram from JSON."""
    return Histogram(**{name: tuple(values) for name, values in data.items()})


def _file(ws: Workspace, embedder: str) -> Path:
    return ws.folder / FOLDER / f"{slug(embedder)}.json"


def overall_value(measured: Measured, measure: str, scope: str = OVERALL) -> float | None:
    """The value of a measure over all rows, or over a scope."""
    value = measured.scopes.get(scope, {}).get(measure)
    return value and value.value
