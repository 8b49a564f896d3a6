"""Decontamination by value: which match is tagged, what is stored with it, reports by split, and pages."""

import json
from collections import Counter

import pytest
from support.curriculum import add_pairs
from support.diversity_rows import Steps

from glan_core.dataset import decontamination_job
from glan_core.dataset.benchmark_files import BenchmarkItem
from glan_core.dataset.decontamination_job import SplitReport, contaminated_page, find_matches, split_reports, tag_contaminated
from glan_core.dataset.ngram_index import NgramIndex
from glan_core.dataset.settings import DecontaminationSettings
from glan_core.errors import GlanError
from glan_core.workspace import tag_rows
from glan_core.workspace.homework_rows import Text


def distinct(start: str, number: int) -> str:
    """Return distinct words of five letters; without digits, which are masked."""
    return " ".join(start + "".join(chr(97 + int(digit)) for digit in f"{n:04}") for n in range(number))


A, B, C, LONG = distinct("a", 12), distinct("b", 12), distinct("c", 12), distinct("l", 30)


def pair(question: str, answer: str | None = "None.", seq: int = 1) -> Text:
    return Text(seq, f"q{seq}", "d", "s", question, answer, "t", "t", len(answer or ""), "basic", "single", None, None)


def index_of(*items: tuple[str, str]) -> NgramIndex:
    """Return an index of (benchmark, text) items."""
    return NgramIndex([BenchmarkItem(name, "test", f"i{n}", text) for n, (name, text) in enumerate(items)])


def tagged(index: NgramIndex, *pairs: Text) -> list[tuple]:
    """Return (seq, benchmark, item, where, matching items) of the tags."""
    return [(tag.seq, tag.name, tag.other, tag.detail["where"], items) for tag, items in find_matches(index, pairs)]


# ------------------------------------------------------------------------------------------------------------ which match


def test_a_match_in_the_question_takes_precedence_over_one_in_the_answer():
    index = index_of(("one", A), ("one", LONG))
    assert tagged(index, pair(A, LONG)) == [(1, "one", "i0", "question", {0, 1})]
    assert tagged(index, pair("Why?", f"{A}. {LONG}")) == [(1, "one", "i1", "answer", {0, 1})]


def test_a_whole_question_takes_precedence_over_a_longer_part():
    index = index_of(("one", LONG), ("one", A))
    part = " ".join(LONG.split()[:20])
    assert tagged(index, pair(f"{part}. {A}")) == [(1, "one", "i1", "question", {0, 1})]
    assert tagged(index, pair(f"{LONG}. {A}")) == [(1, "one", "i0", "question", {0, 1})], "both are whole: the longer one"


def test_of_equal_matches_the_first_item_is_tagged():
    index = index_of(("one", B), ("one", A))
    assert tagged(index, pair(f"{A}. {B}")) == [(1, "one", "i0", "question", {0, 1})]
    twins = index_of(("one", A), ("one", A), ("two", A))
    assert tagged(twins, pair(A)) == [(1, "one", "i0", "question", {0, 1}), (1, "two", "i2", "question", {2})]


def test_answers_are_searched_for_long_questions_only_and_may_be_missing():
    index = index_of(("one", "Who wrote Hamlet?"), ("one", A))
    assert tagged(index, pair("Why?", "Who wrote Hamlet?"), pair("Who wrote Hamlet?", None, 2)) == [
        (2, "one", "i0", "question", {0})
    ]


# --------------------------------------------------------------------------------------------------------------- evidence


def evidence(item: str, question: str) -> tuple:
    ((tag, _),) = find_matches(index_of(("one", item)), [pair(question)])
    return tag, tag.detail


def test_a_tag_stores_the_matched_text_and_the_question():
    tag, detail = evidence(f"{A}. {B}", f"Dear student: {A.upper()}. Well?")
    assert (tag.kind, tag.name, tag.other, tag.score, tag.seq) == ("contaminated", "one", "i0", 0.5, 1)
    assert detail == {
        "split": "test", "where": "question", "run": 12, "digits": False, "span": [14, 14 + len(A)], "matched": A.upper(),
        "text": f"{A}. {B}", "text_span": [0, len(A)],
    }  # fmt: skip
    tag, _ = evidence(" ".join([*LONG.split(), *A.split()[:11]]), " ".join(LONG.split()[:27]))
    assert tag.score == round(27 / 41, 4) == 0.6585


def test_a_long_question_is_stored_around_its_match():
    assert (decontamination_job.SHOWN, decontamination_job.BEFORE) == (2000, 200)
    filler = distinct("f", 500)  # 2,999 characters
    _, detail = evidence(f"{filler} {LONG}", LONG)
    start, end = detail["text_span"]
    assert (
        (start, end) == (200, 200 + len(LONG)) and detail["text"][start:end] == LONG and len(detail["text"]) == 200 + len(LONG)
    )
    short = filler[:1500].rsplit(" ", 1)[0]
    _, detail = evidence(f"{short} {LONG}", LONG)
    assert detail["text"] == f"{short} {LONG}" and detail["text_span"][0] == len(short) + 1


