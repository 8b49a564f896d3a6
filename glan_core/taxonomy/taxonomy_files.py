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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from glan_core.formatting import quoted
from glan_core.ids import slug
from glan_core.records import Node
from glan_core.taxonomy.hierarchy import KINDS, MAX_DEPTH, TaxonomyError, check, tree_of, walk

FORMAT = "glan-taxonomy/1"
MAX_BYTES = 20_000_000

_KIND_OF_SUFFIX = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}
_FILE_KEYS = ("format", "name", "nodes")
_NODE_KEYS = ("id", "name", "kind", "group", "description", "parent", "children")

# A node of level n is nested in 2n+1 lists and mappings of its file, and its values one deeper.
_MAX_NESTING = 2 * MAX_DEPTH + 2

# PyYAML breaks a line after the word that exceeds this column.
_WIDTH = 105


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of a YAML or JSON file with its location.

    Attributes:
        data: A str, a list of _Value or a dict of them.
        place: Location for messages.
        reads_as: Description of a scalar that is not text, such as 'a number'.
    """

    data: Any
    place: str
    reads_as: str | None = None


def read(path: str | Path) -> list[Node]:
    """Read a taxonomy file; the suffix determines the format.

    Returns:
        The nodes, depth first in file order.

    Raises:
        TaxonomyError: If the file is missing, unreadable, larger than 20 MB, not UTF-8, or invalid.
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
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaxonomyError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
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
    document = {"yaml": _yaml_document, "json": _json_document}[kind](text, source)
    return _nodes(document)


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


def _nodes(document: _Value) -> list[Node]:
    """Return the validated nodes of a file."""
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


def _read_node(entry: _Value, parent_id: str | None) -> Iterator[tuple[Node, str]]:
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


def _check_format(value: _Value | None, place: str) -> None:
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


def _mapping(value: _Value, what: str) -> dict[str, _Value]:
    if not isinstance(value.data, dict):
        raise TaxonomyError(f"{value.place}: {what} must be a mapping of keys to values, not {_described(value)}")
    return value.data


def _list(value: _Value, key: str, if_empty: str) -> list[_Value]:
    if value.reads_as == "nothing":
        raise TaxonomyError(f'{value.place}: "{key}" is empty; {if_empty}')
    if not isinstance(value.data, list):
        raise TaxonomyError(f'{value.place}: "{key}" must be a list of nodes, not {_described(value)}')
    return value.data


def _text(value: _Value, key: str) -> str:
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


def _described(value: _Value) -> str:
    """Return a description of the type of a value, for messages."""
    if value.reads_as is not None:
        return value.reads_as
    return "a mapping" if isinstance(value.data, dict) else "a list" if isinstance(value.data, list) else "text"


def _refuse_unknown_keys(value: _Value, known: tuple[str, ...]) -> None:
    for key, entry in value.data.items():
        if key not in known:
            raise TaxonomyError(f"{entry.place}: the key {quoted(key)} is unknown; known are {', '.join(known)}")


# YAML is composed rather than loaded, because only composed nodes have line numbers.

_YAML_READS_AS = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
}
_YAML_HINTS = {
    "mapping values are not allowed here": 'quote text that contains ": " and check the indentation',
    "found character '\\t' that cannot start any token": "indent with spaces instead of tabs",
}


class _Loader(yaml.SafeLoader):
    """SafeLoader without anchors and aliases, which could hide a cycle, and with limited nesting."""

    nesting = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            problem = "anchors (&) and aliases (*) are not supported; write the node out, or quote the text"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        if self.nesting >= _MAX_NESTING:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels of nodes", problem_mark=event.start_mark)
        self.nesting += 1
        node = super().compose_node(parent, index)
        self.nesting -= 1
        return node


