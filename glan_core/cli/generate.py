"""`glan plan`, `glan generate`, `glan preview`, `glan runs`, `glan status` and the hidden `glan work` of a run's child."""

import argparse
from collections.abc import Iterable
from dataclasses import asdict

from glan_core import runs
from glan_core.cli.disciplines import expand
from glan_core.cli.output import library_output, progress, report, table
from glan_core.cli.run_start import carry_out
from glan_core.cli.teacher_options import add_teacher_options, teacher_values
from glan_core.cli.teacher_run import failure_lines, plan_lines, report_end
from glan_core.diversity.metric_store import list_metrics
from glan_core.diversity.saturation import saturated_disciplines
from glan_core.errors import GlanError
from glan_core.formatting import duration, spent
from glan_core.generation import preview
from glan_core.generation.plan import check_local_teachers, plan
from glan_core.generation.run import check
from glan_core.generation.settings import GenerationSettings, Target, TeacherSettings
from glan_core.generation.stage_specs import stage_position, stage_title
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.taxonomy import coverage, hierarchy, tree_editing
from glan_core.workspace import Workspace, batch_rows, call_rows, run_rows
from glan_core.workspace.run_rows import LIVE


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    planned = commands.add_parser("plan", help="estimate calls, tokens and price of a target, without calling a teacher")
    _add_target(planned)
    planned.add_argument("--json", action="store_true")
    planned.set_defaults(command=_plan)

    generate = commands.add_parser("generate", help="generate up to a target; run it again to continue")
    _add_target(generate)
    generate.add_argument("--detach", action="store_true", help="run in the background; follow it with 'glan runs DIR show ID'")
    generate.add_argument("--json", action="store_true")
    generate.set_defaults(command=_generate)

    shown = commands.add_parser(
        "preview", help="generate one subject, one syllabus and three pairs of a discipline, stored apart until accepted"
    )
    shown.add_argument("dir", metavar="DIR")
    shown.add_argument("--discipline", metavar="ID", required=True)
    what = shown.add_mutually_exclusive_group()
    what.add_argument("--accept", action="store_true", help="move the rows of the preview into the workspace")
    what.add_argument("--discard", action="store_true", help="delete the preview")
    what.add_argument("--show", action="store_true", help="show the stored preview")
    shown.add_argument("--json", action="store_true")
    add_teacher_options(shown)
    shown.set_defaults(command=_preview)

    listed = commands.add_parser("runs", help="list runs; show, pause, resume, cancel or continue one")
    listed.add_argument("dir", metavar="DIR")
    listed.add_argument("action", nargs="?", choices=("show", "pause", "resume", "cancel", "continue"))
    listed.add_argument("id", nargs="?", type=int, metavar="ID")
    listed.add_argument("--budget-usd", type=float, metavar="X", help="with resume: new budget [USD]")
    listed.add_argument("--max-calls", type=int, metavar="N", help="with resume: new limit on calls")
    listed.add_argument("--json", action="store_true")
    listed.set_defaults(command=_runs)

    status = commands.add_parser("status", help="show how much of the target is done")
    status.add_argument("dir", metavar="DIR")
    status.add_argument("--json", action="store_true")
    status.set_defaults(command=_status)

    child = commands.add_parser("work")  # runs a stored run; started by --detach and the pages, and not listed
    child.add_argument("dir")
    child.add_argument("id", type=int)
    child.set_defaults(command=_work)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR")
    add_options(parser, Target, required=("disciplines",))
    parser.add_argument(
        "--skip-saturated", action="store_true", help="skip disciplines whose latest questions added little novelty"
    )
    add_options(parser, GenerationSettings, skip=(*TeacherSettings.model_fields, "target"))
    add_teacher_options(parser)


def _settings(ws: Workspace, args: argparse.Namespace) -> GenerationSettings:
    target = given_values(args, Target)
    disciplines = expand(ws, target["disciplines"])
    target["disciplines"] = _not_saturated(ws, disciplines) if args.skip_saturated else disciplines
    own = given_values(args, GenerationSettings, skip=(*TeacherSettings.model_fields, "target"))
    return read_settings(GenerationSettings, teacher_values(ws, args) | own | {"target": target})


