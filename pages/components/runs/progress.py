"""Progress and results of a run: stages, disciplines, charts, latest pairs, failures and accuracy of the estimate."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core.figures.runs import cost_curve, request_curve, samples_frame, stored_curve
from glan_core.formatting import ago, duration, exact, number, plural, short, span, usd
from glan_core.generation.stage_specs import stage_title
from glan_core.runs.report import DisciplineProgress, by_discipline, compare_with_plan
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.untrusted import clean
from glan_core.workspace import Workspace, batch_rows, call_rows, homework_rows, pair_filter, run_rows
from glan_core.workspace.run_rows import Run
from pages.components.shared import page_frame, picture_table, plain_table, url_state
from pages.components.shared.failure_card import failure_card
from pages.components.shared.untrusted_text import escape, scripted_badge, snippet

MOST_DISCIPLINES = 12
MOST_SAMPLES = 240
ENDPOINT_COLORS = {
    "in use": "green", "waiting": "orange", "out of use": "red", "excluded": "red", "not used": "gray"
}  # fmt: skip
MEASURES = {
    "calls": ("Calls", number), "pairs": ("Pairs", number), "tokens": ("Tokens", number), "usd": ("Cost", usd),
    "seconds": ("Duration", duration),
}  # fmt: skip


def stages(rows: Sequence[run_rows.StageProgress]) -> None:
    """Draw the progress by stage."""
    rows = [s for s in rows if s.planned]
    st.markdown("**By stage**")
    plain_table.draw(
        pd.DataFrame({
            "stage": [stage_title(s.stage).capitalize() for s in rows],
            "share": [min(100.0, 100 * s.done / s.planned) for s in rows],
            "done": [s.done for s in rows], "planned": [s.planned for s in rows], "failed": [s.failed or None for s in rows],
        }),
        hide_index=True, alt="Progress by stage", placeholder="–",
        column_config={
            "stage": st.column_config.TextColumn("Stage", width=105),
            "share": st.column_config.ProgressColumn("Progress", format="%.0f%%", min_value=0, max_value=100, width=110),
            "done": st.column_config.NumberColumn("Done", format="localized", width=70),
            "planned": st.column_config.NumberColumn(
                "Planned", format="localized", width=70, help="An estimate until the previous stages are complete."
            ),
            "failed": st.column_config.NumberColumn("Failed", format="localized", width=60),
        },
    )  # fmt: skip


def endpoints(run: Run, *, alive: bool) -> None:
    """Draw what each endpoint of the run does or did; nothing if there is only one."""
    if not run.endpoints:
        return
    st.markdown("**By endpoint**")
    rows = run.endpoints
    plain_table.draw(
        pd.DataFrame({
            "name": [one.name for one in rows], "state": [[one.state] for one in rows],
            "in_flight": [one.in_flight if alive else None for one in rows], "answered": [one.answered for one in rows],
            "faults": [one.faults or None for one in rows], "outages": [one.outages or None for one in rows],
        }),
        hide_index=True, height="content" if len(rows) <= 8 else 317, alt="Progress by endpoint", placeholder="–",
        column_config={
            "name": st.column_config.TextColumn("Endpoint", width=130),
            "state": st.column_config.MultiselectColumn(
                "State", options=list(ENDPOINT_COLORS), color=list(ENDPOINT_COLORS.values()), width=95,
                help="Waiting: a rate limit, or a server that is loading. Out of use: errors in a row; it is used again once it answers. "
                "Excluded: it cannot be used as configured; see the message above.",
            ),
            "in_flight": st.column_config.NumberColumn("In flight", format="localized", width=70, help="Requests in flight."),
            "answered": st.column_config.NumberColumn("Answered", format="localized", width=75, help="Replies received."),
            "faults": st.column_config.NumberColumn(
                "Errors", format="localized", width=60, help="Failed requests, which were sent again."
            ),
            "outages": st.column_config.NumberColumn(
                "Outages", format="localized", width=65, help="How often it was taken out of use."
            ),
        },
    )  # fmt: skip


def batches(ws: Workspace, run: Run) -> None:
    """Draw the batches of a run, newest first, if it has any."""
    rows = batch_rows.batches(ws.db, run.id)[::-1]
    if not rows:
        return
    st.markdown("**Batches**")
    plain_table.draw(
        pd.DataFrame({
            "id": [b.id for b in rows], "requests": [b.requests for b in rows],
            "state": [b.state.replace("_", " ").capitalize() for b in rows],
            "completed": [b.completed for b in rows], "failed": [b.failed or None for b in rows],
            "submitted": [ago(b.submitted_at) if b.submitted_at else None for b in rows], "remote": [b.remote_id or b.file for b in rows],
        }),
        hide_index=True, alt="Batches of the run, newest first", placeholder="–", height="content" if len(rows) <= 6 else 246,
        column_config={
            "id": st.column_config.NumberColumn("Batch", format="%d", width=60),
            "requests": st.column_config.NumberColumn("Requests", format="localized", width=80),
            "state": st.column_config.TextColumn("Status", width=110, help="As reported by the endpoint."),
            "completed": st.column_config.NumberColumn("Completed", format="localized", width=85),
            "failed": st.column_config.NumberColumn("Failed", format="localized", width=65, help="Sent again in the next batch."),
            "submitted": st.column_config.TextColumn("Submitted", width=110),
            "remote": st.column_config.TextColumn("At the endpoint", width=220, help="ID of the batch, or its request file."),
        },
    )  # fmt: skip


def disciplines(ws: Workspace, run: Run) -> None:
    """Draw the progress by discipline, for the first of them."""
    rows = by_discipline(ws, run)
    if not rows:
        return
    tree = tree_editing.tree(ws)
    shown = rows[:MOST_DISCIPLINES]
    st.markdown("**By discipline**")
    plain_table.draw(
        pd.DataFrame({
            "name": [tree.nodes[r.discipline_id]["node"].name if r.discipline_id in tree else "(removed)" for r in shown],
            "share": [100 * r.share for r in shown],
            "gained": [r.gained for r in shown], "pairs": [r.pairs for r in shown], "wanted": [r.wanted for r in shown],
            "syllabi": [f"{r.syllabi:,} of {r.subjects:,}" if r.subjects else None for r in shown],
        }),
        hide_index=True, height="content" if len(shown) <= 6 else 246, alt="Progress by discipline", placeholder="–",
        column_config={
            "name": st.column_config.TextColumn("Discipline", width=108),
            "share": st.column_config.ProgressColumn(
                "Target", format="%.0f%%", min_value=0, max_value=100, width=72, help="Stored pairs as a share of the target."
            ),
            "gained": st.column_config.NumberColumn("New pairs", format="localized", width=70, help="Pairs added by this run."),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=55, help="All pairs of the discipline."),
            "wanted": st.column_config.NumberColumn(
                "Target pairs", format="localized", width=78, help="Known once the discipline's subjects are generated."
            ),
            "syllabi": st.column_config.TextColumn("Syllabi", width=70, alignment="right", help="Subjects with a syllabus, of all."),
        },
    )  # fmt: skip
    if len(rows) > 1:
        st.caption(_rest(rows, len(shown)))


def _rest(rows: Sequence[DisciplineProgress], shown: int) -> str:
    states = [row.state for row in rows]
    counts = [f"{states.count(state):,} {state}" for state in ("done", "in progress", "not started") if state in states]
    return f"{len(rows):,} disciplines: {', '.join(counts)}." + (f" Showing the first {shown}." if shown < len(rows) else "")


def charts(ws: Workspace, run: Run) -> None:
    """Draw calls stored, concurrency and cost over the running time."""
    frame = samples_frame(run_rows.samples(ws.db, run.id, MOST_SAMPLES))
    if len(frame) < 4:
        return
    style, last = page_frame.figure_style(), frame.iloc[-1]
    budget = run.params.get("budget_usd")
    with st.grid(3, gap="medium", min_column_width=260):
        _chart("Calls stored", stored_curve(frame, style), f"stored_{run.id}", f"Calls stored over time: {last['done']:,.0f}.")
        _chart(
            "Requests in flight; 429s and errors below", request_curve(frame, style), f"pace_{run.id}",
            f"Concurrency limit and requests in flight: {last['concurrency']:,.0f} and {last['in_flight']:,.0f}; "
            f"{frame['refused'].sum():,.0f} rate-limited, {frame['faults'].sum():,.0f} errors.",
            "Above: requests in flight (blue) and the adaptive concurrency limit (gray). Below: rate-limited requests (429, amber) "
            "and failed requests (red); both are retried.",
        )  # fmt: skip
        if last["usd"] or budget:
            _chart("Cost", cost_curve(frame, budget, style), f"money_{run.id}", f"Cost over time: {usd(last['usd'])}.")
    picture_table.button(
        f"samples_{run.id}", "Progress over the running time", lambda: frame,
        {"seconds": "Seconds", "done": "Calls stored", "in_flight": "In flight", "concurrency": "Limit", "refused": "Rate-limited",
         "faults": "Errors", "usd": "Cost"},
        {"seconds": "%.0f", "usd": "$%.4f"},
    )  # fmt: skip


def _chart(title: str, figure, key: str, alt: str, help: str | None = None) -> None:
    with st.container(gap="xsmall"):
        st.caption(title, help=help)
        st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=alt)


def latest_pairs(ws: Workspace, run: Run, *, alive: bool) -> None:
    """Draw the three newest pairs of the run's disciplines."""
    if not (chosen := (run.params.get("target") or {}).get("disciplines")):
        return
    tree = tree_editing.tree(ws)
    everything = set(chosen) >= set(hierarchy.disciplines_under(tree))
    which = pair_filter.PairFilter(disciplines=None if everything else tuple(chosen), answered=True)
    pairs = homework_rows.pairs_page(ws.db, which, limit=3)
    if not pairs:
        return
    st.markdown("**Latest pairs** (live)" if alive else "**Latest pairs** of these disciplines")
    with st.grid(3, gap="small", min_column_width=260):
        for place, pair in enumerate(pairs):
            with st.container(border=True, height="stretch", gap="xsmall"):
                _card(tree, pair, f"pair_{run.id}_{place}")


