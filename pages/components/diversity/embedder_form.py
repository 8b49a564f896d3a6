"""Choice of the embedder, and the buttons that create and update maps."""

import streamlit as st

from glan_core.diversity.map_store import MapInfo, list_maps
from glan_core.diversity.settings import AUTO, DEFAULT_MODEL, WORDS, EmbedderSettings, MapSettings, MetricSettings
from glan_core.errors import GlanError
from glan_core.formatting import ago, number, plural
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, run_rows
from pages.components.shared import job_panel, settings_fields, teacher_form
from pages.components.shared.untrusted_text import show_error

KINDS = {
    AUTO: "Best available",
    WORDS: "Words (offline)",
    "st": "sentence-transformers model",
    "openai": "Embeddings endpoint",
}
SAID = {
    AUTO: f"{DEFAULT_MODEL} if it is installed or can be downloaded, else words.",
    WORDS: "Needs no model. Measures shared words rather than meaning.",
    "st": "Any sentence-transformers model, by Hub id or folder; safetensors only.",
    "openai": "Any OpenAI-compatible /v1/embeddings endpoint, billed per token.",
}


def display_name(embedder: str) -> str:
    """Return the display name of an embedder."""
    return {WORDS: "words (offline)"}.get(embedder, embedder.partition(":")[2] or embedder)


def fields() -> dict | None:
    """Draw the choice of the embedder; returns settings, or None while a field is missing."""
    kind = st.selectbox(
        settings_fields.label(EmbedderSettings, "embedder"), list(KINDS), format_func=KINDS.get, key="run_embedder_kind"
    )
    st.caption(SAID[kind])
    if kind in (AUTO, WORDS):
        return {"embedder": kind}
    hint = DEFAULT_MODEL if kind == "st" else "text-embedding-3-small"
    model = st.text_input("Model", key=f"run_embedder_{kind}", placeholder=hint).strip()
    values = {"embedder": f"{kind}:{model}"}
    if kind == "openai":
        values["base_url"] = (
            st.text_input(
                key="run_embedder_url",
                placeholder="https://api.openai.com/v1",
                **settings_fields.text(EmbedderSettings, "base_url"),
            ).strip()
            or None
        )
        teacher_form.key_field("api_key")
    if not model:
        st.caption("Enter the model to continue.")
        return None
    return values


def settings_of(ws: Workspace, embedder: str) -> dict:
    """Return the settings of an embedder used before, with the base URL last used for it."""
    settings = (run.params for run in run_rows.runs(ws.db, 200) if run.kind in ("embed", "map", "measure", "compare"))
    base_url = next((params.get("base_url") for params in settings if params.get("embedder") == embedder), None)
    return {"embedder": embedder} | ({"base_url": base_url} if base_url else {})


def start_maps(ws: Workspace, values: dict, *dims: int, refit: bool = False) -> None:
    """Start the jobs that create maps and compute metrics, in a callback."""
    try:
        jobs = [read_settings(MapSettings, values | {"dims": d, "refit": refit}) for d in dims]
        measure = read_settings(MetricSettings, values)
    except GlanError as error:
        st.session_state.job_error = error
    else:
        job_panel.start_jobs(ws, *jobs, measure)


def start_metrics(ws: Workspace, embedder: str) -> None:
    """Start the job that computes the metrics, in a callback."""
    job_panel.start_jobs(ws, read_settings(MetricSettings, settings_of(ws, embedder)))


def first_map(ws: Workspace, questions: int) -> None:
    """Draw the empty state with the button that creates the first map."""
    with st.container(width=560):
        st.info(
            "The map shows every question as a point, with similar questions close together: dense areas contain duplicates, empty "
            "areas are not covered.", icon=":material/scatter_plot:",
        )  # fmt: skip
        if ws.read_only:
            return
        values = fields()
        st.button(
            f"Create map · {plural(questions, 'question')}", type="primary", icon=":material/scatter_plot:",
            disabled=values is None, on_click=start_maps, args=(ws, values or {}, 2), key="first_map",
        )  # fmt: skip


def update_button(ws: Workspace, info: MapInfo, new: int, *, busy: bool) -> None:
    """Draw the button that adds new questions to the maps, and the map settings."""
    mine = settings_of(ws, info.embedder)
    dims = sorted({one.dims for one in list_maps(ws) if one.embedder == info.embedder})
    if ws.read_only:
        return
    if new:
        st.button(
            f"Add {number(new)} new", icon=":material/refresh:", type="primary", disabled=busy, key="update_map",
            on_click=start_maps, args=(ws, mine, *dims), help="Adds them to the map without moving existing points, and recomputes the metrics.",
        )  # fmt: skip
    with st.popover("Map settings", icon=":material/settings:", help="Map settings: refit, 3-D, embedder", key="map_settings"):
        st.caption(f"{info.about} Fitted {ago(info.drawn_at)} on {number(info.landmarks)} questions, seed {info.seed}.")
        if 3 not in dims:
            st.button("Create 3-D map", on_click=start_maps, args=(ws, mine, 3), disabled=busy, width="stretch")
        st.button(
            "Refit map", on_click=start_maps, args=(ws, mine, *dims), kwargs={"refit": True}, disabled=busy, width="stretch",
            help="Fits the map to all current questions; every point moves.",
        )  # fmt: skip
        st.divider()
        values = fields()
        try:
            st.button(
                "Create map with this embedder", on_click=start_maps, args=(ws, values or {}, 2), disabled=busy or values is None,
                width="stretch",
            )  # fmt: skip
        except GlanError as error:
            show_error(error)
