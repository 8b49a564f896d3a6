"""Coverage of the taxonomy as a plotly sunburst for the stakeholder report: a file that contains plotly alone, and zooms by itself."""

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.coverage import scale_ends, shade_colors
from glan_core.figures.labels import label, label_lines
from glan_core.figures.style import Style, ink_on
from glan_core.figures.text_width import two_lines
from glan_core.figures.tree_parts import leaf_sums, named_parts
from glan_core.formatting import shorten
from glan_core.untrusted import clean_line

LETTERS = 44  # most characters of a name


def coverage_sunburst(frame: pd.DataFrame, measure: str, style: Style, height: int = 600) -> go.Figure:
    """Draw a `coverage_frame` as a sunburst: sectors sized by disciplines and shaded by the measure."""
    colors = shade_colors(frame, style)
    names = [
        shorten(clean_line(name), LETTERS) if named else ""
        for name, named in zip(frame["name"], named_parts(frame), strict=True)
    ]
    trace = go.Sunburst(
        ids=frame["id"], parents=frame["parent"], labels=[label_lines(*two_lines(name)) for name in names],
        values=leaf_sums(frame), branchvalues="total", sort=False, maxdepth=5, leaf={"opacity": 1}, insidetextorientation="auto",
        customdata=[(label(name), label_lines(*lines)) for name, lines in zip(frame["name"], frame["hover"], strict=True)],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>", textfont={"color": list(map(ink_on, colors))},
        marker={"colors": colors, "line": {"color": style.background, "width": 1}}, domain={"x": [0, 1], "y": [0, 1]},
    )  # fmt: skip
    bar = {
        "orientation": "h", "thickness": 8, "len": 0.42, "x": 0.5, "y": -0.005, "yanchor": "top", "outlinewidth": 0, "ticks": "",
        "tickvals": [0, 1], "ticktext": list(scale_ends(frame, measure)), "tickfont": {"color": style.muted, "size": 11},
    }  # fmt: skip
    scale = {"color": [0], "cmin": 0, "cmax": 1, "colorscale": style.scale, "showscale": True, "colorbar": bar}
    figure = go.Figure([trace, go.Scatter(x=[None], y=[None], mode="markers", marker=scale, hoverinfo="skip")])
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        template=style.template, height=height, uniformtext={"minsize": 8, "mode": "hide"}, xaxis=hidden, yaxis=hidden,
        margin={"l": 8, "r": 8, "t": 8, "b": 44},
    )  # fmt: skip
    return figure
