"""The diversity map: interactive points, over a raster of all rows if there are too many.

`density_raster` aggregates rows to pixels like datashader: the color of a pixel is the mean of its rows' colors, and its opacity
increases with the logarithm of their number.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, at, mix

Window = tuple[float, float, float, float]  # (left, right, bottom, top) in map coordinates

HEIGHT = 540
PIXELS = (900, 540)  # (width, height) of a raster
MIN_OPACITY = 0.35  # opacity of a pixel with one row
STATE_HUES = {"in the dataset": None, "kept by a person": 2, "quality": 1, "near-duplicate": 3, "contaminated": 0}
LABEL_SIZE, LETTER = 12, 6.4  # size of a cluster label and the mean width of its letters, in pixels
LABEL_GAP = 4  # between a cluster and its label, in pixels
ANCHORS: dict[str, dict[str, Any]] = {
    "above": {"xanchor": "center", "yanchor": "bottom"}, "below": {"xanchor": "center", "yanchor": "top"},
    "right": {"xanchor": "left", "yanchor": "middle"}, "left": {"xanchor": "right", "yanchor": "middle"},
}  # fmt: skip
MARGIN = 0.03  # around the points, as a fraction of their extent


def palette(names: Sequence[str], groups: Sequence[str | None], style: Style) -> list[str]:
    """Return a color '#rrggbb' per name: that of its group or state, or the next hue; gray for 'others' and no cluster."""
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
    """Return the window (left, right, bottom, top) that contains all points with a margin."""
    if not len(xy):
        return (-1.0, 1.0, -1.0, 1.0)
    (left, low), (right, high) = xy.min(axis=0)[:2].tolist(), xy.max(axis=0)[:2].tolist()
    width, height = (right - left) or 2.0, (high - low) or 2.0
    return (left - MARGIN * width, right + MARGIN * width, low - MARGIN * height, high + MARGIN * height)


def density_raster(
    xy: np.ndarray, rgb: np.ndarray, window: tuple[float, float, float, float], codes: np.ndarray,
    pixels: tuple[int, int] = PIXELS,
) -> np.ndarray:  # fmt: skip
    """Aggregate the points in a window to an image.

    Args:
        xy: Coordinates, `(n, 2)`.
        rgb: Colors, `(colors, 3) uint8`.
        window: (left, right, bottom, top).
        codes: Index of each point's color, -1 for points that are not drawn, `(n,)`.
        pixels: (width, height).

    Returns:
        RGBA image, `(height, width, 4) uint8`, the top row first.
    """
    wide, high = pixels
    left, right, low, top = window
    px = ((np.asarray(xy[:, 0], np.float64) - left) / (right - left) * wide).astype(np.int64)
    py = ((top - np.asarray(xy[:, 1], np.float64)) / (top - low) * high).astype(np.int64)
    inside = (px >= 0) & (px < wide) & (py >= 0) & (py < high) & (codes >= 0)
    cell = py[inside] * wide + px[inside]
    color = np.asarray(rgb, dtype=np.float64)[codes[inside]]
    total = np.bincount(cell, minlength=wide * high).astype(np.float64)
    image = np.zeros((wide * high, 4), dtype=np.uint8)
    filled = total > 0
    for channel in range(3):
        sums = np.bincount(cell, weights=color[:, channel], minlength=wide * high)
        image[filled, channel] = (sums[filled] / total[filled]).round()
    if filled.any():
        share = np.log1p(total[filled]) / np.log1p(total.max())
        image[filled, 3] = (255 * (MIN_OPACITY + (1 - MIN_OPACITY) * share)).round()
    return image.reshape(high, wide, 4)


def png_data_url(raster: np.ndarray) -> str:
    """Encode a raster as a PNG data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(raster, "RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def value_codes(values: np.ndarray, steps: int = 64) -> tuple[np.ndarray, tuple[float, float]]:
    """Map values to steps of a ramp between their 2nd and 98th percentiles; return the codes and those two values."""
    low, high = np.percentile(values, [2, 98]).tolist() if len(values) else (0.0, 1.0)
    if high <= low:
        high = low + 1.0
    return ((np.clip(values, low, high) - low) / (high - low) * (steps - 1)).astype(np.int16), (low, high)


def ramp(style: Style, steps: int = 64) -> list[str]:
    """Return the colors of a ramp with this number of steps, as used by `value_codes`."""
    return [at(style.ramp, n / (steps - 1)) for n in range(steps)]


@dataclass(frozen=True, slots=True)
class Coloring:
    """How points are colored: by name, or by value along a ramp.

    Attributes:
        colors: Color per name, in legend order.
        symbols: Symbol per name.
        label: Title of the color bar.
        ends: Values at the ends of the ramp; None to color by name.
    """

    colors: Mapping[str, str] | None = None
    symbols: Mapping[str, str] | None = None
    label: str = ""
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class MapLayers:
    """Additional layers of the 2-D map.

    Attributes:
        image: Data URL of a raster of all rows, drawn below smaller points.
        clusters: Labels with x, y, label and anchor, see `placed_labels`.
        picked: `seq` of the highlighted point.
        contours: Column centers, row centers and density, see `density_contours`.
        outline: Corners of the selected area.
    """

    image: str | None = None
    clusters: pd.DataFrame | None = None
    picked: int | None = None
    contours: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    outline: Sequence[tuple[float, float]] = ()


def map_figure(
    points: pd.DataFrame, style: Style, *, window: Window, coloring: Coloring, layers: MapLayers = MapLayers()
) -> go.Figure:  # fmt: skip
    """Draw the 2-D map.

    Args:
        points: seq, x, y, text, and name (key of the colors, '' for faded points) or value.
        style: The theme.
        window: (left, right, bottom, top).
        coloring: How points are colored.
        layers: Additional layers.
    """
    figure = go.Figure()
    left, right, low, high = window
    if layers.image:
        figure.add_layout_image(
            source=layers.image,
            xref="x",
            yref="y",
            x=left,
            y=high,
            sizex=right - left,
            sizey=high - low,
            sizing="stretch",
            layer="below",
        )
    if layers.contours is not None:
        x, y, z = layers.contours
        figure.add_trace(go.Contour(
            x=x, y=y, z=z, showscale=False, hoverinfo="skip", ncontours=7, contours={"coloring": "none", "start": float(z.max()) / 40,
            "end": float(z.max()), "size": float(z.max()) / 7}, line={"color": style.muted, "width": 1}, showlegend=False,
        ))  # fmt: skip
    size, opacity = (3.5, 0.6) if layers.image else (5 if len(points) > 4000 else 7, 0.85)
    for trace in _traces(points, style, coloring, go.Scattergl, size=size, opacity=opacity):
        figure.add_trace(trace)
    marked = points[points["seq"] == layers.picked]
    if len(marked):
        figure.add_trace(go.Scattergl(
            x=marked["x"], y=marked["y"], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"size": 16, "symbol": "circle-open", "color": style.text, "line": {"width": 2.5, "color": style.text}},
        ))  # fmt: skip
    if layers.outline:
        path = " L ".join(f"{x} {y}" for x, y in layers.outline)
        figure.add_shape(type="path", path=f"M {path} Z", line={"color": style.text, "width": 1.5, "dash": "dot"})
    if (clusters := layers.clusters) is not None:  # as annotations, because plotly draws text traces below points
        for x, y, name, anchor in zip(clusters["x"], clusters["y"], clusters["label"], clusters["anchor"], strict=True):
            figure.add_annotation(
                x=x,
                y=y,
                text=label(name),
                showarrow=False,
                font={"size": LABEL_SIZE, "color": style.text},
                borderpad=1,
                **ANCHORS[anchor],
            )
    axis = {"visible": False, "constrain": "domain"}
    figure.update_layout(
        template=style.template, height=HEIGHT, dragmode="pan", xaxis={**axis, "range": [left, right]},
        yaxis={**axis, "range": [low, high]}, **_legend(coloring.colors),
    )  # fmt: skip
    return figure


