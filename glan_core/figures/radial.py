"""Layout of the taxonomy as a radial tree; `radial_chart` draws it.

Leaves are arranged around the circle and levels as rings: fields, sub-fields, disciplines, and below the selected discipline
its subjects, or the class sessions and key concepts of the selected subject. The selection gets more of the circle than its
share of leaves, so that its labels are readable.
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

ALL = ""  # id of the root, as in `coverage.coverage_by_node`
MORE = "more"  # kind of the node that represents the subjects that are not drawn
MAX_SUBJECTS = 90

RADIUS = 212  # pixels of the outermost ring, which determines which labels fit
ROOM = {"subject": 14, "concept": 13}  # pixels along the outermost ring per selected leaf; 22 for a discipline
MAX_CIRCLE_SHARE = 0.8
CAPTION = 14  # pixels along the ring for the label of another field
RINGS = {
    "discipline": (1.0,),
    "subject": (0.82, 1.0),
    "concept": (0.38, 0.47, 0.55, 1.0),
}  # radii by the deepest kind, starting with disciplines


@dataclass(frozen=True, slots=True)
class ExpandedNode:
    """A node below a discipline: a subject, class session, key concept, or placeholder for more subjects.

    Attributes:
        begun: Whether there is generated content below it.
        hover_lines: Lines added to its tooltip.
    """

    id: str
    name: str
    kind: str
    parent_id: str
    begun: bool
    hover_lines: tuple[str, ...] = ()


def subject_nodes(
    subjects: Sequence[Subject], states: Mapping[str, SyllabusState], known: int, most: int = MAX_SUBJECTS
) -> list[ExpandedNode]:
    """Return up to `most` subjects of a discipline, those with a syllabus first, and a placeholder for the rest.

    Args:
        subjects: The subjects.
        states: Progress of their syllabi by subject id.
        known: Number of all subjects of the discipline.
        most: Maximum number of subjects.
    """
    drawn = sorted(subjects, key=lambda s: s.id not in states)[:most]
    twigs = [_subject_twig(s, states.get(s.id)) for s in drawn]
    return twigs + _more(subjects[0].discipline_id, known - len(drawn)) if subjects else []


def session_nodes(
    subject: Subject, state: SyllabusState | None, sessions: Sequence[Session], asked: Mapping[str, int], known: int
) -> list[ExpandedNode]:
    """Return a subject with its class sessions and key concepts, and a placeholder for the other subjects.

    Args:
        subject: The subject.
        state: Progress of its syllabus.
        sessions: Its class sessions.
        asked: Number of questions per concept id.
        known: Number of all subjects of the discipline.
    """
    twigs = [_subject_twig(subject, state)]
    for session in sessions:
        lines = (shorten(session.description, 180), plural(len(session.concepts), "key concept"))
        twigs.append(ExpandedNode(session.id, session.name, "session", subject.id, begun=True, hover_lines=lines))
        for id, name in session.concepts:
            count = asked.get(id, 0)
            line = f"used in {plural(count, 'question')}" if count else "not used yet"
            twigs.append(ExpandedNode(id, name, "concept", session.id, begun=count > 0, hover_lines=(line,)))
    return twigs + _more(subject.discipline_id, known - 1)


def _subject_twig(subject: Subject, state: SyllabusState | None) -> ExpandedNode:
    lines = [subject.level] if subject.level else []
    lines.append(f"syllabus of {plural(len(state.sizes), 'session')}" if state and state.sizes else
                "syllabus without sessions yet" if state else "no syllabus yet")  # fmt: skip
    if state:
        lines.append(plural(state.questions, "question"))
    return ExpandedNode(
        subject.id, subject.name, "subject", subject.discipline_id, begun=state is not None, hover_lines=tuple(lines)
    )


def _more(discipline_id: str, count: int) -> list[ExpandedNode]:
    return (
        [ExpandedNode(f"{MORE} {discipline_id}", f"and {number(count)} more", MORE, discipline_id, begun=False)]
        if count > 0
        else []
    )


def build_graph(tree: nx.DiGraph, twigs: Sequence[ExpandedNode] = ()) -> nx.DiGraph:
    """Build the drawn graph: a root above the fields, the taxonomy and the expanded nodes, each with its `kind`."""
    drawn = nx.DiGraph()
    drawn.add_node(ALL, kind="all")
    drawn.add_nodes_from((node.id, {"kind": node.kind}) for node in hierarchy.walk(tree))
    drawn.add_edges_from((node.parent_id or ALL, node.id) for node in hierarchy.walk(tree))
    drawn.add_nodes_from((twig.id, {"kind": twig.kind}) for twig in twigs)
    drawn.add_edges_from((twig.parent_id, twig.id) for twig in twigs)
    return drawn


def angles(drawn: nx.DiGraph, picked: str = ALL) -> dict[str, tuple[float, float]]:
    """Return the start and end angle of each node, in radians clockwise from the top.

    Leaves are in tree order. Those below `picked` get enough space for labels, up to MAX_CIRCLE_SHARE; the other branches share
    the rest by their leaves. The middle of the selection points down, so that the path to it reads from top to bottom.
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
    selected = set(_leaves(drawn, picked)) if picked != ALL else set()
    others = {branch: [leaf for leaf in leaves if leaf not in selected] for branch, leaves in branches.items()}
    count = sum(map(len, others.values()))
    whole, room = 2 * pi * RADIUS, ROOM.get(_deepest(drawn), 22)
    share = len(selected) / max(1, count + len(selected))
    wide = max(share, min(MAX_CIRCLE_SHARE, len(selected) * room / whole)) if count else float(bool(selected))
    least = min(CAPTION / whole, (1 - wide) / (len(branches) + 1)) if selected else 0.0
    left = 1 - wide - least * sum(bool(leaves) for leaves in others.values())
    ends, at = {}, 0.0
    for branch, leaves in branches.items():
        per_leaf = (left / count + least / len(others[branch])) if others[branch] else 0.0
        for leaf in leaves:
            width = 2 * pi * (wide / len(selected) if leaf in selected else per_leaf)
            ends[leaf] = (at, at + width)
            at += width
    return ends


