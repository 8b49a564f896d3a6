"""GLAN-Tests: held-out test sets, stored as one hashed file per test that can be moved between workspaces.

`glan_tests/<name>.jsonl` starts with a header object (`GlanTest`), followed by one item per line.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.ids import MAX_SLUG, slug
from glan_core.io.dataset_reader import stored_rows
from glan_core.settings import Settings
from glan_core.workspace import Workspace
from glan_core.workspace.removed import set_aside

FOLDER = "glan_tests"
FORMAT = "glan-test 1"
QUESTION = ("question", "instruction", "prompt", "input", "problem", "text")  # columns of third-party prompt collections
SKILL = ("skill", "category", "type", "topic")
REFERENCE = ("reference", "answer", "output", "response", "completion")
MOST_ITEMS = 100_000


class GlanTestItem(Settings):
    """One question of a held-out test.

    Attributes:
        id: ID within the test.
        question: Text of the question.
        reference: Answer of the teacher, '' if there is none.
        discipline: Discipline ID.
        taxonomy: Names on the path from the field to the discipline.
        group: Taxonomy group.
        subject: Subject name.
        level: Level of the subject.
        strategy: Sampling strategy.
        concepts: Names of the key concepts the question combines.
        skill: Skill label; often the only label of an imported test.
    """

    id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    reference: str = ""
    discipline: str = ""
    taxonomy: tuple[str, ...] = ()
    group: str = ""
    subject: str = ""
    level: str = ""
    strategy: str = ""
    concepts: tuple[str, ...] = ()
    skill: str = ""


class GlanTest(Settings):
    """Header of a held-out test.

    Attributes:
        name: Name of the test.
        hash: 'sha256:…' over the items.
        number: Number of items.
        disciplines: Number of items per discipline ID.
        source: Description of where the questions come from.
        teachers: Models that wrote the reference answers.
        seed: Sampling seed.
        threshold: Training rows whose 3-word-shingle Jaccard similarity to a question is at least this are excluded.
        created_at: Creation time in seconds since the epoch.
        made_by: File format version.
    """

    name: str
    hash: str
    number: int
    disciplines: dict[str, int]
    source: str
    teachers: tuple[str, ...] = ()
    seed: int = 0
    threshold: float = 0.7
    created_at: float
    made_by: str = FORMAT


def list_tests(ws: Workspace) -> list[GlanTest]:
    """Return the tests of a workspace, newest first; unreadable files are skipped."""
    found = [head for file in (ws.folder / FOLDER).glob("[!.]*.jsonl") if (head := _head(file))]
    return sorted(found, key=lambda test: -test.created_at)


def read_test(ws: Workspace, name: str) -> GlanTest:
    """Return the header of a test.

    Raises:
        GlanError: If the test does not exist.
    """
    head = _head(test_path(ws, name))
    if head is None:
        known = ", ".join(test.name for test in list_tests(ws)[:10])
        hint = f"Available tests: {known}." if known else "Create one first."
        raise GlanError(f"Test {quoted(name)} does not exist. {hint}")
    return head


def is_test_file(file: Path) -> bool:
    """Return whether a file starts with the header of a test."""
    return _head(file) is not None


def read_items(ws: Workspace, name: str) -> list[GlanTestItem]:
    """Return the items of a test.

    Raises:
        GlanError: If the test does not exist or its items do not match its hash.
    """
    return _items(test_path(ws, name))[1]


def write_test(ws: Workspace, test: dict, items: Sequence[GlanTestItem]) -> GlanTest:
    """Create a test.

    Args:
        ws: Workspace.
        test: Fields of `GlanTest` that are not derived from the items.
        items: Items of the test.

    Raises:
        GlanError: If the name is invalid or already exists.
    """
    ws.writable_folder(FOLDER)
    counts = Counter(item.discipline for item in items if item.discipline)
    head = GlanTest(**test, hash=hash_items(items), number=len(items), disciplines=dict(sorted(counts.items())))
    file = test_path(ws, head.name)
    if file.exists():
        raise GlanError(f"Test {quoted(head.name)} already exists. Choose another name.")
    file.parent.mkdir(exist_ok=True)
    new = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        with new.open("w", encoding="utf-8") as out:
            out.write(head.model_dump_json() + "\n")
            out.writelines(item.model_dump_json() + "\n" for item in items)
        _put(new, file)
    except FileExistsError:
        raise GlanError(f"Test {quoted(head.name)} already exists. Choose another name.") from None
    finally:
        new.unlink(missing_ok=True)
    return head


def _put(new: Path, file: Path) -> None:
    """Rename a file without replacing one that another process created meanwhile."""
    try:
        os.link(new, file)
    except FileExistsError:
        raise
    except OSError:  # the file system does not support hard links
        new.replace(file)


def import_test(
    ws: Workspace, data: BinaryIO, name: str | None = None, at: float = 0.0, filename: str = "file.jsonl"
) -> GlanTest:
    """Import a test exported from a workspace, or a prompt collection such as the Evol-Instruct test set.

    Args:
        ws: Workspace.
        data: Binary content of the file.
        name: Name of the test; defaults to its own name or to `filename`.
        at: Creation time stored for a prompt collection, in seconds since the epoch.
        filename: Original file name.

    Raises:
        GlanError: If the file cannot be read, does not match its hash, or the name already exists.
    """
    folder = ws.writable_folder(FOLDER)
    folder.mkdir(exist_ok=True)
    suffix = Path(filename).suffix.lower() or ".jsonl"
    copy = folder / f".{os.getpid()}-import{suffix}"
    try:
        copy.write_bytes(data.read())
        if _head(copy) is not None:
            head, items = _items(copy)
            return write_test(
                ws, head.model_dump(exclude={"hash", "number", "disciplines"}) | {"name": name or head.name}, items
            )
        items = _foreign_items(copy)
        name = name or slug(Path(filename).stem)
        return write_test(ws, {"name": name, "source": f"imported from {Path(filename).name}", "created_at": at}, items)
    except GlanError as error:
        raise GlanError(str(error).replace(copy.name, Path(filename).name)) from None
    finally:
        copy.unlink(missing_ok=True)


def remove_test(ws: Workspace, name: str) -> None:
    """Remove a test so that it can be restored. Answers and verdicts are kept; its questions are no longer excluded from training."""
    read_test(ws, name)
    set_aside(ws, test_path(ws, name), "held-out test", name)


def hash_items(items: Iterable[GlanTestItem]) -> str:
    """Return 'sha256:' plus the hash of the items in order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def test_path(ws: Workspace, name: str) -> Path:
    """Return the path of a test.

    Raises:
        GlanError: If the name is invalid.
    """
    if not name or slug(name) != name:
        raise GlanError(f"{quoted(name)} is not a valid test name. Use up to {MAX_SLUG} lowercase letters, digits and hyphens.")
    return ws.folder / FOLDER / f"{name}.jsonl"


