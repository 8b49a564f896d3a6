"""The style of figures: a hue per group, ramps, and a plotly template per theme.

The colors match .streamlit/config.toml; change them together.
"""

from dataclasses import dataclass

import plotly.graph_objects as go

from glan_core.taxonomy.hierarchy import GROUPS

READABLE = 4.5  # contrast of text, WCAG 1.4.3


@dataclass(frozen=True, slots=True)
class Style:
    """The colors of one theme.

    Attributes:
        nothing: Gray for missing data.
        hues: One hue per group of the taxonomy, see `groups`.
        ramp: Sequential ramp for quantities.
        differences: Diverging ramp for differences, from orange (negative) to blue (positive).
    """

    name: str
    background: str
    text: str
    muted: str
    grid: str
    nothing: str
    accent: str
    failure: str
    hues: tuple[str, ...]
    ramp: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def groups(self) -> dict[str, str]:
        """Hue per group, in the fixed order of the groups."""
        return dict(zip(GROUPS, self.hues, strict=True))

    def difference(self, value: float, most: float) -> str:
        """Return the color of a difference on a diverging ramp that ends at `most` in both directions."""
        return at(self.differences, 0.5 + value / (2 * most) if most else 0.5)

    def as_text(self, color: str) -> str:
        """Return a hue as a text color: mixed with the color of text as far as it must be to be readable."""
        shades = (mix(color, self.text, share / 10) for share in range(11))
        return next(shade for shade in shades if contrast(shade, self.background) >= READABLE)

    @property
    def scale(self) -> list[tuple[float, str]]:
        """The ramp as a plotly color scale."""
        return [(n / (len(self.ramp) - 1), color) for n, color in enumerate(self.ramp)]

    @property
    def template(self) -> go.layout.Template:
        """The plotly template."""
        axis = {"gridcolor": self.grid, "linecolor": self.grid, "zeroline": False, "ticks": "", "title": {"standoff": 8}}
        return go.layout.Template(
            layout={
                "font": {"color": self.text, "size": 13, "family": "Source Sans, sans-serif"},
                "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "colorway": list(self.hues),
                "xaxis": axis, "yaxis": axis, "margin": {"l": 8, "r": 8, "t": 8, "b": 8}, "showlegend": False,
                "hoverlabel": {
                    "bgcolor": self.background, "bordercolor": self.grid, "font": {"color": self.text}, "align": "left",
                },
                "colorscale": {"sequential": self.scale},
            }
        )  # fmt: skip


LIGHT = Style(
    "light", "#FFFFFF", "#1D2733", "#5B6B7B", "#DCE2E8", "#E4E8EC", "#1F5F8B", "#B3261E",
    ("#AA4499", "#D9A02B", "#2E8B57", "#4477AA", "#33AEDD", "#8C6D52", "#44AA99", "#8F8F2F"),
    ("#EAF3E6", "#CBE6CF", "#A3D6BE", "#76C3B3", "#4DADAA", "#33949F", "#287A92", "#266084", "#2A4673", "#2D2C5E"),
    ("#8C4A0B", "#BF7A2E", "#DDB27C", "#EFE0CC", "#EEF1F4", "#CBDFEE", "#8FBBDD", "#4A8DC0", "#1D5F94"),
)  # fmt: skip
DARK = Style(
    "dark", "#11171D", "#E3E8ED", "#93A1AF", "#2C3742", "#27313B", "#2D7AAE", "#F2857C",
    ("#C66DB8", "#E3B34B", "#4FAE7C", "#6F9FD0", "#5CC4EE", "#B0937A", "#62C4B3", "#B5B554"),
    ("#22314A", "#27416A", "#2A5583", "#2B6C93", "#30859C", "#41A0A0", "#63B9A2", "#8FD0A9", "#BFE3B8", "#EDF5D0"),
    ("#F0B36A", "#C98A45", "#94673A", "#5C4A38", "#2F3944", "#35536E", "#3F76A3", "#5B9FD3", "#97CBF2"),
)  # fmt: skip


def style(theme: str | None) -> Style:
    """Return the style of a theme: dark for 'dark', otherwise light."""
    return DARK if theme == "dark" else LIGHT


def count_axis(most: float) -> dict:
    """Return the axis settings of counts up to `most`: whole numbers, abbreviated from ten thousand on ('12k')."""
    ticks = {"dtick": 1} if most <= 4 else {"nticks": 5}
    return {"rangemode": "tozero", "tickformat": "~s" if most >= 10_000 else ",d", **ticks}


def ink_on(color: str) -> str:
    """Return the text color for a color '#rrggbb' behind it: dark or white where that is readable, else black."""
    return next(ink for ink in ("#1D2733", "#FFFFFF", "#000000") if contrast(ink, color) >= READABLE or ink == "#000000")


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colors, 1 to 21.

    Source: WCAG 2.1, relative luminance and contrast ratio.
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def at(ramp: tuple[str, ...], share: float) -> str:
    """Return the interpolated color of a ramp at a position from 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(ramp) - 1)
    low = min(int(place), len(ramp) - 2)
    return mix(ramp[low], ramp[low + 1], place - low)


def mix(one: str, other: str, share: float) -> str:
    """Blend two colors: `share` 0 returns the first, 1 the second."""
    pairs = [(int(one[n : n + 2], 16), int(other[n : n + 2], 16)) for n in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)
