"""One turn of a chat: the prompt, the replies side by side, votes and actions."""

import time
from typing import Any

import streamlit as st

from glan_core.chat import conversations, preferences
from glan_core.chat.conversations import TurnView, answer_text
from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.models.model_specs import base_name, model_title
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import FAILED, STOPPED, WRITING, Preference, Reply
from pages.components.chat import page_state, reply_diff
from pages.components.shared import teacher_form, unseen_heading, url_state
from pages.components.shared.untrusted_text import escape, model_markdown, scripted_badge, show_error

CURSOR = " ▌"
PULSE = 0.25  # seconds
LETTERS = "ABCD"


def turn(ws: Workspace, shown: TurnView, *, last: bool) -> None:
    """Draw a turn; it refreshes while replies are generated."""
    if shown.writing:
        st.fragment(_writing, run_every=PULSE)(ws, shown.turn.id)
    else:
        _turn(ws, shown, last=last)


def _writing(ws: Workspace, turn_id: int) -> None:
    try:
        shown = conversations.view_turn(ws, turn_id)
    except GlanError:  # deleted in another session
        st.rerun()
    if not shown.writing:
        st.rerun()  # draws this turn again without refresh interval
    _turn(ws, shown, last=True)
    st.button("Stop", icon=":material/stop:", key=f"talk_stop_{turn_id}", on_click=conversations.stop_turn, args=(ws, turn_id))


def _turn(ws: Workspace, shown: TurnView, *, last: bool) -> None:
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


def _prompt(ws: Workspace, shown: TurnView) -> None:
    turn = shown.turn
    if st.session_state.get("talk_editing") == turn.id and not shown.writing:
        _edit(ws, shown)
        return
    unseen_heading.draw("Prompt")
    if turn.question_id:
        st.caption("Question of the validation split")
    with st.container(horizontal=True, vertical_alignment="top", gap="xsmall"):
        st.markdown(model_markdown(turn.prompt), width="stretch")
        if not shown.writing:
            _ways(ws, shown)
    if turn.reference:
        with st.expander("Reference answer"):
            st.markdown(model_markdown(turn.reference))


def _ways(ws: Workspace, shown: TurnView) -> None:
    """Draw the buttons that edit the prompt and switch between its versions."""
    turn = shown.turn
    if len(shown.siblings) > 1:
        _switch(
            f"side_{turn.id}", shown.siblings.index(turn.id), len(shown.siblings), "prompt",
            lambda to: conversations.select_sibling(ws, shown.siblings[to]), locked=ws.read_only,
        )  # fmt: skip
    if not ws.read_only:
        st.button(
            "Edit and resend", icon=":material/edit:", type="tertiary", key=f"talk_edit_{turn.id}", on_click=_start_editing, args=(turn.id,),
            help="Edit and resend. The previous prompt and its replies are kept as another branch.",
        )  # fmt: skip


def _start_editing(turn_id: int | None) -> None:
    st.session_state.talk_editing = turn_id


def _edit(ws: Workspace, shown: TurnView) -> None:
    with st.form(f"talk_edited_{shown.turn.id}", border=False):
        text = st.text_area("Prompt", shown.turn.prompt, height=120)
        with st.container(horizontal=True):
            send = st.form_submit_button("Send", type="primary", icon=":material/send:")
            cancel = st.form_submit_button("Cancel")
    if send:
        send_prompt(ws, shown.turn.conversation_id, text, instead_of=shown.turn)
    if cancel:
        _start_editing(None)
        st.rerun()


def send_prompt(ws: Workspace, conversation_id: int | None, prompt: str, **values: Any) -> None:
    """Send a prompt to the selected models and rerun the page; on an error, show it and keep the prompt."""
    key = teacher_form.environment().get("OPENAI_API_KEY", "")
    try:
        with st.spinner("Starting the model server …"):
            st.session_state.talk_chat = conversations.ask(
                ws, conversation_id, page_state.settings(), conversations.Prompt(prompt, **values), key=key
            )
    except GlanError as error:
        st.session_state.talk_fault, st.session_state.talk_refill = error, prompt
    else:
        st.session_state.talk_editing = None
    st.rerun()


# ------------------------------------------------------------------------------------------------------------- the answers


