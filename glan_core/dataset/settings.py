"""Settings of the jobs that check, snapshot and export the dataset."""

import re
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from glan_core.dataset.splits import SplitRule
from glan_core.ray_cluster.settings import RaySettings
from glan_core.settings import MOST_SEED, Settings
from glan_core.workspace.pair_filter import PairFilter

Reason = Literal["rejected", "quality", "duplicate", "contaminated", "held_out"]
ExportFormat = Literal["chat", "alpaca", "sharegpt", "prompt-completion", "openai", "parquet", "datasets"]


def checked_license(value: str | None) -> str | None:
    """A license identifier in lower case; ValueError for anything else."""
    if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", value := value.strip().lower()):
        raise ValueError("give the identifier of a license, such as cc-by-4.0")
    return value


def checked_repo(value: str | None) -> str | None:
    """A repository on the Hugging Face Hub as owner/name; ValueError for anything else."""
    if value is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value := value.strip()):
        raise ValueError("write the repository as owner/name")
    return value


class RowSelection(Settings):
    """Pairs that a dataset contains, and how they are split into training and validation rows."""

    which: PairFilter = Field(PairFilter(), title="Filter", description="Filter that the pairs match.")
    include: tuple[Reason, ...] = Field(
        (), title="Include excluded rows", description="Include rows excluded for these reasons: rejected, quality, duplicate, "
        "contaminated, held_out. A row counts for the first of its reasons.", json_schema_extra={"metavar": "REASON,REASON"},
    )  # fmt: skip
    scripted: bool | None = Field(
        None, title="Include scripted rows",
        description="Include rows of the scripted teacher, which are template texts (default: only where there are no others).",
    )  # fmt: skip
    split: SplitRule = Field(
        "none",
        title="Validation split",
        description="Unit that is held out whole: none, a syllabus, or a combination of key concepts.",
    )
    validation_share: float = Field(
        0.05, gt=0, lt=1, title="Validation share",
        description="Share of the units, and on average of the rows, that is held out.",
    )  # fmt: skip
    seed: int = Field(
        0, ge=0, lt=MOST_SEED, title="Seed",
        description="Seed of the split; it holds out the same rows after others are added.",
    )  # fmt: skip


class SnapshotSettings(RowSelection):
    """Settings of a snapshot: the selected rows, stored under a name for training and evaluation."""

    name: str = Field(title="Name", description="Name of the snapshot: letters, digits, dots, hyphens and underscores.")
    split: SplitRule = Field(
        "syllabus",
        title="Validation split",
        description="Unit that is held out whole: none, a syllabus, or a combination of key concepts.",
    )
    kind: Literal["snapshot"] = "snapshot"

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value := value.strip()):
            raise ValueError("use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first")
        return value


class ExportSettings(Settings):
    """Settings of a dataset export: the rows of a snapshot, or those selected from the workspace now."""

    path: str | None = Field(
        None, title="Path", description="File or folder to write atomically; may be omitted when the dataset is only pushed to the Hub.",
        json_schema_extra={"metavar": "PATH"},
    )  # fmt: skip
    form: ExportFormat = Field("chat", title="Format", description="Format that trainers read.")
    snapshot: str | None = Field(
        None,
        title="Snapshot",
        description="Export this snapshot instead of selected rows.",
        json_schema_extra={"metavar": "NAME"},
    )
    choice: RowSelection = RowSelection()
    folder: bool = Field(
        False, title="As a folder", description="Write a folder with the dataset card and the settings of LLaMA-Factory and Axolotl, as for "
        "rows with a validation split.",
    )  # fmt: skip
    reasoning: bool = Field(
        False, title="Reasoning", description="Add a column with the reasoning of the answers, as far as their runs kept it (--keep-reasoning).",
    )  # fmt: skip
    card: bool = Field(False, title="Dataset card", description="Write a dataset card beside a file; a folder always has one.")
    repo: str | None = Field(
        None, title="Hub repository", description="Push the dataset to the Hugging Face Hub (HF_TOKEN, or your login).",
        json_schema_extra={"metavar": "OWNER/NAME"},
    )  # fmt: skip
    private: bool = Field(True, title="Private", description="Only you and your organization can see the repository.")
    license: str | None = Field(
        None, validation_alias=AliasChoices("license", "licence"), title="License",
        description="License identifier for the card, such as cc-by-4.0; the card also lists the teachers' terms.",
        json_schema_extra={"metavar": "ID"},
    )  # fmt: skip
    kind: Literal["export"] = "export"

    _repo = field_validator("repo")(checked_repo)
    _license = field_validator("license")(checked_license)


