"""The taxonomy as a radial tree: what is drawn of it, and where every node stands; `radial_chart` draws it.

Leaves follow one another around the circle, levels are rings: fields, sub-fields, disciplines, and below the discipline that is
picked its subjects, or the sessions and key concepts of the subject that is picked. What is picked gets a larger part of the
circle than its number of leaves would give it, so that its names can be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import networkx as nx
import pandas as pd

from glan_core.formatting import number, plural, shorten
from glan_core.records import Node, Subject
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace.curriculum_rows import Session, SyllabusState

ALL = ""  # the id of the middle, as in `coverage.standings`
MORE = "more"  # the kind of the node that stands for the subjects that are not drawn
MOST_SUBJECTS = 90

RADIUS = 212  # of the outermost ring, in pixels: what decides which names there is room for
ROOM = {"subject": 14, "concept": 13}  # pixels along the outermost ring for a leaf of what is picked; 22 for a discipline
MOST_OF_CIRCLE = 0.8
CAPTION = 14  # pixels along the ring for the name of a field beside what is picked
RINGS = {
    "discipline": (1.0,),
    "subject": (0.82, 1.0),
    "concept": (0.38, 0.47, 0.55, 1.0),
}  # of the deepest kind: from disciplines on


@dataclass(frozen=True, slots=True)
class Twig:
    """A node below a discipline: a subject, a class session, a key concept, or the one that stands for more subjects.

    `begun`: there is something below it; `told` are the lines that hovering adds to name and kind.
    """

    id: str
    name: str
    kind: str
    parent_id: str
    begun: bool
    told: tuple[str, ...] = ()


def subject_twigs(
    subjects: Sequence[Subject], states: Mapping[str, SyllabusState], known: int, most: int = MOST_SUBJECTS
) -> list[Twig]:
    """The subjects of a discipline to be drawn, at most `most`, those with a syllabus first; where `known`, the number of all
    its subjects, is larger, a last twig says how many more there are."""
    drawn = sorted(subjects, key=lambda s: s.id not in states)[:most]
    twigs = [_subject_twig(s, states.get(s.id)) for s in drawn]
    return twigs + _more(subjects[0].discipline_id, known - len(drawn)) if subjects else []


def session_twigs(
    subject: Subject, state: SyllabusState | None, sessions: Sequence[Session], asked: Mapping[str, int], known: int
) -> list[Twig]:
    """One subject of a discipline with its class sessions and their key concepts, and in how many questions each was `asked`
    about; the other subjects of the discipline, which has `known` in all, are one twig."""
    twigs = [_subject_twig(subject, state)]
    for session in sessions:
        told = (shorten(session.description, 180), plural(len(session.concepts), "key concept"))
        twigs.append(Twig(session.id, session.name, "session", subject.id, True, told))
        for id, name in session.concepts:
            count = asked.get(id, 0)
            told = f"asked about in {plural(count, 'question')}" if count else "not asked about yet"
            twigs.append(Twig(id, name, "concept", session.id, count > 0, (told,)))
    return twigs + _more(subject.discipline_id, known - 1)


def _subject_twig(subject: Subject, state: SyllabusState | None) -> Twig:
    told = [subject.level] if subject.level else []
    told.append(f"syllabus of {plural(len(state.sizes), 'session')}" if state and state.sizes else
                "syllabus without sessions yet" if state else "no syllabus yet")  # fmt: skip
    if state:
        told.append(plural(state.questions, "question"))
    return Twig(subject.id, subject.name, "subject", subject.discipline_id, state is not None, tuple(told))


def _more(discipline_id: str, count: int) -> list[Twig]:
    return [Twig(f"{MORE} {discipline_id}", f"and {number(count)} more", MORE, discipline_id, False)] if count > 0 else []


def grown(tree: nx.DiGraph, twigs: Sequence[Twig] = ()) -> nx.DiGraph:
    """The tree that is drawn: a root above the fields, the taxonomy, and below it what is unfolded, each with its `kind`."""
    drawn = nx.DiGraph()
    drawn.add_node(ALL, kind="all")
    drawn.add_nodes_from((node.id, {"kind": node.kind}) for node in hierarchy.walk(tree))
    drawn.add_edges_from((node.parent_id or ALL, node.id) for node in hierarchy.walk(tree))
    drawn.add_nodes_from((twig.id, {"kind": twig.kind}) for twig in twigs)
    drawn.add_edges_from((twig.parent_id, twig.id) for twig in twigs)
    return drawn


def angles(drawn: nx.DiGraph, picked: str = ALL) -> dict[str, tuple[float, float]]:
    """Where the part of the circle of each node begins and ends, in radians clockwise from the top.

    Leaves follow in tree order. Those below `picked` get room to be read, up to MOST_OF_CIRCLE of it; the branches of the root
    share the rest by their leaves, none without room for its name. The middle of what is picked points down, so that the way
    there reads from top to bottom.
    """
    ends = _leaf_ends(drawn, picked)
    spans: dict[str, tuple[float, float]] = {}
    for id in nx.dfs_postorder_nodes(drawn, ALL):
        below = [spans[child] for child in drawn.successors(id)]
        spans[id] = (min(b for b, _ in below), max(e for _, e in below)) if below else ends.get(id, (0.0, 2 * pi))
    if picked == ALL:
        return spans
    turn = pi - sum(spans[picked]) / 2
    return {id: (begin + turn, end + turn) for id, (begin, end) in spans.items()}


def _leaf_ends(drawn: nx.DiGraph, picked: str) -> dict[str, tuple[float, float]]:
    branches = {branch: _leaves(drawn, branch) for branch in drawn.successors(ALL)}
    favoured = set(_leaves(drawn, picked)) if picked != ALL else set()
    others = {branch: [leaf for leaf in leaves if leaf not in favoured] for branch, leaves in branches.items()}
    count = sum(map(len, others.values()))
    whole, room = 2 * pi * RADIUS, ROOM.get(_deepest(drawn), 22)
    share = len(favoured) / max(1, count + len(favoured))
    wide = max(share, min(MOST_OF_CIRCLE, len(favoured) * room / whole)) if count else float(bool(favoured))
    least = min(CAPTION / whole, (1 - wide) / (len(branches) + 1)) if favoured else 0.0
    left = 1 - wide - least * sum(bool(leaves) for leaves in others.values())
    ends, at = {}, 0.0
    for branch, leaves in branches.items():
        per_leaf = (left / count + least / len(others[branch])) if others[branch] else 0.0
        for leaf in leaves:
            width = 2 * pi * (wide / len(favoured) if leaf in favoured else per_leaf)
            ends[leaf] = (at, at + width)
            at += width
    return ends


def _leaves(drawn: nx.DiGraph, id: str) -> list[str]:
    return [found for found in nx.dfs_preorder_nodes(drawn, id) if drawn.out_degree(found) == 0]


def _deepest(drawn: nx.DiGraph) -> str:
    """The kind that decides about rings and room: of the deepest that is unfolded."""
    kinds = {kind for _, kind in drawn.nodes(data="kind")}
    return "concept" if kinds & {"session", "concept"} else "subject" if "subject" in kinds else "discipline"


def radii(drawn: nx.DiGraph) -> dict[str, float]:
    """The ring of each node, 0 in the middle to 1: disciplines stand on one ring, whatever their depth, as do the nodes of
    each kind below them."""
    depth = nx.shortest_path_length(drawn, ALL)
    rings = RINGS[_deepest(drawn)]
    below = {"subject": 1, MORE: 1, "session": 2, "concept": 3}
    kinds = dict(drawn.nodes(data="kind"))
    deepest = max((depth[id] for id, kind in kinds.items() if kind not in below), default=1) or 1

    def ring(id: str) -> float:
        kind = kinds[id]
        if kind == "discipline" or kind in below:
            return rings[min(below.get(kind, 0), len(rings) - 1)]
        return rings[0] * (depth[id] / deepest) ** 0.85

    return {id: ring(id) for id in drawn}


def radial_frame(
    tree: nx.DiGraph, standings: Mapping[str, Coverage], picked: str = ALL, twigs: Sequence[Twig] = ()
) -> pd.DataFrame:
    """One row a node that is drawn, the root first, the taxonomy in its order, then what is unfolded.

    id, parent, name, kind, group, `field` above it; angle (radians clockwise from the top) with its begin and end, radius
    (0 to 1), x and y (down) from them; `width`: pixels along its ring, `room`: from it to the ring of what is below; begun,
    share of target, pairs; `leaf`; `near`: 'picked', 'path' above it, 'branch' below it, or ''; `told`: what hovering says.
    """
    drawn = grown(tree, twigs)
    spans, rings = angles(drawn, picked), radii(drawn)
    path = nx.shortest_path(drawn, ALL, picked)
    branch = nx.descendants(drawn, picked) if picked != ALL else set()
    by_id = {twig.id: twig for twig in twigs}
    field_of = {id: field for field in drawn.successors(ALL) for id in nx.dfs_preorder_nodes(drawn, field)}
    rows = []
    for id in drawn:
        node = None if id == ALL or id in by_id else tree.nodes[id]["node"]
        (begin, end), radius = spans[id], rings[id]
        angle = (begin + end) / 2
        parent = next(drawn.predecessors(id), None)
        rows.append({
            "id": id, "parent": parent, "kind": drawn.nodes[id]["kind"], "angle": angle, "radius": radius,
            "x": radius * sin(angle), "y": -radius * cos(angle), "begin": begin, "end": end,
            "width": (end - begin) * radius * RADIUS, "leaf": drawn.out_degree(id) == 0,
            "field": field_of.get(id),
            "room": RADIUS * (min((rings[child] for child in drawn.successors(id)), default=radius) - radius),
            "near": "picked" if id == picked else "path" if id in path else "branch" if id in branch else "",
            **(_of_twig(by_id[id], tree, path) if id in by_id else _of_node(node, standings[id], tree)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _of_node(node: Node | None, standing: Coverage, tree: nx.DiGraph) -> dict:
    counts = standing.counts
    share = "no target yet" if standing.share is None else f"{standing.share:.1%} of target"
    group = hierarchy.group_of(tree, node.id) if node else None
    told = [f"{node.kind.capitalize()} · {group or 'no group'}"] if node else []
    if node is None or node.kind != "discipline":
        told.append(f"{standing.begun} of {plural(standing.disciplines, 'discipline')} begun")
    told += [plural(int(counts["subjects"]), "subject"), plural(int(counts["pairs"]), "pair"), share]
    return {
        "name": node.name if node else "All knowledge", "group": group, "share": standing.share or 0.0,
        "pairs": int(counts["pairs"]), "begun": standing.begun > 0, "told": told,
    }  # fmt: skip


def _of_twig(twig: Twig, tree: nx.DiGraph, path: Sequence[str]) -> dict:
    discipline = next(id for id in reversed(path) if id in tree)
    kind = {"session": "Class session", "concept": "Key concept", MORE: "Subjects"}.get(twig.kind, "Subject")
    return {
        "name": twig.name, "group": hierarchy.group_of(tree, discipline), "share": float(twig.begun), "pairs": 0,
        "begun": twig.begun, "told": [kind, *twig.told],
    }  # fmt: skip
