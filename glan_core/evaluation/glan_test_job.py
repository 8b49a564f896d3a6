"""Held-out test job: selects questions for a GLAN-Test so that no training row leaks one.

The paper holds out 50 questions for each of 126 disciplines. Here a question is held out with its combination of key concepts:
rows that combine the same concepts or nearly repeat the question are excluded from snapshots and exports from then on.
"""

import hashlib
import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from glan_core.dataset.glan_test_store import GlanTestItem, read_test, test_path, write_test
from glan_core.dataset.held_out_filter import HeldOutFilter, Runs, concept_set, jaccard, shingles
from glan_core.dataset.row_selection import HELD_OUT, SelectedRows
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.evaluation.settings import GlanTestSettings
from glan_core.formatting import number, percent, plural
from glan_core.runs.heartbeat import Progress
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, homework_rows, run_rows
from glan_core.workspace.pair_filter import PairFilter

SPARE = 3  # candidates per question, because some are near-duplicates of others
STEP = 500  # rows between progress reports


def create_glan_test(ws: Workspace, settings: GlanTestSettings, progress: Progress) -> str:
    """Create a held-out test.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the name exists, a discipline or the snapshot does not exist, or there is nothing to hold out.
    """
    if test_path(ws, settings.name).exists():
        existing = read_test(ws, settings.name)  # this run may have been killed after it had finished its work
        same = existing.source == _source(settings) and existing.seed == settings.seed
        if same and existing.created_at >= _started_at(ws, progress):
            return f"Created test {existing.name} with {plural(existing.number, 'question')}."
    tree = tree_editing.tree(ws)
    for discipline_id in settings.disciplines or ():
        hierarchy.discipline(tree, discipline_id)
    candidates, sizes = _candidates(_rows(ws, settings, progress), settings)
    if settings.snapshot:
        candidates = _unseen(ws, settings, candidates, progress)
    items = [
        item for id in sorted(candidates) for item in _select(candidates[id], _wanted(settings, sizes[id]), settings.threshold)
    ]
    if not items:
        if sizes and not settings.snapshot:
            most = max(sizes.values())
            raise GlanError(
                f"Nothing to hold out: at most {percent(settings.max_share)} of a discipline's combinations of key concepts are held out, "
                f"and no discipline has more than {number(most)}. Generate more pairs, or raise the maximum share (--max-share)."
            )
        raise GlanError("Nothing to hold out: the disciplines have no pairs. Generate some first.")
    test = write_test(ws, {
        "name": settings.name, "source": _source(settings), "teachers": _teachers(ws, items), "seed": settings.seed,
        "threshold": settings.threshold, "created_at": time.time(),
    }, items)  # fmt: skip
    summary = (
        f"Created test {test.name} with {plural(test.number, 'question')} in {plural(len(test.disciplines), 'discipline')}."
    )
    if short := _shortfall(settings, sizes, test.disciplines):
        summary += f" {short}"
    return summary if settings.snapshot else f"{summary} {_excluded(ws, settings, items, progress)}"


def _shortfall(settings: GlanTestSettings, sizes: Mapping[str, int], held_out: Mapping[str, int]) -> str:
    """Return why disciplines have fewer questions than asked for, '' if none has.

    Args:
        settings: Settings of the test.
        sizes: Combinations of key concepts by discipline.
        held_out: Questions of the test by discipline.
    """
    few = [id for id in sizes if held_out.get(id, 0) < settings.questions]
    capped = [id for id in few if not settings.snapshot and _wanted(settings, sizes[id]) < settings.questions]
    parts = []
    if capped:
        parts.append(
            f"{plural(len(capped), 'discipline')} had too few pairs for {settings.questions} each: at most {percent(settings.max_share)} "
            "of a discipline's combinations of key concepts are held out. Generate more pairs, or raise this share (--max-share)."
        )
    if other := len(few) - len(capped):
        parts.append(f"{plural(other, 'discipline')} had too few different questions for {settings.questions} each.")
    return " ".join(parts)


def _started_at(ws: Workspace, progress: Progress) -> float:
    run = run_rows.run(ws.db, progress.run_id)
    return run.created_at if run else 0.0


def _source(settings: GlanTestSettings) -> str:
    return f"validation split of snapshot {settings.snapshot}" if settings.snapshot else "pairs of the workspace"


def _wanted(settings: GlanTestSettings, combinations: int) -> int:
    """Return the number of questions of a discipline; those of a snapshot are held out already, so all may be used."""
    return settings.questions if settings.snapshot else min(settings.questions, int(combinations * settings.max_share))


def _rows(ws: Workspace, settings: GlanTestSettings, progress: Progress) -> Iterator[dict]:
    """Yield the rows to sample from."""
    if settings.snapshot:
        snapshot = read_snapshot(ws, settings.snapshot)
        if not (held := snapshot.manifest.rows.get(VALIDATION)):
            raise GlanError(
                f"Snapshot {settings.snapshot} has no validation split. Use a snapshot with one, or sample from the workspace."
            )
        rows = (row for _, row in snapshot.rows(VALIDATION))
        asked = (row for row in rows if settings.disciplines is None or row["discipline"] in settings.disciplines)
        yield from _stepping(asked, progress, "validation pairs read", held)
    else:
        yield from _stepping(_pairs(ws, settings), progress, "pairs read", homework_rows.last_seq(ws.db))


