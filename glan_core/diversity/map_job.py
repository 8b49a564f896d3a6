"""Map job: creates a diversity map, or adds new questions to the existing one without moving its points."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from glan_core.diversity import clusters as clustering
from glan_core.diversity import map_store
from glan_core.diversity.embedders import Embedder
from glan_core.diversity.embedding_job import embed_missing, existing_vectors
from glan_core.diversity.map_store import Cluster, Map, MapInfo, read_map, write_map
from glan_core.diversity.nearest_neighbors import nearest_earlier
from glan_core.diversity.projection import Projection, choose_landmarks, fit
from glan_core.diversity.settings import MapSettings
from glan_core.diversity.vector_store import Vectors
from glan_core.formatting import plural
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows

PLACED = 4096  # rows placed per batch
OTHERS = "others"  # label of the 255th and further teachers, levels or strategies


def create_map(ws: Workspace, settings: MapSettings, progress: Progress) -> str:
    """Embed missing questions, then create or update the map.

    Returns:
        One sentence about the result.
    """
    embedder, _ = embed_missing(ws, settings, progress)
    vectors = existing_vectors(ws, embedder.name)
    earlier = None if settings.refit else read_map(ws, embedder.name, settings.dims)
    if earlier and earlier.info.born != vectors.info.born:
        earlier = None
    marks = np.empty(0, np.int64)
    if earlier is None:
        marks = choose_landmarks(vectors.rows, len(vectors), settings.landmarks, settings.seed)
    facts = read_facts(ws, vectors.seqs, marks, progress)
    progress.step("map fitted", 0, 1)
    projection, landmark_cluster = earlier.projection() if earlier else _draw(vectors, marks, settings)
    progress.step("map fitted", 1, 1)
    xy, cluster, fresh = _places(vectors, projection, landmark_cluster, earlier, progress)
    novelty = _novelty(vectors, facts.columns["discipline"], earlier, fresh, progress)
    columns = {name: facts.columns[name] for name in ("discipline", "level", "strategy", "teacher", "length", "dropped")} | {
        "seqs": vectors.seqs, "xy": xy, "cluster": cluster, "novelty": novelty, "vector": vectors.at,
    }  # fmt: skip
    terms = [c.terms for c in earlier.info.clusters] if earlier else _terms(facts.texts, marks, landmark_cluster)
    info = _info(embedder, settings, earlier, vectors, facts, terms, columns)
    info = replace(info, landmarks=len(projection.landmarks))
    kept = facts.there
    write_map(ws, info, {name: values[kept] for name, values in columns.items()}, projection, landmark_cluster)
    if earlier:
        return f"Added {plural(int(fresh.sum()), 'question')} to the map, {info.rows:,} in total. {embedder.about}"
    found = plural(len(info.clusters), "cluster")
    return f"Mapped {plural(info.rows, 'question')} in {settings.dims}-D, fitted on {len(marks):,}: {found}. {embedder.about}"


@dataclass
class RowFacts:
    """Database columns for the rows of a map.

    Attributes:
        columns: `(n,)` arrays; categorical columns are indices into `names`.
        names: Labels of the categorical columns.
        there: `(n,) bool`, whether the row still exists.
        texts: Questions of the requested rows, by row index.
    """

    columns: dict[str, np.ndarray]
    names: dict[str, list[str]]
    there: np.ndarray
    texts: dict[int, str] = field(default_factory=dict)


def read_facts(ws: Workspace, seqs: np.ndarray, with_text: np.ndarray, progress: Progress | None = None) -> RowFacts:
    """Read the columns of questions in one pass over the table.

    Args:
        ws: Workspace.
        seqs: `seq` of the questions, ascending.
        with_text: Row indices whose text is needed, ascending.
        progress: Progress of the run.
    """
    number = len(seqs)
    kinds = {"discipline": np.uint16, "level": np.uint8, "strategy": np.uint8, "teacher": np.uint8, "length": np.int32,
             "dropped": np.uint8, "syllabus": np.uint32}  # fmt: skip
    columns = {name: np.zeros(number, dtype=kind) for name, kind in kinds.items()}
    most = {"discipline": 65_535, "level": 255, "strategy": 255, "teacher": 255, "syllabus": 2**31}
    coders = {name: Coder(number) for name, number in most.items()}
    facts = RowFacts(columns, {name: coder.names for name, coder in coders.items()}, np.zeros(number, dtype=bool))
    wanted = set(with_text.tolist())
    for page in homework_rows.texts(ws.db, up_to=int(seqs[-1]), answers=False):
        at = np.searchsorted(seqs, [text.seq for text in page])
        for place, text in zip(at.tolist(), page, strict=True):
            if seqs[place] != text.seq:
                continue
            facts.there[place] = True
            for name, value in (
                ("syllabus", text.syllabus_id),
                ("discipline", text.discipline_id), ("level", text.level), ("strategy", text.strategy),
                ("teacher", text.answer_teacher or text.teacher),
            ):  # fmt: skip
                columns[name][place] = coders[name](value)
            columns["length"][place] = text.answer_length or 0
            columns["dropped"][place] = map_store.DROPPED.index(text.dropped or "")
            if place in wanted:
                facts.texts[place] = text.question
        if progress:
            progress.step("questions read", int(at[-1]) + 1, number)
    return facts


class Coder:
    """Assigns codes to names in order of first use; from code `most` on, all names share one code."""

    def __init__(self, most: int) -> None:
        self.names: list[str] = []
        self._most = most
        self._codes: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        """Return the code of a name."""
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = min(len(self.names), self._most)
            if code == len(self.names):
                self.names.append(name if code < self._most else OTHERS)
        return code


def _draw(vectors: Vectors, marks: np.ndarray, settings: MapSettings) -> tuple[Projection, np.ndarray]:
    projection = fit(vectors.rows(marks), settings.dims, settings.seed)
    return projection, clustering.find_clusters(projection.xy)


def _places(
    vectors: Vectors, projection: Projection, landmark_cluster: np.ndarray, earlier: Map | None, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the position and cluster of each row, and which rows are new or edited."""
    number = len(vectors)
    xy, cluster = np.empty((number, projection.xy.shape[1]), np.float32), np.empty(number, np.int32)
    fresh = np.ones(number, dtype=bool)
    if earlier is not None:
        at = np.minimum(np.searchsorted(vectors.seqs, earlier.seqs), number - 1)
        same = (vectors.seqs[at] == earlier.seqs) & (vectors.at[at] == earlier.vector)
        fresh[at[same]] = False
        xy[at[same]], cluster[at[same]] = earlier.xy[same], earlier.cluster[same]
    for some in _parts(np.flatnonzero(fresh), lambda done, all: progress.step("questions placed", done, all)):
        xy[some], nearest = projection.place(vectors.rows(some))
        cluster[some] = landmark_cluster[nearest]
    return xy, cluster, fresh


