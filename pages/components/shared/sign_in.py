"""Sign-in: the page for those who are not signed in, and the current user as `glan_core.access` asks for it."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.starlette.starlette_auth_routes import _get_signed_cookie_from_request
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from glan_core import access
from glan_core.access import Visitor
from glan_core.roles import AUTH_FILE, EDITOR, Roles, read_roles
from pages.components.shared.untrusted_text import escape

ONLY_VIEWER = "You are signed in as a viewer: you can see everything, and nothing can be changed, started or spent."


def is_required() -> bool:
    """Return whether this studio asks its users to sign in."""
    return bool(os.environ.get(AUTH_FILE))


@cache
def _roles() -> Roles:
    return read_roles(Path(os.environ[AUTH_FILE]))


def current_visitor() -> Visitor:
    """Return the user of the session that this thread draws; a thread of no session acts for nobody, who may do nothing."""
    email = _email()
    role = _roles().role_of(email)
    if role == EDITOR:
        return Visitor(email)
    return Visitor(email, ONLY_VIEWER if role else "Sign in to change anything.")


def _email() -> str:
    """Return the verified address of the signed-in user, '' if there is none."""
    return verified_email(st.user) if st.user.get("is_logged_in") else ""


def verified_email(claims: Mapping) -> str:
    """Return the address among the claims of an account if the provider has verified it, else ''."""
    email = claims.get("email")
    trusted = claims.get("email_verified") is True or _roles().unverified
    return email if trusted and isinstance(email, str) else ""


def is_admitted_request(request: Request) -> bool:
    """Return whether a request outside of a session carries the cookie of a user with a role."""
    cookie = get_cookie_with_chunks(lambda name: _get_signed_cookie_from_request(request, name), USER_COOKIE_NAME)
    try:
        claims = json.loads(cookie or b"{}")
    except ValueError:
        return False
    return isinstance(claims, dict) and _roles().role_of(verified_email(claims)) is not None


def is_admitted() -> bool:
    """Return whether the user may see the studio: everybody without sign-in, else those with a role."""
    if not is_required():
        return True
    access.decide_by(current_visitor)
    return _roles().role_of(_email()) is not None


def draw_page() -> None:
    """Draw the page for those who are not admitted."""
    email = _email()
    with st.container(width=420, key="sign_in"):
        st.header("GLAN Studio", anchor=False)
        if st.user.get("is_logged_in"):
            who = escape(email) if email else "This account has no verified email address and"
            st.error(f"{who} has no role in this studio. Ask its owner for one.")
            st.button("Sign out", icon=":material/logout:", on_click=st.logout)
        else:
            st.write("Sign in to see this studio.")
            st.button("Sign in", type="primary", icon=":material/login:", on_click=st.login)


def account() -> None:
    """Draw the signed-in user with the way out, at the end of the sidebar."""
    if is_required() and (email := _email()):
        with st.sidebar, st.container(gap=None):
            st.caption(escape(email))
            st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out", on_click=st.logout)
