"""Questions, answers and instruction pairs: writing, paging and counting."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apsw

from glan_core.errors import GlanError
from glan_core.ids import answer_id
from glan_core.workspace import tag_rows
from glan_core.workspace.call_rows import count
from glan_core.workspace.pair_filter import PairFilter, answered_after, matching
from glan_core.workspace.sql import fetch_all, fetch_value, from_row, json_tuple
from glan_core.workspace.workspace import set_metadata

SCRIPTED = ("scripted", "openai:scripted")  # the offline teacher, in-process or over HTTP


@dataclass(frozen=True, slots=True)
class Question:
    """A homework question.

    Attributes:
        seq: Row number, assigned by the database.
        strategy: 'single' or 'pair'.
        draw_law: Sampling distribution of the key concepts.
        seed: Seed of the sample.
        draw: Index of the sample under its seed.
        sessions: Ids of the sampled class sessions.
        concepts: Ids of the sampled key concepts.
        teacher: Model that wrote the question.
    """

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
    """A question with its answer and its review.

    Attributes:
        answer: The answer, None if there is none yet.
        answer_teacher: Model that wrote the answer.
        review: 'keep', 'reject' or None.
        reason: Reason of a rejection.
        starred: Whether a user starred the pair.
        edited: Whether a user edited its text.
        level: Level of the subject.
        dropped: Why the dataset excludes the pair (`tag_rows.REASONS`), None if it is included.
    """

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
    """The part of a pair that checks and metrics read.

    Attributes:
        answer: Text of the answer; None if there is none or answers were not requested.
        answer_length: Length of the answer in characters.
        dropped: Why the dataset excludes the pair, None if it is included.
        review: 'keep', 'reject' or None.
    """

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


# Largest `seq` that a question has or had. Those of removed questions are not used again: vectors, tags and the full-text index name
# questions by `seq`.
LAST_SEQ = """(SELECT max(coalesce((SELECT max(seq) FROM questions), 0),
    coalesce((SELECT value + 0 FROM meta WHERE key = 'last_question'), 0)))"""


def add_question(db: apsw.Connection, question: Question) -> None:
    """Store a question with the next `seq` and update the counters of its discipline.

    Sessions and concepts that were retired while the question was being written are not counted.
    """
    sessions, concepts = json.dumps(question.sessions), json.dumps(question.concepts)
    db.execute(
        f"""INSERT INTO questions (seq, id, syllabus_id, discipline_id, strategy, draw_law, seed, draw, sessions, concepts,
            text, teacher, level) VALUES ({LAST_SEQ} + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
            coalesce((SELECT level FROM subjects WHERE id = (SELECT subject_id FROM syllabi WHERE id = ?2)), ''))
            ON CONFLICT (id) DO NOTHING""",
        (question.id, question.syllabus_id, question.discipline_id, question.strategy, question.draw_law, question.seed,
         question.draw, sessions, concepts, question.text, question.teacher),
    )  # fmt: skip
    if not db.changes():
        return
    db.execute(
        """UPDATE syllabi SET questions = questions + NOT EXISTS (
               SELECT 1 FROM sessions WHERE id IN (SELECT value FROM json_each(?)) AND retired = 1) WHERE id = ?""",
        (sessions, question.syllabus_id),
    )
    # Few are counted, because each concept is asked early; the concepts themselves are read for these only.
    newly_asked = fetch_value(
        db,
        """SELECT count(*) FROM json_each(?) JOIN concepts c ON c.id = value JOIN sessions s ON s.id = c.session_id
           WHERE NOT EXISTS (SELECT 1 FROM question_concepts WHERE concept_id = value) AND c.retired = 0 AND s.retired = 0""",
        (concepts,),
    )
    db.execute("INSERT INTO question_concepts SELECT value, ? FROM json_each(?)", (question.id, concepts))
    count(db, question.discipline_id, questions=1, concepts_asked=newly_asked)


def add_answer(db: apsw.Connection, question_id: str, discipline_id: str, text: str, teacher: str) -> None:
    """Store the answer of a question, which completes the pair."""
    db.execute("INSERT OR IGNORE INTO answers (id, question_id, text, teacher) VALUES (?, ?, ?, ?)",
               (answer_id(question_id), question_id, text, teacher))  # fmt: skip
    if not db.changes():
        return
    rows = fetch_all(
        db,
        """UPDATE questions SET answered = 1, answer_length = ?, answer_teacher = ? WHERE id = ?
           RETURNING seq, coalesce(review, dropped) IS NOT NULL OR EXISTS (SELECT 1 FROM tags WHERE tags.seq = questions.seq)""",
        (len(text), teacher, question_id),
    )
    count(db, discipline_id, pairs=1)
    if checked := [seq for seq, is_checked in rows if is_checked]:  # of a question whose earlier answer was removed
        tag_rows.update_dropped(db, checked)


def combinations(db: apsw.Connection, syllabus_id: str) -> set[frozenset[str]]:
    """Return the combinations of key concept ids that the questions of a syllabus use."""
    return {frozenset(concepts) for _, concepts in concept_sets(db, syllabus_id)}


def question_text(db: apsw.Connection, question_id: str) -> str:
    """Return the current text of a question."""
    return fetch_value(db, "SELECT text FROM questions WHERE id = ?", (question_id,))


def question_starts(db: apsw.Connection, seqs: Sequence[int], length: int) -> dict[int, str]:
    """Return `seq` -> the first `length` characters of the question; unknown `seq` are skipped."""
    query = "SELECT seq, substr(text, 1, ?) FROM questions WHERE seq IN (SELECT value FROM json_each(?))"
    return dict(fetch_all(db, query, (length, json.dumps(list(seqs)))))


def unanswered(db: apsw.Connection, discipline_id: str, up_to: int, page: int = 500) -> Iterator[str]:
    """Iterate over the ids of unanswered questions of a discipline with `seq` up to `up_to`."""
    after = 0
    while rows := fetch_all(
        db,
        """SELECT seq, id FROM questions
           WHERE discipline_id = ? AND seq > ? AND seq <= ? AND answered = 0 ORDER BY seq LIMIT ?""",
        (discipline_id, after, up_to, page),
    ):
        after = rows[-1][0]
        yield from (id for _, id in rows)


def count_unanswered(db: apsw.Connection, discipline_id: str) -> int:
    """Return the number of unanswered questions of a discipline, from its counters."""
    values = dict(db.execute("SELECT measure, value FROM counters WHERE node_id = ?", (discipline_id,)))
    return int(values.get("questions", 0) - values.get("pairs", 0))


def last_seq(db: apsw.Connection) -> int:
    """Return the `seq` of the newest question, 0 if there is none."""
    return fetch_value(db, "SELECT coalesce(max(seq), 0) FROM questions")


_COLUMNS = """q.seq, q.id, q.syllabus_id, q.discipline_id, q.strategy, q.draw_law, q.seed, q.draw, q.sessions, q.concepts,
    q.text, q.teacher, a.text, a.teacher, q.review, q.reason, q.starred, q.edited, q.level, q.dropped"""
_FROM = "FROM questions q LEFT JOIN answers a ON a.question_id = q.id"


def _pair(row: tuple) -> Pair:
    question = from_row(Question, row[:12], sessions=json_tuple, concepts=json_tuple)
    return from_row(Pair, (question, *row[12:]), starred=bool, edited=bool)


def pair(db: apsw.Connection, id: str) -> Pair | None:
    """Return the pair with this question or answer id, or None."""
    for condition in ("q.id = ?", "a.id = ?"):  # OR would scan every row
        if row := db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE {condition}", (id,)).fetchone():
            return _pair(row)
    return None


def require_pair(db: apsw.Connection, id: str) -> Pair:
    """Return the pair with this question or answer id.

    Raises:
        GlanError: If it does not exist.
    """
    if (found := pair(db, id)) is None:
        raise GlanError(f"Pair {id} does not exist.")
    return found


def pairs_page(
    db: apsw.Connection, which: PairFilter, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> list[Pair]:
    """Return one page of pairs, newest first.

    The cost is one index walk regardless of the size of the workspace: no OFFSET and no sorting.

    Args:
        db: The workspace database.
        which: The filter.
        before: Only pairs older than this `seq`.
        after: The pairs directly newer than this `seq`.
        limit: Page size.
    """
    seqs = matching(db, which, before=before, after=after, limit=limit)
    marks = ", ".join("?" * len(seqs))
    rows = db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE q.seq IN ({marks}) ORDER BY q.seq DESC", seqs)
    return [_pair(row) for row in rows]


def related_pairs(db: apsw.Connection, question: Question, limit: int = 10) -> list[Pair]:
    """Return other pairs that share a key concept with a question, newest first."""
    marks = ", ".join("?" * len(question.concepts))
    rows = db.execute(
        f"""SELECT {_COLUMNS} {_FROM} WHERE q.id IN (SELECT question_id FROM question_concepts WHERE concept_id IN ({marks}))
            AND q.id != ? ORDER BY q.seq DESC LIMIT ?""",
        (*question.concepts, question.id, limit),
    )
    return [_pair(row) for row in rows]


def pair_ids(db: apsw.Connection, seqs: Sequence[int]) -> list[str]:
    """Return the question ids of these `seq`."""
    return [id for (id,) in db.execute("SELECT id FROM questions WHERE seq IN (SELECT value FROM json_each(?))",
                                       (json.dumps(list(seqs)),))]  # fmt: skip


def ids_by_seq(db: apsw.Connection, seqs: Iterable[int]) -> dict[int, str]:
    """Return `seq` -> question id; unknown `seq` are skipped."""
    return dict(db.execute("SELECT seq, id FROM questions WHERE seq IN (SELECT value FROM json_each(?))",
                           (json.dumps(list(seqs)),)))  # fmt: skip


def concept_sets(db: apsw.Connection, syllabus_id: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the strategy and key concept ids of each question of a syllabus."""
    rows = db.execute("SELECT strategy, concepts FROM questions WHERE syllabus_id = ?", (syllabus_id,))
    return [(strategy, tuple(json.loads(concepts))) for strategy, concepts in rows]


