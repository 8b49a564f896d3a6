"""The run that lays another dataset over this one: the same embedder, the same map, the same measures."""

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
    folder_of,
    read_rows,
    write_comparison,
)
from glan_core.diversity.embedders import open_embedder
from glan_core.diversity.embedding_job import needed_vectors
from glan_core.diversity.map_job import make_map
from glan_core.diversity.map_store import Map, read_map
from glan_core.diversity.metric_store import Value
from glan_core.diversity.nearest_neighbors import nearest
from glan_core.diversity.scoped_metrics import Scorer, text_values
from glan_core.diversity.settings import WORDS, ComparisonSettings, MapSettings
from glan_core.diversity.vector_store import Vectors, Writer, read_vectors, write_json
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted
from glan_core.io.dataset_reader import ForeignRow, read_foreign
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.workspace import FILE

NEIGHBOURS = {WORDS: 0.4}  # the cosine from which two rows are neighbours, where the order says none
NEIGHBOUR = 0.5  # of all other embedders
REFERENCE = 20_000  # rows of this workspace that the others' disciplines are told by
THEMES = 8  # of the rows that have no neighbour here, at most
FAR = 20  # rows that the other set covers least, kept as examples
HELD = 5000  # rows of each set, at least, that are held against every row of the other
BLOCK = 1024
EMBEDDED = 256


@dataclass(frozen=True, slots=True)
class Other:
    """Another dataset: what it is, how many rows it has, and how they are read."""

    name: str
    form: str
    number: int
    rows: Callable[[], Iterator[ForeignRow]]


