"""Tests for decontamination: matches and non-matches, stored evidence, and the job."""

import json
import random
from types import SimpleNamespace

import pytest
from support.runs import Canned, execute_run, number

from glan_core.dataset import decontamination_job
from glan_core.dataset.benchmark_files import BenchmarkItem
from glan_core.dataset.ngram_index import NgramIndex
from glan_core.dataset.text_normalization import placed_words, words
from glan_core.runs import heartbeat, registry
from glan_core.workspace import tag_rows

CLIPS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
CELL = "Which of the following best describes the role of mitochondria in a eukaryotic cell?"
SOLVE = "What is the value of x in the equation 3x + 7 = 22 when y is 4?"
CODE = (
    "from typing import List\n\n\ndef has_close_elements(numbers: List[float], threshold: float) -> bool:\n"
    '    """ Check if in given list of numbers, are any two numbers closer to each other than given threshold. """\n'
)
QUESTIONS = [CLIPS, CELL, SOLVE, CODE, "Who wrote Hamlet?", "What is 2 + 2?", "Let x be 2. Find y."]

HELD = {
    "verbatim": (CLIPS, 0),
    "in a longer question": (f"Read this carefully and show all your steps. {CLIPS} Explain how you know.", 0),
    "in other case and punctuation": (CELL.upper().replace(" BEST ", " -- best! ") + "…", 1),
    "in full-width letters": ("".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in CLIPS), 0),
    "with typographic spaces": (CELL.replace(" ", "\u00a0\n"), 1),
    "half of it": ("Natalia sold clips to 48 of her friends in April, and then she sold half as many badges.", 0),
    "a short one": ("who wrote HAMLET", 4),
    "a short one as a sentence of its own": ("I prepare for a quiz. Who wrote Hamlet? Give a source.", 4),
    "a short one in quotation marks": ("Consider “Who wrote Hamlet?” as a question for a quiz.", 4),
    "a short one in bold": ("**Who wrote Hamlet?**", 4),
    "a short one of two sentences": ("Try this. Let x be 2. Find y.", 6),
    "without its code": (f"Write a function. {CODE.splitlines()[4]}", 3),
}

INNOCENT = [
    "What is the value of x in the equation that describes a falling body?",
    "Which of the following best describes the role of a judge in a court of appeal?",
    "Which of the following best describes the role of enzymes?",
    "What is the value of x in the equation 3x + 5 = 8?",
    "How many clips fit into a box? How many did she sell?",
    "from typing import List\n\ndef mean(numbers: List[float]) -> float: what does this return?",
    "Who wrote Hamlet and Macbeth, and in which order?",
    "Explain who wrote Hamlet by weighing the evidence.",
    "What is 2 - 2?",
    "What is 22?",
    "Let x be 2 and y be 3. Find y in terms of z.",
    "Count: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20.",
]


def index_of(*texts: str, digits: bool = False) -> NgramIndex:
    """Return an index of questions."""
    return NgramIndex([BenchmarkItem("bench", "test", str(nth), text) for nth, text in enumerate(texts)], digits=digits)


def held(index: NgramIndex, text: str) -> set[int]:
    """Return the questions found in a text."""
    return {match.item for match in index.matches([text])[0] + index.short_matches(text)}


@pytest.mark.parametrize("how", HELD)
def test_a_question_is_found(how):
    text, item = HELD[how]
    assert held(index_of(*QUESTIONS), text) == {item}


@pytest.mark.parametrize("text", INNOCENT)
def test_a_stock_phrase_is_no_evidence(text):
    assert held(index_of(*QUESTIONS), text) == set()
    assert held(index_of(*QUESTIONS, "Count the numbers: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16."), text) == set()


def test_other_numbers_count_only_when_asked():
    changed = [CLIPS.replace("48", "1,260"), "What is 3 + 2?", f"Solve. {SOLVE.replace('22', '2.5')} Thanks."]
    assert [held(index_of(*QUESTIONS), text) for text in changed] == [set(), set(), set()]
    asked = index_of(*QUESTIONS, digits=True)
    assert [held(asked, text) for text in changed] == [{0}, {5}, {2}]
    assert [match.digits for text in (changed[0], CLIPS) for match in asked.matches([text])[0]] == [True, False]


def test_what_many_questions_share_is_no_evidence_but_a_whole_question_is():
    tail = "Express your answer as a mixed numeral in hexadecimal notation, wrapped in guillemets, without leading blanks."
    many = [f"Evaluate the {word} of the polygon with the given sides and angles. {tail}" for word in
            ("circumference", "area", "diagonal", "apothem", "centroid", "perimeter")]  # fmt: skip
    index = index_of(*many)
    assert held(index, f"How tall is the tower of Pisa? {tail}") == set()
    assert held(index, f"Please: {many[2]}") == {2}


