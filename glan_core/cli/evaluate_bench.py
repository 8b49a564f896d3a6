"""`glan evaluate bench`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks import readiness
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, WORDS, WayName
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, benchmark_score_rows
from glan_core.workspace.benchmark_score_rows import Score

NUMBERS = {
    "limit": ("N", "rows a benchmark, spread over its parts (default: all)"), "max_tokens": ("N", "of an answer (default: the benchmark's own)"),
    "batch": ("N", "questions at once (default: 8)"), "seed": ("S", None),
}  # fmt: skip


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add this kind of evaluation to `glan evaluate`."""
    bench = kinds.add_parser("bench", help="the paper's benchmarks, through lm-eval, on data of this machine")
    bench.add_argument("dir", metavar="DIR")
    bench.add_argument("--models", metavar="MODEL,MODEL", help="tuned:NAME, base:NAME or local:PATH")
    bench.add_argument("--benchmarks", default="all", metavar="NAME,NAME|all", help=f"{', '.join(BENCHMARKS)} (default: all)")
    bench.add_argument(
        "--ways",
        default=",".join(get_args(WayName)),
        metavar="WAY,WAY",
        help="where a benchmark has both (default: %(default)s)",
    )
    for name, (sign, words) in NUMBERS.items():
        bench.add_argument(f"--{name.replace('_', '-')}", type=int, default=None, metavar=sign, help=words)
    bench.add_argument("--data", metavar="FOLDER", help="where the benchmarks' files are (default: the workspace's own)")
    bench.add_argument(
        "--chat-template", action=argparse.BooleanOptionalAction, default=True, help="ask in the tuned model's template"
    )
    bench.add_argument("--run-code", action="store_true", help="run what models write for HumanEval and MBPP, in a sandbox")
    bench.add_argument("--skip-missing", action="store_true", help="leave out what can't be run, rather than run nothing")
    bench.add_argument(
        "--list", action="store_true", help="show the benchmarks, how they are asked and whether their data are here"
    )
    bench.add_argument("--scores", action="store_true", help="show the scores that are stored")
    bench.add_argument("--plan", action="store_true", help="say what it would do, and do nothing")
    add_job_options(bench)
    bench.set_defaults(command=_bench)


def command_of(folder: str, settings: BenchmarkSettings) -> list[str]:
    """The words of the command that carries out an order."""
    defaults = BenchmarkSettings(models=("x",))
    words = ["glan", "evaluate", "bench", folder, "--models", ",".join(settings.models)]
    for name in ("benchmarks", "ways"):
        if (value := getattr(settings, name)) != getattr(defaults, name):
            words += [f"--{name}", ",".join(value)]
    for name in (*NUMBERS, "data"):
        if (value := getattr(settings, name)) != getattr(defaults, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--no-chat-template"] if not settings.chat_template else []
    return words + [f"--{name.replace('_', '-')}" for name in ("run_code", "skip_missing") if getattr(settings, name)]


def _bench(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.list:
        _list(ws, args)
        return None
    if args.scores:
        found = benchmark_score_rows.scores(ws.db)
        lines = table([_score_row(score) for score in found], ("model", "benchmark", "way", "part", "score in %", "rows"))
        report(args.json, [asdict(score) for score in found], lines if found else ["Nothing was scored yet."])
        return None
    if not args.models:
        raise GlanError("Name the models to ask: --models tuned:NAME,base:NAME. Or see what can be asked: --list.")
    settings = _order(args)
    able = readiness.check(ws, settings)
    if args.plan:
        _plan(args, settings, able)
        return None
    return run_job(ws, settings, args, f"Benchmarks of {', '.join(settings.models)}"[:80])


def _order(args: argparse.Namespace) -> BenchmarkSettings:
    given = {name: getattr(args, name) for name in NUMBERS if getattr(args, name) is not None}
    data = args.data and str(Path(args.data).expanduser().absolute())
    split = {name: tuple(part for part in getattr(args, name).split(",") if part.strip()) for name in ("models", "ways")}
    benchmarks = {} if args.benchmarks == "all" else {"benchmarks": tuple(args.benchmarks.split(","))}
    switches = {name: getattr(args, name) for name in ("chat_template", "run_code", "skip_missing")}
    return read_settings(BenchmarkSettings, given | split | benchmarks | switches | {"data": data})


def _list(ws: Workspace, args: argparse.Namespace) -> None:
    looked = readiness.look(ws, args.data, count=True)
    rows = [
        (
            one.benchmark.id,
            f"{way.shots}-shot",
            WORDS[name],
            way.measure.words,
            f"{one.rows or 0:,} rows{_of_parts(one)}" if not one.why else "no",
        )
        for one in looked
        for name, way in one.benchmark.ways.items()
    ]
    data = [
        {
            "benchmark": one.benchmark.id, "title": one.benchmark.title, "dataset": one.benchmark.dataset, "rows": one.rows,
            "parts_here": one.parts, "parts": len(one.benchmark.parts), "runs_code": one.benchmark.runs_code, "missing": one.why,
            "command": one.benchmark.command, "folder": str(one.data.folder) if one.data else None,
            "ways": {name: {"shots": way.shots, "measure": way.measure.words, "task": way.definition} for name, way in one.benchmark.ways.items()},
        }
        for one in looked
    ]  # fmt: skip
    lines = table(rows, ("benchmark", "shots", "asked", "what counts", "here"))
    report(args.json, data, [*lines, *(one.why for one in looked if one.why)])


def _of_parts(one: readiness.Readiness) -> str:
    parts = len(one.benchmark.parts)
    return "" if one.parts == parts else f" of {one.parts} of {parts} parts"


def _plan(args: argparse.Namespace, settings: BenchmarkSettings, able: list[readiness.Readiness]) -> None:
    here = {one.benchmark.id: one for one in able}
    work = [
        {"model": spec, "benchmark": id, "way": way, "rows": min(here[id].rows, settings.limit or here[id].rows)}
        for spec in settings.models
        for id, way in settings.wanted()
        if id in here
    ]
    rows = [(one["model"], one["benchmark"], WORDS[one["way"]], one["rows"]) for one in work]
    said = "What is scored already with the same weights, data and settings is not asked again."
    report(args.json, work, [*table(rows, ("model", "benchmark", "asked", "rows")), said])


def _score_row(score: Score) -> tuple:
    value = f"{100 * score.score:.1f}" + (f" ± {100 * score.error:.1f}" if score.error is not None else "")
    return score.model, score.benchmark, score.way, score.part or "all", value, score.number
