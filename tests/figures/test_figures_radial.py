"""The radial tree: drawn nodes, their positions, and the ECharts option."""

import json
from itertools import pairwise
from math import hypot, pi, tau

import networkx as nx
import pytest
from conftest import NODES

from glan_core.figures.radial import (
    ALL,
    MORE,
    RADIUS,
    ExpandedNode,
    angles,
    build_graph,
    radial_frame,
    radii,
    session_nodes,
    subject_nodes,
)
from glan_core.figures.radial_chart import MIN_WIDTH, captions, radial_chart
from glan_core.figures.style import DARK, LIGHT
from glan_core.records import Node, Subject
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import MEASURES, Coverage
from glan_core.taxonomy.hierarchy import GROUPS
from glan_core.workspace.curriculum_rows import Session, SyllabusState

TREE = hierarchy.tree_of(NODES)


def standings(tree: nx.DiGraph, begun: set[str] = frozenset()) -> dict[str, Coverage]:
    """Coverage with ten pairs and a share of one half for started disciplines, none elsewhere."""
    found = {}
    for id in ("", *tree):
        below = hierarchy.disciplines_under(tree, id or None)
        there = len(begun.intersection(below))
        counts = dict.fromkeys(MEASURES, 0.0) | {"pairs": 10.0 * there, "subjects": 2.0 * there}
        found[id] = Coverage(id, counts, 20 * there, 10 * there, len(below), there, 0.5 if there else None)
    return found


def large(fields: int = 8, disciplines: int = 16) -> nx.DiGraph:
    """A tree of medium size."""
    nodes = [Node(f"f{n}", f"Field {n}", "field", None, GROUPS[n % len(GROUPS)]) for n in range(fields)]
    nodes += [
        Node(f"f{n}-d{m}", f"Discipline {m} of {n}", "discipline", f"f{n}") for n in range(fields) for m in range(disciplines)
    ]
    return hierarchy.tree_of(nodes)


def subjects(count: int, discipline: str = "f2-d3") -> list[Subject]:
    return [Subject(f"sub-{n}", discipline, f"Subject {n}", "Introductory", ("topic",)) for n in range(count)]


def syllabus(sessions: int = 3, concepts: int = 4) -> list[Session]:
    return [
        Session(f"ses-{n}", "syl", n, f"Session {n}", "What it is.", tuple((f"con-{n}-{m}", f"Concept {m}") for m in range(concepts)))
        for n in range(sessions)
    ]  # fmt: skip


def overlaps(frame) -> bool:
    """Return whether leaves on the same ring overlap."""
    for _, ring in frame[frame["leaf"]].groupby("radius"):
        spans = sorted(zip(ring["begin"], ring["end"], strict=True))
        if any(later[0] < earlier[1] - 1e-9 for earlier, later in pairwise(spans)):
            return True
    return False


# ---------------------------------------------------------------------------------------------------------------- layout


def test_leaves_follow_in_tree_order_and_fill_the_circle():
    spans = angles(build_graph(TREE))
    leaves = [node.id for node in hierarchy.walk(TREE) if node.kind == "discipline"]
    ends = [0.0, *(spans[id][1] for id in leaves)]
    assert [spans[id][0] for id in leaves] == pytest.approx(ends[:-1]) and ends[-1] == pytest.approx(tau)
    assert len({round(spans[id][1] - spans[id][0], 9) for id in leaves}) == 1  # all have equal shares


def test_a_parent_spans_what_is_below_it():
    spans = angles(build_graph(TREE))
    assert spans["natural-sciences"] == (spans["earth-science"][0], spans["cave-mapping"][1])
    assert spans[ALL] == pytest.approx((0.0, tau))


def test_levels_are_rings_and_disciplines_share_one():
    rings = radii(build_graph(TREE))
    assert rings[ALL] == 0.0 and rings["music"] == rings["cave-mapping"] == 1.0
    assert 0 < rings["arts"] == rings["natural-sciences"] < rings["earth"] < 1


def test_what_is_picked_gets_a_larger_part_and_every_other_field_room_for_its_name():
    tree = large()
    before, after = (angles(build_graph(tree), picked) for picked in (ALL, "f2"))
    width = {name: spans["f2"][1] - spans["f2"][0] for name, spans in (("before", before), ("after", after))}
    assert width["after"] > 1.5 * width["before"]
    twigs = subject_nodes(subjects(90), {}, 90)
    unfolded = angles(build_graph(tree, twigs), "f2-d3")
    begin, end = unfolded["f2-d3"]
    assert (end - begin) / tau == pytest.approx(0.8, abs=0.01)
    assert all(e - b >= tau * 0.009 for id, (b, e) in unfolded.items() if id.startswith("f") and "-" not in id)


