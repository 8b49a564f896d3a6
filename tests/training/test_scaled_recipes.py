"""Tests for recipe values scaled to base model, rows and device."""

import json

import pytest
from support.training_fixtures import TINY

from glan_core.cli import build_parser
from glan_core.cli.finetune import finetune_settings
from glan_core.training import scaled_recipes
from glan_core.training.command_line import finetune_command
from glan_core.training.memory_estimate import Gpu
from glan_core.training.recipes import RECIPES
from glan_core.training.scaled_recipes import SCALED, scaled_recipe
from glan_core.training.settings import FinetuneSettings

pytest_plugins = ["support.training_fixtures"]
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
           "num_key_value_heads": 3, "vocab_size": 49_152, "tie_word_embeddings": True}  # fmt: skip
SIZES = {"135M": (SMOLLM2, 1e-3), "360M": (SMOLLM2 | {"hidden_size": 960, "num_attention_heads": 15, "num_key_value_heads": 5,
         "intermediate_size": 2560, "num_hidden_layers": 32}, 5e-4), "1.7B": (SMOLLM2 | {"hidden_size": 2048,
         "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 8192, "num_hidden_layers": 24}, 2e-4)}  # fmt: skip


@pytest.fixture
def sized(base, tmp_path):
    """Return a function that creates the folder of a base of another size; only its configuration and tokenizer exist."""

    def make(config: dict) -> str:
        folder = tmp_path / str(config["hidden_size"])
        folder.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((base / name).read_bytes())
        (folder / "config.json").write_text(json.dumps(config))
        return str(folder)

    return make


@pytest.mark.parametrize("size", SIZES)
def test_lora_is_scaled_to_a_small_base_on_a_cpu(taught, sized, size, monkeypatch):
    config, rate = SIZES[size]
    monkeypatch.setattr(scaled_recipes, "total_memory", lambda: 16 * 10**9)
    made = scaled_recipe(taught, "lora", "first", sized(config))
    settings = FinetuneSettings(name="x", snapshot="first", recipe="lora", **made.values)
    assert (settings.learning_rate, settings.global_batch_size) == (rate, 4)
    assert settings.max_length == 1024 if size == "135M" else settings.max_length in (512, 1024)
    assert settings.per_device_batch_size in (1, 2) and settings.evaluations == 4
    assert "parameters, " in made.reason and " pairs and " in made.reason and "CPU core" in made.reason


def test_few_rows_are_seen_more_than_once_and_many_for_an_hour_at_most(taught, sized, monkeypatch):
    base = sized(SMOLLM2)
    assert scaled_recipe(taught, "lora", "first", base).values["epochs"] > 1  # they are 5 steps
    monkeypatch.setattr(scaled_recipes, "CPU_SECONDS", 1e-3)
    assert 0 < scaled_recipe(taught, "lora", "first", base).values["epochs"] < 10


def test_other_recipes_other_devices_and_other_sizes_keep_the_recipe(taught, sized, monkeypatch):
    own = RECIPES["lora"].values
    assert scaled_recipe(taught, "lora", "first").values == own  # Mistral 7B is not for a CPU
    for recipe in ("demo", "paper", "paper-scaled"):
        assert scaled_recipe(taught, recipe, "first").values == RECIPES[recipe].values
    base = sized(SMOLLM2)
    assert scaled_recipe(taught, "paper", "first", base).values == RECIPES["paper"].values | {"base": base}
    monkeypatch.setattr(scaled_recipes, "gpus", lambda: (Gpu("L4", 24 << 30),))
    made = scaled_recipe(taught, "lora", "first", base)
    assert made.values == own | {"base": base} and not made.reason


def test_the_command_line_scales_too_and_given_options_win(taught, sized):
    base = sized(SMOLLM2)
    words = ["finetune", str(taught.folder), "--snapshot", "first", "--name", "x", "--recipe", "lora", "--base", base]
    scaled = scaled_recipe(taught, "lora", "first", base).values

    def made(*more: str) -> FinetuneSettings:
        return finetune_settings(build_parser().parse_args([*words, *more]), taught)

    assert {name: getattr(made(), name) for name in SCALED} == {name: scaled[name] for name in SCALED}
    assert made("--epochs", "2.5", "--global-batch-size", "64", "--per-device-batch-size", "8").epochs == 2.5
    # The command of settings that equal the unscaled recipe states them, since it would otherwise be scaled.
    plain = FinetuneSettings(name="x", snapshot="first", recipe="lora", scratch=TINY, **RECIPES["lora"].values | {"base": base})
    again = build_parser().parse_args(finetune_command(str(taught.folder), plain)[1:])
    assert finetune_settings(again, taught) == plain
