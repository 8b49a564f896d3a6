"""Taxonomy files: the taxonomy as YAML or JSON.

    format: glan-taxonomy/1
    name: My taxonomy
    nodes:
      - id: formal-sciences
        name: Formal Sciences
        kind: field
        children:
          - {id: logic, name: Logic, kind: discipline}
      - {id: statistics, name: Statistics, kind: discipline, parent: formal-sciences}

Children are nested, or are top-level entries with a `parent`, in any order. Whatever `dump` would not write back (unknown
keys, aliases, values that are not text) is an error that names the line (YAML) or path (JSON).
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.ids import slug
from glan_core.io.text_decoding import decode
from glan_core.records import Node
from glan_core.taxonomy.hierarchy import KINDS, TaxonomyError, check, tree_of, walk
from glan_core.taxonomy.located_values import Value, json_document, yaml_document

FORMAT = "glan-taxonomy/1"
MAX_BYTES = 20_000_000
EXAMPLE = """\
format: glan-taxonomy/1
name: My taxonomy
nodes:
  - id: natural-sciences
    name: Natural Sciences
    kind: field
    children:
      - id: physics
        name: Physics
        kind: sub-field
        children:
          - id: optics
            name: Optics
            kind: discipline
            description: Light
"""

_KIND_OF_SUFFIX = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}
_FILE_KEYS = ("format", "name", "nodes")
_NODE_KEYS = ("id", "name", "kind", "group", "description", "parent", "children")

# PyYAML breaks a line after the word that exceeds this column.
_WIDTH = 105


def read(path: str | Path) -> list[Node]:
    """Read a taxonomy file; the suffix determines the format.

    Returns:
        The nodes, depth first in file order.

    Raises:
        TaxonomyError: If the file is missing, unreadable, larger than 20 MB, no text, or invalid.
    """
    path = Path(path)
    kind = _KIND_OF_SUFFIX.get(path.suffix.lower())
    try:
        if not path.exists():
            raise TaxonomyError(f"{path} does not exist")
        if not path.is_file():
            raise TaxonomyError(f"{path} is not a file; choose a taxonomy file ({', '.join(_KIND_OF_SUFFIX)})")
        if kind is None:
            raise TaxonomyError(f"{path}: a taxonomy file must end in {', '.join(_KIND_OF_SUFFIX)}")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TaxonomyError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise TaxonomyError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB, the limit for taxonomy files")
    try:
        text = decode(content, str(path))
    except GlanError as error:
        raise TaxonomyError(str(error)) from error
    return parse(text, kind, str(path))


def parse(text: str, kind: str, source: str) -> list[Node]:
    """Parse the text of a taxonomy file.

    Args:
        text: The text.
        kind: 'yaml' or 'json'.
        source: Name of the file for messages.

    Returns:
        The nodes, depth first in file order; an empty list is an empty taxonomy.

    Raises:
        TaxonomyError: If the text is malformed, has another format or version, or unknown keys or values, or its nodes are
            invalid. The message names the line or path.
    """
    document = {"yaml": yaml_document, "json": json_document}[kind](text, source)
    if document is None:
        raise TaxonomyError(f'{source} is empty; a taxonomy file starts with "format: {FORMAT}"')
    return native_nodes(document)


def dump(nodes: Sequence[Node], kind: str, *, name: str = "Taxonomy") -> str:
    """Return the text of a taxonomy file, from which `parse` restores the same nodes.

    Args:
        nodes: The nodes.
        kind: 'yaml' or 'json'.
        name: Name of the taxonomy.

    Raises:
        TaxonomyError: If the nodes are invalid.
    """
    check(nodes)
    document = {"format": FORMAT, "name": name, "nodes": _nested(nodes)}
    if kind == "json":
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    if kind == "yaml":
        return yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_WIDTH)
    raise ValueError(f"kind must be 'yaml' or 'json', not {kind!r}")


# From values to nodes, for both formats.


def native_nodes(document: Value) -> list[Node]:
    """Return the validated nodes of a file of this format.

    Raises:
        TaxonomyError: If the document is invalid; the message names the line or path.
    """
    top = _mapping(document, "a taxonomy file")
    # Checked before unknown keys, because a newer version may have new keys.
    _check_format(top.get("format"), document.place)
    _refuse_unknown_keys(document, _FILE_KEYS)
    if "name" in top:
        _text(top["name"], "name")
    if "nodes" not in top:
        raise TaxonomyError(f'{document.place}: "nodes" is missing; write nodes: [] for an empty taxonomy')
    nodes: list[Node] = []
    where: dict[str, str] = {}
    for entry in _list(top["nodes"], "nodes", 'write "nodes: []" for an empty taxonomy'):
        for node, place in _read_node(entry, None):
            if node.id in where:
                raise TaxonomyError(f"{place}: the id {quoted(node.id)} is already used ({where[node.id]})")
            nodes.append(node)
            where[node.id] = place
    check(nodes, where)
    return list(walk(tree_of(nodes)))


def _read_node(entry: Value, parent_id: str | None) -> Iterator[tuple[Node, str]]:
    """Yield a node and its nested nodes with their locations."""
    keys = _mapping(entry, "a node")
    _refuse_unknown_keys(entry, _NODE_KEYS)
    texts = {key: _text(keys[key], key) for key in _NODE_KEYS if key in keys and key != "children"}
    for key in ("name", "id", "kind"):
        if key not in texts:
            hint = {"id": f"; add id: {slug(texts.get('name', ''))}", "kind": f"; add one of {', '.join(KINDS)}"}
            raise TaxonomyError(f'{entry.place}: the node has no "{key}"{hint.get(key, "")}')
    if "parent" in texts and parent_id is not None:
        raise TaxonomyError(f'{keys["parent"].place}: {quoted(texts["id"])} is nested in {quoted(parent_id)}; remove "parent"')
    yield (
        Node(
            id=texts["id"],
            name=texts["name"],
            kind=texts["kind"],
            parent_id=texts.get("parent", parent_id),
            group=texts.get("group"),
            description=texts.get("description", ""),
        ),
        entry.place,
    )
    if "children" in keys:
        for child in _list(keys["children"], "children", "omit it if there are none"):
            yield from _read_node(child, texts["id"])


def _check_format(value: Value | None, place: str) -> None:
    """Check the format and version stated in a file."""
    if value is None:
        raise TaxonomyError(f'{place}: "format" is missing; add "format: {FORMAT}"')
    stated = _text(value, "format")
    if stated == FORMAT:
        return
    if re.fullmatch(r"glan-taxonomy/[1-9][0-9]*", stated):
        raise TaxonomyError(
            f"{value.place}: {quoted(stated)} was made by a newer version of GLAN Studio, this version reads {FORMAT}; "
            "update GLAN Studio"
        )
    raise TaxonomyError(f'{value.place}: the format {quoted(stated)} is unknown; use "{FORMAT}"')


def _mapping(value: Value, what: str) -> dict[str, Value]:
    if not isinstance(value.data, dict):
        raise TaxonomyError(f"{value.place}: {what} must be a mapping of keys to values, not {_described(value)}")
    return value.data


def _list(value: Value, key: str, if_empty: str) -> list[Value]:
    if value.reads_as == "nothing":
        raise TaxonomyError(f'{value.place}: "{key}" is empty; {if_empty}')
    if not isinstance(value.data, list):
        raise TaxonomyError(f'{value.place}: "{key}" must be a list of nodes, not {_described(value)}')
    return value.data


def _text(value: Value, key: str) -> str:
    if value.reads_as == "nothing":
        raise TaxonomyError(f'{value.place}: "{key}" is empty; write text or remove the key')
    if value.reads_as is not None:
        shown = quoted(value.data)
        raise TaxonomyError(
            f'{value.place}: "{key}" must be text, but {shown[1:-1]} reads as {value.reads_as}; quote it: {shown}'
        )
    if not isinstance(value.data, str):
        raise TaxonomyError(f'{value.place}: "{key}" must be text, not {_described(value)}')
    return value.data


def _described(value: Value) -> str:
    """Return a description of the type of a value, for messages."""
    if value.reads_as is not None:
        return value.reads_as
    return "a mapping" if isinstance(value.data, dict) else "a list" if isinstance(value.data, list) else "text"


def _refuse_unknown_keys(value: Value, known: tuple[str, ...]) -> None:
    for key, entry in value.data.items():
        if key not in known:
            raise TaxonomyError(f"{entry.place}: the key {quoted(key)} is unknown; known are {', '.join(known)}")


class _Dumper(yaml.SafeDumper):
    """SafeDumper that indents lists under their key."""

    def increase_indent(self, *args: Any, **options: Any) -> None:
        return super().increase_indent(*args, **{**options, "indentless": False})


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Double quotes escape what other styles fold or normalize: all line breaks, U+0085, byte order marks.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)


def _nested(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Return the nodes as nested mappings without empty optional keys."""
    entries: dict[str, dict[str, Any]] = {}
    for node in nodes:
        entry: dict[str, Any] = {"id": node.id, "name": node.name, "kind": node.kind}
        if node.group is not None:
            entry["group"] = node.group
        if node.description:
            entry["description"] = node.description
        entries[node.id] = entry
    for node in nodes:
        if node.parent_id is not None:
            entries[node.parent_id].setdefault("children", []).append(entries[node.id])
    return [entries[node.id] for node in nodes if node.parent_id is None]
