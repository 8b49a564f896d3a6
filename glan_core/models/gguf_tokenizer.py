"""Tokenizers in GGUF: vocabulary, merges and pre-tokenizer as llama.cpp reads them.

llama.cpp has its own tokenizers and knows pre-tokenizers by name, so a tokenizer is written only if it is one of those; anything
else would be tokenized differently from training without any error.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.json_text import parse_json

_CASED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Regular expression of a `Split` pre-tokenizer and its name in llama.cpp.
SPLITS = {_CASED + r"\p{N}{1,3}" + _REST: "llama-bpe", _CASED + r"\p{N}" + _REST: "qwen2"}


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """A tokenizer as GGUF fields.

    Attributes:
        model: 'gpt2' for byte-level BPE, 'llama' for SentencePiece-like BPE with byte fallback.
        pre: Name of the pre-tokenizer.
        tokens: Text of each token.
        types: `gguf.TokenType` of each token.
        scores: Score of each token, for 'llama' only.
        merges: Merges in order, for 'gpt2' only.
        space_prefix: Whether a space is put before a text.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None
    merges: list[str] | None
    space_prefix: bool


def read_vocabulary(file: Path, size: int) -> GgufVocabulary:
    """Read the vocabulary of a `tokenizer.json`.

    Args:
        file: The file.
        size: Rows of the model's embeddings; IDs without a token are filled up.

    Raises:
        GlanError: If the file cannot be read, or llama.cpp has no such tokenizer.
    """
    from gguf import TokenType

    try:
        content = parse_json(file.read_text("utf-8"))
        model = content["model"]
        vocabulary: dict[str, int] = model["vocab"]
        merges = [part if isinstance(part, str) else " ".join(part) for part in model["merges"]]
        added = {token["id"]: token for token in content.get("added_tokens") or ()}
    except (OSError, ValueError, KeyError, TypeError):
        raise GlanError(f"{file} cannot be exported to GGUF: it is not a BPE tokenizer.") from None
    sentencepiece = bool(model.get("byte_fallback"))
    pre = "default" if sentencepiece else _pre_tokenizer(content.get("pre_tokenizer"))
    if pre is None:
        raise GlanError(
            f"{file} cannot be exported to GGUF: its pre-tokenizer is not one of those known here. Export the model as a folder and "
            "convert it with convert_hf_to_gguf.py of llama.cpp."
        )
    known = {id: text for text, id in vocabulary.items()} | {id: token["content"] for id, token in added.items()}
    if known and max(known) >= size:
        raise GlanError(f"{file} cannot be exported to GGUF: it has more tokens than the model has embeddings.")
    tokens, types = [], []
    for id in range(size):
        text = known.get(id, f"[PAD{id}]")
        if id not in known:
            kind = TokenType.UNUSED
        elif text == model.get("unk_token"):
            kind = TokenType.UNKNOWN
        elif id in added:
            kind = TokenType.CONTROL if added[id].get("special") else TokenType.USER_DEFINED
        else:
            kind = TokenType.BYTE if sentencepiece and _is_byte(text) else TokenType.NORMAL
        tokens.append(text)
        types.append(int(kind))
    if not sentencepiece:
        return GgufVocabulary("gpt2", pre, tokens, types, None, merges, space_prefix=False)
    return GgufVocabulary("llama", pre, tokens, types, _scores(tokens, merges), None, _prefixes_space(content))


def _pre_tokenizer(declared: Any) -> str | None:
    """Return the name of a pre-tokenizer in llama.cpp, or None."""
    parts = declared.get("pretokenizers", []) if (declared or {}).get("type") == "Sequence" else [declared or {}]
    match [part.get("type") for part in parts]:
        case ["ByteLevel"] if parts[0].get("use_regex", True):
            return "gpt-2"
        case ["Digits", "ByteLevel"] if parts[0].get("individual_digits") and parts[1].get("use_regex", True):
            return "smollm"
        case ["Split", "ByteLevel"] if not parts[1].get("use_regex", True) and parts[0].get("behavior") == "Isolated":
            return SPLITS.get(parts[0].get("pattern", {}).get("Regex"))
    return None


def _is_byte(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """Return scores that merge in the order of the merges: SentencePiece merges the pair with the highest score first."""
    rank: dict[str, int] = {}
    for merge in merges:
        rank.setdefault(merge.replace(" ", "", 1), len(rank))
    return [-float(rank.get(token, 0 if _is_byte(token) else len(rank))) for token in tokens]


def _prefixes_space(content: dict) -> bool:
    """Return whether the normalizer or the pre-tokenizer puts a space before a text."""
    normalizer, splitter = content.get("normalizer") or {}, content.get("pre_tokenizer") or {}
    parts = normalizer.get("normalizers", [normalizer])
    return any(part.get("type") == "Prepend" for part in parts) or splitter.get("prepend_scheme") in ("first", "always")
