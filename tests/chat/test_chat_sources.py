"""Tests for held-out prompts and training attribution."""

import pytest
from support.model_rows import put_model
from support.studio_app import make_demo

from glan_core.chat import heldout_prompts, training_attribution
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.snapshot_job import create_snapshot
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.diversity.embedding_job import embed_rows
from glan_core.diversity.settings import EmbeddingSettings
from glan_core.errors import GlanError
from glan_core.runs.heartbeat import Progress
from glan_core.training.settings import FinetuneSettings
from glan_core.training.training_texts import RowSample
from glan_core.workspace import Workspace, run_rows


def do(ws: Workspace, job, settings) -> None:
    """Run a job in this process."""
    with ws.write() as db:
        run_id = run_rows.add_run(db, settings.kind, "test", settings.model_dump(mode="json"))
    with Progress(ws, run_id, "test") as progress:
        job(ws, settings, progress)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Demo workspace with a snapshot."""
    ws = Workspace.open(make_demo(tmp_path_factory.mktemp("made") / "demo"))
    do(ws, create_snapshot, SnapshotSettings(name="first", validation_share=0.2))
    put_model(ws, "whole", settings=FinetuneSettings(name="whole", snapshot="first").model_dump(mode="json"))
    put_model(ws, "part", settings=FinetuneSettings(name="part", snapshot="first", rows=20, seed=3).model_dump(mode="json"))
    put_model(ws, "replaced", snapshot_hash="sha256:older")
    yield ws
    ws.close()


@pytest.fixture(scope="module")
def trained(frozen) -> list[dict]:
    return [row for _, row in read_snapshot(frozen, "first").rows("train")]


def test_held_out_rows_are_drawn_repeatably_and_only_from_what_was_held_out(frozen, monkeypatch):
    held = {row["id"]: row for _, row in read_snapshot(frozen, "first").rows("validation")}
    drawn = heldout_prompts.sample_prompts(frozen, "first", None, 5, seed=1)
    assert len(drawn) == 5 and drawn == heldout_prompts.sample_prompts(frozen, "first", None, 5, seed=1)
    assert drawn != heldout_prompts.sample_prompts(frozen, "first", None, 5, seed=2)
    for row in drawn:
        assert (row.question, row.answer) == (held[row.id]["prompt"], held[row.id]["completion"])
    disciplines = {row["discipline"] for row in held.values()}
    one = disciplines.pop()
    assert {held[row.id]["discipline"] for row in heldout_prompts.sample_prompts(frozen, "first", [one], 50, seed=0)} == {one}
    assert heldout_prompts.sample_prompts(frozen, "first", ["law"], 5, seed=0) == []
    with pytest.raises(GlanError, match="does not exist"):
        heldout_prompts.sample_prompts(frozen, "second", None, 5, seed=0)
    monkeypatch.setattr(heldout_prompts, "MOST_GROUPS", 0)  # only a limited number of row groups is searched
    assert heldout_prompts.sample_prompts(frozen, "first", None, 5, seed=0) == []


def found(ws, row, model: str = "whole") -> dict:
    return training_attribution.nearest_rows(str(ws.folder), model, row["prompt"], row["completion"])


def test_a_training_row_comes_nearest_to_itself_and_says_where_it_belongs(frozen, trained):
    for row in trained[::20]:
        result = found(frozen, row)
        best = result["rows"][0]
        assert (best["id"], best["similarity"], best["here"]) == (row["id"], 1.0, True)
        assert best["taxonomy"] == row["taxonomy"] and best["concepts"] == row["concepts"]
        scores = [row["similarity"] for row in result["rows"]]
        assert scores == sorted(scores, reverse=True) and scores[1] < 1
        assert result["compared"] == result["of"] == len(trained) and "all training rows" in result["measure"]


def test_held_out_rows_are_never_shown_as_what_taught_it(frozen, monkeypatch):
    held = {row["id"]: row for _, row in read_snapshot(frozen, "first").rows("validation")}
    for most in (training_attribution.MOST_WHOLE, 0):
        monkeypatch.setattr(training_attribution, "MOST_WHOLE", most)
        for row in list(held.values())[:3]:
            assert not held.keys() & {near["id"] for near in found(frozen, row)["rows"]}


@pytest.mark.parametrize("most", [training_attribution.MOST_WHOLE, 10])
def test_only_the_rows_that_a_model_was_trained_on_are_shown(frozen, trained, monkeypatch, most):
    """20 rows were drawn of the snapshot: the others taught it nothing, however near they are."""
    monkeypatch.setattr(training_attribution, "MOST_WHOLE", most)
    sample = {row["id"] for row in RowSample(read_snapshot(frozen, "first"), "train", 20, 3).rows()}
    for row in trained[::10]:
        result = found(frozen, row, "part")
        assert {near["id"] for near in result["rows"]} <= sample and result["of"] == 20
        if row["id"] in sample:
            assert result["rows"][0]["id"] == row["id"]


def test_rows_of_a_snapshot_that_was_replaced_are_not_shown(frozen, trained):
    with pytest.raises(GlanError, match="was replaced"):
        found(frozen, trained[0], "replaced")
    with pytest.raises(GlanError, match="does not exist"):
        found(frozen, trained[0], "gone")


def test_of_a_large_snapshot_candidates_come_from_the_text_index_or_from_stored_vectors(frozen, trained, monkeypatch):
    monkeypatch.setattr(training_attribution, "MOST_WHOLE", 0)
    result = found(frozen, trained[7])
    assert "longest words" in result["measure"] and result["compared"] <= training_attribution.CANDIDATES
    assert result["rows"][0]["id"] == trained[7]["id"]
    do(frozen, embed_rows, EmbeddingSettings(embedder="words"))
    monkeypatch.setattr(training_attribution, "CANDIDATES", 20)
    monkeypatch.setattr(training_attribution, "BLOCK", 13)  # block size that does not divide the number of rows
    for row in trained[::25]:
        result = found(frozen, row)
        assert "stored vectors" in result["measure"] and result["compared"] <= 20 < result["of"]
        assert result["rows"][0]["id"] == row["id"]
