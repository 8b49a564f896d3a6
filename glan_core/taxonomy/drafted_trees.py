"""Drafted trees: nested JSON or YAML as language models, Kiln and DeepFabric write it, read as topics.

{"Natural Sciences": {"Physics": ["Optics", "Mechanics"]}}               names as keys
[{"name": "Physics", "subtopics": [{"title": "Optics"}, "Mechanics"]}]   names as values
{"topic": "", "sub_topics": [{"topic": "Physics", "sub_topics": []}]}    Kiln
{"nodes": {"0": {"topic": "Physics", "children": [1]}, …}, "root_id": 0}  DeepFabric
"""

import re
from collections import deque
from collections.abc import Iterator

from glan_core.formatting import quoted
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.taxonomy.located_values import Value
from glan_core.taxonomy.topics import Topic, Trees

# Keys without case and punctuation, most specific first.
NAMES = ("name", "title", "topic", "label", "fieldname", "subfieldname", "disciplinename", "field", "subfield", "discipline", "subject",
         "category", "subcategory", "domain", "area", "branch", "topicname", "text", "heading", "value", "node")  # fmt: skip
CHILDREN = (
    "children", "subtopics", "subfields", "subdisciplines", "disciplines", "topics", "subjects", "fields", "subcategories", "categories",
    "subareas", "areas", "subdomains", "domains", "branches", "subbranches", "specialties", "specializations", "specialisations",
    "subspecialties", "items", "nodes", "subitems", "subnodes", "subsections", "sections", "sub", "subs", "members", "entries", "leaves",
    "taxonomy", "tree", "root", "data", "courses", "concepts", "groups", "subgroups", "themes", "subthemes", "skills", "list",
)  # fmt: skip
DESCRIPTIONS = (
    "description",
    "desc",
    "summary",
    "definition",
    "about",
    "explanation",
    "details",
    "notes",
    "note",
    "scope",
    "rationale",
)
IGNORED = (
    "id", "uuid", "key", "slug", "level", "depth", "type", "kind", "version", "count", "number", "weight", "order", "index", "url", "link",
    "samples", "metadata", "meta", "parent", "parentid", "parents", "path", "icon", "color", "code", "tags", "examples", "keywords", "schema",
    "generatedby", "createdby", "author", "date", "created", "updated", "language", "source", "license", "format", "model", "score", "rootid",
)  # fmt: skip
LONGEST_NAME = 120  # characters; a longer text is a description


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def form_of(value: Value) -> str:
    """Return the display name of the form of a tree."""
    if _is_graph(value):
        return "DeepFabric topic graph"
    if isinstance(value.data, dict) and {"subtopics"} <= set(map(_plain, value.data)) and "topic" in map(_plain, value.data):
        return "Kiln topic tree"
    first = value.data[0] if isinstance(value.data, list) and value.data else None
    if first is not None and isinstance(first.data, dict) and {"topic", "sub_topics"} <= set(first.data):
        return "Kiln topic tree"
    return "nested tree"


def topics_of(value: Value) -> list[Topic]:
    """Return the topics at the top of a nested value.

    Raises:
        TaxonomyError: If it is no tree of names; the message names the line or path.
    """
    if _is_graph(value):
        return _of_graph(value)
    if isinstance(value.data, dict):
        if (edges := _edges(value)) is not None:
            return _of_edges(value.data["nodes"], edges)
        keys = {_plain(key): key for key in value.data}
        wrapped = [keys[key] for key in CHILDREN if key in keys and isinstance(value.data[keys[key]].data, list | dict)]
        named = next((keys[key] for key in NAMES if key in keys and _is_name(value.data[keys[key]])), None)
        if named is None and wrapped and all(_plain(key) in (*CHILDREN, *IGNORED, *DESCRIPTIONS, *NAMES) for key in value.data):
            return [topic for key in wrapped for topic in topics_of(value.data[key])]
        if named is not None and wrapped:
            return [_of_object(value, named)]
        return list(_of_keys(value))
    if isinstance(value.data, list):
        return list(_of_list(value))
    raise TaxonomyError(f"{value.place}: a tree of topics must be lists or mappings, not {_described(value)}")


