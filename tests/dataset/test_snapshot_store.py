"""Snapshots by value: content hash, names, warnings, order, damaged files and the messages of the job."""

import hashlib
import json

import pytest
from support.curriculum import add_pairs
from support.diversity_rows import Steps

from glan_core.dataset import snapshot_store
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.snapshot_job import create_snapshot
from glan_core.dataset.snapshot_store import ContentHash, exclusion_summary, snapshot_folder, split_warning
from glan_core.errors import GlanError
from glan_core.homework.review import review
from glan_core.operations import removals
from glan_core.settings import read_settings
from glan_core.workspace import homework_rows


def manifest(**values) -> Manifest:
    return Manifest(**{
        "workspace": "w", "created_at": 1.0, "glan_version": "1", "rows": {"train": 90, "validation": 10}, "split": "syllabus",
        "validation_share": 0.1, "seed": 0, "asked": {}, "include": (), "scripted": False, "left_out": {}, "teachers": {},
        "levels": {}, "strategies": {}, "reviewed": {}, "characters": {}, "disciplines": {}, "checks": {},
        "coverage": {"disciplines": 1, "disciplines_with_rows": 1, "concepts": 1, "concepts_asked": 1}, **values,
    })  # fmt: skip


def create(ws, name="v1", run_id=1, **values) -> tuple[str, list]:
    """Create a snapshot; return the message and the progress."""
    progress = Steps()
    progress.run_id = run_id
    return create_snapshot(
        ws, read_settings(SnapshotSettings, {"name": name, "split": "none", **values}), progress
    ), progress.seen


@pytest.fixture
def filled(ws):
    """A workspace with three answered pairs and one question without an answer."""
    add_pairs(ws, "mathematics", *((f"What is {n} + {n}?", f"It is {2 * n}.") for n in range(3)), ("Why?", None))
    return ws


# ------------------------------------------------------------------------------------------------------------------- hash


def content_hash(*rows: tuple[str, dict]) -> str:
    content = ContentHash()
    assert list(content.update(rows)) == list(rows)
    return content.hash


def test_the_content_hash_is_that_of_the_json_lines_of_each_split():
    rows = [("validation", {"b": 1, "a": "ü"}), ("train", {"a": 2}), ("validation", {"a": 3})]
    splits = {
        "train": hashlib.sha256(b'{"a": 2}\n').hexdigest(),
        "validation": hashlib.sha256('{"a": "ü", "b": 1}\n{"a": 3}\n'.encode()).hexdigest(),
    }
    whole = "".join(f"{name} {digest}\n" for name, digest in splits.items())
    assert content_hash(*rows) == f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"
    assert content_hash() == f"sha256:{hashlib.sha256(b'').hexdigest()}"


def test_the_hash_does_not_depend_on_how_splits_interleave_but_on_the_order_of_rows():
    a, b, c = ("train", {"x": 1}), ("train", {"x": 2}), ("validation", {"x": 3})
    assert content_hash(a, b, c) == content_hash(c, a, b) == content_hash(a, c, b)
    assert (
        len({content_hash(a, b, c), content_hash(b, a, c), content_hash(a, b), content_hash(("validation", {"x": 1}), b, c)})
        == 4
    )


# ------------------------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "../up", "a/b", "/etc", "a/", "a/../b"])
def test_a_name_is_that_of_a_folder_in_the_workspace(ws, name):
    for use in (snapshot_folder, snapshot_store.read_snapshot, snapshot_store.remove_snapshot, snapshot_store.verify_snapshot):
        with pytest.raises(GlanError, match="does not exist"):
            use(ws, name)
    assert snapshot_folder(ws, "v1.2_b-c") == ws.folder / "snapshots" / "v1.2_b-c"


@pytest.mark.parametrize("name", ["../up", "/etc", ".."])
def test_nothing_outside_of_the_folder_is_removed(ws, name):
    outside = ws.folder / "up"
    outside.mkdir()
    (outside / "kept").write_text("x")
    with pytest.raises(GlanError):
        snapshot_store.remove_snapshot(ws, name)
    assert (outside / "kept").is_file()


# --------------------------------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(("validation", "warned"), [(5, False), (4, True), (10, False), (15, False), (16, True), (0, True)])
def test_a_share_that_is_off_by_more_than_half_is_warned_of(validation, warned):
    said = split_warning(manifest(rows={"train": 100 - validation, "validation": validation}))
    assert bool(said) is warned
    if warned:
        assert said == (
            f"The validation share is {validation}% instead of 10%, because syllabi are kept whole and there are few of them. "
            "Another seed may come closer."
        )


