"""Planted cases that invite a wrong conclusion: the first sentence of the results is never more certain than the data."""

import pytest
from support.model_rows import put_model
from support.runs import execute_run
from support.studio_app import Studio, copy_of

from glan_core.dataset import glan_test_store
from glan_core.evaluation.judge.match_setup import CUT
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Answer, Match, Verdict

pytest_plugins = ["support.studio_fixtures"]


@pytest.fixture(scope="module")
def tested_made(demo_made, tmp_path_factory):
    ws = Workspace.open(copy_of(demo_made, tmp_path_factory.mktemp("planted"), "demo"))
    assert execute_run(ws, {"name": "exam", "questions": 6}, "glan-test").state == "finished"
    ws.close()
    return ws.folder


@pytest.fixture
def tested(home, tested_made):
    ws = Workspace.open(copy_of(tested_made, home, "demo"))
    yield ws
    ws.close()


def plant(ws: Workspace, scores: list[tuple[float, float]], *, ours: str = "Yes, so.", other: str = "No, so.", **about) -> None:
    """Store a match of model a against model b with these scores, the same in both orders, and these answers."""
    test, items = glan_test_store.read_test(ws, "exam"), glan_test_store.read_items(ws, "exam")
    same = about.get("same", False)
    with ws.write() as db:
        match = Match("mat-1", "exam", test.hash, "tuned:a", "k1", "tuned:a" if same else "tuned:b", "k1" if same else "k2",
                      "openai:judge", {"tokens": 30, **about}, None, 1.0)  # fmt: skip
        match_rows.put_match(db, match)
        for item, (a, b) in zip(items, scores, strict=False):
            for key, text in ((match.ours_key, ours), (match.other_key, other)):
                match_rows.put_answer(db, Answer(test.hash, item.id, key, text, "x", None, 1.0))
            for swapped in (False, True):
                match_rows.put_verdict(db, Verdict("mat-1", item.id, swapped, a, b, {}, "", 1.0))


def results() -> str:
    """Return what the results say, without the numbers below the first sentence."""
    shown = Studio("evaluate", evaluate_view="Results")
    assert shown.fine
    return shown.said


def first_sentence(said: str) -> str:
    return next(line for line in said.split("\n") if line.startswith("**") and line.endswith(".**")).strip("*")


def number_of_items(ws: Workspace) -> int:
    return glan_test_store.read_test(ws, "exam").number


def test_identical_models_have_no_difference(tested):
    plant(tested, [(6, 6)] * number_of_items(tested), same=True)
    said = results()
    assert first_sentence(said).startswith("No detectable difference between a and a: 0.00 points (95% interval 0.00 to 0.00)")
    assert "A and B are the same model with the same settings, so the expected difference is 0." in said


def test_4_questions_are_too_few_however_clear_they_are(tested):
    plant(tested, [(9, 1)] * 4)
    said = results()
    assert first_sentence(said) == "Too few questions to compare a with b: +8.00 points on 4 questions; at least 10 are needed."
    board = Studio("evaluate").said
    assert "+8.00, too few questions vs b, on 4 questions" in board.replace("**", "") and "scored higher than" not in said


def test_a_difference_within_its_interval_names_no_winner(tested):
    number = number_of_items(tested)
    plant(tested, [(8, 4) if n % 2 else (4, 7) for n in range(number)])
    said = results()
    assert first_sentence(said).startswith("No detectable difference between a and b: +") and "scored higher than" not in said
    assert "no detectable difference" in Studio("evaluate").said


def test_a_model_that_always_gave_the_longer_answer_is_said_to(tested):
    plant(tested, [(8, 4)] * number_of_items(tested), ours="Yes, so. " * 40)
    said = results()
    assert first_sentence(said).startswith("a scored higher than b: +4.00 points")
    assert "a gave the longer answer on 100% of the questions." in said


def test_cut_answers_are_a_warning_that_names_the_setting(tested):
    number = number_of_items(tested)
    plant(tested, [(3, 6)] * number, ours="Half an" + CUT)
    shown = Studio("evaluate", evaluate_view="Results")
    warnings = "\n".join(one.value for one in shown.app.warning).replace("\\", "")
    assert f"{number} answers of a were cut off at 30 tokens: raise max new tokens." in warnings


def test_a_test_that_leaked_is_a_warning_beside_the_result(tested):
    given = {"given_away": {"answer_ours": {"number": 5, "rows": 80, "snapshot": "old"}}}
    plant(tested, [(9, 3)] * number_of_items(tested), **given)
    shown = Studio("evaluate", evaluate_view="Results")
    warnings = "\n".join(one.value for one in shown.app.warning).replace("\\", "")
    assert "a was trained on 5 rows that leak questions of this test (of 80)." in warnings


def test_losses_of_other_tokenizers_are_warned_about_wherever_they_are_compared(tested):
    put_model(tested, "a", base="/models/one", bits_per_byte=2.1, losses={"validation": 0.5}, created_at=1.7e9)
    put_model(tested, "b", base="/models/one", bits_per_byte=2.0, losses={"validation": 0.6}, created_at=1.8e9)
    warned = "tokenizers of these models differ"
    assert not any(warned in Studio(page).said for page in ("models", "evaluate"))
    put_model(tested, "c", base="/models/two", bits_per_byte=0.9, losses={"validation": 1.9})
    for page in ("models", "evaluate"):
        shown = Studio(page)
        assert warned in shown.said and sorted(shown.table("bits")["bits"]) == [0.9, 2.0, 2.1]
