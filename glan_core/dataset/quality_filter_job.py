"""Quality filter job: named rules that flag faulty pairs, previewed on a sample before they are applied to all rows."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from glan_core.dataset import language_rules, quality_rules, question_rules
from glan_core.dataset.settings import QualityFilterSettings
from glan_core.dataset.tagging import clear_tags
from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.process_pool import map_in_processes
from glan_core.workspace import Workspace, call_rows, homework_rows, tag_rows
from glan_core.workspace.homework_rows import Text
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata

if TYPE_CHECKING:
    from glan_core.runs.heartbeat import Progress

KIND = "quality"
FACT = "check:filter"
WINDOWS = 10  # random positions sampled in addition to the newest rows
Test = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A quality filter rule.

    Attributes:
        name: Identifier of the rule.
        label: Display name.
        about: One sentence about what it flags.
        test: Function of question and answer that describes the fault, or returns None.
        english: Texts that the rule searches for English phrases: 'question', 'answer' or 'both'; '' if it knows any language.
    """

    name: str
    label: str
    about: str
    test: Test
    english: str = ""

    @property
    def description(self) -> str:
        """`about`, and whether the rule knows only English."""
        return f"{self.about} English only." if self.english else self.about

    def can_judge(self, question: str, answer: str) -> bool:
        """Return whether the rule knows the language of the pair."""
        match self.english:
            case "question":
                return not language_rules.is_foreign(question, answer)
            case "answer":
                return not language_rules.is_foreign(answer, question)
            case "both":
                return not (language_rules.is_foreign(question, answer) and language_rules.is_foreign(answer, question))
        return True


RULES: dict[str, FilterRule] = {
    rule.name: rule
    for rule in (
        FilterRule("refusal", "Refusals", "The answer only says that the model cannot or will not help.", quality_rules.refusal, "answer"),
        FilterRule("as-an-ai", "“As an AI”", "The model refers to itself as an AI.", quality_rules.as_an_ai, "both"),
        FilterRule("cut", "Truncated answers", "The answer ends within a sentence or a code block.", quality_rules.cut),
        FilterRule("short", "Empty or too short", "The question or answer is empty or has very few words.", quality_rules.short),
        FilterRule(
            "depends", "Not self-contained",
            "The question refers to a lecture, figure or earlier exercise it does not contain.", question_rules.depends, "question",
        ),
        FilterRule("hand-in", "Submission instructions", "The question says how and when to submit work.", question_rules.hand_in, "question"),
        FilterRule("language", "Wrong language", "The question or answer is not in the expected language.", language_rules.language),
        FilterRule("loop", "Repetition loops", "The answer repeats the same phrases over and over.", quality_rules.loop),
    )
}  # fmt: skip


def rule_tests(settings: QualityFilterSettings) -> dict[str, Test]:
    """Return the tests of the selected rules with their parameters bound.

    Raises:
        GlanError: If a rule does not exist.
    """
    if unknown := [name for name in settings.rules if name not in RULES]:
        raise GlanError(f"Filter {unknown[0]!r} does not exist. Available filters: {', '.join(RULES)}.")
    arguments: dict[str, dict[str, Any]] = {
        "short": {"min_question_words": settings.min_question_words, "min_answer_words": settings.min_answer_words},
        "language": {"expected": settings.language},
    }
    return {name: partial(RULES[name].test, **arguments.get(name, {})) for name in dict.fromkeys(settings.rules)}


@dataclass(frozen=True, slots=True)
class FilterExample:
    """A pair that a filter would flag, with the text it found."""

    seq: int
    id: str
    question: str
    answer: str
    found: str


@dataclass(slots=True)
class FilterPreview:
    """Result of previewing filters on a sample.

    Attributes:
        looked_at: Pairs tested.
        pairs: Pairs in the workspace.
        dropped: Pairs flagged by at least one rule.
        found: Number of flagged pairs by rule.
        examples: Some flagged pairs by rule.
        not_judged: Number of pairs by rule whose language the rule does not know.
        foreign: Pairs that at least one rule could not judge.
    """

    looked_at: int
    pairs: int
    dropped: int = 0
    found: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[FilterExample]] = field(default_factory=dict)
    not_judged: dict[str, int] = field(default_factory=dict)
    foreign: int = 0


def preview_filters(
    ws: Workspace, settings: QualityFilterSettings, *, rows: int = 2000, number: int = 5, seconds: float = 5.0, seed: int = 0
) -> FilterPreview:
    """Preview filters on a sample: the newest pairs and pairs at random positions.

    Pairs rejected by a person are skipped. The cost does not depend on the size of the workspace.

    Args:
        ws: Workspace.
        settings: Rules and their parameters.
        rows: Maximum number of pairs to test.
        number: Maximum number of examples per rule.
        seconds: Time limit in seconds.
        seed: Seed for the random positions.
    """
    tests, ends = rule_tests(settings), time.monotonic() + seconds
    pairs = sum(int(counts.get("pairs", 0)) for counts in call_rows.counters(ws.db).values())
    sample = FilterPreview(0, pairs, found=dict.fromkeys(tests, 0), examples={name: [] for name in tests})
    for row in _sampled(ws, rows, seed):
        if time.monotonic() > ends:
            break
        sample.looked_at += 1
        found = _faults(tests, row)
        sample.dropped += bool(found)
        unknown = _not_judged(tests, found, row)
        sample.foreign += bool(unknown)
        for name in unknown:
            sample.not_judged[name] = sample.not_judged.get(name, 0) + 1
        for name, what in found.items():
            sample.found[name] += 1
            if len(sample.examples[name]) < number:
                sample.examples[name].append(FilterExample(row.seq, row.id, row.question, row.answer or "", what))
    return sample


