"""Freezing a GLAN-Test: which questions are held out, so that no training row gives one away.

The paper holds out 50 questions of each of 126 disciplines. Here a question is held out with its combination of key concepts:
no row that combines the same ones, and none that nearly repeats it, gets into a snapshot or an export from then on.
"""

import hashlib
import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

from glan_core.dataset.glan_test_store import GlanTestItem, test_path, read_test, write_test
from glan_core.dataset.held_out_filter import HeldOutFilter, concept_set, jaccard, shingles
from glan_core.dataset.row_selection import HELD_OUT, SelectedRows
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.evaluation.settings import GlanTestSettings
from glan_core.formatting import number, plural
from glan_core.runs.heartbeat import Progress
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, homework_rows, run_rows
from glan_core.workspace.pair_filter import PairFilter

SPARE = 3  # candidates for each question, since some repeat others
STEP = 500  # rows between two words about progress


def create_glan_test(ws: Workspace, settings: GlanTestSettings, progress: Progress) -> str:
    """Hold questions out under the order's name; what was done, in a sentence. GlanError when the name is taken, a discipline or
    the snapshot is unknown, or there is nothing to hold out."""
    if test_path(ws, settings.name).exists():
        there = read_test(ws, settings.name)  # this run may have been killed after its work was done
        if there.source == _source(settings) and there.seed == settings.seed and there.created_at >= _begun(ws, progress):
            return f"Froze {plural(there.number, 'question')} as {there.name}."
    tree = tree_editing.tree(ws)
    for discipline_id in settings.disciplines or ():
        hierarchy.discipline(tree, discipline_id)
    candidates, sizes = _candidates(_rows(ws, settings, progress), settings)
    if settings.snapshot:
        candidates = _unseen(ws, settings, candidates, progress)
    items = [
        item for id in sorted(candidates) for item in _drawn(candidates[id], _wanted(settings, sizes[id]), settings.threshold)
    ]
    if not items:
        few = "have too few combinations of key concepts" if sizes else "hold no pairs"
        raise GlanError(f"There is nothing to hold out: the disciplines {few}. Generate more, or allow a larger share.")
    test = write_test(ws, {
        "name": settings.name, "source": _source(settings), "teachers": _teachers(ws, items), "seed": settings.seed,
        "threshold": settings.threshold, "created_at": time.time(),
    }, items)  # fmt: skip
    short = sum(count < settings.questions for count in test.disciplines.values())
    said = f"Froze {plural(test.number, 'question')} of {plural(len(test.disciplines), 'discipline')} as {test.name}."
    if short:
        said += f" {plural(short, 'discipline')} had too few pairs for {settings.questions} each."
    return said if settings.snapshot else f"{said} {_kept_out(ws, settings, items, progress)}"


def _begun(ws: Workspace, progress: Progress) -> float:
    return run_rows.run(ws.db, progress.run_id).created_at


def _source(settings: GlanTestSettings) -> str:
    return f"held out by the snapshot {settings.snapshot}" if settings.snapshot else "pairs of the workspace"


def _wanted(settings: GlanTestSettings, combinations: int) -> int:
    """How many questions a discipline gives: those of a snapshot are held out already, so all of them may be taken."""
    return settings.questions if settings.snapshot else min(settings.questions, int(combinations * settings.max_share))


def _rows(ws: Workspace, settings: GlanTestSettings, progress: Progress) -> Iterator[dict]:
    """The rows to draw from."""
    if settings.snapshot:
        snapshot = read_snapshot(ws, settings.snapshot)
        if not (held := snapshot.manifest.rows.get(VALIDATION)):
            raise GlanError(
                f"The snapshot {settings.snapshot} holds nothing out: take one with a split, or draw from the workspace."
            )
        rows = (row for _, row in snapshot.rows(VALIDATION))
        asked = (row for row in rows if settings.disciplines is None or row["discipline"] in settings.disciplines)
        yield from _stepping(asked, progress, "held-out pairs read", held)
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
    """By discipline: the items to choose from, in the order in which they are drawn, and how many combinations there are. Each
    combination gives its oldest row; its place depends on the seed and its concepts alone, so that rows which come later move
    none."""
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
        entry = (_last_first(rank), row["id"], row)
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)
    items = {id: [_item(row) for _, _, row in sorted(heap, key=lambda e: e[:2], reverse=True)] for id, heap in best.items()}
    return items, {id: len(ranks) for id, ranks in seen.items()}


def _last_first(rank: bytes) -> int:
    """A number that is the larger, the earlier a rank comes: a heap gives up its smallest."""
    return -int.from_bytes(rank)


def _item(row: dict) -> GlanTestItem:
    return GlanTestItem(
        id=row["id"], question=row["prompt"], reference=row["completion"], discipline=row["discipline"],
        taxonomy=tuple(row["taxonomy"]), group=row["group"], subject=row["subject"], level=row["level"], strategy=row["strategy"],
        concepts=tuple(row["concepts"]),
    )  # fmt: skip


def _drawn(candidates: list[GlanTestItem], wanted: int, threshold: float) -> list[GlanTestItem]:
    """The first so many candidates that do not repeat one another."""
    drawn, runs = [], []
    for item in candidates:
        if len(drawn) == wanted:
            break
        mine = shingles(item.question)
        if all(jaccard(mine, other) < threshold for other in runs):
            drawn.append(item)
            runs.append(mine)
    return drawn


def _unseen(
    ws: Workspace, settings: GlanTestSettings, candidates: dict[str, list[GlanTestItem]], progress: Progress
) -> dict[str, list[GlanTestItem]]:
    """Without those that a training row of the snapshot gives away."""
    items = [item for found in candidates.values() for item in found]
    guard, given_away = HeldOutFilter((item, settings.threshold) for item in items), set()
    snapshot = read_snapshot(ws, settings.snapshot)
    rows = (row for _, row in snapshot.rows(TRAIN))
    for row in _stepping(rows, progress, "training rows compared", snapshot.manifest.rows.get(TRAIN, 0)):
        given_away |= guard.hits(row["prompt"], row["concepts"])
    gone = {items[nth].id for nth in given_away}
    return {id: [item for item in found if item.id not in gone] for id, found in candidates.items()}


def _kept_out(ws: Workspace, settings: GlanTestSettings, items: list[GlanTestItem], progress: Progress) -> str:
    """How many pairs stay out of training from now on, in a sentence."""
    guard, out = HeldOutFilter((item, settings.threshold) for item in items), 0
    for row in _stepping(_pairs(ws, settings), progress, "pairs compared", homework_rows.last_seq(ws.db)):
        out += bool(guard.hits(row["prompt"], row["concepts"]))
    also = out - len(items)
    return f"Out of training stay these and {number(also)} more that combine the same key concepts or nearly repeat one."


def _teachers(ws: Workspace, items: list[GlanTestItem]) -> tuple[str, ...]:
    """Who wrote the references."""
    pairs = (homework_rows.pair(ws.db, item.id) for item in items)
    return tuple(sorted({pair.answer_teacher for pair in pairs if pair and pair.answer_teacher}))
