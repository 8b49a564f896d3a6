"""Tests for distributed fine-tuning: the same loss curve as one process, and stop requests."""

import pytest
from support.training_fixtures import tiny_order, tuned

from glan_core import runs
from glan_core.models import tuned_model_store
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import training_rows

pytest_plugins = ["support.training_fixtures"]
STEADY = {"per_device_batch_size": 2, "schedule": "constant", "warmup_ratio": 0.0}  # independent of the length of the run


def losses(ws, run_id: int) -> list[float]:
    return [step.loss for step in training_rows.steps(ws.db, run_id) if step.loss is not None]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_until_a_wish_ends_both(taught):
    alone = losses(taught, tuned(taught, "alone", epochs=1, **STEADY).run_id)
    run_id = runs.submit(taught, "finetune", "test", tiny_order("together", epochs=100, processes=2, **STEADY))

    def watch(sample, stages, notes) -> None:
        if (
            any(stage.stage == "steps" and stage.done >= len(alone) for stage in stages)
            and runs.get(taught, run_id).wish is None
        ):
            runs.keep(taught, run_id)

    run = runs.work(taught, run_id, watch)
    assert run.state == "finished" and "ended early" in run.message, run.message
    whole = len(alone) - 1  # the last step of an epoch is padded with repeated rows
    assert losses(taught, run_id)[:whole] == pytest.approx(alone[:whole], rel=1e-3)
    together = tuned_model_store.read_model(taught, "together")
    files = {file.name for file in together.weights(taught).iterdir()}
    assert {"model.safetensors", "tokenizer.json"} <= files and "training_args.bin" not in files


@pytest.mark.slow
@pytest.mark.parametrize("values", [{"precision": "bf16"}, {"gradient_checkpointing": True}], ids=["bf16", "checkpointing"])
def test_two_processes_train_in_bf16_and_with_checkpointing(taught, capfd, values):
    """Over gloo; sharding (FSDP) needs GPUs, and its setting says that it is not tested."""
    from transformers import AutoModelForCausalLM

    name = "-".join(values).replace("_", "-")
    alone = losses(taught, tuned(taught, f"{name}-alone", epochs=1, **STEADY, **values).run_id)
    both = tuned(taught, f"{name}-both", epochs=1, processes=2, **STEADY, **values)
    assert "2 processes, MULTI_CPU." in capfd.readouterr().out
    whole = len(alone) - 1
    assert losses(taught, both.run_id)[:whole] == pytest.approx(alone[:whole], rel=0.02 if values.get("precision") else 1e-3)
    assert both.precision == values.get("precision", "fp32")
    loaded = AutoModelForCausalLM.from_pretrained(both.weights(taught))
    assert sum(parameter.numel() for parameter in loaded.parameters()) == both.parameters


def test_what_was_never_run_says_so_where_it_is_chosen():
    for name in ("method", "processes", "precision"):
        assert "not tested on this hardware" in FinetuneSettings.model_fields[name].description, name
