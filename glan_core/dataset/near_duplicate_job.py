"""Near-duplicate job: tags questions that repeat an earlier one exactly, nearly, or (optionally) semantically."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from glan_core.dataset.duplicate_finder import Duplicate, DuplicateFinder
from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.dataset.shingle_signatures import Signer
from glan_core.dataset.tagging import clear_tags
from glan_core.formatting import number, plural
from glan_core.import_strings import load_symbol
from glan_core.ray_cluster.pipeline import map_batches
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata

if TYPE_CHECKING:
    from glan_core.runs.heartbeat import Progress

SEMANTIC_DUPLICATES = "glan_core.diversity.semantic_neighbors:find_semantic_duplicates"
OUT_BEFORE = ("rejected", "quality")  # rows with these tags are not part of the dataset
BATCH = 2000  # tags per transaction
FACT = "check:dedup"


def tag_duplicates(ws: Workspace, settings: NearDuplicateSettings, progress: "Progress") -> str:
    """Tag every pair whose question duplicates that of an earlier pair, and clear outdated tags.

    Pairs rejected by a person or tagged by a quality filter are skipped.

    Returns:
        One sentence about the result.
    """
    last = homework_rows.last_seq(ws.db)
    pages = (
        [(row.seq, row.question) for row in page if row.answer_length is not None and row.dropped not in OUT_BEFORE]
        for page in homework_rows.texts(ws.db, up_to=last, answers=False)
    )
    found = DuplicateFinder(settings.threshold, ws.folder)
    with found:
        for signatures in map_batches(filter(None, pages), Signer, settings, progress.check, single_threaded=True):
            found.collect(signatures)
            progress.step("rows read", int(signatures.seqs[-1]), last)
        progress.step("rows read", last, last)
        repeats = list(found.repeats(progress.step))
        rows = found.rows
    if settings.semantic:
        repeats = merge_semantic(
            repeats, load_symbol(SEMANTIC_DUPLICATES)(ws, settings, {r.seq for r in repeats}, last, progress.step)
        )
    _store(ws, repeats, progress)
    counts = Counter(repeat.how for repeat in repeats)
    fact = {
        "settings": settings.model_dump(mode="json"), "rows": rows, "up_to": last, "tagged": len(repeats), "by": dict(counts),
        "crowded": found.crowded, "at": time.time(), "run_id": progress.run_id,
    }  # fmt: skip
    with ws.write() as db:
        set_metadata(db, FACT, fact)
    return _sentence(settings, rows, counts, found.crowded)


def _sentence(settings: NearDuplicateSettings, rows: int, counts: Counter, crowded: int) -> str:
    parts = [f"{number(counts['exact'])} exact", f"{number(counts['near'])} near (similarity ≥ {settings.threshold:.2f})"]
    if settings.semantic:
        parts.append(f"{number(counts['meaning'])} semantic (similarity ≥ {settings.semantic_threshold:.2f})")
    summary = f"{plural(rows, 'question')} compared. Duplicates: {', '.join(parts)}."
    if crowded:
        summary += f" {plural(crowded, 'question')} had more candidates than could be compared."
    return summary


def _store(ws: Workspace, repeats: Sequence[Duplicate], progress: "Progress") -> None:
    """Replace the tags of earlier checks with those of these duplicates."""
    for start in range(0, len(repeats), BATCH):
        batch = repeats[start : start + BATCH]
        with ws.write() as db:
            ids = homework_rows.ids_by_seq(db, {repeat.of for repeat in batch})
            tag_rows.put_tags(
                db, [Tag(r.seq, "duplicate", r.how, ids[r.of], r.score) for r in batch if r.of in ids], progress.run_id
            )
        progress.step("tags stored", start + len(batch), len(repeats))
    clear_tags(ws, "duplicate", except_run=progress.run_id)


def merge_semantic(repeats: Iterable[Duplicate], in_meaning: Iterable[Duplicate]) -> list[Duplicate]:
    """Merge semantic duplicates into the others, so that no tag points to a row that is itself a semantic duplicate."""
    of = {repeat.seq: repeat for repeat in in_meaning}
    moved = (Duplicate(r.seq, of[r.of].of, "meaning", of[r.of].score) if r.of in of else r for r in repeats)
    return [*moved, *of.values()]
