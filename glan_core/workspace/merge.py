"""Taking the rows of one discipline over from another workspace: what accepting a preview does."""

from collections.abc import Callable

import apsw

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
_PAID = "'calls', 'tokens_in', 'tokens_out', 'cost_usd', 'last_at'"


def take_over(
    ws: Workspace, other: Workspace, discipline_id: str, run_id: int, *, content: bool,
    also: Callable[[apsw.Connection], None] | None = None,
) -> None:  # fmt: skip
    """Copy a discipline's rows and its calls from another workspace, in one transaction; the calls become `run_id`'s.

    Work that failed here and succeeded there is off the list of failures. With `content` False only the calls come, as
    'discarded': what was paid stays accounted for. `also` is done first, in the same transaction. WorkspaceError when the
    discipline already has rows here.
    """
    db = ws.another_connection()
    try:
        db.execute("ATTACH ? AS other", (str(other.folder / FILE),))
        db.execute("BEGIN IMMEDIATE")
        try:
            if also is not None:
                also(db)
            _copy(db, discipline_id, run_id, content)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    finally:
        db.close()


def _copy(db: apsw.Connection, discipline_id: str, run_id: int, content: bool) -> None:
    if content and db.execute("SELECT 1 FROM subject_queries WHERE discipline_id = ?", (discipline_id,)).fetchone():
        raise WorkspaceError(f"{discipline_id} has been generated here meanwhile: the preview can only be discarded.")
    if content:
        for table, condition in _CONTENT.items():
            columns = _columns(db, table)
            db.execute(
                f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM other.{table} WHERE {condition}", (discipline_id,)
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
    """What people changed before they accepted: all questions that came with it were there before."""
    columns = _columns(db, "record_events")
    newest = columns.replace("last_question", "(SELECT coalesce(max(seq), 0) FROM main.questions)")
    db.execute(f"INSERT INTO main.record_events ({columns}) SELECT {newest} FROM other.record_events ORDER BY seq")


def _merge_failures(db: apsw.Connection, discipline_id: str, run_id: int) -> None:
    """Both lists of failures as one: works that arrived are off it, and the counter says how many are left."""
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
    """The columns of a table but `seq`, which each workspace gives out itself."""
    return ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})") if row[1] != "seq")
