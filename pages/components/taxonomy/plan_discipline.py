"""Last step of adding a discipline: plan, cost and start of the full run."""

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings, Target
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.runs import form
from pages.components.shared import plan_panel, settings_fields, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

DEFAULTS = {
    "adding_queries": settings_fields.default(Target, "subject_queries"),
    "adding_per": settings_fields.default(Target, "questions_per_syllabus"),
}


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw plan and start button for the accepted discipline in `adding_accepted`."""
    accepted = st.session_state.adding_accepted
    name = tree.nodes[accepted["id"]]["node"].name if accepted["id"] in tree else accepted["id"]
    st.success(f"{escape(name)} and its preview are now part of the taxonomy and the dataset.", icon=":material/check:")
    grid = st.grid(3, gap="large", min_column_width=270)
    with grid.cell():
        st.markdown(f"**Full run** with the teacher of the preview ({escape(accepted['terms']['teacher'])})")
        try:
            settings = read_settings(GenerationSettings, accepted["terms"] | _settings(accepted["id"]))
            made = plan(ws, settings)
        except GlanError as error:
            show_error(error)
            return
        st.caption("Generated preview data is reused. Set teachers per stage, sampling and limits on the Runs page.")
    with grid.cell(column_span=2):
        run_id = None
        if made.calls[1]:
            plan_panel.show_plan(made)
            run_id = plan_panel.start_button(ws, settings, made, name, key="start_discipline")
        else:
            st.info("The preview already covers this target. Increase a number to generate more.")
        if st.button("Later", key="plan_later", width="stretch", help="You can plan this run on the Runs page at any time."):
            _leave()
            st.rerun()
        if run_id:
            _leave()
            st.session_state.run = run_id
            url_state.open_page("pages/runs.py")


def _settings(discipline_id: str) -> dict:
    """Draw the fields for amounts and budget; returns them as settings."""
    for key, value in DEFAULTS.items():
        st.session_state.setdefault(key, value)
    with st.grid(2, gap="small", min_column_width=150):
        amounts = form.amount_fields("adding")
        budget = teacher_form.budget_field("adding_budget")
    return {"target": {"disciplines": [discipline_id], **amounts}, "budget_usd": budget}


def _leave() -> None:
    """Close the dialog and clear its state."""
    st.session_state.adding = False
    st.session_state.adding_accepted = None