def _reply(ws: Workspace, shown: TurnView, reply: Reply, letter: str, vote: Preference | None) -> None:
    """Draw one reply, under `letter` if its model is hidden."""
    unseen_heading.draw(f"Reply of {letter or model_title(reply.model)}")
    head = f"reply_head_{reply.turn_id}_{reply.pane}"  # assets/studio.css keeps it in sight over a long reply
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=head):
        st.markdown(f"**{letter or escape(model_title(reply.model))}**", width="content")
        if not letter:
            if base := base_name(ws, reply.model):
                st.caption(escape(base), width="content")
            scripted_badge(reply.model)
            _weights(reply)
        if vote and vote.best == reply.pane:
            st.badge("preferred", icon=":material/thumb_up:", color="blue")
    reasoning, answer = split_reasoning(reply.text)
    _reasoning(reply, reasoning, answer)
    if answer:
        st.markdown(model_markdown(answer) + (CURSOR if reply.state == WRITING else ""))
    if reply.state == WRITING:
        if doing := shown.doing.get(reply.pane, "" if reply.text else "Queued."):
            st.markdown(f":blue[:material/hourglass_top: {escape(doing)}] :gray[{max(0, time.time() - reply.at):.0f} s]")
            if not reply.text:
                st.skeleton(height=72)
        return
    if reply.state == FAILED:
        st.error(escape(reply.message or "The request failed without a message."))
    elif reply.state == STOPPED:
        st.caption(escape(reply.message or "Stopped."))
    elif not answer.strip():
        st.caption("The reply has only reasoning and no answer. Increase max new tokens." if reasoning else "Empty reply.")
    if reply.facts.get("finish") == "length" and answer.strip():
        st.caption(f"Cut off at {plural(reply.facts['max_tokens'], 'token')}. Increase max new tokens for more.")
    if not letter:
        _figures(ws, shown, reply)


def _reasoning(reply: Reply, reasoning: str, answer: str) -> None:
    """Draw the reasoning of a reply, collapsed."""
    if not reasoning:
        return
    thinking = reply.state == WRITING and not answer
    count = reply.facts.get("tokens_reasoning")
    label = "Reasoning …" if thinking else f"Reasoning · {plural(count, 'token')}" if count else "Reasoning"
    with st.expander(label, icon=":material/psychology:", key=f"talk_reasoning_{reply.turn_id}_{reply.version}_{reply.pane}"):
        st.markdown(model_markdown(reasoning) + (CURSOR if thinking else ""))


def _weights(reply: Reply) -> None:
    """Draw badges for the weights that generated the reply."""
    facts = reply.facts
    if not facts.get("weights_hash"):
        return
    hashes = [f"weights {facts['weights_hash']}", *([f"adapter {facts['adapter_hash']}"] if facts["adapter_hash"] else [])]
    short = (facts["adapter_hash"] or facts["weights_hash"]).removeprefix("sha256:")[:8]
    where = f"{facts['dtype']} on {facts['device']}"
    st.badge(short, icon=":material/fingerprint:", color="gray", help=escape(f"{'; '.join(hashes)}. {where}."))
    if facts["adapter"] in ("on", "off"):
        color = "blue" if facts["adapter"] == "on" else "gray"
        hint = "Both panes share one copy of the base; this reply was generated with the adapter." if facts["adapter"] == "on" else (
            "Both panes share one copy of the base; this reply was generated without an adapter.")  # fmt: skip
        st.badge(f"adapter {facts['adapter']}", color=color, help=hint)


def _figures(ws: Workspace, shown: TurnView, reply: Reply) -> None:
    """Draw tokens and speed of a reply, and the button to its nearest training examples."""
    facts = reply.facts
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if facts.get("tokens_out"):
            about = "about " if facts.get("estimated") else ""
            rate = f" · {facts['tokens_out'] / facts['seconds']:,.0f} tokens/s" if facts.get("seconds") else ""
            first = f" · first token after {1000 * facts['first_token']:,.0f} ms" if facts.get("first_token") else ""
            hint = (
                f"{conversations.decoding_words(facts)}, seed {facts['seed']}; prompt of {number(facts['tokens_in'])} tokens."
            )
            st.caption(f"{about}{plural(facts['tokens_out'], 'token')}{rate}{first}", help=hint, width="content")
        if answer_text(reply).strip() and page_state.trained_model(ws, reply):
            st.button(
                "Nearest training examples", icon=":material/school:", type="tertiary", key=f"talk_source_{reply.turn_id}_{reply.pane}",
                on_click=_look_for_source, args=(reply,),
            )  # fmt: skip


