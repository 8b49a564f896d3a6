"""Split estimate: the share of pairs that a split holds out, before a snapshot or an export is written.

Groups are held out whole, so with few groups the share can be far from the requested one.
"""

from dataclasses import dataclass, replace

from glan_core.dataset.row_selection import SelectedRows
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.splits import VALIDATION, concept_group, split_of
from glan_core.errors import GlanError
from glan_core.formatting import number, percent, plural
from glan_core.workspace import Workspace, curriculum_rows, homework_rows

MOST_READ = 5000  # rows read for an exact count; above, syllabi are counted by their questions, combinations from a sample
GROUPS = {"syllabus": ("syllabus", "syllabi"), "combination": ("combination", "combinations")}


@dataclass(frozen=True, slots=True)
class SplitEstimate:
    """What a split holds out.

    Attributes:
        rows: Rows counted.
        held_out: Rows held out.
        groups: Syllabi or combinations, None if only a sample was read.
        held_out_groups: Those held out, None likewise.
        exact: Whether every selected row was counted.
        requested: Requested share.
        rule: Split rule.
    """

    rows: int
    held_out: int
    groups: int | None
    held_out_groups: int | None
    exact: bool
    requested: float
    rule: str

    @property
    def share(self) -> float:
        """Share of the rows that is held out; 0 without rows."""
        return self.held_out / self.rows if self.rows else 0.0

    @property
    def far(self) -> bool:
        """Whether the share is more than half of the requested one away from it."""
        return bool(self.rows) and abs(self.share - self.requested) > self.requested / 2

    @property
    def empty(self) -> bool:
        """Whether no row remains for training."""
        return self.exact and self.rows > 0 and self.held_out == self.rows

    def __str__(self) -> str:
        """Describe the estimate: 'Held out: 41% of the pairs (12 of 29; 2 of 5 syllabi), 5% requested.'."""
        counts = [f"{number(self.held_out)} of {number(self.rows)}"] if self.exact else []
        if self.groups is not None:
            counts.append(f"{number(self.held_out_groups or 0)} of {plural(self.groups, *GROUPS[self.rule])}")
        about = "" if self.exact else "about "
        within = f" ({'; '.join(counts)})" if counts else ""
        text = f"Held out: {about}{percent(self.share)} of the pairs{within}, {percent(self.requested)} requested."
        if not self.far:
            return text
        other = (
            " Hold out combinations of key concepts instead, or try another seed."
            if self.rule == "syllabus"
            else " Try another seed."
        )
        return f"{text} {GROUPS[self.rule][1].capitalize()} are held out whole, and there are few of them.{other}"


def estimate_split(ws: Workspace, choice: RowSelection) -> SplitEstimate | None:
    """Return what the split of a selection holds out; None without a split.

    Reads at most 5,000 rows. Beyond them, excluded rows and pairs that leak a held-out test are not considered.
    """
    if choice.split == "none":
        return None
    last = homework_rows.last_seq(ws.db)
    exact = last <= MOST_READ
    if not exact and choice.split == "syllabus":
        sizes = curriculum_rows.questions_by_syllabus(ws.db, choice.which.disciplines)
        out = {id for id in sizes if split_of(choice.split, choice.seed, choice.validation_share, id, ()) == VALIDATION}
        return SplitEstimate(
            sum(sizes.values()), sum(sizes[id] for id in out), len(sizes), len(out), exact=False, requested=choice.validation_share,
            rule=choice.split,
        )  # fmt: skip
    which = choice.which
    if not exact:
        which = replace(which, seqs=tuple(range(1, last + 1, -(-last // MOST_READ))))
    rows, held_out = 0, 0
    groups: dict[str, bool] = {}
    for split, _, row in SelectedRows(ws, choice.model_copy(update={"which": which})):
        rows += 1
        held_out += split == VALIDATION
        groups[row["syllabus"] if choice.split == "syllabus" else concept_group(row["concepts"])] = split == VALIDATION
    return SplitEstimate(
        rows, held_out, len(groups) if exact else None, sum(groups.values()) if exact else None, exact, choice.validation_share,
        choice.split,
    )  # fmt: skip


def check_split(ws: Workspace, choice: RowSelection) -> SplitEstimate | None:
    """Return what a split holds out, as `estimate_split`.

    Raises:
        GlanError: If no row would remain for training, as far as that is known without reading every row.
    """
    found = estimate_split(ws, choice)
    if found and found.exact:
        check_training_rows(found.rows - found.held_out, found.held_out)
    return found


def check_training_rows(train: int, held_out: int) -> None:
    """Check that a split leaves rows to train on.

    Raises:
        GlanError: If every row is held out.
    """
    if held_out and not train:
        raise GlanError(
            f"The split holds out all {plural(held_out, 'pair')}, so no rows remain for training. Choose a lower validation share, "
            "another split or another seed."
        )
