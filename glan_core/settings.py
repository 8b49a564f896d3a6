"""Base class of all settings, and reading settings from stored or typed values."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from glan_core.errors import GlanError


class Settings(BaseModel):
    """Base of the settings: unknown names are refused, so that a typing error can't pass for a setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(settings_type: type[AnySettings], values: Mapping[str, object]) -> AnySettings:
    """An order from plain values; GlanError that names the setting at fault, in words."""
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = " ".join(str(part) for part in first["loc"]).replace("_", " ") or "settings"
        message = first["msg"].removeprefix("Value error, ")
        shown = f" (it is {first['input']!r})" if isinstance(first["input"], int | float | str) else ""
        raise GlanError(f"{name}: {message}{shown}.") from None
