"""The last step of adding a discipline: the plan of the whole, its price, and the start."""

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.runs import form
from pages.components.shared import plan_panel, url_state
from pages.components.shared.untrusted_text import fault, plain

DEFAULTS = {"adding_queries": 10, "adding_per": 20}


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Plan and start the discipline that was accepted last; `adding_accepted` holds its id and its terms."""
    accepted = st.session_state.adding_accepted
    name = tree.nodes[accepted["id"]]["node"].name if accepted["id"] in tree else accepted["id"]
    st.success(f"{plain(name)} is in the tree, with all of its preview.", icon=":material/check:")
    grid = st.grid(3, gap="large", min_column_width=270)
    with grid.cell():
        st.markdown(f"**The full discipline**, by the teacher of the preview ({plain(accepted['terms']['teacher'])})")
        try:
            settings = read_settings(GenerationSettings, accepted["terms"] | _settings(accepted["id"]))
            made = plan(ws, settings)
        except GlanError as error:
            fault(error)
            return
        st.caption(
            "What the preview made is not paid for again. Teachers by stage, draws and limits can be set on the Runs page."
        )
    with grid.cell(column_span=2):
        run_id = None
        if made.calls[1]:
            plan_panel.show_plan(made)
            run_id = plan_panel.start_button(ws, settings, made, name, key="start_discipline")
        else:
            st.info("The preview holds all of this target. Raise a number to go further.")
        if st.button("Not now", key="plan_later", width="stretch", help="The Runs page plans it at any time."):
            _leave()
            st.rerun()
        if run_id:
            _leave()
            st.session_state.run = run_id
            url_state.go("pages/runs.py")


def _settings(discipline_id: str) -> dict:
    """How much to make, and for how much money at most, as an order takes it."""
    for key, value in DEFAULTS.items():
        st.session_state.setdefault(key, value)
    with st.grid(2, gap="small", min_column_width=150):
        amounts = form.amount_fields("adding")
        budget = st.number_input(
            "Budget in dollars", 0.01, None, None, key="adding_budget", placeholder="none",
            help="The run pauses before it would spend more.",
        )  # fmt: skip
    return {"target": {"disciplines": [discipline_id], **amounts}, "budget_usd": budget}


def _leave() -> None:
    """Close the dialog; the next discipline begins with empty fields."""
    st.session_state.adding = False
    st.session_state.adding_accepted = None
