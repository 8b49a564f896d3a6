"""Random reviews, edits, runs, regenerations and undos: counters and derived columns always match a recount."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from support.runs import Canned, execute_run, number, rows

from glan_core.curriculum import syllabus_editing
from glan_core.curriculum.syllabus_editing import SessionEdit
from glan_core.errors import GlanError
from glan_core.generation import preview, provenance
from glan_core.generation.settings import TeacherSettings
from glan_core.homework import review
from glan_core.ids import answer_id
from glan_core.operations.workspace_check import find_faults
from glan_core.workspace import call_rows, curriculum_rows, edit_batch, homework_rows, record_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import REASONS, Tag

DISCIPLINES = ("mathematics", "music")
LIVE = "c.retired = 0 AND s.retired = 0"
TRUTH = {
    "subjects": "SELECT count(*) FROM subjects WHERE discipline_id = ?",
    "syllabi": "SELECT count(*) FROM syllabi WHERE discipline_id = ?",
    "sessions": "SELECT count(*) FROM sessions s JOIN syllabi y ON y.id = syllabus_id WHERE discipline_id = ? AND retired = 0",
    "concepts": f"""SELECT count(*) FROM concepts c JOIN sessions s ON s.id = session_id JOIN syllabi y ON y.id = c.syllabus_id
        WHERE discipline_id = ? AND {LIVE}""",
    "concepts_asked": f"""SELECT count(*) FROM concepts c JOIN sessions s ON s.id = session_id JOIN syllabi y
        ON y.id = c.syllabus_id WHERE discipline_id = ? AND {LIVE} AND c.id IN (SELECT concept_id FROM question_concepts)""",
    "questions": "SELECT count(*) FROM questions WHERE discipline_id = ?",
    "pairs": "SELECT count(*) FROM questions q JOIN answers a ON a.question_id = q.id WHERE discipline_id = ?",
    "kept": "SELECT count(*) FROM questions WHERE discipline_id = ? AND review = 'keep'",
    "rejected": "SELECT count(*) FROM questions WHERE discipline_id = ? AND review = 'reject'",
    "starred": "SELECT count(*) FROM questions WHERE discipline_id = ? AND starred = 1",
    "failures": "SELECT count(*) FROM failures WHERE discipline_id = ?",
    "calls": "SELECT count(*) FROM calls WHERE discipline_id = ?",
    "tokens_out": "SELECT total(tokens_out) FROM calls WHERE discipline_id = ?",
    "last_at": "SELECT max(at) FROM calls WHERE discipline_id = ?",
    **{
        f"dropped_{reason}": f"SELECT count(*) FROM questions WHERE discipline_id = ? AND dropped = '{reason}'"
        for reason in REASONS
    },
}


class RandomUser:
    """Performs random actions on a workspace and remembers the generated text of every record."""

    def __init__(self, ws, settings, teach, seed: int) -> None:
        self.ws, self.order, self.teach, self.rng = ws, settings, teach, random.Random(seed)
        self.batches: list[str] = []
        self.first: dict[str, object] = {}
        self.wanted = 3
        self.done = Counter()

    def look(self) -> None:
        """Remember the text of new records."""
        for query in ("SELECT id, text FROM questions", "SELECT id, text FROM answers", "SELECT id, text FROM syllabi",
                      "SELECT id, name || level || subtopics FROM subjects", "SELECT id, name || description FROM sessions",
                      "SELECT id, name FROM concepts"):  # fmt: skip
            for id, text in rows(self.ws, query):
                self.first.setdefault(id, text)

    def question(self) -> str:
        return self.rng.choice(rows(self.ws, "SELECT id FROM questions"))[0]

    def keep(self, batch: str | None) -> None:
        if batch:
            self.batches.append(batch)

    def which(self) -> PairFilter:
        rng = self.rng
        filters = [PairFilter(review="none"), PairFilter(review="reject"), PairFilter(words="answer"), PairFilter(failed=True),
                   PairFilter(words="together", review="none"), PairFilter(edited=True), PairFilter(starred=True),
                   PairFilter(level="basic", longest=120), PairFilter(teacher="other")]  # fmt: skip
        return replace(rng.choice(filters), disciplines=rng.choice([None, DISCIPLINES[:1]]))

    def judge(self) -> None:
        verdict = self.rng.choice(["keep", "reject", None])
        self.keep(review.review(self.ws, self.question(), verdict, "Ada", reason=self.rng.choice(review.REASONS)))

    def star(self) -> None:
        self.keep(review.star(self.ws, self.question(), "Ada", starred=self.rng.random() < 0.6))

    def judge_all(self) -> None:
        self.keep(review.review_all(self.ws, self.which(), self.rng.choice(["keep", "reject", None]), "Ada", reason="wrong"))

    def edit_pair(self) -> None:
        id = self.question()
        pair = homework_rows.pair(self.ws.db, id)
        texts = [f"Question {self.rng.random()}", self.first.get(id, pair.question.text)]
        answer = pair.answer and self.rng.choice(
            [pair.answer, f"Zebra {self.rng.random()}", self.first.get(answer_id(id), "A")]
        )
        self.keep(review.edit(self.ws, id, "Bob", question=self.rng.choice(texts), answer=answer))

    def syllabus(self):
        ready = rows(self.ws, "SELECT id FROM syllabi WHERE sizes IS NOT NULL")
        return curriculum_rows.syllabus(self.ws.db, self.rng.choice(ready)[0])

    def edit_subject(self) -> None:
        id = self.syllabus().subject_id
        level, name = self.rng.choice(["basic", "hard"]), self.rng.choice(["Zebras", "Okapis"])
        self.keep(syllabus_editing.edit_subject(self.ws, id, "Bob", name=name, level=level, subtopics=["one", level]))

    def edit_syllabus(self) -> None:
        rng, syllabus = self.rng, self.syllabus()
        wanted = []
        for session in curriculum_rows.sessions(self.ws.db, syllabus.id):
            names = [name for _, name in session.concepts if rng.random() < 0.8]
            names += [f"Concept {rng.random()}"] * (not names or rng.random() < 0.3)
            if rng.random() < 0.85:
                name = rng.choice([session.name, session.name, f"Session {rng.random()}"])
                wanted.append(SessionEdit(session.id, name, session.description, tuple(names)))
        if not wanted or rng.random() < 0.3:
            wanted.append(SessionEdit(None, "New", "", ("Zebra", f"Concept {rng.random()}")))
        text = rng.choice([syllabus.text, self.first[syllabus.id], f"Text {rng.random()}"])
        self.keep(syllabus_editing.edit_syllabus(self.ws, syllabus.id, "Bob", text=text, sessions=wanted))

    def undo(self) -> None:
        """Undo any recent batch, in any order; the undo is itself a batch."""
        if self.batches:
            try:
                edit_batch.undo(self.ws, self.rng.choice(self.batches[-12:]), "Ada")
                self.keep(rows(self.ws, "SELECT batch FROM record_events ORDER BY seq DESC LIMIT 1")[0][0])
                self.done["undone"] += 1
            except GlanError:
                self.done["refused"] += 1

    def check_rows(self) -> None:
        """Run a check that tags random rows and removes its outdated tags."""
        kind, name, run_id = self.rng.choice(REASONS[1:]), self.rng.choice(["one", "two"]), self.rng.randint(1, 10**9)
        found = [Tag(seq, kind, name) for (seq,) in rows(self.ws, "SELECT seq FROM questions") if self.rng.random() < 0.2]
        with self.ws.write() as db:
            tag_rows.put_tags(db, found, run_id)
            while tag_rows.clear_tags(db, kind, [name], run_id, limit=3):
                pass

    def overrule(self) -> None:
        tagged = rows(self.ws, "SELECT seq, kind, name FROM tags")
        if tagged:
            with self.ws.write() as db:
                tag_rows.overrule(db, *self.rng.choice(tagged), self.rng.choice(["Ada", None]))

    def redo(self, id: str) -> None:
        self.teach(Canned(self.behaviour(), name=self.rng.choice(["canned", "other"]), sessions=self.rng.randint(1, 4)))
        execute_run(self.ws, {"record_id": id}, "redo")
        self.keep(rows(self.ws, "SELECT max(batch) FROM record_events WHERE who IN ('canned', 'other')")[0][0])

    def write_answer_anew(self) -> None:
        self.redo(self.question())

    def write_syllabus_anew(self) -> None:
        self.redo(self.syllabus().id)

    def run(self) -> None:
        """Run generation while users keep editing."""
        self.wanted = min(self.wanted + 1, 14)
        self.teach(Canned(self.behaviour(concurrent=True), name=self.rng.choice(["canned", "other"]), concepts=3))
        execute_run(self.ws, self.order(*DISCIPLINES, questions_per_syllabus=self.wanted, seed=self.rng.randint(0, 2)))

    def behaviour(self, *, concurrent: bool = False):
        def behave(stage, nth, messages):
            if concurrent and self.wanted > 4 and stage in ("question", "answer") and self.rng.random() < 0.3:
                self.act(self.rng.choice([self.judge, self.edit_pair, self.edit_syllabus, self.edit_syllabus, self.undo]))
            if self.rng.random() < 0.08:
                return ""
            return f"Version {self.rng.random()}" if stage in ("answer", "syllabus") else None

        return behave

    def act(self, action) -> None:
        self.look()
        action()
        self.done[action.__name__] += 1


def check(user: RandomUser) -> None:
    """Compare every counter and derived column with the tables."""
    ws = user.ws
    counted = call_rows.counters(ws.db)
    for discipline in DISCIPLINES:
        for measure, query in TRUTH.items():
            assert counted[discipline].get(measure, 0) == pytest.approx(number(ws, query, discipline) or 0), (
                discipline,
                measure,
            )
    live = {id for (id,) in rows(ws, "SELECT id FROM sessions WHERE retired = 0")}
    for id, sizes, questions, edited in rows(ws, "SELECT id, sizes, questions, edited FROM syllabi"):
        sessions = curriculum_rows.sessions(ws.db, id)
        assert (sizes is None and not sessions) or json.loads(sizes) == [len(s.concepts) for s in sessions] != []
        drawn = rows(ws, "SELECT sessions FROM questions WHERE syllabus_id = ?", id)
        assert questions == sum(live.issuperset(json.loads(row)) for (row,) in drawn)
        assert bool(edited) == changed_syllabus(user, id)
    for id, text in rows(ws, "SELECT id, name || level || subtopics FROM subjects WHERE edited"):
        assert user.first[id] != text
    for pair in homework_rows.pairs_page(ws.db, PairFilter(), limit=10_000):
        id = pair.question.id
        now = {id: pair.question.text, answer_id(id): pair.answer}
        assert pair.edited == any(text and user.first[id] != text for id, text in now.items()), id
        tags = {tag.kind for tag in tag_rows.tags_of(ws.db, pair.question.seq) if not tag.overruled_by}
        reasons = [reason for reason in REASONS if reason in tags or (reason, pair.review) == ("rejected", "reject")]
        assert pair.dropped == (reasons[0] if reasons and pair.answer is not None else None)
        [row] = rows(ws, "SELECT answered, answer_length, answer_teacher, level FROM questions WHERE id = ?", id)
        subject = curriculum_rows.subject(ws.db, curriculum_rows.syllabus(ws.db, pair.question.syllabus_id).subject_id)
        length = None if pair.answer is None else len(pair.answer)
        assert row == (int(pair.answer is not None), length, pair.answer_teacher, subject.level)
    check_history(ws)
    check_index(ws)


def changed_syllabus(user: RandomUser, id: str) -> bool:
    """Return whether a syllabus, its sessions or concepts differ from the generated text."""
    ws, first = user.ws, user.first
    if first[id] != number(ws, "SELECT text FROM syllabi WHERE id = ?", id):
        return True
    query = """SELECT id, name || description, retired FROM sessions WHERE syllabus_id = ?1
        UNION ALL SELECT id, name, retired FROM concepts WHERE syllabus_id = ?1"""
    added = {id for (id,) in rows(ws, """SELECT record_id FROM record_events WHERE field = 'retired'
        GROUP BY record_id HAVING min(seq) AND before = '1'""")}  # fmt: skip
    return any((id in added) != bool(retired) or first[id] != text for id, text, retired in rows(ws, query, id))


def check_history(ws) -> None:
    """Check that the events of each field form a chain that ends at its current value."""
    latest: dict[tuple[str, str], str | None] = {}
    for id, field, before, after in rows(ws, "SELECT record_id, field, before, after FROM record_events ORDER BY seq"):
        assert latest.get((id, field), before) == before != after
        latest[id, field] = after
    for (id, field), value in latest.items():
        assert str(value) == str(record_rows.value_of(ws.db, id, field))


def check_index(ws) -> None:
    """Check that the full-text index equals one built from scratch."""
    db = ws.db
    db.execute("""CREATE VIRTUAL TABLE temp.now USING fts5 (question, answer, content='', contentless_delete=1);
        CREATE VIRTUAL TABLE temp.words_now USING fts5vocab (temp, now, instance);
        CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, pair_text, instance);
        INSERT INTO temp.now (rowid, question, answer)
            SELECT q.seq, q.text, a.text FROM questions q JOIN answers a ON a.question_id = q.id""").fetchall()
    try:
        assert number(ws, "SELECT count(*) FROM temp.words") == number(ws, "SELECT count(*) FROM temp.words_now") > 0
        assert not rows(ws, "SELECT * FROM temp.words EXCEPT SELECT * FROM temp.words_now")
    finally:
        db.execute("DROP TABLE temp.words; DROP TABLE temp.words_now; DROP TABLE temp.now").fetchall()


def check_prompts(ws) -> None:
    """Check that the chat of every stored call can be reconstructed despite concurrent edits."""
    calls = [call for (id,) in rows(ws, "SELECT DISTINCT work_id FROM calls") for call in call_rows.calls_of(ws.db, id)]
    assert not [call for call in calls if call.outcome == "stored" and provenance.messages_of(ws, call) is None]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_counters_match_a_recount_after_random_actions(ws, settings, teach, monkeypatch, seed):
    monkeypatch.setattr(edit_batch, "CHUNK", 60)  # larger than one syllabus, smaller than a bulk review
    ws.db.pragma("synchronous", "off")
    user = RandomUser(ws, settings, teach, seed)
    user.run()
    often = [user.judge, user.star, user.edit_pair, user.edit_syllabus, user.undo, user.undo, user.overrule]
    seldom = [
        user.judge_all,
        user.edit_subject,
        user.write_answer_anew,
        user.write_syllabus_anew,
        user.run,
        user.check_rows,
    ]
    for step in range(120):
        user.act(user.rng.choice(often if step % 3 else seldom))
        user.look()
        if step % 5 == 0:
            check(user)
    check(user)
    assert [finding.what for finding in find_faults(ws)] == []
    assert len(rows(ws, "SELECT DISTINCT batch FROM record_events")) > 60
    assert user.done["undone"] > 5 and user.done["refused"] > 1 and user.done["edit_syllabus"] > 10
    check_prompts(ws)
    latest = rows(ws, "SELECT batch FROM record_events GROUP BY batch ORDER BY max(seq) DESC")
    for (batch,) in latest:
        edit_batch.undo(ws, batch, "Ada")
    check(user)
    assert not rows(ws, "SELECT id FROM questions WHERE edited OR starred OR review IS NOT NULL OR reason != ''")
    assert not rows(ws, "SELECT id FROM subjects WHERE edited UNION ALL SELECT id FROM syllabi WHERE edited")


def test_a_preview_edited_at_random_is_counted_right_once_it_is_accepted(ws, settings, teach):
    teach(Canned())
    execute_run(ws, settings("mathematics"))
    preview.create(ws, "music", TeacherSettings())
    with preview.workspace_of(ws, "music") as small:
        editor = RandomUser(small, settings, teach, seed=1)
        for _ in range(8):
            for act in (editor.edit_pair, editor.edit_syllabus, editor.edit_subject, editor.star, editor.undo):
                editor.act(act)
        editor.look()
    preview.accept(ws, "music")
    user = RandomUser(ws, settings, teach, seed=2)
    user.first = editor.first
    user.look()
    check(user)
    user.run()
    for act in (user.edit_pair, user.edit_syllabus, user.judge_all, user.undo) * 3:
        user.act(act)
    user.look()
    check(user)
    check_prompts(ws)
