"""`glan embed`, `glan map`, `glan measure` and `glan compare`."""

import argparse
from dataclasses import asdict

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.diversity.map_store import list_maps
from glan_core.diversity.metric_store import METRICS, OVERALL, TOO_FEW, MetricReport, MetricValue, list_metrics, read_metrics
from glan_core.diversity.settings import ComparisonSettings, EmbeddingSettings, MapSettings, MetricSettings
from glan_core.errors import GlanError
from glan_core.settings import Settings, read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace

WORDS_ONLY = (
    "Compared by words: a question on the same topic in other words counts as absent. Name an embedder to compare meaning."
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    embed = _command(commands, "embed", EmbeddingSettings, "embed the questions; run it again for new and edited ones")
    embed.set_defaults(command=_embed)

    mapped = _command(commands, "map", MapSettings, "compute the diversity map, or place new questions on it")
    mapped.set_defaults(command=_map)

    measured = _command(
        commands, "measure", MetricSettings, "compute diversity metrics of all questions, fields and disciplines"
    )
    measured.add_argument("--show", action="store_true", help="show the latest metrics, without computing them again")
    measured.set_defaults(command=_measure)

    compared = _command(commands, "compare", ComparisonSettings, "compare with another dataset", skip=("path",))
    compared.add_argument("path", metavar="OTHER", help="file or folder of rows, another workspace, or the name of a snapshot")
    compared.add_argument("--show", action="store_true", help="show the stored comparison of that name")
    compared.set_defaults(command=_compare)


def _command(
    commands: argparse._SubParsersAction, name: str, settings_type: type[Settings], words: str, skip: tuple[str, ...] = ()
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words)
    parser.add_argument("dir", metavar="DIR")
    add_options(parser, settings_type, skip=skip)
    add_job_options(parser)
    return parser


def _embed(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    return run_job(
        ws, read_settings(EmbeddingSettings, given_values(args, EmbeddingSettings)), args, result=lambda: _vectors(ws)
    )


def _vectors(ws: Workspace) -> list[dict]:
    """Number and dimension of the stored vectors of each embedder."""
    from glan_core.diversity.vector_store import list_vectors

    return [asdict(info) for info in list_vectors(ws)]


def _map(args: argparse.Namespace) -> int:
    settings = read_settings(MapSettings, given_values(args, MapSettings))
    ws = Workspace.open(args.dir)
    maps = lambda: [asdict(info) for info in list_maps(ws)]  # noqa: E731
    return run_job(ws, settings, args, f"{settings.dims}-D map", result=maps)


def _measure(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    settings = read_settings(MetricSettings, given_values(args, MetricSettings))
    made = lambda: (found := _latest_metrics(ws, settings)) and asdict(found)  # noqa: E731
    if not args.show and ((code := run_job(ws, settings, args, result=made)) or args.detach or args.json):
        return code
    measured = _latest_metrics(ws, settings)
    if not measured:
        raise GlanError(f"No metrics yet. Compute them with 'glan measure {args.dir}'.")
    report(asdict(measured), _measure_lines(measured), as_json=args.json)
    return 0


def _latest_metrics(ws: Workspace, settings: MetricSettings) -> MetricReport | None:
    chosen = next((name for name in list_metrics(ws) if settings.embedder in ("auto", name)), None)
    return read_metrics(ws, chosen) if chosen else None


def _measure_lines(measured: MetricReport) -> list[str]:
    whole = measured.scopes[OVERALL]
    rows = [
        (METRICS[name].label, *((_shown(name, whole[name]), f"{whole[name].n:,}") if name in whole else (TOO_FEW, "")))
        for name in METRICS
    ]
    below = [
        (id, *(_shown(name, of[name]) if name in of else TOO_FEW for name in ("mean_distance", "near_share", "vendi_1000", "novelsum")))
        for id, of in sorted(measured.scopes.items()) if id != OVERALL
    ]  # fmt: skip
    head = ("field or discipline", "mean distance", "near another", "Vendi of 1,000", "NovelSum")
    return ["", *table(rows, ("metric", "value", "rows")), "", *table(below, head)]


def _shown(name: str, value: MetricValue) -> str:
    measure = METRICS[name]
    text = f"{value.value:,.{measure.digits}f}"
    if value.low is not None:
        text += f" ({value.low:,.{measure.digits}f} to {value.high:,.{measure.digits}f})"
    return f"{text} {measure.unit}".rstrip()


def _compare(args: argparse.Namespace) -> int:
    from glan_core.diversity.comparison_job import default_name, resolve_path
    from glan_core.diversity.comparison_store import OURS, THEIRS, read_comparison

    ws = Workspace.open(args.dir)
    values = given_values(args, ComparisonSettings, skip=("path",))
    name = str(values.get("name", "")).strip() or default_name(ws, args.path)
    if not args.show:
        settings = read_settings(ComparisonSettings, values | {"path": str(resolve_path(ws, args.path))})
        made = lambda: (one := read_comparison(ws, name)) and asdict(one) | {"by_words": one.by_words}  # noqa: E731
        if (code := run_job(ws, settings, args, f"Comparison with {name}", result=made)) or args.detach or args.json:
            return code
    if (found := read_comparison(ws, name)) is None:
        raise GlanError(f"There is no comparison {name!r} in this workspace.")
    sides = found.scopes[OURS], found.scopes[THEIRS]
    rows = [(METRICS[key].label, *(_shown(key, side[key]) for side in sides)) for key in sides[0] if key in sides[1]]
    near = "a question in similar words" if found.by_words else "a neighbor"
    rows.append((f"Without {near} in the other set", f"{found.only_ours.value:.1f} %", f"{found.only_theirs.value:.1f} %"))
    lines = ["", *table(rows, ("metric", "here", name))]
    if found.gaps:
        gaps = [(", ".join(gap.terms), gap.rows) for gap in found.gaps]
        what = "words" if found.by_words else "topics"
        lines += ["", *table(gaps, (f"{what} of {name} not covered here", "rows"))]
    if found.missing_there:
        gaps = [(cluster.label, cluster.ours) for cluster in found.missing_there[:10]]
        lines += ["", *table(gaps, (f"clusters here without rows of {name}", "rows"))]
    counts = sorted(found.disciplines.items(), key=lambda item: -item[1])[:15]
    lines += ["", *table([(id or "none nearby", n) for id, n in counts], ("nearest discipline", "rows"))]
    if found.by_words:
        lines += ["", WORDS_ONLY]
    report(asdict(found) | {"by_words": found.by_words}, lines, as_json=args.json)
    return 0
