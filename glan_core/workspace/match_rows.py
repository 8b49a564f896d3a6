"""What models answered to the questions of tests, and what judges said of two answers."""

import json
from collections.abc import Collection
from dataclasses import dataclass

import apsw

OVERALL, ASPECTS = "overall", ("helpfulness", "relevance", "accuracy", "detail")


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody answered to an item of a test: `test` by its hash, `answerer` by a key, `teacher` as it is called."""

    test: str
    item: str
    answerer: str
    text: str
    teacher: str
    run_id: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Match:
    """Two models on a test before a judge. `ours` and `other` name them, the keys tell their weights and how they were asked;
    `about` says what is known of the match, such as its judge's prompt, hashes and settings."""

    id: str
    test_name: str
    test: str
    ours: str
    ours_key: str
    other: str
    other_key: str
    judge: str
    about: dict
    run_id: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of two answers to an item: a score from 1 to 10 of each, scores by aspect (name -> ours, other), and a
    comment. `swapped`: the judge saw the other model's answer first."""

    match: str
    item: str
    swapped: bool
    ours: float
    other: float
    aspects: dict[str, tuple[float, float]]
    comment: str
    at: float


def put_answer(db: apsw.Connection, answer: Answer) -> None:
    """Store an answer in the place of an earlier one."""
    a = answer
    db.execute(
        "INSERT OR REPLACE INTO test_answers (test, item, answerer, text, teacher, run_id, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (a.test, a.item, a.answerer, a.text, a.teacher, a.run_id, a.at),
    )


def answers(db: apsw.Connection, test: str, answerer: str) -> dict[str, str]:
    """Item -> the text that somebody answered to it."""
    return dict(db.execute("SELECT item, text FROM test_answers WHERE test = ? AND answerer = ?", (test, answerer)))


def answered(db: apsw.Connection, test: str, answerer: str) -> set[str]:
    """The items that somebody answered."""
    return {item for (item,) in db.execute("SELECT item FROM test_answers WHERE test = ? AND answerer = ?", (test, answerer))}


def answer(db: apsw.Connection, test: str, answerer: str, item: str) -> Answer | None:
    """What somebody answered to an item, or None."""
    row = db.execute(
        "SELECT test, item, answerer, text, teacher, run_id, at FROM test_answers WHERE test = ? AND answerer = ? AND item = ?",
        (test, answerer, item),
    ).fetchone()
    return row and Answer(*row)


def put_match(db: apsw.Connection, match: Match) -> None:
    """Store what a match is; of one that is known, when and by which run it went on."""
    m = match
    db.execute(
        """INSERT INTO matches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET test_name = excluded.test_name, about = excluded.about, run_id = excluded.run_id, at = excluded.at""",
        (m.id, m.test_name, m.test, m.ours, m.ours_key, m.other, m.other_key, m.judge, json.dumps(m.about), m.run_id, m.at),
    )


def matches(db: apsw.Connection) -> list[Match]:
    """All matches, the newest first."""
    return [_match(row) for row in db.execute("SELECT * FROM matches ORDER BY at DESC, id")]


def match(db: apsw.Connection, id: str) -> Match | None:
    """A match by its id, or None."""
    row = db.execute("SELECT * FROM matches WHERE id = ?", (id,)).fetchone()
    return row and _match(row)


def put_verdict(db: apsw.Connection, verdict: Verdict) -> bool:
    """Store a verdict in the place of an earlier one; whether both orders of its item are judged now that were not before."""
    v = verdict
    there = {bool(s) for (s,) in db.execute("SELECT swapped FROM verdicts WHERE match = ? AND item = ?", (v.match, v.item))}
    db.execute(
        "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (v.match, v.item, v.swapped, v.ours, v.other, json.dumps(v.aspects), v.comment, v.at),
    )
    return there == {not v.swapped}


def judged(db: apsw.Connection, match: str) -> set[tuple[str, bool]]:
    """(item, swapped) of the verdicts of a match."""
    return {
        (item, bool(swapped)) for item, swapped in db.execute("SELECT item, swapped FROM verdicts WHERE match = ?", (match,))
    }


def verdicts(db: apsw.Connection, match: str, items: Collection[str] | None = None) -> list[Verdict]:
    """The verdicts of a match, or those of some items of it."""
    only = "" if items is None else "AND item IN (SELECT value FROM json_each(?))"
    values = (match,) if items is None else (match, json.dumps(list(items)))
    rows = db.execute(f"SELECT * FROM verdicts WHERE match = ? {only} ORDER BY item, swapped", values)
    return [Verdict(m, item, bool(swapped), ours, other, json.loads(aspects), comment, at)
            for m, item, swapped, ours, other, aspects, comment, at in rows]  # fmt: skip


def failed(db: apsw.Connection, stage: str, works: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """Of these pieces of work of a stage, those that failed: work id -> (cause, message, what was replied)."""
    rows = db.execute(
        """SELECT work_id, cause, message, reply FROM failures WHERE stage = ?
           AND work_id IN (SELECT value FROM json_each(?))""",
        (stage, json.dumps(list(works))),
    )
    return {work: (cause, message, reply) for work, cause, message, reply in rows}


def _match(row: tuple) -> Match:
    return Match(*row[:8], json.loads(row[8]), *row[9:])
