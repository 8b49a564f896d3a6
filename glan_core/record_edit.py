"""Deeds: changes of generated records that belong together, kept under one batch and undone together."""

import uuid
from collections.abc import Iterable

import apsw

from glan_core.errors import GlanError
from glan_core.workspace import Workspace, curriculum_rows, record_rows

CHUNK = 5000  # changes that are undone in one transaction, so that a run at work need not wait for all of them


class Deed:
    """Changes made together inside one transaction; `done` closes it."""

    def __init__(self, db: apsw.Connection, who: str, batch: str | None = None) -> None:
        self.db = db
        self.batch = batch or new_batch()
        self._who = who
        self._changed = False
        self._restructured: set[str] = set()

    def change(self, record_id: str, field: str, value: str | int | None) -> None:
        """Give a field another value, if it is another."""
        if record_rows.change(self.db, self.batch, record_id, field, value, self._who):
            self._changed = True
            if field == "retired":
                self._restructured.add(curriculum_rows.syllabus_of(self.db, record_id))

    def added(self, record_id: str) -> None:
        """Say that a session or concept was added: undoing it puts it out of use."""
        record_rows.add_event(self.db, self.batch, record_id, "retired", 1, 0, self._who)
        self._changed = True
        self._restructured.add(curriculum_rows.syllabus_of(self.db, record_id))

    def done(self) -> str | None:
        """Bring counts in line; the batch of the deed, None where nothing changed."""
        for syllabus_id in self._restructured:
            curriculum_rows.recount(self.db, syllabus_id)
        return self.batch if self._changed else None


def new_batch() -> str:
    """The name of a new deed."""
    return uuid.uuid4().hex[:12]


def change(
    db: apsw.Connection, who: str, changes: Iterable[tuple[str, str, str | int | None]], batch: str | None = None
) -> str | None:
    """Make changes (record id, field, value) as one deed, or as a part of the deed `batch`; its batch, None where nothing
    differs."""
    deed = Deed(db, who, batch)
    for record_id, field, value in changes:
        deed.change(record_id, field, value)
    return deed.done()


def undo(ws: Workspace, batch: str, who: str) -> int:
    """Give everything that a deed changed its earlier value; how many values that were.

    GlanError, with nothing changed, when there is no such deed, or one of its values has been changed again since.
    """
    events = record_rows.batch_events(ws.db, batch, limit=1)
    if not events:
        raise GlanError("There is nothing to undo.")
    again = record_rows.changed_since(ws.db, batch)
    if again:
        raise GlanError(f"{again:,} of the values were changed again since: undo the later change first.")
    number, at, mine = 0, None, new_batch()
    while events := record_rows.batch_events(ws.db, batch, before=at, limit=CHUNK):
        with ws.write() as db:
            deed = Deed(db, who, mine)
            for event in events:
                deed.change(event.record_id, event.field, event.before)
            deed.done()
        number, at = number + len(events), events[-1].seq
    return number
