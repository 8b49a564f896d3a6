"""Command-line options generated from settings classes, and the command line that stands for given settings."""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from glan_core.json_text import parse_json
from glan_core.settings import Settings, earlier_names, field_of

NONE = "none"  # typed for an optional setting that is to be unset
NOT_OPTIONS = ("kind",)


def flag(name: str) -> str:
    """Option of a field: "per_device_batch_size" becomes "--per-device-batch-size"."""
    return f"--{name.rpartition('.')[2].replace('_', '-')}"


def is_option(settings_type: type[Settings], name: str) -> bool:
    """Whether a field can be an option: it is neither `kind` nor nested settings."""
    return name not in NOT_OPTIONS and _base_type(field_of(settings_type, name).annotation)[0] is not Settings


def option_names(settings_type: type[Settings], skip: Iterable[str] = ()) -> list[str]:
    """Fields that become options: all but `kind`, nested settings, and those in `skip`."""
    return [name for name in settings_type.model_fields if name not in skip and is_option(settings_type, name)]


def add_options(
    parser: argparse._ActionsContainer, settings_type: type[Settings], *, skip: Iterable[str] = (), required: Iterable[str] = ()
) -> None:
    """Add an option for each field of a settings class; the namespace holds only those given.

    Numbers, text and choices take one value, booleans become `--x/--no-x`, sequences take values separated by commas, and mappings
    a JSON object. Earlier names of a field are accepted and not listed.

    Args:
        parser: Parser or argument group.
        settings_type: Settings class; nested settings are not included (pass their class in a call of its own).
        skip: Fields without an option.
        required: Fields whose option must be given.
    """
    required = tuple(required)
    for name in option_names(settings_type, skip):
        add_option(parser, settings_type, name, required=name in required)


def add_option(parser: argparse._ActionsContainer, settings_type: type[Settings], name: str, *, required: bool = False) -> None:
    """Add the option of one field; see `add_options`."""
    field = field_of(settings_type, name)
    kind, optional = _base_type(field.annotation)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = str(extra.get("unit", ""))
    default = "" if field.is_required() else _default_text(field.get_default(call_default_factory=True))
    text = " ".join(filter(None, (field.description, f"[{unit}]" if unit else "", default))).replace("%", "%%")
    given: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
    if kind is bool:
        given["action"] = argparse.BooleanOptionalAction
    elif get_origin(kind) is Literal:
        given["choices"] = (*get_args(kind), *((NONE,) if optional else ()))
        given["type"] = type(get_args(kind)[0])
    else:
        given["metavar"] = str(
            extra.get("metavar") or ("A,B" if _is_sequence(kind) else {int: "N", float: "X"}.get(kind, "TEXT"))
        )
        given["type"] = _reader(kind, optional=optional)
    old = [flag(alias) for alias in earlier_names(field)]
    if required and not old:
        given["required"] = True
    parser.add_argument(flag(name), help=text, **given)
    for alias in old:
        parser.add_argument(alias, help=argparse.SUPPRESS, **given)


def given_values(args: argparse.Namespace, settings_type: type[Settings], skip: Iterable[str] = ()) -> dict[str, Any]:
    """Values of the options that were given, by field name; "none" is read as None where the setting is optional."""
    given = {name: getattr(args, name) for name in option_names(settings_type, skip) if hasattr(args, name)}
    optional = {name for name in given if _base_type(field_of(settings_type, name).annotation)[1]}
    return {name: _unset(value) if name in optional else value for name, value in given.items()}


def option_words(settings: Settings, defaults: Mapping[str, object], skip: Iterable[str] = ()) -> list[str]:
    """The options that turn `defaults` into `settings`, as words of a command line."""
    words: list[str] = []
    for name in option_names(type(settings), skip):
        value = getattr(settings, name)
        if value == defaults.get(name):
            continue
        if isinstance(value, bool):
            words.append(flag(name) if value else f"--no-{flag(name)[2:]}")
        else:
            words += [flag(name), _text(value)]
    return words


def _base_type(annotation: object) -> tuple[Any, bool]:
    """The type inside `X | None`, and whether None is allowed; nested settings give the class Settings."""
    if get_origin(annotation) in (Union, UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _base_type(inner[0])[0], len(inner) < len(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return Settings, False
    if get_origin(annotation) is dict:
        return (Settings if _base_type(get_args(annotation)[1])[0] is Settings else dict), False
    return annotation, False


def _is_sequence(kind: object) -> bool:
    return get_origin(kind) in (tuple, list, Sequence)


def _reader(kind: Any, *, optional: bool) -> Callable[[str], object]:
    if kind is dict:
        return _read_json
    inner = get_args(kind)[0] if _is_sequence(kind) else kind
    convert = inner if inner in (int, float) else str

    def read(text: str) -> object:
        if optional and text.strip().lower() == NONE:
            return NONE
        if _is_sequence(kind):
            return tuple(convert(part.strip()) for part in text.split(",") if part.strip())
        return convert(text)

    read.__name__ = getattr(inner, "__name__", "value")
    return read


def _read_json(text: str) -> dict:
    """Read a JSON object; argparse reports a ValueError as an invalid value of the option."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


_read_json.__name__ = "JSON object"


def _unset(value: object) -> object:
    return None if isinstance(value, str) and value == NONE else value


def _default_text(value: object) -> str:
    if value is None or value in ("", (), {}) or isinstance(value, Settings):
        return ""
    return f"(default: {_text(value)})"


def _text(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple | list):
        return ",".join(_text(part) for part in value)
    return str(value)
