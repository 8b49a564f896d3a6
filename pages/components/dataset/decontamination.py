"""Decontamination view: choice of benchmarks, report, and each match next to the benchmark's question."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset import decontamination_job
from glan_core.dataset.benchmark_files import HUB_BENCHMARKS
from glan_core.dataset.benchmark_store import store_benchmark, stored_benchmarks
from glan_core.dataset.decontamination_job import ContaminatedPair
from glan_core.dataset.settings import BenchmarkSource, DecontaminationSettings
from glan_core.errors import GlanError
from glan_core.formatting import number, plural, shorten
from glan_core.io.data_files import FORMATS
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace, homework_rows, tag_rows
from pages.components.dataset import checks
from pages.components.shared import engine_form, job_panel, plain_table, settings_fields
from pages.components.shared.untrusted_text import escape, show_error

ABOUT = (
    "Benchmark questions in the training data invalidate the benchmark. This check searches all questions and answers for "
    "benchmark questions; matches are tagged, shown next to the benchmark's text, and excluded from the dataset."
)
MOST = 900  # characters shown around a match


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the choice of benchmarks with its run button, the report and the matches."""
    pairs = int(coverage.coverage_by_node(ws, tree)[""].counts["pairs"])
    fact = checks.status_line(ws, "decontaminate", ABOUT)
    busy = job_panel.show_progress(ws, "decontaminate")
    if not ws.read_only:
        settings = _choice(ws)
        label = (
            f"Check {plural(pairs, 'pair')} against {plural(len(settings.benchmarks), 'benchmark')}"
            if settings
            else "Check benchmarks"
        )
        if st.button(
            label, icon=":material/policy:", type="primary", key="check_benchmarks", disabled=busy or settings is None,
            help=None if settings else "Choose at least one benchmark.",
        ):  # fmt: skip
            job_panel.start_jobs(ws, settings)
            st.rerun()
    for summary in (fact or {}).get("failed", {}).values():
        st.warning(f"Not checked: {escape(summary)}", icon=":material/cloud_off:")
    if fact:
        _report(ws, tree)


def _key(name: str) -> str:
    return f"run_benchmarks_{st.session_state.workspace}_{name}"


def _choice(ws: Workspace) -> DecontaminationSettings | None:
    """Draw the choice of benchmarks, initially those of earlier runs; returns None if none is selected."""
    asked = {source.source: source.column for source in decontamination_job.checked_sources(ws)}
    kept = {str(path): path.name for path in stored_benchmarks(ws)}
    key = checks.initial_value(_key("chosen"), list(asked))
    if added := st.session_state.pop("benchmark_added", None):
        st.session_state[key] = list(dict.fromkeys([*st.session_state[key], added]))
    options = list(dict.fromkeys([*HUB_BENCHMARKS, *kept, *asked, *st.session_state[key]]))
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        chosen = st.multiselect(
            options=options, format_func=lambda source: _said(source, kept), key=key,
            accept_new_options=True, width="stretch",
            placeholder="Select, or enter a file path or a Hugging Face dataset (owner/name)",
            **settings_fields.text(
                DecontaminationSettings, "benchmarks",
                note="Reads all splits, including training splits. Names are looked up on the Hugging Face Hub; data files are read "
                "without executing any code of the dataset.",
            ),
        )  # fmt: skip
        with st.popover("Add file", icon=":material/upload_file:"):
            _upload(ws)
    own = [source for source in chosen if source.lower() not in HUB_BENCHMARKS]
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        digits = st.toggle(key=_key("digits"), **settings_fields.text(DecontaminationSettings, "digits"))
        engine = engine_form.popover(_key("on"))
        column = ""
        if own:
            known = next((asked[source] for source in own if asked.get(source)), None)
            column = st.text_input(
                key=checks.initial_value(_key("column"), known or ""), placeholder="question column: detected", width=260,
                label_visibility="collapsed", **settings_fields.text(BenchmarkSource, "column"),
            ).strip()  # fmt: skip
    sources = tuple(BenchmarkSource(source=s, column=(column or None) if s in own else None) for s in chosen if s.strip())
    return DecontaminationSettings(benchmarks=sources, digits=digits, **engine) if sources else None


def _said(source: str, kept: dict[str, str]) -> str:
    """Return the label of a benchmark; labels must be unique, because the browser identifies options by label."""
    if known := HUB_BENCHMARKS.get(source.lower()):
        return f"{known.label} · {known.about}"
    return f"{kept[source]} · uploaded" if source in kept else source


def _upload(ws: Workspace) -> None:
    """Draw the upload of a benchmark file, which is stored in the workspace."""
    st.caption(f"{FORMATS}, with one question per row. The file is stored in the workspace.")
    column = st.text_input(
        key="upload_column", placeholder="detected", **settings_fields.text(BenchmarkSource, "column")
    ).strip()
    file = st.file_uploader("File", key=f"upload_{st.session_state.get('uploads', 0)}", label_visibility="collapsed")
    if file and st.button("Add", width="stretch", key="add_upload"):
        try:
            path = store_benchmark(ws, file.name, file, column or None)
        except GlanError as error:
            show_error(error)
            return
        st.session_state.uploads = st.session_state.get("uploads", 0) + 1  # clears the uploader
        st.session_state.benchmark_added = str(path)
        if column:
            st.session_state[_key("column")] = column
        st.rerun()


