"""Tests for the map job: determinism, atomic updates, and adding questions."""

import random

import numpy as np
import pytest
from support.diversity_rows import TOPICS, Steps, add_pairs, add_topics, question

from glan_core.diversity import clusters, map_store, projection
from glan_core.diversity.embedders import unit_rows
from glan_core.diversity.embedding_job import embed_rows
from glan_core.diversity.map_job import Coder, create_map
from glan_core.diversity.map_store import list_maps, read_map
from glan_core.diversity.projection import choose_landmarks, fit
from glan_core.diversity.settings import EmbeddingSettings, MapSettings
from glan_core.errors import GlanError
from glan_core.workspace import homework_rows, record_rows


def draw(ws, **values):
    said = create_map(ws, MapSettings(embedder="words", **values), Steps())
    return said, read_map(ws, "words", values.get("dims", 2))


def islands(seed: int = 0, each: int = 60) -> np.ndarray:
    """Return rows around three directions."""
    rng = np.random.default_rng(seed)
    return unit_rows(np.repeat(np.eye(3, 20), each, axis=0) + 0.15 * rng.normal(size=(3 * each, 20)))


@pytest.mark.slow
def test_umap_keeps_neighbors_together_the_same_every_time_and_clusters_find_the_islands():
    x = islands()
    drawn = fit(x, 2, seed=4)
    assert (fit(x, 2, seed=4).xy == drawn.xy).all() and drawn.xy.dtype == np.float32
    found = clusters.find_clusters(drawn.xy)
    assert [set(found[n : n + 60]) for n in (0, 60, 120)] in (
        [{a}, {b}, {c}] for a in range(3) for b in range(3) for c in range(3)
    )
    assert len(set(found)) == 3
    others = islands(seed=1, each=20)
    xy, nearest = drawn.place(others)
    assert (found[nearest] == np.repeat(found[[0, 60, 120]], 20)).all()
    middles = [drawn.xy[found == found[n]].mean(axis=0) for n in (0, 60, 120)]
    apart = np.linalg.norm(xy[:, None] - np.array(middles), axis=2)
    assert (apart.argmin(axis=1) == np.repeat([0, 1, 2], 20)).all()
    assert drawn.place(x)[0] == pytest.approx(drawn.xy, abs=1e-5)  # a landmark keeps its position
    assert float(np.ptp(drawn.xy, axis=0).max()) == pytest.approx(projection.SPAN, rel=1e-3)


@pytest.mark.parametrize("rows", [1, 2, 3, 30])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_few_questions_make_a_map_too(ws, rows, dims):
    rng = random.Random(0)
    add_pairs(ws, [("music", question("music", rng), None) for _ in range(rows)])
    said, drawn = draw(ws, dims=dims)
    assert said.startswith(f"Mapped {rows} question")
    assert drawn.xy.shape == (rows, dims) and np.isfinite(drawn.xy).all()
    assert drawn.novelty[0] == 1 and drawn.info.rows == rows


def test_equal_questions_lie_on_one_spot(ws):
    add_pairs(ws, [("music", "What is a fugue?", "A.")] * 50)
    _, drawn = draw(ws)
    assert (drawn.xy == 0).all() and (drawn.cluster == -1).all() and drawn.info.landmarks == 1
    assert drawn.novelty.tolist() == pytest.approx([1] + [0] * 49, abs=1e-3)


def test_the_columns_say_what_the_database_says(ws):
    add_topics(ws, 8)
    id = homework_rows.pair_ids(ws.db, [3])[0]
    add_pairs(ws, [("cave-mapping", "How deep is a cave?", None)], teacher="openai:other")
    with ws.write() as db:
        record_rows.change(db, "b", id, "review", "reject", "me")
    _, drawn = draw(ws)
    info = drawn.info
    assert drawn.seqs.tolist() == list(range(1, 26)) and info.up_to == 25
    assert [info.disciplines[code] for code in drawn.discipline[:4]] == ["mathematics", "music", "earth-science", "mathematics"]
    assert info.disciplines[drawn.discipline[24]] == "cave-mapping" and info.teachers[drawn.teacher[24]] == "openai:other"
    assert drawn.length[0] == len("Answer 0.") and drawn.length[24] == 0
    assert [map_store.DROPPED[code] for code in drawn.dropped[1:4]] == ["", "rejected", ""]
    assert "not what they mean" in info.about and info.embedder == "words" and [m.dims for m in list_maps(ws)] == [2]
    assert read_map(ws, "words", 3) is None and read_map(ws, "st:other", 2) is None


