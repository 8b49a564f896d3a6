"""Questions, answers and the pairs they make: writing them, paging through them, counting them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from glan_core.ids import answer_id
from glan_core.workspace.call_rows import count
from glan_core.workspace.workspace import set_fact

MOST_TERMS = 400  # of a compound SELECT; SQLite takes 500
CHUNK = 1000  # rows of the text index that are looked at together
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
    """A question with its answer, or without one yet (`answer` and `answer_teacher` None)."""

    question: Question
    answer: str | None
    answer_teacher: str | None

    @property
    def scripted(self) -> bool:
        """Whether the offline scripted teacher wrote the question or the answer."""
        return self.question.teacher in SCRIPTED or self.answer_teacher in SCRIPTED


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs: of these disciplines (None: all), of a strategy, answered or not, holding all these words."""

    disciplines: tuple[str, ...] | None = None
    strategy: str | None = None
    answered: bool | None = None
    words: str = ""


def add_question(db: apsw.Connection, question: Question) -> None:
    """Store a question and count the concepts that it is the first to ask about. `seq` is given by the database."""
    db.execute(
        """INSERT OR IGNORE INTO questions (id, syllabus_id, discipline_id, strategy, draw_law, seed, draw, sessions, concepts,
           text, teacher) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (question.id, question.syllabus_id, question.discipline_id, question.strategy, question.draw_law, question.seed,
         question.draw, json.dumps(question.sessions), json.dumps(question.concepts), question.text, question.teacher),
    )  # fmt: skip
    if not db.changes():
        return
    marks = ", ".join("?" * len(question.concepts))
    (asked,) = db.execute(
        f"SELECT count(DISTINCT concept_id) FROM question_concepts WHERE concept_id IN ({marks})", question.concepts
    ).fetchone()
    db.executemany("INSERT INTO question_concepts VALUES (?, ?)", [(concept, question.id) for concept in question.concepts])
    db.execute("UPDATE syllabi SET questions = questions + 1 WHERE id = ?", (question.syllabus_id,))
    count(db, question.discipline_id, questions=1, concepts_asked=len(question.concepts) - asked)


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


def question_ids(db: apsw.Connection, syllabus_id: str) -> set[str]:
    """The ids of a syllabus's questions."""
    return {id for (id,) in db.execute("SELECT id FROM questions WHERE syllabus_id = ?", (syllabus_id,))}


def unanswered(db: apsw.Connection, discipline_id: str, up_to: int, page: int = 500) -> Iterator[tuple[str, str]]:
    """The questions of a discipline that have no answer, as (id, text), among those with `seq` at most `up_to`."""
    after = 0
    while rows := db.execute(
        """SELECT seq, id, text FROM questions
           WHERE discipline_id = ? AND seq > ? AND seq <= ? AND answered = 0 ORDER BY seq LIMIT ?""",
        (discipline_id, after, up_to, page),
    ).fetchall():
        after = rows[-1][0]
        yield from ((id, text) for _, id, text in rows)


def count_unanswered(db: apsw.Connection, discipline_id: str) -> int:
    """How many questions of a discipline have no answer, from its counters."""
    values = dict(db.execute("SELECT measure, value FROM counters WHERE node_id = ?", (discipline_id,)))
    return int(values.get("questions", 0) - values.get("pairs", 0))


def last_seq(db: apsw.Connection) -> int:
    """The `seq` of the newest question."""
    return db.execute("SELECT coalesce(max(seq), 0) FROM questions").fetchone()[0]


_COLUMNS = """q.seq, q.id, q.syllabus_id, q.discipline_id, q.strategy, q.draw_law, q.seed, q.draw, q.sessions, q.concepts,
    q.text, q.teacher, a.text, a.teacher"""
_FROM = "FROM questions q LEFT JOIN answers a ON a.question_id = q.id"


def _pair(row: Sequence) -> Pair:
    question = Question(*row[:8], tuple(json.loads(row[8])), tuple(json.loads(row[9])), row[10], row[11])
    return Pair(question, row[12], row[13])


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
    newer = after is not None
    seqs = _matching(db, which, before, after, limit) if which.words.split() else _walk(db, which, before, after, limit)
    marks = ", ".join("?" * len(seqs))
    rows = db.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE q.seq IN ({marks}) ORDER BY q.seq DESC", sorted(seqs, reverse=not newer)
    )
    return [_pair(row) for row in rows]


