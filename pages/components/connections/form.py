"""Form of a connection: new from a template, or an existing one; test, save and remove it."""

import json

import streamlit as st

from glan_core import access
from glan_core.errors import GlanError
from glan_core.settings import read_settings
from glan_core.teachers.connections import (
    MARK,
    PROVIDERS,
    Connection,
    get_connection,
    remove_connection,
    save_connection,
)
from glan_core.teachers.endpoint_check import EndpointCheck, check_endpoint
from glan_core.teachers.endpoint_settings import KEY_VARIABLE, key_from_environment
from pages.components.shared import settings_fields, teacher_form
from pages.components.shared.untrusted_text import escape, show_error

FIELDS = (
    "name",
    "model",
    "base_url",
    "key_variable",
    "price",
    "replicas",
    "extra_body",
    "headers",
    "idle_timeout",
    "total_timeout",
)
HINTS = {
    "name": "my-endpoint", "model": "model as the endpoint names it", "base_url": "http://localhost:8000/v1",
    "key_variable": KEY_VARIABLE, "price": "PROMPT,COMPLETION", "replicas": "http://localhost:8001/v1", "extra_body": '{"reasoning_effort": "low"}',
    "headers": '{"X-Title": "GLAN Studio"}',
}  # fmt: skip


def panel(selected: str | None) -> None:
    """Draw the form of the selected connection, or of a new one."""
    st.header(f"{MARK}{selected}" if selected else "New connection", anchor=False)
    if st.session_state.get("connection_filled") != (selected or ""):
        _fill(get_connection(selected) if selected else None)
        st.session_state.connection_filled = selected or ""
    if not selected:
        _template()
    with st.grid(2, gap="small", min_column_width=180):
        for name in FIELDS[:5]:
            _text(name, disabled=bool(selected) and name == "name")
    with st.expander("Replicas, extra fields, headers and timeouts"):
        for name in FIELDS[5:8]:
            _text(name)
        with st.grid(2, gap="small", min_column_width=150):
            for name in FIELDS[8:]:
                st.number_input(
                    key=f"connection_{name}", placeholder="no limit", **settings_fields.number(Connection, name, step=10)
                )
    _key()
    _actions(selected)


def _template() -> None:
    """Draw the templates of providers; choosing one fills the fields."""
    chosen = st.pills(
        "Template", list(PROVIDERS), format_func=lambda name: PROVIDERS[name].title, key="connection_template",
        on_change=_use_template,
    )  # fmt: skip
    if chosen and PROVIDERS[chosen].note:
        st.caption(PROVIDERS[chosen].note.replace("$", r"\$"))


def _use_template() -> None:
    template = PROVIDERS.get(st.session_state.connection_template or "")
    if template is None:
        return
    st.session_state.update(
        connection_name=st.session_state.connection_template, connection_model=template.model, connection_base_url=template.base_url,
        connection_key_variable=template.key_variable or "", connection_price=template.price or "",
    )  # fmt: skip


def _text(name: str, *, disabled: bool = False) -> None:
    st.text_input(
        key=f"connection_{name}", placeholder=HINTS[name], disabled=disabled, **settings_fields.text(Connection, name)
    )


def _key() -> None:
    """Draw the key field and whether the environment has the key."""
    variable = st.session_state.get("connection_key_variable", "").strip() or KEY_VARIABLE
    usual = variable == KEY_VARIABLE
    teacher_form.key_field("api_key" if usual else f"{teacher_form.TYPED_KEY}{variable[:60]}", variable=variable[:60])
    there = bool(key_from_environment(variable)) if variable.isidentifier() else False
    st.caption(f"{escape(variable[:60])} is {'set' if there else 'not set'} in the environment of the studio.")


def _fill(connection: Connection | None) -> None:
    """Fill the fields with a connection, or empty them."""
    for name in FIELDS:
        value = (
            getattr(connection, name) if connection else settings_fields.default(Connection, name) if "timeout" in name else ""
        )
        if isinstance(value, dict):
            value = json.dumps(value, ensure_ascii=False) if value else ""
        elif isinstance(value, tuple):
            value = ", ".join(value)
        st.session_state[f"connection_{name}"] = value if "timeout" in name else value or ""
    st.session_state.pop("connection_result", None)


def _typed() -> Connection:
    """Return the connection that the fields describe.

    Raises:
        GlanError: If a value is missing or invalid.
    """
    values = {name: st.session_state.get(f"connection_{name}") for name in FIELDS}
    values = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    given = {name: value for name, value in values.items() if value not in (None, "") or name == "total_timeout"}
    for name in ("name", "model"):
        if not given.get(name):
            raise GlanError(f"Enter the {name} of the connection.")
    return read_settings(Connection, given)


def _actions(selected: str | None) -> None:
    refused = access.refusal() is not None
    with st.container(horizontal=True):
        if st.button("Save connection", type="primary", icon=":material/save:", key="connection_save", disabled=refused):
            _save(selected)
        if st.button(
            "Test",
            icon=":material/network_check:",
            key="connection_test",
            help="Requests one token from the model.",
            disabled=refused,
        ):
            _test()
        if selected and not refused:
            with st.popover("Remove", icon=":material/delete:", key="connection_remove"):
                st.caption("Runs that use it keep their own copy of its settings.")
                st.button("Remove connection", key="connection_remove_sure", on_click=_remove, args=(selected,))
    if result := st.session_state.get("connection_result"):
        _show(result)


def _save(selected: str | None) -> None:
    try:
        connection = _typed()
        save_connection(connection, replace=selected == connection.name)
    except GlanError as error:
        show_error(error)
        return
    st.session_state.connection, st.session_state.connection_filled = connection.name, None
    st.session_state.connection_said = f"Saved {MARK}{connection.name}."
    st.rerun()


def _test() -> None:
    try:
        connection = _typed()
        key = teacher_form.environment().get(connection.key_variable or KEY_VARIABLE)
        with st.spinner("Requesting one token …"):
            st.session_state.connection_result = check_endpoint(connection.model, connection, key=key)
    except GlanError as error:
        st.session_state.connection_result = None
        show_error(error)


def _show(result: EndpointCheck) -> None:
    draw = st.success if result.state == "ready" else st.warning if result.ok else st.error
    draw(escape(result.text))


def _remove(name: str) -> None:
    try:
        remove_connection(name)
    except GlanError as error:
        st.session_state.connection_error = error
        return
    st.session_state.connection = st.session_state.connection_filled = None
    st.session_state.connection_said = f"Removed {MARK}{name}."
