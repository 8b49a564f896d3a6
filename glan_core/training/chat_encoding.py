"""Chat encoding: renders pairs in a chat template and tokenizes them with loss labels.

The module does not need torch, so a page can show exactly what the trainer will see.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.resources import ASSETS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ALPACA_FILE = ASSETS / "alpaca.jinja"
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MARK = "XyzzyAnswer"


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A tokenized pair.

    The loss covers the tokens from `start` on: the answer and its end token.

    Attributes:
        ids: Token IDs, truncated at the length limit; the end token is lost if tokens were cut.
        start: Index of the first trained token.
        full: Number of tokens before truncation.
        bytes: UTF-8 bytes of the answer within the limit.
    """

    ids: list[int]
    start: int
    full: int
    bytes: int = 0

    @property
    def cut(self) -> bool:
        """Whether tokens were cut at the length limit."""
        return self.full > len(self.ids)

    @property
    def trained(self) -> int:
        """Number of trained tokens; 0 if the question alone fills the limit."""
        return max(0, len(self.ids) - self.start)

    @property
    def labels(self) -> list[int]:
        """Labels for the loss: -100 for untrained tokens, else the token ID."""
        return [-100] * min(self.start, len(self.ids)) + self.ids[self.start :]


class Encoder:
    """Renders pairs in a chat template and tokenizes them.

    Attributes:
        template: Jinja chat template.
        end: Token that ends an answer: the one the template writes after it, else the EOS token. It is part of the loss;
            otherwise the model would never learn to stop.
    """

    def __init__(self, tokenizer: "Tokenizer", template: str, *, bos: str | None, eos: str) -> None:
        self.template, self._tokenizer = template, tokenizer
        self._bos, self._eos = bos or "", eos
        tokenizer.no_truncation()
        tokenizer.no_padding()
        special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        written = self.write([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": MARK}])
        after = written.rpartition(MARK)[2].lstrip()
        self.end = max((token for token in special if after.startswith(token)), key=len, default=eos)

    @property
    def end_id(self) -> int:
        """ID of the token that ends an answer."""
        if (found := self._tokenizer.token_to_id(self.end)) is None:
            raise GlanError(f"The end token {self.end!r} is not in the tokenizer. Use another base model.")
        return found

    @property
    def largest_id(self) -> int:
        """Largest token ID of the tokenizer."""
        return max(self._tokenizer.get_vocab().values(), default=0)

    @property
    def own_template(self) -> bool:
        """Whether the template is the base model's own rather than Alpaca's."""
        return self.template != alpaca_template()

    def write(self, messages: Sequence[dict[str, str]], *, ask: bool = False) -> str:
        """Render messages in the template.

        Args:
            messages: Chat messages.
            ask: Append the generation prompt.

        Raises:
            GlanError: If the template fails.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            rendered: Any = render_jinja_template(
                [list(messages)],
                chat_template=self.template,
                add_generation_prompt=ask,
                bos_token=self._bos,
                eos_token=self._eos,
            )
        except Exception as error:  # templates can raise anything
            raise GlanError(f"The chat template of the base model cannot be used: {str(error)[:200]}.") from None
        texts, _ = rendered
        return str(texts[0])

    def encode(self, question: str, answer: str, max_length: int | None = None) -> EncodedPair:
        """Encode a pair, truncated at `max_length` tokens."""
        return next(self.encode_all([(question, answer)], max_length))

    def encode_all(self, pairs: Sequence[tuple[str, str]], max_length: int | None = None) -> Iterator[EncodedPair]:
        """Encode pairs in order.

        The answer is appended to the rendered prompt unchanged. A template applied to the whole chat may strip or rewrite the
        answer, which would train on text that never occurs at inference.
        """
        prompts = [self.write([{"role": "user", "content": question}], ask=True) for question, _ in pairs]
        texts = [prompt + answer.strip() + self.end for prompt, (_, answer) in zip(prompts, pairs, strict=True)]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        for prompt, (_, answer), text, encoding in zip(prompts, pairs, texts, encodings, strict=True):
            offsets = encoding.offsets
            kept = offsets[:max_length]
            end = min(kept[-1][1] if kept else 0, len(prompt) + len(answer.strip()))
            start = next((n for n, (_, end) in enumerate(offsets) if end > len(prompt)), len(offsets))
            yield EncodedPair(encoding.ids[:max_length], start, len(encoding.ids), len(text[len(prompt) : end].encode()))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token."""
        return [self._tokenizer.decode([id], skip_special_tokens=False) for id in ids]


def open_encoder(place: str) -> Encoder:
    """Open the encoder of a base model from its folder or the local Hub cache. Nothing is downloaded.

    Args:
        place: Folder or Hub model ID.

    Raises:
        GlanError: If the tokenizer is not stored locally, cannot be read, or has no EOS token.
    """
    files = {name: path for name in FILES if (path := find_model_file(place, name))}
    if "tokenizer.json" not in files:
        raise GlanError(
            f"The tokenizer of {place} is not stored locally. Use a folder with tokenizer.json and safetensors weights, or run "
            f"'hf download {place}'."
        )
    return _open(tuple((name, str(path), path.stat().st_mtime_ns) for name, path in files.items()))


@lru_cache(8)
def _open(files: tuple[tuple[str, str, int], ...]) -> Encoder:
    from tokenizers import Tokenizer

    places = {name: Path(path) for name, path, _ in files}
    try:
        tokenizer = Tokenizer.from_file(str(places["tokenizer.json"]))
        config = json.loads(places["tokenizer_config.json"].read_text("utf-8")) if "tokenizer_config.json" in places else {}
        own = places["chat_template.jinja"].read_text("utf-8") if "chat_template.jinja" in places else None
    except Exception as error:  # the tokenizers library raises bare exceptions
        raise GlanError(f"The tokenizer in {places['tokenizer.json'].parent} cannot be read: {str(error)[:200]}.") from None
    bos, eos = (_text(config.get(name)) for name in ("bos_token", "eos_token"))
    if not eos:
        raise GlanError(f"The tokenizer in {places['tokenizer.json'].parent} has no end token (eos_token).")
    return Encoder(tokenizer, template_of(own or config.get("chat_template")), bos=bos, eos=eos)


def template_of(own: object) -> str:
    """Return the base model's chat template (of several, the one named 'default'), else Alpaca's."""
    if isinstance(own, list):
        own = {item.get("name"): item.get("template") for item in own if isinstance(item, dict)}
    if isinstance(own, dict):
        own = own.get("default")
    return own if isinstance(own, str) and own.strip() else alpaca_template()


@lru_cache(1)
def alpaca_template() -> str:
    """Return the Alpaca prompt (Taori et al., 2023) as a chat template, for base models without one."""
    return ALPACA_FILE.read_text("utf-8").strip()


def find_model_file(place: str, name: str) -> Path | None:
    """Return the path of a model file in its folder or the local Hub cache, or None."""
    place = packaged_models.local_place(place)
    if (folder := Path(place).expanduser()).is_dir():
        return folder / name if (folder / name).is_file() else None
    if place.startswith((".", "/", "~")) or place.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place, name)
    return Path(found) if isinstance(found, str) else None


def _text(token: object) -> str | None:
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None
