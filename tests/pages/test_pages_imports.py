"""The page's process never imports what trains, embeds or projects: these take seconds to minutes and a gigabyte, and belong to runs.

What the Train page does take of those libraries is listed here: the Rust tokenizers, and of transformers the one function that
renders a chat template, with what it needs, so that a row is shown just as the engine writes it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.benchmark_rows import put_scores
from support.model_rows import add_training, put_model
from support.runs import execute_run

from glan_core.workspace import Workspace

pytest_plugins = ["support.studio_fixtures"]
FORBIDDEN = ("torch", "trl", "peft", "accelerate", "datasets", "sklearn", "umap", "numba", "sentence_transformers", "vllm")
ALLOWED = (
    "transformers.utils",
    "transformers._typing",
    "transformers.dependency_versions_",
)  # and the package itself, which is lazy
VISIT = """
import json, sys
from streamlit.runtime.pages_manager import PagesManager

initialise = PagesManager.__init__
def framed(self, *args, **kwargs):
    initialise(self, *args, **kwargs)
    PagesManager.uses_pages_directory = False
PagesManager.__init__ = framed

from support.studio_app import PAGES, Studio

visits = [(page, {}) for page in PAGES] + [("train", {"train_view": view}) for view in ("Plan", "Watch", "Compare")]
VIEWS = ("Leaderboard", "Judge", "Results", "Questions", "Benchmarks", "Contamination", "Scaling")
visits += [("evaluate", {"evaluate_view": view}) for view in VIEWS]
drawn = {}
for page, query in visits:
    shown = Studio(page, **query)
    assert shown.fine, (page, query, shown.app.exception)
    drawn[" ".join((page, *query.values()))] = shown.said
print(json.dumps({"drawn": drawn, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def visited(tmp_path_factory, demo_made):
    """What the pages of a workspace with a snapshot, runs and models say, and the modules of the process that drew them."""
    from support.studio_app import copy_of

    home = tmp_path_factory.mktemp("visited")
    ws = Workspace.open(copy_of(demo_made, home, "demo"))
    choice = {"name": "first", "split": "combination", "validation_share": 0.2}
    assert execute_run(ws, choice, kind="snapshot").state == "finished"
    assert execute_run(ws, {"name": "test", "questions": 3}, kind="glan-test").state == "finished"
    assert execute_run(ws, {"test": "test", "ours": "scripted", "answer_tokens": 30}, kind="judge-models").state == "finished"
    put_model(ws, "student")
    put_scores(ws)
    put_model(ws, "part", form="adapter", base=str(home))
    add_training(ws, "running", "student")
    add_training(ws, "paused", "other")
    ws.close()
    here = Path(__file__).parents[1]
    variables = {**os.environ, "GLAN_HOME": str(home), "PYTHONPATH": os.pathsep.join((str(here), str(here.parent)))}
    done = subprocess.run(
        [sys.executable, "-c", VISIT], capture_output=True, text=True, env=variables, cwd=here.parent, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_no_page_imports_what_trains_embeds_or_projects(visited):
    assert not [name for name in visited["modules"] if name.split(".")[0] in FORBIDDEN]


@pytest.mark.slow
def test_of_transformers_only_the_chat_template_is_taken(visited):
    taken = [name for name in visited["modules"] if name.startswith("transformers.")]
    assert not [name for name in taken if not name.startswith(ALLOWED)]
    assert "transformers.utils.chat_template_utils" in taken, "the form did not show a row: nothing was proved"


@pytest.mark.slow
def test_the_pages_were_drawn_with_models_and_runs(visited):
    drawn = visited["drawn"]
    assert "2 models" in drawn["models"] and "Training loss" in drawn["train Watch"]
    assert "Row 1 of the first" in drawn["train Plan"]
    assert "MMLU, generated" in drawn["evaluate Benchmarks"], "no score was drawn"
