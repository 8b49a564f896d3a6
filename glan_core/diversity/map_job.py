"""The run that makes a map, or has new questions join the one there is: its points keep their places."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from glan_core.diversity import clusters as islands
from glan_core.diversity import map_store
from glan_core.diversity.embedders import Embedder
from glan_core.diversity.embedding_job import bring_up_to_date, needed_vectors
from glan_core.diversity.map_store import Cluster, Map, MapInfo, read_map, write_map
from glan_core.diversity.nearest_neighbors import nearest_earlier
from glan_core.diversity.projection import Projection, choose_landmarks, fit
from glan_core.diversity.settings import MapSettings
from glan_core.diversity.vector_store import Vectors
from glan_core.formatting import plural
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows

PLACED = 4096  # rows that are placed together
OTHERS = "others"  # what the 255th teacher, level or strategy and all after it are called


def make_map(ws: Workspace, settings: MapSettings, progress: Progress) -> str:
    """Embed what is missing, then draw a map or bring the one there is up to date; one sentence about what was done."""
    embedder, _ = bring_up_to_date(ws, settings, progress)
    vectors = needed_vectors(ws, embedder.name)
    earlier = None if settings.refit else read_map(ws, embedder.name, settings.dims)
    if earlier and earlier.info.born != vectors.info.born:
        earlier = None
    marks = np.empty(0, np.int64)
    if earlier is None:
        marks = choose_landmarks(vectors.rows, len(vectors), settings.landmarks, settings.seed)
    facts = read_facts(ws, vectors.seqs, marks, progress)
    progress.step("map drawn", 0, 1)
    projection, landmark_cluster = earlier.projection() if earlier else _draw(vectors, marks, settings)
    progress.step("map drawn", 1, 1)
    xy, cluster, fresh = _places(vectors, projection, landmark_cluster, earlier, progress)
    novelty = _novelty(vectors, facts.columns["discipline"], earlier, fresh, progress)
    columns = {name: facts.columns[name] for name in ("discipline", "level", "strategy", "teacher", "length", "dropped")} | {
        "seqs": vectors.seqs, "xy": xy, "cluster": cluster, "novelty": novelty, "vector": vectors.at,
    }  # fmt: skip
    terms = [c.terms for c in earlier.info.clusters] if earlier else _terms(facts.texts, marks, landmark_cluster)
    info = _info(embedder, settings, earlier, vectors, facts, terms, columns, len(projection.landmarks))
    kept = facts.there
    write_map(ws, info, {name: values[kept] for name, values in columns.items()}, projection, landmark_cluster)
    if earlier:
        return f"{plural(int(fresh.sum()), 'question')} joined the map of {info.rows:,}. {embedder.about}"
    found = plural(len(info.clusters), "cluster")
    return f"Mapped {plural(info.rows, 'question')} in {settings.dims}-D, fitted on {len(marks):,}; {found}. {embedder.about}"


@dataclass
class Facts:
    """What the database says of the rows of a map: columns that count into lists of names, which rows are there at all, the
    questions of the rows that were asked for by their places."""

    columns: dict[str, np.ndarray]
    names: dict[str, list[str]]
    there: np.ndarray
    texts: dict[int, str] = field(default_factory=dict)


def read_facts(ws: Workspace, seqs: np.ndarray, with_text: np.ndarray, progress: Progress | None = None) -> Facts:
    """The facts about questions by their `seq` (ascending), in one pass over the table; `with_text`: places, ascending."""
    number = len(seqs)
    kinds = {"discipline": np.uint16, "level": np.uint8, "strategy": np.uint8, "teacher": np.uint8, "length": np.int32,
             "dropped": np.uint8, "syllabus": np.uint32}  # fmt: skip
    columns = {name: np.zeros(number, dtype=kind) for name, kind in kinds.items()}
    most = {"discipline": 65_535, "level": 255, "strategy": 255, "teacher": 255, "syllabus": 2**31}
    coders = {name: Coder(number) for name, number in most.items()}
    facts = Facts(columns, {name: coder.names for name, coder in coders.items()}, np.zeros(number, dtype=bool))
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
    """Numbers for names, in the order of their first use; from `most` names on, the last stands for all others."""

    def __init__(self, most: int) -> None:
        self.names: list[str] = []
        self._most, self._codes = most, {}

    def __call__(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = min(len(self.names), self._most)
            if code == len(self.names):
                self.names.append(name if code < self._most else OTHERS)
        return code


def _draw(vectors: Vectors, marks: np.ndarray, settings: MapSettings) -> tuple[Projection, np.ndarray]:
    projection = fit(vectors.rows(marks), settings.dims, settings.seed)
    return projection, islands.find_clusters(projection.xy)


def _places(
    vectors: Vectors, projection: Projection, landmark_cluster: np.ndarray, earlier: Map | None, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each row lies, its cluster, and which rows had no place yet: new ones and those whose text was edited."""
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


def _parts(places: np.ndarray, said: Callable[[int, int], None]) -> Iterator[np.ndarray]:
    for start in range(0, len(places), PLACED):
        said(start, len(places))
        yield places[start : start + PLACED]
    said(len(places), len(places))


def _novelty(
    vectors: Vectors, discipline: np.ndarray, earlier: Map | None, fresh: np.ndarray, progress: Progress
) -> np.ndarray:
    """How far each row is from the nearest earlier one of its discipline; what is known of an earlier map is kept."""
    novelty = np.empty(len(vectors), dtype=np.float32)
    if earlier is not None:
        novelty[~fresh] = earlier.novelty[np.searchsorted(earlier.seqs, vectors.seqs[~fresh])]
    by_discipline = np.argsort(discipline, kind="stable")
    starts = np.flatnonzero(np.diff(discipline[by_discipline], prepend=-1))
    done = 0
    for rows in np.split(by_discipline, starts[1:]):
        progress.step("new ground measured", done, len(vectors))
        which = np.flatnonzero(fresh[rows])
        if len(which):
            novelty[rows[which]] = nearest_earlier(lambda at, rows=rows: vectors.rows(rows[at]), len(rows), which)
        done += len(rows)
    progress.step("new ground measured", done, len(vectors))
    return novelty


def _terms(texts: dict[int, str], marks: np.ndarray, landmark_cluster: np.ndarray) -> list[tuple[str, ...]]:
    found = islands.keywords(
        [texts.get(mark, "") for mark in marks.tolist()], landmark_cluster, int(landmark_cluster.max(initial=-1)) + 1
    )
    return [tuple(terms) for terms in found]


def _info(
    embedder: Embedder, settings: MapSettings, earlier: Map | None, vectors: Vectors, facts: Facts, terms: list[tuple[str, ...]],
    columns: dict[str, np.ndarray], landmarks: int,
) -> MapInfo:  # fmt: skip
    now, rows = time.time(), int(facts.there.sum())
    return MapInfo(
        embedder=embedder.name, about=embedder.about, dims=settings.dims,
        seed=earlier.info.seed if earlier else settings.seed,
        rows=rows, fitted=earlier.info.fitted if earlier else rows, landmarks=landmarks,
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
