"""TRL's SFTTrainer with length-bucketed batches, a faster loss on CPUs, and logging to the workspace."""

import math
import time
from collections.abc import Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, cast

import psutil
import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from glan_core.errors import GlanError
from glan_core.runs.heartbeat import Progress
from glan_core.runs.states import CANCELLED, PAUSED
from glan_core.training.memory_estimate import LOGIT_BYTES, checkpoints
from glan_core.training.model_loading import LoadedModel
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, training_rows
from glan_core.workspace.training_rows import SampleReply, Step

if TYPE_CHECKING:
    from glan_core.training.distributed import WorkerProgress

REACH = 50  # optimizer steps whose rows are sorted by length together
SAMPLE_TOKENS = 160
FLUSH_SECONDS = 1.0


class LengthBuckets(Sampler[int]):
    """Samples the rows of an epoch in an order that depends only on seed and epoch, so that resuming reproduces it.

    Rows are shuffled; the rows of `REACH` steps are sorted by length and split into batches, and the batches are shuffled.
    A batch therefore contains rows of similar length, which minimizes padding. The order is the same for every number of processes.
    """

    def __init__(self, lengths: Sequence[int], batch: int, step: int, seed: int, together: int = 1) -> None:
        """Make a sampler.

        Args:
            lengths: Tokens of each row.
            batch: Rows that are kept together.
            step: Rows per optimizer step.
            seed: Seed of the order.
            together: Rows that all processes read at once. The last ones of an epoch are filled up to it with the index after the
                last row (`FilledRows`), so that all processes read the same number of batches.
        """
        self._lengths, self._batch, self._reach, self._seed, self.epoch = lengths, batch, REACH * step, seed, 0
        self._fill = -len(lengths) % together

    def __len__(self) -> int:
        return len(self._lengths) + self._fill

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch to iterate next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self.epoch)
        rows = torch.randperm(len(self._lengths), generator=generator).tolist()
        batches = []
        for start in range(0, len(rows), self._reach):
            near = sorted(rows[start : start + self._reach], key=self._lengths.__getitem__)
            batches += [near[at : at + self._batch] for at in range(0, len(near), self._batch)]
        order = torch.randperm(len(batches), generator=generator).tolist()
        whole = [n for n in order if len(batches[n]) == self._batch]
        short = [n for n in order if len(batches[n]) < self._batch]  # last, so that all other batches stay aligned
        for n in whole + short:
            yield from batches[n]
        yield from [len(self._lengths)] * self._fill


class FilledRows(Dataset[dict]):
    """Rows, and after the last one a row without trained tokens, which changes neither loss nor gradients.

    Several processes need the same number of batches. Repeated rows, which accelerate would add, would count twice.
    """

    def __init__(self, rows: Any, filler: int = 0) -> None:
        """Wrap rows; the one at `filler` is read in place of a missing one."""
        self._rows, self._filler = rows, filler

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict:
        if index < len(self._rows):
            return self._rows[index]
        row = self._rows[self._filler]
        return {**row, "labels": [-100] * len(row["labels"])}


