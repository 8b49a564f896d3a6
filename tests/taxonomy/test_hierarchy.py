"""Tests for the taxonomy tree: validation, paths, sums over subtrees, IDs from names, similar names, and differences."""

import pytest
from support.taxonomies import SMALL, STARTER_FILE

from glan_core.errors import GlanError
from glan_core.ids import slug
from glan_core.records import Node
from glan_core.taxonomy.hierarchy import (
    GROUPS,
    TaxonomyError,
    check,
    diff,
    disciplines_under,
    group_of,
    path,
    roll_up,
    similar,
    tree_of,
    walk,
)
from glan_core.taxonomy.taxonomy_files import read


def check_refusal(nodes: list[Node], where: dict[str, str] | None = None) -> str:
    with pytest.raises(TaxonomyError) as caught:
        check(nodes, where)
    return str(caught.value)


@pytest.fixture(scope="module")
def shipped() -> list[Node]:
    return read(STARTER_FILE)


# Refused nodes


def sub(node_id: str, parent: str | None, name: str | None = None, kind: str = "sub-field") -> Node:
    return Node(node_id, name or node_id, kind, parent)


@pytest.mark.parametrize(
    ("nodes", "culprit", "says"),
    [
        ([*SMALL, Node("logic", "Other", "discipline", "formal")], "logic", "used twice"),
        ([*SMALL, sub("x", "nowhere")], "x", 'the parent "nowhere" does not exist'),
        ([*SMALL, sub("x", "y"), sub("y", "x")], "x", "x > y > x"),
        ([*SMALL, sub("x", "x")], "x", "x > x"),
        ([Node("x", " ", "field")], "x", 'the name of "x" is empty'),
        ([Node("x", "X ", "field")], "x", "begins or ends with a space"),
        ([Node("x", "X\nY", "field")], "x", "must be one line"),
        ([Node("x", "X", "topic")], "x", "one of field, sub-field, discipline"),
        ([*SMALL, sub("x", "logic")], "x", "disciplines are leaves"),
        ([*SMALL, sub("x", "formal", kind="field")], "x", "fields are at the top level"),
        ([sub("x", None)], "x", "only fields are at the top level"),
        ([Node("x", "X", "field", None, "Sports")], "x", 'the group "Sports" is unknown'),
        ([*SMALL, Node("x", "X", "discipline", "formal", GROUPS[0])], "x", "only fields have a group"),
        ([*SMALL, sub("x", "formal", "LOGIC")], "x", 'is used twice under the same parent ("logic" and "x")'),
        ([Node("x", "Straße", "field"), Node("y", "STRASSE", "field")], "y", "is used twice"),
    ],
)  # fmt: skip
def test_check_names_the_node_or_the_place_given(nodes, culprit, says):
    message = check_refusal(nodes)
    assert message.startswith(f'node "{culprit}": ') and says in message
    assert check_refusal(nodes, {culprit: "line 12"}).startswith("line 12: ")


@pytest.mark.parametrize("bad", ["", "A", "a b", "a--b", "-a", "a-", "a_b", "ä", "a\n", "x" * 61])
def test_ids_must_be_slugs(bad):
    assert 'for example "my-name"' in check_refusal([Node(bad, "My name", "field")])


def test_a_chain_of_thousands_is_refused_without_recursion():
    nodes = [Node("n0", "N", "field")] + [sub(f"n{i}", f"n{i - 1}") for i in range(1, 5_000)]
    assert "deeper than 50 levels" in check_refusal(nodes)


def test_check_accepts_drafts():
    drafts = ([], SMALL, [Node("f", "F", "field"), sub("empty", "f")])
    assert [check(nodes) for nodes in drafts] == [None, None, None]  # raises otherwise


def test_a_taxonomy_error_is_shown_to_people():
    assert issubclass(TaxonomyError, GlanError)


# Questions to the tree


def test_tree_keeps_nodes_edges_and_order():
    tree = tree_of(SMALL)
    assert list(tree) == [node.id for node in SMALL]
    assert list(tree.successors("formal")) == ["numbers", "logic"]
    assert tree.nodes["logic"]["node"] == SMALL[3]
    assert [node.id for node in walk(tree)] == ["formal", "numbers", "algebra", "logic", "services", "retail"]
    assert [node.id for node in walk(tree, "numbers")] == ["numbers", "algebra"]


