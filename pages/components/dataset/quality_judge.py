"""Judge view: a teacher scores pairs by a rubric, and pairs below a minimum score are excluded."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core import runs
from glan_core.dataset.quality_filter_job import KIND
from glan_core.errors import GlanError
from glan_core.formatting import ago, durations, money, number, plural, short, shorten
from glan_core.generation.plan import Plan
from glan_core.generation.quality_judge import FACT, TAG, plan_judging
from glan_core.generation.settings import QualityJudgeSettings
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace, homework_rows, judgment_rows, run_rows, tag_rows
from glan_core.workspace.homework_rows import SCRIPTED
from glan_core.workspace.judgment_rows import SCORES
from glan_core.workspace.tag_rows import Tag
from pages.components.dataset import checks, row_choice
from pages.components.shared import page_frame, plain_table, plan_panel, run_table, settings_fields, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

SCORE_LABELS = {"correct": "Correct", "clear": "Clear", "self_contained": "Self-contained", "difficulty": "Difficulty"}
SAMPLE_SIZE = 200  # suggested; the setting's default is every pair
SAMPLES = {"sample": "Sample", "all": "All pairs"}
PLANNED = "judge_planned"  # (settings, newest row, plan) of the last plan
OPEN = ("queued", "running", "paused", "failed", "lost")


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the judging run with its form, and the excluded pairs."""
    left, right = page_frame.two_halves()
    with left:
        _judging(ws, tree)
    with right:
        _left_out(ws, tree)


def _judging(ws: Workspace, tree: nx.DiGraph) -> None:
    st.markdown("**Judge pairs with a teacher** (optional)")
    st.caption("Scores correctness, clarity, self-containedness and difficulty from 1 to 5, with one call per pair.")
    last = next((run for run in run_rows.runs(ws.db, 20) if run.kind == "judge"), None)
    state = last and runs.state_of(last)
    if state in OPEN:
        run_table.run_panel(ws, last.id)
    else:
        row_choice.last_result(ws, "judge")
    _judged(ws)
    if not ws.read_only and state not in ("queued", "running"):
        _form(ws, tree)


def _judged(ws: Workspace) -> None:
    """Draw the distribution of the scores."""
    fact = ws.metadata(FACT)
    if not fact or not fact.get("rows"):
        return
    counts = _score_counts(ws, str(ws.folder), fact["at"])
    least = fact.get("settings", {})
    plain_table.draw(
        pd.DataFrame({
            "what": [SCORE_LABELS[name] for name in SCORES],
            **{str(score): [counts[name].get(score) for name in SCORES] for score in range(1, 6)},
            "least": [least.get(name) for name in SCORES],
        }),
        hide_index=True, placeholder="–", alt="Number of pairs by score",
        column_config={
            "what": st.column_config.TextColumn("Score", width=105),
            **{str(score): st.column_config.NumberColumn(str(score), format="localized", width=58) for score in range(1, 6)},
            "least": st.column_config.NumberColumn("Minimum", width=70),
        },
    )  # fmt: skip
    teacher = str(least.get("teacher", ""))
    who = "the scripted teacher" if teacher in SCRIPTED else escape(shorten(teacher, 60))
    st.caption(f"{plural(fact['rows'], 'pair')} judged; last {ago(fact['at'])} by {who}.")


