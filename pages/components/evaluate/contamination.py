"""Contamination view: loss of models on the training and test split of a benchmark, with the paper's results."""

from collections.abc import Sequence

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.evaluation.contamination import probe_frames
from glan_core.evaluation.contamination.verdict import LARGE, tokenizers_differ, verdicts
from glan_core.evaluation.published_results import MARK
from glan_core.figures import contamination as pictures
from glan_core.formatting import ago, exact, number, plural, shorten
from glan_core.workspace import Workspace, probe_rows
from glan_core.workspace.homework_rows import SCRIPTED
from glan_core.workspace.probe_rows import ProbeRow
from pages.components.evaluate import contamination_form
from pages.components.shared import job_panel, page_frame, picture_table, plain_table
from pages.components.shared.untrusted_text import escape

ABOUT = (
    "The contamination probe compares a model's mean loss on the training and test split of a benchmark. Both have the same "
    "distribution, so a clearly lower training loss indicates that the model was trained on that split. Newly written look-alikes "
    "also reveal whether the test split was seen. The probe generates no text and costs nothing; models only score "
    "existing text."
)
ICONS = {
    "seen": ":red[:material/error:]", "hint": ":orange[:material/help:]", "none": ":green[:material/check_circle:]",
    "unknown": ":material/help:",
}  # fmt: skip
PICKED = "probe_picked"
TOKENIZERS_DIFFER = (
    "The tokenizers of these models differ, so their losses per token are not comparable: compare the deltas, or bits per byte."
)
TIPS = {
    "train": "Mean loss on the training split in nats/token, rows weighted equally. Lower: easier for the model. Compare along a row only, "
    "because tokenizers differ.",
    "test": "Mean loss on the test split in nats/token, rows weighted equally. Lower: easier for the model.",
    "bits": "Loss on the test split in bits per UTF-8 byte of the text. Lower: easier for the model. Comparable between tokenizers.",
    "alike": "Mean loss in nats/token on newly written look-alikes, which no model can have seen.",
    "delta": "Δ = L_test − L_train. Close to 0 is good; clearly above 0 indicates that the training split was seen.",
    "percent": "Δ% = Δ / L_test. Close to 0 is good; 5% and more counts as large.",
    "interval": "95% bootstrap interval of Δ% over rows. If it includes 0, the difference is not significant.",
    "fresh": "L_test − L_alike. Close to 0 is good; clearly below 0 indicates that the test split was seen (arXiv 2310.19341).",
}


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the selected probe with its verdict, and the form for another; or the empty state."""
    busy = job_panel.show_progress(ws, "probe", "lookalikes")
    found = probe_rows.latest(probe_rows.probes(ws.db))
    if not found:
        with st.container(width=680):
            st.info(ABOUT, icon=":material/policy:")
            if ws.read_only:
                st.caption("No probes yet. This workspace is read-only.")
            else:
                contamination_form.panel(ws, busy=busy)
        return
    left, right = page_frame.main_and_detail("probe")
    with left:
        name = _choose(found)
        rows = sorted((row for row in found if row.name == name), key=_place)
        _picture(rows)
        _table(rows)
    with right:
        _verdicts(rows)
        if not ws.read_only:
            with st.container(border=True):
                contamination_form.panel(ws, busy=busy)


def _place(row: ProbeRow) -> tuple[str, bool]:
    """Sort key: each tuned model above its base model."""
    kind, _, name = row.model.partition(":")
    return name, kind != "tuned"


def _choose(found: Sequence[ProbeRow]) -> str:
    """Draw the choice of the probe, by default the newest."""
    names = list(dict.fromkeys(row.name for row in found))
    if len(names) == 1:
        st.markdown(f"**{escape(names[0])}**")
        return names[0]
    if (asked := st.session_state.get("probe_asked")) in names:  # select the probe started last once it has results
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
        alt=f"Loss by split, and delta, of {plural(len(rows), 'model')}",
    )
    for covers, written in dict.fromkeys((row.about.get("covers_said", ""), row.about.get("written_said", "")) for row in rows):
        st.caption(f"Loss on {escape(covers)}. Texts are formatted as {escape(written)}.")
    if len(published):
        summary = "The paper does not state which tokens its loss covers, so only the deltas are comparable."
        st.caption(f":material/article: Gray: {escape(MARK)} {summary}")
    picture_table.button(
        "probe", "Losses and deltas",
        lambda: frame.assign(published=["published" if published else "measured" for published in frame["published"]]),
        {"model": "Model", "published": "Source", "loss_train": "Train", "loss_test": "Test", "loss_alike": "Look-alikes",
         "delta_percent": "Delta", "low": "Low (95%)", "high": "High (95%)"},
        dict.fromkeys(("loss_train", "loss_test", "loss_alike"), "%.3f") | dict.fromkeys(("delta_percent", "low", "high"), "%+.1f %%"),
    )  # fmt: skip


def _table(rows: Sequence[ProbeRow]) -> None:
    alike = any(row.loss_alike is not None for row in rows)
    frame = probe_frames.probe_frame(rows)
    shown = {
        "model": frame["model"], "train": frame["loss_train"], "test": frame["loss_test"],
        **({"alike": frame["loss_alike"]} if alike else {}),
        "bits": pd.Series([row.about.get("splits", {}).get("test", {}).get("bits_per_byte") for row in rows], dtype=float),
        "delta": _rounded(frame["delta"], 3), "percent": _rounded(frame["delta_percent"], 1),
        "interval": [_ends(row.about.get("intervals", {}).get("delta_percent")) for row in rows],
        **({"fresh": _rounded(frame["delta_alike"], 3)} if alike else {}), "rows": [_rows_said(row) for row in rows],
        "when": [ago(row.at) for row in rows],
    }  # fmt: skip
    losses = {"train": "Train", "test": "Test", "alike": "Look-alikes"}
    plain_table.draw(
        pd.DataFrame(shown), hide_index=True, placeholder="–", height="content" if len(rows) <= 10 else 387,
        alt="Loss of each model by split",
        column_config={
            "model": st.column_config.TextColumn("Model", width=145),
            **{name: st.column_config.NumberColumn(label, format="%.3f", width=72, help=TIPS[name]) for name, label in losses.items()},
            "bits": st.column_config.NumberColumn("Test, bits/byte", format="%.3f", width=100, help=TIPS["bits"]),
            "delta": st.column_config.NumberColumn("Δ", format="%+.3f", width=70, help=TIPS["delta"]),
            "percent": st.column_config.NumberColumn("Δ%", format="%+.1f", width=68, help=TIPS["percent"]),
            "interval": st.column_config.TextColumn("95% interval", width=105, help=TIPS["interval"], alignment="right"),
            "fresh": st.column_config.NumberColumn("Test − look-alikes", format="%+.3f", width=88, help=TIPS["fresh"]),
            "rows": st.column_config.TextColumn("Rows", width=150, help="Rows scored of the training and test split, and how many were truncated."),
            "when": st.column_config.TextColumn("Measured", width=95),
        },
    )  # fmt: skip

    if tokenizers_differ(rows):
        st.warning(TOKENIZERS_DIFFER, icon=":material/warning:")


def _rounded(values: pd.Series, digits: int) -> pd.Series:
    """Round to the displayed digits, so that zero has no minus sign."""
    return values.round(digits) + 0.0


def _ends(ends: Sequence[float] | None) -> str | None:
    return f"{ends[0]:+z.1f} to {ends[1]:+z.1f}" if ends else None


def _rows_said(row: ProbeRow) -> str:
    splits = row.about.get("splits", {})
    counts = [splits[role]["rows"] for role in ("train", "test") if role in splits]
    cut = sum(split["cut"] for split in splits.values())
    return " + ".join(map(number, counts)) + (f", {number(cut)} truncated" if cut else "")


def _verdicts(rows: Sequence[ProbeRow]) -> None:
    """Draw the verdicts with their numbers, and the data used."""
    st.markdown("**Verdict**")
    for verdict in verdicts(rows):
        st.markdown(f"{ICONS[verdict.level]} {escape(verdict.said)}")
        if verdict.numbers:
            st.caption(escape(verdict.numbers))
    newest = max(rows, key=lambda row: row.at)
    if set(SCRIPTED) & {
        teacher for row in rows for teacher in row.about.get("files", {}).get("alike", {}).get("written_by", ())
    }:
        st.caption(
            ":gray-badge[scripted teacher] wrote these look-alikes: test rows with other numbers and names, for demonstration "
            "only."
        )
    files = newest.about.get("files", {})
    labels = {"train": "Training split", "test": "Test split", "alike": "Look-alikes"}
    with st.expander("Data", icon=":material/description:"):
        for role, file in files.items():
            st.markdown(
                f"{labels[role]}: {escape(shorten(str(file.get('source', '')), 120))}, {plural(file.get('held', 0), 'row')}"
            )
            if by := file.get("written_by"):
                st.caption(f"Written by {escape(', '.join(by))}.")
            if sha := file.get("sha256"):
                st.caption(f"SHA-256 {sha[:16]}…", help=sha)
        drawn = newest.about.get("sample")
        st.caption(
            (
                f"Up to {plural(drawn, 'row')} per split, sampled with seed {newest.about.get('seed', 0)}. "
                if drawn
                else "All rows. "
            )
            + f"Rows are truncated at {plural(newest.about.get('limit', 0), 'token')}. Measured {exact(newest.at)}."
        )
        if shared := newest.about.get("shared"):
            st.caption(f":orange[{plural(shared, 'question')} in both splits.]")
