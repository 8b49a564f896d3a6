"""Rows that a repair removes can be restored: all of them, once, and only where nothing else has taken their place."""

import time

import pytest
from support.curriculum import add_questions
from support.demo import small_demo
from support.runs import content, execute_run, number, rows
from support.studio_app import add_run, copy_of

from glan_core.cli import main
from glan_core.curriculum import syllabus_editing
from glan_core.curriculum.syllabus_editing import SessionEdit
from glan_core.errors import GlanError
from glan_core.ids import answer_id
from glan_core.operations import removals, workspace_check
from glan_core.workspace import Workspace, consistency, curriculum_rows, homework_rows, removed, removed_rows, tag_rows
from glan_core.workspace.tag_rows import Tag

OWNERS = {
    "question": "SELECT * FROM questions WHERE seq IN (2, 5)",
    "last question": "SELECT * FROM questions WHERE seq = 96",
    "music question": "SELECT * FROM questions WHERE seq = 90",
    "syllabus": "SELECT * FROM syllabi WHERE id = (SELECT syllabus_id FROM questions WHERE seq = 96)",
    "subject": "SELECT * FROM subjects WHERE discipline_id = 'music'",
    "session": "SELECT * FROM sessions WHERE id = (SELECT id FROM sessions LIMIT 1)",
    "run": "SELECT * FROM runs WHERE id = 2",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of a demo with tags of two questions."""
    made = small_demo(tmp_path_factory.mktemp("demo") / "ws")
    with made.write() as db:
        tag_rows.put_tags(db, [Tag(seq, "quality", "length", detail={"words": 3}) for seq in (3, 96)], None)
    made.close()
    return made.folder


@pytest.fixture
def ws(demo, tmp_path):
    opened = Workspace.open(copy_of(demo, tmp_path, "ws"))
    yield opened
    opened.close()


def stored(ws):
    """All rows that can lose their owner, the counters, and what a search finds."""
    tables = (*consistency.ORPHANS, "counters", "subjects", "runs")
    found = {table: sorted(rows(ws, f"SELECT * FROM {table}"), key=repr) for table in tables}
    return found | {"counters": [row for row in found["counters"] if row[2]], "found": searched(ws)}


def searched(ws):
    return rows(ws, "SELECT rowid FROM pair_text WHERE pair_text MATCH 'the' ORDER BY rowid")


def lose(ws, owner):
    """Delete rows that others belong to; return a function that puts them back."""
    query = OWNERS[owner]
    table = query.split()[3]
    gone = rows(ws, query)
    with ws.write() as db:
        db.execute(f"DELETE FROM {table} {query.partition(table)[2]}")

    def put_back():
        with ws.write() as db:
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(gone[0]))})", gone)

    return put_back


def repair(ws):
    for finding in workspace_check.find_faults(ws):
        workspace_check.repair(ws, finding)
    assert list(workspace_check.find_faults(ws)) == []


def only_removal(ws):
    (removal,) = removals.list_removals(ws)
    assert removal.kind == "rows" and removal.bytes > 0
    return removal


@pytest.mark.parametrize("owner", [owner for owner in OWNERS if owner != "last question"])
def test_restored_rows_are_those_that_were_removed(ws, owner):
    sound = stored(ws)
    put_back = lose(ws, owner)
    damaged = {table: rows for table, rows in stored(ws).items() if table in consistency.ORPHANS}
    repair(ws)
    assert any(stored(ws)[table] != damaged[table] for table in damaged)
    removal = only_removal(ws)
    put_back()
    assert removals.restore(ws, removal.key).name == removal.name
    assert list(workspace_check.find_faults(ws)) == [] and removals.list_removals(ws) == []
    now = stored(ws)
    assert {table: now[table] for table in now if now[table] != sound[table]} == {}


def test_restored_rows_whose_owner_is_still_missing_are_found_again(ws):
    lose(ws, "syllabus")
    first = [finding.what for finding in workspace_check.find_faults(ws)][0]
    repair(ws)
    removals.restore(ws, only_removal(ws).key)
    assert first in [finding.what for finding in workspace_check.find_faults(ws)]
    repair(ws)
    only_removal(ws)


def test_a_lost_question_is_generated_again_after_a_repair_and_its_old_answer_stays_removed(ws):
    target = {"target": {"disciplines": ["music"], "subject_queries": 1, "questions_per_syllabus": 16}}
    before = content(ws)
    lose(ws, "music question")
    repair(ws)
    assert number(ws, "SELECT sum(questions) FROM syllabi WHERE discipline_id = 'music'") == 15
    assert execute_run(ws, target).state == "finished"
    assert {table: rows for table, rows in content(ws).items() if rows != before[table]} == {}
    with pytest.raises(GlanError, match=r"removed rows exist again. Delete the removed ones: 'glan removed .* purge rows-"):
        removals.restore(ws, only_removal(ws).key)
    assert list(workspace_check.find_faults(ws)) == []


def test_rows_that_exist_again_stay_removed_and_the_others_are_restored(ws):
    lose(ws, "syllabus")
    ((question,),) = rows(ws, "SELECT id FROM questions WHERE seq = 96")
    answers = number(ws, "SELECT count(*) FROM answers")
    repair(ws)
    with ws.write() as db:
        db.execute(
            "INSERT INTO answers (id, question_id, text, teacher) VALUES (?, ?, 'new', 'test')", (answer_id(question), question)
        )
    said = removals.restore(ws, only_removal(ws).key).name
    assert said.endswith("(1 row of them exist again and stay removed)") and only_removal(ws).name == "1 of answers"
    assert number(ws, "SELECT count(*) FROM answers") == answers
    assert rows(ws, "SELECT text FROM answers WHERE question_id = ?", question) == [("new",)]
    assert rows(ws, "SELECT answer_length, answer_teacher FROM questions WHERE id = ?", question) == [(3, "test")]
    assert [finding.what for finding in workspace_check.find_faults(ws)][0].startswith("Orphaned rows")


def test_the_numbers_of_removed_questions_are_not_used_again(ws):
    put_back = lose(ws, "syllabus")
    repair(ws)
    assert homework_rows.last_seq(ws.db) < 96
    (other,) = rows(ws, "SELECT id FROM syllabi WHERE questions > 0 LIMIT 1")[0]
    add_questions(ws, other, ("a question about zymurgy", "an answer about zymurgy"))
    with ws.write() as db:
        homework_rows.index_text(db)
    assert homework_rows.last_seq(ws.db) == 97
    assert rows(ws, "SELECT rowid FROM pair_text WHERE pair_text MATCH 'zymurgy'") == [(97,)]
    put_back()
    removals.restore(ws, only_removal(ws).key)
    assert number(ws, "SELECT count(*) FROM answers") == 97 and number(ws, "SELECT count(*) FROM tags WHERE seq = 96") == 1
    assert list(workspace_check.find_faults(ws)) == []


def test_tags_are_not_restored_to_a_later_question_of_the_same_number(ws):
    lose(ws, "last question")
    repair(ws)
    (other,) = rows(ws, "SELECT id FROM syllabi WHERE questions > 0 LIMIT 1")[0]
    with ws.write() as db:  # as a workspace from before numbers were kept
        db.execute("DELETE FROM meta WHERE key = 'last_question'")
    add_questions(ws, other, ("another question", "another answer"))
    assert homework_rows.last_seq(ws.db) == 96
    removals.restore(ws, only_removal(ws).key)
    assert rows(ws, "SELECT * FROM tags WHERE seq = 96") == [] and "1 of tags" in only_removal(ws).name


def test_a_syllabus_with_retired_sessions_is_consistent(ws):
    (id,) = rows(ws, "SELECT syllabus_id FROM questions WHERE seq = 96")[0]
    kept = [
        SessionEdit(s.id, s.name, s.description, tuple(n for _, n in s.concepts)) for s in curriculum_rows.sessions(ws.db, id)
    ][1:]
    text = curriculum_rows.require_syllabus(ws.db, id).text
    syllabus_editing.edit_syllabus(ws, id, "test", text=text, sessions=kept)
    questions = number(ws, "SELECT questions FROM syllabi WHERE id = ?", id)
    assert questions < number(ws, "SELECT count(*) FROM questions WHERE syllabus_id = ?", id)
    assert list(workspace_check.find_faults(ws)) == []
    with ws.write() as db:
        db.execute("UPDATE syllabi SET questions = 0 WHERE id = ?", (id,))
    repair(ws)
    assert number(ws, "SELECT questions FROM syllabi WHERE id = ?", id) == questions


def test_nothing_is_restored_below_a_live_run(ws):
    lose(ws, "question")
    repair(ws)
    add_run(ws, "running", "Live", heartbeat_at=time.time())
    with pytest.raises(GlanError, match=r"is live. Pause or cancel it before rows are restored"):
        removals.restore(ws, only_removal(ws).key)


@pytest.mark.parametrize("line", [
    '{"table": "meta", "row": {"key": "name", "value": "1"}}',
    '{"table": "answers", "row": {"id, seq) SELECT 1, 2 --": 1}}',
    '{"table": "answers", "row": {"seq": "x", "id": "a", "question_id": "b", "text": "c", "teacher": "d"}}',
    '{"table": "answers", "row": {"seq": 1e999, "id": "a", "question_id": "b", "text": "c", "teacher": "d"}}',
    '{"table": "answers", "row": {"seq": 900, "id": "a", "question_id": "b", "text": "\\ud800", "teacher": "d"}}',
    '{"table": "answers", "row": {"seq": 99999999999999999999999, "id": "a"}}',
    '{"table": "answers", "row": {"seq": {}, "id": []}}',
    '{"table": "answers", "row": {}}', '{"table": [], "row": {"id": 1}}', "[]", "{", "", "[" * 100_000,
])  # fmt: skip
def test_a_file_that_is_not_as_repairs_write_it_restores_nothing(ws, line):
    before = stored(ws)
    lose(ws, "question")
    repair(ws)
    removal = only_removal(ws)
    path = ws.folder / removed.FOLDER / f"{removal.key}.jsonl"
    path.write_text(path.read_text("utf-8") + (line or " ") + "\n", "utf-8")
    damaged = stored(ws)
    with pytest.raises(GlanError, match=r"is not a file of removed rows of this workspace. No rows were restored"):
        removals.restore(ws, removal.key)
    assert stored(ws) == damaged != before


@pytest.mark.parametrize("head", ["", "[]", "{", '{"at": 1}', '{"at": 1, "rows": {"meta": 1}}', '{"at": "x", "rows": {}}',
                                  '{"at": 1, "rows": {"answers": "many"}}', "[" * 20_000])  # fmt: skip
def test_a_file_with_another_first_line_is_not_listed(ws, head):
    home = ws.folder / removed.FOLDER
    home.mkdir(exist_ok=True)
    (home / "rows-1.jsonl").write_text(head + "\n")
    (home / "rows-x.jsonl").write_text('{"at": 1, "rows": {"answers": 1}}\n')
    assert removed_rows.list_rows(ws) == []


def test_a_file_that_cannot_be_written_keeps_the_rows(ws):
    before = stored(ws)
    lose(ws, "question")
    damaged = stored(ws)
    (ws.folder / removed.FOLDER).write_text("in the way")
    with pytest.raises(GlanError, match="The rows were not removed"):
        repair(ws)
    assert stored(ws) == damaged != before


def test_the_command_lists_restores_and_purges_rows(ws, capsys):
    def said(*words):
        assert main(["removed", str(ws.folder), *words]) == 0
        return capsys.readouterr().out

    put_back = lose(ws, "syllabus")
    repair(ws)
    key = only_removal(ws).key
    assert key in said("list") and " of question_concepts" in said("list")
    put_back()
    assert said("restore", key).startswith("Restored the rows 16 of questions, ")
    assert said("list") == "No removed items.\n" and list(workspace_check.find_faults(ws)) == []
    lose(ws, "syllabus")
    repair(ws)
    assert "Deleted 1 removed item permanently" in said("purge", only_removal(ws).key)
    assert list((ws.folder / removed.FOLDER).iterdir()) == []
