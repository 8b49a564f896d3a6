"""Edit batches: changes of generated records that are stored and undone together."""

import uuid
from collections.abc import Iterable

import apsw

from glan_core.errors import GlanError
from glan_core.workspace import Workspace, curriculum_rows, record_rows

CHUNK = 5000  # changes undone per transaction, so that a concurrent run is not blocked by a large undo


class EditBatch:
    """Changes made together within one transaction; call `finish` at the end."""

    def __init__(self, db: apsw.Connection, who: str, batch: str | None = None) -> None:
        self.db = db
        self.batch = batch or new_batch()
        self._who = who
        self._changed = False
        self._syllabi: set[str] = set()
        self._restructured: set[str] = set()

    def change(self, record_id: str, field: str, value: str | int | None) -> None:
        """Set a field of a record if the value differs."""
        if record_rows.change(self.db, self.batch, record_id, field, value, self._who):
            self._follow(record_id, field)

    def added(self, record_id: str) -> None:
        """Record that a class session or key concept was added; undoing the batch retires it."""
        record_rows.add_event(self.db, self.batch, record_id, "retired", 1, 0, self._who)
        self._follow(record_id, "retired")

    def _follow(self, record_id: str, field: str) -> None:
        self._changed = True
        if record_id.startswith(("syl-", "ses-", "con-")):
            syllabus_id = curriculum_rows.syllabus_of(self.db, record_id) or record_id
            self._syllabi.add(syllabus_id)
            if field == "retired":
                self._restructured.add(syllabus_id)

    def finish(self) -> str | None:
        """Update counts and edit marks.

        Returns:
            Id of the batch, None if nothing changed.

        Raises:
            GlanError: If a syllabus would have no class session, or a class session no key concept. The caller must roll back.
        """
        for syllabus_id in self._restructured:
            sizes = curriculum_rows.update_counts(self.db, syllabus_id)
            if not sizes or not all(sizes):
                raise GlanError(
                    "The syllabus would have no class session, or a class session no key concept. Undo the later changes "
                    "first, or edit the syllabus."
                )
        for syllabus_id in self._syllabi:
            record_rows.mark_syllabus(self.db, syllabus_id)
        return self.batch if self._changed else None


def new_batch() -> str:
    """Return the id of a new batch."""
    return uuid.uuid4().hex[:12]


def change(
    db: apsw.Connection, who: str, changes: Iterable[tuple[str, str, str | int | None]], batch: str | None = None
) -> str | None:
    """Apply changes as one batch.

    Args:
        db: The workspace database, within a transaction.
        who: The editor.
        changes: (record id, field, value) for each change.
        batch: Id of an existing batch to extend; None for a new one.

    Returns:
        Id of the batch, None if nothing changed.
    """
    edit = EditBatch(db, who, batch)
    for record_id, field, value in changes:
        edit.change(record_id, field, value)
    return edit.finish()


def undo(ws: Workspace, batch: str, who: str) -> int:
    """Undo a batch; an interrupted undo continues when it is called again.

    Args:
        ws: The workspace.
        batch: Id of the batch.
        who: The editor.

    Returns:
        Number of restored values.

    Raises:
        GlanError: If there is nothing to undo, a value was changed again since, or a syllabus would lose its sessions.
    """
    if again := record_rows.count_changed_since(ws.db, batch):
        raise GlanError(f"{again:,} of the values have changed again since. Undo the later change first.")
    number, at, undo_batch = 0, None, new_batch()
    while events := record_rows.batch_events(ws.db, batch, before=at, limit=CHUNK):
        with ws.write() as db:
            edit = EditBatch(db, who, undo_batch)
            for event in events:
                if record_rows.value_of(db, event.record_id, event.field) == event.after:
                    edit.change(event.record_id, event.field, event.before)
                    number += 1
            edit.finish()
        at = events[-1].seq
    if not number:
        raise GlanError("There is nothing to undo: all values are already restored.")
    return number