def levels(db: apsw.Connection) -> list[str]:
    """Return the levels of subjects, most frequent first."""
    rows = db.execute("SELECT level FROM subjects WHERE level != '' GROUP BY level ORDER BY count(*) DESC, level LIMIT 50")
    return [level for (level,) in rows]


def teachers(db: apsw.Connection) -> list[str]:
    """Return the teachers that were called for questions or answers."""
    query = "SELECT DISTINCT teacher FROM call_totals WHERE stage IN ('question', 'answer') ORDER BY teacher"
    return [teacher for (teacher,) in db.execute(query)]


def all_pairs(db: apsw.Connection, which: PairFilter | None = None, page: int = 1000) -> Iterator[Pair]:
    """Iterate over all answered pairs of a filter, oldest first, with constant memory.

    Pairs added during the iteration are not included.
    """
    after, newest = 0, last_seq(db)
    query = f"SELECT {_COLUMNS} {_FROM} WHERE q.seq IN (SELECT value FROM json_each(?)) ORDER BY q.seq"
    while seqs := answered_after(db, which or PairFilter(), after, newest, page):
        after = seqs[-1]
        yield from map(_pair, fetch_all(db, query, (json.dumps(seqs),)))


def texts(
    db: apsw.Connection, *, after: int = 0, up_to: int | None = None, answers: bool = True, page: int = 2000
) -> Iterator[list[Text]]:
    """Iterate over pages of questions by `seq`, with constant memory and short read transactions.

    Args:
        db: The workspace database.
        after: Only questions above this `seq`.
        up_to: Only questions up to this `seq`; None for the newest at the start.
        answers: Whether to read the answers too.
        page: Page size.
    """
    up_to = last_seq(db) if up_to is None else up_to
    answer, join = ("a.text", "LEFT JOIN answers a ON a.question_id = q.id") if answers else ("NULL", "")
    query = f"""SELECT q.seq, q.id, q.discipline_id, q.syllabus_id, q.text, {answer}, q.teacher, q.answer_teacher,
        q.answer_length, q.level, q.strategy, q.dropped, q.review FROM questions q {join}
        WHERE q.seq > ? AND q.seq <= ? ORDER BY q.seq LIMIT ?"""
    while rows := fetch_all(db, query, (after, up_to, page)):
        after = rows[-1][0]
        yield [Text(*row) for row in rows]


