"""The quality filters: which there are, what each would take out before it is applied, and what those applied took out."""

import networkx as nx
import streamlit as st

from glan_core.settings import current_names
from glan_core.dataset import quality_filter_job
from glan_core.dataset.quality_filter_job import RULES, FilterExample, FilterPreview
from glan_core.dataset.settings import QualityFilterSettings
from glan_core.dataset.text_spans import quoted_spans
from glan_core.formatting import number, plural
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace, homework_rows, tag_rows
from pages.components.dataset import checks
from pages.components.shared import job_panel, page_frame
from pages.components.shared.untrusted_text import plain

ABOUT = (
    "Teachers refuse, break off, go round in circles or refer to a lecture that nobody sees. These filters find such pairs by "
    "rules, without asking a model; what they tag is left out of the dataset, and nothing is deleted."
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
    """The filters with their switches and settings; beside them what the picked one takes out."""
    pairs = int(coverage.coverage_by_node(ws, tree)[""].counts["pairs"])
    fact = checks.standing(ws, "filter", ABOUT)
    busy = job_panel.progress(ws, "filter")
    counts = {name: both for (kind, name), both in tag_rows.tag_counts(ws.db).items() if kind == quality_filter_job.KIND}
    left, right = page_frame.picture_and_detail()
    with left:
        settings = _settings(current_names(QualityFilterSettings, (fact or {}).get("settings", {})))
        sample = _sample(settings)
        settings = settings.model_copy(
            update={"rules": tuple(_rules(settings, sample, counts, quality_filter_job.applied_rules(ws) or tuple(RULES)))}
        )
        _deeds(ws, settings, counts, pairs, busy)
        if sample:
            part = f" of {number(sample.pairs)}, the newest and some from all over" if sample.looked_at < sample.pairs else ""
            st.caption(
                f"Tried on {plural(sample.looked_at, 'pair')}{part}: {number(sample.dropped)} would be tagged by one or another."
            )
    with right:
        _picked(ws, tree, sample, counts)


def _key(name: str) -> str:
    return f"run_filter_{st.session_state.workspace}_{name}"


def _settings(before: dict) -> QualityFilterSettings:
    """The language and the least lengths, those of the last run at first."""
    usual = before.get("language", "en")
    known = {usual: usual} | LANGUAGES
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        language = st.selectbox(
            "Language", list(known), format_func=known.get, key=checks.initially(_key("language"), usual), width=170,
            help="That pairs are expected in. Code, formulas and short texts are not judged.",
        )  # fmt: skip
        least = {}
        for name, label in (
            ("min_question_words", "Words of a question, least"),
            ("min_answer_words", "Words of an answer, least"),
        ):
            least[name] = st.number_input(
                label, 0, 1000, key=checks.initially(_key(name), before.get(name, 2)), width=190,
                help="Shorter ones are taken out as too short.",
            )  # fmt: skip
    return QualityFilterSettings(rules=(), language=language, **least)


def _sample(settings: QualityFilterSettings) -> FilterPreview | None:
    """What was tried last with these settings in this workspace."""
    of, sample = st.session_state.get(TRIED, (None, None))
    return sample if of == (st.session_state.workspace, settings) else None


def _rules(settings: QualityFilterSettings, sample: FilterPreview | None, counts: dict, applied: tuple[str, ...]) -> list[str]:
    """The filters as rows with their switches and counts; the names of those that are on."""
    on = []
    with st.container(gap="xsmall", border=True):
        for column, word in zip(st.columns(COLUMNS), ("Filter", "Takes out", "In the sample", "Tagged"), strict=True):
            column.caption(f"**{word}**")
        for rule in RULES.values():
            name, about, tried, tagged = st.columns(COLUMNS, vertical_alignment="center")
            if name.toggle(rule.label, key=checks.initially(_key(f"on_{rule.name}"), rule.name in applied)):
                on.append(rule.name)
            about.caption(rule.about)
            if sample and rule.name in sample.found:
                _count(tried, "tried", rule.name, sample.found[rule.name])
            else:
                tried.caption("–")
            _count(tagged, "tagged", rule.name, *counts.get(rule.name, (0, 0)))
    return on


def _count(cell: object, what: str, name: str, rows: int, overruled: int = 0) -> None:
    """A number that, clicked, shows the rows it stands for."""
    if not rows:
        cell.caption("0" if what == "tried" else "–")
        return
    picked = _chosen() == (what, name)
    cell.button(
        f"**{number(rows)}**" if picked else number(rows), key=f"count_{what}_{name}", type="tertiary",
        icon=":material/visibility:", on_click=st.session_state.update, kwargs={PICKED: (st.session_state.workspace, what, name)},
        help=f"{number(overruled)} of them overruled" if overruled else "Show them",
    )  # fmt: skip


def _chosen() -> tuple[str, str] | None:
    """('tried' or 'tagged', the filter's name) of what is shown beside the table."""
    of, *picked = st.session_state.get(PICKED, (None,))
    return tuple(picked) if of == st.session_state.workspace else None


def _deeds(ws: Workspace, settings: QualityFilterSettings, counts: dict, pairs: int, busy: bool) -> None:
    """Try the filters, or apply them; what goes when filters are off."""
    back = {name: tagged for name, (tagged, _) in counts.items() if name in RULES and name not in settings.rules}
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Try them",
            icon=":material/science:",
            disabled=not settings.rules,
            help="On some of the rows. Tags nothing.",
            key="try_filters",
        ):
            with st.spinner("Some of the rows are tried …"):
                sample = quality_filter_job.preview_filters(ws, settings)
            st.session_state[TRIED] = (st.session_state.workspace, settings.model_copy(update={"rules": ()})), sample
            most = max(sample.found, key=sample.found.get)
            st.session_state[PICKED] = (st.session_state.workspace, "tried", most)
            st.rerun()
        if not ws.read_only:
            label = (
                f"Apply {plural(len(settings.rules), 'filter')} to {plural(pairs, 'pair')}" if settings.rules
                else f"Take the tags of all filters off {plural(pairs, 'pair')}"
            )  # fmt: skip
            if st.button(
                label,
                icon=":material/filter_alt:",
                type="primary",
                key="apply_filters",
                disabled=busy or not (settings.rules or back),
            ):
                st.session_state.pop(PICKED, None)  # what it tags is shown next
                job_panel.begin(ws, settings)
                st.rerun()
    if back:
        parts = [f"{RULES[name].label}: {plural(tagged, 'tag')}" for name, tagged in back.items()]
        st.caption(
            f"Switched off, their tags go at the next run ({'; '.join(parts)}). What a person overruled stays on record."
        )


