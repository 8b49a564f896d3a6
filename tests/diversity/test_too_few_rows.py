"""Metrics that too few rows define are missing, and the CLI and the page state it; comparisons by words claim nothing on topics."""

import json

import numpy as np
import pytest
from support.curriculum import add_pairs

from glan_core.cli import main
from glan_core.diversity.metric_store import METRICS
from glan_core.diversity.scoped_metrics import Scorer, text_values

PAIRED = {"mean_distance", "nearest_similarity", "near_share", "vendi", "vendi_1000", "cluster_entropy", "novelsum"}


@pytest.mark.parametrize("number", [1, 2, 3, 40])
def test_metrics_of_pairs_need_three_rows_and_clusters_need_two(number):
    x = np.random.default_rng(0).normal(size=(number, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    (scope,) = Scorer(lambda at: x[at], {"a": np.arange(number)}, {}, 100, 0).run()
    expected = set() if number < 3 else PAIRED - ({"cluster_entropy"} if number < 20 else set())
    assert set(scope.values) == expected
    assert all(np.isfinite(value.value) for value in scope.values.values())


@pytest.mark.parametrize(
    ("texts", "names"),
    [([""], set()), (["Why?"], {"question_length"}), (["Why not?"], {"distinct_1", "question_length"}),
     (["Why is that so?", "How is it?", "What is it?"], {"distinct_1", "distinct_2", "distinct_3", "compression", "question_length"})],
)  # fmt: skip
def test_text_metrics_without_enough_words_are_missing(texts, names):
    assert set(text_values(texts, sampled=False, seed=0)) == names


@pytest.mark.parametrize("number", [1, 2])
def test_the_cli_says_too_few_rows_instead_of_a_number(ws, capsys, number):
    add_pairs(ws, "music", *((f"How is chord {n} built from a scale?", "By thirds.") for n in range(number)))
    assert main(["measure", str(ws.folder), "--embedder", "words"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in PAIRED:
        line = next(line for line in lines if line.startswith(METRICS[name].label))
        assert line.removeprefix(METRICS[name].label).strip() == "too few rows", line


def test_a_comparison_by_words_speaks_of_words(ws, tmp_path, capsys):
    add_pairs(ws, "music", *((f"How is chord number {n} built from a scale?", "By thirds.") for n in range(12)))
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"question": f"Por que {n} fermenta massa?", "answer": "x"}) + "\n" for n in range(12)))
    assert main(["compare", str(ws.folder), str(other), "--embedder", "words"]) == 0
    said = capsys.readouterr().out
    assert "no question in similar words" in said and "Compared by words" in said and "words of other not covered here" in said
    assert "no neighbor" not in said and "topics of" not in said
