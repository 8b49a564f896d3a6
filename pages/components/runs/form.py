"""Form of a generation run: target, teacher, sampling and limits; and the equivalent command."""

import json
import shlex
from collections.abc import Sequence

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.diversity.saturation import saturated_disciplines
from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.generation.settings import NOT_SENT, GenerationSettings, StageSettings, Target, TeacherSettings
from glan_core.generation.stage_specs import GENERATION_STAGES, STAGE_SPECS, stage_title
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace
from pages.components.shared import engine_form, settings_fields, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

DEFAULTS = {
    "run_queries": settings_fields.default(Target, "subject_queries"), "run_per": settings_fields.default(Target, "questions_per_syllabus"),
    "run_share": round(100 * settings_fields.default(GenerationSettings, "pair_share")),
    "run_law": settings_fields.default(GenerationSettings, "draw_distribution"), "run_seed": settings_fields.default(GenerationSettings, "seed"),
    "run_flight": settings_fields.default(TeacherSettings, "max_in_flight"),
    **engine_form.defaults("run"),
}  # fmt: skip
EMPTY = "Empty: no value is sent."
AMOUNTS = ("run_queries", "run_most", "run_per")
PRESETS = {
    "Taste": (1, 3, 5, "1 subject query, 3 subjects, 5 questions each: a cheap look at what this teacher writes"),
    "Sketch": (3, 20, 20, "3 subject queries, 20 subjects, 20 questions each: sparse coverage of every discipline"),
    "Broad": (10, None, 20, "10 subject queries, all subjects, 20 questions each: full coverage of the subjects"),
    "Paper": (
        10,
        None,
        400,
        "10 subject queries, all subjects, 400 questions each: about 10 million pairs over 126 disciplines",
    ),
}
MORE = "more_run_settings"  # key of the expander of sampling and limits
EDITED = "run_stages_edited"  # settings per stage that were typed into the table
SAMPLING = ("temperature", "top_p", "max_tokens")
SETTINGS = ("teacher", *SAMPLING, "extra_body")  # columns of the table of stages


def panel(ws: Workspace, tree: nx.DiGraph) -> GenerationSettings | None:
    """Draw the form; returns the settings, or None after showing what is missing or invalid."""
    for key, value in DEFAULTS.items():
        st.session_state.setdefault(key, value)
    disciplines = _disciplines(tree)
    _new_ground(ws, disciplines)
    target = {"disciplines": disciplines, **_amounts()}
    values = teacher_form.fields("run", answers=True)
    with st.expander("Sampling and limits", key=MORE, on_change="rerun") as more:
        if more.open:
            _more_fields()
            stages = _stage_fields()
        else:
            stages = _stages_when_closed()
    if values is None:
        return None
    try:
        return read_settings(GenerationSettings, {**values, **_more_settings(), "stages": stages, "target": target})
    except GlanError as error:
        show_error(error)
        return None


def _disciplines(tree: nx.DiGraph) -> list[str]:
    """Draw the choice of disciplines below the focus; all of them by default."""
    focus = url_state.focus()
    here = hierarchy.disciplines_under(tree, focus)
    where = tree.nodes[focus]["node"].name if focus else "the whole taxonomy"
    inside = set(here)
    st.session_state.run_disciplines = wanted = [id for id in st.session_state.get("run_disciplines") or [] if id in inside]
    some = f"{number(len(wanted))} of " if wanted and len(here) > 1 else ""
    st.markdown(f"**Target**: {escape(where)} ({some}{plural(len(here), 'discipline')})")
    if len(here) == 1:
        return here
    chosen = st.multiselect(
        settings_fields.label(Target, "disciplines"), here, key="run_disciplines", format_func=lambda id: tree.nodes[id]["node"].name,
        placeholder=f"all {number(len(here))}", help="Restricts the run to these disciplines of the focus; empty: all.",
    )  # fmt: skip
    return chosen or here


