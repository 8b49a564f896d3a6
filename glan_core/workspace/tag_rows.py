"""Tags: findings of checks in pairs, overrides by users, and the reason why a pair is excluded from the dataset."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import apsw

from glan_core.workspace.call_rows import count
from glan_core.workspace.sql import fetch_all, from_row

# Reasons for exclusion; the first that applies is stored. All but the first are tag kinds, which `update_dropped` ranks in reverse
# alphabetical order.
REASONS = ("rejected", "quality", "duplicate", "contaminated")


@dataclass(frozen=True, slots=True)
class Tag:
    """A finding of a check in one pair.

    Attributes:
        seq: Row number of the question.
        kind: 'quality', 'duplicate' or 'contaminated'.
        name: Name of the filter, type of duplicate ('exact', 'near', 'meaning') or name of the benchmark.
        other: Id of the duplicated question or of the benchmark item.
        score: Similarity, or matched fraction of the benchmark item.
        detail: Details for display.
        overruled_by: User who decided to keep the pair.
    """

    seq: int
    kind: str
    name: str
    other: str | None = None
    score: float | None = None
    detail: dict = field(default_factory=dict)
    overruled_by: str | None = None


_COLUMNS = "seq, kind, name, other, score, detail, overruled_by"


def put_tags(db: apsw.Connection, tags: Sequence[Tag], run_id: int | None) -> None:
    """Store the findings of a check; existing tags are updated and remain overruled."""
    db.executemany(
        """INSERT INTO tags (seq, kind, name, other, score, detail, run_id) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET other = excluded.other, score = excluded.score, detail = excluded.detail,
           run_id = excluded.run_id""",
        [(t.seq, t.kind, t.name, t.other, t.score, json.dumps(t.detail, ensure_ascii=False), run_id) for t in tags],
    )
    update_dropped(db, [tag.seq for tag in tags])


def clear_tags(
    db: apsw.Connection, kind: str, names: Sequence[str] | None = None, except_run: int | None = None, limit: int = 20_000
) -> int:
    """Remove up to `limit` outdated tags; call it repeatedly until it returns 0.

    Called when a check has finished, so that an interrupted check loses nothing.

    Args:
        db: The workspace database.
        kind: Kind of the tags.
        names: Only tags with these names.
        except_run: Keep the tags of this run. Overruled tags are always kept.
        limit: Maximum number of tags to remove.

    Returns:
        Number of removed tags.
    """
    asked = "" if names is None else "AND name IN (SELECT value FROM json_each(?2))"
    keys = fetch_all(
        db,
        f"""SELECT name, seq FROM tags WHERE kind = ?1 {asked} AND run_id IS NOT ?3 AND overruled_by IS NULL LIMIT ?4""",
        (kind, json.dumps(list(names or ())), except_run, limit),
    )
    db.executemany("DELETE FROM tags WHERE kind = ? AND name = ? AND seq = ?", [(kind, name, seq) for name, seq in keys])
    update_dropped(db, [seq for _, seq in keys])
    return len(keys)


def overrule(db: apsw.Connection, seq: int, kind: str, name: str, who: str | None) -> bool:
    """Keep a pair despite a tag, or revert that with `who=None`; return whether a tag changed."""
    db.execute(
        "UPDATE tags SET overruled_by = ?1 WHERE kind = ?2 AND name = ?3 AND seq = ?4 AND (overruled_by IS NULL) != (?1 IS NULL)",
        (who, kind, name, seq),
    )
    changed = bool(db.changes())
    update_dropped(db, [seq])
    return changed


def update_dropped(db: apsw.Connection, seqs: Iterable[int]) -> None:
    """Update `questions.dropped` and its counters from the answers, reviews and tags of these rows."""
    rows = fetch_all(
        db,
        """SELECT * FROM (SELECT q.seq, q.discipline_id, q.dropped AS was, CASE WHEN q.answered = 0 THEN NULL
               WHEN q.review = 'reject' THEN 'rejected'
               ELSE (SELECT max(kind) FROM tags WHERE seq = q.seq AND overruled_by IS NULL) END AS now
           FROM questions q WHERE q.seq IN (SELECT value FROM json_each(?))) WHERE was IS NOT now""",
        (json.dumps(list(seqs)),),
    )
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
    """Return the tags of one pair."""
    return [_tag(row) for row in db.execute(f"SELECT {_COLUMNS} FROM tags WHERE seq = ? ORDER BY kind DESC, name", (seq,))]


def tags_page(
    db: apsw.Connection, kind: str, name: str, *, before: int | None = None, overruled: bool | None = None, limit: int = 50
) -> list[Tag]:
    """Return one page of tags, newest pair first.

    Args:
        db: The workspace database.
        kind: Kind of the tags.
        name: Name of the tags.
        before: Only tags of pairs older than this `seq`.
        overruled: Only overruled (True) or active (False) tags; None for both.
        limit: Page size.
    """
    rows = db.execute(
        f"""SELECT {_COLUMNS} FROM tags WHERE kind = ?1 AND name = ?2 AND (?3 IS NULL OR seq < ?3)
            AND (?4 IS NULL OR (overruled_by IS NOT NULL) = ?4) ORDER BY seq DESC LIMIT ?5""",
        (kind, name, before, None if overruled is None else int(overruled), limit),
    )
    return [_tag(row) for row in rows]


def tag_counts(db: apsw.Connection) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (kind, name) -> (number of tagged pairs, number of overruled tags)."""
    rows = db.execute("SELECT kind, name, count(*), count(overruled_by) FROM tags GROUP BY kind, name")
    return {(kind, name): (tagged, overruled) for kind, name, tagged, overruled in rows}


def _tag(row: tuple) -> Tag:
    return from_row(Tag, row, detail=json.loads)


def dropped(db: apsw.Connection) -> list[tuple[int, str]]:
    """Return (seq, reason) of every pair excluded from the dataset."""
    return fetch_all(db, "SELECT seq, dropped FROM questions WHERE dropped IS NOT NULL")


def kept_in_review(db: apsw.Connection) -> list[tuple[int, str]]:
    """Return (seq, 'keep') of every question that a user kept in review."""
    return fetch_all(db, "SELECT seq, review FROM questions WHERE review IS NOT NULL AND review = 'keep'")
