"""Homework: questions and answers with filters, and each with the whole chain that it came from."""

import pandas as pd
import streamlit as st

from glan_core import coverage, provenance, taxonomy
from glan_core.generation.order import STAGE_WORDS
from glan_core.provenance import Link
from glan_core.wording import exact, number, plural, usd
from glan_core.workspace import homework_rows, taxonomy_rows
from glan_core.workspace.homework_rows import Pair, PairFilter
from pages.components import address, studio
from pages.components.text import model_markdown, plain, scripted_mark

PAGE = 50

ws, tree = studio.open_page("Homework")
focus = address.focus()
standing = coverage.standings(ws, tree)[focus or ""]
pairs, questions = int(standing.counts["pairs"]), int(standing.counts["questions"])


def filters() -> PairFilter:
    """What the controls above the table say; a change goes back to the newest rows."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        strategy = st.segmented_control(
            "Strategy", ["single", "pair"], key="strategy", bind="query-params", on_change=to_newest,
            help="single: concepts of one class session; pair: concepts of two, for harder questions.",
        )  # fmt: skip
        answered = st.segmented_control(
            "Answer", ["answered", "open"], key="answered", bind="query-params", on_change=to_newest
        )
        words = st.text_input(
            "Search", placeholder="words of question or answer", key="words", bind="query-params", on_change=to_newest,
            icon=":material/search:", help="All of these words. Rows are searchable once the run that made them has ended.",
        )  # fmt: skip
    disciplines = None if focus is None else tuple(taxonomy.disciplines_under(tree, focus))
    return PairFilter(disciplines, strategy, None if answered is None else answered == "answered", words)


def to_newest() -> None:
    """Show the newest rows, with none picked."""
    for key in ("before", "after", "pair"):
        st.session_state.pop(key, None)


def page_of(which: PairFilter) -> list[Pair]:
    """The rows to show."""
    before, after = st.session_state.get("before"), st.session_state.get("after")
    return homework_rows.pairs_page(ws.db, which, before=before, after=after, limit=PAGE)


def turn(rows: list[Pair], which: PairFilter) -> None:
    """The buttons to newer and older rows."""
    newest, oldest = rows[0].question.seq, rows[-1].question.seq

    def newer() -> None:
        to_newest()
        st.session_state.after = newest

    def older() -> None:
        to_newest()
        st.session_state.before = oldest

    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        first = not homework_rows.pairs_page(ws.db, which, after=newest, limit=1)
        last = not homework_rows.pairs_page(ws.db, which, before=oldest, limit=1)
        st.button("Newer", icon=":material/chevron_left:", on_click=newer, disabled=first, type="tertiary")
        st.caption(f"{plural(len(rows), 'row')} here, newest first")
        st.button(
            "Older", icon=":material/chevron_right:", icon_position="right", on_click=older, disabled=last, type="tertiary"
        )


def table(rows: list[Pair]) -> Pair:
    """The rows; returns the picked one, the first unless another is."""
    frame = pd.DataFrame(
        {
            "question": [row.question.text.replace("\n", " ")[:160] for row in rows],
            "discipline": [_name(row.question.discipline_id) for row in rows],
            "strategy": [row.question.strategy for row in rows],
            "answer": [0 if row.answer is None else len(row.answer) for row in rows],
        }
    )
    at = next((number for number, row in enumerate(rows) if row.question.id == st.session_state.get("pair")), 0)
    event = st.dataframe(
        frame, key=f"rows_{rows[0].question.seq}", on_select="rerun", selection_mode="single-row", hide_index=True,
        height="content" if len(rows) <= 16 else 560, selection_default={"selection": {"rows": [at]}},
        column_config={
            "question": st.column_config.TextColumn("Question", width=226),
            "discipline": st.column_config.TextColumn("Discipline", width=94),
            "strategy": st.column_config.TextColumn("Strategy", width=62),
            "answer": st.column_config.NumberColumn("Answer", format="localized", width=62, help="Characters; 0: none yet."),
        },
    )  # fmt: skip
    if event.selection.rows and event.selection.rows[0] < len(rows):
        st.session_state.pair = rows[event.selection.rows[0]].question.id
    return next((row for row in rows if row.question.id == st.session_state.get("pair")), rows[0])


def _name(discipline_id: str) -> str:
    """The name of a discipline, of one that was removed too."""
    return (tree.nodes[discipline_id]["node"] if discipline_id in tree else taxonomy_rows.node(ws.db, discipline_id)).name


def reading(pair: Pair) -> None:
    """One pair to be read: question set apart from answer, where it comes from, and how it was made."""
    links = provenance.chain(ws, pair.question.id)
    above = [link.title for link in links if link.what in taxonomy.KINDS or link.what == "subject"]
    st.caption(" › ".join(plain(name) for name in above))
    with st.container(border=True, key="question"):
        st.markdown(model_markdown(pair.question.text))
    if pair.answer is None:
        st.info("This question has no answer yet: the next run asks for it.")
    else:
        st.markdown(model_markdown(pair.answer))
    with st.container(horizontal=True):
        scripted_mark(pair.question.teacher)
        for link in links:
            if link.what == "key concept":
                st.badge(plain(link.title), color="blue")
    tab_chain, tab_prompts = st.tabs(["Where it comes from", "Prompts and replies"], on_change="rerun", key="chain_tabs")
    if tab_chain.open:
        with tab_chain:
            chain(links)
    if tab_prompts.open:
        with tab_prompts:
            prompts(links)


def chain(links: list[Link]) -> None:
    """The chain, from the field to the answer, with what each step cost."""
    for link in links:
        if link.what == "key concept":
            st.markdown(f"\u2003• {plain(link.title)}")
            continue
        title = "" if link.what in ("question", "answer") and not link.title else f": **{plain(link.title)}**"
        st.markdown(f"{link.what.capitalize()}{title}")
        for call in link.calls:
            price = "price unknown" if call.cost_usd is None else usd(call.cost_usd)
            st.caption(
                f"{STAGE_WORDS[call.stage].capitalize()} by {plain(call.teacher)} · {number(call.tokens_in)} tokens in, "
                f"{number(call.tokens_out)} out · {plain(price)} · {call.latency_ms:,} ms · {call.outcome} · {exact(call.at)}"
            )


def prompts(links: list[Link]) -> None:
    """The full prompt and reply behind question and answer."""
    for link in links:
        if link.what not in ("question", "answer"):
            continue
        for call in link.calls:
            sampling = f"temperature {call.temperature:g} · top-p {call.top_p:g}"
            st.markdown(f"**{link.what.capitalize()}** · prompt {call.prompt_version} · {sampling}")
            messages = provenance.messages_of(ws, call)
            if messages is None:
                st.caption(
                    "This prompt can't be shown again: what it was made from is no longer as it was, or no record came of it."
                )
            for message in messages or ():
                st.code(message["content"], language=None, wrap_lines=True, height=260)
            st.code(call.reply or link.text, language=None, wrap_lines=True, height=180)


state = f"{plural(pairs, 'answered pair')} · {plural(questions - pairs, 'question')} without an answer"
studio.title("Homework", tree, state, ws)
if not questions:
    what = "under this part of the taxonomy" if focus else "in this workspace"
    st.info(f"Questions and their answers will be here. There are none yet {what}: a run writes them.", icon=":material/quiz:")
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        st.switch_page("pages/runs.py")
    st.stop()
which = filters()
left, right = studio.two_halves()
if rows := page_of(which):
    with left:
        picked = table(rows)
        turn(rows, which)
    with right, st.container(height=690, border=False):
        reading(picked)
else:
    left.info("No row passes these filters.")
    left.button(
        "Clear the filters", on_click=lambda: [st.session_state.pop(k, None) for k in ("strategy", "answered", "words")]
    )
