"""Form that generates look-alikes of a test split with a teacher."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import is_local, source_label
from glan_core.evaluation.contamination.lookalikes import lookalikes_path, plan_lookalikes
from glan_core.evaluation.contamination.settings import LookalikeSettings, ProbeFile
from glan_core.formatting import durations, money, plural, short
from glan_core.generation.plan import Plan
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from glan_core.workspace.homework_rows import SCRIPTED
from pages.components.dataset import checks
from pages.components.shared import plan_panel, settings_fields, teacher_form
from pages.components.shared.untrusted_text import show_error

ABOUT = (
    "A teacher writes a new problem of the same kind, with its answer, for sampled rows of the test split; one call per row."
)
PLANNED = "lookalikes_planned"  # (workspace and settings, plan) of the last plan


def panel(ws: Workspace, test: dict | None, *, busy: bool) -> None:
    """Draw the form for the selected test split; `test` is its `ProbeFile` as a dict."""
    st.caption(ABOUT)
    if test is None or not is_local(ProbeFile(**test)):
        st.caption(
            "Select a file as the test split first. For a benchmark on the Hugging Face Hub, use `glan evaluate lookalikes`."
        )
        return
    values = teacher_form.fields("run_alike", stage="lookalike")
    if values and values["teacher"] in SCRIPTED:
        st.caption("The scripted teacher only changes numbers and names, for demonstration.")
    number = st.number_input(
        key=checks.initial_value("run_alike_number", settings_fields.default(LookalikeSettings, "number")),
        **settings_fields.number(LookalikeSettings, "number"),
    )
    budget = teacher_form.budget_field("run_alike_budget")
    name = f"{source_label(ProbeFile(**test))[:40]}-lookalikes"
    try:
        settings = values and read_settings(
            LookalikeSettings, {**values, "name": name, "source": test, "number": int(number), "budget_usd": budget}
        )
    except GlanError as error:
        show_error(error)
        settings = None
    state = settings and (str(ws.folder), settings.model_dump_json(), busy)
    planned = st.session_state.get(PLANNED)
    if settings is None or planned is None or planned[0] != state:
        if st.button("Plan", icon=":material/calculate:", disabled=settings is None or busy, key="plan_lookalikes"):
            _plan(ws, settings, state)
        return
    _start(ws, settings, planned[1])


def _plan(ws: Workspace, settings: LookalikeSettings, state: tuple) -> None:
    try:
        made = plan_lookalikes(ws, settings)
    except GlanError as error:
        show_error(error)
    else:
        st.session_state[PLANNED] = (state, made)
        st.rerun()


def _start(ws: Workspace, settings: LookalikeSettings, made: Plan) -> None:
    """Draw the plan and its start button; the file is then selected as look-alikes."""
    calls = made.calls[1]
    if not calls:
        st.caption(f"All of these rows have a look-alike in {lookalikes_path(ws, settings.name).name}.")
        return
    with st.grid(3, gap="small", min_column_width=90):
        st.metric("Calls", short(calls))
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric("Time", durations(made.seconds))
    if st.button(f"Start · {plan_panel.cost_label(made)}", icon=":material/play_arrow:", key="start_lookalikes"):
        try:
            title = f"{plural(calls, 'look-alike')} by {settings.teacher}"
            runs.start(ws, settings.kind, title, settings, teacher_form.environment(), made.as_dict())
        except GlanError as error:
            show_error(error)
        else:
            st.session_state.pop(PLANNED, None)
            st.session_state.probe_added = ("alike", str(lookalikes_path(ws, settings.name)))
            st.rerun()
