"""The diversity map: points that can be hovered, clicked and encircled, over a raster of all rows where those are too many.

`density_raster` counts rows into pixels, as datashader does: the colour of a pixel is the mean of its rows' colours, its
opacity grows with the logarithm of how many there are.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, at, mix

HEIGHT = 540
PIXELS = (900, 540)  # of a raster, wide and high
FAINTEST = 0.35  # opacity of a pixel with a single row
STATE_HUES = {"in the dataset": None, "kept by a person": 2, "quality": 1, "near-duplicate": 3, "contaminated": 0}
LABEL = (0.12, 0.07)  # what a cluster's words take up, of the map's width and height
MARGIN = 0.03  # around the points, of their extent


def palette(names: Sequence[str], groups: Sequence[str | None], style: Style) -> list[str]:
    """A colour '#rrggbb' for each name of a colouring: its group's hue, that of its state, or the next hue; grey for 'others'
    and what is no cluster."""
    hues = iter(style.hues[n] for n in (3, 1, 2, 0, 4, 5, 6, 7))
    colors = []
    for name, group in zip(names, groups, strict=True):
        if group:
            colors.append(style.groups[group])
        elif name == "rejected":
            colors.append(style.failure)
        elif name in STATE_HUES:
            hue = STATE_HUES[name]
            colors.append(style.muted if hue is None else style.hues[hue])
        elif name in ("others", "between clusters", "not stated", "no answer yet", "removed from the taxonomy"):
            colors.append(mix(style.nothing, style.muted, 0.4))
        else:
            colors.append(next(hues, style.muted))
    return colors


def extent_of(xy: np.ndarray) -> tuple[float, float, float, float]:
    """The window that holds all points of a map with a little room: x from, x to, y from, y to."""
    if not len(xy):
        return (-1.0, 1.0, -1.0, 1.0)
    (left, low), (right, high) = xy.min(axis=0)[:2].tolist(), xy.max(axis=0)[:2].tolist()
    wide, tall = (right - left) or 2.0, (high - low) or 2.0
    return (left - MARGIN * wide, right + MARGIN * wide, low - MARGIN * tall, high + MARGIN * tall)


def density_raster(
    xy: np.ndarray, rgb: np.ndarray, window: tuple[float, float, float, float], codes: np.ndarray,
    pixels: tuple[int, int] = PIXELS,
) -> np.ndarray:  # fmt: skip
    """RGBA uint8 [high, wide, 4] of the points in a window, the first row at the top. `codes` gives each point its row in
    `rgb` (uint8 [colours, 3]), -1 for one that is not drawn."""
    wide, high = pixels
    left, right, low, top = window
    px = ((np.asarray(xy[:, 0], np.float64) - left) / (right - left) * wide).astype(np.int64)
    py = ((top - np.asarray(xy[:, 1], np.float64)) / (top - low) * high).astype(np.int64)
    there = (px >= 0) & (px < wide) & (py >= 0) & (py < high) & (codes >= 0)
    cell = py[there] * wide + px[there]
    colour = np.asarray(rgb, dtype=np.float64)[codes[there]]
    total = np.bincount(cell, minlength=wide * high).astype(np.float64)
    image = np.zeros((wide * high, 4), dtype=np.uint8)
    filled = total > 0
    for channel in range(3):
        sums = np.bincount(cell, weights=colour[:, channel], minlength=wide * high)
        image[filled, channel] = (sums[filled] / total[filled]).round()
    if filled.any():
        share = np.log1p(total[filled]) / np.log1p(total.max())
        image[filled, 3] = (255 * (FAINTEST + (1 - FAINTEST) * share)).round()
    return image.reshape(high, wide, 4)


def picture(raster: np.ndarray) -> str:
    """A raster as the address of a PNG image that holds it."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(raster, "RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def value_codes(values: np.ndarray, steps: int = 64) -> tuple[np.ndarray, tuple[float, float]]:
    """Places on a ramp of `steps` for the numbers of a quantity, between the 2nd and the 98th of a hundred of them so that a
    few extremes do not hide the rest; and those two ends."""
    low, high = np.percentile(values, [2, 98]).tolist() if len(values) else (0.0, 1.0)
    if high <= low:
        high = low + 1.0
    return ((np.clip(values, low, high) - low) / (high - low) * (steps - 1)).astype(np.int16), (low, high)


def ramp(style: Style, steps: int = 64) -> list[str]:
    """The colours of a quantity in so many steps, as `value_codes` counts them."""
    return [at(style.ramp, n / (steps - 1)) for n in range(steps)]


