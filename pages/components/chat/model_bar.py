"""Bar above a chat: models, generation settings, conversations and actions."""

from functools import partial

import streamlit as st

from glan_core.chat import conversations, preferences
from glan_core.errors import GlanError
from glan_core.formatting import ago, duration, plural, shorten
from glan_core.generation.settings import TeacherSettings
from glan_core.ids import slug
from glan_core.models import server_client
from glan_core.models.model_specs import (
    MAX_MODELS,
    SCRIPTED,
    list_specs,
    model_title,
    packaged_specs,
    resolve_model,
    tuned_name,
)
from glan_core.teachers.connections import connection_names
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import Conversation
from pages.components.chat import page_state, sampling
from pages.components.shared import settings_fields, teacher_form
from pages.components.shared.untrusted_text import escape, show_error

LISTED = 30
OTHERS = {"local": "Local model", "endpoint": "vLLM, Ollama or another endpoint", "openai": "OpenAI"}


def panel(ws: Workspace, conversation: Conversation | None) -> None:
    """Draw the bar."""
    state = st.session_state
    options = list(dict.fromkeys([*list_specs(ws), *packaged_specs(), *connection_names(), SCRIPTED, *state.talk_specs]))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.multiselect(
            "Models", options, key="talk_specs", format_func=model_title, max_selections=MAX_MODELS, width="stretch",
            placeholder="Select up to four models",
        )  # fmt: skip
        with st.popover("Add model", icon=":material/add:", key="talk_another", help="Add a local model or endpoint"):
            _another()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.popover("Conversations", icon=":material/forum:", key="talk_others_kept"):
            _conversations(ws, conversation)
        with st.popover(
            "Chat settings", icon=":material/tune:", key="talk_settings", help="System prompt, sampling, seed, blind vote"
        ):
            _settings()
        if conversation:
            with st.popover("Conversation", icon=":material/more_vert:", key="talk_more", help="Rename, export, delete"):
                _deeds(ws, conversation)
        _pairing(ws)
        _self_test(ws)


def _another() -> None:
    """Draw the fields that add a model from outside the workspace."""
    kind = st.selectbox("Source", list(OTHERS), format_func=OTHERS.get, key="talk_other_kind")
    name = st.text_input("Model", key="talk_other_model", placeholder=teacher_form.MODEL_HINTS[kind]).strip()
    url = ""
    if kind == "endpoint":
        url = st.text_input(
            settings_fields.label(TeacherSettings, "base_url"), key="talk_other_url", placeholder="http://localhost:8000/v1"
        ).strip()
    if kind != "local":
        teacher_form.key_field("api_key")
    spec = f"local:{name}" if kind == "local" else f"openai:{name}@{url}" if url else f"openai:{name}"

    def add() -> None:
        st.session_state.talk_specs = list(dict.fromkeys([*st.session_state.talk_specs, spec]))[-MAX_MODELS:]
        st.session_state.talk_other_model = ""

    ready = bool(name and (kind != "endpoint" or url.startswith("http")))
    st.button("Add", icon=":material/add:", key="talk_add", on_click=add, disabled=not ready)


def _settings() -> None:
    st.text_area("System prompt", key="talk_system", placeholder="none", height=100)
    sampling.panel()
    many = len(st.session_state.talk_specs) > 1
    hint = "Hides model names and shuffles replies until you vote. Requires two models."
    st.toggle("Blind vote", key="talk_blind", disabled=not many, help=hint)


def _conversations(ws: Workspace, conversation: Conversation | None) -> None:
    st.button(
        "New conversation", icon=":material/edit_square:", key="talk_new", on_click=page_state.open_conversation, args=(None,)
    )
    words = st.text_input("Search", key="talk_search", placeholder="name, prompt or reply", icon=":material/search:").strip()
    found = chat_rows.conversations(ws.db, words, LISTED + 1)
    if not found:
        st.caption("No conversations match this search." if words else "No conversations yet.")
    for other in found[:LISTED]:
        here = conversation is not None and other.id == conversation.id
        name = escape(shorten(other.name, 48))
        st.button(
            f"**{name}**" if here else name, key=f"talk_open_{other.id}", type="tertiary", help=ago(other.changed_at),
            on_click=page_state.open_conversation, args=(other,),
        )  # fmt: skip
    if len(found) > LISTED:
        st.caption(f"Showing the {LISTED} newest; use the search to narrow.")