@pytest.mark.parametrize(("length", "cut"), [(2000, 0), (2001, 1)])
def test_a_question_of_2000_characters_is_stored_whole(length, cut):
    item = f"{'x' * (length - len(LONG) - 1)} {LONG}"
    _, detail = evidence(item, LONG)
    assert len(item) == length and (len(detail["text"]) < length) == bool(cut)
    assert detail["text"][slice(*detail["text_span"])] == LONG


def test_a_match_longer_than_2000_characters_is_cut():
    item = distinct("w", 500)  # 2,999 characters
    _, detail = evidence(item, item)
    assert (
        detail["matched"] == item[:2000] == detail["text"] and detail["text_span"] == [0, 2000] and detail["span"] == [0, 2999]
    )


def test_a_run_that_does_not_lie_in_the_text_is_shown_as_the_whole_text():
    assert decontamination_job._span("one two", 0, 2) == (0, 7) and decontamination_job._span("one two three", 1, 1) == (4, 7)
    assert decontamination_job._span("one two", 1, 2) == (0, 7) and decontamination_job._span("one two.", 2, 1) == (0, 8)


# ---------------------------------------------------------------------------------------------------------------- the job


@pytest.fixture
def check(ws, tmp_path):
    """Factory of a check against benchmarks given as {file name: questions}; returns the message and the progress."""

    def run(run_id=None, digits=False, **files):
        sources = []
        for name, texts in files.items():
            path = tmp_path / f"{name}.jsonl"
            if texts is not None:
                path.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
            sources.append({"source": str(path)})
        progress = Steps()
        progress.run_id = run_id
        return tag_contaminated(ws, DecontaminationSettings(benchmarks=sources, digits=digits), progress), progress.seen

    return run


def test_a_check_reports_pairs_questions_and_matches(ws, check):
    add_pairs(ws, "music", (A, "Yes."), (f"Really: {A}", "No."), ("Why?", B), ("Open?", None), (C, None))
    said, seen = check(sums_test=[A, B, C], cells_train=[LONG])
    assert said == "3 pairs checked against 4 questions of sums_test, cells_train: 3 matches."
    assert seen[:4] == [("benchmark questions", n, n) for n in (1, 2, 3, 4)] and seen[-1] == ("rows read", 5, 5)
    reports = split_reports(ws)
    at = reports[0].at
    assert reports == [
        SplitReport("sums_test", "test", 3, 2, 3, at, 5, False), SplitReport("cells_train", "train", 1, 0, 0, at, 5, False),
    ]  # fmt: skip
    fact = ws.metadata(decontamination_job.FACT)
    assert (fact["rows"], fact["up_to"], fact["failed"], fact["run_id"], len(fact["sources"])) == (3, 5, {}, None, 2)


def test_one_match_is_singular(ws, check):
    add_pairs(ws, "music", (A, "Yes."))
    assert check(sums=[A])[0] == "1 pair checked against 1 question of sums: 1 match."


def test_reports_of_other_benchmarks_are_kept_and_the_oldest_check_counts(ws, check):
    add_pairs(ws, "music", (A, "Yes."))
    check(one=[A])
    add_pairs(ws, "music", (B, "Yes."))
    check(two=[B], digits=True)
    assert [(r.benchmark, r.up_to, r.rows, r.digits) for r in split_reports(ws)] == [("one", 1, 1, False), ("two", 2, 1, True)]
    assert ws.metadata(decontamination_job.FACT)["up_to"] == 1
    check(one=[B])
    assert [(r.benchmark, r.up_to, r.items_hit) for r in split_reports(ws)] == [("two", 2, 1), ("one", 2, 1)]
    assert ws.metadata(decontamination_job.FACT)["up_to"] == 2 and len(decontamination_job.checked_sources(ws)) == 2
    decontamination_job.remove_benchmark(ws, "two")
    assert [r.benchmark for r in split_reports(ws)] == ["one"]
    assert [source.source.rsplit("/")[-1] for source in decontamination_job.checked_sources(ws)] == ["one.jsonl"]


def test_tags_of_an_earlier_run_are_cleared(ws, check):
    from glan_core.workspace import run_rows

    add_pairs(ws, "music", (A, "Yes."), (B, "No."))
    for texts, expected in (([A, B], 2), ([A], 1), ([C], 0)):
        with ws.write() as db:
            id = run_rows.add_run(db, "decontaminate", "Check", {})
        check(run_id=id, sums=texts)
        assert sum(number for number, _ in tag_rows.tag_counts(ws.db).values()) == expected


