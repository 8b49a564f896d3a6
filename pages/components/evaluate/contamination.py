"""Evaluate, Contamination: did a model see a benchmark before it was asked? Its losses on both splits, beside the paper's."""

from collections.abc import Sequence

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.evaluation.contamination import probe_frames
from glan_core.evaluation.contamination.verdict import LARGE, verdicts
from glan_core.evaluation.published_results import MARK
from glan_core.figures import contamination as pictures
from glan_core.formatting import ago, exact, number, plural, shorten
from glan_core.workspace import Workspace, probe_rows
from glan_core.workspace.homework_rows import SCRIPTED
from glan_core.workspace.probe_rows import ProbeRow
from pages.components.evaluate import contamination_form
from pages.components.shared import job_panel, page_frame
from pages.components.shared.untrusted_text import plain

ABOUT = (
    "A model that saw a benchmark in training proves nothing by solving it. The probe compares its mean loss on the benchmark's "
    "training and test split: both are of the same kind, so a training split that is clearly easier was learned before. With "
    "freshly written look-alikes beside them it also shows whether the test split was seen. No answer is written and nothing is "
    "paid for; a model only reads."
)
ICONS = {
    "seen": ":red[:material/error:]", "hint": ":orange[:material/help:]", "none": ":green[:material/check_circle:]",
    "unknown": ":material/help:",
}  # fmt: skip
PICKED = "probe_picked"
TIPS = {
    "train": "Mean loss on the training split, in nats a token, each row counting the same. Lower: found easier. Compare along a row: "
    "models split texts into other tokens.",
    "test": "Mean loss on the test split, in nats a token, each row counting the same. Lower: found easier.",
    "alike": "Mean loss on problems that were written afresh, which no model can have seen.",
    "delta": "Delta = loss on test − loss on train. Around 0 is good; well above 0, the training split was seen.",
    "percent": "Delta as a share of the loss on the test split. Around 0 is good; from 5 % up it counts as large here.",
    "interval": "95 % interval of delta %, bootstrapped over rows. Where it holds 0, the splits differ by no more than chance.",
    "fresh": "Loss on test − loss on look-alikes. Around 0 is good; well below 0, the test split was seen (arXiv 2310.19341).",
}


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """The picked probe as a picture and a table, what it says, and the form for another; or what will be here."""
    busy = job_panel.progress(ws, "probe", "lookalikes")
    found = probe_rows.latest(probe_rows.probes(ws.db))
    if not found:
        with st.container(width=680):
            st.info(ABOUT, icon=":material/policy:")
            if ws.read_only:
                st.caption("Nothing was probed yet, and this workspace is not yours to change.")
            else:
                contamination_form.form(ws, busy)
        return
    left, right = page_frame.picture_and_detail("probe")
    with left:
        name = _choose(found)
        rows = sorted((row for row in found if row.name == name), key=_place)
        _picture(rows)
        _table(rows)
    with right:
        _verdicts(rows)
        if not ws.read_only:
            with st.container(border=True):
                contamination_form.form(ws, busy)


def _place(row: ProbeRow) -> tuple[str, bool]:
    """Each tuned model stands above what it was before."""
    kind, _, name = row.model.partition(":")
    return name, kind != "tuned"


def _choose(found: Sequence[ProbeRow]) -> str:
    """The probe that is shown: the one that was picked, else the newest."""
    names = list(dict.fromkeys(row.name for row in found))
    if len(names) == 1:
        st.markdown(f"**{plain(names[0])}**")
        return names[0]
    if (asked := st.session_state.get("probe_asked")) in names:  # what was begun last is shown as soon as it is there
        st.session_state[PICKED] = asked
        del st.session_state.probe_asked
    if st.session_state.get(PICKED) not in names:
        st.session_state[PICKED] = names[0]
    counts = {name: sum(row.name == name for row in found) for name in names}
    return st.selectbox(
        "Probe", names, key=PICKED, width=320, label_visibility="collapsed",
        format_func=lambda name: f"{shorten(name, 40)} · {plural(counts[name], 'model')}",
    )  # fmt: skip


def _picture(rows: Sequence[ProbeRow]) -> None:
    published = probe_frames.published_frame(rows[0].name)
    measured = probe_frames.probe_frame(rows)
    frame = pd.concat([measured, published], ignore_index=True) if len(published) else measured
    st.plotly_chart(
        pictures.probe_figure(frame, page_frame.figure_style(), LARGE),
        width="stretch",
        config={"displayModeBar": False},
        key="probe_figure",
    )
    for covers, written in dict.fromkeys((row.about.get("covers_said", ""), row.about.get("written_said", "")) for row in rows):
        st.caption(f"The loss covers {plain(covers)}. Texts are written as {plain(written)}.")
    if len(published):
        said = "The paper does not say which tokens its loss covers, so only the deltas compare."
        st.caption(f":material/article: Grey: {plain(MARK)} {said}")


