"""Warm-up of a new server: what its first visitor would otherwise wait for.

The modules of a page take seconds of CPU time to import, most of it for pandas and networkx. The server imports those of the first
picture and of the first pages in the background when it starts, in the order of a visit; a visitor who arrives earlier waits only for
what is missing. Other pages have few modules besides these, so they are left to their first visit.
"""

import inspect
from pathlib import Path

from glan_core.background_imports import import_in_background

PAGES = Path(__file__).parents[2]
FIRST = ("components/overview/first_picture", "overview", "runs")


def start() -> None:
    """Import the modules of the first picture and pages, and draw a figure, in the background."""
    import_in_background([PAGES / f"{page}.py" for page in FIRST], then=draw_figure)


def draw_figure() -> None:
    """Fill the cache of `inspect`, and draw a figure, which imports the parts of Plotly that other pages need.

    Streamlit inspects the stack at the first element of a server, which looks up the file of every module.
    """
    import plotly.graph_objects as go

    inspect.stack()
    go.Figure(go.Bar(x=[1], y=[1])).to_json()