def test_warnings_name_the_unit_and_need_a_split():
    rows = {"train": 100}
    assert "0% instead of 10%, because combinations" in split_warning(manifest(rows=rows, split="combination"))
    assert split_warning(manifest(rows=rows, split="none")) == split_warning(manifest(rows=rows, validation_share=None)) == ""
    none = json.loads(manifest(rows=rows).model_dump_json()) | {"split": "none"}
    assert split_warning(Manifest.model_validate_json(json.dumps(none))) == ""


def test_exclusions_are_listed():
    assert exclusion_summary({}) == exclusion_summary({"rejected": 0}) == ""
    assert exclusion_summary({"rejected": 1200}) == "1,200 rejected"
    assert exclusion_summary({"rejected": 1, "quality": 0, "duplicate": 3}) == "1 rejected and 3 near-duplicates"
    assert exclusion_summary({"scripted": 1, "contaminated": 2, "held_out": 3, "quality": 4}) == (
        "1 by the scripted teacher, 2 containing a benchmark question, 3 held out for a GLAN-Test and 4 tagged by a quality filter"
    )


# ------------------------------------------------------------------------------------------------------------------- rows


def test_a_snapshot_is_created_read_and_verified(filled):
    said, seen = create(filled)
    assert said == 'Created snapshot "v1" with 3 pairs: 3 for train.' and seen == [("pairs written", 3, 3)]
    stored = snapshot_store.read_snapshot(filled, "v1")
    assert stored.folder == filled.folder / "snapshots" / "v1" and stored.file("train").name == "train.parquet"
    rows = list(stored.rows())
    assert [(split, row["prompt"], row["completion"]) for split, row in rows] == [
        ("train", f"What is {n} + {n}?", f"It is {2 * n}.") for n in range(3)
    ]
    assert list(stored.rows("train")) == rows and list(stored.rows("validation")) == []
    assert stored.manifest.hash == content_hash(*rows) and (stored.manifest.name, stored.manifest.run_id) == ("v1", 1)
    assert snapshot_store.verify_snapshot(filled, "v1") is True
    assert sorted(path.name for path in stored.folder.iterdir()) == ["manifest.json", "train.parquet"]


def test_train_rows_come_before_validation_rows(filled):
    add_pairs(filled, "music", *((f"How do {n} notes sound?", "Well.") for n in range(40)))
    create(filled, split="combination", validation_share=0.4)
    stored = snapshot_store.read_snapshot(filled, "v1")
    splits = [split for split, _ in stored.rows()]
    assert splits == ["train"] * stored.manifest.rows["train"] + ["validation"] * stored.manifest.rows["validation"]
    assert [row for _, row in stored.rows("validation")] == [row for split, row in stored.rows() if split == "validation"]
    assert snapshot_store.verify_snapshot(filled, "v1")


def test_excluded_pairs_are_in_the_message(filled):
    review(filled, next(homework_rows.all_pairs(filled.db)).question.id, "reject", "Ada")
    assert create(filled)[0] == 'Created snapshot "v1" with 2 pairs: 2 for train. Excluded: 1 rejected.'
    said, _ = create(filled, "v2", split="syllabus", validation_share=0.01, seed=5)
    assert said == (
        'Created snapshot "v2" with 2 pairs: 2 for train. Excluded: 1 rejected. The validation share is 0% instead of 1%, '
        "because syllabi are kept whole and there are few of them. Another seed may come closer."
    )


def test_progress_is_reported_every_500_pairs_including_excluded_ones(ws):
    ids = add_pairs(ws, "music", *((f"What is note {n}?", "A.") for n in range(1004)))
    for id in ids[:4]:
        review(ws, id, "reject", "Ada")
    assert create(ws)[1] == [("pairs written", 504, 1004), ("pairs written", 1004, 1004), ("pairs written", 1000, 1000)]


def test_an_empty_snapshot_is_an_error_that_names_the_exclusions(filled, ws):
    with pytest.raises(GlanError, match=r"^The snapshot would be empty: no pairs match\.$"):
        create(filled, which={"review": "keep"})
    for pair in list(homework_rows.all_pairs(filled.db)):
        review(filled, pair.question.id, "reject", "Ada")
    with pytest.raises(GlanError, match=r"^The snapshot would be empty: all pairs are excluded \(\d+ rejected\)\.$"):
        create(filled)
    assert list((filled.folder / "snapshots").iterdir()) == []


