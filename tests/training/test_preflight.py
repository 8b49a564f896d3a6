"""Tests for the checks before a fine-tuning run: whatever would fail later is refused with what to change."""

import json
import shutil

import pytest
from support.training_fixtures import tiny_order

from glan_core.errors import GlanError
from glan_core.models import server_client, tuned_model_store
from glan_core.training import memory_estimate, preflight
from glan_core.training.memory_estimate import Gpu, MemoryEstimate
from glan_core.training.settings import FinetuneSettings

pytest_plugins = ["support.training_fixtures"]
HUGE = {"hidden": 4096, "inner": 16_384, "layers": 64, "heads": 32, "vocabulary": 65_536}


def settings(name: str = "planned", **values) -> FinetuneSettings:
    return FinetuneSettings(**tiny_order(name, **values))


@pytest.fixture
def damaged(base, tmp_path):
    """Return a function that copies the base model, changes its folder and returns it."""

    def copy(change) -> str:
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        change(folder)
        return str(folder)

    return copy


def configured(**values):
    def change(folder) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def tokenizer_configured(**values):
    def change(folder) -> None:
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def truncated(folder) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def sharded(folder) -> None:
    """Two shards, of which the second was not downloaded."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


DAMAGED = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    "truncated": (truncated, "truncated or damaged"),
    "no safetensors": (lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"), "truncated or damaged"),
    "a shard is missing": (sharded, "has no model-00002-of-00002.safetensors"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be read"),
    "another model's tokenizer": (configured(vocab_size=100), "do not belong together"),
    "no end token": (tokenizer_configured(eos_token=None), "no end token"),
    "broken template": (tokenizer_configured(chat_template="{{ nothing.at.all }}"), "chat template of the base model"),
    "broken configuration": (lambda folder: (folder / "config.json").write_text("{"), "config.json of"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "There are no weights in"),
    "unknown architecture": (configured(model_type="my-own"), "is not known to the installed transformers"),
    "own code": (configured(model_type="x", auto_map={"AutoModel": "m.M"}), "code of their own"),
    "an encoder": (configured(model_type="bert", architectures=["BertForMaskedLM"]), "does not generate text"),
    "quantized": (configured(quantization_config={"quant_method": "gptq"}), "quantized and cannot be trained"),
    "an adapter": (
        lambda folder: (folder / "config.json").rename(folder / "adapter_config.json"), "is an adapter. Merge it",
    ),
    "GGUF": (lambda folder: (folder / "config.json").rename(folder / "model.gguf"), "GGUF format"),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED)
def test_an_unsuitable_base_is_refused_before_anything_runs(taught, damaged, fault):
    change, said = DAMAGED[fault]
    with pytest.raises(GlanError, match=said) as refused:
        preflight.check_settings(taught, settings(base=damaged(change)))
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)
    assert preflight.find_obstacle(taught, settings(base=damaged(change))) == str(refused.value), "the page says the same"


def test_a_suitable_base_passes(taught, base, damaged):
    for place in (str(base), damaged(tokenizer_configured(chat_template=None))):  # without a template Alpaca's is used
        preflight.check_settings(taught, settings(base=place))
        preflight.check_settings(taught, settings(base=place, method="lora"))
    assert preflight.find_obstacle(taught, settings()) == ""


def test_rows_names_and_snapshots_are_checked(taught):
    assert "already exists" in preflight.find_obstacle(taught, put_folder(taught, "taken"))
    for values, said in (({"snapshot": "none"}, "does not exist"), ({"max_length": 16}, "No rows are left to train on")):
        assert said in preflight.find_obstacle(taught, settings(**values))


def put_folder(ws, name: str) -> FinetuneSettings:
    tuned_model_store.model_folder(ws, name).mkdir(parents=True)
    return settings(name)


def test_a_base_on_the_hub_needs_a_connection_and_the_page_does_not_wait_for_it(taught, monkeypatch):
    from glan_core.io import hub_reachability

    monkeypatch.setattr(hub_reachability, "is_reachable", lambda: False)
    with pytest.raises(GlanError, match="Hub cannot be reached"):
        preflight.check_settings(taught, settings(base="owner/model"))
    monkeypatch.setattr(hub_reachability, "is_reachable", lambda: pytest.fail("it asked the network"))
    assert preflight.find_obstacle(taught, settings(base="owner/model")) == ""


def test_disk_space_is_checked(taught, monkeypatch):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert "of disk space in" in preflight.find_obstacle(taught, settings())


def test_too_little_memory_is_refused_with_what_to_change(taught):
    obstacle = preflight.find_obstacle(taught, settings(scratch=HUGE))
    assert "The run needs" in obstacle and "are available on this machine" in obstacle and "max length below 384" in obstacle


def test_memory_is_refused_below_the_lower_end_of_the_estimate_and_not_above_it(monkeypatch):
    need = MemoryEstimate(10_000_000_000, maps_tensors=False)
    assert need.range == (8_000_000_000, 12_000_000_000)
    monkeypatch.setattr(server_client, "memory_in_use", lambda: 0)
    monkeypatch.setattr(preflight, "available_memory", lambda: 8_000_000_000)
    preflight.check_memory(settings(), need)
    monkeypatch.setattr(preflight, "available_memory", lambda: 7_999_999_999)
    with pytest.raises(GlanError, match=r"needs 8\.0 GB to 12 GB of memory"):
        preflight.check_memory(settings(), need)
    monkeypatch.setattr(server_client, "memory_in_use", lambda: 1)  # chat models are released before training
    preflight.check_memory(settings(), need)


def test_advice_names_what_is_not_yet_used(base, monkeypatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: 1)
    need = MemoryEstimate(10_000_000_000, maps_tensors=False)
    with pytest.raises(GlanError) as full:
        preflight.check_memory(settings(base=str(base)), need)
    small = {"method": "lora", "gradient_checkpointing": True, "per_device_batch_size": 1, "base": str(base)}
    with pytest.raises(GlanError) as adapter:
        preflight.check_memory(settings(**small), need)
    offered = ("a per-device batch size below 4", "gradient checkpointing", "the method LoRA")
    assert [word for word in offered if word not in str(full.value)] == []
    assert [word for word in (*offered, "per-device") if word in str(adapter.value)] == []


def test_devices_and_libraries_are_checked(taught, base, monkeypatch):
    lora = {"base": str(base), "method": "qlora"}
    assert "needs an NVIDIA GPU" in preflight.find_obstacle(taught, settings(**lora))
    for module in (preflight, memory_estimate):
        monkeypatch.setattr(module, "gpus", lambda: (Gpu("A100", 80 << 30),))
    assert "pip install bitsandbytes" in preflight.find_obstacle(taught, settings(**lora))
    two = {"processes": 2, "per_device_batch_size": 2}
    assert "this machine has 1" in preflight.find_obstacle(taught, settings(**two))
