"""Settings of the contamination probe and of the teacher that writes look-alikes."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from glan_core.generation.settings import TeacherSettings
from glan_core.reply_parsing import one_line
from glan_core.settings import MOST_SEED, Settings

Covers = Literal["answer", "question", "both"]
Written = Literal["plain", "chat"]
LONGEST_NAME = 60


class ProbeFile(Settings):
    """Questions with their answers: one split of a benchmark."""

    source: str = Field(
        min_length=1, title="Source",
        description="Known benchmark, a JSONL, JSON, CSV or Parquet file, or a folder saved by `datasets`.",
        json_schema_extra={"metavar": "NAME_OR_PATH"},
    )  # fmt: skip
    split: str | None = Field(None, title="Split", description="Split of a source that has several.")
    question: str | None = Field(
        None, title="Question column", description="Column of the question, dotted where nested (default: detected)."
    )
    answer: str | None = Field(
        None, title="Answer column", description="Column of the answer, dotted where nested (default: detected)."
    )


class ProbeSettings(Settings):
    """Settings of a contamination probe: the mean loss of models on a benchmark's training and test split, and on look-alikes."""

    name: str = Field(
        min_length=1, max_length=LONGEST_NAME, title="Name",
        description="Name of the benchmark; GSM8K, MATH, ARC-E and ARC-C are shown with the paper's results.",
    )  # fmt: skip
    models: tuple[str, ...] = Field(
        min_length=1, title="Models", description="Weights to measure: tuned:NAME, base:NAME or local:PATH.",
        json_schema_extra={"metavar": "MODEL,MODEL"},
    )  # fmt: skip
    train: ProbeFile = Field(title="Training split", description="Rows that the models may have been trained on.")
    test: ProbeFile = Field(title="Test split", description="Rows of the same distribution, for testing only.")
    alike: ProbeFile | None = Field(
        None, title="Look-alikes", description="Newly written problems of the same kind (default: none)."
    )
    covers: Covers = Field(
        "answer",
        title="Loss on",
        description="Tokens that the loss is taken on: the answer given the question, the question, or both.",
    )
    written: Written = Field(
        "plain", title="Prompt format",
        description="'plain': question, newline, answer, as in a benchmark's file; 'chat': the model's chat template.",
    )  # fmt: skip
    sample: int | None = Field(
        500,
        ge=2,
        title="Rows per split",
        description="Sample of this size; none: all rows. Smaller samples are part of larger ones.",
    )
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the sample.")
    max_length: int = Field(
        1024, ge=16, le=131_072, title="Max length", description="Longest row; longer ones are truncated.",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    kind: Literal["probe"] = "probe"

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not (value := str(one_line(value)).strip()):
            raise ValueError("give the probe a name")
        return value

    @field_validator("models")
    @classmethod
    def _weights(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        models = tuple(dict.fromkeys(spec for name in value if (spec := name.strip())))
        if not models:
            raise ValueError("name at least one model")
        for spec in models:
            if spec.partition(":")[0] not in ("tuned", "base", "local"):
                raise ValueError(f"{spec} has no loss; only weights do. Use tuned:NAME, base:NAME or local:PATH")
        return models

    @property
    def files(self) -> dict[str, ProbeFile]:
        """Files by role: 'train', 'test' and, if set, 'alike'."""
        return {"train": self.train, "test": self.test, **({"alike": self.alike} if self.alike else {})}


class LookalikeSettings(TeacherSettings):
    """Settings of a run in which a teacher writes look-alikes: fresh problems of the same kind as sampled benchmark rows."""

    name: str = Field(
        min_length=1, max_length=LONGEST_NAME, title="Name", description="Benchmark file of the workspace that collects them."
    )
    source: ProbeFile
    number: int = Field(
        200, ge=1, le=100_000, title="Look-alikes", description="Number of look-alikes to collect, existing ones included."
    )
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the sampled rows.")
    kind: Literal["lookalikes"] = "lookalikes"

    @property
    def asked(self) -> Sequence[str]:
        """See `TeacherSettings.asked`."""
        return ("lookalike",)