def _left_out(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the pairs scored below a minimum, with scores and comment."""
    if error := st.session_state.pop("deed_error", None):
        show_error(error)
    tagged, overruled = tag_rows.tag_counts(ws.db).get((KIND, TAG), (0, 0))
    if not tagged:
        with st.container(border=True):
            st.markdown("**Excluded by the judge**")
            st.caption("Pairs that score below a minimum are listed here with their scores and the judge's comment.")
        return
    st.markdown(f"**Excluded by the judge** · {plural(tagged, 'pair')} tagged")
    only = checks.overruled_filter("judge_overruled", tagged, overruled)
    rows, buttons = checks.tagged_rows(ws, "judge_rows", KIND, TAG, overruled=only)
    for tag in rows:
        if pair := checks.pair_of(ws, tag.seq):
            with st.container(border=True, gap="xsmall"):
                st.markdown(_verdict(tag))
                checks.labeled_text("Question", pair.question.text, most=260)
                checks.labeled_text("Answer", pair.answer or "", most=260)
                checks.tag_actions(ws, tree, tag, pair)
    buttons()


def _verdict(tag: Tag) -> str:
    """Return the scores of a pair as Markdown, those below a minimum in bold, with the judge's comment."""
    scores, low = tag.detail.get("scores", {}), tag.detail.get("below", ())
    summary = [f"**{SCORE_LABELS[name]} {scores[name]}**" if name in low else f"{SCORE_LABELS[name]} {scores[name]}"
            for name in SCORES if name in scores]  # fmt: skip
    comment = escape(shorten(str(tag.detail.get("comment") or ""), 300))
    return " · ".join(summary) + (f"  \n{comment}" if comment else "")


@st.cache_data(max_entries=20, show_spinner=False)
def _score_counts(_ws: Workspace, folder: str, at: float) -> dict[str, dict[int, int]]:
    return judgment_rows.score_counts(_ws.db)


def _form(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw judge, sample and minimum scores; after planning, the button that starts the run."""
    values = teacher_form.fields("run_judge", stage="judge")
    if values and values["teacher"] in SCRIPTED:
        st.caption("The scripted teacher judges only the form of a text.")
    values = values and {**values, **_amount(tree), **_minimums(), "budget_usd": teacher_form.budget_field("run_judge_budget")}
    try:
        settings = values and read_settings(QualityJudgeSettings, values)
    except GlanError as error:
        show_error(error)
        settings = None
    state = settings and (str(ws.folder), settings.model_dump_json(), homework_rows.last_seq(ws.db))
    planned = st.session_state.get(PLANNED)
    if settings is None or planned is None or planned[0] != state:
        if st.button(
            "Plan",
            icon=":material/calculate:",
            disabled=settings is None,
            key="plan_judging",
            help="Counts the calls and estimates the cost.",
        ):
            _plan(ws, settings, state)
        return
    _start(ws, tree, settings, planned[1])


def _amount(tree: nx.DiGraph) -> dict:
    """Draw the choice of pairs and return it as settings."""
    focus = url_state.focus()
    for key, value in (("run_judge_which", "sample"), ("run_judge_sample", SAMPLE_SIZE)):
        st.session_state.setdefault(key, value)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        which = st.segmented_control("Pairs", list(SAMPLES), format_func=SAMPLES.get, key="run_judge_which", required=True)
        if which == "sample":
            st.number_input(key="run_judge_sample", width=130, **settings_fields.number(QualityJudgeSettings, "sample"))
    if focus:
        st.caption(f":material/filter_alt: Only pairs of {escape(tree.nodes[focus]['node'].name)} (focus).")
    return {
        "sample": st.session_state.run_judge_sample if which == "sample" else None,
        "disciplines": tuple(hierarchy.disciplines_under(tree, focus)) if focus else None,
    }


def _minimums() -> dict:
    """Draw the minimum scores and return them as settings."""
    st.caption("Pairs below any minimum are excluded, including pairs judged earlier.")
    with st.grid(2, gap="small", min_column_width=170):
        return {f"min_{name}": _minimum(name) for name in SCORES}


def _minimum(name: str) -> int:
    st.session_state.setdefault(f"run_judge_{name}", settings_fields.default(QualityJudgeSettings, f"min_{name}"))
    return st.number_input(key=f"run_judge_{name}", **settings_fields.number(QualityJudgeSettings, f"min_{name}"))


def _plan(ws: Workspace, settings: QualityJudgeSettings, state: tuple) -> None:
    try:
        with st.spinner("Counting pairs …"):
            st.session_state[PLANNED] = (state, plan_judging(ws, settings))
    except GlanError as error:
        show_error(error)
    else:
        st.rerun()


def _start(ws: Workspace, tree: nx.DiGraph, settings: QualityJudgeSettings, made: Plan) -> None:
    """Draw the plan and its start button."""
    calls = made.calls[1]
    with st.grid(3, gap="small", min_column_width=120):
        st.metric("Calls", short(calls), help=f"{number(calls)} pairs not judged yet.")
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric("Time", durations(made.seconds) if calls else "–")
    if not calls:
        st.caption("All of these pairs are judged: only the minimums are applied, at no cost.")
    label = f"Start · {plan_panel.cost_label(made)}" if calls else "Apply minimums"
    title = f"{plural(calls, 'pair')} by {settings.teacher}" if calls else "Minimum scores"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="start_judging"):
        try:
            runs.start(ws, "judge", title, settings, teacher_form.environment(), made.as_dict())
        except GlanError as error:
            show_error(error)
        else:
            st.session_state.pop(PLANNED, None)
            st.rerun()
