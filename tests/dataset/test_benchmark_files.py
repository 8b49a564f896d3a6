"""Tests for benchmark files: known benchmarks, local files of every format, and error messages."""

import csv
import io
import json
import os
import socket
import sys
from types import SimpleNamespace

import pytest

from glan_core.dataset.benchmark_files import HUB_BENCHMARKS, BenchmarkItem, benchmark_label, read_benchmark
from glan_core.dataset.benchmark_store import store_benchmark, stored_benchmarks
from glan_core.dataset.settings import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.io import hub_reachability


def read(source: object, column: str | None = None) -> list[BenchmarkItem]:
    """Return all items of a benchmark."""
    return list(read_benchmark(BenchmarkSource(source=str(source), column=column)))


@pytest.fixture
def hub(monkeypatch):
    """Fake Hub: `hub.sets[name, config]` holds its datasets, `hub.asked` records requests."""
    sets, asked = {}, []

    def load_dataset(name, config=None, **settings):
        asked.append((name, config, settings))
        if (name, config) not in sets:
            raise ConnectionError("no route to host")
        return sets[name, config]

    fake = SimpleNamespace(load_dataset=load_dataset, disable_progress_bars=lambda: None)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    monkeypatch.setattr(hub_reachability, "is_reachable", lambda: True)
    return SimpleNamespace(sets=sets, asked=asked)


def test_all_the_named_benchmarks_are_known():
    assert {"gsm8k", "math", "humaneval", "mbpp", "bbh", "arc", "mmlu", "ifeval"} == set(HUB_BENCHMARKS)


def test_a_known_benchmark_is_read_with_test_and_training_set(hub):
    hub.sets["openai/gsm8k", "main"] = {
        "train": [{"question": "One?", "answer": "1"}],
        "test": [{"question": "Two?", "answer": "2"}],
    }
    assert read("GSM8K") == [
        BenchmarkItem("GSM8K", "train", "train/0", "One?"),
        BenchmarkItem("GSM8K", "test", "test/0", "Two?"),
    ]
    assert all("trust_remote_code" not in settings for _, _, settings in hub.asked)


def test_all_parts_of_a_benchmark_are_read(hub):
    for config in HUB_BENCHMARKS["arc"].configs:
        hub.sets["allenai/ai2_arc", config] = {"test": [{"id": "7", "question": f"{config}?", "choices": {"text": ["a", "b"]}}]}
    assert [item.text for item in read("arc")] == ["ARC-Easy?", "ARC-Challenge?"], "the question without its choices"


def test_any_data_set_of_the_hub_can_be_named(hub):
    hub.sets["someone/exam", "hard"] = {"dev": [{"nr": 1, "Problem": "Why?", "solution": "So."}]}
    assert read("someone/exam:hard") == [BenchmarkItem("someone/exam:hard", "dev", "dev/0", "Why?")]


def test_without_a_connection_a_sentence_says_what_to_do(hub):
    with pytest.raises(GlanError, match=r"^GSM8K cannot be loaded .*the Hub cannot be reached.* use a local file\.$"):
        read("gsm8k")


