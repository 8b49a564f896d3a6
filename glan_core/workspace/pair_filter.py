"""Finding pairs: what a filter asks, and the walks along indexes that find the rows that pass it."""

import json
from dataclasses import dataclass, replace
from itertools import islice

import apsw

from glan_core.ids import answer_id
from glan_core.reply_parsing import storable

MOST_TERMS = 400  # of a compound SELECT; SQLite takes 500
CHUNK = 1000  # rows of the text index that are looked at together
PATIENCE = 5  # such chunks, before it is asked whether the rest of a filter gets further
FURTHER = 10  # times, that it must, since asking a row for words costs more than the other way round
VERDICTS = {"keep": "kept", "reject": "rejected"}  # a verdict and the counter of the questions that have it
DROPPED = {"in": "q.dropped IS NULL AND q.answered = 1", "out": "q.dropped IS NOT NULL"}


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs; what is None is not asked.

    Of these disciplines, of one syllabus, asking about one key concept, of a strategy, of a subject's level, answered or
    not, by a teacher (who wrote question or answer), in a state of review ('keep', 'reject', 'none'), starred, edited, with
    an answer of `shortest` to `longest` characters, whose answer failed; holding all these words. `dropped`: 'in' for what
    the dataset takes, 'out' for what it leaves out, or one of `tag_rows.REASONS`. `tag`: with a tag of a kind and name, or
    (name '') of a kind. `seqs`: among these rows.
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
    """The `seq` of the next rows of a filter, newest first; as `pairs_page` takes `before` and `after`."""
    find = _with_words if which.words.split() else _walk
    return sorted(find(db, which, before, after, limit), reverse=True)


def answered_after(db: apsw.Connection, which: PairFilter, after: int, up_to: int, limit: int) -> list[int]:
    """The `seq` of the next answered rows of a filter, oldest first, from behind `after` to `up_to`: one walk along the rows
    themselves, for who reads them all."""
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
    if (
        which.syllabus_id or which.concept_id or which.failed or which.tag or which.seqs is not None
    ):  # few rows, that an index of their own gives
        if disciplines is not None:
            conditions.append("+q.discipline_id IN (SELECT value FROM json_each(:disciplines))")
            values["disciplines"] = json.dumps(disciplines)
            disciplines = None
    elif conditions:
        dropped = which.dropped not in (None, *DROPPED) and f"dropped_{which.dropped}"
        measure = VERDICTS.get(which.review) or ("starred" if which.starred else dropped or "questions")
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
        "dropped": (DROPPED.get(which.dropped, "q.dropped = :dropped"), which.dropped),
        "tag": (
            "q.seq IN (SELECT seq FROM tags WHERE kind = :tag ->> 0 AND :tag ->> 1 IN (name, ''))",
            which.tag and json.dumps(which.tag),
        ),
        "seqs": ("q.seq IN (SELECT value FROM json_each(:seqs))", None if which.seqs is None else json.dumps(which.seqs)),
    }
    asked = {name: pair for name, pair in asked.items() if pair[1] is not None}
    return [condition for condition, _ in asked.values()], {name: value for name, (_, value) in asked.items()}


def _failed(db: apsw.Connection) -> str:
    """The open questions whose answer failed, as a JSON list of ids."""
    failed = {id for (id,) in db.execute("SELECT work_id FROM failures WHERE stage = 'answer'")}
    open_ones = db.execute("SELECT id FROM questions WHERE answered = 0") if failed else ()
    return json.dumps([id for (id,) in open_ones if answer_id(id) in failed])
