"""Form of a contamination probe: models, splits and loss settings."""

import streamlit as st

from glan_core.dataset.benchmark_store import store_benchmark, stored_benchmarks
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import BENCHMARKS, ROLES, source_label
from glan_core.evaluation.contamination.probe_job import check_probe
from glan_core.evaluation.contamination.settings import LONGEST_NAME, ProbeFile, ProbeSettings
from glan_core.formatting import plural
from glan_core.io.data_files import FORMATS
from glan_core.models.model_specs import list_specs, model_title
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.dataset import checks
from pages.components.evaluate import lookalikes
from pages.components.shared import job_panel, settings_fields
from pages.components.shared.untrusted_text import show_error

COVERS = {"answer": "Answer", "question": "Question", "both": "Both"}
WRITTEN = {"plain": "Plain text", "chat": "Chat template"}
COVERED = {
    "answer": "Loss on the answer tokens, given the question.",
    "question": "Loss on the question tokens.",
    "both": "Loss on the tokens of question and answer.",
}
UPLOADS = "probe_uploads"


def panel(ws: Workspace, *, busy: bool) -> None:
    """Draw the form with its start button."""
    st.markdown("**Probe models**")
    models = _models(ws)
    train, test, alike = _files(ws)
    adding = st.container(horizontal=True, gap="small")
    settings, columns = _settings()
    with adding:
        _adding(ws, test, columns, busy=busy)
    name = st.text_input(
        key=_key("name"), placeholder=_hint(test), max_chars=LONGEST_NAME, **settings_fields.text(ProbeSettings, "name")
    ).strip()  # fmt: skip
    missing = "Select a model." if not models else "Select both splits." if not (train and test) else None
    label = f"Probe {plural(len(models), 'model')}" if models else "Probe"
    if st.button(
        label, type="primary", icon=":material/policy:", key="begin_probe", disabled=busy or bool(missing), help=missing
    ):
        _begin(ws, {"name": name or _hint(test), "models": models, **_sources(train, test, alike, columns), **settings})


def _key(name: str) -> str:
    return f"run_probe_{st.session_state.workspace}_{name}"


def _hint(test: str | None) -> str:
    return source_label(ProbeFile(source=test))[:LONGEST_NAME] if test else "name of the test split"


def _models(ws: Workspace) -> tuple[str, ...]:
    """Draw the choice of models, by default the newest tuned model and its base."""
    options = list_specs(ws)
    key = checks.initial_value(_key("models"), options[:2])
    return tuple(st.multiselect(
        options=list(dict.fromkeys([*options, *st.session_state[key]])), format_func=_title, key=key, accept_new_options=True,
        placeholder="Select, or enter local:FOLDER",
        **settings_fields.text(
            ProbeSettings, "models", note="Endpoints do not return the loss. The base model shows how much the splits differ by themselves."
        ),
    ))  # fmt: skip


def _title(spec: str) -> str:
    return model_title(spec) if spec.partition(":")[0] in ("tuned", "base", "local") else spec


def _files(ws: Workspace) -> tuple[str | None, str | None, str | None]:
    kept = {str(path): path.name for path in stored_benchmarks(ws)}
    if added := st.session_state.pop("probe_added", None):
        role, path = added
        st.session_state[_key(role)] = path
    known = {name: f"{one.hub.label} · Hugging Face Hub" for name, one in BENCHMARKS.items()}
    summary = known | {path: f"{name} · uploaded" for path, name in kept.items()}
    chosen = {}
    for role in ROLES:
        own = st.session_state.get(_key(role))
        options = [*(summary if role != "alike" else kept)]
        chosen[role] = st.selectbox(
            options=list(dict.fromkeys([*options, *([own] if own else [])])), index=None,
            format_func=lambda source: summary.get(source, source), key=_key(role), accept_new_options=True,
            placeholder=f"{'Optional: select' if role == 'alike' else 'Select'}, or enter a file path",
            **settings_fields.text(ProbeSettings, role),
        )  # fmt: skip
    return tuple((chosen[role] or "").strip() or None for role in ROLES)


def _adding(ws: Workspace, test: str | None, columns: dict, *, busy: bool) -> None:
    """Draw the popovers that upload a file or generate look-alikes."""
    with st.popover("Add file", icon=":material/upload_file:"):
        _upload(ws)
    with st.popover("Generate look-alikes", icon=":material/edit_note:"):
        lookalikes.panel(ws, test and _source(test, columns), busy=busy)


def _upload(ws: Workspace) -> None:
    """Draw the upload of a split, which is stored in the workspace."""
    st.caption(f"{FORMATS}, with question and answer in each row. The file is stored in the workspace.")
    labels = {role: settings_fields.label(ProbeSettings, role) for role in ROLES}
    role = st.segmented_control(
        "Use as", list(labels), format_func=labels.get, default="train", required=True, key="probe_upload_role"
    )
    file = st.file_uploader("File", key=f"probe_upload_{st.session_state.get(UPLOADS, 0)}", label_visibility="collapsed")
    if file and st.button("Add", width="stretch", key="add_probe_file"):
        try:
            path = store_benchmark(ws, file.name, file, st.session_state.get(_key("question"), "").strip() or None)
        except GlanError as error:
            show_error(error)
            return
        st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1
        st.session_state.probe_added = (role, str(path))
        st.rerun()


def _initial(name: str) -> str:
    """Set the default of a setting as the first value of its widget and return the widget key."""
    return checks.initial_value(_key(name), settings_fields.default(ProbeSettings, name))


def _settings() -> tuple[dict, dict]:
    """Draw the loss settings and file columns; returns both as settings."""
    covers = st.segmented_control(
        options=list(COVERS), format_func=COVERS.get, key=_initial("covers"), required=True,
        **settings_fields.text(ProbeSettings, "covers"),
    )  # fmt: skip
    with st.expander("More", icon=":material/tune:"):
        written = st.segmented_control(
            options=list(WRITTEN), format_func=WRITTEN.get, key=_initial("written"), required=True,
            **settings_fields.text(ProbeSettings, "written"),
        )  # fmt: skip
        with st.grid(2, gap="small", min_column_width=110):
            sample, longest, seed = (
                st.number_input(key=_initial(name), **settings_fields.number(ProbeSettings, name))
                for name in ("sample", "max_length", "seed")
            )
        question, answer = (
            st.text_input(key=_key(name), placeholder="detected", **settings_fields.text(ProbeFile, name)).strip()
            for name in ("question", "answer")
        )
    st.caption(f"{COVERED[covers]} Formatted {'as plain text' if written == 'plain' else 'with the chat template'}.")
    settings = {"covers": covers, "written": written, "sample": int(sample), "max_length": int(longest), "seed": int(seed)}
    return settings, {"question": question or None, "answer": answer or None}


def _sources(train: str, test: str, alike: str | None, columns: dict) -> dict:
    files = {"train": train, "test": test, "alike": alike}
    return {role: _source(source, columns) for role, source in files.items() if source}


def _source(source: str, columns: dict) -> dict:
    """Return the settings of a file; known benchmarks need no columns."""
    return {"source": source, **({} if source.lower() in BENCHMARKS else columns)}


def _begin(ws: Workspace, values: dict) -> None:
    """Validate the settings and start the run."""
    try:
        settings = read_settings(ProbeSettings, values)
        with st.spinner("Checking files …"):
            check_probe(ws, settings)
    except GlanError as error:
        show_error(error)
        return
    job_panel.start_jobs(ws, settings, title=f"Probe {settings.name}")
    st.session_state.probe_asked = settings.name
    st.rerun()
