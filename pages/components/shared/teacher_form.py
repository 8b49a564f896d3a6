"""Form fields for a teacher model."""

import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation.default_teachers import EVERY_STAGE
from glan_core.generation.settings import TeacherSettings
from glan_core.teachers.connections import MARK, Connection, list_connections
from glan_core.teachers.endpoint_settings import KEY_VARIABLE
from glan_core.teachers.scripted.textbook import discipline_names
from glan_core.teachers.wire_format import OPENAI_URL
from pages.components.shared import settings_fields
from pages.components.shared.untrusted_text import escape, show_error

TYPED_KEY = "api_key_of_"  # prefix of the widget keys of keys other than OPENAI_API_KEY
GENERATION = "run"  # key of the form of generation runs
TEACHERS = {
    "scripted": "Scripted (offline, free)",
    "openai": "OpenAI",
    "endpoint": "vLLM, Ollama or another endpoint",
    "local": "Local model",
}
MODEL_HINTS = {"openai": "gpt-4o-mini", "endpoint": "served model name", "local": "folder or Hugging Face Hub id"}


def fields(key: str, *, answers: bool = False, over_page: bool = False, stage: str = EVERY_STAGE) -> dict | None:
    """Draw the fields of a teacher.

    Args:
        key: Prefix of the widget keys.
        answers: Also ask for a separate model for answers.
        over_page: The form is in a dialog above a page with the same fields.
        stage: Stage whose default teacher of the workspace is selected first.

    Returns:
        Teacher settings, or None while a field is missing.
    """
    saved = _saved_connections()
    _select_default(key, stage, saved)
    if st.session_state.get(f"{key}_kind") not in (*TEACHERS, *saved):
        st.session_state.pop(f"{key}_kind", None)  # the connection was removed
    kind = st.selectbox(
        settings_fields.label(TeacherSettings, "teacher"), [*TEACHERS, *saved], key=f"{key}_kind",
        format_func=lambda kind: TEACHERS.get(kind) or f"{kind} · {saved[kind].model}",
        help="Saved endpoints begin with @; add them on the Connections page.",
    )  # fmt: skip
    if kind == "scripted":
        names = discipline_names()
        st.caption(
            f"Has textbook content for {plural(len(names), 'discipline')}; writes labeled placeholder text for everything else.",
            help=f"{', '.join(names[:-1])} and {names[-1]}.",
        )  # fmt: skip
        return {"teacher": "scripted"}
    if kind in saved:
        return _connection_fields(key, saved[kind], answers=answers, over_page=over_page)
    prefix = "local" if kind == "local" else "openai"
    with st.grid(2, gap="small", min_column_width=190):
        model = st.text_input("Model", key=f"{key}_model", placeholder=MODEL_HINTS[kind]).strip()
        values: dict = {"teacher": f"{prefix}:{model}"}
        if answers:
            values |= _answer_field(key, prefix)
        if kind == "endpoint":
            values["base_url"] = _text(f"{key}_url", "base_url", "http://localhost:8000/v1")
            values["price"] = _text(f"{key}_price", "price", "PROMPT,COMPLETION")
        if kind != "local":
            key_field(f"api_key_{key}" if over_page else "api_key")
    if kind != "local":
        values |= _endpoint_options(key)
    missing = [what for what, there in (("model", model), ("base URL", kind != "endpoint" or values["base_url"])) if not there]
    if missing:
        st.caption(f"Enter the {' and the '.join(missing)} to continue.")
        return None
    return values


def _saved_connections() -> dict[str, Connection]:
    """Return the saved connections as '@NAME'; an unreadable file is shown and gives none."""
    try:
        return {f"{MARK}{connection.name}": connection for connection in list_connections()}
    except GlanError as error:
        show_error(error)
        return {}


def _select_default(key: str, stage: str, saved: dict[str, Connection]) -> None:
    """Fill the form of a fresh session with the workspace's default teacher of a stage."""
    defaults = st.session_state.get("default_teachers") or {}
    teacher = defaults.get(stage) or defaults.get(EVERY_STAGE, "")
    if f"{key}_kind" in st.session_state:
        return
    if not teacher:
        if key == GENERATION:
            _select_last(key)
        return
    kind, _, model = teacher.partition(":")
    if teacher in saved or kind in TEACHERS:
        st.session_state[f"{key}_kind"] = teacher if teacher in saved else kind
        st.session_state[f"{key}_model"] = "" if teacher in saved else model


