"""What a dataset is, in numbers: counted while its rows are written, kept beside them, and read by cards and pages."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields

from pydantic import Field

from glan_core import __version__
from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.row_selection import HELD_OUT, ChosenRows
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.splits import Rule
from glan_core.settings import Settings
from glan_core.taxonomy import coverage, hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.pair_filter import PairFilter

FILE = "manifest.json"
CHECKS = ("filter", "judge", "dedup", "decontaminate")
MOST_LEVELS = 30  # that are told apart; teachers sometimes invent a level for each subject


class DisciplineRows(Settings):
    """A discipline's part of a dataset: its name, its field, its group of the taxonomy ('' where it has none), its rows."""

    name: str
    field: str
    group: str
    rows: int


class Covered(Settings):
    """How much of the taxonomy a dataset reaches: disciplines in all, and with rows; the key concepts of the workspace, and
    those of them that a question asks about."""

    disciplines: int
    disciplines_with_rows: int
    concepts: int
    concepts_asked: int


class Manifest(Settings):
    """A dataset in numbers. `name` and `hash` are a snapshot's, '' for an export of the workspace as it is.

    `rows` by split; `left_out` by reason; `asked` what the rows had to be, where anything was; `teachers` by what they wrote
    ('question', 'answer'); `reviewed` how many rows a person kept, rejected or edited; `characters` the mean length of
    questions and answers; `checks` what each check was when it was last done, with `rows_after`, how many rows of this
    dataset are newer than it (None: never done). `tests` are the GLAN-Tests whose questions it keeps out, name and hash.
    """

    name: str = ""
    hash: str = ""
    workspace: str
    created_at: float
    glan_version: str
    run_id: int | None = None
    rows: dict[str, int]
    split: Rule
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
    coverage: Covered
    checks: dict[str, dict | None]
    tests: dict[str, str] = Field(default_factory=dict)

    @property
    def number(self) -> int:
        """How many rows there are in all splits."""
        return sum(self.rows.values())


class Tally:
    """Counts the rows of a choice on their way to a file: iterating gives (split, row), `manifest` what they were."""

    def __init__(self, ws: Workspace, choice: RowSelection) -> None:
        self._ws, self._choice = ws, choice
        self._rows = ChosenRows(ws, choice)
        self._counts: defaultdict[str, Counter] = defaultdict(Counter)
        self._places: dict[str, tuple[str, str, str]] = {}
        self._checks = {name: ws.fact(f"check:{name}") for name in CHECKS}

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        for split, seq, row in self._rows:
            self._count(split, seq, row)
            yield split, row

    @property
    def left_out(self) -> Counter[str]:
        """How many pairs were passed over so far, by reason."""
        return self._rows.left_out

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

    def manifest(self, **values: object) -> Manifest:
        """The numbers of what was iterated over; `values` are further fields, such as name and hash."""
        choice, counts = self._choice, self._counts
        number = counts["rows"].total()
        whole = coverage.coverage_by_node(self._ws)[""]
        found = {id: DisciplineRows(name=name, field=field, group=group, rows=counts["discipline"][id])
                 for id, (name, field, group) in self._places.items()}  # fmt: skip
        live = set(hierarchy.disciplines_under(tree_editing.tree(self._ws)))
        return Manifest(
            workspace=str(self._ws.fact("name", "")), created_at=time.time(), glan_version=__version__,
            rows=dict(counts["rows"]), split=choice.split,
            validation_share=None if choice.split == "none" else choice.validation_share, seed=choice.seed,
            asked=_asked(choice.which), include=choice.include, scripted=self._rows.scripted, left_out=dict(self.left_out),
            teachers={what: dict(counts[f"{what}_teacher"].most_common()) for what in ("question", "answer")},
            levels=_most(counts["level"]), strategies=dict(counts["strategy"]),
            reviewed={
                "kept": counts["review"]["keep"], "rejected": counts["review"]["reject"], "edited": counts["edited"]["edited"]
            },
            characters={name: round(total / number, 1) for name, total in counts["characters"].items()} if number else {},
            disciplines=dict(sorted(found.items(), key=lambda item: -item[1].rows)),
            coverage=Covered(
                disciplines=whole.disciplines, disciplines_with_rows=len(live.intersection(found)),
                concepts=int(whole.counts["concepts"]), concepts_asked=int(whole.counts["concepts_asked"]),
            ),
            checks={name: check and check | {"rows_after": counts["after"][name]} for name, check in self._checks.items()},
            tests={} if HELD_OUT in choice.include else {test.name: test.hash for test in list_tests(self._ws)}, **values,
        )  # fmt: skip


def counted(ws: Workspace, choice: RowSelection) -> Manifest:
    """What a choice is in numbers, written nowhere; reads every row."""
    tally = Tally(ws, choice)
    for _ in tally:
        pass
    return tally.manifest()


def _asked(which: PairFilter) -> dict:
    """The fields of a filter that ask for anything; of chosen rows their number."""
    asked = {f.name: getattr(which, f.name) for f in fields(which) if getattr(which, f.name) != f.default}
    if which.seqs is not None:
        asked["seqs"] = len(which.seqs)
    return asked


def _most(counts: Iterable) -> dict[str, int]:
    """The most frequent levels, the rest as one."""
    kept = dict(counts.most_common(MOST_LEVELS))
    rest = counts.total() - sum(kept.values())
    return kept | ({"other": kept.get("other", 0) + rest} if rest else {})
