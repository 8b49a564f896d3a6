"""Taxonomy files: what is read is a valid taxonomy, and what is written is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.outside_strategies import encoded, json_texts, lines, texts

from glan_core.ids import slug
from glan_core.records import Node
from glan_core.taxonomy import taxonomy_files
from glan_core.taxonomy.hierarchy import MAX_DEPTH, TaxonomyError, check, tree_of, walk
from glan_core.taxonomy.taxonomy_import import parse_import

NAMES = (
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12)
    .map(lambda n: " ".join(n.split()))
    .filter(bool)
)
BULLETS = st.builds(
    lambda mark, name: mark + name, st.sampled_from(("- ", "# ", "## ", "1. ", "├── ", "* ", "", "**", "1.1 ")), NAMES
)
ROWS = st.lists(NAMES, min_size=1, max_size=3).map(",".join) | st.lists(NAMES, min_size=1, max_size=3).map(" > ".join)


@st.composite
def taxonomies(draw) -> list[Node]:
    """Return valid nodes of up to three levels."""
    nodes: list[Node] = []
    used: set[str] = set()

    def add(kind: str, parent: str | None, taken: set[str]) -> str | None:
        name = draw(NAMES)
        id = slug(name)
        if id in used or name.casefold() in taken:
            return None
        used.add(id)
        taken.add(name.casefold())
        nodes.append(Node(id, name, kind, parent, None, draw(st.sampled_from(("", "Light.", "a: b\n# c", " x ")))))
        return id

    top: set[str] = set()
    for _ in range(draw(st.integers(0, 3))):
        field = add("field", None, top)
        below: set[str] = set()
        for _ in range(draw(st.integers(0, 3)) if field else 0):
            add("discipline", field, below)
    return nodes


@pytest.mark.parametrize("kind", ["yaml", "json"])
@given(nodes=taxonomies())
def test_what_is_written_is_read_back(kind, nodes):
    try:
        check(nodes)
    except TaxonomyError:
        return  # two names that differ only in compatibility characters
    text = taxonomy_files.dump(nodes, kind)
    assert taxonomy_files.parse(text, kind, "file") == nodes
    assert parse_import(text.encode(), f"file.{kind}").nodes == nodes


@given(encoded(texts() | lines(BULLETS) | lines(ROWS) | json_texts()))
def test_what_is_read_is_a_taxonomy(raw):
    try:
        found = parse_import(raw, "tree.txt")
    except TaxonomyError as error:
        assert str(error).startswith(("tree", '"', "{"))
        return
    check(found.nodes)
    assert found.nodes == list(walk(tree_of(found.nodes))) and found.form and found.summary


@given(st.lists(NAMES, min_size=1, max_size=MAX_DEPTH + 2))
def test_a_path_is_a_branch_or_too_deep(names):
    try:
        found = parse_import("\n".join("  " * depth + f"- {name}" for depth, name in enumerate(names)).encode(), "tree.md")
    except TaxonomyError:
        return
    check(found.nodes)


@given(st.text(max_size=80))
def test_a_slug_is_an_id(name):
    assert slug(name) == slug(slug(name)) or slug(name).startswith("node-")
    assert 1 <= len(slug(name)) <= 60 and slug(name).isascii()
