"""Joint map of two datasets, with the selected question, the selected area, or what only one dataset covers."""

import textwrap
from collections.abc import Callable

import networkx as nx
import numpy as np
import pandas as pd
import streamlit as st

from glan_core.diversity import map_queries
from glan_core.diversity.comparison_queries import comparison_points
from glan_core.diversity.comparison_store import Comparison, Points, read_points, read_rows
from glan_core.diversity.map_queries import EVERYTHING, Window
from glan_core.diversity.map_store import Map, read_map
from glan_core.errors import GlanError
from glan_core.figures import comparison as pictures
from glan_core.figures import diversity_map as map_pictures
from glan_core.figures.labels import label, label_lines
from glan_core.figures.style import style
from glan_core.formatting import ago, number, plural, shorten
from glan_core.untrusted import clean_line
from glan_core.workspace import Workspace, homework_rows
from pages.components.diversity import selection_panel
from pages.components.homework import review_actions
from pages.components.shared import page_frame, plain_table, row_selection, unseen_heading, url_state
from pages.components.shared.untrusted_text import escape, model_markdown, show_error

AREA, ROW, WINDOW = "compare_area", "compare_row", "compare_window"
LISTED = 100  # rows listed per dataset
NAMED = 18


def clear_selection() -> None:
    """Clear the selection of a comparison."""
    for key in (AREA, ROW, WINDOW):
        st.session_state.pop(key, None)


def panel(ws: Workspace, tree: nx.DiGraph, one: Comparison, *, again: Callable[[], None]) -> None:
    """Draw the map and the selection; `again` repeats the comparison."""
    shown = read_map(ws, one.embedder, one.dims)
    try:
        points = read_points(ws, one.name)
    except GlanError as error:
        show_error(error)
        return
    fits = shown is not None and shown.info.drawn_at == one.drawn_at
    left, right = page_frame.main_and_detail()
    with left:
        if fits:
            _picture(ws, shown, one, points)
            st.caption(_said(one, points))
        else:
            st.info("The map was refitted, so the other dataset has no positions on it. The metrics below are still valid.",
                    icon=":material/map:")  # fmt: skip
            if not ws.read_only:
                st.button("Compare again", icon=":material/refresh:", on_click=again, key="compare_again")
    with right:
        _detail(ws, tree, one, points, shown if fits else None)


def _said(one: Comparison, points: Points) -> str:
    drawn = ""
    if len(points.held_ours) < one.own or len(points.held_theirs) < one.rows:
        drawn = (
            f" The map shows random samples of {number(len(points.held_ours))} and {number(len(points.held_theirs))} questions, each "
            "compared with all of the other dataset."
        )
    return (
        f"{plural(one.own, 'question')} here, {number(one.rows)} of {number(one.number)} in {escape(one.name)} "
        f"({escape(one.form)}), compared {ago(one.made_at)}.{drawn} {escape(one.about)}"
    )


def _picture(ws: Workspace, shown: Map, one: Comparison, points: Points) -> None:
    theme, window = st.context.theme.type, st.session_state.get(WINDOW, EVERYTHING)
    key = f"compare_{one.name}_{one.made_at}_{shown.info.version}_{window}_{theme}"

    def choose() -> None:
        selection = st.session_state[key]["selection"]
        if selection.get("box") or selection.get("lasso"):
            kind = "box" if selection.get("box") else "lasso"
            shape = selection[kind][0]
            st.session_state[AREA] = (kind, tuple(shape["x"]), tuple(shape["y"]))
            clear_question()
        elif selection["points"] and (seq := selection["points"][0].get("customdata")) is not None:
            st.session_state.pop(AREA, None)
            select(ws, int(seq[0] if isinstance(seq, list) else seq))

    place = (str(ws.folder), one.name, one.made_at, shown.info.version)
    drawn, look = _drawn(ws, shown, one, points, place, window, theme)
    figure = map_pictures.map_figure(
        drawn, page_frame.figure_style(), window=look["window"],
        coloring=map_pictures.Coloring(look["colors"], look["symbols"]),
        layers=map_pictures.MapLayers(look["image"], picked=_picked_seq(ws)),
    )  # fmt: skip
    figure.update_layout(uirevision=str((*place, window)))
    st.plotly_chart(
        figure, key=key, on_select=choose, selection_mode=("points", "box", "lasso"), width="stretch",
        alt=f"Map of the questions here and in {one.name}. The tables beside it list what only one of both covers.",
        config={"displaylogo": False, "scrollZoom": True, "modeBarButtonsToRemove": ["autoScale2d", "zoom2d"]},
    )  # fmt: skip


