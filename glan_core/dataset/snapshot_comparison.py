"""Comparison of two snapshots: rows by split and discipline, settings that differ, and which rows they share."""

from collections.abc import Iterator
from dataclasses import dataclass

from glan_core.dataset.formats import BATCH
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.snapshot_store import EXCLUSION_LABELS, Snapshot, read_snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION, SplitRule
from glan_core.errors import GlanError
from glan_core.formatting import exact, number, quoted
from glan_core.workspace import Workspace

SPLITS: dict[SplitRule, str] = {"none": "none", "syllabus": "by syllabus", "combination": "by key concepts"}
FILTERS = {
    "disciplines": "Disciplines of the filter",
    "seqs": "Rows of the filter",
}  # counted; other conditions are named by themselves


@dataclass(frozen=True, slots=True)
class SharedRows:
    """Rows that two snapshots share, by the id of the question.

    Attributes:
        both: Rows in both.
        only: Rows only in the first, and only in the second.
        changed: Shared rows whose question or answer differs.
        moved: Shared rows in another split.
        leaked: Training rows of one that are validation rows of the other: first trained, second validated, and the reverse.
    """

    both: int
    only: tuple[int, int]
    changed: int
    moved: int
    leaked: tuple[int, int]

    @property
    def overlap(self) -> float:
        """Share of the rows of both snapshots that both have (Jaccard index), from 0 to 1."""
        rows = self.both + sum(self.only)
        return self.both / rows if rows else 0.0


@dataclass(frozen=True, slots=True)
class DisciplineCounts:
    """Rows of a discipline in each snapshot."""

    name: str
    field: str
    rows: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SnapshotComparison:
    """Two snapshots of a workspace side by side; each value is a pair of the first and the second one.

    Attributes:
        names: Their names.
        rows: Label -> number of rows.
        disciplines: Rows by discipline, the largest difference first.
        settings: Label -> values, of the settings in which they differ.
        shared: Rows that they share.
    """

    names: tuple[str, str]
    rows: dict[str, tuple[int, int]]
    disciplines: list[DisciplineCounts]
    settings: dict[str, tuple[str, str]]
    shared: SharedRows


def compare_snapshots(ws: Workspace, first: str, second: str) -> SnapshotComparison:
    """Compare two snapshots; reads all rows of both.

    Raises:
        GlanError: If they are the same, or one does not exist or is damaged.
    """
    if first == second:
        raise GlanError(f"Both names are {quoted(first)}. Give two snapshots.")
    one, other = read_snapshot(ws, first), read_snapshot(ws, second)
    return SnapshotComparison(
        (first, second), _rows(one.manifest, other.manifest), _disciplines(one.manifest, other.manifest),
        _settings(one.manifest, other.manifest), shared_rows(one, other),
    )  # fmt: skip


def shared_rows(first: Snapshot, second: Snapshot) -> SharedRows:
    """Compare the rows of two snapshots by id, split and text."""
    known = {id: (split, text) for id, split, text in _ids(first)}
    both = changed = moved = extra = 0
    leaked = [0, 0]
    for id, split, text in _ids(second):
        was = known.get(id)
        if was is None:
            extra += 1
            continue
        both += 1
        changed += was[1] != text
        if was[0] != split:
            moved += 1
            leaked[0] += (was[0], split) == (TRAIN, VALIDATION)
            leaked[1] += (was[0], split) == (VALIDATION, TRAIN)
    return SharedRows(both, (len(known) - both, extra), changed, moved, (leaked[0], leaked[1]))


def _ids(snapshot: Snapshot) -> Iterator[tuple[str, str, int]]:
    """Yield id, split and a hash of question and answer of each row."""
    import pyarrow as pa
    from pyarrow import parquet

    for split in (TRAIN, VALIDATION):
        if not snapshot.manifest.rows.get(split):
            continue
        try:
            batches = parquet.ParquetFile(snapshot.file(split)).iter_batches(BATCH, columns=["id", "prompt", "completion"])
            for batch in batches:
                ids, questions, answers = (batch.column(name).to_pylist() for name in ("id", "prompt", "completion"))
                for id, question, answer in zip(ids, questions, answers, strict=True):
                    yield id, split, hash((question, answer))
        except (OSError, KeyError, pa.ArrowInvalid):
            name = quoted(snapshot.manifest.name)
            raise GlanError(f"Snapshot {name} is damaged: {split}.parquet is missing or cannot be read.") from None


def _rows(first: Manifest, second: Manifest) -> dict[str, tuple[int, int]]:
    pairs = {"Rows": (first.number, second.number)}
    for split, label in ((TRAIN, "Training rows"), (VALIDATION, "Validation rows")):
        pairs[label] = (first.rows.get(split, 0), second.rows.get(split, 0))
    pairs["Disciplines"] = (first.coverage.disciplines_with_rows, second.coverage.disciplines_with_rows)
    for reason, words in EXCLUSION_LABELS.items():
        counts = (first.left_out.get(reason, 0), second.left_out.get(reason, 0))
        if any(counts):
            pairs[f"Excluded: {words}"] = counts
    return pairs


def _disciplines(first: Manifest, second: Manifest) -> list[DisciplineCounts]:
    ids = dict.fromkeys([*first.disciplines, *second.disciplines])
    rows = []
    for id in ids:
        entries = [manifest.disciplines.get(id) for manifest in (first, second)]
        named = entries[1] or entries[0]
        assert named is not None
        rows.append(DisciplineCounts(named.name, named.field, tuple(entry.rows if entry else 0 for entry in entries)))  # type: ignore[arg-type]
    return sorted(rows, key=lambda row: (-abs(row.rows[0] - row.rows[1]), -max(row.rows), row.name))


def _settings(first: Manifest, second: Manifest) -> dict[str, tuple[str, str]]:
    summaries = [_summary(manifest) for manifest in (first, second)]
    labels = dict.fromkeys(label for summary in summaries for label in summary)
    pairs = {label: (summaries[0].get(label, "–"), summaries[1].get(label, "–")) for label in labels}
    return {label: values for label, values in pairs.items() if values[0] != values[1]}


def _summary(manifest: Manifest) -> dict[str, str]:
    """Return settings and circumstances of a snapshot as labels with text."""
    share = "–" if manifest.validation_share is None else f"{manifest.validation_share:.1%}"
    asked = {
        FILTERS.get(name, f"Filter: {name.replace('_', ' ')}"): _text(name, value) for name, value in manifest.asked.items()
    }
    teachers = {
        f"{what.capitalize()}s by": ", ".join(f"{name} ({number(count)})" for name, count in list(names.items())[:4]) or "–"
        for what, names in manifest.teachers.items()
    }
    checks = {f"Check: {name}": exact((check or {}).get("at"))[:16] or "not run" for name, check in manifest.checks.items()}
    return {
        "Split": SPLITS[manifest.split], "Validation share": share, "Seed": str(manifest.seed), **asked,
        "Included anyway": ", ".join(manifest.include) or "–", "Scripted rows": "included" if manifest.scripted else "excluded",
        "Held-out tests": ", ".join(sorted(manifest.tests)) or "–", **teachers, **checks,
        "Mean answer length": f"{manifest.characters.get('answer', 0):,.0f} characters",
    }  # fmt: skip


def _text(name: str, value: object) -> str:
    if name in FILTERS:
        return number(len(value) if isinstance(value, list | tuple) else int(str(value)))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
