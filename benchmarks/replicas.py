"""Throughput of one run over 1, 2 and 4 endpoints of the same model.

    python benchmarks/replicas.py [CALLS]

Each endpoint is the scripted teacher in its own process with a latency of 200 ms, and gets at most 8 calls at once, as a server with
8 slots would. The curriculum is created before the measurement; each number of endpoints fills a copy of the same workspace.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from glan_core import runs
from glan_core.records import Node
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, call_rows

LATENCY_MS = 200
SLOTS = 8
COUNTS = (1, 2, 4)
DISCIPLINES = 4


def main() -> None:
    """Run with each number of endpoints and print a table."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 800
    processes, urls = zip(*(serve() for _ in range(max(COUNTS))), strict=True)
    try:
        with tempfile.TemporaryDirectory(prefix="glan-benchmark-") as folder:
            prepare(Path(folder) / "start", urls)
            print(
                "| endpoints | calls | seconds | calls/s | ratio to one | calls by endpoint |\n| ---: | ---: | ---: | ---: | ---: | --- |"
            )
            first = None
            for count in COUNTS:
                seconds, answered = measure(Path(folder), urls[:count], calls)
                rate = calls / seconds
                first = first or rate
                shares = ", ".join(f"{number:,}" for number in answered or [calls])
                print(f"| {count} | {calls:,} | {seconds:.1f} | {rate:.1f} | {rate / first:.2f} | {shares} |")
    finally:
        for process in processes:
            process.terminate()


def serve() -> tuple[subprocess.Popen, str]:
    """Serve the scripted teacher in a process of its own; return it and its address."""
    code = f"from glan_core.teachers.scripted.http_server import run; run(port=0, latency_ms={LATENCY_MS})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()[-1]


def settings(urls: tuple[str, ...], questions: int, **values: object) -> dict:
    """Return settings of a run over these endpoints."""
    disciplines = [f"craft-{n}" for n in range(DISCIPLINES)]
    target = {"disciplines": disciplines, "subject_queries": 1, "questions_per_syllabus": questions}
    return {"target": target, "teacher": "openai:scripted", "base_url": urls[0], "replicas": urls[1:], "seed": 1, **values}


def prepare(folder: Path, urls: tuple[str, ...]) -> None:
    """Create a workspace with its curriculum."""
    ws = Workspace.create(folder)
    crafts = [Node(f"craft-{n}", f"Craft {n}", "discipline", "crafts") for n in range(DISCIPLINES)]
    tree_editing.import_nodes(ws, [Node("crafts", "Crafts", "field"), *crafts], "benchmark")
    runs.work(ws, runs.submit(ws, "generate", "curriculum", settings(urls, 0)))
    ws.close()


def measure(folder: Path, urls: tuple[str, ...], calls: int) -> tuple[float, list[int]]:
    """Return the seconds of a run, and the replies of each endpoint if there are several."""
    shutil.copytree(folder / "start", folder / str(len(urls)))
    ws = Workspace.open(folder / str(len(urls)))
    wanted = settings(urls, calls, max_calls=calls, max_in_flight=SLOTS)
    submitted, begun = runs.submit(ws, "generate", "benchmark", wanted), time.perf_counter()
    run = runs.work(ws, submitted)
    seconds = time.perf_counter() - begun
    assert call_rows.run_cost(ws.db, run.id)[0] == calls, run.message
    ws.close()
    return seconds, [one.answered for one in run.endpoints]


if __name__ == "__main__":
    main()
