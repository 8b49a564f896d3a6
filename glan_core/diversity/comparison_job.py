"""Comparison job: compares another dataset with this one using the same embedder, map and metrics."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from glan_core.diversity import comparison_store, metrics
from glan_core.diversity.clusters import keywords
from glan_core.diversity.comparison_store import (
    OURS,
    THEIRS,
    ClusterShare,
    Comparison,
    Gap,
    comparison_folder,
    read_rows,
    write_comparison,
)
from glan_core.diversity.embedders import Embedder
from glan_core.diversity.embedding_job import embed_missing, existing_vectors
from glan_core.diversity.map_job import create_map
from glan_core.diversity.map_store import Map, existing_map
from glan_core.diversity.metric_store import MetricValue
from glan_core.diversity.nearest_neighbors import nearest
from glan_core.diversity.scoped_metrics import Scorer, text_values
from glan_core.diversity.settings import WORDS, ComparisonSettings, MapSettings
from glan_core.diversity.vector_store import Vectors, VectorWriter, read_vectors, write_json
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted
from glan_core.io.dataset_reader import ExternalRow, read_dataset
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.workspace import FILE

DEFAULT_SIMILARITIES = {WORDS: 0.4}  # cosine similarity above which two rows are neighbors, by embedder
DEFAULT_SIMILARITY = 0.5  # of all other embedders
REFERENCE = 20_000  # rows of this workspace used to assign disciplines
THEMES = 8  # maximum number of themes among uncovered rows
FAR = 20  # least covered rows kept as examples
HELD = 5000  # minimum number of sampled rows per dataset that are compared with every row of the other
BLOCK = 1024
EMBEDDED = 256


@dataclass(frozen=True, slots=True)
class OtherDataset:
    """Another dataset: name, format, number of rows, a function that reads them, and a note about skipped rows."""

    name: str
    form: str
    number: int
    rows: Callable[[], Iterator[ExternalRow]]
    note: str = ""


def compare_datasets(ws: Workspace, settings: ComparisonSettings, progress: Progress) -> str:
    """Compare another dataset with this workspace.

    Copies and embeds the other rows, updates the map, places the rows on it and computes the metrics of both datasets.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the dataset cannot be read or this workspace has no kept rows.
    """
    other = open_dataset(ws, settings.path)
    name = settings.name.strip() or other.name
    create_map(ws, MapSettings(embedder=settings.embedder, base_url=settings.base_url), progress)
    embedder, _ = embed_missing(ws, settings, progress)  # all vectors are stored, so the embedder is not loaded
    ours, drawn = existing_vectors(ws, embedder.name), existing_map(ws, embedder.name, 2)
    folder = comparison_folder(ws, name)
    theirs = _embedded(folder, _taken(folder, other, settings, embedder.name, progress), embedder, progress)
    similarity = settings.similarity or DEFAULT_SIMILARITIES.get(embedder.name, DEFAULT_SIMILARITY)
    own = np.flatnonzero(np.isin(ours.seqs, drawn.seqs[np.asarray(drawn.dropped) == 0]))
    if not len(own):
        raise GlanError("This workspace has no kept rows to compare. Generate questions or review the exclusions first.")
    scopes, held = _both_sets(ws, name, ours, own, theirs, settings, progress)
    columns, disciplines = _columns(drawn, ours, theirs, similarity, settings.seed, progress)
    columns |= _held_columns(ours, held)
    uncovered = {side: 100.0 * (best < similarity) for side, (best, _) in held.items()}
    only = {side: _share(v, n, settings.seed)
            for (side, v), n in zip(uncovered.items(), (len(own), len(theirs)), strict=True)}  # fmt: skip
    comparison = Comparison(
        name=name, path=str(settings.path), form=other.form, embedder=embedder.name, about=embedder.about, dims=2,
        drawn_at=drawn.info.drawn_at, number=other.number, rows=len(theirs), own=len(own), similarity=similarity,
        seed=settings.seed, made_at=time.time(), scopes=scopes, only_ours=only[OURS], only_theirs=only[THEIRS],
        clusters=_clusters(drawn, columns["cluster"]), gaps=_gaps(ws, name, theirs, *held[THEIRS], similarity, settings.seed),
        disciplines=dict(Counter("" if code < 0 else disciplines[code] for code in columns["discipline"].tolist())),
        far_ours=tuple(ours.seqs[_farthest(*held[OURS])].tolist()), far_theirs=tuple(_farthest(*held[THEIRS]).tolist()),
    )  # fmt: skip
    write_comparison(ws, comparison, columns, disciplines)
    near = "question in similar words" if comparison.by_words else "neighbor"
    return (
        f"Compared {plural(len(own), 'question')} with {len(theirs):,} of {name}: {only[OURS].value:.0f}% of ours and "
        f"{only[THEIRS].value:.0f}% of theirs have no {near} in the other dataset. {embedder.about}"
        + (f" {other.note}" if other.note else "")
    )


def open_dataset(ws: Workspace, path: str) -> OtherDataset:
    """Open another workspace, a snapshot of this workspace by name, or a file or folder of rows.

    Raises:
        GlanError: If the path is none of these.
    """
    place = resolve_path(ws, path)
    if (place / FILE).is_file():
        return _workspace(Workspace.open(place))
    foreign = read_dataset(place)
    return OtherDataset(default_name(ws, path), foreign.form, foreign.number, foreign.rows, foreign.skipped_summary)


def default_name(ws: Workspace, path: str) -> str:
    """Return the default name of a comparison with a path."""
    place = _place(ws, path).absolute()
    return place.name if place.is_dir() else place.stem


def resolve_path(ws: Workspace, path: str) -> Path:
    """Return the absolute path of a file, folder or named snapshot.

    Raises:
        GlanError: If it does not exist.
    """
    place = _place(ws, path)
    if not place.exists():
        raise GlanError(f"{path} does not exist. Give a file or folder of rows, a workspace, or the name of a snapshot.")
    return place.absolute()


def _place(ws: Workspace, path: str) -> Path:
    try:
        place, snapshot = Path(path).expanduser(), ws.folder / "snapshots" / path
        return snapshot if not place.exists() and snapshot.is_dir() else place
    except (OSError, RuntimeError, ValueError):  # not a valid file name, or an unknown home directory
        raise GlanError(f"{quoted(path)} is not a valid path.") from None


def _workspace(ws: Workspace) -> OtherDataset:
    def kept() -> Iterator[ExternalRow]:
        for page in homework_rows.texts(ws.db):
            yield from (ExternalRow(text.question, text.answer) for text in page if text.dropped is None)

    if not (number := sum(1 for _ in kept())):
        raise GlanError(f"Workspace {ws.folder} has no kept questions to compare with.")
    return OtherDataset(ws.folder.name, "workspace", number, kept)


def _taken(folder: Path, other: OtherDataset, settings: ComparisonSettings, embedder: str, progress: Progress) -> list[str]:
    """Copy the rows to compare, sampled if there are too many, and return their questions.

    The copy of an earlier, unfinished run with the same settings is reused.
    """
    asked = {
        "path": str(settings.path),
        "number": other.number,
        "most": settings.max_rows,
        "seed": settings.seed,
        "embedder": embedder,
    }
    asked_file = folder / "order.json"
    if not (asked_file.is_file() and json.loads(asked_file.read_text(encoding="utf-8")) == asked):
        _copy(folder, other, settings, progress)
        write_json(asked_file, asked)
    with (folder / comparison_store.ROWS).open(encoding="utf-8") as file:
        return [json.loads(line)[0] for line in file]


def _copy(folder: Path, other: OtherDataset, settings: ComparisonSettings, progress: Progress) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(settings.seed)
    wanted = (
        set(rng.choice(other.number, settings.max_rows, replace=False).tolist()) if other.number > settings.max_rows else None
    )
    offsets = []
    with (folder / comparison_store.ROWS).open("wb") as file:
        for number, row in enumerate(other.rows()):
            if number % BLOCK == 0:
                progress.step("rows read", number, other.number)
            if wanted is None or number in wanted:
                offsets.append(file.tell())
                file.write(json.dumps([row.question, row.answer], ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    np.save(folder / comparison_store.OFFSETS, np.array(offsets, dtype=np.int64))
    progress.step("rows read", other.number, other.number)


def _embedded(folder: Path, questions: list[str], embedder: Embedder, progress: Progress) -> Vectors:
    known = read_vectors(folder / comparison_store.VECTORS)
    if known and len(known) == len(questions) and known.info.embedder == embedder.name:
        return known
    writer = VectorWriter(folder / comparison_store.VECTORS, embedder)
    known = read_vectors(writer.folder)
    done = len(known) if known else 0
    rest = iter(enumerate(questions[done:], start=done + 1))
    while some := list(islice(rest, EMBEDDED)):
        progress.step("rows of the other dataset embedded", some[0][0] - 1, len(questions))
        writer.append([number for number, _ in some], embedder.embed([text for _, text in some]))
    progress.step("rows of the other dataset embedded", len(questions), len(questions))
    vectors = read_vectors(writer.folder)
    if vectors is None:
        raise GlanError("The other dataset has no questions.")
    return vectors


def _both_sets(
    ws: Workspace, name: str, ours: Vectors, own: np.ndarray, theirs: Vectors, settings: ComparisonSettings, progress: Progress
) -> tuple[dict[str, dict[str, MetricValue]], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Return the metrics of both datasets, and (largest cosine with the other dataset, rows) for sampled rows of each."""
    sample = min(settings.sample, len(own), len(theirs))
    every = {OURS: (ours, own), THEIRS: (theirs, np.arange(len(theirs)))}
    rng = np.random.default_rng(settings.seed)
    some = min(10_000, len(own), len(theirs))
    pooled = [vectors.rows(np.sort(rng.choice(places, some, replace=False))) for vectors, places in every.values()]
    centers = metrics.fit_clusters(np.concatenate(pooled), settings.seed)
    scopes, held = {}, {}
    for done, (side, (vectors, places)) in enumerate(every.items()):
        progress.step("datasets measured", done, 2)
        scorer = Scorer(vectors.rows, {"": places}, {}, sample, settings.seed, centers)
        (scope,) = scorer.run()
        texts = _texts(ws, name, side, vectors, scope.sample)
        scopes[side] = scope.values | text_values(texts, sampled=scope.sampled, seed=settings.seed)
        asked = np.sort(rng.choice(places, min(max(settings.sample, HELD), len(places)), replace=False))
        held[side] = _best(vectors.rows(asked), *every[THEIRS if side == OURS else OURS], progress), asked
    progress.step("datasets measured", 2, 2)
    return scopes, held


