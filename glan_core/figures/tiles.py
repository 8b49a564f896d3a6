"""The taxonomy as tiles: an ECharts treemap whose groups are frames with a heading."""

from collections.abc import Sequence

import pandas as pd

from glan_core.figures.labels import chart_text
from glan_core.figures.style import Style, ink_on
from glan_core.figures.text_width import two_lines
from glan_core.figures.tree_parts import BAR_ROOM, ColorBar, Part, drawn_part, part_item, tree_chart

LEVELS = 4  # nested levels, the frame included
HEADING = 20  # height of a heading
LETTERS = 44  # most characters of a name


def tiles_chart(
    frame: pd.DataFrame, colors: Sequence[str], bar: ColorBar, style: Style, middle: str, picked: str | None = None, height: int = 620
) -> dict:  # fmt: skip
    """Build the ECharts option of the taxonomy as tiles within a node; arguments as for `rings.rings_chart`."""
    series = {
        "type": "treemap", "id": "tiles", "left": 4, "right": 4, "top": 4, "width": None, "height": height - BAR_ROOM - 8,
        "sort": None, "nodeClick": False, "roam": False, "breadcrumb": {"show": False}, "selectedMode": "single",
        "emphasis": {"focus": "none"}, "select": {"disabled": True}, "visibleMin": 1,
        "data": [_item(drawn_part(frame, colors, middle, picked, LEVELS), style)],
    }  # fmt: skip
    return tree_chart(series, bar, style)


def _item(part: Part, style: Style) -> dict:
    """Return a part and those within it; ECharts, which knows the sizes of tiles, abbreviates names."""
    item, name = part_item(part, style), chart_text(part.name, LETTERS)
    if not part.parts:
        item["label"] |= {
            "show": part.named, "formatter": "\n".join(two_lines(name)), "fontSize": 12, "lineHeight": 13, "padding": [0, 2],
            "position": "inside", "align": "center", "verticalAlign": "middle", "overflow": "truncate", "ellipsis": ".",
        }  # fmt: skip
        return item
    return item | {
        "itemStyle": {"borderColor": part.color, "borderWidth": 3, "gapWidth": 2},
        "upperLabel": {"show": True, "height": HEADING, "formatter": name, "color": ink_on(part.color), "fontSize": 12,
                       "padding": [0, 4], "overflow": "truncate"},
        "children": [_item(one, style) for one in part.parts],
    }  # fmt: skip
