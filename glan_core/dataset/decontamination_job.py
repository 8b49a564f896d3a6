"""Decontamination job: tags pairs that contain a benchmark question, together with the matched text.

`ngram_index` defines what counts as a match. The question and answer of every pair are searched. A pair gets at most one
tag per benchmark, for the longest match; a match in the question takes precedence over one in the answer. Tagged pairs are kept in the workspace.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from glan_core.dataset.benchmark_files import BenchmarkItem, benchmark_label, read_benchmark
from glan_core.dataset.ngram_index import Match, NgramIndex
from glan_core.dataset.settings import BenchmarkSource, DecontaminationSettings
from glan_core.dataset.tagging import clear_tags
from glan_core.dataset.text_normalization import placed_words
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.ray_cluster.pipeline import map_batches
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.homework_rows import Text
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata

if TYPE_CHECKING:
    from glan_core.runs.heartbeat import Progress

KIND = "contaminated"
FACT = "check:decontaminate"
SHOWN = 2000  # characters of text stored with a tag
BEFORE = 200  # characters of context stored before the match
BATCH = 1000  # tags per transaction


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Decontamination result for one split of a benchmark.

    Attributes:
        benchmark: Label of the benchmark.
        split: Split name, '' if unknown.
        items: Number of questions.
        items_hit: Number of questions that at least one pair contains.
        rows: Number of pairs tagged.
        at: Time the check ended, in seconds since the epoch.
        up_to: `seq` of the last pair checked.
        digits: Whether questions that differ only in numbers counted as matches.
    """

    benchmark: str
    split: str
    items: int
    items_hit: int
    rows: int
    at: float
    up_to: int
    digits: bool


@dataclass(frozen=True, slots=True)
class ContaminatedPair:
    """A tagged pair next to the benchmark question it contains, for review.

    Attributes:
        tag: The stored tag.
        id: ID of the pair's question.
        where: 'question' or 'answer', the part of the pair that matched.
        text: Text of that part.
        span: (start, end) of the match in `text`, in characters; None if the text was edited since.
        benchmark: Label of the benchmark.
        split: Split of the benchmark, '' if unknown.
        item: ID of the benchmark question.
        item_text: Text of the benchmark question.
        item_span: (start, end) of the match in `item_text`, in characters.
        run: Length of the match in words.
        share: Share of the benchmark question's words that match, 0 to 1.
        digits: Whether numbers differ within the match.
    """

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


@dataclass(frozen=True, slots=True)
class _SearchedPage:
    """The result of a page: `seq` of its last row, number of its pairs, and their tags with all matching items."""

    last: int
    pairs: int
    found: list[tuple[Tag, set[int]]]


def tag_contaminated(ws: Workspace, settings: DecontaminationSettings, progress: "Progress") -> str:
    """Tag every pair that contains a question of the given benchmarks.

    Tags for other benchmarks are kept. If a benchmark cannot be loaded, the others are still checked and the result
    sentence says why.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If no benchmark can be loaded.
    """
    items, failed = _load(settings.benchmarks, progress)
    if not items:
        raise GlanError(" ".join(failed.values()))
    last = homework_rows.last_seq(ws.db)
    rows = 0
    tagged: Counter[tuple[str, str]] = Counter()
    waiting: list[Tag] = []
    hit: set[int] = set()
    search = partial(_Search, items, digits=settings.digits)
    pages = homework_rows.texts(ws.db, up_to=last)
    for page in map_batches(pages, search, settings, progress.check, single_threaded=True):
        rows += page.pairs
        for tag, matched in page.found:
            hit.update(matched)
            waiting.append(tag)
            tagged[tag.name, tag.detail["split"]] += 1
        waiting = _store(ws, waiting, progress.run_id, BATCH)
        progress.step("rows read", page.last, last)
    _store(ws, waiting, progress.run_id)
    names = list(dict.fromkeys(item.benchmark for item in items))
    sources = {benchmark_label(source): source.model_dump() for source in settings.benchmarks}
    reports = _reports(items, hit, tagged, up_to=last, digits=settings.digits)
    _finish(ws, names, reports, progress.run_id, rows=rows, sources=sources, failed=failed)
    total = sum(tagged.values())
    summary = (
        f"{plural(rows, 'pair')} checked against {plural(len(items), 'question')} of {', '.join(names)}: "
        f"{plural(total, 'match', 'matches')}."
    )
    return " ".join([summary, *failed.values()])


def _load(sources: Sequence[BenchmarkSource], progress: "Progress") -> tuple[list[BenchmarkItem], dict[str, str]]:
    """Return the questions of all benchmarks that can be loaded, and an error message for each of the others."""
    items: list[BenchmarkItem] = []
    failed: dict[str, str] = {}
    for source in sources:
        own: list[BenchmarkItem] = []
        try:
            for item in read_benchmark(source):
                own.append(item)
                progress.step("benchmark questions", len(items) + len(own), len(items) + len(own))
            if not own:
                raise GlanError(f"{benchmark_label(source)} has no questions.")
        except GlanError as error:
            failed[benchmark_label(source)] = str(error)
        else:
            items += own
    return items, failed


class _Search:
    """Searches pages of rows for the questions of benchmarks."""

    def __init__(self, items: Sequence[BenchmarkItem], *, digits: bool) -> None:
        self._index = NgramIndex(items, digits=digits)

    def __call__(self, page: Sequence[Text]) -> _SearchedPage:
        pairs = [row for row in page if row.answer is not None]
        return _SearchedPage(page[-1].seq, len(pairs), find_matches(self._index, pairs))