def _table(rows: Sequence[ProbeRow]) -> None:
    alike = any(row.loss_alike is not None for row in rows)
    frame = probe_frames.probe_frame(rows)
    shown = {
        "model": frame["model"], "train": frame["loss_train"], "test": frame["loss_test"],
        **({"alike": frame["loss_alike"]} if alike else {}), "delta": _rounded(frame["delta"], 3), "percent": _rounded(frame["delta_percent"], 1),
        "interval": [_ends(row.about.get("intervals", {}).get("delta_percent")) for row in rows],
        **({"fresh": _rounded(frame["delta_alike"], 3)} if alike else {}), "rows": [_rows_said(row) for row in rows],
        "when": [ago(row.at) for row in rows],
    }  # fmt: skip
    losses = {"train": "Train", "test": "Test", "alike": "Alike"}
    st.dataframe(
        pd.DataFrame(shown), hide_index=True, placeholder="–", height="content" if len(rows) <= 10 else 387,
        alt="Losses of each model on the splits",
        column_config={
            "model": st.column_config.TextColumn("Model", width=145),
            **{name: st.column_config.NumberColumn(label, format="%.3f", width=72, help=TIPS[name]) for name, label in losses.items()},
            "delta": st.column_config.NumberColumn("Delta", format="%+.3f", width=70, help=TIPS["delta"]),
            "percent": st.column_config.NumberColumn("Delta %", format="%+.1f", width=68, help=TIPS["percent"]),
            "interval": st.column_config.TextColumn("95 % interval", width=105, help=TIPS["interval"], alignment="right"),
            "fresh": st.column_config.NumberColumn("Test − alike", format="%+.3f", width=88, help=TIPS["fresh"]),
            "rows": st.column_config.TextColumn("Rows", width=90, help="Rows of train and test that counted, and how many were cut."),
            "when": st.column_config.TextColumn("Measured", width=95),
        },
    )  # fmt: skip


def _rounded(values: pd.Series, digits: int) -> pd.Series:
    """As they are shown, so that nought has no minus."""
    return values.round(digits) + 0.0


def _ends(ends: Sequence[float] | None) -> str | None:
    return f"{ends[0]:+z.1f} to {ends[1]:+z.1f}" if ends else None


def _rows_said(row: ProbeRow) -> str:
    splits = row.about.get("splits", {})
    counts = [splits[role]["rows"] for role in ("train", "test") if role in splits]
    cut = sum(split["cut"] for split in splits.values())
    return " + ".join(map(number, counts)) + (f", {number(cut)} cut" if cut else "")


def _verdicts(rows: Sequence[ProbeRow]) -> None:
    """What the losses say, and the numbers of what matters; then what was read."""
    st.markdown("**What it says**")
    for verdict in verdicts(rows):
        st.markdown(f"{ICONS[verdict.level]} {plain(verdict.said)}")
        if verdict.numbers:
            st.caption(plain(verdict.numbers))
    newest = max(rows, key=lambda row: row.at)
    if set(SCRIPTED) & {
        teacher for row in rows for teacher in row.about.get("files", {}).get("alike", {}).get("written_by", ())
    }:
        st.caption(
            ":gray-badge[scripted teacher] wrote the look-alikes: the test rows with other numbers and names. Good for a try; "
            "they prove nothing."
        )
    files = newest.about.get("files", {})
    labels = {"train": "Training split", "test": "Test split", "alike": "Look-alikes"}
    with st.expander("What was read", icon=":material/description:"):
        for role, file in files.items():
            st.markdown(
                f"{labels[role]}: {plain(shorten(str(file.get('source', '')), 120))}, {plural(file.get('held', 0), 'row')}"
            )
            if by := file.get("written_by"):
                st.caption(f"Written by {plain(', '.join(by))}.")
            if sha := file.get("sha256"):
                st.caption(f"SHA-256 {sha[:16]}…", help=sha)
        drawn = newest.about.get("sample")
        st.caption(
            (
                f"Up to {plural(drawn, 'row')} of each were drawn with seed {newest.about.get('seed', 0)}. "
                if drawn
                else "All rows count. "
            )
            + f"Rows are cut at {plural(newest.about.get('limit', 0), 'token')}. Measured {exact(newest.at)}."
        )
        if shared := newest.about.get("shared"):
            st.caption(f":orange[{plural(shared, 'question')} in both splits.]")
