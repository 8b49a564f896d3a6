"""Match setup: the resolved models, questions and call IDs of a pairwise match."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from glan_core.dataset.glan_test_store import GlanTest, GlanTestItem, read_items, read_test
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import AnswerSource, answer_source
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.ids import answer_id, derive
from glan_core.prompts import prompt
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.contract import DecodingParams
from glan_core.workspace import Workspace, call_rows

OURS, OTHER, VERDICT = "answer_ours", "answer_other", "verdict"
CUT = " […]"  # marks an answer truncated at its limit, for judges and readers
SAMPLED = 50  # references whose calls are looked up
NOTHING = "(no words at all)"


@dataclass(frozen=True)
class MatchSetup:
    """The settings of a match with its test, selected items and models resolved."""

    settings: PairwiseJudgeSettings
    test: GlanTest
    items: tuple[GlanTestItem, ...]
    ours: AnswerSource
    other: AnswerSource
    decoding: DecodingParams  # of the answers of both models

    @cached_property
    def id(self) -> str:
        """ID of the match: the same for the same test, answers, judge and prompt, so that a second run resumes the first."""
        settings = self.settings
        verdict = settings.decoding_of(VERDICT)
        parts = (self.test.hash, self.ours.key, self.other.key, settings.teacher_of(VERDICT), settings.base_url, prompt("compare").version,
                 verdict.temperature, verdict.top_p)  # fmt: skip
        return f"mat-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"

    def answer_work(self, who: AnswerSource, item_id: str) -> str:
        """Return the ID of the call for an answer."""
        return derive("tan", f"{self.test.hash}/{who.key}", item_id)

    def verdict_work(self, item_id: str, *, swapped: bool) -> str:
        """Return the ID of the call for a verdict."""
        return verdict_work(self.id, item_id, swapped=swapped)


def verdict_work(match: str, item_id: str, *, swapped: bool) -> str:
    """Return the ID of the call for a verdict of a match; `swapped` if the other answer is shown first."""
    return derive("vrd", match, f"{item_id}/{int(swapped)}")


def match_setup(ws: Workspace, settings: PairwiseJudgeSettings) -> MatchSetup:
    """Resolve the settings of a match.

    Raises:
        GlanError: If the test, a model or a discipline does not exist, or reference answers are missing.
    """
    test = read_test(ws, settings.test)
    tree = tree_editing.tree(ws)
    wanted = None
    if settings.disciplines is not None:
        wanted = {below for id in settings.disciplines for below in hierarchy.disciplines_under(tree, id)}
    items: list[GlanTestItem] = []
    counts: Counter[str] = Counter()
    for item in read_items(ws, settings.test):
        part = item.discipline or item.skill
        if (wanted is None or item.discipline in wanted) and (settings.questions is None or counts[part] < settings.questions):
            counts[part] += 1
            items.append(item)
    if not items:
        raise GlanError(f"Test {test.name} has no questions for these disciplines.")
    if REFERENCE in (settings.ours, settings.other) and not any(item.reference for item in items):
        raise GlanError(f"Test {test.name} has no reference answers. Choose another model to compare with.")
    decoding = _answer_decoding(ws, settings, items)
    ours, other = (answer_source(ws, spec, decoding) for spec in (settings.ours, settings.other))
    return MatchSetup(settings, test, tuple(items), ours, other, decoding)


def _answer_decoding(ws: Workspace, settings: PairwiseJudgeSettings, items: Sequence[GlanTestItem]) -> DecodingParams:
    """Return the decoding parameters of both models; beside reference answers, those the references were generated with.

    The calls of the references are in the workspace that they come from; a test from elsewhere counts as generated with the
    defaults of the stage.
    """
    default = STAGE_SPECS[OURS].decoding
    if REFERENCE in (settings.ours, settings.other):
        calls = (call for item in items[:SAMPLED] for call in call_rows.calls_of(ws.db, answer_id(item.id)))
        used = Counter((call.temperature, call.top_p, call.max_tokens) for call in calls if call.outcome == "stored")
        default = STAGE_SPECS["answer"].decoding
        for temperature, top_p, max_tokens in (values for values, _ in used.most_common(1)):
            default = DecodingParams(
                default.temperature if temperature is None else temperature,
                top_p or default.top_p,
                max_tokens or default.max_tokens,
            )
    return replace(
        default,
        temperature=default.temperature if settings.temperature is None else settings.temperature,
        max_tokens=settings.answer_tokens or default.max_tokens,
    )
