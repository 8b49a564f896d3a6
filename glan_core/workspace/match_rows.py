"""Pairwise evaluation: models' answers to test questions, matches and verdicts."""

import json
from collections.abc import Collection
from dataclasses import dataclass

import apsw

from glan_core.errors import GlanError
from glan_core.workspace.sql import from_row

OVERALL, ASPECTS = "overall", ("helpfulness", "relevance", "accuracy", "detail")


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to a test question.

    Attributes:
        test: Hash of the test.
        item: Id of the question.
        answerer: Key of the model's weights and decoding parameters.
        teacher: Display name of the model.
    """

    test: str
    item: str
    answerer: str
    text: str
    teacher: str
    run_id: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Match:
    """A comparison of two models on a test by a judge.

    Attributes:
        test_name: Name of the test.
        test: Hash of the test.
        ours: Name of the first model.
        ours_key: Key of its weights and decoding parameters.
        other: Name of the second model.
        other_key: Key of its weights and decoding parameters.
        judge: The judge model.
        about: Judge prompt, hashes, settings and other metadata.
    """

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
    """A judge's scores of two answers to one question.

    Attributes:
        swapped: Whether the judge saw the second model's answer first.
        ours: Score of the first model, 1 to 10.
        other: Score of the second model, 1 to 10.
        aspects: Aspect -> (score of the first model, score of the second model).
        comment: Explanation by the judge.
    """

    match: str
    item: str
    swapped: bool
    ours: float
    other: float
    aspects: dict[str, tuple[float, float]]
    comment: str
    at: float


@dataclass(frozen=True, slots=True)
class Dispute:
    """A person's objection to the verdicts on a question of a match.

    Attributes:
        reason: Why the verdicts are wrong.
        who: Name of the person.
    """

    match: str
    item: str
    reason: str
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class ArenaVote:
    """A person's blind vote on the two answers to a question.

    Attributes:
        choice: 'ours', 'other', 'tie', or 'bad' if neither is good.
        who: Name of the voter.
    """

    match: str
    item: str
    choice: str
    who: str
    at: float


def put_answer(db: apsw.Connection, answer: Answer) -> None:
    """Store or replace an answer."""
    a = answer
    db.execute(
        "INSERT OR REPLACE INTO test_answers (test, item, answerer, text, teacher, run_id, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (a.test, a.item, a.answerer, a.text, a.teacher, a.run_id, a.at),
    )


def answers(db: apsw.Connection, test: str, answerer: str) -> dict[str, str]:
    """Return question id -> answer of a model."""
    return dict(db.execute("SELECT item, text FROM test_answers WHERE test = ? AND answerer = ?", (test, answerer)))


def answered(db: apsw.Connection, test: str, answerer: str) -> set[str]:
    """Return the ids of the questions that a model answered."""
    return {item for (item,) in db.execute("SELECT item FROM test_answers WHERE test = ? AND answerer = ?", (test, answerer))}


def answer(db: apsw.Connection, test: str, answerer: str, item: str) -> Answer | None:
    """Return a model's answer to a question, or None."""
    row = db.execute(
        "SELECT test, item, answerer, text, teacher, run_id, at FROM test_answers WHERE test = ? AND answerer = ? AND item = ?",
        (test, answerer, item),
    ).fetchone()
    return Answer(*row) if row else None


def put_match(db: apsw.Connection, match: Match) -> None:
    """Store a match; for a known match, update its name, metadata, run and time."""
    m = match
    db.execute(
        """INSERT INTO matches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET test_name = excluded.test_name, about = excluded.about, run_id = excluded.run_id, at = excluded.at""",
        (m.id, m.test_name, m.test, m.ours, m.ours_key, m.other, m.other_key, m.judge, json.dumps(m.about), m.run_id, m.at),
    )


def matches(db: apsw.Connection) -> list[Match]:
    """Return all matches, newest first."""
    return [_match(row) for row in db.execute("SELECT * FROM matches ORDER BY at DESC, id")]


def match(db: apsw.Connection, id: str) -> Match | None:
    """Return a match, or None."""
    row = db.execute("SELECT * FROM matches WHERE id = ?", (id,)).fetchone()
    return _match(row) if row else None


def require_match(db: apsw.Connection, id: str) -> Match:
    """Return a match.

    Raises:
        GlanError: If it does not exist.
    """
    if (found := match(db, id)) is None:
        raise GlanError(f"Match {id} does not exist.")
    return found


