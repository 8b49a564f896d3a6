"""Model shape: parameters and layer sizes of a base model from its configuration, without loading weights or torch."""

from dataclasses import dataclass

from glan_core.json_text import parse_json
from glan_core.training.chat_encoding import find_model_file
from glan_core.training.recipes import PAPER_BASE
from glan_core.training.settings import FinetuneSettings, Scratch
from glan_core.training.tiny_model import count_parameters

ADAPTED = 7  # linear layers per block that get an adapter: q, k, v, o, gate, up, down


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder of the Llama family.

    Attributes:
        hidden: Hidden size.
        inner: Intermediate size of the MLP.
        layers: Number of layers.
        heads: Width of all attention heads (queries).
        kv_heads: Width of all key/value heads.
        vocabulary: Vocabulary size.
        positions: Context length, None if unlimited or unknown.
        parameters: Number of parameters.
    """

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    positions: int | None
    parameters: int

    def adapter(self, rank: int) -> int:
        """Return the parameters of a LoRA adapter to all linear layers: rank times (input + output width) of each."""
        widths = 2 * (self.hidden + self.heads) + 2 * (self.hidden + self.kv_heads) + 3 * (self.hidden + self.inner)
        return rank * self.layers * widths


MISTRAL_7B = ModelShape(4096, 14_336, 32, 4096, 1024, 32_000, 32_768, 7_241_732_096)
KNOWN = {PAPER_BASE: MISTRAL_7B}  # shapes that are known without files


def model_shape(settings: FinetuneSettings) -> ModelShape | None:
    """Return the shape of the model that is trained, or None if its configuration is not stored locally or has another form."""
    return scratch_shape(settings.scratch) if settings.base is None else base_shape(settings.base)


def scratch_shape(scratch: Scratch) -> ModelShape:
    """Return the shape of a model initialized from scratch."""
    kv = scratch.hidden // 2
    return ModelShape(
        scratch.hidden, scratch.inner, scratch.layers, scratch.hidden, kv, scratch.vocabulary, None, count_parameters(scratch)
    )


def base_shape(base: str) -> ModelShape | None:
    """Return the shape of a base model, or None if its configuration is not stored locally or has another form."""
    config = read_config(base)
    if config is None:
        return KNOWN.get(base)
    config = config.get("text_config") or config
    try:
        hidden, layers, vocabulary = config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]
        number = config["num_attention_heads"]
        head = config.get("head_dim") or hidden // number
        heads, kv = number * head, (config.get("num_key_value_heads") or number) * head
        inner = config.get("intermediate_size", 4 * hidden)
        experts = config.get("num_local_experts") or config.get("num_experts") or 1
        layer = 2 * hidden * heads + 2 * hidden * kv + 3 * hidden * inner * experts + 2 * hidden
        tied = 1 if config.get("tie_word_embeddings") else 2
        parameters = layers * layer + tied * vocabulary * hidden + hidden
        positions = config.get("max_position_embeddings")
        return ModelShape(hidden, inner, layers, heads, kv, vocabulary, positions, parameters)
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def read_config(base: str) -> dict | None:
    """Return the configuration of a base model, or None if it is not stored locally or cannot be read."""
    file = find_model_file(base, "config.json")
    try:
        config = parse_json(file.read_text("utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None
