"""Notifications about the end of long runs: a toggle of this browser, and the webhook."""

import time

import streamlit as st

from glan_core import access
from glan_core.errors import GlanError
from glan_core.runs import notifications
from glan_core.workspace import Workspace
from pages.components.shared import sign_in
from pages.components.shared.untrusted_text import escape, show_error

# The permission is asked for on the user's click only, as browsers demand. notifications.js does the rest.
_COMPONENT = st.components.v2.component(
    "glan_notify",
    html='<label><input type="checkbox" role="switch"><span>Notify me in this browser</span></label><p></p>',
    css="""label { display: flex; gap: 0.6rem; align-items: center; cursor: pointer; color: var(--st-text-color); font-size: 0.95rem; }
        input { width: 1.05rem; height: 1.05rem; margin: 0; accent-color: var(--st-primary-color); cursor: pointer; }
        p { margin: 0.35rem 0 0; font-size: 0.87rem; line-height: 1.35; color: var(--st-text-color); opacity: 0.8; }""",
    js="""export default function ({ parentElement }) {
        const box = parentElement.querySelector("input"), said = parentElement.querySelector("p"), service = window.__glanNotify;
        const show = () => {
            const can = service && "Notification" in window && window.isSecureContext, state = can ? Notification.permission : "";
            box.disabled = !can || state === "denied";
            box.checked = state === "granted" && localStorage.getItem(service.on) === "on";
            said.textContent = !service ? "Not available: start the studio with glan studio."
                : !can ? "Not available here: browsers allow it for localhost and HTTPS addresses only."
                : state === "denied" ? "This site may not show notifications. Allow it in the settings of the browser."
                : box.checked ? "You are told when a run of more than a minute ends, while a page of the studio is open."
                : "When a run of more than a minute ends, fails or stops, while a page of the studio is open.";
        };
        box.onchange = async () => {
            const wanted = box.checked;
            if (wanted && Notification.permission === "default") await Notification.requestPermission();
            localStorage.setItem(service.on, wanted && Notification.permission === "granted" ? "on" : "off");
            show();
            service.now().catch(() => {});
        };
        show();
    }""",
)


def popover(ws: Workspace) -> None:
    """Draw the button with both kinds of notifications."""
    if sign_in.is_required():
        return
    with st.popover("Notifications", icon=":material/notifications:", key="notifications"):
        _COMPONENT(key="notify_browser", height="content")
        if access.refusal() is None:
            _webhook(ws)


def _webhook(ws: Workspace) -> None:
    """Draw the webhook of the workspace, with the form that sets it."""
    if error := st.session_state.pop("webhook_error", None):
        show_error(error)
    try:
        found = notifications.webhook_of(ws.folder)
    except GlanError as error:
        show_error(error)
        return
    if found:
        scope, url = found
        whose = "this workspace" if scope == str(ws.folder) else f"the workspaces of {scope}" if scope else "all workspaces"
        st.markdown(f"Webhook of {escape(whose)}: **{escape(notifications.host_of(url))}**")
        with st.container(horizontal=True, gap="small"):
            if st.button("Send test", icon=":material/send:", key="webhook_test"):
                _test(ws, url)
            st.button("Remove", icon=":material/delete:", key="webhook_remove", on_click=_set, args=(None, scope))
    st.text_input(
        "Webhook", key="webhook_url", type="password", placeholder="https://…", autocomplete="off",
        help="Receives JSON with workspace, run, state, counts and cost when a run of more than a minute ends, fails or stops. Stored in "
        "your configuration folder for all workspaces, not in the workspace.",
    )  # fmt: skip
    st.button("Save webhook", key="webhook_save", on_click=_save, disabled=not st.session_state.get("webhook_url", "").strip())


def _save() -> None:
    if _set(st.session_state.webhook_url, notifications.EVERYWHERE):
        st.session_state.webhook_url = ""


def _set(url: str | None, scope: str) -> bool:
    try:
        notifications.set_webhook(url, scope)
    except GlanError as error:
        st.session_state.webhook_error = error
        return False
    return True


def _test(ws: Workspace, url: str) -> None:
    try:
        with st.spinner("Sending …"):
            notifications.send(url, notifications.test_payload(ws.folder.name, time.time()))
    except GlanError as error:
        show_error(error)
    else:
        st.success("The webhook accepted the notification.")
