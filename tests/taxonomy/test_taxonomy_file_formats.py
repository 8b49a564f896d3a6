"""The taxonomy, its file formats and the bundled starter taxonomy."""

import csv
import json
import random
from pathlib import Path

import pytest

from glan_core.errors import GlanError
from glan_core.ids import slug
from glan_core.records import Node
from glan_core.taxonomy.hierarchy import (
    GROUPS,
    MAX_DEPTH,
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
from glan_core.taxonomy.taxonomy_files import MAX_BYTES, dump, parse, read

ROOT = Path(__file__).resolve().parents[2]
ASSET = ROOT / "assets" / "taxonomy.yaml"
PAPER = ROOT.parent / "shared" / "paper"
PAPER_COUNTS = dict(zip(GROUPS, (20, 10, 5, 53, 4, 16, 15, 3)))
OURS = {"Classics", "Criminology", "Statistics"}

SMALL = [
    Node("formal", "Formal", "field", None, "Academic-Formal Science", "Proof and calculation."),
    Node("numbers", "Numbers", "sub-field", "formal"),
    Node("algebra", "Algebra", "discipline", "numbers"),
    Node("logic", "Logic", "discipline", "formal"),
    Node("services", "Services", "field"),
    Node("retail", "Retail", "discipline", "services"),
]

YAML_HEAD = "format: glan-taxonomy/1\nnodes:\n"
YAML_NODE = "  - id: a\n    name: A\n    kind: field\n"  # lines 3 to 5


def json_file(*nodes: dict, **top) -> str:
    return json.dumps({"format": "glan-taxonomy/1", "nodes": list(nodes), **top})


def refusal(text: str, kind: str = "yaml") -> str:
    with pytest.raises(TaxonomyError) as caught:
        parse(text, kind, "t")
    message = str(caught.value)
    assert "\n" not in message
    return message


def check_refusal(nodes: list[Node], where: dict[str, str] | None = None) -> str:
    with pytest.raises(TaxonomyError) as caught:
        check(nodes, where)
    return str(caught.value)


# The starter taxonomy


@pytest.fixture(scope="module")
def shipped() -> list[Node]:
    return read(ASSET)


def test_shipped_counts_by_group_are_the_papers(shipped):
    tree = tree_of(shipped)
    fields = [node for node in shipped if node.kind == "field"]
    assert {node.group: len(disciplines_under(tree, node.id)) for node in fields} == PAPER_COUNTS
    assert [node.group for node in fields] == list(GROUPS)
    assert len(disciplines_under(tree)) == 126


def test_shipped_names_are_the_papers_and_three_of_ours(shipped):
    if not PAPER.is_dir():
        pytest.skip("the paper's tables are not here")
    with (PAPER / "glan_test_by_discipline.csv").open() as file:
        paper = {row["discipline"] for row in csv.DictReader(file)}
    with (PAPER / "glan_test_by_field.csv").open() as file:
        counts = {row["field"]: int(row["disciplines"]) for row in csv.DictReader(file)}
    names = [node.name for node in shipped if node.kind == "discipline"]
    assert len(paper) == 123 and set(names) - paper == OURS and paper <= set(names)
    assert counts == PAPER_COUNTS | {"All": 126}


def test_shipped_nodes_are_described_and_named_by_slug(shipped):
    for node in shipped:
        assert 8 <= len(node.description.split()) <= 20, node.id
        assert "\n" not in node.description
        assert node.kind != "discipline" or node.id == slug(node.name)
    assert 40 <= sum(node.kind != "discipline" for node in shipped) <= 55


def test_shipped_depth_is_not_uniform(shipped):
    tree = tree_of(shipped)
    assert [node.name for node in path(tree, "mathematics")] == ["Formal Sciences", "Mathematics"]
    assert [node.name for node in path(tree, "urology")] == [
        "Applied Sciences",
        "Medicine and health",
        "Surgical specialties",
        "Urology",
    ]


def test_shipped_text_is_what_dump_writes(shipped):
    body = "".join(line for line in ASSET.read_text("utf-8").splitlines(keepends=True) if not line.startswith("#"))
    assert dump(shipped, "yaml", name="GLAN Studio starter taxonomy") == body


# Round trips

NASTY = [
    "C# & C++: a 'quoted' \"name\"", "# not a comment", "- dash", "yes", "null", "2024", "1e3", "~", "=", "<<", "*a",
    "&a", "a: b", "a #b", "[x]", "{x}", "!tag", "%dir", "@at", "`tick`", "|", ">", "? q", "物理学", "Физика",
    "\U0001f3a8 art", "\U0001f469\u200d\U0001f52c", "e\u0301", "non\u00a0breaking", "\ufeffmark", "--- x", "...",
    "2001-01-01", "0x1F", "back\\slash", "a  b   c", "\U0010ffff\ue000",
]  # fmt: skip
NASTY_TEXT = [
    *NASTY, "two\nlines", "\n lead", "trail \n\n", " spaces ", "tab\there", "nel\x85ls\u2028ps\u2029", "\x00\x07",
    "\r\n", "word " * 60, "- a\n- b: c # d\n", "long: " + "x" * 300,
]  # fmt: skip


def random_nodes(seed: int) -> list[Node]:
    """A random taxonomy, depth first, with names and descriptions that are hard to write."""
    rng = random.Random(seed)
    nodes: list[Node] = []

    def grow(parent: Node | None, level: int) -> None:
        for index in range(rng.randint(1, 4)):
            kind = "field" if parent is None else rng.choice(["sub-field", "discipline"])
            node = Node(
                id=f"n{len(nodes)}",
                name=f"{rng.choice(NASTY)}{index}{rng.choice(NASTY)}".strip(),
                kind=kind,
                parent_id=parent and parent.id,
                group=rng.choice([None, *GROUPS]) if kind == "field" else None,
                description=rng.choice(["", *NASTY_TEXT]),
            )
            nodes.append(node)
            if kind != "discipline" and level < 6:
                grow(node, level + 1)

    grow(None, 0)
    return nodes


@pytest.mark.parametrize("seed", range(15))
def test_random_taxonomies_come_back_from_both_formats_and_across(seed):
    nodes = random_nodes(seed)
    as_yaml, as_json = dump(nodes, "yaml"), dump(nodes, "json")
    assert parse(as_yaml, "yaml", "t") == nodes == parse(as_json, "json", "t")
    assert dump(parse(as_json, "json", "t"), "yaml") == as_yaml
    assert dump(parse(as_yaml, "yaml", "t"), "json") == as_json


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_every_nasty_text_comes_back(kind, tmp_path):
    nodes = [Node(f"n{i}", text, "field") for i, text in enumerate(NASTY)]
    nodes += [Node(f"d{i}", f"D{i}", "field", description=text) for i, text in enumerate(NASTY_TEXT)]
    file = tmp_path / f"t.{kind}"
    file.write_text(dump(nodes, kind), "utf-8", newline="")
    assert read(file) == nodes


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_the_deepest_taxonomy_comes_back_and_a_deeper_one_is_refused(kind):
    nodes = [Node("n0", "N", "field")] + [Node(f"n{i}", "N", "sub-field", f"n{i - 1}") for i in range(1, MAX_DEPTH)]
    assert parse(dump(nodes, kind), kind, "t") == nodes
    with pytest.raises(TaxonomyError, match="deeper than 50 levels"):
        dump([*nodes, Node("deep", "N", "sub-field", nodes[-1].id)], kind)


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_an_empty_taxonomy_comes_back(kind):
    assert parse(dump([], kind), kind, "t") == []


def test_flat_and_nested_nodes_mix_and_come_out_depth_first():
    text = YAML_HEAD + (
        "  - {id: logic, name: Logic, kind: discipline, parent: formal}\n"
        "  - id: formal\n    name: Formal\n    kind: field\n    children:\n"
        "      - {id: numbers, name: Numbers, kind: sub-field}\n"
        "  - {id: algebra, name: Algebra, kind: discipline, parent: numbers}\n"
    )
    nodes = parse(text, "yaml", "t")
    assert [(n.id, n.parent_id) for n in nodes] == [
        ("formal", None), ("logic", "formal"), ("numbers", "formal"), ("algebra", "numbers"),
    ]  # fmt: skip


def test_a_flat_node_may_carry_children():
    text = json_file(
        {"id": "s", "name": "S", "kind": "sub-field", "parent": "f",
         "children": [{"id": "d", "name": "D", "kind": "discipline"}]},
        {"id": "f", "name": "F", "kind": "field"},
    )  # fmt: skip
    assert [(n.id, n.parent_id) for n in parse(text, "json", "t")] == [("f", None), ("s", "f"), ("d", "s")]


# Refused files


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (YAML_HEAD + "  - id: a\n    name: 2024\n", 4, 'must be text, but 2024 reads as a number; quote it: "2024"'),
        (YAML_HEAD + "  - id: a\n    name: no\n", 4, 'no reads as true or false; quote it: "no"'),
        (YAML_HEAD + "  - id: a\n    name:\n", 4, '"name" is empty'),
        (YAML_HEAD + "  - id: a\n    name: [x]\n", 4, '"name" must be text, not a list'),
        (YAML_HEAD + YAML_NODE + "    description: 2001-01-01\n", 6, "reads as a date"),
        (YAML_HEAD + YAML_NODE + "    description: !!binary aGk=\n", 6, "the YAML type binary"),
        (YAML_HEAD + YAML_NODE + "    children: {}\n", 6, '"children" must be a list of nodes, not a mapping'),
        (YAML_HEAD + YAML_NODE + "    children: !!set {x}\n", 6, "remove the tag"),
        (YAML_HEAD + YAML_NODE + "    children:\n", 6, '"children" is empty; omit it'),
        (YAML_HEAD + YAML_NODE + "    name: B\n", 6, 'the key "name" is used twice'),
        (YAML_HEAD + YAML_NODE + "    colour: red\n", 6, '"colour" is unknown; known are id, name, kind, group,'),
        (YAML_HEAD + YAML_NODE + "    ? [x]\n    : y\n", 6, "a key must be text"),
        (YAML_HEAD + "  - text\n", 3, "a node must be a mapping of keys to values, not text"),
        (YAML_HEAD + "  - name: Über Art\n", 3, 'has no "id"; add id: uber-art'),
        (YAML_HEAD + "  - id: a\n    name: A\n", 3, 'has no "kind"; add one of field, sub-field, discipline'),
        (YAML_HEAD + "  - &x\n    id: a\n", 3, "anchors (&) and aliases (*) are not supported"),
        (YAML_HEAD + YAML_NODE + "    children: *x\n", 6, "anchors (&) and aliases (*) are not supported"),
        (YAML_HEAD + "  - id: a\n\t  name: A\n", 4, "indent with spaces instead of tabs"),
        (YAML_HEAD + "  - name: a: b\n", 3, "quote text that contains \": \""),
        (YAML_HEAD + YAML_NODE + '    description: "open\n', 7, "unexpected end of stream"),
        (YAML_HEAD + YAML_NODE + '    description: "\\UFFFFFFFF"\n', 6, "YAML cannot represent"),
        (YAML_HEAD + YAML_NODE + "    description: \x07\n", 6, "U+0007 is not allowed"),
        (YAML_HEAD + YAML_NODE + '    description: "\\ud800"\n', 3, "a lone surrogate"),
        (YAML_HEAD + YAML_NODE + "---\nb: 1\n", 6, "a second document starts here"),
        (YAML_HEAD + YAML_NODE + YAML_NODE, 6, 'the id "a" is already used (t, line 3)'),
        (YAML_HEAD + YAML_NODE + "  - {id: b, name: B, kind: discipline, parent: c}\n", 6, 'parent "c" does not exist'),
        (YAML_HEAD + YAML_NODE + "    children:\n      - {id: b, name: B, kind: field, parent: a}\n", 7, "nested in"),
        (YAML_HEAD + YAML_NODE + "  - {id: b, name: B, kind: discipline}\n", 6, "only fields are at the top level"),
        ("nodes: []\n", 1, '"format" is missing'),
        ("\nformat: 1\n", 2, '"format" must be text'),
        ("format: other/1\nnodes: []\n", 1, "is unknown; use"),
        ("format: glan-taxonomy/2\nleaves: []\n", 1, "made by a newer version of GLAN Studio"),
        ("format: glan-taxonomy/1\n", 1, '"nodes" is missing'),
        (YAML_HEAD, 2, 'write "nodes: []"'),
        (YAML_HEAD + "  []\nextra: 1\n", 4, "known are format, name, nodes"),
        ("- a\n", 1, "must be a mapping of keys to values, not a list"),
        ("[" * 100_000, 1, "nested deeper than 50 levels"),
        ("- " * 5_000 + "a", 1, "nested deeper than 50 levels"),
    ],
)  # fmt: skip
def test_yaml_refusals_name_the_line(text, line, says):
    message = refusal(text)
    assert message.startswith(f"t, line {line}: ")
    assert says in message


