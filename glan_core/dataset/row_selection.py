"""The rows of a dataset: which pairs it takes, each with its provenance as plain values."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from glan_core.dataset.held_out_filter import guard_of
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.splits import split_of
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace, curriculum_rows, homework_rows
from glan_core.workspace.homework_rows import SCRIPTED, Pair

HELD_OUT = "held_out"
SYLLABI = 4000  # that are remembered at a time: rows come oldest first, so those of a syllabus come near one another


class ChosenRows:
    """The rows of a choice, oldest first: (split, seq, row) each; memory stays flat. A row is a dict of the columns of
    `formats.COLUMNS`. `left_out` counts, by reason, what was passed over so far: 'scripted', one of `tag_rows.REASONS`, or
    'held_out' for what the GLAN-Tests of the workspace keep out of training."""

    def __init__(self, ws: Workspace, choice: RowSelection) -> None:
        self._ws, self._choice = ws, choice
        self.scripted = not homework_rows.has_real_teacher(ws.db) if choice.scripted is None else choice.scripted
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[tuple[str, int, dict]]:
        choice, provenance = self._choice, _Provenance(self._ws)
        guard = None if HELD_OUT in choice.include else guard_of(self._ws)
        for pair in homework_rows.all_pairs(self._ws.db, choice.which):
            if pair.scripted and not self.scripted:
                self.left_out["scripted"] += 1
            elif pair.dropped and pair.dropped not in choice.include:
                self.left_out[pair.dropped] += 1
            else:
                row = {"prompt": pair.question.text, "completion": pair.answer, **provenance.of(pair)}
                if guard and guard.hits(row["prompt"], row["concepts"]):
                    self.left_out[HELD_OUT] += 1
                    continue
                split = split_of(choice.split, choice.seed, choice.validation_share, row["syllabus"], row["concepts"])
                yield split, pair.question.seq, row


def expected(ws: Workspace, choice: RowSelection, standing: Coverage) -> int:
    """How many rows a choice takes that asks for nothing but disciplines, those of `standing`: from counters, and by one look
    at an index where scripted rows stand beside others."""
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
    """A row of those that a choice takes, one of the newest; None where none of these is taken."""
    newest = homework_rows.pairs_page(ws.db, replace(choice.which, dropped="in"), limit=20)
    some = replace(choice.which, seqs=tuple(pair.question.seq for pair in newest))
    include = (*choice.include, HELD_OUT)  # one row more or less is the same to who wants to see what rows are like
    return next((row for _, _, row in ChosenRows(ws, choice.model_copy(update={"which": some, "include": include}))), None)


class _Provenance:
    """Looks up what every row of a syllabus shares, and remembers that of the syllabi used last."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._tree = tree_editing.tree(ws)
        self._syllabus = lru_cache(SYLLABI)(self._look_up)

    def of(self, pair: Pair) -> dict:
        """Provenance of a pair. No value is None: readers that guess a column's type from its first rows must not stumble."""
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
        subject = curriculum_rows.subject(self._ws.db, syllabus.subject_id)
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
