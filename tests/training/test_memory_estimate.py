"""Tests for the memory estimate against peaks that were measured with SmolLM2-135M-Instruct."""

import pytest
from support.training_fixtures import tiny_order

from glan_core.training import memory_estimate
from glan_core.training.memory_estimate import estimate_memory
from glan_core.training.model_shape import MISTRAL_7B, ModelShape
from glan_core.training.settings import FinetuneSettings

SMOLLM2 = ModelShape(576, 1536, 30, 576, 192, 49_152, 8192, 134_515_008)
# Peak resident memory in GB, less the 0.51 GB of the libraries in that process: method, rows, tokens, checkpointing, mapped tensors.
MEASURED = [
    ("lora", 4, 512, False, True, 3.41), ("lora", 2, 1024, False, True, 3.83), ("lora", 1, 256, False, True, 1.18),
    ("lora", 4, 512, True, True, 1.07), ("full", 4, 512, False, True, 5.12), ("full", 4, 512, True, True, 2.47),
    ("full", 1, 1024, True, True, 2.47), ("lora", 4, 512, False, False, 6.02), ("lora", 2, 1024, False, False, 6.00),
    ("lora", 1, 256, False, False, 1.34), ("full", 2, 512, False, False, 3.94), ("full", 4, 256, False, False, 4.04),
]  # fmt: skip


def settings(**values) -> FinetuneSettings:
    return FinetuneSettings(**tiny_order("x", base="/a/base", **values))


@pytest.mark.parametrize(("method", "rows", "tokens", "checkpointing", "maps", "peak"), MEASURED)
def test_the_estimate_is_within_its_tolerance_of_measured_peaks(method, rows, tokens, checkpointing, maps, peak):
    made = estimate_memory(
        settings(method=method, per_device_batch_size=rows, global_batch_size=rows, max_length=tokens,
                 gradient_checkpointing=checkpointing or None, lora_rank=16),
        SMOLLM2, tokens, room=1 if maps else 2**50,
    )  # fmt: skip
    assert made.maps_tensors == maps
    least, most = (end - memory_estimate.LIBRARIES for end in made.range)
    assert least <= peak * 1e9 <= most, f"{made.bytes / 1e9:.2f}"
    assert (made.bytes - memory_estimate.LIBRARIES) / 1e9 == pytest.approx(peak, rel=0.15)


def test_it_grows_with_what_needs_memory_and_shrinks_with_what_saves_it():
    def need(tokens=512, room=2**50, **values) -> int:
        return estimate_memory(settings(max_length=1024, **values), SMOLLM2, tokens, room).bytes

    lora = {"method": "lora", "global_batch_size": 4, "per_device_batch_size": 2}
    plain = need(**lora)
    assert need(**lora | {"per_device_batch_size": 4}) > plain > need(**lora | {"per_device_batch_size": 1})
    assert need(1024, **lora) > plain and need(4096, **lora) == need(1024, **lora), "rows are truncated at the max length"
    assert need(**lora, packing=True) == need(1024, **lora), "packed rows are all as long as the max length"
    assert need(**lora | {"method": "full"}) > plain > need(**lora, gradient_checkpointing=True)
    assert need(**lora, room=4 * 10**9) < plain, "on a small machine tensors are mapped one by one"
    assert need(**lora | {"per_device_batch_size": 2, "processes": 2}) > 1.5 * plain, "processes share the memory of a CPU"


def test_seven_billion_parameters_are_refused_on_a_laptop_and_fit_a_large_gpu(monkeypatch):
    lora = settings(method="lora", per_device_batch_size=4, max_length=1024)
    assert estimate_memory(lora, MISTRAL_7B, 1024, room=16 * 10**9).range[0] > 16 * 10**9
    monkeypatch.setattr(memory_estimate, "gpus", lambda: (memory_estimate.Gpu("A100", 80 << 30),))
    on_gpu = estimate_memory(
        settings(method="lora", per_device_batch_size=4, max_length=1024, precision="auto"), MISTRAL_7B, 1024
    )
    assert 16e9 < on_gpu.bytes < 80e9