def question_texts(db: apsw.Connection, seqs: Sequence[int]) -> dict[int, str]:
    """Return `seq` -> text of the question; unknown `seq` are skipped."""
    query = "SELECT seq, text FROM questions WHERE seq IN (SELECT value FROM json_each(?))"
    return dict(db.execute(query, (json.dumps(list(seqs)),)))


def index_text(db: apsw.Connection, up_to_rows: int = 2000) -> int:
    """Add the next answered pairs to the full-text index; return how many were added.

    Called after a run rather than during it, because indexing takes three CPU minutes per million rows.
    """
    start = db.execute("SELECT value FROM meta WHERE key = 'indexed_answer'").fetchone()
    start = json.loads(start[0]) if start else 0
    rows = fetch_all(
        db,
        """SELECT a.seq, q.seq, q.text, a.text FROM answers a JOIN questions q ON q.id = a.question_id
           WHERE a.seq > ? ORDER BY a.seq LIMIT ?""",
        (start, up_to_rows),
    )
    if rows:
        # Replacing, because a lost answer that was generated again is in the index with its earlier text.
        db.executemany("INSERT OR REPLACE INTO pair_text (rowid, question, answer) VALUES (?, ?, ?)", [row[1:] for row in rows])
        set_metadata(db, "indexed_answer", rows[-1][0])
    return len(rows)


