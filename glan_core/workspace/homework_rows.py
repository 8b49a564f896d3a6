"""Questions, answers and the pairs they make: writing them, paging through them, counting them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apsw

from glan_core.ids import answer_id
from glan_core.workspace import tag_rows
from glan_core.workspace.call_rows import count
from glan_core.workspace.pair_filter import PairFilter, answered_after, matching
from glan_core.workspace.workspace import set_fact

SCRIPTED = ("scripted", "openai:scripted")  # the offline teacher, in this process or served over HTTP


@dataclass(frozen=True, slots=True)
class Question:
    """A homework question: `sessions` and `concepts` are the ids it was drawn from, `draw` its place under its seed."""

    seq: int
    id: str
    syllabus_id: str
    discipline_id: str
    strategy: str
    draw_law: str
    seed: int
    draw: int
    sessions: tuple[str, ...]
    concepts: tuple[str, ...]
    text: str
    teacher: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with its answer, or without one yet (`answer` and `answer_teacher` None), and what a person made of it:
    `review` 'keep', 'reject' or None, with the `reason` of a rejection; whether it is `starred`, whether its text was
    `edited`. `level` is that of its subject; `dropped` why the dataset leaves the pair out (`tag_rows.REASONS`), None where
    it takes it."""

    question: Question
    answer: str | None
    answer_teacher: str | None
    review: str | None = None
    reason: str = ""
    starred: bool = False
    edited: bool = False
    level: str = ""
    dropped: str | None = None

    @property
    def scripted(self) -> bool:
        """Whether the offline scripted teacher wrote the question or the answer."""
        return self.question.teacher in SCRIPTED or self.answer_teacher in SCRIPTED


@dataclass(frozen=True, slots=True)
class Text:
    """What checks and measures read of a question: its text and that of its answer (None without one, or where answers were
    not asked for), who wrote them, where it belongs, whether the dataset leaves it out, and what a person said of it."""

    seq: int
    id: str
    discipline_id: str
    syllabus_id: str
    question: str
    answer: str | None
    teacher: str
    answer_teacher: str | None
    answer_length: int | None
    level: str
    strategy: str
    dropped: str | None
    review: str | None


def add_question(db: apsw.Connection, question: Question) -> None:
    """Store a question and count the concepts that it is the first to ask about. `seq` is given by the database.

    What an edit put out of use while the question was being written counts no more, as in `curriculum_rows.recount`.
    """
    db.execute(
        """INSERT OR IGNORE INTO questions (id, syllabus_id, discipline_id, strategy, draw_law, seed, draw, sessions, concepts,
           text, teacher, level) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
           coalesce((SELECT s.level FROM syllabi y JOIN subjects s ON s.id = y.subject_id WHERE y.id = ?), ''))""",
        (question.id, question.syllabus_id, question.discipline_id, question.strategy, question.draw_law, question.seed,
         question.draw, json.dumps(question.sessions), json.dumps(question.concepts), question.text, question.teacher,
         question.syllabus_id),
    )  # fmt: skip
    if not db.changes():
        return
    marks = ", ".join("?" * len(question.concepts))
    (first,) = db.execute(
        f"""SELECT count(*) FROM concepts c JOIN sessions s ON s.id = c.session_id WHERE c.id IN ({marks}) AND c.retired = 0
            AND s.retired = 0 AND NOT EXISTS (SELECT 1 FROM question_concepts WHERE concept_id = c.id)""",
        question.concepts,
    ).fetchone()
    db.executemany("INSERT INTO question_concepts VALUES (?, ?)", [(concept, question.id) for concept in question.concepts])
    marks = ", ".join("?" * len(question.sessions))
    db.execute(
        f"""UPDATE syllabi SET questions = questions + 1 WHERE id = ?
            AND NOT EXISTS (SELECT 1 FROM sessions WHERE id IN ({marks}) AND retired = 1)""",
        (question.syllabus_id, *question.sessions),
    )
    count(db, question.discipline_id, questions=1, concepts_asked=first)


def add_answer(db: apsw.Connection, question_id: str, discipline_id: str, text: str, teacher: str) -> None:
    """Store the answer of a question, which makes the two a pair."""
    db.execute("INSERT OR IGNORE INTO answers (id, question_id, text, teacher) VALUES (?, ?, ?, ?)",
               (answer_id(question_id), question_id, text, teacher))  # fmt: skip
    if db.changes():
        db.execute(
            "UPDATE questions SET answered = 1, answer_length = ?, answer_teacher = ? WHERE id = ?",
            (len(text), teacher, question_id),
        )
        count(db, discipline_id, pairs=1)
        tag_rows.settle(db, [seq for (seq,) in db.execute("SELECT seq FROM questions WHERE id = ?", (question_id,))])


def combinations(db: apsw.Connection, syllabus_id: str) -> set[frozenset[str]]:
    """The combinations of key concepts, by their ids, that a syllabus's questions were drawn from."""
    return {frozenset(concepts) for _, concepts in concept_sets(db, syllabus_id)}


