"""Tests for snapshots: hashing, leak-free splits, and stability when rows are added."""

import json
import time

import pytest
from support.runs import execute_run, resume_run

from glan_core.cli import main
from glan_core.dataset import snapshot_store
from glan_core.dataset.export_job import export_dataset
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.splits import split_of
from glan_core.errors import GlanError
from glan_core.homework import review
from glan_core.settings import read_settings
from glan_core.workspace import edit_batch, homework_rows, tag_rows
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata


@pytest.fixture
def filled(ws, settings):
    """Workspace with scripted pairs of three disciplines."""
    execute_run(ws, settings("mathematics", "music", "cave-mapping", questions_per_syllabus=10))
    return ws


def take(ws, name="v1", **settings):
    """Create a snapshot in this process and return it."""
    done = execute_run(ws, {"name": name, **settings}, "snapshot")
    assert done.state == "finished", done.message
    return snapshot_store.read_snapshot(ws, name)


def split(frozen) -> dict[str, list[dict]]:
    return {name: [row for _, row in frozen.rows(name)] for name in ("train", "validation")}


def test_a_snapshot_holds_the_rows_and_the_numbers_and_later_edits_change_nothing(filled):
    pairs = list(homework_rows.all_pairs(filled.db))
    with filled.write() as db:
        tag_rows.put_tags(db, [Tag(pairs[0].question.seq, "duplicate", "near")], None)
        set_metadata(db, "check:dedup", {"settings": {"threshold": 0.7}, "up_to": pairs[5].question.seq, "at": time.time()})
    frozen = take(filled, validation_share=0.3)
    before, manifest = split(frozen), frozen.manifest
    assert manifest.number == len(pairs) - 1 and manifest.left_out == {"duplicate": 1}
    assert {name: len(rows) for name, rows in before.items()} == manifest.rows
    assert manifest.teachers == {"question": {"scripted": len(pairs) - 1}, "answer": {"scripted": len(pairs) - 1}}
    assert manifest.checks["dedup"]["rows_after"] == len(pairs) - 6 and manifest.checks["filter"] is None
    assert sum(place.rows for place in manifest.disciplines.values()) == manifest.number
    assert (manifest.coverage.disciplines, manifest.coverage.disciplines_with_rows) == (5, 3)
    assert {row["id"]: (row["prompt"], row["completion"]) for rows in before.values() for row in rows} == {
        pair.question.id: (pair.question.text, pair.answer) for pair in pairs[1:]
    }
    with filled.write() as db:
        edit_batch.change(db, "Ada", [(pairs[1].question.id, "text", "Another question, long enough?")])
    review.review(filled, pairs[2].question.id, "reject", "Ada")
    assert split(snapshot_store.read_snapshot(filled, "v1")) == before and snapshot_store.verify_snapshot(filled, "v1")


@pytest.mark.parametrize("rule", ["syllabus", "combination"])
def test_nothing_that_is_held_out_stands_in_training(filled, rule):
    rows = split(take(filled, split=rule, validation_share=0.3))
    assert all(rows.values())
    groups = {
        name: {row["syllabus"] if rule == "syllabus" else frozenset(map(str.casefold, row["concepts"])) for row in some}
        for name, some in rows.items()
    }
    assert not groups["train"] & groups["validation"]


def test_the_split_depends_on_seed_and_group_alone(filled, settings):
    first = split(take(filled, "a", split="combination", validation_share=0.4, seed=3))
    execute_run(filled, settings("mathematics", "music", "bell-founding", questions_per_syllabus=14))
    more = split(take(filled, "b", split="combination", validation_share=0.4, seed=3))
    assert sum(map(len, more.values())) > sum(map(len, first.values()))
    for name, rows in first.items():
        assert {row["id"] for row in rows} <= {row["id"] for row in more[name]}
    other = split(take(filled, "c", split="combination", validation_share=0.4, seed=4))
    assert {row["id"] for row in other["train"]} != {row["id"] for row in more["train"]}


def test_the_share_is_that_of_the_groups_and_the_order_of_concepts_does_not_count():
    held = sum(split_of("syllabus", 0, 0.1, f"syl-{n}", ()) == "validation" for n in range(4000))
    assert 330 < held < 470
    one = split_of("combination", 1, 0.5, "a", ["Prime numbers", "Sets"])
    for names in (["Sets", "Prime numbers"], [" prime  NUMBERS", "sets"]):
        assert split_of("combination", 1, 0.5, "b", names) == one
    assert {split_of("none", n, 0.99, "a", ["x"]) for n in range(50)} == {"train"}


