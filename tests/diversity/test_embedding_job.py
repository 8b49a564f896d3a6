"""Tests for the embedding job: missing and edited questions, and resuming."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.diversity_rows import Steps, add_pairs, add_topics

from glan_core import runs
from glan_core.diversity import embedding_job
from glan_core.diversity.embedders import unit_rows
from glan_core.diversity.embedding_job import embed_rows
from glan_core.diversity.settings import DEFAULT_MODEL, EmbeddingSettings
from glan_core.diversity.vector_store import PROBE, read_vectors, vector_folder
from glan_core.errors import GlanError
from glan_core.resources import CHECKOUT
from glan_core.settings import read_settings
from glan_core.workspace import homework_rows, record_rows


class Letters:
    """Embedder that counts letters and records its inputs."""

    name, dim, about = "st:letters", 26, "Made from letters."

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts):
        self.asked += [text for text in texts if text != PROBE]
        return unit_rows(np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]))


@pytest.fixture
def letters(monkeypatch):
    embedder = Letters()
    monkeypatch.setattr(embedding_job, "open_embedder", lambda spec, base_url=None: embedder)
    monkeypatch.setattr(embedding_job, "SLOW_ROWS", 10)
    return embedder


def embed(ws, steps: Steps | None = None) -> str:
    return embed_rows(ws, EmbeddingSettings(embedder="st:letters"), steps or Steps())


def questions(ws) -> list[str]:
    return [text.question for page in homework_rows.texts(ws.db) for text in page]


def test_only_new_questions_are_embedded(ws, letters):
    add_topics(ws, 7)
    assert embed(ws) == "Embedded 21 questions. Made from letters."
    assert letters.asked == questions(ws)
    assert embed(ws) == "All questions are embedded already. Made from letters."
    add_pairs(ws, [("music", "What is a quaver?", None)])
    assert embed(ws) == "Embedded 1 question. Made from letters."
    assert letters.asked[21:] == ["What is a quaver?"]


def test_an_edited_question_is_embedded_again(ws, letters):
    add_topics(ws, 2)
    embed(ws)
    id = homework_rows.pair_ids(ws.db, [3])[0]
    with ws.write() as db:
        record_rows.change(db, "b", id, "text", "zzz", "me")
        record_rows.change(db, "b", homework_rows.pair_ids(db, [4])[0], "starred", 1, "me")
    assert embed(ws) == "Embedded 1 question. Made from letters."
    found = read_vectors(vector_folder(ws, "st:letters"))
    assert letters.asked[6:] == ["zzz"] and found.rows(2)[25] == 1 and found.seqs.tolist() == [1, 2, 3, 4, 5, 6]
    assert embed(ws).startswith("All questions")


def test_a_stopped_run_goes_on_where_it_was(ws, letters):
    add_topics(ws, 10)
    with pytest.raises(KeyboardInterrupt):
        embed(ws, Steps(stop_at=5))
    before = len(letters.asked)
    assert 0 < before < 30
    steps = Steps()
    embed(ws, steps)
    assert letters.asked == questions(ws)
    assert steps.seen[-1] == ("questions embedded", 30 - before, 30 - before)


def test_it_runs_as_a_job(ws):
    add_topics(ws, 3)
    run = runs.work(ws, runs.submit(ws, "embed", "Embedding", {"embedder": "words"}))
    assert run.state == "finished" and run.message.startswith("Embedded 9 questions. Based on words only")


def test_orders_name_what_is_wrong_with_them():
    with pytest.raises(GlanError, match="Unknown embedder"):
        read_settings(EmbeddingSettings, {"embedder": "word2vec"})
    with pytest.raises(GlanError, match="URL"):
        read_settings(EmbeddingSettings, {"embedder": "openai:m", "base_url": "ftp://x"})
    assert read_settings(EmbeddingSettings, {"embedder": "openai:m"}).base_url.startswith("https://")


# Maps and measures a workspace in a process of its own, and tells which of the heavy libraries that loaded.
STORED = """
import sys
from support.diversity_rows import Steps
from glan_core.diversity.embedding_job import embed_rows
from glan_core.diversity.map_job import create_map
from glan_core.diversity.metric_job import compute_metrics
from glan_core.diversity.settings import EmbeddingSettings, MapSettings, MetricSettings
from glan_core.workspace import Workspace
ws, spec = Workspace.open(sys.argv[1]), sys.argv[2]
print(embed_rows(ws, EmbeddingSettings(embedder=spec), Steps()))
print(create_map(ws, MapSettings(embedder=spec), Steps()))
print(compute_metrics(ws, MetricSettings(embedder=spec), Steps()))
print(sorted({"sentence_transformers", "torch", "transformers"} & set(sys.modules)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["st:some/model", "auto"])
def test_stored_vectors_are_mapped_and_measured_without_loading_the_embedder(ws, monkeypatch, spec):
    """The model does not even exist here: it is never opened."""
    embedder = Letters()
    embedder.name = "st:some/model" if spec != "auto" else f"st:{DEFAULT_MODEL}"
    monkeypatch.setattr(embedding_job, "open_embedder", lambda spec, base_url=None: embedder)
    add_topics(ws, 7)
    embed_rows(ws, EmbeddingSettings(embedder=spec), Steps())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STORED, str(ws.folder), spec], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    embedded, mapped, measured, loaded = done.stdout.splitlines()
    assert embedded.startswith("All questions are embedded already.")
    assert mapped.startswith("Mapped 21 questions") and measured.startswith("Measured 21 questions")
    assert loaded == "[]"


def test_a_new_or_edited_question_opens_the_embedder_again(ws, letters, monkeypatch):
    opened = []
    monkeypatch.setattr(embedding_job, "open_embedder", lambda spec, base_url=None: opened.append(spec) or letters)
    add_topics(ws, 2)
    embed(ws)
    embed(ws)
    assert len(opened) == 1
    add_pairs(ws, [("music", "What is a quaver?", None)])
    embed(ws)
    with ws.write() as db:
        record_rows.change(db, "b", homework_rows.pair_ids(db, [3])[0], "text", "zzz", "me")
    embed(ws)
    embed(ws)
    assert len(opened) == 3
