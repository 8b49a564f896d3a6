"""The first picture of Overview: its title, state and rings as HTML, which first_picture.js shows while Streamlit's front end starts."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.figures.coverage import HEIGHT, MEASURES, coverage_frame, coverage_rings
from glan_core.figures.rings_svg import rings_svg
from glan_core.figures.style import style
from glan_core.operations.journey import Step, journey
from glan_core.operations.tour import STOPS, is_seen
from glan_core.resources import ASSETS
from glan_core.taxonomy import tree_editing
from glan_core.taxonomy.coverage import coverage_by_node, coverage_sentence
from glan_core.workspace import DatabaseError, Workspace


def first_picture(folder: Path, theme: str) -> str:
    """Return the HTML of the first picture of a workspace; '' if its taxonomy is empty or it must be migrated or repaired first.

    Args:
        folder: The workspace, which is only read.
        theme: 'light' or 'dark'.
    """
    try:
        ws = Workspace.open_to_read(folder)
    except (GlanError, DatabaseError):
        return ""  # the page says what is wrong
    try:
        return _html(ws, theme)
    except (GlanError, DatabaseError, UnicodeDecodeError):
        return ""
    finally:
        ws.close()


def _html(ws: Workspace, theme: str) -> str:
    tree = tree_editing.tree(ws)
    standings = coverage_by_node(ws, tree)
    whole, measure = standings[""], next(iter(MEASURES))
    if not whole.disciplines:
        return ""
    frame = coverage_frame(tree, standings, measure, only_begun=0 < whole.begun < whole.disciplines)
    rings = rings_svg(coverage_rings(frame, measure, style(theme)), HEIGHT)
    demo = bool(ws.metadata("demo"))
    parts = [
        f"<h1>Overview {'<small>demo</small>' if demo else ''}</h1>",
        f"<p>{escape(coverage_sentence(standings, '', demo=demo))}</p>",
        _tour() if demo and not is_seen() else "",
        _steps(journey(ws, whole)) if whole.counts["pairs"] else "",
        '<div class="controls"></div>',
        f'<div class="rings">{rings}</div>',
    ]
    styles = (ASSETS / "first_picture.css").read_text("utf-8")
    return f'<style>{styles}</style><div class="sidebar"></div><main>{"".join(parts)}</main>'


def _tour() -> str:
    """Return the card of the tour as the page draws it, without its buttons."""
    stop = STOPS[0]
    return f'<section class="tour"><b>{escape(stop.title)}</b> · stop 1 of {len(STOPS)} of the tour<p>{escape(stop.text)}</p></section>'


def _steps(steps: Sequence[Step]) -> str:
    """Return the line of what the workspace has made so far."""
    made = [step.state.split(" ", 1) for step in steps if step.done]
    return f'<div class="steps">{"".join(f"<span><b>{count}</b> {escape(what)}</span>" for count, what in made)}</div>'
