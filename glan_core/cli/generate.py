"""`glan plan`, `glan generate`, `glan preview`, `glan runs`, `glan status` and the hidden `glan work` of a run's child."""

import argparse
import time
from collections.abc import Iterable
from dataclasses import asdict

from glan_core import runs
from glan_core.cli.output import progress, report, table
from glan_core.cli.run_start import carry_out
from glan_core.diversity.metric_store import list_measures
from glan_core.diversity.saturation import saturated_disciplines
from glan_core.errors import GlanError
from glan_core.formatting import duration, money, span, usd
from glan_core.generation import preview
from glan_core.generation.plan import Plan, plan
from glan_core.generation.run import check
from glan_core.generation.settings import GenerationSettings, TeacherSettings, stage_title
from glan_core.settings import read_settings
from glan_core.taxonomy import coverage, hierarchy, tree_editing
from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import LIVE, Run

STAGE_HELP = "settings of one stage, such as question:teacher=openai:gpt-4o,temperature=0.8 (also top_p, max_tokens)"


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    planned = commands.add_parser("plan", help="what a target would cost, before anything is paid for")
    _add_target(planned)
    planned.add_argument("--json", action="store_true")
    planned.set_defaults(command=_plan)

    generate = commands.add_parser("generate", help="bring the workspace to a target; run it again to go on")
    _add_target(generate)
    generate.add_argument(
        "--detach", action="store_true", help="work in the background; follow it with 'glan runs DIR show ID'"
    )
    generate.add_argument("--json", action="store_true")
    generate.set_defaults(command=_generate)

    shown = commands.add_parser(
        "preview", help="one subject, one syllabus, three pairs of a discipline, kept apart until accepted"
    )
    shown.add_argument("dir", metavar="DIR")
    shown.add_argument("--discipline", metavar="ID", required=True)
    what = shown.add_mutually_exclusive_group()
    what.add_argument("--accept", action="store_true", help="take the preview's rows into the workspace")
    what.add_argument("--discard", action="store_true", help="forget them")
    what.add_argument("--show", action="store_true", help="show the preview that was made")
    shown.add_argument("--json", action="store_true")
    add_terms(shown)
    shown.set_defaults(command=_preview)

    listed = commands.add_parser("runs", help="list runs; show, pause, resume, cancel or continue one")
    listed.add_argument("dir", metavar="DIR")
    listed.add_argument("action", nargs="?", choices=("show", "pause", "resume", "cancel", "continue"))
    listed.add_argument("id", nargs="?", type=int, metavar="ID")
    listed.add_argument("--budget-usd", type=float, metavar="X", help="with resume: a new budget")
    listed.add_argument("--max-calls", type=int, metavar="N", help="with resume: a new limit of calls")
    listed.add_argument("--json", action="store_true")
    listed.set_defaults(command=_runs)

    status = commands.add_parser("status", help="how far the workspace is")
    status.add_argument("dir", metavar="DIR")
    status.add_argument("--json", action="store_true")
    status.set_defaults(command=_status)

    child = commands.add_parser("work")  # what a detached run executes; no help text, so it is not listed
    child.add_argument("dir")
    child.add_argument("id", type=int)
    child.set_defaults(command=_work)


def add_terms(parser: argparse.ArgumentParser) -> None:
    """The options that every command which asks a teacher has."""
    parser.add_argument("--teacher", default="scripted", help="openai:MODEL, local:PATH_OR_NAME or scripted (default)")
    parser.add_argument("--answer-teacher", metavar="T", help="another teacher for answers")
    parser.add_argument(
        "--base-url", metavar="URL", help="an OpenAI-compatible endpoint (default: OPENAI_BASE_URL, else OpenAI)"
    )
    parser.add_argument("--price", metavar="IN,OUT", help="dollars per million tokens, where the table is wrong or silent")
    parser.add_argument("--budget-usd", type=float, metavar="X", help="never spend more")
    parser.add_argument("--max-calls", type=int, metavar="N", help="never pay for more calls")
    parser.add_argument("--max-in-flight", type=int, default=32, metavar="N", help="calls at a time (default: %(default)s)")
    parser.add_argument("--requests-per-minute", type=int, metavar="N")
    parser.add_argument("--tokens-per-minute", type=int, metavar="N")
    parser.add_argument("--stage", action="append", default=[], metavar="STAGE:KEY=VALUE,...", help=STAGE_HELP)


