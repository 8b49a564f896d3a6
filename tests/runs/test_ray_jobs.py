"""Jobs on the Ray engine: the results of the local engine, workers that die, stop requests, and errors of workers."""

import json
import os
import signal
from functools import partial

import pytest
from support.diversity_rows import add_pairs, add_topics
from support.runs import execute_run, resume_run, rows

from glan_core import runs
from glan_core.cli import main
from glan_core.dataset import near_duplicate_job
from glan_core.diversity import embedding_job
from glan_core.diversity.embedders import WordEmbedder
from glan_core.diversity.settings import EmbeddingSettings
from glan_core.diversity.vector_store import read_vectors, vector_folder
from glan_core.errors import GlanError
from glan_core.ray_cluster import connection, pipeline
from glan_core.ray_cluster.settings import RaySettings
from glan_core.runs.heartbeat import Progress
from glan_core.runs.states import PAUSED
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, homework_rows

RAY = {"engine": "ray", "ray_workers": 2}
TAGS = "SELECT seq, kind, name, other, score, detail FROM tags ORDER BY seq, kind, name"


def filled(new_workspace, name: str) -> Workspace:
    """Return a workspace with 150 answered questions and 12 that repeat one of them with or without a change."""
    ws = new_workspace(name)
    add_topics(ws, 50)
    texts = [text for page in homework_rows.texts(ws.db) for text in page][::25]
    add_pairs(ws, [("music", text.question.upper(), "Yes.") for text in texts])
    add_pairs(ws, [("music", f"Please {text.question}", text.question) for text in texts])
    return ws


@pytest.fixture
def pages(monkeypatch):
    """Pages of 20 rows, so that every job has several batches."""
    texts = homework_rows.texts
    monkeypatch.setattr(homework_rows, "texts", lambda *values, **named: texts(*values, page=20, **named))
    monkeypatch.setattr(embedding_job, "ROWS", 20)


@pytest.fixture
def both(new_workspace, pages):
    """Run a job on the local engine and on Ray; return both workspaces, after comparing the messages."""

    def run(kind: str, **values) -> tuple[Workspace, Workspace]:
        local, distributed = filled(new_workspace, "local"), filled(new_workspace, "distributed")
        expected = execute_run(local, values, kind=kind)
        assert expected.state == "finished", expected.message
        found = execute_run(distributed, values | RAY, kind=kind)
        assert (found.state, found.message) == ("finished", expected.message)
        return local, distributed

    return run


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("window", [None, 8000], ids=["one-window", "several-windows"])
def test_near_duplicates_are_those_of_the_local_engine(both, monkeypatch, window):
    pytest.importorskip("ray")
    if window:
        monkeypatch.setattr(pipeline, "WINDOW", window)
    local, distributed = both("dedup", threshold=0.6)
    assert rows(distributed, TAGS) == rows(local, TAGS)
    assert {row[2] for row in rows(local, TAGS)} == {"exact", "near"}


@pytest.mark.slow
@pytest.mark.ray
def test_contaminated_pairs_are_those_of_the_local_engine(both, new_workspace, tmp_path):
    pytest.importorskip("ray")
    questions = [text.question for page in homework_rows.texts(filled(new_workspace, "source").db) for text in page]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in questions[::30]))
    local, distributed = both("decontaminate", benchmarks=[{"source": str(tmp_path / "sums.jsonl")}])
    assert rows(distributed, TAGS) == rows(local, TAGS) != []


def stored(ws: Workspace, embedder: str) -> dict[str, bytes]:
    """Return the files of the vectors of an embedder."""
    return {file.name: file.read_bytes() for file in vector_folder(ws, embedder).iterdir() if file.suffix != ".json"}


@pytest.mark.slow
@pytest.mark.ray
def test_vectors_are_those_of_the_local_engine(both):
    pytest.importorskip("ray")
    local, distributed = both("embed", embedder="words")
    assert stored(distributed, "words") == stored(local, "words")


@pytest.mark.slow
@pytest.mark.ray
def test_vectors_of_a_model_are_those_of_the_local_engine(both, tmp_path):
    pytest.importorskip("ray")
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "explain", "how", "fit", "together", *map(str, range(1000, 1400))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **size)).save_pretrained(tmp_path)
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    local, distributed = (read_vectors(vector_folder(ws, f"st:{tmp_path}")) for ws in both("embed", embedder=f"st:{tmp_path}"))
    assert distributed.seqs.tolist() == local.seqs.tolist()
    assert distributed.rows(slice(None)) == pytest.approx(local.rows(slice(None)), abs=1e-3)  # stored as float16


