"""`glan judge`."""

import argparse

from glan_core import runs
from glan_core.cli.generate import add_terms, plan_lines, say_end, terms_of
from glan_core.cli.output import report
from glan_core.cli.run_start import carry_out
from glan_core.formatting import number
from glan_core.generation.quality_judge import plan_judging
from glan_core.generation.run import check
from glan_core.generation.settings import QualityJudgeSettings
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.judgment_rows import SCORES

MINIMUMS = tuple(f"least_{name}" for name in SCORES)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    judge = commands.add_parser("judge", help="have a teacher score the pairs, and leave out those below a minimum")
    judge.add_argument("dir", metavar="DIR")
    judge.add_argument("--disciplines", default="all", metavar="ID,ID|all", help="(default: %(default)s)")
    judge.add_argument("--sample", type=int, metavar="N", help="judge so many pairs, drawn by --seed (default: every one)")
    judge.add_argument("--seed", type=int, default=0, metavar="S", help="of the sample (default: %(default)s)")
    for name in MINIMUMS:
        default = QualityJudgeSettings.model_fields[name].default
        judge.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=default, metavar="1-5", help="(default: %(default)s)"
        )
    judge.add_argument("--plan", action="store_true", help="say what it would cost, and ask nobody")
    judge.add_argument("--detach", action="store_true", help="work in the background")
    judge.add_argument("--json", action="store_true")
    add_terms(judge)
    judge.set_defaults(command=_judge)


def _judge(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    own = {name: getattr(args, name) for name in ("sample", "seed", *MINIMUMS)}
    if args.disciplines != "all":
        tree = tree_editing.tree(ws)
        wanted = [d for id in args.disciplines.split(",") for d in hierarchy.disciplines_under(tree, id.strip())]
        own["disciplines"] = tuple(dict.fromkeys(wanted))
    settings = read_settings(QualityJudgeSettings, terms_of(args) | own)
    made = plan_judging(ws, settings)
    if args.plan:
        nothing = "Nothing to do: all of these pairs have been judged."
        report(args.json, made.as_dict(), plan_lines(made) if made.calls[1] else [nothing])
        return 0
    check(settings)
    title = f"{number(made.calls[1])} pairs by {settings.teacher_of('judge')}"
    run_id = runs.submit(ws, "judge", title, settings.model_dump(mode="json"), made.as_dict())
    return carry_out(ws, run_id, args, say_end)
