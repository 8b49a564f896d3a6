"""Cost of an export: `python benchmarks/export.py FOLDER [FOLDER ...]`, workspaces from benchmarks/large_workspace.py.

Every format, a snapshot, and naive pandas (read, join and write everything), each in its own process: CPU seconds (user and system, imports
included), peak memory and bytes written. Outputs are removed. A contender that needs more than 12 GB is stopped.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from glan_core.dataset.export_job import export_dataset
from glan_core.dataset.formats import FORMATS
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.snapshot_job import create_snapshot
from glan_core.dataset.snapshot_store import remove_snapshot
from glan_core.workspace import Workspace

FILE = "glan.sqlite"
MOST_MEMORY = 12 << 30


class Silent:
    """Progress of a run that is not shown."""

    run_id = 0

    def step(self, stage: str, done: int, planned: int) -> None:
        """Do nothing."""


def glan(folder: str, out: Path, form: str) -> int:
    """Export with GLAN Studio; return the number of rows."""
    return export_dataset(Workspace.open(folder), out, form).number


def snapshot(folder: str, out: Path) -> int:
    """Create a snapshot, split by syllabus and hashed."""
    ws = Workspace.open(folder)
    settings = SnapshotSettings(name="benchmark")
    create_snapshot(ws, settings, Silent())
    shutil.copytree(ws.folder / "snapshots" / "benchmark", out)
    remove_snapshot(ws, "benchmark")
    return 0


def naive(folder: str, out: Path, form: str) -> int:
    """Export whole tables with pandas: the same pairs and provenance, without taxonomy paths and reviews."""
    import sqlite3

    import pandas as pd

    db = sqlite3.connect(f"file:{folder}/{FILE}?mode=ro", uri=True)
    rows = pd.read_sql(
        """SELECT q.text AS prompt, a.text AS completion, q.id, q.discipline_id, s.name AS subject, s.level, q.syllabus_id,
           q.sessions, q.concepts, q.strategy, q.draw_law, q.seed, q.draw, q.teacher, a.teacher AS answer_teacher
           FROM questions q JOIN answers a ON a.question_id = q.id JOIN syllabi y ON y.id = q.syllabus_id
           JOIN subjects s ON s.id = y.subject_id WHERE q.dropped IS NULL""",
        db,
    )
    for table in ("sessions", "concepts"):
        names = pd.read_sql(f"SELECT id, name FROM {table}", db).set_index("id")["name"].to_dict()
        rows[table] = [[names[id] for id in json.loads(ids)] for ids in rows[table]]
    if form == "parquet":
        rows.to_parquet(out)
        return len(rows)
    chat = pd.DataFrame({
        "messages": [
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            for question, answer in zip(rows["prompt"], rows["completion"], strict=True)
        ],
        "provenance": rows.drop(columns=["prompt", "completion"]).to_dict("records"),
    })  # fmt: skip
    chat.to_json(out, orient="records", lines=True, force_ascii=False)
    return len(rows)


CONTENDERS = {f"glan export {form}": (glan, form) for form in FORMATS}
CONTENDERS |= {"glan snapshot": (snapshot,), "pandas chat": (naive, "chat"), "pandas parquet": (naive, "parquet")}


def alone(name: str, folder: str) -> dict:
    """Measure one contender in its own process; 'failed' holds the reason if it fails."""
    command = [sys.executable, __file__, folder, "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        return {"failed": done.stderr.splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def measured(name: str, folder: str) -> dict:
    """Run a contender in this process and return its cost."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    function, *rest = CONTENDERS[name]
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as scratch:
        out = Path(scratch) / "out"
        number = function(folder, out, *rest)
        files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"rows": number, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024, "size": size / 1e6}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.folders[0])))
        sys.exit()
    print(
        "| contender | rows | CPU s | rows per CPU-second | peak RSS MB | written MB |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for folder in options.folders:
        ws = Workspace.open(folder)  # migrate before anything is measured
        ws.close()
        rows = 0
        for name in CONTENDERS:
            done = alone(name, folder)
            if "failed" in done:
                print(f"| {name} | {rows:,} | {done['failed']} | | | |", flush=True)
                continue
            rows = done["rows"] or rows
            print(f"| {name} | {rows:,} | {done['cpu']:.1f} | {rows / done['cpu']:,.0f} | {done['peak']:,.0f} | {done['size']:,.0f} |",
                  flush=True)  # fmt: skip
