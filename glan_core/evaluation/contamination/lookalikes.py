"""Look-alikes: for drawn rows of a benchmark a teacher writes fresh problems of the same kind, which no model can have seen.

They are rows of `benchmarks/<name>.jsonl` in the workspace: id, question, answer, teacher, prompt version, the hash of the row
that each was written after, and the writer's note where it left one. A row is appended with the transaction that accounts for
its call; ids are derived from the row it is after, so asking again asks only for what is missing.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
from pydantic import BaseModel, ConfigDict, Field

from glan_core import ids
from glan_core.dataset.benchmark_store import FOLDER
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import Text, read_texts
from glan_core.evaluation.contamination.settings import LookalikeSettings
from glan_core.generation import plan
from glan_core.generation.protocols import Work, ask
from glan_core.homework.question_parsing import MAX_CHARACTERS
from glan_core.ids import slug
from glan_core.prompts import prompt
from glan_core.reply_parsing import MalformedReply, json_lines
from glan_core.workspace import Workspace

STAGE = "lookalike"


class Lookalike(BaseModel):
    """A fresh problem with its answer, as a teacher replies; `note` is what the writer says about it."""

    model_config = ConfigDict(str_strip_whitespace=True)

    question: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    answer: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    note: str = Field("", max_length=500)


class LookalikeQueue:
    """One call for each drawn row that has no look-alike yet; the stage is its own, there being only one."""

    name = STAGE

    def __init__(self, ws: Workspace, settings: LookalikeSettings, run_id: int | None = None) -> None:
        self._file = file_of(ws, settings.name)
        _drop_cut_line(self._file)
        self._known = set(_stored_ids(self._file))
        self._open = [(id, row) for id, row in _wanted(settings) if id not in self._known]
        self._planned, self._works = len(self._open), self._all_works()

    def _all_works(self) -> Iterator[Work]:
        wording = prompt(STAGE)
        for id, row in self._open:
            messages = ask(wording, question=row.question[:MAX_CHARACTERS], answer=row.answer[:MAX_CHARACTERS])
            yield Work(self.name, id, None, wording, messages, row)

    def next(self) -> Work | None:
        """See WorkQueue."""
        return next(self._works, None)

    def stage(self, work: Work) -> "LookalikeQueue":
        """See WorkQueue."""
        return self

    def parse(self, work: Work, text: str) -> Lookalike:
        """The problem; Malformed (repairable) when there is not just one, or it is the example again."""
        written = json_lines(text, Lookalike)
        if len(written) > 1:
            raise MalformedReply("malformed", f"there are {len(written)} JSON objects: give one", repairable=True)
        if _bare(written[0].question) == _bare(work.facts.question):
            raise MalformedReply("malformed", "the problem is the example's own: write another one", repairable=True)
        return written[0]

    def store(self, db: apsw.Connection, work: Work, parsed: Lookalike, teacher: str) -> None:
        """Append the row to the file, once."""
        if work.id in self._known:
            return
        row = {
            "id": work.id, "question": parsed.question, "answer": parsed.answer, "teacher": teacher,
            "prompt_version": work.prompt.version, "after": _hash(work.facts), **({"note": parsed.note} if parsed.note else {}),
        }  # fmt: skip
        self._file.parent.mkdir(exist_ok=True)
        with self._file.open("ab") as out:
            out.write(f"{json.dumps(row, ensure_ascii=False)}\n".encode("utf-8", "replace"))
            out.flush()
            os.fsync(out.fileno())
        self._known.add(work.id)

    def record_text(self, parsed: Lookalike) -> None:
        """See Stage: none, question and answer stand in the file apart from the reply's form."""

    def stored(self, work: Work, value: Any) -> None:
        """See WorkQueue: nothing follows."""

    def failed(self, work: Work) -> None:
        """See WorkQueue."""

    def planned(self) -> dict[str, int]:
        """See WorkQueue; what an earlier process of the run has stored is not included."""
        return {self.name: self._planned}


def plan_lookalikes(ws: Workspace, settings: LookalikeSettings) -> plan.Plan:
    """How many calls an order still needs, and what they would cost. GlanError when the file can't be read, or a budget in money
    is set for a teacher without a price."""
    known = set(_stored_ids(file_of(ws, settings.name)))
    calls = sum(id not in known for id, _ in _wanted(settings))
    return plan.price(ws, settings, {STAGE: (calls, calls)})


def file_of(ws: Workspace, name: str) -> Path:
    """Where the look-alikes of a name are kept, or would be."""
    return ws.folder / FOLDER / f"{slug(name)}.jsonl"


def _wanted(settings: LookalikeSettings) -> Iterator[tuple[str, Text]]:
    """The drawn rows, each with the id of its look-alike."""
    for row in read_texts(settings.source, "test", sample=settings.number, seed=settings.seed).rows:
        yield ids.derive("lka", slug(settings.name), _hash(row)), row


def _stored_ids(file: Path) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for line in file.read_text("utf-8").splitlines():
            with suppress(ValueError, AttributeError):  # a line that a kill cut short
                if not str(id := json.loads(line).get("id")).startswith("lka-"):
                    raise GlanError(f"{file.name} in {FOLDER} holds other rows: give the look-alikes another name.")
                yield id


def _hash(row: Text) -> str:
    return hashlib.sha256(f"{row.question}\x1f{row.answer}".encode()).hexdigest()[:16]


def _bare(text: str) -> str:
    return " ".join(text.lower().split())


def _drop_cut_line(file: Path) -> None:
    """Take off a last line that a kill cut short: its look-alike is written again."""
    with suppress(FileNotFoundError), file.open("r+b") as opened:
        opened.truncate(opened.read().rfind(b"\n") + 1)
