"""Runs: plan and price, then start; watch, pause, resume, cancel."""

import shlex

import pandas as pd
import streamlit as st

from glan_core import runs, taxonomy
from glan_core.errors import GlanError
from glan_core.generation.order import SAMPLING, STAGE_WORDS, STAGES, Order, read_order
from glan_core.generation.plan import Plan, plan
from glan_core.generation.run import check
from glan_core.wording import duration, money, plural, short, span
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import LIVE
from pages.components import address, runs_panel, studio, teacher_form
from pages.components.text import fault, plain

ws, tree = studio.open_page("Runs")
focus = address.focus()
for key, value in {"run_queries": 10, "run_per": 20, "run_share": 50, "run_seed": 0, "run_flight": 32}.items():
    st.session_state.setdefault(key, value)


def order_form() -> Order | None:
    """What to make and who teaches; None, with the fault said, while it is no order."""
    disciplines = taxonomy.disciplines_under(tree, focus)
    where = tree.nodes[focus]["node"].name if focus else "the whole taxonomy"
    st.markdown(f"**What to make**, in {plain(where)} ({plural(len(disciplines), 'discipline')})")
    with st.grid(3, gap="small", min_column_width=150):
        queries = st.number_input(
            "Subject queries",
            1,
            1000,
            key="run_queries",
            help="How often the teacher lists the subjects of a discipline; the paper asks 10 times.",
        )
        most = st.number_input(
            "Subjects at most",
            1,
            100_000,
            None,
            key="run_most",
            placeholder="all",
            help="A syllabus for at most this many subjects of a discipline.",
        )
        per = st.number_input("Questions per syllabus", 0, 250_000, key="run_per", help="The paper has 400 to 800.")
    values = teacher_form.fields("run", answers=True)
    with st.expander("Draws, limits and pace"):
        more = more_fields()
    if values is None:
        return None
    target = {"disciplines": disciplines, "subject_queries": queries, "max_subjects": most, "questions_per_syllabus": per}
    try:
        return read_order(Order, {**values, **more, "target": target})
    except GlanError as error:
        fault(error)
        return None


def more_fields() -> dict:
    """Draws and limits, as an order takes them."""
    with st.grid(3, gap="small", min_column_width=150):
        share = st.slider(
            "Two-session questions",
            0,
            100,
            step=5,
            format="%d%%",
            key="run_share",
            help="Harder questions that join two class sessions; the paper does not state the mix.",
        )
        law = st.selectbox(
            "Draw law",
            ["coverage", "uniform"],
            key="run_law",
            help="coverage: the concepts asked about least come first; uniform: every combination has the same chance.",
        )
        seed = st.number_input("Seed", 0, key="run_seed", help="The same seed draws the same sessions and concepts.")
        budget = st.number_input(
            "Budget in dollars",
            0.01,
            None,
            None,
            key="run_budget",
            placeholder="none",
            format="%.2f",
            help="Never spent beyond, what is in flight included.",
        )
        calls = st.number_input("Calls at most", 1, None, None, key="run_calls", placeholder="no limit")
        flight = st.number_input(
            "Calls at a time", 1, 4096, key="run_flight", help="The most; the run adapts below it to what the endpoint takes."
        )
        rpm = st.number_input("Requests a minute", 1, None, None, key="run_rpm", placeholder="no limit")
        tpm = st.number_input("Tokens a minute", 1, None, None, key="run_tpm", placeholder="no limit")
    return {
        "pair_share": share / 100, "draw_law": law, "seed": seed, "budget_usd": budget, "max_calls": calls,
        "max_in_flight": flight, "requests_per_minute": rpm, "tokens_per_minute": tpm, "stages": stage_fields(),
    }  # fmt: skip


def stage_fields() -> dict[str, dict]:
    """What each stage is asked differently from the defaults, as an order takes it."""
    st.caption("Each stage can have a teacher and sampling of its own; the defaults are the paper's where it states them.")
    defaults = pd.DataFrame(
        {
            "name": [STAGE_WORDS[stage].capitalize() for stage in STAGES],
            "teacher": [""] * len(STAGES),
            **{name: [getattr(SAMPLING[stage], name) for stage in STAGES] for name in ("temperature", "top_p", "max_tokens")},
        }
    )
    edited = st.data_editor(
        defaults, key="stage_settings", hide_index=True, disabled=["name"],
        column_config={
            "name": st.column_config.TextColumn("Stage", width=95),
            "teacher": st.column_config.TextColumn("Teacher", width=110, help="openai:MODEL, local:PATH or scripted; empty: as above."),
            "temperature": st.column_config.NumberColumn("Temperature", min_value=0.0, max_value=5.0, required=True, width=100),
            "top_p": st.column_config.NumberColumn("Top-p", min_value=0.01, max_value=1.0, required=True, width=75),
            "max_tokens": st.column_config.NumberColumn("Max tokens", min_value=1, required=True, width=100),
        },
    )  # fmt: skip
    changes = {
        stage: {name: now[name] for name in ("teacher", "temperature", "top_p", "max_tokens") if now[name] != was[name]}
        for stage, now, was in zip(STAGES, edited.to_dict("records"), defaults.to_dict("records"), strict=True)
    }
    return {stage: settings for stage, settings in changes.items() if settings}