def test_a_name_is_used_once_except_by_the_same_run(filled):
    said, _ = create(filled, run_id=4)
    assert create(filled, run_id=4) == (said, []), "a run that was killed after its work"
    with pytest.raises(GlanError, match=r'^Snapshot "v1" already exists. Choose another name or remove it.$'):
        create(filled, run_id=5)
    with pytest.raises(GlanError, match="already exists"):
        create(filled, run_id=3)
    late, _ = create(filled, "v2", run_id=100_000)
    assert create(filled, "v2", run_id=int("100000")) == (late, [])


# ------------------------------------------------------------------------------------------------------------------ files


def test_snapshots_are_listed_newest_first_without_hidden_and_damaged_ones(filled):
    assert snapshot_store.list_snapshots(filled) == []
    for name, at in (("b", 2.0), ("a", 3.0), ("c", 1.0), (".c.removed", 9.0)):
        folder = filled.folder / "snapshots" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(manifest(name=name, created_at=at).model_dump_json())
    for name, text in (("broken", "{"), ("empty", None)):
        (filled.folder / "snapshots" / name).mkdir()
        if text:
            (filled.folder / "snapshots" / name / "manifest.json").write_text(text)
    assert [found.name for found in snapshot_store.list_snapshots(filled)] == ["a", "b", "c"]
    with pytest.raises(GlanError, match=r'^Snapshot "x" does not exist. Available snapshots: a, b, c\.$'):
        snapshot_store.read_snapshot(filled, "x")
    for name in ("broken", "empty"):
        with pytest.raises(GlanError, match=r"is damaged: its manifest.json cannot be read"):
            snapshot_store.read_snapshot(filled, name)


def test_of_many_snapshots_ten_are_named(filled):
    with pytest.raises(GlanError, match=r'^Snapshot "x" does not exist. Create one first\.$'):
        snapshot_store.read_snapshot(filled, "x")
    for n in range(12):
        folder = filled.folder / "snapshots" / f"s{n:02}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(manifest(name=f"s{n:02}", created_at=n).model_dump_json())
    with pytest.raises(GlanError) as caught:
        snapshot_store.read_snapshot(filled, "x")
    assert str(caught.value).endswith("Available snapshots: s11, s10, s09, s08, s07, s06, s05, s04, s03, s02.")


@pytest.mark.parametrize("damage", ["missing", "bytes"])
def test_a_damaged_file_is_named(filled, damage):
    create(filled)
    file = snapshot_store.read_snapshot(filled, "v1").file("train")
    file.unlink() if damage == "missing" else file.write_bytes(b"PAR1")
    with pytest.raises(GlanError, match=r'^Snapshot "v1" is damaged: train.parquet is missing or cannot be read\.$'):
        snapshot_store.verify_snapshot(filled, "v1")


def test_a_changed_row_is_noticed(filled):
    from pyarrow import parquet

    create(filled)
    file = snapshot_store.read_snapshot(filled, "v1").file("train")
    parquet.write_table(parquet.read_table(file).slice(1), file)
    assert snapshot_store.verify_snapshot(filled, "v1") is False


@pytest.mark.parametrize("digit", "0f")
def test_a_hash_that_is_smaller_or_larger_does_not_match(filled, digit):
    create(filled)
    stored = snapshot_store.read_snapshot(filled, "v1")
    changed = stored.manifest.model_copy(update={"hash": f"sha256:{digit * 64}"})
    (stored.folder / "manifest.json").write_text(changed.model_dump_json())
    assert snapshot_store.verify_snapshot(filled, "v1") is False


def test_a_removed_snapshot_can_be_restored(filled):
    create(filled)
    create(filled, "v2")
    snapshot_store.remove_snapshot(filled, "v1")
    assert [path.name for path in (filled.folder / "snapshots").iterdir()] == ["v2"]
    with pytest.raises(GlanError, match=r'^Snapshot "v1" does not exist\.$'):
        snapshot_store.remove_snapshot(filled, "v1")
    (removal,) = removals.list_removals(filled)
    assert (removal.kind, removal.name) == ("snapshot", "v1") and removal.bytes > 1000
    removals.restore(filled, removal.key)
    assert snapshot_store.verify_snapshot(filled, "v1") and removals.list_removals(filled) == []


def test_a_snapshot_that_cannot_be_removed_stays(filled, monkeypatch):
    create(filled)

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(GlanError, match=r'^Snapshot "v1" cannot be removed: Permission denied\.$'):
        snapshot_store.remove_snapshot(filled, "v1")
    assert snapshot_store.verify_snapshot(filled, "v1")