def _head(file: Path) -> GlanTest | None:
    try:
        with file.open(encoding="utf-8") as lines:
            head = GlanTest.model_validate_json(lines.readline())
    except (OSError, ValueError):  # pydantic.ValidationError is a ValueError
        return None
    return head.model_copy(update={"name": file.stem}) if not file.name.startswith(".") else head


def _items(file: Path) -> tuple[GlanTest, list[GlanTestItem]]:
    head = _head(file)
    if head is None:
        raise GlanError(f"{file.name} is not a GLAN-Test.")
    try:
        with file.open(encoding="utf-8") as lines:
            next(lines)
            items = [GlanTestItem.model_validate_json(line) for line in lines]
    except (OSError, ValueError):
        raise GlanError(f"The test in {file.name} is damaged: a line cannot be read. Import a complete copy.") from None
    if len({item.id for item in items}) != len(items):
        raise GlanError(f"The test in {file.name} has two questions with the same ID. IDs must be unique.")
    if hash_items(items) != head.hash:
        raise GlanError(f"The test in {file.name} was changed after it was created: its questions do not match its hash.")
    return head, items


def _foreign_items(file: Path) -> list[GlanTestItem]:
    """Read the prompts of a third-party file."""
    items: list[GlanTestItem] = []
    for _, where, row in stored_rows(file):
        texts = {str(key).lower(): value for key, value in row.items()}
        question = _text(texts, QUESTION)
        if not question:
            columns = ", ".join(str(key)[:40] for key in list(row)[:12])
            raise GlanError(
                f"{file.name}, {where}: no question. Use a column named question, instruction or prompt (found: {columns})."
            )
        items.append(
            GlanTestItem(
                id=f"{len(items) + 1}", question=question, reference=_text(texts, REFERENCE), skill=_text(texts, SKILL)
            )
        )
        if len(items) > MOST_ITEMS:
            raise GlanError(f"{file.name} has more than {MOST_ITEMS:,} rows, the maximum of a test.")
    if not items:
        raise GlanError(f"{file.name} has no rows.")
    return items


def _text(row: dict, names: Sequence[str]) -> str:
    value = next((row[name] for name in names if row.get(name)), "")
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