def show_plan(made: Plan) -> None:
    """Calls, tokens, price and time, before anything is paid for."""
    with st.grid(2, gap="small", min_column_width=180):
        st.metric("Calls", span(tuple(map(short, made.calls))), help=f"{span(made.calls)} calls.")
        st.metric("New pairs", span(tuple(map(short, made.pairs))), help=f"{span(made.pairs)} answered questions.")
        st.metric("Price", money(made.usd), help=made.basis)
        st.metric("Time", span(tuple(map(duration, made.seconds))), help="At full concurrency.")
    rows = [stage for stage in made.stages if stage.calls[1]]
    st.dataframe(
        pd.DataFrame({
            "stage": [STAGE_WORDS[s.stage].capitalize() for s in rows], "calls": [span(s.calls) for s in rows],
            "tokens": [f"{s.tokens_in:,.0f} + {s.tokens_out:,.0f}" for s in rows], "price": [money(s.usd) for s in rows],
        }),
        hide_index=True,
        column_config={
            "stage": st.column_config.TextColumn("Stage", width=108),
            "calls": st.column_config.TextColumn("Calls", width=104, alignment="right"),
            "tokens": st.column_config.TextColumn("Tokens in + out", width=112, alignment="right", help="Of one call."),
            "price": st.column_config.TextColumn("Price", width=150, alignment="right"),
        },
    )  # fmt: skip
    st.caption(f"How this was estimated: {made.basis}")


def start(order: Order, made: Plan) -> None:
    """Store the run and start its process."""
    title = tree.nodes[focus]["node"].name if focus else plural(len(order.target.disciplines), "discipline")
    try:
        with_key = teacher_form.environment()
        check(order, key=with_key.get("OPENAI_API_KEY"))
        run_id = runs.submit(ws, "generate", title, order.model_dump(mode="json"), made.as_dict())
        runs.launch(ws, run_id, with_key)
    except GlanError as error:
        fault(error)
    else:
        st.session_state.run = run_id
        st.rerun()


def command(ws: Workspace, order: Order) -> str:
    """The `glan` command that does the same."""
    whole = len(order.target.disciplines) == len(taxonomy.disciplines_under(tree))
    parts = [
        "glan",
        "generate",
        str(ws.folder),
        "--disciplines",
        "all" if whole else focus or ",".join(order.target.disciplines),
    ]
    defaults = read_order(Order, {"target": {"disciplines": order.target.disciplines}})
    for name in ("subject_queries", "max_subjects", "questions_per_syllabus"):
        if (value := getattr(order.target, name)) != getattr(defaults.target, name):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for name in type(order).model_fields:
        if name not in ("target", "kind", "stages") and (value := getattr(order, name)) != getattr(defaults, name):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for stage, settings in order.stages.items():
        values = settings.model_dump(exclude_none=True)
        parts += ["--stage", f"{stage}:{','.join(f'{name}={value}' for name, value in values.items())}"]
    return shlex.join(parts)


def planning() -> None:
    """The plan form with its price, and the one button that spends."""
    if not taxonomy.disciplines_under(tree, focus):
        st.info(
            "There is no discipline here to make anything for: pick another node, or add one.", icon=":material/account_tree:"
        )
        st.page_link("pages/taxonomy.py", label="Go to the taxonomy", icon=":material/account_tree:")
        return
    left, right = studio.two_halves()
    with left:
        order = order_form()
    if order is None:
        return
    with right:
        try:
            made = plan(ws, order)
        except GlanError as error:
            fault(error)
            return
        if not made.calls[1]:
            st.success("The workspace already holds all of this target. Raise a number to go further.", icon=":material/check:")
            return
        show_plan(made)
        cost = "" if made.usd is None else " · free" if made.usd[1] == 0 else f" · about {money(made.usd)}"
        if st.button(
            f"Start · {span(tuple(map(short, made.calls)))} calls{cost}",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
        ):
            start(order, made)
        st.caption("The same on the command line:")
        st.code(command(ws, order), language="bash", wrap_lines=True)


everything = run_rows.runs(ws.db)
live = [run for run in everything if runs.state_of(run) in LIVE]
studio.title("Runs", tree, f"{plural(len(everything), 'run')} · {len(live) or 'none'} at work", ws)
started = st.session_state.get("run")
for run in everything:
    if run in live or run.id == started:
        with st.container(border=True):
            runs_panel.live(ws, run.id)
planning()
st.subheader("History", anchor=False)
if everything:
    picked = runs_panel.history(everything, key="history")
    if picked and picked not in live and picked.id != started:
        with st.container(border=True):
            runs_panel.live(ws, picked.id)
else:
    st.caption("No runs yet. A run lives on when this page or the browser is closed.")
