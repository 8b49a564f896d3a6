"""Tests for batched decoding: adapters, seeds, stop conditions and the weights cache."""

import json
import shutil

import pytest
import torch
from support.chat_models import GREEDY, make_adapter, make_base, make_tuned

from glan_core.chat.self_test import self_test
from glan_core.models import batched_decode
from glan_core.models.batched_decode import DecodingRow, GumbelSampler, decode_batch, prompt_tokens
from glan_core.models.model_specs import ResolvedModel, SeededDecodingParams, resolve_model
from glan_core.models.tuned_model_store import hash_weights
from glan_core.models.weights_cache import ModelUnavailable, WeightsCache, attach_adapter, cached_hash, get_tokenizer
from glan_core.workspace import Workspace

pytest_plugins = ["support.chat_fixtures"]

PROMPTS = ("hello", "Why is the sky blue?", "a", "Write a poem about rings.\nAnd ideals.", "1 + 1 = ?")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Use one thread: synchronization takes longer than such small products."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


DRAWN = SeededDecodingParams(temperature=1.0, top_p=0.9, max_tokens=24, seed=7)


def answers(shelf: WeightsCache, panes: list[ResolvedModel], prompt: str, decoding: SeededDecodingParams = GREEDY) -> list[str]:
    """Return the answers of models that share a base, decoded as one batch."""
    texts = [""] * len(panes)

    def on_text(n: int):
        def add(text: str) -> None:
            texts[n] += text

        return add

    with shelf.acquire(panes[0]) as held:
        for pane in panes:
            attach_adapter(held, pane)
        rows = [
            DecodingRow(prompt_tokens(get_tokenizer(held, pane), [{"role": "user", "content": prompt}]), held.adapter_name(pane.adapter),
                get_tokenizer(held, pane), frozenset({256}), decoding.max_tokens, decoding.seed, on_text(n), decoding=decoding)
            for n, pane in enumerate(panes)
        ]  # fmt: skip
        decode_batch(held.model, rows)
    return texts


@pytest.mark.long
@pytest.mark.parametrize("decoding", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_a_base_beside_its_adapter_answers_as_it_does_alone(models_ws, decoding):
    base, tuned = resolve_model(models_ws, "base:tuned"), resolve_model(models_ws, "tuned:tuned")
    alone = [answers(WeightsCache(), [base], prompt, decoding)[0] for prompt in PROMPTS]  # never had an adapter
    shelf = WeightsCache()
    beside = [answers(shelf, [base, tuned], prompt, decoding) for prompt in PROMPTS]
    assert [pair[0] for pair in beside] == alone  # 5 of 5
    assert all(pair[0] != pair[1] for pair in beside)
    assert [answers(shelf, [tuned, base], prompt, decoding) for prompt in PROMPTS] == [pair[::-1] for pair in beside]


def test_an_adapter_answers_as_it_does_when_it_is_loaded_the_ordinary_way(models_ws, chat_base):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tuned = resolve_model(models_ws, "tuned:tuned")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(chat_base), tuned.adapter).eval()
    tokenizer = get_tokenizer(type("", (), {"tokenizers": {}, "folder": chat_base}), tuned)
    for prompt in PROMPTS:
        tokens = prompt_tokens(tokenizer, [{"role": "user", "content": prompt}])
        whole = model.generate(torch.tensor([tokens]), max_new_tokens=24, do_sample=False)[0, len(tokens) :]
        assert answers(WeightsCache(), [tuned], prompt) == [tokenizer.decode(whole)]


def test_two_adapters_share_one_copy_of_their_base(models_ws, chat_base, tmp_path):
    ws = Workspace.create(tmp_path / "ws")
    make_tuned(ws, chat_base, "first", seed=1)
    make_tuned(ws, chat_base, "second", seed=2)
    shelf = WeightsCache()
    panes = [resolve_model(ws, spec) for spec in ("tuned:first", "tuned:second", "base:first")]
    together = answers(shelf, panes, "hello")
    assert len(set(together)) == 3 and [held["adapters"] for held in shelf.summary()] == [2]
    assert [answers(WeightsCache(), [pane], "hello")[0] for pane in panes] == together


