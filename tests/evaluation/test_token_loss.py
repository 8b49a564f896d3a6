"""Token loss by value: covered tokens, batches, losses of known logits, and stored lines."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax

from glan_core.errors import GlanError
from glan_core.evaluation.contamination import token_loss
from glan_core.evaluation.contamination.benchmark_texts import ProbeText
from glan_core.evaluation.contamination.token_loss import RowLoss, TokenizedText, compute_losses, stored_losses, tokenize_rows


class Letters:
    """A tokenizer with one token per character after a start token, which stands at no character."""

    is_fast, chat_template = True, None

    def __call__(self, text, **_):
        return {"input_ids": [1, *map(ord, text)], "offset_mapping": [(0, 0), *((n, n + 1) for n in range(len(text)))]}


def asked(covers: str = "answer", written: str = "plain") -> SimpleNamespace:
    return SimpleNamespace(covers=covers, written=written)


def covered(text: TokenizedText) -> str:
    return "".join(chr(text.ids[n]) for n in text.covered)


# ---------------------------------------------------------------------------------------------------------------- covered


@pytest.mark.parametrize(("covers", "expected"), [("answer", "So."), ("question", "Why?"), ("both", "Why?So.")])
def test_what_is_covered_excludes_the_line_break_and_special_tokens(covers, expected):
    (one,) = tokenize_rows([ProbeText("Why?", "So.")], Letters(), asked(covers), 100)
    assert covered(one) == expected and one.full == len(one.ids) == 9 and not one.cut
    assert [one.ids[0], *map(chr, one.ids[1:])] == [1, *"Why?\nSo."]


def test_a_format_that_was_read_from_a_file_is_the_same_format():
    plain, answer = json.loads('["plain", "answer"]')
    assert covered(tokenize_rows([ProbeText("Why?", "So.")], Letters(), asked(answer, plain), 100)[0]) == "So."


def test_a_row_without_an_answer_is_its_question():
    (one,) = tokenize_rows([ProbeText("Why?", "")], Letters(), asked("question"), 100)
    assert covered(one) == "Why?" and one.full == 5
    (none,) = tokenize_rows([ProbeText("Why?", "")], Letters(), asked("answer"), 100)
    assert none.covered == ()


@pytest.mark.parametrize(("limit", "expected", "cut"), [(9, "So.", False), (8, "So", True), (7, "S", True), (6, "", True)])
def test_tokens_beyond_the_limit_are_not_covered(limit, expected, cut):
    (one,) = tokenize_rows([ProbeText("Why?", "So.")], Letters(), asked(), limit)
    assert (covered(one), one.cut, len(one.ids), one.full) == (expected, cut, min(limit, 9), 9)
    assert one.bytes == len(expected)


class Bytes(Letters):
    """A tokenizer with one token per byte; the tokens of a character share its span."""

    def __call__(self, text, **_):
        spans = [(n, n + 1) for n, letter in enumerate(text) for _ in letter.encode()]
        return {"input_ids": list(text.encode()), "offset_mapping": spans}


@pytest.mark.parametrize("answer", ["So.", "Größe", "\N{GRINNING FACE}!", ""])
def test_covered_bytes_are_those_of_the_text_with_any_tokenizer(answer):
    for tokenizer in (Letters(), Bytes()):
        (one,) = tokenize_rows([ProbeText("Why?", answer)], tokenizer, asked(), 100)
        assert one.bytes == len(answer.encode())


@pytest.mark.parametrize(("full", "cut"), [(299, False), (300, False), (301, True)])
def test_a_long_text_is_cut_if_it_had_more_tokens(full, cut):
    assert TokenizedText(tuple(range(300)), (), full).cut is cut


def test_the_first_token_is_never_covered_since_nothing_predicts_it():
    class Bare(Letters):
        def __call__(self, text, **_):
            return {"input_ids": list(map(ord, text)), "offset_mapping": [(n, n + 1) for n in range(len(text))]}

    (one,) = tokenize_rows([ProbeText("Why?", "So.")], Bare(), asked("both"), 100)
    assert one.covered == (1, 2, 3, 5, 6, 7)


def test_a_token_is_covered_if_it_overlaps_a_part_by_one_character():
    class Pairs(Letters):
        def __call__(self, text, **_):
            spans = [(0, 0), *((n, min(n + 2, len(text))) for n in range(0, len(text), 2))]
            return {"input_ids": list(range(len(spans))), "offset_mapping": spans}

    # Wh y\n So .  for the question 'Why', and Wh y? \nS o. for 'Why?'
    assert tokenize_rows([ProbeText("Why", "So.")], Pairs(), asked("question"), 9)[0].covered == (1, 2)
    assert tokenize_rows([ProbeText("Why", "So.")], Pairs(), asked("answer"), 9)[0].covered == (3, 4)
    assert tokenize_rows([ProbeText("Why?", "So.")], Pairs(), asked("answer"), 9)[0].covered == (3, 4)
    assert tokenize_rows([ProbeText("Why?", "So.")], Pairs(), asked("question"), 9)[0].covered == (1, 2)


def test_a_tokenizer_without_offsets_is_refused():
    for tokenizer in (SimpleNamespace(is_fast=False), SimpleNamespace()):
        with pytest.raises(GlanError, match="does not report token offsets"):
            tokenize_rows([], tokenizer, asked(), 9)


@pytest.fixture(scope="module")
def chat():
    """A character tokenizer with a chat template, as the tokenizers library represents it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    signs = sorted(set("Why?So.<user>assistant\n XQ"))
    bare = Tokenizer(models.WordLevel({sign: n for n, sign in enumerate(signs)} | {"?": 99, "[UNK]": 100}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    bare.add_special_tokens(["</s>"])
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )

    def make(template=template):
        return SimpleNamespace(
            is_fast=True, backend_tokenizer=bare, chat_template=template, special_tokens_map={"eos_token": "</s>"}
        )

    return make


@pytest.mark.parametrize(("covers", "expected"), [("answer", "So.</s>"), ("question", "Why?"), ("both", "Why?So.</s>")])
def test_in_the_chat_template_the_answer_ends_with_its_end_token(chat, covers, expected):
    (one,) = tokenize_rows([ProbeText("Why?", "So.")], chat(), asked(covers, "chat"), 100)
    token = chat().backend_tokenizer.id_to_token
    assert "".join(token(one.ids[n]) for n in one.covered) == expected
    assert "".join(map(token, one.ids)) == "<user>Why?\n<assistant>So.</s>"
    (bare,) = tokenize_rows([ProbeText("Why?", "")], chat(), asked("answer", "chat"), 100)
    assert bare.covered == () and "".join(map(token, bare.ids)) == "<user>Why?\n<assistant>"


def test_a_question_at_the_start_of_the_prompt_is_found_and_a_rewritten_one_refused(chat):
    (one,) = tokenize_rows([ProbeText("Why?", "So.")], chat("{{ messages[0].content }}"), asked("question", "chat"), 100)
    assert one.covered == (1, 2, 3)
    with pytest.raises(GlanError, match="rewrites questions"):
        tokenize_rows([ProbeText("Why?", "So.")], chat("{{ messages[0].content | upper }}"), asked("answer", "chat"), 100)


# ----------------------------------------------------------------------------------------------------------------- losses

LOGITS = np.random.default_rng(0).normal(size=(64, 7)).astype(np.float32)


def predict(ids, mask):
    """Return logits that depend on the token, its place and nothing else."""
    import torch

    table = torch.tensor(LOGITS)
    return torch.stack([torch.stack([table[(int(token) + place) % 64] for place, token in enumerate(row)]) for row in ids])


def plain(text: TokenizedText) -> float:
    """Return the sum of -log p over the covered tokens."""
    return -sum(log_softmax(LOGITS[(text.ids[n - 1] + n - 1) % 64])[text.ids[n]] for n in text.covered)


TEXTS = [
    TokenizedText((1, 2, 3, 4), (2, 3), 4), TokenizedText((6, 5), (1,), 2), TokenizedText((2, 2, 2), (), 3),
    TokenizedText((0, 6, 1, 5, 3), (1, 2, 4), 9),
]  # fmt: skip


def test_a_loss_is_the_negative_log_likelihood_of_the_covered_tokens(tmp_path):
    steps = []
    found = compute_losses(TEXTS, predict, 7, tmp_path / "new" / "losses.jsonl", lambda *step: steps.append(step))
    assert list(found) == [1, 0, 3], "shortest first; rows without covered tokens are left out"
    for nth, loss in found.items():
        assert loss == RowLoss(pytest.approx(plain(TEXTS[nth]), rel=1e-5), len(TEXTS[nth].covered))
        assert loss.mean == loss.nats / loss.tokens
    assert steps == [(0, 3), (3, 3)] and stored_losses(tmp_path / "new" / "losses.jsonl") == found
    uniform = compute_losses(TEXTS[:1], lambda ids, mask: predict(ids, mask) * 0, 7, tmp_path / "u", lambda *_: None)
    assert uniform[0].mean == pytest.approx(math.log(7))


def test_batches_are_padded_and_masked(tmp_path):
    seen = []

    def spy(ids, mask):
        seen.append((ids.tolist(), mask.tolist()))
        return predict(ids, mask)

    compute_losses(TEXTS, spy, 7, tmp_path / "losses", lambda *_: None)
    assert seen == [(
        [[6, 5, 0, 0, 0], [1, 2, 3, 4, 0], [0, 6, 1, 5, 3]], [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]],
    )]  # fmt: skip


