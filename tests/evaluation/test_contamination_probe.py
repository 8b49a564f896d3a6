"""Tests for the contamination probe: memorized splits, exact losses and resuming."""

import json
import math
from dataclasses import asdict

import pytest
from support.chat_models import TEMPLATE, make_base, make_tuned
from support.probe_fixtures import make_rows, write_rows
from support.runs import execute_run, resume_run

from glan_core.errors import GlanError
from glan_core.evaluation.contamination import token_loss
from glan_core.evaluation.contamination.benchmark_texts import ProbeText
from glan_core.evaluation.contamination.probe_job import check_probe, delta_interval, plan_probe
from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.evaluation.contamination.token_loss import TokenizedText, compute_losses, stored_losses, tokenize_rows
from glan_core.evaluation.contamination.verdict import base_comparison, seen_test, seen_train
from glan_core.runs.heartbeat import Progress, Stopped
from glan_core.settings import read_settings
from glan_core.workspace import probe_rows

pytest_plugins = ["support.probe_fixtures"]


def asked(folder, *models: str, **values) -> dict:
    """Return probe settings for models in a folder."""
    files = {role: {"source": str(folder / f"{role}.jsonl")} for role in ("train", "test")}
    specs = [name if ":" in name else f"local:{folder / name}" for name in models]
    return {"name": "codes", "models": specs, **files, **values}


def measured(ws, settings: dict) -> dict[str, probe_rows.ProbeRow]:
    """Return probe results by model name."""
    run = execute_run(ws, settings, "probe")
    assert run.state == "finished", run.message
    rows = probe_rows.latest(probe_rows.probes(ws.db, settings["name"]))
    return {row.model.rpartition("/")[2].rpartition(":")[2]: row for row in rows}


