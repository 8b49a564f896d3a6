"""Map view: all questions by similarity, with the selected area, question or cluster."""

import textwrap
from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd
import streamlit as st

from glan_core.diversity import map_queries
from glan_core.diversity.map_area import LASSO, Area, area_mask, area_of
from glan_core.diversity.map_queries import COLORINGS, EVERYTHING, Coloring, Window
from glan_core.diversity.map_store import Map, MapInfo, list_maps, read_map
from glan_core.figures import diversity_map as pictures
from glan_core.figures.labels import label, label_lines
from glan_core.figures.style import Style, style
from glan_core.formatting import number, plural, shorten
from glan_core.taxonomy import coverage, hierarchy
from glan_core.untrusted import clean_line
from glan_core.workspace import Workspace, homework_rows, record_rows
from glan_core.workspace.pair_filter import PairFilter, matching
from pages.components.diversity import selection_panel
from pages.components.shared import map_selection, page_frame, url_state

POINTS = 9000  # maximum number drawn as points
SAMPLED = 5000  # points drawn over a raster if there are more
POINTS_3D = 12_000
NAMED = 24  # clusters labeled on the map
CONTOURS_FROM = 2000
MOST_FOUND = 20_000  # matches of a search that stand out


def panel(ws: Workspace, tree: nx.DiGraph, embedder: str) -> None:
    """Draw the map and the selection."""
    dims = sorted(info.dims for info in list_maps(ws) if info.embedder == embedder)
    left, right = page_frame.main_and_detail()
    with left, st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        by = st.selectbox("Color by", list(COLORINGS), format_func=COLORINGS.get, key="colour", width=190, bind="query-params")
        deep = dims[-1]
        if len(dims) > 1:
            deep = st.segmented_control(
                "Dimensions", dims, default=2, format_func=lambda d: f"{d}-D", key="dims", bind="query-params", required=True
            )
        named = deep == 2 and st.toggle("Clusters", value=True, key="clusters_named", help="Show the keywords of the clusters.")
        lined = deep == 2 and st.toggle("Contours", value=False, key="contours", help="Show lines of equal density.")
    shown = read_map(ws, embedder, deep)
    if shown is None:
        left.info("This map is being created.")
        return
    window = _window() if deep == 2 else EVERYTHING
    area = map_selection.selected()
    chosen = area and area_mask(shown, area)
    with left:
        found = _search(ws, shown)
        _picture(
            ws, tree, shown, View(by, window, named=named, lined=lined, bright=chosen if found is None else found, area=area)
        )
        st.caption(_said(shown.info, window))
    with right:
        selection_panel.panel(ws, tree, shown, chosen, to_window=_zoom)


def _window() -> Window:
    return st.session_state.get("map_window", EVERYTHING)


def _zoom(window: Window) -> None:
    """Zoom to a window of the map."""
    st.session_state.map_window = window


def _said(info: MapInfo, window: Window) -> str:
    fitted = f"UMAP, fitted on {number(info.landmarks)} of them" if info.landmarks < info.rows else "UMAP"
    part = " Zoomed in." if window != EVERYTHING else ""
    return f"{plural(info.rows, 'question')}. {info.about} {fitted}, seed {info.seed}. Close points are similar; axes have no meaning.{part}"


@dataclass(frozen=True)
class View:
    """How a map is drawn.

    Attributes:
        by: Coloring.
        window: Part that is shown.
        named: Whether clusters are labeled.
        lined: Whether contours are drawn.
        bright: Mask of the rows that stand out; None: all.
        area: Selected area.
    """

    by: str
    window: Window
    named: bool
    lined: bool
    bright: np.ndarray | None
    area: Area | None


