"""Runs that call teachers: plan, start, and report of results and failures."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from glan_core import runs
from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, carry_out
from glan_core.formatting import durations, money, shorten, span, spent
from glan_core.generation.failure_causes import REPLY_SHOWN, advice_for
from glan_core.generation.plan import Plan, check_local_teachers
from glan_core.generation.run import check
from glan_core.generation.settings import TeacherSettings
from glan_core.generation.stage_specs import stage_title
from glan_core.reply_parsing import one_line
from glan_core.runs.registry import kind_of
from glan_core.workspace import Workspace, batch_rows, call_rows, run_rows
from glan_core.workspace.call_rows import FailureGroup
from glan_core.workspace.run_rows import Run


def plan_lines(made: Plan) -> list[str]:
    """Lines of a plan: a table of stages, the totals, and the basis of the estimate."""
    rows = [
        (stage_title(s.stage), s.teacher, span(s.calls), round(s.tokens_in), round(s.tokens_out), money(s.usd))
        for s in made.stages if s.calls[1]
    ]  # fmt: skip
    if not rows:
        return ["Nothing to do: the target is complete."]
    time = "time unknown" if made.seconds is None else f"about {durations(made.seconds)}"
    return [
        *table(rows, ("stage", "teacher", "calls", "tokens in", "tokens out", "price")), "",
        f"Total: {span(made.calls)} calls, {span(made.tokens)} tokens, {money(made.usd)}, {time}"
        + (f", for {span(made.pairs)} new pairs." if made.pairs[1] else "."),
        f"Basis of the estimate: {made.basis}",
    ]  # fmt: skip


def report_end(ws: Workspace, run: Run, *, as_json: bool) -> int:
    """Report the result of a run; the exit code is 0 if everything was done, or request files wait for their results."""
    sample = run_rows.last_sample(ws.db, run.id)
    causes = call_rows.failure_groups(ws.db, run.id)
    cost = spent(sample.cost_usd, unpriced=call_rows.has_unpriced(ws.db, run.id)) if sample else ""
    calls = f"{sample.done:,} calls stored, {cost}. " if sample else ""
    if sample and sample.tokens_reasoning:
        calls += f"{sample.tokens_reasoning:,} of {sample.tokens_out:,} completion tokens were reasoning. "
    state = runs.state_of(run)  # 'lost' where it was taken away from this process
    lines = [f"Run {run.id} is {state}. {calls}{run.message}".rstrip()]
    lines += [*failure_lines(causes), *run.notices]
    data = asdict(run) | {"state": state, "totals": sample and asdict(sample), "failures": [asdict(group) for group in causes]}
    report(data, lines, as_json=as_json)
    waits = run.state == "paused" and bool(run.params.get("batch_files")) and bool(batch_rows.open_batches(ws.db, run.id))
    return 0 if waits or (run.state == "finished" and not causes) else 1


def failure_lines(groups: Iterable[FailureGroup]) -> list[str]:
    """Lines about failures: per stage and cause the count, the latest message, what to change and the start of the reply."""
    lines = []
    for group in groups:
        lines.append(f"  {group.count:,} x {stage_title(group.stage)}: {group.cause} ({one_line(group.message)})")
        if advice := advice_for(group.cause, group.stage):
            lines.append(f"      {advice}")
        if group.reply.strip():
            lines.append(f"      Latest reply begins: {shorten(str(one_line(group.reply)), REPLY_SHOWN)}")
    return lines


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a planned run is named and reported.

    Attributes:
        title: Title of the run.
        nothing: Why there may be nothing to do, such as "every pair is judged".
        report: Reports the ended run `(workspace, run, *, as_json)` and returns the exit code.
    """

    title: str
    nothing: str
    report: Callable[..., int]


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands whose run calls a teacher and has a plan."""
    parser.add_argument("--plan", action="store_true", help="estimate calls and price without calling a model")
    add_job_options(parser)


def run_planned(ws: Workspace, settings: TeacherSettings, made: Plan, args: argparse.Namespace, end: RunEnd) -> int:
    """Show the plan with --plan; else check the teachers, run, and return the exit code."""
    if args.plan:
        check_local_teachers(settings)
        lines = plan_lines(made) if made.calls[1] else [f"Nothing to do: {end.nothing}."]
        report(made.as_dict(), lines, as_json=args.json)
        return 0
    check(settings)
    run_id = runs.submit(ws, kind_of(settings), end.title, settings.model_dump(mode="json"), made.as_dict())
    return carry_out(ws, run_id, args, end.report)
