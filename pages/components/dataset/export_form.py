"""Export: what is taken away, as what, and where to; beside it how a row will look, and the card of the dataset."""

import json
import re
import shlex
from functools import partial
from pathlib import Path

import networkx as nx
import streamlit as st

from glan_core.dataset import snapshot_store
from glan_core.dataset.card import card, field_bars
from glan_core.dataset.export_job import is_folder, exports_folder, export_bytes
from glan_core.dataset.formats import FORMATS, format_row, file_suffix
from glan_core.dataset.manifest import Manifest, selection_manifest
from glan_core.dataset.row_selection import sample_row
from glan_core.dataset.settings import ExportSettings, RowSelection
from glan_core.errors import GlanError
from glan_core.figures.coverage_bars import coverage_figure
from glan_core.formatting import number, plural, shorten
from glan_core.io import hub
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, homework_rows
from pages.components.dataset import row_choice
from pages.components.dataset.row_choice import MOST_DOWNLOADED
from pages.components.shared import job_panel, page_frame, url_state
from pages.components.shared.untrusted_text import fault, model_markdown, plain, scripted_mark

READ_BY = {
    "chat": ("Chat messages (JSONL)", "TRL, Axolotl, LLaMA-Factory, Unsloth: a list of messages with roles. When in doubt, this one."),
    "alpaca": ("Alpaca (JSONL)", "LLaMA-Factory, Axolotl, Unsloth: instruction, input (empty) and output."),
    "sharegpt": ("ShareGPT (JSONL)", "LLaMA-Factory, Axolotl, torchtune: conversations from human and gpt."),
    "prompt-completion": ("Prompt and completion (JSONL)", "TRL, which then learns from the completion alone."),
    "parquet": ("Parquet", "datasets, pandas, DuckDB, and TRL as prompt and completion; provenance as columns. The smallest file."),
    "datasets": ("Hugging Face datasets", "load_from_disk and load_dataset of the library of that name: a folder in Arrow."),
}  # fmt: skip
PLACES = {"download": "Download", "path": "This machine", "hub": "Hugging Face Hub"}
LONGEST = 320  # characters of a text in the sample


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """The form of an export beside a row of it and its card."""
    busy = job_panel.progress(ws, "export", "snapshot")
    if not busy:
        row_choice.outcome(ws, "export")
    left, right = page_frame.two_halves()
    with left:
        frozen = _source(ws)
        if frozen:
            choice, count, gone = RowSelection(), frozen.number, frozen.left_out
            split = frozen.split
            st.caption(f"{row_choice.split_words(frozen.rows)}. Left out: {row_choice.left_words(gone)}.")
        else:
            choice = row_choice.fields(ws, tree, "export", split="none")
            count, gone = row_choice.count(ws, tree, choice)
            split = choice.split
            st.caption(f"{plural(count, 'pair')}. Left out: {row_choice.left_words(gone)}.")
        place = _place(ws, count)
        form = "parquet" if place == "hub" else _form()
        values = {"form": form, "snapshot": frozen.name if frozen else None, "choice": choice}
        _deliver(ws, place, values, count, split, busy)
    with right:
        _sample(ws, values, frozen)
        _card(ws, values, frozen, count, None if is_folder(values["form"], split) else _name(ws, values))


def _source(ws: Workspace) -> Manifest | None:
    """The snapshot that is exported, or None for the workspace as it is."""
    found = {one.name: one for one in snapshot_store.list_snapshots(ws)}
    if st.session_state.get("export_source") not in found:
        st.session_state.export_source = ""
    name = st.selectbox(
        "What", ["", *found], key="export_source", bind="query-params",
        format_func=lambda name: f"Snapshot {name} · {plural(found[name].number, 'pair')}" if name else "The workspace as it is now",
        help="A snapshot has a name and a hash that training can give; the workspace goes on changing.",
    )  # fmt: skip
    return found.get(name)


def _place(ws: Workspace, count: int) -> str:
    """Where it goes: a download, a path, or the Hub. Only who may write in the workspace can start the last two."""
    if ws.read_only:
        return "download"
    key = "run_export_place"
    st.session_state.setdefault(key, "download" if count <= MOST_DOWNLOADED else "path")
    return st.segmented_control("Where to", list(PLACES), format_func=PLACES.get, key=key, required=True)


