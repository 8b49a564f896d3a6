"""Tests for the dataset reader: format detection, streaming, and errors that name the faulty row."""

import json

import pytest

from glan_core.errors import GlanError
from glan_core.io import json_rows
from glan_core.io.dataset_reader import ExternalRow, read_dataset

TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
FORMS = [
    ("Alpaca", {"instruction": "Q", "input": "", "output": "A"}),
    (
        "ShareGPT",
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}, {"from": "human", "value": "?"}]},
    ),
    ("chat messages", {"messages": TALK, "provenance": {"id": "x"}}),
    ("prompt and response", {"prompt": "Q", "response": "A", "id": "7"}),
    ("prompt and completion", {"prompt": TALK[1:2], "completion": TALK[2:]}),
    ("question and answer", {"Question": "Q", "Answer": "A"}),
    ("instruction and response", {"instruction": "Q", "context": "", "response": "A"}),
]


def lines(rows) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


@pytest.mark.parametrize(("form", "row"), FORMS, ids=[form for form, _ in FORMS])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "list.json", "data.json"])
def test_each_form_is_recognized_in_each_kind_of_json(tmp_path, form, row, name):
    file = tmp_path / name
    texts = {"list.json": json.dumps([row] * 3, indent=1), "data.json": json.dumps({"version": {"n": 1}, "data": [row] * 3})}
    file.write_text(texts.get(name, lines([row] * 3)))
    read = read_dataset(file)
    assert (read.name, read.form, read.number, read.skipped) == (name, form, 3, 0)
    assert list(read.rows()) == list(read.rows()) == [ExternalRow("Q", "A")] * 3


def test_the_input_of_an_alpaca_row_belongs_to_its_question_and_rows_without_one_are_counted(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(lines([{"instruction": "Add.", "input": "1 and 2", "output": "3"}, {"instruction": " ", "output": "?"}]))
    read = read_dataset(file)
    assert list(read.rows()) == [ExternalRow("Add.\n\n1 and 2", "3")] and (read.number, read.skipped) == (1, 1)


def test_csv_with_quoted_line_breaks(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('\ufeffprompt,response,score\n"two\nlines","a, b",3\nq,,4\n')
    assert list(read_dataset(file).rows()) == [ExternalRow("two\nlines", "a, b"), ExternalRow("q", "")]


def test_parquet_and_a_folder_of_splits(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    for split, number in (("train", 2500), ("validation", 3)):
        rows = [{"messages": [*TALK[:1], {"role": "user", "content": f"{split} {n}"}, TALK[2]]} for n in range(number)]
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}.parquet")
    (tmp_path / "manifest.json").write_text("{}")
    assert read_dataset(tmp_path / "train.parquet").number == 2500
    both = read_dataset(tmp_path)
    assert (both.form, both.number) == ("chat messages", 2503)
    assert [row.question for row in both.rows()][-1] == "validation 2"


def test_long_json_lists_are_read_through_a_small_window(tmp_path, monkeypatch):
    rows = [{"prompt": f"é {n} " + "x" * n, "response": None, "n": n * 10**n} for n in range(40)]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(rows, ensure_ascii=False, indent=2), encoding="utf-8")
    monkeypatch.setattr(json_rows, "CHUNK", 7)
    assert [row.question for row in read_dataset(file).rows()] == [row["prompt"] for row in rows]


REFUSED = {
    "missing.jsonl": (None, "does not exist"),
    "notes.txt": ("hello", "cannot be read as a dataset"),
    "empty.jsonl": ("\n", "has no rows"),
    "cut.jsonl": (lines([FORMS[0][1]] * 2) + '{"instruction": "Q", "ou', "Line 3 of cut.jsonl is not JSON"),
    "list.jsonl": ("[1, 2]\n", "Line 1 of list.jsonl is not a JSON object"),
    "mixed.jsonl": (lines([FORMS[2][1], {"messages": "Q"}]), "Line 2 of mixed.jsonl does not match"),
    "numbers.jsonl": (lines([{"x": 1, "y": 2}]), "not recognized: x, y"),
    "blank.jsonl": (lines([{"prompt": "", "response": "A"}]), "has no questions"),
    "cut.json": ('[{"prompt": "Q", "response": "A"}, {"prompt": "Q', "Row 2 of cut.json is not JSON"),
    "joined.json": ('[{"prompt": "Q", "response": "A"} {"prompt": "Q"}]', "Row 1 of joined.json is not JSON"),
    "scalar.json": ("7", "scalar.json is not JSON"),
    "short.csv": ("prompt,response\nQ,A\nQ\n", "Line 3 of short.csv has a different number of columns"),
    "broken.parquet": ("PAR1 no", "not a valid Parquet file"),
    "latin.jsonl": ('{"prompt": "é", "response": "A"}'.encode("latin-1"), "not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_sentence_that_says_where(tmp_path, name):
    text, why = REFUSED[name]
    file = tmp_path / name
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GlanError, match=why):
        read_dataset(file)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(GlanError, match="contains no dataset"):
        read_dataset(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(GlanError, match="damaged"):
        read_dataset(tmp_path)


def test_a_dataset_that_datasets_saved_to_disk(tmp_path):
    import datasets

    whole = datasets.Dataset.from_list([{"messages": TALK[1:]}] * 3)
    datasets.DatasetDict(train=whole, validation=whole.select([1])).save_to_disk(tmp_path / "saved")
    read = read_dataset(tmp_path / "saved")
    assert (read.form, read.number, set(read.rows())) == ("chat messages", 4, {ExternalRow("Q", "A")})
