"""Settings of stored runs as labeled text, and the settings in which runs differ."""

from collections.abc import Mapping, Sequence

from glan_core.formatting import number, usd
from glan_core.import_strings import load_symbol
from glan_core.io.packaged_models import display_name
from glan_core.runs.registry import RUN_KINDS
from glan_core.settings import Settings, current_names, field_of, title_of_field, unit_of_field
from glan_core.workspace.run_rows import Run

HIDDEN = ("kind", "live")
SHARES = ("pair_share",)


def settings_summary(run: Run) -> dict[str, str]:
    """Settings of a run by label, defaults included; as stored for a kind of an older release."""
    if run.kind not in RUN_KINDS:
        return {name.replace("_", " ").capitalize(): _text(value) for name, value in run.params.items()}
    return _summary(load_symbol(RUN_KINDS[run.kind].settings), run.params)


def _summary(settings_type: type[Settings], params: Mapping[str, object]) -> dict[str, str]:
    values = current_names(settings_type, params)
    summary: dict[str, str] = {}
    for name in settings_type.model_fields:
        if name in HIDDEN:
            continue
        field = field_of(settings_type, name)
        value = values.get(name, None if field.is_required() else field.get_default(call_default_factory=True))
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            summary |= _summary(field.annotation, value.model_dump() if isinstance(value, Settings) else dict(value or {}))  # type: ignore[call-overload]
        elif name == "stages":
            summary |= _stages(value)
        else:
            unit = unit_of_field(settings_type, name)
            summary[title_of_field(settings_type, name)] = _text(value, name=name, unit=unit)
    return summary


def _stages(stages: object) -> dict[str, str]:
    """Settings of single stages: one entry per stage that has any."""
    rows = {}
    for stage, values in dict(stages or {}).items():  # type: ignore[call-overload]
        if own := {name.replace("_", " "): value for name, value in dict(values).items() if value is not None}:
            rows[f"Stage {stage.replace('_', ' ')}"] = ", ".join(f"{name} {value}" for name, value in own.items())
    return rows


def _text(value: object, *, name: str = "", unit: str = "") -> str:
    match value:
        case None | "":
            return "–"
        case bool():
            return "on" if value else "off"
        case int() | float() if name in SHARES:
            return f"{value:.0%}"
        case int() | float() if unit == "USD":
            return usd(value)
        case float() if not value.is_integer():
            return f"{value:g}"
        case int() | float() if "seed" in name:
            return str(value)
        case int() | float():
            return number(value)
        case list() | tuple() if name == "disciplines":
            return number(len(value))
        case list() | tuple():
            return ", ".join(map(str, value)) or "–"
        case str() if name == "base":
            return display_name(value)
        case _:
            return str(value)


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings in which runs differ: label to the value in each run. Different disciplines are counted."""
    summaries = [settings_summary(run) for run in runs]
    labels = dict.fromkeys(label for summary in summaries for label in summary)
    values = {label: [summary.get(label, "–") for summary in summaries] for label in labels}
    chosen = [frozenset(_disciplines(run)) for run in runs]
    if len(set(chosen)) > 1:
        shared = frozenset.intersection(*chosen)
        values["Disciplines"] = [f"{number(len(ids))}, {number(len(ids - shared))} not shared" for ids in chosen]
        return {label: each for label, each in values.items() if label == "Disciplines" or len(set(each)) > 1}
    return {label: each for label, each in values.items() if len(set(each)) > 1}


def _disciplines(run: Run) -> Sequence[str]:
    target = run.params.get("target")
    return (target if isinstance(target, dict) else run.params).get("disciplines") or ()