def test_yaml_with_many_nested_levels_of_nodes_is_refused():
    levels = 3_000
    text = YAML_HEAD + "".join(f"{' ' * 2 * i}  - children:\n" for i in range(levels))
    assert "nested deeper than 50 levels" in refusal(text)


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_empty_yaml_is_refused(text):
    assert refusal(text).startswith("t is empty")


A = {"id": "a", "name": "A", "kind": "field"}


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (json_file({**A, "children": [A | {"id": "b", "kind": "sub-field", "name": 7}]}),
         "t, nodes[0].children[0].name", 'but 7 reads as a number; quote it: "7"'),
        (json_file({**A, "name": float("nan")}), "t, nodes[0].name", "NaN reads as a number"),
        (json_file({**A, "name": True}), "t, nodes[0].name", "true reads as true or false"),
        (json_file({**A, "group": None}), "t, nodes[0].group", "remove the key"),
        (json_file({**A, "children": {}}), "t, nodes[0].children", "must be a list of nodes, not a mapping"),
        (json_file({**A, "my colour": "red"}), 't, nodes[0]["my colour"]', 'the key "my colour" is unknown'),
        (json_file(A, {**A, "name": "B"}), "t, nodes[1]", "is already used (t, nodes[0])"),
        (json_file({**A, "name": "\ud800"}), "t, nodes[0]", "must be one line"),
        (json_file({**A, "children": [{"id": "b"}]}), "t, nodes[0].children[0]", 'has no "name"'),
        (json_file(A, {"id": "b", "name": "B", "kind": "discipline", "parent": "x"}), "t, nodes[1]", "does not exist"),
        ('{"format": "glan-taxonomy/1", "nodes": [{"id": "a", "id": "b"}]}', "t, nodes[0]", '"id" is used twice'),
        (json_file(format="glan-taxonomy/10"), "t, format", "newer version"),
        ('{"nodes": []}', "t", '"format" is missing'),
        ("[]", "t", "must be a mapping"),
        ('{\n"a": 1,\n}', "t, line 3", "property name"),
        ("[" + "1" * 9_000 + "]", "t", "must be a mapping"),
        ('{"a": ' * 100_000, "t", "nested deeper than 50 levels"),
        ("[" * 300 + "]" * 300, "t, [0][0][0][0][0][0][0][0][0][0][0][0][0][...", "nested deeper than 50 levels"),
    ],
)  # fmt: skip
def test_json_refusals_name_the_path(text, place, says):
    message = refusal(text, "json")
    assert message.startswith(f"{place}: ")
    assert says in message


