"""Time and memory of commands on a large workspace: `python benchmarks/large_commands.py FOLDER`, after large_workspace.py.

Each command is a process of its own. CPU seconds are those of the process and its children, imports included; the peak is that of the largest of
them. Outputs are written beside the workspace and removed. The snapshot and the tags of dedup and decontaminate stay, and a
discipline is removed for good.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from large_workspace import WORDS

BENCHMARK_QUESTIONS = 10_000
COMMANDS = {
    "status": ["status", "{ws}"],
    "plan": ["plan", "{ws}", "--disciplines", "all", "--questions-per-syllabus", "8000", "--teacher", "openai:m", "--price", "0.4,1.6",
             "--base-url", "http://localhost:1"],
    "decontaminate": ["decontaminate", "{ws}", "{out}/benchmark.jsonl"],
    "dedup": ["dedup", "{ws}"],
    "export --format parquet": ["export", "{ws}", "--format", "parquet", "--out", "{out}/pairs.parquet", "--split", "none"],
    "export --format chat": ["export", "{ws}", "--format", "chat", "--out", "{out}/pairs.jsonl", "--split", "none"],
    "snapshot": ["snapshot", "{ws}", "create", "large"],
    "doctor --workspace": ["doctor", "--workspace", "{ws}"],
    "backup": ["backup", "{ws}", "{out}/backup.tar.zst"],
    "taxonomy remove": ["taxonomy", "{ws}", "remove", "law"],
    "removed purge": ["removed", "{ws}", "purge", "all"],
}  # fmt: skip


def write_benchmark(file: Path) -> None:
    """Write questions of 50 words, of which none is in the workspace."""
    rng = random.Random(3)
    with file.open("w") as out:
        for _ in range(BENCHMARK_QUESTIONS):
            out.write(json.dumps({"question": " ".join(rng.choices(WORDS, k=50))}) + "\n")


def measured(words: list[str]) -> tuple[int, float, float, float, str]:
    """Run a command; return its exit code, wall seconds, CPU seconds, peak MB and last line."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "glan_core", *words], stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        said.seek(0)
        lines = said.read().splitlines() or [""]
    return os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, lines[-1]


def main() -> None:
    """Print a table of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=COMMANDS, action="append")
    options = parser.parse_args()
    print("| command | wall s | CPU s | peak MB | written MB | last line |\n| --- | ---: | ---: | ---: | ---: | --- |")
    for name in options.only or COMMANDS:
        out = Path(tempfile.mkdtemp(prefix="large-", dir=options.folder.parent))
        try:
            if name == "decontaminate":
                write_benchmark(out / "benchmark.jsonl")
            code, wall, cpu, peak, line = measured([word.format(ws=options.folder, out=out) for word in COMMANDS[name]])
            size = (
                sum(file.stat().st_size for file in out.rglob("*") if file.is_file() and file.name != "benchmark.jsonl") / 1e6
            )
        finally:
            shutil.rmtree(out)
        failed = f"exit code {code}: " if code else ""
        print(f"| {name} | {wall:,.0f} | {cpu:,.1f} | {peak:,.0f} | {size:,.0f} | {failed}{line} |", flush=True)


if __name__ == "__main__":
    main()
