"""Names before calls: the id of every piece of work is known before it is paid for.

An id is derived from the parent's id, the kind of record and what tells it from its siblings (an index, a name), so the
same work has the same id in every run, process and workspace. Records made from a reply carry the id of the work.
"""

import hashlib
import re
import unicodedata


def derive(kind: str, parent: str, part: str | int) -> str:
    """The id of the `kind` record that `part` names under `parent`, such as 'qst-6f1c…' (64 bits of SHA-256).

    Kinds: 'qry' subject query, 'sub' subject, 'syl' syllabus, 'ses' class session, 'con' key concept, 'qst' question,
    'ans' answer, 'prp' taxonomy proposal, 'jdg' judgement, 'lka' look-alike of a
    benchmark's row.
    """
    name = "\x1f".join((kind, parent, str(part)))
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def answer_id(question_id: str) -> str:
    """The id of a question's answer; also the id of the pair that the two make."""
    return derive("ans", question_id, 0)


def judgement_id(question_id: str) -> str:
    """The id of the judgement of the pair that a question belongs to."""
    return derive("jdg", question_id, 0)


def syllabus_id(subject_id: str) -> str:
    """The id of a subject's syllabus."""
    return derive("syl", subject_id, 0)


def query_id(discipline_id: str, index: int) -> str:
    """The id of the `index`-th query for the subjects of a discipline."""
    return derive("qry", discipline_id, index)


MAX_SLUG = 60
_LETTERS_WITHOUT_DECOMPOSITION = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)


def slug(name: str) -> str:
    """An id made from `name`: lowercase ASCII words joined by hyphens, 1 to 60 characters, the same every time.

    Where letters are lost (other scripts) or cut off (long names), a short hash of the name keeps ids of different
    names apart: 'Chemical Engineering' gives 'chemical-engineering', '物理学' gives 'node-' and eight hex digits.
    Two names that differ only in accents, case or punctuation do share a slug.
    """
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS_WITHOUT_DECOMPOSITION))
    readable = "-".join(re.findall(r"[a-z0-9]+", "".join(c for c in plain if not unicodedata.combining(c))))
    letters_lost = any(c.isalnum() and not c.isascii() for c in plain)
    if readable and not letters_lost and len(readable) <= MAX_SLUG:
        return readable
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem = readable[: MAX_SLUG - len(digest) - 1].strip("-") or "node"
    return f"{stem}-{digest}"


def name_key(name: str) -> str:
    """The form in which two names are compared: compatible characters, case and white space folded."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
