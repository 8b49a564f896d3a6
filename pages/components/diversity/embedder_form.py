"""Who turns questions into vectors: the choice, and the buttons that draw a map with it and bring it up to date."""

import streamlit as st

from glan_core.diversity.map_store import MapInfo, list_maps
from glan_core.diversity.settings import AUTO, DEFAULT_MODEL, WORDS, MapSettings, MetricSettings
from glan_core.errors import GlanError
from glan_core.formatting import ago, number, plural
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, run_rows
from pages.components.shared import job_panel, teacher_form
from pages.components.shared.untrusted_text import fault

KINDS = {
    AUTO: "The best that can be loaded",
    WORDS: "Words, offline",
    "st": "A model on this machine or the Hub",
    "openai": "An embeddings endpoint",
}
SAID = {
    AUTO: f"{DEFAULT_MODEL} where it is on this machine or can be fetched; else words.",
    WORDS: "Needs nothing. Questions are near when they share words, so it measures words rather than meaning.",
    "st": "Any sentence-transformers model, by its name or folder; safetensors only.",
    "openai": "Any OpenAI-compatible /v1/embeddings, which is paid for by the token.",
}


def spoken(embedder: str) -> str:
    """An embedder's name for people."""
    return {WORDS: "words (offline)"}.get(embedder, embedder.partition(":")[2] or embedder)


def fields() -> dict | None:
    """The embedder as orders take it, or None while something is missing."""
    kind = st.selectbox("Embedder", list(KINDS), format_func=KINDS.get, key="run_embedder_kind")
    st.caption(SAID[kind])
    if kind in (AUTO, WORDS):
        return {"embedder": kind}
    hint = DEFAULT_MODEL if kind == "st" else "text-embedding-3-small"
    model = st.text_input("Model", key=f"run_embedder_{kind}", placeholder=hint).strip()
    values = {"embedder": f"{kind}:{model}"}
    if kind == "openai":
        values["base_url"] = (
            st.text_input("Address", key="run_embedder_url", placeholder="https://api.openai.com/v1").strip() or None
        )
        teacher_form.key_field("api_key")
    if not model:
        st.caption("Give the model to go on.")
        return None
    return values


def asked(ws: Workspace, embedder: str) -> dict:
    """An embedder that has made something here as orders take it: an endpoint's at the address that was asked last."""
    orders = (run.params for run in run_rows.runs(ws.db, 200) if run.kind in ("embed", "map", "measure", "compare"))
    base_url = next((params.get("base_url") for params in orders if params.get("embedder") == embedder), None)
    return {"embedder": embedder} | ({"base_url": base_url} if base_url else {})


def draw(ws: Workspace, values: dict, *dims: int, refit: bool = False) -> None:
    """Start the runs that draw maps and measure, in a callback."""
    try:
        orders = [read_settings(MapSettings, values | {"dims": d, "refit": refit}) for d in dims]
        measure = read_settings(MetricSettings, values)
    except GlanError as error:
        st.session_state.job_error = error
    else:
        job_panel.begin(ws, *orders, measure)


def measure(ws: Workspace, embedder: str) -> None:
    """Start the run that measures with an embedder, in a callback."""
    job_panel.begin(ws, read_settings(MetricSettings, asked(ws, embedder)))


def first_map(ws: Workspace, questions: int) -> None:
    """What will be here, and the button that makes it."""
    with st.container(width=560):
        st.info(
            "Every question will be a point, near the questions that it is like: where points crowd, questions repeat; where "
            "there are none, nothing was asked.", icon=":material/scatter_plot:",
        )  # fmt: skip
        if ws.read_only:
            return
        values = fields()
        st.button(
            f"Draw the map · {plural(questions, 'question')}", type="primary", icon=":material/scatter_plot:",
            disabled=values is None, on_click=draw, args=(ws, values or {}, 2), key="first_map",
        )  # fmt: skip


def bring_up_to_date(ws: Workspace, info: MapInfo, new: int, *, busy: bool) -> None:
    """The button that lets new questions join the maps, and the way to another picture."""
    mine = asked(ws, info.embedder)
    dims = sorted({one.dims for one in list_maps(ws) if one.embedder == info.embedder})
    if ws.read_only:
        return
    if new:
        st.button(
            f"Add {number(new)} new", icon=":material/refresh:", type="primary", disabled=busy, key="update_map",
            on_click=draw, args=(ws, mine, *dims), help="Joins them to the map without moving its points, and measures again.",
        )  # fmt: skip
    with st.popover("", icon=":material/settings:", help="Draw it anew, in 3-D, or by another embedder", key="map_settings"):
        st.caption(f"{info.about} Drawn {ago(info.drawn_at)} on {number(info.landmarks)} questions, seed {info.seed}.")
        if 3 not in dims:
            st.button("Draw it in 3-D too", on_click=draw, args=(ws, mine, 3), disabled=busy, width="stretch")
        st.button(
            "Draw it anew", on_click=draw, args=(ws, mine, *dims), kwargs={"refit": True}, disabled=busy, width="stretch",
            help="On all questions there are now: every point gets a new place.",
        )  # fmt: skip
        st.divider()
        values = fields()
        try:
            st.button(
                "Draw a map by this embedder", on_click=draw, args=(ws, values or {}, 2), disabled=busy or values is None,
                width="stretch",
            )  # fmt: skip
        except GlanError as error:
            fault(error)