def _new_ground(ws: Workspace, disciplines: list[str]) -> None:
    """Show how many of the disciplines are saturated, with a button that excludes them."""
    saturated = saturated_disciplines(ws).intersection(disciplines)
    if not saturated or len(disciplines) == 1:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(
            f":material/trending_flat: {number(len(saturated))} of these are saturated: recent questions added little novelty.",
            width="content", help="From the novelty curves of the Diversity page at their last measurement.",
        )  # fmt: skip
        if rest := [id for id in disciplines if id not in saturated]:
            st.button(
                f"Exclude {number(len(saturated))}", type="tertiary", on_click=st.session_state.update,
                kwargs={"run_disciplines": rest}, key="leave_saturated",
            )  # fmt: skip


def _amounts() -> dict[str, int | None]:
    """Draw presets and amounts per discipline; returns the fields of a target."""
    held_out = tuple(st.session_state.get(key) for key in AMOUNTS)
    preset = next((name for name, amounts in PRESETS.items() if amounts[:3] == held_out), None)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.markdown("Preset", width="content")
        for name, (
            *_,
            words,
        ) in PRESETS.items():  # buttons, because a stateful widget could arrive late and revert typed values
            st.button(
                name, key=f"preset_{name}", icon=":material/check:" if name == preset else None, on_click=_take_preset,
                args=(name,), help=f"{words}.",
            )  # fmt: skip
    with st.grid(3, gap="small", min_column_width=150):
        amounts = amount_fields("run")
    if preset:
        st.caption(f"{preset}: {PRESETS[preset][3]}.")
    return amounts


def amount_fields(key: str) -> dict[str, int | None]:
    """Draw the three amounts of a target; `key` is the prefix of the widget keys."""
    queries = st.number_input(key=f"{key}_queries", **settings_fields.number(Target, "subject_queries"))
    most = st.number_input(value=None, key=f"{key}_most", placeholder="all", **settings_fields.number(Target, "max_subjects"))
    per = st.number_input(key=f"{key}_per", **settings_fields.number(Target, "questions_per_syllabus"))
    return {"subject_queries": queries, "max_subjects": most, "questions_per_syllabus": per}


def _take_preset(name: str) -> None:
    st.session_state.update(zip(AMOUNTS, PRESETS[name], strict=False))


def _more_fields() -> None:
    """Draw sampling and limits, whose values stay in the session state when they are no longer drawn."""
    with st.grid(3, gap="small", min_column_width=150):
        st.slider(key="run_share", **settings_fields.percent(GenerationSettings, "pair_share", step=5))
        st.selectbox(
            options=settings_fields.choices(GenerationSettings, "draw_distribution"), key="run_law",
            **settings_fields.text(GenerationSettings, "draw_distribution"),
        )  # fmt: skip
        st.number_input(key="run_seed", **settings_fields.number(GenerationSettings, "seed"))
        teacher_form.budget_field("run_budget")
        _limit("run_calls", "max_calls")
        st.number_input(key="run_flight", **settings_fields.number(TeacherSettings, "max_in_flight"))
        _limit("run_rpm", "requests_per_minute")
        _limit("run_tpm", "tokens_per_minute")
        st.toggle(key="run_reasoning", **settings_fields.text(TeacherSettings, "keep_reasoning"))
        if _is_endpoint():
            engine_form.fields("run")
        st.toggle(key="run_batch", disabled=not _is_endpoint(), **settings_fields.text(GenerationSettings, "batch"))


def _more_settings() -> dict:
    """Return sampling and limits as settings."""
    state = st.session_state
    return {
        "batch": state.get("run_batch", False) and _is_endpoint(), "pair_share": state.run_share / 100,
        "draw_distribution": state.run_law, "seed": state.run_seed, "budget_usd": state.get("run_budget"),
        "max_calls": state.get("run_calls"), "max_in_flight": state.run_flight, "requests_per_minute": state.get("run_rpm"),
        "tokens_per_minute": state.get("run_tpm"), "keep_reasoning": state.get("run_reasoning", False),
        **(engine_form.settings("run") if _is_endpoint() else {}),
    }  # fmt: skip


def _is_endpoint() -> bool:
    return st.session_state.get("run_kind") not in ("scripted", "local")


def _limit(key: str, name: str) -> int | None:
    """Draw a limit that may be empty."""
    return st.number_input(value=None, key=key, placeholder="no limit", **settings_fields.number(TeacherSettings, name))


