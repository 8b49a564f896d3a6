"""The selected match and its statistics, shared by views of the Evaluate page."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from glan_core.dataset.glan_test_store import GlanTestItem, read_items
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics, result_card
from glan_core.evaluation.judge.match_setup import OTHER, OURS
from glan_core.evaluation.judge.match_statistics import Missing, Outcome, result_sentence
from glan_core.evaluation.settings import REFERENCE
from glan_core.formatting import ago, number, percent, plural, shorten, signed
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Match
from pages.components.shared.untrusted_text import escape, show_error

PICKED = "match"
PARTS = {
    "group": "Group", "field": "Field", "discipline": "Discipline", "level": "Level", "strategy": "Strategy", "skill": "Skill",
}  # fmt: skip
STRATEGIES = {"single": "one class session", "pair": "two class sessions"}


@dataclass(frozen=True)
class MatchStatistics:
    """A match with its questions (`match_statistics.item_frame`), outcome and gaps."""

    match: Match
    frame: pd.DataFrame
    outcome: Outcome
    missing: Missing
    state: tuple


def label(match: Match) -> str:
    """Return the label of a match: 'maths vs maths (base) · first · scripted judge'."""
    judge = "scripted judge" if match.judge == "scripted" else match.judge
    return f"{title(match.ours)} vs {title(match.other)} · {match.test_name} · {judge}"


def choose(ws: Workspace) -> Match | None:
    """Draw the choice of the match; returns None if there is none."""
    found = {match.id: match for match in match_rows.matches(ws.db)}
    if not found:
        return None
    selection = st.session_state.get(PICKED) or st.query_params.get(PICKED)
    against_models = (
        id for id, match in found.items() if REFERENCE not in (match.ours, match.other)
    )  # "did tuning help?" comes first
    selection = selection if selection in found else next(against_models, next(iter(found)))
    chosen = st.selectbox(
        "Match", list(found), index=list(found).index(selection), width=620, label_visibility="collapsed",
        format_func=lambda id: shorten(label(found[id]), 110),
    )  # fmt: skip
    st.session_state[PICKED] = st.query_params[PICKED] = chosen
    return found[chosen]


def empty_state(explanation: str, icon: str) -> None:
    """Draw the empty state with a button to the Judge view."""
    st.info(explanation, icon=f":material/{icon}:")
    if st.button("Judge two models", type="primary", icon=":material/gavel:"):
        st.session_state.evaluate_asked = "Judge"
        st.rerun()


def statistics_of(ws: Workspace, match: Match) -> MatchStatistics | None:
    """Return the statistics of a match, or None after showing the error if its test was removed."""
    state = str(ws.folder), *match_rows.result_state(ws.db, match)
    try:
        frame, found, gaps = _seen(ws, state)
    except GlanError as error:
        show_error(error)
        return None
    return MatchStatistics(match, frame, found, gaps, state)


def outcome_by(seen: MatchStatistics, column: str, disciplines: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Return the outcome by a column (`match_statistics.outcomes_by`), of all questions or of some disciplines."""
    return _parts(seen.frame, (*seen.state, column, disciplines))


def aspects(ws: Workspace, seen: MatchStatistics) -> dict[str, tuple[float, float]]:
    """Return the mean scores of both sides by aspect."""
    return _aspects(ws, seen.state)


def item(ws: Workspace, match: Match, id: str) -> GlanTestItem:
    """Return an item of the match's test.

    Raises:
        GlanError: If the test was removed.
    """
    return _items(ws, str(ws.folder), match.test_name, match.test)[id]


@st.cache_data(max_entries=60, show_spinner=False)
def _parts(_frame: pd.DataFrame, state: tuple) -> pd.DataFrame:
    *_, column, disciplines = state
    return match_statistics.outcomes_by(
        _frame if disciplines is None else _frame[_frame["discipline"].isin(disciplines)], column
    )


@st.cache_data(max_entries=30, show_spinner=False)
def _aspects(_ws: Workspace, state: tuple) -> dict[str, tuple[float, float]]:
    return match_statistics.scores_by_aspect(_ws, match_rows.match(_ws.db, state[1]))


@st.cache_resource(max_entries=4, show_spinner=False)
def _items(_ws: Workspace, folder: str, name: str, hash: str) -> dict[str, GlanTestItem]:
    return {item.id: item for item in read_items(_ws, name)}


@st.cache_data(max_entries=30, show_spinner=False)
def _seen(_ws: Workspace, state: tuple) -> tuple[pd.DataFrame, Outcome, Missing]:
    match = match_rows.match(_ws.db, state[1])
    frame = match_statistics.item_frame(_ws, match)
    return frame, match_statistics.outcome(frame), match_statistics.missing(_ws, match, frame)


def headline(ws: Workspace, seen: MatchStatistics) -> None:
    """Draw the result as a sentence, what limits it, and the download of the result card."""
    card = _card(ws, seen.state, seen.frame, seen.outcome, seen.missing)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        said = result_sentence(title(seen.match.ours), title(seen.match.other), seen.outcome)
        st.markdown(f"**{escape(said)}**", width="stretch")
        st.download_button(
            "Result card", result_card.to_markdown(card), file_name=f"{seen.match.id}.md", mime="text/markdown", key="match_card",
            icon=":material/download:", on_click="ignore",
            help="Markdown with the result, its intervals, win rates, position bias, cut answers, leaks, and results by discipline.",
        )  # fmt: skip
    if card.undisputed:
        without = result_sentence(title(seen.match.ours), title(seen.match.other), card.undisputed)
        st.markdown(f"Without {plural(int(seen.frame['disputed'].sum()), 'disputed question')}: {escape(without)}")
    if found := result_card.limits(card):
        st.warning("\n".join(f"- {escape(limit)}" for limit in found), icon=":material/warning:")


