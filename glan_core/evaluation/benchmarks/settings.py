"""What a person asks of a benchmark run."""

from typing import Literal

from pydantic import Field, field_validator

from glan_core.evaluation.benchmarks.registry import BENCHMARKS, WayName, find
from glan_core.settings import Settings


class BenchmarkSettings(Settings):
    """An order to ask `models` (`tuned:NAME`, `base:NAME`, `local:PATH`) the questions of `benchmarks`.

    `ways` are those wanted of a benchmark that has several. `limit` rows a benchmark, spread evenly over its parts, from the start
    of each; None: all. With `chat_template` questions are put in the template of the tuned model's tokenizer, also to its base.
    `max_tokens` of an answer; None: what the benchmark says. `data` is a folder with the benchmarks' files; None: the workspace's
    own. `run_code`: what models write for code benchmarks is run, in a sandbox. `skip_missing`: benchmarks that can't be run are
    left out, rather than nothing be run.
    """

    models: tuple[str, ...] = Field(min_length=1)
    benchmarks: tuple[str, ...] = tuple(BENCHMARKS)
    ways: tuple[WayName, ...] = Field(("generated", "probability"), min_length=1)
    limit: int | None = Field(None, ge=1)
    chat_template: bool = True
    max_tokens: int | None = Field(None, ge=1, le=32_768)
    batch: int = Field(8, ge=1, le=1024)
    data: str | None = None
    run_code: bool = False
    skip_missing: bool = False
    seed: int = Field(1234, ge=0, lt=2**31)
    kind: Literal["bench"] = "bench"

    @field_validator("models", "benchmarks", "ways")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text.strip() for text in value))

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one")
        for id in value:
            if id not in BENCHMARKS:
                raise ValueError(f"there is no {id!r}; there is {', '.join(BENCHMARKS)}")
        return value

    def wanted(self) -> list[tuple[str, WayName]]:
        """Benchmarks and the ways each is asked: those wanted that it has, or where it has none of them, its own."""
        return [
            (id, way)
            for id in self.benchmarks
            for way in ([way for way in find(id).ways if way in self.ways] or list(find(id).ways))
        ]