def _stage_fields() -> dict[str, dict]:
    """Draw the table of teacher and decoding parameters per stage; returns the values that differ from the defaults."""
    st.caption("Teacher and decoding parameters per stage. The defaults follow the paper where it states them.")
    given = _given_stages()
    rows = _stage_rows(given)
    edited = st.data_editor(
        pd.DataFrame(rows), key=f"stage_settings_{st.session_state.get('run_refilled', 0)}", hide_index=True, disabled=["name"],
        alt="Settings by stage",
        column_config={
            "name": st.column_config.TextColumn("Stage", width=95),
            "teacher": st.column_config.TextColumn(
                width=110, **settings_fields.text(StageSettings, "teacher", note="Empty: the teacher above."),
            ),
            "temperature": st.column_config.NumberColumn(
                width=100, **settings_fields.number(StageSettings, "temperature", note=EMPTY)
            ),
            "top_p": st.column_config.NumberColumn(width=75, **settings_fields.number(StageSettings, "top_p", note=EMPTY)),
            "max_tokens": st.column_config.NumberColumn(width=100, **settings_fields.number(StageSettings, "max_tokens", note=EMPTY)),
            "extra_body": st.column_config.TextColumn(
                width=150, **settings_fields.text(StageSettings, "extra_body", note="As a JSON object.")
            ),
        },
    )  # fmt: skip
    stages = _changes(given, edited.to_dict("records"))
    st.session_state[EDITED] = stages if stages != _changes(given, rows) else None
    return stages


def _stages_when_closed() -> dict[str, dict]:
    """Return the settings per stage while their table is not drawn: those last in it are those that it begins with again."""
    if (edited := st.session_state.pop(EDITED, None)) is not None:
        st.session_state.run_stages = edited
        st.session_state.run_refilled = st.session_state.get("run_refilled", 0) + 1
    given = _given_stages()
    return _changes(given, _stage_rows(given))


def _given_stages() -> dict[str, dict]:
    """Return the settings per stage that the table begins with: those filled in, else the default teachers of the workspace."""
    given = st.session_state.get("run_stages")
    if given is not None:
        return given
    usual = st.session_state.get("default_teachers") or {}
    return {stage: {"teacher": teacher} for stage, teacher in usual.items() if stage in GENERATION_STAGES}


def _stage_defaults() -> dict[str, dict]:
    return {stage: {name: getattr(STAGE_SPECS[stage].decoding, name, "") for name in SETTINGS} for stage in GENERATION_STAGES}


def _stage_rows(given: dict[str, dict]) -> list[dict]:
    """Return the rows of the table of stages."""
    return [
        {"name": stage_title(stage).capitalize(), **defaults, **_shown(given.get(stage, {}))}
        for stage, defaults in _stage_defaults().items()
    ]


def _changes(given: dict[str, dict], rows: list[dict]) -> dict[str, dict]:
    """Return the settings of each stage that differ from the defaults, with those that the table does not show."""
    changes = {
        stage: {name: _typed(name, now[name]) for name in SETTINGS if _differs(now[name], defaults[name])}
        for (stage, defaults), now in zip(_stage_defaults().items(), rows, strict=True)
    }
    hidden = {stage: {name: value for name, value in values.items() if name not in SETTINGS} for stage, values in given.items()}
    stages = {stage: hidden.get(stage, {}) | changes.get(stage, {}) for stage in (*changes, *hidden)}
    return {stage: settings for stage, settings in stages.items() if settings}


def _shown(values: dict) -> dict:
    """Return stage settings as cells: an empty cell for a value that is not sent, and a JSON object as text."""
    cells = {name: None if value == NOT_SENT else value for name, value in values.items() if name in SETTINGS}
    extra = values.get("extra_body")
    return cells | ({"extra_body": extra if isinstance(extra, str) else json.dumps(extra)} if extra else {})


def _typed(name: str, cell: object) -> object:
    """Return the setting of a cell that differs from the default."""
    if name not in SAMPLING:
        return cell or None
    return NOT_SENT if cell is None or cell != cell else cell  # NaN in a column of numbers