def find_matches(index: NgramIndex, pairs: Sequence[Text]) -> list[tuple[Tag, set[int]]]:
    """Return the tags of pairs, each with the indices of all matching items of its benchmark."""
    asked = index.matches([pair.question for pair in pairs])
    answered = index.matches([pair.answer or "" for pair in pairs])
    tags = []
    for pair, in_question, in_answer in zip(pairs, asked, answered, strict=True):
        found: dict[str, list[tuple[str, Match, int]]] = defaultdict(list)
        for where, matches in (("question", in_question + index.short_matches(pair.question)), ("answer", in_answer)):
            for match in matches:
                for twin in index.twins[match.item]:
                    found[index.items[twin].benchmark].append((where, match, twin))
        for hits in found.values():
            where, match, item = max(hits, key=lambda m: (m[0] == "question", m[1].share == 1, m[1].run, -m[2]))
            tags.append((_tag(pair, where, match, index.items[item]), {twin for _, _, twin in hits}))
    return tags


def _tag(pair: Text, where: str, match: Match, item: BenchmarkItem) -> Tag:
    text = pair.question if where == "question" else pair.answer or ""
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
    """Return the (start, end) of a run of words, in characters."""
    placed = placed_words(text)
    return placed.span(first, number) if first + number <= len(placed.spans) else (0, len(text))


def _store(ws: Workspace, tags: list[Tag], run_id: int, least: int = 1) -> list[Tag]:
    """Store the tags if there are at least `least` of them, and return those not yet stored."""
    if len(tags) < least:
        return tags
    with ws.write() as db:
        tag_rows.put_tags(db, tags, run_id)
    return []


def _finish(
    ws: Workspace, names: Sequence[str], reports: Sequence[SplitReport], run_id: int, *, rows: int, sources: dict, failed: dict
) -> None:
    """Clear tags of earlier checks against the same benchmarks and store the report."""
    clear_tags(ws, KIND, names, except_run=run_id)
    with ws.write() as db:
        before = ws.metadata(FACT) or {}
        splits = [each for each in before.get("splits", ()) if each["benchmark"] not in names]
        splits += [asdict(each) for each in reports]
        fact = {
            "splits": splits, "sources": before.get("sources", {}) | sources, "failed": failed, "rows": rows, "at": time.time(),
            "run_id": run_id, "up_to": min(each["up_to"] for each in splits),
        }  # fmt: skip
        set_metadata(db, FACT, fact)


def _reports(items: Sequence[BenchmarkItem], hit: set[int], tagged: Counter, *, up_to: int, digits: bool) -> list[SplitReport]:
    splits = Counter((item.benchmark, item.split) for item in items)
    hits = Counter((items[number].benchmark, items[number].split) for number in hit)
    now = time.time()
    return [SplitReport(*split, number, hits[split], tagged[split], now, up_to, digits) for split, number in splits.items()]


def split_reports(ws: Workspace) -> list[SplitReport]:
    """Return the result of the last check against each benchmark, by split.

    The number of tags overruled by a person is in `tag_rows.tag_counts` under ('contaminated', benchmark).
    """
    return [SplitReport(**each) for each in (ws.metadata(FACT) or {}).get("splits", ())]


def remove_benchmark(ws: Workspace, benchmark: str) -> None:
    """Remove a benchmark from the report and clear its tags; overruled tags stay on record."""
    clear_tags(ws, KIND, [benchmark])
    with ws.write() as db:
        fact = ws.metadata(FACT) or {}
        splits = [each for each in fact.get("splits", ()) if each["benchmark"] != benchmark]
        sources = {name: source for name, source in fact.get("sources", {}).items() if name != benchmark}
        set_metadata(db, FACT, fact | {"splits": splits, "sources": sources})


def checked_sources(ws: Workspace) -> list[BenchmarkSource]:
    """Return the benchmark sources of past checks, including those that could not be loaded."""
    return [BenchmarkSource(**source) for source in (ws.metadata(FACT) or {}).get("sources", {}).values()]


def contaminated_page(
    ws: Workspace, benchmark: str, *, before: int | None = None, overruled: bool | None = None, limit: int = 20
) -> list[ContaminatedPair]:
    """Return one page of the pairs that contain a question of a benchmark, newest first.

    Args:
        ws: Workspace.
        benchmark: Label of the benchmark.
        before: Return only pairs with a smaller `seq`.
        overruled: Return only tags that were overruled, or only the others; None returns both.
        limit: Page size.
    """
    tags = tag_rows.tags_page(ws.db, KIND, benchmark, before=before, overruled=overruled, limit=limit)
    ids = homework_rows.ids_by_seq(ws.db, [tag.seq for tag in tags])
    return [_flag(ws, tag, ids[tag.seq]) for tag in tags if tag.seq in ids]


def _flag(ws: Workspace, tag: Tag, id: str) -> ContaminatedPair:
    pair, detail = homework_rows.pair(ws.db, id), tag.detail
    if pair is None:
        raise GlanError(f"Question {id} does not exist. Reload the page.")
    text = pair.question.text if detail["where"] == "question" else pair.answer or ""
    start, end = detail["span"]
    span = (start, end) if text[start:end][:SHOWN] == detail["matched"] else None
    item_start, item_end = detail["text_span"]
    return ContaminatedPair(
        tag, id, detail["where"], text, span, tag.name, detail["split"], tag.other or "", detail["text"],
        (item_start, item_end), detail["run"], tag.score or 0.0, detail["digits"],
    )  # fmt: skip
