"""Imports in the background: the modules that given files will need are imported in a thread, before somebody waits for them."""

import ast
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path


def import_in_background(files: Sequence[Path], then: Callable[[], object] | None = None) -> threading.Thread:
    """Import what the tops of files import, in order, without running the files.

    A failure is logged and ends the imports; whoever imports the same module later gets the error.

    Args:
        files: Python files.
        then: Called in the thread after the imports.

    Returns:
        The thread, a daemon: it does not keep the process from ending.
    """

    def run() -> None:
        try:
            for file in files:
                _import(file)
            if then is not None:
                then()
        except Exception:
            logging.getLogger(__name__).warning("Modules could not be imported in the background.", exc_info=True)

    thread = threading.Thread(target=run, name="background-imports", daemon=True)
    thread.start()
    return thread


def imported_modules(file: Path) -> Iterator[tuple[str, str | None]]:
    """Yield what the top of a file imports, in order: a module, and a name that may be a module within it."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def _import(file: Path) -> None:
    for module, name in imported_modules(file):
        package = import_module(module)
        if name and not hasattr(package, name):
            import_module(f"{module}.{name}")