def _picked(ws: Workspace, tree: nx.DiGraph, sample: FilterPreview | None, counts: dict) -> None:
    """What the picked filter would take out, or took out."""
    what, name = _chosen() or (None, None)
    if what == "tried" and sample and name in sample.found:
        _tried(ws, tree, sample, name)
        return
    if what != "tagged" or name not in counts:
        name = max((name for name in counts if name in RULES), key=lambda name: counts[name], default=None)
    if name is None:
        with st.container(border=True):
            st.markdown("**What a filter takes out**")
            st.caption("Try the filters to see examples here, with what was found in each, before anything is tagged.")
        return
    tagged, overruled = counts[name]
    st.markdown(f"**{RULES[name].label}** · {plural(tagged, 'pair')} tagged")
    only = checks.which("filter_overruled", tagged, overruled)
    rows, buttons = checks.tagged_rows(ws, "filter_rows", quality_filter_job.KIND, name, only)
    for tag in rows:
        if pair := checks.pair_of(ws, tag.seq):
            with st.container(border=True, gap="xsmall"):
                _texts(pair.question.text, pair.answer or "", tag.detail.get("found", ""))
                checks.deeds(ws, tree, tag, pair)
    buttons()


def _tried(ws: Workspace, tree: nx.DiGraph, sample: FilterPreview, name: str) -> None:
    """Examples of what a filter would take out."""
    found = sample.found[name]
    st.markdown(f"**{RULES[name].label}** · would tag {number(found)} of {number(sample.looked_at)}")
    if not found:
        st.caption("It finds nothing in these rows.")
    for example in sample.examples[name]:
        with st.container(border=True, gap="xsmall"):
            _texts(example.question, example.answer, example.found)
            _open(ws, tree, example, name)
    if found > len(sample.examples[name]) > 0:
        st.caption(f"The first {len(sample.examples[name])} of them.")


def _open(ws: Workspace, tree: nx.DiGraph, example: FilterExample, name: str) -> None:
    if pair := homework_rows.pair(ws.db, example.id):
        checks.open_button(tree, pair, f"tried_{name}")


def _texts(question: str, answer: str, found: str) -> None:
    """What was found, and the question and the answer around it, marked."""
    in_question, in_answer = quoted_spans(question, found), quoted_spans(answer, found)
    st.markdown(f"Found: {plain(found)}")
    checks.text("Question", question, in_question if not in_answer or len(in_question) else (), 260)
    checks.text("Answer", answer, in_answer, 260)
