"""What a person asks of the runs about diversity. Light: pages and the command line read it before any work begins."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from glan_core.errors import GlanError
from glan_core.settings import Settings

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
WORDS = "words"  # the embedder that is always there
AUTO = "auto"


def check_embedder(spec: str) -> str:
    """The embedder's name if it has a known form; GlanError otherwise."""
    kind, _, rest = spec.partition(":")
    if spec not in (AUTO, WORDS) and not (kind in ("st", "openai") and rest.strip()):
        raise GlanError(f"{spec!r} names no embedder: use auto, words, st:NAME_OR_PATH or openai:MODEL.")
    return spec


class EmbedderSettings(Settings):
    """What every one of these orders says: who turns questions into vectors.

    `embedder` 'auto' (the default sentence-transformers model where it can be loaded, words where it can't), 'words',
    'st:NAME_OR_PATH' or 'openai:MODEL'; `base_url` the address that an 'openai:' one is asked at. Keys are never part of it.
    """

    embedder: str = AUTO
    base_url: str | None = None

    @field_validator("embedder")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_embedder(value)

    @model_validator(mode="before")
    @classmethod
    def _address(cls, values: object) -> object:
        """The address that will be asked becomes part of the order: continuing it elsewhere must not ask another one."""
        from glan_core.teachers.http_teacher import endpoint

        if isinstance(values, dict) and str(values.get("embedder")).startswith("openai:"):
            values = values | {"base_url": endpoint(values.get("base_url"))}
        return values


class EmbeddingSettings(EmbedderSettings):
    """An order to embed every question that has no vector yet, or that was edited since it got one."""

    kind: Literal["embed"] = "embed"


class MapSettings(EmbedderSettings):
    """An order for a map of `dims` dimensions: of all questions where there is none yet, else with the new ones in it.

    `refit` draws a new map, which moves every point. `landmarks` is how many rows a map is fitted on (the others are placed
    among them), `seed` makes it repeatable.
    """

    dims: Literal[2, 3] = 2
    refit: bool = False
    seed: int = Field(0, ge=0, lt=2**31)
    landmarks: int = Field(20_000, ge=100, le=50_000)
    kind: Literal["map"] = "map"


class MetricSettings(EmbedderSettings):
    """An order to measure diversity: of all, of each field, of each discipline.

    `rows` 'kept' (those that exports take) or 'all'. `sample` is how many rows of each the measures look at that can't look
    at all rows; `seed` draws them.
    """

    rows: Literal["kept", "all"] = "kept"
    sample: int = Field(1000, ge=50, le=10_000)
    seed: int = Field(0, ge=0, lt=2**31)
    kind: Literal["measure"] = "measure"


class ComparisonSettings(EmbedderSettings):
    """An order to lay another dataset over this one.

    `path` is a file or folder of rows, another workspace, or a snapshot of this one; `name` what the comparison is called
    (its own name where empty); one of that name is replaced. `most` bounds the rows that are taken of it, at random. Two rows are neighbours from
    `similarity` on (a cosine; None: the embedder's default, `comparing.NEIGHBOURS`).
    """

    path: str = Field(min_length=1)
    name: str = Field("", max_length=80)
    most: int = Field(100_000, ge=10, le=1_000_000)
    similarity: float | None = Field(None, gt=0, le=1)
    sample: int = Field(1000, ge=50, le=10_000)
    seed: int = Field(0, ge=0, lt=2**31)
    kind: Literal["compare"] = "compare"
