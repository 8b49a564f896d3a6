"""Results view: score difference of a match by discipline, and its relation to the training data."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.evaluation import published_results
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.figures.coverage import coverage_frame, coverage_rings
from glan_core.figures.judge_results import (
    HEIGHT,
    aspect_figure,
    difference_bars,
    difference_frame,
    difference_rings,
    judged_parts,
    trained_against_difference,
)
from glan_core.figures.rings import LEVELS
from glan_core.figures.tree_parts import ALL, drawn_ids
from glan_core.formatting import number, plural, signed
from glan_core.models.tuned_model_store import read_model
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import Workspace
from glan_core.workspace.match_rows import Match
from pages.components.evaluate import match_view
from pages.components.shared import page_frame, picture_table, plain_table, row_selection, taxonomy_picture, url_state
from pages.components.shared.untrusted_text import escape

COLORED = ("Score difference", "Training pairs")
FEWEST = 8  # disciplines required for a correlation: with fewer, only |r| > 0.74 would be significant
CONCLUSIONS = {"no difference": ": no detectable difference", "too few": ": too few to conclude"}
ROWS = 330  # pixels


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the numbers of a match, the taxonomy with the selection, and the breakdowns."""
    match = match_view.choose(ws)
    if match is None:
        match_view.empty_state(
            "No verdicts yet. Score differences by discipline are shown here once a judge has compared two models: create a held-out "
            "test, then judge a tuned model against its base model.", "gavel",
        )  # fmt: skip
        return
    seen = match_view.statistics_of(ws, match)
    if seen is None:
        return
    match_view.headline(ws, seen)
    match_view.figures(seen)
    if not seen.outcome.judged:
        st.info("No question has both verdicts yet.", icon=":material/hourglass_empty:")
        return
    by_discipline = match_view.outcome_by(seen, "discipline")
    if len(by_discipline):
        left, right = page_frame.main_and_detail("match")
        with left:
            _rings(ws, tree, by_discipline)
        with right:
            _picked(ws, tree, seen)
    else:
        match_view.validity(ws, match)
    left, right = page_frame.two_halves()
    with left:
        _bars(tree, seen)
        _aspects(ws, seen)
    with right:
        _did_it_help(ws, tree, match, by_discipline)


