"""Downloads of the report and of the dataset card, each built when its button is clicked."""

from functools import partial

import streamlit as st

from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.formatting import number
from glan_core.ids import slug
from glan_core.operations.stakeholder_report.dataset_card import MOST_PAIRS, dataset_card
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace

CARD_HELP = (
    "Markdown: contents, teachers and license terms, checks and limits of the newest snapshot, or else of the current dataset."
)


def buttons(ws: Workspace, whole: Coverage) -> None:
    """Draw the two downloads; `whole` is the coverage of the whole taxonomy."""
    name = slug(str(ws.metadata("name", "") or ws.folder.name)) or "workspace"
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Download report", partial(_report, ws), f"{name}-report.html", "text/html", key="report", icon=":material/lab_profile:",
            on_click="ignore", width="stretch",
            help="One HTML file about the whole workspace, offline and printable: coverage, funnel, map, examples, training, evaluation "
            "and cost. It takes a few seconds.",
        )  # fmt: skip
        fault = _card_fault(ws, whole)
        st.download_button(
            "Dataset card", partial(dataset_card, ws), f"{name}-card.md", "text/markdown", key="dataset_card", icon=":material/description:",
            on_click="ignore", width="stretch", disabled=bool(fault), help=fault or CARD_HELP,
        )  # fmt: skip


def _report(ws: Workspace) -> str:
    from glan_core.operations.stakeholder_report.stakeholder_report import build_report  # on demand: no page needs its imports

    return build_report(ws)


def _card_fault(ws: Workspace, whole: Coverage) -> str:
    """Return why there is no dataset card now; '' if there is one."""
    if list_snapshots(ws):
        return ""
    if not whole.kept:
        return "The dataset has no pairs yet."
    if whole.counts["pairs"] > MOST_PAIRS:
        return f"The dataset has more than {number(MOST_PAIRS)} pairs: create a snapshot, which has a card."
    return ""
