"""Sampling settings of a chat: for all models, or for one of them alone."""

import streamlit as st

from glan_core.models.model_specs import SeededDecodingParams, model_title
from pages.components.shared import settings_fields

ALL = "all"
STEPS = {"temperature": 0.05, "top_p": 0.05, "top_k": 10, "repetition_penalty": 0.05, "max_tokens": 64}
KEYS = {name: f"talk_{name}" for name in STEPS}  # of the session state, for all models


def panel() -> None:
    """Draw the settings; those of one model are kept in `talk_own` by its specification."""
    state = st.session_state
    specs, own, of = state.talk_specs, dict(state.talk_own), ALL
    if len(specs) > 1:
        of = st.selectbox(
            "Sampling of", [ALL, *specs], key="talk_sampling_of",
            format_func=lambda spec: "All models" if spec == ALL else model_title(spec) + (" (own settings)" if spec in own else ""),
        )  # fmt: skip
    if of != ALL:
        st.toggle("Own settings", value=of in state.talk_own, key=f"talk_has_own_{of}", on_change=_switch, args=(of,))
        if of not in state.talk_own:
            st.caption("Uses the settings of all models.")
            return
    with st.grid(2, gap="small", min_column_width=130):
        for name, step in STEPS.items():
            field = settings_fields.number(SeededDecodingParams, name, step=step)
            if of == ALL:
                st.number_input(key=KEYS[name], **field)
            else:
                state.setdefault(key := f"{KEYS[name]}_{of}", state.talk_own[of][name])
                st.number_input(key=key, on_change=_keep, args=(of, name), **field)
        if of == ALL:
            st.number_input(key="talk_seed", **settings_fields.number(SeededDecodingParams, "seed"))
    st.toggle(
        "Lock seed", key="talk_same_seed", help="Regenerate with the same seed, to compare settings; otherwise with the next one. All models "
        "share the seed.",
    )  # fmt: skip


def _switch(spec: str) -> None:
    """Give a model its own settings, at first the common ones, or take them back."""
    state = st.session_state
    if state.pop(f"talk_has_own_{spec}", False):
        state.talk_own = state.talk_own | {spec: {name: state[key] for name, key in KEYS.items()}}
    else:
        state.talk_own = {other: values for other, values in state.talk_own.items() if other != spec}
        for key in KEYS.values():
            state.pop(f"{key}_{spec}", None)


def _keep(spec: str, name: str) -> None:
    own = st.session_state.talk_own
    st.session_state.talk_own = own | {spec: own[spec] | {name: st.session_state[f"{KEYS[name]}_{spec}"]}}
