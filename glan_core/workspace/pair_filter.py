"""Pair filters and the index walks that evaluate them."""

import json
from dataclasses import dataclass, replace
from itertools import islice

import apsw

from glan_core.ids import answer_id
from glan_core.reply_parsing import storable
from glan_core.workspace.sql import fetch_value

MAX_TERMS = 400  # terms of a compound SELECT; SQLite allows 500
CHUNK = 1000  # rows of the full-text index that are read at once
PATIENCE = 5  # chunks read from the full-text index before trying the other conditions first
MIN_ADVANTAGE = 10  # how many times further those must reach, because matching words row by row is slower
VERDICTS = {"keep": "kept", "reject": "rejected"}  # review verdict -> counter name
# Indices by discipline of few rows, which the planner would not choose, and the filters whose rows they have.
_PARTIAL = {
    "questions_open_by_discipline": lambda which: which.answered is False,
    "questions_edited": lambda which: which.edited,
}
DROPPED = {"in": "q.dropped IS NULL AND q.answered = 1", "out": "q.dropped IS NOT NULL"}


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Conditions on pairs; None means no condition.

    Attributes:
        disciplines: Only pairs of these disciplines.
        strategy: Sampling strategy, 'single' or 'pair'.
        answered: Whether the question has an answer.
        words: Words that the question or answer contains, all of them.
        syllabus_id: Only pairs of this syllabus.
        concept_id: Only pairs that use this key concept.
        level: Level of the subject.
        teacher: Model that wrote the question or the answer.
        review: 'keep', 'reject' or 'none'.
        starred: Only starred pairs.
        edited: Only edited pairs.
        shortest: Minimum length of the answer in characters.
        longest: Maximum length of the answer in characters.
        failed: Only questions whose answer failed.
        dropped: 'in' for pairs in the dataset, 'out' for excluded pairs, or one of `tag_rows.REASONS`.
        tag: Kind and name of a tag; an empty name matches every tag of the kind.
        seqs: Only these rows.
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
    dropped: str | None = None
    tag: tuple[str, str] | None = None
    seqs: tuple[int, ...] | None = None