def _deeds(ws: Workspace, conversation: Conversation) -> None:
    name = slug(conversation.name)[:40] or "conversation"
    st.download_button(
        "Download as Markdown", partial(conversations.to_markdown, ws, conversation), file_name=f"{name}.md", key="talk_markdown",
        icon=":material/download:", on_click="ignore", width="stretch",
    )  # fmt: skip
    st.download_button(
        "Download as JSONL", lambda: "".join(conversations.to_jsonl(ws, conversation)), file_name=f"{name}.jsonl",
        key="talk_jsonl", icon=":material/download:", on_click="ignore", width="stretch",
        help="One line per reply and version, with model, weights, decoding parameters, tokens and seconds.",
    )  # fmt: skip
    if ws.read_only:
        return
    with st.form("talk_rename", border=False):
        new = st.text_input("Name", conversation.name, key=f"talk_name_{conversation.id}")
        if st.form_submit_button("Rename"):
            try:
                conversations.rename_conversation(ws, conversation.id, new)
            except GlanError as error:
                show_error(error)
            else:
                st.rerun()
    with st.popover("Remove", icon=":material/delete:", key=f"talk_sure_{conversation.id}"):
        st.caption("With its votes. It can be restored on the Workspaces page.")
        turns = len(chat_rows.path_to(ws.db, conversation.head))

        def delete() -> None:
            conversations.remove_conversation(ws, conversation.id)
            page_state.open_conversation(None)

        st.button(f"Remove · {plural(turns, 'turn')}", icon=":material/delete:", key="talk_delete", on_click=delete)


def _pairing(ws: Workspace) -> None:
    """Draw the button that adds the base model of a single tuned model."""
    specs = st.session_state.talk_specs
    if len(specs) == 1 and (name := tuned_name(specs[0])):
        base = f"base:{name}"

        def pair() -> None:
            st.session_state.talk_specs = [base, *specs]

        st.button("Compare with base model", icon=":material/compare:", type="tertiary", key="talk_pair", on_click=pair)


def _self_test(ws: Workspace) -> None:
    """Draw the self-test of the loaded weights and its result."""
    specs = [spec for spec in st.session_state.talk_specs if spec.split(":")[0] in ("tuned", "base", "local")]
    if not specs:
        return
    hint = "Verifies the loaded weights: compares the panes' logits with each other and with freshly loaded weights."
    if st.button("Self-test", icon=":material/verified:", type="tertiary", key="talk_self_test", help=hint):
        try:
            with st.spinner("Loading weights for comparison …"):
                st.session_state.talk_tested = (specs, server_client.self_test([resolve_model(ws, spec) for spec in specs]))
        except GlanError as error:
            show_error(error)
    tested, result = st.session_state.get("talk_tested", (None, None))
    if tested == specs:
        if result["passed"]:
            st.badge("passed", icon=":material/check:", color="green", help=escape(result["said"]))
            st.caption(escape(result["said"]), width="content")
        else:
            st.error(escape(result["said"]))


def votes(ws: Workspace) -> None:
    """Draw the number of votes, the standings, and the download of preference rows."""
    counts = chat_rows.count_preferences(ws.db)
    if not counts:
        return
    with st.expander(f"{plural(sum(counts.values()), 'vote')} in this workspace"):
        leading = [f"{model_title(model)} {won} : {lost}" for model, won, lost in preferences.win_counts(ws)]
        if leading:
            st.caption(
                f"Wins : losses: {escape(', '.join(leading))}. Ties {counts.get('tie', 0)}, all bad {counts.get('bad', 0)}."
            )
        st.download_button(
            "Preference rows", partial(preferences.to_jsonl, ws), file_name=f"{ws.folder.name}-preferences.jsonl",
            icon=":material/download:", key="talk_votes", on_click="ignore",
            help="JSONL with prompt, chosen and rejected for TRL's DPOTrainer, with provenance.",
        )  # fmt: skip


def server_status() -> None:
    """Draw the state of the model server with a button that releases its memory."""
    now = server_client.status()
    if not now:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        size = sum(held_out["bytes"] for held_out in now["held"]) / 2**20
        held_out = f"{plural(len(now['held']), 'model')} in memory, {size:,.0f} MiB" if now["held"] else "No weights in memory"
        st.caption(f"{held_out}; released {duration(server_client.idle_seconds())} after the last prompt.", width="content")
        if now["held"] and not now["writing"]:
            st.button(
                "Release now", icon=":material/eject:", type="tertiary", key="talk_release", on_click=server_client.release
            )
