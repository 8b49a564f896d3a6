"""Probe verdicts in words. The thresholds are ours; the paper shows deltas without one.

A probe finds no sign only if its interval excludes a large delta: an interval of -34 to +17% is no evidence of anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from glan_core.models.model_specs import model_title
from glan_core.workspace.probe_rows import ProbeRow

LARGE = 5.0  # percent of the test loss above which a significant delta counts as large
FEWEST = 20  # rows of either split below which bootstrap intervals are too narrow to be trusted


LEVELS = ("seen", "hint", "unknown", "none")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a split was seen.

    Attributes:
        level: 'seen' (significant and large), 'hint' (significant and small), 'none', or 'unknown' (too few rows).
        said: The verdict as a sentence.
        numbers: The underlying numbers.
    """

    level: Literal["seen", "hint", "none", "unknown"]
    said: str
    numbers: str = ""


def seen_train(row: ProbeRow) -> Verdict:
    """Return whether a model appears to have seen the training split."""
    name, ends = model_title(row.model), row.about.get("intervals", {}).get("delta_percent")
    if not ends:
        return Verdict("unknown", f"Too few rows to tell whether {name} saw the training split.")
    low, high = ends
    numbers = f"Delta {row.delta_percent:+z.1f}%, 95% interval {low:+z.1f} to {high:+z.1f}%{_rows(row, 'train', 'test')}"
    if _fewest(row, "train", "test") < FEWEST or (low <= 0 and high >= LARGE):
        return Verdict("unknown", f"Too few rows to tell whether {name} saw the training split.", numbers)
    if low <= 0:
        why = "it is not easier than the test split" if high < 0 else "the difference is within chance"
        return Verdict("none", f"No sign that {name} saw the training split: {why}.", numbers)
    if row.delta_percent < LARGE:
        return Verdict("hint", f"The training split is slightly easier for {name}: partly seen, or easier by itself.", numbers)
    return Verdict(
        "seen", f"{name} appears to have seen the training split: it is clearly easier than the test split.", numbers
    )


def seen_test(row: ProbeRow) -> Verdict | None:
    """Return whether a model appears to have seen the test split, compared with look-alikes; None without look-alikes."""
    if row.delta_alike is None or not row.loss_test:
        return None
    name, ends = model_title(row.model), row.about.get("intervals", {}).get("delta_alike")
    if not ends:
        return Verdict("unknown", f"Too few look-alikes to tell whether {name} saw the test split.")
    low, high = ends
    numbers = (
        f"Test − look-alikes {row.delta_alike:+z.2f} nats per token, 95% interval {low:+z.2f} to {high:+z.2f}"
        f"{_rows(row, 'alike', 'test')}"
    )
    if _fewest(row, "alike", "test") < FEWEST or (high >= 0 and 100 * -low / row.loss_test >= LARGE):
        return Verdict("unknown", f"Too few rows to tell whether {name} saw the test split.", numbers)
    if high >= 0:
        why = "look-alikes are even easier" if low > 0 else "the difference from look-alikes is within chance"
        return Verdict("none", f"No sign that {name} saw the test split: {why}.", numbers)
    if 100 * -row.delta_alike / row.loss_test < LARGE:
        return Verdict("hint", f"The test split is slightly easier for {name} than look-alikes.", numbers)
    return Verdict("seen", f"{name} appears to have seen the test split: it is clearly easier than look-alikes.", numbers)


def _fewest(row: ProbeRow, *roles: str) -> float:
    """Return the smallest number of rows of some splits; infinite for probes of releases that did not store it."""
    return min((split["rows"] for role in roles if (split := row.about.get("splits", {}).get(role))), default=float("inf"))


def _rows(row: ProbeRow, *roles: str) -> str:
    """Return ', n = 40 and 38 rows, 22 of them truncated (raise the max length).' with the numbers of some splits."""
    splits = [split for role in roles if (split := row.about.get("splits", {}).get(role))]
    if not splits:
        return "."
    cut = sum(split["cut"] for split in splits)
    counts = " and ".join(f"{split['rows']:,}" for split in splits)
    return f", n = {counts} rows" + (f", {cut:,} of them truncated (raise the max length)." if cut else ".")


def tokenizers_differ(rows: Sequence[ProbeRow]) -> bool:
    """Return whether the bytes per token of models differ by more than 2%, so that their losses per token are not comparable."""
    sizes: dict[tuple, list[float]] = {}
    for row in rows:
        test = row.about.get("splits", {}).get("test", {})
        if test.get("bits_per_byte"):
            sizes.setdefault(row.basis, []).append(test["token_mean"] / test["bits_per_byte"])
    return any(max(found) > 1.02 * min(found) for found in sizes.values())


def verdicts(rows: Sequence[ProbeRow]) -> list[Verdict]:
    """Return the verdicts of several models, most important first; models without a sign share one sentence per split."""
    found: list[Verdict] = []
    for split, see in (("training", seen_train), ("test", seen_test)):
        each = [(row, verdict) for row in rows if (verdict := see(row))]
        for row, verdict in each:
            if verdict.level != "none" or len(each) == 1:
                base = base_comparison(row, rows) if split == "training" else ""
                found.append(replace(verdict, numbers=f"{verdict.numbers} {base}".strip()))
        clean = [model_title(row.model) for row, verdict in each if verdict.level == "none"]
        if clean and len(each) > 1:
            found.append(Verdict("none", f"No sign that {', '.join(clean)} saw the {split} split."))
    return sorted(found, key=lambda verdict: LEVELS.index(verdict.level))


def base_comparison(row: ProbeRow, rows: Sequence[ProbeRow]) -> str:
    """Return the delta of the base model on the same tokens as a sentence; '' if it was not probed."""
    kind, _, name = row.model.partition(":")
    base = next(
        (other for other in rows if kind == "tuned" and other.model == f"base:{name}" and other.basis == row.basis), None
    )
    return f"The delta of the base model was {base.delta_percent:+z.1f}%." if base else ""
