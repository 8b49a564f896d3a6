"""Settings: the base class, reading stored or typed values, and the label, unit and help text of each field.

A setting is declared once, as a pydantic field with `title` and `description`, and optionally a unit in
`json_schema_extra={"unit": "pairs"}`. Command-line options (`settings_options`), labels and tooltips of forms, and the reference
page are generated from it. A renamed field keeps its earlier names as `validation_alias=AliasChoices("new", "old")`.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from glan_core.errors import GlanError


class Settings(BaseModel):
    """Base class of all settings. Unknown names are refused, so that a misspelled setting is an error; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, allow_inf_nan=False)


_TYPES = re.compile(r"constrained-\w+|literal\[.*|function-.*|float|int|str|bool|none")  # parts of a location that name a type
MOST_SEED = 2**31  # seeds are below: what every random generator in use accepts

AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(settings_type: type[AnySettings], values: Mapping[str, object]) -> AnySettings:
    """Validate plain values as settings.

    Args:
        settings_type: Settings class.
        values: Values by field name; earlier names of renamed fields are accepted.

    Raises:
        GlanError: If a value is missing or invalid; the message names the setting.
    """
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = (
            " ".join(part for part in first["loc"] if isinstance(part, str) and not _TYPES.fullmatch(part)).replace("_", " ")
            or "settings"
        )
        message = first["msg"].removeprefix("Value error, ")
        shown = f" (got {first['input']!r})" if isinstance(first["input"], int | float | str) else ""
        raise GlanError(f"{name}: {message}{shown}.") from None


def earlier_names(field: FieldInfo) -> tuple[str, ...]:
    """Names under which a renamed field is still accepted."""
    alias = field.validation_alias
    return tuple(str(name) for name in alias.choices[1:]) if isinstance(alias, AliasChoices) else ()


def current_names(settings_type: type[Settings], values: Mapping[str, object]) -> dict:
    """Stored values with earlier field names replaced by the current ones; unknown names are kept."""
    renamed = {old: name for name, field in settings_type.model_fields.items() for old in earlier_names(field)}
    return {renamed.get(name, name): value for name, value in values.items()}


def field_of(settings_type: type[Settings], name: str) -> FieldInfo:
    """The declaration of a field; dots lead into nested settings ("target.subject_queries")."""
    first, _, rest = name.partition(".")
    field = settings_type.model_fields[first]
    if not rest:
        return field
    nested = field.annotation
    assert isinstance(nested, type) and issubclass(nested, Settings)
    return field_of(nested, rest)


def title_of_field(settings_type: type[Settings], name: str) -> str:
    """Label of a field: its title, or its name in words."""
    return field_of(settings_type, name).title or name.rpartition(".")[2].replace("_", " ").capitalize()


def unit_of_field(settings_type: type[Settings], name: str) -> str:
    """Unit of a field, such as "tokens" or "USD"; empty where it has none."""
    extra = field_of(settings_type, name).json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def help_of_field(settings_type: type[Settings], name: str) -> str:
    """Help text of a field, with its unit."""
    unit = unit_of_field(settings_type, name)
    return " ".join(filter(None, (field_of(settings_type, name).description, f"Unit: {unit}." if unit else "")))
