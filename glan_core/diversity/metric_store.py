"""Metric store: computed metrics as one JSON file per embedder, and the description of each metric."""

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
class Metric:
    """Description of a metric.

    Attributes:
        label: Display name.
        tooltip: What it measures, which direction is better, and the name of its formula.
        better: Direction that is better, None if neither.
        unit: Suffix of formatted values.
        digits: Decimal places of formatted values.
    """

    label: str
    tooltip: str
    better: Literal["higher", "lower"] | None = None
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric value.

    Attributes:
        value: Point estimate.
        low: Lower bound of the 95% interval, None if all rows were measured.
        high: Upper bound of the 95% interval, None if all rows were measured.
        n: Number of rows measured.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


METRICS: dict[str, Metric] = {
    "mean_distance": Metric(
        "Mean distance", "Average distance between two questions; higher is more diverse. Mean pairwise cosine distance.",
        "higher"),
    "nearest_similarity": Metric(
        "Nearest similarity", "Average similarity of a question to its nearest neighbor; lower is more diverse. Mean "
        "nearest-neighbor cosine similarity.", "lower"),
    "near_share": Metric(
        "Near another", "Share of questions with a neighbor at a similarity above 0.9; lower is more diverse. "
        "Nearest-neighbor cosine similarity.", "lower", "%", 1),
    "vendi": Metric(
        "Vendi score", "Effective number of distinct questions; higher is more diverse, bounded by the embedding dimension. "
        "Exponential of the entropy of the cosine kernel's eigenvalues.", "higher", digits=1),
    "vendi_1000": Metric(
        "Vendi score of 1,000", "Effective number of distinct questions among 1,000 random ones, comparable across dataset "
        "sizes; higher is more diverse. Vendi score of samples.", "higher", digits=1),
    "cluster_entropy": Metric(
        "Cluster entropy", "How evenly questions spread over clusters, corrected for duplicates; higher is more diverse, at "
        "most 1. Normalized entropy of k-means clusters.", "higher"),
    "novelsum": Metric(
        "NovelSum", "Distance of a question from the others, weighted by proximity and local density; higher is more diverse. "
        "NovelSum, on a sample.", "higher"),
    "distinct_1": Metric("Distinct words", "Share of words that are distinct; higher is more diverse. Distinct-1.",
                          "higher", "%", 1),
    "distinct_2": Metric("Distinct word pairs", "Share of adjacent word pairs that are distinct; higher is more diverse. "
                          "Distinct-2.", "higher", "%", 1),
    "distinct_3": Metric("Distinct word triples", "Share of adjacent word triples that are distinct; higher is more diverse. "
                          "Distinct-3.", "higher", "%", 1),
    "compression": Metric("Compression ratio", "How much smaller the questions get when compressed; lower is more diverse. "
                           "Uncompressed over compressed bytes (zlib), on a sample.", "lower", digits=2),
    "concept_coverage": Metric("Concept coverage", "Share of key concepts with at least one question; higher is better. "
                                "Concept coverage.", "higher", "%", 1),
    "evenness": Metric("Evenness", "How evenly pairs spread over disciplines, or over syllabi within a discipline; higher is "
                        "more even, at most 1. Pielou's evenness.", "higher"),
    "question_length": Metric("Question length", "Length of a question in characters; neither direction is better. Median.",
                               digits=0),
    "answer_length": Metric("Answer length", "Length of an answer in characters; neither direction is better. Median.",
                             digits=0),
}  # fmt: skip


TOO_FEW = "too few rows"  # shown for a metric that is undefined because a scope has too few rows


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per interval between `edges`, or per name in `names`."""

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


Scopes = dict[str, dict[str, MetricValue]]


@dataclass(frozen=True, slots=True)
class MetricReport:
    """Metrics of a workspace for one embedder.

    Attributes:
        embedder: Name of the embedder.
        about: Sentence about what the embedder measures.
        dim: Embedding dimension, an upper bound of the Vendi score.
        rows: 'kept' or 'all'.
        number: Number of rows.
        sample: Maximum sample size per scope.
        seed: Sampling seed.
        clusters: Number of clusters for cluster entropy.
        made_at: Time of the computation in seconds since the epoch.
        up_to: Last `seq` included.
        scopes: Metric values by scope (node ID, '' for all rows) and metric name; undefined metrics are missing.
        curves: Novelty curve of each discipline.
        histograms: Histograms by name ('nearest', 'question_length', 'answer_length', 'level') and scope.
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


def read_metrics(ws: Workspace, embedder: str) -> MetricReport | None:
    """Return the stored metrics of an embedder, or None."""
    try:
        data = json.loads(_file(ws, embedder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    histograms = {name: {id: parse_histogram(item) for id, item in of.items()} for name, of in data["histograms"].items()}
    curves = {id: [(n, value) for n, value in curve] for id, curve in data["curves"].items()}
    return MetricReport(**{**data, "scopes": parse_scopes(data["scopes"]), "curves": curves, "histograms": histograms})


def list_metrics(ws: Workspace) -> list[str]:
    """Return the embedders with stored metrics, newest first."""
    files = sorted((ws.folder / FOLDER).glob("*.json"), key=lambda file: -file.stat().st_mtime)
    return [json.loads(file.read_text(encoding="utf-8"))["embedder"] for file in files]


def write_metrics(ws: Workspace, measured: MetricReport) -> None:
    """Store metrics in place of earlier ones."""
    ws.writable_folder(FOLDER)
    file = _file(ws, measured.embedder)
    file.parent.mkdir(exist_ok=True)
    write_json(file, asdict(measured))


def parse_scopes(data: dict) -> Scopes:
    """Parse scopes from JSON."""
    return {id: {name: MetricValue(**value) for name, value in of.items()} for id, of in data.items()}


def parse_histogram(data: dict) -> Histogram:
    """Parse a histogram from JSON."""
    return Histogram(**{name: tuple(values) for name, values in data.items()})


def _file(ws: Workspace, embedder: str) -> Path:
    return ws.folder / FOLDER / f"{slug(embedder)}.json"


def overall_value(measured: MetricReport, measure: str, scope: str = OVERALL) -> float | None:
    """Return the value of a metric for a scope (default: all rows), or None."""
    value = measured.scopes.get(scope, {}).get(measure)
    return value.value if value else None
