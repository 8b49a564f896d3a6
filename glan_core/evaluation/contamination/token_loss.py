"""The loss of a model on texts: mean cross-entropy in nats over the tokens that are asked for, row by row.

Texts become tokens without torch; `losses` runs in the process of a job alone. What it has computed it appends to a file, so
that after a kill only the batches that were at work are done again.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.evaluation.contamination.benchmark_texts import Text
from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.training.chat_encoding import Encoder, template_of

LOGIT_BYTES = 256 * 2**20  # that the logits of one batch may take in fp32
MOST_ROWS = 32  # of one batch


@dataclass(frozen=True, slots=True)
class Covered:
    """A text as tokens, at most as many as the limit allows; `covered` are the places whose tokens count, each predicted from
    all before it. `full`: how many tokens there were before the limit."""

    ids: tuple[int, ...]
    covered: tuple[int, ...]
    full: int

    @property
    def cut(self) -> bool:
        """Whether the limit cut something off."""
        return self.full > len(self.ids)


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a row: the sum over its covered tokens, in nats, and how many they are."""

    nats: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a covered token."""
        return self.nats / self.tokens


def cover(rows: Sequence[Text], tokenizer: object, settings: ProbeSettings, limit: int) -> list[Covered]:
    """Rows as tokens, with those marked that the loss of an order covers.

    Plain: question, line break, answer, with the special tokens that the tokenizer itself puts around a text. In the chat
    template: the question as a user asks it, the answer behind it with the token that ends it, as fine-tuning writes pairs.
    Tokens of a template or a line break belong to neither. The first token of all is never covered: nothing predicts it.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise GlanError("The tokenizer of this model does not tell where a token stands in a text: it can't be probed.")
    write = _plain if settings.written == "plain" else _chat
    return [_covered(*encoding, settings.covers, limit) for encoding in write(rows, tokenizer)]


Span = tuple[int, int]


def _plain(rows: Sequence[Text], tokenizer: object) -> Iterator[tuple[list[int], list[Span], Span, Span]]:
    for row in rows:
        text = f"{row.question}\n{row.answer}" if row.answer else row.question
        encoding = tokenizer(text, return_offsets_mapping=True, truncation=False, verbose=False)
        question, answer = (0, len(row.question)), (len(row.question) + 1, len(text))
        yield encoding["input_ids"], encoding["offset_mapping"], question, answer


def _chat(rows: Sequence[Text], tokenizer: object) -> Iterator[tuple[list[int], list[Span], Span, Span]]:
    bos, eos = (tokenizer.special_tokens_map.get(name) for name in ("bos_token", "eos_token"))
    encoder = Encoder(tokenizer.backend_tokenizer, template_of(tokenizer.chat_template), bos=bos, eos=eos or "")
    for row in rows:
        prompt = encoder.write([{"role": "user", "content": row.question}], ask=True)
        if (at := prompt.find(row.question)) < 0:
            raise GlanError("The chat template of this model rewrites questions: probe it on plain text.")
        text = prompt + (row.answer + encoder.end if row.answer else "")
        encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        yield encoding.ids, encoding.offsets, (at, at + len(row.question)), (len(prompt), len(text))


def _covered(ids: list[int], offsets: list[Span], question: Span, answer: Span, covers: str, limit: int) -> Covered:
    spans = {"answer": (answer,), "question": (question,), "both": (question, answer)}[covers]
    places = [
        nth for nth, (start, end) in enumerate(offsets[:limit])
        if nth and end > start and any(end > low and start < high for low, high in spans)
    ]  # fmt: skip
    return Covered(tuple(ids[:limit]), tuple(places), len(ids))


def key_of(weights: str, texts: Sequence[Covered]) -> str:
    """What names the losses of weights on texts: changed weights, tokens or covered places give another key."""
    digest = hashlib.sha256(weights.encode())
    for text in texts:
        digest.update(json.dumps((text.ids, text.covered)).encode())
    return digest.hexdigest()[:24]


def stored(file: Path) -> dict[int, Loss]:
    """The losses that a file holds, by the row's number; a last line that was cut short is passed over."""
    found = {}
    with suppress(FileNotFoundError):
        for line in file.read_text("utf-8").splitlines():
            with suppress(ValueError, TypeError):
                nth, nats, tokens = json.loads(line)
                found[nth] = Loss(nats, tokens)
    return found


def losses(
    texts: Sequence[Covered], predict: Callable, vocabulary: int, file: Path, say: Callable[[int, int], None]
) -> dict[int, Loss]:
    """The loss of every text with a covered token, by its number; those that `file` holds are not computed again.

    `predict(ids, mask)` gives the logits of a padded batch. Batches are of texts of about the same length, the same ones every
    time, so that a sum does not depend on where the work was taken up. `say(done, all)` may raise to end it.
    """
    known = stored(file)
    wanted = sorted((nth for nth, text in enumerate(texts) if text.covered), key=lambda nth: (len(texts[nth].ids), nth))
    file.parent.mkdir(parents=True, exist_ok=True)
    done = sum(nth in known for nth in wanted)
    say(done, len(wanted))
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
            say(done, len(wanted))
    return {nth: known[nth] for nth in wanted}


def _batches(texts: Sequence[Covered], wanted: Sequence[int], vocabulary: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for nth in wanted:
        longest = len(texts[nth].ids)
        if batch and (len(batch) == MOST_ROWS or (len(batch) + 1) * longest * vocabulary * 4 > LOGIT_BYTES):
            yield batch
            batch = []
        batch.append(nth)
    if batch:
        yield batch


def _batch_losses(batch: Sequence[Covered], predict: Callable) -> Iterator[Loss]:
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
            told = logits[nth, (places - 1).to(logits.device)].float()
            targets = ids[nth, places].to(logits.device)
            nats = float(torch.nn.functional.cross_entropy(told, targets, reduction="none").double().sum())
            if not math.isfinite(nats):
                raise GlanError("The loss is no number: these weights are damaged, or their precision is too low.")
            yield Loss(nats, len(text.covered))
