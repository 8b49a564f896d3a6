"""Tests for the GLAN-Test store: immutability, leak-free training rows, export and import."""

import io
import json

import pytest
from support.runs import execute_run

from glan_core.cli import main
from glan_core.dataset import glan_test_store
from glan_core.dataset.held_out_filter import HeldOutFilter, concept_set, jaccard, shingles
from glan_core.dataset.manifest import selection_manifest
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.workspace import Workspace


@pytest.fixture
def filled(ws, settings):
    """Workspace with scripted pairs of two disciplines."""
    execute_run(ws, settings("mathematics", "music", questions_per_syllabus=50))
    return ws


def freeze(ws, name="first", **values):
    return execute_run(ws, {"name": name, "questions": 6, **values}, "glan-test")


def test_no_row_of_a_snapshot_combines_the_concepts_of_a_test_question_or_nearly_repeats_it(filled):
    done = freeze(filled)
    assert done.state == "finished", done.message
    items = glan_test_store.read_items(filled, "first")
    assert [item.discipline for item in items] == ["mathematics"] * 6 + ["music"] * 6
    assert all(item.reference and item.concepts and item.taxonomy for item in items)
    assert len({concept_set(item.concepts) for item in items}) == 12
    execute_run(filled, {"name": "rest"}, "snapshot")
    taken = read_snapshot(filled, "rest")
    rows = [row for _, row in taken.rows()]
    asked = {concept_set(item.concepts) for item in items}
    assert rows and not [row for row in rows if concept_set(row["concepts"]) in asked]
    assert max(jaccard(shingles(row["prompt"]), shingles(item.question)) for row in rows for item in items) < 0.7
    assert taken.manifest.left_out["held_out"] >= 12 and taken.manifest.tests == {
        "first": glan_test_store.read_test(filled, "first").hash
    }
    everything = selection_manifest(filled, RowSelection(include=("held_out",)))
    assert everything.number == taken.manifest.number + taken.manifest.left_out["held_out"] and everything.tests == {}


def test_rows_that_come_after_the_freeze_are_kept_out_too(filled, settings):
    freeze(filled)
    before = selection_manifest(filled, RowSelection()).left_out["held_out"]
    execute_run(filled, settings("mathematics", "music", questions_per_syllabus=120))
    asked = {concept_set(item.concepts) for item in glan_test_store.read_items(filled, "first")}
    execute_run(filled, {"name": "later"}, "snapshot")
    later = read_snapshot(filled, "later")
    assert later.manifest.left_out["held_out"] >= before
    assert not [row for _, row in later.rows() if concept_set(row["concepts"]) in asked]


def test_a_small_discipline_keeps_most_of_its_combinations_for_training(filled):
    done = freeze(filled, questions=1000)
    test = glan_test_store.read_test(filled, "first")
    assert "2 disciplines had too few pairs for 1000 each: at most 20% of a discipline's combinations" in done.message
    assert "--max-share" in done.message
    assert sum(test.disciplines.values()) <= 0.2 * selection_manifest(filled, RowSelection(include=("held_out",))).number


def test_the_same_seed_holds_out_the_same_and_another_one_others(filled):
    freeze(filled)
    freeze(filled, "again")
    freeze(filled, "other", seed=1)
    first, again, other = (glan_test_store.read_test(filled, name) for name in ("first", "again", "other"))
    assert first.hash == again.hash != other.hash


def test_a_test_from_what_a_snapshot_held_out_has_no_question_that_its_training_rows_give_away(filled):
    execute_run(filled, {"name": "split", "split": "combination", "validation_share": 0.3}, "snapshot")
    assert freeze(filled, "held", snapshot="split").state == "finished"
    items = glan_test_store.read_items(filled, "held")
    held = {row["id"] for _, row in read_snapshot(filled, "split").rows("validation")}
    guard = HeldOutFilter((item, 0.7) for item in items)
    assert items and {item.id for item in items} <= held
    assert not any(guard.hits(row["prompt"], row["concepts"]) for _, row in read_snapshot(filled, "split").rows("train"))


def test_two_teams_can_use_the_same_test(filled, new_workspace):
    freeze(filled)
    data = glan_test_store.test_path(filled, "first").read_bytes()
    other = new_workspace("other")
    taken = glan_test_store.import_test(other, io.BytesIO(data), None, 5.0, "first.jsonl")
    assert taken == glan_test_store.read_test(filled, "first")
    assert glan_test_store.read_items(other, "first") == glan_test_store.read_items(filled, "first")


def test_a_changed_test_is_refused_and_nothing_is_kept(filled, new_workspace):
    freeze(filled)
    data = glan_test_store.test_path(filled, "first").read_bytes().replace(b"Explain", b"Define", 1)
    other = new_workspace("other")
    with pytest.raises(GlanError, match="was changed after it was created"):
        glan_test_store.import_test(other, io.BytesIO(data), None, 5.0, "first.jsonl")
    assert glan_test_store.list_tests(other) == [] and not list((other.folder / glan_test_store.FOLDER).iterdir())
    glan_test_store.test_path(filled, "first").write_bytes(data)
    with pytest.raises(GlanError, match="was changed after it was created"):
        glan_test_store.read_items(filled, "first")


