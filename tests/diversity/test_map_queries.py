"""Tests for map queries: colors, selections, samples and the raster."""

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support.runs import Canned, execute_run

from glan_core.diversity import map_queries
from glan_core.diversity.map_area import MOST_CORNERS, area_mask, area_of, parse_area
from glan_core.diversity.map_queries import COLORINGS, STATES
from glan_core.diversity.map_store import Cluster, Map, MapInfo
from glan_core.diversity.similar_questions import similar_questions
from glan_core.diversity.vector_store import VectorWriter, vector_folder
from glan_core.figures import diversity_map as pictures
from glan_core.figures.style import DARK, LIGHT
from glan_core.homework import review
from glan_core.taxonomy import tree_editing
from glan_core.workspace import homework_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag


def map_of(ws, *, extra_disciplines=()) -> Map:
    """Return a map with the workspace's questions on a diagonal."""
    rows = [text for page in homework_rows.texts(ws.db) for text in page]
    ids = [*dict.fromkeys(row.discipline_id for row in rows), *extra_disciplines]
    number = len(rows)
    line = np.arange(number, dtype=np.float32)
    clusters = (Cluster(0, 10, ("rings", "fields"), 1.0, 1.0), Cluster(1, 2, (), 2.0, 2.0))
    info = MapInfo(
        "words", "By words.", 2, 0, number, number, number, time.time(), time.time(), rows[-1].seq, clusters, tuple(ids),
        ("basic", ""), ("single", "pair"), ("canned", ""),
    )  # fmt: skip
    code = [ids.index(row.discipline_id) for row in rows]
    return Map(
        info, ws.folder, np.array([row.seq for row in rows]), np.stack([line, line], axis=1),
        np.where(line < 10, 0, -1).astype(np.int32), line / number, np.array(code, dtype=np.uint16),
        np.zeros(number, np.uint8), np.array([row.strategy == "pair" for row in rows], dtype=np.uint8),
        np.zeros(number, np.uint8), np.array([row.answer_length or 0 for row in rows], dtype=np.int32),
        np.zeros(number, np.uint8), np.arange(number),
    )  # fmt: skip


@pytest.fixture
def filled(ws, settings, teach):
    """Workspace with pairs of two disciplines."""
    teach(Canned())
    execute_run(ws, settings("mathematics", "earth-science", questions_per_syllabus=12))
    return ws


@pytest.fixture
def shown(filled):
    return map_of(filled)


def named(ws, shown, by: str, focus=None) -> list[str]:
    coloring = map_queries.color_rows(ws, tree_editing.tree(ws), shown, by, focus)
    return [coloring.names[code] for code in coloring.codes]


def test_every_colouring_gives_every_row_a_name_or_a_number(filled, shown):
    tree = tree_editing.tree(filled)
    for by in COLORINGS:
        coloring = map_queries.color_rows(filled, tree, shown, by)
        if coloring.codes is None:
            assert len(coloring.values) == len(shown.seqs)
        else:
            assert len(coloring.codes) == len(shown.seqs) and 0 <= coloring.codes.min()
            assert coloring.codes.max() < len(coloring.names) == len(coloring.groups)


def test_names_are_those_of_the_rows(filled, shown):
    rows = [row for page in homework_rows.texts(filled.db) for row in page]
    tree = tree_editing.tree(filled)
    assert named(filled, shown, "discipline") == [tree.nodes[row.discipline_id]["node"].name for row in rows]
    assert named(filled, shown, "strategy") == [row.strategy for row in rows]
    assert named(filled, shown, "cluster")[:11] == ["rings, fields"] * 10 + ["no cluster"]
    fields = map_queries.color_rows(filled, tree, shown, "field")
    assert set(fields.names) == {"Formal Sciences", "Natural Sciences"} or len(fields.names) == len(set(fields.groups))


def test_a_ninth_name_and_what_is_out_of_focus_share_one(filled, shown):
    codes = np.repeat(np.arange(12), np.arange(12, 0, -1))
    coloring = map_queries._names("Many", [f"n{k}" for k in range(12)], codes)
    assert coloring.names == (*(f"n{k}" for k in range(7)), "others")
    assert np.bincount(coloring.codes).tolist() == [12, 11, 10, 9, 8, 7, 6, 5 + 4 + 3 + 2 + 1]
    assert set(named(filled, shown, "discipline", "mathematics")) == {"Mathematics", "others"}
    inside = map_queries.in_focus(tree_editing.tree(filled), shown, "mathematics")
    assert inside.sum() == sum(name == "Mathematics" for name in named(filled, shown, "discipline"))


def test_a_discipline_that_was_removed_keeps_its_points(filled):
    shown = map_of(filled)
    tree_editing.remove(filled, "mathematics", "Ada")
    assert "removed from the taxonomy" in named(filled, shown, "field")
    assert "Mathematics" in named(filled, shown, "discipline")