@st.cache_data(max_entries=12, show_spinner=False)
def _drawn(
    _ws: Workspace, _shown: Map, _one: Comparison, _points: Points, place: tuple, window: Window, theme: str
) -> tuple[pd.DataFrame, dict]:
    """Return the points of both datasets with texts, colors and symbols, and a raster if this workspace is large."""
    shown, one, look = _shown, _one, style(theme)
    xy = np.asarray(shown.xy)
    here = window if window != EVERYTHING else map_pictures.extent_of(np.concatenate([xy, np.asarray(_points.xy)]))
    rows = comparison_points(shown, _points, one.similarity)
    rows = rows[map_queries.in_window(rows[["x", "y"]].to_numpy(), here)].reset_index(drop=True)
    rows["text"] = _hover(_ws, one, rows)
    colors = pictures.side_colors(look)
    image = None
    if len(xy) > len(_points.held_ours):
        rgb = np.array([[int(look.hues[pictures.BLUE][n : n + 2], 16) for n in (1, 3, 5)]], dtype=np.uint8)
        raster = map_pictures.density_raster(xy, rgb, here, np.zeros(len(xy), dtype=np.int64))
        raster[..., 3] //= 2  # pale, so that points stay visible
        image = map_pictures.png_data_url(raster)
    drawn, named, symbols = pictures.legend_labels(rows, colors, shorten(one.name, 30))
    return drawn, {"colors": named, "symbols": symbols, "image": image, "window": here}


def _hover(ws: Workspace, one: Comparison, rows: pd.DataFrame) -> list[str]:
    """Return hover texts: beginning of the question, its dataset, and the similarity to the other dataset."""
    seqs = rows["seq"].to_numpy()
    starts = homework_rows.question_starts(ws.db, seqs[seqs > 0].tolist(), 120)
    numbers = (-1 - seqs[seqs < 0]).tolist()
    theirs = dict(zip(numbers, read_rows(ws, one.name, numbers), strict=True))
    texts = []
    for seq, similarity in zip(seqs.tolist(), rows["similarity"], strict=True):
        text, whose = (theirs[-1 - seq].question, one.name) if seq < 0 else (starts.get(seq, "(deleted)"), "this workspace")
        lines = textwrap.wrap(shorten(clean_line(text[:240]), 110), 56) or ["(empty)"]
        summary = f"{shorten(whose, 40)}; nearest in the other dataset: {similarity:.2f}"
        texts.append(f"{label_lines(*lines)}<br><i>{label(summary)}</i>")
    return texts


def _picked_seq(ws: Workspace) -> int | None:
    if (row := st.session_state.get(ROW)) is not None:
        return -1 - row
    pair = url_state.selected("pair") and homework_rows.pair(ws.db, url_state.selected("pair"))
    return pair.question.seq if pair else None


def select(ws: Workspace, seq: int) -> None:
    """Select, in a callback, a question of this workspace by its `seq`, or row k of the other dataset by -1 - k."""
    if seq < 0:
        url_state.select(pair=None)
        st.session_state[ROW] = -1 - seq
    else:
        st.session_state.pop(ROW, None)
        url_state.select(pair=next(iter(homework_rows.pair_ids(ws.db, [seq])), None))


def clear_question() -> None:
    """Clear the selected question, in a callback."""
    st.session_state.pop(ROW, None)
    url_state.select(pair=None)


def _detail(ws: Workspace, tree: nx.DiGraph, one: Comparison, points: Points, shown: Map | None) -> None:
    review_actions.undo_bar(ws)
    row, area = st.session_state.get(ROW), st.session_state.get(AREA)
    pair = url_state.selected("pair") and homework_rows.pair(ws.db, url_state.selected("pair"))
    back = "Back to list" if area else "Back"
    if row is not None and row < one.rows:
        _their_question(ws, one, points, row, back)
    elif pair:
        selection_panel.question(ws, tree, pair, back)
    elif area and shown is not None:
        _rows(ws, one, points, shown, area)
    else:
        if st.session_state.get(WINDOW, EVERYTHING) != EVERYTHING:
            st.button("Reset zoom", icon=":material/zoom_out_map:", on_click=_zoom, args=(EVERYTHING,))
        _only(ws, one, shown)


