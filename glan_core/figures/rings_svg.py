"""The taxonomy as rings in SVG: the same picture as that of ECharts, for a page whose scripts have not started yet."""

from collections.abc import Iterator
from html import escape
from itertools import pairwise
from math import cos, degrees, pi, sin

from glan_core.figures.tree_parts import BAR_HEIGHT, BAR_WIDTH

FULL = 2 * pi


def rings_svg(option: dict, height: int) -> str:
    """Return the SVG of an option of `rings_chart`: its sectors, their labels and the color bar. Names are escaped.

    Args:
        option: The option.
        height: Height in pixels. The rings are in the middle of the width that the page gives to the picture.
    """
    (series,) = option["series"]
    (root,) = series["data"]
    radii = [_radii(level, height) for level in series["levels"][1:]]
    half = height / 2
    rings = "".join(_sectors(root, 0, 0.0, FULL, radii))
    return (
        f'<svg width="100%" height="{height}" viewBox="{-half:g} {-half:g} {height} {height}" '
        f'font-family="Source Sans, sans-serif">{rings}</svg>'
        f"{_color_bar(option['graphic'][0]['children'])}"
    )


def _radii(level: dict, height: int) -> tuple[float, float]:
    """Return inner and outer radius of a ring in pixels, which ECharts takes as percent of half the height."""
    inner, outer = (float(level[key].rstrip("%")) / 100 * height / 2 for key in ("r0", "r"))
    return inner, outer


def _size(item: dict) -> int:
    return item["value"] if "value" in item else sum(map(_size, item["children"]))


def _sectors(item: dict, depth: int, begin: float, angle: float, radii: list[tuple[float, float]]) -> Iterator[str]:
    """Yield a part and those within it; angles are clockwise from the top, in radians."""
    inner, outer = radii[depth]
    style = item["itemStyle"]
    line = f'stroke="{style["borderColor"]}" stroke-width="{style["borderWidth"]}"'
    yield f'<path d="{_outline(inner, outer, begin, angle)}" fill="{style["color"]}" {line}/>'
    if item["label"]["show"]:
        yield _label(item["label"], (inner + outer) / 2 if inner else 0.0, begin + angle / 2)
    total = sum(map(_size, item.get("children", ())))
    for child in item.get("children", ()):
        share = angle * _size(child) / total
        yield from _sectors(child, depth + 1, begin, share, radii)
        begin += share


def _outline(inner: float, outer: float, begin: float, angle: float) -> str:
    """Return the path of a sector; a full circle takes two arcs, because an arc cannot end where it begins."""
    whole = angle > FULL - 1e-9
    cuts = [begin, begin + pi, begin + FULL] if whole else [begin, begin + angle]
    edge = _arc(outer, cuts)
    return f"M{edge}Z" if not inner else f"M{edge}{'ZM' if whole else 'L'}{_arc(inner, cuts[::-1])}Z"


def _arc(radius: float, cuts: list[float]) -> str:
    """Return the path along a circle from the first to the last of some angles."""
    parts = [
        f"A{radius:.2f} {radius:.2f} 0 {int(abs(to - of) > pi)} {int(to > of)} {_point(radius, to)}"
        for of, to in pairwise(cuts)
    ]
    return _point(radius, cuts[0]) + "".join(parts)


def _point(radius: float, angle: float) -> str:
    return f"{radius * sin(angle):.2f} {-radius * cos(angle):.2f}"


def _label(label: dict, radius: float, angle: float) -> str:
    """Return the text of a sector around a point; turned as ECharts does, so that it is not upside down."""
    turn = {"radial": degrees(angle) - 90, "tangential": degrees(angle) - 180}.get(label["rotate"], 0.0)
    turn += 180 * ((turn < -90) - (turn > 90))
    lines, high = label["formatter"].split("\n"), label["lineHeight"]
    spans = "".join(
        f'<tspan x="0" y="{(n - (len(lines) - 1) / 2) * high:.1f}">{escape(line)}</tspan>' for n, line in enumerate(lines)
    )
    return (
        f'<text transform="translate({_point(radius, angle)}) rotate({turn:.1f})" font-size="{label["fontSize"]}" fill="{label["color"]}" '
        f'text-anchor="middle" dominant-baseline="central">{spans}</text>'
    )


def _color_bar(children: list[dict]) -> str:
    """Return the color bar, which the page places in the lower left corner."""
    bar, low, high = children
    stops = "".join(
        f'<stop offset="{stop["offset"]:.3f}" stop-color="{stop["color"]}"/>' for stop in bar["style"]["fill"]["colorStops"]
    )
    texts = "".join(
        f'<text x="{one["style"]["x"]}" y="{one["style"]["y"]}" text-anchor="{anchor}" font-size="{one["style"]["fontSize"]}" '
        f'fill="{one["style"]["fill"]}" dominant-baseline="hanging">{escape(one["style"]["text"])}</text>'
        for one, anchor in ((low, "start"), (high, "end"))
    )
    return (
        f'<svg class="bar" width="{BAR_WIDTH}" height="{BAR_HEIGHT + 18}" font-family="Source Sans, sans-serif">'
        f'<defs><linearGradient id="ramp">{stops}</linearGradient></defs>'
        f'<rect width="{BAR_WIDTH}" height="{BAR_HEIGHT}" fill="url(#ramp)"/>{texts}</svg>'
    )
