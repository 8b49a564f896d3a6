"""Probe results as data frames for display."""

from collections.abc import Sequence

import pandas as pd

from glan_core.evaluation.published_results import contamination_probe
from glan_core.models.model_specs import model_title
from glan_core.workspace.probe_rows import ProbeRow

COLUMNS = (
    "model",
    "loss_train",
    "loss_test",
    "loss_alike",
    "delta",
    "delta_percent",
    "low",
    "high",
    "delta_alike",
    "published",
)


def probe_frame(rows: Sequence[ProbeRow]) -> pd.DataFrame:
    """Return one row per measured model, in the given order.

    Returns:
        Columns `COLUMNS`: losses and deltas in nats per token, `delta_percent` relative to the test loss, and the interval
        of `delta_percent` (`low`, `high`; NaN if there is none).
    """
    data = []
    for row in rows:
        low, high = row.about.get("intervals", {}).get("delta_percent") or (None, None)
        data.append((
            model_title(row.model), row.loss_train, row.loss_test, row.loss_alike, row.delta, row.delta_percent, low, high,
            row.delta_alike, False,
        ))  # fmt: skip
    return _typed(pd.DataFrame(data, columns=COLUMNS))


def published_frame(name: str) -> pd.DataFrame:
    """Return the paper's rows of a benchmark by label ('GSM8K', 'ARC-C') or our name ('arc_challenge'); empty for others."""
    every = contamination_probe()
    wanted = name.strip().lower()
    rows = every[(every["label"].str.lower() == wanted) | (every["benchmark"] == wanted)]
    frame = rows.reindex(columns=COLUMNS).assign(model=rows["model"], published=True)
    return _typed(frame.reset_index(drop=True))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({name: "float64" for name in COLUMNS if name not in ("model", "published")} | {"published": bool})
