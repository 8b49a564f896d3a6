"""Quality filters: named rules that find fault with a pair, tried out on a sample before they are applied to all rows."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from glan_core.dataset import quality_rules
from glan_core.dataset.settings import QualityFilterSettings
from glan_core.dataset.tagging import clear
from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.workspace import Workspace, call_rows, homework_rows, tag_rows
from glan_core.workspace.homework_rows import Text
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_fact

if TYPE_CHECKING:
    from glan_core.runs.heartbeat import Progress

KIND = "quality"
FACT = "check:filter"
WINDOWS = 10  # places, besides the newest rows, at which a sample is taken
Test = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A quality filter: its name, what it is called, what it takes out (one sentence), and its test, which says of a question
    and an answer what it found, or None."""

    name: str
    label: str
    about: str
    test: Test


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("refusal", "Refusals", "The answer only says that its teacher can't or won't help.", quality_rules.refusal),
        Rule("as-an-ai", "“As an AI”", "The teacher speaks of itself as a machine.", quality_rules.as_an_ai),
        Rule("cut", "Cut answers", "The answer breaks off within a sentence or a code block.", quality_rules.cut),
        Rule("short", "Empty or too short", "Question or answer is missing or has hardly any words.", quality_rules.short),
        Rule(
            "depends", "Does not stand alone",
            "The question needs a lecture, a figure or an earlier exercise that is not in it.", quality_rules.depends,
        ),
        Rule("hand-in", "Hand-in instructions", "The question says how and when to hand work in.", quality_rules.hand_in),
        Rule("language", "Wrong language", "Question or answer is in another language than expected.", quality_rules.language),
        Rule("loop", "Loops", "The answer repeats the same phrases over and over.", quality_rules.loop),
    )
}  # fmt: skip


def tests_of(settings: QualityFilterSettings) -> dict[str, Test]:
    """The tests of an order's rules, with its settings; GlanError for a rule that is not known."""
    if unknown := [name for name in settings.rules if name not in RULES]:
        raise GlanError(f"There is no filter {unknown[0]!r}: the filters are {', '.join(RULES)}.")
    arguments = {
        "short": {"shortest_question": settings.shortest_question, "shortest_answer": settings.shortest_answer},
        "language": {"expected": settings.language},
    }
    return {name: partial(RULES[name].test, **arguments.get(name, {})) for name in dict.fromkeys(settings.rules)}


@dataclass(frozen=True, slots=True)
class Example:
    """A pair that a filter would take out, and what was found in it."""

    seq: int
    id: str
    question: str
    answer: str
    found: str


@dataclass(slots=True)
class Sample:
    """What filters would take out of a sample of `looked_at` of `pairs` pairs: for each rule how many (`found`), and some
    examples; `dropped` of them by any rule. The sample is the newest rows and some from `WINDOWS` places drawn at random."""

    looked_at: int
    pairs: int
    dropped: int = 0
    found: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)


def examples(
    ws: Workspace, settings: QualityFilterSettings, *, rows: int = 2000, number: int = 5, seconds: float = 5.0, seed: int = 0
) -> Sample:
    """Try filters on up to `rows` pairs, ending after so many seconds, and keep up to `number` examples for each rule.

    Pairs that a person rejected are not looked at. Costs a few index walks and the tests, whatever the workspace holds.
    """
    tests, ends = tests_of(settings), time.monotonic() + seconds
    pairs = sum(int(counts.get("pairs", 0)) for counts in call_rows.counters(ws.db).values())
    sample = Sample(0, pairs, found=dict.fromkeys(tests, 0), examples={name: [] for name in tests})
    for row in _sampled(ws, rows, seed):
        if time.monotonic() > ends:
            break
        sample.looked_at += 1
        found = _faults(tests, row)
        sample.dropped += bool(found)
        for name, what in found.items():
            sample.found[name] += 1
            if len(sample.examples[name]) < number:
                sample.examples[name].append(Example(row.seq, row.id, row.question, row.answer, what))
    return sample


def _sampled(ws: Workspace, rows: int, seed: int) -> Iterator[Text]:
    """Pairs from the newest and from random places, each once, at most so many."""
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
    """What each test that found something found."""
    return {name: found for name, test in tests.items() if (found := test(row.question, row.answer))}


def tag_quality(ws: Workspace, settings: QualityFilterSettings, progress: "Progress") -> str:
    """Tag every pair that one of the filters finds fault with; the tags of filters that are not among them are taken off."""
    tests = tests_of(settings)
    last = homework_rows.last_seq(ws.db)
    rows, dropped, tagged = 0, 0, dict.fromkeys(tests, 0)
    for page in homework_rows.texts(ws.db, up_to=last):
        tags: list[Tag] = []
        for row in page:
            if row.answer is None:
                continue
            rows += 1
            found = _faults(tests, row)
            dropped += bool(found)
            tags += [Tag(row.seq, KIND, name, detail={"found": what}) for name, what in found.items()]
            for name in found:
                tagged[name] += 1
        if tags:
            with ws.write() as db:
                tag_rows.put_tags(db, tags, progress.run_id)
        progress.step("rows read", page[-1].seq, last)
    clear(ws, KIND, list(RULES), except_run=progress.run_id)
    fact = {
        "settings": settings.model_dump(mode="json"), "rows": rows, "up_to": last, "tagged": dropped, "by": tagged,
        "at": time.time(), "run_id": progress.run_id,
    }  # fmt: skip
    with ws.write() as db:
        set_fact(db, FACT, fact)
    return _sentence(rows, dropped, tagged)


def _sentence(rows: int, dropped: int, tagged: dict[str, int]) -> str:
    parts = [
        f"{RULES[name].label[0].lower()}{RULES[name].label[1:]} {number(count)}" for name, count in tagged.items() if count
    ]
    return f"{plural(rows, 'pair')} looked at: {number(dropped)} tagged{' (' + ', '.join(parts) + ')' if parts else ''}."


def chosen(ws: Workspace) -> Sequence[str]:
    """The rules that were applied last; none where filters never were."""
    return tuple((ws.fact(FACT) or {}).get("settings", {}).get("rules", ()))
