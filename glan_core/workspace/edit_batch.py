"""Deeds: changes of generated records that belong together, kept under one batch and undone together."""

import uuid
from collections.abc import Iterable

import apsw

from glan_core.errors import GlanError
from glan_core.workspace import Workspace, curriculum_rows, record_rows

CHUNK = 5000  # changes that are undone in one transaction, so that a run at work need not wait for all of them


class EditBatch:
    """Changes made together inside one transaction; `done` closes it."""

    def __init__(self, db: apsw.Connection, who: str, batch: str | None = None) -> None:
        self.db = db
        self.batch = batch or new_batch()
        self._who = who
        self._changed = False
        self._syllabi: set[str] = set()
        self._restructured: set[str] = set()

    def change(self, record_id: str, field: str, value: str | int | None) -> None:
        """Give a field another value, if it is another."""
        if record_rows.change(self.db, self.batch, record_id, field, value, self._who):
            self._follow(record_id, field)

    def added(self, record_id: str) -> None:
        """Say that a session or concept was added: undoing it puts it out of use."""
        record_rows.add_event(self.db, self.batch, record_id, "retired", 1, 0, self._who)
        self._follow(record_id, "retired")

    def _follow(self, record_id: str, field: str) -> None:
        self._changed = True
        if record_id.startswith(("syl-", "ses-", "con-")):
            syllabus_id = curriculum_rows.syllabus_of(self.db, record_id) or record_id
            self._syllabi.add(syllabus_id)
            if field == "retired":
                self._restructured.add(syllabus_id)

    def done(self) -> str | None:
        """Bring counts and marks in line; the batch of the deed, None where nothing changed.

        GlanError, for the transaction to be rolled back, when a syllabus would be left without a class session, or one of
        its sessions without a key concept.
        """
        for syllabus_id in self._restructured:
            sizes = curriculum_rows.recount(self.db, syllabus_id)
            if not sizes or not all(sizes):
                raise GlanError(
                    "The syllabus would be left without a class session, or a session without a key concept: undo the later "
                    "changes first, or edit it."
                )
        for syllabus_id in self._syllabi:
            record_rows.mark_syllabus(self.db, syllabus_id)
        return self.batch if self._changed else None


def new_batch() -> str:
    """The name of a new deed."""
    return uuid.uuid4().hex[:12]


def change(
    db: apsw.Connection, who: str, changes: Iterable[tuple[str, str, str | int | None]], batch: str | None = None
) -> str | None:
    """Make changes (record id, field, value) as one deed, or as a part of the deed `batch`; its batch, None where nothing
    differs."""
    deed = EditBatch(db, who, batch)
    for record_id, field, value in changes:
        deed.change(record_id, field, value)
    return deed.done()


def undo(ws: Workspace, batch: str, who: str) -> int:
    """Give everything that a deed changed its earlier value; how many values that were.

    One that was broken off goes on where it was. GlanError, with nothing changed, when there is no such deed, it is undone
    already, one of its values has been made another since, or what is left would be no syllabus.
    """
    if again := record_rows.changed_since(ws.db, batch):
        raise GlanError(f"{again:,} of the values were changed again since: undo the later change first.")
    number, at, mine = 0, None, new_batch()
    while events := record_rows.batch_events(ws.db, batch, before=at, limit=CHUNK):
        with ws.write() as db:
            deed = EditBatch(db, who, mine)
            for event in events:
                if record_rows.value_of(db, event.record_id, event.field) == event.after:
                    deed.change(event.record_id, event.field, event.before)
                    number += 1
            deed.done()
        at = events[-1].seq
    if not number:
        raise GlanError("There is nothing to undo: all is as it was before.")
    return number
