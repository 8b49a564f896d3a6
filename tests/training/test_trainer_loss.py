"""Tests for the loss on CPUs: chunks of logits give the loss and the gradients of all logits at once."""

import pytest
from support.training_fixtures import tuned

pytest_plugins = ["support.training_fixtures"]


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_chunks_give_the_same_loss_and_gradients(rows, monkeypatch):
    import torch

    from glan_core.training import trainer

    torch.manual_seed(0)
    head = torch.nn.Linear(16, 100, bias=False)
    hidden, labels = torch.randn(rows, 16, requires_grad=True), torch.randint(0, 100, (rows,))
    found = []
    for limit in (2**30, 10 * 400):  # all at once, and ten tokens at a time
        monkeypatch.setattr(trainer, "LOGIT_BYTES", limit)
        head.weight.grad = hidden.grad = None
        loss = trainer.summed_cross_entropy(head, hidden, labels)
        loss.backward()
        found.append((loss.item(), hidden.grad.clone(), head.weight.grad.clone()))
    (whole, *gradients), (chunked, *other) = found
    assert chunked == pytest.approx(whole, rel=1e-5)
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(gradients, other))


@pytest.mark.long
def test_a_run_in_chunks_has_the_curve_of_a_run_without(taught, monkeypatch):
    from glan_core.training import trainer
    from glan_core.workspace import training_rows

    curves = []
    for name, limit in (("at-once", 2**30), ("chunked", 40 * 600 * 4)):
        monkeypatch.setattr(trainer, "LOGIT_BYTES", limit)
        steps = training_rows.steps(taught.db, tuned(taught, name, epochs=1).run_id)
        curves.append([step.validation_loss or step.loss for step in steps])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_logits_that_a_model_caps_or_scales_are_left_to_the_model():
    from types import SimpleNamespace

    from glan_core.training.trainer import _computes_plain_logits

    assert _computes_plain_logits(SimpleNamespace(hidden_size=3)) and _computes_plain_logits(SimpleNamespace(logit_scale=1.0))
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        assert not _computes_plain_logits(SimpleNamespace(**{name: 30.0}))


def test_sample_replies_are_those_of_each_prompt_alone(base):
    from support.training_fixtures import tiny_order

    from glan_core.training import model_loading
    from glan_core.training.settings import FinetuneSettings
    from glan_core.training.trainer import sample_replies

    settings = FinetuneSettings(**tiny_order("x", base=str(base)))
    loaded = model_loading.prepare_model(*model_loading.load_base(settings, "fp32"), settings, "fp32")
    prompts = ["A chord?", "Explain the term. " * 6, "Why"]
    assert sample_replies(loaded, prompts, 12) == [sample_replies(loaded, [prompt], 12)[0] for prompt in prompts]
