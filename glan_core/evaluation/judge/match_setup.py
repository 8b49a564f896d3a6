"""A match before it begins: the names of an order looked up, the questions that are asked, and the ids of all its calls."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from glan_core.dataset.glan_test_store import GlanTest, GlanTestItem, read_items, read_test
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import AnswerSource, answer_source
from glan_core.evaluation.settings import REFERENCE, PairwiseJudgeSettings
from glan_core.ids import derive
from glan_core.prompts import prompt
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace

OURS, OTHER, VERDICT = "answer_ours", "answer_other", "verdict"
CUT = " […]"  # stands where an answer was cut at its limit, for judges and readers
NOTHING = "(no words at all)"


@dataclass(frozen=True)
class MatchSetup:
    """An order with its names looked up: the test, those of its items that are asked, who answers."""

    settings: PairwiseJudgeSettings
    test: GlanTest
    items: tuple[GlanTestItem, ...]
    ours: AnswerSource
    other: AnswerSource

    @cached_property
    def id(self) -> str:
        """The match: the same for the same test, answers, judge and wording, so that a second run goes on with the first."""
        settings = self.settings
        decoding = settings.decoding_of(VERDICT)
        parts = (self.test.hash, self.ours.key, self.other.key, settings.teacher_of(VERDICT), settings.base_url, prompt("compare").version,
                 decoding.temperature, decoding.top_p)  # fmt: skip
        return f"mat-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"

    def answer_work(self, who: AnswerSource, item_id: str) -> str:
        """The id of the call for an answer."""
        return derive("tan", f"{self.test.hash}/{who.key}", item_id)

    def verdict_work(self, item_id: str, swapped: bool) -> str:
        """The id of the call for a verdict."""
        return verdict_work(self.id, item_id, swapped)


def verdict_work(match: str, item_id: str, swapped: bool) -> str:
    """The id of the call for a verdict of a match."""
    return derive("vrd", match, f"{item_id}/{int(swapped)}")


def match_setup(ws: Workspace, settings: PairwiseJudgeSettings) -> MatchSetup:
    """What an order names; GlanError when there is no such test, model or discipline, or the references are missing."""
    test = read_test(ws, settings.test)
    tree = tree_editing.tree(ws)
    wanted = None
    if settings.disciplines is not None:
        wanted = {below for id in settings.disciplines for below in hierarchy.disciplines_under(tree, id)}
    items, counts = [], Counter()
    for item in read_items(ws, settings.test):
        part = item.discipline or item.skill
        if (wanted is None or item.discipline in wanted) and (settings.questions is None or counts[part] < settings.questions):
            counts[part] += 1
            items.append(item)
    if not items:
        raise GlanError(f"The test {test.name} has no questions of these disciplines.")
    if REFERENCE in (settings.ours, settings.other) and not any(item.reference for item in items):
        raise GlanError(f"The test {test.name} has no reference answers: choose another model to compare with.")
    who = (answer_source(ws, spec, settings.temperature, settings.answer_tokens) for spec in (settings.ours, settings.other))
    return MatchSetup(settings, test, tuple(items), *who)
