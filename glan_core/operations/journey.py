"""Journey of a workspace from taxonomy to chat: what each step has produced so far, and which step is next."""

from dataclasses import dataclass

from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.formatting import number
from glan_core.models.tuned_model_store import list_models
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace, chat_rows, match_rows, run_rows


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the journey.

    Attributes:
        title: What the step produces.
        page: File of its page.
        count: How many there are; 0 if there is nothing yet.
        one: Name of one of them.
        many: Name of several.
    """

    title: str
    page: str
    count: int
    one: str
    many: str

    @property
    def done(self) -> bool:
        """Whether the step has produced anything."""
        return self.count > 0

    @property
    def noun(self) -> str:
        """What the count is of: 'pairs'."""
        return self.one if self.count == 1 else self.many

    @property
    def state(self) -> str:
        """What there is: '4,143 pairs', '' if there is nothing yet."""
        return f"{number(self.count)} {self.noun}" if self.done else ""


def journey(ws: Workspace, whole: Coverage) -> list[Step]:
    """Return the steps of a workspace in order.

    Args:
        ws: Workspace.
        whole: Coverage of the whole taxonomy.
    """
    counts = whole.counts
    ended = {run.kind for run in run_rows.runs(ws.db, 500) if run.state == "finished"}
    snapshots, models = list_snapshots(ws), list_models(ws)
    judged, talks = match_rows.judged_matches(ws.db), chat_rows.count_conversations(ws.db)
    return [
        _step("Taxonomy", "pages/taxonomy.py", whole.disciplines, "discipline"),
        _step("Syllabi", "pages/syllabi.py", int(counts["syllabi"]), "syllabus", "syllabi"),
        _step("Pairs", "pages/homework.py", int(counts["pairs"]), "pair"),
        _step("Map", "pages/diversity.py", int("map" in ended), "map"),
        _step("Checks", "pages/dataset.py", len(ended & {"filter", "dedup", "decontaminate"}), "check"),
        _step("Snapshot", "pages/dataset.py", len(snapshots), "snapshot"),
        _step("Model", "pages/models.py", len(models), "tuned model"),
        _step("Evaluation", "pages/evaluate.py", len(judged), "match judged", "matches judged"),
        _step("Chat", "pages/chat.py", talks, "conversation"),
    ]


def next_step(steps: list[Step]) -> Step | None:
    """Return the first step that has produced nothing, None if all have."""
    return next((step for step in steps if not step.done), None)


def _step(title: str, page: str, count: int, one: str, many: str | None = None) -> Step:
    return Step(title, page, count, one, many or f"{one}s")