def _search(ws: Workspace, shown: Map) -> np.ndarray | None:
    """Draw the search field; returns a mask of the rows that contain its words, None without words."""
    words = st.text_input(
        "Search on the map", key="map_words", placeholder="words in question or answer", icon=":material/search:", bind="query-params",
        label_visibility="collapsed", width=320,
    ).strip()  # fmt: skip
    if not words:
        return None
    seqs = np.array(matching(ws.db, PairFilter(words=words), limit=MOST_FOUND), dtype=np.int64)
    found = np.isin(np.asarray(shown.seqs), seqs)
    more = "at least " if len(seqs) == MOST_FOUND else ""
    st.caption(f"{more}{plural(int(found.sum()), 'question')} on the map match.".capitalize())
    return found


def _picture(ws: Workspace, tree: nx.DiGraph, shown: Map, view: View) -> None:
    focus, theme = url_state.focus(), st.context.theme.type
    by, window = view.by, view.window
    key = f"map_{shown.info.embedder}_{shown.info.dims}_{shown.info.version}_{by}_{focus}_{window}_{theme}"

    def choose() -> None:
        selection = st.session_state[key]["selection"]
        if selection.get("box") or selection.get("lasso"):
            kind = "box" if selection.get("box") else "lasso"
            shape = selection[kind][0]
            map_selection.select(area_of(kind, shown, shape["x"], shape["y"]))
            url_state.select(pair=None)
        elif selection["points"] and (seq := selection["points"][0].get("customdata")) is not None:
            seq = seq[0] if isinstance(seq, list) else seq
            url_state.select(pair=next(iter(homework_rows.pair_ids(ws.db, [int(seq)])), None))

    changes = _changes(ws, tree)
    place = (str(ws.folder), shown.info.embedder, shown.info.dims, shown.info.version)
    points, look = _drawn(ws, tree, shown, place, by, focus, window, theme, changes)
    if view.bright is not None:
        points = _dimmed(points, shown, view.bright)
    coloring = pictures.Coloring(look["colors"], label=look["label"], ends=look["ends"])
    if shown.info.dims == 3:
        figure = pictures.map_figure_3d(points, page_frame.figure_style(), coloring)
        modes = ("points",)
    else:
        here = look["window"]
        contours = (
            pictures.density_contours(np.asarray(shown.xy), here) if view.lined and shown.info.rows >= CONTOURS_FROM else None
        )
        figure = pictures.map_figure(
            points, page_frame.figure_style(), window=here, coloring=coloring,
            layers=pictures.MapLayers(look["image"], _names(shown, here) if view.named else None, _picked_seq(ws), contours, _outline(view.area)),
        )  # fmt: skip
        modes = ("points", "box", "lasso")
    figure.update_layout(uirevision=str((*place, window)))
    st.plotly_chart(
        figure, key=key, on_select=choose, selection_mode=modes, width="stretch",
        alt=f"Map of {plural(shown.info.rows, 'question')}, colored by {COLORINGS[by].lower()}. The table beside it lists the clusters and, once "
        "one is selected, its questions.",
        config={"displaylogo": False, "scrollZoom": True, "modeBarButtonsToRemove": ["autoScale2d", "zoom2d"]},
    )  # fmt: skip


def _dimmed(points: pd.DataFrame, shown: Map, bright: np.ndarray) -> pd.DataFrame:
    """Return the points with those outside of a mask faded; points colored by value are left out."""
    kept = bright[np.searchsorted(np.asarray(shown.seqs), points["seq"].to_numpy())]
    if "name" not in points:
        return points[kept]
    return points.assign(name=np.where(kept, points["name"], ""))


def _outline(area: Area | None) -> list[tuple[float, float]]:
    """Return the corners of a selected box or lasso."""
    if area is None or not area.ys:
        return []
    if area.kind == LASSO:
        return list(zip(area.xs, area.ys, strict=True))
    (x0, x1), (y0, y1) = area.xs, area.ys
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _changes(ws: Workspace, tree: nx.DiGraph) -> tuple:
    """Return a cache key for the texts, names and states of rows: the last edits, and counts, which checks change."""
    counts = coverage.coverage_by_node(ws, tree)[""].counts
    states = tuple(value for name, value in counts.items() if name.startswith("dropped") or name == "kept")
    return (record_rows.last_event(ws.db), tuple(node.name for node in hierarchy.walk(tree)), states)


