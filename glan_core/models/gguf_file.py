"""GGUF files: writes the weights and tokenizer of a model as one file for llama.cpp, Ollama and LM Studio.

Supports the architectures of `ARCHITECTURES`. Tensor names come from the `gguf` package of llama.cpp's authors.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glan_core.errors import GlanError
from glan_core.models.gguf_tokenizer import read_vocabulary

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter

GgufType = Literal["f32", "f16", "bf16", "q8_0"]
ARCHITECTURES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
PERMUTED = ("llama", "mistral")  # llama.cpp rotates interleaved halves of their query and key rows
GENERATION = re.compile(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}")
ANSWER = "XyzzyAnswer"


def write_gguf(folder: Path, file: Path, kind: GgufType, name: str) -> None:
    """Write a model folder as a GGUF file.

    Args:
        folder: Folder with config.json, tokenizer and safetensors weights of a full model.
        file: New file.
        kind: Type of the matrices; vectors are always f32.
        name: Name of the model.

    Raises:
        GlanError: If the package `gguf` is missing, or architecture, tokenizer or position encoding are not supported.
    """
    import gguf
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    check_architecture(config.model_type)
    tensors = dict(_tensors(folder))
    size = tensors["model.embed_tokens.weight"].shape[0]
    architecture = gguf.MODEL_ARCH[ARCHITECTURES[config.model_type]]
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_name(name)
    _add_config(writer, config, size)
    _add_tokenizer(writer, folder, AutoTokenizer.from_pretrained(folder, trust_remote_code=False), size)
    types = {
        "f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16, "bf16": gguf.LlamaFileType.MOSTLY_BF16,
        "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    }  # fmt: skip
    writer.add_file_type(types[kind])
    if kind == "q8_0":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    written = []
    for tensor_name, tensor in tensors.items():
        new_name = names.get_name(tensor_name, try_suffixes=(".weight", ".bias"))
        if new_name is None:
            raise GlanError(f"The model cannot be exported to GGUF: llama.cpp has no tensor for {tensor_name}.")
        wanted = _type_of(tensor.shape, kind)
        shape, raw = _layout(tensor.shape, wanted)
        writer.add_tensor_info(new_name, shape, raw, math.prod(shape) * raw.itemsize, wanted)
        written.append((tensor_name, tensor, wanted))
    if factors := _rope_factors(config):
        import numpy as np

        writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor_name, tensor, wanted in written:  # one after the other, for flat memory use
        writer.write_tensor_data(gguf.quants.quantize(_values(tensor, tensor_name, config), wanted))
    if factors:
        writer.write_tensor_data(np.array(factors, np.float32))
    writer.close()


def check_architecture(model_type: str) -> None:
    """Check that models of an architecture can be written.

    Raises:
        GlanError: If it is not supported.
    """
    if model_type not in ARCHITECTURES:
        raise GlanError(
            f"Models of architecture {model_type} cannot be exported to GGUF here (only {', '.join(ARCHITECTURES)}). Export the model as a "
            "folder and convert it with convert_hf_to_gguf.py of llama.cpp."
        )


def end_token(tokenizer: Any) -> str:
    """Return the token that ends an answer: the one the chat template writes after it, else the EOS token."""
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": ANSWER}]
    after = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(ANSWER)[2].lstrip()
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return max((token for token in specials if after.startswith(token)), key=len, default=tokenizer.eos_token)


def _add_config(writer: "GGUFWriter", config: Any, size: int) -> None:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    rope = _rope(config)
    writer.add_rope_freq_base(rope.get("rope_theta", 10000.0))
    if rope["rope_type"] == "linear":
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _rope(config: Any) -> dict:
    """Return the parameters of the position encoding."""
    rope = dict(getattr(config, "rope_parameters", None) or {})
    rope.setdefault("rope_type", "default")
    if rope["rope_type"] not in ("default", "linear", "llama3"):
        raise GlanError(f"The model cannot be exported to GGUF: its position encoding {rope['rope_type']!r} is not supported.")
    return rope


def _rope_factors(config: Any) -> list[float] | None:
    """Return the frequency factors of Llama 3.1's position encoding; None for others.

    Source: transformers `_compute_llama3_parameters`.
    """
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for n in range(0, head, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (n / head)
        smooth = min(1.0, max(0.0, (old / wavelength - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return factors


def _add_tokenizer(writer: "GGUFWriter", folder: Path, tokenizer: Any, size: int) -> None:
    found = read_vocabulary(folder / "tokenizer.json", size)
    writer.add_tokenizer_model(found.model)
    writer.add_tokenizer_pre(found.pre)
    writer.add_token_list(found.tokens)
    writer.add_token_types(found.types)
    if found.scores is not None:
        writer.add_token_scores(found.scores)
        writer.add_add_space_prefix(found.space_prefix)
    if found.merges is not None:
        writer.add_token_merges(found.merges)
    end = tokenizer.convert_tokens_to_ids(end_token(tokenizer))
    ids = {"bos": tokenizer.bos_token_id, "eos": end, "unk": tokenizer.unk_token_id, "pad": tokenizer.pad_token_id}
    for name, id in ids.items():
        if id is not None:
            getattr(writer, f"add_{name}_token_id")(id)
    writer.add_add_bos_token(value=False)  # the chat template writes it where training had it
    writer.add_add_eos_token(value=False)
    # Tags that mark the trained part are unknown to other programs; a comment keeps their trimming of spaces.
    writer.add_chat_template(GENERATION.sub(r"{#\1 \2#}", tokenizer.chat_template))


def _tensors(folder: Path) -> Iterator[tuple[str, "_Tensor"]]:
    """Yield the tensors of a folder's safetensors files without loading them."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (not a dictionary)
                yield name, _Tensor(file, name, tuple(opened.get_slice(name).get_shape()))


class _Tensor:
    """A tensor in a safetensors file."""

    def __init__(self, file: Path, name: str, shape: tuple[int, ...]) -> None:
        self.file, self.name, self.shape = file, name, shape

    def read(self) -> "np.ndarray":
        """Return the values as float32."""
        from safetensors import safe_open

        with safe_open(self.file, framework="pt") as opened:
            return opened.get_tensor(self.name).float().numpy()


def _values(tensor: _Tensor, name: str, config: Any) -> "np.ndarray":
    """Return the values of a tensor in the order of rows that llama.cpp expects."""
    values = tensor.read()
    if config.model_type in PERMUTED and re.search(r"\.(q|k)_proj\.", name):
        heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
        parts = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
        return parts.swapaxes(1, 2).reshape(values.shape)
    return values


def _type_of(shape: tuple[int, ...], kind: GgufType) -> "GGMLQuantizationType":
    """Return the type of a tensor: vectors are f32, and rows that do not fill the blocks of q8_0 are f16."""
    import gguf

    if len(shape) == 1:
        return gguf.GGMLQuantizationType.F32
    if kind == "q8_0" and shape[-1] % gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType.Q8_0][0]:
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType[kind.upper()]


def _layout(shape: tuple[int, ...], kind: "GGMLQuantizationType") -> tuple[tuple[int, ...], "np.dtype"]:
    """Return the shape and data type of the array that holds a tensor of a type."""
    import gguf
    import numpy as np

    plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
    if kind in plain:
        return shape, np.dtype(plain[kind])
    return tuple(gguf.quant_shape_to_byte_shape(shape, kind)), np.dtype(np.uint8)
