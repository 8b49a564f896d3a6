"""`glan evaluate probe` and `glan evaluate lookalikes`."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from glan_core import runs
from glan_core.cli.generate import add_terms, plan_lines, say_end, terms_of
from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, carry_out, run_job
from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import BENCHMARKS, ROLES, label_of
from glan_core.evaluation.contamination.settings import Covers, LookalikeSettings, ProbeFile, ProbeSettings, Written
from glan_core.evaluation.contamination.verdict import beside_base, seen_test, seen_train
from glan_core.formatting import exact, number
from glan_core.models.model_specs import title_of
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, probe_rows
from glan_core.workspace.probe_rows import ProbeRow

NUMBER = LookalikeSettings.model_fields["number"].default
SAMPLE = ProbeSettings.model_fields["sample"].default


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add this module's kinds of evaluation to the parser."""
    probe = kinds.add_parser(
        "probe", help="did a model see a benchmark? its mean loss on the training and the test split, and on look-alikes"
    )
    probe.add_argument("dir", metavar="DIR")
    probe.add_argument("--models", metavar="A,B", help="tuned:NAME, base:NAME or local:PATH, joined by commas")
    for role in ROLES:
        probe.add_argument(
            f"--{role}", metavar="FILE", help=f"{ROLES[role]}: a JSONL, JSON, CSV or Parquet file"
            + (f", or {', '.join(BENCHMARKS)}" if role != "alike" else " of freshly written problems"),
        )  # fmt: skip
    probe.add_argument("--train-split", metavar="NAME", help="of a source that holds several (default: train)")
    probe.add_argument("--test-split", metavar="NAME", help="of a source that holds several (default: test)")
    probe.add_argument(
        "--question", metavar="COLUMN", help="that holds the question, dotted where nested (default: recognised)"
    )
    probe.add_argument("--answer", metavar="COLUMN", help="that holds the answer (default: recognised)")
    probe.add_argument("--name", help="what the probe is called (default: as the test split)")
    probe.add_argument(
        "--covers", choices=get_args(Covers), default="answer", help="tokens the loss is of (default: %(default)s)"
    )
    probe.add_argument(
        "--written", choices=get_args(Written), default="plain", help="question, line break, answer; or in the chat template"
    )
    probe.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help="rows of each file, 0 for all (default: %(default)s)"
    )
    probe.add_argument("--seed", type=int, default=0, metavar="S", help="(default: %(default)s)")
    probe.add_argument(
        "--max-length", type=int, default=1024, metavar="TOKENS", help="at which a row is cut (default: %(default)s)"
    )
    probe.add_argument("--plan", action="store_true", help="say what it would read, and load no model")
    probe.add_argument("--show", action="store_true", help="what was measured so far; measures nothing")
    add_job_options(probe)
    probe.set_defaults(command=_probe)

    fresh = kinds.add_parser(
        "lookalikes", help="have a teacher write fresh problems like a benchmark's, for the probe's --alike"
    )
    fresh.add_argument("dir", metavar="DIR")
    fresh.add_argument("--test", required=True, metavar="FILE", help="the split whose rows are the examples")
    fresh.add_argument("--test-split", metavar="NAME", help="of a source that holds several (default: test)")
    fresh.add_argument("--question", metavar="COLUMN", help="that holds the question (default: recognised)")
    fresh.add_argument("--answer", metavar="COLUMN", help="that holds the answer (default: recognised)")
    fresh.add_argument("--name", help="what their file is called (default: as the split, with -lookalikes)")
    fresh.add_argument("--number", type=int, default=NUMBER, metavar="N", help="rows that are drawn (default: %(default)s)")
    fresh.add_argument("--seed", type=int, default=0, metavar="S", help="(default: %(default)s)")
    fresh.add_argument("--plan", action="store_true", help="say what it would cost, and ask nobody")
    add_job_options(fresh)
    add_terms(fresh)
    fresh.set_defaults(command=_lookalikes)


def command_of(folder: str, settings: ProbeSettings) -> list[str]:
    """The words of the command that carries out an order."""
    words = ["glan", "evaluate", "probe", folder, "--name", settings.name, "--models", ",".join(settings.models)]
    for role, file in settings.files.items():
        words += [f"--{role}", file.source]
        if file.split and role != "alike":
            words += [f"--{role}-split", file.split]
    for column in ("question", "answer"):
        if value := getattr(settings.train, column):
            words += [f"--{column}", value]
    for name in ("covers", "written", "seed", "max_length"):
        if (value := getattr(settings, name)) != ProbeSettings.model_fields[name].default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words if settings.sample == SAMPLE else [*words, "--sample", str(settings.sample or 0)]