def _rings(ws: Workspace, tree: nx.DiGraph, by_discipline: pd.DataFrame) -> None:
    """Draw the taxonomy colored by score difference or by number of pairs."""
    focus = url_state.focus()
    colored = st.segmented_control(
        "Color by", COLORED, default=COLORED[0], key="evaluate_colored", required=True, label_visibility="collapsed"
    )
    middle = taxonomy_picture.middle(tree)
    style = page_frame.figure_style()
    if colored == COLORED[0]:
        frame = judged_parts(difference_frame(tree, by_discipline))
        middle = middle if middle in set(frame["id"]) else ALL
        figure = difference_rings(frame, style, middle, focus)
        table = lambda: _named(frame[frame["judged"] > 0])  # noqa: E731
        columns = {"name": "Part", "above": "Part of", "value": "Difference", "judged": "Judged"}
        explanation = "Blue: A scored higher; orange: B scored higher. Only tested parts are drawn."
    else:
        frame = coverage_frame(tree, coverage.coverage_by_node(ws, tree), "pairs")
        figure = coverage_rings(frame, "pairs", style, middle, focus, HEIGHT)
        table = lambda: _named(frame).astype({"value": "Int64"})  # noqa: E731
        columns = {"name": "Part", "above": "Part of", "value": "Pairs"}
        explanation = "Darker: more answered questions; gray: none."
    taxonomy_picture.draw(
        figure, drawn_ids(frame, middle, LEVELS), tree, key="evaluate_rings", height=HEIGHT, alt=f"Taxonomy as rings, colored by {colored.lower()}",
    )  # fmt: skip
    st.caption(f"{explanation} Click a part to zoom in, the center to zoom out.")
    formats = {"value": "%+.2f"} if colored == COLORED[0] else {}
    picture_table.button("rings", f"Taxonomy by {colored.lower()}", table, columns, formats)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the nodes with the name of the part above each."""
    return frame.assign(above=frame["parent"].map(dict(zip(frame["id"], frame["name"], strict=True))))


def _picked(ws: Workspace, tree: nx.DiGraph, seen: match_view.MatchStatistics) -> None:
    """Draw the difference in focus, and its disciplines."""
    focus = url_state.focus()
    below = set(hierarchy.disciplines_under(tree, focus))
    frame = seen.frame[seen.frame["discipline"].isin(below)] if focus else seen.frame
    found = match_statistics.outcome(frame)
    st.header(escape(tree.nodes[focus]["node"].name) if focus else "All knowledge", anchor=False)
    if not found.judged:
        st.caption("No judged questions here.")
    else:
        between = f" ({signed(found.low)} to {signed(found.high)})" if found.low is not None else ""
        st.markdown(
            f"**{match_view.format_signed(found.difference)}**{between} on {plural(found.judged, 'question')}"
            f"{CONCLUSIONS.get(match_statistics.conclude(found), '')}"
        )
        ours, other = (escape(title(spec)) for spec in (seen.match.ours, seen.match.other))
        st.caption(
            f"A ({ours}): mean {found.ours:.2f} · B ({other}): mean {found.other:.2f} · {plural(found.wins, 'win')}, {plural(found.ties, 'tie')}, "
            f"{plural(found.losses, 'loss', 'losses')}"
        )
        if st.button("Read questions", icon=":material/quiz:", width="stretch"):
            st.session_state.evaluate_asked = "Questions"
            st.rerun()
        _disciplines(tree, match_view.outcome_by(seen, "discipline", tuple(sorted(below)) if focus else None))
    match_view.validity(ws, seen.match)


def _disciplines(tree: nx.DiGraph, found: pd.DataFrame) -> None:
    found = found[found["judged"] > 0].sort_values("difference", ascending=False, ignore_index=True)
    ids = found["discipline"].tolist()
    key = f"evaluate_disciplines_{url_state.focus()}_{len(ids)}"

    def choose(row: int | None) -> None:
        if row is not None and ids[row] in tree:
            url_state.set_focus(ids[row])

    plain_table.draw(
        pd.DataFrame({
            "name": [_name(tree, id) for id in ids], "difference": found["difference"], "judged": found["judged"],
            "disagreement": found["disagreement"] * 100,
        }).style.format({"difference": signed, "disagreement": "{:.0f}%"}),
        **row_selection.clickable_rows(key, None, choose, len(ids)), hide_index=True, height="content" if len(ids) <= 7 else ROWS,
        alt="Score difference by discipline",
        column_config={
            "name": st.column_config.TextColumn("Discipline", width=112),
            "difference": st.column_config.NumberColumn("Diff.", width=60, help="Mean score of A minus that of B."),
            "judged": st.column_config.NumberColumn("Judged", format="localized", width=62),
            "disagreement": st.column_config.NumberColumn(
                "Bias", width=58, help="Position bias: share of questions whose two orders disagree."
            ),
        },
    )  # fmt: skip


def _name(tree: nx.DiGraph, id: str) -> str:
    return tree.nodes[id]["node"].name if id in tree else id


def _bars(tree: nx.DiGraph, seen: match_view.MatchStatistics) -> None:
    """Draw the difference by a property of the questions, with the paper's results if available."""
    there = [part for part in match_view.PARTS if (seen.frame[part] != "").any()]
    if st.session_state.get("evaluate_by") not in there:
        st.session_state.evaluate_by = there[0]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        part = st.selectbox("By", there, format_func=match_view.PARTS.get, key="evaluate_by", width=180)
        paper = part in ("group", "discipline") and st.toggle(
            "Show paper results", key="evaluate_paper", help=published_results.MARK
        )
    table = match_view.outcome_by(seen, part)
    of_paper = None
    if paper:
        of_paper = published_results.glan_test_by_field() if part == "group" else published_results.glan_test_by_discipline()
        of_paper = of_paper[list(published_results.OTHERS.values())]
    names = {
        "discipline": {id: _name(tree, id) for id in table["discipline"]} if part == "discipline" else {},
        "strategy": match_view.STRATEGIES,
    }
    st.plotly_chart(
        difference_bars(table, part, page_frame.figure_style(), names.get(part), of_paper), key="evaluate_bars",
        config={"displayModeBar": False}, alt=f"Score difference by {part}",
    )  # fmt: skip
    explanation = "Whiskers: 95% interval, for at least 10 judged questions."
    st.caption(f"{explanation} {published_results.MARK}" if paper else explanation)
    judged = table[table["judged"] > 0]
    picture_table.button(
        "bars", f"Score difference by {part}",
        lambda: (judged if of_paper is None else judged.join(of_paper, on=part)).replace({part: names.get(part, {})}),
        {part: match_view.PARTS[part], "difference": "Difference", "low": "Low (95%)", "high": "High (95%)", "judged": "Judged",
         "wins": "Wins", "ties": "Ties", "losses": "Losses",
         **({} if of_paper is None else {other: f"Paper: GLAN − {other}" for other in of_paper})},
        dict.fromkeys(("difference", "low", "high", *([] if of_paper is None else of_paper)), "%+.2f"),
    )  # fmt: skip


