"""Who teaches: the fields that name a teacher, wherever a page asks for one."""

import streamlit as st

TEACHERS = {
    "scripted": "Scripted (offline, free)",
    "openai": "OpenAI",
    "endpoint": "vLLM, Ollama or another endpoint",
    "local": "A model on this machine",
}
MODEL_HINTS = {"openai": "gpt-4o-mini", "endpoint": "the name it is served under", "local": "a folder, or a name on the hub"}


def fields(key: str, *, answers: bool = False, over_page: bool = False) -> dict | None:
    """The teacher as an order takes it, or None while something is missing; `answers` asks for a second model, too.

    `key` keeps forms apart; `over_page` says that this one may be drawn above another, in a dialog.
    """
    kind = st.selectbox("Teacher", list(TEACHERS), format_func=TEACHERS.get, key=f"{key}_kind")
    if kind == "scripted":
        st.caption(
            "Knows a small textbook (Mathematics, Earth science, Music); for the rest it writes plainly labelled scaffolding."
        )
        return {"teacher": "scripted"}
    prefix = "local" if kind == "local" else "openai"
    with st.grid(2, gap="small", min_column_width=190):
        model = st.text_input("Model", key=f"{key}_model", placeholder=MODEL_HINTS[kind]).strip()
        values = {"teacher": f"{prefix}:{model}"}
        if answers:
            hint = "The paper used a faster model than for the questions."
            if answer := st.text_input("Model for answers", key=f"{key}_answer", placeholder="the same", help=hint).strip():
                values["answer_teacher"] = f"{prefix}:{answer}"
        if kind == "endpoint":
            values["base_url"] = (
                st.text_input("Address", key=f"{key}_url", placeholder="http://localhost:8000/v1").strip() or None
            )
            hint = "Dollars per million tokens, in and out; 0,0 for a machine of your own."
            values["price"] = st.text_input("Price", key=f"{key}_price", placeholder="IN,OUT", help=hint).strip() or None
        if kind != "local":
            key_field(f"api_key_{key}" if over_page else "api_key")
    missing = [what for what, there in (("model", model), ("address", kind != "endpoint" or values["base_url"])) if not there]
    if missing:
        st.caption(f"Give the {' and the '.join(missing)} to go on.")
        return None
    return values


def key_field(typed: str, width: str | int = "stretch") -> None:
    """The field for the key, which all such fields of a session share; `typed` keeps those apart that are drawn together."""
    if typed != "api_key":
        st.session_state.setdefault(typed, st.session_state.get("api_key", ""))
    st.text_input(
        "API key", key=typed, type="password", placeholder="from OPENAI_API_KEY", on_change=_keep_key, args=(typed,), width=width,
        help="Kept in this browser session only and handed to the run's process; never stored.",
    )  # fmt: skip


def _keep_key(typed: str) -> None:
    st.session_state.api_key = st.session_state[typed]


def environment() -> dict[str, str]:
    """The key that was typed in this session, as the environment of a run's child; it is kept nowhere else."""
    key = st.session_state.get("api_key", "").strip()
    return {"OPENAI_API_KEY": key} if key else {}
