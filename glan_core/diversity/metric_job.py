"""Metric job: computes diversity metrics of all rows, each field and each discipline, and novelty curves."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from glan_core.diversity import metrics
from glan_core.diversity.embedding_job import embed_missing, existing_vectors
from glan_core.diversity.map_job import RowFacts, read_facts
from glan_core.diversity.metric_store import OVERALL, Histogram, MetricReport, MetricValue, write_metrics
from glan_core.diversity.nearest_neighbors import nearest_earlier
from glan_core.diversity.saturation import novelty_curve, saturation
from glan_core.diversity.scoped_metrics import LENGTH_EDGES, NEAREST_EDGES, Scope, Scorer, histogram, text_values
from glan_core.diversity.settings import MetricSettings
from glan_core.diversity.vector_store import Vectors
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.runs.heartbeat import Progress
from glan_core.taxonomy import coverage, hierarchy, tree_editing
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace, homework_rows


def compute_metrics(ws: Workspace, settings: MetricSettings, progress: Progress) -> str:
    """Embed missing questions, then compute the metrics.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If there are no rows to measure.
    """
    embedder, _ = embed_missing(ws, settings, progress)
    vectors = existing_vectors(ws, embedder.name)
    facts = read_facts(ws, vectors.seqs, np.empty(0, np.int64), progress)
    chosen = facts.there & ((facts.columns["dropped"] == 0) | (settings.rows == "all"))
    if not chosen.any():
        raise GlanError("No rows are kept, so there is nothing to measure. Measure all rows, or review the exclusions.")
    leaves, above = _leaves(ws, facts, chosen)
    scorer = Scorer(vectors.rows, leaves, above, settings.sample, settings.seed)
    curves = {}
    for done, scope in enumerate(scorer.run(), start=1):
        if scope.id in leaves:
            curves[scope.id] = novelty_curve(_novelty(vectors, leaves[scope.id]))
        progress.step("disciplines and fields measured", done, len(scorer.scopes))
    texts = _texts(ws, vectors, list(scorer.scopes.values()), progress)
    standings = coverage.coverage_by_node(ws)
    scopes: dict[str, dict[str, MetricValue]] = {}
    histograms: dict[str, dict[str, Histogram]] = {"nearest": {}, "question_length": {}, "answer_length": {}, "level": {}}
    rows_of = _rows_of(leaves, above)
    for done, (id, scope) in enumerate(scorer.scopes.items(), start=1):
        sampled_texts = [texts[place] for place in scope.sample.tolist()]
        scopes[id] = scope.values | text_values(sampled_texts, sampled=scope.sampled, seed=settings.seed)
        scopes[id] |= _of_facts(id, rows_of[id], leaves, above, facts, standings)
        if scope.n > 1:
            histograms["nearest"][id] = histogram(scope.best, NEAREST_EDGES)
        histograms["question_length"][id] = histogram([len(text) for text in sampled_texts], LENGTH_EDGES)
        histograms["answer_length"][id] = histogram(facts.columns["length"][rows_of[id]], LENGTH_EDGES)
        histograms["level"][id] = _levels(facts, rows_of[id])
        progress.step("texts measured", done, len(scorer.scopes))
    number = int(chosen.sum())
    write_metrics(ws, MetricReport(
        embedder.name, embedder.about, embedder.dim, settings.rows, number, settings.sample, settings.seed, len(scorer.centers),
        time.time(), vectors.last_seq, scopes, curves, histograms,
    ))  # fmt: skip
    full = sum(saturation(curve).saturated for curve in curves.values())
    note = f" {plural(full, 'discipline')} {'is' if full == 1 else 'are'} saturated." if full else ""
    return f"Measured {plural(number, 'question')} in {plural(len(leaves), 'discipline')}.{note} {embedder.about}"


def _leaves(ws: Workspace, facts: RowFacts, chosen: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Return the rows of each discipline, ascending, and the scopes above it: its field and the whole."""
    tree = tree_editing.tree(ws)
    codes = facts.columns["discipline"]
    leaves: dict[str, np.ndarray] = {}
    above: dict[str, list[str]] = {}
    for code, id in enumerate(facts.names["discipline"]):
        places = np.flatnonzero((codes == code) & chosen)
        if len(places):
            leaves[id] = places
            above[id] = [*([hierarchy.path(tree, id)[0].id] if id in tree else []), OVERALL]
    return leaves, above


def _rows_of(leaves: Mapping[str, np.ndarray], above: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {}
    for id, places in leaves.items():
        for scope in {id, *above[id]}:
            parts.setdefault(scope, []).append(places)
    return {id: np.concatenate(some) for id, some in parts.items()}


def _novelty(vectors: Vectors, places: np.ndarray) -> np.ndarray:
    return nearest_earlier(lambda at: vectors.rows(places[at]), len(places))


def _texts(ws: Workspace, vectors: Vectors, scopes: Sequence[Scope], progress: Progress) -> dict[int, str]:
    """Return the questions of all samples by row index."""
    wanted = np.unique(np.concatenate([scope.sample for scope in scopes]))
    found: dict[int, str] = {}
    for some in np.array_split(wanted, max(1, len(wanted) // 1000)):
        seqs = vectors.seqs[some]
        questions = homework_rows.question_texts(ws.db, seqs.tolist())
        found |= {int(place): questions.get(int(seq), "") for place, seq in zip(some, seqs, strict=True)}
        progress.step("samples read", len(found), len(wanted))
    return found


def _of_facts(
    id: str, rows: np.ndarray, leaves: Mapping[str, np.ndarray], above: Mapping[str, Sequence[str]], facts: RowFacts,
    standings: Mapping[str, Coverage],
) -> dict[str, MetricValue]:  # fmt: skip
    """Return the metrics based on counters and columns: concept coverage, evenness, answer length."""
    found: dict[str, MetricValue] = {}
    standing = standings.get(id)
    counts = standing.counts if standing else {}
    if all := int(counts.get("concepts", 0)):
        found["concept_coverage"] = MetricValue(100 * counts["concepts_asked"] / all, n=all)
    if id in leaves:
        per_syllabus = np.unique(facts.columns["syllabus"][rows], return_counts=True)[1]
        kinds = max(len(per_syllabus), int(counts.get("syllabi", 0)))
        sizes = np.pad(per_syllabus, (0, kinds - len(per_syllabus)))
    else:
        rows_per_leaf = [len(places) for leaf, places in leaves.items() if id in above[leaf]]
        disciplines = standing.disciplines if standing else 0
        sizes = np.pad(np.array(rows_per_leaf), (0, max(0, disciplines - len(rows_per_leaf))))
    if len(sizes) > 1:
        found["evenness"] = MetricValue(metrics.evenness(sizes), n=len(rows))
    lengths = facts.columns["length"][rows]
    if (answered := lengths[lengths > 0]).size:
        found["answer_length"] = MetricValue(float(np.median(answered)), n=len(answered))
    return found


def _levels(facts: RowFacts, rows: np.ndarray) -> Histogram:
    names = facts.names["level"]
    counts = np.bincount(facts.columns["level"][rows], minlength=len(names))
    return Histogram(tuple(counts.tolist()), names=tuple(name or "no level" for name in names))