def _yaml_document(text: str, source: str) -> _Value:
    """Parse a YAML text with exactly one document."""
    try:
        loader = _Loader(text)
        root = loader.get_node() if loader.check_node() else None
        if root is None:
            raise TaxonomyError(f'{source} is empty; a taxonomy file starts with "format: {FORMAT}"')
        if loader.check_node():
            problem = "a second document starts here; a taxonomy file has only one"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=loader.peek_event().start_mark)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TaxonomyError(
            f"{source}, line {line}: the character U+{error.character:04X} is not allowed in YAML; "
            "remove it, or write it as an escape in double quotes"
        ) from error
    except (ValueError, OverflowError) as error:
        raise TaxonomyError(f"{source}, line {loader.line + 1}: an escape or number that YAML cannot represent") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, [error.context, error.problem]))
        hint = _YAML_HINTS.get(error.problem or "")
        place = f"{source}, line {mark.line + 1}" if mark else source
        message = f"{place}: {problem}" + (f"; {hint}" if hint else "")
        raise TaxonomyError(message) from error
    return _yaml_value(root, source)


def _yaml_value(node: yaml.Node, source: str) -> _Value:
    place = f"{source}, line {node.start_mark.line + 1}"
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.ScalarNode):
        return _Value(node.value, place, None if tag == "str" else _YAML_READS_AS.get(tag, f"the YAML type {tag}"))
    if tag not in ("map", "seq"):
        raise TaxonomyError(f"{place}: the YAML type {quoted(tag)} is not supported; remove the tag")
    if isinstance(node, yaml.SequenceNode):
        return _Value([_yaml_value(item, source) for item in node.value], place)
    values: dict[str, _Value] = {}
    for key_node, value_node in node.value:
        key_place = f"{source}, line {key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise TaxonomyError(f"{key_place}: a key must be text")
        if key_node.value in values:
            raise TaxonomyError(f"{key_place}: the key {quoted(key_node.value)} is used twice in the same mapping")
        values[key_node.value] = _yaml_value(value_node, source)
    return _Value(values, place)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that indents lists under their key."""

    def increase_indent(self, *args: Any, **options: Any) -> None:
        return super().increase_indent(*args, **{**options, "indentless": False})


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Double quotes escape what other styles fold or normalize: all line breaks, U+0085, byte order marks.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)


# Parsed JSON has no line numbers, so locations are paths.


class _Pairs(list):
    """Items of a JSON object, kept as a list until duplicates are checked where the path is known."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as written in the file."""

    written: str


def _json_document(text: str, source: str) -> _Value:
    """Parse a JSON text."""
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except json.JSONDecodeError as error:
        problem = error.msg[0].lower() + error.msg[1:]
        raise TaxonomyError(f"{source}, line {error.lineno}: {problem} (column {error.colno})") from error
    except RecursionError as error:
        raise TaxonomyError(f"{source}: nested deeper than {MAX_DEPTH} levels of nodes") from error
    return _json_value(value, source, "", 1)


def _json_value(value: Any, source: str, path: str, nesting: int) -> _Value:
    place = f"{source}, {path}" if path else source
    if nesting > _MAX_NESTING:
        raise TaxonomyError(f"{source}, {path[:40]}...: nested deeper than {MAX_DEPTH} levels of nodes")
    if isinstance(value, _Pairs):
        values: dict[str, _Value] = {}
        for key, entry in value:
            if key in values:
                raise TaxonomyError(f"{place}: the key {quoted(key)} is used twice in the same object")
            inner = f"{path}.{key}".lstrip(".") if key.isidentifier() else f"{path}[{quoted(key)}]"
            values[key] = _json_value(entry, source, inner, nesting + 1)
        return _Value(values, place)
    if isinstance(value, list):
        return _Value([_json_value(v, source, f"{path}[{i}]", nesting + 1) for i, v in enumerate(value)], place)
    if isinstance(value, str):
        return _Value(value, place)
    if isinstance(value, _Number):
        return _Value(value.written, place, "a number")
    return _Value(json.dumps(value), place, "nothing" if value is None else "true or false")


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
