"""Row selection: which pairs belong to a dataset, each with its provenance as plain values."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from glan_core.dataset.held_out_filter import load_held_out_filter
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.splits import split_of
from glan_core.errors import GlanError
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace, curriculum_rows, homework_rows
from glan_core.workspace.homework_rows import SCRIPTED, Pair

HELD_OUT = "held_out"
SYLLABI = 4000  # cache size; rows come oldest first, so those of one syllabus are close together


class SelectedRows:
    """Iterates over the selected rows, oldest first, as (split, seq, row).

    A row is a dict with the columns of `formats.COLUMNS`. Memory use is flat.

    Attributes:
        scripted: Whether rows of the scripted teacher are included.
        excluded: Excluded pairs so far by reason: 'scripted', one of `tag_rows.REASONS`, or 'held_out' for pairs excluded by
            the GLAN-Tests of the workspace.
    """

    def __init__(self, ws: Workspace, choice: RowSelection) -> None:
        self._ws, self._choice = ws, choice
        self.scripted = not homework_rows.has_real_teacher(ws.db) if choice.scripted is None else choice.scripted
        self.excluded: Counter[str] = Counter()

    def __iter__(self) -> Iterator[tuple[str, int, dict]]:
        choice, provenance = self._choice, _Provenance(self._ws)
        guard = None if HELD_OUT in choice.include else load_held_out_filter(self._ws)
        for pair in homework_rows.all_pairs(self._ws.db, choice.which):
            if pair.scripted and not self.scripted:
                self.excluded["scripted"] += 1
            elif pair.dropped and pair.dropped not in choice.include:
                self.excluded[pair.dropped] += 1
            else:
                row = {"prompt": pair.question.text, "completion": pair.answer, **provenance.of(pair)}
                if guard and guard.hits(row["prompt"], row["concepts"]):
                    self.excluded[HELD_OUT] += 1
                    continue
                split = split_of(choice.split, choice.seed, choice.validation_share, row["syllabus"], row["concepts"])
                yield split, pair.question.seq, row


def estimate_rows(ws: Workspace, choice: RowSelection, standing: Coverage) -> int:
    """Estimate the rows of a selection that filters by discipline only, from counters.

    Args:
        ws: Workspace.
        choice: Row selection.
        standing: Coverage of the selected disciplines.
    """
    counts = standing.counts
    taken = standing.kept + sum(int(counts[f"dropped_{reason}"]) for reason in choice.include if reason != HELD_OUT)
    teachers = set(homework_rows.teachers(ws.db))
    if choice.scripted or not teachers.intersection(SCRIPTED):
        return taken
    if not teachers.difference(SCRIPTED):
        return taken if choice.scripted is None else 0
    if choice.scripted is None and not homework_rows.has_real_teacher(ws.db):
        return taken
    scripted = homework_rows.count_scripted(ws.db, choice.which.disciplines)
    return taken - sum(scripted.get(reason, 0) for reason in (None, *choice.include))


def sample_row(ws: Workspace, choice: RowSelection) -> dict | None:
    """Return one of the newest selected rows as an example, or None if none of these is selected."""
    newest = homework_rows.pairs_page(ws.db, replace(choice.which, dropped="in"), limit=20)
    some = replace(choice.which, seqs=tuple(pair.question.seq for pair in newest))
    include = (*choice.include, HELD_OUT)  # an example row need not respect the held-out filter
    return next((row for _, _, row in SelectedRows(ws, choice.model_copy(update={"which": some, "include": include}))), None)


class _Provenance:
    """Looks up the provenance shared by all rows of a syllabus, with a cache."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._tree = tree_editing.tree(ws)
        self._syllabus = lru_cache(SYLLABI)(self._look_up)

    def of(self, pair: Pair) -> dict:
        """Return the provenance of a pair without None values, so that readers infer column types correctly."""
        q = pair.question
        shared, names = self._syllabus(q.syllabus_id)
        return {
            "id": q.id, **shared, "sessions": [names[id] for id in q.sessions], "concepts": [names[id] for id in q.concepts],
            "strategy": q.strategy, "draw_law": q.draw_law, "seed": q.seed, "draw": q.draw,
            "question_teacher": q.teacher, "answer_teacher": pair.answer_teacher, "review": pair.review or "",
            "starred": pair.starred, "edited": pair.edited, "dropped": pair.dropped or "",
        }  # fmt: skip

    def _look_up(self, syllabus_id: str) -> tuple[dict, dict[str, str]]:
        syllabus = curriculum_rows.syllabus(self._ws.db, syllabus_id)
        subject = curriculum_rows.subject(self._ws.db, syllabus.subject_id) if syllabus else None
        if syllabus is None or subject is None:
            raise GlanError(f"Syllabus {syllabus_id} does not exist. Create the dataset again.")
        live = syllabus.discipline_id in self._tree
        path = [node.name for node in hierarchy.path(self._tree, syllabus.discipline_id)] if live else [syllabus.discipline_id]
        shared = {
            "taxonomy": path, "group": (hierarchy.group_of(self._tree, syllabus.discipline_id) if live else None) or "",
            "discipline": syllabus.discipline_id, "subject": subject.name, "level": subject.level, "syllabus": syllabus_id,
        }  # fmt: skip
        names: dict[str, str] = {}
        for session in curriculum_rows.sessions(self._ws.db, syllabus_id, retired=True):
            names |= {session.id: session.name, **dict(session.concepts)}
        return shared, names
