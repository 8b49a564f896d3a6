"""The form of a contamination probe: which models read which splits, what of them counts, and the button that begins."""

import streamlit as st

from glan_core.dataset.benchmark_store import store_benchmark, stored_benchmarks
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import BENCHMARKS, label_of
from glan_core.evaluation.contamination.probe_job import check
from glan_core.evaluation.contamination.settings import ProbeFile, ProbeSettings
from glan_core.formatting import plural
from glan_core.models.model_specs import specs_of, title_of
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.dataset.checks import initially
from pages.components.evaluate import lookalikes
from pages.components.shared import job_panel
from pages.components.shared.untrusted_text import fault

COVERS = {"answer": "Answer", "question": "Question", "both": "Both"}
WRITTEN = {"plain": "Plain text", "chat": "Chat template"}
COVERED = {
    "answer": "The loss is taken on the answer's tokens, given the question.",
    "question": "The loss is taken on the question's tokens.",
    "both": "The loss is taken on the tokens of question and answer.",
}
UPLOADS = "probe_uploads"


def form(ws: Workspace, busy: bool) -> None:
    """Models, splits, what counts; then the button."""
    st.markdown("**Probe models**")
    models = _models(ws)
    train, test, alike = _files(ws)
    adding = st.container(horizontal=True, gap="small")
    settings, columns = _settings()
    with adding:
        _adding(ws, test, columns, busy)
    name = st.text_input(
        "Called", key=_key("name"), placeholder=_hint(test), max_chars=60, help="GSM8K, MATH, ARC-E and ARC-C are drawn beside the paper's."
    ).strip()  # fmt: skip
    missing = "Choose a model." if not models else "Choose both splits." if not (train and test) else None
    label = f"Probe {plural(len(models), 'model')}" if models else "Probe"
    if st.button(
        label, type="primary", icon=":material/policy:", key="begin_probe", disabled=busy or bool(missing), help=missing
    ):
        _begin(ws, {"name": name or _hint(test), "models": models, **_sources(train, test, alike, columns), **settings})


def _key(name: str) -> str:
    return f"run_probe_{st.session_state.workspace}_{name}"


def _hint(test: str | None) -> str:
    return label_of(ProbeFile(source=test))[:60] if test else "as the test split"


def _models(ws: Workspace) -> tuple[str, ...]:
    """Weights by their names; at first the newest tuned model and what it was before."""
    options = specs_of(ws)
    key = initially(_key("models"), options[:2])
    return tuple(st.multiselect(
        "Models", list(dict.fromkeys([*options, *st.session_state[key]])), format_func=_title, key=key, accept_new_options=True,
        placeholder="Choose, or type local: and a folder of weights",
        help="Weights only: an endpoint gives no loss. The base of a tuned model shows what the splits differ by on their own.",
    ))  # fmt: skip


def _title(spec: str) -> str:
    return title_of(spec) if spec.partition(":")[0] in ("tuned", "base", "local") else spec


def _files(ws: Workspace) -> tuple[str | None, str | None, str | None]:
    kept = {str(path): path.name for path in stored_benchmarks(ws)}
    if added := st.session_state.pop("probe_added", None):
        role, path = added
        st.session_state[_key(role)] = path
    known = {name: f"{one.hub.label} · from the Hub" for name, one in BENCHMARKS.items()}
    said = known | {path: f"{name} · kept in this workspace" for path, name in kept.items()}
    chosen = {}
    for role, label, told in (
        ("train", "Training split", "Rows that a model may have learned from."),
        ("test", "Test split", "Rows of the same kind, for testing only."),
        ("alike", "Look-alikes, if there are any", "Problems of the same kind that were written afresh."),
    ):
        own = st.session_state.get(_key(role))
        options = [*(said if role != "alike" else kept)]
        chosen[role] = st.selectbox(
            label, list(dict.fromkeys([*options, *([own] if own else [])])), index=None, format_func=lambda source: said.get(source, source),
            key=_key(role), accept_new_options=True, placeholder="Choose, or type a file's path", help=told,
        )  # fmt: skip
    return tuple((chosen[role] or "").strip() or None for role in ("train", "test", "alike"))