def _did_it_help(ws: Workspace, tree: nx.DiGraph, match: Match, by_discipline: pd.DataFrame) -> None:
    """Draw training pairs against score difference by discipline."""
    rows = _training_rows(ws, match)
    st.markdown("**Training data and score difference**")
    if not rows:
        st.caption("The training data of model A is unknown; it is recorded only for models tuned here.")
        return
    found = by_discipline[by_discipline["judged"] > 0]
    points = pd.DataFrame({
        "name": [_name(tree, id) for id in found["discipline"]],
        "group": [(hierarchy.group_of(tree, id) if id in tree else None) or "" for id in found["discipline"]],
        "rows": [rows.get(id, 0) for id in found["discipline"]], "difference": found["difference"].to_numpy(float),
        "judged": found["judged"].to_numpy(int),
    })  # fmt: skip
    st.plotly_chart(
        trained_against_difference(points, page_frame.figure_style()),
        key="evaluate_helped",
        config={"displayModeBar": False},
        alt="Training pairs against score difference by discipline",
    )
    st.caption(_correlation(points))
    picture_table.button(
        "helped", "Training rows and score difference", lambda: points,
        {"name": "Discipline", "group": "Group", "rows": "Training rows", "difference": "Difference", "judged": "Judged"},
        {"difference": "%+.2f"},
    )  # fmt: skip


def _correlation(points: pd.DataFrame) -> str:
    if len(points) < FEWEST or points["rows"].nunique() < 2 or points["difference"].nunique() < 2:
        return f"{plural(len(points), 'discipline')}: too few, or too little variation, for a correlation."
    found, chance = match_statistics.rank_correlation(points["rows"], points["difference"])
    larger = "more data, larger gain" if found > 0 else "more data, smaller gain"
    word = larger if chance < 0.05 else "no detectable relation"
    return (
        f"Spearman correlation over {plural(len(points), 'discipline')}: {found:+.2f} (p = {chance:.2g}): {word}. Dot size: "
        "judged questions; color: taxonomy group."
    )


def _training_rows(ws: Workspace, match: Match) -> dict[str, int]:
    kind, _, name = match.ours.partition(":")
    if kind != "tuned":
        return {}
    try:
        return read_model(ws, name).disciplines
    except GlanError:
        return {}


def _aspects(ws: Workspace, seen: match_view.MatchStatistics) -> None:
    """Draw the mean scores by aspect, if the judge gave any."""
    match, aspects = seen.match, match_view.aspects(ws, seen)
    if not aspects:
        return
    st.markdown("**Scores by aspect**")
    st.plotly_chart(
        aspect_figure({name.capitalize(): pair for name, pair in aspects.items()}, title(match.ours), title(match.other), page_frame.figure_style()),
        key="evaluate_aspects", config={"displayModeBar": False}, alt="Mean scores of both models by aspect",
    )  # fmt: skip
    picture_table.button(
        "aspects", "Scores by aspect",
        lambda: pd.DataFrame([(name.capitalize(), *pair) for name, pair in aspects.items()], columns=["aspect", "ours", "other"]),
        {"aspect": "Aspect", "ours": title(match.ours), "other": title(match.other)}, {"ours": "%.2f", "other": "%.2f"},
    )  # fmt: skip
    if match.judge == "scripted":
        st.caption(
            f"The scripted judge counts words that an answer shares with its textbook of {number(3)} disciplines. It demonstrates judging "
            "and does not measure the quality of a model."
        )
