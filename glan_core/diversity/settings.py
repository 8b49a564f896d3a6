"""Settings of the jobs that embed, map, measure and compare."""

from typing import Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from glan_core.errors import GlanError
from glan_core.ray_cluster.settings import RaySettings
from glan_core.settings import MOST_SEED, Settings

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
WORDS = "words"  # needs no model
AUTO = "auto"


def check_embedder(spec: str) -> str:
    """The name of an embedder, if it has a known form; GlanError otherwise."""
    kind, _, rest = spec.partition(":")
    if spec not in (AUTO, WORDS) and not (kind in ("st", "openai") and rest.strip()):
        raise GlanError(f"Unknown embedder {spec!r}. Use auto, words, st:NAME_OR_PATH or openai:MODEL.")
    return spec


class EmbedderSettings(Settings):
    """The embedder that turns questions into vectors. API keys are never part of the settings."""

    embedder: str = Field(
        AUTO, title="Embedder",
        description="auto (the default model where it can be loaded, else words), words, st:NAME_OR_PATH or openai:MODEL.",
        json_schema_extra={"metavar": "MODEL"},
    )  # fmt: skip
    base_url: str | None = Field(
        None,
        title="Base URL",
        description="Address of the endpoint of an openai: embedder.",
        json_schema_extra={"metavar": "URL"},
    )

    @field_validator("embedder")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_embedder(value)

    @model_validator(mode="before")
    @classmethod
    def _address(cls, values: object) -> object:
        """Store the address in effect, so that continuing the run elsewhere calls the same endpoint."""
        from glan_core.teachers.endpoint_settings import endpoint

        if isinstance(values, dict) and str(values.get("embedder")).startswith("openai:"):
            values = values | {"base_url": endpoint(values.get("base_url"))}
        return values


class EmbeddingSettings(RaySettings, EmbedderSettings):
    """Settings of the job that embeds every question which is new or was edited."""

    kind: Literal["embed"] = "embed"

    @model_validator(mode="after")
    def _computes(self) -> "EmbeddingSettings":
        if self.engine == "ray" and self.embedder.startswith("openai:"):
            raise GlanError("The Ray engine computes embeddings, and an endpoint computes its own. Use the local engine.")
        return self


class MapSettings(EmbedderSettings):
    """Settings of a diversity map: a new projection, or new questions placed on the existing one."""

    dims: Literal[2, 3] = Field(2, title="Dimensions", description="Dimensions of the map.")
    refit: bool = Field(False, title="Refit", description="Fit a new projection, which moves every point.")
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the projection.")
    landmarks: int = Field(
        20_000, ge=100, le=50_000, title="Landmarks",
        description="Questions that the projection is fitted on; the others are placed among them.",
    )  # fmt: skip
    kind: Literal["map"] = "map"


class MetricSettings(EmbedderSettings):
    """Settings of the job that computes diversity metrics of all questions, each field and each discipline."""

    rows: Literal["kept", "all"] = Field("kept", title="Rows", description="Rows to measure: those an export contains, or all.")
    sample: int = Field(
        1000, ge=50, le=10_000, title="Sample", description="Rows per scope for metrics that cannot use all rows.",
        json_schema_extra={"unit": "questions"},
    )  # fmt: skip
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the samples.")
    kind: Literal["measure"] = "measure"


class ComparisonSettings(EmbedderSettings):
    """Settings of a comparison with another dataset."""

    path: str = Field(
        min_length=1, title="Other dataset", description="File or folder of rows, another workspace, or a snapshot of this one.",
        json_schema_extra={"metavar": "PATH"},
    )  # fmt: skip
    name: str = Field(
        "",
        max_length=80,
        title="Name",
        description="Name of the comparison (default: the dataset's); an existing one is replaced.",
    )
    max_rows: int = Field(
        100_000, ge=10, le=1_000_000, validation_alias=AliasChoices("max_rows", "most"), title="Max rows",
        description="Largest number of rows; larger datasets are sampled at random.",
    )  # fmt: skip
    similarity: float | None = Field(
        None, gt=0, le=1, title="Neighbor similarity",
        description="Least cosine similarity of neighbors (default: depends on the embedder).",
    )  # fmt: skip
    sample: int = Field(
        1000, ge=50, le=10_000, title="Sample", description="Rows per scope for metrics that cannot use all rows.",
        json_schema_extra={"unit": "questions"},
    )  # fmt: skip
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the samples.")
    kind: Literal["compare"] = "compare"