def _is_name(value: Value) -> bool:
    return isinstance(value.data, str) and value.reads_as != "nothing"


def _has_name(value: Value) -> bool:
    return isinstance(value.data, dict) and any(_plain(key) in NAMES and _is_name(entry) for key, entry in value.data.items())


def _described(value: Value) -> str:
    return value.reads_as or (
        "a mapping" if isinstance(value.data, dict) else "a list" if isinstance(value.data, list) else "text"
    )


def _of_list(value: Value) -> Iterator[Topic]:
    """Yield the topics of a list of names, of objects with a name, and of mappings from a name to what is below it."""
    for item in value.data:
        if isinstance(item.data, dict):
            keys = {_plain(key): key for key in item.data}
            named = next((keys[key] for key in NAMES if key in keys and _is_name(item.data[keys[key]])), None)
            if named is not None:
                yield _of_object(item, named)
            elif any(key in keys for key in NAMES[:4]):
                key = next(keys[key] for key in NAMES[:4] if key in keys)
                raise TaxonomyError(f"{item.data[key].place}: the name is {_described(item.data[key])}; write text")
            elif not item.data:
                raise TaxonomyError(f"{item.place}: the topic is empty; write a name or remove it")
            else:
                yield from _of_keys(item)
        elif isinstance(item.data, list):
            raise TaxonomyError(f"{item.place}: a list directly within a list has no name; give it one")
        elif item.reads_as == "nothing":
            raise TaxonomyError(f"{item.place}: the name is empty; write a name or remove it")
        else:
            yield Topic(item.data, item.place)


def _of_object(value: Value, named: str) -> Topic:
    """Return the topic of an object with a name."""
    topic = Topic(value.data[named].data, value.data[named].place)
    for key, entry in value.data.items():
        plain = _plain(key)
        if key == named:
            continue
        if plain in DESCRIPTIONS and _is_name(entry):
            topic.description = entry.data
        elif plain in CHILDREN or (isinstance(entry.data, list | dict) and plain not in IGNORED):
            topic.children += _below(entry)
    return topic


def _of_keys(value: Value) -> Iterator[Topic]:
    """Yield the topics of a mapping from names to what is below them."""
    if value.data and all(key.isdigit() and (_is_name(entry) or _has_name(entry)) for key, entry in value.data.items()):
        yield from _of_list(Value(list(value.data.values()), value.place))  # a numbered list
        return
    structured = any(isinstance(entry.data, list | dict) for entry in value.data.values())
    for key, entry in value.data.items():
        if structured and isinstance(entry.data, str) and _plain(key) in (*IGNORED, *DESCRIPTIONS):
            continue  # facts about the file, beside its topics
        topic = Topic(key, entry.place)
        if isinstance(entry.data, dict) and (keys := {_plain(inner): inner for inner in entry.data}) and set(keys) <= {
            *CHILDREN, *DESCRIPTIONS, *IGNORED, *NAMES,
        } and set(keys) & {*CHILDREN, *DESCRIPTIONS}:  # fmt: skip
            for inner, below in entry.data.items():
                if _plain(inner) in DESCRIPTIONS and _is_name(below):
                    topic.description = below.data
                elif _plain(inner) in CHILDREN:
                    topic.children += _below(below)
        elif isinstance(entry.data, list | dict):
            topic.children = _below(entry)
        elif _is_name(entry) and entry.reads_as is None:
            topic.description = entry.data
        yield topic