@st.cache_data(max_entries=30, show_spinner=False)
def _card(
    _ws: Workspace, state: tuple, _frame: pd.DataFrame, _outcome: Outcome, _missing: Missing
) -> result_card.ResultCard:  # fmt: skip
    return result_card.result_card(_ws, match_rows.match(_ws.db, state[1]), _frame, _outcome, _missing)


def figures(seen: MatchStatistics) -> None:
    """Draw the outcome in numbers."""
    found, gaps = seen.outcome, seen.missing
    with st.grid(6, gap="small", min_column_width=120):
        st.metric(
            "Difference", format_signed(found.difference), help="avg_score(A) − avg_score(B), scores from 1 to 10, over both orders of all "
            "judged questions. Above 0, A is better. This is the paper's metric.",
        )  # fmt: skip
        between = f"{signed(found.low)} to {signed(found.high)}" if found.low is not None else "–"
        st.metric(
            "95% interval", between, help="Bootstrap over questions (2,000 resamples, percentiles). If it includes 0, the difference is "
            "not significant. Requires 10 judged questions.",
        )  # fmt: skip
        st.metric(
            "Wins · ties · losses", f"{number(found.wins)} · {number(found.ties)} · {number(found.losses)}",
            help="Questions by the sign of the mean difference over both orders, for A."
            + _share("Win rate of A", found.win_rate, found.win_interval),
        )  # fmt: skip
        st.metric(
            "Win rate of A", "–" if found.win_rate is None else percent(found.win_rate),
            help="Share of the judged questions that A won; ties are not won." + _share("Win rate", found.win_rate, found.win_interval)
            + " The result card also has the win rate at equal length.",
        )  # fmt: skip
        apart = "–" if found.disagreement is None else f"{found.disagreement:.0%}"
        st.metric(
            "Position bias", apart, help="Share of questions where the judge's preference changes with the order of the answers. Lower "
            "is better; at 100% the judge looks only at the position." + _share("Now", found.disagreement, found.disagreement_interval),
        )  # fmt: skip
        st.metric(
            "Judged", f"{number(found.judged)} of {number(found.questions)}",
            help="Questions with a parsed verdict in both orders, of all questions.",
        )  # fmt: skip
    _counted(gaps, seen.match)


def _share(what: str, share: float | None, interval: tuple[float, float] | None) -> str:
    """Return ' Win rate of A: 60% (31% to 83%, 95% Wilson interval).'; '' without judged questions."""
    if share is None or interval is None:
        return ""
    return f" {what}: {percent(share)} ({percent(interval[0])} to {percent(interval[1])}, 95% Wilson interval)."


def _counted(gaps: Missing, match: Match) -> None:
    """Draw the number of answers that were refused or empty, and of unparsed verdicts; a warning names those that were cut off."""
    parts = filter(None, (match_statistics.describe_missing(gaps), match_statistics.describe_included(gaps, match, cut=False)))
    if said := "; ".join(parts):
        st.caption(f":material/info: Included: {escape(said)}.")


def validity(ws: Workspace, match: Match) -> None:
    """Draw the validity of a match: overlap of the training data with the test, identical models, weights."""
    about = match.about
    for stage, spec in ((OURS, match.ours), (OTHER, match.other)):
        given = about.get("given_away", {}).get(stage) or {}
        if given.get("number"):
            st.warning(
                f"{escape(title(spec))} was trained on {plural(given['number'], 'row')} that leak questions of this test (of the "
                f"{plural(given['rows'], 'row')} drawn from {escape(given['snapshot'])}), so its score is inflated. Create a test before "
                "the training snapshot, or from the snapshot's validation split.", icon=":material/warning:",
            )  # fmt: skip
        elif "number" in given:
            st.caption(
                f":green[:material/verified:] None of the {plural(given['rows'], 'row')} that {escape(title(spec))} was trained on shares the key "
                "concepts of a test question or is a near duplicate of one."
            )
        elif given.get("fault"):
            st.caption(
                f":material/help: The training data of {escape(title(spec))} cannot be checked: {escape(given['fault'])}"
            )
    if about.get("same"):
        st.caption(":material/info: A and B are the same model with the same settings: the expected difference is 0.")
    weights = {
        title(spec): about.get("weights", {}).get(stage) or {} for stage, spec in ((OURS, match.ours), (OTHER, match.other))
    }
    hashes = [
        f"{escape(who)}: {(found.get('adapter') or found['weights']).removeprefix('sha256:')[:12]}"
        for who, found in weights.items()
        if found
    ]
    st.caption(
        f"Test {escape(match.test_name)} ({match.test.removeprefix('sha256:')[:12]}) · judged {ago(match.at)} · temperature "
        f"{about.get('temperature', 0):g}, max new tokens {number(about.get('tokens', 0))}"
        + (f" · weights {', '.join(hashes)}" if hashes else "")
    )


def format_signed(value: float | None) -> str:
    """Format a difference with its sign, as '+1.24'; a dash for None."""
    return signed(value)
