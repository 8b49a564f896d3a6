"""Tests for near-duplicates: precision and recall on planted duplicates, tags, and short questions."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from support.runs import Canned, execute_run, number, rows

from glan_core.dataset.duplicate_finder import Duplicate, find_duplicates
from glan_core.dataset.near_duplicate_job import FACT, merge_semantic
from glan_core.diversity import vector_store
from glan_core.diversity.semantic_neighbors import similar_rows
from glan_core.homework import review
from glan_core.workspace import homework_rows, tag_rows


def planted(number: int, seed: int = 0) -> tuple[list[tuple[int, str]], dict[int, int]]:
    """Return questions of 60 words and their duplicates: 2% exact, 10% with 3 words changed."""
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(8000)]
    questions, originals, truth = [], [], {}
    for seq in range(1, number + 1):
        kind = rng.random()
        if seq > 50 and kind < 0.12:
            of, text = rng.choice(originals)
            if kind >= 0.02:
                changed = text.split()
                for at in rng.sample(range(60), 3):
                    changed[at] = rng.choice(vocabulary)
                text = " ".join(changed)
            truth[seq] = of
        else:
            text = " ".join(rng.choices(vocabulary, k=60))
            originals.append((seq, text))
        questions.append((seq, text))
    return questions, truth


def found(*texts: str, threshold: float = 0.7) -> dict[int, tuple[int, str]]:
    """Return the duplicates among questions numbered from 1."""
    return {r.seq: (r.of, r.how) for r in find_duplicates([list(enumerate(texts, start=1))], threshold)}


def test_planted_repeats_are_found_and_nothing_else():
    questions, truth = planted(6000)
    pages = [questions[start : start + 500] for start in range(0, len(questions), 500)]
    result = {repeat.seq: repeat.of for repeat in find_duplicates(pages)}
    right = sum(truth.get(seq) == of for seq, of in result.items())
    assert right / len(truth) >= 0.99
    assert right / len(result) >= 0.99


def test_the_similarity_is_the_jaccard_of_three_word_runs():
    one = "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi omicron"
    (repeat,) = find_duplicates([[(1, one), (2, one.replace("omicron", "pi rho"))]])
    runs = [
        {tuple(t.split()[at : at + 3]) for at in range(len(t.split()) - 2)} for t in (one, one.replace("omicron", "pi rho"))
    ]
    assert repeat.how == "near"
    assert repeat.score == pytest.approx(len(runs[0] & runs[1]) / len(runs[0] | runs[1]))


def test_case_spaces_and_punctuation_make_no_other_question():
    assert found("What is “kinetic” energy?", "what is kinetic   energy", "**What is kinetic energy?**") == {
        2: (1, "exact"), 3: (1, "exact"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        ("What is 2 + 2?", "What is 2 - 2?", "What is 2 × 2?", "What is 22?"),
        ("Why?", "Who?", "What now?", "Now what?"),
        ("?", "!", "", "…"),
        ("Is x > 0?", "Is x < 0?"),
        ("光合作用是什么", "呼吸作用是什么?"),
    ],
)
def test_short_questions_that_differ_stay(texts):
    assert found(*texts) == {}


def test_short_questions_that_are_the_same_are_found():
    assert found("Why?", "Define energy.", "why", "DEFINE ENERGY", "?", "?") == {
        3: (1, "exact"), 4: (2, "exact"), 6: (5, "exact"),
    }  # fmt: skip


def test_tags_never_form_a_chain():
    base = [f"w{n}" for n in range(40)]
    drift = [" ".join(f"x{step}" if n < step else word for n, word in enumerate(base)) for step in range(0, 12, 2)]
    questions = [*drift, drift[2].upper(), drift[-1] + "!"]
    result = found(*questions)
    assert result, "the first steps are near enough"
    assert not {of for of, _ in result.values()} & result.keys()
    assert result[7][0] == result.get(3, (3,))[0], "what repeats a repeat names the row that stands"


def test_many_rows_that_look_alike_take_no_square_of_time():
    rng = random.Random(1)
    stem = "A learner of optics holds two beliefs about lenses and asks you which of them is right and which is not"
    texts = [f"{stem} {' '.join(f'v{rng.randrange(10**6)}' for _ in range(12))}" for _ in range(600)]
    assert found(*texts) == {}
    assert len(found(*([stem] * 2000))) == 1999


@pytest.fixture
def taught(ws, settings, teach):
    """Factory of workspaces with the given questions in mathematics."""

    def make(*texts: str):
        asked = list(texts)
        teach(Canned(lambda stage, nth, _: asked[nth] if stage == "question" else None, subjects=1))
        execute_run(ws, settings(questions_per_syllabus=len(texts), max_in_flight=1))
        return ws

    return make


def dropped(ws) -> list[tuple]:
    """Return each excluded question with the one it duplicates."""
    return rows(
        ws, "SELECT q.text, o.text FROM tags t JOIN questions q USING (seq) JOIN questions o ON o.id = t.other ORDER BY 1"
    )


def test_a_run_tags_rows_with_the_one_they_repeat_and_says_how_many(taught):
    ws = taught("Define energy.", "Define work.", "DEFINE energy", "Define power.")
    run = execute_run(ws, {}, kind="dedup")
    assert run.state == "finished", run.message
    assert run.message == "4 questions compared. Duplicates: 1 exact, 0 near (similarity ≥ 0.70)."
    assert dropped(ws) == [("DEFINE energy", "Define energy.")]
    assert number(ws, "SELECT count(*) FROM questions WHERE dropped = 'duplicate'") == 1
    assert ws.metadata(FACT)["up_to"] == homework_rows.last_seq(ws.db)


def test_what_is_out_already_does_not_stand_and_a_later_check_frees_its_repeats(taught):
    ws = taught("Define energy.", "DEFINE energy", "define Energy?")
    execute_run(ws, {}, kind="dedup")
    assert dropped(ws) == [("DEFINE energy", "Define energy."), ("define Energy?", "Define energy.")]
    review.review(ws, number(ws, "SELECT id FROM questions WHERE text = 'Define energy.'"), "reject", "Ada")
    execute_run(ws, {}, kind="dedup")
    assert dropped(ws) == [("define Energy?", "DEFINE energy")]


def test_an_overruled_repeat_stays_in_when_the_check_runs_again(taught):
    ws = taught("Define energy.", "DEFINE energy")
    execute_run(ws, {}, kind="dedup")
    with ws.write() as db:
        tag_rows.overrule(db, number(ws, "SELECT seq FROM tags"), "duplicate", "exact", "Ada")
    execute_run(ws, {}, kind="dedup")
    assert number(ws, "SELECT count(*) FROM questions WHERE dropped IS NOT NULL") == 0


def test_without_vectors_meaning_cannot_be_compared(taught):
    run = execute_run(taught("Define energy."), {"semantic": True}, kind="dedup")
    assert run.state == "failed"
    assert "No questions are embedded" in run.message


def test_rows_similar_in_meaning_name_the_most_similar_that_stands():
    angles = np.radians([0, 60, 2, 61, 120, 4])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert [(row, of) for row, of, _ in similar_rows(vectors, 0.99)] == [(2, 0), (3, 1), (5, 0)]


def test_what_repeats_a_row_that_repeats_another_in_meaning_names_that_one():
    near, meant = Duplicate(9, 5, "near", 0.8), Duplicate(5, 1, "meaning", 0.97)
    assert merge_semantic([near, Duplicate(8, 2, "exact", 1.0)], [meant]) == [
        Duplicate(9, 1, "meaning", 0.97), Duplicate(8, 2, "exact", 1.0), meant,
    ]  # fmt: skip


def test_a_run_can_compare_in_meaning_by_stored_vectors(taught):
    ws = taught("What is energy?", "How is energy defined?", "What is a force?", "what is a FORCE")
    seqs = [seq for (seq,) in rows(ws, "SELECT seq FROM questions ORDER BY seq")]
    toy = SimpleNamespace(name="toy", about="A toy.", dim=2, embed=lambda texts: np.eye(2)[:1])
    stored = vector_store.VectorWriter(vector_store.vector_folder(ws, "toy"), toy)
    stored.append(seqs, np.array([[1, 0], [0.998, 0.06], [0, 1], [0, 1]]))
    run = execute_run(ws, {"semantic": True}, kind="dedup")
    assert "1 exact, 0 near (similarity ≥ 0.70), 1 semantic (similarity ≥ 0.95)" in run.message
    assert dropped(ws) == [("How is energy defined?", "What is energy?"), ("what is a FORCE", "What is a force?")]
    assert (
        "no vectors of other. Available: toy" in execute_run(ws, {"semantic": True, "embedder": "other"}, kind="dedup").message
    )
