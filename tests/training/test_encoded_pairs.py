"""Encoded pairs by value: labels, truncation, end tokens, templates and where files are looked for."""

import json

import pytest

from glan_core.errors import GlanError
from glan_core.training import chat_encoding
from glan_core.training.chat_encoding import EncodedPair, Encoder, alpaca_template, find_model_file, open_encoder, template_of

PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"


def letters(*special: str):
    """Return a tokenizer with one token per character, plus special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    signs = {sign: n for n, sign in enumerate(["[UNK]", "\n", *map(chr, range(32, 127))])}
    made = Tokenizer(models.WordLevel(signs, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.add_special_tokens(list(special))
    return made


@pytest.fixture(scope="module")
def plain():
    return Encoder(letters("</s>"), PLAIN, bos=None, eos="</s>")


# ------------------------------------------------------------------------------------------------------------------ pairs


@pytest.mark.parametrize(("ids", "start", "full", "cut", "trained", "labels"), [
    ([1, 2, 3], 1, 3, False, 2, [-100, 2, 3]), ([1, 2, 3], 1, 4, True, 2, [-100, 2, 3]), ([1, 2], 2, 9, True, 0, [-100, -100]),
    ([1, 2], 5, 9, True, 0, [-100, -100]), ([1, 2], 0, 2, False, 2, [1, 2]), ([], 0, 0, False, 0, []),
])  # fmt: skip
def test_labels_are_minus_100_before_the_answer(ids, start, full, cut, trained, labels):
    pair = EncodedPair(ids, start, full)
    assert (pair.cut, pair.trained, pair.labels) == (cut, trained, labels)


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 7), (14, 7), (13, 7), (12, 6), (11, 4), (10, 2), (9, 1), (8, 0), (3, 0)]
)
def test_the_bytes_of_an_answer_are_those_within_the_limit(limit, expected):
    """'Größe' has 5 letters and 7 bytes; the end token has none."""
    encoder = Encoder(letters("</s>"), "{{ messages[0]['content'] }}>>>>", bos=None, eos="</s>")
    pair = encoder.encode("Why?", " Größe ", limit)
    assert (pair.bytes, pair.full) == (expected, 14)


@pytest.mark.parametrize(("full", "cut"), [(299, False), (300, False), (301, True)])
def test_a_long_pair_is_cut_if_it_had_more_tokens(full, cut):
    assert EncodedPair(list(range(300)), 1, full).cut is cut


def test_a_pair_is_prompt_answer_and_end(plain):
    pair = plain.encode("Why?", "  So.\n")
    prompt = "[user]Why?[assistant]"
    assert "".join(plain.pieces(pair.ids)) == prompt + "So.</s>"
    assert (len(pair.ids), pair.start, pair.full) == (len(prompt) + 4, len(prompt), len(prompt) + 4) == (25, 21, 25)
    assert pair.ids[-1] == plain.end_id
    assert pair.trained == 4 and not pair.cut and plain.end == "</s>"


@pytest.mark.parametrize(
    ("limit", "trained", "cut"), [(None, 4, False), (26, 4, False), (25, 4, False), (24, 3, True), (21, 0, True), (9, 0, True)]
)
def test_a_limit_cuts_from_the_end(plain, limit, trained, cut):
    pair = plain.encode("Why?", "So.", limit)
    assert (pair.trained, pair.cut, pair.full, pair.start) == (trained, cut, 25, 21)
    assert len(pair.labels) == len(pair.ids) == min(limit or 99, 25)


def test_pairs_are_encoded_in_order(plain):
    pairs = [("a", "xyz"), ("bcd", "")]
    assert list(plain.encode_all(pairs)) == [plain.encode(*pair) for pair in pairs]
    assert plain.encode("bcd", "").trained == 1, "the end token alone"


def test_a_token_that_begins_in_the_prompt_and_ends_in_the_answer_is_trained():
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"ab": 0, "cd": 1, "e": 2, "[UNK]": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(pre_tokenizers_regex("ab|cd|e"), "isolated")
    made.add_special_tokens(["</s>"])
    encoder = Encoder(
        made, "{% if add_generation_prompt %}abc{% else %}{{ messages[-1].content }}{% endif %}", bos=None, eos="</s>"
    )
    assert encoder.encode("?", "de").start == 1  # ab cd e </s>; the prompt ends within cd


def pre_tokenizers_regex(pattern: str):
    from tokenizers import Regex

    return Regex(pattern)


def test_limits_of_the_tokenizer_file_do_not_apply():
    made = letters("</s>")
    made.enable_truncation(5)
    made.enable_padding(length=40)
    assert Encoder(made, PLAIN, bos=None, eos="</s>").encode("Why?", "So.").full == 25


# ------------------------------------------------------------------------------------------------------------- end tokens


def ended(after: str, *special: str, eos: str = "</s>") -> str:
    template = "{% for m in messages %}{{ m.content }}" + after + "{% endfor %}"
    return Encoder(letters(*special), template, bos=None, eos=eos).end


def test_the_end_token_is_the_one_that_the_template_writes():
    assert ended("<|end|>\n", "</s>", "<|end|>") == "<|end|>"
    assert ended("\n<|end|>", "</s>", "<|end|>") == "<|end|>", "after a line break"
    assert ended("<|end|>more", "</s>", "<|end|>", "<|end|>more") == "<|end|>more", "the longest one"
    assert ended("<|end|>", "</s>") == "</s>", "a token that is not special is no end"
    assert ended("", "</s>", "<|end|>") == ended("x<|end|>", "</s>", "<|end|>") == "</s>"


def test_an_end_token_that_the_tokenizer_lacks_is_an_error():
    encoder = Encoder(letters("</s>"), PLAIN, bos=None, eos="<none>")
    with pytest.raises(GlanError, match="The end token '<none>' is not in the tokenizer"):
        encoder.end_id  # noqa: B018
    made = letters("</s>", "<first>")
    made.add_special_tokens(["<last>"])
    assert Encoder(made, PLAIN, bos=None, eos="</s>").end_id == made.token_to_id("</s>")


def test_the_first_token_of_a_vocabulary_can_be_the_end():
    from tokenizers import Tokenizer, models

    made = Tokenizer(models.WordLevel({"</s>": 0, "a": 1}, unk_token="a"))
    assert Encoder(made, PLAIN, bos=None, eos="</s>").end_id == 0


# -------------------------------------------------------------------------------------------------------------- templates


def test_templates_know_bos_eos_and_whether_to_ask():
    encoder = Encoder(letters(), "{{ bos_token }}|{{ eos_token }}|{{ add_generation_prompt }}", bos="<s>", eos="</s>")
    assert encoder.write([]) == "<s>|</s>|False" and encoder.write([], ask=True) == "<s>|</s>|True"
    assert Encoder(letters(), "{{ bos_token }}|", bos=None, eos="").write([]) == "|"


def test_a_template_is_the_models_own_unless_it_is_alpacas(plain):
    assert plain.own_template is True
    assert Encoder(letters("</s>"), alpaca_template(), bos="<s>", eos="</s>").own_template is False


def test_errors_of_a_template_are_cut_at_200_characters():
    with pytest.raises(GlanError) as caught:
        Encoder(letters(), "{{ raise_exception('" + "x" * 500 + "') }}", bos=None, eos="</s>")
    assert str(caught.value) == f"The chat template of the base model cannot be used: {'x' * 200}."


@pytest.mark.parametrize(("own", "found"), [
    ("mine", "mine"), (" ", None), ("", None), (None, None), (7, None), ({"default": "d", "tool": "t"}, "d"), ({"tool": "t"}, None),
    ([{"name": "tool", "template": "t"}, "junk", {"name": "default", "template": "d"}], "d"), ([], None), ([{"name": "default"}], None),
])  # fmt: skip
def test_of_several_templates_the_default_counts(own, found):
    assert template_of(own) == (found or alpaca_template())


# ------------------------------------------------------------------------------------------------------------------ files


def save(folder, config: dict | str | None, template: str | None = None) -> None:
    folder.mkdir(exist_ok=True)
    letters("</s>", "<|end|>").save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)


def test_an_encoder_is_opened_from_a_folder(tmp_path):
    save(tmp_path / "a", {"eos_token": "</s>", "bos_token": {"content": "<s>"}, "chat_template": "{{ bos_token }}config"})
    assert open_encoder(str(tmp_path / "a")).write([]) == "<s>config"
    save(tmp_path / "b", {"eos_token": {"content": "</s>"}, "chat_template": "config"}, "file")
    assert open_encoder(str(tmp_path / "b")).write([]) == "file", "the file takes precedence"
    save(tmp_path / "c", {"eos_token": "</s>"})
    assert open_encoder(str(tmp_path / "c")).own_template is False
    assert open_encoder(str(tmp_path / "c")) is open_encoder(str(tmp_path / "c"))


@pytest.mark.parametrize(("config", "said"), [
    ({}, "has no end token"), ({"eos_token": ""}, "has no end token"), ({"eos_token": 7}, "has no end token"),
    (None, "has no end token"), ("{", "cannot be read"),
])  # fmt: skip
def test_a_tokenizer_without_an_end_token_or_with_a_damaged_config_is_an_error(tmp_path, config, said):
    save(tmp_path / "a", config)
    with pytest.raises(GlanError, match=said):
        open_encoder(str(tmp_path / "a"))


def test_a_tokenizer_that_is_not_stored_is_not_downloaded(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    for place in (str(tmp_path / "empty"), str(tmp_path / "nothing"), "./up", "~/home", "name", "a/b/c"):
        with pytest.raises(GlanError, match="is not stored locally"):
            open_encoder(place)


def test_files_are_looked_for_in_the_folder_or_the_cache_of_the_hub(tmp_path, monkeypatch):
    asked = []
    (tmp_path / "cached.json").write_text("{}")

    def cached(place, name):
        asked.append((place, name))
        return str(tmp_path / "cached.json") if name == "here.json" else object()

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    assert find_model_file("owner/name", "here.json") == tmp_path / "cached.json"
    assert find_model_file("owner/name", "gone.json") is None
    assert asked == [("owner/name", "here.json"), ("owner/name", "gone.json")]
    assert find_model_file(str(tmp_path), "cached.json") == tmp_path / "cached.json"
    assert find_model_file(str(tmp_path), "gone.json") is None
    for place in ("name", "a/b/c", "./b", "../b", "/b", "~/b", ".hidden/b"):
        assert find_model_file(place, "here.json") is None
    assert len(asked) == 2, "only OWNER/NAME is looked for in the cache"


def test_files_are_those_of_the_tokenizer():
    assert chat_encoding.FILES == ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
