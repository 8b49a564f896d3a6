"""A dataset is the same in every process: no order depends on the hash seed of Python."""

import json
import os
import subprocess
import sys

import pytest

from glan_core.resources import CHECKOUT

SCRIPT = """
import json, sys
sys.path[:0] = ["tests"]
from conftest import NODES
from support.runs import content, execute_run
from glan_core.dataset import decontamination_job, snapshot_store
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, homework_rows, tag_rows

ws = Workspace.create(sys.argv[1])
tree_editing.import_nodes(ws, NODES, "test")
target = {"disciplines": ["music", "mathematics"], "subject_queries": 2, "questions_per_syllabus": 4}
execute_run(ws, {"target": target, "max_in_flight": 1})
texts = [pair.question.text for pair in homework_rows.all_pairs(ws.db)][:6]
for name, some in (("one", texts[:4]), ("two", texts[2:])):
    with open(f"{sys.argv[1]}-{name}.jsonl", "w") as file:
        file.writelines(json.dumps({"question": text}) + "\\n" for text in some)
sources = [{"source": f"{sys.argv[1]}-{name}.jsonl"} for name in ("one", "two")]
said = [execute_run(ws, {"threshold": 0.6}, "dedup").message, execute_run(ws, {"benchmarks": sources}, "decontaminate").message]
said.append(execute_run(ws, {"name": "v1", "split": "combination", "validation_share": 0.3}, "snapshot").message)
tags = sorted(ws.db.execute("SELECT seq, kind, name, other, score, detail FROM tags").fetchall(), key=repr)
reports = [(r.benchmark, r.items_hit, r.rows) for r in decontamination_job.split_reports(ws)]
print(json.dumps([said, tags, reports, content(ws), snapshot_store.read_snapshot(ws, "v1").manifest.hash], default=str))
"""


@pytest.mark.long
def test_a_dataset_does_not_depend_on_the_hash_seed(tmp_path):
    told = []
    for seed in ("1", "2"):
        place = tmp_path / seed / "ws"
        place.parent.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(place)], capture_output=True, text=True, cwd=CHECKOUT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(CHECKOUT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout.replace(str(place), "WS")))
    _, tags, reports, content, digest = told[0]
    assert tags and reports and content["questions"] and digest.startswith("sha256:")
    assert told[0] == told[1]
