"""`glan evaluate scaling`."""

import argparse
from dataclasses import asdict

from glan_core.cli.evaluate_judge import signed
from glan_core.cli.finetune import add_recipe_options, finetune_settings
from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.cli.teacher_options import add_teacher_options, teacher_values
from glan_core.errors import GlanError
from glan_core.evaluation import scaling_job
from glan_core.evaluation.scaling_plan import plan_study
from glan_core.evaluation.settings import PairwiseJudgeSettings, ScalingSettings
from glan_core.formatting import durations, money
from glan_core.ray_cluster.settings import EngineSettings
from glan_core.settings import read_settings
from glan_core.settings_options import add_option
from glan_core.training.plan import plan
from glan_core.workspace import Workspace

ENGINE = tuple(EngineSettings.model_fields)  # options of the judge's requests; the models are trained on this machine


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add the kinds of evaluation of this module."""
    study = kinds.add_parser(
        "scaling", help="train on nested subsets of a snapshot and judge each model; without --name: show results"
    )
    study.add_argument("dir", metavar="DIR")
    study.add_argument("--name", metavar="NAME", help="name of the study; its models are named NAME-ROWS")
    study.add_argument("--snapshot", metavar="NAME", help="snapshot to train on")
    study.add_argument(
        "--shares",
        default="1,3,10,30,100",
        metavar="%,%",
        help="subset sizes in percent of the training rows (default: %(default)s)",
    )
    for name in ("test", "other", "questions", "answer_tokens"):
        add_option(study, PairwiseJudgeSettings, name)
    study.add_argument("--plan", action="store_true", help="show what would be trained")
    add_recipe_options(study, skip=ENGINE)
    add_teacher_options(study)
    add_job_options(study)
    study.set_defaults(command=_study)


def _study(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if not args.name:
        _results(ws, args)
        return None
    if not args.snapshot:
        raise GlanError("Name the snapshot to train on: --snapshot NAME.")
    settings = _settings(ws, args)
    runs = scaling_job.check_study(ws, settings)
    if args.plan:
        made = [(tune.rows, tune.name, plan(ws, tune)) for tune in runs]
        rows = [(n, name, one.steps, durations(one.seconds) if one.seconds else "unknown") for n, name, one in made]
        models = [{"rows": n, "model": name, "steps": one.steps, "seconds": one.seconds} for n, name, one in made]
        whole = plan_study(ws, settings)
        said = f"{whole.steps:,} steps, {whole.calls:,} calls, {money(whole.usd)}"
        lines = [
            *table(rows, ("rows", "model", "steps", "time")),
            f"{said}, {durations(whole.seconds) if whole.seconds else 'time unknown'}.",
        ]
        report({"models": models, **asdict(whole), "seconds": whole.seconds}, lines, as_json=args.json)
        return None
    points = lambda: [asdict(point) for point in scaling_job.study_points(ws, settings)]  # noqa: E731
    return run_job(ws, settings, args, f"Scaling study {settings.name}", result=points)


def _settings(ws: Workspace, args: argparse.Namespace) -> ScalingSettings:
    try:
        shares = tuple(float(part) / 100 for part in args.shares.split(","))
    except ValueError:
        raise GlanError(f"--shares {args.shares!r}: give percentages such as 1,3,10,30,100.") from None
    judge = None
    own = {name: getattr(args, name) for name in ("test", "other", "questions", "answer_tokens") if hasattr(args, name)}
    if "test" in own:
        judge = {name: value for name, value in (teacher_values(ws, args) | own).items() if value is not None}
    tune = finetune_settings(args, ws, ENGINE).model_dump(mode="json", exclude={"name", "rows", "kind"})
    return read_settings(ScalingSettings, {"name": args.name, "finetune": tune, "shares": shares, "judge": judge})


def _results(ws: Workspace, args: argparse.Namespace) -> None:
    """Results of all studies."""
    data, lines = [], []
    for settings, run_id in scaling_job.list_studies(ws):
        found = scaling_job.study_points(ws, settings)
        curves = {"loss": scaling_job.loss_curve(found), "difference": scaling_job.score_curve(found)}
        rows = [
            (p.rows, p.model, "–" if p.loss is None else f"{p.loss:.3f}", signed(p.difference) or "–", p.judged) for p in found
        ]
        lines += [f"{settings.name} (run {run_id})", *table(rows, ("rows", "model", "validation loss", "difference", "judged"))]
        lines += [f"{what}: {curve.formula}, R² {curve.r2:.2f}" for what, curve in curves.items() if curve]
        data.append({
            "name": settings.name, "run": run_id, "points": [asdict(p) for p in found],
            "curves": {what: {"formula": curve.formula, "r2": curve.r2} for what, curve in curves.items() if curve},
        })  # fmt: skip
    report(data, lines or ["No scaling studies yet."], as_json=args.json)