def test_new_questions_join_a_map_without_moving_it(ws):
    add_topics(ws, 12)
    _, before = draw(ws)
    rng = random.Random(8)
    first = homework_rows.texts(ws.db).__next__()[0].question
    add_pairs(ws, [("music", question("music", rng), "B."), ("mathematics", first, "C.")])
    said, after = draw(ws)
    assert said.startswith("Added 2 questions to the map, 38 in total.")
    assert (after.xy[:36] == before.xy).all() and (after.novelty[:36] == before.novelty).all()
    assert after.xy[37] == pytest.approx(after.xy[0], abs=1e-3) and after.novelty[37] == pytest.approx(0, abs=1e-3)
    assert (after.info.fitted, after.info.rows, after.info.drawn_at) == (36, 38, before.info.drawn_at)
    assert draw(ws)[0].startswith("Added 0 questions")
    said, again = draw(ws, refit=True)
    assert said.startswith("Mapped 38 questions") and again.info.fitted == 38 and again.info.drawn_at > before.info.drawn_at


def test_only_an_edited_question_moves(ws):
    add_topics(ws, 12)
    _, before = draw(ws)
    with ws.write() as db:
        record_rows.change(
            db, "b", homework_rows.pair_ids(db, [5])[0], "text", question("mathematics", random.Random(77)), "me"
        )
    said, after = draw(ws)
    assert said.startswith("Added 1 question to the map")
    moved = np.flatnonzero((after.xy != before.xy).any(axis=1))
    assert moved.tolist() == [4]


def test_who_reads_a_map_keeps_it_while_a_newer_one_is_written(ws):
    add_topics(ws, 4)
    _, before = draw(ws)
    kept = before.xy.copy()
    add_topics(ws, 1, seed=3)
    _, after = draw(ws)
    assert (np.asarray(before.xy) == kept).all() and len(after.seqs) == 15
    assert [path.name for path in after.folder.parent.iterdir() if path.is_dir()] == [str(after.info.version)]


def test_a_run_that_is_stopped_leaves_the_older_map(ws):
    add_topics(ws, 4)
    _, before = draw(ws)
    add_topics(ws, 1, seed=3)
    embed_rows(ws, EmbeddingSettings(embedder="words"), Steps())
    for nth in range(1, 9):
        with pytest.raises(KeyboardInterrupt):
            create_map(ws, MapSettings(embedder="words"), Steps(stop_at=nth))
        assert read_map(ws, "words", 2).info == before.info


def test_nothing_to_map_is_said(ws):
    with pytest.raises(GlanError, match="has no questions"):
        create_map(ws, MapSettings(embedder="words"), Steps())


def test_landmarks_are_distinct_and_seeded():
    x = np.repeat(islands(), 3, axis=0)
    places = choose_landmarks(x.__getitem__, len(x), 400, seed=2)
    assert len(np.unique(x[places], axis=0)) == len(places) <= 180
    assert (choose_landmarks(x.__getitem__, len(x), 400, seed=2) == places).all()
    assert (np.diff(places) > 0).all()


def test_clusters_are_named_by_the_words_that_tell_them_apart():
    rng = random.Random(1)
    texts = [question(topic, rng) for topic in TOPICS for _ in range(20)]
    found = clusters.keywords(texts, np.repeat([0, 1, 2], 20), 3)
    assert all(set(terms) < set(words) for terms, words in zip(found, TOPICS.values()))
    assert clusters.keywords(["the of"], np.array([0]), 1) == [[]]


def test_names_beyond_what_a_column_holds_become_others():
    coder = Coder(3)
    assert [coder(name) for name in "abcdea"] == [0, 1, 2, 3, 3, 0] and coder.names == ["a", "b", "c", "others"]