def _not_saturated(ws: Workspace, disciplines: Iterable[str]) -> tuple[str, ...]:
    """Disciplines in which more questions still add novelty, by the latest metrics."""
    if not list_metrics(ws):
        raise GlanError(f"--skip-saturated needs novelty curves. Measure diversity first with 'glan measure {ws.folder}'.")
    saturated = saturated_disciplines(ws)
    if not (rest := tuple(id for id in disciplines if id not in saturated)):
        raise GlanError(
            "All of these disciplines are saturated. Omit --skip-saturated, or change the sampling of concepts or the teacher."
        )
    return rest


def _plan(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    settings = _settings(ws, args)
    check_local_teachers(settings)
    made = plan(ws, settings)
    report(made.as_dict(), plan_lines(made), as_json=args.json)


def _generate(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    settings = _settings(ws, args)
    made = plan(ws, settings)
    check(settings)
    number = len(settings.target.disciplines)
    title = (
        f"{number} disciplines"
        if number > 1
        else hierarchy.path(tree_editing.tree(ws), settings.target.disciplines[0])[-1].name
    )
    run_id = runs.submit(ws, "generate", title, settings.model_dump(mode="json"), made.as_dict())
    return carry_out(ws, run_id, args, report_end)


def _preview(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    if args.accept or args.discard:
        (preview.accept if args.accept else preview.discard)(ws, args.discipline)
        done = {"discipline": args.discipline, "state": "accepted" if args.accept else "discarded"}
        what = "now part of the workspace" if args.accept else "deleted"
        report(done, [f"The preview of {args.discipline} is {what}."], as_json=args.json)
        return 0
    if not args.show:
        settings = read_settings(TeacherSettings, teacher_values(ws, args))
        with (
            library_output(ws.folder / "runs" / "preview.log") as stderr,
            progress(quiet=args.json, stream=stderr) as watch,
        ):
            preview.create(ws, args.discipline, settings, watch)
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
        why = f"The preview is incomplete ({made.state}). {made.run.message} {' '.join(made.run.notices)}"
        lines += ["", why.rstrip(), *failure_lines(made.failures)]
    command = f"glan preview {args.dir} --discipline {args.discipline}"
    accept = f"Accept it with '{command} --accept', or" if made.acceptable else "It has no answered question to accept:"
    lines += ["", f"{accept} discard it with '{command} --discard'."]
    data = {name: value for name, value in asdict(made).items() if name not in ("run", "writing")}
    report(data | {"message": made.run.message}, lines, as_json=args.json)
    return 0 if made.whole else 1


def _runs(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    if args.action is None:
        rows = [(r.id, runs.state_of(r), r.kind, r.title, r.message) for r in run_rows.runs(ws.db)]
        data = [asdict(r) | {"state": runs.state_of(r)} for r in run_rows.runs(ws.db)]
        report(data, table(rows, ("id", "state", "kind", "title", "message")) if rows else ["No runs yet."], as_json=args.json)
        return 0
    if args.id is None:
        raise GlanError(f"Give the ID of the run: 'glan runs {args.dir} {args.action} ID'.")
    match args.action:
        case "show":
            return _show_run(ws, args)
        case "pause":
            runs.pause(ws, args.id)
            said = f"Run {args.id} will pause after its in-flight requests are stored."
        case "cancel":
            runs.cancel(ws, args.id)
            said = f"Run {args.id} will end; stored rows are kept."
        case _:
            params = runs.get(ws, args.id).params
            raised = {name: value for name in ("budget_usd", "max_calls") if (value := getattr(args, name)) is not None}
            runs.resume(ws, args.id, params=params | raised if raised else None)
            said = f"Run {args.id} continues in the background: 'glan runs {args.dir} show {args.id}'."
    run = runs.get(ws, args.id)
    report({"run": run.id, "state": runs.state_of(run), "wish": run.wish}, [said], as_json=args.json)
    return 0


def _show_run(ws: Workspace, args: argparse.Namespace) -> int:
    run = runs.get(ws, args.id)
    state, sample = runs.state_of(run), run_rows.last_sample(ws.db, run.id)
    stages = sorted(run_rows.stages(ws.db, run.id), key=lambda s: stage_position(s.stage))
    rows = [(stage_title(s.stage), s.done, s.planned, s.failed) for s in stages if s.planned]
    lines = [f"Run {run.id} ({run.kind}): {run.title}. State: {state}. {run.message}".rstrip()]
    lines += table(rows, ("stage", "done", "of", "failed"))
    if run.endpoints:
        found = [(one.name, one.state, one.in_flight, one.answered, one.faults, one.outages) for one in run.endpoints]
        lines += ["", *table(found, ("endpoint", "state", "in flight", "answered", "errors", "outages")), ""]
    if sample:
        lines.append(f"{sample.requests:,} requests, {sample.throttled:,} rate-limited, {sample.faults:,} faults, "
                     f"{spent(sample.cost_usd, unpriced=call_rows.has_unpriced(ws.db, run.id))}, "
                     f"{duration(run_rows.active_seconds(ws.db, run.id))}.")  # fmt: skip
        if sample.tokens_reasoning:
            lines.append(f"{sample.tokens_reasoning:,} of {sample.tokens_out:,} completion tokens were reasoning.")
    lines += [*filter(None, [run.waiting]), *run.notices, *failure_lines(call_rows.failure_groups(ws.db, run.id))]
    if batches := batch_rows.batches(ws.db, run.id):
        cells = [(b.id, b.requests, b.state.replace("_", " "), b.completed, b.failed, b.remote_id or b.file) for b in batches]
        lines += ["", *table(cells, ("batch", "requests", "status", "completed", "failed", "at the endpoint"))]
    failures = call_rows.failures(ws.db, run.id, 20)
    data = asdict(run) | {
        "state": state, "stages": [asdict(s) for s in stages], "totals": sample and asdict(sample),
        "failures": [asdict(f) for f in failures], "batches": [asdict(b) for b in batches],
    }  # fmt: skip
    report(data, lines, as_json=args.json)
    return 1 if state in ("failed", "lost") else 0


def _status(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    tree = tree_editing.tree(ws)
    standings = coverage.coverage_by_node(ws, tree)
    whole = standings[""]
    c = {name: int(value) for name, value in whole.counts.items() if name not in ("cost_usd", "unpriced")}
    share = f"{whole.share:.0%} of the target" if whole.share is not None else "no target yet"
    lines = [
        f"{ws.metadata('name')}: {c['pairs']:,} pairs, {share}.",
        f"{whole.begun} of {whole.disciplines} disciplines started; {c['subjects']:,} subjects, {c['syllabi']:,} syllabi, "
        f"{c['sessions']:,} sessions, {c['concepts']:,} concepts ({c['concepts_asked']:,} used in questions).",
        f"{c['calls']:,} calls, {whole.cost}; {c['failures']:,} failures can be retried.",
    ]  # fmt: skip
    rows = [
        (tree.nodes[s.node_id]["node"].name, *(int(s.counts[m]) for m in ("subjects", "syllabi", "pairs")), s.wanted)
        for s in standings.values() if s.node_id and s.wanted and tree.nodes[s.node_id]["node"].kind == "discipline"
    ]  # fmt: skip
    live = [f"Run {r.id} is {runs.state_of(r)}: {r.title}" for r in run_rows.runs(ws.db) if r.state in LIVE]
    lines += ["", *table(rows, ("discipline", "subjects", "syllabi", "pairs", "wanted"))] if rows else []
    report({id or "all": asdict(s) | {"share": s.share} for id, s in standings.items()}, [*lines, *live], as_json=args.json)


def _work(args: argparse.Namespace) -> int:
    run = runs.work(Workspace.open(args.dir), args.id)
    return 1 if run.state == "failed" else 0
