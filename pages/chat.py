"""Chat: talk to a tuned model, its base, any local model or endpoint; up to four side by side, and vote blind."""

from pathlib import Path

import streamlit as st

from glan_core.chat import conversations
from glan_core.formatting import plural, shorten
from glan_core.models.model_specs import SCRIPTED, specs_of
from glan_core.workspace import chat_rows
from pages.components.chat import model_bar, page_state, sources, turn_view
from pages.components.shared import page_frame, url_state
from pages.components.shared.untrusted_text import plain

TRAIN = "pages/train.py"
HEIGHT = 540  # of what was said, which scrolls by itself; the style sheet fits it to the window

ws, tree = page_frame.open_page("Chat")
conversation = page_state.take(ws)
page_state.write(conversation)
turns = conversations.show(ws, conversation) if conversation else []
writing = bool(turns) and turns[-1].writing


def sentence() -> str:
    """What is open, in one sentence."""
    if conversation:
        return plain(f"{shorten(conversation.name, 80)} · {plural(len(turns), 'turn')}")
    kept = chat_rows.count_conversations(ws.db)
    return f"A new conversation · {plural(kept, 'conversation')} kept" if kept else "A new conversation"


def nobody() -> None:
    """Nobody is chosen to answer: who could be."""
    if specs_of(ws):
        st.info("Choose one of the models above; up to four answer side by side.", icon=":material/forum:")
        return
    st.info(
        "Models that you fine-tune on this workspace can be talked to here, side by side with what they were before. There is none "
        "yet. A local model or an endpoint can be added above by its plus sign.",
        icon=":material/forum:",
    )

    def scripted() -> None:
        st.session_state.talk_specs = [SCRIPTED]

    with st.container(horizontal=True):
        if (Path(__file__).parents[1] / TRAIN).exists() and st.button(
            "Fine-tune a model", type="primary", icon=":material/model_training:"
        ):
            url_state.go(TRAIN)
        st.button("Talk to the scripted teacher", icon=":material/smart_toy:", on_click=scripted)


def ask() -> None:
    """The field for a prompt."""
    if refill := st.session_state.pop("talk_refill", None):
        st.session_state.talk_prompt = refill
    said = "Ask something" if st.session_state.talk_specs else "Choose a model first"
    if ws.read_only:
        said = "This workspace is read-only: what is said could not be kept"
    elif writing:
        said = "The answer is being written"
    mute = ws.read_only or writing or not st.session_state.talk_specs
    if prompt := st.chat_input(said, key="talk_prompt", disabled=mute):
        turn_view.ask(ws, conversation and conversation.id, prompt)


page_frame.title("Chat", tree, sentence(), ws)
model_bar.bar(ws, conversation)
turn_view.told()
if not st.session_state.talk_specs and not turns:
    nobody()
else:
    left, right = page_frame.picture_and_detail()
    with left:
        if turns:
            with st.container(height=HEIGHT, border=False, autoscroll=True, key="talk"):
                for shown in turns:
                    turn_view.turn(ws, shown, last=shown is turns[-1])
        else:
            st.caption("Ask something, or take a question that was held out of the training.")
        ask()
        model_bar.votes(ws)
    with right:
        sources.detail(ws, tree, conversation and conversation.id, writing=writing)
        model_bar.process_line()
