"""`glan dedup`, `glan decontaminate` and `glan filter`."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.dataset.settings import DecontaminationSettings, NearDuplicateSettings, QualityFilterSettings
from glan_core.formatting import exact, number, plural, shorten
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace, homework_rows, tag_rows

if TYPE_CHECKING:
    from glan_core.dataset.quality_filter_job import FilterPreview

WIDTH = 100  # characters of a text in a list
MOST = 5  # default number of examples per kind


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    dedup = commands.add_parser("dedup", help="tag near-duplicate questions")
    dedup.add_argument("dir", metavar="DIR")
    add_options(dedup, NearDuplicateSettings)
    _add_show(dedup)
    dedup.set_defaults(command=_dedup)

    clean = commands.add_parser("decontaminate", help="tag pairs that contain a question of a benchmark")
    clean.add_argument("dir", metavar="DIR")
    clean.add_argument(
        "benchmark", nargs="*", metavar="BENCHMARK",
        help="gsm8k, math, humaneval, mbpp, bbh, arc, mmlu, ifeval, a file, or a dataset of the Hub (owner/name)",
    )  # fmt: skip
    clean.add_argument("--column", metavar="NAME", help="question column (default: recognized)")
    add_options(clean, DecontaminationSettings, skip=("benchmarks",))
    clean.add_argument("--forget", metavar="BENCHMARK", help="remove the tags of a benchmark")
    _add_show(clean)
    clean.set_defaults(command=_decontaminate)

    chosen = commands.add_parser("filter", help="tag pairs that fail quality rules")
    chosen.add_argument("dir", metavar="DIR")
    chosen.add_argument("rule", nargs="*", metavar="RULE", help="rules to apply; '--list' names them (default: all)")
    add_options(chosen, QualityFilterSettings, skip=("rules",))
    chosen.add_argument("--none", action="store_true", help="apply no rule: removes the tags of all")
    chosen.add_argument("--list", action="store_true", help="list the rules")
    chosen.add_argument("--preview", action="store_true", help="apply the rules to a sample, without tagging")
    _add_show(chosen)
    chosen.set_defaults(command=_filter)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--show", action="store_true", help="show results of the last check with examples, without checking again"
    )
    parser.add_argument("--limit", type=int, default=MOST, metavar="N", help="examples per kind (default: %(default)s)")
    add_job_options(parser)


def _dedup(args: argparse.Namespace) -> int:
    from glan_core.dataset.near_duplicate_job import FACT

    ws = Workspace.open(args.dir)
    if args.show:
        return _show(ws, args, "duplicate", FACT)
    settings = read_settings(NearDuplicateSettings, given_values(args, NearDuplicateSettings))
    return run_job(ws, settings, args, result=lambda: _data(ws, args, "duplicate", FACT)[0])


def _decontaminate(args: argparse.Namespace) -> int:
    from glan_core.dataset import decontamination_job
    from glan_core.errors import GlanError

    ws = Workspace.open(args.dir)
    if args.forget:
        decontamination_job.remove_benchmark(ws, args.forget)
        report({"forgotten": args.forget}, [f"Removed the tags of {args.forget}."], as_json=args.json)
        return 0
    if args.show:
        return _show_benchmarks(ws, args)
    if not args.benchmark:
        raise GlanError("Name at least one benchmark, or use --show.")
    sources = [{"source": source, "column": args.column} for source in args.benchmark]
    values = given_values(args, DecontaminationSettings, skip=("benchmarks",))
    settings = read_settings(DecontaminationSettings, values | {"benchmarks": sources})
    return run_job(ws, settings, args, result=lambda: _benchmark_data(ws, args)[0])


def _filter(args: argparse.Namespace) -> int:
    from glan_core.dataset import quality_filter_job

    if args.list:
        rules = list(quality_filter_job.RULES.values())
        data = [
            {"name": rule.name, "label": rule.label, "about": rule.about, "english_only": bool(rule.english)} for rule in rules
        ]
        report(data, table([(rule.name, rule.description) for rule in rules], ("rule", "excludes")), as_json=args.json)
        return 0
    ws = Workspace.open(args.dir)
    if args.show:
        return _show(ws, args, quality_filter_job.KIND, quality_filter_job.FACT)
    values = given_values(args, QualityFilterSettings, skip=("rules",))
    settings = read_settings(
        QualityFilterSettings, values | {"rules": () if args.none else args.rule or tuple(quality_filter_job.RULES)}
    )
    quality_filter_job.rule_tests(settings)  # unknown rules are refused before the run starts
    if not args.preview:
        kind, fact = quality_filter_job.KIND, quality_filter_job.FACT
        return run_job(ws, settings, args, result=lambda: _data(ws, args, kind, fact)[0])
    sample = quality_filter_job.preview_filters(ws, settings, number=args.limit)
    report(asdict(sample), _preview_lines(sample), as_json=args.json)
    return 0


def _preview_lines(sample: "FilterPreview") -> Iterator[str]:
    from glan_core.dataset.quality_filter_job import RULES, not_judged_sentence

    yield f"{number(sample.looked_at)} of {plural(sample.pairs, 'pair')} sampled; {number(sample.dropped)} would be tagged."
    for name, found in sample.found.items():
        unknown = f"; {number(sample.not_judged[name])} not judged, not in English" if sample.not_judged.get(name) else ""
        yield f"{RULES[name].label}: {number(found)}{unknown}"
        for example in sample.examples[name]:
            yield f"  {example.id}  {example.found}"
            yield f"    {_line(example.question)}"
            yield f"    {_line(example.answer)}"
    if sentence := not_judged_sentence(sample.foreign, sample.not_judged):
        yield sentence


def _show(ws: Workspace, args: argparse.Namespace, kind: str, fact: str) -> int:
    data, counts, tags = _data(ws, args, kind, fact)
    report(data, _show_lines(ws, data["check"], counts, tags), as_json=args.json)
    return 0


def _data(ws: Workspace, args: argparse.Namespace, kind: str, fact: str) -> tuple[dict, dict, dict]:
    """Results of the last check: counts per tag, with the newest rows of each."""
    counts = {name: both for (of, name), both in tag_rows.tag_counts(ws.db).items() if of == kind}
    tags = {name: tag_rows.tags_page(ws.db, kind, name, limit=args.limit) for name in counts}
    check = ws.metadata(fact)
    data = {
        "check": check, "tags": {name: {"tagged": tagged, "overruled": over} for name, (tagged, over) in counts.items()},
        "rows": [asdict(tag) for of_name in tags.values() for tag in of_name],
    }  # fmt: skip
    return data, counts, tags


def _show_lines(ws: Workspace, check: dict | None, counts: dict, tags: dict) -> Iterator[str]:
    if check is None:
        yield "Not checked yet."
        return
    from glan_core.dataset.quality_filter_job import not_judged_sentence

    since = homework_rows.last_seq(ws.db) - check["up_to"]
    behind = f"; {plural(since, 'question')} newer than that" if since else ""
    yield f"Checked {exact(check['at'])}: {plural(check['rows'], 'pair')}{behind}."
    if sentence := not_judged_sentence(check.get("foreign", 0), check.get("not_judged", {})):
        yield sentence
    if not counts:
        yield "No pair is tagged."
        return
    yield from table(
        [(name, tagged, overruled) for name, (tagged, overruled) in counts.items()], ("found", "pairs", "overruled")
    )
    for name, rows in tags.items():
        ids = homework_rows.ids_by_seq(ws.db, [tag.seq for tag in rows])
        for tag in rows:
            similarity = f" {tag.score:.2f}" if tag.score is not None else ""
            yield f"{name}{similarity}  {ids[tag.seq]}  {tag.detail.get('found', '')}".rstrip()
            yield f"    {_line(homework_rows.question_text(ws.db, ids[tag.seq]))}"
            if tag.other:
                yield f"    repeats {tag.other}: {_line(homework_rows.question_text(ws.db, tag.other))}"


def _show_benchmarks(ws: Workspace, args: argparse.Namespace) -> int:
    data, splits, overruled, flags = _benchmark_data(ws, args)
    report(data, _benchmark_lines(splits, overruled, flags), as_json=args.json)
    return 0


def _benchmark_data(ws: Workspace, args: argparse.Namespace) -> tuple[dict, list, dict, dict]:
    """Results of the comparisons with benchmarks, with the newest matches of each."""
    from glan_core.dataset import decontamination_job

    splits = decontamination_job.split_reports(ws)
    counts = tag_rows.tag_counts(ws.db)
    names = dict.fromkeys(split.benchmark for split in splits)
    flags = {name: decontamination_job.contaminated_page(ws, name, limit=args.limit) for name in names}
    overruled = {name: counts.get((decontamination_job.KIND, name), (0, 0))[1] for name in names}
    data = {
        "splits": [asdict(split) for split in splits], "overruled": overruled,
        "flags": [asdict(flag) for of_name in flags.values() for flag in of_name],
    }  # fmt: skip
    return data, splits, overruled, flags


def _benchmark_lines(splits: list, overruled: dict, flags: dict) -> Iterator[str]:
    if not splits:
        yield "Not compared with a benchmark yet."
        return
    rows = [(s.benchmark, s.split or "–", s.items, s.items_hit, s.rows, exact(s.at)) for s in splits]
    yield from table(rows, ("benchmark", "split", "questions", "found", "pairs tagged", "checked"))
    yield from (f"{name}: {plural(count, 'tag')} overruled." for name, count in overruled.items() if count)
    for flag in (flag for of_name in flags.values() for flag in of_name):
        over = f", overruled by {flag.tag.overruled_by}" if flag.tag.overruled_by else ""
        whose = f"{flag.benchmark} {flag.split} {flag.item}".replace("  ", " ")
        yield f"{flag.id}  {flag.run} words, {flag.share:.0%} of {whose}, in the {flag.where}{over}"
        yield f"    pair:      {_marked(flag.text, flag.span)}"
        yield f"    benchmark: {_marked(flag.item_text, flag.item_span)}"


def _marked(text: str, span: tuple[int, int] | None) -> str:
    """One line of text around its match, which is in brackets."""
    if span is None:
        return _line(text) + "  (edited since)"
    start, end = span
    before = ("…" if start > 30 else "") + text[max(0, start - 30) : start]
    return " ".join(f"{before}[{shorten(text[start:end], 2 * WIDTH)}]{shorten(text[end:], 30)}".split())


def _line(text: str) -> str:
    return shorten(" ".join(text.split()), WIDTH)