def question_text(db: apsw.Connection, question_id: str) -> str:
    """A question as it now reads."""
    return db.execute("SELECT text FROM questions WHERE id = ?", (question_id,)).fetchone()[0]


def question_starts(db: apsw.Connection, seqs: Sequence[int], length: int) -> dict[int, str]:
    """`seq` -> the first `length` characters of its question, of those that are there."""
    query = "SELECT seq, substr(text, 1, ?) FROM questions WHERE seq IN (SELECT value FROM json_each(?))"
    return dict(db.execute(query, (length, json.dumps(list(seqs)))).fetchall())


def unanswered(db: apsw.Connection, discipline_id: str, up_to: int, page: int = 500) -> Iterator[str]:
    """The ids of the questions of a discipline that have no answer, among those with `seq` at most `up_to`."""
    after = 0
    while rows := db.execute(
        """SELECT seq, id FROM questions
           WHERE discipline_id = ? AND seq > ? AND seq <= ? AND answered = 0 ORDER BY seq LIMIT ?""",
        (discipline_id, after, up_to, page),
    ).fetchall():
        after = rows[-1][0]
        yield from (id for _, id in rows)


def count_unanswered(db: apsw.Connection, discipline_id: str) -> int:
    """How many questions of a discipline have no answer, from its counters."""
    values = dict(db.execute("SELECT measure, value FROM counters WHERE node_id = ?", (discipline_id,)))
    return int(values.get("questions", 0) - values.get("pairs", 0))


def last_seq(db: apsw.Connection) -> int:
    """The `seq` of the newest question."""
    return db.execute("SELECT coalesce(max(seq), 0) FROM questions").fetchone()[0]


_COLUMNS = """q.seq, q.id, q.syllabus_id, q.discipline_id, q.strategy, q.draw_law, q.seed, q.draw, q.sessions, q.concepts,
    q.text, q.teacher, a.text, a.teacher, q.review, q.reason, q.starred, q.edited, q.level, q.dropped"""
_FROM = "FROM questions q LEFT JOIN answers a ON a.question_id = q.id"


def _pair(row: Sequence) -> Pair:
    question = Question(*row[:8], tuple(json.loads(row[8])), tuple(json.loads(row[9])), row[10], row[11])
    return Pair(question, *row[12:16], bool(row[16]), bool(row[17]), *row[18:])


def pair(db: apsw.Connection, id: str) -> Pair | None:
    """The pair that a question's or an answer's id names, or None."""
    for condition in ("q.id = ?", "a.id = ?"):  # not OR: that would look at every row
        if row := db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE {condition}", (id,)).fetchone():
            return _pair(row)
    return None


