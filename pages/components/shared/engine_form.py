"""Fields of the engine of a run: its own process, or the workers of a Ray cluster."""

import streamlit as st

from glan_core.ray_cluster.settings import LOCAL, RaySettings
from pages.components.shared import settings_fields

NAMES = {"engine": "engine", "ray": "ray_address", "workers": "ray_workers"}


def defaults(prefix: str) -> dict:
    """Return the initial values of the fields, by key."""
    return {f"{prefix}_{key}": settings_fields.default(RaySettings, name) for key, name in NAMES.items()}


def values(prefix: str, settings: RaySettings) -> dict:
    """Return the values of the fields for settings, by key."""
    return {f"{prefix}_{key}": getattr(settings, name) for key, name in NAMES.items()}


def fields(prefix: str) -> dict:
    """Draw the engine, and the cluster if there is one; return the settings."""
    for key, value in defaults(prefix).items():
        st.session_state.setdefault(key, value)
    choices = settings_fields.choices(RaySettings, "engine")
    engine = st.selectbox(options=choices, key=f"{prefix}_engine", **settings_fields.text(RaySettings, "engine"))
    if engine == "ray":
        st.text_input(key=f"{prefix}_ray", **settings_fields.text(RaySettings, "ray_address"))
        st.number_input(key=f"{prefix}_workers", **settings_fields.number(RaySettings, "ray_workers"))
    return settings(prefix)


def settings(prefix: str) -> dict:
    """Return the settings that the fields have in the session state, whether they are drawn or not."""
    state = st.session_state
    if state[f"{prefix}_engine"] != "ray":
        return {}
    return {"engine": "ray", "ray_address": state[f"{prefix}_ray"] or LOCAL, "ray_workers": state[f"{prefix}_workers"]}


def popover(prefix: str) -> dict:
    """Draw the fields in a popover; return the settings."""
    with st.popover("Engine", icon=":material/hub:"):
        return fields(prefix)
