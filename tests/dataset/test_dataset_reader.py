"""Tests for the dataset reader: format detection, streaming, and errors that name the faulty row."""

import bz2
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from glan_core.errors import GlanError
from glan_core.io import compression, json_rows
from glan_core.io.dataset_reader import ExternalRow, read_dataset, stored_rows

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
    "cut.jsonl": ('{"instruction": "Q", "ou', "is not JSON"),
    "broken.jsonl": ("\n{]\n{]\n", r"has no questions: line 2 is not JSON. None of its 2 rows can be used"),
    "list.jsonl": ("[1, 2]\n", "row 1 is not a JSON object"),
    "mixed.jsonl": (lines([{"messages": "Q"}, {"x": 1}]), "not recognized: messages"),
    "numbers.jsonl": (lines([{"x": 1, "y": 2}]), "not recognized: x, y"),
    "blank.jsonl": (lines([{"prompt": "", "response": "A"}]), "has no questions: line 1 has an empty question"),
    "nan.jsonl": ('{"prompt": NaN, "response": "A"}', "has an empty question"),
    "cut.json": ('[{"prompt": "Q', "row 1 is not JSON"),
    "scalar.json": ("7", "scalar.json is not JSON"),
    "values.json": ('[["Q", "A"]]', "row 1 is not a JSON object"),
    "facts.json": ('{"splits": {"train": {"rows": 7}}}', "not recognized|holds no list of rows"),
    "short.csv": ("prompt,response\nQ\n", "line 2 has 1 columns, but the header has 2"),
    "open.csv": ('prompt,response\n"Q,A\nQ,A\n', "line 2 is not valid CSV: the quotation mark is not closed"),
    "blank.csv": ("\n,,\n", "has no rows"),
    "broken.parquet": ("PAR1 no", "not a valid Parquet file"),
    "broken.arrow": ("ARROW1 no", "not a valid Arrow file"),
    "broken.zip": ("PK no", "not a complete zip"),
    "broken.jsonl.gz": (b"\x1f\x8b\x08\0junk", "not a complete gzip file"),
    "cut.jsonl.gz": (gzip.compress(b'{"prompt": "Q"}\n' * 99)[:-9], "not a complete gzip file"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\2\3", "not a text file"),
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


# ------------------------------------------------------------------------------------------------------ each row by itself

FRAME = [{"question": f"Q{n}", "answer": None if n == 1 else f"A{n}"} for n in range(3)]


@pytest.mark.parametrize("orient", ["columns", "index", "records", "split", "table", "tight"])
@pytest.mark.parametrize("named", [False, True], ids=["numbered", "named"])
@pytest.mark.parametrize("indent", [None, 2])
def test_every_orientation_that_pandas_writes(tmp_path, orient, named, indent):
    import pandas as pd

    frame = pd.DataFrame(FRAME, index=["x", "y", "z"] if named else None)
    file = tmp_path / "rows.json"
    file.write_text(
        json.dumps(frame.to_dict("tight"), indent=indent) if orient == "tight" else frame.to_json(orient=orient, indent=indent)
    )
    read = read_dataset(file)
    assert [(row.question, row.answer or "") for row in read.rows()] == [("Q0", "A0"), ("Q1", ""), ("Q2", "A2")]


def test_a_dictionary_of_lists_and_one_of_splits(tmp_path):
    file = tmp_path / "a.json"
    columns = {key: [row[key] for row in FRAME] for key in FRAME[0]}
    file.write_text(json.dumps(columns))
    assert read_dataset(file).number == 3
    file.write_text(json.dumps({"train": columns, "test": columns}))
    assert [path.name for path, _, _ in stored_rows(file)] == ["train"] * 3 + ["test"] * 3


def test_all_splits_of_a_file_are_read_and_named(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"version": "1", "train": FRAME[:2], "test": FRAME[2:], "info": {"n": 3}, "empty": []}))
    assert read_dataset(file).number == 3
    assert [(path.name, place) for path, place, _ in stored_rows(file)] == [
        ("train", "Row 1 of split train"), ("train", "Row 2 of split train"), ("test", "Row 1 of split test"),
    ]  # fmt: skip