def test_a_seed_repeats_an_answer_and_another_one_does_not(models_ws):
    shelf, pane = WeightsCache(), resolve_model(models_ws, "tuned:whole")
    first = answers(shelf, [pane], "hello", DRAWN)
    assert answers(shelf, [pane], "hello", DRAWN) == first
    assert answers(shelf, [pane], "hello", DRAWN.model_copy(update={"seed": 8})) != first
    assert answers(shelf, [pane, pane], "hello", DRAWN) == first * 2


def test_drawing_follows_the_probabilities_of_the_likeliest():
    def row(seed):
        decoding = SeededDecodingParams(temperature=2.0, top_p=0.85)
        return DecodingRow([0], None, None, frozenset(), 1, seed, lambda text: None, decoding=decoding)

    draws = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    warm = GumbelSampler([row(0)])
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[warm(None, draws).argmax()] += 1
    shares = (draws[0] / 2).softmax(0)
    kept = shares[:3] / shares[:3].sum()  # 0.46, 0.28, 0.17 add up to 0.85; the fourth is excluded
    assert counts[3] == 0 and torch.allclose(counts[:3] / 4000, kept, atol=0.03)


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_top_k_and_the_repetition_penalty_are_those_of_transformers(penalty):
    from transformers import RepetitionPenaltyLogitsProcessor, TopKLogitsWarper

    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(1))
    decoding = SeededDecodingParams(temperature=0.5, top_p=1.0, top_k=7, repetition_penalty=penalty)
    row = DecodingRow([3, 4], None, None, frozenset(), 1, 0, lambda text: None, decoding=decoding, written=[5])
    expected = logits.clone()
    if penalty != 1:
        expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([[3, 4, 5]]), expected)
    expected = TopKLogitsWarper(7)(None, expected / 0.5)[0]
    noise = torch.empty(50).exponential_(generator=torch.Generator().manual_seed(0)).log()
    assert torch.allclose(batched_decode.Sampler(row).perturbed(logits[0]), expected - noise)


def test_a_greedy_row_with_a_repetition_penalty_repeats_less_and_its_neighbor_is_unchanged(models_ws):
    shelf, pane = WeightsCache(), resolve_model(models_ws, "tuned:whole")
    plain = answers(shelf, [pane], "hello")[0]
    with shelf.acquire(pane) as held:
        tokens, tokenizer = (
            prompt_tokens(get_tokenizer(held, pane), [{"role": "user", "content": "hello"}]),
            get_tokenizer(held, pane),
        )
        rows = [
            DecodingRow(list(tokens), None, tokenizer, frozenset({256}), GREEDY.max_tokens, 0, None,
                        decoding=GREEDY.model_copy(update={"repetition_penalty": penalty}))
            for penalty in (1.0, 2.0)
        ]  # fmt: skip
        decode_batch(held.model, rows)
    assert tokenizer.decode(rows[0].written, skip_special_tokens=True) == plain
    assert len(set(rows[1].written)) > len(set(rows[0].written))


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_the_nucleus_is_that_of_all_tokens_sorted(top_p, spread):
    """Only the likeliest tokens are sorted first; flat distributions need all of them."""
    logits = spread * torch.randn(5000, generator=torch.Generator().manual_seed(3))
    shares, order = logits.softmax(-1).sort(descending=True)
    kept = order[shares.cumsum(-1) - shares < top_p]
    found = batched_decode._nucleus(logits, top_p)
    assert sorted(found.isfinite().nonzero().flatten().tolist()) == sorted(kept.tolist())
    assert torch.equal(found[kept], logits[kept])


