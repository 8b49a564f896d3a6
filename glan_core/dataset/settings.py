"""What a person asks of the jobs that clean, freeze and export the dataset."""

import re
from typing import Literal

from pydantic import Field, field_validator

from glan_core.dataset.splits import Rule
from glan_core.settings import Settings
from glan_core.workspace.pair_filter import PairFilter

Reason = Literal["rejected", "quality", "duplicate", "contaminated", "held_out"]
ExportFormat = Literal["chat", "alpaca", "sharegpt", "prompt-completion", "parquet", "datasets"]


class RowSelection(Settings):
    """Which pairs a dataset takes, and how they are split.

    `which` is what the rows must be. Of those, the ones that a person rejected, a check tagged or a GLAN-Test holds out
    ('held_out') are left out, but for the reasons in `include`. `scripted` None leaves the scripted teacher's rows out where the
    workspace also has rows of a real one. `split` is the rule of `splits.split_of`, `validation_share` the part that is held out,
    `seed` makes it repeatable.
    """

    which: PairFilter = PairFilter()
    include: tuple[Reason, ...] = ()
    scripted: bool | None = None
    split: Rule = "none"
    validation_share: float = Field(0.05, gt=0, lt=1)
    seed: int = Field(0, ge=-(2**63), lt=2**63)


class SnapshotSettings(RowSelection):
    """An order to freeze the chosen rows, as they now are, under a name that training and evaluation can give."""

    name: str
    split: Rule = "syllabus"
    kind: Literal["snapshot"] = "snapshot"

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value := value.strip()):
            raise ValueError("use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first")
        return value


class ExportSettings(Settings):
    """An order to write a dataset for trainers: the rows of a snapshot, or those chosen from the workspace as it is.

    `path` is the file or folder that is written, None where the dataset is only sent to the Hub. `card` writes a dataset card
    beside a file (a folder always has one). `repo` ('owner/name') sends the dataset to the Hugging Face Hub, for nobody else
    to see while `private`; `licence` is the identifier that its card gives.
    """

    path: str | None = None
    form: ExportFormat = "chat"
    snapshot: str | None = None
    choice: RowSelection = RowSelection()
    card: bool = False
    repo: str | None = None
    private: bool = True
    licence: str | None = None
    kind: Literal["export"] = "export"

    @field_validator("repo")
    @classmethod
    def _repo(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value := value.strip()):
            raise ValueError("a dataset on the Hub is written as owner/name")
        return value

    @field_validator("licence")
    @classmethod
    def _licence(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", value := value.strip().lower()):
            raise ValueError("give the identifier of a licence, such as cc-by-4.0")
        return value


class NearDuplicateSettings(Settings):
    """An order to tag the questions that repeat an earlier one.

    `threshold` is the least Jaccard similarity of 3-word runs. `meaning` compares in meaning too, within each discipline, by
    the vectors of `embedder` (None: the one that the workspace was embedded with); `meaning_threshold` is the least cosine.
    """

    threshold: float = Field(0.7, ge=0.6, le=1)
    meaning: bool = False
    meaning_threshold: float = Field(0.95, ge=0.5, le=1)
    embedder: str | None = None
    kind: Literal["dedup"] = "dedup"


class BenchmarkSource(Settings):
    """A benchmark: `source` is a name that `benchmark_files.KNOWN` has, a file or folder, or a data set of the Hub
    ('owner/name' or 'owner/name:config'). `column` holds the question where it is not to be recognised."""

    source: str = Field(min_length=1)
    column: str | None = None


class DecontaminationSettings(Settings):
    """An order to tag the pairs that hold a question of these benchmarks. `digits`: also where only numbers differ."""

    benchmarks: tuple[BenchmarkSource, ...] = Field(min_length=1)
    digits: bool = False
    kind: Literal["decontaminate"] = "decontaminate"


class QualityFilterSettings(Settings):
    """An order to tag the pairs that quality filters find fault with.

    `rules` are names of `quality.RULES`; the tags of rules that are not among them are taken off. `language` is the one that
    pairs are expected in, by its ISO 639-1 code. `shortest_question` and `shortest_answer` count words.
    """

    rules: tuple[str, ...]
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    shortest_question: int = Field(2, ge=0, le=1000)
    shortest_answer: int = Field(2, ge=0, le=1000)
    kind: Literal["filter"] = "filter"