def plain_losses(folder, rows: list[dict], covers: str = "answer") -> list[float]:
    """Return the mean loss of each row with a simple reference loop."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)
    found = []
    for row in rows:
        asks, whole = (tokenizer(text)["input_ids"] for text in (row["question"] + "\n", f"{row['question']}\n{row['answer']}"))
        with torch.no_grad():
            told = torch.log_softmax(model(torch.tensor([whole])).logits[0], -1)
        answer = range(len(asks), len(whole))
        places = {"answer": answer, "question": range(1, len(asks) - 1), "both": [*range(1, len(asks) - 1), *answer]}[covers]
        found.append(-sum(float(told[n - 1, whole[n]]) for n in places) / len(places))
    return found


# ------------------------------------------------------------------------------------------------- what it says


@pytest.mark.long
def test_a_memorised_train_split_shows_a_large_delta_and_one_not_seen_shows_none(probed, ws):
    alike = {"source": str(probed / "alike.jsonl")}
    rows = measured(ws, asked(probed, "crammed", "other", "fresh", alike=alike))
    crammed, other, fresh = rows["crammed"], rows["other"], rows["fresh"]
    assert crammed.delta > 2 and crammed.delta_percent > 50 and crammed.about["intervals"]["delta"][0] > 1
    verdict = seen_train(crammed)
    assert verdict.level == "seen" and verdict.said.startswith("crammed appears to have seen the training split")
    for row in (other, fresh):
        low, high = row.about["intervals"]["delta"]
        assert low < 0 < high and seen_train(row).level in ("none", "unknown")
    for row in rows.values():
        assert seen_test(row).level in ("none", "unknown"), "nobody saw the test split"
        assert row.delta_alike == row.loss_test - row.loss_alike
    assert crammed.about["covers"] == "answer" and "given the question" in crammed.about["covers_said"]
    assert crammed.about["splits"]["train"]["rows"] == 32 and crammed.about["splits"]["train"]["tokens"] == 32 * 8
    assert len(crammed.about["files"]["train"]["sha256"]) == 64


def test_a_memorised_test_split_shows_against_look_alikes(probed, ws):
    files = {"train": "test", "test": "train", "alike": "alike"}
    settings = asked(probed, "crammed", **{role: {"source": str(probed / f"{name}.jsonl")} for role, name in files.items()})
    row = measured(ws, settings)["crammed"]
    assert (
        row.delta_alike < -2 and seen_test(row).level == "seen" and "appears to have seen the test split" in seen_test(row).said
    )
    assert seen_train(row).level == "none" and "not easier than the test split" in seen_train(row).said


@pytest.mark.parametrize("covers", ["answer", "question", "both"])
def test_losses_equal_a_plain_loop(probed, ws, covers):
    uneven = [row | {"answer": row["answer"][: 2 + nth % 6]} for nth, row in enumerate(make_rows(9, 11))]
    train, test = write_rows(ws.folder / "a.jsonl", uneven), make_rows(5, 12)
    write_rows(ws.folder / "b.jsonl", test)
    files = {"train": {"source": str(train)}, "test": {"source": str(ws.folder / "b.jsonl")}}
    row = measured(ws, asked(probed, "other", covers=covers, sample=None, **files))["other"]
    plain = plain_losses(probed / "other", uneven, covers)
    assert row.loss_train == pytest.approx(sum(plain) / len(plain), rel=1e-4)
    assert row.loss_test == pytest.approx(sum(plain_losses(probed / "other", test, covers)) / 5, rel=1e-4)
    said = row.about["splits"]["train"]
    if covers == "answer":
        weights = [len(one["answer"]) for one in uneven]
        weighted = sum(loss * n for loss, n in zip(plain, weights, strict=True)) / sum(weights)
        assert said["token_mean"] == pytest.approx(weighted, rel=1e-4) and said["tokens"] == sum(weights)


def test_the_interval_covers_what_it_should_and_is_the_same_again():
    import numpy as np

    rng = np.random.default_rng(3)
    hit = 0
    for _ in range(60):
        a, b = rng.normal(2, 1, 80), rng.normal(1.5, 1, 60)
        low, high = delta_interval(a, b)
        hit += low < 0.5 < high
    assert 51 <= hit <= 60 and delta_interval(a, b) == delta_interval(a, b) and delta_interval(a, b) != delta_interval(a, b, 1)
    low, high = delta_interval(a, b, percent=True)
    assert low < 100 * (a.mean() - b.mean()) / a.mean() < high
    assert delta_interval([1.0], [2.0, 3.0]) is None


# ------------------------------------------------------------------------------------------------- which weights


@pytest.mark.long
def test_a_base_is_measured_without_the_adapter_and_the_adapter_with_it(probed, ws):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = make_base(ws.folder.parent / "base", seed=5)
    make_tuned(ws, base, "adapted", seed=2)
    measured(ws, asked(probed, "tuned:adapted", "base:adapted", f"local:{base}"))
    alone = {row.model: row for row in probe_rows.probes(ws.db)}
    assert len(alone) == 3
    train = [json.loads(line) for line in (probed / "train.jsonl").read_text().splitlines()]
    plain = plain_losses(base, train)
    assert alone["base:adapted"].loss_train == pytest.approx(sum(plain) / len(plain), rel=1e-4)
    assert alone["base:adapted"].loss_train == alone[f"local:{base}"].loss_train
    assert alone["base:adapted"].weights_hash == alone[f"local:{base}"].weights_hash
    tuned = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), ws.folder / "models" / "adapted" / "weights"
    ).merge_and_unload()  # fmt: skip
    merged = ws.folder.parent / "merged"
    tuned.to(torch.float32).save_pretrained(merged, safe_serialization=True)
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(base).save_pretrained(merged)
    plain = plain_losses(merged, train)
    assert alone["tuned:adapted"].loss_train == pytest.approx(sum(plain) / len(plain), rel=1e-3)
    assert abs(alone["tuned:adapted"].loss_train - alone["base:adapted"].loss_train) > 0.05
    assert "+" in alone["tuned:adapted"].weights_hash
    said = base_comparison(alone["tuned:adapted"], list(alone.values()))
    assert said == f"The delta of the base model was {alone['base:adapted'].delta_percent:+z.1f}%."
    assert not base_comparison(alone["base:adapted"], list(alone.values()))


def test_in_the_chat_template_the_answer_is_covered_with_the_token_that_ends_it(probed, ws):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(probed / "fresh")
    assert tokenizer.chat_template == TEMPLATE
    settings = read_settings(ProbeSettings, asked(probed, "fresh", written="chat"))
    one = tokenize_rows([ProbeText("Why?", "So.")], tokenizer, settings, 1000)[0]
    assert tokenizer.decode([one.ids[n] for n in one.covered]) == "So.</s>"
    assert tokenizer.decode(one.ids) == "<user>Why?\n<assistant>So.</s>"
    both = tokenize_rows([ProbeText("Why?", "So.")], tokenizer, settings.model_copy(update={"covers": "both"}), 1000)[0]
    assert tokenizer.decode([both.ids[n] for n in both.covered]) == "Why?So.</s>"
    row = measured(ws, asked(probed, "fresh", written="chat"))["fresh"]
    assert row.about["written"] == "chat" and row.about["template"] == "its own"


def test_rows_are_cut_and_counted_and_those_with_nothing_left_are_left_out(probed, ws):
    rows = measured(ws, asked(probed, "fresh", max_length=24))
    said = rows["fresh"].about["splits"]["train"]
    assert said["cut"] + said["rows"] >= 32 and said["cut"] > 0 and said["left_out"] == 32 - said["rows"]
    run = execute_run(ws, asked(probed, "fresh", max_length=16), "probe")
    assert run.state == "failed" and "Raise the max length" in run.message


# ------------------------------------------------------------------------------------------------- going on


@pytest.mark.slow
def test_what_is_known_is_not_measured_again_and_new_models_are(probed, ws, monkeypatch):
    first = measured(ws, asked(probed, "crammed"))
    monkeypatch.setattr(token_loss, "_batch_losses", lambda *_: pytest.fail("measured again"))
    same = measured(ws, asked(probed, "crammed"))
    assert {**asdict(same["crammed"]), "at": 0} == {**asdict(first["crammed"]), "at": 0}
    again = measured(ws, asked(probed, "crammed", name="renamed"))["crammed"]
    assert again.loss_train == first["crammed"].loss_train and again.about["intervals"] == first["crammed"].about["intervals"]
    monkeypatch.undo()
    both = measured(ws, asked(probed, "crammed", "other"))
    assert both["crammed"].loss_test == first["crammed"].loss_test and "other" in both
    write_rows(ws.folder / "new.jsonl", make_rows(32, 9))
    other_test = measured(ws, asked(probed, "crammed", test={"source": str(ws.folder / "new.jsonl")}))
    assert other_test["crammed"].loss_test != first["crammed"].loss_test
    assert len(probe_rows.probes(ws.db, "codes")) == 3
    assert list(other_test) == ["crammed"], "models are never compared on other rows"
    assert set(measured(ws, asked(probed, "crammed", "other"))) == {"crammed", "other"}, "what was asked for last is shown"


def test_a_paused_probe_goes_on_with_the_rows_that_are_missing_to_the_same_result(probed, ws, new_workspace, monkeypatch):
    whole = measured(new_workspace("undisturbed"), asked(probed, "other"))["other"]
    monkeypatch.setattr(token_loss, "MOST_ROWS", 8)
    batches, measure = [], token_loss._batch_losses

    def counted(batch, predict):
        batches.append(len(batch))
        return measure(batch, predict)

    def stops(self, stage, done, planned):
        self.report(stage, done, planned)
        if stage.startswith("test split") and done == 8:
            raise Stopped("Paused")

    monkeypatch.setattr(token_loss, "_batch_losses", counted)
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "step", stops)
        run = execute_run(ws, asked(probed, "other"), "probe")
    assert run.state == "paused" and not probe_rows.probes(ws.db) and len(batches) == 5
    assert resume_run(ws, run.id).state == "finished" and len(batches) == 8
    row = probe_rows.probes(ws.db)[0]
    assert (row.loss_train, row.loss_test) == pytest.approx((whole.loss_train, whole.loss_test), rel=1e-6)
    assert row.about["intervals"]["delta"] == pytest.approx(whole.about["intervals"]["delta"], rel=1e-5)


def test_a_line_that_a_kill_cut_short_is_measured_again(tmp_path):
    import torch

    texts = [TokenizedText((1, 2, 3), (1, 2), 3), TokenizedText((3, 2, 1), (2,), 3)]
    file = tmp_path / "losses.jsonl"
    file.write_text("[0, 1.5, 2]\n[1, 0.")
    found = compute_losses(texts, lambda ids, mask: torch.zeros(*ids.shape, 4), 4, file, lambda done, all: None)
    assert found[1].mean == pytest.approx(math.log(4)) and stored_losses(file) == found


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("spec", ["scripted", "openai:gpt-5", "nonsense"])
def test_what_gives_no_loss_is_refused(probed, spec):
    with pytest.raises(GlanError, match=f"{spec} has no loss; only weights do"):
        read_settings(ProbeSettings, asked(probed, "fresh") | {"models": [spec]})


def test_faults_are_told_before_weights_are_loaded(probed, ws):
    for values, words in (
        ({"test": {"source": str(probed / "train.jsonl")}}, "have the same rows"),
        ({"train": {"source": str(probed / "none.jsonl")}}, "does not exist"),
        (
            {"train": {"source": str(probed / "train.jsonl"), "answer": "reply"}},
            "no column 'reply'. Available columns: question, answer",
        ),
        ({"models": ["tuned:nobody"]}, "does not exist"),
    ):
        settings = read_settings(ProbeSettings, asked(probed, "fresh") | values)
        for ask in (plan_probe, check_probe):
            with pytest.raises(GlanError, match=words):
                ask(ws, settings)
    told = plan_probe(ws, read_settings(ProbeSettings, asked(probed, "fresh", sample=5)))
    assert told.rows == {"train": 5, "test": 5} and told.held == {"train": 32, "test": 32} and told.shared == 0


def test_weights_that_are_not_there_end_the_run_with_a_sentence(probed, ws):
    run = execute_run(ws, asked(probed, f"local:{probed / 'missing'}"), "probe")
    assert run.state == "failed" and "does not exist" in run.message