def test_each_row_ends_by_itself_and_says_so(models_ws):
    shelf, pane, ended = WeightsCache(), resolve_model(models_ws, "base:tuned"), []
    with shelf.acquire(pane) as held:
        tokens = prompt_tokens(get_tokenizer(held, pane), [{"role": "user", "content": "hello"}])
        made = {
            "tokens": tokens,
            "adapter": None,
            "tokenizer": get_tokenizer(held, pane),
            "seed": 0,
            "on_text": lambda text: None,
        }
        rows = [
            DecodingRow(**made, ends=frozenset(), limit=3, on_end=lambda: ended.append("short")),
            DecodingRow(**made, ends=frozenset(range(257)), limit=9, on_end=lambda: ended.append("at once")),
            DecodingRow(**made, ends=frozenset(), limit=9, should_stop=lambda: len(rows[2].written) == 5, on_end=lambda: ended.append("unwanted")),
            DecodingRow(**made, ends=frozenset(), limit=9, on_end=lambda: ended.append("long")),
        ]  # fmt: skip
        decode_batch(held.model, rows)
    assert ended == ["at once", "short", "unwanted", "long"]
    assert [row.finish for row in rows] == ["length", "stop", "stopped", "length"]
    assert [len(row.written) for row in rows] == [3, 0, 5, 9]


def test_when_the_model_raises_every_row_has_its_end():
    class Broken:
        device = "cpu"

        def generate(self, **_):
            raise RuntimeError("no")

    ended = []
    row = DecodingRow([1, 2], None, None, frozenset({0}), 9, 0, lambda text: None, on_end=lambda: ended.append(1))
    with pytest.raises(RuntimeError):
        decode_batch(Broken(), [row])
    assert row.finish == "failed" and ended == [1]


@pytest.mark.parametrize("text", ["Ring and ideal.", "naïve 日本語 – 🎻!", "a\n\n  b\n"])
def test_pieces_of_text_join_to_the_whole_and_hold_no_half_characters(chat_base, text):
    from transformers import AutoTokenizer

    tokenizer, pieces = AutoTokenizer.from_pretrained(chat_base), []
    end = len(tokenizer)  # no token of the text, whatever was learned
    row = DecodingRow([0], None, tokenizer, frozenset({end}), 999, 0, pieces.append)
    for token in [*tokenizer(text)["input_ids"], end]:
        row.add_token(token)
    assert "".join(pieces) == text and row.finish == "stop"
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_system_prompt_that_a_template_does_not_know_goes_into_the_first_question(chat_base):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_base)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "[{{ m['content'] }}]{% endfor %}"
    )
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert tokenizer.decode(prompt_tokens(tokenizer, chat)) == "[Be brief.\n\nHi]"


# ------------------------------------------------------------------------------------------------------------- the cache


def bare(folder) -> ResolvedModel:
    return ResolvedModel(spec=f"local:{folder}", base=str(folder))


def test_when_memory_is_short_what_was_used_longest_ago_goes(tmp_path):
    folders = [make_base(tmp_path / str(n), seed=n) for n in range(3)]
    room = 2.5 * sum(file.stat().st_size for file in folders[0].glob("*.safetensors"))
    shelf = WeightsCache(free=lambda: room - sum(held["bytes"] for held in shelf.summary()))
    for n in (0, 1, 0, 2):
        answers(shelf, [bare(folders[n])], "x")
    assert [held["folder"] for held in shelf.summary()] == [str(folders[0]), str(folders[2])]


def test_weights_that_do_not_fit_are_refused_in_words_and_those_in_use_stay(tmp_path):
    small, large = make_base(tmp_path / "small"), make_base(tmp_path / "large", width=64)
    size = sum(file.stat().st_size for file in large.glob("*.safetensors"))
    shelf = WeightsCache(free=lambda: size - sum(held["bytes"] for held in shelf.summary()))
    with (
        shelf.acquire(bare(small)),
        pytest.raises(ModelUnavailable, match=r"large needs .* GiB of memory"),
        shelf.acquire(bare(large)),
    ):
        pass
    assert [held["folder"] for held in shelf.summary()] == [str(small)]


def test_weights_that_were_written_anew_are_loaded_anew(tmp_path):
    folder, shelf = make_base(tmp_path / "model", seed=0), WeightsCache()
    before = answers(shelf, [bare(folder)], "hello")
    assert cached_hash(folder) == hash_weights(folder)
    shutil.rmtree(folder)
    make_base(folder, seed=9)
    assert answers(shelf, [bare(folder)], "hello") != before
    assert cached_hash(folder) == hash_weights(folder)


