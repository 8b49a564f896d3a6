"""Output of commands: text or JSON, and progress for a terminal or a log file."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from glan_core.formatting import usd
from glan_core.generation.stage_specs import stage_title
from glan_core.untrusted import ascii_escapes, clean, clean_line
from glan_core.workspace.run_rows import Sample, StageProgress

PLAIN_SECONDS = 60.0  # between lines of progress without a terminal


def say(text: object, *, file: TextIO | None = None, end: str = "\n") -> None:
    """Print text without characters that a terminal obeys; names and replies may contain them.

    Args:
        text: The text.
        file: Stream; stdout by default.
        end: What follows the text.
    """
    print(clean(str(text)), file=file or sys.stdout, end=end, flush=True)


def to_json(data: object, *, indent: int | None = None) -> str:
    """Return data as JSON, with characters that a terminal obeys as escapes."""
    return ascii_escapes(json.dumps(data, ensure_ascii=False, indent=indent, default=list))


def report(data: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print `data` as JSON, or the lines as text."""
    if as_json:
        print(to_json(data, indent=2))
    else:
        for line in lines:
            say(line)


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> list[str]:
    """Format rows as lines with aligned columns, numbers to the right."""
    texts = [[*head], *[[f"{cell:,}" if isinstance(cell, int) else clean_line(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    right = [all(isinstance(row[n], int) for row in rows) and bool(rows) for n in range(len(head))]
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip() for row in texts
    ]


@contextmanager
def library_output(log: Path) -> Iterator[TextIO]:
    """Append what libraries print meanwhile to a log; yields the stderr of the command.

    Libraries report loading, warnings and progress bars in their own ways, which would break up the command's progress and
    the JSON on its stdout.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {1: os.dup(1), 2: os.dup(2)}
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as file:
        for number in kept:
            os.dup2(file.fileno(), number)
    try:
        if _writes_to(sys.stderr, 2):
            with os.fdopen(os.dup(kept[2]), "w", encoding=sys.stderr.encoding, errors="replace", buffering=1) as stderr:
                yield stderr
        else:  # replaced, for example by a test
            yield sys.stderr
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        if not log.stat().st_size:
            log.unlink()


def _writes_to(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False


@contextmanager
def progress(*, quiet: bool, stream: TextIO | None = None):
    """Yield a progress callback: bars on a terminal, a line every minute otherwise, nothing if quiet."""
    stream = stream or sys.stderr
    if quiet:
        yield lambda sample, stages, notes: None
    elif stream.isatty():
        with _bars(stream) as watch:
            yield watch
    else:
        with plain_progress(stream) as watch:
            yield watch


@contextmanager
def _bars(stream: TextIO):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    name, note = TextColumn("{task.description:<15}"), TextColumn("{task.fields[note]}")
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), note)
    with Progress(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, TaskID] = {}

        said: set[str] = set()

        def watch(sample: Sample, stages: Sequence[StageProgress], notes: Sequence[str]) -> None:
            for note in notes:
                if note not in said:
                    said.add(note)
                    bars.console.print(clean(note), markup=False, highlight=False)
            for stage in stages:
                if stage.planned and stage.stage not in tasks:
                    tasks[stage.stage] = bars.add_task(stage_title(stage.stage), note="")
                if stage.stage in tasks:
                    note = f"{stage.failed:,} failed" if stage.failed else ""
                    bars.update(tasks[stage.stage], total=stage.planned, completed=stage.done, note=note)

        yield watch


@contextmanager
def plain_progress(stream: TextIO, clock: Callable[[], float] = time.monotonic):
    """Yield a progress callback that prints one line per minute, and the latest state at the end."""
    last, latest = -PLAIN_SECONDS, ""

    said: set[str] = set()

    def watch(sample: Sample, stages: Sequence[StageProgress], notes: Sequence[str]) -> None:
        nonlocal last, latest
        for note in notes:
            if note not in said:
                said.add(note)
                say(note, file=stream)
        parts = [f"{stage_title(s.stage)} {s.done:,}/{s.planned:,}" for s in stages if s.planned]
        line = ", ".join(parts) or "nothing to do"
        if sample.cost_usd:  # 0 where the price is unknown
            line += f"; {usd(sample.cost_usd)}"
        if clock() - last >= PLAIN_SECONDS:
            last, latest = clock(), ""
            say(line, file=stream)
        else:
            latest = line

    yield watch
    if latest:
        say(latest, file=stream)