def _sampled(ws: Workspace, rows: int, seed: int) -> Iterator[Text]:
    """Yield up to `rows` distinct pairs from the newest and from random positions."""
    last = homework_rows.last_seq(ws.db)
    share = max(1, rows // (WINDOWS + 2))
    rng = random.Random(seed)
    windows = [(0, rows)]
    if last > rows:
        windows = [(max(0, last - 2 * share), 2 * share), *((rng.randrange(last), share) for _ in range(WINDOWS))]
    seen: set[int] = set()
    for after, size in windows:
        for row in next(homework_rows.texts(ws.db, after=after, page=size), ()):
            if row.answer is not None and row.review != "reject" and row.seq not in seen:
                seen.add(row.seq)
                yield row


def _faults(tests: dict[str, Test], row: Text) -> dict[str, str]:
    """Return what each rule found, for the rules that flag the pair."""
    return {name: found for name, test in tests.items() if (found := test(row.question, row.answer or ""))}


def _not_judged(tests: dict[str, Test], found: dict[str, str], row: Text) -> list[str]:
    """Return the rules that found nothing and do not know the language of the pair."""
    known: dict[str, bool] = {}
    for name in tests:
        if (texts := RULES[name].english) and texts not in known:
            known[texts] = RULES[name].can_judge(row.question, row.answer or "")
    return [name for name in tests if name not in found and not known.get(RULES[name].english, True)]


@dataclass(slots=True)
class _Findings:
    """What the rules found in a page: `seq` of its last row, number of its pairs, their tags, and the rules that could not judge.

    Attributes:
        last: `seq` of the last row.
        rows: Pairs.
        dropped: Pairs that a rule flags.
        foreign: Pairs whose language a rule does not know.
        tags: A tag per flagged pair and rule.
        not_judged: Pairs that a rule could not judge, by rule.
    """

    last: int
    rows: int = 0
    dropped: int = 0
    foreign: int = 0
    tags: list[Tag] = field(default_factory=list)
    not_judged: Counter[str] = field(default_factory=Counter)


class _Filter:
    """Applies the rules of settings to a page of rows."""

    def __init__(self, settings: QualityFilterSettings) -> None:
        self._tests = rule_tests(settings)

    def __call__(self, page: Sequence[Text]) -> _Findings:
        findings = _Findings(page[-1].seq)
        for row in page:
            if row.answer is None:
                continue
            found = _faults(self._tests, row)
            unknown = _not_judged(self._tests, found, row)
            findings.rows += 1
            findings.dropped += bool(found)
            findings.foreign += bool(unknown)
            findings.tags += [Tag(row.seq, KIND, name, detail={"found": what}) for name, what in found.items()]
            findings.not_judged.update(unknown)
        return findings


def tag_quality(ws: Workspace, settings: QualityFilterSettings, progress: "Progress") -> str:
    """Tag every pair that a selected rule flags, and clear the tags of all other rules.

    Returns:
        One sentence about the result.
    """
    last = homework_rows.last_seq(ws.db)
    tagged = dict.fromkeys(rule_tests(settings), 0)
    whole = _Findings(last)
    for page in map_in_processes(homework_rows.texts(ws.db, up_to=last), partial(_Filter, settings), progress.check):
        whole.rows += page.rows
        whole.dropped += page.dropped
        whole.foreign += page.foreign
        whole.not_judged.update(page.not_judged)
        for tag in page.tags:
            tagged[tag.name] += 1
        if page.tags:
            with ws.write() as db:
                tag_rows.put_tags(db, page.tags, progress.run_id)
        progress.step("rows read", page.last, last)
    clear_tags(ws, KIND, list(RULES), except_run=progress.run_id)
    not_judged = {name: whole.not_judged[name] for name in tagged if whole.not_judged[name]}
    fact = {
        "settings": settings.model_dump(mode="json"), "rows": whole.rows, "up_to": last, "tagged": whole.dropped, "by": tagged,
        "foreign": whole.foreign, "not_judged": not_judged, "at": time.time(), "run_id": progress.run_id,
    }  # fmt: skip
    with ws.write() as db:
        set_metadata(db, FACT, fact)
    sentences = (_sentence(whole.rows, whole.dropped, tagged), not_judged_sentence(whole.foreign, not_judged))
    return " ".join(filter(None, sentences))


def _sentence(rows: int, dropped: int, tagged: dict[str, int]) -> str:
    parts = [
        f"{RULES[name].label[0].lower()}{RULES[name].label[1:]} {number(count)}" for name, count in tagged.items() if count
    ]
    return f"{plural(rows, 'pair')} checked: {number(dropped)} tagged{' (' + ', '.join(parts) + ')' if parts else ''}."


def not_judged_sentence(foreign: int, not_judged: Mapping[str, int]) -> str:
    """Return a sentence about pairs in languages that some rules do not know; '' if there are none."""
    names = [RULES[name].label for name, count in not_judged.items() if count and name in RULES]
    if not foreign or not names:
        return ""
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    know = "knows" if len(names) == 1 else "know"
    return f"{plural(foreign, 'pair')} could not be fully judged: {listed} {know} only English."


def applied_rules(ws: Workspace) -> Sequence[str]:
    """Return the rules applied by the last run; empty if none has run."""
    fact: dict = ws.metadata(FACT) or {}
    return tuple(fact.get("settings", {}).get("rules", ()))