class NearDuplicateSettings(RaySettings):
    """Settings of the job that tags questions which repeat an earlier one."""

    threshold: float = Field(
        0.7, ge=0.6, le=1, title="Jaccard threshold",
        description="Least Jaccard similarity of the sets of 3-word n-grams at which a question is a near-duplicate. At 0.7, two questions "
        "of 60 words that differ in three words are near-duplicates.",
    )  # fmt: skip
    semantic: bool = Field(
        False, validation_alias=AliasChoices("semantic", "meaning"), title="Semantic duplicates",
        description="Also compare embeddings of the questions of a discipline.",
    )  # fmt: skip
    semantic_threshold: float = Field(
        0.95, ge=0.5, le=1, validation_alias=AliasChoices("semantic_threshold", "meaning_threshold"), title="Cosine threshold",
        description="Least cosine similarity at which a question is a semantic duplicate. Scales differ between embedders: inspect the "
        "duplicates found, then adjust the threshold.",
    )  # fmt: skip
    embedder: str | None = Field(
        None, title="Embedder", description="Embedder whose stored vectors are compared (default: the workspace's latest).",
        json_schema_extra={"metavar": "MODEL"},
    )  # fmt: skip
    kind: Literal["dedup"] = "dedup"


class BenchmarkSource(Settings):
    """A benchmark whose questions must not occur in the training data."""

    source: str = Field(
        min_length=1,
        title="Benchmark",
        description="Known benchmark, file or folder, or dataset of the Hub (owner/name[:config]).",
    )
    column: str | None = Field(None, title="Question column", description="Column of the question (default: detected).")


class DecontaminationSettings(RaySettings):
    """Settings of the job that tags pairs which contain a question of a benchmark."""

    benchmarks: tuple[BenchmarkSource, ...] = Field(min_length=1, title="Benchmarks", description="Benchmarks to compare with.")
    digits: bool = Field(
        False,
        title="Ignore numbers",
        description="Also match questions that differ from a benchmark's only in their numbers, such as '48 clips' and '52 clips'.",
    )
    kind: Literal["decontaminate"] = "decontaminate"


class QualityFilterSettings(Settings):
    """Settings of the job that tags pairs which fail quality rules; tags of rules not listed are removed."""

    rules: tuple[str, ...] = Field(
        title="Rules", description="Quality rules to apply.", json_schema_extra={"metavar": "RULE,RULE"}
    )
    language: str = Field(
        "en", pattern=r"^[a-z]{2}$", title="Language",
        description="Expected language of the pairs (ISO 639-1). Code, formulas and short texts are not checked.",
        json_schema_extra={"metavar": "CODE"},
    )  # fmt: skip
    min_question_words: int = Field(
        2, ge=0, le=1000, validation_alias=AliasChoices("min_question_words", "shortest_question"), title="Min question length",
        description="Tag shorter questions as too short.", json_schema_extra={"unit": "words"},
    )  # fmt: skip
    min_answer_words: int = Field(
        2, ge=0, le=1000, validation_alias=AliasChoices("min_answer_words", "shortest_answer"), title="Min answer length",
        description="Tag shorter answers as too short.", json_schema_extra={"unit": "words"},
    )  # fmt: skip
    kind: Literal["filter"] = "filter"
