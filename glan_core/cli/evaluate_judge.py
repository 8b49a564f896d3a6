"""`glan evaluate judge`."""

import argparse
from dataclasses import asdict
from functools import partial

from glan_core import runs
from glan_core.cli.output import report, table
from glan_core.cli.teacher_options import add_teacher_options, teacher_values
from glan_core.cli.teacher_run import RunEnd, add_plan_options, failure_lines, run_planned
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import match_setup
from glan_core.evaluation.judge.pairwise import plan_judging
from glan_core.evaluation.settings import PairwiseJudgeSettings
from glan_core.generation.settings import TeacherSettings
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace, call_rows, match_rows
from glan_core.workspace.run_rows import Run

PARTS = ("field", "discipline", "level", "strategy", "skill")


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add the kinds of evaluation of this module."""
    judge = kinds.add_parser(
        "judge", help="compare two models on a held-out test with a teacher as judge; without --ours: show results"
    )
    judge.add_argument("dir", metavar="DIR")
    add_options(judge, PairwiseJudgeSettings, skip=TeacherSettings.model_fields)
    judge.add_argument("--by", choices=PARTS, default="field", help="breakdown of the results (default: %(default)s)")
    add_plan_options(judge)
    add_teacher_options(judge)
    judge.set_defaults(command=_judge)


def _judge(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    own = given_values(args, PairwiseJudgeSettings, skip=TeacherSettings.model_fields)
    if not own.get("ours"):
        return _results(ws, args)
    if not own.get("test"):
        raise GlanError(f"Name the test: --test NAME ('glan evaluate glan-test {args.dir}' lists them).")
    settings = read_settings(PairwiseJudgeSettings, teacher_values(ws, args) | own)
    made = plan_judging(ws, settings)
    name = f"{title(settings.ours)} vs {title(settings.other)} on {settings.test}"
    end = RunEnd(name, "every question is judged", partial(_say_end, settings=settings, by=args.by))
    return run_planned(ws, settings, made, args, end)


def _say_end(ws: Workspace, run: Run, settings: PairwiseJudgeSettings, by: str, *, as_json: bool) -> int:
    state, causes = runs.state_of(run), call_rows.failure_groups(ws.db, run.id)
    match = match_rows.match(ws.db, match_setup(ws, settings).id)
    lines = [run.message if state == "finished" else f"{state.capitalize()}: {run.message}", *failure_lines(causes)]
    data = asdict(run) | {"state": state, "failures": [asdict(group) for group in causes]}
    if match:
        more, part = _table(ws, match, by)
        data |= {"match": match.id, **more}
        lines += ["", *part]
    report(data, lines, as_json=as_json)
    return 0 if state == "finished" else 1


def _table(ws: Workspace, match: match_rows.Match, by: str) -> tuple[dict, list[str]]:
    """Result of a match as plain values, and as table lines by a part of its questions."""
    frame = match_statistics.item_frame(ws, match)
    of = match_statistics.outcomes_by(frame, by)
    rows = [
        (row[by], row["judged"], row["wins"], row["ties"], row["losses"], signed(row["difference"]),
         f"{signed(row['low'])} to {signed(row['high'])}" if row["low"] == row["low"] and row["low"] is not None else "")
        for row in of.to_dict("records")
    ]  # fmt: skip
    gaps, found = match_statistics.missing(ws, match, frame), match_statistics.outcome(frame)
    data = {
        "outcome": asdict(found),
        "win_rate": {"share": found.win_rate, "interval": found.win_interval},
        "answers": {"cut": gaps.cut, "empty": gaps.empty, "refused": gaps.refusals},
        "max_tokens": match.about.get("tokens"),
        by: [{k: None if v != v else v for k, v in r.items()} for r in of.to_dict("records")],
    }
    return data, table(rows, (by, "judged", "won", "tied", "lost", "difference", "95 % interval")) if rows else []


def signed(value: float | None) -> str:
    """'+1.24', or nothing for None."""
    return "" if value is None or value != value else f"{value:+.2f}"


def _results(ws: Workspace, args: argparse.Namespace) -> int:
    """Results of all matches."""
    data, rows = [], []
    for match in match_rows.matches(ws.db):
        found = match_statistics.outcome(match_statistics.item_frame(ws, match))
        data.append(
            {
                "match": match.id,
                "test": match.test_name,
                "ours": match.ours,
                "other": match.other,
                "judge": match.judge,
                **asdict(found),
            }
        )
        rows.append((match.test_name, match.ours, match.other, match.judge, found.judged, signed(found.difference),
                     "" if found.disagreement is None else f"{found.disagreement:.0%}"))  # fmt: skip
    head = ("test", "ours", "other", "judge", "judged", "difference", "orders disagree")
    report(data, table(rows, head) if rows else ["No judgments yet."], as_json=args.json)
    return 0