def test_known_rows_are_not_computed_again_and_batches_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(token_loss, "MOST_ROWS", 2)
    file, steps, batches = tmp_path / "losses", [], []

    def spy(ids, mask):
        batches.append(len(ids))
        return predict(ids, mask)

    file.write_text("[1, 0.25, 1]\n[0, 0.5, 2]\n[3, 0.")
    found = compute_losses(TEXTS, spy, 7, file, lambda *step: steps.append(step))
    assert batches == [1] and steps == [(2, 3), (3, 3)]
    assert found[1] == RowLoss(0.25, 1) and found[0] == RowLoss(0.5, 2) and found[3].tokens == 3
    assert file.read_text().splitlines()[2] == "[3, 0." and stored_losses(file) == found
    file.write_text("[1, 0.25, 1]\n")
    steps.clear()
    found = compute_losses(TEXTS, spy, 7, file, lambda *step: steps.append(step))
    assert batches == [1, 2, 1] and steps == [(1, 3), (2, 3), (3, 3)], "row 1 is computed again with its batch"
    assert found[1].nats == pytest.approx(plain(TEXTS[1]), rel=1e-5)
    assert file.read_text().count("\n") == 4 and "\n\n" not in file.read_text()


def test_a_batch_has_at_most_32_rows_and_logits_of_256_mib():
    assert (token_loss.MOST_ROWS, token_loss.LOGIT_BYTES) == (32, 2**28)
    texts = [TokenizedText((0,) * 4, (1,), 4)] * 70
    assert [len(batch) for batch in token_loss._batches(texts, range(70), 8)] == [32, 32, 6]
    # 2**28 bytes / 4 bytes / 4 tokens: 3 rows of a vocabulary of 2**24 / 3 fit
    assert [len(b) for b in token_loss._batches(texts[:7], range(7), 2**24 // 3)] == [3, 3, 1]
    assert [len(b) for b in token_loss._batches(texts[:4], range(4), 2**24 // 3 + 1)] == [2, 2]
    assert [len(b) for b in token_loss._batches(texts[:2], range(2), 2**30)] == [1, 1]
    assert list(token_loss._batches(texts, [], 8)) == []
    assert list(token_loss._batches(texts, [5, 3], 8)) == [[5, 3]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_losses_that_are_not_finite_are_an_error(tmp_path, value):
    with pytest.raises(GlanError, match="loss is not finite"):
        compute_losses(TEXTS, lambda ids, mask: predict(ids, mask) + value, 7, tmp_path / "losses", lambda *_: None)


def test_damaged_lines_are_ignored(tmp_path):
    file = tmp_path / "losses"
    file.write_text('[2, 1.5, 3]\nnonsense\n[1, 2]\n7\n{"a": 1}\n[4, 0.5, 1]\n[5, 1')
    assert stored_losses(file) == {2: RowLoss(1.5, 3), 4: RowLoss(0.5, 1)}
    assert stored_losses(tmp_path / "none") == {}


def test_the_key_changes_with_weights_tokens_and_covered_positions():
    keys = {
        token_loss.loss_key(weights, [TokenizedText(ids, covered, full)])
        for weights in ("a", "b")
        for ids, covered in (((1, 2), (1,)), ((1, 3), (1,)), ((1, 2), ()))
        for full in (2, 5)
    }
    assert len(keys) == 6 and {len(key) for key in keys} == {24}
    import hashlib

    digest = hashlib.sha256(b"a" + json.dumps([[1, 2], [1]]).encode()).hexdigest()
    assert token_loss.loss_key("a", [TokenizedText((1, 2), (1,), 2)]) == digest[:24]
