"""GGUF export: transformers reads the file back with the same weights, tokens and template; the Modelfile has the same chats."""

import json
import re

import pytest
from support.chat_models import make_adapter, make_base, make_full, make_tuned, note_model
from support.runs import execute_run

from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.models import gguf_file, gguf_tokenizer
from glan_core.models.export_job import MODELFILE
from glan_core.models.ollama_modelfile import modelfile, turn_blocks
from glan_core.training import tiny_model
from glan_core.training.chat_encoding import alpaca_template

gguf = pytest.importorskip("gguf")
TEXTS = [
    "How is a chord made?",
    "Three notes: C, E and G.\n\n1234 + 5 = 1,239  (naïve café) 日本 🎵",
    "<|im_start|>user\nWhy?<|im_end|>",
]
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
    "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system messages') }}{% endif %}{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA_LIKE = (
    "{{ bos_token }}{% for m in messages %}<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end>\n"
    "{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}"
)


def exported(ws, name: str, tmp_path, kind: str):
    """Export a model and return the folder."""
    out = tmp_path / f"out-{kind}"
    assert main(["models", str(ws.folder), "export", name, "--out", str(out), "--gguf", kind]) == 0
    assert {path.name for path in out.iterdir()} == {f"{name}.gguf", MODELFILE, "README.md"}
    return out


def logits(model, tokenizer) -> list:
    import torch

    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits for text in TEXTS]


def same(first, second, tolerance: float) -> bool:
    return all((a - b).abs().max() <= tolerance * a.abs().max() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("kind", "tolerance"), [("f32", 1e-5), ("f16", 5e-3), ("bf16", 5e-2), ("q8_0", 5e-2)])
def test_transformers_reads_the_weights_back(ws, tmp_path, kind, tolerance):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = make_full(ws)
    out = exported(ws, "whole", tmp_path, kind)
    before = AutoTokenizer.from_pretrained(model.weights(ws))
    ours = AutoModelForCausalLM.from_pretrained(model.weights(ws), dtype="float32")
    theirs = AutoModelForCausalLM.from_pretrained(out, gguf_file="whole.gguf", dtype="float32")
    assert same(logits(ours, before), logits(theirs, before), tolerance)


def test_an_adapter_is_merged_into_its_base(ws, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = make_base(tmp_path / "base")
    model = make_tuned(ws, base)
    out = exported(ws, "tuned", tmp_path, "f32")
    tokenizer = AutoTokenizer.from_pretrained(base)
    ours = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), model.weights(ws))
    theirs = AutoModelForCausalLM.from_pretrained(out, gguf_file="tuned.gguf", dtype="float32")
    assert same(logits(ours, tokenizer), logits(theirs, tokenizer), 1e-4)
    assert not same(logits(AutoModelForCausalLM.from_pretrained(base), tokenizer), logits(theirs, tokenizer), 1e-2)
    assert "merged" in (out / "README.md").read_text() and "library_name: gguf" in (out / "README.md").read_text()