def test_path_disciplines_and_group():
    tree = tree_of(SMALL)
    assert [node.id for node in path(tree, "algebra")] == ["formal", "numbers", "algebra"]
    assert disciplines_under(tree) == ["algebra", "logic", "retail"]
    assert disciplines_under(tree, "formal") == ["algebra", "logic"]
    assert disciplines_under(tree, "logic") == ["logic"]
    assert group_of(tree, "algebra") == group_of(tree, "formal") == "Academic-Formal Science"
    assert group_of(tree, "retail") is None


def test_roll_up_sums_subtrees_and_counts_absent_disciplines_as_zero():
    assert roll_up(tree_of(SMALL), {"algebra": 3, "logic": 4}) == {
        "formal": 7, "numbers": 3, "algebra": 3, "logic": 4, "services": 0, "retail": 0,
    }  # fmt: skip


@pytest.mark.parametrize("ask", [path, group_of, disciplines_under, lambda tree, x: roll_up(tree, {x: 1})])
def test_asking_for_an_unknown_node_is_refused(ask):
    with pytest.raises(TaxonomyError, match='no node "gone"'):
        ask(tree_of(SMALL), "gone")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Chemical Engineering", "chemical-engineering"),
        ("  Pulp & paper -- industry ", "pulp-paper-industry"),
        ("Ästhetik, Straße, Łódź", "asthetik-strasse-lodz"),
        ("R2D2", "r2d2"),
    ],
)
def test_slug_of_latin_names(name, expected):
    assert slug(name) == expected


def test_slugs_of_other_names_are_stable_distinct_and_valid():
    names = ["物理学", "化学", "物理学 2", "化学 2", "Физика", "\U0001f3a8", "", "!!!", "\ud800", "x" * 61, "x" * 62]
    slugs = [slug(name) for name in names]
    check([Node(one, f"n{i}", "field") for i, one in enumerate(slugs) if names[i] not in ("", "!!!")])
    assert slugs == [slug(name) for name in names]
    assert slug("物理学").startswith("node-") and slug("Physik 物理").startswith("physik-")
    assert all(0 < len(one) <= 60 for one in slugs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Film industry", "FILM-Industries"),
        ("Visual arts", "Art, visual"),
        ("Languages & literature", "Language and Literatures"),
        ("Gynaecology", "Gynecology"),
        ("Social work", "Social works"),
    ],
)
def test_similar_finds_the_same_name_written_otherwise(one, other):
    assert [name for name, _ in similar(one, ["Mathematics", other, "Welding"])] == [other]


def test_similar_ranks_and_leaves_the_rest_alone():
    assert similar("Wood industry", ["Wood", "Food industry", "Industry, wood", "Industry"]) == [
        ("Industry, wood", 1.0), ("Food industry", pytest.approx(12 / 13)),
    ]  # fmt: skip
    assert similar("Physics", ["Physical therapy", "Metaphysics of mind", "History"]) == []
    assert similar("!!!", ["???"]) == []


def test_few_shipped_disciplines_look_alike(shipped):
    names = [node.name for node in shipped if node.kind == "discipline"]
    pairs = {frozenset((a, b)) for i, a in enumerate(names) for b, _ in similar(a, names[:i])}
    assert len(pairs) <= 3


def test_diff_sorts_every_change():
    old = SMALL
    new = [
        SMALL[0],
        Node("numbers", "Numbers and forms", "sub-field", "formal"),
        Node("algebra", "Algebra", "discipline", "formal", None, "Now described."),
        SMALL[4],
        SMALL[5],
        Node("floral", "Floral", "discipline", "services"),
    ]
    found = diff(old, new)
    assert [node.id for node in found.added] == ["floral"]
    assert [node.id for node in found.removed] == ["logic"]
    assert found.renamed == [(old[1], new[1])]
    assert found.moved == found.changed == [(old[2], new[2])]
    unchanged = diff(old, old)
    assert not any([unchanged.added, unchanged.removed, unchanged.renamed, unchanged.moved, unchanged.changed])
