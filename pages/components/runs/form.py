"""The form of a run: what to make, who teaches, what may be spent; and the command that says the same."""

import shlex
from collections.abc import Sequence

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.diversity.saturation import saturated_disciplines
from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.generation.settings import GenerationSettings, TeacherSettings
from glan_core.generation.stage_specs import GENERATION_STAGES, STAGE_SPECS, stage_title
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace
from pages.components.shared import teacher_form, url_state
from pages.components.shared.untrusted_text import fault, plain

DEFAULTS = {"run_queries": 10, "run_per": 20, "run_share": 50, "run_law": "coverage", "run_seed": 0, "run_flight": 32}
AMOUNTS = ("run_queries", "run_most", "run_per")
PRESETS = {
    "Taste": (1, 3, 5, "one list of subjects, 3 of them, 5 questions each: what this teacher writes, for little"),
    "Sketch": (3, 20, 20, "three lists, 20 subjects, 20 questions each: every discipline is there, thinly"),
    "Broad": (10, None, 20, "ten lists, every subject, 20 questions each: all subjects are covered"),
    "The paper": (10, None, 400, "ten lists, every subject, 400 questions each: about ten million pairs over 126 disciplines"),
}
SETTINGS = ("teacher", "temperature", "top_p", "max_tokens")


def order_form(ws: Workspace, tree: nx.DiGraph) -> GenerationSettings | None:
    """What to make and who teaches; None, with the fault said, while it is no order."""
    for key, value in DEFAULTS.items():
        st.session_state.setdefault(key, value)
    disciplines = _disciplines(tree)
    _new_ground(ws, disciplines)
    target = {"disciplines": disciplines, **_amounts()}
    values = teacher_form.fields("run", answers=True)
    with st.expander("Draws, limits and pace"):
        more = _more_fields()
    if values is None:
        return None
    try:
        return read_settings(GenerationSettings, {**values, **more, "target": target})
    except GlanError as error:
        fault(error)
        return None


def _disciplines(tree: nx.DiGraph) -> list[str]:
    """Those that are wanted of the disciplines in focus: all of them, unless some are chosen."""
    focus = url_state.focus()
    here = hierarchy.disciplines_under(tree, focus)
    where = tree.nodes[focus]["node"].name if focus else "the whole taxonomy"
    inside = set(here)
    st.session_state.run_disciplines = wanted = [id for id in st.session_state.get("run_disciplines") or [] if id in inside]
    some = f"{number(len(wanted))} of " if wanted and len(here) > 1 else ""
    st.markdown(f"**What to make**, in {plain(where)} ({some}{plural(len(here), 'discipline')})")
    if len(here) == 1:
        return here
    chosen = st.multiselect(
        "Disciplines", here, key="run_disciplines", format_func=lambda id: tree.nodes[id]["node"].name,
        placeholder=f"all {number(len(here))} of them", help="Only these of the disciplines in focus; none chosen: all of them.",
    )  # fmt: skip
    return chosen or here


def _new_ground(ws: Workspace, disciplines: list[str]) -> None:
    """Say in how many of these disciplines more questions hardly add anything, and offer to leave those out."""
    saturated = saturated_disciplines(ws).intersection(disciplines)
    if not saturated or len(disciplines) == 1:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(
            f":material/trending_flat: In {number(len(saturated))} of these the latest questions covered little new ground.",
            width="content", help="By the novelty curves of the Diversity page, as they were last measured.",
        )  # fmt: skip
        if rest := [id for id in disciplines if id not in saturated]:
            st.button(
                f"Leave {number(len(saturated))} out", type="tertiary", on_click=st.session_state.update,
                kwargs={"run_disciplines": rest}, key="leave_saturated",
            )  # fmt: skip


def _amounts() -> dict[str, int | None]:
    """How much to make of each discipline, as a target takes it."""
    held = tuple(st.session_state.get(key) for key in AMOUNTS)
    preset = next((name for name, amounts in PRESETS.items() if amounts[:3] == held), None)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.markdown("How much", width="content")
        for name, (*_, words) in PRESETS.items():  # buttons: a choice that is kept could come late and undo what was typed
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
    """The three numbers of a target, in fields whose keys begin with `key`."""
    queries = st.number_input(
        "Subject queries", 1, 1000, key=f"{key}_queries",
        help="How often the teacher lists the subjects of a discipline; the paper asks 10 times, for 100 to 200 subjects.",
    )  # fmt: skip
    most = st.number_input(
        "Subjects at most", 1, 100_000, None, key=f"{key}_most", placeholder="all",
        help="A syllabus for at most this many subjects of a discipline.",
    )  # fmt: skip
    per = st.number_input(
        "Questions per syllabus", 0, 250_000, key=f"{key}_per", help="Each with its answer. The paper has 400 to 800."
    )  # fmt: skip
    return {"subject_queries": queries, "max_subjects": most, "questions_per_syllabus": per}


def _take_preset(name: str) -> None:
    st.session_state.update(zip(AMOUNTS, PRESETS[name], strict=False))