def test_a_test_whose_questions_can_not_be_told_apart_is_refused(filled, new_workspace):
    freeze(filled)
    head, first, *rest = glan_test_store.test_path(filled, "first").read_text("utf-8").splitlines()
    data = "\n".join([head, first, first, *rest[1:]]).encode()
    with pytest.raises(GlanError, match="same ID"):
        glan_test_store.import_test(new_workspace("other"), io.BytesIO(data), None, 5.0, "first.jsonl")


def test_prompts_that_others_collected_become_a_test_with_skills(ws):
    rows = [
        {"instruction": "Write a haiku.", "skill": "Writing"},
        {"instruction": "Prove it.", "skill": "Math", "output": "So."},
    ]
    data = io.BytesIO("\n".join(map(json.dumps, rows)).encode())
    taken = glan_test_store.import_test(ws, data, None, 5.0, "Evol Instruct.jsonl")
    items = glan_test_store.read_items(ws, taken.name)
    assert taken.name == "evol-instruct" and taken.disciplines == {} and taken.number == 2
    assert [(item.question, item.skill, item.reference) for item in items] == [
        ("Write a haiku.", "Writing", ""), ("Prove it.", "Math", "So."),
    ]  # fmt: skip


def test_prompts_of_others_may_have_characters_that_no_file_can_hold(ws):
    row = {"question": "Q \ud800?", "skill": "\udfff", "answer": ["a\0", {"\ud800": 1}]}
    taken = glan_test_store.import_test(ws, io.BytesIO(json.dumps(row).encode()), None, 5.0, "odd.jsonl")
    (item,) = glan_test_store.read_items(ws, taken.name)
    assert (item.question, item.skill, item.reference) == ("Q ??", "?", '["a\\u0000", {"?": 1}]')


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jsonl", b'{"words": "a"}\n', "no question"), ("x.jsonl", b"{nonsense\n", "x.jsonl"), ("x.jsonl", b"", "no rows"),
        ("x.txt", b"What?", "x.txt"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_test_is_refused_with_its_name(ws, name, content, said):
    with pytest.raises(GlanError, match=said) as refused:
        glan_test_store.import_test(ws, io.BytesIO(content), None, 5.0, name)
    assert "import." not in str(refused.value) and glan_test_store.list_tests(ws) == []


def test_a_name_is_given_once_and_a_removed_test_frees_its_questions(filled):
    freeze(filled)
    assert freeze(filled).message == 'Test "first" already exists. Choose another name.'
    glan_test_store.remove_test(filled, "first")
    assert selection_manifest(filled, RowSelection()).left_out.get("held_out", 0) == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"snapshot": "nope"}, "does not exist"), ({"disciplines": ["nope"]}, "nope"), ({"disciplines": ["cave-mapping"]}, "have no pairs"),
    ],
)  # fmt: skip
def test_what_cannot_be_frozen_is_said(filled, values, said):
    done = freeze(filled, **values)
    assert done.state == "failed" and said in done.message and glan_test_store.list_tests(filled) == []


def test_the_guard_finds_what_comparing_everything_with_everything_finds():
    import random

    rng = random.Random(3)
    vocabulary = [f"w{n}" for n in range(30)]
    questions = [[rng.choice(vocabulary) for _ in range(rng.randint(1, 25))] for _ in range(60)]
    rows = []
    for words in questions * 3:  # mutated, so that all similarities occur
        rows.append(
            " ".join(rng.choice(vocabulary) if rng.random() < rng.choice((0, 0.02, 0.05, 0.2)) else word for word in words)
        )
    items = [glan_test_store.GlanTestItem(id=str(n), question=" ".join(words)) for n, words in enumerate(questions)]
    for threshold in (0.3, 0.5, 0.7, 1.0):
        guard = HeldOutFilter((item, threshold) for item in items)
        for row in rows:
            near = {n for n, item in enumerate(items) if jaccard(shingles(row), shingles(item.question)) >= threshold}
            assert guard.hits(row, ()) == near


def test_the_command_line_freezes_lists_exports_and_takes_in(filled, tmp_path, capsys):
    folder, file = str(filled.folder), str(tmp_path / "out.jsonl")
    filled.close()
    assert main(["evaluate", "glan-test", folder, "freeze", "mine", "--questions", "4"]) == 0
    assert main(["evaluate", "glan-test", folder, "export", "mine", "--file", file]) == 0
    assert main(["evaluate", "glan-test", folder, "import", "copy", "--file", file]) == 0
    capsys.readouterr()
    assert main(["evaluate", "glan-test", folder, "list", "--json"]) == 0
    found = {test["name"]: test["hash"] for test in json.loads(capsys.readouterr().out)}
    assert set(found) == {"mine", "copy"} and found["mine"] == found["copy"]
    assert main(["evaluate", "glan-test", folder, "show", "nope"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["evaluate", "glan-test", folder, "import", "--file", str(tmp_path / "gone.jsonl")]) == 2
    Workspace.open(folder).close()
