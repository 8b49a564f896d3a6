"""One turn of a chat: the prompt, the answers side by side as they are written, and what can be done with them."""

import time

import streamlit as st

from glan_core.chat import conversations, preferences
from glan_core.chat.conversations import Shown
from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.models.model_specs import pane_of, title_of
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import FAILED, STOPPED, WRITING, Preference, Reply
from pages.components.chat import page_state
from pages.components.shared import teacher_form, url_state
from pages.components.shared.untrusted_text import fault, model_markdown, plain, scripted_mark

CURSOR = " ▌"
PULSE = 0.25  # seconds
LETTERS = "ABCD"


def turn(ws: Workspace, shown: Shown, *, last: bool) -> None:
    """A turn; the last one redraws itself while it is written."""
    if shown.writing:
        st.fragment(_writing, run_every=PULSE)(ws, shown.turn.id)
    else:
        _turn(ws, shown, last=last)


def _writing(ws: Workspace, turn_id: int) -> None:
    try:
        shown = conversations.show_turn(ws, turn_id)
    except GlanError:  # deleted by somebody else
        st.rerun()
    if not shown.writing:
        st.rerun()  # drawn anew, without a pulse
    _turn(ws, shown, last=True)
    st.button("Stop", icon=":material/stop:", key=f"talk_stop_{turn_id}", on_click=conversations.stop, args=(ws, turn_id))


def _turn(ws: Workspace, shown: Shown, *, last: bool) -> None:
    vote = chat_rows.preference(ws.db, shown.turn.id, shown.turn.version)
    hidden = shown.turn.blind is not None and vote is None
    with st.chat_message("user", avatar=":material/person:"):
        _prompt(ws, shown)
    settings = shown.turn.blind or range(len(shown.replies))
    replies = [shown.replies[place] for place in settings if place < len(shown.replies)]
    grid = st.grid(min(2, len(replies)) or 1, gap="small", min_column_width=280)
    for place, reply in enumerate(replies):
        with grid.cell(), st.container(border=len(replies) > 1, gap="small", key=f"reply_{shown.turn.id}_{place}"):
            _reply(ws, shown, reply, LETTERS[place] if hidden else "", vote)
    if not shown.writing:
        _below(ws, shown, replies, vote, last=last, hidden=hidden)


# ------------------------------------------------------------------------------------------------------------- the prompt


def _prompt(ws: Workspace, shown: Shown) -> None:
    turn = shown.turn
    if st.session_state.get("talk_editing") == turn.id and not shown.writing:
        _edit(ws, shown)
        return
    if turn.question_id:
        st.caption("A question that was held out of the training")
    with st.container(horizontal=True, vertical_alignment="top", gap="xsmall"):
        st.markdown(model_markdown(turn.prompt), width="stretch")
        if not shown.writing:
            _ways(ws, shown)
    if turn.reference:
        with st.expander("Reference answer"):
            st.markdown(model_markdown(turn.reference))


def _ways(ws: Workspace, shown: Shown) -> None:
    """The way to edit a prompt, and to those that stand beside it."""
    turn = shown.turn
    if len(shown.siblings) > 1:
        _switch(
            f"side_{turn.id}", shown.siblings.index(turn.id), len(shown.siblings), "prompt",
            lambda to: conversations.go_to_sibling(ws, shown.siblings[to]), locked=ws.read_only,
        )  # fmt: skip
    if not ws.read_only:
        st.button(
            "", icon=":material/edit:", type="tertiary", key=f"talk_edit_{turn.id}", on_click=_start_editing, args=(turn.id,),
            help="Edit and ask again. What was said stays, as another way through the conversation.",
        )  # fmt: skip


def _start_editing(turn_id: int | None) -> None:
    st.session_state.talk_editing = turn_id


def _edit(ws: Workspace, shown: Shown) -> None:
    with st.form(f"talk_edited_{shown.turn.id}", border=False):
        text = st.text_area("Prompt", shown.turn.prompt, height=120)
        with st.container(horizontal=True):
            send = st.form_submit_button("Send", type="primary", icon=":material/send:")
            cancel = st.form_submit_button("Cancel")
    if send:
        ask(ws, shown.turn.conversation_id, text, instead_of=shown.turn)
    if cancel:
        _start_editing(None)
        st.rerun()


