"""Questions, answers and the pairs they make: writing them, paging through them, counting them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import apsw

from glan_core.ids import answer_id
from glan_core.replies import storable
from glan_core.workspace.call_rows import count
from glan_core.workspace.workspace import set_fact

MOST_TERMS = 400  # of a compound SELECT; SQLite takes 500
CHUNK = 1000  # rows of the text index that are looked at together
PATIENCE = 5  # such chunks, before it is asked whether the rest of a filter gets further
FURTHER = 10  # times, that it must, since asking a row for words costs more than the other way round
VERDICTS = {"keep": "kept", "reject": "rejected"}  # a verdict and the counter of the questions that have it
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
    `edited`. `level` is that of its subject."""

    question: Question
    answer: str | None
    answer_teacher: str | None
    review: str | None = None
    reason: str = ""
    starred: bool = False
    edited: bool = False
    level: str = ""

    @property
    def scripted(self) -> bool:
        """Whether the offline scripted teacher wrote the question or the answer."""
        return self.question.teacher in SCRIPTED or self.answer_teacher in SCRIPTED


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs; what is None is not asked.

    Of these disciplines, of one syllabus, asking about one key concept, of a strategy, of a subject's level, answered or
    not, by a teacher (who wrote question or answer), in a state of review ('keep', 'reject', 'none'), starred, edited, with
    an answer of `shortest` to `longest` characters, whose answer failed; holding all these words.
    """

    disciplines: tuple[str, ...] | None = None
    strategy: str | None = None
    answered: bool | None = None
    words: str = ""
    syllabus_id: str | None = None
    concept_id: str | None = None
    level: str | None = None
    teacher: str | None = None
    review: str | None = None
    starred: bool = False
    edited: bool = False
    shortest: int | None = None
    longest: int | None = None
    failed: bool = False


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


def combinations(db: apsw.Connection, syllabus_id: str) -> set[frozenset[str]]:
    """The combinations of key concepts, by their ids, that a syllabus's questions were drawn from."""
    return {frozenset(concepts) for _, concepts in concept_sets(db, syllabus_id)}


