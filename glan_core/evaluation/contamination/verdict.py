"""What the losses of a probe say, in a sentence. The thresholds are ours: the paper shows deltas and draws no line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from glan_core.models.model_specs import title_of
from glan_core.workspace.probe_rows import ProbeRow

LARGE = 5.0  # percent of the test split's loss, from which a delta outside its interval's zero is called large


LEVELS = ("seen", "hint", "unknown", "none")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a split was seen: 'seen' (the difference is clear and large), 'hint' (clear and small), 'none', or 'unknown' where
    there are too few rows; the sentence that says so, and the numbers behind it."""

    level: Literal["seen", "hint", "none", "unknown"]
    said: str
    numbers: str = ""


def seen_train(row: ProbeRow) -> Verdict:
    """Whether the training split looks seen by a model."""
    name, ends = title_of(row.model), row.about.get("intervals", {}).get("delta_percent")
    if not ends:
        return Verdict("unknown", f"There are too few rows to tell whether {name} saw the training split.")
    low, high = ends
    numbers = f"Delta {row.delta_percent:+z.1f} %, 95 % interval {low:+z.1f} to {high:+z.1f} %."
    if low <= 0:
        why = "it is not the easier one" if high < 0 else "the splits differ by no more than chance"
        return Verdict("none", f"No sign that {name} saw the training split: {why}.", numbers)
    if row.delta_percent < LARGE:
        return Verdict("hint", f"The training split is slightly easier for {name}: seen in part, or easier by itself.", numbers)
    return Verdict("seen", f"The training split looks seen by {name}: it is clearly easier than the test split.", numbers)


def seen_test(row: ProbeRow) -> Verdict | None:
    """Whether the test split looks seen by a model, against fresh look-alikes; None where there were none."""
    if row.delta_alike is None or not row.loss_test:
        return None
    name, ends = title_of(row.model), row.about.get("intervals", {}).get("delta_alike")
    if not ends:
        return Verdict("unknown", f"There are too few look-alikes to tell whether {name} saw the test split.")
    low, high = ends
    numbers = f"Test − look-alikes {row.delta_alike:+z.2f} nats a token, 95 % interval {low:+z.2f} to {high:+z.2f}."
    if high >= 0:
        why = "fresh look-alikes are easier still" if low > 0 else "it differs from fresh look-alikes by no more than chance"
        return Verdict("none", f"No sign that {name} saw the test split: {why}.", numbers)
    if 100 * -row.delta_alike / row.loss_test < LARGE:
        return Verdict("hint", f"The test split is slightly easier for {name} than fresh look-alikes.", numbers)
    return Verdict("seen", f"The test split looks seen by {name}: it is clearly easier than fresh look-alikes.", numbers)


def verdicts(rows: Sequence[ProbeRow]) -> list[Verdict]:
    """What the losses of several models say, what matters most first; models without a sign share a sentence for each split."""
    said: list[Verdict] = []
    for split, see in (("training", seen_train), ("test", seen_test)):
        each = [(row, verdict) for row in rows if (verdict := see(row))]
        for row, verdict in each:
            if verdict.level != "none" or len(each) == 1:
                base = beside_base(row, rows) if split == "training" else ""
                said.append(replace(verdict, numbers=f"{verdict.numbers} {base}".strip()))
        clean = [title_of(row.model) for row, verdict in each if verdict.level == "none"]
        if clean and len(each) > 1:
            said.append(Verdict("none", f"No sign that the {split} split was seen by {', '.join(clean)}."))
    return sorted(said, key=lambda verdict: LEVELS.index(verdict.level))


def beside_base(row: ProbeRow, rows: Sequence[ProbeRow]) -> str:
    """What the model before tuning shows on the same tokens, since splits can differ by themselves; '' where it was not probed."""
    kind, _, name = row.model.partition(":")
    base = next(
        (other for other in rows if kind == "tuned" and other.model == f"base:{name}" and other.basis == row.basis), None
    )
    return f"Before tuning the delta was {base.delta_percent:+z.1f} %." if base else ""
