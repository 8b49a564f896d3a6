"""Generation settings as labeled text, and the differences between several runs' settings."""

from collections.abc import Mapping, Sequence

from glan_core.formatting import number, usd
from glan_core.generation.settings import STAGE_TITLES


def settings_summary(params: Mapping) -> dict[str, str]:
    """An order in words: setting -> value, those that were left out included, so that two orders can be compared."""
    target = params.get("target") or {}
    said = {
        "Disciplines": number(len(target.get("disciplines", ()))),
        "Subject queries": _said(target.get("subject_queries")),
        "Subjects at most": _said(target.get("max_subjects"), "all"),
        "Questions per syllabus": _said(target.get("questions_per_syllabus")),
        "Teacher": _said(params.get("teacher")),
        "Teacher of answers": _said(params.get("answer_teacher"), "the same"),
        "Address": _said(params.get("base_url"), "–"),
        "Two-session questions": f"{params.get('pair_share', 0.5):.0%}",
        "Draw law": _said(params.get("draw_law")),
        "Seed": str(params.get("seed", 0)),
        "Budget": "none" if params.get("budget_usd") is None else usd(params["budget_usd"]),
        "Calls at most": _said(params.get("max_calls"), "no limit"),
        "Calls at a time": _said(params.get("max_in_flight")),
        "Requests a minute": _said(params.get("requests_per_minute"), "no limit"),
        "Tokens a minute": _said(params.get("tokens_per_minute"), "no limit"),
    }
    for stage, values in (params.get("stages") or {}).items():
        own = {name.replace("_", " "): value for name, value in values.items() if value is not None}
        if own:
            said[STAGE_TITLES[stage].capitalize()] = ", ".join(f"{name} {value}" for name, value in own.items())
    return said


def _said(value: object, absent: str = "–") -> str:
    return absent if value is None else number(value) if isinstance(value, int | float) else str(value)


def differences(orders: Sequence[Mapping]) -> dict[str, list[str]]:
    """The settings in which some orders differ: setting -> its value in each. Other disciplines differ, as many as they be."""
    said = [settings_summary(params) for params in orders]
    names = dict.fromkeys(name for one in said for name in one)
    values = {name: [one.get(name, "the default") for one in said] for name in names}
    chosen = [frozenset((params.get("target") or {}).get("disciplines", ())) for params in orders]
    if len(set(chosen)) > 1:
        shared = frozenset.intersection(*chosen)
        values["Disciplines"] = [f"{number(len(ids))}, {number(len(ids - shared))} not shared" for ids in chosen]
        return {name: each for name, each in values.items() if name == "Disciplines" or len(set(each)) > 1}
    return {name: each for name, each in values.items() if len(set(each)) > 1}