def _look_for_source(reply: Reply) -> None:
    st.session_state.talk_source = (reply.turn_id, reply.version, reply.pane)


# ------------------------------------------------------------------------------------------------------------- below them


def _below(
    ws: Workspace, shown: TurnView, replies: list[Reply], vote: Preference | None, *, last: bool, hidden: bool
) -> None:  # fmt: skip
    turn = shown.turn
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        if len(shown.versions) > 1:
            at = shown.versions.index(turn.version)
            _switch(
                f"version_{turn.id}", at, len(shown.versions), "answer",
                lambda to: conversations.select_version(ws, turn.id, shown.versions[to]), locked=ws.read_only,
            )  # fmt: skip
        if last and not ws.read_only:
            st.button(
                "Regenerate", icon=":material/refresh:", type="tertiary", key=f"talk_again_{turn.id}", on_click=_again,
                args=(ws, turn.id), help="Generates another reply with the present sampling settings. Previous replies are kept.",
            )  # fmt: skip
        if len(replies) > 1 and not ws.read_only and not any(reply.state == FAILED for reply in replies):
            _vote(ws, shown, replies, vote, hidden=hidden)
    if len(replies) > 1:
        reply_diff.panel(
            turn.id, replies, [LETTERS[n] if hidden else model_title(reply.model) for n, reply in enumerate(replies)]
        )


def _vote(ws: Workspace, shown: TurnView, replies: list[Reply], vote: Preference | None, *, hidden: bool) -> None:
    turn = shown.turn
    if vote:
        best = next((reply for reply in replies if reply.pane == vote.best), None)
        summary = (
            f"You preferred {model_title(best.model)}."
            if best
            else {"tie": "You voted for a tie.", "bad": "You voted that none is good."}[vote.choice]
        )
        blind = " Blind vote." if turn.blind else ""
        if vote.choice == preferences.ONE and not all(map(preferences.is_complete, replies)):
            blind += " Not in the preference dataset where a reply was stopped or cut off."
        st.caption(escape(f"{summary}{blind}"), width="content")
        return
    choices = [
        (f"{LETTERS[n] if hidden else model_title(reply.model)} is better", preferences.ONE, reply.pane)
        for n, reply in enumerate(replies)
    ]
    choices += [("Tie", preferences.TIE, None), ("Both bad" if len(replies) == 2 else "All bad", preferences.BAD, None)]
    for n, (label, choice, best) in enumerate(choices):
        st.button(
            escape(label), key=f"talk_vote_{turn.id}_{n}", on_click=_deed,
            args=(preferences.vote, ws, turn.id, turn.version, choice, best, url_state.user()),
        )  # fmt: skip


def _again(ws: Workspace, turn_id: int) -> None:
    _deed(
        conversations.regenerate, ws, turn_id, page_state.settings(), same_seed=st.session_state.get("talk_same_seed", False),
        key=teacher_form.environment().get("OPENAI_API_KEY", ""),
    )  # fmt: skip


def _deed(do, *args: object, **values: object) -> None:
    """Apply an action in a callback; an error is shown above the chat."""
    try:
        do(*args, **values)
    except GlanError as error:
        st.session_state.talk_fault = error


def _switch(key: str, at: int, number: int, what: str, go, *, locked: bool) -> None:
    """Draw the buttons to the previous and next version."""
    before = {"icon": ":material/chevron_left:", "key": f"talk_{key}_before", "help": f"Previous {what}"}
    st.button(f"Previous {what}", type="tertiary", disabled=locked or at == 0, on_click=go, args=(at - 1,), **before)
    st.caption(f"{at + 1} of {number}", width="content")
    after = {"icon": ":material/chevron_right:", "key": f"talk_{key}_after", "help": f"Next {what}"}
    st.button(f"Next {what}", type="tertiary", disabled=locked or at == number - 1, on_click=go, args=(at + 1,), **after)


def show_last_error() -> None:
    """Show the error of the last action."""
    if error := st.session_state.pop("talk_fault", None):
        show_error(error)
