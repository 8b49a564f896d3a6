"""Tests for fine-tuning on tiny models: learning, stored files, resuming and error messages."""

import json
import os
import signal

import pytest
from support.runs import execute_run, resume_run, wait_for
from support.training_fixtures import TINY, tiny_order, tuned

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.models import tuned_model_store
from glan_core.runs.heartbeat import Progress
from glan_core.runs.states import KEPT, PAUSED
from glan_core.workspace import run_rows, training_rows

pytest_plugins = ["support.training_fixtures"]


@pytest.fixture(scope="module")
def undisturbed(taught_folder):
    """An uninterrupted run."""
    from glan_core.workspace import Workspace

    ws = Workspace.open(taught_folder)
    model = tuned(ws, "undisturbed")
    logged = training_rows.steps(ws.db, model.run_id)
    replies = training_rows.replies(ws.db, model.run_id)
    ws.close()
    return model, logged, replies


def losses(ws, run_id: int) -> dict[int, float]:
    return {step.step: step.loss for step in training_rows.steps(ws.db, run_id) if step.loss is not None}


@pytest.mark.long
def test_it_learns_and_keeps_what_it_was_made_from(taught, undisturbed):
    model, logged, replies = undisturbed
    trained = [step.loss for step in logged if step.loss is not None]
    held = [step.validation_loss for step in logged if step.validation_loss is not None]
    assert trained[-1] < trained[0] - 0.3 and held[-1] < held[0], "it does not learn"
    assert [step.step for step in logged if step.loss is not None] == list(range(1, model.steps + 1)), "a step was not logged"
    assert all(step.lr is not None and step.grad_norm and step.memory_mb for step in logged if step.loss is not None)
    assert model.tokens == logged[-1].tokens > 0 and model.losses["validation"] == held[-1]
    manifest = next(iter(taught.folder.glob("snapshots/first/manifest.json")))
    assert model.snapshot_hash == json.loads(manifest.read_text())["hash"] and model.disciplines == {"music": model.rows}
    assert [spoken.prompt for spoken in replies] == ["What is a triad?"] * len(held)
    assert not (taught.folder / "training" / str(model.run_id)).exists(), "checkpoints were left behind"


def test_weights_are_safetensors_and_the_base_beside_them_is_untrained(taught, undisturbed):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, *_ = undisturbed
    weights = model.weights(taught)
    assert not [file for file in model.folder(taught).rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert (
        tuned_model_store.hash_weights(weights)
        == model.weights_hash
        != tuned_model_store.hash_weights(model.folder(taught) / tuned_model_store.BASE)
    )
    tokenizer = AutoTokenizer.from_pretrained(weights)
    assert "### Response:" in tokenizer.chat_template
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is a triad?"}], return_tensors="pt",
                                           add_generation_prompt=True, return_dict=True)  # fmt: skip

    def loss(folder) -> float:
        loaded = AutoModelForCausalLM.from_pretrained(folder)
        assert loaded.config.use_cache, "generation would be slow"
        return loaded(**prompt, labels=prompt["input_ids"]).loss.item()

    assert loss(weights) < loss(model.base_path(taught)) - 0.3


@pytest.fixture
def wish_at(monkeypatch):
    """Request a stop at a given step, once."""
    say = Progress.report

    def at(step: int, wish: str) -> None:
        def heard(self, stage: str, done: int, planned: int) -> None:
            say(self, stage, done, planned)
            if stage == "steps" and done == step:
                monkeypatch.setattr(Progress, "report", say)
                self.stop(wish)

        monkeypatch.setattr(Progress, "report", heard)

    return at


@pytest.mark.slow
def test_a_run_that_is_paused_goes_on_along_the_same_curve(taught, undisturbed, wish_at):
    model, logged, _ = undisturbed
    wish_at(7, PAUSED)
    paused = execute_run(taught, tiny_order("paused"), kind="finetune")
    assert paused.state == "paused" and max(losses(taught, paused.id)) == 7 < model.steps
    assert resume_run(taught, paused.id).state == "finished"
    same = {step.step: step.loss for step in logged if step.loss is not None}
    assert losses(taught, paused.id) == pytest.approx(same, rel=1e-5)


