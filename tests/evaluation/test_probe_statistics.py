"""Contamination probe by value: intervals, splits, what is stored, and when weights are loaded."""

import json
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from glan_core.errors import GlanError
from glan_core.evaluation.contamination import probe_job
from glan_core.evaluation.contamination.probe_job import SplitLoss, delta_interval
from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.evaluation.contamination.token_loss import RowLoss, TokenizedText
from glan_core.models import weights_cache
from glan_core.models.model_specs import ResolvedModel
from glan_core.settings import read_settings
from glan_core.workspace import probe_rows

A, B = np.random.default_rng(0).normal(2, 1, 40), np.random.default_rng(1).normal(1, 0.5, 25)


# -------------------------------------------------------------------------------------------------------------- intervals


def resampled(values, rng, blocks):
    return np.concatenate([values[rng.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in blocks])


def test_the_interval_is_the_percentile_bootstrap_of_2000_resamples():
    rng = np.random.default_rng(7)
    deltas = resampled(A, rng, [2000]) - resampled(B, rng, [2000])
    assert delta_interval(A, B, 7) == pytest.approx(tuple(np.quantile(deltas, [0.025, 0.975])))
    assert (probe_job.RESAMPLES, probe_job.LEVEL) == (2000, 95)
    low, high = delta_interval(A, B)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(A.var() / 40 + B.var() / 25), rel=0.06)
    assert (low + high) / 2 == pytest.approx(A.mean() - B.mean(), abs=0.03)


def test_a_relative_difference_is_in_percent_of_the_test_loss():
    rng = np.random.default_rng(7)
    tests, others = resampled(A, rng, [2000]), resampled(B, rng, [2000])
    expected = np.quantile(100 * (tests - others) / tests, [0.025, 0.975])
    assert delta_interval(A, B, 7, percent=True) == pytest.approx(tuple(expected))
    assert delta_interval([4.0, 4.0], [1.0, 1.0], percent=True) == (75.0, 75.0)
    assert delta_interval([0.0, 0.0], [1.0, 1.0], percent=True) == (0.0, 0.0)


def test_two_rows_are_enough_and_one_is_not():
    assert delta_interval([3.0, 3.0], [1.0, 1.0]) == (2.0, 2.0)
    assert delta_interval([3.0], [1.0, 1.0]) is None and delta_interval([3.0, 3.0], [1.0]) is None


def test_blocks_of_random_numbers_are_bounded(monkeypatch):
    monkeypatch.setattr(probe_job, "CHUNK", 40 * 600 + 39)
    rng = np.random.default_rng(3)
    assert probe_job._resampled(A, np.random.default_rng(3)).tolist() == resampled(A, rng, [600, 600, 600, 200]).tolist()
    monkeypatch.setattr(probe_job, "CHUNK", 1)
    assert len(probe_job._resampled(A[:3], np.random.default_rng(3))) == 2000


# ----------------------------------------------------------------------------------------------------------------- splits


def test_a_split_has_the_mean_of_rows_and_the_mean_of_tokens():
    rows = [
        TokenizedText((1, 2, 3), (1, 2), 3),
        TokenizedText((1,), (), 1),
        TokenizedText((1, 2, 3), (1,), 9),
        TokenizedText((1, 2), (1,), 5),
    ]
    losses = {2: RowLoss(0.5, 1), 0: RowLoss(6.0, 4), 3: RowLoss(1.0, 1)}
    assert probe_job._split(rows, losses) == SplitLoss(
        pytest.approx((0.5 + 1.5 + 1.0) / 3), pytest.approx(7.5 / 6), rows=3, cut=2, left_out=1, tokens=6
    )
    assert probe_job._means(losses).tolist() == [1.5, 0.5, 1.0]


@pytest.mark.parametrize(("config", "context"), [
    ('{"max_position_embeddings": 2048}', 2048), ('{"max_position_embeddings": 2}', 2), ('{"max_position_embeddings": 1}', 2**31),
    ('{"max_position_embeddings": "many"}', 2**31), ("{}", 2**31), ("[2048]", 2**31), ("nonsense", 2**31), (None, 2**31),
])  # fmt: skip
def test_the_context_length_is_that_of_the_config(tmp_path, config, context):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert probe_job._context(tmp_path) == context


# --------------------------------------------------------------------------------------------------------------- the job


class Letters:
    is_fast, chat_template = True, None

    def __call__(self, text, **_):
        return {
            "input_ids": [1, *(ord(c) % 50 for c in text)],
            "offset_mapping": [(0, 0), *((n, n + 1) for n in range(len(text)))],
        }


class Steps:
    run_id = None

    def __init__(self):
        self.seen = []

    def step(self, *step):
        self.seen.append(step)


