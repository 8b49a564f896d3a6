"""Arena view: blind votes on the answers of a match, by button or keyboard, with undo and change of a vote."""

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import arena
from glan_core.evaluation.judge.arena import BAD, OTHER, OURS, TIE, Pairing
from glan_core.formatting import number, percent, plural, shorten
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Match
from pages.components.evaluate import match_view
from pages.components.shared import page_frame, unseen_heading, url_state
from pages.components.shared.untrusted_text import escape, model_markdown, show_error

AT = "arena_item"  # the question that is looked at again; without it, the first one without a vote


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the question to vote on, or one that was voted on, with the votes so far."""
    match = match_view.choose(ws)
    if match is None:
        match_view.empty_state(
            "No answers yet. Once two models have answered a test, people vote here on their answers without seeing which model wrote which.",
            "how_to_vote",
        )
        return
    seen = match_view.statistics_of(ws, match)
    if seen is None:
        return
    try:
        found = arena.pairings(ws, match)
    except GlanError as error:
        show_error(error)
        return
    votes, me = match_rows.votes(ws.db, match.id), url_state.user()
    mine = {vote.item: vote.choice for vote in votes if vote.who == me}
    if not found:
        st.info("No question has an answer of both models yet.", icon=":material/hourglass_empty:")
        return
    linked = st.session_state.get(AT) or st.query_params.get("item")
    again = next((pairing for pairing in found if pairing.item.id == linked), None)
    pairing = again or arena.next_pairing(found, mine)
    left, right = page_frame.main_and_detail("votes")
    with left:
        st.progress(len(mine) / len(found), f"{number(len(mine))} of {plural(len(found), 'question')} voted on by you")
        if pairing is None:
            st.success("You have voted on all questions.", icon=":material/done_all:")
            if not ws.read_only:
                _undo_button(ws, match, mine)
        else:
            _question(ws, match, pairing, mine)
    with right:
        _tally(ws, match, seen, found, mine)


def _question(ws: Workspace, match: Match, pairing: Pairing, mine: dict[str, str]) -> None:
    item, chosen = pairing.item, mine.get(pairing.item.id)
    st.query_params["item"] = item.id
    unseen_heading.draw("Question")
    with st.container(border=True):
        st.markdown(model_markdown(item.question))
    if not ws.read_only:
        _buttons(ws, match, pairing, chosen, mine)
    if pairing.cut:
        st.caption(":material/content_cut: An answer was cut off at its token limit.")
    unseen_heading.draw("Answers")
    with st.grid(2, gap="small", min_column_width=300):
        for side, text in enumerate(pairing.shown):
            with st.container(border=True, key=f"arena_side_{side}"):
                model = title(match.ours if pairing.choice(side) == OURS else match.other)
                st.markdown(f"**{'Left' if side == 0 else 'Right'}**" + (f" · {escape(model)}" if chosen else ""))
                st.markdown(model_markdown(text) if text.strip() else "*(empty answer)*")


def _buttons(ws: Workspace, match: Match, pairing: Pairing, chosen: str | None, mine: dict[str, str]) -> None:
    """Draw the votes with their keys; the one that was given is highlighted."""
    choices = (("Left", "1", pairing.choice(0)), ("Right", "2", pairing.choice(1)), ("Tie", "3", TIE), ("Both bad", "4", BAD))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for label, key, choice in choices:
            st.button(
                label, key=f"arena_vote_{key}", shortcut=key, type="primary" if chosen == choice else "secondary",
                on_click=_vote, args=(ws, match, pairing.item.id, choice),
            )  # fmt: skip
        _undo_button(ws, match, mine)
        if chosen:
            st.button(
                "Next", key="arena_next", shortcut="n", icon=":material/arrow_forward:", type="tertiary", on_click=_look, args=(None,)
            )  # fmt: skip


def _undo_button(ws: Workspace, match: Match, mine: dict[str, str]) -> None:
    st.button(
        "Undo", key="arena_undo", shortcut="u", icon=":material/undo:", type="tertiary", disabled=not mine, on_click=_undo,
        args=(ws, match), help="Removes your newest vote.",
    )  # fmt: skip


def _vote(ws: Workspace, match: Match, item: str, choice: str) -> None:
    arena.vote(ws, match, item, choice, url_state.user())
    _look(None)


def _undo(ws: Workspace, match: Match) -> None:
    _look(arena.undo(ws, match, url_state.user()))


def _look(item: str | None) -> None:
    """Look at a question again; None for the first one without a vote."""
    st.session_state[AT] = item
    st.query_params.pop("item", None)


def _tally(ws: Workspace, match: Match, seen: match_view.MatchStatistics, found: list[Pairing], mine: dict[str, str]) -> None:
    """Draw the votes of all people, their agreement with the judge, and the votes of this person to change."""
    counted = arena.tally(match_rows.votes(ws.db, match.id), seen.frame)
    if not counted.votes:
        st.caption("Votes of all people are counted here. Keys: 1 left, 2 right, 3 tie, 4 both bad, U undo.")
        return
    st.markdown(f"**{plural(counted.votes, 'vote')}**")
    st.caption(
        f"{escape(title(match.ours))} {number(counted.wins)} : {number(counted.losses)} {escape(title(match.other))}, "
        f"ties {number(counted.ties)}, both bad {number(counted.bad)}"
    )
    if interval := counted.agreement_interval:
        st.caption(
            f"Judge and people agree on {number(counted.agreeing)} of {plural(counted.compared, 'question')} ({percent(interval[0])} to "
            f"{percent(interval[1])}).", help="Same preferred model, or a tie for both; 95% Wilson interval.",
        )  # fmt: skip
    words = {OURS: title(match.ours), OTHER: title(match.other), TIE: "Tie", BAD: "Both bad"}
    by_item = {pairing.item.id: pairing for pairing in found}
    if mine:
        st.markdown("**Your votes**", help="Open one to change it.")
    with st.container(height=360, border=False):
        for item, choice in reversed(list(mine.items())):
            if item in by_item:
                st.button(
                    f"{escape(shorten(by_item[item].item.question, 44))} · {escape(shorten(words[choice], 20))}", key=f"arena_open_{item}",
                    type="tertiary", on_click=_look, args=(item,),
                )  # fmt: skip
