"""The share that a split holds out is known before anything is written, and a split without training rows is refused."""

import json

import pytest
from support.runs import execute_run

from glan_core.cli import main
from glan_core.dataset import snapshot_store, split_estimate
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.split_estimate import estimate_split
from glan_core.homework import review
from glan_core.workspace import homework_rows


@pytest.fixture
def filled(ws, settings):
    """Workspace with pairs of nine syllabi."""
    execute_run(ws, settings("mathematics", "music", "bell-founding", questions_per_syllabus=12))
    return ws


@pytest.mark.long
@pytest.mark.parametrize("rule", ["syllabus", "combination"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_estimate_is_what_the_snapshot_holds_out(filled, rule, seed, share):
    review.review(filled, next(homework_rows.all_pairs(filled.db)).question.id, "reject", "Ada")
    choice = {"split": rule, "seed": seed, "validation_share": share}
    found = estimate_split(filled, RowSelection(**choice))
    done = execute_run(filled, {"name": f"s{seed}", **choice}, "snapshot")
    assert done.state == "finished", done.message
    rows = snapshot_store.read_snapshot(filled, f"s{seed}").manifest.rows
    assert (found.rows, found.held_out) == (sum(rows.values()), rows.get("validation", 0)) and found.exact
    assert 0 <= found.held_out_groups <= found.groups and found.far == (abs(found.share - share) > share / 2)


def test_large_workspaces_are_estimated_without_reading_every_row(filled, monkeypatch):
    exact = {
        rule: estimate_split(filled, RowSelection(split=rule, validation_share=0.3)) for rule in ("syllabus", "combination")
    }
    monkeypatch.setattr(split_estimate, "MOST_READ", 40)
    syllabus = estimate_split(filled, RowSelection(split="syllabus", validation_share=0.3))
    assert not syllabus.exact and syllabus.share == pytest.approx(exact["syllabus"].share, abs=0.02)
    combination = estimate_split(filled, RowSelection(split="combination", validation_share=0.3))
    assert not combination.exact and combination.rows <= 40 and combination.groups is None
    assert combination.share == pytest.approx(exact["combination"].share, abs=0.2) and "about" in str(combination)


def test_the_cli_says_the_share_before_it_writes(filled, capsys):
    words = ["snapshot", str(filled.folder), "create", "first", "--split", "syllabus", "--validation-share", "0.05"]
    far = next(seed for seed in range(40) if estimate_split(filled, RowSelection(split="syllabus", seed=seed)).far)
    assert main([*words, "--seed", str(far), "--plan"]) == 0
    said = capsys.readouterr().out
    assert "Held out: " in said and "5% requested" in said and "held out whole" in said
    assert snapshot_store.list_snapshots(filled) == []
    number = len(list(homework_rows.all_pairs(filled.db)))
    assert main([*words, "--seed", str(far), "--plan", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["rows"] == number and data["share"] == data["held_out"] / number and data["groups"] == 9
    assert main([*words, "--seed", str(far)]) == 0
    assert "Held out: " in capsys.readouterr().err.splitlines()[0]
    assert main([*words, "--json"]) == 2 and "already exists" in capsys.readouterr().err


def test_a_split_without_training_rows_is_refused(filled, tmp_path, capsys):
    all_of_them = ["--split", "syllabus", "--validation-share", "0.9999"]
    for words in (["snapshot", str(filled.folder), "create", "x", *all_of_them],
                  ["snapshot", str(filled.folder), "create", "x", *all_of_them, "--plan"],
                  ["export", str(filled.folder), "--out", str(tmp_path / "out"), *all_of_them]):  # fmt: skip
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "holds out all 108 pairs" in said and "lower validation share" in said
    done = execute_run(filled, {"name": "x", "split": "syllabus", "validation_share": 0.9999}, "snapshot")
    assert done.state == "failed" and "no rows remain for training" in done.message
    settings = {"path": str(tmp_path / "out"), "choice": {"split": "syllabus", "validation_share": 0.9999}}
    done = execute_run(filled, settings, "export")
    assert done.state == "failed" and "no rows remain for training" in done.message
    assert snapshot_store.list_snapshots(filled) == [] and not (tmp_path / "out").exists()
