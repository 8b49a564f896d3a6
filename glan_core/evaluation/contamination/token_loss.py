"""Token loss: mean cross-entropy in nats over the covered tokens of each text.

Tokenization does not need torch; `compute_losses` runs in the process of a job. Computed losses are appended to a file, so only
unfinished batches are repeated after a kill.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import ProbeText
from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.training.chat_encoding import Encoder, template_of

LOGIT_BYTES = 256 * 2**20  # maximum size of the fp32 logits of a batch
MOST_ROWS = 32  # per batch


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A tokenized text.

    Attributes:
        ids: Token IDs, truncated at the length limit.
        covered: Positions of the covered tokens.
        full: Number of tokens before truncation.
        bytes: UTF-8 bytes of the covered text.
    """

    ids: tuple[int, ...]
    covered: tuple[int, ...]
    full: int
    bytes: int = 0

    @property
    def cut(self) -> bool:
        """Whether tokens were cut at the length limit."""
        return self.full > len(self.ids)


@dataclass(frozen=True, slots=True)
class RowLoss:
    """Loss of a row: the sum over its covered tokens in nats, and their number."""

    nats: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats per covered token."""
        return self.nats / self.tokens


def tokenize_rows(rows: Sequence[ProbeText], tokenizer: Any, settings: ProbeSettings, limit: int) -> list[TokenizedText]:
    """Tokenize rows and mark the covered tokens.

    Plain text is the question, a line break and the answer, with the tokenizer's own special tokens. In the chat template, the
    question is the user message and the answer follows with its end token, as in fine-tuning. Tokens of the template or the
    line break are never covered, and neither is the first token, which nothing predicts.

    Args:
        rows: Rows.
        tokenizer: Fast tokenizer of the model.
        settings: Text format and covered part.
        limit: Maximum number of tokens per row.

    Raises:
        GlanError: If the tokenizer reports no offsets, or the chat template rewrites questions.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise GlanError("The tokenizer of this model does not report token offsets, so the model cannot be probed.")
    write = _plain if settings.written == "plain" else _chat
    return [_covered(encoding, settings.covers, limit) for encoding in write(rows, tokenizer)]


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Encoding:
    """A tokenized text with the character spans of its tokens, its question and its answer."""

    text: str
    ids: list[int]
    offsets: list[Span]
    question: Span
    answer: Span


def _plain(rows: Sequence[ProbeText], tokenizer: Any) -> Iterator[_Encoding]:
    for row in rows:
        text = f"{row.question}\n{row.answer}" if row.answer else row.question
        encoding = tokenizer(text, return_offsets_mapping=True, truncation=False, verbose=False)
        question, answer = (0, len(row.question)), (len(row.question) + 1, len(text))
        yield _Encoding(text, encoding["input_ids"], encoding["offset_mapping"], question, answer)


def _chat(rows: Sequence[ProbeText], tokenizer: Any) -> Iterator[_Encoding]:
    bos, eos = (tokenizer.special_tokens_map.get(name) for name in ("bos_token", "eos_token"))
    encoder = Encoder(tokenizer.backend_tokenizer, template_of(tokenizer.chat_template), bos=bos, eos=eos or "")
    for row in rows:
        prompt = encoder.write([{"role": "user", "content": row.question}], ask=True)
        if (at := prompt.find(row.question)) < 0:
            raise GlanError("The chat template of this model rewrites questions. Probe it on plain text.")
        text = prompt + (row.answer + encoder.end if row.answer else "")
        encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        yield _Encoding(text, encoding.ids, encoding.offsets, (at, at + len(row.question)), (len(prompt), len(text)))


def _covered(one: _Encoding, covers: str, limit: int) -> TokenizedText:
    ids, offsets = one.ids, one.offsets
    spans = {"answer": (one.answer,), "question": (one.question,), "both": (one.question, one.answer)}[covers]
    places = [
        nth for nth, (start, end) in enumerate(offsets[:limit])
        if nth and end > start and any(end > low and start < high for low, high in spans)
    ]  # fmt: skip
    characters = {n for place in places for n in range(*offsets[place]) if any(low <= n < high for low, high in spans)}
    size = len("".join(one.text[n] for n in sorted(characters)).encode())  # tokens may share a character
    return TokenizedText(tuple(ids[:limit]), tuple(places), len(ids), size)


