"""`glan judge`."""

import argparse

from glan_core.cli.disciplines import expand
from glan_core.cli.teacher_options import add_teacher_options, teacher_values
from glan_core.cli.teacher_run import RunEnd, add_plan_options, report_end, run_planned
from glan_core.formatting import number
from glan_core.generation.quality_judge import plan_judging
from glan_core.generation.settings import QualityJudgeSettings, TeacherSettings
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    judge = commands.add_parser("judge", help="have a teacher score the pairs, and exclude those below a minimum")
    judge.add_argument("dir", metavar="DIR")
    add_options(judge, QualityJudgeSettings, skip=TeacherSettings.model_fields)
    add_plan_options(judge)
    add_teacher_options(judge)
    judge.set_defaults(command=_judge)


def _judge(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    own = given_values(args, QualityJudgeSettings, skip=TeacherSettings.model_fields)
    if "disciplines" in own:
        own["disciplines"] = None if own["disciplines"] == ("all",) else expand(ws, own["disciplines"])
    settings = read_settings(QualityJudgeSettings, teacher_values(ws, args) | own)
    made = plan_judging(ws, settings)
    title = f"{number(made.calls[1])} pairs by {settings.teacher_of('judge')}"
    return run_planned(ws, settings, made, args, RunEnd(title, "all of these pairs are judged", report_end))
