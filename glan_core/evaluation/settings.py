"""What a person asks of evaluation: a test frozen, two models judged, a scaling study."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from glan_core.generation.settings import TeacherSettings
from glan_core.ids import MAX_SLUG, slug
from glan_core.models.model_specs import SCRIPTED, title_of
from glan_core.settings import Settings
from glan_core.teachers.contract import DecodingParams

REFERENCE = "reference"  # stands for the answers that a test's own teacher gave


def checked_name(value: str) -> str:
    """The name, if it can be one of a file; ValueError elsewhere."""
    if not value or slug(value) != value:
        raise ValueError(f"use up to {MAX_SLUG} lower-case letters, digits and hyphens")
    return value


class GlanTestSettings(Settings):
    """An order to hold questions out as the GLAN-Test `name`: `questions` of each discipline, but at most `most_share` of its
    combinations of key concepts. They are drawn by `seed` from the pairs that the dataset takes, or from the rows that
    `snapshot` held out, so that models trained on it can be tested, too. `threshold` is the likeness from which a training row
    repeats a question (`dataset.paraphrases`)."""

    name: str
    questions: int = Field(50, ge=1, le=10_000)
    disciplines: tuple[str, ...] | None = None
    snapshot: str | None = None
    most_share: float = Field(0.2, gt=0, le=1)
    threshold: float = Field(0.7, ge=0.3, le=1)
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    kind: Literal["glan-test"] = "glan-test"

    _name = field_validator("name")(checked_name)


class PairwiseJudgeSettings(TeacherSettings):
    """An order to have two models answer a test and a judge, the order's `teacher`, score both answers in both orders.

    `ours` and `other` are models by their names (`chat.panes`), or 'reference'. `questions` of each discipline (None: all), of
    these `disciplines` (None: of all). Answers are drawn at `temperature`, up to `answer_tokens`.
    """

    test: str
    ours: str
    other: str = REFERENCE
    questions: int | None = Field(None, ge=1)
    disciplines: tuple[str, ...] | None = None
    temperature: float = Field(0.0, ge=0, le=5)
    answer_tokens: int = Field(512, ge=1, le=32_768)
    kind: Literal["judge-models"] = "judge-models"

    @property
    def asked(self) -> Sequence[str]:
        """See Terms: the judge alone, since models are asked with voices of their own."""
        return ("verdict",)

    def teacher_of(self, stage: str) -> str:
        """Who is asked at a stage, by the name that calls are recorded under; weights of this machine cost nothing."""
        spec = {"answer_ours": self.ours, "answer_other": self.other}.get(stage)
        if spec is None:
            return super().teacher_of(stage)
        return spec.partition("@http")[0] if spec.startswith("openai:") or spec == SCRIPTED else f"local:{title_of(spec)}"

    def sampling_of(self, stage: str) -> DecodingParams:
        """How replies of a stage are drawn."""
        return super().sampling_of(stage) if stage == "verdict" else DecodingParams(self.temperature, 1.0, self.answer_tokens)


class ScalingSettings(Settings):
    """An order to train on nested parts of a snapshot with one recipe, and to judge what came of each beside the untrained base.

    `finetune` holds the settings of `FinetuneSettings` but name and rows; `shares` are parts of the training rows. Models are called
    <name>-<rows>. `judge` holds the settings of `PairwiseJudgeSettings` but the models; None: only the held-out loss is taken.
    """

    name: str
    finetune: dict
    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    judge: dict | None = None
    kind: Literal["scaling"] = "scaling"

    _name = field_validator("name")(checked_name)

    @field_validator("shares")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or any(not 0 < share <= 1 for share in value):
            raise ValueError("give parts above 0 and up to 1")
        return tuple(sorted(set(value)))