def loss_key(weights: str, texts: Sequence[TokenizedText]) -> str:
    """Return the key of the losses of weights on texts; it changes with weights, tokens and covered positions."""
    digest = hashlib.sha256(weights.encode())
    for text in texts:
        digest.update(json.dumps((text.ids, text.covered)).encode())
    return digest.hexdigest()[:24]


def stored_losses(file: Path) -> dict[int, RowLoss]:
    """Return the losses stored in a file by row number; an incomplete last line is ignored."""
    found = {}
    with suppress(FileNotFoundError):
        for line in file.read_text("utf-8").splitlines():
            with suppress(ValueError, TypeError):
                nth, nats, tokens = json.loads(line)
                found[nth] = RowLoss(nats, tokens)
    return found


def compute_losses(
    texts: Sequence[TokenizedText], predict: Callable, vocabulary: int, file: Path, step: Callable[[int, int], None]
) -> dict[int, RowLoss]:
    """Compute the loss of every text with covered tokens, reusing those stored in a file.

    Batches group texts of similar length and are the same in every run, so results do not depend on where a run resumed.

    Args:
        texts: Tokenized texts.
        predict: Function `predict(ids, mask)` that returns the logits of a padded batch.
        vocabulary: Vocabulary size, which limits the batch size.
        file: File of losses.
        step: Callback `step(done, planned)`; it may raise to end the run.

    Returns:
        Loss by row number.

    Raises:
        GlanError: If a loss is not finite.
    """
    known = stored_losses(file)
    wanted = sorted((nth for nth, text in enumerate(texts) if text.covered), key=lambda nth: (len(texts[nth].ids), nth))
    file.parent.mkdir(parents=True, exist_ok=True)
    done = sum(nth in known for nth in wanted)
    step(done, len(wanted))
    with file.open("a", encoding="utf-8") as out:
        if out.tell() and not file.read_bytes().endswith(b"\n"):
            out.write("\n")
        for batch in _batches(texts, wanted, vocabulary):
            if all(nth in known for nth in batch):
                continue
            for nth, loss in zip(batch, _batch_losses([texts[nth] for nth in batch], predict), strict=True):
                done += nth not in known
                known[nth] = loss
                out.write(f"{json.dumps([nth, loss.nats, loss.tokens])}\n")
            out.flush()
            step(done, len(wanted))
    return {nth: known[nth] for nth in wanted}


def _batches(texts: Sequence[TokenizedText], wanted: Sequence[int], vocabulary: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for nth in wanted:
        longest = len(texts[nth].ids)
        if batch and (len(batch) == MOST_ROWS or (len(batch) + 1) * longest * vocabulary * 4 > LOGIT_BYTES):
            yield batch
            batch = []
        batch.append(nth)
    if batch:
        yield batch


def _batch_losses(batch: Sequence[TokenizedText], predict: Callable) -> Iterator[RowLoss]:
    import torch

    longest = max(len(text.ids) for text in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for nth, text in enumerate(batch):
        ids[nth, : len(text.ids)] = torch.tensor(text.ids)
        mask[nth, : len(text.ids)] = 1
    with torch.inference_mode():
        logits = predict(ids, mask)
        for nth, text in enumerate(batch):
            places = torch.tensor(text.covered)
            predicted = logits[nth, (places - 1).to(logits.device)].float()
            targets = ids[nth, places].to(logits.device)
            nats = float(torch.nn.functional.cross_entropy(predicted, targets, reduction="none").double().sum())
            if not math.isfinite(nats):
                raise GlanError("The loss is not finite. The weights are damaged, or their precision is too low.")
            yield RowLoss(nats, len(text.covered))
