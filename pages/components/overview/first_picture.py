"""The first picture of Overview: its title, state and rings as HTML, which first_picture.js shows while Streamlit's front end starts."""

import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path

from glan_core.figures.coverage import HEIGHT, MEASURES, coverage_frame, coverage_rings
from glan_core.figures.rings_svg import rings_svg
from glan_core.figures.style import style
from glan_core.formatting import number
from glan_core.operations.journey import Step, journey
from glan_core.operations.tour import STOPS, is_offered, position
from glan_core.resources import ASSETS
from glan_core.runs.states import live_runs
from glan_core.taxonomy import tree_editing
from glan_core.taxonomy.coverage import Coverage, coverage_by_node, coverage_sentence
from glan_core.workspace import Workspace


def first_picture(folder: Path, theme: str) -> str:
    """Return the HTML of the first picture of a workspace.

    Args:
        folder: The workspace, whose content is only read.
        theme: 'light' or 'dark'.

    Returns:
        The HTML; '' if the taxonomy is empty, or if the workspace must be migrated, is locked or is damaged.
    """
    try:
        ws = Workspace.open_to_read(folder)
        try:
            return _html(ws, theme)
        finally:
            ws.close()
    except Exception:  # the page itself says what is wrong
        logging.getLogger(__name__).debug("There is no first picture of %s.", folder, exc_info=True)
        return ""


def _html(ws: Workspace, theme: str) -> str:
    tree = tree_editing.tree(ws)
    standings = coverage_by_node(ws, tree)
    whole, measure, demo = standings[""], next(iter(MEASURES)), bool(ws.metadata("demo"))
    if not whole.disciplines:
        return ""
    frame = coverage_frame(tree, standings, measure, only_begun=whole.partly_begun)
    rings = rings_svg(coverage_rings(frame, measure, style(theme)), HEIGHT)
    parts = [
        f"<h1>Overview {'<small>demo</small>' if demo else ''}</h1>",
        f"<p>{escape(coverage_sentence(standings, '', demo=demo))}</p>",
        _tour() if is_offered(ws) else "",
        '<div class="run"></div>' * len(live_runs(ws)),
        _steps(journey(ws, whole)) if whole.counts["pairs"] else "",
        _controls(whole),
        f'<div class="rings">{rings}</div>',
    ]
    styles = (ASSETS / "first_picture.css").read_text("utf-8")
    return f'<style>{styles}</style><div class="sidebar"></div><main>{"".join(parts)}</main>'


def _tour() -> str:
    """Return the card of the tour as the page draws it, without its buttons."""
    stop = STOPS[0]
    return f'<section class="tour"><b>{escape(stop.title)}</b> · {position(0)}<p>{escape(stop.text)}</p></section>'


def _steps(steps: Sequence[Step]) -> str:
    """Return the line of what the workspace has made so far."""
    made = "".join(f"<span><b>{number(step.count)}</b> {escape(step.noun)}</span>" for step in steps if step.done)
    return f'<div class="steps">{made}</div>'


def _controls(whole: Coverage) -> str:
    """Return the places of the controls above the picture."""
    names = ["measure", "view", *(["disciplines"] if whole.partly_begun else [])]
    return f'<div class="controls">{"".join(f"<span class={name!r}></span>" for name in names)}</div>'
