"""Settings of a benchmark run."""

from typing import Literal

from pydantic import Field, field_validator

from glan_core.evaluation.benchmarks.registry import BENCHMARKS, WayName, get_benchmark
from glan_core.settings import MOST_SEED, Settings


class BenchmarkSettings(Settings):
    """Settings of a benchmark run."""

    models: tuple[str, ...] = Field(
        min_length=1, title="Models", description="Weights to evaluate: tuned:NAME, base:NAME or local:PATH.",
        json_schema_extra={"metavar": "MODEL,MODEL"},
    )  # fmt: skip
    benchmarks: tuple[str, ...] = Field(
        tuple(BENCHMARKS), title="Benchmarks", description="Benchmarks to run.", json_schema_extra={"metavar": "NAME,NAME"}
    )
    ways: tuple[WayName, ...] = Field(
        ("generated", "probability"), min_length=1, title="Multiple-choice scoring",
        description="From generated text, as in the paper, or by the option of the highest log-likelihood, as is common for base models; "
        "for benchmarks that have both.",
        json_schema_extra={"metavar": "WAY,WAY"},
    )  # fmt: skip
    limit: int | None = Field(
        None, ge=1, title="Rows per benchmark", description="First rows of a benchmark, spread evenly over its parts (default: all).",
        json_schema_extra={"unit": "rows"},
    )  # fmt: skip
    chat_template: bool = Field(
        True, title="Chat template", description="Apply the chat template of the tuned model's tokenizer, to its base as well."
    )
    max_tokens: int | None = Field(
        None, ge=1, le=32_768, title="Max new tokens", description="Longest answer (default: the benchmark's own limit).",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    batch: int = Field(
        8,
        ge=1,
        le=1024,
        title="Batch size",
        description="Prompts per forward pass; larger batches are faster and need more memory.",
    )
    data: str | None = Field(
        None, title="Data folder", description="Folder with the benchmark files (default: the workspace's).",
        json_schema_extra={"metavar": "FOLDER"},
    )  # fmt: skip
    run_code: bool = Field(
        False,
        title="Run generated code",
        description="Run programs that models write, in the sandbox; HumanEval and MBPP need it.",
    )
    skip_missing: bool = Field(
        False, title="Skip missing", description="Skip benchmarks that cannot run, instead of refusing the whole run."
    )
    seed: int = Field(1234, ge=0, lt=MOST_SEED, title="Seed", description="Seed of few-shot examples.")
    kind: Literal["bench"] = "bench"

    @field_validator("models", "benchmarks", "ways")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text.strip() for text in value))

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one benchmark")
        for id in value:
            if id not in BENCHMARKS:
                raise ValueError(f"unknown benchmark {id!r}; known: {', '.join(BENCHMARKS)}")
        return value

    def wanted(self) -> list[tuple[str, WayName]]:
        """Pairs of benchmark and scoring: the ways asked for that a benchmark has, or else all of its own."""
        return [
            (id, way)
            for id in self.benchmarks
            for way in ([way for way in get_benchmark(id).ways if way in self.ways] or list(get_benchmark(id).ways))
        ]
