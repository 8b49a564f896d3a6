"""Endurance of the engine: many calls with faults at high concurrency in one process.

    python benchmarks/endurance.py [--calls 200000] [--in-flight 256]

The endpoint is the scripted teacher in a process of its own, with 9 % of its requests failing (429, 500, resets and cut replies as
5:2:1:1). Every 5 s the worker's memory (RSS), open file descriptors, threads, and the size of the write-ahead log are read; the table
shows them by tenths of the run. They must not grow: only the database does.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from glan_core import runs
from glan_core.operations.demo_workspace import create_workspace
from glan_core.workspace import run_rows
from glan_core.workspace.workspace import FILE

READ_SECONDS = 5.0


def endpoint(port: int, fail_rate: float) -> subprocess.Popen:
    """Start the scripted teacher and wait until it answers."""
    child = subprocess.Popen(
        [sys.executable, "-m", "glan_core", "serve-teacher", "--port", str(port), "--latency-ms", "100", "--fail-rate", str(fail_rate)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1)
            return child
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The endpoint did not start.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--port", type=int, default=8917)
    args = parser.parse_args()
    served = endpoint(args.port, 0.09)
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(table(*measure(Path(folder) / "ws", args)))
    finally:
        served.kill()


def measure(folder: Path, args: argparse.Namespace) -> tuple[list[tuple], float, float]:
    """Run the calls; return readings of (calls, RSS, descriptors, threads, WAL bytes), seconds and CPU seconds."""
    ws = create_workspace(folder)
    names = [name for (name,) in ws.db.execute("SELECT id FROM nodes WHERE kind = 'discipline' ORDER BY id LIMIT 100")]
    per = max(1, round(args.calls / (2 * 6 * len(names))))  # six subjects per discipline, a question and an answer per pair
    target = {"disciplines": names, "subject_queries": 1, "questions_per_syllabus": per}
    settings = {
        "target": target, "teacher": "openai:scripted", "base_url": f"http://127.0.0.1:{args.port}/v1", "max_in_flight": args.in_flight,
    }  # fmt: skip
    run_id = runs.submit(ws, "generate", "endurance", settings)
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "glan_core", "work", str(folder), str(run_id)], stderr=subprocess.DEVNULL
    )
    process, readings, begun, used = psutil.Process(child.pid), [], time.monotonic(), 0.0
    while child.poll() is None:
        time.sleep(READ_SECONDS)
        try:
            with process.oneshot():
                used = sum(process.cpu_times()[:2])
                one = (process.memory_info().rss, process.num_fds(), process.num_threads())
        except psutil.Error:
            break
        last = run_rows.last_sample(ws.db, run_id)
        log = folder / f"{FILE}-wal"
        readings.append((last.done if last else 0, *one, log.stat().st_size if log.exists() else 0))
    run = runs.get(ws, run_id)
    print(
        f"{run.state}: {run_rows.last_sample(ws.db, run_id).done:,} calls stored, database {os.path.getsize(folder / FILE) / 1e6:.0f} MB"
    )
    ws.close()
    return readings, time.monotonic() - begun, used


def table(readings: list[tuple], seconds: float, used: float) -> str:
    """Return the readings by tenths of the run."""
    lines = [
        f"{seconds:.0f} s, {used:.0f} CPU seconds",
        "| calls | RSS MB | descriptors | threads | WAL MB |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for tenth in range(10):
        of = readings[len(readings) * tenth // 10 : len(readings) * (tenth + 1) // 10]
        if of:
            rss, descriptors, threads, log = (max(one[at] for one in of) for at in range(1, 5))
            lines.append(f"| {of[-1][0]:,} | {rss / 1e6:.0f} | {descriptors} | {threads} | {log / 1e6:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
