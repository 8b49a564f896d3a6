"""Settings of a fine-tuning run."""

import re
from typing import Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from glan_core.ids import MAX_SLUG, slug
from glan_core.ray_cluster.settings import LOCAL, EngineSettings
from glan_core.settings import Settings

Method = Literal["full", "lora", "qlora"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["cosine", "linear", "constant"]
Tracker = Literal["tensorboard", "wandb", "trackio"]
ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\]")  # name, IPv4 address, or IPv6 address in brackets


class Scratch(Settings):
    """Architecture of a model initialized from scratch (Mistral layers)."""

    vocabulary: int = Field(
        4096, ge=512, le=65_536, title="Vocabulary size", description="Vocabulary of a model initialized from scratch.",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    hidden: int = Field(
        128, ge=32, le=4096, title="Hidden size", description="Hidden size of a model initialized from scratch."
    )
    inner: int = Field(
        384, ge=32, le=16_384, title="Intermediate size", description="MLP width of a model initialized from scratch."
    )
    layers: int = Field(3, ge=1, le=64, title="Layers", description="Hidden layers of a model initialized from scratch.")
    heads: int = Field(
        4, ge=2, le=64, title="Attention heads", description="Attention heads of a model initialized from scratch."
    )

    @model_validator(mode="after")
    def _divisible(self) -> "Scratch":
        if self.hidden % (2 * self.heads) or self.heads % 2:
            raise ValueError("the hidden size must be a multiple of twice the attention heads, and the heads even")
        return self


class FinetuneSettings(EngineSettings):
    """Settings of a fine-tuning run on a snapshot."""

    name: str = Field(title="Model name", description="Name of the model: lowercase letters, digits and hyphens.")
    snapshot: str = Field(title="Snapshot", description="Snapshot to train on.")
    recipe: str = Field("demo", title="Recipe", description="Named settings to start from.")
    base: str | None = Field(
        None, title="Base model", description="Folder or Hub name of the base model; none: initialize a model from scratch.",
        json_schema_extra={"metavar": "PATH_OR_NAME"},
    )  # fmt: skip
    scratch: Scratch = Scratch()
    method: Method = Field(
        "full",
        title="Method",
        description="Train all weights (full), a LoRA adapter, or an adapter to a 4-bit base (qlora, which "
        "needs a GPU and is not tested on this hardware).",
    )
    rows: int | None = Field(
        None, ge=1, title="Training rows", description="Train on a sample of this many rows (default: all). Smaller samples are "
        "part of larger ones.",
    )  # fmt: skip
    epochs: float = Field(3.0, gt=0, le=1000, title="Epochs", description="Passes over the training rows.")
    learning_rate: float = Field(2e-5, gt=0, le=1, title="Learning rate", description="Peak learning rate, after warmup.")
    warmup_steps: int | None = Field(
        None, ge=0, title="Warmup steps", description="Steps of linear warmup; overrides the warmup ratio.",
        json_schema_extra={"unit": "steps"},
    )  # fmt: skip
    warmup_ratio: float = Field(
        0.03, ge=0, le=1, validation_alias=AliasChoices("warmup_ratio", "warmup_share"), title="Warmup ratio",
        description="Share of the run over which the learning rate rises linearly.",
    )  # fmt: skip
    schedule: Schedule = Field(
        "cosine", title="Learning rate schedule", description="Course of the learning rate after warmup."
    )
    global_batch_size: int = Field(
        16, ge=1, le=65_536, validation_alias=AliasChoices("global_batch_size", "batch"), title="Global batch size",
        description="Pairs per optimizer step, over all devices and accumulation steps.",
    )  # fmt: skip
    per_device_batch_size: int = Field(
        8, ge=1, le=4096, validation_alias=AliasChoices("per_device_batch_size", "rows_at_once"), title="Per-device batch size",
        description="Pairs per forward pass on each device; smaller values need less memory.",
    )  # fmt: skip
    max_length: int = Field(
        1024, ge=16, le=131_072, title="Max length", description="Longest row; longer ones are truncated.",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    packing: bool = Field(
        False,
        title="Packing",
        description="Pack several rows into sequences of the max length, without attention between them. Faster on GPUs.",
    )
    weight_decay: float = Field(0.0, ge=0, le=10, title="Weight decay", description="Weight decay of AdamW.")
    adam_beta2: float = Field(
        0.999, gt=0, lt=1, title="Adam β2", description="Decay rate of the second-moment estimate of AdamW."
    )
    max_grad_norm: float = Field(
        1.0, gt=0, title="Gradient clipping norm", description="Gradients are scaled down to this norm where theirs is larger."
    )
    lora_rank: int = Field(16, ge=1, le=1024, title="LoRA rank", description="Rank of the adapter matrices.")
    lora_alpha: int = Field(
        32, ge=1, le=4096, title="LoRA alpha", description="LoRA scaling = alpha / rank: the factor of the adapter's output."
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, title="LoRA dropout", description="Dropout before the adapter matrices.")
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="Number format of training; auto chooses bf16 where it is faster. bf16 is tested on CPUs; on GPUs it is "
        "not tested on this hardware.",
    )
    gradient_checkpointing: bool | None = Field(
        None, validation_alias=AliasChoices("gradient_checkpointing", "checkpointing"), title="Gradient checkpointing",
        description="Recompute activations in the backward pass to save memory (default: on a GPU with method 'full').",
    )  # fmt: skip
    evaluations: int = Field(
        10,
        ge=1,
        le=1000,
        title="Evaluations",
        description="Times that the validation loss is computed and a checkpoint stored.",
    )
    patience: int | None = Field(
        None, ge=1, title="Early stopping patience",
        description="Stop after this many evaluations without a better validation loss; none: never.",
    )  # fmt: skip
    keep_best: bool = Field(
        False, title="Load best model at end", description="Keep the weights with the best validation loss, not the last ones."
    )
    keep_checkpoints: int = Field(
        0, ge=0, le=100, title="Checkpoints to keep",
        description="Weights of this many of the last evaluations are kept with the model, to chat with or to make models of (0: only "
        "the final weights).",
    )  # fmt: skip
    report_to: Tracker | None = Field(
        None, title="Report to",
        description="Also report the curves to TensorBoard (event files in the folder tensorboard of the workspace), Weights & Biases or "
        "Trackio; its package must be installed, and Weights & Biases needs a login (WANDB_API_KEY).",
    )  # fmt: skip
    prompts: tuple[str, ...] = Field(
        (),
        title="Sample prompts",
        description="Up to 8 prompts answered at each evaluation (default: the first held-out questions).",
    )
    seed: int = Field(0, ge=0, lt=2**31, title="Seed", description="Seed of row order, sampling and initialization.")
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        title="Processes",
        description="Data-parallel processes on each machine, one per device; they share the global batch. On CPUs each holds the whole "
        "model. On GPUs weights are sharded (FSDP), which is not tested on this hardware.",
    )
    nodes: int = Field(
        1, ge=1, le=1024, title="Nodes",
        description="Machines that train together, with the same number of processes each. They share the folder of the workspace, and the same "
        "command is started on each with its --node-rank. Tested with two nodes on one machine only.",
    )  # fmt: skip
    main_address: str | None = Field(
        None, title="Main address", description="Address of the first of several machines and a free port on it, which the others connect to.",
        json_schema_extra={"metavar": "HOST:PORT"},
    )  # fmt: skip
    kind: Literal["finetune"] = "finetune"

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value or slug(value) != value:
            raise ValueError(f"use up to {MAX_SLUG} lowercase letters, digits and hyphens")
        return value

    @field_validator("prompts")
    @classmethod
    def _prompts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(prompt for text in value if (prompt := text.strip()))[:8]

    @model_validator(mode="after")
    def _fits(self) -> "FinetuneSettings":
        if self.base is None and self.method != "full":
            raise ValueError("an adapter needs a base model: give one, or choose method full")
        if self.global_batch_size % self.world_size:
            raise ValueError(
                f"the global batch size {self.global_batch_size} cannot be divided over {self.world_size} processes"
            )
        if self.global_batch_size % (self.device_batch_size * self.world_size):
            raise ValueError(
                f"the global batch size {self.global_batch_size} is not a multiple of {self.per_device_batch_size} per device on "
                f"{self.world_size} devices"
            )
        if self.engine == "ray" and self.nodes > 1:
            raise ValueError("Ray places the processes on its nodes: give their number as processes, and one node")
        if (self.nodes > 1) != (self.main_address is not None):
            raise ValueError("several nodes need a main address, and one node has none: give both, or neither")
        return self

    @field_validator("main_address")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        host, _, port = (value or "").rpartition(":")
        if value is not None and not (ADDRESS.fullmatch(host) and port.isdecimal() and 0 < int(port) < 2**16):
            raise ValueError("give the main address as HOST:PORT, such as 10.0.0.1:29500")
        return value

    @property
    def world_size(self) -> int:
        """Processes on all machines together."""
        return self.processes * self.nodes

    @property
    def on_cluster(self) -> bool:
        """Whether processes may run on other machines of a Ray cluster, so that this one says little about memory and devices."""
        return self.engine == "ray" and self.ray_address != LOCAL

    @property
    def on_several_machines(self) -> bool:
        """Whether the processes may run on several machines."""
        return self.world_size > 1 and (self.nodes > 1 or self.on_cluster)

    @property
    def device_batch_size(self) -> int:
        """Pairs per forward pass of each process: the per-device batch size, or the share of the global batch if that is smaller."""
        return min(self.per_device_batch_size, self.global_batch_size // self.world_size)

    @property
    def accumulation(self) -> int:
        """Gradient accumulation steps."""
        return self.global_batch_size // (self.device_batch_size * self.world_size)


class SpeedSettings(Settings):
    """Settings of a speed probe: the fine-tuning run whose steps are timed."""

    finetune: FinetuneSettings
    kind: Literal["training-speed"] = "training-speed"


class BundleSettings(Settings):
    """Settings of a bundle: a folder that trains on another machine without the workspace."""

    finetune: FinetuneSettings
    path: str = Field(title="Folder", description="New folder to write the bundle to.", json_schema_extra={"metavar": "FOLDER"})
    with_base: bool = Field(
        False, title="Include base model", description="Copy weights and tokenizer of the base model into the bundle."
    )
    kind: Literal["bundle"] = "bundle"