MIXED = [
    {}, {"instruction": "Q1", "input": "", "output": "A"}, {"messages": TALK}, "text", None, {"question": float("nan"), "answer": "A"},
    {"prompt": "Q3", "completion": "A", "score": float("inf")}, {"messages": [{"role": "user"}]},
    {"Question": "Q4"}, {"instruction": None, "output": "A"},
    {"conversations": [{"from": "human", "value": "Q5"}]}, {"prompt": {"a": 1}, "response": "A"}, {"problem": 7, "solution": 1.5},
]  # fmt: skip
USABLE = ["Q1", "Q", "Q3", "Q4", "Q5", "7"]


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.json", "list.json", "indented.json", "a.jsonl.gz", "a.ndjson.zst", "list.json.gz", "a.json.bz2", "a.zip"],
)
def test_rows_of_mixed_shapes_are_judged_one_by_one(tmp_path, name):
    import pyarrow as pa

    inner = name.removesuffix(".zip") + ".jsonl" if name.endswith(".zip") else name
    text = (
        json.dumps(MIXED, indent=1 if inner.startswith("indented") else None)
        if inner.startswith(("list", "indented"))
        else lines(MIXED)
    )
    data = text.encode()
    match name.rsplit(".", 1)[1]:
        case "gz":
            data = gzip.compress(data[:40]) + gzip.compress(data[40:])
        case "zst":
            data = pa.Codec("zstd").compress(data, asbytes=True)
        case "bz2":
            data = bz2.compress(data)
        case "zip":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr("deep/er/a.jsonl", data)
                archive.writestr("__MACOSX/._a.jsonl", b"\0")
            data = packed.getvalue()
    (tmp_path / name).write_bytes(data)
    read = read_dataset(tmp_path / name)
    assert [row.question for row in read.rows()] == USABLE
    assert (read.number, read.skipped) == (len(USABLE), len(MIXED) - len(USABLE))
    where = "Row" if "list" in name or "indented" in name else "Line"
    assert read.problems[:3] == (f"{where} 1 is empty.", f"{where} 4 is not a JSON object.", f"{where} 5 is not a JSON object.")
    assert read.skipped_summary.startswith(f"7 rows of {name} were skipped: {where} 1 is empty.")


def test_a_broken_row_is_skipped_and_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(
        b'\n{"prompt": "Q1"}\r\n{"prompt": "Q\n{"prompt": "\xff"}\n{"prompt": "Q\xc3\xa9"}\n' + '{"prompt": "Q✓"}\n'.encode()
    )
    read = read_dataset(file)
    assert [row.question for row in read.rows()] == ["Q1", "Qé", "Q✓"]
    assert read.problems == ("Line 3 is not JSON.", "Line 4 is not UTF-8 text.")
    file = tmp_path / "a.csv"
    file.write_text('sep=;\n;;\n\n prompt ;response\n"Q1;1";A\n\nQ2\n;A\n"Q"3;A\nQ4;A\n')
    read = read_dataset(file)
    assert [row.question for row in read.rows()] == ["Q1;1", "Q4"]
    assert read.problems == (
        "Line 7 has 1 columns, but the header has 2.", "Line 8 has an empty question.", "Line 9 is not valid CSV: ';' expected after '\"'.",
    )  # fmt: skip


def test_what_stands_before_a_fault_that_ends_the_file_is_kept(tmp_path):
    file = tmp_path / "a.json"
    for text, row in (
        ('[{"prompt": "Q"}, {"prompt": "R', 2),
        ('[{"prompt": "Q"}', 2),
        ('[{"prompt": "Q"} {"prompt": "R"}]', 2),
        ('{"data": [{"prompt": "Q"}], "x": }', 2),
    ):
        file.write_text(text)
        read = read_dataset(file)
        assert (read.number, read.problems) == (1, (f"Row {row} is not JSON, and the rest of the file cannot be read.",))


def test_objects_one_after_the_other_and_a_single_row(tmp_path):
    for name in ("a.json", "a.jsonl"):
        file = tmp_path / name
        file.write_text("\n".join(json.dumps(row, indent=2) for row in FRAME))
        assert read_dataset(file).number == 3
        for row in (FRAME[0], {"messages": TALK}, {"conversations": [{"from": "human", "value": "Q"}], "id": "1"}):
            for indent in (None, 2):
                file.write_text(json.dumps(row, indent=indent))
                assert read_dataset(file).number == 1


