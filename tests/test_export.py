"""Exports: every format a trainer reads, whole files only, scripted rows left out beside real ones, provenance on each row."""

import json

import pytest
from helpers import Canned, run_order

from glan_core import curriculum_edit, review
from glan_core.dataset.export import FORMATS, export
from glan_core.errors import GlanError
from glan_core.workspace import curriculum_rows, homework_rows


@pytest.fixture
def filled(ws, order):
    """A workspace with the scripted teacher's pairs of two disciplines."""
    run_order(ws, order("mathematics", "music"))
    return ws


def read(file, form):
    """(question, answer, provenance) of each row."""
    if form == "parquet":
        from pyarrow import parquet

        return [(row["prompt"], row["response"], row) for row in parquet.read_table(file).to_pylist()]
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if form == "chat":
        return [(*(turn["content"] for turn in row["messages"]), row["provenance"]) for row in rows]
    if form == "alpaca":
        return [(row["instruction"], row["output"], row["provenance"]) for row in rows]
    return [(*(turn["value"] for turn in row["conversations"]), row["provenance"]) for row in rows]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_every_pair_with_its_provenance(filled, tmp_path, form):
    file = tmp_path / "out"
    done = export(filled, file, form)
    pairs = list(homework_rows.all_pairs(filled.db))
    rows = read(file, form)
    assert done.rows == len(pairs) == len(rows) and done.scripted_left_out == 0
    for pair, (question, answer, origin) in zip(pairs, rows, strict=True):
        assert (question, answer) == (pair.question.text, pair.answer)
        assert origin["id"] == pair.question.id and origin["discipline"] == pair.question.discipline_id
        assert len(origin["concepts"]) == len(pair.question.concepts) and origin["taxonomy"][-1] in ("Mathematics", "Music")
        assert (
            origin["question_teacher"] == origin["answer_teacher"] == "scripted"
            and origin["strategy"] == pair.question.strategy
        )


def test_scripted_rows_are_left_out_beside_real_ones_unless_asked_for(filled, order, teach, tmp_path):
    teach(Canned())
    run_order(filled, order("bell-founding", teacher="openai:real", base_url="http://localhost:1/v1"))
    scripted = sum(pair.scripted for pair in homework_rows.all_pairs(filled.db))
    real = sum(not pair.scripted for pair in homework_rows.all_pairs(filled.db))
    assert scripted and real
    done = export(filled, tmp_path / "a", "chat")
    assert (done.rows, done.scripted_left_out) == (real, scripted)
    assert export(filled, tmp_path / "b", "chat", scripted=True).rows == scripted + real


def test_only_the_disciplines_asked_for(filled, tmp_path):
    export(filled, tmp_path / "out", "alpaca", disciplines=["music"])
    assert {origin["discipline"] for _, _, origin in read(tmp_path / "out", "alpaca")} == {"music"}


def test_few_syllabi_are_remembered_and_the_rows_stay_the_same(filled, order, tmp_path, monkeypatch):
    def looked_up() -> int:
        seen.clear()
        export(filled, tmp_path / f"out {len(texts)}", "chat")
        texts.append((tmp_path / f"out {len(texts)}").read_text())
        return len(seen)

    run_order(filled, order("mathematics", "music", questions_per_syllabus=6))  # each syllabus again, after the others
    seen, texts, look_up = [], [], curriculum_rows.syllabus
    monkeypatch.setattr(curriculum_rows, "syllabus", lambda db, id: seen.append(id) or look_up(db, id))
    syllabi = {pair.question.syllabus_id for pair in homework_rows.all_pairs(filled.db)}
    assert looked_up() == len(syllabi) > 1
    monkeypatch.setattr("glan_core.dataset.export.SYLLABI", 1)
    assert looked_up() > len(syllabi)
    assert texts[0] == texts[1]


def test_nothing_to_export_leaves_no_file_and_keeps_an_old_one(ws, filled, tmp_path):
    old = tmp_path / "out"
    old.write_text("precious")
    with pytest.raises(GlanError, match="scripted"):
        export(filled, old, "chat", scripted=False)
    assert old.read_text() == "precious" and [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_row_is_one_line_whatever_its_texts_hold(ws, order, teach, tmp_path):
    nasty = 'He said: "line\u2028break"\n```\ncode\n```\n\t€ 😀'
    teach(Canned(lambda stage, nth, messages: nasty if stage == "answer" else None))
    run_order(ws, order("music"))
    export(ws, tmp_path / "out.jsonl", "chat")
    assert {answer for _, answer, _ in read(tmp_path / "out.jsonl", "chat")} == {nasty}


def test_rejected_pairs_are_left_out_unless_asked_for(filled, tmp_path):
    pairs = list(homework_rows.all_pairs(filled.db))
    review.review(filled, pairs[0].question.id, "reject", "Ada")
    for form in FORMATS:
        done = export(filled, tmp_path / "out", form)
        assert (done.rows, done.rejected_left_out) == (len(pairs) - 1, 1)
        assert pairs[0].question.id not in {origin["id"] for _, _, origin in read(tmp_path / "out", form)}
        assert export(filled, tmp_path / "out", form, rejected=True).rows == len(pairs)
        assert read(tmp_path / "out", form)[0][2]["review"] == "reject"
    review.review_all(filled, homework_rows.PairFilter(), "reject", "Ada")
    with pytest.raises(GlanError, match=f"of the pairs are {len(pairs)} rejected"):
        export(filled, tmp_path / "out", "chat")


def test_pairs_of_sessions_out_of_use_keep_their_provenance(filled, tmp_path):
    pair = next(homework_rows.all_pairs(filled.db))
    syllabus = curriculum_rows.syllabus(filled.db, pair.question.syllabus_id)
    only = [curriculum_edit.SessionEdit(None, "Another", "", ("Zebra",))]
    curriculum_edit.edit_syllabus(filled, syllabus.id, "Ada", text=syllabus.text, sessions=only)
    export(filled, tmp_path / "out", "chat")
    assert len(read(tmp_path / "out", "chat")[0][2]["concepts"]) == len(pair.question.concepts)


def test_what_people_and_runs_add_while_it_is_written_is_left_for_the_next_export(filled, order, tmp_path, monkeypatch):
    number = len(list(homework_rows.all_pairs(filled.db)))
    syllabus_id = next(homework_rows.all_pairs(filled.db)).question.syllabus_id

    def meanwhile(db, disciplines):
        for nth, pair in enumerate(all_pairs(db, disciplines, page=1)):
            yield pair
            if nth == 0:
                new = curriculum_edit.SessionEdit(None, "Stripes", "", ("Zebra", "Okapi"))
                curriculum_edit.edit_syllabus(filled, syllabus_id, "Ada", text="Another text.", sessions=[new])
                run_order(filled, order("mathematics", "music"))

    all_pairs = homework_rows.all_pairs
    monkeypatch.setattr(homework_rows, "all_pairs", meanwhile)
    assert export(filled, tmp_path / "out", "chat").rows == number
    monkeypatch.undo()
    assert export(filled, tmp_path / "out", "chat").rows > number
