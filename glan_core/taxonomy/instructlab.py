"""InstructLab: a `qna.yaml` file, or a taxonomy tree of them, read as topics.

The folders of a tree are the topics: knowledge/science/physics/qna.yaml is Physics in Science in Knowledge. The seed examples
are not read; `domain`, `document_outline` and `task_description` become descriptions.
"""

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from glan_core.formatting import quoted, shorten
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.taxonomy.located_values import Value, yaml_document
from glan_core.taxonomy.topics import Topic

ROOTS = {"knowledge": "Knowledge", "compositional_skills": "Compositional skills", "foundational_skills": "Foundational skills"}
FILES = ("qna.yaml", "qna.yml")
FORM = "InstructLab taxonomy"
LONGEST_NAME = 80


def is_qna(value: Value) -> bool:
    """Return whether a YAML document is a qna file."""
    return isinstance(value.data, dict) and "seed_examples" in value.data


def topics_of_file(value: Value, path: PurePosixPath) -> list[Topic]:
    """Return the topics of one qna file: those of its folders if its path has them, else of its domain or task.

    Raises:
        TaxonomyError: If the file does not name its topic.
    """
    if (parts := _below_root(path)) is not None and len(parts) > 1:
        return _tree([(parts, value.place, _description(value))])
    outline = _text(value, "document_outline") or _text(value, "task_description")
    domain = _text(value, "domain")
    name = domain or outline
    if not name:
        raise TaxonomyError(
            f"{value.place}: the file has neither domain, document_outline nor task_description, and its path has no folder knowledge or "
            "compositional_skills; import the folder instead"
        )
    field = ROOTS["knowledge" if domain or "document" in value.data else "compositional_skills"]
    return [Topic(field, value.place, children=[Topic(shorten(_title(name), LONGEST_NAME), value.place, outline)])]


def topics_of_tree(files: Iterable[tuple[PurePosixPath, Callable[[], str]]], title: str) -> tuple[list[Topic], list[str]]:
    """Return the topics of the qna files of a folder or archive, and notes.

    Args:
        files: Path and function that reads the text of each qna file.
        title: Name of the folder for messages.

    Raises:
        TaxonomyError: If a file is malformed; the message names it and the line.
    """
    rows = []
    for path, read in files:
        value = yaml_document(read(), f"{title}/{path}")
        if value is None or not is_qna(value):
            raise TaxonomyError(f"{title}/{path}: no qna file of InstructLab, because it has no seed_examples")
        parts = _below_root(path)
        parts = [_title(part) for part in path.parts[:-1]] if parts is None else parts
        if not parts:
            raise TaxonomyError(f"{title}/{path}: the file is in no folder that names its topic")
        rows.append((parts, value.place, _description(value)))
    topics = _tree(rows)
    inner = [topic.name for topic in _with_own(topics, {tuple(parts) for parts, _, _ in rows})]
    notes = [
        f"{', '.join(map(quoted, inner[:3]))} {'has' if len(inner) == 1 else 'have'} a qna file and subfolders; they become no disciplines."
    ]
    return topics, notes if inner else []


def _below_root(path: PurePosixPath) -> list[str] | None:
    """Return the titles of the folders from the first root of InstructLab on, or None if the path has none."""
    folders = path.parts[:-1]
    at = next((n for n, part in enumerate(folders) if part.lower() in ROOTS), None)
    return None if at is None else [ROOTS[folders[at].lower()], *map(_title, folders[at + 1 :])]


def _title(text: str) -> str:
    """Return a readable name: 'natural_science' becomes 'Natural science'."""
    text = " ".join(text.replace("_", " ").split())
    return text[:1].upper() + text[1:]


def _text(value: Value, key: str) -> str:
    entry = value.data.get(key)
    return (
        " ".join(entry.data.split())
        if entry is not None and isinstance(entry.data, str) and entry.reads_as != "nothing"
        else ""
    )


def _description(value: Value) -> str:
    return _text(value, "document_outline") or _text(value, "task_description") or _text(value, "domain")


def _tree(rows: Iterable[tuple[list[str], str, str]]) -> list[Topic]:
    top: list[Topic] = []
    for parts, place, description in sorted(rows, key=lambda row: [part.casefold() for part in row[0]]):
        level, found = top, []
        for name in parts:
            topic = next((topic for topic in level if topic.name.casefold() == name.casefold()), None)
            if topic is None:
                topic = Topic(name, place)
                level.append(topic)
            found.append(topic)
            level = topic.children
        found[-1].description = found[-1].description or description
    return top


def _with_own(topics: Iterable[Topic], own: set[tuple[str, ...]], above: tuple[str, ...] = ()) -> Iterable[Topic]:
    """Yield the topics with children that have a file of their own."""
    for topic in topics:
        path = (*above, topic.name)
        if topic.children and path in own:
            yield topic
        yield from _with_own(topic.children, own, path)