def terms_of(args: argparse.Namespace) -> dict:
    """The values of `add_terms`, as `Terms` takes them."""
    names = [name for name in TeacherSettings.model_fields if name not in ("stages", "live")]
    return {name: getattr(args, name) for name in names} | {"stages": dict(map(_stage, args.stage))}


def _stage(text: str) -> tuple[str, dict]:
    stage, _, values = text.partition(":")
    pairs = [part.partition("=") for part in values.split(",")]
    if not values or any(not separator for _, separator, _ in pairs):
        raise GlanError(f"--stage {text!r}: write it as STAGE:KEY=VALUE,KEY=VALUE, for example question:temperature=0.8.")
    return stage.replace("-", "_"), {key.strip(): value.strip() for key, _, value in pairs}


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--disciplines", required=True, metavar="ID,ID|all", help="ids of disciplines, or of nodes above them")
    parser.add_argument("--subject-queries", type=int, default=10, metavar="N", help="(default: %(default)s, the paper's)")
    parser.add_argument("--max-subjects", type=int, metavar="N", help="syllabi for at most this many subjects a discipline")
    parser.add_argument("--questions-per-syllabus", type=int, default=20, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--skip-saturated", action="store_true", help="leave out disciplines whose latest questions covered little new ground"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the draws (default: %(default)s)")
    parser.add_argument(
        "--pair-share", type=float, default=0.5, metavar="X", help="share of two-session questions (default: %(default)s)"
    )
    parser.add_argument("--draw-law", choices=("coverage", "uniform"), default="coverage", help="(default: %(default)s)")
    add_terms(parser)


def _order(ws: Workspace, args: argparse.Namespace) -> GenerationSettings:
    tree = tree_editing.tree(ws)
    ids = [None] if args.disciplines == "all" else [part.strip() for part in args.disciplines.split(",") if part.strip()]
    disciplines = dict.fromkeys(d for id in ids for d in hierarchy.disciplines_under(tree, id))
    if not disciplines:
        raise GlanError(f"--disciplines {args.disciplines!r} names no discipline.")
    if args.skip_saturated:
        disciplines = _with_new_ground(ws, disciplines)
    target = {
        "disciplines": list(disciplines), "subject_queries": args.subject_queries, "max_subjects": args.max_subjects,
        "questions_per_syllabus": args.questions_per_syllabus,
    }  # fmt: skip
    own = {"target": target, "seed": args.seed, "pair_share": args.pair_share, "draw_law": args.draw_law}
    return read_settings(GenerationSettings, terms_of(args) | own)


def _with_new_ground(ws: Workspace, disciplines: Iterable[str]) -> list[str]:
    """Those in which more questions still add something, by what was measured last."""
    if not list_measures(ws):
        raise GlanError(f"--skip-saturated needs novelty curves: measure diversity first, with 'glan measure {ws.folder}'.")
    saturated = saturated_disciplines(ws)
    if not (rest := [id for id in disciplines if id not in saturated]):
        raise GlanError(
            "All of these disciplines are saturated: leave out --skip-saturated, or change the draws or the teacher."
        )
    return rest


