"""List of all runs with filters, and the comparison of several."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core import runs
from glan_core.formatting import duration, number, plural, usd
from glan_core.runs.report import RunResults, results_of
from glan_core.runs.settings_summary import differences
from glan_core.workspace import Workspace
from glan_core.workspace.run_rows import Run
from pages.components.shared import plain_table, run_table
from pages.components.shared.untrusted_text import escape

GAINS = {"pairs": "New pairs", "questions": "New questions", "syllabi": "New syllabi", "subjects": "New subjects"}


def panel(ws: Workspace, everything: Sequence[Run]) -> None:
    """Draw the list of runs, and the panel of the selected run or the comparison of several."""
    rows = _filtered(everything)
    if not rows:
        st.info("No runs match these filters.", icon=":material/filter_alt:")
        return
    selection = run_table.table(rows, key="history", ws=ws, several=True)
    if not selection:
        st.caption("Select one run to view it, several to compare them.")
    elif len(selection) == 1:
        with st.container(border=True):
            run_table.run_panel(ws, selection[0].id)
    else:
        with st.container(border=True):
            comparison(ws, sorted(selection, key=lambda run: run.id))


def _filtered(everything: Sequence[Run]) -> list[Run]:
    """Draw the filters and return the matching runs."""
    state_of = {run.id: runs.state_of(run) for run in everything}
    kinds = [kind for kind in run_table.KIND_TITLES if any(run.kind == kind for run in everything)]
    states = [state for state in run_table.COLORS if state in state_of.values()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = _choice("Kind", kinds, run_table.KIND_TITLES.get)
        state = _choice("State", states, str.capitalize)
    return [
        run for run in everything if (not kind or run.kind in kind) and (not state or state_of[run.id] in state)
    ]  # fmt: skip


def _choice(label: str, options: list[str], words) -> list[str]:
    """Draw a filter if it has at least two options."""
    if len(options) < 2:
        return []
    return st.pills(label, options, selection_mode="multi", format_func=words, key=f"history_{label.lower()}")


def comparison(ws: Workspace, chosen: Sequence[Run]) -> None:
    """Draw results and differing settings of several runs side by side."""
    st.header(f"{plural(len(chosen), 'run')} compared", anchor=False)
    outcomes = [results_of(ws, run) for run in chosen]
    rows = {"State": [runs.state_of(run) for run in chosen]}
    names = list(dict.fromkeys(name for one in outcomes for name in _said(one)))
    rows |= {name: [_said(one).get(name, "–") for one in outcomes] for name in names}
    generated = [run.kind == "generate" for run in chosen]
    with st.container(gap="xsmall"):
        st.markdown("**Results**")
        _table(rows, chosen, "Result", "Results of the runs")
    st.markdown("**Settings that differ**")
    if not all(generated):
        st.caption("Only settings of generation runs can be compared.")
    elif changed := differences(chosen):
        _table(changed, chosen, "Setting", "Settings that differ between the runs")
    else:
        st.caption("The runs have the same settings.")


def _said(outcome: RunResults | None) -> dict[str, str]:
    """Return the compared figures of a run; empty if it never started."""
    if outcome is None:
        return {}
    gains = {word: number(outcome.gained[measure]) for measure, word in GAINS.items() if measure in outcome.gained}
    return {
        "Calls stored": number(outcome.calls), **gains,
        "Prompt tokens": number(outcome.tokens_in), "Completion tokens": number(outcome.tokens_out), "Cost": outcome.cost,
        "Cost per pair": "–" if outcome.usd_per_pair is None else usd(outcome.usd_per_pair),
        "Duration": duration(outcome.seconds), "Rate": f"{outcome.rate:,.1f} calls/s",
        "Rate-limited (429)": number(outcome.throttled), "Request errors": number(outcome.faults),
        "Open failures": number(outcome.failures),
    }  # fmt: skip


def _table(rows: dict[str, list[str]], chosen: Sequence[Run], what: str, alt: str) -> None:
    """Draw a table with one row per figure and one column per run."""
    columns = [f"Run {run.id}" for run in chosen]
    frame = pd.DataFrame([[name, *values] for name, values in rows.items()], columns=[what, *columns])
    plain_table.draw(
        frame, hide_index=True, height="content", alt=alt,
        column_config={
            what: st.column_config.TextColumn(what, width=150, pinned=True),
            **{
                name: st.column_config.TextColumn(name, alignment="right", help=escape(run.title))
                for name, run in zip(columns, chosen, strict=True)
            },
        },
    )  # fmt: skip