def placed_labels(
    places: pd.DataFrame, xy: np.ndarray, window: Window, most: int, pixels: tuple[int, int] = PIXELS
) -> pd.DataFrame:
    """Place labels beside their clusters, where they cover neither points nor each other; those without a place are left out.

    Args:
        places: One row per cluster, the most important first: bounding box (x0, y0, x1, y1) and label.
        xy: All points, `(n, 2)`.
        window: (left, right, bottom, top).
        most: Largest number of labels.
        pixels: Approximate size of the map on the screen.

    Returns:
        x, y and label of each placed label, and its anchor: the side of the cluster it is on (key of `ANCHORS`).
    """
    left, right, low, high = window
    to_pixels = np.array([pixels[0] / (right - left), pixels[1] / (high - low)])
    points = (np.asarray(xy, np.float64) - [left, low]) * to_pixels
    taken: list[tuple[float, float, float, float]] = []
    found = []
    for row in places.itertuples():
        x0, y0, x1, y1 = (np.array([row.x0, row.y0, row.x1, row.y1]) - [left, low, left, low]) * np.tile(to_pixels, 2)
        wide, tall = LETTER * len(row.label), 1.4 * LABEL_SIZE
        middle, center = (x0 + x1) / 2, (y0 + y1) / 2
        for anchor, (x, y, box) in {
            "above": (middle, y1 + LABEL_GAP, (middle - wide / 2, y1 + LABEL_GAP, middle + wide / 2, y1 + LABEL_GAP + tall)),
            "below": (middle, y0 - LABEL_GAP, (middle - wide / 2, y0 - LABEL_GAP - tall, middle + wide / 2, y0 - LABEL_GAP)),
            "right": (x1 + LABEL_GAP, center, (x1 + LABEL_GAP, center - tall / 2, x1 + LABEL_GAP + wide, center + tall / 2)),
            "left": (x0 - LABEL_GAP, center, (x0 - LABEL_GAP - wide, center - tall / 2, x0 - LABEL_GAP, center + tall / 2)),
        }.items():
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= pixels[0] and box[3] <= pixels[1]
            if inside and not any(_overlap(box, other) for other in taken) and not _covers(box, points):
                taken.append(box)
                found.append((x / to_pixels[0] + left, y / to_pixels[1] + low, row.label, anchor))
                break
        if len(found) == most:
            break
    return pd.DataFrame(found, columns=["x", "y", "label", "anchor"])


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _covers(box: tuple[float, float, float, float], points: np.ndarray) -> bool:
    """Return whether a box covers more than a stray point."""
    inside = (points[:, 0] > box[0]) & (points[:, 0] < box[2]) & (points[:, 1] > box[1]) & (points[:, 1] < box[3])
    return int(inside.sum()) > max(2, len(points) // 5000)


def map_figure_3d(points: pd.DataFrame, style: Style, coloring: Coloring) -> go.Figure:
    """Draw the 3-D map; `points` as for `map_figure`, with z."""
    figure = go.Figure(_traces(points, style, coloring, go.Scatter3d, size=3, opacity=0.8))
    axis = {"showticklabels": False, "title": "", "showbackground": False, "gridcolor": style.grid, "zeroline": False}
    figure.update_layout(
        template=style.template, height=HEIGHT, scene={"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data"},
        **_legend(coloring.colors),
    )  # fmt: skip
    return figure


def density_contours(xy: np.ndarray, window: Window, cells: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smoothed density of points on a grid.

    Returns:
        Column centers `(cells,)`, row centers `(cells,)` and counts `(rows, columns)`.
    """
    left, right, low, high = window
    counts, ys, xs = np.histogram2d(xy[:, 1], xy[:, 0], bins=cells, range=[[low, high], [left, right]])
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel, mode="same")
    return (xs[:-1] + xs[1:]) / 2, (ys[:-1] + ys[1:]) / 2, counts


def _traces(
    points: pd.DataFrame, style: Style, coloring: Coloring, trace_type: type, *, size: float, opacity: float
) -> list:  # fmt: skip
    """Return one trace per name, faded points first; or one trace with a color ramp."""
    hover = {"hovertemplate": "%{text}<extra></extra>"}

    def trace(rows: pd.DataFrame, marker: dict, **more: Any) -> Any:
        depth = {"z": rows["z"]} if "z" in rows else {}
        return trace_type(
            x=rows["x"], y=rows["y"], **depth, text=rows["text"], customdata=rows["seq"], mode="markers",
            marker={"size": size, "opacity": opacity, "line": {"width": 0}, **marker}, **hover, **more,
        )  # fmt: skip

    if coloring.ends is not None:
        low, high = coloring.ends
        bar = {"title": {"text": label(coloring.label), "side": "right"}, "thickness": 10, "len": 0.6, "outlinewidth": 0}
        marker = {"color": points["value"], "colorscale": style.scale, "cmin": low, "cmax": high, "colorbar": bar}
        return [trace(points, marker, showlegend=False)]
    found = []
    if (faded := points[points["name"] == ""]).shape[0]:
        found.append(trace(faded, {"color": mix(style.nothing, style.muted, 0.25), "opacity": 0.5}, showlegend=False))
    for name, color in (coloring.colors or {}).items():
        rows = points[points["name"] == name]
        if len(rows):
            symbol = coloring.symbols[name] if coloring.symbols else None
            shape: dict[str, Any] = {"symbol": symbol} if symbol else {}
            if symbol and symbol.endswith("-open"):  # invisible without a line
                shape["line"] = {"width": 1.5, "color": color}
            found.append(trace(rows, {"color": color, **shape}, name=label(name), showlegend=True))
    return found


def _legend(colors: Mapping[str, str] | None) -> dict:
    """Return the layout of the legend below the map, if names are colored."""
    if not colors:
        return {"showlegend": False}
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "itemsizing": "constant", "title": {"text": ""}},
    }