def _form() -> str:
    form = st.selectbox("Format", FORMATS, format_func=lambda form: READ_BY[form][0], key="run_export_form")
    st.caption(f"Read by {READ_BY[form][1]}")
    return form


def _deliver(ws: Workspace, place: str, values: dict, count: int, split: str, busy: bool) -> None:
    """The fields of a place, the one button that delivers, and the command that does the same."""
    folder = is_folder(values["form"], split)
    name = _name(ws, values, folder)
    match place:
        case "download":
            extra = {"path": name}
            _download(ws, values, count, folder, name)
        case "path":
            extra = _path(ws, values, folder, name)
        case _:
            extra = _hub(ws)
    try:
        settings = read_settings(ExportSettings, {**values, **extra})
    except GlanError as error:
        fault(error)
        return
    if place != "download":
        where = Path(settings.path).name if settings.path else settings.repo
        verb = "Write" if place == "path" else "Send"
        if st.button(  # no callback: it would get what the fields held before the last of them was left by this very click
            f"{verb} {plural(count, 'pair')}", type="primary", key="export", disabled=busy or not count or not where,
            icon=":material/save:" if place == "path" else ":material/cloud_upload:",
        ):  # fmt: skip
            job_panel.begin(ws, settings, title=f"Export to {where}")
            st.rerun()
    st.caption("The same by command line")
    st.code(command(ws, settings), language="bash", wrap_lines=True)


def _name(ws: Workspace, values: dict, folder: bool = False) -> str:
    """What the file or folder is called."""
    return f"{values['snapshot'] or ws.folder.name}-{values['form']}{'' if folder else file_suffix(values['form'])}"


def _download(ws: Workspace, values: dict, count: int, folder: bool, name: str) -> None:
    """The button that hands the dataset to the browser; it is made when it is pressed."""
    fits = count <= MOST_DOWNLOADED
    if not fits:
        st.caption(
            f"At most {number(MOST_DOWNLOADED)} rows go through the browser: write these to this machine, or use the command."
        )
    st.download_button(
        f"Download {plural(count, 'pair')}", partial(export_bytes, ws, values["form"], values["choice"], snapshot=values["snapshot"]),
        file_name=f"{name}.zip" if folder else name, type="primary", icon=":material/download:",
        key="download", on_click="ignore", disabled=not (fits and count),
        help="A ZIP archive with a file a split, the card and the numbers." if folder else None,
    )  # fmt: skip


def _path(ws: Workspace, values: dict, folder: bool, name: str) -> dict:
    """The fields of a file or folder on this machine."""
    usual = exports_folder(ws) / name
    typed = st.text_input(
        "Folder" if folder else "File", key="run_export_path", placeholder=str(usual),
        help="On the machine that the studio runs on. It appears whole or not at all; empty: the place that is shown.",
    ).strip()  # fmt: skip
    path = exports_folder(ws) / Path(typed).expanduser() if typed else usual
    if path.exists():
        st.caption(f":orange[{plain(str(path))} is there already: an earlier export there is replaced.]")
    with_card = folder or st.checkbox("With a dataset card beside it", key="run_export_card")
    return {"path": str(path), "card": with_card and not folder}


def _hub(ws: Workspace) -> dict:
    """The fields of a dataset on the Hub."""
    repo = st.text_input("Dataset on the Hub", key="run_export_repo", placeholder="owner/name").strip()
    with st.grid(2, gap="small", min_column_width=170):
        license = st.text_input(
            "License", key="run_export_license", placeholder="cc-by-4.0",
            help="The identifier that the card gives. What the teachers' terms allow stands in the card.",
        ).strip()  # fmt: skip
        st.session_state.setdefault("run_export_private", True)
        private = st.toggle("Private", key="run_export_private", help="For nobody else to see.")
    try:
        hub.check_login()
        st.caption(
            f"Goes as Parquet with its card{'' if private else ', :orange[for everybody to see]'}. The token is that of HF_TOKEN "
            "or of this machine's login; nothing typed here is a secret."
        )  # fmt: skip
    except GlanError as error:
        st.warning(plain(str(error)))
    return {"repo": repo or None, "private": private, "license": license or None}