def order_of(args: argparse.Namespace) -> ProbeSettings:
    """The order that the words of a command stand for; GlanError for what is missing or can't be."""
    for name, what in (("models", "the models to probe"), ("train", "the training split"), ("test", "the test split")):
        if not getattr(args, name):
            raise GlanError(f"Give {what}: --{name}.")
    columns = {"question": args.question, "answer": args.answer}
    files = {
        "train": {"source": _place(args.train), "split": args.train_split, **columns},
        "test": {"source": _place(args.test), "split": args.test_split, **columns},
        "alike": args.alike and {"source": _place(args.alike), **columns},
    }
    values = {name: getattr(args, name) for name in ("covers", "written", "seed", "max_length")}
    settings = {
        "name": args.name or "-",
        "models": tuple(args.models.split(",")),
        "sample": args.sample or None,
        **files,
        **values,
    }
    read = read_settings(ProbeSettings, settings)
    return read if args.name else read_settings(ProbeSettings, settings | {"name": label_of(read.test)[:60]})


def _place(source: str) -> str:
    """A file by its whole path, since a run may be carried out from elsewhere; a benchmark's name as it is."""
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() or source.lower() not in BENCHMARKS else source


def _probe(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.show:
        found = probe_rows.latest(probe_rows.probes(ws.db, args.name))
        report(args.json, [_data(row, found) for row in found], _lines(found))
        return None
    settings = order_of(args)
    from glan_core.evaluation.contamination.probe_job import check, plan

    if args.plan:
        made = plan(ws, settings)
        rows = [(ROLES[role], made.rows[role], made.held[role], made.empty[role]) for role in made.rows]
        lines = [
            *table(rows, ("file", "drawn", "rows", "empty")), f"Models: {', '.join(map(title_of, made.models))}.",
            f"The loss covers {made.covers}, written as {made.written}.",
            *([f"Mind: {number(made.shared)} questions stand in both splits."] if made.shared else []),
        ]  # fmt: skip
        report(args.json, asdict(made), lines)
        return None
    check(ws, settings)
    code = run_job(ws, settings, args, f"Probe {settings.name}")
    if not args.json and not args.detach and code == 0:
        found = [row for row in probe_rows.latest(probe_rows.probes(ws.db, settings.name)) if row.model in settings.models]
        report(False, None, _lines(found))
    return code


def _lookalikes(args: argparse.Namespace) -> int:
    from glan_core.evaluation.contamination.lookalikes import file_of, plan_lookalikes
    from glan_core.generation.run import check

    ws = Workspace.open(args.dir)
    columns = {"split": args.test_split, "question": args.question, "answer": args.answer}
    source = read_settings(ProbeFile, {"source": _place(args.test), **columns})
    own = {
        "name": args.name or f"{label_of(source)[:40]}-lookalikes",
        "source": source,
        "number": args.number,
        "seed": args.seed,
    }
    settings = read_settings(LookalikeSettings, terms_of(args) | own)
    made = plan_lookalikes(ws, settings)
    if args.plan:
        nothing = "Nothing to do: all of these rows have a look-alike."
        report(args.json, made.as_dict(), plan_lines(made) if made.calls[1] else [nothing])
        return 0
    check(settings)
    title = f"{number(made.calls[1])} look-alikes by {settings.teacher_of('lookalike')}"
    run_id = runs.submit(ws, settings.kind, title, settings.model_dump(mode="json"), made.as_dict())
    code = carry_out(ws, run_id, args, say_end)
    if not args.json and not args.detach:
        print(f"They are in {file_of(ws, settings.name)}: give it to 'glan evaluate probe' as --alike.")
    return code


def _data(row: ProbeRow, rows: list[ProbeRow]) -> dict:
    """A row as JSON, with what follows from it."""
    test = seen_test(row)
    follows = {"delta": row.delta, "delta_percent": row.delta_percent, "delta_alike": row.delta_alike}
    said = {"verdict": asdict(seen_train(row)), "verdict_test": test and asdict(test), "base": beside_base(row, rows)}
    return asdict(row) | follows | said


def _lines(rows: list[ProbeRow]) -> Iterator[str]:
    if not rows:
        yield "Nothing was probed yet."
        return
    shown = [
        (
            row.name, title_of(row.model), f"{row.loss_train:.3f}", f"{row.loss_test:.3f}", f"{row.delta:+z.3f}",
            f"{row.delta_percent:+z.1f} %", _ends(row), "–" if row.loss_alike is None else f"{row.loss_alike:.3f}", exact(row.at),
        )
        for row in rows
    ]  # fmt: skip
    yield from table(shown, ("probe", "model", "train", "test", "delta", "delta %", "95 % interval", "look-alikes", "measured"))
    for covers, written in dict.fromkeys((row.about.get("covers_said"), row.about.get("written_said")) for row in rows):
        yield f"Mean loss in nats a token, of {covers}; {written}."
    for row in rows:
        train, test = seen_train(row), seen_test(row)
        yield " ".join(filter(None, (train.said, train.numbers, beside_base(row, rows))))
        if test:
            yield f"{test.said} {test.numbers}".strip()


def _ends(row: ProbeRow) -> str:
    ends = row.about.get("intervals", {}).get("delta_percent")
    return f"{ends[0]:+z.1f} to {ends[1]:+z.1f} %" if ends else "–"
