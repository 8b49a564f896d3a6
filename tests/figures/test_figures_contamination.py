"""Contamination probe figures: losses and deltas in place, published rows gray and labeled."""

import pandas as pd
import pytest

from glan_core.evaluation.contamination import probe_frames
from glan_core.evaluation.contamination.verdict import LARGE
from glan_core.figures import contamination as pictures
from glan_core.figures.style import DARK, LIGHT
from glan_core.workspace.probe_rows import ProbeRow


def row(model: str, train: float, test: float, alike: float | None = None, ends=(4.0, 12.0)) -> ProbeRow:
    about = {"intervals": {"delta_percent": ends}} if ends else {}
    return ProbeRow(1, model, "sha256:0", "GSM8K", train, test, alike, about, None, 0.0)


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = [
        row("tuned:mine", 1.0, 1.25, 1.3),
        row("base:mine", 1.2, 1.2, 1.3, (-2.0, 2.0)),
        row("local:/x/other", 2.0, 2.1, None, None),
    ]
    return pd.concat([probe_frames.probe_frame(rows), probe_frames.published_frame("GSM8K")], ignore_index=True)


def test_the_frame_holds_what_was_measured_and_what_was_published(frame):
    assert list(frame.columns) == list(probe_frames.COLUMNS) and len(frame) == 3 + 5
    mine = frame.iloc[0]
    assert (
        mine["model"] == "mine"
        and mine["delta"] == 0.25
        and mine["delta_percent"] == 20
        and (mine["low"], mine["high"]) == (4, 12)
    )
    assert mine["delta_alike"] == pytest.approx(-0.05) and frame.iloc[1]["model"] == "mine (base)"
    assert pd.isna(frame.iloc[2]["low"]) and list(frame["published"]) == [False] * 3 + [True] * 5
    orca = frame[frame["model"] == "Orca2-7B"].iloc[0]
    assert orca["delta_percent"] == 11.4 and orca["loss_test"] == 1.14 and pd.isna(orca["loss_alike"])


def test_the_papers_rows_are_found_by_either_name_and_nothing_is_made_up():
    assert len(probe_frames.published_frame("arc_challenge")) == len(probe_frames.published_frame("ARC-C")) == 5
    assert probe_frames.published_frame("my own codes").empty and list(probe_frames.published_frame("x").columns) == list(
        probe_frames.COLUMNS
    )


@pytest.mark.parametrize("style", [LIGHT, DARK])
def test_the_picture_tells_measured_from_published_and_seen_from_not_seen(frame, style):
    figure = pictures.probe_figure(frame, style, LARGE)
    deltas = next(trace for trace in figure.data if trace.xaxis == "x2")
    assert list(deltas.x) == list(frame["delta_percent"]) and deltas.y[0] == "mine" and deltas.y[-1].endswith("· published")
    assert deltas.marker.color[0] == style.failure and deltas.marker.color[1] == style.accent
    assert set(deltas.marker.color[3:]) == {style.muted} and set(deltas.marker.symbol[3:]) == {"circle-open"}
    assert deltas.error_x.array[1] == 2 and deltas.error_x.arrayminus[0] == 16 and deltas.error_x.array[2] == 0
    named = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert named == ["training split", "test split", "look-alikes"]
    bare = pictures.probe_figure(frame.assign(loss_alike=float("nan")), style, LARGE)
    assert "look-alikes" not in [trace.name for trace in bare.data]