@pytest.mark.slow
def test_a_run_that_is_paused_after_its_last_step_takes_no_further_one(taught, one_thread, wish_at):
    """The last step lies within an epoch, where transformers would go on."""
    whole = tuned(taught, "whole-and-half", epochs=1.5)
    wish_at(whole.steps, PAUSED)
    paused = execute_run(taught, tiny_order("paused-at-the-end", epochs=1.5), kind="finetune")
    assert paused.state == "paused" and max(losses(taught, paused.id)) == whole.steps
    assert resume_run(taught, paused.id).state == "finished"
    model = tuned_model_store.read_model(taught, "paused-at-the-end")
    assert losses(taught, paused.id) == losses(taught, whole.run_id)
    assert (model.steps, model.weights_hash) == (whole.steps, whole.weights_hash)


@pytest.fixture
def one_thread(monkeypatch):
    """Use one thread in this process and in the processes it starts: sums depend on how many threads share them."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_along_the_same_curve(taught, one_thread):
    whole = tuned(taught, "whole", epochs=8, evaluations=12)
    run_id = runs.start(taught, "finetune", "test", runs_order("killed", epochs=8, evaluations=12))
    every = -(-whole.steps // 12)
    wait_for(lambda: (last := training_rows.last_step(taught.db, run_id)) and last.step > every, "a checkpoint", 180)
    os.kill(runs.get(taught, run_id).pid, signal.SIGKILL)
    wait_for(lambda: runs.state_of(runs.get(taught, run_id)) == "lost", "the run is lost")
    (half := taught.folder / "training" / str(run_id) / "checkpoint-9999").mkdir()
    assert resume_run(taught, run_id).state == "finished"
    assert not half.exists()
    assert losses(taught, run_id) == pytest.approx(losses(taught, whole.run_id), rel=1e-5)
    assert tuned_model_store.read_model(taught, "killed").weights_hash == whole.weights_hash, "the very same weights"


def runs_order(name: str, **values):
    from glan_core.training.settings import FinetuneSettings

    return FinetuneSettings(**tiny_order(name, **values))


def test_ended_early_it_is_a_model_all_the_same(taught, wish_at):
    wish_at(5, KEPT)
    run = execute_run(taught, tiny_order("early"), kind="finetune")
    model = tuned_model_store.read_model(taught, "early")
    assert run.state == "finished" and "ended early" in run.message and model.stopped_early
    assert model.steps == 5 < run_rows.stages(taught.db, run.id)[-1].planned
    with pytest.raises(GlanError, match="Only running runs"):
        runs.keep(taught, run.id)


@pytest.mark.slow
def test_patience_stops_what_no_longer_gets_better_and_the_best_weights_are_kept(taught):
    model = tuned(taught, "patient", epochs=200, learning_rate=0.03, evaluations=100, patience=2, keep_best=True)
    held = [step.validation_loss for step in training_rows.steps(taught.db, model.run_id) if step.validation_loss is not None]
    assert len(held) < 100 and held[-1] > min(held) and model.losses["validation"] == min(held)


@pytest.mark.long
def test_an_adapter_keeps_nothing_of_its_base_and_merges_to_the_same_model(taught, base):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    before = tuned_model_store.hash_weights(base)
    model = tuned(taught, "adapter", base=str(base), method="lora", lora_rank=4, learning_rate=1e-2)
    assert model.form == "adapter" and model.template == "alpaca" and tuned_model_store.hash_weights(base) == before
    assert (model.weights(taught) / "adapter_model.safetensors").exists() and not (
        model.weights(taught) / "model.safetensors"
    ).exists()
    assert 0 < model.trained_parameters < model.parameters / 3 and model.base_path(taught) == str(base)
    run = execute_run(taught, {"model": "adapter", "name": "whole-adapter"}, kind="merge")
    assert run.state == "finished", run.message
    merged = tuned_model_store.read_model(taught, "whole-adapter")
    assert merged.form == "full" and merged.merged_from == "adapter" and merged.weights_hash != model.weights_hash
    ids = torch.arange(3, 40)[None]
    plain = AutoModelForCausalLM.from_pretrained(base)
    alone = plain(ids).logits
    adapted = PeftModel.from_pretrained(plain, model.weights(taught))(ids).logits
    together = AutoModelForCausalLM.from_pretrained(merged.weights(taught))(ids).logits
    assert torch.allclose(adapted, together, atol=1e-4) and not torch.allclose(adapted, alone, atol=1e-2)
    again = execute_run(taught, {"model": "whole-adapter", "name": "twice"}, kind="merge")
    assert again.state == "failed" and "has no adapter to merge" in again.message


def test_the_loss_is_the_models_own_where_only_trained_tokens_are_looked_at(taught):
    import torch

    from glan_core.training.tiny_model import make_model
    from glan_core.training.trainer import SnapshotTrainer

    class Lean(SnapshotTrainer):
        def __init__(self) -> None:
            self._lean, self.tokens = True, 0

    model = make_model(TINY, 600, 0)
    ids = torch.randint(3, 600, (3, 20))
    labels = ids.clone()
    labels[:, :8] = -100
    labels[1, 15:] = -100
    inputs = {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}
    assert Lean().compute_loss(model, dict(inputs)).item() == pytest.approx(model(**inputs).loss.item(), rel=1e-5)


@pytest.mark.slow
def test_packed_rows_do_not_see_one_another(taught):
    """The loss of packed sequences equals that of separate rows: attention does not cross rows."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from glan_core.training.tiny_model import make_model

    model = make_model(TINY, 600, 0)
    rows = [{"input_ids": torch.randint(3, 600, (n,)).tolist()} for n in (12, 7, 20)]
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    packed = collate([{**row, "labels": row["input_ids"]} for row in rows])
    logits = model(input_ids=packed["input_ids"], position_ids=packed["position_ids"], use_cache=False).logits[0]
    alone = torch.cat([model(torch.tensor([row["input_ids"]])).logits[0] for row in rows])
    assert torch.allclose(logits, alone, atol=1e-4)
    sizes = {"max_length": 2048, "global_batch_size": 2, "per_device_batch_size": 2, "epochs": 3}
    model, plain = tuned(taught, "packed", packing=True, **sizes), tuned(taught, "unpacked", **sizes)
    assert model.steps < plain.steps / 2 and model.tokens == pytest.approx(plain.tokens, rel=0.2)


