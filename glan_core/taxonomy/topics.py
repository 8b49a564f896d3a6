"""Topics: the tree of names that a file of another tool describes, and its nodes with ids and kinds."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from glan_core.formatting import plural, quoted
from glan_core.ids import name_key, slug
from glan_core.records import Node
from glan_core.reply_parsing import one_line, storable
from glan_core.taxonomy.hierarchy import MAX_DEPTH, TaxonomyError, check, tree_of, walk
from glan_core.text_validation import MAX_NAME

MOST_TOPICS = 50_000
MOST_DESCRIPTION = 2000  # characters; longer ones are cut
# Names of a root that stands for the whole file.
_WHOLE = re.compile(
    r"""\W*+(?:(?:an?|the|my|our|complete|full|proposed)\s)*+
    (?:root|all|everything|taxonomy|tree|outline|topics?|topic\stree|topic\s?graph|fields?|disciplines?|subjects?|knowledge|
      (?:all\s)?human\sknowledge(?:\sand\scapabilities)?|fields\sof\s(?:study|knowledge)|table\sof\scontents|
      (?=.*\btaxonomy\b).*+)\W*+""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBER = re.compile(r"\s*(\d{1,3}(?:\.\d{1,3})*)([.)]?)\s+(\S.*)", re.DOTALL)


@dataclass(slots=True)
class Topic:
    """A topic of a file.

    Attributes:
        name: Name as written; cleaned by `nodes_of`.
        place: Its location for messages, such as 'tree.md, line 7'.
        description: Free text.
        children: Topics below it.
    """

    name: str
    place: str
    description: str = ""
    children: list["Topic"] = field(default_factory=list)


