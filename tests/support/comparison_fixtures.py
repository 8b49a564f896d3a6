"""Fixtures for comparison tests; enable them with `pytest_plugins = ["support.comparison_fixtures"]`."""

import json
import random

import pytest
from support.diversity_rows import BREAD, add_topics, question


@pytest.fixture
def ours(ws):
    """Workspace with a dozen questions on each of three topics, too few for UMAP."""
    add_topics(ws, 12)
    return ws


@pytest.fixture
def bakery(tmp_path):
    """File with thirty questions on music and thirty on bread."""
    rng = random.Random(3)
    asked = [question("music", rng) for _ in range(30)] + BREAD
    file = tmp_path / "bakery.jsonl"
    file.write_text("\n".join(json.dumps({"instruction": text, "output": f"About {n}."}) for n, text in enumerate(asked)))
    return file
