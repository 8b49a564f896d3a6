"""The registry of run kinds: title, settings class, entry point and lane.

Settings and entry points are import strings ("module:name"), so that this package does not depend on higher-level packages
and listing runs imports none of them.
"""

from dataclasses import dataclass
from typing import Literal

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.settings import Settings, read_settings

Lane = Literal["teachers", "data", "training", "studies"]
RUN_TEACHERS = "glan_core.generation.run:run_with_teachers"
CHECK_TEACHERS = "glan_core.generation.run:check"


@dataclass(frozen=True, slots=True)
class RunKind:
    """One kind of run.

    Attributes:
        title: Name for display.
        settings: Import string of the settings class; its field `kind` is the key in `RUN_KINDS`.
        work: Import string. With `asks_teachers`, a factory `(workspace, settings, run_id) -> WorkQueue`; otherwise a job
            `(workspace, settings, progress) -> str` that returns one sentence about its result.
        lane: Runs of one lane execute one after another; different lanes execute in parallel.
        asks_teachers: Whether the run calls teachers through the generation engine.
        keeps_partial: Whether the run can be ended early with its partial result kept.
    """

    title: str
    settings: str
    work: str
    lane: Lane = "data"
    asks_teachers: bool = False
    keeps_partial: bool = False


def _teacher_run(title: str, settings: str, work: str, lane: Lane = "teachers") -> RunKind:
    return RunKind(title, settings, work, lane, asks_teachers=True)


RUN_KINDS: dict[str, RunKind] = {
    "generate": _teacher_run(
        "Generation", "glan_core.generation.settings:GenerationSettings", "glan_core.generation.work_queue:open_generation"
    ),
    "propose": _teacher_run(
        "Proposals", "glan_core.generation.settings:ProposalSettings", "glan_core.generation.proposals:ProposalQueue"
    ),
    "redo": _teacher_run(
        "Regeneration", "glan_core.generation.settings:RegenerateSettings", "glan_core.generation.regenerate:open_regeneration"
    ),
    "judge": _teacher_run(
        "Quality judge",
        "glan_core.generation.settings:QualityJudgeSettings",
        "glan_core.generation.quality_judge:QualityJudgeQueue",
    ),
    "judge-models": _teacher_run(
        "Pairwise judge",
        "glan_core.evaluation.settings:PairwiseJudgeSettings",
        "glan_core.evaluation.judge.pairwise:PairwiseJudgeQueue",
        "training",
    ),
    "lookalikes": _teacher_run(
        "Look-alikes",
        "glan_core.evaluation.contamination.settings:LookalikeSettings",
        "glan_core.evaluation.contamination.lookalikes:LookalikeQueue",
    ),
    "embed": RunKind(
        "Embedding", "glan_core.diversity.settings:EmbeddingSettings", "glan_core.diversity.embedding_job:embed_rows"
    ),
    "map": RunKind("Diversity map", "glan_core.diversity.settings:MapSettings", "glan_core.diversity.map_job:create_map"),
    "measure": RunKind(
        "Diversity metrics", "glan_core.diversity.settings:MetricSettings", "glan_core.diversity.metric_job:compute_metrics"
    ),
    "compare": RunKind(
        "Dataset comparison",
        "glan_core.diversity.settings:ComparisonSettings",
        "glan_core.diversity.comparison_job:compare_datasets",
    ),
    "dedup": RunKind(
        "Near-duplicates",
        "glan_core.dataset.settings:NearDuplicateSettings",
        "glan_core.dataset.near_duplicate_job:tag_duplicates",
    ),
    "decontaminate": RunKind(
        "Decontamination",
        "glan_core.dataset.settings:DecontaminationSettings",
        "glan_core.dataset.decontamination_job:tag_contaminated",
    ),
    "filter": RunKind(
        "Quality filters",
        "glan_core.dataset.settings:QualityFilterSettings",
        "glan_core.dataset.quality_filter_job:tag_quality",
    ),
    "snapshot": RunKind(
        "Snapshot", "glan_core.dataset.settings:SnapshotSettings", "glan_core.dataset.snapshot_job:create_snapshot"
    ),
    "export": RunKind("Export", "glan_core.dataset.settings:ExportSettings", "glan_core.dataset.export_job:export_rows"),
    "finetune": RunKind(
        "Fine-tuning",
        "glan_core.training.settings:FinetuneSettings",
        "glan_core.training.finetune_job:finetune",
        "training",
        keeps_partial=True,
    ),
    "bundle": RunKind(
        "Training bundle",
        "glan_core.training.settings:BundleSettings",
        "glan_core.training.bundle_export:export_bundle",
    ),
    "training-speed": RunKind(
        "Training speed",
        "glan_core.training.settings:SpeedSettings",
        "glan_core.training.speed_probe:measure_speed",
        "training",
    ),
    "merge": RunKind(
        "Adapter merge", "glan_core.models.settings:MergeSettings", "glan_core.models.merge_job:merge_adapter", "training"
    ),
    "model-export": RunKind(
        "Model export", "glan_core.models.settings:ModelExportSettings", "glan_core.models.export_job:export_model"
    ),
    "glan-test": RunKind(
        "Held-out test",
        "glan_core.evaluation.settings:GlanTestSettings",
        "glan_core.evaluation.glan_test_job:create_glan_test",
    ),
    "scaling": RunKind(
        "Scaling study",
        "glan_core.evaluation.settings:ScalingSettings",
        "glan_core.evaluation.scaling_job:run_study",
        "studies",
    ),
    "probe": RunKind(
        "Contamination probe",
        "glan_core.evaluation.contamination.settings:ProbeSettings",
        "glan_core.evaluation.contamination.probe_job:run_probe",
        "training",
    ),
    "duplicate": RunKind(
        "Duplicate",
        "glan_core.operations.duplicate_job:DuplicateSettings",
        "glan_core.operations.duplicate_job:duplicate",
    ),
    "backup": RunKind(
        "Backup",
        "glan_core.operations.backup_job:BackupSettings",
        "glan_core.operations.backup_job:back_up",
    ),
    "bench": RunKind(
        "Benchmarks",
        "glan_core.evaluation.benchmarks.settings:BenchmarkSettings",
        "glan_core.evaluation.benchmarks.benchmark_job:run_benchmarks",
        "training",
    ),
}


def kind_of(settings: Settings) -> str:
    """The kind of run that settings belong to."""
    return str(type(settings).model_fields["kind"].default)


def is_job(kind: str) -> bool:
    """Return whether runs of a kind are jobs, that is, of a known kind without calls to teachers."""
    return kind in RUN_KINDS and not RUN_KINDS[kind].asks_teachers


def lane_of(kind: str) -> Lane:
    """Return the lane of a kind; "teachers" for a kind of an older release."""
    return RUN_KINDS[kind].lane if kind in RUN_KINDS else "teachers"


def settings_of(kind: str, params: dict) -> Settings:
    """Parse the stored settings of a run.

    Raises:
        GlanError: If the kind cannot be run (records only) or a value is not valid; the message names the setting.
    """
    if kind not in RUN_KINDS:
        raise GlanError(f"Runs of kind {kind!r} cannot be executed: they only keep records.")
    return read_settings(load_symbol(RUN_KINDS[kind].settings), params)
