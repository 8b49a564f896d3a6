"""Section on cost and runs: calls, tokens and money by stage, and the history of runs."""

from glan_core.figures.run_costs import tokens_figure, tokens_frame
from glan_core.formatting import duration, exact, number, plural, short, shorten, spent, usd
from glan_core.generation.stage_specs import STAGE_SPECS, stage_title
from glan_core.operations.stakeholder_report.html_blocks import Html, Section, Tile, figure, heading, missing, table, tiles
from glan_core.operations.stakeholder_report.report_data import STYLE, ReportData, public_name
from glan_core.runs import state_of
from glan_core.runs.registry import RUN_KINDS
from glan_core.teachers.prices import price_of
from glan_core.workspace import call_rows, run_rows
from glan_core.workspace.call_rows import CallTotal
from glan_core.workspace.run_rows import Run

MOST_RUNS, MOST_ROWS, MOST_SUMMED = 20, 40, 10_000


def cost_section(data: ReportData) -> Section:
    """Return calls, tokens and cost by stage and teacher, and the newest runs."""
    totals = sorted(call_rows.call_totals(data.ws.db), key=lambda one: (_order(one.stage), one.teacher))
    blocks: list[Html] = []
    if totals:
        tokens_in, tokens_out = sum(one.tokens_in for one in totals), sum(one.tokens_out for one in totals)
        kept = data.whole.kept
        priced = not data.counts["unpriced"] and kept
        blocks += [
            tiles([
                Tile("Generation", data.whole.cost, "calls for disciplines, at the prices of their time"),
                Tile("All runs", _spent(data), "at known prices; judging and proposals included"),
                Tile("Cost per pair", usd(data.counts["cost_usd"] / kept) if priced else "–", f"of {plural(kept, 'pair')} in the dataset"),
                Tile("Calls", short(sum(one.calls for one in totals)), "all stages, repeated calls included"),
                Tile("Tokens", short(tokens_in + tokens_out), f"{short(tokens_in)} prompt, {short(tokens_out)} completion"),
            ]),
            figure(
                tokens_figure(tokens_frame(totals), STYLE, {one.stage: stage_title(one.stage) for one in totals}),
                "Tokens by stage", "Prompt and completion tokens by stage, all teachers.",
            ),
            table(
                ("Stage", "Teacher", "Calls", "Prompt tokens", "Completion tokens", "Mean latency", "Cost at list price"),
                _rows(totals), align="llrrrrr",
                caption="Counted from every call with a known outcome. The last column applies today's price table to the "
                "tokens; the actual cost is above.",
            ),
        ]  # fmt: skip
    else:
        blocks.append(missing("No calls to a teacher yet."))
    return Section("cost", "Cost and runs", (*blocks, *_runs(data)))


def _spent(data: ReportData) -> str:
    """Return the cost of all runs at known prices."""
    last = (run_rows.last_sample(data.ws.db, run.id) for run in run_rows.runs(data.ws.db, MOST_SUMMED) if _paid(run))
    return usd(sum(sample.cost_usd for sample in last if sample))


def _paid(run: Run) -> bool:
    kind = RUN_KINDS.get(run.kind)
    return kind is None or kind.asks_teachers


def _order(stage: str) -> int:
    return list(STAGE_SPECS).index(stage) if stage in STAGE_SPECS else len(STAGE_SPECS)


def _rows(totals: list[CallTotal]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in totals[:MOST_ROWS]:
        price = price_of(one.teacher)
        cost = "price unknown" if price is None else usd(price.of(one.tokens_in, one.tokens_out))
        rows.append((
            stage_title(one.stage), shorten(public_name(one.teacher), 40), number(one.calls), number(one.tokens_in), number(one.tokens_out),
            f"{one.latency_ms / 1000 / one.calls:.2f} s" if one.calls else "–", cost,
        ))  # fmt: skip
    return rows


def _runs(data: ReportData) -> list[Html]:
    found = run_rows.runs(data.ws.db, MOST_RUNS + 1)
    if not found:
        return []
    rows = [_run(data, run) for run in found[:MOST_RUNS]]
    caption = f"The newest {MOST_RUNS} runs." if len(found) > MOST_RUNS else "All runs."
    head = ("Run", "Title", "Kind", "State", "Started", "Active", "Done", "Cost")
    return [heading("Run history"), table(head, rows, align="rllllrrr", caption=caption)]


def _run(data: ReportData, run: Run) -> tuple[str, ...]:
    last = run_rows.last_sample(data.ws.db, run.id)
    kind = RUN_KINDS.get(run.kind)
    cost = spent(last.cost_usd, unpriced=call_rows.has_unpriced(data.ws.db, run.id)) if last and _paid(run) else "–"
    return (
        str(run.id), shorten(run.title, 60), kind.title if kind else run.kind, state_of(run), exact(run.started_at)[:16] or "–",
        duration(run_rows.active_seconds(data.ws.db, run.id)) if last else "–", number(last.done) if last else "–", cost,
    )  # fmt: skip