def _card(tree, pair: homework_rows.Pair, key: str) -> None:
    id = pair.question.discipline_id
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(escape(tree.nodes[id]["node"].name if id in tree else "(removed)"), width="content")
        scripted_badge(pair.answer_teacher)
    st.markdown(snippet(pair.question.text, 150))
    st.caption(snippet(pair.answer or "", 170))
    st.space("stretch")
    if st.button("Open", type="tertiary", icon=":material/arrow_forward:", icon_position="right", key=key):
        if id in tree:
            url_state.select(focus=id, pair=pair.question.id)
        url_state.open_page("pages/homework.py")  # without the view parameter in the URL, which that page does not have


def failures(ws: Workspace, run: Run) -> None:
    """Draw open failures by stage and cause: message, what to change, the start of the latest reply, and the latest replies."""
    groups = call_rows.failure_groups(ws.db, run.id)
    if not groups:
        return
    st.markdown(f"**{plural(sum(group.count for group in groups), 'failed call')}**")
    for group in groups:
        failure_card(group)
    with st.expander("Latest failed replies", on_change="rerun", key=f"failures_{run.id}") as latest:
        if latest.open:
            for failure in call_rows.failures(ws.db, run.id, 10):
                st.caption(
                    f"{stage_title(failure.stage)} · {escape(failure.cause)} · {exact(failure.at)} · {escape(failure.message)}"
                )
                if failure.reply:
                    st.code(clean(failure.reply[:2000]), language=None, wrap_lines=True)


def estimate(ws: Workspace, run: Run) -> None:
    """Draw the plan's estimate and the actual values."""
    rows = compare_with_plan(ws, run)
    if not rows:
        return
    st.markdown("**Estimate and actual**")
    summary = [MEASURES[row.measure] for row in rows]
    plain_table.draw(
        pd.DataFrame({
            "measure": [name for name, _ in summary],
            "estimate": [span((write(row.low), write(row.high))) for row, (_, write) in zip(rows, summary, strict=True)],
            "actual": [write(row.actual) for row, (_, write) in zip(rows, summary, strict=True)],
            "verdict": [_verdict(row.off) for row in rows],
        }),
        hide_index=True, alt="Estimate and actual",
        column_config={
            "measure": st.column_config.TextColumn("Figure", width=95),
            "estimate": st.column_config.TextColumn("Estimate", width=140, alignment="right"),
            "actual": st.column_config.TextColumn("Actual", width=90, alignment="right"),
            "verdict": st.column_config.TextColumn("Deviation", width=90),
        },
    )  # fmt: skip


def _verdict(off: float) -> str:
    if not off:
        return "in range"
    if abs(off) == float("inf"):
        return "more"
    return f"{short(100 * abs(off))}% {'more' if off > 0 else 'less'}"