def _pairs(ws: Workspace, settings: GlanTestSettings) -> Iterator[dict]:
    choice = RowSelection(which=PairFilter(disciplines=settings.disciplines), include=(HELD_OUT,))
    return (row for _, _, row in SelectedRows(ws, choice))


def _stepping(rows: Iterable[dict], progress: Progress, word: str, planned: int) -> Iterator[dict]:
    done = 0
    for done, row in enumerate(rows, start=1):
        if done % STEP == 0:
            progress.step(word, done, max(planned, done))
        yield row
    progress.step(word, max(done, 1), max(done, 1))


def _candidates(rows: Iterable[dict], settings: GlanTestSettings) -> tuple[dict[str, list[GlanTestItem]], dict[str, int]]:
    """Return the candidate items in selection order and the number of combinations, by discipline.

    Each combination contributes its oldest row, ranked by a hash of the seed and its concepts, so later rows do not
    change the selection.
    """
    seen: defaultdict[str, set[bytes]] = defaultdict(set)
    best: defaultdict[str, list[tuple]] = defaultdict(list)
    most = SPARE * settings.questions
    for row in rows:
        concepts = "\n".join(sorted(concept_set(row["concepts"])))
        rank = hashlib.sha256(f"{settings.seed}\n{row['discipline']}\n{concepts}".encode()).digest()
        if rank[:8] in seen[row["discipline"]]:
            continue
        seen[row["discipline"]].add(rank[:8])
        heap = best[row["discipline"]]
        entry = (_heap_key(rank), row["id"], row)
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)
    items = {id: [_item(row) for _, _, row in sorted(heap, key=lambda e: e[:2], reverse=True)] for id, heap in best.items()}
    return items, {id: len(ranks) for id, ranks in seen.items()}


def _heap_key(rank: bytes) -> int:
    """Return a key that is larger for earlier ranks, because a heap drops its smallest entry."""
    return -int.from_bytes(rank)


def _item(row: dict) -> GlanTestItem:
    return GlanTestItem(
        id=row["id"], question=row["prompt"], reference=row["completion"], discipline=row["discipline"],
        taxonomy=tuple(row["taxonomy"]), group=row["group"], subject=row["subject"], level=row["level"], strategy=row["strategy"],
        concepts=tuple(row["concepts"]),
    )  # fmt: skip


def _select(candidates: list[GlanTestItem], wanted: int, threshold: float) -> list[GlanTestItem]:
    """Return the first `wanted` candidates that are not near-duplicates of each other."""
    selected: list[GlanTestItem] = []
    selected_shingles: list[Runs] = []
    for item in candidates:
        if len(selected) == wanted:
            break
        own = shingles(item.question)
        if all(jaccard(own, other) < threshold for other in selected_shingles):
            selected.append(item)
            selected_shingles.append(own)
    return selected


def _unseen(
    ws: Workspace, settings: GlanTestSettings, candidates: dict[str, list[GlanTestItem]], progress: Progress
) -> dict[str, list[GlanTestItem]]:
    """Drop candidates that a training row of the snapshot leaks."""
    items = [item for found in candidates.values() for item in found]
    guard = HeldOutFilter((item, settings.threshold) for item in items)
    given_away: set[int] = set()
    snapshot = read_snapshot(ws, settings.snapshot or "")
    rows = (row for _, row in snapshot.rows(TRAIN))
    for row in _stepping(rows, progress, "training rows compared", snapshot.manifest.rows.get(TRAIN, 0)):
        given_away |= guard.hits(row["prompt"], row["concepts"])
    gone = {items[nth].id for nth in given_away}
    return {id: [item for item in found if item.id not in gone] for id, found in candidates.items()}


def _excluded(ws: Workspace, settings: GlanTestSettings, items: list[GlanTestItem], progress: Progress) -> str:
    """Return a sentence with the number of pairs excluded from training from now on."""
    guard, out = HeldOutFilter((item, settings.threshold) for item in items), 0
    for row in _stepping(_pairs(ws, settings), progress, "pairs compared", homework_rows.last_seq(ws.db)):
        out += bool(guard.hits(row["prompt"], row["concepts"]))
    also = out - len(items)
    return f"These and {number(also)} pairs with the same key concepts or nearly the same question are excluded from training."


def _teachers(ws: Workspace, items: list[GlanTestItem]) -> tuple[str, ...]:
    """Return the models that wrote the reference answers."""
    pairs = (homework_rows.pair(ws.db, item.id) for item in items)
    return tuple(sorted({pair.answer_teacher for pair in pairs if pair and pair.answer_teacher}))