def test_precision_is_tried_out(monkeypatch):
    import torch

    from glan_core.training import model_loading

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for slow, chosen in ((2.5, "fp32"), (0.5, "bf16")):
        monkeypatch.setattr(model_loading, "_seconds", lambda dtype, slow=slow: slow if dtype is torch.bfloat16 else 1.0)
        assert model_loading.choose_precision("auto") == chosen
    assert model_loading.choose_precision("bf16") == "bf16"


def test_rows_of_like_length_come_together_and_an_epochs_order_is_its_own():
    from glan_core.training.trainer import LengthBuckets

    lengths = [(n * 37) % 101 for n in range(203)]
    buckets = LengthBuckets(lengths, 4, 8, seed=1)
    first = list(buckets)
    assert sorted(first) == list(range(203)) and first == list(buckets) == list(LengthBuckets(lengths, 4, 8, seed=1))
    batches = [first[n : n + 4] for n in range(0, 200, 4)]
    spread = sum(max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches) / len(batches)
    assert spread < 5, "of 101 different lengths"
    buckets.set_epoch(1)
    assert list(buckets) != first
    assert list(LengthBuckets(lengths, 4, 8, seed=2)) != first


@pytest.mark.parametrize(("values", "fault", "said"), [
    ({"snapshot": "none"}, None, "does not exist"),
    ({"name": "undisturbed"}, None, "already exists"),
    ({"base": "/nowhere", "method": "lora"}, None, "cannot be loaded"),
    ({"max_length": 16}, None, "Raise the max length"),
    ({}, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "a smaller per-device batch size"),
    ({}, OSError(28, "No space left on device"), "is full"),
])  # fmt: skip
def test_what_a_person_can_mend_is_said_in_words(taught, undisturbed, monkeypatch, values, fault, said):
    from transformers import Trainer

    if fault:

        def train(self, **_):
            raise fault

        monkeypatch.setattr(Trainer, "train", train)
    run = execute_run(taught, tiny_order("faulty", **values), kind="finetune")
    assert run.state == "failed" and said in run.message and "Traceback" not in run.message
    assert not (taught.folder / "models" / "faulty").exists()


def test_a_loss_that_is_no_number_ends_the_run(taught, monkeypatch):
    from glan_core.training.trainer import SnapshotTrainer

    whole = SnapshotTrainer.compute_loss
    monkeypatch.setattr(SnapshotTrainer, "compute_loss", lambda *args, **kwargs: whole(*args, **kwargs) * float("nan"))
    run = execute_run(taught, tiny_order("nan"), kind="finetune")
    assert run.state == "failed" and "not finite at step 1. Use a lower learning rate" in run.message