def test_removing_a_benchmark_removes_its_tags(ws, check):
    from glan_core.workspace import run_rows

    add_pairs(ws, "music", (A, "Yes."), (B, "No."))
    with ws.write() as db:
        id = run_rows.add_run(db, "decontaminate", "Check", {})
    check(run_id=id, one=[A], two=[A, B])
    decontamination_job.remove_benchmark(ws, "two")
    assert tag_rows.tag_counts(ws.db) == {("contaminated", "one"): (1, 0)}


def test_benchmarks_without_questions_or_file_are_named(ws, check, tmp_path):
    add_pairs(ws, "music", (A, "Yes."))
    said, _ = check(sums=[A], gone=None)
    assert said.startswith("1 pair checked against 1 question of sums: 1 match. ") and "gone.jsonl" in said
    with pytest.raises(GlanError, match="gone"):
        check(gone=None)
    with pytest.raises(GlanError):
        check(gone=None, empty=[])


def test_tags_are_stored_in_batches(ws, check, monkeypatch):
    stored = []
    put = tag_rows.put_tags
    monkeypatch.setattr(tag_rows, "put_tags", lambda db, tags, run_id: stored.append(len(tags)) or put(db, tags, run_id))
    assert decontamination_job._store(ws, [1, 2], 1, 3) == [1, 2] and decontamination_job._store(ws, [], 1) == [] and not stored
    monkeypatch.setattr(decontamination_job, "BATCH", 2)
    add_pairs(ws, "music", (A, "Yes."), (B, "No."), (C, "No."))
    check(sums=[A, B, C])
    assert stored == [3]
    monkeypatch.setattr(decontamination_job, "BATCH", 4)
    check(sums=[A, B, C])
    assert stored == [3, 3] and decontamination_job.BATCH == 4


def test_reports_count_by_benchmark_and_split():
    items = [BenchmarkItem("a", "test", "1", "x"), BenchmarkItem("a", "train", "2", "y"), BenchmarkItem("a", "test", "3", "z")]
    found = decontamination_job._reports(items, {0, 2}, Counter({("a", "test"): 7}), up_to=9, digits=True)
    assert [(r.benchmark, r.split, r.items, r.items_hit, r.rows, r.up_to, r.digits) for r in found] == [
        ("a", "test", 2, 2, 7, 9, True), ("a", "train", 1, 0, 0, 9, True),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------ pages


def test_pages_are_newest_first(ws, check):
    add_pairs(ws, "music", *((f"{A} number {word}", "Yes.") for word in ("one", "two", "three")), ("Why?", f"So: {A}"))
    check(sums=[A])
    found = contaminated_page(ws, "sums", limit=3)
    assert [flag.tag.seq for flag in found] == [4, 3, 2] and [flag.where for flag in found] == [
        "answer",
        "question",
        "question",
    ]
    assert [flag.tag.seq for flag in contaminated_page(ws, "sums", before=2)] == [1] and contaminated_page(ws, "other") == []
    answer, question = found[0], found[1]
    assert (answer.text, answer.span, question.span) == (f"So: {A}", (4, 4 + len(A)), (0, len(A)))
    assert (question.run, question.share, question.digits, question.item, question.item_text, question.item_span) == (
        12, 1.0, False, "1", A, (0, len(A)),
    )  # fmt: skip
    assert (question.benchmark, question.split) == ("sums", "")
    with ws.write() as db:
        tag_rows.overrule(db, 3, "contaminated", "sums", "Ada")
    assert [flag.tag.seq for flag in contaminated_page(ws, "sums", overruled=True)] == [3]
    assert [flag.tag.seq for flag in contaminated_page(ws, "sums", overruled=False)] == [4, 2, 1]
    assert len(contaminated_page(ws, "sums")) == 4


def test_a_page_has_20_pairs_unless_asked(ws, check):
    add_pairs(ws, "music", *((f"{A} n{n}", "Yes.") for n in range(21)))
    check(sums=[A])
    assert len(contaminated_page(ws, "sums")) == 20


def test_an_edited_text_has_no_span_but_one_cut_at_2000_characters_has(ws, check):
    long = distinct("w", 500)
    add_pairs(ws, "music", (long, "Yes."), (A, "No."))
    check(sums=[long, A])
    edited, whole = contaminated_page(ws, "sums")
    assert whole.span == (0, 2999) and edited.span == (0, len(A))
    with ws.write() as db:
        db.execute("UPDATE questions SET text = 'x' || text WHERE seq = 2")
    assert contaminated_page(ws, "sums")[0].span is None


def test_a_tag_without_a_score_has_a_share_of_0(ws, check):
    add_pairs(ws, "music", (A, "Yes."))
    check(sums=[A])
    with ws.write() as db:
        db.execute("UPDATE tags SET score = NULL")
    assert contaminated_page(ws, "sums")[0].share == 0.0
