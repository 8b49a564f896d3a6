"""Plan of a scaling study: steps, calls, cost and time of its fine-tuning runs and matches before it starts."""

from collections import Counter
from dataclasses import dataclass

from glan_core.dataset.glan_test_store import read_items
from glan_core.evaluation import scaling_job
from glan_core.evaluation.judge.match_setup import OTHER, OURS, VERDICT
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings, ScalingSettings
from glan_core.generation import plan as generation_plan
from glan_core.generation.estimates import TokenLimit
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.models import tuned_model_store
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.training.plan import plan
from glan_core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a scaling study takes; models that exist already are not trained again.

    Attributes:
        models: Models to train.
        steps: Optimizer steps of all.
        calls: Answers and verdicts of all matches.
        usd: Cost in USD (low, high), None if a price is unknown.
        training_seconds: Time of training (low, high), None if unknown.
        judging_seconds: Time of judging (low, high), None if unknown.
        basis: What the time of training is based on.
    """

    models: int
    steps: int
    calls: int
    usd: tuple[float, float] | None
    training_seconds: tuple[float, float] | None
    judging_seconds: tuple[float, float] | None
    basis: str

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Time of the study (low, high), None if a part of it is unknown."""
        if self.training_seconds is None or self.judging_seconds is None:
            return None
        return (self.training_seconds[0] + self.judging_seconds[0], self.training_seconds[1] + self.judging_seconds[1])


def plan_study(ws: Workspace, settings: ScalingSettings) -> StudyPlan:
    """Plan a study.

    Raises:
        GlanError: If the snapshot or test does not exist, or a setting is invalid.
    """
    all_models = scaling_job.finetune_settings(ws, settings)
    known = {model.name for model in tuned_model_store.list_models(ws)}
    missing = [plan(ws, tune) for tune in all_models if tune.name not in known]
    timed = [one.seconds for one in missing if one.seconds]
    training = (sum(low for low, _ in timed), sum(high for _, high in timed)) if len(timed) == len(missing) else None
    basis = missing[0].time_basis if missing else ""
    steps = sum(one.steps for one in missing)
    if settings.judge is None:
        return StudyPlan(len(missing), steps, 0, (0.0, 0.0), training, (0.0, 0.0), basis)
    judged = _judging(ws, scaling_job.judge_settings(settings, all_models[0].name), len(all_models))
    return StudyPlan(len(missing), steps, judged.calls[1], judged.usd, training, judged.seconds, basis)


def _judging(ws: Workspace, match: PairwiseJudgeSettings, models: int) -> generation_plan.Plan:
    """Plan the matches of all models, which need not exist yet, as if nothing were answered or judged."""
    tree, counts = tree_editing.tree(ws), Counter[str]()
    wanted = None
    if match.disciplines is not None:
        wanted = {below for id in match.disciplines for below in hierarchy.disciplines_under(tree, id)}
    for item in read_items(ws, match.test):
        if wanted is None or item.discipline in wanted:
            counts[item.discipline or item.skill] += 1
    items = sum(min(number, match.questions or number) for number in counts.values())
    answers = models * items
    opponent = 0 if match.other == REFERENCE else items if not match.other.startswith("base:") else answers
    calls = {OURS: answers, OTHER: opponent, VERDICT: 2 * answers}
    most = match.answer_tokens or STAGE_SPECS["answer" if match.other == REFERENCE else OURS].decoding.max_tokens
    limits = dict.fromkeys((OURS, OTHER), TokenLimit(most)) if most else None
    return generation_plan.price(ws, match, {stage: (number, number) for stage, number in calls.items()}, limits)