def test_a_table_with_conversations_as_text(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("messages\n" + '"' + json.dumps(TALK).replace('"', '""') + '"\n')
    assert list(read_dataset(file).rows()) == [ExternalRow("Q", "A")]


def test_arrow_files_streams_and_saved_datasets(tmp_path):
    import pyarrow as pa

    table = pa.Table.from_pylist([{"question": f"Q{n}", "answer": None} for n in range(2500)] + [{"question": None}])
    for name, writer in (("file.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with writer(str(tmp_path / name), table.schema) as out:
            out.write_table(table, max_chunksize=700)
        read = read_dataset(tmp_path / name)
        assert (read.number, read.problems) == (2500, ("Row 2,501 has an empty question.",))
    cut = tmp_path / "stream.arrow"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    read = read_dataset(cut)
    assert 0 < read.number < 2500 and "the rest of the file cannot be read" in read.problems[-1]


def test_columnar_files_may_be_compressed_as_a_whole(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    data = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([{"question": "Q", "score": float("nan")}]), data)
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(data.getvalue()))
    assert list(read_dataset(tmp_path / "a.parquet.gz").rows()) == [ExternalRow("Q", None)]
    assert [row for _, _, row in stored_rows(tmp_path / "a.parquet.gz")] == [{"question": "Q", "score": None}]


def test_a_dictionary_of_datasets_as_folder_and_zip(tmp_path):
    import datasets

    whole = datasets.Dataset.from_list(FRAME)
    datasets.DatasetDict(test=whole.select([0]), train=whole).save_to_disk(tmp_path / "saved")
    with zipfile.ZipFile(tmp_path / "saved.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "saved").rglob("*")):
            archive.write(path, Path("top") / path.relative_to(tmp_path))
    for name in ("saved", "saved.zip"):
        assert read_dataset(tmp_path / name).number == 4
        assert [path.parts[-2] for path, _, _ in stored_rows(tmp_path / name)] == ["test"] + ["train"] * 3
    (tmp_path / "saved/train/data-00000-of-00001.arrow").unlink()
    with pytest.raises(GlanError, match="lacks train/data-00000-of-00001"):
        read_dataset(tmp_path / "saved")


def test_folders_with_several_files(tmp_path):
    for name in (
        "data/test-00000.jsonl.gz",
        "data/train-00000.jsonl",
        "data/train-00001.jsonl",
        "other/x.jsonl",
        ".cache/y.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(b'{"prompt": "Q"}') if name.endswith("gz") else b'{"prompt": "Q"}\n[]\n')
    read = read_dataset(tmp_path)
    assert (read.number, read.problems[0]) == (3, "Line 2 of train-00000.jsonl is not a JSON object.")
    nested = tmp_path / "other"
    (nested / "dataset_info.json").write_text("{}")
    (nested / "x.jsonl").rename(nested / "x.json")
    assert read_dataset(nested).number == 1


def test_compressed_content_is_recognized_by_its_bytes_and_bounded(tmp_path, monkeypatch):
    file = tmp_path / "a.jsonl"
    file.write_bytes(gzip.compress(b'{"prompt": "Q"}\n' * 1000))
    assert read_dataset(file).number == 1000
    monkeypatch.setattr(compression, "MOST_BYTES", 20_000)
    assert read_dataset(file).number == 1000
    file.write_bytes(gzip.compress(b'{"prompt": "Q"}\n' + b" " * 40_000_000))
    with pytest.raises(GlanError, match="expands to more than"):
        read_dataset(file)


def test_long_rows_are_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "MOST_ROW", 100)
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "Q"}\n{"prompt": "' + "x" * 200 + '"}\n')
    assert read_dataset(file).problems == ("Line 2 is longer than 100 characters.",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_encodings(tmp_path, encoding, name):
    text = {
        "a.jsonl": '{"prompt": "Où est-ce à Noël ?"}\r\n{"prompt": "b"}\r\n', "a.json": '[{"prompt": "Où est-ce à Noël ?"},\r\n{"prompt": "b"}]',
        "a.csv": "prompt\r\nOù est-ce à Noël ?\r\nb\r\n",
    }[name]  # fmt: skip
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert [row.question for row in read_dataset(tmp_path / name).rows()] == ["Où est-ce à Noël ?", "b"]


def test_a_lone_surrogate_in_json_is_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a\\ud83d b", "response": "\\u0000"}')
    assert list(read_dataset(tmp_path / "a.jsonl").rows()) == [ExternalRow("a? b", "\ufffd")]
