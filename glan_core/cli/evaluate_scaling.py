"""`glan evaluate scaling`."""

import argparse
from dataclasses import asdict

from glan_core.cli.evaluate_judge import signed
from glan_core.cli.finetune import add_recipe_options, order_of
from glan_core.cli.generate import add_terms, terms_of
from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.errors import GlanError
from glan_core.evaluation import scaling_job
from glan_core.evaluation.settings import REFERENCE, ScalingSettings
from glan_core.formatting import durations
from glan_core.settings import read_settings
from glan_core.training.plan import plan
from glan_core.workspace import Workspace


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add this module's kind of evaluation to the parser."""
    study = kinds.add_parser(
        "scaling", help="train on nested parts of a snapshot and judge each; without --name: what came of it so far"
    )
    study.add_argument("dir", metavar="DIR")
    study.add_argument("--name", metavar="NAME", help="of the study; its models are called NAME-ROWS")
    study.add_argument("--snapshot", metavar="NAME")
    study.add_argument("--shares", default="1,3,10,30,100", metavar="%,%", help="of the training rows (default: %(default)s)")
    study.add_argument(
        "--test", metavar="NAME", help="judge every model on this test (default: only the held-out loss is taken)"
    )
    study.add_argument("--other", metavar="MODEL", default=REFERENCE, help="who is judged beside them (default: %(default)s)")
    study.add_argument("--questions", type=int, metavar="N", help="of each discipline (default: all of the test)")
    study.add_argument(
        "--answer-tokens", type=int, default=512, metavar="N", help="of an answer at most (default: %(default)s)"
    )
    study.add_argument("--plan", action="store_true", help="say what it would train, and do nothing")
    add_recipe_options(study)
    add_terms(study)
    add_job_options(study)
    study.set_defaults(command=_study)


def _study(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if not args.name:
        return _results(ws, args)
    if not args.snapshot:
        raise GlanError("Say what to train on: --snapshot NAME.")
    settings = _order(args)
    orders = scaling_job.check(ws, settings)
    if args.plan:
        made = [(tune.rows, tune.name, plan(ws, tune)) for tune in orders]
        rows = [(n, name, one.steps, durations(one.seconds) if one.seconds else "not known") for n, name, one in made]
        data = [{"rows": n, "model": name, "steps": one.steps, "seconds": one.seconds} for n, name, one in made]
        report(args.json, data, table(rows, ("rows", "model", "steps", "time")))
        return None
    return run_job(ws, settings, args, f"Scaling study {settings.name}")


def _order(args: argparse.Namespace) -> ScalingSettings:
    try:
        shares = tuple(float(part) / 100 for part in args.shares.split(","))
    except ValueError:
        raise GlanError(f"--shares {args.shares!r}: give percentages such as 1,3,10,30,100.") from None
    judge = None
    if args.test:
        own = {name: getattr(args, name) for name in ("test", "other", "questions", "answer_tokens")}
        judge = {name: value for name, value in (terms_of(args) | own).items() if value is not None}
    tune = order_of(args).model_dump(mode="json", exclude={"name", "rows", "kind"})
    return read_settings(ScalingSettings, {"name": args.name, "finetune": tune, "shares": shares, "judge": judge})


def _results(ws: Workspace, args: argparse.Namespace) -> None:
    """What came of all studies so far."""
    data, lines = [], []
    for settings, run_id in scaling_job.studies(ws):
        found = scaling_job.points(ws, settings)
        curves = {"loss": scaling_job.loss_curve(found), "difference": scaling_job.score_curve(found)}
        rows = [
            (p.rows, p.model, "–" if p.loss is None else f"{p.loss:.3f}", signed(p.difference) or "–", p.judged) for p in found
        ]
        lines += [f"{settings.name} (run {run_id})", *table(rows, ("rows", "model", "held-out loss", "difference", "judged"))]
        lines += [f"{what}: {curve.formula}, R² {curve.r2:.2f}" for what, curve in curves.items() if curve]
        data.append({
            "name": settings.name, "run": run_id, "points": [asdict(p) for p in found],
            "curves": {what: {"formula": curve.formula, "r2": curve.r2} for what, curve in curves.items() if curve},
        })  # fmt: skip
    report(args.json, data, lines or ["There are no studies."])