def put_verdict(db: apsw.Connection, verdict: Verdict) -> bool:
    """Store or replace a verdict; return whether it completes both orders of its question."""
    v = verdict
    known = {bool(s) for (s,) in db.execute("SELECT swapped FROM verdicts WHERE match = ? AND item = ?", (v.match, v.item))}
    db.execute(
        "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (v.match, v.item, v.swapped, v.ours, v.other, json.dumps(v.aspects), v.comment, v.at),
    )
    return known == {not v.swapped}


def judged(db: apsw.Connection, match: str) -> set[tuple[str, bool]]:
    """Return (question id, swapped) of the verdicts of a match."""
    return {
        (item, bool(swapped)) for item, swapped in db.execute("SELECT item, swapped FROM verdicts WHERE match = ?", (match,))
    }


def result_state(db: apsw.Connection, match: Match) -> tuple:
    """Return what the results of a match depend on: verdicts, answers, disputes and failed calls, each as number and newest time."""
    counted = """SELECT count(*), max(at) FROM verdicts WHERE match = ?1
        UNION ALL SELECT count(*), max(at) FROM test_answers WHERE test = ?2 AND answerer IN (?3, ?4)
        UNION ALL SELECT count(*), max(at) FROM disputed_verdicts WHERE match = ?1
        UNION ALL SELECT count(*), max(at) FROM failures WHERE stage IN ('answer_ours', 'answer_other', 'verdict')"""
    rows = db.execute(counted, (match.id, match.test, match.ours_key, match.other_key))
    return (match.id, match.at, *(tuple(row) for row in rows))


def judged_matches(db: apsw.Connection) -> set[str]:
    """Return the ids of the matches with at least one question judged in both orders."""
    rows = db.execute("SELECT DISTINCT match FROM verdicts GROUP BY match, item HAVING count(*) = 2")
    return {match for (match,) in rows}


def verdicts(db: apsw.Connection, match: str, items: Collection[str] | None = None) -> list[Verdict]:
    """Return the verdicts of a match, optionally only those of some questions."""
    only = "" if items is None else "AND item IN (SELECT value FROM json_each(?))"
    values = (match,) if items is None else (match, json.dumps(list(items)))
    rows = db.execute(f"SELECT * FROM verdicts WHERE match = ? {only} ORDER BY item, swapped", values)
    return [from_row(Verdict, row, swapped=bool, aspects=json.loads) for row in rows]


def put_dispute(db: apsw.Connection, dispute: Dispute) -> None:
    """Store or replace a dispute."""
    d = dispute
    db.execute("INSERT OR REPLACE INTO disputed_verdicts VALUES (?, ?, ?, ?, ?)", (d.match, d.item, d.reason, d.who, d.at))


def remove_dispute(db: apsw.Connection, match: str, item: str) -> None:
    """Remove the dispute of a question."""
    db.execute("DELETE FROM disputed_verdicts WHERE match = ? AND item = ?", (match, item))


def disputes(db: apsw.Connection, match: str) -> dict[str, Dispute]:
    """Return question id -> dispute of a match."""
    rows = db.execute("SELECT * FROM disputed_verdicts WHERE match = ?", (match,))
    return {dispute.item: dispute for dispute in (Dispute(*row) for row in rows)}


def put_vote(db: apsw.Connection, vote: ArenaVote) -> None:
    """Store a vote, instead of an earlier one of the same person on the same question."""
    v = vote
    db.execute("INSERT OR REPLACE INTO arena_votes VALUES (?, ?, ?, ?, ?)", (v.match, v.item, v.choice, v.who, v.at))


def remove_vote(db: apsw.Connection, vote: ArenaVote) -> None:
    """Remove a vote."""
    db.execute("DELETE FROM arena_votes WHERE match = ? AND who = ? AND item = ?", (vote.match, vote.who, vote.item))


def votes(db: apsw.Connection, match: str | None = None) -> list[ArenaVote]:
    """Return the votes on a match, or all votes, oldest first."""
    only, values = ("", ()) if match is None else ("WHERE match = ?", (match,))
    return [
        ArenaVote(*row)
        for row in db.execute(f"SELECT match, item, choice, who, at FROM arena_votes {only} ORDER BY at, item", values)
    ]


def failed(db: apsw.Connection, stage: str, works: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """Return the failed tasks among these: work id -> (cause, message, reply)."""
    rows = db.execute(
        """SELECT work_id, cause, message, reply FROM failures WHERE stage = ?
           AND work_id IN (SELECT value FROM json_each(?))""",
        (stage, json.dumps(list(works))),
    )
    return {work: (cause, message, reply) for work, cause, message, reply in rows}


def _match(row: tuple) -> Match:
    return from_row(Match, row, about=json.loads)
