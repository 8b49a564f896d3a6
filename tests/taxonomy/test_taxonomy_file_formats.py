"""Tests for taxonomy files: both formats, rejected files, and the starter taxonomy."""

import csv
import json
import random
from pathlib import Path

import pytest
from support.taxonomies import SMALL, STARTER_FILE

from glan_core.ids import slug
from glan_core.records import Node
from glan_core.taxonomy.hierarchy import (
    GROUPS,
    MAX_DEPTH,
    TaxonomyError,
    disciplines_under,
    path,
    tree_of,
)
from glan_core.taxonomy.taxonomy_files import MAX_BYTES, dump, parse, read

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT.parent / "shared" / "paper"
PAPER_COUNTS = dict(zip(GROUPS, (20, 10, 5, 53, 4, 16, 15, 3)))
OURS = {"Classics", "Criminology", "Statistics"}

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


# The starter taxonomy


@pytest.fixture(scope="module")
def shipped() -> list[Node]:
    return read(STARTER_FILE)


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
    body = "".join(line for line in STARTER_FILE.read_text("utf-8").splitlines(keepends=True) if not line.startswith("#"))
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
    (tmp_path / "damaged.yaml").write_bytes("format: x\nname: café à la crème\n".encode() + b"nodes: [\xe9\n")
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, says in [
        ("absent.yaml", "does not exist"),
        ("folder.yaml", "is not a file"),
        ("notes.txt", "end in .yaml, .yml, .json"),
        ("latin.yaml", 'latin.yaml, line 1: the format "x" is unknown'),
        ("damaged.yaml", "damaged.yaml, line 3: not UTF-8 text"),
        ("big.json", "larger than 20 MB"),
        ("n" * 300 + ".yaml", "cannot be read"),
    ]:
        with pytest.raises(TaxonomyError) as caught:
            read(tmp_path / name)
        assert says in str(caught.value) and str(tmp_path) in str(caught.value)


def test_read_takes_any_suffix_of_ours_and_a_byte_order_mark(tmp_path):
    for suffix, kind in [(".yaml", "yaml"), (".yml", "yaml"), (".JSON", "json")]:
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
            file = tmp_path / f"t{suffix}"
            file.write_bytes(dump(SMALL, kind).replace("\n", "\r\n").encode(encoding))
            assert read(str(file)) == SMALL