def test_planted_contamination_of_all_kinds_among_innocent_rows():
    rng = random.Random(3)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(3000)]
    stock = ["Which of the following statements is true about the", "What is the value of the expression when x is equal to"]

    def sentence(least: int, most: int) -> str:
        return " ".join(rng.choices(vocabulary, k=rng.randint(least, most)))

    questions = [f"{rng.choice(stock)} {sentence(8, 40)}?" for _ in range(300)]
    index = index_of(*questions)
    verbatim, embedded = questions[:50], [f"{sentence(10, 30)}. {q} {sentence(5, 20)}." for q in questions[50:100]]
    cased = [q.upper().replace(" ", " , ", 3) for q in questions[100:150]]
    alike = [f"{rng.choice(stock)} {sentence(8, 40)}?" for _ in range(500)]
    for offset, texts in ((0, verbatim), (50, embedded), (100, cased)):
        found = index.matches(texts)
        assert [{match.item for match in matches} for matches in found] == [{offset + n} for n in range(50)]
    assert not any(index.matches(alike))


def test_texts_that_repeat_one_word_take_no_square_of_time():
    index = index_of("Fill the matrix: " + "0 " * 400, "bla " * 300)
    assert held(index, "Here it is: " + "0 " * 2000 + "bla " * 2000) == {1}
    assert held(index, "Fill the matrix: " + "0 " * 400) == {0}


def test_words_stand_where_they_stand_in_the_original():
    text = "“Ｈｅｌｌｏ”, cafe\u0301 ½ don’t 1,204.5 — ﬁne 你好!"
    placed = placed_words(text)
    assert placed.words == words(text) == ["hello", "café", "1", "2", "dont", "1204.5", "fine", "你", "好"]
    assert [text[start:end] for start, end in placed.spans] == [
        "Ｈｅｌｌｏ", "cafe\u0301", "½", "½", "don’t", "1,204.5", "ﬁne", "你", "好",
    ]  # fmt: skip
    start, end = placed.span(1, 4)
    assert text[start:end] == "cafe\u0301 ½ don’t"


@pytest.mark.parametrize("text", [
    "It's 1,204.5 m (x_1) 'quoted' 3.5.2 rock-'n'-roll 10,20 a.b f'(x) 1,2345 Don't.", "def f(x): return x**2  # 1.5e-3",
    "$\\frac{3x-2}{x-2}$, e.g. 12,345,678 people's 5'10 U.S.A.", "",
])  # fmt: skip
def test_the_quick_way_for_plain_texts_gives_the_same_words(text):
    assert words(text) == placed_words(text).words


@pytest.fixture
def taught(ws, settings, teach):
    """Factory of workspaces with the given (question, answer) pairs in mathematics."""

    def make(*pairs: tuple[str, str]):
        asked, answers = [q for q, _ in pairs], dict(pairs)
        teach(Canned(
            lambda stage, nth, messages: asked[nth] if stage == "question"
            else answers[messages[-1]["content"]] if stage == "answer" else None,
            subjects=1,
        ))  # fmt: skip
        execute_run(ws, settings(questions_per_syllabus=len(pairs), max_in_flight=1))
        return ws

    return make


def benchmark(path, *texts: str) -> dict:
    """Write a benchmark file; return its source settings."""
    path.write_text("".join(json.dumps({"question": text, "answer": "?"}) + "\n" for text in texts))
    return {"source": str(path)}


def test_a_run_tags_pairs_with_the_evidence_and_reports_by_split(taught, tmp_path):
    ws = taught(
        (f"Dear student: {CLIPS.upper()}", "72"), ("What is a clip?", f"A known task goes: {CLIPS}"), ("What is a badge?", "A pin."),
    )  # fmt: skip
    sources = [benchmark(tmp_path / "sums_test.jsonl", CLIPS, CELL), benchmark(tmp_path / "sums-train.jsonl", SOLVE)]
    run = execute_run(ws, {"benchmarks": sources}, kind="decontaminate")
    assert run.state == "finished", run.message
    assert run.message == "3 pairs checked against 3 questions of sums_test, sums-train: 2 matches."
    assert number(ws, "SELECT count(*) FROM questions WHERE dropped = 'contaminated'") == 2
    assert [(s.benchmark, s.split, s.items, s.items_hit, s.rows) for s in decontamination_job.split_reports(ws)] == [
        ("sums_test", "test", 2, 1, 2), ("sums-train", "train", 1, 0, 0),
    ]  # fmt: skip

    in_answer, in_question = decontamination_job.contaminated_page(ws, "sums_test")
    assert (in_question.where, in_question.item, in_question.share) == ("question", "1", 1.0)
    assert in_question.text[slice(*in_question.span)] == CLIPS.upper().rstrip("?")
    assert in_question.item_text[slice(*in_question.item_span)] == CLIPS.rstrip("?")
    assert in_answer.where == "answer"
    assert in_answer.text[slice(*in_answer.span)] == CLIPS.rstrip("?")


