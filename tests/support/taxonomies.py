"""Taxonomies for tests: a small one, and the file of the starter taxonomy."""

from pathlib import Path

from glan_core.records import Node

STARTER_FILE = Path(__file__).resolve().parents[2] / "assets" / "taxonomy.yaml"

SMALL = [
    Node("formal", "Formal", "field", None, "Academic-Formal Science", "Proof and calculation."),
    Node("numbers", "Numbers", "sub-field", "formal"),
    Node("algebra", "Algebra", "discipline", "numbers"),
    Node("logic", "Logic", "discipline", "formal"),
    Node("services", "Services", "field"),
    Node("retail", "Retail", "discipline", "services"),
]
