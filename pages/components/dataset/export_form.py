"""Export view: source, format and destination, with a sample row and the dataset card."""

import json
import re
import shlex
from functools import partial
from pathlib import Path

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset import snapshot_store
from glan_core.dataset.card import card, field_bars
from glan_core.dataset.export_job import export_bytes, exports_folder, is_folder
from glan_core.dataset.formats import FORMATS, file_suffix, format_row
from glan_core.dataset.manifest import Manifest, selection_manifest
from glan_core.dataset.row_selection import sample_row
from glan_core.dataset.settings import ExportSettings, RowSelection
from glan_core.errors import GlanError
from glan_core.figures.coverage_bars import coverage_figure
from glan_core.formatting import number, plural, shorten
from glan_core.io import hub
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, homework_rows, record_rows
from pages.components.dataset import row_choice
from pages.components.shared import job_panel, page_frame, picture_table, settings_fields, unseen_heading, url_state
from pages.components.shared.command_line import command_line
from pages.components.shared.untrusted_text import escape, model_markdown, scripted_badge, show_error

READ_BY = {
    "chat": ("Chat messages (JSONL)", "TRL, Axolotl, LLaMA-Factory and Unsloth: a list of messages with roles. The default choice."),
    "alpaca": ("Alpaca (JSONL)", "LLaMA-Factory, Axolotl and Unsloth: instruction, input (empty) and output."),
    "sharegpt": ("ShareGPT (JSONL)", "LLaMA-Factory, Axolotl and torchtune: conversations from human and gpt."),
    "prompt-completion": ("Prompt and completion (JSONL)", "TRL, with the loss on the completion only: two lists of messages."),
    "openai": ("OpenAI fine-tuning (JSONL)", "OpenAI's fine-tuning API and services that copy it: messages without provenance."),
    "parquet": ("Parquet", "TRL, datasets, pandas and DuckDB: messages, texts and provenance as columns. The smallest file."),
    "datasets": ("Hugging Face datasets", "load_from_disk and load_dataset of the datasets library: an Arrow folder."),
}  # fmt: skip
PLACES = {"download": "Download", "path": "Folder or file", "hub": "Hugging Face Hub"}
LONGEST = 320  # characters per text in the sample row


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the export form, a sample row and the dataset card."""
    busy = job_panel.show_progress(ws, "export", "snapshot")
    if not busy:
        row_choice.last_result(ws, "export")
    left, right = page_frame.two_halves()
    with left:
        frozen = _source(ws)
        if frozen:
            choice, count, gone = RowSelection(), frozen.number, frozen.left_out
            split = frozen.split
            st.caption(f"{row_choice.describe_split(frozen.rows)}. Excluded: {row_choice.describe_excluded(gone)}.")
        else:
            choice = row_choice.fields(ws, tree, "export", split=settings_fields.default(RowSelection, "split"))
            count, gone = row_choice.count(ws, tree, choice)
            split = choice.split
            st.caption(f"{plural(count, 'pair')}. Excluded: {row_choice.describe_excluded(gone)}.")
            if not row_choice.show_held_out(ws, choice):
                count = 0
        place = _place(ws, count)
        form = "parquet" if place == "hub" else _form()
        values = {"form": form, "snapshot": frozen.name if frozen else None, "choice": choice, "folder": False}
        if place != "hub" and not is_folder(form, split):
            values["folder"] = st.checkbox(key="run_export_folder", **settings_fields.text(ExportSettings, "folder"))
        if form != "openai":  # which refuses further columns
            values["reasoning"] = st.checkbox(key="run_export_reasoning", **settings_fields.text(ExportSettings, "reasoning"))
        _deliver(ws, place, values, count, split, busy=busy)
    with right:
        _sample(ws, values, frozen)
        _card(
            ws, values, frozen, count, None if is_folder(values["form"], split, asked=values["folder"]) else _name(ws, values)
        )


def _source(ws: Workspace) -> Manifest | None:
    """Draw the choice of the source; returns a snapshot, or None for the current workspace."""
    found = {one.name: one for one in snapshot_store.list_snapshots(ws)}
    if st.session_state.get("export_source") not in found:
        st.session_state.export_source = ""
    name = st.selectbox(
        "Source", ["", *found], key="export_source", bind="query-params",
        format_func=lambda name: f"Snapshot {name} · {plural(found[name].number, 'pair')}" if name else "Current workspace",
        help="A snapshot is fixed, with a name and a hash that training runs record; the workspace keeps changing.",
    )  # fmt: skip
    return found.get(name)


def _place(ws: Workspace, count: int) -> str:
    """Draw the choice of the destination; a read-only workspace offers only the download."""
    if ws.read_only:
        return "download"
    key = "run_export_place"
    st.session_state.setdefault(key, "download" if count <= row_choice.MOST_DOWNLOADED else "path")
    return st.segmented_control("Destination", list(PLACES), format_func=PLACES.get, key=key, required=True)


def _form() -> str:
    form = st.selectbox(
        options=FORMATS, format_func=lambda form: READ_BY[form][0], key="run_export_form",
        **settings_fields.text(ExportSettings, "form"),
    )  # fmt: skip
    st.caption(f"For {READ_BY[form][1]}")
    return form


def _deliver(ws: Workspace, place: str, values: dict, count: int, split: str, *, busy: bool) -> None:
    """Draw the fields of a destination, the export button and the equivalent command."""
    folder = is_folder(values["form"], split, asked=values["folder"])
    name = _name(ws, values, folder=folder)
    match place:
        case "download":
            extra = {"path": name}
            _download(ws, values, count, name, folder=folder)
        case "path":
            extra = _path(ws, values, name, folder=folder)
        case _:
            extra = _hub(ws)
    try:
        settings = read_settings(ExportSettings, {**values, **extra})
    except GlanError as error:
        show_error(error)
        return
    if place != "download":
        where = Path(settings.path).name if settings.path else settings.repo
        verb = "Export" if place == "path" else "Upload"
        if st.button(  # not a callback: it would not see the field that this click deselects
            f"{verb} {plural(count, 'pair')}", type="primary", key="export", disabled=busy or not count or not where,
            icon=":material/save:" if place == "path" else ":material/cloud_upload:",
        ):  # fmt: skip
            job_panel.start_jobs(ws, settings, title=f"Export to {where}")
            st.rerun()
    st.caption("Equivalent command")
    command_line(command(ws, settings))


def _name(ws: Workspace, values: dict, *, folder: bool = False) -> str:
    """Return the name of the file or folder."""
    return f"{values['snapshot'] or ws.folder.name}-{values['form']}{'' if folder else file_suffix(values['form'])}"


def _download(ws: Workspace, values: dict, count: int, name: str, *, folder: bool) -> None:
    """Draw the download button; the file is generated when it is pressed."""
    fits = count <= row_choice.MOST_DOWNLOADED
    if not fits:
        st.caption(
            f"Downloads are limited to {number(row_choice.MOST_DOWNLOADED)} rows. Export to a file on this machine, or use the command."
        )
    st.download_button(
        f"Download {plural(count, 'pair')}", partial(export_bytes, ws, values["form"], values["choice"], snapshot=values["snapshot"], folder=folder,
            reasoning=values.get("reasoning", False)),
        file_name=f"{name}.zip" if folder else name, type="primary", icon=":material/download:",
        key="download", on_click="ignore", disabled=not (fits and count),
        help="ZIP archive with one file per split, the dataset card and statistics." if folder else None,
    )  # fmt: skip


def _path(ws: Workspace, values: dict, name: str, *, folder: bool) -> dict:
    """Draw the fields of a destination on the server."""
    usual = exports_folder(ws) / name
    typed = st.text_input(
        key="run_export_path", placeholder=str(usual),
        **settings_fields.text(ExportSettings, "path", note="On the machine that runs the studio. Empty: the path shown."),
    ).strip()  # fmt: skip
    path = exports_folder(ws) / Path(typed).expanduser() if typed else usual
    if path.exists():
        st.caption(f":orange[{escape(str(path))} exists and will be replaced.]")
    with_card = folder or st.checkbox(key="run_export_card", **settings_fields.text(ExportSettings, "card"))
    return {"path": str(path), "card": with_card and not folder}


def _hub(ws: Workspace) -> dict:
    """Draw the fields of a dataset on the Hugging Face Hub."""
    repo = st.text_input(
        key="run_export_repo", placeholder="owner/name", **settings_fields.text(ExportSettings, "repo")
    ).strip()
    with st.grid(2, gap="small", min_column_width=170):
        license = st.text_input(
            key="run_export_license", placeholder="cc-by-4.0", **settings_fields.text(ExportSettings, "license")
        ).strip()
        st.session_state.setdefault("run_export_private", settings_fields.default(ExportSettings, "private"))
        private = st.toggle(key="run_export_private", **settings_fields.text(ExportSettings, "private"))
    try:
        hub.check_login()
        st.caption(
            f"Uploads Parquet files and the card{'' if private else ', :orange[publicly visible]'}. The token is read from HF_TOKEN "
            "or the login of this machine."
        )  # fmt: skip
    except GlanError as error:
        st.warning(escape(str(error)))
    return {"repo": repo or None, "private": private, "license": license or None}


def command(ws: Workspace, settings: ExportSettings) -> str:
    """Return the equivalent `glan` command, with the focus as its disciplines."""
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
    if settings.folder:
        parts.append("--folder")
    if settings.reasoning:
        parts.append("--reasoning")
    if settings.card:
        parts.append("--card")
    if settings.license:
        parts += ["--license", settings.license]
    return shlex.join(parts)


def _sample(ws: Workspace, values: dict, frozen: Manifest | None) -> None:
    """Draw a sample row in the chosen format."""
    head = st.container(horizontal=True, vertical_alignment="center", gap="small")
    head.markdown(f"**Sample row: {READ_BY[values['form']][0]}**", width="content")
    try:
        row = _frozen_row(ws, str(ws.folder), frozen.name, frozen.hash) if frozen else sample_row(ws, values["choice"])
    except GlanError as error:
        show_error(error)
        return
    if row is None:
        st.caption("No rows to show.")
        return
    with head:
        scripted_badge(row["answer_teacher"])
    st.code(
        json.dumps(_cut(format_row(row, values["form"])), ensure_ascii=False, indent=2),
        language="json",
        wrap_lines=True,
        height=400,
    )
    st.caption(
        f"Texts are cut at {LONGEST} characters here."
        + ("" if values["form"] == "openai" else " Every row includes its provenance.")
    )


@st.cache_data(max_entries=20, show_spinner=False)
def _frozen_row(_ws: Workspace, folder: str, name: str, hash: str) -> dict | None:
    return next((row for _, row in snapshot_store.read_snapshot(_ws, name).rows()), None)


def _cut(value: object) -> object:
    """Return a value with its texts shortened."""
    match value:
        case str():
            return shorten(value, LONGEST)
        case dict():
            return {name: _cut(part) for name, part in value.items()}
        case list():
            return [_cut(part) for part in value]
    return value


def _card(ws: Workspace, values: dict, frozen: Manifest | None, count: int, data: str | None) -> None:
    """Draw the dataset card when it is opened; `data` is its data file, None for a folder."""
    opened = st.expander("Dataset card", icon=":material/description:", on_change="rerun", key="card_open")
    if not opened.open:
        return
    with opened:
        if frozen is None and count > row_choice.MOST_DOWNLOADED:
            st.caption(
                f"The card's statistics are computed during the export. To preview the card of more than "
                f"{number(row_choice.MOST_DOWNLOADED)} rows, create a snapshot."
            )  # fmt: skip
            return
        if not count:
            st.caption("No rows, so there is no card.")
            return
        state = (homework_rows.last_seq(ws.db), record_rows.last_event(ws.db), count)
        manifest = frozen or Manifest.model_validate_json(
            _counted(ws, str(ws.folder), values["choice"].model_dump_json(), state)
        )
        license = st.session_state.get("run_export_license") or None
        text = card(manifest, values["form"], figure="coverage.svg", license=None if _odd(license) else license, data=data)
        _, front, body = text.split("---\n", 2)
        before, _, after = re.split(r"(!\[Rows by field of the taxonomy\]\(coverage\.svg\))", body, maxsplit=1)
        unseen_heading.draw("Dataset card")
        st.markdown(model_markdown(before))
        bars = field_bars(manifest)
        st.plotly_chart(
            coverage_figure(bars, page_frame.figure_style()), width="stretch", config={"displayModeBar": False},
            key="card_coverage", alt=f"Rows of {plural(len(bars), 'field')} of the taxonomy",
        )  # fmt: skip
        picture_table.button(
            "card_fields", "Rows by field", lambda: pd.DataFrame(bars), {"field": "Field", "group": "Group", "rows": "Rows"}
        )
        st.markdown(model_markdown(after))
        st.caption("YAML front matter")
        st.code(front.strip(), language="yaml")


def _odd(license: str | None) -> bool:
    """Return whether the text is not a license identifier."""
    try:
        return license is not None and not read_settings(ExportSettings, {"license": license})
    except GlanError:
        return True


@st.cache_data(max_entries=20, show_spinner="Counting …")
def _counted(_ws: Workspace, folder: str, choice: str, state: tuple[int, int, int]) -> str:
    return selection_manifest(_ws, RowSelection.model_validate_json(choice)).model_dump_json()
