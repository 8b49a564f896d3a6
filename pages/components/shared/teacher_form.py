"""Form fields for a teacher model."""

import streamlit as st

from glan_core.generation.settings import TeacherSettings
from pages.components.shared import settings_fields

TEACHERS = {
    "scripted": "Scripted (offline, free)",
    "openai": "OpenAI",
    "endpoint": "vLLM, Ollama or another endpoint",
    "local": "Local model",
}
MODEL_HINTS = {"openai": "gpt-4o-mini", "endpoint": "served model name", "local": "folder or Hugging Face Hub id"}


def fields(key: str, *, answers: bool = False, over_page: bool = False) -> dict | None:
    """Draw the fields of a teacher.

    Args:
        key: Prefix of the widget keys.
        answers: Also ask for a separate model for answers.
        over_page: The form is in a dialog above a page with the same fields.

    Returns:
        Teacher settings, or None while a field is missing.
    """
    kind = st.selectbox(
        settings_fields.label(TeacherSettings, "teacher"), list(TEACHERS), format_func=TEACHERS.get, key=f"{key}_kind"
    )
    if kind == "scripted":
        st.caption(
            "Has textbook content for Mathematics, Earth science and Music; writes labeled placeholder text for everything else."
        )
        return {"teacher": "scripted"}
    prefix = "local" if kind == "local" else "openai"
    with st.grid(2, gap="small", min_column_width=190):
        model = st.text_input("Model", key=f"{key}_model", placeholder=MODEL_HINTS[kind]).strip()
        values = {"teacher": f"{prefix}:{model}"}
        if answers:
            answer = st.text_input(
                key=f"{key}_answer", placeholder="same model", **settings_fields.text(TeacherSettings, "answer_teacher")
            ).strip()
            if answer:
                values["answer_teacher"] = f"{prefix}:{answer}"
        if kind == "endpoint":
            values["base_url"] = (
                st.text_input(
                    key=f"{key}_url",
                    placeholder="http://localhost:8000/v1",
                    **settings_fields.text(TeacherSettings, "base_url"),
                ).strip()
                or None
            )
            values["price"] = (
                st.text_input(
                    key=f"{key}_price", placeholder="PROMPT,COMPLETION", **settings_fields.text(TeacherSettings, "price")
                ).strip()
                or None
            )
        if kind != "local":
            key_field(f"api_key_{key}" if over_page else "api_key")
    missing = [what for what, there in (("model", model), ("base URL", kind != "endpoint" or values["base_url"])) if not there]
    if missing:
        st.caption(f"Enter the {' and the '.join(missing)} to continue.")
        return None
    return values


def budget_field(key: str) -> float | None:
    """Draw the budget of a run that calls a teacher; returns None for no limit."""
    return st.number_input(
        value=None,
        key=key,
        placeholder="no limit",
        format="%.2f",
        **settings_fields.number(TeacherSettings, "budget_usd", step=0.01),
    )


def key_field(typed: str, width: str | int = "stretch") -> None:
    """Draw the API key field; all such fields share one value per session, `typed` is the widget key."""
    if typed != "api_key":
        st.session_state.setdefault(typed, st.session_state.get("api_key", ""))
    st.text_input(
        "API key", key=typed, type="password", placeholder="from OPENAI_API_KEY", on_change=_keep_key, args=(typed,), width=width,
        help="Kept in this browser session and passed to the worker process; never stored.",
    )  # fmt: skip


def _keep_key(typed: str) -> None:
    st.session_state.api_key = st.session_state[typed]


def environment() -> dict[str, str]:
    """Return the session's API key as environment variables for a worker process."""
    key = st.session_state.get("api_key", "").strip()
    return {"OPENAI_API_KEY": key} if key else {}