def test_what_can_not_be_loaded_is_a_sentence(tmp_path, chat_base, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    pickled, damaged = tmp_path / "pickled", tmp_path / "damaged"
    for folder in (pickled, damaged):
        shutil.copytree(chat_base, folder)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    (damaged / "model.safetensors").write_bytes(b"no weights")
    for where, said in (
        (tmp_path / "gone", "does not exist"), (pickled, "has no safetensors"), (damaged, "cannot be loaded"),
        ("nobody/no-such-model", "is not stored locally"),
    ):  # fmt: skip
        with pytest.raises(ModelUnavailable, match=said), WeightsCache().acquire(bare(where)):
            pass


def test_an_adapter_that_is_no_plain_lora_is_refused(chat_base, tmp_path):
    folder = make_adapter(chat_base, tmp_path / "dora")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    pane = ResolvedModel(spec="local:x", base=str(chat_base), adapter=str(folder))
    with WeightsCache().acquire(pane) as held, pytest.raises(ModelUnavailable, match="not a plain LoRA"):
        attach_adapter(held, pane)


# ------------------------------------------------------------------------------------------------------------- the self-test


SPECS = ("base:tuned", "tuned:tuned", "base:whole", "tuned:whole")


def test_the_self_test_tells_four_different_panes_apart(models_ws):
    found = self_test(WeightsCache(), [resolve_model(models_ws, spec) for spec in SPECS])
    assert found["passed"] and len(found["pairs"]) == 6
    assert all(pair["difference"] > 0.01 and not pair["same_files"] for pair in found["pairs"])
    assert all(pane["fresh"] <= 1e-4 for pane in found["panes"])
    assert len({(pane["weights_hash"], pane["adapter_hash"]) for pane in found["panes"]}) == 4


def test_the_self_test_finds_two_panes_of_the_same_weights_alike(models_ws):
    pane = resolve_model(models_ws, "tuned:tuned")
    found = self_test(WeightsCache(), [pane, pane])
    assert found["passed"] and found["pairs"][0]["same_files"] and "same files agree" in found["said"]


def test_the_self_test_fails_where_weights_in_memory_are_not_those_of_the_files(models_ws):
    shelf, pane = WeightsCache(), resolve_model(models_ws, "base:tuned")
    with shelf.acquire(pane) as held, torch.no_grad():
        held.model.lm_head.weight.add_(0.5 * torch.randn(held.model.lm_head.weight.shape))
    found = self_test(shelf, [pane])
    assert not found["passed"] and "does not compute what its files contain" in found["said"]


def test_the_self_test_fails_where_the_base_answers_as_its_adapter(models_ws, monkeypatch):
    """A base model that runs with the adapter active is detected."""
    monkeypatch.setattr("glan_core.models.weights_cache.BASE", "adapter_0")
    found = self_test(WeightsCache(), [resolve_model(models_ws, spec) for spec in ("base:tuned", "tuned:tuned")])
    assert not found["passed"] and "give equal logits although their files differ" in found["said"]


def test_without_memory_for_a_second_copy_panes_are_compared_with_one_another(models_ws):
    shelf = WeightsCache()
    panes = [resolve_model(models_ws, spec) for spec in ("base:tuned", "tuned:tuned")]
    answers(shelf, panes, "x")
    shelf._free = lambda: 0
    found = self_test(shelf, panes)
    assert found["passed"] and [pane["fresh"] for pane in found["panes"]] == [None, None]
    assert "memory does not suffice for a second copy" in found["said"]


def test_the_self_test_fails_where_files_are_no_longer_those_that_training_wrote(chat_base, tmp_path):
    ws = Workspace.create(tmp_path / "ws")
    weights = make_tuned(ws, chat_base).weights(ws)
    shutil.rmtree(weights)
    make_adapter(chat_base, weights, seed=5)
    found = self_test(WeightsCache(), [resolve_model(ws, "tuned:tuned")])
    assert not found["passed"] and "not those written by its training" in found["said"]
