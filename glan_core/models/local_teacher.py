"""The teacher on this machine: a causal language model through transformers, asked in small batches."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError

BATCH = 8


class LocalTeacher:
    """Loads `path_or_name` (a folder, or a name on the model hub) when first asked; safetensors only, no remote code.

    Requests that wait at the same time and are sampled alike are answered as one batch.
    """

    def __init__(self, path_or_name: str) -> None:
        self.path_or_name = path_or_name
        self.name = f"local:{path_or_name}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-teacher")
        self._waiting: list[tuple[Sequence[Message], DecodingParams, asyncio.Future]] = []
        self._pump: asyncio.Task | None = None
        self._model = self._tokenizer = None

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """See Teacher."""
        future: asyncio.Future = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, sampling, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._answer_waiting())
        return await future

    async def _answer_waiting(self) -> None:
        while self._waiting:
            sampling = self._waiting[0][1]
            batch = [item for item in self._waiting if item[1] == sampling][:BATCH]
            self._waiting = [item for item in self._waiting if item not in batch]
            chats = [messages for messages, _, _ in batch]
            try:
                replies = await asyncio.get_running_loop().run_in_executor(self._thread, self._generate, chats, sampling)
            except Exception as error:
                for _, _, future in batch:
                    future.set_exception(error)
                continue
            for (_, _, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    future.set_result(reply)

    def _load(self) -> None:
        if self._model is not None:
            return
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(self.path_or_name, trust_remote_code=False, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(
                self.path_or_name, trust_remote_code=False, use_safetensors=True, dtype="auto"
            )
        except (OSError, ValueError, ImportError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise TeacherError(
                f"The model {self.path_or_name!r} cannot be loaded: {first[:200]} Give a folder that holds config, tokenizer "
                "and safetensors weights, or a name that the model hub knows."
            ) from None
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model, self._tokenizer = model.to(device).eval(), tokenizer

    def _text(self, messages: Sequence[Message]) -> str:
        """The chat in the model's own template, or in a plain one where it has none."""
        if self._tokenizer.chat_template:
            return self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return "".join(f"### {m['role'].capitalize()}:\n{m['content']}\n\n" for m in messages) + "### Assistant:\n"

    def _generate(self, chats: Sequence[Sequence[Message]], sampling: DecodingParams) -> list[Reply]:
        import torch

        self._load()
        texts = [self._text(chat) for chat in chats]
        special = not self._tokenizer.chat_template  # a chat template writes its own
        batch = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=special).to(self._model.device)
        with torch.inference_mode():
            output = self._model.generate(**batch, **self._options(sampling))
        width = batch["input_ids"].shape[1]
        return [
            self._reply(row[width:], int(mask.sum()), sampling)
            for row, mask in zip(output, batch["attention_mask"], strict=True)
        ]

    def _options(self, sampling: DecodingParams) -> dict:
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
        return {
            "max_new_tokens": sampling.max_tokens, "pad_token_id": self._tokenizer.pad_token_id,
            **(drawn if sampling.temperature > 0 else {"do_sample": False}),
        }  # fmt: skip

    def _reply(self, tokens, tokens_in: int, sampling: DecodingParams) -> Reply:
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        ids = tokens.tolist()
        length = next((n for n, token in enumerate(ids) if token in ends), None)
        finish = "length" if length is None and len(ids) >= sampling.max_tokens else "stop"
        length = len(ids) if length is None else length
        return Reply(self._tokenizer.decode(ids[:length], skip_special_tokens=True), finish, tokens_in, length)

    async def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """See Teacher. Streams, like batches, are answered one after another."""
        from transformers import TextIteratorStreamer

        loop, unwanted = asyncio.get_running_loop(), threading.Event()
        await loop.run_in_executor(self._thread, self._load)
        streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        writing = loop.run_in_executor(self._thread, self._write, messages, sampling, streamer, unwanted)
        written, pieces = "", iter(streamer)
        try:
            while (piece := await loop.run_in_executor(None, next, pieces, None)) is not None:
                written += piece
                if piece:
                    yield piece
            yield replace(await writing, text=written)
        finally:
            unwanted.set()

    def _write(self, messages: Sequence[Message], sampling: DecodingParams, streamer, unwanted: threading.Event) -> Reply:
        """Generate into a streamer, which is ended whatever happens: who reads it would else wait for ever."""
        import torch

        def stop(input_ids, scores, **_) -> torch.Tensor:
            return torch.full((len(input_ids),), unwanted.is_set(), device=input_ids.device)

        try:
            special = not self._tokenizer.chat_template
            batch = self._tokenizer(self._text(messages), return_tensors="pt", add_special_tokens=special)
            batch = batch.to(self._model.device)
            with torch.inference_mode():
                output = self._model.generate(**batch, streamer=streamer, stopping_criteria=[stop], **self._options(sampling))
            width = batch["input_ids"].shape[1]
            return self._reply(output[0][width:], width, sampling)
        finally:
            streamer.end()

    async def close(self) -> None:
        """Free the model and its thread."""
        self._model = self._tokenizer = None
        self._thread.shutdown(wait=False)
