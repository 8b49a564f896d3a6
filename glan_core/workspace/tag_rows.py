"""Tags: what checks found in pairs, what people overruled of it, and why a pair is left out of the dataset."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import apsw

from glan_core.workspace.call_rows import count

# Why a pair is left out; the first that holds is counted. All but the first are kinds of tags, which settle() takes from the
# last to the first of the alphabet.
REASONS = ("rejected", "quality", "duplicate", "contaminated")


@dataclass(frozen=True, slots=True)
class Tag:
    """What a check found in the pair `seq`. `kind` 'quality', 'duplicate' or 'contaminated'; `name` the filter, the way in
    which it repeats a row ('exact', 'near', 'meaning'), or the benchmark; `other` the id of the question that it repeats, or
    of the benchmark's item; `score` the similarity, or the share of the item that was found; `detail` what a page shows.
    `overruled_by`: the person who said that the pair stays."""

    seq: int
    kind: str
    name: str
    other: str | None = None
    score: float | None = None
    detail: dict = field(default_factory=dict)
    overruled_by: str | None = None


_COLUMNS = "seq, kind, name, other, score, detail, overruled_by"


def put_tags(db: apsw.Connection, tags: Sequence[Tag], run_id: int | None) -> None:
    """Store what a run's check found; a tag that is there already is brought up to date, and stays overruled if it was."""
    db.executemany(
        """INSERT INTO tags (seq, kind, name, other, score, detail, run_id) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET other = excluded.other, score = excluded.score, detail = excluded.detail,
           run_id = excluded.run_id""",
        [(t.seq, t.kind, t.name, t.other, t.score, json.dumps(t.detail, ensure_ascii=False), run_id) for t in tags],
    )
    settle(db, [tag.seq for tag in tags])


def clear_tags(
    db: apsw.Connection, kind: str, names: Sequence[str] | None = None, except_run: int | None = None, limit: int = 20_000
) -> int:
    """Take off up to `limit` tags of a kind (of these names), but for those that a run has put and those that a person has
    overruled; how many they were. Called when a check has ended, until 0: a check that is killed loses nothing."""
    asked = "" if names is None else "AND name IN (SELECT value FROM json_each(?2))"
    keys = db.execute(
        f"""SELECT name, seq FROM tags WHERE kind = ?1 {asked} AND run_id IS NOT ?3 AND overruled_by IS NULL LIMIT ?4""",
        (kind, json.dumps(list(names or ())), except_run, limit),
    ).fetchall()
    db.executemany("DELETE FROM tags WHERE kind = ? AND name = ? AND seq = ?", [(kind, name, seq) for name, seq in keys])
    settle(db, [seq for _, seq in keys])
    return len(keys)


def overrule(db: apsw.Connection, seq: int, kind: str, name: str, who: str | None) -> bool:
    """Say that a pair stays in spite of a tag, or (None) take that back; whether there was such a tag to be changed."""
    db.execute(
        "UPDATE tags SET overruled_by = ?1 WHERE kind = ?2 AND name = ?3 AND seq = ?4 AND (overruled_by IS NULL) != (?1 IS NULL)",
        (who, kind, name, seq),
    )
    changed = bool(db.changes())
    settle(db, [seq])
    return changed


def settle(db: apsw.Connection, seqs: Iterable[int]) -> None:
    """Bring `questions.dropped` and its counters in line with the answers, reviews and tags of these rows."""
    rows = db.execute(
        """SELECT * FROM (SELECT q.seq, q.discipline_id, q.dropped AS was, CASE WHEN q.answered = 0 THEN NULL
               WHEN q.review = 'reject' THEN 'rejected'
               ELSE (SELECT max(kind) FROM tags WHERE seq = q.seq AND overruled_by IS NULL) END AS now
           FROM questions q WHERE q.seq IN (SELECT value FROM json_each(?))) WHERE was IS NOT now""",
        (json.dumps(list(seqs)),),
    ).fetchall()
    db.executemany("UPDATE questions SET dropped = ? WHERE seq = ?", [(now, seq) for seq, _, _, now in rows])
    amounts: dict[str, dict[str, int]] = {}
    for _, discipline_id, was, now in rows:
        of = amounts.setdefault(discipline_id, {})
        for reason, amount in ((was, -1), (now, 1)):
            if reason:
                of[f"dropped_{reason}"] = of.get(f"dropped_{reason}", 0) + amount
    for discipline_id, of in amounts.items():
        count(db, discipline_id, **of)


def tags_of(db: apsw.Connection, seq: int) -> list[Tag]:
    """The tags of one pair."""
    return [_tag(row) for row in db.execute(f"SELECT {_COLUMNS} FROM tags WHERE seq = ? ORDER BY kind DESC, name", (seq,))]


def tags_page(
    db: apsw.Connection, kind: str, name: str, *, before: int | None = None, overruled: bool | None = None, limit: int = 50
) -> list[Tag]:
    """One page of the tags of a kind and name, newest pair first, those of pairs older than `before`; only overruled ones
    or only others where asked."""
    rows = db.execute(
        f"""SELECT {_COLUMNS} FROM tags WHERE kind = ?1 AND name = ?2 AND (?3 IS NULL OR seq < ?3)
            AND (?4 IS NULL OR (overruled_by IS NOT NULL) = ?4) ORDER BY seq DESC LIMIT ?5""",
        (kind, name, before, None if overruled is None else int(overruled), limit),
    )
    return [_tag(row) for row in rows]


def tag_counts(db: apsw.Connection) -> dict[tuple[str, str], tuple[int, int]]:
    """(kind, name) -> how many pairs have such a tag, and on how many of them a person overruled it."""
    rows = db.execute("SELECT kind, name, count(*), count(overruled_by) FROM tags GROUP BY kind, name")
    return {(kind, name): (tagged, overruled) for kind, name, tagged, overruled in rows}


def _tag(row: tuple) -> Tag:
    return Tag(*row[:5], json.loads(row[5]), row[6])


def dropped(db: apsw.Connection) -> list[tuple[int, str]]:
    """(seq, reason) of every pair that the dataset leaves out."""
    return db.execute("SELECT seq, dropped FROM questions WHERE dropped IS NOT NULL").fetchall()


def kept_by_people(db: apsw.Connection) -> list[tuple[int, str]]:
    """(seq, 'keep') of every question that a person has kept."""
    return db.execute("SELECT seq, review FROM questions WHERE review IS NOT NULL AND review = 'keep'").fetchall()