@st.cache_data(max_entries=24, show_spinner=False)
def _drawn(
    _ws: Workspace, _tree: nx.DiGraph, _shown: Map, place: tuple, by: str, focus: str | None, window: Window, theme: str,
    changes: tuple,
) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Return the points of a view with colors and texts, and a raster of all rows for a large map."""
    shown, look = _shown, style(theme)
    coloring = map_queries.color_rows(_ws, _tree, shown, by, focus)
    xy, inside = np.asarray(shown.xy), map_queries.in_focus(_tree, shown, focus)
    here = pictures.extent_of(xy[:, :2]) if window == EVERYTHING else window
    there = map_queries.in_window(xy, here)
    most = POINTS if shown.info.dims == 2 else POINTS_3D
    wanted = there if inside is None or int(there.sum()) <= most else there & inside
    if shown.info.dims == 2 and int(wanted.sum()) > most:
        most = SAMPLED
    rows = map_queries.sample_rows(wanted, most)
    points = pd.DataFrame({"seq": shown.seqs[rows], "x": xy[rows, 0], "y": xy[rows, 1]})
    if shown.info.dims == 3:
        points["z"] = xy[rows, 2]
    points["text"] = _hover(_ws, _tree, shown, rows)
    colors, ends = None, None
    if coloring.codes is not None:
        palette = pictures.palette(coloring.names, coloring.groups, look)
        colors = dict(zip(coloring.names, palette, strict=True))
        names = np.array(coloring.names, dtype=object)[coloring.codes[rows]]
        points["name"] = names if inside is None else np.where(inside[rows], names, "")
    else:
        values = coloring.values if inside is None else coloring.values[inside]
        ends = pictures.value_codes(values)[1]
        points["value"] = coloring.values[rows]
    image = None
    if shown.info.dims == 2 and int(there.sum()) > len(rows):
        image = _raster(xy, coloring, inside, here, look)
    return points, {"colors": colors, "ends": ends, "label": coloring.label, "image": image, "window": here}


def _raster(xy: np.ndarray, coloring: Coloring, inside: np.ndarray | None, window: Window, look: Style) -> str:
    if coloring.codes is not None:
        codes, colors = coloring.codes.astype(np.int64), pictures.palette(coloring.names, coloring.groups, look)
    else:
        codes, _ = pictures.value_codes(coloring.values)
        codes, colors = codes.astype(np.int64), pictures.ramp(look)
    if inside is not None:
        codes, colors = np.where(inside, codes, len(colors)), [*colors, look.nothing]
    rgb = np.array([[int(color[n : n + 2], 16) for n in (1, 3, 5)] for color in colors], dtype=np.uint8)
    return pictures.png_data_url(pictures.density_raster(xy, rgb, window, codes))


def _hover(ws: Workspace, tree: nx.DiGraph, shown: Map, rows: np.ndarray) -> list[str]:
    """Return hover texts: beginning of the question and its discipline."""
    starts = homework_rows.question_starts(ws.db, shown.seqs[rows].tolist(), 120)
    names = [tree.nodes[id]["node"].name if id in tree else "removed" for id in shown.info.disciplines]
    texts = []
    for seq, discipline in zip(shown.seqs[rows].tolist(), shown.discipline[rows].tolist(), strict=True):
        lines = textwrap.wrap(shorten(clean_line(starts.get(seq, "")), 110), 56) or ["(deleted)"]
        texts.append(f"{label_lines(*lines)}<br><i>{label(names[discipline])}</i>")
    return texts


def _names(shown: Map, window: Window) -> pd.DataFrame:
    """Return labels of the largest clusters in a window."""
    places = map_queries.cluster_boxes(shown, 2 * NAMED)
    return pictures.placed_labels(places, np.asarray(shown.xy)[:, :2], window, NAMED)


def _picked_seq(ws: Workspace) -> int | None:
    pair = url_state.selected("pair") and homework_rows.pair(ws.db, url_state.selected("pair"))
    return pair.question.seq if pair else None
