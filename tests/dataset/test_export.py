"""Tests for export: formats, atomic writes, exclusions and provenance."""

import io
import json
import zipfile

import pandas as pd
import pytest
from support.runs import Canned, execute_run

from glan_core import runs
from glan_core.cli import main
from glan_core.curriculum import syllabus_editing
from glan_core.dataset import formats
from glan_core.dataset.export_job import ExportTarget, export_bytes, export_dataset, exports_folder, is_folder
from glan_core.dataset.formats import FORMATS, file_suffix
from glan_core.dataset.row_selection import SelectedRows, estimate_rows, sample_row
from glan_core.dataset.settings import RowSelection
from glan_core.errors import GlanError
from glan_core.homework import review
from glan_core.io.dataset_reader import read_dataset
from glan_core.runs import heartbeat
from glan_core.taxonomy import coverage
from glan_core.workspace import curriculum_rows, homework_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag

TRACED = [form for form in FORMATS if form != "openai"]  # with the provenance of each row
FILES = [form for form in TRACED if form != "datasets"]


@pytest.fixture
def filled(ws, settings):
    """Workspace with scripted pairs of two disciplines."""
    execute_run(ws, settings("mathematics", "music"))
    return ws


def read(file, form):
    """Return (question, answer, provenance) of each row."""
    if form == "parquet":
        from pyarrow import parquet

        return [(row["question"], row["answer"], row) for row in parquet.read_table(file).to_pylist()]
    if form == "datasets":
        from datasets import load_from_disk

        return [(row["question"], row["answer"], row) for row in load_from_disk(str(file))["train"]]
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if form == "chat":
        return [(*(turn["content"] for turn in row["messages"]), row["provenance"]) for row in rows]
    if form == "sharegpt":
        return [(*(turn["value"] for turn in row["conversations"]), row["provenance"]) for row in rows]
    if form == "prompt-completion":
        return [(row["prompt"][0]["content"], row["completion"][0]["content"], row["provenance"]) for row in rows]
    return [(row["instruction"], row["output"], row["provenance"]) for row in rows]


def ids(file, form="chat") -> set[str]:
    return {origin["id"] for _, _, origin in read(file, form)}


@pytest.mark.parametrize("form", TRACED)
def test_every_format_holds_every_pair_with_its_provenance(filled, tmp_path, form):
    file = tmp_path / "out"
    done = export_dataset(filled, file, form)
    pairs = list(homework_rows.all_pairs(filled.db))
    rows = read(file, form)
    assert done.number == len(pairs) == len(rows) and not done.left_out
    for pair, (question, answer, origin) in zip(pairs, rows, strict=True):
        assert (question, answer) == (pair.question.text, pair.answer)
        assert origin["id"] == pair.question.id and origin["discipline"] == pair.question.discipline_id
        assert len(origin["concepts"]) == len(pair.question.concepts) and origin["taxonomy"][-1] in ("Mathematics", "Music")
        assert origin["question_teacher"] == origin["answer_teacher"] == "scripted"
        assert origin["strategy"] == pair.question.strategy and None not in origin.values()


def test_a_parquet_file_has_row_groups_of_many_batches(filled, tmp_path, monkeypatch):
    from pyarrow import parquet

    monkeypatch.setattr(formats, "BATCH", 3)
    monkeypatch.setattr(formats, "GROUP", 5)
    number = export_dataset(filled, tmp_path / "out.parquet", "parquet").number
    found = parquet.ParquetFile(tmp_path / "out.parquet").metadata
    sizes = [found.row_group(n).num_rows for n in range(found.num_row_groups)]
    assert number == 12 and sizes == [6, 6]
    assert len({row["id"] for _, _, row in read(tmp_path / "out.parquet", "parquet")}) == number


