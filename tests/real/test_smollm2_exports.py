"""Exports with a published model: TRL's tokens equal the studio's, and a GGUF file keeps weights, tokens and template."""

import json

import pytest
from support.runs import execute_run
from support.smollm2 import smollm2_folder

from glan_core.dataset.export_job import export_dataset
from glan_core.dataset.settings import RowSelection
from glan_core.models.gguf_file import write_gguf
from glan_core.models.ollama_modelfile import modelfile
from glan_core.training.chat_encoding import open_encoder

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    return smollm2_folder(tmp_path_factory.mktemp("smollm2"))


def test_trl_tokenizes_every_format_as_the_studio_trains(smollm2, ws, settings, tmp_path):
    from datasets import load_dataset, load_from_disk
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    execute_run(ws, settings("mathematics", "music"))
    export_dataset(ws, tmp_path / "reference.jsonl", "chat")
    messages = [json.loads(line)["messages"] for line in (tmp_path / "reference.jsonl").read_text("utf-8").splitlines()]
    encoder, tokenizer = open_encoder(str(smollm2)), AutoTokenizer.from_pretrained(smollm2)
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]  # written after the end token of an answer
    tiny = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    trained = SFTConfig(output_dir=str(tmp_path / "run"), max_length=4096, report_to=[], use_cpu=True, bf16=False)
    for form in ("chat", "openai", "prompt-completion", "parquet", "datasets"):
        out = tmp_path / form
        export_dataset(ws, out, form, RowSelection(split="syllabus", validation_share=1e-9) if form != "datasets" else None)
        loaded = load_from_disk(str(out)) if form == "datasets" else load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
        trainer = SFTTrainer(
            model=LlamaForCausalLM(tiny), args=trained, processing_class=tokenizer, train_dataset=loaded["train"]
        )
        assert len(trainer.train_dataset) == len(messages)
        for row, (asked, answered) in zip(trainer.train_dataset, messages, strict=True):
            ours = encoder.encode(asked["content"], answered["content"])
            assert row["input_ids"] == ours.ids + newline
            if form == "prompt-completion":
                assert row["labels"] == ours.labels + newline


def test_a_gguf_file_has_the_logits_of_the_model_and_its_chats(smollm2, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_gguf(smollm2, tmp_path / "m.gguf", "f16", "SmolLM2")
    tokenizer, again = AutoTokenizer.from_pretrained(smollm2), AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Add 1234 and 56."}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    assert (
        again(text, add_special_tokens=False)["input_ids"] == ids[0].tolist() and again.chat_template == tokenizer.chat_template
    )
    with torch.no_grad():
        ours = AutoModelForCausalLM.from_pretrained(smollm2, dtype="float32")(ids).logits
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype="float32")(ids).logits
    assert (ours - theirs).abs().max() < 2e-3 * ours.abs().max() and (ours.argmax(-1) == theirs.argmax(-1)).all()
    said = modelfile(tokenizer, "m.gguf")
    assert 'PARAMETER stop "<|im_end|>"' in said and "<|im_start|>user" in said and "SmolLM, trained by Hugging Face" in said