def matching(
    db: apsw.Connection, which: PairFilter, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> list[int]:
    """Return the `seq` of the next matching rows, newest first; `before` and `after` as in `pairs_page`."""
    find = _with_words if which.words.split() else _walk
    return sorted(find(db, which, before, after, limit), reverse=True)


def answered_after(db: apsw.Connection, which: PairFilter, after: int, up_to: int, limit: int) -> list[int]:
    """Return the `seq` of the next answered matching rows above `after` and up to `up_to`, oldest first.

    Walks the rows themselves, for callers that read them all.
    """
    if which.words.split():
        seqs = [seq for seq in matching(db, replace(which, answered=True), after=after, limit=limit) if seq <= up_to]
        return seqs[::-1]
    conditions, values = _conditions(db, which)
    if which.disciplines is not None:
        conditions.append("+q.discipline_id IN (SELECT value FROM json_each(:disciplines))")
        values["disciplines"] = json.dumps(which.disciplines)
    asked = " AND ".join(["q.seq > :after", "q.seq <= :up_to", "+q.answered = 1", *conditions])
    values |= {"after": after, "up_to": up_to, "limit": limit}
    return [seq for (seq,) in db.execute(f"SELECT q.seq FROM questions q WHERE {asked} ORDER BY q.seq LIMIT :limit", values)]


def count_matching(db: apsw.Connection, which: PairFilter) -> int:
    """Count the matching pairs; reads the index of the filter's disciplines, so call it only on request."""
    if which.words.split():
        number, before = 0, None
        while seqs := matching(db, which, before=before, limit=CHUNK):
            number, before = number + len(seqs), seqs[-1]
        return number
    conditions, values = _conditions(db, which)
    if which.disciplines is not None:
        conditions.append("q.discipline_id IN (SELECT value FROM json_each(:disciplines))")
        values["disciplines"] = json.dumps(which.disciplines)
    return fetch_value(db, f"SELECT count(*) FROM questions q WHERE {' AND '.join(conditions) or 'TRUE'}", values)


def _walk(db: apsw.Connection, which: PairFilter, before: int | None, after: int | None, limit: int) -> list[int]:
    """Return the `seq` of the next matching rows of a filter without words, from one index walk per discipline.

    The discipline index covers the conditions, so selective filters read no texts; disciplines without matching rows according
    to the counters are skipped.
    """
    order = "ASC" if after is not None else "DESC"
    conditions, values = _conditions(db, which)
    disciplines, index = which.disciplines, ""
    if (
        which.syllabus_id or which.concept_id or which.failed or which.tag or which.seqs is not None
    ):  # few rows, found through a dedicated index
        if disciplines is not None:
            conditions.append("+q.discipline_id IN (SELECT value FROM json_each(:disciplines))")
            values["disciplines"] = json.dumps(disciplines)
            disciplines = None
    elif conditions:
        index = next((f"INDEXED BY {name}" for name, few in _PARTIAL.items() if few(which)), "")
        query = "SELECT node_id FROM counters WHERE measure = ? AND value > 0"
        nonempty = {id for (id,) in db.execute(query, (_limiting_counter(which),))}
        disciplines = tuple(nonempty if disciplines is None else nonempty.intersection(disciplines))
    if after is not None or before is not None:
        conditions.append("q.seq > :at" if after is not None else "q.seq < :at")
        values["at"] = after if after is not None else before
    part = f"SELECT q.seq AS seq FROM questions q {index} WHERE {{}} ORDER BY q.seq {order} LIMIT {int(limit)}"
    if disciplines is None:
        seqs = [seq for (seq,) in db.execute(part.format(" AND ".join(conditions) or "TRUE"), values)]
    else:
        seqs = []
        for start in range(0, len(disciplines), MAX_TERMS):
            some = {f"d{n}": id for n, id in enumerate(disciplines[start : start + MAX_TERMS])}
            parts = [part.format(" AND ".join([f"q.discipline_id = :{name}", *conditions])) for name in some]
            query = " UNION ALL ".join(f"SELECT * FROM ({each})" for each in parts)
            seqs += [seq for (seq,) in db.execute(query, values | some)]
    return sorted(seqs, reverse=after is None)[:limit]


def _limiting_counter(which: PairFilter) -> str:
    """Return the counter that must be above 0 in a discipline with matching rows."""
    if which.review in VERDICTS:
        return VERDICTS[which.review]
    if which.starred:
        return "starred"
    return "questions" if which.dropped in (None, *DROPPED) else f"dropped_{which.dropped}"


def _with_words(db: apsw.Connection, which: PairFilter, before: int | None, after: int | None, limit: int) -> list[int]:
    """Return the `seq` of the next rows that contain the words, from the full-text index in chunks.

    If few of those rows satisfy the other conditions, the rows that do are checked for the words instead.
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
            if len(rows) < CHUNK or abs(rows[-1] - at) > MIN_ADVANTAGE * span:
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
        passing = db.execute(f"SELECT q.seq, q.discipline_id FROM questions q WHERE {kept} ORDER BY q.seq {order}", values)
        found += [seq for seq, discipline in passing if wanted is None or discipline in wanted]
    return found[:limit]


def _conditions(db: apsw.Connection, which: PairFilter) -> tuple[list[str], dict]:
    """Return the SQL conditions on a question `q` and their values, except for disciplines and words."""
    asked = {
        "strategy": ("q.strategy = :strategy", which.strategy),
        "answered": (f"q.answered = {int(bool(which.answered))}", which.answered),  # a parameter would rule out partial indices
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
        "dropped": (DROPPED.get(which.dropped or "", "q.dropped = :dropped"), which.dropped),
        "tag": (
            "q.seq IN (SELECT seq FROM tags WHERE kind = :tag ->> 0 AND :tag ->> 1 IN (name, ''))",
            which.tag and json.dumps(which.tag),
        ),
        "seqs": ("q.seq IN (SELECT value FROM json_each(:seqs))", None if which.seqs is None else json.dumps(which.seqs)),
    }
    asked = {name: pair for name, pair in asked.items() if pair[1] is not None}
    return [condition for condition, _ in asked.values()], {name: value for name, (_, value) in asked.items()}


def _failed(db: apsw.Connection) -> str:
    """Return the unanswered questions whose answer failed, as a JSON list of ids."""
    failed = {id for (id,) in db.execute("SELECT work_id FROM failures WHERE stage = 'answer'")}
    open_ones = db.execute("SELECT id FROM questions WHERE answered = 0") if failed else ()
    return json.dumps([id for (id,) in open_ones if answer_id(id) in failed])