def made(folder, kind: str, **values):
    """Save an untrained model of an architecture with the tokenizer of the demo recipe."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_model.wrap_tokenizer(tiny_model.train_tokenizer(["A chord is three notes. 12 34 " * 3, *TEXTS], 400))
    tokenizer.chat_template = alpaca_template()
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer) + 5, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=256, **values,
    )  # fmt: skip
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval(), tokenizer


@pytest.mark.parametrize(
    ("kind", "values"),
    [("llama", {}), ("llama", {"tie_word_embeddings": True, "rms_norm_eps": 1e-6}), ("llama", {"rope_theta": 5000.0}),
     ("mistral", {"head_dim": 32}), ("qwen2", {"tie_word_embeddings": True}), ("qwen3", {"head_dim": 128})],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)  # fmt: skip
def test_every_supported_architecture_keeps_its_logits(tmp_path, kind, values):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ours, tokenizer = made(tmp_path / "model", kind, **values)
    gguf_file.write_gguf(tmp_path / "model", tmp_path / "m.gguf", "f32", "m")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype="float32").eval()
    assert same(logits(ours, tokenizer), logits(theirs, tokenizer), 1e-4)
    read = {
        field: reader_value(tmp_path / "m.gguf", f"tokenizer.ggml.{field}")
        for field in ("pre", "eos_token_id", "add_bos_token")
    }
    assert read == {"pre": "smollm", "eos_token_id": 2, "add_bos_token": False}
    again = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    assert again.eos_token == "</s>" and tokenizer.vocab.items() <= again.vocab.items()
    tokens = [[one(text, add_special_tokens=False)["input_ids"] for text in TEXTS] for one in (again, tokenizer)]
    assert tokens[0] == tokens[1]


def reader_value(file, name: str):
    return gguf.GGUFReader(file).fields[name].contents()


def test_the_chat_template_has_no_tags_that_other_programs_refuse(tmp_path):
    made(tmp_path / "model", "llama")
    gguf_file.write_gguf(tmp_path / "model", tmp_path / "m.gguf", "f16", "m")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    chat = [
        {"role": "user", "content": " Why? "},
        {"role": "assistant", "content": " So. "},
        {"role": "user", "content": "And?"},
    ]
    before = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    tokenizer.chat_template = reader_value(tmp_path / "m.gguf", "tokenizer.chat_template")
    assert "generation " not in re.sub("add_generation_prompt", "", tokenizer.chat_template)
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == before


@pytest.mark.parametrize("template", [SMOLLM2, LLAMA2, GEMMA_LIKE, None], ids=["SmolLM2", "Llama 2", "Gemma", "Alpaca"])
def test_the_modelfile_renders_chats_as_the_template_does(template):
    tokenizer = tiny_model.wrap_tokenizer(tiny_model.train_tokenizer(TEXTS, 300))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template or alpaca_template()
    blocks = turn_blocks(tokenizer)
    talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
    expected = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert blocks.render(talk) == expected
    text = modelfile(tokenizer, "m.gguf")
    end = "<|im_end|>" if template == SMOLLM2 else "</s>"
    assert text.splitlines()[1] == "FROM ./m.gguf" and f'PARAMETER stop "{end}"' in text
    assert '{{ if eq .Role "user" }}' in text and ("SYSTEM" in text) == (template in (SMOLLM2, None))


def test_a_template_that_is_no_sequence_of_turns_is_left_to_ollama():
    tokenizer = tiny_model.wrap_tokenizer(tiny_model.train_tokenizer(TEXTS, 300))
    tokenizer.chat_template = "{{ messages | length }} turns: {% for m in messages %}{{ m.content }}|{% endfor %}"
    assert turn_blocks(tokenizer) is None and "TEMPLATE" not in modelfile(tokenizer, "m.gguf")


def test_sentencepiece_tokenizers_keep_the_order_of_their_merges(tmp_path):
    content = {
        "added_tokens": [{"id": 0, "content": "<unk>", "special": True}, {"id": 1, "content": "<s>", "special": True}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
        "model": {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "merges": [["▁", "t"], ["h", "e"], ["▁t", "he"]],
                  "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁t": 3, "he": 4, "▁the": 5, "▁": 6, "t": 7, "h": 8, "e": 9}},
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    found = gguf_tokenizer.read_vocabulary(tmp_path / "tokenizer.json", 12)
    types = [gguf.TokenType(kind).name for kind in found.types]
    assert (found.model, found.pre, found.space_prefix, found.merges) == ("llama", "default", True, None)
    assert types == ["UNKNOWN", "CONTROL", "BYTE", *["NORMAL"] * 7, "UNUSED", "UNUSED"]
    assert found.scores[3] > found.scores[4] > found.scores[5] > found.scores[9]


@pytest.mark.parametrize(
    ("pre", "name"),
    [({"type": "ByteLevel", "use_regex": True}, "gpt-2"), ({"type": "ByteLevel", "use_regex": False}, None), (None, None),
     ({"type": "Whitespace"}, None),
     ({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}, {"type": "ByteLevel"}]}, None),
     *(({"type": "Sequence", "pretokenizers": [
         {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"}, {"type": "ByteLevel", "use_regex": False}]}, name)
       for regex, name in gguf_tokenizer.SPLITS.items())],
)  # fmt: skip
def test_only_known_pre_tokenizers_are_written(tmp_path, pre, name):
    content = {"pre_tokenizer": pre, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    if name is None:
        with pytest.raises(GlanError, match="pre-tokenizer is not one of those known"):
            gguf_tokenizer.read_vocabulary(tmp_path / "tokenizer.json", 1)
    else:
        assert gguf_tokenizer.read_vocabulary(tmp_path / "tokenizer.json", 1).pre == name


def test_what_cannot_be_written_is_refused_before_the_run(ws, tmp_path, capsys):
    weights = ws.folder / "models" / "odd" / "weights"
    make_base(weights)
    note_model(ws, "odd", "full", "")
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    words = ["models", str(ws.folder), "export", "odd", "--out", str(tmp_path / "out"), "--gguf", "f16"]
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "mamba" in said and "convert_hf_to_gguf.py" in said
    (weights / "config.json").write_text(
        json.dumps(config | {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}})
    )
    assert execute_run(ws, {"model": "odd", "path": str(tmp_path / "out"), "gguf": "f16"}, "model-export").state == "failed"
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_a_missing_base_leaves_nothing_behind(ws, tmp_path):
    base = make_base(tmp_path / "base")
    make_adapter(base, ws.folder / "models" / "lost" / "weights")
    note_model(ws, "lost", "adapter", str(tmp_path / "gone"))
    done = execute_run(ws, {"model": "lost", "path": str(tmp_path / "out"), "gguf": "f16"}, "model-export")
    assert done.state == "failed" and "cannot be loaded" in done.message and not (tmp_path / "out").exists()
