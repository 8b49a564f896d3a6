"""Manifest: the statistics of a dataset, counted while its rows are written and stored next to them."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from pydantic import Field

from glan_core import __version__
from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.row_selection import HELD_OUT, SelectedRows
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.splits import SplitRule
from glan_core.settings import Settings
from glan_core.taxonomy import coverage, hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.pair_filter import PairFilter

FILE = "manifest.json"
CHECKS = ("filter", "judge", "dedup", "decontaminate")
MOST_LEVELS = 30  # levels listed separately; some teachers invent a level per subject


class DisciplineRows(Settings):
    """Rows of one discipline in a dataset.

    Attributes:
        name: Name of the discipline.
        field: Name of its field.
        group: Taxonomy group, '' if it has none.
        rows: Number of rows.
    """

    name: str
    field: str
    group: str
    rows: int


class CoverageCounts(Settings):
    """How much of the taxonomy a dataset covers.

    Attributes:
        disciplines: Disciplines in the taxonomy.
        disciplines_with_rows: Disciplines with at least one row.
        concepts: Key concepts in the workspace.
        concepts_asked: Key concepts with at least one question.
    """

    disciplines: int
    disciplines_with_rows: int
    concepts: int
    concepts_asked: int


class Manifest(Settings):
    """Statistics of a dataset.

    Attributes:
        name: Name of the snapshot, '' for an export of the current workspace.
        hash: Content hash of the snapshot, '' for an export.
        rows: Rows by split.
        asked: Conditions of the row filter.
        include: Exclusion reasons that were overridden.
        scripted: Whether rows of the scripted teacher are included.
        left_out: Excluded pairs by reason.
        teachers: Rows per model, for 'question' and 'answer'.
        reviewed: Rows kept, rejected or edited by a person.
        characters: Mean length of questions and answers, in characters.
        checks: Last result of each check with `rows_after`, the number of newer rows; None if never run.
        tests: Names and hashes of the GLAN-Tests whose questions are excluded.
    """

    name: str = ""
    hash: str = ""
    workspace: str
    created_at: float
    glan_version: str
    run_id: int | None = None
    rows: dict[str, int]
    split: SplitRule
    validation_share: float | None
    seed: int
    asked: dict
    include: tuple[str, ...]
    scripted: bool
    left_out: dict[str, int]
    teachers: dict[str, dict[str, int]]
    levels: dict[str, int]
    strategies: dict[str, int]
    reviewed: dict[str, int]
    characters: dict[str, float]
    disciplines: dict[str, DisciplineRows]
    coverage: CoverageCounts
    checks: dict[str, dict | None]
    tests: dict[str, str] = Field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of rows in all splits."""
        return sum(self.rows.values())


class ManifestBuilder:
    """Counts selected rows while they are iterated; yields (split, row)."""

    def __init__(self, ws: Workspace, choice: RowSelection) -> None:
        self._ws, self._choice = ws, choice
        self._rows = SelectedRows(ws, choice)
        self._counts: defaultdict[str, Counter] = defaultdict(Counter)
        self._places: dict[str, tuple[str, str, str]] = {}
        self._checks: dict[str, dict | None] = {name: ws.metadata(f"check:{name}") for name in CHECKS}

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        for split, seq, row in self._rows:
            self._count(split, seq, row)
            yield split, row

    @property
    def excluded(self) -> Counter[str]:
        """Excluded pairs so far, by reason."""
        return self._rows.excluded

    def _count(self, split: str, seq: int, row: dict) -> None:
        counts = self._counts
        counts["rows"][split] += 1
        for name in ("level", "strategy", "question_teacher", "answer_teacher", "discipline", "review"):
            counts[name][row[name]] += 1
        counts["edited"]["edited"] += row["edited"]
        counts["characters"]["question"] += len(row["prompt"])
        counts["characters"]["answer"] += len(row["completion"])
        self._places.setdefault(row["discipline"], (row["taxonomy"][-1], row["taxonomy"][0], row["group"]))
        for name, check in self._checks.items():
            counts["after"][name] += check is not None and seq > check.get("up_to", 0)

    def manifest(self, **values: Any) -> Manifest:
        """Return the manifest of the rows iterated so far.

        Args:
            **values: Further fields, such as name and hash.
        """
        choice, counts = self._choice, self._counts
        number = counts["rows"].total()
        whole = coverage.coverage_by_node(self._ws)[""]
        found = {id: DisciplineRows(name=name, field=field, group=group, rows=counts["discipline"][id])
                 for id, (name, field, group) in self._places.items()}  # fmt: skip
        live = set(hierarchy.disciplines_under(tree_editing.tree(self._ws)))
        return Manifest(
            workspace=str(self._ws.metadata("name", "")), created_at=time.time(), glan_version=__version__,
            rows=dict(counts["rows"]), split=choice.split,
            validation_share=None if choice.split == "none" else choice.validation_share, seed=choice.seed,
            asked=_asked(choice.which), include=choice.include, scripted=self._rows.scripted, left_out=dict(self.excluded),
            teachers={what: dict(counts[f"{what}_teacher"].most_common()) for what in ("question", "answer")},
            levels=_most(counts["level"]), strategies=dict(counts["strategy"]),
            reviewed={
                "kept": counts["review"]["keep"], "rejected": counts["review"]["reject"], "edited": counts["edited"]["edited"]
            },
            characters={name: round(total / number, 1) for name, total in counts["characters"].items()} if number else {},
            disciplines=dict(sorted(found.items(), key=lambda item: -item[1].rows)),
            coverage=CoverageCounts(
                disciplines=whole.disciplines, disciplines_with_rows=len(live.intersection(found)),
                concepts=int(whole.counts["concepts"]), concepts_asked=int(whole.counts["concepts_asked"]),
            ),
            checks={name: check and check | {"rows_after": counts["after"][name]} for name, check in self._checks.items()},
            tests={} if HELD_OUT in choice.include else {test.name: test.hash for test in list_tests(self._ws)}, **values,
        )  # fmt: skip


def selection_manifest(ws: Workspace, choice: RowSelection) -> Manifest:
    """Return the manifest of a selection without writing it; reads every row."""
    tally = ManifestBuilder(ws, choice)
    for _ in tally:
        pass
    return tally.manifest()


def _asked(which: PairFilter) -> dict:
    """Return the non-default fields of a filter, with explicit row IDs as their number."""
    asked = {f.name: getattr(which, f.name) for f in fields(which) if getattr(which, f.name) != f.default}
    if which.seqs is not None:
        asked["seqs"] = len(which.seqs)
    return asked


def _most(counts: Counter[str]) -> dict[str, int]:
    """Return the most frequent levels, with the rest combined."""
    kept = dict(counts.most_common(MOST_LEVELS))
    rest = counts.total() - sum(kept.values())
    return kept | ({"other": kept.get("other", 0) + rest} if rest else {})
