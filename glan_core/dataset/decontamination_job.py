"""Decontamination: pairs that hold a question of a benchmark, tagged with the match, so that a person can judge each.

`matching` says what counts as a match. Question and answer of every pair are looked through; a pair has at most one tag for each
benchmark, of the longest match, found in the question rather than in the answer. Nothing is deleted.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from glan_core.dataset.benchmark_files import Item, name_of, read_benchmark
from glan_core.dataset.ngram_index import Index, Match
from glan_core.dataset.settings import BenchmarkSource, DecontaminationSettings
from glan_core.dataset.tagging import clear
from glan_core.dataset.text_normalization import placed_words
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.homework_rows import Text
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_fact

if TYPE_CHECKING:
    from glan_core.runs.heartbeat import Progress

KIND = "contaminated"
FACT = "check:decontaminate"
SHOWN = 2000  # characters of a text that are kept with a tag
BEFORE = 200  # of them, before a match that lies further back
BATCH = 1000  # tags of a transaction


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What was found of one split of a benchmark: how many items it has, how many of them some pair holds, and how many pairs
    were tagged for one of them. `split` is '' where it is not known; `at` is when the check ended, `up_to` the `seq` of the
    last pair that it looked at, `digits` whether questions with other numbers counted."""

    benchmark: str
    split: str
    items: int
    items_hit: int
    rows: int
    at: float
    up_to: int
    digits: bool


@dataclass(frozen=True, slots=True)
class Flag:
    """A tagged pair beside the benchmark's question, to be judged: the texts and where the match is in each, as (start, end)
    in characters. `where` is 'question' or 'answer', `text` that text of the pair; its span is None where it was edited since.
    `run` counts the words of the match, `share` is its part of the benchmark's question."""

    tag: Tag
    id: str
    where: str
    text: str
    span: tuple[int, int] | None
    benchmark: str
    split: str
    item: str
    item_text: str
    item_span: tuple[int, int]
    run: int
    share: float
    digits: bool


def tag_contaminated(ws: Workspace, settings: DecontaminationSettings, progress: "Progress") -> str:
    """Tag every pair that holds a question of these benchmarks; the tags of other benchmarks stay as they are.

    Where one can't be loaded the others are checked all the same, and the sentence says what is wrong with it. GlanError where
    none can be.
    """
    items, failed = _load(settings.benchmarks, progress)
    if not items:
        raise GlanError(" ".join(failed.values()))
    index = Index(items, digits=settings.digits)
    last = homework_rows.last_seq(ws.db)
    rows, tagged, waiting = 0, Counter(), []
    hit: set[int] = set()
    for page in homework_rows.texts(ws.db, up_to=last):
        pairs = [row for row in page if row.answer is not None]
        rows += len(pairs)
        for tag, matched in find(index, pairs):
            hit.update(matched)
            waiting.append(tag)
            tagged[tag.name, tag.detail["split"]] += 1
        waiting = _store(ws, waiting, progress.run_id, BATCH)
        progress.step("rows read", page[-1].seq, last)
    _store(ws, waiting, progress.run_id)
    names = list(dict.fromkeys(item.benchmark for item in items))
    sources = {name_of(source): source.model_dump() for source in settings.benchmarks}
    _end(
        ws,
        names,
        _reports(items, hit, tagged, last, settings.digits),
        progress.run_id,
        rows=rows,
        sources=sources,
        failed=failed,
    )
    total = sum(tagged.values())
    said = (
        f"{plural(rows, 'pair')} held against {plural(len(items), 'question')} of {', '.join(names)}: "
        f"{plural(total, 'match', 'matches')}."
    )
    return " ".join([said, *failed.values()])


def _load(sources: Sequence[BenchmarkSource], progress: "Progress") -> tuple[list[Item], dict[str, str]]:
    """The questions of all benchmarks that can be loaded, and what is wrong with each other one, in a sentence."""
    items: list[Item] = []
    failed: dict[str, str] = {}
    for source in sources:
        own: list[Item] = []
        try:
            for item in read_benchmark(source):
                own.append(item)
                progress.step("benchmark questions", len(items) + len(own), len(items) + len(own))
            if not own:
                raise GlanError(f"{name_of(source)} holds no questions.")
        except GlanError as error:
            failed[name_of(source)] = str(error)
        else:
            items += own
    return items, failed


def find(index: Index, pairs: Sequence[Text]) -> list[tuple[Tag, set[int]]]:
    """The tags of some pairs, each with the numbers of all items of its benchmark that the pair holds."""
    asked = index.matches([pair.question for pair in pairs])
    answered = index.matches([pair.answer or "" for pair in pairs])
    tags = []
    for pair, in_question, in_answer in zip(pairs, asked, answered, strict=True):
        found: dict[str, list[tuple[str, Match, int]]] = defaultdict(list)
        for where, matches in (("question", in_question + index.short_matches(pair.question)), ("answer", in_answer)):
            for match in matches:
                for twin in index.twins[match.item]:
                    found[index.items[twin].benchmark].append((where, match, twin))
        for matches in found.values():
            where, match, item = max(matches, key=lambda m: (m[0] == "question", m[1].share == 1, m[1].run, -m[2]))
            tags.append((_tag(pair, where, match, index.items[item]), {twin for _, _, twin in matches}))
    return tags