@pytest.mark.parametrize("picked", [ALL, "f0", "f7", "f2-d3", "sub-0"])
def test_no_two_leaves_are_drawn_on_one_another(picked):
    tree = large()
    twigs = {"f2-d3": subject_nodes(subjects(90), {}, 160),
             "sub-0": session_nodes(subjects(1)[0], None, syllabus(30, 5), {}, 160)}.get(picked, [])  # fmt: skip
    frame = radial_frame(tree, standings(tree), picked, twigs)
    assert not overlaps(frame)
    assert frame["end"].max() - frame["begin"].min() == pytest.approx(tau)
    assert [hypot(x, y) for x, y in zip(frame["x"], frame["y"], strict=True)] == pytest.approx(list(frame["radius"]))
    assert frame["radius"].max() == 1.0


def test_what_is_unfolded_hangs_below_the_middle():
    tree = large()
    frame = radial_frame(tree, standings(tree), "f2-d3", subject_nodes(subjects(9), {}, 9)).set_index("id")
    assert frame.loc["f2-d3", "angle"] == pytest.approx(pi)
    assert frame.loc["f2-d3", "y"] > 0 and frame.loc["f2-d3", "x"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "nodes",
    [
        [], [Node("a", "A", "field")], [Node("a", "A", "field"), Node("b", "B", "sub-field", "a")],
        [Node("a", "A", "field"), Node("b", "B", "discipline", "a")],
    ],
)  # fmt: skip
def test_small_trees_are_drawn_too(nodes):
    tree = hierarchy.tree_of(nodes)
    for picked in (ALL, *tree):
        frame = radial_frame(tree, standings(tree), picked)
        assert list(frame["id"]) == ["", *tree] and not frame[["x", "y", "width"]].isna().any().any()
        json.dumps(radial_chart(frame, LIGHT), allow_nan=False)


# ------------------------------------------------------------------------------------------------------ what is unfolded


def test_subjects_with_a_syllabus_come_first_and_the_others_are_counted():
    states = {"sub-7": SyllabusState("syl", (4, 5), 12), "sub-9": SyllabusState("syl-2", None, 0)}
    twigs = subject_nodes(subjects(10), states, known=40, most=4)
    assert [twig.id for twig in twigs] == ["sub-7", "sub-9", "sub-0", "sub-1", "more f2-d3"]
    assert [twig.begun for twig in twigs[:3]] == [True, True, False]
    assert twigs[0].hover_lines == ("Introductory", "syllabus of 2 sessions", "12 questions")
    assert twigs[1].hover_lines[1] == "syllabus without sessions yet" and twigs[2].hover_lines[-1] == "no syllabus yet"
    assert (twigs[-1].kind, twigs[-1].name) == (MORE, "and 36 more")
    assert subject_nodes([], {}, 0) == [] and len(subject_nodes(subjects(3), {}, 3)) == 3


def test_a_subject_unfolds_its_sessions_and_concepts_and_the_others_fold():
    state = SyllabusState("syl", (4, 4, 4), 7)
    twigs = session_nodes(subjects(1)[0], state, syllabus(), {"con-0-1": 3, "con-2-0": 1}, known=160)
    kinds = [twig.kind for twig in twigs]
    assert (kinds.count("session"), kinds.count("concept"), kinds.count(MORE)) == (3, 12, 1)
    by_id = {twig.id: twig for twig in twigs}
    assert by_id["con-0-1"].begun and by_id["con-0-1"].hover_lines == ("used in 3 questions",)
    assert not by_id["con-0-0"].begun and by_id["con-0-0"].hover_lines == ("not used yet",)
    assert twigs[-1].name == "and 159 more" and by_id["con-2-0"].parent_id == "ses-2"


def test_the_way_to_what_is_picked_is_marked():
    twigs = subject_nodes(subjects(2, "cave-mapping"), {}, 2)
    frame = radial_frame(TREE, standings(TREE), "cave-mapping", twigs).set_index("id")
    assert {id: near for id, near in frame["near"].items() if near} == {
        "": "path", "natural-sciences": "path", "earth": "path", "cave-mapping": "picked", "sub-0": "branch", "sub-1": "branch"
    }  # fmt: skip
    assert frame.loc["sub-0", "group"] == "Academic-Natural Science" and frame.loc["sub-0", "field"] == "natural-sciences"


# ----------------------------------------------------------------------------------------------------------- the picture


def items(spec: dict) -> dict[str, dict]:
    """Return the drawn nodes by id."""
    return {item["id"]: item for item in spec["series"][1]["data"]}


@pytest.mark.parametrize("style", [LIGHT, DARK])
def test_grey_is_nothing_yet_and_a_group_has_its_hue(style):
    frame = radial_frame(TREE, standings(TREE, {"music"}))
    drawn = items(radial_chart(frame, style))
    assert drawn["mathematics"]["itemStyle"]["color"] == style.nothing
    assert drawn["arts"]["itemStyle"]["color"] == style.groups["Academic-Humanities"]
    assert drawn["music"]["itemStyle"]["color"] not in (style.nothing, style.background)
    sectors = radial_chart(frame, style)["series"][0]
    assert len(sectors["data"]) == 4 and sum(item["value"] for item in sectors["data"]) == pytest.approx(tau)