def _their_question(ws: Workspace, one: Comparison, points: Points, row: int, back: str) -> None:
    """Draw a question of the other dataset with its answer and its nearest neighbor in this workspace."""
    st.button(back, icon=":material/arrow_back:", type="tertiary", key="unpick", on_click=clear_question)
    [text] = read_rows(ws, one.name, [row])
    st.caption(f"{escape(one.name)}, question {number(row + 1)}")
    seq, similarity = int(points.nearest[row]), float(points.similarity[row])
    nearest = homework_rows.question_texts(ws.db, [seq]).get(seq)
    long = len(text.question) + len(text.answer or "") > 900
    with st.container(height=330 if long else "content", border=False):
        unseen_heading.draw("Question")
        st.markdown(model_markdown(text.question[:20_000]))
        if text.answer:
            st.divider()
            unseen_heading.draw("Answer")
            st.markdown(model_markdown(text.answer[:20_000]))
    if nearest:
        word = "Nearest question here" if similarity >= one.similarity else "No near question; the nearest here"
        st.caption(f"**{word}**, similarity {similarity:.2f}")
        st.markdown(model_markdown(shorten(nearest, 300)))
        st.button("Open", icon=":material/quiz:", key="read_nearest", on_click=select, args=(ws, seq))


def _chosen(xy: np.ndarray, area: tuple) -> np.ndarray:
    kind, *shape = area
    if kind == "box":
        (x0, x1), (y0, y1) = sorted(shape[0]), sorted(shape[1])
        return map_queries.in_window(xy, (x0, x1, y0, y1))
    return map_queries.in_polygon(xy, *shape)


def _rows(ws: Workspace, one: Comparison, points: Points, shown: Map, area: tuple) -> None:
    """Draw the rows of both datasets in the selected area, or those of the selected cluster."""
    if area[0] == "cluster":
        ours, theirs = (np.flatnonzero(np.asarray(column) == area[1]) for column in (shown.cluster, points.cluster))
    else:
        ours, theirs = (np.flatnonzero(_chosen(np.asarray(xy), area)) for xy in (shown.xy, points.xy))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{number(len(ours))} here, {number(len(theirs))} in {escape(shorten(one.name, 30))}**", width="content")
        if len(ours) + len(theirs):
            inside = np.concatenate([np.asarray(shown.xy)[ours], np.asarray(points.xy)[theirs]])
            st.button("Zoom to selection", icon=":material/zoom_in:", type="tertiary", on_click=_zoom,
                      args=(map_pictures.extent_of(inside),))  # fmt: skip
        st.button("Clear", icon=":material/close:", type="tertiary", on_click=clear_area, key="clear_area")
    if not len(ours) + len(theirs):
        st.caption("No questions in this area.")
        return
    seqs = [*shown.seqs[ours[::-1][:LISTED]].tolist(), *(-1 - theirs[:LISTED]).tolist()]
    _question_table(ws, one, seqs, f"inside_{len(ours)}_{len(theirs)}_{hash(area)}", height=430, whose=True)
    if max(len(ours), len(theirs)) > LISTED:
        st.caption(f"Showing at most {LISTED} of each dataset. Use the Map view to reject, star or export rows.")


def clear_area() -> None:
    """Clear the selected area, in a callback."""
    st.session_state.pop(AREA, None)
    clear_question()


def _zoom(window: Window) -> None:
    st.session_state[WINDOW] = window
    st.session_state.pop(AREA, None)