@pytest.fixture
def probe(ws, tmp_path, monkeypatch):
    """Factory of a probe with a fake model; `probe(models=...)` returns (message, progress, calls of the model)."""
    import torch

    for role, number in (("train", 4), ("test", 3), ("alike", 2)):
        rows = [{"question": f"{role} {n}?", "answer": f"{'x' * n}yz"} for n in range(number)]
        rows += [{"question": f"{role} none", "answer": ""}] * (role == "test")
        (tmp_path / f"{role}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    calls, released = [], []
    base = tmp_path / "weights"
    base.mkdir()

    def model(input_ids, attention_mask, use_cache, **adapters):
        calls.append((tuple(input_ids.shape), adapters))
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 50))

    model.device = "cpu"
    model.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=50))
    held = SimpleNamespace(
        model=model, lock=threading.Lock(), dtype="fp32", adapter_name=lambda folder: "lora" if folder else None
    )

    class Cache:
        @contextmanager
        def acquire(self, pane):
            yield held

    def resolve(ws, spec):
        if spec == "local:gone":
            raise GlanError("gone does not exist")
        return ResolvedModel(spec=spec, base=str(base), adapter=str(base / "adapter") if spec.startswith("tuned") else "")

    monkeypatch.setattr(probe_job, "resolve_model", resolve)
    monkeypatch.setattr(probe_job.server_client, "release", lambda: released.append(True))
    monkeypatch.setattr(weights_cache, "WeightsCache", Cache)
    monkeypatch.setattr(weights_cache, "find_weights", lambda place: base)
    monkeypatch.setattr(weights_cache, "cached_hash", lambda folder: f"hash-{folder.name}")
    monkeypatch.setattr(weights_cache, "open_tokenizer", lambda place: Letters())
    monkeypatch.setattr(weights_cache, "attach_adapter", lambda held, pane: None)

    def run(*models, alike=False, **values):
        files = {role: {"source": str(tmp_path / f"{role}.jsonl")} for role in ("train", "test", *(["alike"] if alike else []))}
        settings = read_settings(ProbeSettings, {"name": "sums", "models": list(models or ["local:mine"]), **files, **values})
        calls.clear()
        released.clear()
        progress = Steps()
        return probe_job.run_probe(ws, settings, progress), progress.seen, list(calls), len(released)

    run.settings = lambda **values: read_settings(ProbeSettings, {
        "name": "sums", "models": ["local:mine"],
        **{role: {"source": str(tmp_path / f"{role}.jsonl")} for role in ("train", "test")}, **values,
    })  # fmt: skip
    run.base, run.held = base, held
    return run


def test_a_probe_stores_losses_counts_and_intervals(ws, probe):
    said, steps, calls, released = probe(alike=True)
    assert said == "Probed sums with 1 model: the largest delta is +0.0% (mine)."
    (row,) = probe_rows.probes(ws.db)
    uniform = pytest.approx(np.log(50), rel=1e-6)
    assert (row.loss_train, row.loss_test, row.loss_alike) == (uniform, uniform, uniform) and row.run_id is None
    assert row.about["splits"]["train"] == {
        "mean": uniform, "token_mean": uniform, "rows": 4, "cut": 0, "left_out": 0, "tokens": 2 + 3 + 4 + 5,
        "bits_per_byte": pytest.approx(np.log2(50), rel=1e-6),
    }  # fmt: skip
    assert row.about["files"]["test"] | {"sha256": "", "rows_sha256": "", "source": ""} == {
        "source": "", "label": "test", "sha256": "", "rows_sha256": "", "held": 3, "empty": 1, "written_by": [],
    }  # fmt: skip
    assert set(row.about["intervals"]) == {"delta", "delta_percent", "delta_alike"}
    assert row.about["bootstrap"] == {"resamples": 2000, "level": 95, "seed": 0}
    assert (row.about["covers_said"], row.about["template"], row.about["precision"]) == (
        "answer tokens, given the question", None, "fp32",
    )  # fmt: skip
    assert row.weights_hash == "hash-weights" and row.about["limit"] == 1024 and row.about["shared"] == 0
    assert [step for step in steps if "loading" in step[0]] == [("loading mine", 0, 1), ("loading mine", 1, 1)]
    assert [step[0] for step in steps[2:]] == [f"{what} read by mine" for what in
            ("training split", "training split", "test split", "test split", "look-alikes", "look-alikes")]  # fmt: skip
    assert [shape[0] for shape, _ in calls] == [4, 3, 2] and all(not adapters for _, adapters in calls) and released == 1


@pytest.mark.long
def test_a_model_that_was_measured_is_not_loaded_again(ws, probe):
    probe()
    said, _, calls, released = probe("local:mine", "local:other")
    assert said.startswith("Probed sums with 1 model, 1 already known: ") and len(calls) == 0 and released == 0
    assert len(probe_rows.probes(ws.db)) == 2, "the losses of equal weights are reused"
    assert probe("local:mine")[0].startswith("Probed sums with 0 models, 1 already known: ")
    said, _, calls, _ = probe("local:mine", covers="both")
    assert said.startswith("Probed sums with 1 model: ") and len(calls) == 2


