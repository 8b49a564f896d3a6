"""Text outlines: Markdown headings and lists, numbered and indented lines, and drawn trees, read as topics.

# Natural Sciences          1. Natural Sciences       Natural Sciences        Natural Sciences
- Physics                     1.1 Physics                 Physics             ├── Physics
- Optics                        1.1.1 Optics                Optics          │   └── Optics
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from glan_core.delimited_spans import NextPlaces, replaced, spans
from glan_core.formatting import quoted
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.taxonomy.topics import Topic, check_number

TAB = 4  # columns of a tab
LONGEST_NAME = 120  # characters; a longer line without a mark is prose
# Line patterns match from the start; what follows a mark is read as the rest of the line, so that they need no backtracking.
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{2,})\s*")
_BULLET = re.compile(r"(\s*)(?:[-*+•◦▪●○■‣–—·]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)])\s++(\S.*)")
_DECIMAL = re.compile(r"\s*(\d{1,3}(?:\.\d{1,3})+)[.)]?\s++(\S.*)")
_BRANCH = re.compile(r"[\s│┃|║]*(?:[├└┣┗╠╚]|\|(?=--|__)|[`+\\](?=--))(?P<line>[─━═_-]*+)\s*+")
_RULE = re.compile(r"\s*(?:[-*_=]\s*){3,}|\s*[│|]\s*")
_BOLD_LINE = re.compile(r"\s*(?:\*\*|__)(.+?)(?:\*\*|__)\s*+:?\s*+")
_BOLD_START = re.compile(r"(?:\*\*|__)(.+?)(?:\*\*|__)\s*(.*)")
_DESCRIBED = re.compile(r"(.{2,80}?)(?:\s*+[:–—]|\s++-)\s++(\S.*)")
_DECORATION = re.compile(r"^\[[ xX]?\]\s+|[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`")
_LINK_OPENING = re.compile(r"!?\[")
_HTML_OPENING = re.compile(r"<!--|</?[a-z]", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A---\n(?:[\w-]+:[ \t]+\S.*\n)+---\n")
_STARS = re.compile(r"(\*{1,6})\s++(\S.*)")  # of Org mode


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that names a topic: lower ranks are above higher ones."""

    rank: tuple[int, ...]
    text: str
    number: int


def outline_topics(text: str, source: str) -> tuple[list[Topic], str, list[str]]:
    """Return the topics of an outline, the name of its form, and notes.

    Args:
        text: The text; line numbers count from its start.
        source: Name of the file for messages.

    Raises:
        TaxonomyError: If the text is no outline, or its indentation is inconsistent; the message names the line.
    """
    text = _FRONT_MATTER.sub(lambda match: "\n" * match.group().count("\n"), text)
    text = _without_html(text)
    lines = text.split("\n")
    marked, prose = _marked(lines)
    drawn = any(map(_branch, lines))
    if not marked:
        found, form = _indented(lines, source), "indented outline"
        prose = []
    else:
        found, form = marked, "drawn tree" if drawn else "Markdown outline"
    check_number(len(found), source)
    topics: list[Topic] = []
    above: list[tuple[tuple[int, ...], Topic]] = []
    for line in found:
        name, description = _name(line.text)
        topic = Topic(name, f"{source}, line {line.number}", description)
        while above and above[-1][0] >= line.rank:
            above.pop()
        (above[-1][1].children if above else topics).append(topic)
        above.append((line.rank, topic))
    notes = []
    if prose:
        shown = ", ".join(map(str, prose[:5])) + (" …" if len(prose) > 5 else "")
        notes.append(f"Text that names no topic is left out (line{'s' if len(prose) > 1 else ''} {shown}).")
    return topics, form, notes


def _marked(lines: Sequence[str]) -> tuple[list[_Line], list[int]]:
    """Return the lines with a heading, bullet, number or branch, and the numbers of the other lines."""
    found: list[_Line] = []
    prose: list[int] = []
    unmarked: list[_Line] = []
    stars = any(re.match(r"\*{2,6}\s+\S", line) for line in lines)
    for number, line in enumerate(lines, start=1):
        following = lines[number] if number < len(lines) else ""
        line = line.expandtabs(TAB)
        if not line.strip():
            continue
        if match := _HEADING.match(line):
            found.append(_Line((0, len(match[1])), line[match.end() :].strip().rstrip("#").rstrip(), number))
        elif stars and (match := _STARS.fullmatch(line)):
            found.append(_Line((0, len(match[1])), match[2].rstrip(), number))
        elif branch := _branch(line):
            found.append(_Line((2, branch[0]), branch[1], number))
        elif line.strip() and _UNDERLINE.fullmatch(following) and not _BULLET.fullmatch(line) and not _RULE.fullmatch(line):
            found.append(_Line((0, 1 if following.strip()[0] == "=" else 2), line.strip(), number))
        elif _RULE.fullmatch(line):
            continue
        elif decimal := _DECIMAL.fullmatch(line):
            found.append(_Line((2, decimal[1].count(".") * TAB), decimal[2].rstrip(), number))
        elif bullet := _BULLET.fullmatch(line):
            found.append(_Line((2, len(bullet[1])), bullet[2].rstrip(), number))
        elif bold := _BOLD_LINE.fullmatch(line):
            found.append(_Line((1, len(line) - len(line.lstrip())), bold[1], number))
        else:
            unmarked.append(_Line((2, len(line) - len(line.lstrip())), line.strip(), number))
            prose.append(number)
    drawn_root = next((line for line in unmarked if found and line.number < found[0].number), None)
    is_drawing = any(line.rank[0] == 2 for line in found) and all(
        _branch(lines[line.number - 1].expandtabs(TAB)) for line in found
    )
    if is_drawing and drawn_root is not None:  # names without a branch are roots of the drawing
        roots = [line for line in unmarked if len(line.text) <= LONGEST_NAME]
        found = sorted(
            [*found, *(_Line((1, 0), line.text.rstrip("/"), line.number) for line in roots)], key=lambda line: line.number
        )
        prose = [number for number in prose if number not in {line.number for line in roots}]
    elif found and len(unmarked) > len(found) and not any(line.rank[0] < 2 for line in found):
        return [], prose  # an indented text with a few marks
    elif found and all(line.rank[0] == 2 for line in found) and _are_headed(found, unmarked):
        heads = [line for line in unmarked if _is_head(line.text)]
        found = sorted([*found, *(_Line((1, 0), line.text, line.number) for line in heads)], key=lambda line: line.number)
        prose = [number for number in prose if number not in {line.number for line in heads}]
    return found, prose


