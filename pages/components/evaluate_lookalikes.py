"""Have a teacher write look-alikes of a test split: how many, by whom, the plan, and then the button that spends."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.evaluation.lookalikes import file_of, plan_lookalikes
from glan_core.evaluation.probe_order import LookalikeOrder, ProbeFile
from glan_core.evaluation.probe_texts import is_local, label_of
from glan_core.generation.order import read_order
from glan_core.generation.plan import Plan
from glan_core.wording import duration, money, plural, short, span
from glan_core.workspace import Workspace
from glan_core.workspace.homework_rows import SCRIPTED
from pages.components import run_plan, teacher_form
from pages.components.dataset_checks import initially
from pages.components.text import fault

ABOUT = "For drawn rows of the test split a teacher writes a fresh problem of the same kind with its answer, one call each."
PLANNED = "lookalikes_planned"  # (workspace and order, plan) that the page planned last
NUMBER = LookalikeOrder.model_fields["number"].default


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
        order = values and read_order(
            LookalikeOrder, {**values, "name": name, "source": test, "number": int(number), "budget_usd": budget}
        )
    except GlanError as error:
        fault(error)
        order = None
    state = order and (str(ws.folder), order.model_dump_json(), busy)
    planned = st.session_state.get(PLANNED)
    if order is None or planned is None or planned[0] != state:
        if st.button("Plan it", icon=":material/calculate:", disabled=order is None or busy, key="plan_lookalikes"):
            _plan(ws, order, state)
        return
    _start(ws, order, planned[1])


def _plan(ws: Workspace, order: LookalikeOrder, state: tuple) -> None:
    try:
        made = plan_lookalikes(ws, order)
    except GlanError as error:
        fault(error)
    else:
        st.session_state[PLANNED] = (state, made)
        st.rerun()


def _start(ws: Workspace, order: LookalikeOrder, made: Plan) -> None:
    """A plan, and the button that carries it out; the file is chosen as the look-alikes."""
    calls = made.calls[1]
    if not calls:
        st.caption(f"All of these rows have a look-alike, in {file_of(ws, order.name).name}.")
        return
    with st.grid(3, gap="small", min_column_width=90):
        st.metric("Calls", short(calls))
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric("Time", span(tuple(map(duration, made.seconds))))
    if st.button(f"Start · {run_plan.cost_of(made)}", icon=":material/play_arrow:", key="start_lookalikes"):
        try:
            title = f"{plural(calls, 'look-alike')} by {order.teacher}"
            runs.start(ws, order.kind, title, order, teacher_form.environment(), made.as_dict())
        except GlanError as error:
            fault(error)
        else:
            st.session_state.pop(PLANNED, None)
            st.session_state.probe_added = ("alike", str(file_of(ws, order.name)))
            st.rerun()