def _parts(places: np.ndarray, step: Callable[[int, int], None]) -> Iterator[np.ndarray]:
    for start in range(0, len(places), PLACED):
        step(start, len(places))
        yield places[start : start + PLACED]
    step(len(places), len(places))


def _novelty(
    vectors: Vectors, discipline: np.ndarray, earlier: Map | None, fresh: np.ndarray, progress: Progress
) -> np.ndarray:
    """Return the cosine distance of each row to the nearest earlier one of its discipline, reusing the earlier map."""
    novelty = np.empty(len(vectors), dtype=np.float32)
    if earlier is not None:
        novelty[~fresh] = earlier.novelty[np.searchsorted(earlier.seqs, vectors.seqs[~fresh])]
    by_discipline = np.argsort(discipline, kind="stable")
    starts = np.flatnonzero(np.diff(discipline[by_discipline], prepend=-1))
    done = 0
    for rows in np.split(by_discipline, starts[1:]):
        progress.step("novelty computed", done, len(vectors))
        which = np.flatnonzero(fresh[rows])
        if len(which):
            novelty[rows[which]] = nearest_earlier(partial(_rows_at, vectors, rows), len(rows), which)
        done += len(rows)
    progress.step("novelty computed", done, len(vectors))
    return novelty


def _rows_at(vectors: Vectors, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    return vectors.rows(rows[at])


def _terms(texts: dict[int, str], marks: np.ndarray, landmark_cluster: np.ndarray) -> list[tuple[str, ...]]:
    found = clustering.keywords(
        [texts.get(mark, "") for mark in marks.tolist()], landmark_cluster, int(landmark_cluster.max(initial=-1)) + 1
    )
    return [tuple(terms) for terms in found]


def _info(
    embedder: Embedder, settings: MapSettings, earlier: Map | None, vectors: Vectors, facts: RowFacts, terms: list[tuple[str, ...]],
    columns: dict[str, np.ndarray],
) -> MapInfo:  # fmt: skip
    now, rows = time.time(), int(facts.there.sum())
    return MapInfo(
        embedder=embedder.name, about=embedder.about, dims=settings.dims,
        seed=earlier.info.seed if earlier else settings.seed,
        rows=rows, fitted=earlier.info.fitted if earlier else rows, landmarks=0,
        born=vectors.info.born,
        made_at=now, drawn_at=earlier.info.drawn_at if earlier else now, up_to=vectors.last_seq,
        clusters=tuple(_cluster(id, of, columns) for id, of in enumerate(terms)),
        disciplines=tuple(facts.names["discipline"]), levels=tuple(facts.names["level"]),
        strategies=tuple(facts.names["strategy"]), teachers=tuple(facts.names["teacher"]),
    )  # fmt: skip


def _cluster(id: int, terms: tuple[str, ...], columns: dict[str, np.ndarray]) -> Cluster:
    inside = columns["cluster"] == id
    middle = np.median(columns["xy"][inside], axis=0) if inside.any() else np.zeros(columns["xy"].shape[1])
    return Cluster(id, int(inside.sum()), terms, *(round(float(value), 3) for value in middle))
