"""What the sections of the report share: workspace, taxonomy, coverage and matches, each read once."""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import pandas as pd

from glan_core.errors import GlanError
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.result_card import ResultCard, result_card
from glan_core.figures.style import LIGHT, Style
from glan_core.models.tuned_model_store import TunedModel, list_models
from glan_core.taxonomy import coverage, tree_editing
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace, homework_rows, match_rows
from glan_core.workspace.match_rows import Match

MOST_MATCHES = 8
STYLE: Style = LIGHT


def public_name(teacher: str) -> str:
    """Return the name of a teacher without the folders of a local model, which readers of a report do not need to know."""
    kind, colon, place = teacher.rpartition(":")
    return f"{kind}{colon}{place.rstrip('/').rpartition('/')[2]}" if place.startswith(("/", "~")) else teacher


@dataclass(frozen=True)
class JudgedMatch:
    """A match with its questions (`match_statistics.item_frame`) and its result card."""

    match: Match
    frame: pd.DataFrame
    card: ResultCard


class ReportData:
    """A workspace as the report reads it; nothing reads all pairs."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.tree: nx.DiGraph = tree_editing.tree(ws)

    @cached_property
    def coverages(self) -> dict[str, Coverage]:
        """Coverage of every node, and of the whole taxonomy under ''."""
        return coverage.coverage_by_node(self.ws, self.tree)

    @property
    def whole(self) -> Coverage:
        """Coverage of the whole taxonomy."""
        return self.coverages[""]

    @property
    def counts(self) -> dict[str, float]:
        """Counters of the whole taxonomy."""
        return self.whole.counts

    @cached_property
    def with_pairs(self) -> list[str]:
        """IDs of the disciplines with pairs, most pairs first."""
        found = [
            id
            for id, data in self.tree.nodes(data=True)
            if data["node"].kind == "discipline" and self.coverages[id].counts["pairs"]
        ]
        return sorted(found, key=lambda id: (-self.coverages[id].counts["pairs"], id))

    @cached_property
    def scripted(self) -> int:
        """Number of pairs by the scripted teacher."""
        return sum(homework_rows.count_scripted(self.ws.db).values())

    @cached_property
    def models(self) -> list[TunedModel]:
        """The tuned models, newest first."""
        return list_models(self.ws)

    @cached_property
    def all_matches(self) -> list[Match]:
        """The matches with at least one question judged in both orders, newest first."""
        judged = match_rows.judged_matches(self.ws.db)
        return [match for match in match_rows.matches(self.ws.db) if match.id in judged]

    @cached_property
    def matches(self) -> list[JudgedMatch]:
        """The newest matches whose test still exists, with their cards."""
        found: list[JudgedMatch] = []
        for match in self.all_matches[:MOST_MATCHES]:
            try:
                frame = match_statistics.item_frame(self.ws, match)
                result = match_statistics.outcome(frame)
                gaps = match_statistics.missing(self.ws, match, frame)
                found.append(JudgedMatch(match, frame, result_card(self.ws, match, frame, result, gaps)))
            except GlanError:  # the test was removed
                continue
        return found

    def name(self, node_id: str) -> str:
        """Return the name of a node, as it was if it was removed."""
        return self.tree.nodes[node_id]["node"].name if node_id in self.tree else node_id
