"""`glan evaluate bench`."""

import argparse
from dataclasses import asdict
from pathlib import Path

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks import readiness
from glan_core.evaluation.benchmarks.registry import WAY_LABELS
from glan_core.evaluation.benchmarks.score_frames import interval_of
from glan_core.evaluation.benchmarks.settings import BenchmarkSettings
from glan_core.models.model_specs import model_title
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace, benchmark_score_rows
from glan_core.workspace.benchmark_score_rows import Score


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add the kinds of evaluation of this module."""
    bench = kinds.add_parser("bench", help="run the paper's benchmarks through lm-eval, on local data files")
    bench.add_argument("dir", metavar="DIR")
    add_options(bench, BenchmarkSettings)
    bench.add_argument(
        "--list",
        action="store_true",
        help="list the benchmarks, with few-shot counts, metrics and whether their data is present",
    )
    bench.add_argument("--scores", action="store_true", help="show stored scores")
    bench.add_argument("--plan", action="store_true", help="show what would run")
    add_job_options(bench)
    bench.set_defaults(command=_bench)


def _bench(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.list:
        _list(ws, args)
        return None
    if args.scores:
        found = benchmark_score_rows.scores(ws.db)
        lines = table(
            [_score_row(score) for score in found], ("model", "benchmark", "scoring", "part", "score in % (95 %)", "rows")
        )
        report(
            [_score_data(score) for score in found],
            lines if found else ["No scores yet."],
            as_json=args.json,
        )
        return None
    if not hasattr(args, "models"):
        raise GlanError("Name the models: --models tuned:NAME,base:NAME. To list the benchmarks: --list.")
    settings = _settings(args)
    able = readiness.runnable_benchmarks(ws, settings)
    if args.plan:
        _plan(args, settings, able)
        return None
    title = f"Benchmarks of {', '.join(map(model_title, settings.models))}"[:80]
    scores = lambda: [_score_data(s) for s in benchmark_score_rows.scores(ws.db) if s.model in settings.models]  # noqa: E731
    return run_job(ws, settings, args, title, result=scores)


def _settings(args: argparse.Namespace) -> BenchmarkSettings:
    values = given_values(args, BenchmarkSettings)
    if values.get("data"):
        values["data"] = str(Path(values["data"]).expanduser().absolute())
    if values.get("benchmarks") == ("all",):
        del values["benchmarks"]
    return read_settings(BenchmarkSettings, values)


def _list(ws: Workspace, args: argparse.Namespace) -> None:
    looked = readiness.check_readiness(ws, getattr(args, "data", None), count=True)
    rows = [
        (
            one.benchmark.id,
            f"{way.shots}-shot",
            WAY_LABELS[name],
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
    lines = table(rows, ("benchmark", "few-shot", "scoring", "metric", "data"))
    report(data, [*lines, *(one.why for one in looked if one.why)], as_json=args.json)


def _of_parts(one: readiness.Readiness) -> str:
    parts = len(one.benchmark.parts)
    return "" if one.parts == parts else f" of {one.parts} of {parts} parts"


def _plan(args: argparse.Namespace, settings: BenchmarkSettings, able: list[readiness.Readiness]) -> None:
    here = {one.benchmark.id: one for one in able}
    work = []
    for spec in settings.models:
        for id, way in settings.wanted():
            if id in here:
                number = here[id].rows or 0
                work.append((spec, id, way, min(number, settings.limit or number)))
    rows = [(model, benchmark, WAY_LABELS[way], number) for model, benchmark, way, number in work]
    said = "Scores of the same weights, data and settings are reused."
    report(
        [dict(zip(("model", "benchmark", "way", "rows"), one, strict=True)) for one in work],
        [*table(rows, ("model", "benchmark", "scoring", "rows")), said],
        as_json=args.json,
    )


def _score_data(score: Score) -> dict:
    low, high = interval_of(score)
    return asdict(score) | {"interval": (low, high) if score.number else None}


def _score_row(score: Score) -> tuple:
    low, high = interval_of(score)
    value = f"{100 * score.score:.1f} ({100 * low:.1f} to {100 * high:.1f})" if score.number else "too few rows"
    return score.model, score.benchmark, score.way, score.part or "all", value, score.number