def _adding(ws: Workspace, test: str | None, columns: dict, busy: bool) -> None:
    """Files that are not there yet: given by a person, or written by a teacher."""
    with st.popover("Add a file", icon=":material/upload_file:"):
        _upload(ws)
    with st.popover("Write look-alikes", icon=":material/edit_note:"):
        lookalikes.writer(ws, test and _source(test, columns), busy)


def _upload(ws: Workspace) -> None:
    """A file of a person's own, kept in the workspace."""
    st.caption("JSONL, JSON, CSV or Parquet with a question and its answer in each row. It is kept in the workspace's folder.")
    labels = {"train": "Training split", "test": "Test split", "alike": "Look-alikes"}
    role = st.segmented_control(
        "It is the", list(labels), format_func=labels.get, default="train", required=True, key="probe_upload_role"
    )
    file = st.file_uploader("File", key=f"probe_upload_{st.session_state.get(UPLOADS, 0)}", label_visibility="collapsed")
    if file and st.button("Add it", width="stretch", key="add_probe_file"):
        try:
            path = store_benchmark(ws, file.name, file, st.session_state.get(_key("question"), "").strip() or None)
        except GlanError as error:
            fault(error)
            return
        st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1
        st.session_state.probe_added = (role, str(path))
        st.rerun()


def _settings() -> tuple[dict, dict]:
    """What counts, as an order takes it, and the columns of files."""
    covers = st.segmented_control(
        "The loss covers", list(COVERS), format_func=COVERS.get, key=initially(_key("covers"), "answer"), required=True
    )
    with st.expander("More", icon=":material/tune:"):
        written = st.segmented_control(
            "Written as", list(WRITTEN), format_func=WRITTEN.get, key=initially(_key("written"), "plain"), required=True,
            help="Plain text is question, line break, answer, as a benchmark's file reads. The chat template is how the model is asked.",
        )  # fmt: skip
        with st.grid(2, gap="small", min_column_width=110):
            sample = st.number_input(
                "Rows of each", 2, 1_000_000, key=initially(_key("sample"), ProbeSettings.model_fields["sample"].default),
                help="Drawn by the seed: a larger sample holds a smaller one.",
            )  # fmt: skip
            longest = st.number_input("Cut at, tokens", 16, 131_072, key=initially(_key("max_length"), 1024))
            seed = st.number_input("Seed", 0, 2**31 - 1, key=initially(_key("seed"), 0))
        question = st.text_input("Column of the question", key=_key("question"), placeholder="recognised").strip()
        answer = st.text_input(
            "Column of the answer", key=_key("answer"), placeholder="recognised", help="Dotted where it is nested: answers.text"
        ).strip()
    st.caption(f"{COVERED[covers]} Written {'as plain text' if written == 'plain' else 'in the chat template'}.")
    settings = {"covers": covers, "written": written, "sample": int(sample), "max_length": int(longest), "seed": int(seed)}
    return settings, {"question": question or None, "answer": answer or None}


def _sources(train: str, test: str, alike: str | None, columns: dict) -> dict:
    files = {"train": train, "test": test, "alike": alike}
    return {role: _source(source, columns) for role, source in files.items() if source}


def _source(source: str, columns: dict) -> dict:
    """A file as an order takes it; the columns of a known benchmark are known."""
    return {"source": source, **({} if source.lower() in BENCHMARKS else columns)}


def _begin(ws: Workspace, values: dict) -> None:
    """Check what can be checked at once, and start the run."""
    try:
        settings = read_settings(ProbeSettings, values)
        with st.spinner("The files are checked …"):
            check(ws, settings)
    except GlanError as error:
        fault(error)
        return
    job_panel.begin(ws, settings, title=f"Probe {settings.name}")
    st.session_state.probe_asked = settings.name
    st.rerun()