def test_states_are_those_of_now(filled, shown):
    first, second, third = (homework_rows.pair_ids(filled.db, [int(seq)])[0] for seq in shown.seqs[:3])
    review.review(filled, first, "reject", "Ada")
    review.review(filled, second, "keep", "Ada")
    with filled.write() as db:
        tag_rows.put_tags(db, [Tag(int(shown.seqs[2]), "duplicate", "near", first, 0.8)], None)
    assert named(filled, shown, "state")[:4] == [STATES[2], STATES[1], STATES[4], STATES[0]]
    review.overrule(filled, tag_rows.tags_of(filled.db, int(shown.seqs[2]))[0], "Ada")
    assert named(filled, shown, "state")[2] == STATES[0]
    assert filled and third


def test_what_is_encircled_on_the_map_can_be_starred_and_rejected_at_once(filled, shown):
    chosen = map_queries.in_window(shown.xy, (-1, 4.5, 0, 9))
    which = PairFilter(seqs=tuple(shown.seqs[chosen].tolist()))
    assert review.star_all(filled, which, "Ada", starred=True) and review.review_all(filled, which, "reject", "Ada")
    pairs = homework_rows.pairs_page(filled.db, PairFilter(starred=True), limit=100)
    assert sorted(pair.question.seq for pair in pairs) == shown.seqs[:5].tolist()
    assert {pair.dropped for pair in pairs} == {"rejected"}


def test_a_lasso_holds_what_lies_in_it():
    rng = np.random.default_rng(0)
    xy = rng.uniform(-2, 2, (4000, 2)).astype(np.float32)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = map_queries.in_polygon(xy, np.cos(angles).tolist(), np.sin(angles).tolist())
    radius = np.hypot(*xy.T)
    assert circle[radius < 0.99].all() and not circle[radius > 1].any()
    # a horseshoe: points between its arms are outside
    inside = map_queries.in_polygon(
        np.array([[0.5, 2.0], [1.5, 2.0], [2.5, 2.0], [1.5, 0.5]]), [0, 3, 3, 2, 2, 1, 1, 0], [0, 0, 3, 3, 1, 1, 3, 3]
    )
    assert inside.tolist() == [True, False, True, True]


def test_a_sample_is_the_same_every_time_and_within_the_mask():
    mask = np.arange(1000) % 3 == 0
    first, again = map_queries.sample_rows(mask, 50), map_queries.sample_rows(mask, 50)
    assert first.tolist() == again.tolist() == sorted(set(first.tolist())) and len(first) == 50 and mask[first].all()
    assert map_queries.sample_rows(mask, 1000).tolist() == np.flatnonzero(mask).tolist()


def test_the_raster_mixes_the_colours_of_the_rows_of_a_pixel():
    xy = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 1.5], [1.5, 0.5], [9.0, 9.0], [1.5, 1.5]])
    rgb = np.array([[200, 0, 0], [0, 100, 0]], dtype=np.uint8)
    image = pictures.density_raster(xy, rgb, (0, 2, 0, 2), np.array([0, 1, 1, 0, 0, -1]), pixels=(2, 2))
    assert image.shape == (2, 2, 4)
    assert image[1, 0].tolist() == [100, 50, 0, 255]  # bottom left: both colors and the most rows
    assert image[0, 0, :3].tolist() == [0, 100, 0] and image[1, 1, :3].tolist() == [200, 0, 0]
    assert 0 < image[0, 0, 3] < 255 and image[0, 1, 3] == 0
    assert pictures.png_data_url(image).startswith("data:image/png;base64,")


def test_a_raster_of_a_million_rows_is_small():
    rng = np.random.default_rng(1)
    xy = rng.normal(size=(1_000_000, 2)).astype(np.float32)
    rgb = np.array([[int(hue[n : n + 2], 16) for n in (1, 3, 5)] for hue in LIGHT.hues], dtype=np.uint8)
    raster = pictures.density_raster(xy, rgb, pictures.extent_of(xy), rng.integers(0, 8, len(xy)))
    assert len(pictures.png_data_url(raster)) < 700_000
    assert (raster[..., 3] > 0).sum() > 50_000


@pytest.mark.parametrize("style", [LIGHT, DARK])
def test_the_figure_draws_each_name_in_its_colour_and_marks_the_picked_point(style):
    points = pd.DataFrame(
        {"seq": [1, 2, 3], "x": [0.0, 1, 2], "y": [0.0, 1, 2], "text": ["a", "b", "c"], "name": ["One", "Two", ""]}
    )
    colors = dict(zip(("One", "Two"), pictures.palette(("One", "others"), (None, None), style), strict=True))
    figure = pictures.map_figure(
        points, style, window=(-1, 3, -1, 3), coloring=pictures.Coloring(colors), layers=pictures.MapLayers(picked=2)
    )
    faded, one, two, ring = figure.data
    assert (list(one.customdata), list(two.customdata), list(faded.customdata)) == ([1], [2], [3])
    assert one.marker.color == colors["One"] != colors["Two"] == two.marker.color and list(ring.x) == [1.0]
    assert figure.layout.showlegend and [t.name for t in (one, two)] == ["One", "Two"]


