"""Modules of pages do not import each other in a circle: any page may be the first that a server opens."""

import ast
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parents[2]


def name_of(file: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file: Path) -> set[str]:
    """Return the modules of pages that a module imports when it is imported."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pages"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_modules_of_pages_have_no_import_cycle():
    files = {name_of(file): file for file in (ROOT / "pages").rglob("*.py")}
    graph = nx.DiGraph([(name, other) for name, file in files.items() for other in imports_of(file) if other in files])
    graph.remove_nodes_from([name for name, file in files.items() if file.name == "__init__.py"])
    assert len(graph) > 60
    assert not list(nx.simple_cycles(graph))
