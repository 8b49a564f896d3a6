"""What a person asks of a fine-tuning run."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from glan_core.ids import MAX_SLUG, slug
from glan_core.settings import Settings

Method = Literal["full", "lora", "qlora"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["cosine", "linear", "constant"]


class Scratch(Settings):
    """The size of a student made from nothing: its vocabulary, and the width, inner width, number and attention heads of its
    layers."""

    vocabulary: int = Field(4096, ge=512, le=65_536)
    hidden: int = Field(128, ge=32, le=4096)
    inner: int = Field(384, ge=32, le=16_384)
    layers: int = Field(3, ge=1, le=64)
    heads: int = Field(4, ge=2, le=64)

    @model_validator(mode="after")
    def _even(self) -> "Scratch":
        if self.hidden % (2 * self.heads) or self.heads % 2:
            raise ValueError("the width must be a multiple of twice the heads, and the heads even")
        return self


class FinetuneSettings(Settings):
    """An order to fine-tune a student on a snapshot.

    `name` is what the model will be called. `base` is a folder or hub name of the weights that training begins with, None for a
    student made from nothing, of the size `scratch`. `rows` None: all training rows of the snapshot, else so many, drawn by
    `seed`, smaller draws being part of larger ones.

    An optimiser step sees `batch` pairs, `rows_at_once` of them together on each of `processes` devices. The learning rate rises
    for `warmup_steps`, or for `warmup_share` of the run where that is None, and falls to 0 by `schedule`. `max_length` cuts
    rows, in tokens. `packing` joins rows to sequences of that length without letting them see each other. `checkpointing` computes
    activations twice to save memory (None: on a GPU where the whole model is trained).

    `evaluations` times in the run the held-out loss is taken and the weights are stored; after `patience` of them without a better
    loss it stops, and `keep_best` goes back to the best weights. At the same times the student answers `prompts`, or where there are
    none the questions of the first held-out rows.
    """

    name: str
    snapshot: str
    recipe: str = "demo"
    base: str | None = None
    scratch: Scratch = Scratch()
    method: Method = "full"
    rows: int | None = Field(None, ge=1)
    epochs: float = Field(3.0, gt=0, le=1000)
    learning_rate: float = Field(2e-5, gt=0, le=1)
    warmup_steps: int | None = Field(None, ge=0)
    warmup_share: float = Field(0.03, ge=0, le=1)
    schedule: Schedule = "cosine"
    batch: int = Field(16, ge=1, le=65_536)
    rows_at_once: int = Field(8, ge=1, le=4096)
    max_length: int = Field(1024, ge=16, le=131_072)
    packing: bool = False
    weight_decay: float = Field(0.0, ge=0, le=10)
    adam_beta2: float = Field(0.999, gt=0, lt=1)
    max_grad_norm: float = Field(1.0, gt=0)
    lora_rank: int = Field(16, ge=1, le=1024)
    lora_alpha: int = Field(32, ge=1, le=4096)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    precision: Precision = "auto"
    checkpointing: bool | None = None
    evaluations: int = Field(10, ge=1, le=1000)
    patience: int | None = Field(None, ge=1)
    keep_best: bool = False
    prompts: tuple[str, ...] = ()
    seed: int = Field(0, ge=0, lt=2**31)
    processes: int = Field(1, ge=1, le=1024)
    kind: Literal["finetune"] = "finetune"

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value or slug(value) != value:
            raise ValueError(f"use up to {MAX_SLUG} lower-case letters, digits and hyphens")
        return value

    @field_validator("prompts")
    @classmethod
    def _prompts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(prompt for text in value if (prompt := text.strip()))[:8]

    @model_validator(mode="after")
    def _fits(self) -> "FinetuneSettings":
        if self.base is None and self.method != "full":
            raise ValueError("a student made from nothing is trained in full: give a base for an adapter")
        if self.batch % min(self.batch, self.rows_at_once * self.processes):
            raise ValueError(
                f"a step of {self.batch} pairs can't be made of {self.rows_at_once} at once on {self.processes} devices: choose a "
                "multiple"
            )
        return self

    @property
    def accumulation(self) -> int:
        """How many batches make a step."""
        return max(1, self.batch // (self.rows_at_once * self.processes))
