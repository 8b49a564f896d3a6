"""Topic paths: one path from the top to a discipline per row, as columns, as a list or with separators, read as topics.

field,sub-field,discipline        Natural Sciences > Physics > Optics        {"path": ["Natural Sciences", "Physics"]}
Natural Sciences,Physics,Optics   Natural Sciences/Physics/Mechanics         ["Natural Sciences", "Physics", "Optics"]
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from glan_core.formatting import quoted
from glan_core.ids import name_key
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.taxonomy.topics import Topic, Trees

SEPARATORS = (" > ", ">>", "›", "»", "→", "->", "::", " / ", " | ", " \\ ", ">", "|", "/")
DELIMITERS = ",;\t|"
_LEVELS = (
    "field", "subfield", "subsubfield", "discipline", "subdiscipline", "domain", "subdomain", "area", "subarea", "category", "subcategory",
    "topic", "subtopic", "subsubtopic", "subject", "subsubject", "branch", "subbranch", "group", "subgroup", "division", "department",
    "section", "subsection", "class", "subclass", "theme", "subtheme", "root", "leaf", "name", "title",
    "specialty", "specialization", "major", "minor", "broad", "narrow", "detailed", "unit", "module", "course", "skill", "concept",
)  # fmt: skip
_LEVEL = re.compile(
    rf"(?:level|lvl|l|tier|depth|layer|col|column|cat|category|node)?\d{{1,2}}(?:name)?|(?:{'|'.join(_LEVELS)})s?(?:name|\d{{1,2}})?"
)
_PATH = ("path", "topicpath", "fullpath", "hierarchy", "taxonomy", "breadcrumb", "breadcrumbs", "treepath", "categorypath")
_DESCRIPTION = (
    "description",
    "desc",
    "summary",
    "definition",
    "notes",
    "note",
    "about",
    "details",
    "explanation",
    "comment",
    "comments",
)


_CELL = re.compile(r"[*_`\"]")
_PARENT = ("parent", "parentid", "parentname", "parenttopic", "broader", "supertopic")
_CHILD = ("name", "title", "topic", "label", "child", "childname", "node", "term", "discipline", "subject", "category", "id")


@dataclass(frozen=True, slots=True)
class PathRow:
    """A path with its location and the description of its last topic."""

    names: tuple[str, ...]
    place: str
    description: str = ""


def topics_of_paths(rows: Iterable[PathRow]) -> list[Topic]:
    """Return the topics of paths; equal paths are one topic.

    Raises:
        TaxonomyError: If a path has an empty name.
    """
    top: list[Topic] = []
    known: dict[tuple[str, ...], Topic] = {}
    for row in rows:
        key: tuple[str, ...] = ()
        level = top
        for depth, name in enumerate(row.names, start=1):
            if not name.strip():
                raise TaxonomyError(f"{row.place}: name {depth} of the path is empty; write a name or remove it")
            key = (*key, name_key(name))
            if key not in known:
                known[key] = Topic(name, row.place)
                level.append(known[key])
            level = known[key].children
        if key and row.description and not known[key].description:
            known[key].description = row.description
    return top


def topics_of_parents(rows: Sequence[tuple[str, dict[str, Any]]]) -> list[Topic] | None:
    """Return the topics of rows that name their parent by id or name, or None if these rows do not.

    Args:
        rows: Location and columns of each row.

    Raises:
        TaxonomyError: If a parent does not exist, a name or id is used twice, or the parents form a cycle.
    """
    keys = {_plain(key): key for _, row in rows[:1] for key in row}
    parent = next((keys[key] for key in _PARENT if key in keys), None)
    named = next((keys[key] for key in _CHILD if key in keys), None)
    if parent is None or named is None:
        return None
    about = next((keys[key] for key in _DESCRIPTION if key in keys), None)
    known: dict[str, Topic] = {}
    topics = [Topic(_word(row.get(named)), place, _word(row.get(about)) if about else "") for place, row in rows]
    ids = [_word(row.get(keys["id"])) if "id" in keys else "" for _, row in rows]
    by_id = any(_word(row.get(parent)) in ids for _, row in rows if _word(row.get(parent)))
    for topic, own in zip(topics, ids, strict=True):
        key = own if by_id else name_key(topic.name)
        if key in known:
            raise TaxonomyError(
                f"{topic.place}: {quoted(own if by_id else topic.name)} is used twice (also at {known[key].place})"
            )
        known[key] = topic
    top: list[Topic] = []
    trees = Trees()
    for topic, (place, row) in zip(topics, rows, strict=True):
        of = _word(row.get(parent))
        if not of:
            top.append(topic)
            continue
        found = known.get(of if by_id else name_key(of))
        if found is None and not by_id:  # a pair of parent and child, whose parent has no row of its own
            found = known[name_key(of)] = Topic(of, place)
            top.append(found)
        if found is None:
            raise TaxonomyError(f"{place}: the parent {quoted(of)} does not exist")
        if not trees.join(id(topic), id(found)):
            raise TaxonomyError(f"{place}: the parents of {quoted(topic.name)} form a cycle")
        found.children.append(topic)
    return top


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip()


def separator_of(texts: Sequence[str]) -> str | None:
    """Return the separator that most of these texts contain, or None."""
    for separator in SEPARATORS:
        with_it = sum(separator in text.strip() for text in texts)
        if with_it and with_it >= 0.6 * len(texts):
            return separator
    return None


def split_path(text: str, separator: str) -> tuple[str, ...]:
    """Return the names of a path without empty ends, as in '/a/b/'."""
    return tuple(
        part.strip() for part in text.strip().strip(separator.strip() or separator).split(separator.strip() or separator)
    )


def path_lines(text: str, source: str) -> list[PathRow] | None:
    """Return the paths of a text with one path per line, or None if it is another text."""
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not numbered or any(line[:1].isspace() or line.lstrip()[:2] in ("# ", "- ", "* ", "##") for _, line in numbered):
        return None
    separator = separator_of([line for _, line in numbered])
    if separator is None or any(len(line) > 500 for _, line in numbered):
        return None
    header = _plain(numbered[0][1])
    if header in _PATH or (separator not in numbered[0][1] and _LEVEL.fullmatch(header)):
        numbered = numbered[1:]
    return [PathRow(split_path(line.strip("\"' ,;"), separator), f"{source}, line {number}") for number, line in numbered]


def json_rows(rows: Iterable[tuple[str, Any]]) -> list[PathRow] | None:
    """Return the paths of JSON values with their places: lists of names, or objects with a path or with levels; None for others."""
    found = []
    for place, row in rows:
        description = ""
        if isinstance(row, dict):
            keys = {_plain(key): key for key in row}
            description = next((str(row[keys[key]]) for key in _DESCRIPTION if isinstance(row.get(keys.get(key)), str)), "")
            path = next((row[keys[key]] for key in _PATH if key in keys), None)
            if path is None:
                if any(isinstance(value, list | dict) for value in row.values()):
                    return None  # a tree
                path = [value for key, value in row.items() if _LEVEL.fullmatch(_plain(key)) and value not in (None, "")]
                if len(path) < 1 or len(keys) < 2:
                    return None
        else:
            path = row
        if isinstance(path, str):
            separator = next((separator for separator in SEPARATORS if separator in path), None)
            path = split_path(path, separator) if separator else [path]
        if not isinstance(path, list | tuple) or not path:
            return None
        if not all(isinstance(name, str | int | float) and not isinstance(name, bool) for name in path):
            if any(name is None for name in path):
                raise TaxonomyError(f"{place}: a name of the path is empty; write a name or remove it")
            return None
        found.append(PathRow(tuple(map(str, path)), place, description))
    return found or None


def json_lines(text: str, source: str) -> list[PathRow] | None:
    """Return the paths of JSON lines, or None if the text holds something else.

    Raises:
        TaxonomyError: If a line between others is not JSON.
    """
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows: list[tuple[str, Any]] = []
    broken: TaxonomyError | None = None
    for number, line in numbered:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, list | dict):
            rows.append((f"{source}, line {number}", row))
        elif not rows or line.strip()[:1] not in ("{", "["):
            return None  # a value over several lines
        else:
            broken = broken or TaxonomyError(
                f'{source}, line {number}: not JSON; write one path per line, such as {{"path": ["Field", "Discipline"]}}'
            )
    if not rows or (len(rows) == 1 and (broken or isinstance(rows[0][1], list))):
        return None
    found = json_rows(rows)
    if found and broken:
        raise broken
    return found


def table_topics(text: str, source: str, *, header: bool) -> list[Topic] | None:
    """Return the topics of a table, or None if the text is no table.

    Its columns are the levels, a path, or a name and its parent. A blank cell before a name repeats the one above, as in
    merged cells of a spreadsheet.

    Args:
        text: The text.
        source: Name of the file for messages.
        header: Whether the table must have known names of columns.

    Raises:
        TaxonomyError: If a row is malformed; the message names the line.
    """
    text = _without_pipes(text)
    first = next((line for line in text.split("\n") if line.strip() and not line.lower().startswith("sep=")), "")
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter not in first and _plain(first) not in _PATH:
        return None
    rows = list(_cells(text, delimiter, source))
    if len(rows) < 2 or first[:1] in "#-*" or len({len(cells) for _, cells in rows[:20]}) > 3:
        return None
    names = [_plain(cell) for cell in rows[0][1]]
    body = rows[1:]
    if found := topics_of_parents([(place, dict(zip(names, cells, strict=False))) for place, cells in body]):
        return found
    path = next((n for n, name in enumerate(names) if name in _PATH), None)
    levels = [n for n, name in enumerate(names) if _LEVEL.fullmatch(name)]
    known = path is not None or (
        bool(levels) and len(levels) + sum(n in _DESCRIPTION for n in names) >= len(list(filter(None, names))) / 2
    )
    about = next((n for n, name in enumerate(names) if name in _DESCRIPTION), None) if known else None
    if header and not known:
        return None
    if not known:
        widths = Counter(len(cells) for _, cells in rows)
        width, same = widths.most_common(1)[0]
        if (
            width < 2
            or same < 0.8 * len(rows)
            or any(len(cell) > 120 or cell.strip()[-1:] == "." for _, cells in rows for cell in cells)
        ):
            return None
        levels, body = list(range(max(widths))), rows
    if path is not None:
        texts = [cells[path] for _, cells in body if path < len(cells)]
        separator = separator_of(texts)
        return topics_of_paths(
            PathRow(split_path(cells[path], separator) if separator else (cells[path],), place, _cell(cells, about))
            for place, cells in body if _cell(cells, path).strip()
        )  # fmt: skip
    return topics_of_paths(_level_rows(body, levels, about))


def _without_pipes(text: str) -> str:
    """Return the rows of a Markdown table as plain cells, and any other text unchanged; line numbers are kept."""
    lines = text.split("\n")
    if sum(line.lstrip().startswith("|") for line in lines) < 3:
        return text
    inner = (line.strip().strip("|") if line.lstrip().startswith("|") else "" for line in lines)
    return "\n".join(
        "" if re.fullmatch(r"[\s|:-]*", line) else "|".join(f'"{_CELL.sub("", cell.strip())}"' for cell in line.split("|"))
        for line in inner
    )


def _level_rows(body: Sequence[tuple[str, list[str]]], levels: Sequence[int], about: int | None) -> Iterator[PathRow]:
    before: list[str] = []
    for place, cells in body:
        names = [_cell(cells, level).strip() for level in levels]
        if not any(names):
            if any(cell.strip() for cell in cells):
                raise TaxonomyError(f"{place}: the row has no name in any level; write one or remove the row")
            continue
        filled = next(n for n, name in enumerate(names) if name)
        if filled and len(before) < filled:
            raise TaxonomyError(f"{place}: {quoted(names[filled])} has no name in the level above, and no row above has one")
        names[:filled] = before[:filled]
        before = [name for name in names if name]
        if len(levels) == 1 and (separator := separator_of([names[0]])):
            before = list(split_path(names[0], separator))
        yield PathRow(tuple(before), place, _cell(cells, about))


def _cell(cells: Sequence[str], column: int | None) -> str:
    return cells[column] if column is not None and column < len(cells) else ""


def _cells(text: str, delimiter: str, source: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the location and the cells of each row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise TaxonomyError(f"{source}, line {line}: not valid CSV: {error}") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells) and not cells[0].lower().startswith("sep="):
            yield f"{source}, line {reader.line_num}", cells


def _plain(key: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())
