"""A tiny Mistral model initialized from scratch, and a tokenizer trained on its training rows.

It allows trying out everything without downloading weights. It recalls what it was trained on and nothing else.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import MistralForCausalLM, PreTrainedTokenizerFast

    from glan_core.training.settings import Scratch

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
CONTEXT = 2048


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "Tokenizer":
    """Train a byte-level BPE tokenizer of at most `vocabulary` tokens; deterministic for the same texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, BOS, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False, min_frequency=2,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def count_parameters(scratch: "Scratch") -> int:
    """Return the number of parameters if the vocabulary is full, with tied input and output embeddings."""
    hidden, inner = scratch.hidden, scratch.inner
    heads_kv = scratch.heads // 2
    attention = 2 * hidden * hidden + 2 * hidden * (hidden // scratch.heads) * heads_kv
    return scratch.vocabulary * hidden + scratch.layers * (attention + 3 * hidden * inner + 2 * hidden) + hidden


def make_model(scratch: "Scratch", vocabulary: int, seed: int) -> "MistralForCausalLM":
    """Return a randomly initialized model."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(seed)
    config = MistralConfig(
        vocab_size=vocabulary, hidden_size=scratch.hidden, intermediate_size=scratch.inner, num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads, num_key_value_heads=scratch.heads // 2, max_position_embeddings=CONTEXT,
        sliding_window=None, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return MistralForCausalLM(config)


def wrap_tokenizer(tokenizer: "Tokenizer") -> "PreTrainedTokenizerFast":
    """Wrap a tokenizer for transformers."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