def _plan(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    made = plan(ws, _order(ws, args))
    report(args.json, made.as_dict(), plan_lines(made))


def plan_lines(made: Plan) -> list[str]:
    """A plan in lines: its stages as a table, what it comes to, how that was estimated."""
    rows = [
        (stage_title(s.stage), s.teacher, span(s.calls), round(s.tokens_in), round(s.tokens_out), money(s.usd))
        for s in made.stages if s.calls[1]
    ]  # fmt: skip
    if not rows:
        return ["Nothing to do: the workspace holds all of this target."]
    return [
        *table(rows, ("stage", "teacher", "calls", "tokens in", "tokens out", "price")), "",
        f"In all {span(made.calls)} calls, {span(made.tokens)} tokens, {money(made.usd)}, about "
        f"{span(tuple(map(duration, made.seconds)))}" + (f", for {span(made.pairs)} new pairs." if made.pairs[1] else "."),
        f"How this was estimated: {made.basis}",
    ]  # fmt: skip


def _generate(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    settings = _order(ws, args)
    made = plan(ws, settings)
    check(settings)
    number = len(settings.target.disciplines)
    title = (
        f"{number} disciplines"
        if number > 1
        else hierarchy.path(tree_editing.tree(ws), settings.target.disciplines[0])[-1].name
    )
    run_id = runs.submit(ws, "generate", title, settings.model_dump(mode="json"), made.as_dict())
    return carry_out(ws, run_id, args, say_end)


def say_end(ws: Workspace, run: Run, as_json: bool) -> int:
    """Report how a run ended; the exit code: 0 when it did all that was asked of it."""
    sample = run_rows.last_sample(ws.db, run.id)
    causes = call_rows.failure_causes(ws.db, run.id)
    calls = f"{sample.done:,} calls stored, {usd(sample.cost_usd)}. " if sample else ""
    state = runs.state_of(run)  # 'lost' where it was taken away from this process
    lines = [f"Run {run.id} is {state}. {calls}{run.message}".rstrip()]
    lines += failure_lines(causes)
    data = asdict(run) | {"state": state, "totals": sample and asdict(sample), "failures": causes}
    report(as_json, data, lines)
    return 0 if run.state == "finished" and not causes else 1


def failure_lines(causes: Iterable[tuple[str, str, int]]) -> list[str]:
    """Failures by stage and cause, a line each."""
    return [f"  {number:,} x {stage_title(stage)}: {cause}" for stage, cause, number in causes]


def _preview(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    if args.accept or args.discard:
        (preview.accept if args.accept else preview.discard)(ws, args.discipline)
        done = {"discipline": args.discipline, "state": "accepted" if args.accept else "discarded"}
        what = "now part of the workspace" if args.accept else "gone"
        report(args.json, done, [f"The preview of {args.discipline} is {what}."])
        return 0
    if not args.show:
        settings = read_settings(TeacherSettings, terms_of(args))
        check(settings)
        with progress(args.json) as watch:
            preview.make(ws, args.discipline, settings, watch)
    made = preview.read(ws, args.discipline)
    lines = ["Subjects: " + ("; ".join(subject.name for subject in made.subjects) or "none")]
    lines += ["", made.syllabus.text] if made.syllabus else []
    for number, pair in enumerate(made.pairs, start=1):
        lines += [
            "",
            f"--- question {number} ({pair.question.strategy})",
            pair.question.text,
            "",
            "--- answer",
            pair.answer or "(none)",
        ]
    if not made.whole:
        why = f"The preview is not whole; it is {made.state}. {made.run.message}"
        lines += ["", why.rstrip(), *failure_lines(made.failures)]
    lines += ["", f"Accept it with 'glan preview {args.dir} --discipline {args.discipline} --accept', or --discard it."]
    data = {name: value for name, value in asdict(made).items() if name not in ("run", "writing")}
    report(args.json, data | {"message": made.run.message}, lines)
    return 0 if made.whole else 1


def _runs(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    if args.action is None:
        rows = [(r.id, runs.state_of(r), r.kind, r.title, r.message) for r in run_rows.runs(ws.db)]
        data = [asdict(r) | {"state": runs.state_of(r)} for r in run_rows.runs(ws.db)]
        report(args.json, data, table(rows, ("id", "state", "kind", "title", "message")) if rows else ["No runs yet."])
        return 0
    if args.id is None:
        raise GlanError(f"Which run? Say 'glan runs {args.dir} {args.action} ID'.")
    match args.action:
        case "show":
            return _show_run(ws, args)
        case "pause":
            runs.pause(ws, args.id)
            said = f"Run {args.id} will pause once what is in flight is stored."
        case "cancel":
            runs.cancel(ws, args.id)
            said = f"Run {args.id} ends; what it stored is kept."
        case _:
            params = runs.get(ws, args.id).params
            raised = {name: value for name in ("budget_usd", "max_calls") if (value := getattr(args, name)) is not None}
            runs.resume(ws, args.id, params=params | raised if raised else None)
            said = f"Run {args.id} goes on in the background: 'glan runs {args.dir} show {args.id}'."
    run = runs.get(ws, args.id)
    report(args.json, {"run": run.id, "state": runs.state_of(run), "wish": run.wish}, [said])
    return 0


def _show_run(ws: Workspace, args: argparse.Namespace) -> int:
    run = runs.get(ws, args.id)
    state, sample = runs.state_of(run), run_rows.last_sample(ws.db, run.id)
    stages = run_rows.stages(ws.db, run.id)
    rows = [(stage_title(s.stage), s.done, s.planned, s.failed) for s in stages if s.planned]
    lines = [f"Run {run.id} ({run.kind}): {run.title}. It is {state}. {run.message}".rstrip()]
    lines += table(rows, ("stage", "done", "of", "failed"))
    if sample:
        seconds = (run.finished_at or time.time()) - run.started_at
        lines.append(f"{sample.requests:,} requests, {sample.throttled:,} refused as too many, {sample.faults:,} faults, "
                     f"{usd(sample.cost_usd)}, {duration(seconds)}.")  # fmt: skip
    failures = call_rows.failures(ws.db, run.id, 20)
    lines += [f"failed: {stage_title(f.stage)} {f.work_id}: {f.cause} ({f.message})" for f in failures]
    data = asdict(run) | {
        "state": state, "stages": [asdict(s) for s in stages], "totals": sample and asdict(sample),
        "failures": [asdict(f) for f in failures],
    }  # fmt: skip
    report(args.json, data, lines)
    return 1 if state in ("failed", "lost") else 0


def _status(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    tree = tree_editing.tree(ws)
    standings = coverage.coverage_by_node(ws, tree)
    whole = standings[""]
    c = {name: int(value) for name, value in whole.counts.items() if name != "cost_usd"}
    share = f"{whole.share:.0%} of the target" if whole.share is not None else "no target yet"
    lines = [
        f"{ws.fact('name')}: {c['pairs']:,} pairs, {share}.",
        f"{whole.begun} of {whole.disciplines} disciplines begun; {c['subjects']:,} subjects, {c['syllabi']:,} syllabi, "
        f"{c['sessions']:,} sessions, {c['concepts']:,} concepts ({c['concepts_asked']:,} asked about).",
        f"{c['calls']:,} calls, {usd(whole.counts['cost_usd'])}; {c['failures']:,} failures wait for another try.",
    ]  # fmt: skip
    rows = [
        (tree.nodes[s.node_id]["node"].name, *(int(s.counts[m]) for m in ("subjects", "syllabi", "pairs")), s.wanted)
        for s in standings.values() if s.node_id and s.wanted and tree.nodes[s.node_id]["node"].kind == "discipline"
    ]  # fmt: skip
    live = [f"Run {r.id} is {runs.state_of(r)}: {r.title}" for r in run_rows.runs(ws.db) if r.state in LIVE]
    lines += ["", *table(rows, ("discipline", "subjects", "syllabi", "pairs", "wanted"))] if rows else []
    report(args.json, {id or "all": asdict(s) | {"share": s.share} for id, s in standings.items()}, [*lines, *live])


def _work(args: argparse.Namespace) -> int:
    run = runs.work(Workspace.open(args.dir), args.id)
    return 1 if run.state == "failed" else 0
