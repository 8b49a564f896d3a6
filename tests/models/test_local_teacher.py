"""Tests for the local teacher with a tiny model; nothing is downloaded."""

import asyncio

import pytest

from glan_core.teachers import open_teacher
from glan_core.teachers.contract import DecodingParams, TeacherError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder with an untrained Mistral model of 20,000 parameters and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate([*alphabet, "</s>"])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(folder)
    config = MistralConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, eos_token_id=256, bos_token_id=256,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MistralForCausalLM(config)
    with torch.no_grad():  # greedy replies then always reach the token limit
        model.lm_head.weight[256] = 0
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def chat(text: str) -> list:
    return [{"role": "user", "content": text}]


def test_it_answers_several_chats_at_once_and_counts_tokens(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        sampling = DecodingParams(temperature=0.0, max_tokens=12)
        try:
            return await asyncio.gather(*(teacher.reply(chat(text), sampling) for text in ("short", "a longer question " * 3)))
        finally:
            await teacher.close()

    replies = asyncio.run(ask())
    assert all(reply.finish_reason == "length" and reply.tokens_out == 12 for reply in replies)
    assert replies[1].tokens_in > replies[0].tokens_in > 0


def test_streaming_gives_the_greedy_reply_piece_by_piece(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        sampling = DecodingParams(temperature=0.0, max_tokens=16)
        whole = await teacher.reply(chat("hello"), sampling)
        pieces = [piece async for piece in teacher.stream(chat("hello"), sampling)]
        await teacher.close()
        return whole, pieces

    whole, (*pieces, last) = asyncio.run(ask())
    assert "".join(pieces) == whole.text and last == whole and whole.tokens_out == 16


def test_a_stream_that_nobody_reads_to_its_end_stops_writing(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        stream = teacher.stream(chat("hello"), DecodingParams(max_tokens=100_000))
        await anext(stream)
        await stream.aclose()
        try:
            return await asyncio.wait_for(teacher.reply(chat("hello"), DecodingParams(max_tokens=4)), 30)
        finally:
            await teacher.close()

    assert asyncio.run(ask()).tokens_out <= 4


def test_what_goes_wrong_while_streaming_is_raised(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        try:
            return [piece async for piece in teacher.stream(chat("hello"), DecodingParams(temperature=1.0, top_p=-1.0))]
        finally:
            await teacher.close()

    with pytest.raises(ValueError, match="top_p"):
        asyncio.run(asyncio.wait_for(ask(), 30))


def test_a_model_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for spec in (f"local:{tmp_path}", "local:nobody/no-such-model"):
        with pytest.raises(TeacherError, match="cannot be loaded"):
            asyncio.run(open_teacher(spec).reply(chat("x"), DecodingParams()))


def test_pickled_weights_are_refused(tiny, tmp_path):
    import shutil

    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(TeacherError, match="safetensors"):
        asyncio.run(open_teacher(f"local:{folder}").reply(chat("x"), DecodingParams()))
