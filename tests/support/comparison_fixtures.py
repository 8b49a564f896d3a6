"""Fixtures of the tests of comparisons; a test module takes them with `pytest_plugins = ["support.comparison_fixtures"]`."""

import json
import random

import pytest
from support.diversity_rows import BREAD, add_topics, question


@pytest.fixture
def ours(ws):
    """A dozen questions of each of three topics: few enough for a map without UMAP."""
    add_topics(ws, 12)
    return ws


@pytest.fixture
def bakery(tmp_path):
    """A file of thirty questions on music and thirty on bread."""
    rng = random.Random(3)
    asked = [question("music", rng) for _ in range(30)] + BREAD
    file = tmp_path / "bakery.jsonl"
    file.write_text("\n".join(json.dumps({"instruction": text, "output": f"About {n}."}) for n, text in enumerate(asked)))
    return file