def _report(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the results by benchmark and split, then the matches of one benchmark."""
    splits = decontamination_job.split_reports(ws)
    counts = {name: both for (kind, name), both in tag_rows.tag_counts(ws.db).items() if kind == decontamination_job.KIND}
    newest = homework_rows.last_seq(ws.db)
    plain_table.draw(
        pd.DataFrame({
            "benchmark": [split.benchmark for split in splits], "split": [split.split or None for split in splits],
            "items": [split.items for split in splits], "hit": [split.items_hit for split in splits],
            "rows": [split.rows for split in splits],
            "overruled": [counts.get(split.benchmark, (0, 0))[1] or None for split in splits],
            "since": [max(0, newest - split.up_to) or None for split in splits],
            "digits": ["ignored" if split.digits else "compared" for split in splits],
        }),
        hide_index=True, placeholder="–", height="content" if len(splits) <= 10 else 387, alt="Matches by benchmark and split",
        column_config={
            "benchmark": st.column_config.TextColumn("Benchmark", width=190),
            "split": st.column_config.TextColumn("Split", width=90),
            "items": st.column_config.NumberColumn("Questions", format="localized", width=90),
            "hit": st.column_config.NumberColumn("Matched", format="localized", width=75, help="Benchmark questions found in at least one pair."),
            "rows": st.column_config.NumberColumn("Pairs tagged", format="localized", width=100),
            "overruled": st.column_config.NumberColumn("Overruled", format="localized", width=90, help="Overruled tags of the whole benchmark."),
            "since": st.column_config.NumberColumn("Unchecked", format="localized", width=90, help="Pairs added since the check."),
            "digits": st.column_config.TextColumn("Numbers", width=80),
        },
    )  # fmt: skip
    names = list(dict.fromkeys(split.benchmark for split in splits))
    with_flags = [name for name in names if name in counts]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        name = None
        if with_flags:
            name = st.selectbox(
                "Matches", with_flags, format_func=lambda name: f"{shorten(name, 40)} · {number(counts[name][0])}", width=260,
                key=f"flags_of_{len(with_flags)}", label_visibility="collapsed",
            )  # fmt: skip
            only = checks.overruled_filter("flags_overruled", *counts[name])
        else:
            st.markdown("**No matches with these benchmarks.**", width="stretch")
        st.space("stretch")
        _forget(ws, names)
    if name:
        _flags(ws, tree, name, only=only)


def _forget(ws: Workspace, names: list[str]) -> None:
    """Draw the popover that removes a benchmark and its tags."""
    if ws.read_only or not names:
        return
    with st.popover("Remove", icon=":material/delete:", type="tertiary"):
        name = st.selectbox("Benchmark", names, key="forget_which")
        st.caption(
            "Removes the benchmark from the report and deletes its tags, which includes the pairs again. Overrules are kept."
        )
        st.button(
            f"Remove {escape(shorten(name, 40))}", width="stretch", key="forget", on_click=job_panel.run_action,
            args=(decontamination_job.remove_benchmark, ws, name),
        )  # fmt: skip


def _flags(ws: Workspace, tree: nx.DiGraph, name: str, *, only: bool | None) -> None:
    """Draw the matches of a benchmark, newest pair first, with both texts."""
    flags, buttons = checks.paged_rows(
        "flags_rows", (name, only),
        lambda before, limit: decontamination_job.contaminated_page(ws, name, before=before, overruled=only, limit=limit),
        lambda flag: flag.tag.seq,
    )  # fmt: skip
    for flag in flags:
        _beside(ws, tree, flag)
    buttons()


def _beside(ws: Workspace, tree: nx.DiGraph, flag: ContaminatedPair) -> None:
    with st.container(border=True, gap="xsmall"):
        grid = st.grid(2, gap="medium", min_column_width=260)
        with grid.cell():
            edited = "" if flag.span else ": edited since, position unknown"
            state = "included anyway" if flag.tag.overruled_by else "excluded"
            checks.labeled_text(f"Pair, {flag.where}: {state}{edited}", flag.text, [flag.span] if flag.span else (), MOST)
        with grid.cell():
            of = " ".join(escape(part) for part in (flag.benchmark, flag.split) if part)
            checks.labeled_text(
                f"Benchmark {of}, question {escape(shorten(flag.item, 40))}", flag.item_text, [flag.item_span], MOST
            )
        numbers = ", numbers differ" if flag.digits else ""
        summary = f"{plural(flag.run, 'consecutive word')}, {flag.share:.0%} of the benchmark's question{numbers}"
        if pair := homework_rows.pair(ws.db, flag.id):
            checks.tag_actions(ws, tree, flag.tag, pair, summary)