def question_text(db: apsw.Connection, question_id: str) -> str:
    """A question as it now reads."""
    return db.execute("SELECT text FROM questions WHERE id = ?", (question_id,)).fetchone()[0]


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
    q.text, q.teacher, a.text, a.teacher, q.review, q.reason, q.starred, q.edited, q.level"""
_FROM = "FROM questions q LEFT JOIN answers a ON a.question_id = q.id"


def _pair(row: Sequence) -> Pair:
    question = Question(*row[:8], tuple(json.loads(row[8])), tuple(json.loads(row[9])), row[10], row[11])
    return Pair(question, *row[12:16], bool(row[16]), bool(row[17]), row[18])


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


def matching(
    db: apsw.Connection, which: PairFilter, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> list[int]:
    """The `seq` of the next rows of a filter, newest first; as `pairs_page` takes `before` and `after`."""
    find = _with_words if which.words.split() else _walk
    return sorted(find(db, which, before, after, limit), reverse=True)


def number_of(db: apsw.Connection, which: PairFilter) -> int:
    """How many pairs pass a filter. Reads the index of the disciplines it is about, so it is for one deliberate question."""
    if which.words.split():
        number, before = 0, None
        while seqs := matching(db, which, before=before, limit=CHUNK):
            number, before = number + len(seqs), seqs[-1]
        return number
    conditions, values = _conditions(db, which)
    if which.disciplines is not None:
        conditions.append("q.discipline_id IN (SELECT value FROM json_each(:disciplines))")
        values["disciplines"] = json.dumps(which.disciplines)
    return db.execute(f"SELECT count(*) FROM questions q WHERE {' AND '.join(conditions) or 'TRUE'}", values).fetchone()[0]


def _walk(db: apsw.Connection, which: PairFilter, before: int | None, after: int | None, limit: int) -> list[int]:
    """The `seq` of the next rows of a filter without words: one index walk a discipline, of which the nearest are taken.

    What the conditions ask is in the index of disciplines, so that one which hardly any row passes reads no texts; where
    counters say that a discipline has no such row, not even that is read.
    """
    order = "ASC" if after is not None else "DESC"
    conditions, values = _conditions(db, which)
    disciplines = which.disciplines
    if which.syllabus_id or which.concept_id or which.failed:  # few rows, that an index of their own gives
        if disciplines is not None:
            conditions.append("+q.discipline_id IN (SELECT value FROM json_each(:disciplines))")
            values["disciplines"] = json.dumps(disciplines)
            disciplines = None
    elif conditions:
        measure = VERDICTS.get(which.review) or ("starred" if which.starred else "questions")
        having = {id for (id,) in db.execute("SELECT node_id FROM counters WHERE measure = ? AND value > 0", (measure,))}
        disciplines = list(having if disciplines is None else having.intersection(disciplines))
    if after is not None or before is not None:
        conditions.append("q.seq > :at" if after is not None else "q.seq < :at")
        values["at"] = after if after is not None else before
    part = f"SELECT q.seq AS seq FROM questions q WHERE {{}} ORDER BY q.seq {order} LIMIT {int(limit)}"
    if disciplines is None:
        seqs = [seq for (seq,) in db.execute(part.format(" AND ".join(conditions) or "TRUE"), values)]
    else:
        seqs = []
        for start in range(0, len(disciplines), MOST_TERMS):
            some = {f"d{n}": id for n, id in enumerate(disciplines[start : start + MOST_TERMS])}
            parts = [part.format(" AND ".join([f"q.discipline_id = :{name}", *conditions])) for name in some]
            query = " UNION ALL ".join(f"SELECT * FROM ({each})" for each in parts)
            seqs += [seq for (seq,) in db.execute(query, values | some)]
    return sorted(seqs, reverse=after is None)[:limit]


def _with_words(db: apsw.Connection, which: PairFilter, before: int | None, after: int | None, limit: int) -> list[int]:
    """The `seq` of the next rows that hold the words: the text index gives them in order, a chunk at a time.

    Where hardly any of those passes the rest of the filter, the rows that do are asked for the words instead.
    """
    words = " ".join(f'"{word}"' for word in storable(which.words).replace('"', " ").split())
    sign, order, at = (">", "ASC", after) if after is not None else ("<", "DESC", 2**62 if before is None else before)
    conditions, values = _conditions(db, which)
    wanted = None if which.disciplines is None else set(which.disciplines)
    kept = " AND ".join(["q.seq IN (SELECT value FROM json_each(:chunk))", *conditions])
    found: list[int] = []
    span, patience = 0, PATIENCE if conditions or wanted is not None else -1
    while words and len(found) < limit:
        if patience == 0:
            rows = _walk(db, which, at if after is None else None, None if after is None else at, CHUNK)
            if len(rows) < CHUNK or abs(rows[-1] - at) > FURTHER * span:
                holds = "SELECT 1 FROM pair_text WHERE pair_text MATCH ? AND rowid = ?"
                with_words = (seq for seq in rows if db.execute(holds, (words, seq)).fetchone())
                found += islice(with_words, limit - len(found))
                if len(rows) < CHUNK:
                    break
                at = rows[-1]
                continue
        patience -= 1
        chunk = [row for (row,) in db.execute(
            f"SELECT rowid FROM pair_text WHERE pair_text MATCH ? AND rowid {sign} ? ORDER BY rowid {order} LIMIT {CHUNK}",
            (words, at),
        )]  # fmt: skip
        if not chunk:
            break
        span, at, values["chunk"] = abs(chunk[-1] - chunk[0]), chunk[-1], json.dumps(chunk)
        rows = db.execute(f"SELECT q.seq, q.discipline_id FROM questions q WHERE {kept} ORDER BY q.seq {order}", values)
        found += [seq for seq, discipline in rows if wanted is None or discipline in wanted]
    return found[:limit]


def _conditions(db: apsw.Connection, which: PairFilter) -> tuple[list[str], dict]:
    """What a filter asks of a question `q`, but for disciplines and words."""
    asked = {
        "strategy": ("q.strategy = :strategy", which.strategy),
        "answered": ("q.answered = :answered", None if which.answered is None else int(which.answered)),
        "level": ("q.level = :level", which.level),
        "teacher": (":teacher IN (q.teacher, q.answer_teacher)", which.teacher),
        "review": ("coalesce(q.review, 'none') = :review", which.review),
        "starred": ("q.starred = :starred", which.starred or None),
        "edited": ("q.edited = 1", which.edited or None),
        "shortest": ("q.answer_length >= :shortest", which.shortest),
        "longest": ("q.answer_length <= :longest", which.longest),
        "syllabus_id": ("q.syllabus_id = :syllabus_id", which.syllabus_id),
        "concept_id": ("q.id IN (SELECT question_id FROM question_concepts WHERE concept_id = :concept_id)", which.concept_id),
        "failed": ("q.id IN (SELECT value FROM json_each(:failed))", _failed(db) if which.failed else None),
    }
    asked = {name: pair for name, pair in asked.items() if pair[1] is not None}
    return [condition for condition, _ in asked.values()], {name: value for name, (_, value) in asked.items()}


def _failed(db: apsw.Connection) -> str:
    """The open questions whose answer failed, as a JSON list of ids."""
    failed = {id for (id,) in db.execute("SELECT work_id FROM failures WHERE stage = 'answer'")}
    open_ones = db.execute("SELECT id FROM questions WHERE answered = 0") if failed else ()
    return json.dumps([id for (id,) in open_ones if answer_id(id) in failed])


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


def all_pairs(db: apsw.Connection, disciplines: Sequence[str] | None = None, page: int = 1000) -> Iterator[Pair]:
    """Every answered pair that is there at the first look, oldest first, read page by page so that memory stays flat."""
    after, newest = 0, last_seq(db)
    wanted = None if disciplines is None else set(disciplines)
    query = f"SELECT {_COLUMNS} {_FROM} WHERE q.seq > ? AND q.seq <= ? ORDER BY q.seq LIMIT ?"
    while rows := db.execute(query, (after, newest, page)).fetchall():
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