def _select_last(key: str) -> None:
    """Fill the form of a fresh session with the teacher of the workspace's newest generation run, unless that was scripted."""
    last = st.session_state.get("last_teacher") or {}
    kind, _, model = str(last.get("teacher") or "").partition(":")
    if kind == "openai" and last.get("base_url") not in (None, OPENAI_URL):
        kind = "endpoint"
    if kind in TEACHERS and kind != "scripted":
        st.session_state.update({f"{key}_kind": kind, f"{key}_model": model})
        for name, field in (("base_url", "url"), ("price", "price")):
            if kind == "endpoint" and last.get(name):
                st.session_state[f"{key}_{field}"] = str(last[name])


def _connection_fields(key: str, connection: Connection, *, answers: bool, over_page: bool) -> dict:
    """Draw what a saved connection leaves open: the answer model and the key."""
    values: dict = {"teacher": f"{MARK}{connection.name}"}
    with st.grid(2, gap="small", min_column_width=190):
        if answers:
            values |= _answer_field(key, "openai")
        if connection.key_variable or connection.base_url in (None, OPENAI_URL):
            variable = connection.key_variable or KEY_VARIABLE
            usual = variable == KEY_VARIABLE
            key_field((f"api_key_{key}" if over_page else "api_key") if usual else f"{TYPED_KEY}{variable}", variable=variable)
    at = connection.base_url or OPENAI_URL
    st.caption(f"{escape(connection.model)} at {escape(at)}.")
    return values


def _answer_field(key: str, prefix: str) -> dict:
    """Draw the separate model of the answers: a name at the same endpoint, or a saved connection."""
    answer = st.text_input(
        key=f"{key}_answer", placeholder="same model", **settings_fields.text(TeacherSettings, "answer_teacher")
    ).strip()
    return {"answer_teacher": answer if answer.startswith(MARK) else f"{prefix}:{answer}"} if answer else {}


def _text(key: str, name: str, placeholder: str = "") -> str | None:
    """Draw a text field of the teacher settings; returns None if it is empty."""
    return st.text_input(key=key, placeholder=placeholder, **settings_fields.text(TeacherSettings, name)).strip() or None


def _endpoint_options(key: str) -> dict:
    """Draw replicas, key variable, extra fields, headers and timeouts of an endpoint in a popover; returns those that were changed."""
    with st.popover("Endpoint options", icon=":material/settings_ethernet:", key=f"{key}_options"):
        values: dict = {
            "replicas": _text(f"{key}_replicas", "replicas", "http://localhost:8001/v1"),
            "key_variable": _text(f"{key}_keyvar", "key_variable", "OPENAI_API_KEY"),
            "extra_body": _text(f"{key}_extra", "extra_body", '{"reasoning_effort": "low"}'),
            "headers": _text(f"{key}_headers", "headers", '{"X-Title": "GLAN Studio"}'),
        }
        for name in ("idle_timeout", "total_timeout"):
            values[name] = st.number_input(
                value=settings_fields.default(TeacherSettings, name), key=f"{key}_{name}",
                placeholder="no limit" if name == "total_timeout" else None, **settings_fields.number(TeacherSettings, name, step=10),
            )  # fmt: skip
    defaults = {name: settings_fields.default(TeacherSettings, name) for name in values}
    changed = {name: value for name, value in values.items() if value != defaults[name] and (value or name == "total_timeout")}
    return changed if changed.get("idle_timeout", 1) is not None else {}


def budget_field(key: str) -> float | None:
    """Draw the budget of a run that calls a teacher; returns None for no limit."""
    return st.number_input(
        value=None,
        key=key,
        placeholder="no limit",
        format="%.2f",
        **settings_fields.number(TeacherSettings, "budget_usd", step=0.01),
    )


def key_field(typed: str, width: str | int = "stretch", variable: str = KEY_VARIABLE) -> None:
    """Draw the API key field of a variable; all fields of OPENAI_API_KEY share one value per session, `typed` is the widget key."""
    usual = variable == KEY_VARIABLE
    if usual and typed != "api_key":
        st.session_state.setdefault(typed, st.session_state.get("api_key", ""))
    st.text_input(
        "API key", key=typed, type="password", placeholder=f"from {variable}", width=width,
        on_change=_keep_key if usual else None, args=(typed,) if usual else None,
        help="Kept in this browser session and passed to the worker process; never stored.",
    )  # fmt: skip


def _keep_key(typed: str) -> None:
    st.session_state.api_key = st.session_state[typed]


def environment() -> dict[str, str]:
    """Return the session's API keys as environment variables for a worker process."""
    typed = {
        str(name).removeprefix(TYPED_KEY): value for name, value in st.session_state.items() if str(name).startswith(TYPED_KEY)
    }
    typed[KEY_VARIABLE] = st.session_state.get("api_key", "")
    return {name: str(value).strip() for name, value in typed.items() if str(value or "").strip()}