def _only(ws: Workspace, one: Comparison, shown: Map | None) -> None:
    """Draw what each dataset covers that the other does not."""
    name = escape(shorten(one.name, 24))
    sides = {"theirs": f"Only in {name}", "ours": "Only here"}
    if one.by_words:
        sides = {"theirs": f"Wording only in {name}", "ours": "Wording only here"}
        st.caption(
            ":material/info: Compared by words: a question on the same topic in other words counts as absent. Compare with an embedder for "
            "a statement about topics."
        )  # fmt: skip
    for column, title, value, where in zip(
        st.columns(2), (sides["ours"], sides["theirs"]), (one.only_ours, one.only_theirs), (name, "this workspace"), strict=True
    ):
        spread = f"{value.low:.1f} to {value.high:.1f} %" if value.low is not None else None
        column.metric(
            title, f"{value.value:.1f} %", spread, delta_color="off", delta_arrow="off",
            help=f"Share of questions without a neighbor in {where} at a similarity of {one.similarity:.2f} or more. "
            f"On {plural(value.n, 'question')}.",
        )  # fmt: skip
    if "compare_side" not in st.session_state:  # the control was not drawn while a question was read
        st.session_state.compare_side = st.session_state.get("compare_side_kept", "theirs")
    side = st.segmented_control("Side", list(sides), format_func=sides.get, key="compare_side", required=True,
                                label_visibility="collapsed")  # fmt: skip
    st.session_state.compare_side_kept = side
    if side == "theirs":
        _gaps(ws, one)
        _far(ws, one, [-1 - row for row in one.far_theirs], "Least similar to this workspace")
    else:
        _missing(one, shown)
        _far(ws, one, list(one.far_ours), f"Least similar to {name}")


def _gaps(ws: Workspace, one: Comparison) -> None:
    if not one.gaps:
        st.caption("Every question of it has a neighbor here.")
        return
    key = f"gaps_{one.name}_{one.made_at}"

    def choose(row: int | None) -> None:
        if row is not None:
            select(ws, -1 - one.gaps[row].example)

    st.caption(f"{'Words' if one.by_words else 'Topics'} without a near question here. Select one for an example.")
    _terms_table(
        [(", ".join(gap.terms), gap.rows) for gap in one.gaps], key, choose, "Topics that only the other dataset covers"
    )


def _missing(one: Comparison, shown: Map | None) -> None:
    missing = one.missing_there
    if not missing:
        st.caption("It has rows in every cluster.")
        return
    key = f"missing_{one.name}_{one.made_at}"

    def choose(row: int | None) -> None:
        if row is not None and shown is not None:
            st.session_state[AREA] = ("cluster", missing[row].id)

    st.caption("Clusters without a row of it. Select one for its questions.")
    _terms_table([(share.label, share.ours) for share in missing], key, choose, "Clusters without rows of the other dataset")


def _terms_table(rows: list[tuple[str, int]], key: str, choose: Callable[[int | None], None], alt: str) -> None:
    plain_table.draw(
        pd.DataFrame({"words": [shorten(words, 90) for words, _ in rows], "rows": [count for _, count in rows]}),
        **row_selection.clickable_rows(key, None, choose, len(rows)), hide_index=True, alt=alt, height="content" if len(rows) <= 6 else 248,
        column_config={
            "words": st.column_config.TextColumn("Keywords", width=205),
            "rows": st.column_config.NumberColumn("Rows", format="localized", width=60),
        },
    )  # fmt: skip


def _far(ws: Workspace, one: Comparison, seqs: list[int], title: str) -> None:
    """List the questions least similar to the other dataset."""
    if seqs:
        st.caption(title)
        _question_table(ws, one, seqs, f"far_{one.name}_{one.made_at}_{seqs[0]}", height=178)


def _question_table(ws: Workspace, one: Comparison, seqs: list[int], key: str, *, height: int, whose: bool = False) -> None:
    """Draw a table of questions of both datasets; `seqs` are numbers as in `select`."""
    ours = homework_rows.question_starts(ws.db, [seq for seq in seqs if seq >= 0], 160)
    rows = [-1 - seq for seq in seqs if seq < 0]
    theirs = dict(zip(rows, read_rows(ws, one.name, rows), strict=True))
    texts = [theirs[-1 - seq].question[:160] if seq < 0 else ours.get(seq, "(deleted)") for seq in seqs]
    frame = pd.DataFrame({"question": [text.replace("\n", " ") for text in texts]})
    if whose:
        frame.insert(0, "set", ["there" if seq < 0 else "here" for seq in seqs])

    def choose(row: int | None) -> None:
        if row is not None:
            select(ws, seqs[row])

    plain_table.draw(
        frame, **row_selection.clickable_rows(key, None, choose, len(seqs)), hide_index=True, alt="Questions",
        height=height if len(seqs) * 35 + 38 > height else "content",
        column_config={
            "set": st.column_config.TextColumn("Set", width=55), "question": st.column_config.TextColumn("Question", width=260),
        },
    )  # fmt: skip