def test_a_person_can_overrule_a_flag_and_it_stays_so(taught, tmp_path):
    ws = taught((CLIPS, "72"))
    settings = {"benchmarks": [benchmark(tmp_path / "sums.jsonl", CLIPS)]}
    execute_run(ws, settings, kind="decontaminate")
    (flag,) = decontamination_job.contaminated_page(ws, "sums")
    with ws.write() as db:
        tag_rows.overrule(db, flag.tag.seq, "contaminated", "sums", "Ada")
    execute_run(ws, settings, kind="decontaminate")
    assert number(ws, "SELECT count(*) FROM questions WHERE dropped IS NOT NULL") == 0
    assert decontamination_job.contaminated_page(ws, "sums", overruled=False) == []


def test_a_benchmark_that_cannot_be_read_leaves_the_others_to_be_checked(taught, tmp_path):
    ws = taught((CLIPS, "72"))
    sums, gone = benchmark(tmp_path / "sums.jsonl", CLIPS), {"source": str(tmp_path / "gone.jsonl")}
    run = execute_run(ws, {"benchmarks": [gone, sums]}, kind="decontaminate")
    assert run.state == "finished" and "1 match." in run.message and "does not exist" in run.message
    fact = ws.metadata(decontamination_job.FACT)
    assert fact["rows"] == 1 and list(fact["failed"]) == [gone["source"]]
    assert [source.source for source in decontamination_job.checked_sources(ws)] == [gone["source"], sums["source"]]
    run = execute_run(ws, {"benchmarks": [gone]}, kind="decontaminate")
    assert run.state == "failed" and "does not exist" in run.message
    assert len(decontamination_job.contaminated_page(ws, "sums")) == 1, "an earlier result stays"


def test_benchmarks_are_checked_one_by_one_and_can_be_forgotten(taught, tmp_path):
    ws = taught((CLIPS, "72"), (CELL, "It makes ATP."))
    sums, cells = benchmark(tmp_path / "sums.jsonl", CLIPS), benchmark(tmp_path / "cells.jsonl", CELL)
    execute_run(ws, {"benchmarks": [sums]}, kind="decontaminate")
    execute_run(ws, {"benchmarks": [cells]}, kind="decontaminate")
    assert {name for _, name in tag_rows.tag_counts(ws.db)} == {"sums", "cells"}
    assert [split.benchmark for split in decontamination_job.split_reports(ws)] == ["sums", "cells"]
    decontamination_job.remove_benchmark(ws, "sums")
    assert [split.benchmark for split in decontamination_job.split_reports(ws)] == ["cells"]
    assert number(ws, "SELECT count(*) FROM questions WHERE dropped = 'contaminated'") == 1


def test_a_check_that_is_stopped_loses_nothing_of_the_last_one(taught, tmp_path):
    ws = taught((CLIPS, "72"))
    settings = {"benchmarks": [benchmark(tmp_path / "sums.jsonl", CLIPS)]}
    execute_run(ws, settings, kind="decontaminate")
    (tmp_path / "sums.jsonl").write_text(json.dumps({"question": CELL}))

    def stop(stage: str, done: int, planned: int) -> None:
        if stage == "rows read":
            raise heartbeat.Stopped("Paused.")

    with pytest.raises(heartbeat.Stopped):
        decontamination_job.tag_contaminated(
            ws, registry.settings_of("decontaminate", settings), SimpleNamespace(run_id=99, step=stop, check=lambda: None)
        )
    assert tag_rows.tag_counts(ws.db) == {("contaminated", "sums"): (1, 0)}
    execute_run(ws, settings, kind="decontaminate")
    assert tag_rows.tag_counts(ws.db) == {}


def test_a_pair_that_is_in_two_benchmarks_is_tagged_for_both(taught, tmp_path):
    ws = taught((CLIPS, "72"))
    both = [benchmark(tmp_path / f"{name}.jsonl", CLIPS) for name in ("one", "two")]
    execute_run(ws, {"benchmarks": both}, kind="decontaminate")
    assert tag_rows.tag_counts(ws.db) == {("contaminated", "one"): (1, 0), ("contaminated", "two"): (1, 0)}


def test_a_long_text_is_kept_around_its_match(taught, tmp_path):
    long = " ".join(f"word{n}" for n in range(2000)) + f". {CLIPS}"
    ws = taught((CLIPS, "72"))
    execute_run(ws, {"benchmarks": [benchmark(tmp_path / "long.jsonl", long)]}, kind="decontaminate")
    (flag,) = decontamination_job.contaminated_page(ws, "long")
    assert len(flag.item_text) <= decontamination_job.SHOWN
    assert flag.item_text[slice(*flag.item_span)] == CLIPS.rstrip("?")


def test_a_flag_of_a_pair_that_was_edited_since_shows_no_wrong_place(taught, tmp_path):
    ws = taught((CLIPS, "72"))
    execute_run(ws, {"benchmarks": [benchmark(tmp_path / "sums.jsonl", CLIPS)]}, kind="decontaminate")
    with ws.write() as db:
        db.execute("UPDATE questions SET text = 'What is a clip?'")
    (flag,) = decontamination_job.contaminated_page(ws, "sums")
    assert flag.span is None
