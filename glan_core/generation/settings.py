"""Settings of the runs that call teachers: generation, proposals, regeneration and the quality judge."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, JsonValue, field_validator, model_validator

from glan_core.errors import GlanError
from glan_core.generation.stage_specs import GENERATION_STAGES, STAGE_SPECS
from glan_core.homework.concept_sampling import DrawDistribution
from glan_core.ray_cluster.settings import RaySettings
from glan_core.settings import MOST_SEED, Settings, read_settings
from glan_core.teachers import check_spec
from glan_core.teachers.connections import with_connection
from glan_core.teachers.contract import DecodingParams
from glan_core.teachers.endpoint_settings import NO_KEY, EndpointSettings, check_replicas, endpoint
from glan_core.teachers.prices import BATCH_SHARE, Price, price_of
from glan_core.teachers.wire_format import OPENAI_URL

OFFLINE_URL = "http://localhost:8000/v1"


class Target(Settings):
    """What the workspace is to contain after a generation run."""

    disciplines: tuple[str, ...] = Field(
        min_length=1, title="Disciplines", description="IDs of disciplines, or of nodes above them; 'all' for every discipline.",
        json_schema_extra={"metavar": "ID,ID|all"},
    )  # fmt: skip
    subject_queries: int = Field(
        10, ge=1, le=1000, title="Subject queries",
        description="Subject lists requested per discipline; the paper uses 10, which yield 100 to 200 subjects.",
    )  # fmt: skip
    max_subjects: int | None = Field(
        None, ge=1, le=100_000, title="Max subjects",
        description="Write syllabi for at most this many subjects per discipline (default: all).",
    )  # fmt: skip
    questions_per_syllabus: int = Field(
        20, ge=0, le=250_000, title="Questions per syllabus",
        description="Homework questions per syllabus, each with one answer; the paper's dataset has 400 to 800.",
    )  # fmt: skip

    @field_validator("disciplines")
    @classmethod
    def _unique(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


def _endpoint_field(name: str) -> Any:
    """Declare a setting of the endpoint that a stage may have of its own; its values are checked by `EndpointSettings`."""
    field = EndpointSettings.model_fields[name]
    return Field(None, title=field.title, description=field.description, json_schema_extra=field.json_schema_extra)


NOT_SENT = "none"  # written for a parameter that is not sent, so that the model's own default applies


class StageSettings(Settings):
    """Settings of one stage that differ from the run's teacher and the stage's default decoding parameters."""

    teacher: str | None = Field(None, title="Teacher", description="Teacher of this stage.")
    temperature: Annotated[float, Field(ge=0, le=5)] | Literal["none"] | None = Field(
        None, title="Temperature", description="Sampling temperature; 0 is greedy decoding, none sends no value."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | Literal["none"] | None = Field(
        None, title="Top-p", description="Nucleus sampling threshold; none sends no value."
    )
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["none"] | None = Field(
        None, title="Max tokens", description="Longest completion, reasoning included; none sends no limit.",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    base_url: str | None = _endpoint_field("base_url")
    replicas: tuple[str, ...] | None = _endpoint_field("replicas")
    key_variable: str | None = _endpoint_field("key_variable")
    headers: dict[str, str] | None = _endpoint_field("headers")
    extra_body: dict[str, JsonValue] | None = _endpoint_field("extra_body")
    idle_timeout: float | None = _endpoint_field("idle_timeout")
    total_timeout: float | None = _endpoint_field("total_timeout")
    price: str | None = _endpoint_field("price")

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        resolved = with_connection(values)
        return {name: value for name, value in resolved.items() if name in values or name in cls.model_fields}

    @field_validator("teacher")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value and check_spec(value)

    @field_validator("replicas", mode="before")
    @classmethod
    def _replica_urls(cls, value: object) -> object:
        return value and check_replicas(value)

    @model_validator(mode="after")
    def _endpoint_is_valid(self) -> "StageSettings":
        read_settings(EndpointSettings, self.endpoint_values())
        if self.base_url:
            endpoint(self.base_url)
        return self

    def endpoint_values(self) -> dict:
        """The settings of the endpoint that this stage sets itself."""
        return {name: value for name in EndpointSettings.model_fields if (value := getattr(self, name, None)) is not None}


class TeacherSettings(RaySettings, EndpointSettings):
    """Teachers, limits and budget: what every run that calls a teacher has in common. API keys are never part of it."""

    teacher: str = Field(
        "scripted", title="Teacher",
        description="Model that replies: openai:MODEL, @CONNECTION, local:PATH_OR_NAME or scripted.",
        json_schema_extra={"metavar": "MODEL"},
    )  # fmt: skip
    answer_teacher: str | None = Field(
        None,
        title="Answer teacher",
        description="Teacher of the answers (default: the same); the paper uses a faster model here than for the questions.",
        json_schema_extra={"metavar": "MODEL"},
    )
    stages: dict[str, StageSettings] = Field(
        default_factory=dict, title="Settings per stage", description="Teacher and decoding parameters of single stages."
    )
    budget_usd: float | None = Field(
        None, gt=0, title="Budget", description="Hard limit on spending, including in-flight requests.",
        json_schema_extra={"unit": "USD"},
    )  # fmt: skip
    max_calls: int | None = Field(
        None, ge=1, title="Max calls", description="Hard limit on the calls paid for, including in-flight requests."
    )
    max_in_flight: int = Field(
        32, ge=1, le=4096, title="Max concurrent requests",
        description="Upper bound on concurrent requests per endpoint; concurrency adapts to the endpoint.",
    )  # fmt: skip
    requests_per_minute: int | None = Field(None, ge=1, title="Requests per minute", description="Request rate limit.")
    tokens_per_minute: int | None = Field(
        None, ge=1, title="Tokens per minute", description="Rate limit on prompt plus completion tokens."
    )
    keep_reasoning: bool = Field(
        False, title="Keep reasoning",
        description="Store the reasoning of each reply in a column of its own. It is never part of a question or an answer.",
    )  # fmt: skip
    live: bool = Field(
        False, title="Stream replies", description="Stream replies, so that text can be read while it is written."
    )

    @field_validator("teacher", "answer_teacher")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value and check_spec(value)

    @model_validator(mode="before")
    @classmethod
    def _address(cls, values: object) -> object:
        """Resolve connections, and store the address in effect, so that continuing the run elsewhere calls the same endpoint."""
        if not isinstance(values, dict):
            return values
        values = with_connection(values)
        if not isinstance(values.get("stages") or {}, dict) or not isinstance(values.get("base_url") or "", str):
            return values  # refused by the types of the fields
        answer = str(values.get("answer_teacher") or "")
        if answer.startswith("@"):
            stages = dict(values.get("stages") or {})
            of_answer = {name: value for name, value in _plain(stages.get("answer")).items() if value is not None}
            values = values | {"answer_teacher": None, "stages": stages | {"answer": {"teacher": answer} | of_answer}}
        inheriting = [plain for stage in (values.get("stages") or {}).values() if not (plain := _plain(stage)).get("base_url")]
        teachers = [values.get("teacher"), values.get("answer_teacher"), *(stage.get("teacher") for stage in inheriting)]
        if values.get("base_url") or any(str(teacher).startswith("openai:") for teacher in teachers):
            values = values | {"base_url": endpoint(values.get("base_url"))}
        return values

    @field_validator("stages")
    @classmethod
    def _stages(cls, value: dict[str, StageSettings]) -> dict[str, StageSettings]:
        for stage in value:
            if stage not in STAGE_SPECS:
                raise GlanError(f"Unknown stage {stage!r}. Stages: {', '.join(STAGE_SPECS)}.")
        return value

    @property
    def asked(self) -> Sequence[str]:
        """Stages at which the teachers of these settings are called."""
        return ()

    @property
    def batch_mode(self) -> Literal["api", "files"] | None:
        """'api' for the Batch API, 'files' for request files of an offline engine, None if requests are sent one by one."""
        return None

    def teacher_of(self, stage: str) -> str:
        """Teacher of a stage."""
        special = self.stages.get(stage)
        if special and special.teacher:
            return special.teacher
        return (self.answer_teacher or self.teacher) if stage == "answer" else self.teacher

    def price_of(self, stage: str) -> Price | None:
        """Price of a stage, None if unknown."""
        special = self.stages.get(stage, StageSettings())
        return price_of(self.teacher_of(stage), special.price or self.price)

    def endpoint_of(self, stage: str) -> EndpointSettings:
        """Endpoint settings of a stage.

        A stage with another address gets none of the run's key, headers and extra fields, which belong to the run's endpoint.
        """
        own = {name: getattr(self, name) for name in EndpointSettings.model_fields}
        special = self.stages.get(stage, StageSettings()).endpoint_values()
        if special.get("base_url") and endpoint(special["base_url"]) != self.base_url:
            own = {name: own[name] for name in ("idle_timeout", "total_timeout")}
            if endpoint(special["base_url"]) != OPENAI_URL:
                own["key_variable"] = NO_KEY
        return EndpointSettings(**own | special)

    def decoding_of(self, stage: str) -> DecodingParams:
        """Decoding parameters of a stage."""
        default, special = STAGE_SPECS[stage].decoding, self.stages.get(stage, StageSettings())

        def value_of(name: str) -> Any:
            value = getattr(special, name)
            return getattr(default, name) if value is None else None if value == NOT_SENT else value

        return DecodingParams(value_of("temperature"), value_of("top_p"), value_of("max_tokens"))


def _plain(stage: object) -> dict:
    """Return the settings of a stage as plain values."""
    return stage.model_dump() if isinstance(stage, StageSettings) else stage if isinstance(stage, dict) else {}


class GenerationSettings(TeacherSettings):
    """Settings of a generation run."""

    target: Target
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the sampled sessions and key concepts.")
    pair_share: float = Field(
        0.5, ge=0, le=1, title="Two-session share",
        description="Share of questions that combine key concepts of two class sessions (strategy 'pair'), which are harder.",
    )  # fmt: skip
    draw_distribution: DrawDistribution = Field(
        "coverage", validation_alias=AliasChoices("draw_distribution", "draw_law"), title="Concept sampling",
        description="'coverage' prefers the key concepts sampled least so far; 'uniform' samples every combination alike.",
    )  # fmt: skip
    batch: bool = Field(
        False, title="Batch API",
        description="Send requests with the endpoint's Batch API, at half the price and within 24 hours per stage, instead of one by one.",
    )  # fmt: skip
    batch_files: bool = Field(
        False, title="Batch files",
        description="Write requests to files for an offline engine such as vLLM's run_batch, instead of sending them.",
    )  # fmt: skip
    kind: Literal["generate"] = "generate"

    @model_validator(mode="before")
    @classmethod
    def _offline_address(cls, values: object) -> object:
        """Offline engines have no address; that of a local vLLM stands for them, whose requests are the same."""
        if isinstance(values, dict) and values.get("batch_files") is True and not values.get("base_url"):
            return values | {"base_url": OFFLINE_URL}
        return values

    @model_validator(mode="after")
    def _batches_need_endpoints(self) -> "GenerationSettings":
        if self.batch_mode is None:
            return self
        what = "The Batch API" if self.batch else "Batch files"
        if self.batch and self.batch_files:
            raise GlanError("Batch API and batch files exclude each other. Choose one of them.")
        if self.engine != "local":
            raise GlanError(f"{what} and the Ray engine exclude each other. Choose one of them.")
        if any(self.endpoint_of(stage).replicas for stage in GENERATION_STAGES):
            raise GlanError(f"{what} {'has' if self.batch else 'have'} one endpoint per teacher. Remove the replicas.")
        for stage in GENERATION_STAGES:
            if not (teacher := self.teacher_of(stage)).startswith("openai:"):
                verb = "needs" if self.batch else "need"
                raise GlanError(
                    f"{what} {verb} a teacher with an OpenAI-compatible endpoint in every stage, and the teacher of {stage} is {teacher}. "
                    "Use openai:MODEL, or turn this setting off."
                )
        return self

    @property
    def batch_mode(self) -> Literal["api", "files"] | None:
        """See `TeacherSettings.batch_mode`."""
        return "api" if self.batch else "files" if self.batch_files else None

    def price_of(self, stage: str) -> Price | None:
        """See `TeacherSettings.price_of`: the price in effect, which is half the usual one with the Batch API."""
        usual = super().price_of(stage)
        return usual.times(BATCH_SHARE) if usual and self.batch else usual

    @property
    def asked(self) -> Sequence[str]:
        """See `TeacherSettings.asked`."""
        return GENERATION_STAGES


class ProposalSettings(TeacherSettings):
    """Settings of a run that proposes new nodes below one node of the taxonomy."""

    parent_id: str = Field(title="Parent node", description="ID of the node to extend.", json_schema_extra={"metavar": "ID"})
    count: int = Field(
        8, ge=1, le=50, title="Max proposals per prompt", description="Largest number of proposals requested with each prompt."
    )
    kind: Literal["propose"] = "propose"

    @property
    def asked(self) -> Sequence[str]:
        """See `TeacherSettings.asked`."""
        return ("proposals",)


class RegenerateSettings(TeacherSettings):
    """Settings of a run that regenerates one record: the answer of a question, or a syllabus with its sessions."""

    record_id: str = Field(title="Record", description="ID of the record to regenerate.", json_schema_extra={"metavar": "ID"})
    kind: Literal["redo"] = "redo"

    @property
    def asked(self) -> Sequence[str]:
        """See `TeacherSettings.asked`."""
        return ("syllabus", "sessions") if self.record_id.startswith("syl-") else ("answer",)


class QualityJudgeSettings(TeacherSettings):
    """Settings of a run in which a teacher scores pairs from 1 to 5.

    Pairs that score below a minimum are excluded from the dataset; the minimums apply to earlier judgments as well.
    """

    disciplines: tuple[str, ...] | None = Field(
        None, title="Disciplines", description="IDs of disciplines, or of nodes above them (default: all).",
        json_schema_extra={"metavar": "ID,ID"},
    )  # fmt: skip
    sample: int | None = Field(
        None,
        ge=1,
        title="Sample size",
        description="Judge a sample of this many pairs (default: every pair); smaller samples are part of larger ones.",
    )
    seed: int = Field(0, ge=0, lt=MOST_SEED, title="Seed", description="Seed of the sample.")
    min_correct: int = Field(
        3, ge=1, le=5, validation_alias=AliasChoices("min_correct", "least_correct"), title="Min correctness",
        description="Exclude pairs that score below this for a correct and complete answer. 1: wrong or empty, 5: fully correct.",
    )  # fmt: skip
    min_clear: int = Field(
        3, ge=1, le=5, validation_alias=AliasChoices("min_clear", "least_clear"), title="Min clarity",
        description="Exclude pairs that score below this for clarity of question and answer. 1: confusing, 5: clear.",
    )  # fmt: skip
    min_self_contained: int = Field(
        3, ge=1, le=5, validation_alias=AliasChoices("min_self_contained", "least_self_contained"), title="Min self-containedness",
        description="Exclude pairs whose question scores below this for including all it needs. 1: text or figure missing, 5: nothing "
        "missing.",
    )  # fmt: skip
    min_difficulty: int = Field(
        1, ge=1, le=5, validation_alias=AliasChoices("min_difficulty", "least_difficulty"), title="Min difficulty",
        description="Exclude pairs that score below this for difficulty. 1: recall of one fact, 3: several steps, 5: expert level.",
    )  # fmt: skip
    kind: Literal["judge"] = "judge"

    @property
    def asked(self) -> Sequence[str]:
        """See `TeacherSettings.asked`."""
        return ("judge",)
