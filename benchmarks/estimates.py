"""Plans against runs: how often the range of an estimate contains the actual value, with the scripted teacher over HTTP.

    python benchmarks/estimates.py [TRIALS]

Each trial plans a random target in a new workspace, runs it, and then plans and runs a larger target in the same workspace, where
the teacher has averages of its own. Latency of the endpoint, concurrency, disciplines and amounts are drawn from a fixed seed.
"""

import json
import random
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from glan_core import runs
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.operations import demo_workspace
from glan_core.runs.report import compare_with_plan
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing

SEED = 7
PRICE = "1.25,10"


def served(latency_ms: float) -> tuple[subprocess.Popen, str]:
    """Serve the scripted teacher in a process of its own; return it and its address."""
    command = [sys.executable, "-m", "glan_core", "serve-teacher", "--port", "0", "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "http://" in line:
            return process, "http://" + line.partition("http://")[2].split()[0].rstrip("/.,").removesuffix("/v1") + "/v1"
    raise RuntimeError("the server did not start")


def trial(nth: int, rng: random.Random) -> list[dict]:
    """Return the estimates and actual values of two runs in one workspace."""
    latency, in_flight = rng.choice([2, 20, 100, 300]), rng.choice([4, 16, 64])
    process, address = served(latency)
    try:
        urllib.request.urlopen(f"{address}/models", timeout=10).read()
        with tempfile.TemporaryDirectory() as folder:
            ws = demo_workspace.create_workspace(Path(folder) / "ws")
            known = hierarchy.disciplines_under(tree_editing.tree(ws))
            chosen = [
                *rng.sample(["mathematics", "music", "earth-science"], rng.randint(0, 2)),
                *rng.sample(list(known), rng.randint(1, 5)),
            ]
            rows = []
            for again in (False, True):
                target = {
                    "disciplines": tuple(dict.fromkeys(chosen)), "subject_queries": rng.choice([1, 2, 5]),
                    "max_subjects": rng.choice([None, None, 3]), "questions_per_syllabus": rng.choice([1, 4, 10]) + 10 * again,
                }  # fmt: skip
                settings = read_settings(GenerationSettings, {
                    "target": target, "teacher": "openai:scripted", "base_url": address, "max_in_flight": in_flight, "price": PRICE,
                })  # fmt: skip
                made = plan(ws, settings)
                run_id = runs.submit(ws, "generate", "trial", settings.model_dump(mode="json"), made.as_dict())
                done = runs.work(ws, run_id)
                assert done.state == "finished", done.message
                for one in compare_with_plan(ws, done):
                    rows.append({
                        "trial": nth, "again": again, "measure": one.measure, "low": one.low, "high": one.high, "actual": one.actual,
                        "inside": one.off == 0, "ratio": one.high / one.low if one.low else (1.0 if not one.high else float("inf")),
                        "latency": latency, "in_flight": in_flight,
                    })  # fmt: skip
            ws.close()
            return rows
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    rng, rows = random.Random(SEED), []
    for nth in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        for row in trial(nth, rng):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print("| workspace | measure | trials | inside | largest ratio |\n| --- | --- | --- | --- | --- |")
    for again in (False, True):
        for measure in ("calls", "pairs", "tokens", "usd", "seconds"):
            some = [row for row in rows if row["measure"] == measure and row["again"] == again]
            if some:
                inside = sum(row["inside"] for row in some)
                print(
                    f"| {'used' if again else 'new'} | {measure} | {len(some)} | {inside} | {max(row['ratio'] for row in some):.2f} |"
                )


if __name__ == "__main__":
    main()