def _branch(line: str) -> tuple[int, str] | None:
    """Return the column and the name of a topic behind the branch of a drawn tree, or None for another line."""
    found = _BRANCH.match(line)
    if found is None:
        return None
    if name := line[found.end() :].rstrip():
        return found.end(), name
    return (found.end("line") - 1, found["line"][-1]) if found["line"] else None  # a branch without a name


def _without_html(text: str) -> str:
    """Return the text without tags and comments of HTML; line numbers are kept."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        closing = places.find("-->" if found[0] == "<!--" else ">", found.end())
        return closing[1] if closing else None

    return replaced(text, spans(text, _HTML_OPENING, end_of), lambda part: "\n" * part.count("\n"))


def _without_links(text: str) -> str:
    """Return the text with the words of links and images in their place."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        words = places.find("]", found.end())
        if words is None or not text.startswith("(", words[1]):
            return None
        return closing[1] if (closing := places.find(")", words[1] + 1)) else None

    return replaced(text, spans(text, _LINK_OPENING, end_of), lambda part: part[part.index("[") + 1 : part.index("]")])


def _is_head(text: str) -> bool:
    return len(text) <= LONGEST_NAME and not text.endswith((".", "!", "?", ",", ";"))


def _are_headed(found: Sequence[_Line], unmarked: Sequence[_Line]) -> bool:
    """Return whether unmarked lines head the lists below them: at least two do, or one without introducing the whole."""
    heads = [line for line in unmarked if _is_head(line.text)]
    starts = {line.number for line in heads}
    groups = [line for line in found if any(line.number - gap in starts for gap in (1, 2))]
    return len(groups) >= 2 or (len(heads) == 1 and len(groups) == 1 and not heads[0].text.endswith(":"))


def _indented(lines: Sequence[str], source: str) -> list[_Line]:
    """Return the lines of a text whose indentation tells the levels.

    Raises:
        TaxonomyError: If a line is prose, or its indentation matches no line above.
    """
    found: list[_Line] = []
    levels: list[int] = []
    for number, line in enumerate(lines, start=1):
        line = line.expandtabs(TAB)
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip())
        if len(text) > LONGEST_NAME or (text.endswith(".") and text.count(" ") > 5):
            raise TaxonomyError(
                f"{source}, line {number}: {quoted(text)} is a sentence, not the name of a topic; use a name per line, with headings, bullets or "
                "indentation for the levels"
            )
        while levels and levels[-1] > indent:
            levels.pop()
        if (levels and levels[-1] < indent) or not levels:
            if found and levels and indent < found[-1].rank[1]:
                raise TaxonomyError(
                    f"{source}, line {number}: the indentation of {quoted(text)} ({indent} columns) matches no line above; use the same "
                    "indentation for topics of one level"
                )
            levels.append(indent)
        found.append(_Line((2, indent), text, number))
    if not found:
        raise TaxonomyError(f"{source} contains no topics")
    if found[0].rank[1] > min(line.rank[1] for line in found):
        raise TaxonomyError(f"{source}, line {found[0].number}: the first topic is indented further than a later one")
    return found


def _name(text: str) -> tuple[str, str]:
    """Return the name of a topic without Markdown, and the description behind it."""
    text = _without_links(re.sub(r"^\[[ xX]?\]\s+", "", text))
    text = re.sub(
        r"^(?:(?:\d{1,3}(?:\.\d{1,3})*[.)]|[IVX]{1,5}[.)])\s+|[一二三四五六七八九十]+[、.．]\s*)", "", text
    )  # a number in a heading
    if bold := _BOLD_START.fullmatch(text):
        return _plain(bold[1].rstrip(":")), _plain(bold[2].lstrip(":–—- "))
    if (described := _DESCRIBED.fullmatch(text)) and (described[2].count(" ") >= 2 or re.search(r"\S[,;]\s", described[2])):
        return _plain(described[1]), _plain(described[2])
    return _plain(text.rstrip(":")), ""


def _plain(text: str) -> str:
    return _DECORATION.sub("", text).strip()