def test_edges_lead_from_parent_to_child_in_the_order_of_the_rows():
    frame = radial_frame(TREE, standings(TREE))
    spec = radial_chart(frame, LIGHT)
    ids = list(frame["id"])
    links = spec["series"][1]["links"]
    assert [ids[link["target"]] for link in links] == ids[1:]
    assert [ids[link["source"]] for link in links] == [ALL if p == "" else p for p in frame["parent"][1:]]


def test_what_is_picked_is_outlined_and_its_way_is_strong():
    spec = radial_chart(radial_frame(TREE, standings(TREE), "cave-mapping"), LIGHT)
    picked = items(spec)["cave-mapping"]["itemStyle"]
    assert (picked["borderColor"], picked["borderWidth"]) == (LIGHT.text, 2.5)
    assert sum("width" in link["lineStyle"] for link in spec["series"][1]["links"]) == 3


def test_where_names_of_disciplines_find_no_room_fields_are_named_outside():
    tree = large(8, 40)
    frame = radial_frame(tree, standings(tree), "f1")
    named = captions(frame)
    assert named == [f"f{n}" for n in range(8) if n != 1]
    drawn = items(radial_chart(frame, LIGHT))
    assert "formatter" in drawn["caption f0"]["label"] and drawn["f0-d0"]["label"] == {"show": False}
    assert drawn["f1"]["label"]["formatter"] == "Field 1" and "formatter" in drawn["f1-d0"]["label"]
    assert captions(radial_frame(TREE, standings(TREE), "music")) == []


def test_the_name_of_an_unfolded_discipline_stands_off_those_of_its_neighbours():
    frame = radial_frame(TREE, standings(TREE), "cave-mapping", subject_nodes(subjects(2, "cave-mapping"), {}, 2))
    label = items(radial_chart(frame, LIGHT))["cave-mapping"]["label"]
    assert label["align"] == "center" and label["offset"][1] < 0, "towards the middle: the neighbours' names lead outwards"


def test_every_discipline_of_a_usual_tree_is_named():
    tree = large(8, 16)
    frame = radial_frame(tree, standings(tree))
    assert frame.loc[frame["kind"] == "discipline", "width"].min() >= MIN_WIDTH
    drawn = items(radial_chart(frame, LIGHT))
    assert all("formatter" in drawn[id]["label"] for id in frame.loc[frame["kind"] == "discipline", "id"])


def test_names_of_fields_do_not_cover_one_another():
    """Eight fields, some of them narrow, in every rotation."""
    counts = (20, 10, 5, 53, 4, 16, 15, 3)
    nodes = [Node(f"f{n}", "Applied Sciences", "field", None, GROUPS[n]) for n in range(8)]
    nodes += [Node(f"f{n}-d{m}", f"D{m}", "discipline", f"f{n}") for n in range(8) for m in range(counts[n])]
    tree = hierarchy.tree_of(nodes)
    for picked in (ALL, "f0", "f2", "f4", "f7"):
        frame = radial_frame(tree, standings(tree), picked)
        drawn, boxes = items(radial_chart(frame, LIGHT)), []
        for row in frame[frame["kind"] == "field"].itertuples():
            label = drawn[row.id]["label"]
            if "formatter" in label:
                x, y = RADIUS * row.x + label["offset"][0], RADIUS * row.y + label["offset"][1]
                left = x - {"left": 0, "right": 96, "center": 48}[label["align"]]
                boxes.append((left, y))
        for n, (x, y) in enumerate(boxes):
            assert all(abs(x - other) > 96 or abs(y - at) > 9 for other, at in boxes[n + 1 :]), picked


def test_names_are_never_markup_or_templates():
    nodes = [Node("a", "<img src=x onerror=alert(1)> {b}", "field"), Node("b", "{a|x} & co", "discipline", "a")]
    tree = hierarchy.tree_of(nodes)
    twigs = [ExpandedNode("sub-1", "<b>{c}</b>", "subject", "b", begun=True, hover_lines=("<script>", "{d}"))]
    drawn = items(radial_chart(radial_frame(tree, standings(tree), "b", twigs), LIGHT))
    for id in ("a", "b", "sub-1"):
        said = drawn[id]["tooltip"]["formatter"].replace("<b>", "").replace("</b>", "").replace("<br>", "")
        assert not set("<>{}") & set(said)
        assert not set("{}") & set(drawn[id]["label"].get("formatter", ""))


@pytest.mark.parametrize("unfolded", ["subjects", "sessions"])
def test_the_picture_of_a_paper_sized_tree_is_small(unfolded):
    tree = large()
    twigs = (subject_nodes([Subject(s.id + "-0123456789abcdef", s.discipline_id, "The name of a subject of usual length",
                                    s.level, s.subtopics) for s in subjects(160)], {}, 160)
             if unfolded == "subjects" else session_nodes(subjects(1)[0], None, syllabus(30, 5), {}, 160))  # fmt: skip
    spec = radial_chart(radial_frame(tree, standings(tree), "f2-d3" if unfolded == "subjects" else "sub-0", twigs), LIGHT)
    assert len(json.dumps(spec, allow_nan=False)) < 150_000