def test_numbers_are_drawn_on_a_ramp_that_a_few_extremes_do_not_stretch():
    values = np.r_[np.linspace(0, 1, 1000), 1e6]
    codes, (low, high) = pictures.value_codes(values)
    assert 0 <= low < 0.05 and 0.9 < high < 1.1 and codes.min() == 0 and codes.max() == 63
    assert pictures.value_codes(np.ones(5))[0].tolist() == [0] * 5
    points = pd.DataFrame({"seq": [1], "x": [0.0], "y": [0.0], "text": ["a"], "value": [0.5]})
    coloring = pictures.Coloring(ends=(low, high), label="Novelty")
    [trace] = pictures.map_figure(points, LIGHT, window=(0, 1, 0, 1), coloring=coloring).data
    assert trace.marker.cmin == low and trace.marker.colorbar.title.text == "Novelty"


def test_labels_stand_beside_their_clusters_and_cover_neither_points_nor_each_other():
    rng = np.random.default_rng(0)
    centers = [(0.5, 0.5), (0.5, 0.62), (0.2, 0.97), (5.0, 5.0)]
    xy = np.concatenate([rng.uniform(-0.03, 0.03, (200, 2)) + center for center in centers])
    boxes = [(*xy[200 * n : 200 * n + 200].min(0), *xy[200 * n : 200 * n + 200].max(0)) for n in range(4)]
    places = pd.DataFrame(boxes, columns=["x0", "y0", "x1", "y1"]).assign(
        label=["middle", "above it", "at the edge", "outside"]
    )
    found = pictures.placed_labels(places, xy, (0, 1, 0, 1), 10)
    assert found["label"].tolist() == ["middle", "above it", "at the edge"]
    assert found["anchor"].tolist() == ["above", "above", "below"], "the upper edge leaves no room above the third"
    for row in found.itertuples():
        n = ["middle", "above it", "at the edge"].index(row.label)
        x0, y0, x1, y1 = boxes[n]
        assert not (x0 <= row.x <= x1 and y0 <= row.y <= y1), "the label stands on its cluster"
    assert pictures.placed_labels(places, xy, (0, 1, 0, 1), 2)["label"].tolist() == ["middle", "above it"]
    crowded = np.concatenate([xy, rng.uniform(0, 1, (4000, 2))])
    assert pictures.placed_labels(places, crowded, (0, 1, 0, 1), 10).empty, "every place would cover points"


def test_areas_survive_the_url_and_select_what_they_enclose(ws):
    seqs = np.arange(1, 6)
    shown = SimpleNamespace(
        info=SimpleNamespace(embedder="st:some/model", dims=2), xy=np.array([[0, 0], [1, 1], [2, 2], [3, 3], [9, 0]], float),
        cluster=np.array([0, 0, 1, 1, -1]), seqs=seqs,
    )  # fmt: skip
    box = area_of("box", shown, [2.5, 0.5], [0.5, 2.5])
    lasso = area_of("lasso", shown, [0.5, 3.5, 3.5, 0.5], [0.5, 0.5, 3.5, 3.5])
    cluster = area_of("cluster", shown, [1])
    for area, rows in ((box, [1, 2]), (lasso, [1, 2, 3]), (cluster, [2, 3])):
        assert parse_area(area.to_text()) == area and np.flatnonzero(area_mask(shown, area)).tolist() == rows
    other = SimpleNamespace(info=SimpleNamespace(embedder="words", dims=2), xy=shown.xy, cluster=shown.cluster)
    assert area_mask(other, box) is None
    long = area_of("lasso", shown, np.cos(np.linspace(0, 6, 500)), np.sin(np.linspace(0, 6, 500)))
    assert len(long.xs) == MOST_CORNERS and parse_area(long.to_text()).kind == "lasso" and len(long.to_text()) < 1200
    for wrong in (
        "",
        "box",
        "box~2~x~1,2",
        "lasso~2~x~1,2;3,4",
        "lasso~2~x~nan,2;3,4;5,6",
        "cluster~2~x~one",
        "disc~2~x~1,2;3,4;5,6",
        "box~3~x~1,2;3,4",
    ):
        assert parse_area(wrong) is None, wrong


def test_similar_questions_are_the_nearest_by_cosine(ws):
    vectors = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0.8, 0, 0.2]], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    embedder = SimpleNamespace(name="tiny", dim=3, about="", embed=lambda texts: np.repeat(vectors[:1], len(texts), 0))
    VectorWriter(vector_folder(ws, "tiny"), embedder).append([3, 5, 8, 9], vectors)
    found = similar_questions(ws, 3, most=2, embedder="tiny")
    assert [seq for seq, _ in found] == [5, 9] and found[0][1] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-3)
    assert similar_questions(ws, 4, embedder="tiny") == [] and similar_questions(ws, 3) == [], "no vector, no map"


def test_the_extent_of_no_points_and_of_one_is_a_window():
    for xy in (np.empty((0, 2)), np.array([[3.0, 4.0]])):
        left, right, low, high = pictures.extent_of(xy)
        assert left < right and low < high