def _walk(db: apsw.Connection, which: PairFilter, before: int | None, after: int | None, limit: int) -> list[int]:
    """The `seq` of the next rows of a filter without words: one index walk a discipline, of which the nearest are taken."""
    order = "ASC" if after is not None else "DESC"
    conditions, values = _conditions(which)
    if after is not None or before is not None:
        conditions.append("q.seq > ?" if after is not None else "q.seq < ?")
        values.append(after if after is not None else before)
    part = f"SELECT q.seq AS seq FROM questions q WHERE {{}} ORDER BY q.seq {order} LIMIT {int(limit)}"
    if which.disciplines is None:
        seqs = [seq for (seq,) in db.execute(part.format(" AND ".join(conditions) or "TRUE"), values)]
    else:
        each = f"SELECT * FROM ({part.format(' AND '.join(['q.discipline_id = ?', *conditions]))})"
        seqs = []
        for start in range(0, len(which.disciplines), MOST_TERMS):
            some = which.disciplines[start : start + MOST_TERMS]
            query = " UNION ALL ".join([each] * len(some))
            seqs += [seq for (seq,) in db.execute(query, [value for id in some for value in (id, *values)])]
    return sorted(seqs, reverse=after is None)[:limit]


def _matching(db: apsw.Connection, which: PairFilter, before: int | None, after: int | None, limit: int) -> list[int]:
    """The `seq` of the next rows that hold the words: the text index gives them in order, a chunk at a time."""
    words = " ".join(f'"{word}"' for word in which.words.replace('"', " ").split())
    sign, order, at = (">", "ASC", after) if after is not None else ("<", "DESC", 2**62 if before is None else before)
    conditions, values = _conditions(which)
    wanted = None if which.disciplines is None else set(which.disciplines)
    found: list[int] = []
    while words and len(found) < limit:
        chunk = [row for (row,) in db.execute(
            f"SELECT rowid FROM pair_text WHERE pair_text MATCH ? AND rowid {sign} ? ORDER BY rowid {order} LIMIT {CHUNK}",
            (words, at),
        )]  # fmt: skip
        if not chunk:
            break
        at, marks = chunk[-1], ", ".join("?" * len(chunk))
        kept = " AND ".join([f"q.seq IN ({marks})", *conditions])
        rows = db.execute(
            f"SELECT q.seq, q.discipline_id FROM questions q WHERE {kept} ORDER BY q.seq {order}", [*chunk, *values]
        )
        found += [seq for seq, discipline in rows if wanted is None or discipline in wanted]
    return found[:limit]


def _conditions(which: PairFilter) -> tuple[list[str], list]:
    conditions, values = [], []
    if which.strategy:
        conditions.append("q.strategy = ?")
        values.append(which.strategy)
    if which.answered is not None:
        conditions.append("q.answered = ?")
        values.append(int(which.answered))
    return conditions, values


def all_pairs(db: apsw.Connection, disciplines: Sequence[str] | None = None, page: int = 1000) -> Iterator[Pair]:
    """Every answered pair, oldest first, read page by page so that memory stays flat."""
    after = 0
    wanted = None if disciplines is None else set(disciplines)
    while rows := db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE q.seq > ? ORDER BY q.seq LIMIT ?", (after, page)).fetchall():
        after = rows[-1][0]
        for row in rows:
            if row[12] is not None and (wanted is None or row[3] in wanted):
                yield _pair(row)


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


def has_real_teacher(db: apsw.Connection) -> bool:
    """Whether any answer was written by a teacher other than the offline scripted one."""
    marks = ", ".join("?" * len(SCRIPTED))
    return db.execute(f"SELECT 1 FROM answers WHERE teacher NOT IN ({marks}) LIMIT 1", SCRIPTED).fetchone() is not None