def _below(entry: Value) -> list[Topic]:
    """Return the topics below a name: a list or mapping, or names separated by commas or semicolons."""
    if isinstance(entry.data, dict):
        keys = {_plain(key): key for key in entry.data}
        named = next((keys[key] for key in NAMES if key in keys and _is_name(entry.data[keys[key]])), None)
        if named is not None and any(key in keys for key in (*CHILDREN, *DESCRIPTIONS)):
            return [_of_object(entry, named)]
        return list(_of_keys(entry))
    if isinstance(entry.data, list):
        return list(_of_list(entry))
    if entry.reads_as == "nothing" or not entry.data.strip():
        return []
    parts = map(str.rstrip, re.split(r"[;,]\s+", entry.data.strip()))
    return [Topic(part, entry.place) for part in parts if part]


def _is_graph(value: Value) -> bool:
    """Return whether a value is a graph of nodes that name each other by id."""
    return isinstance(value.data, dict) and "nodes" in value.data and "root_id" in value.data


def _of_graph(value: Value) -> list[Topic]:
    """Return the tree below the root of a topic graph; a node with several parents stays below the first."""
    entries = value.data["nodes"].data
    if isinstance(entries, list):
        listed = [entry for entry in entries if isinstance(entry.data, dict)]
        entries = {own.data: entry for entry in listed if (own := entry.data.get("id")) is not None and _is_name(own)}
    if not isinstance(entries, dict):
        raise TaxonomyError(f'{value.data["nodes"].place}: "nodes" must be a mapping of ids to nodes')
    topics: dict[str, Topic] = {}

    def topic_of(node_id: str, place: str) -> Topic:
        entry = entries.get(node_id)
        name = (
            next((entry.data[key] for key in ("topic", "name", "prompt") if key in entry.data), None)
            if entry and isinstance(entry.data, dict)
            else None
        )
        if entry is None or name is None or not _is_name(name):
            raise TaxonomyError(f"{place}: the node {quoted(str(node_id))} {'has no topic' if entry else 'does not exist'}")
        topics[node_id] = Topic(name.data, name.place)
        return topics[node_id]

    root = value.data["root_id"]
    if not _is_name(root):
        raise TaxonomyError(f'{root.place}: "root_id" must be the id of a node')
    top = topic_of(root.data, root.place)
    pending = deque([root.data])
    while pending:
        node_id = pending.popleft()
        children = entries[node_id].data.get("children")
        for child in children.data if children is not None and isinstance(children.data, list) else ():
            if isinstance(child.data, str) and child.data not in topics:
                topics[node_id].children.append(topic_of(child.data, child.place))
                pending.append(child.data)
    return [top]


def _edges(value: Value) -> Value | None:
    """Return the edges of a graph in node-link form, or None for another value."""
    nodes, edges = value.data.get("nodes"), value.data.get("edges", value.data.get("links"))
    return (
        edges
        if nodes is not None and edges is not None and isinstance(nodes.data, list) and isinstance(edges.data, list)
        else None
    )


def _of_edges(nodes: Value, edges: Value) -> list[Topic]:
    """Return the trees of a graph in node-link form; a node with several parents stays below the first."""
    topics: dict[str, Topic] = {}
    for node in nodes.data:
        entry = node.data if isinstance(node.data, dict) else {}
        name = next((entry[key] for key in ("name", "label", "title", "topic", "id") if key in entry), None)
        if name is None or not _is_name(name):
            raise TaxonomyError(f"{node.place}: the node has no name")
        own = entry.get("id", name)
        topics[own.data if isinstance(own.data, str) else name.data] = Topic(name.data, node.place)
    trees, below = Trees(), set()
    for edge in edges.data:
        entry = edge.data if isinstance(edge.data, dict) else {}
        ends = [entry.get(key) for key in (("source", "target") if "source" in entry else ("from", "to"))]
        if not all(end is not None and isinstance(end.data, str) and end.data in topics for end in ends):
            raise TaxonomyError(f"{edge.place}: the edge must have a source and a target that are ids of nodes")
        parent, child = (end.data for end in ends if end is not None)
        if child not in below and trees.join(child, parent):
            below.add(child)
            topics[parent].children.append(topics[child])
    return [topic for node_id, topic in topics.items() if node_id not in below]
