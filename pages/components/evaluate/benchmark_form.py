"""The form of a benchmark run: models, benchmarks, how they are asked; beside it what data is here and what would bring the rest."""

import shlex

import pandas as pd
import streamlit as st

from glan_core.cli.evaluate_bench import command_of
from glan_core.evaluation.benchmarks import readiness
from glan_core.evaluation.benchmarks.readiness import Readiness
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, WORDS
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.formatting import plural
from glan_core.models.model_specs import specs_of, title_of
from glan_core.settings import read_settings
from glan_core.workspace import Workspace
from pages.components.shared import job_panel, page_frame
from pages.components.shared.untrusted_text import plain

FEW = 100  # rows a benchmark that a first try asks
CODE = (
    "Programs that the models write will be run on this machine: in a sandbox without network, without your files and with limits "
    "on time and memory. It proves itself before the first one runs."
)


def panel(ws: Workspace, busy: bool) -> None:
    """The form and its one button. GlanError for values that make no order."""
    left, right = page_frame.two_halves()
    with left:
        folder = st.session_state.get("run_bench_data", "").strip() or None
        here = {one.benchmark.id: one for one in readiness.look(ws, folder)}
        values = _fields(ws, here)
        _start(ws, values, here, busy)
    with right:
        _data(ws, here)


def _fields(ws: Workspace, here: dict[str, Readiness]) -> dict:
    options = [*specs_of(ws), *([f"local:{name}"] if (name := st.session_state.get("run_bench_local", "").strip()) else [])]
    known = [spec for spec in st.session_state.get("run_bench_models", options[:2]) if spec in options]
    st.session_state.run_bench_models = known
    models = st.multiselect(
        "Models", options, key="run_bench_models", format_func=title_of, placeholder="Choose a tuned model and its base",
        help="A base is asked in the chat template of the model that was made from it, so that both get the same prompt.",
    )  # fmt: skip
    able = [id for id, one in here.items() if not one.why and not one.benchmark.runs_code]
    if "run_bench_benchmarks" not in st.session_state:
        st.session_state.run_bench_benchmarks = able
    chosen = st.multiselect(
        "Benchmarks", list(BENCHMARKS), key="run_bench_benchmarks", format_func=lambda id: BENCHMARKS[id].title,
        placeholder="Choose some of those that are on this machine",
    )  # fmt: skip
    ways = st.pills(
        "Questions with options are scored", list(WORDS), selection_mode="multi", default=list(WORDS), key="run_bench_ways",
        format_func=WORDS.get, help="From generated text: the answer is taken from what the model writes, as the paper does for its "
        "own model. By option probability: the likeliest option counts, as it does for base models.",
    )  # fmt: skip
    with st.grid(2, gap="small", min_column_width=170):
        limit = st.number_input(
            "Rows a benchmark",
            0,
            key="run_bench_limit",
            value=FEW,
            step=50,
            help="From its start, spread over its parts. 0: all.",
        )
        batch = st.number_input(
            "Questions at once", 1, 1024, 8, key="run_bench_batch", help="More is faster and needs more memory."
        )
    with st.container(horizontal=True, gap="medium"):
        chat = st.toggle(
            "Chat template", True, key="run_bench_chat", help="Ask in the template of the tuned model's tokenizer."
        )
        code = st.toggle("Run the code that models write", False, key="run_bench_code", help="HumanEval and MBPP need it.")
    if code:
        st.warning(CODE, icon=":material/shield:")
    with st.popover("More places", icon=":material/folder_open:"):
        st.text_input("Folder of weights, to be asked too", key="run_bench_local", placeholder="/path/to/model")
        st.text_input("Folder of the benchmarks' files", key="run_bench_data", placeholder=str(ws.folder / "benchmarks"))
    return {
        "models": tuple(models), "benchmarks": tuple(chosen), "ways": tuple(ways), "limit": limit or None, "batch": batch,
        "chat_template": chat, "run_code": code, "data": st.session_state.get("run_bench_data", "").strip() or None,
    }  # fmt: skip


def _start(ws: Workspace, values: dict, here: dict[str, Readiness], busy: bool) -> None:
    """The button, what keeps it from being pressed, and the command that does the same."""
    missing = [here[id].why for id in values["benchmarks"] if here[id].why]
    code = [here[id].benchmark.title for id in values["benchmarks"] if here[id].benchmark.runs_code and not values["run_code"]]
    why = (
        "Choose a model." if not values["models"]
        else "Choose a benchmark." if not values["benchmarks"]
        else "Choose how questions with options are scored." if not values["ways"]
        else f"{' and '.join(code)}: switch on that code is run, or leave them out." if code
        else "Some of these benchmarks are not on this machine: see what would bring them, or leave them out." if missing
        else ""
    )  # fmt: skip
    settings = None if why else read_settings(BenchmarkSettings, values)
    label = (
        f"Ask {plural(len(values['models']), 'model')} in {plural(len(values['benchmarks']), 'benchmark')}"
        if settings
        else "Ask models"
    )
    if st.button(
        label, type="primary", icon=":material/play_arrow:", key="bench_start", disabled=busy or ws.read_only or settings is None, help=why or None,
    ):  # fmt: skip
        job_panel.begin(ws, settings, title=f"Benchmarks of {', '.join(map(title_of, settings.models))}"[:80])
        st.rerun()
    if why:
        st.caption(why)
    if settings:
        with st.popover("As a command", icon=":material/terminal:", type="tertiary"):
            st.code(shlex.join(command_of(str(ws.folder), settings)), language="shell", wrap_lines=True)


def _data(ws: Workspace, here: dict[str, Readiness]) -> None:
    """What is on this machine, and the commands that bring what isn't."""
    st.dataframe(
        pd.DataFrame({
            "title": [one.benchmark.title for one in here.values()],
            "shots": [", ".join(sorted({f"{way.shots}-shot" for way in one.benchmark.ways.values()})) for one in here.values()],
            "here": [[_state(one)] for one in here.values()],
            "about": [one.benchmark.about for one in here.values()],
        }),
        hide_index=True, height="content", alt="Benchmarks and whether their data are on this machine",
        column_config={
            "title": st.column_config.TextColumn("Benchmark", width=110), "shots": st.column_config.TextColumn("Asked", width=60),
            "here": st.column_config.MultiselectColumn(
                "On this machine", options=["here", "in part", "missing", "needs a package"], color=["green", "orange", "gray", "orange"], width=110,
            ),
            "about": st.column_config.TextColumn("What it is", width=230),
        },
    )  # fmt: skip
    st.caption("The Evol-Instruct test is judged, not scored: take its prompts in as a test on the view Judge.")
    missing = [one for one in here.values() if one.data is None]
    if missing:
        commands = dict.fromkeys(one.benchmark.command for one in missing)
        st.caption(
            "With network, these commands bring what is missing, under the data sets' own terms. Or put files with the same columns "
            f"(JSONL, CSV, Parquet) into {plain(str(ws.folder / 'benchmarks'))}."
        )
        st.code("\n".join(commands), language="shell", wrap_lines=True)
    for one in here.values():
        if one.data and one.why:
            st.caption(plain(one.why))


def _state(one: Readiness) -> str:
    if one.data is None:
        return "missing"
    return "needs a package" if one.why else "here" if one.parts == len(one.benchmark.parts) else "in part"