def test_scripted_rows_are_left_out_beside_real_ones_unless_asked_for(filled, settings, teach, tmp_path):
    teach(Canned())
    execute_run(filled, settings("bell-founding", teacher="openai:real", base_url="http://localhost:1/v1"))
    scripted = sum(pair.scripted for pair in homework_rows.all_pairs(filled.db))
    real = sum(not pair.scripted for pair in homework_rows.all_pairs(filled.db))
    assert scripted and real
    done = export_dataset(filled, tmp_path / "a", "chat")
    assert (done.number, done.left_out) == (real, {"scripted": scripted})
    assert export_dataset(filled, tmp_path / "b", "chat", RowSelection(scripted=True)).number == scripted + real
    with filled.write() as db:
        tag_rows.put_tags(
            db, [Tag(pair.question.seq, "duplicate", "near") for pair in list(homework_rows.all_pairs(db))[::3]], None
        )
    for choice in (
        RowSelection(), RowSelection(scripted=True), RowSelection(scripted=False, include=("duplicate",)),
        RowSelection(which=PairFilter(disciplines=("music",)), scripted=False),
    ):  # fmt: skip
        standing = coverage.coverage_by_node(filled)["music" if choice.which.disciplines else ""]
        assert estimate_rows(filled, choice, standing) == sum(1 for _ in SelectedRows(filled, choice))


def test_what_is_expected_of_rows_by_the_scripted_teacher_alone(filled):
    standing = coverage.coverage_by_node(filled)[""]
    assert [estimate_rows(filled, RowSelection(scripted=scripted), standing) for scripted in (None, True, False)] == [
        standing.kept, standing.kept, 0
    ]  # fmt: skip


def test_a_sample_row_is_one_that_the_choice_takes(filled):
    music = RowSelection(which=PairFilter(disciplines=("music",)))
    assert sample_row(filled, music)["discipline"] == "music"
    assert sample_row(filled, RowSelection(scripted=False)) is None


@pytest.mark.parametrize(("form", "split"), [("chat", "none"), ("parquet", "syllabus"), ("datasets", "none")])
def test_what_is_packed_for_a_browser_is_the_file_or_an_archive_of_the_folder(filled, tmp_path, form, split):
    choice = RowSelection(split=split, validation_share=0.5)
    data = export_bytes(filled, form, choice)
    if not is_folder(form, split):
        export_dataset(filled, tmp_path / "out", form, choice)
        assert data == (tmp_path / "out").read_bytes()
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    export_dataset(filled, tmp_path / "out", form, choice)
    files = {file.relative_to(tmp_path / "out") for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert files and all((tmp_path / file).is_file() for file in files) and (tmp_path / "README.md").is_file()


def test_the_folder_for_exports_of_a_workspace_is_made_when_it_is_used(filled):
    place = exports_folder(filled)
    assert not place.exists()
    export_dataset(filled, place / "pairs.jsonl", "chat")
    assert (place / "pairs.jsonl").is_file()


def test_only_what_is_asked_for(filled, tmp_path):
    def of(**asked) -> list[dict]:
        export_dataset(filled, tmp_path / "out", "alpaca", RowSelection(which=PairFilter(**asked)))
        return [origin for _, _, origin in read(tmp_path / "out", "alpaca")]

    assert {origin["discipline"] for origin in of(disciplines=("music",))} == {"music"}
    assert {origin["strategy"] for origin in of(strategy="pair")} == {"pair"}
    pairs = list(homework_rows.all_pairs(filled.db))
    assert [o["id"] for o in of(seqs=tuple(p.question.seq for p in pairs[4:2:-1]))] == [p.question.id for p in pairs[3:5]]
    word = pairs[0].question.text.split()[0]
    assert {o["id"] for o in of(words=word)} == {
        p.question.id for p in pairs if word.lower() in f"{p.question.text} {p.answer}".lower()
    }
    with pytest.raises(GlanError, match="no pairs match"):
        of(syllabus_id="none")


def test_few_syllabi_are_remembered_and_the_rows_stay_the_same(filled, settings, tmp_path, monkeypatch):
    def looked_up() -> int:
        seen.clear()
        export_dataset(filled, tmp_path / f"out {len(texts)}", "chat")
        texts.append((tmp_path / f"out {len(texts)}").read_text())
        return len(seen)

    execute_run(filled, settings("mathematics", "music", questions_per_syllabus=6))  # a second block of rows per syllabus
    seen, texts, look_up = [], [], curriculum_rows.syllabus
    monkeypatch.setattr(curriculum_rows, "syllabus", lambda db, id: seen.append(id) or look_up(db, id))
    syllabi = {pair.question.syllabus_id for pair in homework_rows.all_pairs(filled.db)}
    assert looked_up() == len(syllabi) > 1
    monkeypatch.setattr("glan_core.dataset.row_selection.SYLLABI", 1)
    assert looked_up() > len(syllabi)
    assert texts[0] == texts[1]


def test_nothing_to_export_leaves_no_file_and_keeps_an_old_one(filled, tmp_path):
    old = tmp_path / "out"
    export_dataset(filled, old, "chat")
    before = old.read_bytes()
    with pytest.raises(GlanError, match="scripted"):
        export_dataset(filled, old, "chat", RowSelection(scripted=False))
    with pytest.raises(GlanError, match="is a file"):
        export_dataset(filled, old, "datasets")
    assert old.read_bytes() == before and [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_folder_takes_the_place_of_an_earlier_export_and_of_nothing_else(filled, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    export_dataset(filled, folder, "datasets")
    export_dataset(filled, folder, "chat", RowSelection(split="combination", validation_share=0.5))
    assert {p.name for p in folder.iterdir()} == {
        "README.md",
        "axolotl.yaml",
        "coverage.svg",
        "dataset_info.json",
        "manifest.json",
        "train.jsonl",
        "validation.jsonl",
    }
    assert not ids(folder / "train.jsonl") & ids(folder / "validation.jsonl")
    with pytest.raises(GlanError, match="it is a folder"):
        export_dataset(filled, folder, "chat")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("precious")
    with pytest.raises(GlanError, match="files other than an export"):
        export_dataset(filled, tmp_path / "home", "datasets")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    "added", ["notes.txt", "train.jsonl.bak", "test.jsonl", "train/notes.txt", "more/train.jsonl", "README.md.old"]
)
@pytest.mark.parametrize("form", ["chat", "parquet", "datasets"])
def test_an_exported_folder_with_further_files_is_not_replaced(filled, tmp_path, form, added):
    folder, split = tmp_path / "out", RowSelection(split="combination", validation_share=0.5)
    export_dataset(filled, folder, form, split)
    export_dataset(filled, folder, form, split)  # without further files it is replaced
    (folder / added).parent.mkdir(exist_ok=True)
    (folder / added).write_text("precious")
    with pytest.raises(GlanError, match="files other than an export"):
        export_dataset(filled, folder, form, split)
    assert (folder / added).read_text() == "precious"


def test_an_exported_folder_with_a_link_is_not_replaced(filled, tmp_path):
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere.jsonl"
    export_dataset(filled, folder, "datasets")
    elsewhere.write_text("precious")
    (folder / "validation.jsonl").symlink_to(elsewhere)
    with pytest.raises(GlanError, match="files other than an export"):
        export_dataset(filled, folder, "datasets")
    assert (folder / "validation.jsonl").is_symlink() and elsewhere.read_text() == "precious"


@pytest.mark.parametrize("name", ["pairs.md", "pairs.svg", "README.MD"])
def test_a_card_never_replaces_the_rows_it_describes(filled, tmp_path, name):
    with pytest.raises(GlanError, match="its dataset card would replace it"):
        export_dataset(filled, tmp_path / name, "chat", target=ExportTarget(card=True))
    assert list(tmp_path.glob("*")) == [filled.folder] * (filled.folder.parent == tmp_path)
    export_dataset(filled, tmp_path / name, "chat")
    assert ids(tmp_path / name)


@pytest.mark.parametrize("form", ["chat", "parquet", "datasets"])
def test_an_export_that_is_broken_off_leaves_nothing_and_keeps_what_was_there(filled, tmp_path, form):
    def broken(done, planned):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    export_dataset(filled, out, form)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    with pytest.raises(KeyboardInterrupt):
        export_dataset(filled, out, form, step=broken)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p != tmp_path} == before


def test_what_a_killed_export_of_the_same_run_left_is_cleared_away(filled, tmp_path):
    left = tmp_path / ".out.unfinished-7"
    left.mkdir()
    (left / "half").write_text("")
    export_dataset(filled, tmp_path / "out", "chat", target=ExportTarget(mark=7))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_row_is_one_line_whatever_its_texts_hold(ws, settings, teach, tmp_path):
    nasty = 'He said: "line\u2028break"\n```\ncode\n```\n\t€ 😀'
    teach(Canned(lambda stage, nth, messages: nasty if stage == "answer" else None))
    execute_run(ws, settings("music"))
    export_dataset(ws, tmp_path / "out.jsonl", "chat")
    assert {answer for _, answer, _ in read(tmp_path / "out.jsonl", "chat")} == {nasty}


def test_rejected_and_tagged_pairs_are_left_out_unless_asked_for_by_reason(filled, tmp_path):
    pairs = list(homework_rows.all_pairs(filled.db))
    review.review(filled, pairs[0].question.id, "reject", "Ada")
    with filled.write() as db:
        tag_rows.put_tags(db, [Tag(p.question.seq, "duplicate", "near") for p in pairs[:2]], None)
        tag_rows.put_tags(db, [Tag(pairs[2].question.seq, "contaminated", "GSM8K")], None)
        tag_rows.put_tags(db, [Tag(pairs[3].question.seq, "quality", "loop")], None)
        tag_rows.overrule(db, pairs[3].question.seq, "quality", "loop", "Ada")
    left_out = {"rejected": 1, "duplicate": 1, "contaminated": 1}
    for form in TRACED:
        done = export_dataset(filled, tmp_path / form, form)
        assert (done.number, done.left_out) == (len(pairs) - 3, left_out)
        assert ids(tmp_path / form, form) == {pair.question.id for pair in pairs[3:]}
    done = export_dataset(filled, tmp_path / "out", "chat", RowSelection(include=("rejected", "duplicate")))
    assert (done.number, done.left_out) == (len(pairs) - 1, {"contaminated": 1})
    assert [origin["dropped"] for _, _, origin in read(tmp_path / "out", "chat")][:3] == ["rejected", "duplicate", ""]
    review.review_all(filled, PairFilter(), "reject", "Ada")
    with pytest.raises(GlanError, match=f"{len(pairs)} rejected\\). Include them"):
        export_dataset(filled, tmp_path / "out", "chat")


def test_pairs_of_sessions_out_of_use_keep_their_provenance(filled, tmp_path):
    pair = next(homework_rows.all_pairs(filled.db))
    syllabus = curriculum_rows.syllabus(filled.db, pair.question.syllabus_id)
    only = [syllabus_editing.SessionEdit(None, "Another", "", ("Zebra",))]
    syllabus_editing.edit_syllabus(filled, syllabus.id, "Ada", text=syllabus.text, sessions=only)
    export_dataset(filled, tmp_path / "out", "chat")
    assert len(read(tmp_path / "out", "chat")[0][2]["concepts"]) == len(pair.question.concepts)


def test_what_people_and_runs_add_while_it_is_written_is_left_for_the_next_export(filled, settings, tmp_path, monkeypatch):
    number = len(list(homework_rows.all_pairs(filled.db)))
    syllabus_id = next(homework_rows.all_pairs(filled.db)).question.syllabus_id

    def meanwhile(db, which):
        for nth, pair in enumerate(all_pairs(db, which, page=1)):
            yield pair
            if nth == 0:
                new = syllabus_editing.SessionEdit(None, "Stripes", "", ("Zebra", "Okapi"))
                syllabus_editing.edit_syllabus(filled, syllabus_id, "Ada", text="Another text.", sessions=[new])
                execute_run(filled, settings("mathematics", "music"))

    all_pairs = homework_rows.all_pairs
    monkeypatch.setattr(homework_rows, "all_pairs", meanwhile)
    assert export_dataset(filled, tmp_path / "out", "chat").number == number
    monkeypatch.undo()
    assert export_dataset(filled, tmp_path / "out", "chat").number > number


def test_an_export_as_a_run_says_what_it_wrote_and_leaves_nothing_when_it_is_paused(filled, tmp_path, monkeypatch):
    settings = {"path": str(tmp_path / "out.jsonl"), "form": "sharegpt", "choice": {"which": {"disciplines": ["music"]}}}
    done = execute_run(filled, settings, "export")
    assert (
        done.state == "finished"
        and done.message == f"Wrote {len(ids(tmp_path / 'out.jsonl', 'sharegpt'))} pairs to {settings['path']}."
    )

    def step(self, stage, done, planned):
        raise heartbeat.Stopped("Paused")

    monkeypatch.setattr(heartbeat.Progress, "step", step)
    paused = execute_run(filled, settings | {"path": str(tmp_path / "other")}, "export")
    assert paused.state == "paused" and {p.name for p in tmp_path.iterdir()} == {"ws", "out.jsonl"}
    monkeypatch.undo()
    runs.launcher.requeue(filled, paused.id)
    assert runs.work(filled, paused.id).state == "finished" and (tmp_path / "other").is_file()


def test_a_run_without_a_place_to_go_fails_with_a_sentence(filled):
    done = execute_run(filled, {}, "export")
    assert done.state == "failed" and "a file or folder (path)" in done.message


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_can_be_read_back_as_a_dataset_made_elsewhere(filled, tmp_path, form):
    out = tmp_path / f"out{file_suffix(form)}"
    export_dataset(filled, out, form)
    rows = [(row.question, row.answer) for row in read_dataset(out).rows()]
    assert rows == [(pair.question.text, pair.answer) for pair in homework_rows.all_pairs(filled.db)]
    folder = tmp_path / "split"
    export_dataset(filled, folder, form, RowSelection(split="combination", validation_share=0.4))
    assert {(row.question, row.answer) for row in read_dataset(folder).rows()} == set(rows)


@pytest.mark.parametrize("form", ["chat", "alpaca", "sharegpt", "prompt-completion", "parquet", "datasets"])
def test_reasoning_has_a_column_of_its_own_only_on_request(ws, settings, teach, tmp_path, form):
    usual = Canned()
    teach(Canned(lambda stage, nth, messages: f"<think>Because.</think>{usual.usual(stage, messages)}"))
    execute_run(ws, settings(keep_reasoning=True))
    for asked in (False, True):
        path = tmp_path / f"out-{asked}"
        export_dataset(ws, path, form, target=ExportTarget(reasoning=asked))
        if form == "parquet":
            rows = pd.read_parquet(path).to_dict("records")
        elif form == "datasets":
            import datasets

            rows = list(datasets.load_from_disk(str(path))["train"])
        else:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(rows) == 8 and {row.get("reasoning") for row in rows} == {"Because." if asked else None}
        assert "think" not in json.dumps([{name: str(value) for name, value in row.items()} for row in rows])


def test_the_openai_format_refuses_a_reasoning_column(ws, settings, teach, tmp_path):
    teach(Canned())
    execute_run(ws, settings())
    with pytest.raises(GlanError, match="allows no further columns"):
        export_dataset(ws, tmp_path / "rows.jsonl", "openai", target=ExportTarget(reasoning=True))
    assert not (tmp_path / "rows.jsonl").exists()


def test_the_command_writes_the_reasoning_column(ws, settings, teach, tmp_path, capsys):
    usual = Canned()
    teach(Canned(lambda stage, nth, messages: f"<think>Because.</think>{usual.usual(stage, messages)}"))
    execute_run(ws, settings(keep_reasoning=True))
    assert main(["export", str(ws.folder), "--out", str(tmp_path / "rows.jsonl"), "--reasoning"]) == 0
    assert {json.loads(line)["reasoning"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()} == {"Because."}
