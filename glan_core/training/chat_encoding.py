"""How a pair becomes tokens: written in a chat template, cut at a length, with the tokens that are trained on.

Torch is not needed for it, so that a page can show just what the engine will train on.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from glan_core.errors import GlanError
from glan_core.resources import ASSETS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ALPACA_FILE = ASSETS / "alpaca.jinja"
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MARK = "XyzzyAnswer"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A pair as tokens. Trained on is what stands from `start`: the answer and the token that ends it. `full` is the number of
    tokens before the length limit; where that cut something off, the end token is gone, too."""

    ids: list[int]
    start: int
    full: int

    @property
    def cut(self) -> bool:
        """Whether the length limit cut something off."""
        return self.full > len(self.ids)

    @property
    def trained(self) -> int:
        """How many tokens are trained on; 0 where the question alone fills the limit."""
        return max(0, len(self.ids) - self.start)

    @property
    def labels(self) -> list[int]:
        """The targets: -100 for what is not trained on, the token itself for what is."""
        return [-100] * min(self.start, len(self.ids)) + self.ids[self.start :]


class Encoder:
    """Writes pairs in a chat template and splits them into tokens.

    `template` is Jinja as transformers renders it; `bos` and `eos` are the texts of the special tokens. `end` is the token that
    ends an answer: the one that the template writes behind it, else `eos`. Without it in the loss a student never stops.
    """

    def __init__(self, tokenizer: "Tokenizer", template: str, *, bos: str | None, eos: str) -> None:
        self.template, self._tokenizer = template, tokenizer
        self._specials = {"bos_token": bos or "", "eos_token": eos}
        tokenizer.no_truncation()
        tokenizer.no_padding()
        special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        written = self.write([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": MARK}])
        after = written.rpartition(MARK)[2].lstrip()
        self.end = max((token for token in special if after.startswith(token)), key=len, default=eos)

    @property
    def end_id(self) -> int:
        """The id of the token that ends an answer."""
        return self._tokenizer.token_to_id(self.end)

    @property
    def own_template(self) -> bool:
        """Whether the template is the base model's own, not Alpaca's."""
        return self.template != alpaca_template()

    def write(self, messages: Sequence[dict[str, str]], *, ask: bool = False) -> str:
        """Messages as text in the template; `ask` ends it where an answer is to begin. GlanError for a template that fails."""
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            written, _ = render_jinja_template(
                [list(messages)], chat_template=self.template, add_generation_prompt=ask, **self._specials
            )
        except Exception as error:  # what somebody else's template may raise is not to be known
            raise GlanError(f"The chat template of the base model can't be used: {str(error)[:200]}.") from None
        return written[0]

    def encode(self, question: str, answer: str, max_length: int | None = None) -> Encoded:
        """A pair as tokens, at most `max_length`."""
        return next(self.encode_all([(question, answer)], max_length))

    def encode_all(self, pairs: Sequence[tuple[str, str]], max_length: int | None = None) -> Iterator[Encoded]:
        """Pairs as tokens, in their order.

        The answer follows the prompt as it is. A template that is given both may trim or rewrite the answer, and would then
        train on something that it is never asked for.
        """
        prompts = [self.write([{"role": "user", "content": question}], ask=True) for question, _ in pairs]
        texts = [prompt + answer.strip() + self.end for prompt, (_, answer) in zip(prompts, pairs, strict=True)]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        for prompt, encoding in zip(prompts, encodings, strict=True):
            offsets = encoding.offsets
            start = next((n for n, (_, end) in enumerate(offsets) if end > len(prompt)), len(offsets))
            yield Encoded(encoding.ids[:max_length], start, len(encoding.ids))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text that each token stands for."""
        return [self._tokenizer.decode([id], skip_special_tokens=False) for id in ids]


def open_encoder(place: str) -> Encoder:
    """The encoder of a base model, from its folder or from this machine's copy of what the hub has under its name.

    GlanError where this machine has none, or it lacks tokenizer.json or an end token. Nothing is downloaded.
    """
    files = {name: path for name in FILES if (path := find_file(place, name))}
    if "tokenizer.json" not in files:
        raise GlanError(
            f"The tokenizer of {place} is not on this machine: give a folder that holds tokenizer.json and safetensors weights, or "
            f"bring it with 'hf download {place}'."
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
        raise GlanError(f"{places['tokenizer.json'].parent} holds no tokenizer that can be read: {str(error)[:200]}.") from None
    bos, eos = (_text(config.get(name)) for name in ("bos_token", "eos_token"))
    if not eos:
        raise GlanError(f"The tokenizer in {places['tokenizer.json'].parent} names no end token (eos_token).")
    return Encoder(tokenizer, template_of(own or config.get("chat_template")), bos=bos, eos=eos)


def template_of(own: object) -> str:
    """The template that pairs are written in: the base's own, of several the one that is called 'default', else Alpaca's."""
    if isinstance(own, list):
        own = {item.get("name"): item.get("template") for item in own if isinstance(item, dict)}
    if isinstance(own, dict):
        own = own.get("default")
    return own if isinstance(own, str) and own.strip() else alpaca_template()


@lru_cache(1)
def alpaca_template() -> str:
    """Alpaca's prompt (Taori et al., 2023) as a chat template, for bases that have none."""
    return ALPACA_FILE.read_text("utf-8").strip()


def find_file(place: str, name: str) -> Path | None:
    """A file of a model: in its folder, or in this machine's copy of what the hub has under the name; None where it is not."""
    if (folder := Path(place).expanduser()).is_dir():
        return folder / name if (folder / name).is_file() else None
    if place.startswith((".", "/", "~")) or place.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place, name)
    return Path(found) if isinstance(found, str) else None


def _text(token: object) -> str | None:
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None
