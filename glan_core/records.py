"""Records shared by packages: a taxonomy node, a subject, and a class session before it is stored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the taxonomy.

    `group` is the stated one: only fields state theirs, `group_of` tells what the nodes below inherit.
    """

    id: str
    name: str
    kind: str
    parent_id: str | None = None
    group: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a student of a discipline takes."""

    id: str
    discipline_id: str
    name: str
    level: str
    subtopics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """A class session as read out of a syllabus, before it has an id."""

    name: str
    description: str
    concepts: tuple[str, ...]