class Trees:
    """Which topics are in one tree, while each is put below another."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}

    def join(self, child: Hashable, parent: Hashable) -> bool:
        """Put the root of a tree below a topic; False, without a change, if the topic is in that tree.

        Args:
            child: A topic that is below no other.
            parent: The topic above it.
        """
        root = self._root(parent)
        if root == child:
            return False
        self._above[child] = root
        return True

    def _root(self, topic: Hashable) -> Hashable:
        path = []
        while topic in self._above:
            path.append(topic)
            topic = self._above[topic]
        self._above.update(dict.fromkeys(path, topic))  # so that no path is walked twice
        return topic


def check_number(number: int, title: str) -> None:
    """Check the number of topics of a file.

    Raises:
        TaxonomyError: If it is larger than MOST_TOPICS.
    """
    if number > MOST_TOPICS:
        raise TaxonomyError(f"{title} contains {number:,} topics; the maximum is {MOST_TOPICS:,}")


def nodes_of(
    topics: Sequence[Topic], title: str, existing: Sequence[Node] = (), *, any_root: bool = False
) -> tuple[list[Node], list[str]]:
    """Return the nodes of topics, depth first, and notes about what was assumed.

    Kinds follow from the depth: topics at the top are fields, those without children disciplines, all others sub-fields. A
    node that the existing taxonomy has at the same path, or once under the same name, keeps its id, group and description.

    Args:
        topics: The topics at the top.
        title: Name of the field for a list without levels.
        existing: The nodes of the present taxonomy.
        any_root: Whether a root such as 'Knowledge' is a field like others, rather than a name of the whole file.

    Raises:
        TaxonomyError: If a name is empty, too long or used twice under one parent, or the tree is too deep or too large.
    """
    if not any(topic.children for topic in topics):
        _inline_lists(list(topics))
    topics, notes = _rooted(list(topics), title, any_root=any_root)
    number = sum(1 for _ in _paths(topics))
    for siblings in (topics, *(topic.children for topic, _ in _paths(topics))):
        _without_numbers(siblings)
    if not number:
        raise TaxonomyError(f"{title} contains no topics.")
    check_number(number, title)
    _check_names(topics)
    bare = [topic for topic in topics if not topic.children]
    if bare:
        notes.append(
            f"{plural(len(bare), 'field')} without disciplines: {', '.join(quoted(topic.name) for topic in bare[:3])}."
        )
    nodes = _with_ids(topics, existing)
    check(nodes, dict(zip((node.id for node in nodes), (topic.place for topic, _ in _paths(topics)), strict=True)))
    return list(walk(tree_of(nodes))), notes


def _rooted(topics: list[Topic], title: str, *, any_root: bool) -> tuple[list[Topic], list[str]]:
    """Return the fields: without a root that stands for the whole file, and below a new field if there are no levels."""
    notes = []
    while (
        not any_root
        and len(topics) == 1
        and topics[0].children
        and (not re.search(r"\w", topics[0].name) or _WHOLE.fullmatch(topics[0].name))
    ):
        if re.search(r"\w", topics[0].name):
            notes.append(f"{quoted(topics[0].name)} names the whole file and becomes no field.")
        topics = topics[0].children
    if topics and not any(topic.children for topic in topics):
        notes.append(
            f"The file has no levels: its {plural(len(topics), 'topic')} become disciplines of the field {quoted(title)}."
        )
        topics = [Topic(title, topics[0].place, children=topics)]
    return topics, notes


def _inline_lists(topics: list[Topic]) -> None:
    """Turn descriptions that list names ('Physics, Chemistry') into children, where the file has no other levels."""
    lists = [[part.rstrip() for part in re.split(r"[,;]\s+", topic.description.strip(" ."))] for topic in topics]
    if topics and all(len(parts) > 1 and max(map(len, parts)) <= 60 for parts in lists):
        for topic, parts in zip(topics, lists, strict=True):
            topic.children = [Topic(re.sub(r"^(?:and|or)\s+", "", part), topic.place) for part in parts]
            topic.description = ""


def _without_numbers(siblings: Sequence[Topic]) -> None:
    """Remove the numbers that all siblings have: '1.1 Optics' and '1.2 Waves', or '1 Physics' and '2 Law'."""
    found = [_NUMBER.fullmatch(topic.name) for topic in siblings]
    numbered = [match for match in found if match is not None]
    dotted = all("." in match[1] or match[2] for match in numbered)
    counted = len(numbered) > 1 and [match[1] for match in numbered] == [str(n) for n in range(1, len(numbered) + 1)]
    if len(numbered) == len(siblings) and (dotted or counted):
        for topic, match in zip(siblings, numbered, strict=True):
            topic.name = match[3]


def _paths(topics: Sequence[Topic]) -> Iterator[tuple[Topic, tuple[Topic, ...]]]:
    """Yield every topic, depth first, with the topics above it.

    Raises:
        TaxonomyError: If the tree is too deep.
    """
    pending: list[tuple[Topic, tuple[Topic, ...]]] = [(topic, ()) for topic in reversed(topics)]
    while pending:
        topic, above = pending.pop()
        if len(above) >= MAX_DEPTH:
            raise TaxonomyError(f"{topic.place}: {quoted(topic.name)} is deeper than {MAX_DEPTH} levels")
        yield topic, above
        pending += [(child, (*above, topic)) for child in reversed(topic.children)]


def _check_names(topics: Sequence[Topic]) -> None:
    """Clean the names and descriptions, and check that names are neither empty, too long nor used twice under a parent."""
    seen: dict[tuple[int, str], Topic] = {}
    for topic, above in _paths(topics):
        topic.name = " ".join(storable(str(one_line(topic.name))).split())
        topic.description = storable(topic.description).strip()[:MOST_DESCRIPTION]
        if not topic.name:
            raise TaxonomyError(f"{topic.place}: the name is empty; write a name or remove it")
        if len(topic.name) > MAX_NAME:
            raise TaxonomyError(f"{topic.place}: the name {quoted(topic.name)} is longer than {MAX_NAME} characters")
        key = id(above[-1]) if above else 0, name_key(topic.name)
        if key in seen:
            parent = f"under {quoted(above[-1].name)}" if above else "at the top"
            raise TaxonomyError(
                f"{topic.place}: the name {quoted(topic.name)} is used twice {parent} (also at {seen[key].place}); rename or remove one"
            )
        seen[key] = topic


def _with_ids(topics: Sequence[Topic], existing: Sequence[Node]) -> list[Node]:
    """Return the nodes of cleaned topics with ids, depth first."""
    by_id = {node.id: node for node in existing}
    by_path = {_names_above(node, by_id): node for node in existing}
    once = Counter(name_key(node.name) for node in existing)
    by_name = {name_key(node.name): node for node in existing if once[name_key(node.name)] == 1}
    keys = [tuple(name_key(part.name) for part in (*above, topic)) for topic, above in _paths(topics)]
    asked = Counter(key[-1] for key in keys)
    known: dict[int, Node] = {n: by_path[key] for n, key in enumerate(keys) if key in by_path}
    taken = {node.id for node in known.values()}
    for n, key in enumerate(keys):  # a node that was moved
        if n not in known and asked[key[-1]] == 1 and (found := by_name.get(key[-1])) and found.id not in taken:
            known[n] = found
            taken.add(found.id)
    nodes: list[Node] = []
    ids: dict[int, str] = {}
    used = dict.fromkeys(by_id, 1)
    for n, (topic, above) in enumerate(_paths(topics)):
        old = known.get(n)
        node_id = old.id if old else _free(slug(topic.name), used)
        used.setdefault(node_id, 1)
        ids[id(topic)] = node_id
        kind = "field" if not above else "sub-field" if topic.children else "discipline"
        group = old.group if old and kind == "field" else None
        description = topic.description or (old.description if old else "")
        nodes.append(Node(node_id, topic.name, kind, ids[id(above[-1])] if above else None, group, description))
    return nodes


def _names_above(node: Node, by_id: dict[str, Node]) -> tuple[str, ...]:
    names = [name_key(node.name)]
    while node.parent_id in by_id and len(names) <= MAX_DEPTH:
        node = by_id[node.parent_id]
        names.append(name_key(node.name))
    return tuple(reversed(names))


def _free(stem: str, used: dict[str, int]) -> str:
    """Return an id that is not in use, with a number if needed.

    Args:
        stem: The id wanted.
        used: The ids in use, each with the last number that was tried for it as a stem.
    """
    node_id, number = stem, used.get(stem, 1)
    while node_id in used:
        number += 1
        end = f"-{number}"
        node_id = stem[: 60 - len(end)].rstrip("-") + end
    if node_id != stem:
        used[stem] = number
    return node_id


def merged(nodes: Sequence[Node], existing: Sequence[Node]) -> list[Node]:
    """Return the existing taxonomy with the nodes added to it; no node is removed, moved or renamed.

    Args:
        nodes: Nodes of an import, with the ids of existing ones where they are the same.
        existing: The nodes of the present taxonomy.
    """
    present = {node.id: node for node in existing}
    parents = {node.parent_id for node in nodes}
    result = dict(present)
    for node in nodes:
        old = present.get(node.id)
        if old is None:
            result[node.id] = node
        elif old.kind == "discipline" and node.id in parents:  # it gets children
            result[node.id] = replace(old, kind="sub-field")
    return list(walk(tree_of(list(result.values()))))
