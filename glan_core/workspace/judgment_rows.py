"""Judgements: the scores that a teacher gave to pairs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

SCORES = ("correct", "clear", "self_contained", "difficulty")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The scores of the pair `seq`, each from 1 to 5, what was said about it, and who judged."""

    seq: int
    correct: int
    clear: int
    self_contained: int
    difficulty: int
    comment: str
    teacher: str


def put_judgement(db: apsw.Connection, judgement: Judgement) -> None:
    """Store a judgement in the place of an earlier one."""
    j = judgement
    values = (j.seq, j.correct, j.clear, j.self_contained, j.difficulty, j.comment, j.teacher)
    db.execute("INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def judgement(db: apsw.Connection, seq: int) -> Judgement | None:
    """The judgement of a pair, or None."""
    row = db.execute("SELECT * FROM judgements WHERE seq = ?", (seq,)).fetchone()
    return row and Judgement(*row)


def judgements(db: apsw.Connection, page: int = 1000) -> Iterator[list[Judgement]]:
    """All judgements by `seq`, page by page."""
    after = 0
    while rows := db.execute("SELECT * FROM judgements WHERE seq > ? ORDER BY seq LIMIT ?", (after, page)).fetchall():
        after = rows[-1][0]
        yield [Judgement(*row) for row in rows]


def count_judged(db: apsw.Connection) -> int:
    """How many pairs have been judged."""
    return db.execute("SELECT count(*) FROM judgements").fetchone()[0]


def score_counts(db: apsw.Connection) -> dict[str, dict[int, int]]:
    """How many pairs have each score, for every one of `SCORES`."""
    return {
        name: dict(db.execute(f"SELECT {name}, count(*) FROM judgements GROUP BY {name} ORDER BY {name}")) for name in SCORES
    }


# Those that the dataset takes, or that a judgement alone may have taken out of it: so a sample stays the same as it is judged.
_JUDGED = "EXISTS (SELECT 1 FROM judgements j WHERE j.seq = q.seq)"
_ELIGIBLE = f"q.answered = 1 AND (q.dropped IS NULL OR q.dropped = 'quality' AND {_JUDGED})"


def eligible(db: apsw.Connection, disciplines: Sequence[str] | None, page: int = 2000) -> Iterator[list[tuple[int, str, bool]]]:
    """(seq, id, whether it is judged) of the pairs that a judge may be asked about, by `seq`, page by page."""
    after = 0
    of = "" if disciplines is None else "AND +q.discipline_id IN (SELECT value FROM json_each(?2))"
    query = f"SELECT q.seq, q.id, {_JUDGED} FROM questions q WHERE q.seq > ?1 AND {_ELIGIBLE} {of} ORDER BY q.seq LIMIT {page}"
    values = () if disciplines is None else (json.dumps(list(disciplines)),)
    while rows := db.execute(query, (after, *values)).fetchall():
        after = rows[-1][0]
        yield [(seq, id, bool(judged)) for seq, id, judged in rows]


def count_open(db: apsw.Connection, disciplines: Sequence[str] | None) -> tuple[int, int]:
    """How many pairs a judge may be asked about, and how many of them nobody judged yet."""
    of = "" if disciplines is None else "AND q.discipline_id IN (SELECT value FROM json_each(?))"
    values = () if disciplines is None else (json.dumps(list(disciplines)),)
    query = f"SELECT count(*), coalesce(sum(NOT {_JUDGED}), 0) FROM questions q WHERE {_ELIGIBLE} {of}"
    return db.execute(query, values).fetchone()
