""" """

from collections.abc import Sequence

import pandas as pd

from glan_core.evaluation.published_results import contamination_probe
from glan_core.models.model_specs import title_of
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
    """One row a measured model, in the order given, by `COLUMNS`: losses in nats a token, deltas as nats and in percent of the
    test split's loss, `low` and `high` the ends of the interval of `delta_percent` (NaN where there is none)."""
    data = []
    for row in rows:
        low, high = row.about.get("intervals", {}).get("delta_percent") or (None, None)
        data.append((
            title_of(row.model), row.loss_train, row.loss_test, row.loss_alike, row.delta, row.delta_percent, low, high,
            row.delta_alike, False,
        ))  # fmt: skip
    return _typed(pd.DataFrame(data, columns=COLUMNS))


def published_frame(name: str) -> pd.DataFrame:
    """The paper's rows of a benchmark by its name, as published: 'GSM8K', 'MATH', 'ARC-E', 'ARC-C' or ours ('arc_challenge');
    empty for anything else."""
    every = contamination_probe()
    wanted = name.strip().lower()
    rows = every[(every["label"].str.lower() == wanted) | (every["benchmark"] == wanted)]
    frame = rows.reindex(columns=COLUMNS).assign(model=rows["model"], published=True)
    return _typed(frame.reset_index(drop=True))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({name: "float64" for name in COLUMNS if name not in ("model", "published")} | {"published": bool})
