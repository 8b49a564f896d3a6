"""Judge view: held-out tests, and the form that compares two models on one."""

import networkx as nx
import streamlit as st

from glan_core import runs
from glan_core.dataset.glan_test_store import GlanTest
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge.pairwise import plan_judging
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings
from glan_core.formatting import durations, money, number, short
from glan_core.generation.plan import Plan
from glan_core.models.model_specs import list_specs, packaged_specs
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy
from glan_core.teachers.connections import connection_names
from glan_core.workspace import Workspace, run_rows
from pages.components.dataset import row_choice
from pages.components.evaluate import glan_tests
from pages.components.shared import page_frame, plan_panel, run_table, settings_fields, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

KIND = "judge-models"
OPEN = ("queued", "running", "paused", "failed", "lost")
TYPED = "another"


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the judging run, the form for another, and the tests."""
    left, right = page_frame.two_halves()
    with right:
        tests = glan_tests.panel(ws, tree)
    with left:
        st.markdown("**Judge model A vs model B**")
        st.caption(
            "Both models answer the questions of a test; a judge scores each answer from 1 to 10 in both orders, to control for position "
            "bias. Stored answers and verdicts are reused."
        )
        last = next((run for run in run_rows.runs(ws.db, 40) if run.kind == KIND), None)
        state = last and runs.state_of(last)
        if state in OPEN:
            run_table.run_panel(ws, last.id)
        else:
            row_choice.last_result(ws, KIND)
            if state == "finished":
                st.button("View results", icon=":material/insights:", on_click=_ask_for, args=("Results",), key="see_result")
        if not tests:
            st.info("Judging needs a test: create a held-out test on the right.", icon=":material/science:")
        elif not ws.read_only and state not in ("queued", "running"):
            _form(ws, tree, tests)


def _ask_for(view: str) -> None:
    st.session_state.evaluate_asked = view


def _form(ws: Workspace, tree: nx.DiGraph, tests: list[GlanTest]) -> None:
    """Draw test, models and judge, the plan, and the start button."""
    names = [test.name for test in tests]
    if st.session_state.get("run_eval_test") not in names:
        st.session_state.run_eval_test = names[0]
    st.selectbox(
        options=names, key="run_eval_test", format_func=lambda name: _test_words(tests[names.index(name)]),
        **settings_fields.text(PairwiseJudgeSettings, "test"),
    )  # fmt: skip
    test = tests[names.index(st.session_state.run_eval_test)]
    known = [*list_specs(ws), *packaged_specs(), *connection_names()]
    with st.grid(2, gap="small", min_column_width=220):
        ours = _model("ours", [*known, "scripted", TYPED], "run_eval_ours", known[0] if known else "scripted")
        beside = known[1] if len(known) > 1 else REFERENCE
        other = _model("other", [*known, *([REFERENCE] if test.teachers else []), "scripted", TYPED], "run_eval_other", beside)
    with st.grid(2, gap="small", min_column_width=150):
        per = st.number_input(
            value=None, key="run_eval_questions", placeholder="all",
            **settings_fields.number(
                PairwiseJudgeSettings, "questions", note="If you increase it later, only the additional questions are judged."
            ),
        )  # fmt: skip
        tokens = st.number_input(
            value=None, key="run_eval_tokens", placeholder="as the references" if REFERENCE in (ours, other) else "512",
            **settings_fields.number(PairwiseJudgeSettings, "answer_tokens"),
        )  # fmt: skip
    st.markdown("**Judge**")
    values = teacher_form.fields("run_eval_judge", stage="verdict")
    if values and values["teacher"] == "scripted":
        st.caption("As a judge, the scripted teacher counts words that an answer shares with its textbook.")
    budget = teacher_form.budget_field("run_eval_budget")
    focus = url_state.focus()
    if focus:
        st.caption(f":material/filter_alt: Only questions of {escape(tree.nodes[focus]['node'].name)} (focus).")
    if values is None or ours is None or other is None:
        return
    own = {"test": test.name, "ours": ours, "other": other, "questions": per, "answer_tokens": tokens, "budget_usd": budget,
           "disciplines": tuple(hierarchy.disciplines_under(tree, focus)) if focus else None}  # fmt: skip
    try:
        settings = read_settings(PairwiseJudgeSettings, values | own)
        made = plan_judging(ws, settings)
    except GlanError as error:
        show_error(error)
        return
    _start(ws, settings, made)


def _test_words(test: GlanTest) -> str:
    of = f" of {number(len(test.disciplines))} disciplines" if test.disciplines else ""
    return f"{test.name} · {number(test.number)} questions{of}"


def _model(name: str, options: list[str], key: str, default: str) -> str | None:
    """Draw the choice of a model; returns None while the name is empty."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = default
    words = {"scripted": "Scripted teacher", TYPED: "Other …"}
    chosen = st.selectbox(
        options=options, key=key, format_func=lambda spec: words.get(spec) or title(spec),
        **settings_fields.text(PairwiseJudgeSettings, name),
    )  # fmt: skip
    if chosen != TYPED:
        return chosen
    typed = st.text_input(
        "Model name", key=f"{key}_typed", placeholder="openai:MODEL@http://localhost:8000/v1 or local:FOLDER",
        help="openai:MODEL for OpenAI, openai:MODEL@BASE_URL for another endpoint, local:PATH for local weights.",
    ).strip()  # fmt: skip
    return typed or None


def _start(ws: Workspace, settings: PairwiseJudgeSettings, made: Plan) -> None:
    calls = made.calls[1]
    with st.grid(3, gap="small", min_column_width=120):
        parts = {stage.stage: stage.calls[1] for stage in made.stages}
        answers = parts["answer_ours"] + parts["answer_other"]
        st.metric("Calls", short(calls), help=f"{number(answers)} answers and {number(parts['verdict'])} verdicts.")
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric(
            "Time",
            durations(made.seconds) if calls else "–",
            help="A rough estimate if local models generate the answers.",
        )
    label = f"Start judging · {plan_panel.cost_label(made)}" if calls else "All questions are judged"
    if st.button(label, type="primary", icon=":material/gavel:", key="start_judging_models", disabled=not calls):
        try:
            name = f"{title(settings.ours)} vs {title(settings.other)} on {settings.test}"
            runs.start(ws, KIND, name, settings, teacher_form.environment(), made.as_dict())
        except GlanError as error:
            show_error(error)
        else:
            st.rerun()
