"""Detail panel of the map: the selected question, the rows of the selected area with bulk actions, or the clusters."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import networkx as nx
import numpy as np
import pandas as pd
import streamlit as st

from glan_core.dataset.export_job import export_bytes
from glan_core.dataset.settings import RowSelection
from glan_core.diversity.map_area import CLUSTER, MOST_ROWS, area_of
from glan_core.diversity.map_queries import EVERYTHING, Window
from glan_core.diversity.map_store import Map
from glan_core.figures.diversity_map import extent_of
from glan_core.formatting import number, plural, shorten
from glan_core.homework import review
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter, count_matching
from pages.components.dataset import row_choice
from pages.components.diversity import similar_questions
from pages.components.homework import reading_view, review_actions
from pages.components.shared import map_selection, pair_tags, plain_table, row_selection, unseen_heading, url_state
from pages.components.shared.untrusted_text import escape, model_markdown

LISTED = 200
MOST_JUDGED = 50_000  # maximum number of rows for a bulk verdict
MOST_CLUSTERS = 300


def panel(
    ws: Workspace, tree: nx.DiGraph, shown: Map, chosen: np.ndarray | None, *, to_window: Callable[[Window], None]
) -> None:
    """Draw the selected question or area, or the clusters; `to_window` zooms the map."""
    review_actions.undo_bar(ws)
    if st.session_state.get("map_window", EVERYTHING) != EVERYTHING:
        st.button("Reset zoom", icon=":material/zoom_out_map:", on_click=to_window, args=(EVERYTHING,))
    pair = url_state.selected("pair") and homework_rows.pair(ws.db, url_state.selected("pair"))
    if pair:
        question(ws, tree, pair, "Clusters" if chosen is None else "Back to list")
    elif chosen is not None:
        _rows(ws, tree, shown, chosen, to_window)
    else:
        _clusters(shown)


def _clear() -> None:
    map_selection.select(None)
    url_state.select(pair=None)


def question(ws: Workspace, tree: nx.DiGraph, pair: Pair, back: str) -> None:
    """Draw a question with its answer; `back` is the label of the back button."""
    id = pair.question.discipline_id
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            back, icon=":material/arrow_back:", type="tertiary", key="unpick", on_click=url_state.select, kwargs={"pair": None},
        )  # fmt: skip
        if st.button("Open in Homework", icon=":material/quiz:", key="read_pair"):
            if id in tree:
                url_state.select(focus=id, pair=pair.question.id)
            url_state.open_page("pages/homework.py")
    names = [node.name for node in hierarchy.path(tree, id)] if id in tree else ["removed from the taxonomy"]
    st.caption(escape(" › ".join(names)))
    reading_view.badges(pair)
    pair_tags.panel(ws, pair.question.seq)
    with st.container(height=470, border=False):
        unseen_heading.draw("Question")
        st.markdown(model_markdown(pair.question.text))
        st.divider()
        if pair.answer is None:
            st.caption("No answer yet.")
        else:
            unseen_heading.draw("Answer")
            st.markdown(model_markdown(pair.answer))
    similar_questions.panel(ws, pair.question.seq)


def _rows(ws: Workspace, tree: nx.DiGraph, shown: Map, chosen: np.ndarray, to_window: Callable[[Window], None]) -> None:
    """Draw the rows of the selected area, newest first, with bulk actions."""
    places = np.flatnonzero(chosen)
    count = len(places)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plural(count, 'question')}**", width="content")
        if count and shown.info.dims == 2:
            st.button(
                "Zoom to selection", icon=":material/zoom_in:", type="tertiary", on_click=to_window,
                args=(extent_of(np.asarray(shown.xy)[places]),),
            )  # fmt: skip
        st.button("Clear", icon=":material/close:", type="tertiary", on_click=_clear, key="clear_area")
    if 0 < count <= MOST_ROWS:
        st.caption("The selection filters Homework, snapshots and exports until it is cleared.")
    if not count:
        st.caption("No questions in this area.")
        return
    seqs = shown.seqs[places]
    _deeds(ws, seqs)
    listed = places[::-1][:LISTED]
    starts = homework_rows.question_starts(ws.db, shown.seqs[listed].tolist(), 160)
    disciplines = [tree.nodes[id]["node"].name if id in tree else "removed" for id in shown.info.disciplines]
    frame = pd.DataFrame({
        "question": [starts.get(seq, "(deleted)").replace("\n", " ") for seq in shown.seqs[listed].tolist()],
        "discipline": [disciplines[code] for code in shown.discipline[listed].tolist()],
    })  # fmt: skip
    key = f"area_{count}_{int(seqs[-1])}"

    def choose(row: int | None) -> None:
        if row is not None:
            ids = homework_rows.pair_ids(ws.db, [int(shown.seqs[listed[row]])])
            url_state.select(pair=ids[0] if ids else None)

    plain_table.draw(
        frame, **row_selection.clickable_rows(key, None, choose, len(listed)), hide_index=True, height=400, alt="Questions of the selection",
        column_config={
            "question": st.column_config.TextColumn("Question", width=230),
            "discipline": st.column_config.TextColumn("Discipline", width=110),
        },
    )  # fmt: skip
    if count > LISTED:
        st.caption(f"Showing the newest {LISTED}.")


def _deeds(ws: Workspace, seqs: np.ndarray) -> None:
    """Draw the buttons that reject, star or export the selected rows."""
    count = len(seqs)
    if count > MOST_JUDGED:
        st.caption(f"Select at most {number(MOST_JUDGED)} questions to reject or star them.")
        return
    which = PairFilter(seqs=tuple(seqs.tolist()))
    summary = plural(count, "question")
    with st.container(horizontal=True, gap="small"):
        if count <= row_choice.MOST_DOWNLOADED:
            _export_button(ws, which)
        if ws.read_only:
            return
        st.button(
            f"Reject {number(count)}", icon=":material/close:", key="reject_area", on_click=review_actions.apply_edit,
            args=(f"Rejected {summary}.", review.review_all, ws, which, "reject", url_state.user()),
            kwargs={"reason": "rejected on the map"},
        )  # fmt: skip
        st.button(
            f"Star {number(count)}", icon=":material/star:", key="star_area", on_click=review_actions.apply_edit,
            args=(f"Starred {summary}.", review.star_all, ws, which, url_state.user()), kwargs={"starred": True},
        )  # fmt: skip


def _export_button(ws: Workspace, which: PairFilter) -> None:
    """Draw the button that exports the selected rows of the dataset as chat messages."""
    count = count_matching(ws.db, replace(which, dropped="in"))
    st.download_button(
        f"Export {number(count)}", partial(export_bytes, ws, "chat", RowSelection(which=which, scripted=True)),
        file_name=f"{ws.folder.name}-selection.jsonl", icon=":material/download:", key="export_area", on_click="ignore",
        disabled=not count,
        help="Chat messages (JSONL) of the selected questions that have an answer and are not excluded from the dataset.",
    )  # fmt: skip


def _clusters(shown: Map) -> None:
    """Draw the clusters, largest first; a click lists the rows of one."""
    clusters = sorted(shown.info.clusters, key=lambda cluster: -cluster.size)[:MOST_CLUSTERS]
    st.markdown(f"**{plural(len(shown.info.clusters), 'cluster')}** by keywords")
    if not clusters:
        st.caption("No separate clusters found.")
        return
    key = f"clusters_{shown.info.embedder}_{shown.info.dims}_{shown.info.version}"

    def choose(row: int | None) -> None:
        if row is not None:
            map_selection.select(area_of(CLUSTER, shown, (clusters[row].id,)))

    plain_table.draw(
        pd.DataFrame({
            "terms": [shorten(cluster.label, 90) for cluster in clusters], "size": [cluster.size for cluster in clusters],
        }),
        **row_selection.clickable_rows(key, None, choose, len(clusters)), hide_index=True, alt="Clusters, largest first",
        height=430 if len(clusters) > 11 else "content",
        column_config={
            "terms": st.column_config.TextColumn("Keywords", width=205),
            "size": st.column_config.NumberColumn("Rows", format="localized", width=60),
        },
    )  # fmt: skip
    areas = "Select an area with the lasso or box" if shown.info.dims == 2 else "Drag to rotate the map. Select a cluster above"
    st.caption(f"Click a point to read its question. {areas} to list, reject or star its questions.")
