"""Tests for the training plan: steps, tokens, model sizes and warnings."""

import pytest
from support.runs import execute_run
from support.training_fixtures import TINY, tiny_order

from glan_core.models import tuned_model_store
from glan_core.training import model_shape, plan, tiny_model
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.training.training_texts import RowSample
from glan_core.workspace import run_rows, training_rows

pytest_plugins = ["support.training_fixtures"]


def settings(name: str = "planned", **values) -> FinetuneSettings:
    return FinetuneSettings(**tiny_order(name, **values))


@pytest.mark.long
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"global_batch_size": 8, "per_device_batch_size": 2, "epochs": 1.5},
        {"rows": 5, "global_batch_size": 3, "per_device_batch_size": 1},
    ],
)
def test_the_plan_is_what_the_run_then_does(taught, values):
    name = f"as-planned-{len(values)}-{values.get('global_batch_size', 0)}"
    planned = plan.plan(taught, settings(name, **values))
    run = execute_run(taught, tiny_order(name, **values), kind="finetune")
    model = tuned_model_store.read_model(taught, name)
    assert run_rows.stages(taught.db, run.id)[-1].planned == planned.steps == model.steps
    assert model.rows == planned.rows and model.tokens == pytest.approx(planned.tokens, rel=0.15)
    assert model.parameters == planned.parameters
    rates = [step.lr for step in training_rows.steps(taught.db, run.id) if step.lr is not None]
    assert rates.index(max(rates)) == planned.warmup, "warm-up ends at the peak"


def test_sizes_of_models_are_told_from_their_configuration(base):
    from transformers import AutoModelForCausalLM

    real = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(base).parameters())
    assert model_shape.base_shape(str(base)).parameters == real
    assert tiny_model.count_parameters(TINY) == sum(p.numel() for p in tiny_model.make_model(TINY, 600, 0).parameters())
    assert model_shape.base_shape(RECIPES["paper"].values["base"]).parameters == 7_241_732_096


def test_an_adapters_size_is_the_one_that_peft_makes(base):
    from glan_core.training import model_loading

    lora = settings(base=str(base), method="lora", lora_rank=4)
    made = model_loading.prepare_model(*model_loading.load_base(lora, "fp32"), lora, "fp32")
    assert model_shape.base_shape(str(base)).adapter(4) == made.trained_parameters


def test_a_smaller_draw_of_rows_is_part_of_a_larger_one(taught):
    from glan_core.dataset.snapshot_store import read_snapshot

    snapshot = read_snapshot(taught, "first")
    few, more, other = (
        {row["id"] for row in RowSample(snapshot, "train", n, seed).rows()} for n, seed in ((4, 0), (9, 0), (4, 1))
    )
    assert len(few) == 4 and len(more) == 9 and few < more and other != few
    assert len(list(RowSample(snapshot, "train").rows())) == snapshot.manifest.rows["train"]


@pytest.mark.parametrize(("values", "said"), [
    ({"warmup_steps": 1000}, "never reaches its peak"),
    ({"method": "lora", "learning_rate": 2e-5}, "too low for an adapter"),
    ({"base": True, "learning_rate": 1e-3}, "too high for training all weights"),
    ({"max_length": 200}, "lose the end of their answer"),
])  # fmt: skip
def test_what_is_unlikely_to_be_meant_is_said(taught, base, values, said):
    if values.pop("base", False) or values.get("method"):
        values = values | {"base": str(base)}
    assert any(said in warning for warning in plan.plan(taught, settings(**values)).warnings)


def test_tokens_of_a_base_that_is_not_here_are_estimated_and_said_to_be(taught):
    made = plan.plan(taught, settings(base="owner/model"))
    assert made.tokens > made.trained_tokens > 0 and "is not stored locally" in made.basis
    assert made.parameters is None and made.seconds is None


def test_recipes_say_what_the_paper_states():
    paper = FinetuneSettings(name="x", snapshot="s", recipe="paper", **RECIPES["paper"].values)
    assert (paper.base, paper.method, paper.epochs, paper.learning_rate) == ("mistralai/Mistral-7B-v0.1", "full", 3, 3e-6)
    assert (paper.warmup_steps, paper.schedule, paper.global_batch_size) == (1000, "cosine", 512)
    scaled = FinetuneSettings(name="x", snapshot="s", recipe="paper-scaled", **RECIPES["paper-scaled"].values)
    assert scaled.warmup_steps is None and plan.count_warmup_steps(scaled, 58_600) == pytest.approx(1000, abs=5)
    assert plan.count_warmup_steps(scaled, 293) == 5
    assert RECIPES["lora"].values["learning_rate"] >= 1e-4


@pytest.mark.parametrize("values", [
    {"name": "Not A Slug"}, {"global_batch_size": 6, "per_device_batch_size": 4}, {"method": "lora"}, {"epochs": 0}, {"scratch": {"hidden": 100}},
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(values):
    with pytest.raises(ValueError):
        FinetuneSettings(**tiny_order("x") | values)
