"""Form fields declared by settings classes: label, tooltip, bounds, choices and defaults of Streamlit widgets."""

from collections.abc import Callable
from types import NoneType
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from glan_core.settings import Settings, field_of, title_of_field, unit_of_field

MAX_INTEGER = 2**53 - 1  # largest integer that a browser represents exactly


def label(settings_type: type[Settings], name: str, unit: str | None = None) -> str:
    """Title of a field with its unit, unless the title already names it; `unit` replaces that of the field."""
    unit = unit_of_field(settings_type, name) if unit is None else unit
    title = title_of_field(settings_type, name)
    return title if not unit or unit in title.lower().split() else f"{title} ({unit})"


def text(settings_type: type[Settings], name: str, *, note: str = "") -> dict[str, str]:
    """Label and tooltip of any widget: `st.text_input(**text(FinetuneSettings, "name"))`.

    Args:
        settings_type: Settings class.
        name: Field; dots lead into nested settings.
        note: Sentence on the page alone, appended to the tooltip.
    """
    description = field_of(settings_type, name).description or ""
    return {"label": label(settings_type, name), "help": " ".join(filter(None, (description, note)))}


def number(settings_type: type[Settings], name: str, *, step: float | None = None, note: str = "") -> dict[str, Any]:
    """Label, tooltip, inclusive bounds and step of a number input, slider or number column.

    An exclusive bound is moved by one step; that of a float without `step` is left to validation.
    """
    kind = _number_type(settings_type, name)
    bounds = _bounds(settings_type, name, kind, step or (1 if kind is int else 0))
    return text(settings_type, name, note=note) | bounds | ({"step": kind(step)} if step else {})


def percent(settings_type: type[Settings], name: str, *, step: float = 1, note: str = "") -> dict[str, Any]:
    """As `number`, for a share shown in percent; the values are of the type of `step`."""
    bounds = _bounds(settings_type, name, lambda share: type(step)(round(100 * share, 6)), step)
    return text(settings_type, name, note=note) | {"label": label(settings_type, name, "%")} | bounds | {"step": step}


def choices(settings_type: type[Settings], name: str) -> list[Any]:
    """Values of a field that is one of several literals; None is not among them."""
    parts = get_args(field_of(settings_type, name).annotation)
    return [value for part in parts for value in (get_args(part) if get_origin(part) else [part]) if value is not NoneType]


def default(settings_type: type[Settings], name: str) -> Any:
    """Default value of a field."""
    return field_of(settings_type, name).get_default(call_default_factory=True)


def _bounds(
    settings_type: type[Settings], name: str, kind: Callable[[float], int | float], step: float
) -> dict[str, int | float]:
    """Inclusive bounds in the unit of the widget; `kind` converts a bound of the field."""
    bounds: dict[str, int | float] = {}
    for limit in _limits(settings_type, name):
        match limit:
            case Ge(ge=value):
                bounds["min_value"] = kind(value)
            case Gt(gt=value):
                bounds["min_value"] = kind(value) + step
            case Le(le=value):
                bounds["max_value"] = kind(value)
            case Lt(lt=value):
                bounds["max_value"] = kind(value) - step
    return {
        side: max(-MAX_INTEGER, min(bound, MAX_INTEGER)) if isinstance(bound, int) else bound for side, bound in bounds.items()
    }


def _limits(settings_type: type[Settings], name: str) -> list[Any]:
    """Bounds of a field, also those of one part of a union: `Annotated[float, Field(ge=0)] | Literal["none"]`."""
    field = field_of(settings_type, name)
    parts = [
        limit for part in get_args(field.annotation) for known in getattr(part, "__metadata__", ()) for limit in known.metadata
    ]
    return [*field.metadata, *parts]


def _number_type(settings_type: type[Settings], name: str) -> type[int] | type[float]:
    annotation = field_of(settings_type, name).annotation
    kinds = [getattr(kind, "__origin__", kind) for kind in (get_args(annotation) or (annotation,))]
    return float if float in kinds else int