def reindex(db: apsw.Connection, question_id: str) -> None:
    """Update a changed pair in the full-text index if it is already indexed."""
    row = db.execute(
        """SELECT q.seq, q.text, a.text FROM questions q JOIN answers a ON a.question_id = q.id WHERE q.id = ? AND a.seq <=
           (SELECT coalesce(max(value), 0) + 0 FROM meta WHERE key = 'indexed_answer')""",
        (question_id,),
    ).fetchone()
    if row:
        db.execute("INSERT OR REPLACE INTO pair_text (rowid, question, answer) VALUES (?, ?, ?)", row)


def has_real_teacher(db: apsw.Connection) -> bool:
    """Return whether a teacher other than the scripted one wrote any answer."""
    marks = ", ".join("?" * len(SCRIPTED))
    return db.execute(f"SELECT 1 FROM answers WHERE teacher NOT IN ({marks}) LIMIT 1", SCRIPTED).fetchone() is not None


def count_scripted(db: apsw.Connection, disciplines: Sequence[str] | None = None) -> dict[str | None, int]:
    """Count the pairs with a question or answer by the scripted teacher, from an index.

    Args:
        db: The workspace database.
        disciplines: Only pairs of these disciplines; None for all.

    Returns:
        Reason for exclusion (None: included in the dataset) -> number of pairs.
    """
    of = "" if disciplines is None else "AND discipline_id IN (SELECT value FROM json_each(?2))"
    query = f"""SELECT dropped, count(*) FROM questions INDEXED BY questions_by_discipline
        WHERE answered = 1 AND (teacher IN (SELECT value FROM json_each(?1)) OR answer_teacher IN (SELECT value FROM json_each(?1)))
        {of} GROUP BY dropped"""
    values = (json.dumps(SCRIPTED),) + (() if disciplines is None else (json.dumps(list(disciplines)),))
    return dict(db.execute(query, values))
