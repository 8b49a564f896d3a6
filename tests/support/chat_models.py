"""Tiny models for chat tests: about 20,000 parameters, a byte tokenizer and a LoRA adapter."""

import time
from pathlib import Path

from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.models.tuned_model_store import TunedModel, hash_weights, write_model
from glan_core.workspace import Workspace

TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
GREEDY = SeededDecodingParams(temperature=0, max_tokens=24)


def make_base(folder: Path, seed: int = 0, *, width: int = 32, positions: int = 4096) -> Path:
    """Create an untrained Mistral model with tokenizer and chat template; greedy replies never end early."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate([*alphabet, "</s>"])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=TEMPLATE)
    fast.save_pretrained(folder)
    config = MistralConfig(
        vocab_size=257, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, eos_token_id=256, bos_token_id=256, max_position_embeddings=positions, sliding_window=None,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = MistralForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
        model.lm_head.weight[256] = 0
        # letters only, so that texts are comparable
        for token, sign in enumerate(alphabet):
            if not (sign.isascii() and sign.isalpha()):
                model.lm_head.weight[token] = 0
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def make_adapter(base: Path, folder: Path, seed: int = 1) -> Path:
    """Create a LoRA adapter with a large effect, with the tokenizer of the base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, lora_alpha=16, target_modules="all-linear")
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.4)
    model.save_pretrained(folder, safe_serialization=True)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def note_model(ws: Workspace, name: str, form: str, base: str, snapshot: str = "", **values) -> TunedModel:
    """Write the model.json of existing weights."""
    weights = ws.folder / "models" / name / "weights"
    hashes = {manifest.name: manifest.hash for manifest in list_snapshots(ws)}
    size = sum(file.stat().st_size for file in weights.glob("*"))
    model = TunedModel(
        name=name, form=form, base=base, recipe="demo", snapshot=snapshot, snapshot_hash=hashes.get(snapshot, "sha256:0"), disciplines={}, rows=10,
        held_out=2, tokens=1000, steps=10, epochs=1.0, seconds=3.0, losses={"train": 1.0, "validation": 1.2}, parameters=20_000,
        trained_parameters=20_000, precision="float32", template="base", bytes=size, weights_hash=hash_weights(weights),
        run_id=None, created_at=time.time(), **{"settings": {}, **values},
    )  # fmt: skip
    write_model(ws, model)
    return model


def make_full(ws: Workspace, name: str = "whole", snapshot: str = "", **values) -> TunedModel:
    """Create a full model with an untrained base."""
    folder = ws.folder / "models" / name
    make_base(folder / "base", seed=3)
    make_base(folder / "weights", seed=4)
    return note_model(ws, name, "full", "", snapshot, **values)


def make_tuned(ws: Workspace, base: Path, name: str = "tuned", snapshot: str = "", seed: int = 1) -> TunedModel:
    """Create an adapter for a base model."""
    make_adapter(base, ws.folder / "models" / name / "weights", seed)
    return note_model(ws, name, "adapter", str(base), snapshot)
