"""Uploads: names cannot leave the folder, equal files are stored once, and refused files leave nothing."""

import io
from pathlib import Path

import pytest

from glan_core.errors import GlanError
from glan_core.io import uploads
from glan_core.io.uploads import store_upload, uploaded_files


def store(folder: Path, name: str, data: bytes = b"{}\n", check=lambda path: None) -> Path:
    return store_upload(folder, name, io.BytesIO(data), check)


@pytest.mark.parametrize(("name", "stored"), [
    ("GSM8K test.jsonl", "GSM8K-test.jsonl"), ("../../etc/passwd.jsonl", "passwd.jsonl"), ("/etc/rows.csv", "rows.csv"),
    ("C:\\data\\rows.JSON", "rows.json"), ("..\\..\\up.csv", "up.csv"), (".hidden.jsonl", "hidden.jsonl"),
    ("...jsonl", "rows.jsonl"), ("-.jsonl", "rows.jsonl"), ("a/../b.tsv", "b.tsv"), ("a\0b.jsonl", "a-b.jsonl"), ("ü?*ß.arrow", "ü-ß.arrow"),
    ("x" * 200 + ".parquet", "x" * 72 + ".parquet"), ("a..b.ndjson", "a..b.ndjson"), ("rows.jsonl/", "rows.jsonl"),
    ("my rows.JSONL.GZ", "my-rows.jsonl.gz"), ("a.csv.zst", "a.csv.zst"), ("saved set.zip", "saved-set.zip"),
])  # fmt: skip
def test_a_file_is_stored_in_the_folder_under_a_plain_name(tmp_path, name, stored):
    folder = tmp_path / "uploads"
    path = store(folder, name)
    assert path == folder / stored and path.read_bytes() == b"{}\n"
    assert [found.name for found in folder.iterdir()] == [stored] and [found.name for found in tmp_path.iterdir()] == [
        "uploads"
    ]
    assert len(stored) <= uploads.MAX_NAME == 80


@pytest.mark.parametrize("name", ["rows.exe", "rows", "", "..", "../..", ".jsonl", "rows.gz", "rows.txt.gz", "rows.jsonl.sh"])
def test_other_types_of_file_are_refused(tmp_path, name):
    folder = tmp_path / "uploads"
    with pytest.raises(GlanError, match="This type of file is not supported"):
        store(folder, name)
    assert not folder.exists()


def test_an_equal_file_is_stored_once_and_another_gets_a_number(tmp_path):
    names = [store(tmp_path, "a.jsonl", data).name for data in (b"one", b"one", b"two", b"six", b"two", b"three", b"one")]
    assert names == ["a.jsonl", "a.jsonl", "a-2.jsonl", "a-3.jsonl", "a-2.jsonl", "a-4.jsonl", "a.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.jsonl", "a-3.jsonl", "a-4.jsonl", "a.jsonl"]


def test_a_number_stands_before_both_suffixes(tmp_path):
    assert [store(tmp_path, "a.jsonl.gz", data).name for data in (b"one", b"two")] == ["a.jsonl.gz", "a-2.jsonl.gz"]


def test_files_are_compared_to_their_last_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "CHUNK", 2)
    assert store(tmp_path, "a.jsonl", b"12345").read_bytes() == b"12345"
    assert store(tmp_path, "a.jsonl", b"12346").name == "a-2.jsonl" and store(tmp_path, "a.jsonl", b"12345").name == "a.jsonl"
    assert store(tmp_path, "b.jsonl", b"").read_bytes() == b"" and store(tmp_path, "b.jsonl", b"").name == "b.jsonl"


def test_a_file_that_is_refused_leaves_nothing_and_is_named_as_the_user_named_it(tmp_path):
    def check(path: Path) -> None:
        assert path.read_bytes() == b"junk" and path.parent == tmp_path
        raise GlanError(f"{path.name} has no questions ({path.stem}).")

    with pytest.raises(GlanError) as caught:
        store(tmp_path, "my rows.jsonl", b"junk", check)
    assert str(caught.value) == "my-rows.jsonl cannot be used: my-rows.jsonl has no questions (my-rows.jsonl)."
    assert list(tmp_path.iterdir()) == []


def test_uploaded_files_are_listed_by_name_without_hidden_and_other_ones(tmp_path):
    for name in ("b.jsonl", "a.CSV", ".1-c.jsonl", "d.txt", "e.parquet"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in uploaded_files(tmp_path)] == ["a.CSV", "b.jsonl", "e.parquet"]
    assert uploaded_files(tmp_path / "none") == []