class SnapshotTrainer(SFTTrainer):
    """SFTTrainer that samples with `LengthBuckets`, with the same rows in every step for each number of processes.

    On one CPU process the output layer is applied only to trained tokens, without SFTTrainer's per-token statistics.

    Attributes:
        tokens: Tokens processed by this process, without padding; on the first process of a resumed run with those of all processes
            before.
        all_tokens: Tokens processed by all processes.
        order: Sampler of the training rows.
    """

    def __init__(self, *args: Any, lengths: Sequence[int], bucket: int, **kwargs: Any) -> None:
        """Make a trainer.

        Args:
            *args: See SFTTrainer.
            lengths: Tokens of each row.
            bucket: Rows of similar length that are kept together.
            **kwargs: See SFTTrainer.
        """
        super().__init__(*args, **kwargs)
        number = len(kwargs["train_dataset"]) if self.train_dataset is None else len(cast("Sized", self.train_dataset))
        packed = number != len(lengths)  # packed rows all have about the same length
        self._lengths, self._bucket = [1] * number if packed else lengths, bucket
        self.tokens = self.all_tokens = 0
        self.order: LengthBuckets | None = None
        alone = self.accelerator.device.type == "cpu" and self.accelerator.num_processes == 1
        self._lean = alone and _computes_plain_logits(cast("Any", self.model).config)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train an epoch, but none after the last step: transformers would take one more if a run resumes there within an epoch."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: object = None) -> Sampler[int]:
        args = self.args
        # rows per optimizer step over all devices, so that the order does not depend on their number
        together = args.train_batch_size * args.world_size
        step = together * args.gradient_accumulation_steps
        self.order = LengthBuckets(self._lengths, self._bucket, step, args.seed, together if args.world_size > 1 else 1)
        return self.order

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int] | None:
        args = self.args
        if args.world_size == 1:
            return super()._get_eval_sampler(eval_dataset)
        return _InOrder(len(eval_dataset), args.eval_batch_size * args.world_size)

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if self.args.world_size > 1:
            dataset = FilledRows(dataset)
        return super()._get_dataloader(dataset, *args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log metrics, after adding up the tokens of all processes."""
        number = torch.tensor(self.tokens, device=self.accelerator.device)
        self.all_tokens = int(cast("Any", self.accelerator.reduce(number, "sum")))
        super().log(logs, start_time)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the mean cross-entropy of the trained tokens of a step."""
        if model.training:
            mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
            self.tokens += int(mask[(inputs["labels"] != -100).any(1)].sum())  # without filled rows
        if not self._lean or args or kwargs.get("return_outputs"):
            return super().compute_loss(model, inputs, *args, **kwargs)
        loss, trained = self._token_loss(model, inputs)
        number = kwargs.get("num_items_in_batch")
        return loss / (trained if number is None else number).clamp(min=1)

    def prediction_step(
        self,
        model: Any,
        inputs: Any,
        prediction_loss_only: bool,  # noqa: FBT001
        ignore_keys: list[str] | None = None,
    ) -> tuple:
        """Return the validation loss of a batch; on one CPU process without the logits of untrained tokens."""
        if not prediction_loss_only or (not self._lean and self.args.world_size == 1):
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        if not self._lean:  # the mean over this process's batch, as on one process
            with torch.no_grad(), self.compute_loss_context_manager():
                return super().compute_loss(model, inputs).detach(), None, None
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, trained = self._token_loss(model, inputs)
        return (loss / trained.clamp(min=1)).detach(), None, None

    def _token_loss(self, model: Any, inputs: Any) -> tuple[Any, Any]:
        """Return the summed cross-entropy of the trained tokens and their number."""
        labels = inputs["labels"][:, 1:]
        trained = labels != -100
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
        hidden = inner.base_model(**given, use_cache=False).last_hidden_state[:, :-1][trained]
        return summed_cross_entropy(inner.get_output_embeddings(), hidden, labels[trained]), trained.sum()


def summed_cross_entropy(head: torch.nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the summed cross-entropy of an output layer, with at most `LOGIT_BYTES` of logits in memory at a time.

    Logits of more tokens are computed in chunks and again in the backward pass: for a large vocabulary they would take more
    memory than all layers.

    Args:
        head: Output layer.
        hidden: `(n, hidden size)` hidden states.
        labels: `(n,)` token IDs.
    """

    def loss(some: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(head(some).float(), ids, reduction="sum")

    weight: Any = head.weight
    most = max(1, LOGIT_BYTES // (4 * weight.shape[0]))
    if len(labels) <= most:
        return loss(hidden, labels)
    parts = zip(hidden.split(most), labels.split(most), strict=True)
    losses: list[Any] = [checkpoint(loss, some, ids, use_reentrant=False) for some, ids in parts]
    return torch.stack(losses).sum()


class _InOrder(Sampler[int]):
    """Samples rows in order, filled up to a multiple of the rows that all processes read at once; see `LengthBuckets`."""

    def __init__(self, number: int, together: int) -> None:
        self._number, self._fill = number, -number % together

    def __len__(self) -> int:
        return self._number + self._fill

    def __iter__(self) -> Iterator[int]:
        yield from range(self._number)
        yield from [self._number] * self._fill


def _computes_plain_logits(config: Any) -> bool:
    """Return whether the logits of a model are the output of its output layer, without capping or scaling."""
    names = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    return all(getattr(config, name, None) in (None, 1, 1.0) for name in names)


class LogCallback(TrainerCallback):
    """Stores training logs and sample replies, reports progress, and stops training on request or by patience."""

    def __init__(
        self,
        ws: Workspace,
        progress: "Progress | WorkerProgress",
        loaded: LoadedModel,
        prompts: Sequence[str],
        patience: int | None,
    ) -> None:
        self._ws, self._progress, self._loaded, self._prompts, self._patience = ws, progress, loaded, prompts, patience
        self.trainer: SnapshotTrainer | None = None
        self.best, self._worse = math.inf, 0
        self._waiting: list[Step] = []
        self._before = 0.0
        self._started = self._flushed = time.monotonic()

    def on_train_begin(self, args, state, control, **_) -> None:
        """Restore the state logged up to the checkpoint; every process needs that of early stopping."""
        for logged in state.log_history:
            self._update_patience(logged.get("eval_loss"))
        if not state.is_world_process_zero:
            return
        with self._ws.write() as db:
            training_rows.delete_after(db, self._progress.run_id, state.global_step)
        if (last := training_rows.last_step(self._ws.db, self._progress.run_id)) is not None and self.trainer:
            self._before, self.trainer.tokens = last.seconds, last.tokens
        self._started = time.monotonic()

    def on_epoch_begin(self, args, state, control, **_) -> None:
        """Select the order of the rows: where several processes resume, transformers leaves that of the first epoch."""
        if self.trainer and self.trainer.order:
            self.trainer.order.set_epoch(int(round(state.epoch or 0.0, 6)))

    def on_step_end(self, args, state, control, **_) -> None:
        """Report progress; stop with a checkpoint if requested."""
        self._progress.report("steps", state.global_step, state.max_steps)
        if self._progress.wish:
            control.should_training_stop = True
            control.should_save = self._progress.wish in (PAUSED, CANCELLED)

    def on_log(self, args, state, control, logs: dict | None = None, **_) -> None:
        """Queue a log row; the trainer's final log without a loss is ignored."""
        if not state.is_world_process_zero:
            return
        logs = logs or {}
        loss, held_out = logs.get("loss"), logs.get("eval_loss")
        if loss is None and held_out is None:
            return
        if (loss is not None and not math.isfinite(loss)) or not math.isfinite(logs.get("grad_norm") or 0.0):
            raise GlanError(
                f"The loss is not finite at step {state.global_step}. Use a lower learning rate, a longer warmup, or fp32 "
                "precision."
            )
        self._waiting.append(
            Step(
                state.global_step, round(state.epoch or 0.0, 4), self.trainer.all_tokens if self.trainer else 0,
                self._before + time.monotonic() - self._started, loss, held_out, logs.get("learning_rate"), logs.get("grad_norm"),
                _memory_mb(), *_gpu(),
            )
        )  # fmt: skip
        if held_out is not None or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def on_evaluate(self, args, state, control, metrics: dict | None = None, **_) -> None:
        """Store sample replies, and stop if the validation loss no longer improves."""
        if state.is_world_process_zero:
            self._store_replies(state.global_step)
        if self._update_patience((metrics or {}).get("eval_loss")):
            control.should_training_stop = True

    def on_save(self, args, state, control, **_) -> None:
        """Store queued rows: a killed run resumes from here."""
        self.flush()

    def on_train_end(self, args, state, control, **_) -> None:
        """Store queued rows."""
        self.flush()

    def flush(self) -> None:
        """Store queued rows."""
        if self._waiting:
            with self._ws.write() as db:
                training_rows.add_steps(db, self._progress.run_id, self._waiting)
        self._waiting, self._flushed = [], time.monotonic()

    def _update_patience(self, loss: float | None) -> bool:
        """Record a validation loss; return whether to stop."""
        if loss is None:
            return False
        self._worse = 0 if loss < self.best else self._worse + 1
        self.best = min(self.best, loss)
        return self._patience is not None and self._worse >= self._patience

    def _store_replies(self, step: int) -> None:
        started = time.monotonic()
        texts = sample_replies(self._loaded, self._prompts)
        replies = [
            SampleReply(step, nth, prompt, text) for nth, (prompt, text) in enumerate(zip(self._prompts, texts, strict=True))
        ]
        with self._ws.write() as db:
            training_rows.add_replies(db, self._progress.run_id, replies)
        self._started += time.monotonic() - started  # excluded from the training time


def sample_replies(loaded: LoadedModel, prompts: Sequence[str], most: int = SAMPLE_TOKENS) -> list[str]:
    """Return the greedy replies to prompts, generated as one batch, each at most `most` tokens long."""
    model, tokenizer = loaded.model, loaded.tokenizer
    texts = [loaded.encoder.write([{"role": "user", "content": prompt}], ask=True) for prompt in prompts]
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    width, pad = max(map(len, rows)), tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    generate: Any = model.generate
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            output = generate(
                input_ids=ids, attention_mask=seen, max_new_tokens=most, do_sample=False, use_cache=True, pad_token_id=pad
            )
    finally:
        model.train(training)
    return [str(tokenizer.decode(row[width:], skip_special_tokens=True)).strip() for row in output]


def trainer_arguments(
    settings: FinetuneSettings,
    loaded: LoadedModel,
    folder: str,
    *,
    steps: int,
    every: int,
    validation: bool,
    warmup: int,
) -> SFTConfig:
    """Return the trainer arguments.

    Args:
        settings: Settings of the run.
        loaded: Model to train.
        folder: Folder of checkpoints.
        steps: Optimizer steps.
        every: Steps between evaluations and checkpoints.
        validation: Whether there is a validation split.
        warmup: Warmup steps.
    """
    cuda = torch.cuda.is_available()
    checkpointing = checkpoints(settings, gpu=cuda)
    sharded = cuda and settings.world_size > 1  # accelerate shards on GPUs only
    fsdp: Any = {"fsdp": True, "fsdp_config": {"activation_gradient_checkpointing": checkpointing}} if sharded else {}
    return SFTConfig(
        **fsdp,
        output_dir=folder, max_steps=steps, per_device_train_batch_size=settings.device_batch_size,
        per_device_eval_batch_size=settings.per_device_batch_size, gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate, lr_scheduler_type=settings.schedule, warmup_steps=warmup,
        weight_decay=settings.weight_decay, adam_beta2=settings.adam_beta2, max_grad_norm=settings.max_grad_norm, optim="adamw_torch",
        max_length=settings.max_length if settings.packing else None, packing=settings.packing, eval_packing=False,
        dataset_kwargs=None if settings.packing else {"skip_prepare_dataset": True}, pad_to_multiple_of=8 if cuda else None,
        bf16=loaded.precision == "bf16", fp16=False, use_cpu=not cuda, activation_checkpointing=checkpointing and not sharded,
        logging_steps=1, logging_nan_inf_filter=False, report_to=settings.report_to or [], run_name=settings.name, disable_tqdm=True,
        eval_strategy="steps" if validation else "no", eval_steps=every, save_strategy="steps", save_steps=every,
        save_total_limit=max(2, settings.keep_checkpoints), save_only_model=False, load_best_model_at_end=settings.keep_best and validation,
        metric_for_best_model="eval_loss" if validation else None, greater_is_better=False if validation else None,
        seed=settings.seed, data_seed=settings.seed, dataloader_num_workers=0, dataloader_pin_memory=cuda, torch_compile=False,
        remove_unused_columns=False,
    )  # fmt: skip


def _memory_mb() -> float:
    """Return the resident memory of this process in MB."""
    return psutil.Process().memory_info().rss / 1e6


def _gpu() -> tuple[float | None, float | None]:
    """Return (MB reserved on the GPU, GPU utilization in percent)."""
    if not torch.cuda.is_available():
        return None, None
    try:
        use = float(torch.cuda.utilization())
    except Exception:  # needs an optional NVIDIA package
        use = None
    return torch.cuda.max_memory_reserved() / 1e6, use
