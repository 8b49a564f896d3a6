"""State of the Chat page in session and URL: conversation, models and generation settings."""

from collections.abc import Iterable

import streamlit as st

from glan_core.chat.conversations import ConversationSettings, get_conversation, settings_of
from glan_core.errors import GlanError
from glan_core.models.model_specs import MAX_MODELS, SeededDecodingParams, list_specs, resolve_model, tuned_name
from glan_core.models.tuned_model_store import TunedModel, read_model
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import Conversation, Reply
from pages.components.chat.sampling import KEYS
from pages.components.shared import url_state

FIELDS = ("talk_specs", "talk_system", *KEYS.values(), "talk_seed", "talk_own", "talk_blind")


def load(ws: Workspace) -> Conversation | None:
    """Return the open conversation, at first the newest one, after adopting URL parameters that this session did not write."""
    state = st.session_state
    if state.get("talk_workspace") != ws.folder.name:
        if "talk_workspace" in state:
            _forget()
        state.talk_workspace = ws.folder.name
    if any(name not in state for name in FIELDS):
        newest = chat_rows.conversations(ws.db, limit=1)
        open_conversation(newest[0] if newest else None)
        if not newest:
            _fill(ConversationSettings(specs=tuple(list_specs(ws)[:1])))
    if asked := state.pop("chat_asked", None):  # set by another page to open its model
        state.talk_specs, state.talk_chat = list(asked), None
    summary, wrote = st.query_params.to_dict(), state.get("talk_wrote", {})
    if (chat := summary.get("chat")) and chat != wrote.get("chat"):
        linked = url_state.number_in_url("chat")
        state.talk_chat = -1 if linked is None else linked
        _fill(settings_of(_found(ws)))
    if (models := summary.get("models")) and models != wrote.get("models"):
        state.talk_specs = models.split(",")[:MAX_MODELS]
        if not chat:
            state.talk_chat = None
    return _found(ws)


def write_url(conversation: Conversation | None) -> None:
    """Write conversation and models to the URL."""
    address = {"models": ",".join(st.session_state.talk_specs)} | ({"chat": str(conversation.id)} if conversation else {})
    address = {name: value for name, value in address.items() if value}
    for name in ("chat", "models"):
        if name not in address:
            st.query_params.pop(name, None)
    st.session_state.talk_wrote = address
    st.query_params.update(address)


def settings() -> ConversationSettings:
    """Return the generation settings in the fields."""
    state = st.session_state
    decoding = SeededDecodingParams(**{name: state[key] for name, key in KEYS.items()}, seed=state.talk_seed)
    return ConversationSettings(
        specs=tuple(state.talk_specs),
        system=state.talk_system,
        decoding=decoding,
        own={spec: SeededDecodingParams(**values) for spec, values in state.talk_own.items() if spec in state.talk_specs},
        blind=state.talk_blind and len(state.talk_specs) > 1,
    )


def open_conversation(conversation: Conversation | None) -> None:
    """Open a conversation; None opens a new one with the same models."""
    st.session_state.talk_chat = conversation and conversation.id
    for name in ("talk_source", "talk_editing", "talk_fault"):
        st.session_state.pop(name, None)
    if conversation:
        _fill(settings_of(conversation))


def first_snapshot(ws: Workspace, specs: Iterable[str]) -> str:
    """Return the snapshot of the first available tuned model among `specs`, or ''."""
    for spec in specs:
        try:
            if name := resolve_model(ws, spec).snapshot:
                return name
        except GlanError:
            continue
    return ""


def trained_model(ws: Workspace, reply: Reply) -> TunedModel | None:
    """Return the tuned model that wrote a reply, whose training rows are known; None for other models."""
    if (name := tuned_name(reply.model)) is None:
        return None
    try:
        model = read_model(ws, name)
    except GlanError:
        return None
    return model if model.snapshot else None


def _found(ws: Workspace) -> Conversation | None:
    if (id := st.session_state.get("talk_chat")) is None:
        return None
    try:
        return get_conversation(ws, id)
    except GlanError as error:
        st.session_state.talk_chat, st.session_state.talk_fault = None, error
        return None


def _fill(chosen: ConversationSettings) -> None:
    decoding = chosen.decoding
    own = {spec: {name: getattr(params, name) for name in KEYS} for spec, params in chosen.own.items()}
    values = (
        list(chosen.specs), chosen.system, *(getattr(decoding, name) for name in KEYS), decoding.seed, own, chosen.blind
    )  # fmt: skip
    st.session_state.update(zip(FIELDS, values, strict=True))
    for spec in own:  # the fields of a model begin with its own settings
        for key in KEYS.values():
            st.session_state.pop(f"{key}_{spec}", None)


def _forget() -> None:
    for name in [name for name in st.session_state if str(name).startswith("talk_")]:
        del st.session_state[name]
