"""Output of commands: text or JSON, and progress for a terminal or a log file."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager

from glan_core.formatting import usd
from glan_core.generation.stage_specs import stage_title
from glan_core.workspace.run_rows import Sample, StageProgress

PLAIN_SECONDS = 5.0


def report(data: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print `data` as JSON, or the lines as text."""
    if as_json:
        print(json.dumps(data, ensure_ascii=False, indent=2, default=list))
    else:
        for line in lines:
            print(line)


def say_waiting(run_id: int) -> None:
    """Say on stderr that the run waits for another one."""
    print(f"Waiting for run {run_id} to end.", file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> list[str]:
    """Format rows as lines with aligned columns, numbers to the right."""
    texts = [[*head], *[[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    right = [all(isinstance(row[n], int) for row in rows) and bool(rows) for n in range(len(head))]
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip() for row in texts
    ]


@contextmanager
def progress(*, quiet: bool):
    """Yield a progress callback: bars on a terminal, a line every few seconds otherwise, nothing if quiet."""
    if quiet:
        yield lambda sample, stages, notes: None
    elif sys.stderr.isatty():
        with _bars() as watch:
            yield watch
    else:
        with _plain() as watch:
            yield watch


@contextmanager
def _bars():
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    name, note = TextColumn("{task.description:<15}"), TextColumn("{task.fields[note]}")
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), note)
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        said: set[str] = set()

        def watch(sample: Sample, stages: Sequence[StageProgress], notes: Sequence[str]) -> None:
            for note in notes:
                if note not in said:
                    said.add(note)
                    bars.console.print(note, markup=False, highlight=False)
            for stage in stages:
                if stage.planned and stage.stage not in tasks:
                    tasks[stage.stage] = bars.add_task(stage_title(stage.stage), note="")
                if stage.stage in tasks:
                    note = f"{stage.failed:,} failed" if stage.failed else ""
                    bars.update(tasks[stage.stage], total=stage.planned, completed=stage.done, note=note)

        yield watch


@contextmanager
def _plain():
    last, latest = -PLAIN_SECONDS, ""

    said: set[str] = set()

    def watch(sample: Sample, stages: Sequence[StageProgress], notes: Sequence[str]) -> None:
        nonlocal last, latest
        for note in notes:
            if note not in said:
                said.add(note)
                print(note, file=sys.stderr, flush=True)
        parts = [f"{stage_title(s.stage)} {s.done:,}/{s.planned:,}" for s in stages if s.planned]
        line = ", ".join(parts) or "nothing to do"
        if sample.cost_usd:  # 0 where the price is unknown
            line += f"; {usd(sample.cost_usd)}"
        if time.monotonic() - last >= PLAIN_SECONDS:
            last, latest = time.monotonic(), ""
            print(line, file=sys.stderr, flush=True)
        else:
            latest = line

    yield watch
    if latest:
        print(latest, file=sys.stderr, flush=True)
