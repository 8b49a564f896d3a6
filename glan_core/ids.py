"""Deterministic ids: every record's id is known before the call that produces it.

An id is derived from the parent's id, the kind of record and what distinguishes it from its siblings (an index or a name), so
the same record has the same id in every run, process and workspace.
"""

import hashlib
import re
import unicodedata

from glan_core.unicode_text import normalized


def derive(kind: str, parent: str, part: str | int) -> str:
    """Derive a record id such as 'qst-6f1c…' (64 bits of SHA-256).

    Args:
        kind: 'qry' subject query, 'sub' subject, 'syl' syllabus, 'ses' class session, 'con' key concept, 'qst' question,
            'ans' answer, 'prp' taxonomy proposal, 'jdg' quality judgment, 'lka' paraphrase of a benchmark row.
        parent: Id of the parent record.
        part: Index or name that distinguishes the record from its siblings.
    """
    name = "\x1f".join((kind, parent, str(part)))
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def answer_id(question_id: str) -> str:
    """Return the id of a question's answer, which is also the id of their instruction pair."""
    return derive("ans", question_id, 0)


def judgment_id(question_id: str) -> str:
    """Return the id of the quality judgment of a question's instruction pair."""
    return derive("jdg", question_id, 0)


def syllabus_id(subject_id: str) -> str:
    """Return the id of a subject's syllabus."""
    return derive("syl", subject_id, 0)


def query_id(discipline_id: str, index: int) -> str:
    """Return the id of the `index`-th subject query of a discipline."""
    return derive("qry", discipline_id, index)


MAX_SLUG = 60
_LETTERS_WITHOUT_DECOMPOSITION = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)


def slug(name: str) -> str:
    """Make a readable id from a name: lowercase ASCII words joined by hyphens, 1 to 60 characters, deterministic.

    If letters are lost (non-Latin scripts) or cut off (long names), a short hash of the name is appended so that different
    names get different ids: 'Chemical Engineering' gives 'chemical-engineering', '物理学' gives 'node-' and eight hex digits.
    Names that differ only in accents, case or punctuation share a slug.
    """
    plain = normalized("NFKD", name.casefold().translate(_LETTERS_WITHOUT_DECOMPOSITION))
    readable = "-".join(re.findall(r"[a-z0-9]+", "".join(c for c in plain if not unicodedata.combining(c))))
    letters_lost = any(c.isalnum() and not c.isascii() for c in plain)
    if readable and not letters_lost and len(readable) <= MAX_SLUG:
        return readable
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem = readable[: MAX_SLUG - len(digest) - 1].strip("-") or "node"
    return f"{stem}-{digest}"


def name_key(name: str) -> str:
    """Return the form in which names are compared: NFKC, case-folded, white space collapsed."""
    return " ".join(normalized("NFKC", name).casefold().split())
