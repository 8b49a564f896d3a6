"""Relations between concepts of a subject: direct ones, and short chains by way of other concepts."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import networkx as nx

from glan_core.teachers.scripted.textbook import Entry, Subject, textbook

_CONTRAST = re.compile(
    r"\b(?:whereas|while|unlike|contrast|differs?|instead of|in place of|as opposed to|and not|but not)\b", re.I
)
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_NEWS = 4  # words that a second sentence on a relation has to add
LONGEST = 3  # relations in a chain between two concepts


@dataclass(frozen=True)
class Link:
    """A connection of two concepts.

    Attributes:
        ends: The two concepts.
        bridges: The concepts by way of which they are connected; none if they are related directly.
        sentences: What the textbook says on the relation, or one sentence for each relation of a chain.
    """

    ends: tuple[Entry, Entry]
    bridges: tuple[Entry, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Connection:
    """How several concepts are connected.

    Attributes:
        links: Links that join as many of the concepts as possible, the shortest chains first.
        apart: Groups of concepts that no link joins to the rest; the largest group is left out.
    """

    links: tuple[Link, ...]
    apart: tuple[tuple[Entry, ...], ...]


def connect(entries: Sequence[Entry], draw: random.Random, longest: int = LONGEST) -> Connection:
    """Return how concepts of one subject are connected by chains of at most `longest` relations."""
    graph = _graph(entries[0].subject.name)
    by_name = {entry.concept.name: entry for entry in entries}
    groups = nx.utils.UnionFind(by_name)
    links: list[Link] = []
    for path in sorted(_paths(graph, list(by_name), longest), key=len):
        if groups[path[0]] != groups[path[-1]]:
            groups.union(path[0], path[-1])
            links.append(_link(graph, path, draw))
    largest, *apart = sorted(groups.to_sets(), key=lambda names: (-len(names), min(by_name[name].order for name in names)))
    rest = [tuple(by_name[name] for name in by_name if name in names) for names in apart]
    return Connection(tuple(links), tuple(rest) if len(largest) > 1 else (tuple(entries),))


def related(one: Entry, other: Entry) -> bool:
    """Return whether the textbook relates two concepts directly."""
    return _graph(one.subject.name).has_edge(one.concept.name, other.concept.name)


def contrasted(one: Entry, other: Entry) -> bool:
    """Return whether the textbook sets two concepts against each other."""
    return related(one, other) and any(
        _CONTRAST.search(text) for text in _graph(one.subject.name).edges[one.concept.name, other.concept.name]["relations"]
    )


def _paths(graph: nx.Graph, names: Sequence[str], longest: int) -> list[list[str]]:
    """Return the shortest path between every two of the concepts, if it is short enough."""
    paths = (nx.shortest_path(graph, one, other) for one, other in combinations(names, 2) if nx.has_path(graph, one, other))
    return [path for path in paths if len(path) - 1 <= longest]


def _link(graph: nx.Graph, path: Sequence[str], draw: random.Random) -> Link:
    first, *bridges, last = (_entry(graph, name) for name in path)
    texts = [graph.edges[one, other]["relations"] for one, other in pairwise(path)]
    sentences = _distinct(texts[0]) if len(texts) == 1 else tuple(draw.choice(sentences) for sentences in texts)
    return Link((first, last), tuple(bridges), sentences)


def _distinct(sentences: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences on one relation, without one that mostly repeats another that says more."""
    words = {sentence: {word[:5] for word in _LONG_WORD.findall(sentence.lower())} for sentence in sentences}
    fullest = max(sentences, key=lambda sentence: len(words[sentence]))
    return tuple(s for s in sentences if s == fullest or len(words[s] - words[fullest]) >= _NEWS)


def _entry(graph: nx.Graph, name: str) -> Entry:
    entry = textbook().concept(graph.graph["subject"], name)
    assert entry is not None
    return entry


@cache
def _graph(subject: str) -> nx.Graph:
    """Return the graph of a subject's relations; an edge has the sentences of both of its ends."""
    found: Subject | None = textbook().subject(subject)
    assert found is not None
    graph = nx.Graph(subject=subject)
    for concept in (concept for session in found.sessions for concept in session.concepts):
        graph.add_node(concept.name)
        for relation in concept.relations:
            graph.add_edge(concept.name, relation.to)
            graph.edges[concept.name, relation.to].setdefault("relations", []).append(relation.relation)
    return graph
