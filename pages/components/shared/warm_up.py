"""Warm-up of a new server: what its first visitor would otherwise wait for.

The modules of a page take seconds of CPU time to import, most of it for pandas and networkx. A thread of the server imports those of
the first pages when it starts, in the order of a visit; a visitor who arrives earlier waits only for what is missing. Other pages
have few modules besides these, so they are left to their first visit.
"""

import ast
import inspect
import logging
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

PAGES = Path(__file__).parents[2]
FIRST = ("overview", "runs")


def start() -> threading.Thread:
    """Import the modules of the first pages and draw a figure, in a thread that ends with the server."""
    thread = threading.Thread(target=_run, name="warm-up", daemon=True)
    thread.start()
    return thread


def imported_modules(file: Path) -> Iterator[tuple[str, str | None]]:
    """Yield what the top of a page imports, in order: a module, and a name that may be a module within it."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def _run() -> None:
    try:
        for page in FIRST:
            _import(PAGES / f"{page}.py")
        _draw_figure()
    except Exception:  # the page itself shows what is wrong
        logging.getLogger(__name__).warning("The modules of the pages could not be imported.", exc_info=True)


def _import(page: Path) -> None:
    for module, name in imported_modules(page):
        package = import_module(module)
        if name and not hasattr(package, name):
            import_module(f"{module}.{name}")


def _draw_figure() -> None:
    """Draw a figure, which imports the parts of Plotly, and fill the cache of `inspect`.

    Streamlit inspects the stack at the first element of a server, which looks up the file of every module.
    """
    import pandas as pd

    from glan_core.figures.coverage import ALL, sunburst
    from glan_core.figures.style import style

    node = {"parent": "", "name": "", "kind": "all", "disciplines": 1, "value": 0.0, "shade": 0.0, "hover": "", "begun": False}
    sunburst(pd.DataFrame([{"id": ALL, **node}]), "share", style("light")).to_json()
    inspect.stack()
