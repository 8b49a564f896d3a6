"""Tests for chat encoding: loss mask, end token, templates and truncation."""

import pytest

from glan_core.errors import GlanError
from glan_core.training.chat_encoding import Encoder, alpaca_template, open_encoder, template_of
from glan_core.training.tiny_model import BOS, EOS, train_tokenizer, wrap_tokenizer

QUESTION, ANSWER = "What is a triad?", "Three notes in thirds.\n\nIt has a root, a third and a fifth."
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    made = train_tokenizer([QUESTION, ANSWER, alpaca_template()] * 2, 700)
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return made


@pytest.fixture
def alpaca(tokenizer):
    return Encoder(tokenizer, alpaca_template(), bos=BOS, eos=EOS)


def text_of(encoder: Encoder, ids) -> str:
    return "".join(encoder.pieces(ids))


def test_only_the_answer_and_its_end_are_trained_on(alpaca):
    encoded = alpaca.encode(QUESTION, ANSWER)
    assert text_of(alpaca, encoded.ids[encoded.start :]) == ANSWER + EOS
    prompt = text_of(alpaca, encoded.ids[: encoded.start])
    assert prompt.startswith(BOS + "Below is an instruction") and prompt.endswith("### Response:\n") and QUESTION in prompt
    assert encoded.labels == [-100] * encoded.start + encoded.ids[encoded.start :] and encoded.labels[-1] == alpaca.end_id


def test_the_prompt_is_what_transformers_asks_with(tokenizer, alpaca):
    wrapped = wrap_tokenizer(tokenizer)
    wrapped.chat_template = alpaca_template()
    asked = wrapped.apply_chat_template([{"role": "user", "content": QUESTION}], add_generation_prompt=True)["input_ids"]
    encoded = alpaca.encode(QUESTION, ANSWER)
    assert encoded.ids[: encoded.start] == asked


def test_a_template_that_ends_turns_by_a_token_of_its_own_trains_on_that_token(tokenizer):
    encoder = Encoder(tokenizer, CHATML, bos=BOS, eos=EOS)
    encoded = encoder.encode(QUESTION, ANSWER)
    assert encoder.end == "<|im_end|>" and encoder.own_template
    assert text_of(encoder, encoded.ids[encoded.start :]) == ANSWER + "<|im_end|>"


def test_a_cut_row_has_no_end_and_one_whose_question_fills_the_limit_trains_on_nothing(alpaca):
    whole = alpaca.encode(QUESTION, ANSWER)
    cut = alpaca.encode(QUESTION, ANSWER, len(whole.ids) - 3)
    assert cut.cut and cut.trained == whole.trained - 3 and alpaca.end_id not in cut.ids[cut.start :]
    assert alpaca.encode(QUESTION, ANSWER, whole.start).trained == 0 and not whole.cut
    assert alpaca.encode(QUESTION, ANSWER, 5).labels == [-100] * 5


def test_several_turns_and_a_system_prompt_in_alpacas_template(alpaca):
    written = alpaca.write(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"},
         {"role": "user", "content": "Two?"}], ask=True,
    )  # fmt: skip
    assert (
        written
        == f"{BOS}Be brief.\n\n### Instruction:\nOne?\n\n### Response:\n1{EOS}\n\n### Instruction:\nTwo?\n\n### Response:\n"
    )


def test_which_template_counts():
    assert template_of(None) == template_of("  ") == alpaca_template() and template_of("own") == "own"
    assert template_of([{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]) == "d"


def test_a_tokenizer_is_read_from_a_folder_without_its_weights(tokenizer, tmp_path):
    wrapped = wrap_tokenizer(tokenizer)
    wrapped.chat_template = CHATML
    wrapped.save_pretrained(tmp_path)
    assert open_encoder(str(tmp_path)).end == "<|im_end|>"
    with pytest.raises(GlanError, match="is not stored locally"):
        open_encoder(str(tmp_path / "nothing"))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(GlanError, match="cannot be read"):
        open_encoder(str(tmp_path))


def test_a_template_that_fails_is_said_so(tokenizer):
    with pytest.raises(GlanError, match="chat template of the base model"):
        Encoder(tokenizer, "{{ raise_exception('only system prompts') }}", bos=None, eos=EOS)
