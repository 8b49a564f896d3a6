"""GLAN-Tests: questions that no training row may hold, frozen under a name and hashed, to be taken to another workspace as one file.

glan_tests/<name>.jsonl is a head, one object that says what the test is, and an item a line. The file is the test: who has a
copy has the same one, and the hash says so.
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

FOLDER = "glan_tests"
FORMAT = "glan-test 1"
QUESTION = ("question", "instruction", "prompt", "input", "problem", "text")  # columns of prompts that others collected
SKILL = ("skill", "category", "type", "topic")
REFERENCE = ("reference", "answer", "output", "response", "completion")
MOST_ITEMS = 100_000


class Item(Settings):
    """A question of a test. `reference` is its teacher's answer, '' where there is none. Its place: discipline (id) with the
    path of names down to it, subject, level, strategy, the key concepts it combines; of a test that others made often a `skill`
    alone."""

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
    """What a test is. `hash` is 'sha256:…' over its items. `source` says in words what it was drawn from, `teachers` who wrote
    its references. `threshold`: training rows of at least this likeness (Jaccard of 3-word runs) to a question stay out."""

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
    """The tests of a workspace, newest first; files that hold none are passed over."""
    found = [head for file in (ws.folder / FOLDER).glob("[!.]*.jsonl") if (head := _head(file))]
    return sorted(found, key=lambda test: -test.created_at)


def read_test(ws: Workspace, name: str) -> GlanTest:
    """A test by its name; GlanError when there is none."""
    head = _head(file_of(ws, name))
    if head is None:
        known = ", ".join(test.name for test in list_tests(ws)[:10])
        raise GlanError(f"There is no test {quoted(name)}" + (f": there is {known}." if known else ": freeze one first."))
    return head


def is_test(file: Path) -> bool:
    """Whether a file begins as those of tests do."""
    return _head(file) is not None


def read_items(ws: Workspace, name: str) -> list[Item]:
    """The items of a test; GlanError when there is none, or its items are no longer those that were frozen."""
    return _items(file_of(ws, name))[1]


def write_test(ws: Workspace, test: dict, items: Sequence[Item]) -> GlanTest:
    """Freeze items under a name; `test` holds the fields of `GlanTest` that do not follow from them. GlanError when the name is
    taken or can't be one."""
    counts = Counter(item.discipline for item in items if item.discipline)
    head = GlanTest(**test, hash=hash_items(items), number=len(items), disciplines=dict(sorted(counts.items())))
    file = file_of(ws, head.name)
    if file.exists():
        raise GlanError(f"There is already a test {quoted(head.name)}: choose another name.")
    file.parent.mkdir(exist_ok=True)
    new = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        with new.open("w", encoding="utf-8") as out:
            out.write(head.model_dump_json() + "\n")
            out.writelines(item.model_dump_json() + "\n" for item in items)
        _put(new, file)
    except FileExistsError:
        raise GlanError(f"There is already a test {quoted(head.name)}: choose another name.") from None
    finally:
        new.unlink(missing_ok=True)
    return head


def _put(new: Path, file: Path) -> None:
    """Give a file its name; unlike a rename, a link does not replace what another process made meanwhile."""
    try:
        os.link(new, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        new.replace(file)


def import_test(
    ws: Workspace, data: BinaryIO, name: str | None = None, at: float = 0.0, called: str = "file.jsonl"
) -> GlanTest:
    """Take in a test that another workspace exported, or a collection of prompts such as the Evol-Instruct test (rows with a
    question or instruction, and a skill where they have one).

    `name` None: its own, or that of the file `called`. GlanError when it can't be read, was changed since it was frozen, or the
    name is taken.
    """
    if ws.read_only:
        raise GlanError("This workspace can only be read: nothing can be stored in it.")
    folder = ws.folder / FOLDER
    folder.mkdir(exist_ok=True)
    suffix = Path(called).suffix.lower() or ".jsonl"
    copy = folder / f".{os.getpid()}-import{suffix}"
    try:
        copy.write_bytes(data.read())
        if (head := _head(copy)) is not None:
            head, items = _items(copy)
            return write_test(
                ws, head.model_dump(exclude={"hash", "number", "disciplines"}) | {"name": name or head.name}, items
            )
        items = _foreign_items(copy)
        name = name or slug(Path(called).stem)
        return write_test(ws, {"name": name, "source": f"imported from {Path(called).name}", "created_at": at}, items)
    except GlanError as error:
        raise GlanError(str(error).replace(copy.name, Path(called).name)) from None
    finally:
        copy.unlink(missing_ok=True)


def remove_test(ws: Workspace, name: str) -> None:
    """Remove a test; what models answered to it and what a judge said stays. From then on its questions may be trained on."""
    read_test(ws, name)
    file_of(ws, name).unlink()


def hash_items(items: Iterable[Item]) -> str:
    """'sha256:' and the hash of items in their order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def file_of(ws: Workspace, name: str) -> Path:
    """Where a test of this name is, or would be; GlanError for what is no name."""
    if not name or slug(name) != name:
        raise GlanError(f"{quoted(name)} can't be a test's name: use up to {MAX_SLUG} lower-case letters, digits and hyphens.")
    return ws.folder / FOLDER / f"{name}.jsonl"


def _head(file: Path) -> GlanTest | None:
    try:
        with file.open(encoding="utf-8") as lines:
            head = GlanTest.model_validate_json(lines.readline())
    except (OSError, ValueError):  # what pydantic raises is one, too
        return None
    return head.model_copy(update={"name": file.stem}) if not file.name.startswith(".") else head


def _items(file: Path) -> tuple[GlanTest, list[Item]]:
    head = _head(file)
    if head is None:
        raise GlanError(f"There is no test in {file.name}.")
    try:
        with file.open(encoding="utf-8") as lines:
            next(lines)
            items = [Item.model_validate_json(line) for line in lines]
    except (OSError, ValueError):
        raise GlanError(f"The test in {file.name} is damaged: a line of it can't be read. Take a whole copy.") from None
    if len({item.id for item in items}) != len(items):
        raise GlanError(f"The test in {file.name} has two questions with the same id: answers could not be told apart.")
    if hash_items(items) != head.hash:
        raise GlanError(f"The test in {file.name} was changed since it was frozen: its questions are not those of its hash.")
    return head, items


def _foreign_items(file: Path) -> list[Item]:
    """The prompts of a file that others made."""
    items: list[Item] = []
    for _, where, row in stored_rows(file):
        texts = {str(key).lower(): value for key, value in row.items()}
        question = _text(texts, QUESTION)
        if not question:
            columns = ", ".join(str(key)[:40] for key in list(row)[:12])
            raise GlanError(
                f"{file.name}, {where}: no question. Give it in a column question, instruction or prompt (it has {columns})."
            )
        items.append(
            Item(id=f"{len(items) + 1}", question=question, reference=_text(texts, REFERENCE), skill=_text(texts, SKILL))
        )
        if len(items) > MOST_ITEMS:
            raise GlanError(f"{file.name} has more than {MOST_ITEMS:,} rows: a test of that size takes too long to be judged.")
    if not items:
        raise GlanError(f"{file.name} holds no rows.")
    return items


def _text(row: dict, names: Sequence[str]) -> str:
    value = next((row[name] for name in names if row.get(name)), "")
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
