"""Search over names of disciplines, subjects and key concepts, and over the words of pairs.

Names are compared without regard to case; every word of the query must occur. The time is bounded by the number of names: a query
of a word that occurs nowhere reads all of them, and one of a frequent word ends at its limit. Pairs are found through the
full-text index.
"""

from dataclasses import dataclass

import apsw

from glan_core.reply_parsing import storable
from glan_core.workspace.homework_rows import Pair, pair, pairs_page
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.sql import fetch_all, from_row

MOST_WORDS = 8  # words of a query that are used
MOST_LENGTH = 200  # characters of a query that are used
ESCAPE = "\\"
CANDIDATES = 20  # names read per name shown, from which the best are chosen


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A node of the taxonomy whose name matches."""

    id: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class FoundSubject:
    """A subject whose name matches, with its discipline."""

    id: str
    name: str
    level: str
    discipline_id: str
    discipline: str


@dataclass(frozen=True, slots=True)
class FoundConcept:
    """A key concept whose name matches, with its subject and discipline.

    Attributes:
        asked: Whether a question uses it.
    """

    id: str
    name: str
    subject_id: str
    subject: str
    discipline_id: str
    asked: bool


def query_words(query: str) -> list[str]:
    """Return the words of a query that are used."""
    return storable(query)[:MOST_LENGTH].split()[:MOST_WORDS]


def nodes(db: apsw.Connection, query: str, limit: int = 10) -> list[FoundNode]:
    """Return live taxonomy nodes, best matches first."""
    condition, values = _like("n.name", query)
    rows = fetch_all(
        db,
        f"SELECT n.id, n.name, n.kind FROM nodes n WHERE n.removed = 0 AND {condition} ORDER BY n.position LIMIT 2000",
        values,
    )
    return _best([FoundNode(*row) for row in rows], query, limit)


def subjects(db: apsw.Connection, query: str, limit: int = 10) -> list[FoundSubject]:
    """Return subjects of live disciplines, best matches first."""
    condition, values = _like("s.name", query)
    rows = fetch_all(
        db,
        f"""SELECT s.id, s.name, s.level, n.id, n.name FROM subjects s JOIN nodes n ON n.id = s.discipline_id
            WHERE {condition} AND n.removed = 0 LIMIT {CANDIDATES * int(limit)}""",
        values,
    )
    return _best([FoundSubject(*row) for row in rows], query, limit)


def concepts(db: apsw.Connection, query: str, limit: int = 10) -> list[FoundConcept]:
    """Return key concepts of live disciplines that no edit retired, best matches first; equal names of one subject once."""
    condition, values = _like("c.name", query)
    rows = fetch_all(
        db,
        f"""SELECT c.id, c.name, s.id, s.name, s.discipline_id,
                   EXISTS (SELECT 1 FROM question_concepts q WHERE q.concept_id = c.id)
            FROM concepts c CROSS JOIN syllabi y ON y.id = c.syllabus_id CROSS JOIN subjects s ON s.id = y.subject_id
            CROSS JOIN nodes n ON n.id = s.discipline_id CROSS JOIN sessions e ON e.id = c.session_id
            WHERE c.retired = 0 AND {condition} AND n.removed = 0 AND e.retired = 0 LIMIT {CANDIDATES * int(limit)}""",
        values,
    )
    found = {(row[1], row[2]): from_row(FoundConcept, row, asked=bool) for row in reversed(rows)}
    return _best(list(found.values()), query, limit)


def pairs(db: apsw.Connection, query: str, limit: int = 10) -> list[Pair]:
    """Return questions and pairs that contain all words, newest first; or the one with this id."""
    words = query_words(query)
    if len(words) == 1 and (one := pair(db, words[0])):
        return [one]
    return pairs_page(db, PairFilter(words=" ".join(words)), limit=limit) if words else []


def _best(found: list, query: str, limit: int) -> list:
    """Return the best matches: equal names, then names that begin so, then those with a word that does, then short ones."""
    wanted = " ".join(query_words(query)).casefold()

    def rank(one) -> tuple:
        name = one.name.casefold()
        return name != wanted, not name.startswith(wanted), f" {wanted}" not in name, len(name), name

    return sorted(found, key=rank)[:limit]


def _like(column: str, query: str) -> tuple[str, tuple[str, ...]]:
    """Return the condition that a column contains every word of a query, with its values; FALSE without words."""
    parts, values = [], []
    for word in query_words(query):
        # SQLite's LIKE ignores the case of ASCII letters only
        forms = {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
        parts.append(f"({' OR '.join([f'{column} LIKE ? ESCAPE ?'] * len(forms))})")
        for form in sorted(forms):
            values += [f"%{_escaped(form)}%", ESCAPE]
    return " AND ".join(parts) or "FALSE", tuple(values)


def _escaped(word: str) -> str:
    for sign in (ESCAPE, "%", "_"):
        word = word.replace(sign, f"{ESCAPE}{sign}")
    return word
