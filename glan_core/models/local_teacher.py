"""Local teacher: a causal language model through transformers, with batched requests."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from glan_core.models.request_batching import RequestBatcher
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError

BATCH = 8


class LocalTeacher:
    """Loads a model from a folder or the Hub on first use; safetensors only, no remote code.

    Concurrent requests with the same decoding parameters are answered as one batch.
    """

    def __init__(self, path_or_name: str) -> None:
        self.path_or_name = path_or_name
        self.name = f"local:{path_or_name}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-teacher")
        self._batcher = RequestBatcher(self._generate, self._thread, max_batch=BATCH)
        self._loaded: tuple[Any, Any] | None = None  # model and tokenizer

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the reply to a chat; see `Teacher`."""
        return await self._batcher.reply(messages, decoding)

    def _load(self) -> tuple[Any, Any]:
        """Return the model and its tokenizer, loaded on first use."""
        if self._loaded is not None:
            return self._loaded
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            tokenizer: Any = AutoTokenizer.from_pretrained(self.path_or_name, trust_remote_code=False, padding_side="left")
            model: Any = AutoModelForCausalLM.from_pretrained(
                self.path_or_name, trust_remote_code=False, use_safetensors=True, dtype="auto"
            )
        except (OSError, ValueError, ImportError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise TeacherError(
                f"Model {self.path_or_name!r} cannot be loaded: {first[:200]} Use a folder with config, tokenizer and "
                "safetensors weights, or a Hub model ID."
            ) from None
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._loaded = model.to(device).eval(), tokenizer
        return self._loaded

    def _text(self, messages: Sequence[Message]) -> str:
        """Render a chat in the model's chat template, or a plain one if it has none."""
        _, tokenizer = self._load()
        if tokenizer.chat_template:
            return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return "".join(f"### {m['role'].capitalize()}:\n{m['content']}\n\n" for m in messages) + "### Assistant:\n"

    def _generate(self, chats: Sequence[Sequence[Message]], decoding: DecodingParams) -> list[Reply]:
        import torch

        model, tokenizer = self._load()
        texts = [self._text(chat) for chat in chats]
        special = not tokenizer.chat_template  # chat templates add their own special tokens
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=special).to(model.device)
        with torch.inference_mode():
            output = model.generate(**batch, **self._options(decoding))
        width = batch["input_ids"].shape[1]
        return [
            self._reply(row[width:], int(mask.sum()), decoding)
            for row, mask in zip(output, batch["attention_mask"], strict=True)
        ]

    def _options(self, decoding: DecodingParams) -> dict[str, Any]:
        _, tokenizer = self._load()
        options: dict[str, Any] = {"do_sample": False}
        temperature, top_p, max_tokens = decoding.complete()
        if temperature > 0:
            options = {"do_sample": True, "temperature": temperature, "top_p": top_p}
        return options | {"max_new_tokens": max_tokens, "pad_token_id": tokenizer.pad_token_id}

    def _reply(self, tokens: Any, tokens_in: int, decoding: DecodingParams) -> Reply:
        model, tokenizer = self._load()
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        ids = tokens.tolist()
        length = next((n for n, token in enumerate(ids) if token in ends), None)
        finish = "length" if length is None and len(ids) >= decoding.complete().max_tokens else "stop"
        length = len(ids) if length is None else length
        return Reply(tokenizer.decode(ids[:length], skip_special_tokens=True), finish, tokens_in, length)

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Yield the pieces of the reply, then the reply; see `Teacher`. Streams run one after another, like batches."""
        from transformers import TextIteratorStreamer

        loop, stop = asyncio.get_running_loop(), threading.Event()
        _, tokenizer = await loop.run_in_executor(self._thread, self._load)
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        writing = loop.run_in_executor(self._thread, self._write, messages, decoding, streamer, stop)
        written, pieces = "", iter(streamer)
        try:
            while (piece := await loop.run_in_executor(None, next, pieces, None)) is not None:
                written += piece
                if piece:
                    yield piece
            yield replace(await writing, text=written)
        finally:
            stop.set()

    def _write(self, messages: Sequence[Message], decoding: DecodingParams, streamer: Any, stop: threading.Event) -> Reply:
        """Generate into a streamer and always end it, because its reader waits for the end."""
        import torch

        def stopping(input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            return torch.full((len(input_ids),), stop.is_set(), device=input_ids.device)

        try:
            model, tokenizer = self._load()
            special = not tokenizer.chat_template
            batch = tokenizer(self._text(messages), return_tensors="pt", add_special_tokens=special).to(model.device)
            with torch.inference_mode():
                output = model.generate(**batch, streamer=streamer, stopping_criteria=[stopping], **self._options(decoding))
            width = batch["input_ids"].shape[1]
            return self._reply(output[0][width:], width, decoding)
        finally:
            streamer.end()

    async def close(self) -> None:
        """Release the model and its thread."""
        self._loaded = None
        self._thread.shutdown(wait=False)
