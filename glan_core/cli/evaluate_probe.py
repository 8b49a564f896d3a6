"""`glan evaluate probe` and `glan evaluate lookalikes`."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from glan_core.cli.output import report, say, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.cli.teacher_options import add_teacher_options, teacher_values
from glan_core.cli.teacher_run import RunEnd, add_plan_options, report_end, run_planned
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import BENCHMARKS, ROLES, source_label
from glan_core.evaluation.contamination.settings import LookalikeSettings, ProbeFile, ProbeSettings
from glan_core.evaluation.contamination.verdict import base_comparison, seen_test, seen_train
from glan_core.formatting import exact, number
from glan_core.generation.settings import TeacherSettings
from glan_core.models.model_specs import model_title
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace, probe_rows
from glan_core.workspace.probe_rows import ProbeRow


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add the kinds of evaluation of this module."""
    probe = kinds.add_parser(
        "probe", help="contamination probe: mean loss of models on a benchmark's training and test split, and on look-alikes"
    )
    probe.add_argument("dir", metavar="DIR")
    for role, title in ROLES.items():
        known = f", or one of {', '.join(BENCHMARKS)}" if role != "alike" else ""
        probe.add_argument(f"--{role}", metavar="FILE", help=f"{title}: a JSONL, JSON, CSV or Parquet file{known}")
    probe.add_argument("--train-split", metavar="NAME", help="split of a source that has several (default: train)")
    _add_columns(probe)
    add_options(probe, ProbeSettings)
    probe.add_argument("--plan", action="store_true", help="show what would be read, without loading a model")
    probe.add_argument("--show", action="store_true", help="show stored results")
    add_job_options(probe)
    probe.set_defaults(command=_probe)

    fresh = kinds.add_parser("lookalikes", help="have a teacher write problems like a benchmark's, for --alike of the probe")
    fresh.add_argument("dir", metavar="DIR")
    fresh.add_argument("--test", required=True, metavar="FILE", help="split whose rows serve as examples")
    _add_columns(fresh)
    add_options(fresh, LookalikeSettings, skip=TeacherSettings.model_fields)
    add_plan_options(fresh)
    add_teacher_options(fresh)
    fresh.set_defaults(command=_lookalikes)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--test-split", metavar="NAME", help="split of a source that has several (default: test)")
    parser.add_argument("--question", metavar="COLUMN", help="question column, dotted where nested (default: recognized)")
    parser.add_argument("--answer", metavar="COLUMN", help="answer column (default: recognized)")


def _settings(args: argparse.Namespace) -> ProbeSettings:
    values = given_values(args, ProbeSettings)
    for name, what, given in (
        ("models", "the models", "models" in values), ("train", "the training split", args.train), ("test", "the test split", args.test),
    ):  # fmt: skip
        if not given:
            raise GlanError(f"Give {what}: --{name}.")
    columns = {"question": args.question, "answer": args.answer}
    values |= {
        "train": {"source": _place(args.train), "split": args.train_split, **columns},
        "test": {"source": _place(args.test), "split": args.test_split, **columns},
        "alike": args.alike and {"source": _place(args.alike), **columns},
    }
    if values.get("sample") == 0:
        values["sample"] = None
    if values.get("name"):
        return read_settings(ProbeSettings, values)
    read = read_settings(ProbeSettings, values | {"name": "-"})
    return read_settings(ProbeSettings, values | {"name": source_label(read.test)[:60]})


def _place(source: str) -> str:
    """Absolute path of a file, since the run may work from another folder; the name of a known benchmark as it is."""
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() or source.lower() not in BENCHMARKS else source


def _probe(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.show:
        found = probe_rows.latest(probe_rows.probes(ws.db, getattr(args, "name", None)))
        report([_data(row, found) for row in found], _lines(found), as_json=args.json)
        return None
    settings = _settings(args)
    from glan_core.evaluation.contamination.probe_job import check_probe, plan_probe

    if args.plan:
        made = plan_probe(ws, settings)
        rows = [(ROLES[role], made.rows[role], made.held[role], made.empty[role]) for role in made.rows]
        lines = [
            *table(rows, ("file", "sampled", "rows", "empty")), f"Models: {', '.join(map(model_title, made.models))}.",
            f"Loss on {made.covers}; prompt format: {made.written}.",
            *([f"Warning: {number(made.shared)} questions occur in both splits."] if made.shared else []),
        ]  # fmt: skip
        report(asdict(made), lines, as_json=args.json)
        return None
    check_probe(ws, settings)
    probed = lambda: [row for row in probe_rows.latest(probe_rows.probes(ws.db, settings.name)) if row.model in settings.models]  # noqa: E731
    code = run_job(ws, settings, args, f"Probe {settings.name}", result=lambda: [_data(row, probed()) for row in probed()])
    if not args.json and not args.detach and code == 0:
        report(None, _lines(probed()), as_json=False)
    return code


def _lookalikes(args: argparse.Namespace) -> int:
    from glan_core.evaluation.contamination.lookalikes import lookalikes_path, plan_lookalikes

    ws = Workspace.open(args.dir)
    columns = {"split": args.test_split, "question": args.question, "answer": args.answer}
    source = read_settings(ProbeFile, {"source": _place(args.test), **columns})
    own = given_values(args, LookalikeSettings, skip=TeacherSettings.model_fields) | {"source": source}
    own.setdefault("name", f"{source_label(source)[:40]}-lookalikes")
    settings = read_settings(LookalikeSettings, teacher_values(ws, args) | own)
    made = plan_lookalikes(ws, settings)
    title = f"{number(made.calls[1])} look-alikes by {settings.teacher_of('lookalike')}"
    code = run_planned(ws, settings, made, args, RunEnd(title, "every sampled row has a look-alike", report_end))
    if not (args.json or args.detach or args.plan):
        say(f"The look-alikes are in {lookalikes_path(ws, settings.name)}: pass this file to 'glan evaluate probe' as --alike.")
    return code


def _data(row: ProbeRow, rows: list[ProbeRow]) -> dict:
    """A row as JSON, with derived values."""
    test = seen_test(row)
    follows = {"delta": row.delta, "delta_percent": row.delta_percent, "delta_alike": row.delta_alike}
    said = {"verdict": asdict(seen_train(row)), "verdict_test": test and asdict(test), "base": base_comparison(row, rows)}
    return asdict(row) | follows | said


def _lines(rows: list[ProbeRow]) -> Iterator[str]:
    if not rows:
        yield "No contamination probes yet."
        return
    shown = [
        (
            row.name, model_title(row.model), f"{row.loss_train:.3f}", f"{row.loss_test:.3f}", f"{row.delta:+z.3f}",
            f"{row.delta_percent:+z.1f} %", _ends(row), "–" if row.loss_alike is None else f"{row.loss_alike:.3f}", exact(row.at),
        )
        for row in rows
    ]  # fmt: skip
    yield from table(shown, ("probe", "model", "train", "test", "delta", "delta %", "95 % interval", "look-alikes", "measured"))
    for covers, written in dict.fromkeys((row.about.get("covers_said"), row.about.get("written_said")) for row in rows):
        yield f"Mean loss in nats/token on {covers}; {written}."
    for row in rows:
        train, test = seen_train(row), seen_test(row)
        yield " ".join(filter(None, (train.said, train.numbers, base_comparison(row, rows))))
        if test:
            yield f"{test.said} {test.numbers}".strip()


def _ends(row: ProbeRow) -> str:
    ends = row.about.get("intervals", {}).get("delta_percent")
    return f"{ends[0]:+z.1f} to {ends[1]:+z.1f} %" if ends else "–"
