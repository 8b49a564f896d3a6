"""Quality judgments: scores that a judge model assigned to pairs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from glan_core.workspace.sql import fetch_all, fetch_one, fetch_value

SCORES = ("correct", "clear", "self_contained", "difficulty")


@dataclass(frozen=True, slots=True)
class Judgment:
    """Quality scores of one pair.

    Attributes:
        seq: Row number of the question.
        correct: Correctness from 1 to 5, as are the other scores.
        clear: Clarity.
        self_contained: Whether the question can be understood alone.
        difficulty: Difficulty.
        comment: Explanation by the judge.
        teacher: The judge model.
    """

    seq: int
    correct: int
    clear: int
    self_contained: int
    difficulty: int
    comment: str
    teacher: str


def put_judgment(db: apsw.Connection, judgment: Judgment) -> None:
    """Store or replace a judgment."""
    j = judgment
    values = (j.seq, j.correct, j.clear, j.self_contained, j.difficulty, j.comment, j.teacher)
    db.execute("INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def judgment(db: apsw.Connection, seq: int) -> Judgment | None:
    """Return the judgment of a pair, or None."""
    row = db.execute("SELECT * FROM judgements WHERE seq = ?", (seq,)).fetchone()
    return Judgment(*row) if row else None


def judgments(db: apsw.Connection, page: int = 1000) -> Iterator[list[Judgment]]:
    """Iterate over pages of all judgments, by `seq`."""
    after = 0
    while rows := fetch_all(db, "SELECT * FROM judgements WHERE seq > ? ORDER BY seq LIMIT ?", (after, page)):
        after = rows[-1][0]
        yield [Judgment(*row) for row in rows]


def count_judged(db: apsw.Connection) -> int:
    """Return the number of judged pairs."""
    return fetch_value(db, "SELECT count(*) FROM judgements")


def score_counts(db: apsw.Connection) -> dict[str, dict[int, int]]:
    """Return score name -> score -> number of pairs, for each of `SCORES`."""
    return {
        name: dict(db.execute(f"SELECT {name}, count(*) FROM judgements GROUP BY {name} ORDER BY {name}")) for name in SCORES
    }


# Pairs excluded by a judgment remain eligible, so that a sample does not change while it is being judged.
_JUDGED = "EXISTS (SELECT 1 FROM judgements j WHERE j.seq = q.seq)"
_ELIGIBLE = f"q.answered = 1 AND (q.dropped IS NULL OR q.dropped = 'quality' AND {_JUDGED})"


def eligible(db: apsw.Connection, disciplines: Sequence[str] | None, page: int = 2000) -> Iterator[list[tuple[int, str, bool]]]:
    """Iterate over pages of (seq, question id, whether judged) for the pairs that can be judged, by `seq`."""
    after = 0
    of = "" if disciplines is None else "AND +q.discipline_id IN (SELECT value FROM json_each(?2))"
    query = f"SELECT q.seq, q.id, {_JUDGED} FROM questions q WHERE q.seq > ?1 AND {_ELIGIBLE} {of} ORDER BY q.seq LIMIT {page}"
    values = () if disciplines is None else (json.dumps(list(disciplines)),)
    while rows := fetch_all(db, query, (after, *values)):
        after = rows[-1][0]
        yield [(seq, id, bool(judged)) for seq, id, judged in rows]


def count_open(db: apsw.Connection, disciplines: Sequence[str] | None) -> tuple[int, int]:
    """Return the number of pairs that can be judged and how many of them are not judged yet."""
    of = "" if disciplines is None else "AND q.discipline_id IN (SELECT value FROM json_each(?))"
    values = () if disciplines is None else (json.dumps(list(disciplines)),)
    query = f"SELECT count(*), coalesce(sum(NOT {_JUDGED}), 0) FROM questions q WHERE {_ELIGIBLE} {of}"
    pairs, unjudged = fetch_one(db, query, values)
    return pairs, unjudged
