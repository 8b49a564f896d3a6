"""Datasets of others and benchmark files: readable rows or one error, and what an export writes is read back."""

import io
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outside_strategies import damaged, encoded, json_texts, json_values, texts

from glan_core.dataset.benchmark_files import read_benchmark
from glan_core.dataset.formats import COLUMNS, FORMATS, file_suffix, row_writer
from glan_core.dataset.glan_test_store import import_test, read_items
from glan_core.dataset.settings import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks.data_files import BenchmarkData, read_rows
from glan_core.evaluation.benchmarks.registry import _ALL, MAIN
from glan_core.io.dataset_reader import read_dataset, stored_rows
from glan_core.io.text_decoding import decode
from glan_core.workspace import Workspace

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".jsonl.gz", ".csv.zst", ".zip")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
ROW = st.fixed_dictionaries(
    {"question": st.one_of(st.none(), st.integers(), TEXT, json_values()), "answer": st.one_of(st.none(), TEXT, json_values())}
)
ROWS = st.builds(
    lambda rows, plain: "\n".join(json.dumps(row, ensure_ascii=plain) for row in rows),
    st.lists(ROW, min_size=1, max_size=4),
    st.booleans(),
)
CONTENT = encoded(ROWS | damaged(ROWS) | json_texts() | texts())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("outside")


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(content=CONTENT)
def test_a_dataset_has_storable_rows_or_is_refused(folder, suffix, content):
    path = folder / f"rows{suffix}"
    path.write_bytes(content)
    try:
        found = read_dataset(path)
        rows = list(found.rows())
    except GlanError as error:
        assert "rows" in str(error)
        return
    assert len(rows) == found.number > 0
    for row in rows:
        assert row.question.strip() and (row.answer or "").encode() is not None and "\0" not in row.question.encode().decode()


@pytest.mark.parametrize("suffix", SUFFIXES[:4])
@given(content=CONTENT)
def test_a_benchmark_file_has_texts_or_is_refused(folder, suffix, content):
    path = folder / f"bench{suffix}"
    path.write_bytes(content)
    try:
        items = list(read_benchmark(BenchmarkSource(source=str(path))))
    except GlanError:
        return
    assert items and all(
        isinstance(item.text, str) and isinstance(item.id, str) and isinstance(item.split, str) for item in items
    )


@pytest.mark.parametrize("benchmark", _ALL, ids=lambda benchmark: benchmark.id)
@settings(max_examples=15)
@given(data=st.data())
def test_rows_of_a_benchmark_are_read_or_refused(folder, benchmark, data):
    row = st.fixed_dictionaries({column: json_values() for column in benchmark.columns})
    path = folder / f"{benchmark.id}.jsonl"
    path.write_text("\n".join(json.dumps(value) for value in data.draw(st.lists(row, min_size=1, max_size=3))), "utf-8")
    with suppress(GlanError):
        assert read_rows(BenchmarkData(folder, {MAIN: (path,)}), benchmark)


@given(content=encoded(texts()))
def test_text_is_decoded_or_refused(content):
    try:
        assert "\r" not in decode(content, "file")
    except GlanError as error:
        assert "file" in str(error)


@pytest.fixture(scope="module")
def workspace(folder):
    ws = Workspace.create(folder / "ws")
    yield ws
    ws.close()


@settings(max_examples=60)
@given(content=CONTENT, suffix=st.sampled_from((".jsonl", ".json", ".csv")))
def test_a_prompt_collection_is_imported_or_refused(workspace, content, suffix):
    try:
        test = import_test(workspace, io.BytesIO(content), filename=f"prompts{suffix}")
    except GlanError:
        return
    try:
        assert len(read_items(workspace, test.name)) == test.number
    finally:
        (workspace.folder / "glan_tests" / f"{test.name}.jsonl").unlink()


def row(question: str, answer: str) -> dict:
    empty = {str: "", list: [], int: 0, bool: False}
    return {name: empty[kind] for name, kind in COLUMNS.items()} | {"prompt": question, "completion": answer}


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=15)
@given(pairs=st.lists(st.tuples(TEXT.filter(str.strip), TEXT), min_size=1, max_size=4))
def test_an_export_is_read_back(tmp_path_factory, form, pairs):
    path = tmp_path_factory.mktemp("export") / f"train{file_suffix(form)}"
    with row_writer(path, form) as write:
        for pair in pairs:
            write(row(*pair))
    assert [(each.question, each.answer) for each in read_dataset(path).rows()] == pairs
    assert len(list(stored_rows(path))) == len(pairs)
