"""Look-alikes: a teacher writes new problems like sampled benchmark rows, which no model can have seen.

They are stored in `benchmarks/<name>.jsonl` of the workspace with ID, question, answer, teacher, prompt version, hash of the
source row, and an optional note. A row is appended with the transaction that accounts for its call. IDs derive from the source
row, so a second run requests only missing look-alikes.
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
from glan_core.evaluation.contamination.benchmark_texts import ProbeText, read_texts
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
    """A new problem with its answer as parsed from a reply, and an optional note of the teacher."""

    model_config = ConfigDict(str_strip_whitespace=True)

    question: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    answer: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    note: str = Field("", max_length=500)


class LookalikeQueue:
    """One call per sampled row without a look-alike; the queue is its own and only stage."""

    name = STAGE

    def __init__(self, ws: Workspace, settings: LookalikeSettings, run_id: int | None = None) -> None:
        self._file = lookalikes_path(ws, settings.name)
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
        """Return the next call; see `WorkQueue`."""
        return next(self._works, None)

    def stage(self, work: Work) -> "LookalikeQueue":
        """Return the stage of a call; see `WorkQueue`."""
        return self

    def parse(self, work: Work, text: str) -> Lookalike:
        """Parse the problem; repairable if there are several, or if it repeats the example."""
        written = json_lines(text, Lookalike)
        if len(written) > 1:
            raise MalformedReply("malformed", f"there are {len(written)} JSON objects, expected one", repairable=True)
        if _bare(written[0].question) == _bare(work.facts.question):
            raise MalformedReply("malformed", "the problem repeats the example; write another one", repairable=True)
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
        """Return None: question and answer are stored in the file; see `Stage`."""

    def stored(self, work: Work, value: Any) -> None:
        """Do nothing: no calls follow; see `WorkQueue`."""

    def failed(self, work: Work) -> None:
        """Do nothing; see `WorkQueue`."""

    def planned(self) -> dict[str, int]:
        """Return the planned calls of this process; see `WorkQueue`."""
        return {self.name: self._planned}


def plan_lookalikes(ws: Workspace, settings: LookalikeSettings) -> plan.Plan:
    """Return the number of calls still needed and their price.

    Raises:
        GlanError: If the source cannot be read, or a budget is set for a teacher without a known price.
    """
    known = set(_stored_ids(lookalikes_path(ws, settings.name)))
    calls = sum(id not in known for id, _ in _wanted(settings))
    return plan.price(ws, settings, {STAGE: (calls, calls)})


def lookalikes_path(ws: Workspace, name: str) -> Path:
    """Return the file of look-alikes with a name."""
    return ws.folder / FOLDER / f"{slug(name)}.jsonl"


def _wanted(settings: LookalikeSettings) -> Iterator[tuple[str, ProbeText]]:
    """Yield the sampled rows with the IDs of their look-alikes."""
    for row in read_texts(settings.source, "test", sample=settings.number, seed=settings.seed).rows:
        yield ids.derive("lka", slug(settings.name), _hash(row)), row


def _stored_ids(file: Path) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for line in file.read_text("utf-8").splitlines():
            with suppress(ValueError, AttributeError):  # an incomplete last line left by a kill
                if not str(id := json.loads(line).get("id")).startswith("lka-"):
                    raise GlanError(f"{file.name} in {FOLDER} contains other rows. Choose another name for the look-alikes.")
                yield id


def _hash(row: ProbeText) -> str:
    return hashlib.sha256(f"{row.question}\x1f{row.answer}".encode()).hexdigest()[:16]


def _bare(text: str) -> str:
    return " ".join(text.lower().split())


def _drop_cut_line(file: Path) -> None:
    """Truncate an incomplete last line left by a kill."""
    with suppress(FileNotFoundError), file.open("r+b") as opened:
        opened.truncate(opened.read().rfind(b"\n") + 1)
