"""Names before calls: the id of every piece of work is known before it is paid for.

An id is derived from the parent's id, the kind of record and what tells it from its siblings (an index, a name), so the
same work has the same id in every run, process and workspace. Records made from a reply carry the id of the work.
"""

import hashlib


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
