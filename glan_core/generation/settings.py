"""What a person asks of a generation run: the target, who teaches, how draws are made, and what may be spent."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from glan_core.errors import GlanError
from glan_core.homework.concept_sampling import DrawDistribution
from glan_core.settings import Settings
from glan_core.teachers import check_spec
from glan_core.teachers.contract import DecodingParams
from glan_core.teachers.prices import parse_price

STAGES = ("subject_list", "subjects", "syllabus", "sessions", "question", "answer")
STAGE_TITLES = {
    "subject_list": "subject lists", "subjects": "subjects", "syllabus": "syllabi", "sessions": "class sessions",
    "question": "questions", "answer": "answers", "proposals": "proposals",
    "judge": "judgements", "answer_ours": "our answers", "answer_other": "their answers", "verdict": "verdicts",
    "lookalike": "look-alikes",
}  # fmt: skip


def stage_title(stage: str) -> str:
    """A stage in words; the stages of jobs (`runs.jobs`) have their words for names."""
    return STAGE_TITLES.get(stage, stage)


# The paper's where it states them (temperature 1.0 and 0.7, top-p 0.95); it does not state those of questions.
STAGE_DECODING = {
    "proposals": DecodingParams(1.0, 0.95, 4096),
    "subject_list": DecodingParams(1.0, 0.95, 4096),
    "subjects": DecodingParams(1.0, 0.95, 8192),
    "syllabus": DecodingParams(1.0, 0.95, 8192),
    "sessions": DecodingParams(1.0, 0.95, 8192),
    "question": DecodingParams(1.0, 0.95, 2048),
    "answer": DecodingParams(0.7, 0.95, 4096),
    "judge": DecodingParams(0.0, 1.0, 2048),
    "verdict": DecodingParams(0.0, 1.0, 2048),
    "answer_ours": DecodingParams(0.0, 1.0, 512),
    "answer_other": DecodingParams(0.0, 1.0, 512),
    "lookalike": DecodingParams(1.0, 0.95, 4096),
}


class Target(Settings):
    """What the workspace is to hold. `disciplines` are ids; `max_subjects` None: a syllabus for every subject found."""

    disciplines: tuple[str, ...] = Field(min_length=1)
    subject_queries: int = Field(10, ge=1, le=1000)
    max_subjects: int | None = Field(None, ge=1, le=100_000)
    questions_per_syllabus: int = Field(20, ge=0, le=250_000)

    @field_validator("disciplines")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


class StageSettings(Settings):
    """What differs from the defaults at one stage; None: the order's teacher, the paper's sampling."""

    teacher: str | None = None
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)

    @field_validator("teacher")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value and check_spec(value)


class TeacherSettings(Settings):
    """Who is asked and what may be spent: the part of an order that every run with a teacher shares.

    `price` is 'IN,OUT' in dollars per million tokens and overrides the price table. `base_url` is the address of an
    OpenAI-compatible endpoint. `live`: replies are streamed, and what is being written can be watched (`generation.live`).
    Keys are never part of it.
    """

    teacher: str = "scripted"
    answer_teacher: str | None = None
    stages: dict[str, StageSettings] = {}
    base_url: str | None = None
    price: str | None = None
    budget_usd: float | None = Field(None, gt=0)
    max_calls: int | None = Field(None, ge=1)
    max_in_flight: int = Field(32, ge=1, le=4096)
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    live: bool = False

    @field_validator("teacher", "answer_teacher")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value and check_spec(value)

    @field_validator("price")
    @classmethod
    def _price(cls, value: str | None) -> str | None:
        if value is not None:
            parse_price(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _address(cls, values: object) -> object:
        """The address that will be asked becomes part of the order: continuing it elsewhere must not ask another one."""
        from glan_core.teachers.http_teacher import endpoint

        if not isinstance(values, dict):
            return values
        stages = [stage for stage in (values.get("stages") or {}).values() if isinstance(stage, dict)]
        asked = [values.get("teacher"), values.get("answer_teacher"), *(stage.get("teacher") for stage in stages)]
        if values.get("base_url") or any(str(teacher).startswith("openai:") for teacher in asked):
            values = values | {"base_url": endpoint(values.get("base_url"))}
        return values

    @field_validator("stages")
    @classmethod
    def _stages(cls, value: dict[str, StageSettings]) -> dict[str, StageSettings]:
        for stage in value:
            if stage not in STAGE_DECODING:
                raise GlanError(f"There is no stage {stage!r}: the stages are {', '.join(STAGE_DECODING)}.")
        return value

    @property
    def asked(self) -> Sequence[str]:
        """The stages at which the order's teachers are asked."""
        return ()

    def teacher_of(self, stage: str) -> str:
        """Who is asked at a stage."""
        special = self.stages.get(stage)
        if special and special.teacher:
            return special.teacher
        return (self.answer_teacher or self.teacher) if stage == "answer" else self.teacher

    def sampling_of(self, stage: str) -> DecodingParams:
        """How replies of a stage are drawn."""
        default, special = STAGE_DECODING[stage], self.stages.get(stage, StageSettings())
        return DecodingParams(
            default.temperature if special.temperature is None else special.temperature,
            special.top_p or default.top_p,
            special.max_tokens or default.max_tokens,
        )


class GenerationSettings(TeacherSettings):
    """An order for a generation run. `pair_share` is the share of two-session questions, `draw_law` how sessions and
    concepts are drawn (`homework_draws`), `seed` makes the draws repeatable."""

    target: Target
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    pair_share: float = Field(0.5, ge=0, le=1)
    draw_law: DrawDistribution = "coverage"
    kind: Literal["generate"] = "generate"

    @property
    def asked(self) -> Sequence[str]:
        """See Terms."""
        return STAGES


class ProposalSettings(TeacherSettings):
    """An order for taxonomy proposals under one node: at most `count` from each of the differently worded prompts."""

    parent_id: str
    count: int = Field(8, ge=1, le=50)
    kind: Literal["propose"] = "propose"

    @property
    def asked(self) -> Sequence[str]:
        """See Terms."""
        return ("proposals",)


class RegenerateSettings(TeacherSettings):
    """An order to have one record written anew: the answer of a question, or a syllabus with its sessions, by its id."""

    record_id: str
    kind: Literal["redo"] = "redo"

    @property
    def asked(self) -> Sequence[str]:
        """See Terms."""
        return ("syllabus", "sessions") if self.record_id.startswith("syl-") else ("answer",)


class QualityJudgeSettings(TeacherSettings):
    """An order to have pairs judged by a teacher, on a scale from 1 to 5.

    Of `disciplines` (None: of all) those pairs that the dataset takes and that nobody judged yet: `sample` of all its pairs,
    drawn by `seed`, or every one. A pair is left out of the dataset when it was judged below `least_correct`, `least_clear`
    or `least_self_contained`, or its difficulty is below `least_difficulty`; that holds for earlier judgements as well.
    """

    disciplines: tuple[str, ...] | None = None
    sample: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    least_correct: int = Field(3, ge=1, le=5)
    least_clear: int = Field(3, ge=1, le=5)
    least_self_contained: int = Field(3, ge=1, le=5)
    least_difficulty: int = Field(1, ge=1, le=5)
    kind: Literal["judge"] = "judge"

    @property
    def asked(self) -> Sequence[str]:
        """See Terms."""
        return ("judge",)
