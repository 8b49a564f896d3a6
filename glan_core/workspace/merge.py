"""Merging one discipline from another workspace; used when a preview is accepted."""

from collections.abc import Callable

import apsw

from glan_core.workspace.homework_rows import LAST_SEQ
from glan_core.workspace.workspace import FILE, Workspace, WorkspaceError

_OF_SYLLABUS = "syllabus_id IN (SELECT id FROM other.syllabi WHERE discipline_id = ?1)"
_CONTENT = {
    "subject_queries": "discipline_id = ?1",
    "subjects": "discipline_id = ?1",
    "subject_mentions": "subject_id IN (SELECT id FROM other.subjects WHERE discipline_id = ?1)",
    "syllabi": "discipline_id = ?1",
    "sessions": _OF_SYLLABUS,
    "concepts": _OF_SYLLABUS,
    "questions": "discipline_id = ?1",
    "question_concepts": "question_id IN (SELECT id FROM other.questions WHERE discipline_id = ?1)",
    "answers": "question_id IN (SELECT id FROM other.questions WHERE discipline_id = ?1)",
}
_PAID = "'calls', 'tokens_in', 'tokens_out', 'tokens_reasoning', 'cost_usd', 'unpriced', 'last_at'"


def merge_discipline(
    ws: Workspace, other: Workspace, discipline_id: str, run_id: int, *, content: bool,
    also: Callable[[apsw.Connection], None] | None = None,
) -> None:  # fmt: skip
    """Copy the rows and calls of a discipline from another workspace in one transaction.

    Tasks that failed in `ws` and succeeded in `other` are removed from the open failures.

    Args:
        ws: The target workspace.
        other: The source workspace.
        discipline_id: The discipline.
        run_id: Run of `ws` that the calls are assigned to.
        content: Whether to copy the content; if False, only the calls are copied, as 'discarded', to keep their cost.
        also: Function called first within the same transaction.

    Raises:
        WorkspaceError: If the discipline already has rows in `ws`.
    """
    db = ws.new_connection()
    try:
        db.execute("ATTACH ? AS other", (str(other.folder / FILE),))
        db.execute("BEGIN IMMEDIATE")
        try:
            if also is not None:
                also(db)
            _copy(db, discipline_id, run_id, content=content)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    finally:
        db.close()


def _copy(db: apsw.Connection, discipline_id: str, run_id: int, *, content: bool) -> None:
    if content and db.execute("SELECT 1 FROM subject_queries WHERE discipline_id = ?", (discipline_id,)).fetchone():
        raise WorkspaceError(f"Discipline {discipline_id} was generated in the meantime: discard the preview.")
    if content:
        for table, condition in _CONTENT.items():
            columns = values = _columns(db, table)
            if table == "questions":
                columns, values = f"seq, {columns}", f"{LAST_SEQ} + row_number() OVER (ORDER BY seq), {columns}"
            db.execute(
                f"INSERT INTO main.{table} ({columns}) SELECT {values} FROM other.{table} WHERE {condition}", (discipline_id,)
            )
        _copy_edits(db)
    columns = _columns(db, "calls")
    changed = columns.replace("run_id", "?2").replace("outcome", "outcome" if content else "'discarded'")
    db.execute(f"INSERT INTO main.calls ({columns}) SELECT {changed} FROM other.calls WHERE discipline_id = ?1 ORDER BY seq",
               (discipline_id, run_id))  # fmt: skip
    db.execute("INSERT OR IGNORE INTO main.prompts SELECT * FROM other.prompts")
    db.execute(
        """INSERT INTO main.call_totals SELECT * FROM other.call_totals WHERE TRUE ON CONFLICT DO UPDATE SET
           calls = calls + excluded.calls, tokens_in = tokens_in + excluded.tokens_in,
           tokens_out = tokens_out + excluded.tokens_out, latency_ms = latency_ms + excluded.latency_ms"""
    )
    measures = "AND measure != 'failures'" if content else f"AND measure IN ({_PAID})"
    db.execute(
        f"""INSERT INTO main.counters SELECT node_id, measure, value FROM other.counters WHERE node_id = ? {measures}
            ON CONFLICT DO UPDATE SET value = CASE measure WHEN 'last_at' THEN max(value, excluded.value)
            ELSE value + excluded.value END""",
        (discipline_id,),
    )
    if content:
        _merge_failures(db, discipline_id, run_id)


def _copy_edits(db: apsw.Connection) -> None:
    """Copy the edits made before a preview was accepted; all copied questions predate them."""
    columns = _columns(db, "record_events")
    newest = columns.replace("last_question", "(SELECT coalesce(max(seq), 0) FROM main.questions)")
    db.execute(f"INSERT INTO main.record_events ({columns}) SELECT {newest} FROM other.record_events ORDER BY seq")


def _merge_failures(db: apsw.Connection, discipline_id: str, run_id: int) -> None:
    """Merge the lists of failures without the tasks that succeeded, and update the counter."""
    db.execute(
        """DELETE FROM main.failures WHERE (work_id, stage) IN
           (SELECT work_id, stage FROM other.calls WHERE discipline_id = ? AND outcome = 'stored')""",
        (discipline_id,),
    )
    columns = _columns(db, "failures")
    db.execute(
        f"""INSERT OR REPLACE INTO main.failures ({columns})
            SELECT {columns.replace("run_id", "?2")} FROM other.failures WHERE discipline_id = ?1""",
        (discipline_id, run_id),
    )
    db.execute("DELETE FROM main.counters WHERE node_id = ? AND measure = 'failures'", (discipline_id,))
    db.execute(
        """INSERT INTO main.counters SELECT ?1, 'failures', count(*) FROM main.failures WHERE discipline_id = ?1
           HAVING count(*) > 0""",
        (discipline_id,),
    )


def _columns(db: apsw.Connection, table: str) -> str:
    """Return the columns of a table except `seq`, which each workspace assigns itself."""
    return ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})") if row[1] != "seq")