def _leaves(drawn: nx.DiGraph, id: str) -> list[str]:
    return [found for found in nx.dfs_preorder_nodes(drawn, id) if drawn.out_degree(found) == 0]


def _deepest(drawn: nx.DiGraph) -> str:
    """Return the deepest expanded kind, which determines rings and label space."""
    kinds = {kind for _, kind in drawn.nodes(data="kind")}
    return "concept" if kinds & {"session", "concept"} else "subject" if "subject" in kinds else "discipline"


def radii(drawn: nx.DiGraph) -> dict[str, float]:
    """Return the radius of each node from 0 (center) to 1; all disciplines share a ring, as do the kinds below them."""
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
    tree: nx.DiGraph, coverages: Mapping[str, Coverage], picked: str = ALL, twigs: Sequence[ExpandedNode] = ()
) -> pd.DataFrame:
    """Return one row per drawn node: the root, the taxonomy in order, then the expanded nodes.

    Columns: id, parent, name, kind, group, `field` above it; angle (radians clockwise from the top) with begin and end, radius (0
    to 1), x and y (downwards); `width` in pixels along its ring, `room` in pixels to the ring below; begun, share of target, pairs;
    `leaf`; `near`: 'picked', 'path' above it, 'branch' below it or ''; `told`: lines of the tooltip.
    """
    drawn = build_graph(tree, twigs)
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
            **(_of_twig(by_id[id], tree, path) if id in by_id else _of_node(node, coverages[id], tree)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _of_node(node: Node | None, coverage: Coverage, tree: nx.DiGraph) -> dict:
    counts = coverage.counts
    share = "no target yet" if coverage.share is None else f"{coverage.share:.1%} of target"
    group = hierarchy.group_of(tree, node.id) if node else None
    lines = [f"{node.kind.capitalize()} · {group or 'no group'}"] if node else []
    if node is None or node.kind != "discipline":
        lines.append(f"{coverage.begun} of {plural(coverage.disciplines, 'discipline')} started")
    lines += [plural(int(counts["subjects"]), "subject"), plural(int(counts["pairs"]), "pair"), share]
    return {
        "name": node.name if node else "All knowledge", "group": group, "share": coverage.share or 0.0,
        "pairs": int(counts["pairs"]), "begun": coverage.begun > 0, "told": lines,
    }  # fmt: skip


def _of_twig(twig: ExpandedNode, tree: nx.DiGraph, path: Sequence[str]) -> dict:
    discipline = next(id for id in reversed(path) if id in tree)
    kind = {"session": "Class session", "concept": "Key concept", MORE: "Subjects"}.get(twig.kind, "Subject")
    return {
        "name": twig.name, "group": hierarchy.group_of(tree, discipline), "share": float(twig.begun), "pairs": 0,
        "begun": twig.begun, "told": [kind, *twig.hover_lines],
    }  # fmt: skip