@pytest.mark.parametrize("key", ["0", "z"])
def test_a_probe_of_other_weights_or_tokens_is_not_the_known_one(ws, probe, key):
    probe()
    with ws.write() as db:
        db.execute("UPDATE probes SET about = json_set(about, '$.key', ?)", (key,))
    assert probe()[0].startswith("Probed sums with 1 model: ") and len(probe_rows.probes(ws.db)) == 2


@pytest.mark.long
def test_a_known_probe_is_shown_as_the_latest(ws, probe):
    probe("local:mine")
    probe("local:other")
    assert [row.model for row in probe_rows.probes(ws.db)] == ["local:other", "local:mine"]
    probe("local:mine")
    assert [row.model for row in probe_rows.probes(ws.db)] == ["local:mine", "local:other"]


def test_losses_of_a_split_that_is_missing_are_measured_with_those_of_the_others_reused(ws, probe):
    probe()
    for file in (ws.folder / "probes").glob("*.jsonl"):
        if "[3, " not in file.read_text():  # the test split has three rows
            file.unlink()
    calls = probe("local:other")[2]
    assert [shape[0] for shape, _ in calls] == [3]


def test_an_adapter_is_named_for_every_row_and_has_a_hash_of_its_own(ws, probe):
    _, _, calls, _ = probe("tuned:mine")
    assert [adapters for _, adapters in calls] == [{"adapter_names": ["lora"] * 4}, {"adapter_names": ["lora"] * 3}]
    assert probe_rows.probes(ws.db)[0].weights_hash == "hash-weights+hash-adapter"


def test_the_limit_is_the_smaller_of_setting_and_context(ws, probe):
    (probe.base / "config.json").write_text('{"max_position_embeddings": 13}')
    probe()
    about = probe_rows.probes(ws.db)[0].about
    assert about["limit"] == 13 and about["splits"]["train"]["cut"] == 2
    (probe.base / "config.json").write_text('{"max_position_embeddings": 9}')
    with pytest.raises(GlanError, match="No covered tokens of the training split are left within 9 tokens"):
        probe()


def test_the_largest_delta_is_named(ws, probe, monkeypatch):
    deltas = {"local:a": 1.0, "local:b": 3.0, "local:c": -1.0}
    losses = probe_job._ModelProbe._losses

    def shifted(self, covered, keys):
        found, precision = losses(self, covered, keys)
        shift = deltas[self.model.spec]
        return found | {
            "test": {nth: RowLoss(one.nats + shift * one.tokens, one.tokens) for nth, one in found["test"].items()}
        }, precision

    monkeypatch.setattr(probe_job._ModelProbe, "_losses", shifted)
    percent = 100 * 3 / (np.log(50) + 3)
    assert probe("local:a", "local:b", "local:c")[0] == (
        f"Probed sums with 3 models: the largest delta is {percent:+.1f}% (b)."
    )


@pytest.mark.parametrize(("covers", "empty"), [("answer", 1), ("question", 0), ("both", 1)])
def test_a_plan_counts_rows(ws, probe, covers, empty):
    planned = probe_job.plan_probe(ws, probe.settings(covers=covers, sample=2))
    assert planned.rows == {"train": 2, "test": 2} and planned.empty == {"train": 0, "test": empty}
    assert planned.held == {"train": 4, "test": 4 - empty} and planned.shared == 0
    assert planned.covers == probe_job.COVERS[covers] and planned.models == ("local:mine",)
    assert planned.written == "plain text: question, line break, answer"


def test_checks_name_the_model_or_the_file(ws, probe, tmp_path):
    for check in (probe_job.check_probe, probe_job.plan_probe):
        with pytest.raises(GlanError, match="gone does not exist"):
            check(ws, probe.settings(models=["local:gone"]))
        with pytest.raises(GlanError, match="have the same rows"):
            check(ws, probe.settings(test={"source": str(tmp_path / "train.jsonl")}))
        with pytest.raises(GlanError, match="does not exist"):
            check(ws, probe.settings(test={"source": str(tmp_path / "nothing.jsonl")}))
    assert probe_job.check_probe(ws, probe.settings()) is None
    # sources on the Hub are not read by the check
    assert probe_job.check_probe(ws, probe.settings(train={"source": "gsm8k"})) is None
    with pytest.raises(GlanError, match="no column"):
        probe_job.check_probe(
            ws, probe.settings(train={"source": "gsm8k"}, test={"source": str(tmp_path / "test.jsonl"), "answer": "x"})
        )


def test_errors_of_loading_are_one_sentence(ws, probe):
    import torch

    for fault, said in (
        (weights_cache.ModelUnavailable("There is not enough memory."), "There is not enough memory."),
        (MemoryError(), "The texts do not fit into memory. Use a shorter max length or a smaller model."),
        (torch.OutOfMemoryError(), "The texts do not fit into memory. Use a shorter max length or a smaller model."),
    ):
        with pytest.raises(GlanError) as caught, probe_job._readable_errors():
            raise fault
        assert str(caught.value) == said