def test_a_cycle_in_a_file_is_named():
    text = YAML_HEAD + "".join(
        f"  - {{id: {own}, name: {own}, kind: sub-field, parent: {up}}}\n" for own, up in ["xz", "yx", "zy"]
    )
    message = refusal(text)
    assert message.startswith("t, line 3: ") and "x > y > z > x" in message


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_a_damaged_file_gives_a_taxonomy_or_a_sentence(kind):
    rng = random.Random(7)
    whole = dump(random_nodes(3), kind)
    for _ in range(60):
        start = rng.randrange(len(whole))
        damage = rng.choice(["", "\x00", "&a ", "\t", "- ", '"', "{", "\U0001f600"])
        text = whole[:start] + damage + whole[start + rng.randint(0, 9) :]
        try:
            parse(text, kind, "t")
        except TaxonomyError as error:
            assert "\n" not in str(error)


def test_read_refuses_what_is_no_taxonomy_file(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "latin.yaml").write_bytes(b"format: x\nname: caf\xe9\n")
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, says in [
        ("absent.yaml", "does not exist"),
        ("folder.yaml", "is not a file"),
        ("notes.txt", "end in .yaml, .yml, .json"),
        ("latin.yaml", "latin.yaml, line 2: not UTF-8 text"),
        ("big.json", "larger than 20 MB"),
        ("n" * 300 + ".yaml", "cannot be read"),
    ]:
        with pytest.raises(TaxonomyError) as caught:
            read(tmp_path / name)
        assert says in str(caught.value) and str(tmp_path) in str(caught.value)


def test_read_takes_any_suffix_of_ours_and_a_byte_order_mark(tmp_path):
    for suffix, kind in [(".yaml", "yaml"), (".yml", "yaml"), (".JSON", "json")]:
        file = tmp_path / f"t{suffix}"
        file.write_text(dump(SMALL, kind), "utf-8-sig")
        assert read(str(file)) == SMALL


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