@pytest.mark.slow
@pytest.mark.ray
def test_a_worker_that_is_killed_costs_time_only(both, monkeypatch, tmp_path):
    pytest.importorskip("ray")
    marks, sign, driver = tmp_path, near_duplicate_job.Signer, os.getpid()

    class Fatal(sign):
        """Kills its process once, on the page with the 61st question."""

        def __call__(self, page):
            if os.getpid() != driver and page[0][0] == 61 and not (marks / "killed").exists():
                (marks / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(page)

    monkeypatch.setattr(near_duplicate_job, "Signer", Fatal)
    local, distributed = both("dedup", threshold=0.6)
    assert (tmp_path / "killed").exists() and rows(distributed, TAGS) == rows(local, TAGS) != []


@pytest.mark.slow
@pytest.mark.ray
def test_a_batch_that_always_ends_its_worker_is_one_sentence(new_workspace, pages, monkeypatch):
    pytest.importorskip("ray")
    sign, driver = near_duplicate_job.Signer, os.getpid()

    class Fatal(sign):
        def __call__(self, page):
            if os.getpid() != driver and page[0][0] == 61:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(page)

    monkeypatch.setattr(near_duplicate_job, "Signer", Fatal)
    run = execute_run(filled(new_workspace, "fatal"), RAY | {"threshold": 0.6}, kind="dedup")
    assert run.state == "failed" and "The Ray cluster local failed" in run.message and "\n" not in run.message


@pytest.mark.slow
@pytest.mark.ray
def test_batches_are_computed_on_gpus_where_the_cluster_has_some(monkeypatch):
    """On resources that Ray believes in; no GPU is used."""
    ray = pytest.importorskip("ray")
    real = ray.init
    monkeypatch.setattr(ray, "init", lambda **given: real(**given, num_gpus=2))
    settings = RaySettings(engine="ray", ray_workers=3)
    found = pipeline.map_batches(range(5), partial(partial, pow, 2), settings, list, gpu=True)
    assert list(found) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(("gpus", "workers", "share"), [(0, 3, 0.0), (4, 3, 1.0), (3, 3, 1.0), (2, 3, 0.5), (1, 3, 1 / 3)])
def test_every_worker_finds_a_place_on_a_gpu(gpus, workers, share):
    assert pipeline.gpu_share(gpus, workers) == pytest.approx(share)


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_that_is_paused_keeps_its_vectors_and_continues(new_workspace, pages, monkeypatch):
    pytest.importorskip("ray")
    ws, report = filled(new_workspace, "paused"), Progress.step
    run_id = runs.submit(ws, "embed", "test", {"embedder": "words"} | RAY)

    def step(self, stage: str, done: int, planned: int) -> None:
        report(self, stage, done, planned)
        if stage == "questions embedded" and done:
            self.stop(PAUSED)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "step", step)
        assert runs.work(ws, run_id).state == "paused"
    assert 0 < len(read_vectors(vector_folder(ws, "words"))) < homework_rows.last_seq(ws.db)
    assert resume_run(ws, run_id).state == "finished"
    assert read_vectors(vector_folder(ws, "words")).seqs.tolist() == list(range(1, homework_rows.last_seq(ws.db) + 1))


@pytest.mark.slow
@pytest.mark.ray
def test_a_model_that_a_worker_lacks_is_one_sentence(new_workspace, pages, monkeypatch, tmp_path):
    pytest.importorskip("ray")
    embedder = WordEmbedder()
    embedder.name = f"st:{tmp_path}/no-model"
    monkeypatch.setattr(embedding_job, "open_embedder", lambda spec, base_url=None: embedder)
    run = execute_run(filled(new_workspace, "missing"), {"embedder": embedder.name} | RAY, kind="embed")
    assert run.state == "failed" and "the folder does not exist" in run.message and "\n" not in run.message


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_that_is_not_there_is_one_sentence(new_workspace):
    pytest.importorskip("ray")
    run = execute_run(filled(new_workspace, "none"), RAY | {"ray_address": "127.0.0.1:9"}, kind="dedup")
    assert run.state == "failed" and "Ray cluster 127.0.0.1:9" in run.message and "\n" not in run.message


@pytest.mark.parametrize("command", [["embed", "--embedder", "words"], ["dedup"], ["decontaminate", "FILE"]])
def test_commands_without_the_package_say_how_to_install_it(new_workspace, monkeypatch, capsys, tmp_path, command):
    ws, file = filled(new_workspace, "without"), tmp_path / "sums.jsonl"
    file.write_text(json.dumps({"question": "What is a quaver?"}))
    monkeypatch.setattr(connection.importlib.util, "find_spec", lambda name: None)
    words = [str(file) if word == "FILE" else word for word in command]
    assert main([words[0], str(ws.folder), *words[1:], "--engine", "ray"]) == 1
    assert "pip install -r requirements-ray.txt" in capsys.readouterr().out


def test_embeddings_of_an_endpoint_are_refused_on_ray():
    with pytest.raises(GlanError, match="Use the local engine"):
        read_settings(EmbeddingSettings, {"embedder": "openai:m", "engine": "ray"})


def test_an_address_of_ray_client_is_refused(new_workspace):
    pytest.importorskip("ray")
    run = execute_run(filled(new_workspace, "client"), RAY | {"ray_address": "ray://127.0.0.1:10001"}, kind="dedup")
    assert run.state == "failed" and "Start the run on a node of the cluster" in run.message


def test_no_cluster_is_started_for_nothing(ws, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(pipeline, "connected", None)
    assert execute_run(ws, RAY, kind="dedup").state == "finished"


def test_a_cluster_that_does_not_start_is_one_sentence(monkeypatch):
    pytest.importorskip("ray")

    def fail(address, workers):
        raise Exception("The current node timed out during startup.\nSee the logs.")

    monkeypatch.setattr(connection, "_init", fail)
    with pytest.raises(
        GlanError, match=r"The Ray cluster local cannot be used: The current node timed out during startup\. See the logs"
    ):
        connection.connect("local", 2)