def ask(ws: Workspace, conversation_id: int | None, prompt: str, **values: object) -> None:
    """Ask the chosen models, and draw the page anew; what keeps it from being asked is said instead, and the prompt kept."""
    key = teacher_form.environment().get("OPENAI_API_KEY", "")
    try:
        with st.spinner("The model process starts."):
            st.session_state.talk_chat = conversations.ask(
                ws, conversation_id, page_state.settings(), prompt, key=key, **values
            )
    except GlanError as error:
        st.session_state.talk_fault, st.session_state.talk_refill = error, prompt
    else:
        st.session_state.talk_editing = None
    st.rerun()


# ------------------------------------------------------------------------------------------------------------- the answers


def _reply(ws: Workspace, shown: Shown, reply: Reply, letter: str, vote: Preference | None) -> None:
    """One answer; under a `letter` where its model is hidden."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{letter or plain(title_of(reply.model))}**", width="content")
        if not letter:
            scripted_mark(reply.model)
            _weights(reply)
        if vote and vote.best == reply.pane:
            st.badge("preferred", icon=":material/thumb_up:", color="blue")
    if reply.text:
        st.markdown(model_markdown(reply.text) + (CURSOR if reply.state == WRITING else ""))
    if reply.state == WRITING:
        if doing := shown.doing.get(reply.pane, "" if reply.text else "Waiting for its turn."):
            st.markdown(f":primary[:material/hourglass_top: {plain(doing)}] :gray[{max(0, time.time() - reply.at):.0f} s]")
            if not reply.text:
                st.skeleton(height=72)
        return
    if reply.state == FAILED:
        st.error(plain(reply.message or "Something went wrong."))
    elif reply.state == STOPPED:
        st.caption(plain(reply.message or "Stopped."))
    elif not reply.text.strip():
        st.caption("It ended without a word.")
    if reply.facts.get("finish") == "length":
        st.caption(f"Cut at {plural(reply.facts['max_tokens'], 'token')}: raise the limit for more.")
    if not letter:
        _figures(ws, shown, reply)


def _weights(reply: Reply) -> None:
    """Which weights wrote this."""
    facts = reply.facts
    if not facts.get("weights_hash"):
        return
    hashes = [f"weights {facts['weights_hash']}", *([f"adapter {facts['adapter_hash']}"] if facts["adapter_hash"] else [])]
    short = (facts["adapter_hash"] or facts["weights_hash"]).removeprefix("sha256:")[:8]
    where = f"{facts['dtype']} on {facts['device']}"
    st.badge(short, icon=":material/fingerprint:", color="gray", help=plain(f"{'; '.join(hashes)}. {where}."))
    if facts["adapter"] in ("on", "off"):
        color = "blue" if facts["adapter"] == "on" else "gray"
        hint = "One copy of the base serves both; this answer was written with its adapter." if facts["adapter"] == "on" else (
            "One copy of the base serves both; this answer was written without an adapter.")  # fmt: skip
        st.badge(f"adapter {facts['adapter']}", color=color, help=hint)


def _figures(ws: Workspace, shown: Shown, reply: Reply) -> None:
    """Tokens and seconds in a line, and the way to what taught it this."""
    facts = reply.facts
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if facts.get("tokens_out"):
            about = "about " if facts.get("estimated") else ""
            rate = f" · {facts['tokens_out'] / facts['seconds']:,.0f} tokens/s" if facts.get("seconds") else ""
            first = f" · first after {1000 * facts['first_token']:,.0f} ms" if facts.get("first_token") else ""
            drawn = "greedy" if not facts["temperature"] else f"temperature {facts['temperature']:g}, top-p {facts['top_p']:g}"
            hint = f"{drawn}, seed {facts['seed']}; the prompt has {number(facts['tokens_in'])} tokens."
            st.caption(f"{about}{plural(facts['tokens_out'], 'token')}{rate}{first}", help=hint, width="content")
        if reply.text.strip() and _learned_from(ws, shown, reply):
            st.button(
                "What taught it this", icon=":material/school:", type="tertiary", key=f"talk_source_{reply.turn_id}_{reply.pane}",
                on_click=_look_for_source, args=(reply,),
            )  # fmt: skip


def _look_for_source(reply: Reply) -> None:
    st.session_state.talk_source = (reply.turn_id, reply.version, reply.pane)


def _learned_from(ws: Workspace, shown: Shown, reply: Reply) -> str:
    """The snapshot whose rows may have taught an answer: of its own model, else of one beside it; '' without any."""
    for spec in (reply.model, *(other.model for other in shown.replies)):
        try:
            if name := pane_of(ws, spec).snapshot:
                return name
        except GlanError:
            continue
    return ""


# ------------------------------------------------------------------------------------------------------------- below them


def _below(
    ws: Workspace, shown: Shown, replies: list[Reply], vote: Preference | None, *, last: bool, hidden: bool
) -> None:  # fmt: skip
    turn = shown.turn
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        if len(shown.versions) > 1:
            at = shown.versions.index(turn.version)
            _switch(
                f"version_{turn.id}", at, len(shown.versions), "answer",
                lambda to: conversations.go_to_version(ws, turn.id, shown.versions[to]), locked=ws.read_only,
            )  # fmt: skip
        if last and not ws.read_only:
            st.button(
                "Ask again", icon=":material/refresh:", type="tertiary", key=f"talk_again_{turn.id}", on_click=_again,
                args=(ws, turn.id), help="Another answer, drawn with the next seed. The earlier ones are kept.",
            )  # fmt: skip
        if len(replies) > 1 and not ws.read_only and not any(reply.state == FAILED for reply in replies):
            _vote(ws, shown, replies, vote, hidden=hidden)


def _vote(ws: Workspace, shown: Shown, replies: list[Reply], vote: Preference | None, *, hidden: bool) -> None:
    turn = shown.turn
    if vote:
        best = next((reply for reply in replies if reply.pane == vote.best), None)
        said = (
            f"You preferred {title_of(best.model)}."
            if best
            else {"tie": "You called it a tie.", "bad": "You found none good."}[vote.choice]
        )
        blind = " Their names were hidden." if turn.blind else ""
        st.caption(plain(f"{said}{blind}"), width="content")
        return
    choices = [
        (f"{LETTERS[n] if hidden else title_of(reply.model)} is better", preferences.ONE, reply.pane)
        for n, reply in enumerate(replies)
    ]
    choices += [("Tie", preferences.TIE, None), ("None is good", preferences.BAD, None)]
    for n, (label, choice, best) in enumerate(choices):
        st.button(
            plain(label), key=f"talk_vote_{turn.id}_{n}", on_click=_deed,
            args=(preferences.vote, ws, turn.id, turn.version, choice, best, url_state.user()),
        )  # fmt: skip


def _again(ws: Workspace, turn_id: int) -> None:
    _deed(conversations.ask_again, ws, turn_id, key=teacher_form.environment().get("OPENAI_API_KEY", ""))


def _deed(do, *args: object, **values: object) -> None:
    """Do something in a callback; what goes wrong is said above the chat."""
    try:
        do(*args, **values)
    except GlanError as error:
        st.session_state.talk_fault = error


def _switch(key: str, at: int, number: int, what: str, go, *, locked: bool) -> None:
    """Buttons to the one before and the next."""
    before = {"icon": ":material/chevron_left:", "key": f"talk_{key}_before", "help": f"The {what} before"}
    st.button("", type="tertiary", disabled=locked or at == 0, on_click=go, args=(at - 1,), **before)
    st.caption(f"{at + 1} of {number}", width="content")
    after = {"icon": ":material/chevron_right:", "key": f"talk_{key}_after", "help": f"The next {what}"}
    st.button("", type="tertiary", disabled=locked or at == number - 1, on_click=go, args=(at + 1,), **after)


def told() -> None:
    """What kept the last deed from being done."""
    if error := st.session_state.pop("talk_fault", None):
        fault(error)
