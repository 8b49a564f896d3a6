"""Form fields declared by settings classes: label, tooltip, bounds and choices of Streamlit widgets."""

from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt

from glan_core.settings import Settings, field_of, help_of_field, title_of_field, unit_of_field


def text(settings_type: type[Settings], name: str) -> dict[str, str]:
    """Label and tooltip of any widget: `st.text_input(**text(FinetuneSettings, "name"))`."""
    unit = unit_of_field(settings_type, name)
    title = title_of_field(settings_type, name)
    return {"label": f"{title} ({unit})" if unit else title, "help": help_of_field(settings_type, name)}


def number(settings_type: type[Settings], name: str) -> dict[str, Any]:
    """Label, tooltip and inclusive bounds of a number input or slider.

    An exclusive bound of an integer is moved by one; of a float it is left to validation.
    """
    kind = _number_type(settings_type, name)
    bounds: dict[str, int | float] = {}
    for limit in field_of(settings_type, name).metadata:
        match limit:
            case Ge(ge=value):
                bounds["min_value"] = kind(value)
            case Gt(gt=value):
                bounds["min_value"] = kind(value) + 1 if kind is int else kind(value)
            case Le(le=value):
                bounds["max_value"] = kind(value)
            case Lt(lt=value):
                bounds["max_value"] = kind(value) - 1 if kind is int else kind(value)
    return text(settings_type, name) | bounds


def _number_type(settings_type: type[Settings], name: str) -> type[int] | type[float]:
    annotation = field_of(settings_type, name).annotation
    kinds = [kind for kind in (get_args(annotation) or (annotation,)) if kind in (int, float)]
    return float if float in kinds else int


def default(settings_type: type[Settings], name: str) -> Any:
    """Default value of a field."""
    return field_of(settings_type, name).get_default(call_default_factory=True)