def test_the_same_rows_have_the_same_hash_and_a_changed_row_is_noticed(filled):
    frozen, again = take(filled, "a"), take(filled, "b")
    assert frozen.manifest.hash == again.manifest.hash != take(filled, "c", seed=1, validation_share=0.5).manifest.hash
    from pyarrow import parquet

    table = parquet.read_table(frozen.file("train"))
    texts = table["prompt"].to_pylist()
    texts[0] += "!"
    parquet.write_table(table.set_column(0, "prompt", [texts]), frozen.file("train"))
    assert not snapshot_store.verify_snapshot(filled, "a") and snapshot_store.verify_snapshot(filled, "b")
    frozen.file("train").write_bytes(b"PAR1")
    with pytest.raises(GlanError, match="damaged"):
        snapshot_store.verify_snapshot(filled, "a")


def test_an_export_of_a_snapshot_is_what_was_frozen(filled, tmp_path):
    frozen = take(filled, validation_share=0.4)
    review.review(filled, next(homework_rows.all_pairs(filled.db)).question.id, "reject", "Ada")
    manifest = export_dataset(filled, tmp_path / "out", "prompt-completion", snapshot="v1")
    assert manifest.hash == frozen.manifest.hash
    for name, rows in split(frozen).items():
        lines = [json.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_text("utf-8").splitlines()]
        assert [(line["prompt"][0]["content"], line["provenance"]["id"]) for line in lines] == [
            (row["prompt"], row["id"]) for row in rows
        ]


def test_a_name_is_taken_once_listed_and_free_again_when_removed(filled):
    take(filled, "b")
    take(filled, "a", split="none")
    assert [manifest.name for manifest in snapshot_store.list_snapshots(filled)] == ["a", "b"]
    done = execute_run(filled, {"name": "a"}, "snapshot")
    assert done.state == "failed" and "already exists" in done.message
    snapshot_store.remove_snapshot(filled, "a")
    assert [manifest.name for manifest in snapshot_store.list_snapshots(filled)] == ["b"]
    with pytest.raises(GlanError, match="Available snapshots: b"):
        snapshot_store.read_snapshot(filled, "a")
    for name in ("../glan", "", ".hidden"):
        with pytest.raises(GlanError):
            snapshot_store.remove_snapshot(filled, name)
    assert [p.name for p in (filled.folder / "snapshots").iterdir()] == ["b"]


def test_a_run_that_was_killed_after_its_work_is_done_when_it_is_resumed(filled):
    done = execute_run(filled, {"name": "a"}, "snapshot")
    with filled.write() as db:
        db.execute("UPDATE runs SET state = 'paused' WHERE id = ?", (done.id,))
    assert resume_run(filled, done.id).message == done.message


@pytest.mark.parametrize("name", ["two words", "", "../up", ".hidden", "x" * 65])
def test_a_name_that_is_no_folder_is_refused_in_words(filled, name):
    with pytest.raises(GlanError, match="letters, digits, dots"):
        read_settings(SnapshotSettings, {"name": name})


def test_nothing_to_freeze_leaves_nothing(filled):
    done = execute_run(filled, {"name": "a", "which": {"review": "keep"}}, "snapshot")
    assert done.state == "failed" and "would be empty" in done.message
    assert list((filled.folder / "snapshots").iterdir()) == []


def test_the_command_line_takes_lists_exports_verifies_and_removes(filled, tmp_path, capsys):
    def glan(*words) -> tuple[int, str]:
        code = main([*words[:1], str(filled.folder), *map(str, words[1:])])
        out, err = capsys.readouterr()
        return code, out or err

    assert glan("snapshot") == (0, "There are no snapshots.\n")
    said = glan("snapshot", "take", "v1", "--validation", "0.05")[1]
    assert 'Created snapshot "v1" with 90 pairs: 80 for train and 10 for validation.' in said
    assert "The validation share is 11% instead of 5%" in said
    (listed,) = json.loads(glan("snapshot", "list", "--json")[1])
    assert (listed["name"], sum(listed["rows"].values()), listed["split"]) == ("v1", 90, "syllabus")
    assert "held out" in glan("snapshot", "show", "v1")[1] and glan("snapshot", "verify", "v1")[0] == 0
    out = tmp_path / "out"
    code, said = glan("export", "--snapshot", "v1", "--format", "parquet", "--out", out, "--json")
    assert code == 0 and json.loads(said)["splits"] == listed["rows"] and (out / "README.md").is_file()
    code, said = glan("export", "--disciplines", "arts", "--strategy", "pair", "--out", tmp_path / "few.jsonl", "--json")
    assert code == 0 and 0 < json.loads(said)["rows"] < 90
    assert glan("export")[0] == 2 and glan("export", "--out", tmp_path / "x", "--snapshot", "v2")[0] == 2
    code, said = glan("export", "--out", tmp_path / "x", "--include", "boredom")
    assert code == 2 and "'contaminated' or 'held_out'" in said
    assert glan("snapshot", "remove", "v1")[0] == 0 and glan("snapshot", "verify", "v1")[0] == 2
    assert glan("snapshot", "take")[0] == 2
