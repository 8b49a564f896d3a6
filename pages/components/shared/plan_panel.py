"""The plan of a run with its cost estimate, and the button that starts the run."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import durations, money, number, plural, short, span
from glan_core.generation.plan import Plan
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.stage_specs import stage_title
from glan_core.workspace import Workspace
from pages.components.shared import teacher_form
from pages.components.shared.untrusted_text import escape, show_error


def show_plan(made: Plan) -> None:
    """Show calls, tokens, price and time of a plan."""
    with st.grid(3, gap="small", min_column_width=140):
        st.metric("Calls", _about(made.calls), help=f"{span(made.calls)} calls.")
        st.metric("New pairs", _about(made.pairs), help=f"{span(made.pairs)} answered questions.")
        st.metric("Tokens", _about(made.tokens), help=f"{span(made.tokens)} tokens, prompt plus completion.")
    with st.grid(2, gap="small", min_column_width=160):  # a price range does not fit a third of the width
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric(
            "Time", durations(made.seconds),
            help="Duration at the maximum concurrency, from the measured speed of the models. Unknown before their first calls.",
        )  # fmt: skip
    rows = [stage for stage in made.stages if stage.calls[1]]
    lines = [
        f"| {stage_title(one.stage).capitalize()} | {span(one.calls)} | {number(one.tokens_in)} + {number(one.tokens_out)} | "
        f"{_cents(one.usd)} |" for one in rows
    ]  # fmt: skip
    head = ["| Stage | Calls | Prompt + completion tokens per call | Price |", "| :--- | ---: | ---: | ---: |"]
    st.markdown("\n".join([*head, *lines]).replace("$", r"\$"))  # a data grid is 1.2 MB of code for a browser
    st.caption(f"Basis of the estimate: {escape(made.basis)}")


def cost_label(made: Plan) -> str:
    """Return calls and price of a plan for a button label: '1,204 calls · about $1.20 to $3.40'."""
    calls = plural(made.calls[1], "call") if made.calls[0] == made.calls[1] else f"{_about(made.calls)} calls"
    price = "" if made.usd is None else " · free" if made.usd[1] == 0 else f" · about {money(made.usd)}"
    return f"{calls}{price}".replace("$", r"\$")  # two dollar signs would enclose a formula


def start_button(ws: Workspace, settings: GenerationSettings, made: Plan, title: str, *, key: str = "start") -> int | None:
    """Draw the button that starts a run; returns the run's id once it is started."""
    label = f"Start · {cost_label(made)}"
    if st.button(label, type="primary", icon=":material/play_arrow:", width="stretch", key=key, disabled=ws.read_only):
        return start(ws, settings, made, title)
    return None


def start(ws: Workspace, settings: GenerationSettings, made: Plan, title: str) -> int | None:
    """Store the run and start its worker; returns the run's id, or None after showing the error."""
    try:
        return runs.start(ws, "generate", title, settings, teacher_form.environment(), made.as_dict())
    except GlanError as error:
        show_error(error)
        return None


def _cents(ends: tuple[float, float] | None) -> str:
    """Format a price with two decimals, as in every row of the column."""
    return money(ends) if ends is None or not ends[1] else span(tuple(f"${end:,.2f}" for end in ends))


def _about(ends: tuple[int, int]) -> str:
    """Format a range in short form."""
    return span(tuple(map(short, ends)))