def _differs(cell: object, default: object) -> bool:
    return (cell or None) != (default or None) if isinstance(default, str) else cell != default


def fill(settings: GenerationSettings) -> None:
    """Fill the form with settings, to be called in a callback.

    The focus is cleared because the settings list their disciplines.
    """
    target = settings.target
    url_state.set_focus(None)
    st.session_state.update(
        run_disciplines=list(target.disciplines), run_queries=target.subject_queries, run_most=target.max_subjects,
        run_per=target.questions_per_syllabus, run_share=round(100 * settings.pair_share), run_law=settings.draw_distribution,
        run_seed=settings.seed, run_budget=settings.budget_usd, run_calls=settings.max_calls, run_flight=settings.max_in_flight,
        run_rpm=settings.requests_per_minute, run_tpm=settings.tokens_per_minute, run_reasoning=settings.keep_reasoning,
        run_batch=settings.batch, **engine_form.values("run", settings),
        run_refilled=st.session_state.get("run_refilled", 0) + 1, **{EDITED: None}, **_teacher_values(settings),
    )  # fmt: skip


def _teacher_values(settings: GenerationSettings) -> dict:
    """Return values for the fields of `teacher_form`.

    An answer teacher of another kind has no field there and becomes a setting of the answer stage.
    """
    prefix, _, model = settings.teacher.partition(":")
    usual = read_settings(TeacherSettings, {"teacher": settings.teacher}).base_url
    kind = "endpoint" if prefix == "openai" and settings.base_url != usual else prefix
    stages = {stage: settings.model_dump(exclude_none=True) for stage, settings in settings.stages.items()}
    answer = ""
    if settings.answer_teacher:
        if settings.answer_teacher.startswith(f"{prefix}:") and model:
            answer = settings.answer_teacher.partition(":")[2]
        else:
            stages["answer"] = {"teacher": settings.answer_teacher, **stages.get("answer", {})}
    return {
        "run_kind": kind, "run_model": model, "run_answer": answer, "run_url": settings.base_url or "" if kind == "endpoint" else "",
        "run_price": settings.price or "", "run_stages": stages, "run_keyvar": settings.key_variable or "",
        "run_replicas": ", ".join(settings.replicas),
        "run_extra": json.dumps(settings.extra_body) if settings.extra_body else "",
        "run_headers": json.dumps(settings.headers) if settings.headers else "",
        "run_idle_timeout": settings.idle_timeout, "run_total_timeout": settings.total_timeout,
    }  # fmt: skip


def title_of(tree: nx.DiGraph, disciplines: Sequence[str]) -> str:
    """Return the title of a run over these disciplines."""
    focus = url_state.focus()
    names = [tree.nodes[id]["node"].name for id in disciplines]
    if focus and len(names) == len(hierarchy.disciplines_under(tree, focus)):
        return tree.nodes[focus]["node"].name
    return " and ".join(names) if len(names) <= 2 else plural(len(names), "discipline")


def command(ws: Workspace, tree: nx.DiGraph, settings: GenerationSettings) -> str:
    """Return the equivalent `glan` command."""
    focus, ids = url_state.focus(), list(settings.target.disciplines)
    here = hierarchy.disciplines_under(tree, focus)
    which = (focus or "all") if ids == here else ",".join(ids)
    parts = ["glan", "generate", str(ws.folder), "--disciplines", which]
    defaults = read_settings(GenerationSettings, {"target": {"disciplines": settings.target.disciplines}})
    for name in ("subject_queries", "max_subjects", "questions_per_syllabus"):
        if (value := getattr(settings.target, name)) != getattr(defaults.target, name):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for name in type(settings).model_fields:
        if name not in ("target", "kind", "stages", "live") and (value := getattr(settings, name)) != getattr(defaults, name):
            words = NOT_SENT if value is None else _words(value)
            parts += [f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", words]
    for stage, stage_settings in settings.stages.items():
        values = stage_settings.model_dump(exclude_none=True)
        parts += ["--stage", f"{stage}:{','.join(f'{name}={_words(value)}' for name, value in values.items())}"]
    return shlex.join(parts)


def _words(value: object) -> str:
    """Return a value as it is typed in a command."""
    if isinstance(value, dict):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