def pairs_page(
    db: apsw.Connection, which: PairFilter, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> list[Pair]:
    """One page of pairs, newest first: those older than `before`, or those just newer than `after` (seq of a known row).

    Costs an index walk, whatever the size of the workspace: no OFFSET, no sort of a table.
    """
    seqs = matching(db, which, before=before, after=after, limit=limit)
    marks = ", ".join("?" * len(seqs))
    rows = db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE q.seq IN ({marks}) ORDER BY q.seq DESC", seqs)
    return [_pair(row) for row in rows]


def siblings(db: apsw.Connection, question: Question, limit: int = 10) -> list[Pair]:
    """Other pairs that ask about a key concept of a question, newest first."""
    marks = ", ".join("?" * len(question.concepts))
    rows = db.execute(
        f"""SELECT {_COLUMNS} {_FROM} WHERE q.id IN (SELECT question_id FROM question_concepts WHERE concept_id IN ({marks}))
            AND q.id != ? ORDER BY q.seq DESC LIMIT ?""",
        (*question.concepts, question.id, limit),
    )
    return [_pair(row) for row in rows]


def pair_ids(db: apsw.Connection, seqs: Sequence[int]) -> list[str]:
    """The ids of questions by their `seq`."""
    return [id for (id,) in db.execute("SELECT id FROM questions WHERE seq IN (SELECT value FROM json_each(?))",
                                       (json.dumps(list(seqs)),))]  # fmt: skip


def ids_by_seq(db: apsw.Connection, seqs: Iterable[int]) -> dict[int, str]:
    """`seq` -> id of these questions; those that are not there are left out."""
    return dict(db.execute("SELECT seq, id FROM questions WHERE seq IN (SELECT value FROM json_each(?))",
                           (json.dumps(list(seqs)),)))  # fmt: skip


def concept_sets(db: apsw.Connection, syllabus_id: str) -> list[tuple[str, tuple[str, ...]]]:
    """What each question of a syllabus was drawn from: its strategy and the ids of its key concepts."""
    rows = db.execute("SELECT strategy, concepts FROM questions WHERE syllabus_id = ?", (syllabus_id,))
    return [(strategy, tuple(json.loads(concepts))) for strategy, concepts in rows]


def levels(db: apsw.Connection) -> list[str]:
    """The levels that subjects have, most frequent first."""
    rows = db.execute("SELECT level FROM subjects WHERE level != '' GROUP BY level ORDER BY count(*) DESC, level LIMIT 50")
    return [level for (level,) in rows]


def teachers(db: apsw.Connection) -> list[str]:
    """Who was asked for questions and answers."""
    query = "SELECT DISTINCT teacher FROM call_totals WHERE stage IN ('question', 'answer') ORDER BY teacher"
    return [teacher for (teacher,) in db.execute(query)]


def all_pairs(db: apsw.Connection, which: PairFilter | None = None, page: int = 1000) -> Iterator[Pair]:
    """Every answered pair of a filter that is there at the first look, oldest first, read page by page so that memory stays
    flat."""
    after, newest = 0, last_seq(db)
    query = f"SELECT {_COLUMNS} {_FROM} WHERE q.seq IN (SELECT value FROM json_each(?)) ORDER BY q.seq"
    while seqs := answered_after(db, which or PairFilter(), after, newest, page):
        after = seqs[-1]
        yield from map(_pair, db.execute(query, (json.dumps(seqs),)).fetchall())


def texts(
    db: apsw.Connection, *, after: int = 0, up_to: int | None = None, answers: bool = True, page: int = 2000
) -> Iterator[list[Text]]:
    """The questions with `seq` above `after`, up to `up_to` (None: the newest there is now), in their order: a page at a time,
    each in a read of its own, so that memory stays flat and a writer is never kept waiting."""
    up_to = last_seq(db) if up_to is None else up_to
    answer, join = ("a.text", "LEFT JOIN answers a ON a.question_id = q.id") if answers else ("NULL", "")
    query = f"""SELECT q.seq, q.id, q.discipline_id, q.syllabus_id, q.text, {answer}, q.teacher, q.answer_teacher,
        q.answer_length, q.level, q.strategy, q.dropped, q.review FROM questions q {join}
        WHERE q.seq > ? AND q.seq <= ? ORDER BY q.seq LIMIT ?"""
    while rows := db.execute(query, (after, up_to, page)).fetchall():
        after = rows[-1][0]
        yield [Text(*row) for row in rows]


def questions_of(db: apsw.Connection, seqs: Sequence[int]) -> dict[int, str]:
    """The questions of some rows, by their `seq`."""
    query = "SELECT seq, text FROM questions WHERE seq IN (SELECT value FROM json_each(?))"
    return dict(db.execute(query, (json.dumps(list(seqs)),)))


def index_text(db: apsw.Connection, up_to_rows: int = 2000) -> int:
    """Add the next answered pairs to the full-text index, in the order of their answers; how many were added.

    Called after a run rather than during it: indexing costs three CPU-minutes a million rows.
    """
    start = db.execute("SELECT value FROM meta WHERE key = 'indexed_answer'").fetchone()
    start = json.loads(start[0]) if start else 0
    rows = db.execute(
        """SELECT a.seq, q.seq, q.text, a.text FROM answers a JOIN questions q ON q.id = a.question_id
           WHERE a.seq > ? ORDER BY a.seq LIMIT ?""",
        (start, up_to_rows),
    ).fetchall()
    if rows:
        db.executemany("INSERT INTO pair_text (rowid, question, answer) VALUES (?, ?, ?)", [row[1:] for row in rows])
        set_fact(db, "indexed_answer", rows[-1][0])
    return len(rows)


def index_again(db: apsw.Connection, question_id: str) -> None:
    """Bring the text index in line with a pair that was changed; one that is not in it yet stays out until its turn."""
    row = db.execute(
        """SELECT q.seq, q.text, a.text FROM questions q JOIN answers a ON a.question_id = q.id WHERE q.id = ? AND a.seq <=
           (SELECT coalesce(max(value), 0) + 0 FROM meta WHERE key = 'indexed_answer')""",
        (question_id,),
    ).fetchone()
    if row:
        db.execute("INSERT OR REPLACE INTO pair_text (rowid, question, answer) VALUES (?, ?, ?)", row)


def has_real_teacher(db: apsw.Connection) -> bool:
    """Whether any answer was written by a teacher other than the offline scripted one."""
    marks = ", ".join("?" * len(SCRIPTED))
    return db.execute(f"SELECT 1 FROM answers WHERE teacher NOT IN ({marks}) LIMIT 1", SCRIPTED).fetchone() is not None


def count_scripted(db: apsw.Connection, disciplines: Sequence[str] | None = None) -> dict[str | None, int]:
    """How many pairs have a question or an answer by the scripted teacher, by why the dataset leaves them out (None: it does
    not). Reads the index of disciplines."""
    of = "" if disciplines is None else "AND discipline_id IN (SELECT value FROM json_each(?2))"
    query = f"""SELECT dropped, count(*) FROM questions INDEXED BY questions_by_discipline
        WHERE answered = 1 AND (teacher IN (SELECT value FROM json_each(?1)) OR answer_teacher IN (SELECT value FROM json_each(?1)))
        {of} GROUP BY dropped"""
    values = (json.dumps(SCRIPTED),) + (() if disciplines is None else (json.dumps(list(disciplines)),))
    return dict(db.execute(query, values))
