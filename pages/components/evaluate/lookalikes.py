"""Have a teacher write look-alikes of a test split: how many, by whom, the plan, and then the button that spends."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import is_local, label_of
from glan_core.evaluation.contamination.lookalikes import file_of, plan_lookalikes
from glan_core.evaluation.contamination.settings import LookalikeSettings, ProbeFile
from glan_core.formatting import duration, money, plural, short, span
from glan_core.generation.plan import Plan
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from glan_core.workspace.homework_rows import SCRIPTED
from pages.components.dataset.checks import initially
from pages.components.shared import plan_panel, teacher_form
from pages.components.shared.untrusted_text import fault

ABOUT = "For drawn rows of the test split a teacher writes a fresh problem of the same kind with its answer, one call each."
PLANNED = "lookalikes_planned"  # (workspace and order, plan) that the page planned last
NUMBER = LookalikeSettings.model_fields["number"].default


def writer(ws: Workspace, test: dict | None, busy: bool) -> None:
    """The form, for the test split that is chosen: `test` is its ProbeFile as plain values."""
    st.caption(ABOUT)
    if test is None or not is_local(ProbeFile(**test)):
        st.caption("Choose a file as the test split first. For a benchmark of the Hub use 'glan evaluate lookalikes'.")
        return
    values = teacher_form.fields("run_alike")
    if values and values["teacher"] in SCRIPTED:
        st.caption("For this it only changes numbers and names, and says so: good for a try, no proof.")
    number = st.number_input(
        "How many", 2, 100_000, key=initially("run_alike_number", NUMBER), help="Rows are drawn by a seed: more add to fewer."
    )
    budget = st.number_input(
        "Budget in dollars", 0.01, None, None, key="run_alike_budget", placeholder="none", format="%.2f",
        help="Never spent beyond, what is in flight included.",
    )  # fmt: skip
    name = f"{label_of(ProbeFile(**test))[:40]}-lookalikes"
    try:
        settings = values and read_settings(
            LookalikeSettings, {**values, "name": name, "source": test, "number": int(number), "budget_usd": budget}
        )
    except GlanError as error:
        fault(error)
        settings = None
    state = settings and (str(ws.folder), settings.model_dump_json(), busy)
    planned = st.session_state.get(PLANNED)
    if settings is None or planned is None or planned[0] != state:
        if st.button("Plan it", icon=":material/calculate:", disabled=settings is None or busy, key="plan_lookalikes"):
            _plan(ws, settings, state)
        return
    _start(ws, settings, planned[1])


def _plan(ws: Workspace, settings: LookalikeSettings, state: tuple) -> None:
    try:
        made = plan_lookalikes(ws, settings)
    except GlanError as error:
        fault(error)
    else:
        st.session_state[PLANNED] = (state, made)
        st.rerun()


def _start(ws: Workspace, settings: LookalikeSettings, made: Plan) -> None:
    """A plan, and the button that carries it out; the file is chosen as the look-alikes."""
    calls = made.calls[1]
    if not calls:
        st.caption(f"All of these rows have a look-alike, in {file_of(ws, settings.name).name}.")
        return
    with st.grid(3, gap="small", min_column_width=90):
        st.metric("Calls", short(calls))
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric("Time", span(tuple(map(duration, made.seconds))))
    if st.button(f"Start · {plan_panel.cost_of(made)}", icon=":material/play_arrow:", key="start_lookalikes"):
        try:
            title = f"{plural(calls, 'look-alike')} by {settings.teacher}"
            runs.start(ws, settings.kind, title, settings, teacher_form.environment(), made.as_dict())
        except GlanError as error:
            fault(error)
        else:
            st.session_state.pop(PLANNED, None)
            st.session_state.probe_added = ("alike", str(file_of(ws, settings.name)))
            st.rerun()