def _tag(pair: Text, where: str, match: Match, item: Item) -> Tag:
    text = pair.question if where == "question" else pair.answer
    start, end = _span(text, match.at, match.run)
    item_start, item_end = _span(item.text, match.item_at, match.run)
    cut = max(0, item_start - BEFORE) if item_end > SHOWN else 0
    detail = {
        "split": item.split, "where": where, "run": match.run, "digits": match.digits, "span": [start, end],
        "matched": text[start:end][:SHOWN], "text": item.text[cut : cut + SHOWN],
        "text_span": [item_start - cut, min(item_end - cut, SHOWN)],
    }  # fmt: skip
    return Tag(pair.seq, KIND, item.benchmark, item.id, round(match.share, 4), detail)


def _span(text: str, first: int, number: int) -> tuple[int, int]:
    """Where some words of a text begin and end in it."""
    placed = placed_words(text)
    return placed.span(first, number) if first + number <= len(placed.spans) else (0, len(text))


def _store(ws: Workspace, tags: list[Tag], run_id: int, least: int = 1) -> list[Tag]:
    """Store the tags if there are enough of them; those that still wait."""
    if len(tags) < least:
        return tags
    with ws.write() as db:
        tag_rows.put_tags(db, tags, run_id)
    return []


def _end(
    ws: Workspace, names: Sequence[str], reports: Sequence[SplitReport], run_id: int, *, rows: int, sources: dict, failed: dict
) -> None:
    """Take off what earlier checks against the same benchmarks found and this one did not, and keep the report."""
    clear(ws, KIND, names, except_run=run_id)
    with ws.write() as db:
        before = ws.fact(FACT) or {}
        splits = [each for each in before.get("splits", ()) if each["benchmark"] not in names]
        splits += [asdict(each) for each in reports]
        fact = {
            "splits": splits, "sources": before.get("sources", {}) | sources, "failed": failed, "rows": rows, "at": time.time(),
            "run_id": run_id, "up_to": min(each["up_to"] for each in splits),
        }  # fmt: skip
        set_fact(db, FACT, fact)


def _reports(items: Sequence[Item], hit: set[int], tagged: Counter, last: int, digits: bool) -> list[SplitReport]:
    splits = Counter((item.benchmark, item.split) for item in items)
    hits = Counter((items[number].benchmark, items[number].split) for number in hit)
    now = time.time()
    return [SplitReport(*split, number, hits[split], tagged[split], now, last, digits) for split, number in splits.items()]


def report(ws: Workspace) -> list[SplitReport]:
    """What the last check against each benchmark found, split by split; empty where none was made. How many tags a person
    overruled says `tag_rows.tag_counts` under ('contaminated', benchmark)."""
    return [SplitReport(**each) for each in (ws.fact(FACT) or {}).get("splits", ())]


def forget(ws: Workspace, benchmark: str) -> None:
    """Take a benchmark out of the report, and its tags off the pairs; what a person overruled stays on record."""
    clear(ws, KIND, [benchmark])
    with ws.write() as db:
        fact = ws.fact(FACT) or {}
        splits = [each for each in fact.get("splits", ()) if each["benchmark"] != benchmark]
        sources = {name: source for name, source in fact.get("sources", {}).items() if name != benchmark}
        set_fact(db, FACT, fact | {"splits": splits, "sources": sources})


def sources(ws: Workspace) -> list[BenchmarkSource]:
    """The benchmarks that were asked for, as they were named; those that could not be loaded among them."""
    return [BenchmarkSource(**source) for source in (ws.fact(FACT) or {}).get("sources", {}).values()]


def flags_page(
    ws: Workspace, benchmark: str, *, before: int | None = None, overruled: bool | None = None, limit: int = 20
) -> list[Flag]:
    """One page of the pairs that hold a question of a benchmark, newest first, those older than `before` (a `seq`); only those
    that a person overruled, or only the others, where asked."""
    tags = tag_rows.tags_page(ws.db, KIND, benchmark, before=before, overruled=overruled, limit=limit)
    ids = homework_rows.ids_by_seq(ws.db, [tag.seq for tag in tags])
    return [_flag(ws, tag, ids[tag.seq]) for tag in tags if tag.seq in ids]


def flag_of(ws: Workspace, tag: Tag) -> Flag | None:
    """A tag of this kind with the texts that it is about; None where its pair is gone."""
    id = homework_rows.ids_by_seq(ws.db, [tag.seq]).get(tag.seq)
    return _flag(ws, tag, id) if id else None


def _flag(ws: Workspace, tag: Tag, id: str) -> Flag:
    pair, detail = homework_rows.pair(ws.db, id), tag.detail
    text = pair.question.text if detail["where"] == "question" else pair.answer or ""
    start, end = detail["span"]
    span = (start, end) if text[start:end][:SHOWN] == detail["matched"] else None
    return Flag(
        tag, id, detail["where"], text, span, tag.name, detail["split"], tag.other or "", detail["text"],
        tuple(detail["text_span"]), detail["run"], tag.score or 0.0, detail["digits"],
    )  # fmt: skip
