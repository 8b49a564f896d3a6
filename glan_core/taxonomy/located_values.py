"""Located values: the content of a YAML or JSON file, every value with its line or path for messages."""

import json
from dataclasses import dataclass
from typing import Any

import yaml

from glan_core.formatting import quoted
from glan_core.taxonomy.hierarchy import MAX_DEPTH, TaxonomyError

# A node of level n is nested in 2n+1 lists and mappings of its file, and its values one deeper.
_MAX_NESTING = 2 * MAX_DEPTH + 2


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a YAML or JSON file with its location.

    Attributes:
        data: A str, a list of Value or a dict of them.
        place: Location for messages.
        reads_as: Description of a scalar that is not text, such as 'a number'.
    """

    data: Any
    place: str
    reads_as: str | None = None


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


def yaml_document(text: str, source: str) -> Value | None:
    """Parse a YAML text with at most one document; anchors and aliases are refused, and values are not expanded.

    Returns:
        The document, or None if the text is empty.

    Raises:
        TaxonomyError: If the text is malformed or too deeply nested; the message names the line.
    """
    try:
        loader = _Loader(text)
        root = loader.get_node() if loader.check_node() else None
        if root is not None and loader.check_node():
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
    return None if root is None else _yaml_value(root, source)


def _yaml_value(node: yaml.Node, source: str) -> Value:
    place = f"{source}, line {node.start_mark.line + 1}"
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.ScalarNode):
        return Value(node.value, place, None if tag == "str" else _YAML_READS_AS.get(tag, f"the YAML type {tag}"))
    if tag not in ("map", "seq"):
        raise TaxonomyError(f"{place}: the YAML type {quoted(tag)} is not supported; remove the tag")
    if isinstance(node, yaml.SequenceNode):
        return Value([_yaml_value(item, source) for item in node.value], place)
    values: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key_place = f"{source}, line {key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise TaxonomyError(f"{key_place}: a key must be text")
        if key_node.value in values:
            raise TaxonomyError(f"{key_place}: the key {quoted(key_node.value)} is used twice in the same mapping")
        values[key_node.value] = _yaml_value(value_node, source)
    return Value(values, place)


# Parsed JSON has no line numbers, so locations are paths.


class _Pairs(list):
    """Items of a JSON object, kept as a list until duplicates are checked where the path is known."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as written in the file."""

    written: str


def json_document(text: str, source: str) -> Value:
    """Parse a JSON text.

    Raises:
        TaxonomyError: If the text is malformed or too deeply nested; the message names the line or path.
    """
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except json.JSONDecodeError as error:
        problem = error.msg[0].lower() + error.msg[1:]
        raise TaxonomyError(f"{source}, line {error.lineno}: {problem} (column {error.colno})") from error
    except RecursionError as error:
        raise TaxonomyError(f"{source}: nested deeper than {MAX_DEPTH} levels of nodes") from error
    return _json_value(value, source, "", 1)


def _json_value(value: Any, source: str, path: str, nesting: int) -> Value:
    place = f"{source}, {path}" if path else source
    if nesting > _MAX_NESTING:
        raise TaxonomyError(f"{source}, {path[:40]}...: nested deeper than {MAX_DEPTH} levels of nodes")
    if isinstance(value, _Pairs):
        values: dict[str, Value] = {}
        for key, entry in value:
            if key in values:
                raise TaxonomyError(f"{place}: the key {quoted(key)} is used twice in the same object")
            inner = f"{path}.{key}".lstrip(".") if key.isidentifier() else f"{path}[{quoted(key)}]"
            values[key] = _json_value(entry, source, inner, nesting + 1)
        return Value(values, place)
    if isinstance(value, list):
        return Value([_json_value(v, source, f"{path}[{i}]", nesting + 1) for i, v in enumerate(value)], place)
    if isinstance(value, str):
        return Value(value, place)
    if isinstance(value, _Number):
        return Value(value.written, place, "a number")
    return Value(json.dumps(value), place, "nothing" if value is None else "true or false")
