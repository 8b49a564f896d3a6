"""Tests for published results: complete tables, our names, and consistent means."""

import pytest

from glan_core.evaluation import published_results
from glan_core.operations.demo_workspace import STARTER_TAXONOMY
from glan_core.taxonomy import taxonomy_files
from glan_core.taxonomy.hierarchy import GROUPS


def test_all_123_disciplines_are_in_the_starter_taxonomy():
    frame = published_results.glan_test_by_discipline()
    nodes = {node.id: node.name for node in taxonomy_files.read(STARTER_TAXONOMY) if node.kind == "discipline"}
    assert len(frame) == frame.index.nunique() == 123 and set(frame.index) <= set(nodes)
    assert all(nodes[id].lower() == name.lower() for id, name in frame["discipline"].items())
    assert not frame.isna().any(axis=None) and frame.loc["computer-science", "Orca2-7B"] == 4.29


def test_fields_are_the_groups_of_the_taxonomy_and_hold_126_disciplines():
    frame = published_results.glan_test_by_field()
    assert set(frame.index) == {*GROUPS, "All"} and frame.loc[list(GROUPS), "disciplines"].sum() == 126
    assert list(frame.columns) == ["disciplines", *published_results.OTHERS.values()]
    weights = frame.loc[list(GROUPS), "disciplines"]
    for other in published_results.OTHERS.values():  # the overall mean is the mean of the fields weighted by disciplines
        assert (frame.loc[list(GROUPS), other] * weights).sum() / 126 == pytest.approx(frame.loc["All", other], abs=0.02)


def test_results_stand_under_our_names_and_what_is_not_published_is_empty():
    frame = published_results.main_results()
    assert set(published_results.BENCHMARKS) == set(frame.columns) - {"params"} and len(frame) == 11
    assert frame.loc["GLAN", "gsm8k"] == 80.8 and frame.loc["Mistral", "gsm8k"] == 43.4 and frame.loc["GPT-4", "params"] == ""
    assert (
        list(published_results.ifeval().columns) == list(published_results.IFEVAL)
        and published_results.ifeval().loc["GLAN-7B", "prompt_strict"] == 34.0
    )
    assert list(published_results.mmlu_by_group().columns) == list(published_results.MMLU_GROUPS)
    assert published_results.mmlu_by_group().loc["GLAN 7B", "stem"] == 60.1


def test_the_probe_is_whole_and_its_deltas_follow_from_its_losses():
    frame = published_results.contamination_probe()
    assert set(frame["benchmark"]) == {"gsm8k", "math", "arc_easy", "arc_challenge"} and len(frame) == 20
    assert (frame["loss_test"] - frame["loss_train"] - frame["delta"]).abs().max() < 0.011
    assert (100 * frame["delta"] / frame["loss_test"] - frame["delta_percent"]).abs().max() < 0.02
    assert frame.loc[frame["delta_percent"].idxmax(), "model"] == "Orca2-7B"


def test_scores_of_benchmarks_stand_under_the_names_of_our_registry():
    from glan_core.evaluation.benchmarks.registry import BENCHMARKS

    frame = published_results.benchmark_scores()
    for benchmark, part in {*zip(frame["benchmark"], frame["part"], strict=True)}:
        about = BENCHMARKS[benchmark]
        assert part == "" or part in about.groups or part in about.ways["generated"].others, (benchmark, part)
    rows = frame.set_index(["model", "benchmark", "part"])["score"]
    assert rows["GLAN", "mmlu", ""] == 62.9 and rows["GLAN 7B", "mmlu", "stem"] == 60.1
    assert rows["GLAN-7B", "ifeval", ""] == rows["GLAN-7B", "ifeval", "prompt_level_strict_acc"] == 34.0
    assert ("GPT-3.5-turbo", "humaneval", "") in rows.index and not frame["score"].isna().any()
