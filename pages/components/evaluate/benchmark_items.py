"""Items of a benchmark run: prompt, output, extracted answer and target."""

from math import exp

import pandas as pd
import streamlit as st

from glan_core.evaluation.benchmarks.item_store import ItemPage, ScoredItem, items_file, read_items
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, MAIN, WAY_LABELS
from glan_core.evaluation.benchmarks.score_frames import part_title
from glan_core.formatting import number, shorten
from glan_core.models.model_specs import model_title
from glan_core.untrusted import clean
from glan_core.workspace import Workspace
from glan_core.workspace.benchmark_score_rows import Score
from pages.components.shared import page_frame, plain_table, row_selection
from pages.components.shared.untrusted_text import escape

LISTED = 50
JUDGED = {"All": None, "Right": True, "Wrong": False}

JUDGED = {"All": None, "Correct": True, "Wrong": False}


def panel(ws: Workspace, found: list[Score]) -> None:
    """Draw the choice of a run, its items as a list, and the selected item."""
    runs: dict[tuple, Score] = {}
    for score in found:
        if score.part == MAIN:
            runs.setdefault((score.benchmark, score.way, score.model), score)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        score = _choice(runs)
        judged = st.segmented_control("Show", list(JUDGED), default="All", required=True, key="bench_judged")
        part = _part(found, score)
    file = items_file(ws, score.weights_hash, score.benchmark, score.way, score.about)
    if not file.is_file():
        st.warning("The items of this score were deleted; the score is kept. Run the benchmark again to inspect them.")
        return
    chosen = (score.benchmark, score.way, score.model, judged, part)
    if st.session_state.get("bench_chosen") != chosen:
        st.session_state.update(bench_chosen=chosen, bench_page=1)
    start = (st.session_state.get("bench_page", 1) - 1) * LISTED
    page = _read(str(file), file.stat().st_mtime_ns, start, right=JUDGED[judged], part=part)
    if not page.total:
        st.caption("No questions match this filter.")
        return
    left, right = page_frame.list_and_detail("questions")
    with left:
        picked = _list(page, "_".join(map(str, chosen)))
    with right:
        _detail(page.items[picked], score)


def _choice(runs: dict[tuple, Score]) -> Score:
    """Draw the choice of benchmark, scoring and model."""
    asked = sorted(
        {key[:2] for key in runs}, key=lambda key: (list(BENCHMARKS).index(key[0]) if key[0] in BENCHMARKS else 99, key[1])
    )
    if st.session_state.get("bench_asked") not in asked:
        st.session_state.bench_asked = asked[0]
    benchmark, way = st.selectbox(
        "Benchmark",
        asked,
        key="bench_asked",
        width=280,
        format_func=lambda key: f"{_title(key[0])}, {WAY_LABELS.get(key[1], key[1])}",
    )
    models = sorted({key[2] for key in runs if key[:2] == (benchmark, way)}, key=lambda model: not model.startswith("tuned:"))
    if st.session_state.get("bench_model") not in models:
        st.session_state.bench_model = models[0]
    model = st.selectbox("Model", models, key="bench_model", format_func=model_title, width=220)
    return runs[benchmark, way, model]


def _part(found: list[Score], score: Score) -> str | None:
    """Draw the choice of a subset; returns None for all."""
    parts = BENCHMARKS[score.benchmark].parts if score.benchmark in BENCHMARKS else {}
    here = sorted(
        {s.part for s in found if s.part in parts and s.part != MAIN and (s.benchmark, s.way) == (score.benchmark, score.way)}
    )
    if not here:
        return None
    if st.session_state.get("bench_part") not in here:
        st.session_state.bench_part = None
    return st.selectbox(
        "Subset", here, key="bench_part", index=None, placeholder="All subsets", width=220,
        format_func=lambda part: part_title(score.benchmark, score.way, part),
    )  # fmt: skip


@st.cache_data(max_entries=20, show_spinner=False)
def _read(file: str, _changed: int, start: int, *, right: bool | None, part: str | None) -> ItemPage:
    from pathlib import Path

    return read_items(Path(file), start, LISTED, right=right, part=part)


def _list(page: ItemPage, key: str) -> int:
    """Draw the items of this page as a table; returns the selected index."""
    at, picking = row_selection.optional_row(f"bench_items_{key}_{page.start}", len(page.items))
    plain_table.draw(
        pd.DataFrame({
            "right": ["✓" if item.right >= 1 else "✗" for item in page.items],
            "question": [shorten(" ".join((item.question or item.prompt).split()), 90) for item in page.items],
        }),
        **picking, hide_index=True,
        height=min(530, 38 + 35 * len(page.items)), alt="Questions of the benchmark",
        column_config={
            "right": st.column_config.TextColumn("✓", width=30, help="✓ correct, ✗ wrong"),
            "question": st.column_config.TextColumn(f"{number(page.total)} questions"),
        },
    )  # fmt: skip
    if page.total > LISTED:
        st.pagination(-(-page.total // LISTED), key="bench_page", max_visible_pages=5)
    return at or 0


def _detail(item: ScoredItem, score: Score) -> None:
    """Draw an item verbatim."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge("correct" if item.right >= 1 else "wrong", color="green" if item.right >= 1 else "red")
        st.caption(escape(part_title(score.benchmark, score.way, item.part) if item.part else _title(score.benchmark)))
    _block("Prompt", item.prompt)
    if item.options:
        st.caption("Option probabilities")
        plain_table.draw(
            pd.DataFrame({
                "option": [text for text, _ in item.options], "chance": [exp(chance) for _, chance in item.options],
                "log": [chance for _, chance in item.options],
            }),
            hide_index=True, height="content", alt="Options and their probability",
            column_config={
                "option": st.column_config.TextColumn("Option"),
                "chance": st.column_config.NumberColumn("Probability", format="%.2e", width=110),
                "log": st.column_config.NumberColumn("Log-likelihood", format="%.2f", width=100, help="Natural logarithm; the highest counts."),
            },
        )  # fmt: skip
    else:
        _block("Model output", item.output)
    existing_names = "Most likely option" if item.options else "Extracted answer"
    if item.extracted and item.extracted != item.output:
        _block(existing_names, item.extracted)
    if item.target:
        _block("Unit tests" if BENCHMARKS[score.benchmark].runs_code else "Target", item.target)
    if item.note:
        _block("Result", item.note)


def _block(title: str, text: str) -> None:
    st.caption(title)
    st.code(clean(text) or "(empty)", language=None, wrap_lines=True, height=320 if len(text) > 1500 else "content")


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark
