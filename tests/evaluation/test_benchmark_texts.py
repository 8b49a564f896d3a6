"""Tests for probe texts: columns, choices, splits, Hub benchmarks and error messages."""

import csv
import json
import sys
from types import SimpleNamespace

import pytest

from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import ProbeText, check_pair, read_texts, source_label
from glan_core.evaluation.contamination.settings import ProbeFile
from glan_core.io import hub_reachability

QA = [{"question": f"What is {n}+{n}?", "answer": f"It is {2 * n}."} for n in range(6)]


@pytest.fixture
def file(tmp_path):
    """Write rows as a JSONL file; return its path."""

    def write(rows, name="rows.jsonl") -> str:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return str(tmp_path / name)

    return write


def read(source: str, role: str = "test", *, answers: bool = True, sample=None, seed=0, **columns):
    return read_texts(ProbeFile(source=source, **columns), role, answers=answers, sample=sample, seed=seed)


def test_the_usual_columns_are_recognised(file):
    for asks, says in (
        ("question", "answer"),
        ("problem", "solution"),
        ("prompt", "completion"),
        ("Instruction", "Output"),
        ("text", "code"),
    ):
        found = read(file([{asks: " Why? ", says: "So.", "id": 3}]))
        assert found.rows == (ProbeText("Why?", "So."),) and found.number == 1 and len(found.sha256) == 64


def test_columns_can_be_named_also_nested_and_numbers_are_texts(file):
    rows = [{"asked": {"en": "How many?"}, "answers": {"text": ["four", "4"]}, "value": 4}]
    assert read(file(rows), question="asked.en", answer="answers.text").rows == (ProbeText("How many?", "four"),)
    assert read(file(rows), question="asked.en", answer="value").rows == (ProbeText("How many?", "4"),)


def test_choices_stand_below_the_question_and_the_answer_is_the_right_one_with_its_letter(file):
    arc = {"question": "What melts?", "choices": {"text": ["Ice", "Sand"], "label": ["1", "2"]}, "answerKey": "1"}
    mmlu = {"question": "What melts?", "choices": ["Sand", "Ice"], "answer": 1}
    said = {"question": "What melts?", "options": ["Sand", "Ice"], "answer": "Ice"}
    assert read(file([arc])).rows == (ProbeText("What melts?\n1. Ice\n2. Sand", "1. Ice"),)
    assert read(file([mmlu])).rows == read(file([said])).rows == (ProbeText("What melts?\nA. Sand\nB. Ice", "B. Ice"),)
    with pytest.raises(GlanError, match="answer 'C' in column 'answer' is not one of the choices A, B"):
        read(file([mmlu | {"answer": "C"}]))


def test_csv_and_parquet_are_read(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    with (tmp_path / "rows.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, ["question", "answer"])
        writer.writeheader()
        writer.writerows(QA)
    arc = [{"question": "Q?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}]
    parquet.write_table(pa.Table.from_pylist(arc), tmp_path / "rows.parquet")
    assert read(str(tmp_path / "rows.csv")).number == 6
    assert read(str(tmp_path / "rows.parquet")).rows == (ProbeText("Q?\nA. a\nB. b", "B. b"),)


def test_rows_without_a_question_or_answer_are_counted(file):
    found = read(file([*QA, {"question": "", "answer": "x"}, {"question": "Why?", "answer": None}]))
    assert (found.number, found.empty) == (6, 2)
    assert read(file([{"question": "Why?"}]), answers=False).rows == (ProbeText("Why?", ""),)


def test_a_sample_is_the_same_in_any_order_and_part_of_a_larger_one(file):
    few, more = (set(read(file(QA), sample=number).rows) for number in (2, 4))
    assert few < more and set(read(file(QA[::-1], "turned.jsonl"), sample=2).rows) == few
    assert set(read(file(QA), sample=2, seed=1).rows) != few or set(read(file(QA), sample=3, seed=1).rows) != more
    assert len(read(file(QA), sample=99).rows) == 6


def test_a_file_of_several_splits_gives_the_one_it_is_asked_for(file):
    rows = [row | {"split": "train" if nth < 4 else "test"} for nth, row in enumerate(QA)]
    assert (read(file(rows), "train").number, read(file(rows), "test").number) == (4, 2)
    assert read(file(rows), "test", split="train").number == 4
    with pytest.raises(GlanError, match=r"has no split 'dev'\. Available splits: train, test"):
        read(file(rows), split="dev")


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([{"a": "x", "b": "y"}], {}, "no question column found. Set the column; available columns: a, b."),
        ([{"question": "x", "b": "y"}], {}, "no answer column found. Set the column; available columns: question, b."),
        (QA, {"question": "asked"}, "has no column 'asked'. Available columns: question, answer."),
        (QA, {"answer": "answer.text"}, "has no column 'answer.text'"),
        ([{"question": "x", "answer": {"a": "b"}}], {}, "column 'answer' does not contain text. Use a text column, with dots"),
        ([{"question": "", "answer": ""}], {}, "has no row with a question and an answer."),
    ],
)
def test_faults_name_the_column(file, rows, columns, words):
    with pytest.raises(GlanError) as fault:
        read(file(rows), **columns)
    assert words in str(fault.value) and str(fault.value).startswith("rows (test split)")


def test_splits_that_are_the_same_are_refused_and_shared_questions_are_counted(file):
    train, test = read(file(QA[:4], "a.jsonl"), "train"), read(file(QA[2:], "b.jsonl"))
    assert check_pair(train, test) == 2
    with pytest.raises(GlanError, match="have the same rows"):
        check_pair(train, read(file(QA[:4], "c.jsonl")))


def test_benchmarks_of_the_hub_are_read_by_their_split(monkeypatch):
    sets = {
        ("openai/gsm8k", "main"): {"train": [{"question": "One?", "answer": "1"}], "test": [{"question": "Two?", "answer": "2"}]},
        ("allenai/ai2_arc", "ARC-Challenge"): {
            split: [{"question": f"{split}?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}]
            for split in ("train", "validation", "test")
        },
    }  # fmt: skip

    def load_dataset(name, config=None, **_):
        if (name, config) not in sets:
            raise ConnectionError("no route to host")
        return sets[name, config]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, disable_progress_bars=lambda: None))
    monkeypatch.setattr(hub_reachability, "is_reachable", lambda: True)
    assert read("gsm8k", "train").rows == (ProbeText("One?", "1"),) and read("GSM8K").rows == (ProbeText("Two?", "2"),)
    assert read("arc_challenge", "train").rows == (ProbeText("train?\nA. x\nB. y", "B. y"),)
    assert read("arc_challenge", split="validation").rows[0].question.startswith("validation?")
    assert source_label(ProbeFile(source="arc_challenge")) == "ARC-C" and read("gsm8k").sha256 == ""
    with pytest.raises(GlanError, match=r"MATH cannot be loaded .* use a local file"):
        read("math")
    with pytest.raises(GlanError, match="HumanEval cannot be probed by name"):
        read("humaneval")
    with pytest.raises(GlanError, match=r"File 'nothing' does not exist\. Use a path, or one of gsm8k"):
        read("nothing")