def compare_rows(ws: Workspace, settings: ComparisonSettings, progress: Progress) -> str:
    """Take the other set's rows, embed them, place them on the map (which is made or brought up to date first) and hold both
    sets against one another; one sentence about what was found."""
    other = open_other(ws, settings.path)
    name = settings.name.strip() or other.name
    make_map(ws, MapSettings(embedder=settings.embedder, base_url=settings.base_url), progress)
    embedder = open_embedder(settings.embedder, settings.base_url)
    ours, drawn = needed_vectors(ws, embedder.name), read_map(ws, embedder.name, 2)
    folder = folder_of(ws, name)
    theirs = _embedded(folder, _taken(folder, other, settings, embedder.name, progress), embedder, progress)
    similarity = settings.similarity or NEIGHBOURS.get(embedder.name, NEIGHBOUR)
    own = np.flatnonzero(np.isin(ours.seqs, drawn.seqs[np.asarray(drawn.dropped) == 0]))
    if not len(own):
        raise GlanError("No row is kept here, so there is nothing to compare with.")
    scopes, held = _both_sets(ws, name, ours, own, theirs, settings, progress)
    columns, disciplines = _columns(drawn, ours, theirs, similarity, settings.seed, progress)
    columns |= _held_columns(ours, held)
    uncovered = {side: 100.0 * (best < similarity) for side, (best, _) in held.items()}
    only = {side: Value(float(v.mean()), *_bounds(v, n, settings.seed), n=len(v))
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
    return (
        f"Compared {plural(len(own), 'question')} with {len(theirs):,} of {name}: {only[OURS].value:.0f} % of ours and "
        f"{only[THEIRS].value:.0f} % of theirs have no neighbour in the other set. {embedder.about}"
    )


def open_other(ws: Workspace, path: str) -> Other:
    """Another workspace, a snapshot of this one by its name, or a file or folder of rows; GlanError when it is none."""
    place = place_of(ws, path)
    if (place / FILE).is_file():
        return _workspace(Workspace.open(place))
    foreign = read_foreign(place)
    return Other(name_of(ws, path), foreign.form, foreign.number, foreign.rows)


def name_of(ws: Workspace, path: str) -> str:
    """What a comparison with a path is called where its order does not say."""
    place = _place(ws, path).absolute()
    return place.name if place.is_dir() else place.stem


def place_of(ws: Workspace, path: str) -> Path:
    """Where a file or folder is, or a snapshot of this workspace by its name, wherever one asks from; GlanError when it is
    nowhere."""
    place = _place(ws, path)
    if not place.exists():
        raise GlanError(f"{path} does not exist: give a file or folder of rows, a workspace, or the name of a snapshot.")
    return place.absolute()


def _place(ws: Workspace, path: str) -> Path:
    try:
        place, snapshot = Path(path).expanduser(), ws.folder / "snapshots" / path
        return snapshot if not place.exists() and snapshot.is_dir() else place
    except (OSError, RuntimeError, ValueError):  # no name that a file can have, or of nobody's home
        raise GlanError(f"{quoted(path)} names no file or folder.") from None


def _workspace(ws: Workspace) -> Other:
    def kept() -> Iterator[ForeignRow]:
        for page in homework_rows.texts(ws.db):
            yield from (ForeignRow(text.question, text.answer) for text in page if text.dropped is None)

    if not (number := sum(1 for _ in kept())):
        raise GlanError(f"{ws.folder} keeps no questions, so there is nothing to compare with.")
    return Other(ws.folder.name, "workspace", number, kept)


def _taken(folder: Path, other: Other, settings: ComparisonSettings, embedder: str, progress: Progress) -> list[str]:
    """Copy the rows that are compared, at random where there are more than are wanted; their questions.

    What an earlier, unfinished run of the same order has copied is used again.
    """
    asked = {
        "path": str(settings.path),
        "number": other.number,
        "most": settings.most,
        "seed": settings.seed,
        "embedder": embedder,
    }
    asked_file = folder / "order.json"
    if not (asked_file.is_file() and json.loads(asked_file.read_text(encoding="utf-8")) == asked):
        _copy(folder, other, settings, progress)
        write_json(asked_file, asked)
    with (folder / comparison_store.ROWS).open(encoding="utf-8") as file:
        return [json.loads(line)[0] for line in file]


def _copy(folder: Path, other: Other, settings: ComparisonSettings, progress: Progress) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(settings.seed)
    wanted = set(rng.choice(other.number, settings.most, replace=False).tolist()) if other.number > settings.most else None
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


def _embedded(folder: Path, questions: list[str], embedder, progress: Progress) -> Vectors:
    writer = Writer(folder / comparison_store.VECTORS, embedder)
    known = read_vectors(writer.folder)
    done = len(known) if known else 0
    rest = iter(enumerate(questions[done:], start=done + 1))
    while some := list(islice(rest, EMBEDDED)):
        progress.step("their rows embedded", some[0][0] - 1, len(questions))
        writer.append([number for number, _ in some], embedder.embed([text for _, text in some]))
    progress.step("their rows embedded", len(questions), len(questions))
    return read_vectors(writer.folder)


def _both_sets(
    ws: Workspace, name: str, ours: Vectors, own: np.ndarray, theirs: Vectors, settings: ComparisonSettings, progress: Progress
) -> tuple[dict[str, dict[str, Value]], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The measures of both sets, and for rows of each at random: (largest cosine with a row of the other set, places)."""
    sample = min(settings.sample, len(own), len(theirs))
    every = {OURS: (ours, own), THEIRS: (theirs, np.arange(len(theirs)))}
    rng = np.random.default_rng(settings.seed)
    some = min(10_000, len(own), len(theirs))
    pooled = [vectors.rows(np.sort(rng.choice(places, some, replace=False))) for vectors, places in every.values()]
    centres = metrics.fit_clusters(np.concatenate(pooled), settings.seed)
    scopes, held = {}, {}
    for done, (side, (vectors, places)) in enumerate(every.items()):
        progress.step("sets measured", done, 2)
        scorer = Scorer(vectors.rows, {"": places}, {}, sample, settings.seed, centres)
        (scope,) = scorer.run()
        texts = _texts(ws, name, side, vectors, scope.sample)
        scopes[side] = scope.values | text_values(texts, scope.sampled, settings.seed)
        asked = np.sort(rng.choice(places, min(max(settings.sample, HELD), len(places)), replace=False))
        held[side] = _best(vectors.rows(asked), *every[THEIRS if side == OURS else OURS], progress), asked
    progress.step("sets measured", 2, 2)
    return scopes, held


def _texts(ws: Workspace, name: str, side: str, vectors: Vectors, places: np.ndarray) -> list[str]:
    if side == THEIRS:
        return [row.question for row in read_rows(ws, name, places.tolist())]
    seqs = vectors.seqs[places].tolist()
    questions = homework_rows.questions_of(ws.db, seqs)
    return [questions.get(seq, "") for seq in seqs]


def _best(asked: np.ndarray, vectors: Vectors, places: np.ndarray, progress: Progress) -> np.ndarray:
    """The largest cosine of each asked vector with any of these rows."""
    best = np.full(len(asked), -np.inf, dtype=np.float32)
    for start in range(0, len(places), 2 * BLOCK):
        progress.step("sets held against one another", start, len(places))
        np.maximum(best, (asked @ vectors.rows(places[start : start + 2 * BLOCK]).T).max(axis=1), out=best)
    return best


def _held_columns(ours: Vectors, held: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    (our_best, our_places), (their_best, their_places) = held[OURS], held[THEIRS]
    values = (ours.seqs[our_places], our_best, their_places, their_best)
    return dict(zip(comparison_store.HELD, values, strict=True))


def _farthest(best: np.ndarray, places: np.ndarray) -> np.ndarray:
    return places[np.argsort(best, kind="stable")[:FAR]]


def _bounds(values: np.ndarray, of: int, seed: int) -> tuple[float, float] | tuple[None, None]:
    return metrics.bootstrap_mean(values, seed) if len(values) < of else (None, None)


def _columns(
    drawn: Map, ours: Vectors, theirs: Vectors, similarity: float, seed: int, progress: Progress
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Where each of their rows lies on our map, which of our rows is nearest, and so its discipline."""
    projection, landmark_cluster = drawn.projection()
    known = np.flatnonzero(np.isin(ours.seqs, drawn.seqs))
    if len(known) > REFERENCE:
        known = np.sort(np.random.default_rng(seed).choice(known, REFERENCE, replace=False))
    reference, seqs = ours.rows(known), ours.seqs[known]
    codes = np.asarray(drawn.discipline)[np.searchsorted(drawn.seqs, seqs)]
    parts = []
    for start in range(0, len(theirs), BLOCK):
        progress.step("rows placed", start, len(theirs))
        x = theirs.rows(np.arange(start, min(start + BLOCK, len(theirs))))
        xy, mark = projection.place(x)
        places, scores = nearest(x, reference, 1)
        near, score = places[:, 0], scores[:, 0]
        discipline = np.where(score >= similarity, codes[near].astype(np.int32), -1)
        cluster = np.where(score >= similarity, landmark_cluster[mark], -1)
        parts.append((xy, cluster, score, seqs[near], discipline))
    progress.step("rows placed", len(theirs), len(theirs))
    columns = zip(comparison_store.COLUMNS, map(np.concatenate, zip(*parts, strict=True)), strict=True)
    return dict(columns), list(drawn.info.disciplines)


def _gaps(
    ws: Workspace, name: str, theirs: Vectors, best: np.ndarray, held: np.ndarray, similarity: float, seed: int
) -> tuple[Gap, ...]:
    """The themes of the rows that have no neighbour here: k-means, and the words that tell its groups apart. Their rows are
    counted among those that were held against ours, and scaled to all of the set."""
    places = held[best < similarity]
    if not len(places):
        return ()
    x = theirs.rows(places)
    groups = metrics.assign(x, centres := metrics.fit_clusters(x, seed, k=THEMES))
    texts = [row.question for row in read_rows(ws, name, places.tolist())]
    terms = keywords(texts, groups, len(centres))
    share = len(theirs) / len(held)
    found: dict[tuple[str, ...], Gap] = {}
    for group in sorted(range(len(centres)), key=lambda group: -(groups == group).sum()):
        inside = np.flatnonzero(groups == group)
        if len(inside):
            middle = int(places[inside[(x[inside] @ centres[group]).argmax()]])
            words = tuple(terms[group])
            known = found.get(words, Gap(words, 0, middle))  # two groups of the same words are one theme to those who read them
            found[words] = replace(known, rows=known.rows + round(len(inside) * share))
    return tuple(sorted(found.values(), key=lambda gap: -gap.rows))


def _clusters(drawn: Map, cluster: np.ndarray) -> tuple[ClusterShare, ...]:
    kept = np.asarray(drawn.cluster)[np.asarray(drawn.dropped) == 0]
    number = len(drawn.info.clusters)
    here, there = (np.bincount(np.asarray(column) + 1, minlength=number + 1) for column in (kept, cluster))
    labels = ["in no cluster", *(c.label for c in drawn.info.clusters)]
    return tuple(
        ClusterShare(id, label, int(a), int(b))
        for id, (label, a, b) in enumerate(zip(labels, here, there, strict=True), start=-1)
    )