def _texts(ws: Workspace, name: str, side: str, vectors: Vectors, places: np.ndarray) -> list[str]:
    if side == THEIRS:
        return [row.question for row in read_rows(ws, name, places.tolist())]
    seqs = vectors.seqs[places].tolist()
    questions = homework_rows.question_texts(ws.db, seqs)
    return [questions.get(seq, "") for seq in seqs]


def _best(asked: np.ndarray, vectors: Vectors, places: np.ndarray, progress: Progress) -> np.ndarray:
    """Return the largest cosine similarity of each query vector with any of the given rows."""
    best = np.full(len(asked), -np.inf, dtype=np.float32)
    for start in range(0, len(places), 2 * BLOCK):
        progress.step("datasets compared", start, len(places))
        np.maximum(best, (asked @ vectors.rows(places[start : start + 2 * BLOCK]).T).max(axis=1), out=best)
    return best


def _held_columns(ours: Vectors, held: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    (our_best, our_places), (their_best, their_places) = held[OURS], held[THEIRS]
    values = (ours.seqs[our_places], our_best, their_places, their_best)
    return dict(zip(comparison_store.HELD, values, strict=True))


def _farthest(best: np.ndarray, places: np.ndarray) -> np.ndarray:
    return places[np.argsort(best, kind="stable")[:FAR]]


def _share(values: np.ndarray, of: int, seed: int) -> MetricValue:
    low, high = metrics.bootstrap_interval(values, seed) if len(values) < of else (None, None)
    return MetricValue(float(values.mean()), low, high, len(values))


def _columns(
    drawn: Map, ours: Vectors, theirs: Vectors, similarity: float, seed: int, progress: Progress
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the map position, cluster, nearest row and discipline of each row of the other dataset."""
    projection, landmark_cluster = drawn.projection()
    known = np.flatnonzero(np.isin(ours.seqs, drawn.seqs))
    if len(known) > REFERENCE:
        known = np.sort(np.random.default_rng(seed).choice(known, REFERENCE, replace=False))
    reference, seqs = ours.rows(known), ours.seqs[known]
    codes = np.asarray(drawn.discipline)[np.searchsorted(drawn.seqs, seqs)]
    parts = []
    for start in range(0, len(theirs), BLOCK):
        progress.step("rows placed on the map", start, len(theirs))
        x = theirs.rows(np.arange(start, min(start + BLOCK, len(theirs))))
        xy, mark = projection.place(x)
        places, scores = nearest(x, reference, 1)
        near, score = places[:, 0], scores[:, 0]
        discipline = np.where(score >= similarity, codes[near].astype(np.int32), -1)
        cluster = np.where(score >= similarity, landmark_cluster[mark], -1)
        parts.append((xy, cluster, score, seqs[near], discipline))
    progress.step("rows placed on the map", len(theirs), len(theirs))
    columns = zip(comparison_store.COLUMNS, map(np.concatenate, zip(*parts, strict=True)), strict=True)
    return dict(columns), list(drawn.info.disciplines)


def _gaps(
    ws: Workspace, name: str, theirs: Vectors, best: np.ndarray, held: np.ndarray, similarity: float, seed: int
) -> tuple[Gap, ...]:
    """Group the uncovered rows by k-means and label the groups by keywords; counts are scaled from the sample."""
    places = held[best < similarity]
    if not len(places):
        return ()
    x = theirs.rows(places)
    groups = metrics.assign(x, centers := metrics.fit_clusters(x, seed, k=THEMES))
    texts = [row.question for row in read_rows(ws, name, places.tolist())]
    terms = keywords(texts, groups, len(centers))
    share = len(theirs) / len(held)
    found: dict[tuple[str, ...], Gap] = {}
    for group in sorted(range(len(centers)), key=lambda group: -(groups == group).sum()):
        inside = np.flatnonzero(groups == group)
        if len(inside):
            middle = int(places[inside[(x[inside] @ centers[group]).argmax()]])
            words = tuple(terms[group])
            known = found.get(words, Gap(words, 0, middle))  # groups with the same keywords are one theme to readers
            found[words] = replace(known, rows=known.rows + round(len(inside) * share))
    return tuple(sorted(found.values(), key=lambda gap: -gap.rows))


def _clusters(drawn: Map, cluster: np.ndarray) -> tuple[ClusterShare, ...]:
    kept = np.asarray(drawn.cluster)[np.asarray(drawn.dropped) == 0]
    number = len(drawn.info.clusters)
    here, there = (np.bincount(np.asarray(column) + 1, minlength=number + 1) for column in (kept, cluster))
    labels = ["no cluster", *(c.label for c in drawn.info.clusters)]
    return tuple(
        ClusterShare(id, label, int(a), int(b))
        for id, (label, a, b) in enumerate(zip(labels, here, there, strict=True), start=-1)
    )