def test_a_hub_that_takes_no_connection_is_not_asked_at_all(monkeypatch):
    import datasets
    from huggingface_hub import constants

    asked = []

    def load_dataset(name, config=None):
        asked.append((constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        raise ConnectionError

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # port 9 refuses connections
    monkeypatch.setattr(hub_reachability, "TIMEOUT_SECONDS", 0.2)
    hub_reachability._reached.cache_clear()
    with pytest.raises(GlanError, match="the Hub cannot be reached"):
        read("gsm8k")
    hub_reachability._reached.cache_clear()
    assert asked == [(True, True)], "this machine's own copy is looked for"
    assert not constants.HF_HUB_OFFLINE and not datasets.config.HF_HUB_OFFLINE


def test_a_listening_hub_is_reached(monkeypatch):
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        hub_reachability._reached.cache_clear()
        assert hub_reachability.is_reachable()
        hub_reachability._reached.cache_clear()


def test_a_given_file_is_kept_under_a_plain_name_once(ws):
    rows = b'{"question": "Who wrote Hamlet?"}\n'
    path = store_benchmark(ws, "../../my plays: test.JSONL", io.BytesIO(rows))
    assert path == ws.folder / "benchmarks" / "my-plays-test.jsonl" and path.read_bytes() == rows
    assert store_benchmark(ws, "my plays: test.jsonl", io.BytesIO(rows)) == path
    other = store_benchmark(ws, "my plays: test.jsonl", io.BytesIO(rows.replace(b"Hamlet", b"Faust")))
    assert other.name == "my-plays-test-2.jsonl" and stored_benchmarks(ws) == [other, path]


@pytest.mark.parametrize(("name", "data", "column", "why"), [
    ("a.exe", b"", None, "This type of file"), ("a.jsonl", b"", None, "a.jsonl has no rows"), ("a.jsonl", b"{", None, "a.jsonl"),
    ("a.jsonl", b'{"nr": 1}', None, "no question column found"), ("a.jsonl", b'{"question": "Why?"}', "q", "no column 'q'"),
])  # fmt: skip
def test_a_file_that_is_no_benchmark_is_refused_and_not_kept(ws, name, data, column, why):
    with pytest.raises(GlanError, match=why) as refused:
        store_benchmark(ws, name, io.BytesIO(data), column)
    assert f".{os.getpid()}" not in str(refused.value)
    assert not list((ws.folder / "benchmarks").glob("*")) and not stored_benchmarks(ws)


def test_forms_of_files(tmp_path):
    rows = [
        {"task_id": "t/1", "prompt": "First?", "canonical_solution": "1"},
        {"task_id": "t/2", "prompt": "Second?", "canonical_solution": "2"},
    ]
    (tmp_path / "a_test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a_test.json").write_text(json.dumps(rows))
    with (tmp_path / "a_test.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for form in ("jsonl", "json", "csv"):
        assert read(tmp_path / f"a_test.{form}") == [
            BenchmarkItem("a_test", "test", "t/1", "First?"),
            BenchmarkItem("a_test", "test", "t/2", "Second?"),
        ]


def test_a_parquet_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"input": ["First?"], "target": ["1"]}), tmp_path / "bbh.parquet")
    assert read(tmp_path / "bbh.parquet") == [BenchmarkItem("bbh", "", "1", "First?")]


def test_a_folder_with_a_file_for_each_split(tmp_path):
    folder = tmp_path / "exam"
    folder.mkdir()
    (folder / "train.jsonl").write_text(json.dumps({"question": "One?"}) + "\n")
    (folder / "test.jsonl").write_text(json.dumps({"question": "Two?"}) + "\n")
    assert {(item.benchmark, item.split, item.text) for item in read(folder)} == {
        ("exam", "train", "One?"), ("exam", "test", "Two?"),
    }  # fmt: skip


def test_the_column_can_be_named_and_is_asked_for_where_it_is_not_known(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"stem": "Why?", "key": 3}) + "\n")
    assert [item.text for item in read(file, "stem")] == ["Why?"]
    with pytest.raises(GlanError, match=r"no question column found.* stem, key"):
        read(file)
    with pytest.raises(GlanError, match="no column 'stm'"):
        read(file, "stm")


def test_conversations_and_turns(tmp_path):
    file = tmp_path / "turns.jsonl"
    file.write_text(json.dumps({"question_id": 81, "turns": ["First turn?", "Second turn?"]}) + "\n")
    assert read(file) == [BenchmarkItem("turns", "", "81", "First turn?")]


@pytest.mark.parametrize(("name", "content", "why"), [
    ("empty.jsonl", "", "has no rows"), ("broken.jsonl", '{"question": ', "is not JSON"),
    ("picture.png", "x", "JSONL, JSON, CSV, Parquet or Arrow"),
])  # fmt: skip
def test_files_that_are_no_benchmark(tmp_path, name, content, why):
    (tmp_path / name).write_text(content)
    with pytest.raises(GlanError, match=why):
        read(tmp_path / name)


def test_what_is_neither_known_nor_there():
    with pytest.raises(GlanError, match=r"Benchmark 'gsm9k' does not exist.*gsm8k"):
        read("gsm9k")
    assert benchmark_label(BenchmarkSource(source="humaneval")) == "HumanEval"
