"""Settings of held-out tests, pairwise judging and scaling studies."""

from collections.abc import Sequence
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from glan_core.generation.settings import TeacherSettings
from glan_core.ids import MAX_SLUG, slug
from glan_core.models.model_specs import SCRIPTED, model_title
from glan_core.settings import MOST_SEED, Settings

REFERENCE = "reference"  # the answers stored with a test


def checked_name(value: str) -> str:
    """A name that can be a file name; ValueError for anything else."""
    if not value or slug(value) != value:
        raise ValueError(f"use up to {MAX_SLUG} lowercase letters, digits and hyphens")
    return value


class GlanTestSettings(Settings):
    """Settings of a held-out test (GLAN-Test): questions excluded from training, at most one per combination of concepts."""

    name: str = Field(title="Name", description="Name of the test: lowercase letters, digits and hyphens.")
    questions: int = Field(
        50,
        ge=1,
        le=10_000,
        title="Questions per discipline",
        description="Questions held out per discipline; the paper has 50.",
    )
    disciplines: tuple[str, ...] | None = Field(
        None, title="Disciplines", description="IDs of disciplines, or of nodes above them (default: all).",
        json_schema_extra={"metavar": "ID,ID"},
    )  # fmt: skip
    snapshot: str | None = Field(
        None, title="Snapshot",
        description="Take the questions from the validation rows of this snapshot, so that models trained on it can be tested.",
        json_schema_extra={"metavar": "NAME"},
    )  # fmt: skip
    max_share: float = Field(
        0.2, gt=0, le=1, validation_alias=AliasChoices("max_share", "most_share"), title="Max share of combinations",
        description="Largest share of a discipline's concept combinations that is held out, so that small ones keep training data.",
    )  # fmt: skip
    threshold: float = Field(
        0.7, ge=0.3, le=1, title="Near-duplicate threshold",
        description="Jaccard similarity of 3-word n-grams from which a training row repeats a test question.",
    )  # fmt: skip
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the selection.")
    kind: Literal["glan-test"] = "glan-test"

    _name = field_validator("name")(checked_name)


class PairwiseJudgeSettings(TeacherSettings):
    """Settings of a pairwise comparison: two models answer a test, and a judge (`teacher`) scores both answers in both orders."""

    test: str = Field(title="Test", description="Held-out test to answer.", json_schema_extra={"metavar": "NAME"})
    ours: str = Field(
        title="Model A", description="Model, or 'reference' for the test's own answers.", json_schema_extra={"metavar": "MODEL"}
    )
    other: str = Field(
        REFERENCE, title="Model B", description="Model, or 'reference' for the test's own answers.",
        json_schema_extra={"metavar": "MODEL"},
    )  # fmt: skip
    questions: int | None = Field(
        None, ge=1, title="Questions per discipline", description="Questions judged per discipline (default: all)."
    )
    disciplines: tuple[str, ...] | None = Field(
        None, title="Disciplines", description="IDs of disciplines, or of nodes above them (default: all).",
        json_schema_extra={"metavar": "ID,ID"},
    )  # fmt: skip
    temperature: float | None = Field(
        None, ge=0, le=5, title="Temperature", description="Sampling temperature of the answers; 0 is greedy decoding (default: that of the "
        "reference answers if they take part, else 0).",
    )  # fmt: skip
    answer_tokens: int | None = Field(
        None, ge=1, le=32_768, title="Max new tokens", description="Longest answer (default: the limit of the reference answers if they take "
        "part, usually 4,096, else 512). An answer cut off at a lower limit loses to its own reference.",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    kind: Literal["judge-models"] = "judge-models"

    @property
    def asked(self) -> Sequence[str]:
        """See `TeacherSettings.asked`: the judge alone; the two models are opened by the run itself."""
        return ("verdict",)

    def teacher_of(self, stage: str) -> str:
        """Model of a stage, by the name that its calls are recorded under; local weights cost nothing."""
        spec = {"answer_ours": self.ours, "answer_other": self.other}.get(stage)
        if spec is None:
            return super().teacher_of(stage)
        return spec.partition("@http")[0] if spec.startswith("openai:") or spec == SCRIPTED else f"local:{model_title(spec)}"


class ScalingSettings(Settings):
    """Settings of a scaling study: one recipe trained on nested subsets of a snapshot, each model judged beside its base."""

    name: str = Field(title="Name", description="Prefix of the models, which are named NAME-ROWS.")
    finetune: dict = Field(title="Training settings", description="Settings of the fine-tuning runs, except name and rows.")
    shares: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0), title="Subset sizes", description="Subset sizes as shares of the training rows.",
        json_schema_extra={"metavar": "X,X"},
    )  # fmt: skip
    judge: dict | None = Field(
        None, title="Judge", description="Settings of the pairwise judge, except the models; none: only the validation loss."
    )
    kind: Literal["scaling"] = "scaling"

    _name = field_validator("name")(checked_name)

    @field_validator("shares")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or any(not 0 < share <= 1 for share in value):
            raise ValueError("give shares above 0 and up to 1")
        return tuple(sorted(set(value)))
