"""Records shared by several packages: taxonomy nodes, subjects and class sessions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the taxonomy.

    Attributes:
        id: Unique slug.
        name: Display name.
        kind: 'field', 'subfield' or 'discipline'.
        parent_id: Id of the parent; None for a field.
        group: Group of a field; descendants inherit it (see `group_of`) and have None.
        description: Free text.
    """

    id: str
    name: str
    kind: str
    parent_id: str | None = None
    group: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a discipline."""

    id: str
    discipline_id: str
    name: str
    level: str
    subtopics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """A class session parsed from a syllabus, before it has an id."""

    name: str
    description: str
    concepts: tuple[str, ...]
