"""Chat page: compare replies of up to four models (tuned, base, local or endpoint), with blind votes."""

from pathlib import Path

import streamlit as st

from glan_core.chat import conversations
from glan_core.formatting import plural, shorten
from glan_core.models.model_specs import SCRIPTED, list_specs
from glan_core.workspace import chat_rows
from pages.components.chat import model_bar, page_state, sources, turn_view
from pages.components.shared import empty_state, page_frame, url_state
from pages.components.shared.untrusted_text import escape

TRAIN = "pages/train.py"
HEIGHT = 540  # of the scrollable conversation; the style sheet fits it to the window

ws, tree = page_frame.open_page("Chat")
conversation = page_state.load(ws)
page_state.write_url(conversation)
turns = conversations.view_turns(ws, conversation) if conversation else []
writing = bool(turns) and turns[-1].writing


def sentence() -> str:
    """Return the state in one sentence."""
    if conversation:
        return escape(f"{shorten(conversation.name, 80)} · {plural(len(turns), 'turn')}")
    kept = chat_rows.count_conversations(ws.db)
    return f"New conversation · {plural(kept, 'conversation')} stored" if kept else "New conversation"


def nobody() -> None:
    """Draw the empty state while no model is selected."""
    if list_specs(ws):
        st.info("Select up to four models above to compare their replies.", icon=":material/forum:")
        return
    st.info(
        "No tuned models yet. Models fine-tuned on this workspace can be compared here with their base models. Add a local model or "
        "an endpoint with the plus button above.",
        icon=":material/forum:",
    )

    def scripted() -> None:
        st.session_state.talk_specs = [SCRIPTED]

    with st.container(horizontal=True):
        if (Path(__file__).parents[1] / TRAIN).exists() and st.button(
            "Fine-tune a model", type="primary", icon=":material/model_training:"
        ):
            url_state.open_page(TRAIN)
        st.button("Chat with scripted teacher", icon=":material/smart_toy:", on_click=scripted)
    empty_state.still("chat")


def ask() -> None:
    """Draw the prompt field."""
    if refill := st.session_state.pop("talk_refill", None):
        st.session_state.talk_prompt = refill
    summary = "Message" if st.session_state.talk_specs else "Select a model first"
    if ws.read_only:
        summary = "This workspace is read-only"
    elif writing:
        summary = "Generating replies"
    mute = ws.read_only or writing or not st.session_state.talk_specs
    if prompt := st.chat_input(summary, key="talk_prompt", disabled=mute):
        turn_view.send_prompt(ws, conversation and conversation.id, prompt)


page_frame.title_line("Chat", tree, sentence(), ws)
model_bar.panel(ws, conversation)
turn_view.show_last_error()
if not st.session_state.talk_specs and not turns:
    nobody()
else:
    left, right = page_frame.main_and_detail()
    with left:
        if turns:
            with st.container(height=HEIGHT, border=False, autoscroll=True, key="talk"):
                for shown in turns:
                    turn_view.turn(ws, shown, last=shown is turns[-1])
        else:
            st.caption("Enter a prompt, or select a question of the validation split.")
        ask()
        model_bar.votes(ws)
    with right:
        sources.panel(ws, tree, conversation and conversation.id, writing=writing)
        model_bar.server_status()
