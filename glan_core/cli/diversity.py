"""`glan embed`, `glan map`, `glan measure` and `glan compare`."""

import argparse
from dataclasses import asdict

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.diversity.metric_store import MEASURES, OVERALL, Measured, Value, list_measures, read_measures
from glan_core.diversity.settings import ComparisonSettings, EmbeddingSettings, MapSettings, MetricSettings
from glan_core.errors import GlanError
from glan_core.settings import Settings, read_settings
from glan_core.workspace import Workspace

EMBEDDER = "auto (default), words, st:NAME_OR_PATH (sentence-transformers) or openai:MODEL (an endpoint)"


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    embed = _command(commands, "embed", "give every question a vector; run it again for new ones")
    embed.set_defaults(command=_embed)

    mapped = _command(commands, "map", "lay the questions out on a map; new ones join it where there is one")
    mapped.add_argument("--dims", type=int, choices=(2, 3), default=2, help="(default: %(default)s)")
    mapped.add_argument("--refit", action="store_true", help="draw a new map, which moves every point")
    mapped.add_argument(
        "--landmarks", type=int, default=20_000, metavar="N", help="rows it is fitted on (default: %(default)s)"
    )
    mapped.add_argument("--seed", type=int, default=0, metavar="S", help="(default: %(default)s)")
    mapped.set_defaults(command=_map)

    measured = _command(commands, "measure", "how diverse the questions are: all, by field, by discipline")
    measured.add_argument("--rows", choices=("kept", "all"), default="kept", help="(default: %(default)s: what exports take)")
    measured.add_argument("--show", action="store_true", help="show what was measured last instead")
    _add_sample(measured)
    measured.set_defaults(command=_measure)

    compared = _command(commands, "compare", "lay another dataset over this one")
    compared.add_argument("path", metavar="OTHER", help="a file or folder of rows, a workspace, or the name of a snapshot")
    compared.add_argument("--name", default="", help="what to call the comparison (default: as the dataset is called)")
    compared.add_argument("--most", type=int, default=100_000, metavar="N", help="rows to take of it (default: %(default)s)")
    compared.add_argument("--similarity", type=float, metavar="X", help="the cosine from which two rows are neighbours")
    compared.add_argument("--show", action="store_true", help="show the comparison that was made with that name")
    _add_sample(compared)
    compared.set_defaults(command=_compare)


def _command(commands: argparse._SubParsersAction, name: str, words: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words)
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--embedder", default="auto", metavar="E", help=EMBEDDER)
    parser.add_argument("--base-url", metavar="URL", help="the endpoint of an openai: embedder")
    add_job_options(parser)
    return parser


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sample", type=int, default=1000, metavar="N", help="rows that sampled measures look at (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="(default: %(default)s)")


def _order(order_type: type[Settings], args: argparse.Namespace) -> Settings:
    return read_settings(order_type, {name: getattr(args, name) for name in order_type.model_fields if name != "kind"})


def _embed(args: argparse.Namespace) -> int:
    return run_job(Workspace.open(args.dir), _order(EmbeddingSettings, args), args)


def _map(args: argparse.Namespace) -> int:
    return run_job(Workspace.open(args.dir), _order(MapSettings, args), args, f"Map in {args.dims}-D")


def _measure(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    if not args.show and ((code := run_job(ws, _order(MetricSettings, args), args)) or args.detach or args.json):
        return code
    embedders = list_measures(ws)
    chosen = next((name for name in embedders if args.embedder in ("auto", name)), None)
    measured = chosen and read_measures(ws, chosen)
    if not measured:
        raise GlanError(f"Nothing was measured here yet: 'glan measure {args.dir}'.")
    report(args.json, asdict(measured), _measure_lines(measured))
    return 0


def _measure_lines(measured: Measured) -> list[str]:
    rows = [(MEASURES[name].label, _shown(name, value), f"{value.n:,}") for name, value in measured.scopes[OVERALL].items()]
    below = [
        (id, *(_shown(name, of[name]) if name in of else "" for name in ("mean_distance", "near_share", "vendi_1000", "novelsum")))
        for id, of in sorted(measured.scopes.items()) if id != OVERALL
    ]  # fmt: skip
    head = ("field or discipline", "mean distance", "near another", "Vendi of 1,000", "NovelSum")
    return ["", *table(rows, ("measure", "value", "rows")), "", *table(below, head)]


def _shown(name: str, value: Value) -> str:
    measure = MEASURES[name]
    text = f"{value.value:,.{measure.digits}f}"
    if value.low is not None:
        text += f" ({value.low:,.{measure.digits}f} to {value.high:,.{measure.digits}f})"
    return f"{text} {measure.unit}".rstrip()


def _compare(args: argparse.Namespace) -> int:
    from glan_core.diversity.comparison_job import name_of, place_of
    from glan_core.diversity.comparison_store import OURS, THEIRS, read_comparison

    ws = Workspace.open(args.dir)
    name = args.name.strip() or name_of(ws, args.path)
    if not args.show:
        args.path = str(place_of(ws, args.path))
        if (code := run_job(ws, _order(ComparisonSettings, args), args, f"Comparison with {name}")) or args.detach or args.json:
            return code
    if (found := read_comparison(ws, name)) is None:
        raise GlanError(f"There is no comparison {name!r} here.")
    sides = found.scopes[OURS], found.scopes[THEIRS]
    rows = [(MEASURES[key].label, *(_shown(key, side[key]) for side in sides)) for key in sides[0] if key in sides[1]]
    rows.append(("Without a neighbour there", f"{found.only_ours.value:.1f} %", f"{found.only_theirs.value:.1f} %"))
    lines = ["", *table(rows, ("measure", "here", name))]
    if found.gaps:
        gaps = [(", ".join(gap.terms), gap.rows) for gap in found.gaps]
        lines += ["", *table(gaps, (f"themes of {name} that are not covered here", "rows"))]
    if found.missing_there:
        gaps = [(cluster.label, cluster.ours) for cluster in found.missing_there[:10]]
        lines += ["", *table(gaps, (f"clusters here without rows of {name}", "rows"))]
    counts = sorted(found.disciplines.items(), key=lambda item: -item[1])[:15]
    lines += ["", *table([(id or "none is near", n) for id, n in counts], ("nearest discipline", "rows"))]
    report(args.json, asdict(found), lines)
    return 0
