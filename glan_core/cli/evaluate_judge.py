"""`glan evaluate judge`."""

import argparse
from dataclasses import asdict

from glan_core import runs
from glan_core.cli.generate import add_terms, failure_lines, plan_lines, terms_of
from glan_core.cli.output import report, table
from glan_core.cli.run_start import carry_out
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import match_setup
from glan_core.evaluation.judge.pairwise import plan_judging
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings
from glan_core.generation.run import check
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, call_rows, match_rows
from glan_core.workspace.run_rows import Run

PARTS = ("field", "discipline", "level", "strategy", "skill")


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add this module's kind of evaluation to the parser."""
    judge = kinds.add_parser(
        "judge", help="two models answer a test, a teacher scores both; without --ours: what came of it so far"
    )
    judge.add_argument("dir", metavar="DIR")
    judge.add_argument("--test", metavar="NAME", help="freeze one with 'glan evaluate glan-test DIR freeze NAME'")
    judge.add_argument(
        "--ours", metavar="MODEL", help="tuned:NAME, base:NAME, local:PATH, openai:MODEL, openai:MODEL@ADDRESS or scripted"
    )
    judge.add_argument(
        "--other", metavar="MODEL", default=REFERENCE, help="another one, or 'reference': the teacher's answers (default)"
    )
    judge.add_argument("--questions", type=int, metavar="N", help="of each discipline (default: all of the test)")
    judge.add_argument("--disciplines", metavar="ID,ID", help="only these, or those below these nodes")
    judge.add_argument("--temperature", type=float, default=0.0, metavar="T", help="of the answers (default: %(default)s)")
    judge.add_argument(
        "--answer-tokens", type=int, default=512, metavar="N", help="of an answer at most (default: %(default)s)"
    )
    judge.add_argument("--by", choices=PARTS, default="field", help="how results are broken down (default: %(default)s)")
    judge.add_argument("--plan", action="store_true", help="say what it would cost, and ask nobody")
    judge.add_argument("--detach", action="store_true", help="work in the background")
    judge.add_argument("--json", action="store_true")
    add_terms(judge)
    judge.set_defaults(command=_judge)


def _judge(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    if not args.ours:
        return _results(ws, args)
    if not args.test:
        raise GlanError(f"Say on which test: --test NAME ('glan evaluate glan-test {args.dir}' lists them).")
    settings = read_settings(PairwiseJudgeSettings, terms_of(args) | _own(args))
    made = plan_judging(ws, settings)
    if args.plan:
        report(args.json, made.as_dict(), plan_lines(made) if made.calls[1] else ["Nothing to do: all of it is judged."])
        return 0
    check(settings)
    name = f"{title(settings.ours)} beside {title(settings.other)} on {settings.test}"
    run_id = runs.submit(ws, settings.kind, name, settings.model_dump(mode="json"), made.as_dict())
    return carry_out(ws, run_id, args, lambda ws, run, as_json: _say_end(ws, run, as_json, settings, args.by))


def _own(args: argparse.Namespace) -> dict:
    own = {name: getattr(args, name) for name in ("ours", "other", "questions", "temperature", "answer_tokens")}
    own["test"] = args.test or ""
    if args.disciplines:
        own["disciplines"] = tuple(id.strip() for id in args.disciplines.split(",") if id.strip())
    return own


def _say_end(ws: Workspace, run: Run, as_json: bool, settings: PairwiseJudgeSettings, by: str) -> int:
    state, causes = runs.state_of(run), call_rows.failure_causes(ws.db, run.id)
    match = match_rows.match(ws.db, match_setup(ws, settings).id)
    lines = [run.message if state == "finished" else f"{state.capitalize()}: {run.message}", *failure_lines(causes)]
    data = asdict(run) | {"state": state, "failures": causes}
    if match:
        more, part = _table(ws, match, by)
        data |= {"match": match.id, **more}
        lines += ["", *part]
    report(as_json, data, lines)
    return 0 if state == "finished" else 1


def _table(ws: Workspace, match: match_rows.Match, by: str) -> tuple[dict, list[str]]:
    """The outcome of a match, as plain values and as the lines of a table by a part of its questions."""
    frame = match_statistics.item_frame(ws, match)
    of = match_statistics.by(frame, by)
    rows = [
        (row[by], row["judged"], row["wins"], row["ties"], row["losses"], signed(row["difference"]),
         f"{signed(row['low'])} to {signed(row['high'])}" if row["low"] == row["low"] and row["low"] is not None else "")
        for row in of.to_dict("records")
    ]  # fmt: skip
    data = {
        "outcome": asdict(match_statistics.outcome(frame)),
        by: [{k: None if v != v else v for k, v in r.items()} for r in of.to_dict("records")],
    }
    return data, table(rows, (by, "judged", "won", "tied", "lost", "difference", "95 % interval")) if rows else []


def signed(value: float | None) -> str:
    """'+1.24', or nothing for None."""
    return "" if value is None or value != value else f"{value:+.2f}"


def _results(ws: Workspace, args: argparse.Namespace) -> int:
    """What all matches came to so far."""
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
    report(args.json, data, table(rows, head) if rows else ["Nothing was judged yet."])
    return 0
