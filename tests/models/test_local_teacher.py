"""Tests for the local teacher with a tiny model; nothing is downloaded."""

import asyncio
import json

import pytest

from glan_core.models import continuous_decode, local_teacher
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import DecodingParams, TeacherError, TeacherRefusal


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


def test_what_goes_wrong_while_streaming_is_raised(tiny, monkeypatch):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        try:
            return [piece async for piece in teacher.stream(chat("hello"), DecodingParams())]
        finally:
            await teacher.close()

    def broken(*given):
        raise RuntimeError("the device was lost")

    monkeypatch.setattr(continuous_decode, "decode_continuously", broken)
    with pytest.raises(TeacherError, match="the device was lost"):
        asyncio.run(asyncio.wait_for(ask(), 30))


def test_a_model_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for spec, said in ((f"local:{tmp_path}", "no safetensors weights"), ("local:nobody/no-such-model", "not stored locally")):
        with pytest.raises(TeacherError, match=said):
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


def test_an_answer_is_returned_when_it_ends_and_a_waiting_one_takes_its_place(tiny):
    """Three slots: a long answer never delays the short ones, which are answered one after another beside it."""
    ended: list[str] = []

    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        steps = []

        async def one(name: str, tokens: int):
            reply = await teacher.reply(chat(name), DecodingParams(temperature=0.0, max_tokens=tokens))
            ended.append(name)
            return reply

        forward = continuous_decode._RunningBatch.step

        def counted(batch):
            steps.append(len(batch.rows))
            forward(batch)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local_teacher, "SLOTS", 3)
            patch.setattr(continuous_decode._RunningBatch, "step", counted)
            replies = await asyncio.gather(one("long", 60), *(one(f"short {n}", 10) for n in range(8)))
        await teacher.close()
        return replies, steps

    replies, steps = asyncio.run(ask())
    assert [reply.tokens_out for reply in replies] == [60, *[10] * 8]
    assert ended[-1] == "long" and sorted(ended[:-1]) == [f"short {n}" for n in range(8)]
    # Batches of three would decode 60 + 10 + 10 tokens one after another.
    assert len(steps) < 65 and max(steps) == 3


def test_rows_that_join_are_decoded_as_if_they_were_alone(tiny):
    """Greedy replies to prompts of very different lengths, alone and while others come and go."""
    prompts = ["a", "a much longer prompt " * 20, "??", "medium " * 5, "b" * 100, "last"]

    async def ask(at_once: bool) -> list[str]:
        teacher = open_teacher(f"local:{tiny}")
        requests = [(chat(prompt), DecodingParams(temperature=0.0, max_tokens=5 + 7 * n)) for n, prompt in enumerate(prompts)]
        try:
            if at_once:
                return [reply.text for reply in await asyncio.gather(*(teacher.reply(*request) for request in requests))]
            return [(await teacher.reply(*request)).text for request in requests]
        finally:
            await teacher.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_teacher, "SLOTS", 2)
        assert asyncio.run(ask(True)) == asyncio.run(ask(False))


def test_the_same_prompt_gets_different_replies_and_different_parameters_share_a_batch(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        hot = [teacher.reply(chat("x"), DecodingParams(temperature=1.0, max_tokens=20)) for _ in range(3)]
        cold = [teacher.reply(chat("x"), DecodingParams(temperature=0.0, max_tokens=20)) for _ in range(2)]
        replies = await asyncio.gather(*hot, *cold)
        await teacher.close()
        return [reply.text for reply in replies]

    *hot, one, other = asyncio.run(ask())
    assert len(set(hot)) == 3 and one == other


def test_a_canceled_request_leaves_its_slot_at_once(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        endless = asyncio.create_task(teacher.reply(chat("x"), DecodingParams(max_tokens=100_000)))
        await teacher.reply(chat("y"), DecodingParams(max_tokens=3))  # both are in the batch by now
        endless.cancel()
        try:
            return await asyncio.wait_for(teacher.reply(chat("z"), DecodingParams(max_tokens=3)), 30)
        finally:
            await teacher.close()

    assert asyncio.run(ask()).tokens_out <= 3


def test_a_prompt_that_is_too_long_costs_only_itself(tiny):
    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        decoding = DecodingParams(temperature=0.0, max_tokens=4)
        replies = await asyncio.gather(
            *(teacher.reply(chat(text), decoding) for text in ("short", "long " * 30_000, "brief")), return_exceptions=True
        )
        await teacher.close()
        return replies

    short, long, brief = asyncio.run(ask())
    assert short.tokens_out == brief.tokens_out == 4
    assert isinstance(long, TeacherRefusal) and "context of the model" in str(long)


def test_rows_join_where_layers_have_a_sliding_window_too(tiny, tmp_path):
    import shutil

    folder = tmp_path / "sliding"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text()) | {"sliding_window": 16}
    (folder / "config.json").write_text(json.dumps(config))
    prompts = ["x" * 5, "y" * 60, "z" * 20]

    async def ask(slots: int) -> list[str]:
        teacher = open_teacher(f"local:{folder}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local_teacher, "SLOTS", slots)
            made = (
                teacher.reply(chat(text), DecodingParams(temperature=0.0, max_tokens=10 * n + 20))
                for n, text in enumerate(prompts)
            )
            replies = await asyncio.gather(*made)
        await teacher.close()
        return [reply.text for reply in replies]

    assert asyncio.run(ask(2)) == asyncio.run(ask(1)) == reference(folder, prompts)


def reference(folder, prompts: list[str]) -> list[str]:
    """Greedy replies of transformers' own `generate`, one by one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from glan_core.models.batched_decode import prompt_tokens

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    found = []
    for n, text in enumerate(prompts):
        ids = prompt_tokens(tokenizer, chat(text))
        output = model.generate(torch.tensor([ids]), max_new_tokens=10 * n + 20, do_sample=False)[0, len(ids) :]
        found.append(tokenizer.decode(output, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return found


def test_a_model_whose_rows_cannot_join_answers_in_batches(tiny, monkeypatch):
    monkeypatch.setattr(continuous_decode, "can_join", lambda model: False)

    async def ask():
        teacher = open_teacher(f"local:{tiny}")
        wanted = [DecodingParams(temperature=0.0, max_tokens=tokens) for tokens in (5, 9, 5)]
        replies = await asyncio.gather(*(teacher.reply(chat("x"), decoding) for decoding in wanted))
        await teacher.close()
        return [reply.tokens_out for reply in replies]

    assert asyncio.run(ask()) == [5, 9, 5]