def map_figure(
    points: pd.DataFrame, style: Style, *, window: tuple[float, float, float, float], colors: dict[str, str] | None = None,
    label: str = "", ends: tuple[float, float] | None = None, image: str | None = None, clusters: pd.DataFrame | None = None,
    picked: int | None = None, contours: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    symbols: Mapping[str, str] | None = None,
) -> go.Figure:  # fmt: skip
    """The map in 2-D. `points`: seq, x, y, text, and name (a key of `colors`, perhaps of `symbols`) or value (between `ends`);
    faded ones have the name ''. Over an `image` of all rows the points are small. `clusters`: x, y, label, written into the map; `picked`: the seq
    of the point that is marked; `contours`: centres of columns and rows, and how many rows are around each."""
    figure = go.Figure()
    left, right, low, high = window
    if image:
        figure.add_layout_image(
            source=image,
            xref="x",
            yref="y",
            x=left,
            y=high,
            sizex=right - left,
            sizey=high - low,
            sizing="stretch",
            layer="below",
        )
    if contours is not None:
        x, y, z = contours
        figure.add_trace(go.Contour(
            x=x, y=y, z=z, showscale=False, hoverinfo="skip", ncontours=7, contours={"coloring": "none", "start": float(z.max()) / 40,
            "end": float(z.max()), "size": float(z.max()) / 7}, line={"color": style.muted, "width": 1}, showlegend=False,
        ))  # fmt: skip
    size, opacity = (3.5, 0.6) if image else (5 if len(points) > 4000 else 7, 0.85)
    for trace in _traces(points, style, colors, label, ends, size, opacity, go.Scattergl, symbols):
        figure.add_trace(trace)
    marked = points[points["seq"] == picked]
    if len(marked):
        figure.add_trace(go.Scattergl(
            x=marked["x"], y=marked["y"], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"size": 16, "symbol": "circle-open", "color": style.text, "line": {"width": 2.5, "color": style.text}},
        ))  # fmt: skip
    if clusters is not None:  # as annotations, since plotly draws every trace of text below the points
        for x, y, label in zip(clusters["x"], clusters["y"], clusters["label"], strict=True):
            figure.add_annotation(
                x=x, y=y, text=label, showarrow=False, font={"size": 12, "color": style.text}, bgcolor=_veil(style), borderpad=1
            )
    axis = {"visible": False, "constrain": "domain"}
    figure.update_layout(
        template=style.template, height=HEIGHT, dragmode="pan", xaxis={**axis, "range": [left, right]},
        yaxis={**axis, "range": [low, high]}, **_legend(colors),
    )  # fmt: skip
    return figure


def apart(places: pd.DataFrame, window: tuple[float, float, float, float], most: int) -> pd.DataFrame:
    """The first of these rows (x, y, label) inside a window that do not come too near to one before them to be read."""
    left, right, low, high = window
    kept: list[int] = []
    x, y = (places["x"] - left) / (right - left), (places["y"] - low) / (high - low)
    for n in range(len(places)):
        clear = all(abs(x[n] - x[k]) > LABEL[0] or abs(y[n] - y[k]) > LABEL[1] for k in kept)
        if 0 <= x[n] <= 1 and 0 <= y[n] <= 1 and clear and len(kept) < most:
            kept.append(n)
    return places.iloc[kept]


def map_figure_3d(
    points: pd.DataFrame, style: Style, *, colors: dict[str, str] | None = None, label: str = "",
    ends: tuple[float, float] | None = None,
) -> go.Figure:  # fmt: skip
    """The map in 3-D; `points` as for `map_figure`, with z."""
    figure = go.Figure(_traces(points, style, colors, label, ends, 3, 0.8, go.Scatter3d))
    axis = {"showticklabels": False, "title": "", "showbackground": False, "gridcolor": style.grid, "zeroline": False}
    figure.update_layout(
        template=style.template, height=HEIGHT, scene={"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data"},
        **_legend(colors),
    )  # fmt: skip
    return figure


def density_contours(xy: np.ndarray, window: tuple[float, float, float, float], cells: int = 60):
    """How many rows are around each cell of a grid: centres of the columns, of the rows, counts [rows, columns], smoothed."""
    left, right, low, high = window
    counts, ys, xs = np.histogram2d(xy[:, 1], xy[:, 0], bins=cells, range=[[low, high], [left, right]])
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel, mode="same")
    return (xs[:-1] + xs[1:]) / 2, (ys[:-1] + ys[1:]) / 2, counts


def _traces(
    points: pd.DataFrame, style: Style, colors, label: str, ends, size: float, opacity: float, kind,
    symbols: Mapping[str, str] | None = None,
) -> list:  # fmt: skip
    """The points: one trace a name, the faded ones first; or one trace with a ramp."""
    hover = {"hovertemplate": "%{text}<extra></extra>"}

    def trace(rows: pd.DataFrame, marker: dict, **more):
        deep = {"z": rows["z"]} if "z" in rows else {}
        return kind(
            x=rows["x"], y=rows["y"], **deep, text=rows["text"], customdata=rows["seq"], mode="markers",
            marker={"size": size, "opacity": opacity, "line": {"width": 0}, **marker}, **hover, **more,
        )  # fmt: skip

    if ends is not None:
        bar = {"title": {"text": label, "side": "right"}, "thickness": 10, "len": 0.6, "outlinewidth": 0}
        marker = {"color": points["value"], "colorscale": style.scale, "cmin": ends[0], "cmax": ends[1], "colorbar": bar}
        return [trace(points, marker, showlegend=False)]
    found = []
    if (faded := points[points["name"] == ""]).shape[0]:
        found.append(trace(faded, {"color": mix(style.nothing, style.muted, 0.25), "opacity": 0.5}, showlegend=False))
    for name, color in (colors or {}).items():
        rows = points[points["name"] == name]
        if len(rows):
            shape = {"symbol": symbols[name]} if symbols else {}
            if shape and shape["symbol"].endswith("-open"):  # nothing of it would be seen without a line
                shape["line"] = {"width": 1.5, "color": color}
            found.append(trace(rows, {"color": color, **shape}, name=name, showlegend=True))
    return found


def _veil(style: Style) -> str:
    """The background, so thin that points shine through it and words on it can be read."""
    return f"rgba({', '.join(str(int(style.background[n : n + 2], 16)) for n in (1, 3, 5))}, 0.72)"


def _legend(colors: dict[str, str] | None) -> dict:
    """A legend below the map, where names are coloured."""
    if not colors:
        return {"showlegend": False}
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "itemsizing": "constant", "title": {"text": ""}},
    }
