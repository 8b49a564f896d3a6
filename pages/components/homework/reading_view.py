"""Reading view of a pair: text, provenance, related questions, prompts and history."""

import networkx as nx
import streamlit as st

from glan_core.formatting import ago, exact, number, shorten, usd
from glan_core.generation import provenance
from glan_core.generation.provenance import Link
from glan_core.generation.stage_specs import stage_title
from glan_core.homework import review
from glan_core.ids import answer_id
from glan_core.taxonomy import hierarchy
from glan_core.untrusted import clean
from glan_core.workspace import Workspace, homework_rows, record_rows
from glan_core.workspace.homework_rows import Pair
from pages.components.homework import review_actions
from pages.components.shared import pair_tags, unseen_heading, url_state
from pages.components.shared.untrusted_text import badge_label, escape, model_markdown, scripted_badge, snippet

FIELD_WORDS = {"text": "text", "review": "verdict", "reason": "reason", "starred": "star", "teacher": "teacher"}


def panel(ws: Workspace, tree: nx.DiGraph, pair: Pair) -> None:
    """Draw a pair: question, answer, badges, tags and provenance."""
    links = provenance.chain(ws, pair.question.id)
    above = [link.title for link in links if link.what in hierarchy.KINDS or link.what == "subject"]
    st.caption(" › ".join(escape(shorten(name, 40)) for name in above))
    unseen_heading.draw("Question")
    with st.container(border=True, key="question"):
        st.markdown(model_markdown(pair.question.text))
    if pair.answer is None:
        st.info("No answer yet. The next run generates it.")
    else:
        if review.answered_older_text(ws, pair.question.id):
            st.warning("The answer belongs to an earlier version of the question. Edit or regenerate it.")
        unseen_heading.draw("Answer")
        with st.container(key="answer"):
            st.markdown(model_markdown(pair.answer))
    badges(pair)
    pair_tags.panel(ws, pair.question.seq)
    concepts(links)
    with st.container(horizontal=True, gap="small"):
        if st.button("Edit", icon=":material/edit:", shortcut="E", key="edit_pair", disabled=ws.read_only):
            review_actions.edit_dialog(ws, pair)
        if pair.question.discipline_id in tree:
            review_actions.regenerate_button(ws, pair.question.id, "answer", "1 call")
    changed = record_rows.events(ws.db, pair.question.id) + record_rows.events(ws.db, answer_id(pair.question.id))
    parts = {
        "Provenance": lambda: provenance_chain(links),
        "Related questions": lambda: same_concepts(ws, pair),
        "Prompts and replies": lambda: prompts(ws, links),
    }
    if changed:
        parts["History"] = lambda: history(changed)
    for tab, draw in zip(st.tabs(list(parts), on_change="rerun", key="chain_tabs"), parts.values(), strict=True):
        if tab.open:
            with tab:
                draw()


def badges(pair: Pair) -> None:
    """Draw badges for verdict, star and origin."""
    with st.container(horizontal=True, gap="small"):
        if pair.review:
            why = f": {shorten(pair.reason, 40)}" if pair.reason else ""
            word, color, icon, _ = review_actions.REVIEWED[pair.review]
            st.badge(f"{word}{badge_label(why)}", color=color, icon=icon)
        if pair.starred:
            st.badge("starred", color="orange", icon=":material/star:")
        if pair.edited:
            st.badge("edited", color="violet", icon=":material/edit:", help="Changed since it was generated; see History.")
        if pair.level:
            st.badge(badge_label(shorten(pair.level, 30)), color="gray", help="Level of the subject")
        st.badge(
            pair.question.strategy, color="gray",
            help="single: concepts of one class session; pair: concepts of two sessions, for harder questions.",
        )  # fmt: skip
        scripted_badge(pair.question.teacher)


def concepts(links: list[Link]) -> None:
    """Draw the key concepts of the question; a click filters by one."""
    with st.container(horizontal=True, gap="xsmall"):
        for link in links:
            if link.what == "key concept":
                st.button(
                    escape(shorten(link.title, 48)), key=f"about_{link.id}", icon=":material/label:", type="tertiary",
                    on_click=url_state.select, kwargs={"concept": link.id}, help="Show all questions about this key concept",
                )  # fmt: skip


def provenance_chain(links: list[Link]) -> None:
    """Draw the provenance chain from field to answer with the calls of each step."""
    for link in links:
        if link.what == "key concept":
            st.markdown(f"\u2003• {escape(link.title)}")
            continue
        title = "" if link.what in ("question", "answer") and not link.title else f": **{escape(link.title)}**"
        st.markdown(f"{link.what.capitalize()}{title}")
        for call in link.calls:
            price = "price unknown" if call.cost_usd is None else usd(call.cost_usd)
            at = f" at {escape(call.endpoint)}" if call.endpoint else ""
            st.caption(
                f"{stage_title(call.stage).capitalize()} by {escape(call.teacher)}{at} · {number(call.tokens_in)} + "
                f"{number(call.tokens_out)} tokens · {escape(price)} · {call.latency_ms:,} ms · {call.outcome} · {exact(call.at)}"
            )


def same_concepts(ws: Workspace, pair: Pair) -> None:
    """List the questions that share a key concept with this one."""
    others = homework_rows.related_pairs(ws.db, pair.question)
    if not others:
        st.caption("No other question shares a key concept with this one.")
    for other in others:
        shared = len(set(other.question.concepts) & set(pair.question.concepts))
        with st.container(border=True, gap="small"):
            st.markdown(snippet(other.question.text, 220))
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(f"{shared} of {len(pair.question.concepts)} key concepts shared")
                st.button(
                    "Read", key=f"sibling_{other.question.id}", type="tertiary", icon=":material/arrow_forward:",
                    on_click=url_state.select, kwargs={"pair": other.question.id},
                )  # fmt: skip


def prompts(ws: Workspace, links: list[Link]) -> None:
    """Show prompt and reply behind question and answer."""
    for link in links:
        if link.what not in ("question", "answer"):
            continue
        for call in link.calls:
            sampling = " · ".join(provenance.sampling_of(call))
            st.markdown(f"**{link.what.capitalize()}** · {escape(call.teacher)} · prompt {call.prompt_version} · {sampling}")
            messages = provenance.messages_of(ws, call)
            if messages is None:
                st.caption(
                    "The prompt cannot be reconstructed: a record it was built from has changed, or the call produced no record."
                )
            for message in messages or ():
                st.code(clean(message["content"]), language=None, wrap_lines=True, height=260)
            st.code(clean(provenance.reply_of(ws, call, link.id, link.text)), language=None, wrap_lines=True, height=180)


def history(events: list[record_rows.RecordEvent]) -> None:
    """Show the edits, newest first, with the previous texts."""
    for event in sorted(events, key=lambda event: -event.seq):
        what = "answer" if event.record_id.startswith("ans-") else "question"
        st.caption(
            f"{escape(event.who)} changed the {FIELD_WORDS[event.field]} of the {what} · {ago(event.at)} · {exact(event.at)}"
        )
        if event.field == "text":
            st.code(clean(str(event.before)), language=None, wrap_lines=True, height=120)
        else:
            st.markdown(f"{_shown(event.before)} → {_shown(event.after)}")


def _shown(value: object) -> str:
    return escape(str(value)) if value else "none"
