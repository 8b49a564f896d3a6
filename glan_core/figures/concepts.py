"""The concept graph of a syllabus: key concepts on a circle by session, linked by questions that combine them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from glan_core.figures.labels import chart_html, chart_text
from glan_core.figures.style import Style, at
from glan_core.formatting import plural
from glan_core.workspace.curriculum_rows import Session

MAX_LABELS = 110  # with more, labels would overlap; tooltips still show the names


def concept_frames(
    sessions: Sequence[Session], asked: Mapping[str, int], drawn: Sequence[tuple[str, Sequence[str]]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the nodes and edges of the graph.

    Args:
        sessions: The class sessions.
        asked: Number of questions per concept id.
        drawn: Strategy and concept ids of each question.

    Returns:
        Nodes with id, name, session, its number and question count; edges between concepts of different sessions with the number
        of `pair` questions that combine them.
    """
    nodes = pd.DataFrame(
        [
            {"id": id, "name": name, "session": session.name, "number": number, "asked": asked.get(id, 0)}
            for number, session in enumerate(sessions)
            for id, name in session.concepts
        ],
        columns=["id", "name", "session", "number", "asked"],
    )
    place = dict(zip(nodes["id"], nodes["number"], strict=True))
    joined = Counter(
        tuple(sorted(two))
        for strategy, concepts in drawn
        if strategy == "pair"
        for two in combinations(concepts, 2)
        if all(id in place for id in two) and place[two[0]] != place[two[1]]
    )
    edges = pd.DataFrame([(*two, count) for two, count in joined.items()], columns=["source", "target", "questions"])
    return nodes, edges


def concept_graph(nodes: pd.DataFrame, edges: pd.DataFrame, style: Style) -> dict:
    """Build an ECharts specification: sessions in order around the circle, colored along the ramp; unused concepts are gray."""
    last = max(1, int(nodes["number"].max())) if len(nodes) else 1
    most = max(1, int(edges["questions"].max())) if len(edges) else 1
    labels = len(nodes) <= MAX_LABELS
    names = dict(zip(nodes["id"], nodes["name"], strict=True))
    return {
        "tooltip": {"confine": True},
        "series": [{
            "type": "graph", "layout": "circular", "circular": {"rotateLabel": True}, "roam": False,
            "left": 120, "right": 120, "top": 120, "bottom": 120, "cursor": "pointer",
            "label": {"show": labels, "position": "right", "fontSize": 11, "color": style.text},
            "emphasis": {"focus": "adjacency", "label": {"fontWeight": "bold"}},
            "data": [
                {
                    "id": row.id, "name": chart_text(row.name, 26), "value": row.asked,
                    "symbolSize": 7 + 2.2 * min(row.asked, 12) ** 0.8,
                    "itemStyle": {
                        "color": at(style.ramp, 0.25 + 0.75 * row.number / last) if row.asked else style.nothing,
                        "borderColor": style.muted, "borderWidth": 0 if row.asked else 1,
                    },
                    "tooltip": {"formatter": hover(row)},
                }
                for row in nodes.itertuples()
            ],
            "links": [
                {
                    "source": row.source, "target": row.target, "value": row.questions,
                    "lineStyle": {"width": 0.8 + 2.2 * row.questions / most, "opacity": 0.35, "curveness": 0.35, "color": style.accent},
                    "tooltip": {"formatter": f"{chart_html(names[row.source])} and {chart_html(names[row.target])}: "
                                             f"{plural(row.questions, 'question')}"},
                }
                for row in edges.itertuples()
            ],
        }],
    }  # fmt: skip


def hover(row: Any) -> str:
    """Return the tooltip of a concept."""
    asked = f"used in {plural(row.asked, 'question')}" if row.asked else "not used yet"
    return f"<b>{chart_html(row.name)}</b><br/>{chart_html(row.session)}<br/>{asked}"
