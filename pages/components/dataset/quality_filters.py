"""Filters view: the quality filters, a preview of what each would tag, and the tagged pairs."""

import networkx as nx
import streamlit as st

from glan_core.dataset import quality_filter_job
from glan_core.dataset.quality_filter_job import RULES, FilterExample, FilterPreview
from glan_core.dataset.settings import QualityFilterSettings
from glan_core.dataset.text_spans import quoted_spans
from glan_core.formatting import number, plural
from glan_core.settings import current_names
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace, homework_rows, tag_rows
from pages.components.dataset import checks
from pages.components.shared import job_panel, page_frame, settings_fields
from pages.components.shared.untrusted_text import escape

ABOUT = (
    "Replies can be refusals, cut off, repetitive, or refer to material that is not shown. These rule-based filters find such "
    "pairs without calling a model; tagged pairs are excluded from the dataset but not deleted."
)
LANGUAGES = {
    "en": "English", "ar": "Arabic", "zh": "Chinese", "cs": "Czech", "da": "Danish", "nl": "Dutch", "fi": "Finnish",
    "fr": "French", "de": "German", "el": "Greek", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "no": "Norwegian", "fa": "Persian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "es": "Spanish", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
}  # fmt: skip
COLUMNS = [2.9, 4, 1.5, 1.2]
PICKED, TRIED = "filter_picked", "filter_sample"


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the filters with their settings, and the pairs found by the selected one."""
    pairs = int(coverage.coverage_by_node(ws, tree)[""].counts["pairs"])
    fact = checks.status_line(ws, "filter", ABOUT)
    if fact and (sentence := quality_filter_job.not_judged_sentence(fact.get("foreign", 0), fact.get("not_judged", {}))):
        st.caption(sentence)
    busy = job_panel.show_progress(ws, "filter")
    counts = {name: both for (kind, name), both in tag_rows.tag_counts(ws.db).items() if kind == quality_filter_job.KIND}
    left, right = page_frame.main_and_detail()
    with left:
        settings = _settings(current_names(QualityFilterSettings, (fact or {}).get("settings", {})))
        sample = _sample(settings)
        settings = settings.model_copy(
            update={"rules": tuple(_rules(settings, sample, counts, quality_filter_job.applied_rules(ws) or tuple(RULES)))}
        )
        _buttons(ws, settings, counts, pairs, busy=busy)
        if sample:
            part = f" of {number(sample.pairs)} (the newest and a random sample)" if sample.looked_at < sample.pairs else ""
            st.caption(
                f"Tested on {plural(sample.looked_at, 'pair')}{part}: {number(sample.dropped)} would be tagged by at least one filter. "
                + quality_filter_job.not_judged_sentence(sample.foreign, sample.not_judged)
            )
    with right:
        _picked(ws, tree, sample, counts)


def _key(name: str) -> str:
    return f"run_filter_{st.session_state.workspace}_{name}"


def _settings(before: dict) -> QualityFilterSettings:
    """Draw language and minimum lengths, initially those of the last run."""
    usual = before.get("language", settings_fields.default(QualityFilterSettings, "language"))
    known = {usual: usual} | LANGUAGES
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        language = st.selectbox(
            options=list(known), format_func=known.get, key=checks.initial_value(_key("language"), usual), width=170,
            **settings_fields.text(QualityFilterSettings, "language"),
        )  # fmt: skip
        least = {}
        for name in ("min_question_words", "min_answer_words"):
            value = before.get(name, settings_fields.default(QualityFilterSettings, name))
            least[name] = st.number_input(
                key=checks.initial_value(_key(name), value), width=200, **settings_fields.number(QualityFilterSettings, name)
            )
    return QualityFilterSettings(rules=(), language=language, **least)


def _sample(settings: QualityFilterSettings) -> FilterPreview | None:
    """Return the last test result for these settings in this workspace."""
    of, sample = st.session_state.get(TRIED, (None, None))
    return sample if of == (st.session_state.workspace, settings) else None


def _rules(settings: QualityFilterSettings, sample: FilterPreview | None, counts: dict, applied: tuple[str, ...]) -> list[str]:
    """Draw the filters as rows with switches and counts; returns the names of the active ones."""
    on = []
    with st.container(gap="xsmall", border=True):
        for column, word in zip(st.columns(COLUMNS), ("Filter", "Finds", "In the sample", "Tagged"), strict=True):
            column.caption(f"**{word}**")
        for rule in RULES.values():
            name, about, tried, tagged = st.columns(COLUMNS, vertical_alignment="center")
            if name.toggle(rule.label, key=checks.initial_value(_key(f"on_{rule.name}"), rule.name in applied)):
                on.append(rule.name)
            unknown = sample.not_judged.get(rule.name, 0) if sample else 0
            about.caption(f"{rule.description} {plural(unknown, 'pair')} not judged." if unknown else rule.description)
            if sample and rule.name in sample.found:
                _count(tried, "tried", rule.name, sample.found[rule.name])
            else:
                tried.caption("–")
            _count(tagged, "tagged", rule.name, *counts.get(rule.name, (0, 0)))
    return on


def _count(cell: object, what: str, name: str, rows: int, overruled: int = 0) -> None:
    """Draw a count that shows its rows when clicked."""
    if not rows:
        cell.caption("0" if what == "tried" else "–")
        return
    picked = _chosen() == (what, name)
    cell.button(
        f"**{number(rows)}**" if picked else number(rows), key=f"count_{what}_{name}", type="tertiary",
        icon=":material/visibility:", on_click=st.session_state.update, kwargs={PICKED: (st.session_state.workspace, what, name)},
        help=f"{number(overruled)} of them overruled" if overruled else "Show these pairs",
    )  # fmt: skip


def _chosen() -> tuple[str, str] | None:
    """Return the selection as ('tried' or 'tagged', filter name)."""
    of, *picked = st.session_state.get(PICKED, (None,))
    return tuple(picked) if of == st.session_state.workspace else None


def _buttons(ws: Workspace, settings: QualityFilterSettings, counts: dict, pairs: int, *, busy: bool) -> None:
    """Draw the buttons that test and apply the filters, and what inactive filters will untag."""
    back = {name: tagged for name, (tagged, _) in counts.items() if name in RULES and name not in settings.rules}
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Test filters",
            icon=":material/science:",
            disabled=not settings.rules,
            help="Runs the filters on a sample without tagging anything.",
            key="try_filters",
        ):
            with st.spinner("Testing filters on a sample …"):
                sample = quality_filter_job.preview_filters(ws, settings)
            st.session_state[TRIED] = (st.session_state.workspace, settings.model_copy(update={"rules": ()})), sample
            most = max(sample.found, key=sample.found.get)
            st.session_state[PICKED] = (st.session_state.workspace, "tried", most)
            st.rerun()
        if not ws.read_only:
            label = (
                f"Apply {plural(len(settings.rules), 'filter')} to {plural(pairs, 'pair')}" if settings.rules
                else f"Remove the tags of all filters from {plural(pairs, 'pair')}"
            )  # fmt: skip
            if st.button(
                label,
                icon=":material/filter_alt:",
                type="primary",
                key="apply_filters",
                disabled=busy or not (settings.rules or back),
            ):
                st.session_state.pop(PICKED, None)  # then shows the pairs that are tagged
                job_panel.start_jobs(ws, settings)
                st.rerun()
    if back:
        parts = [f"{RULES[name].label}: {plural(tagged, 'tag')}" for name, tagged in back.items()]
        st.caption(f"Tags of inactive filters are removed at the next run ({'; '.join(parts)}). Overrules are kept.")


def _picked(ws: Workspace, tree: nx.DiGraph, sample: FilterPreview | None, counts: dict) -> None:
    """Draw the pairs that the selected filter tagged, or would tag."""
    what, name = _chosen() or (None, None)
    if what == "tried" and sample and name in sample.found:
        _tried(ws, tree, sample, name)
        return
    if what != "tagged" or name not in counts:
        name = max((name for name in counts if name in RULES), key=lambda name: counts[name], default=None)
    if name is None:
        with st.container(border=True):
            st.markdown("**Examples**")
            st.caption("Test the filters to see examples before anything is tagged.")
        return
    tagged, overruled = counts[name]
    st.markdown(f"**{RULES[name].label}** · {plural(tagged, 'pair')} tagged")
    only = checks.overruled_filter("filter_overruled", tagged, overruled)
    rows, buttons = checks.tagged_rows(ws, "filter_rows", quality_filter_job.KIND, name, overruled=only)
    for tag in rows:
        if pair := checks.pair_of(ws, tag.seq):
            with st.container(border=True, gap="xsmall"):
                _texts(pair.question.text, pair.answer or "", tag.detail.get("found", ""))
                checks.tag_actions(ws, tree, tag, pair)
    buttons()


def _tried(ws: Workspace, tree: nx.DiGraph, sample: FilterPreview, name: str) -> None:
    """Draw examples of pairs that a filter would tag."""
    found = sample.found[name]
    st.markdown(f"**{RULES[name].label}** · would tag {number(found)} of {number(sample.looked_at)}")
    if not found:
        st.caption("No matches in the sample.")
    for example in sample.examples[name]:
        with st.container(border=True, gap="xsmall"):
            _texts(example.question, example.answer, example.found)
            _open(ws, tree, example, name)
    if found > len(sample.examples[name]) > 0:
        st.caption(f"Showing the first {len(sample.examples[name])}.")


def _open(ws: Workspace, tree: nx.DiGraph, example: FilterExample, name: str) -> None:
    if pair := homework_rows.pair(ws.db, example.id):
        checks.open_button(tree, pair, f"tried_{name}")


def _texts(question: str, answer: str, found: str) -> None:
    """Draw question and answer with the finding highlighted."""
    in_question, in_answer = quoted_spans(question, found), quoted_spans(answer, found)
    st.markdown(f"Found: {escape(found)}")
    checks.labeled_text("Question", question, in_question if not in_answer or len(in_question) else (), 260)
    checks.labeled_text("Answer", answer, in_answer, 260)