def command(ws: Workspace, settings: ExportSettings) -> str:
    """The `glan` command that does the same as an order; its disciplines are those in focus."""
    parts = ["glan", "export", str(ws.folder)]
    if settings.repo:
        parts += ["--push", settings.repo] + ([] if settings.private else ["--public"])
    if settings.path:
        parts += ["--format", settings.form, "--out", settings.path]
    elif not settings.repo:
        parts += ["--push", "OWNER/NAME"]
    if settings.snapshot:
        parts += ["--snapshot", settings.snapshot]
    elif url_state.focus():
        parts += ["--disciplines", url_state.focus()]
    choice = settings.choice
    if choice.include:
        parts += ["--include", ",".join(choice.include)]
    if choice.scripted is not None:
        parts.append("--scripted" if choice.scripted else "--no-scripted")
    if choice.split != "none":
        parts += ["--split", choice.split, "--validation", f"{choice.validation_share:g}", "--seed", str(choice.seed)]
    if settings.card:
        parts.append("--card")
    if settings.license:
        parts += ["--license", settings.license]
    return shlex.join(parts)


def _sample(ws: Workspace, values: dict, frozen: Manifest | None) -> None:
    """How a row looks in the format."""
    head = st.container(horizontal=True, vertical_alignment="center", gap="small")
    head.markdown(f"**A row as {READ_BY[values['form']][0]}**", width="content")
    try:
        row = _frozen_row(ws, str(ws.folder), frozen.name, frozen.hash) if frozen else sample_row(ws, values["choice"])
    except GlanError as error:
        fault(error)
        return
    if row is None:
        st.caption("No row to show.")
        return
    with head:
        scripted_mark(row["answer_teacher"])
    st.code(
        json.dumps(_cut(format_row(row, values["form"])), ensure_ascii=False, indent=2),
        language="json",
        wrap_lines=True,
        height=400,
    )
    st.caption(f"One of the rows; here texts end after {LONGEST} characters. The provenance stands with every row.")


@st.cache_data(max_entries=20, show_spinner=False)
def _frozen_row(_ws: Workspace, folder: str, name: str, hash: str) -> dict | None:
    return next((row for _, row in snapshot_store.read_snapshot(_ws, name).rows()), None)


def _cut(value: object) -> object:
    """A value with its texts shortened."""
    match value:
        case str():
            return shorten(value, LONGEST)
        case dict():
            return {name: _cut(part) for name, part in value.items()}
        case list():
            return [_cut(part) for part in value]
    return value


def _card(ws: Workspace, values: dict, frozen: Manifest | None, count: int, data: str | None) -> None:
    """The card that goes with the dataset, once it is asked for; `data` is its file, None for a folder."""
    opened = st.expander("The dataset card", icon=":material/description:", on_change="rerun", key="card_open")
    if not opened.open:
        return
    with opened:
        if frozen is None and count > MOST_DOWNLOADED:
            st.caption(
                f"It is made from numbers that are counted while the rows are written. To read the card of more than "
                f"{number(MOST_DOWNLOADED)} rows first, take a snapshot of them."
            )  # fmt: skip
            return
        if not count:
            st.caption("There are no rows to make it from.")
            return
        state = (homework_rows.last_seq(ws.db), count)
        manifest = frozen or Manifest.model_validate_json(
            _counted(ws, str(ws.folder), values["choice"].model_dump_json(), state)
        )
        license = st.session_state.get("run_export_license") or None
        text = card(manifest, values["form"], figure="coverage.svg", license=None if _odd(license) else license, data=data)
        _, front, body = text.split("---\n", 2)
        before, _, after = re.split(r"(!\[Rows by field of the taxonomy\]\(coverage\.svg\))", body, maxsplit=1)
        st.markdown(model_markdown(before))
        st.plotly_chart(
            coverage_figure(field_bars(manifest), page_frame.figure_style()), width="stretch", config={"displayModeBar": False},
            key="card_coverage",
        )  # fmt: skip
        st.markdown(model_markdown(after))
        st.caption("At its head, for the Hub")
        st.code(front.strip(), language="yaml")


def _odd(license: str | None) -> bool:
    """Whether it is no identifier that a card could give."""
    try:
        return license is not None and not read_settings(ExportSettings, {"license": license})
    except GlanError:
        return True


@st.cache_data(max_entries=20, show_spinner="Counting …")
def _counted(_ws: Workspace, folder: str, choice: str, state: tuple[int, int]) -> str:
    return selection_manifest(_ws, RowSelection.model_validate_json(choice)).model_dump_json()
