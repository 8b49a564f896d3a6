"""Fixtures for fine-tuning tests: a workspace with snapshots, a tiny base model and fast settings."""

import pytest
from support.runs import execute_run

from glan_core.models import tuned_model_store
from glan_core.taxonomy import tree_editing
from glan_core.training import tiny_model
from glan_core.training.settings import FinetuneSettings, Scratch
from glan_core.workspace import Workspace

TINY = Scratch(vocabulary=600, hidden=32, inner=64, layers=1, heads=2)


@pytest.fixture(scope="module")
def taught_folder(tmp_path_factory):
    """Workspace with scripted pairs of one discipline and a snapshot 'first' with a validation split."""
    from conftest import NODES

    ws = Workspace.create(tmp_path_factory.mktemp("taught") / "ws")
    tree_editing.import_nodes(ws, NODES, "test")
    target = {"disciplines": ["music"], "subject_queries": 1, "questions_per_syllabus": 28}
    assert execute_run(ws, {"target": target}).state == "finished"
    choice = {"split": "combination", "validation_share": 0.2}
    assert execute_run(ws, {"name": "first", **choice}, kind="snapshot").state == "finished"
    ws.close()
    return ws.folder


@pytest.fixture
def taught(taught_folder):
    """The workspace; models trained by a test remain for later tests."""
    ws = Workspace.open(taught_folder)
    yield ws
    ws.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Folder with a tiny untrained base model without a chat template."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tokenizer = tiny_model.wrap_tokenizer(
        tiny_model.train_tokenizer(["A chord is three notes. " * 3, "Explain the term."], 600)
    )
    model = tiny_model.make_model(TINY, len(tokenizer), 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_order(called: str, **values) -> dict:
    """Return settings for a model that trains in seconds."""
    settings = {
        "name": called, "snapshot": "first", "scratch": TINY, "epochs": 4, "global_batch_size": 4, "per_device_batch_size": 4, "max_length": 384,
        "learning_rate": 3e-3, "evaluations": 4, "prompts": ("What is a triad?",), "precision": "fp32",
    }  # fmt: skip
    return FinetuneSettings(**settings | values).model_dump(mode="json")


def tuned(ws: Workspace, name: str, **values) -> tuned_model_store.TunedModel:
    """Fine-tune a model with the given settings and return it."""
    run = execute_run(ws, tiny_order(name, **values), kind="finetune")
    assert run.state == "finished", run.message
    return tuned_model_store.read_model(ws, name)