def _more_fields() -> dict:
    """Draws and limits, as an order takes them."""
    with st.grid(3, gap="small", min_column_width=150):
        share = st.slider(
            "Two-session questions", 0, 100, step=5, format="%d%%", key="run_share",
            help="Harder questions that join two class sessions; the paper does not state the mix.",
        )  # fmt: skip
        law = st.selectbox(
            "Draw law", ["coverage", "uniform"], key="run_law",
            help="coverage: the concepts asked about least come first; uniform: every combination has the same chance.",
        )  # fmt: skip
        seed = st.number_input("Seed", 0, key="run_seed", help="The same seed draws the same sessions and concepts.")
        budget = st.number_input(
            "Budget in dollars", 0.01, None, None, key="run_budget", placeholder="none", format="%.2f",
            help="Never spent beyond, what is in flight included.",
        )  # fmt: skip
        calls = st.number_input("Calls at most", 1, None, None, key="run_calls", placeholder="no limit")
        flight = st.number_input(
            "Calls at a time", 1, 4096, key="run_flight", help="The most; the run adapts below it to what the endpoint takes."
        )  # fmt: skip
        rpm = st.number_input("Requests a minute", 1, None, None, key="run_rpm", placeholder="no limit")
        tpm = st.number_input("Tokens a minute", 1, None, None, key="run_tpm", placeholder="no limit")
    return {
        "pair_share": share / 100, "draw_distribution": law, "seed": seed, "budget_usd": budget, "max_calls": calls,
        "max_in_flight": flight, "requests_per_minute": rpm, "tokens_per_minute": tpm, "stages": _stage_fields(),
    }  # fmt: skip


def _stage_fields() -> dict[str, dict]:
    """What each stage is asked differently from the defaults, as an order takes it."""
    st.caption("Each stage can have a teacher and sampling of its own; the defaults are the paper's where it states them.")
    defaults = {
        stage: {name: getattr(STAGE_SPECS[stage].decoding, name, "") for name in SETTINGS} for stage in GENERATION_STAGES
    }
    given = st.session_state.get("run_stages") or {}
    rows = [
        {"name": stage_title(stage).capitalize(), **defaults[stage], **given.get(stage, {})} for stage in GENERATION_STAGES
    ]  # fmt: skip
    edited = st.data_editor(
        pd.DataFrame(rows), key=f"stage_settings_{st.session_state.get('run_refilled', 0)}", hide_index=True, disabled=["name"],
        column_config={
            "name": st.column_config.TextColumn("Stage", width=95),
            "teacher": st.column_config.TextColumn("Teacher", width=110, help="openai:MODEL, local:PATH or scripted; empty: as above."),
            "temperature": st.column_config.NumberColumn("Temperature", min_value=0.0, max_value=5.0, required=True, width=100),
            "top_p": st.column_config.NumberColumn("Top-p", min_value=0.01, max_value=1.0, required=True, width=75),
            "max_tokens": st.column_config.NumberColumn("Max tokens", min_value=1, required=True, width=100),
        },
    )  # fmt: skip
    changes = {
        stage: {name: now[name] for name in SETTINGS if now[name] != defaults[stage][name]}
        for stage, now in zip(GENERATION_STAGES, edited.to_dict("records"), strict=True)
    }
    return {stage: settings for stage, settings in changes.items() if settings}


def refill(settings: GenerationSettings) -> None:
    """Put an order into the form, so that it can be planned, changed and started anew; the focus is cleared, since the order
    says its disciplines itself. For callbacks: fields that are drawn already can't be set."""
    target = settings.target
    url_state.set_focus(None)
    st.session_state.update(
        run_disciplines=list(target.disciplines), run_queries=target.subject_queries, run_most=target.max_subjects,
        run_per=target.questions_per_syllabus, run_share=round(100 * settings.pair_share), run_law=settings.draw_distribution,
        run_seed=settings.seed, run_budget=settings.budget_usd, run_calls=settings.max_calls, run_flight=settings.max_in_flight,
        run_rpm=settings.requests_per_minute, run_tpm=settings.tokens_per_minute,
        run_refilled=st.session_state.get("run_refilled", 0) + 1, **_teacher_values(settings),
    )  # fmt: skip


def _teacher_values(settings: GenerationSettings) -> dict:
    """The fields of `teacher_form` that name an order's teachers. A teacher of answers of another kind than the other has no
    field there, and goes to its stage."""
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
        "run_price": settings.price or "", "run_stages": stages,
    }  # fmt: skip


def title_of(tree: nx.DiGraph, disciplines: Sequence[str]) -> str:
    """What a run over these disciplines is called."""
    focus = url_state.focus()
    names = [tree.nodes[id]["node"].name for id in disciplines]
    if focus and len(names) == len(hierarchy.disciplines_under(tree, focus)):
        return tree.nodes[focus]["node"].name
    return " and ".join(names) if len(names) <= 2 else plural(len(names), "discipline")


def command(ws: Workspace, tree: nx.DiGraph, settings: GenerationSettings) -> str:
    """The `glan` command that does the same as an order."""
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
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for stage, stage_settings in settings.stages.items():
        values = stage_settings.model_dump(exclude_none=True)
        parts += ["--stage", f"{stage}:{','.join(f'{name}={value}' for name, value in values.items())}"]
    return shlex.join(parts)
