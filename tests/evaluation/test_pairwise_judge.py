"""Tests for the pairwise judge: position bias cancels out, and nothing is dropped silently."""

import json
import math

import numpy as np
import pytest
from support.chat_models import make_base, make_full, make_tuned
from support.runs import Canned, execute_run, resume_run, tag

from glan_core.cli import main
from glan_core.dataset import glan_test_store
from glan_core.dataset.held_out_filter import HeldOutFilter
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import CUT, NOTHING, OTHER, OURS, match_setup
from glan_core.evaluation.judge.pairwise import plan_judging
from glan_core.evaluation.settings import PairwiseJudgeSettings
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.taxonomy import coverage
from glan_core.teachers.contract import Reply, TeacherRefusal
from glan_core.training.training_texts import RowSample
from glan_core.workspace import call_rows, match_rows

FIRST, SECOND = "first_answer", "second_answer"


def scores(first: float, second: float) -> str:
    return json.dumps({"first": {"overall": first}, "second": {"overall": second}, "comment": "so"})


def judge(behave):
    """Fake judge with a function of (question, first answer, second answer)."""
    return Canned(lambda stage, nth, m: behave(nth, *(tag(m[0]["content"], t) for t in ("question_to_compare", FIRST, SECOND))))


def longer_wins(nth, question, first, second):
    return scores(8 if len(first) > len(second) else 4, 8 if len(second) > len(first) else 4)


@pytest.fixture
def tested(ws, settings):
    """Workspace with scripted pairs and a test of 5 questions for each of two disciplines."""
    execute_run(ws, settings("mathematics", "music", questions_per_syllabus=25))
    assert execute_run(ws, {"name": "first", "questions": 5}, "glan-test").state == "finished"
    return ws


def judged(ws, **values):
    """Judge truncated scripted answers against the references; return the run and the match."""
    settings = {"test": "first", "ours": "scripted", "other": "reference", "answer_tokens": 20, **values}
    done = execute_run(ws, settings, "judge-models")
    return done, seen(ws, settings)


def seen(ws, settings):
    match = match_rows.match(ws.db, match_setup(ws, PairwiseJudgeSettings(**settings)).id)
    frame = match_statistics.item_frame(ws, match)
    return match, match_statistics.outcome(frame), match_statistics.missing(ws, match, frame)


def test_a_judge_that_always_prefers_the_first_answer_finds_no_difference_and_never_agrees_with_itself(tested, teach):
    teach(judge(lambda nth, question, first, second: scores(9, 3)))
    done, (_, found, _) = judged(tested)
    assert done.state == "finished" and "disagreed on 100%" in done.message
    assert (found.judged, found.difference, found.low, found.high, found.disagreement) == (10, 0.0, 0.0, 0.0, 1.0)
    assert (found.wins, found.ties, found.losses) == (0, 10, 0)


def test_a_judge_that_prefers_the_longer_gives_the_sign_that_length_predicts(tested, teach):
    teach(judge(longer_wins))
    _, (_, short_ours, _) = judged(tested)
    _, (_, long_ours, _) = judged(tested, ours="reference", other="scripted")
    assert short_ours.difference == -4.0 and short_ours.losses == 10 and short_ours.disagreement == 0
    assert long_ours.difference == 4.0 and long_ours.wins == 10


def test_a_teacher_judged_against_its_own_references_scores_0(tested, teach):
    teach(judge(longer_wins))
    settings = {"test": "first", "ours": "scripted", "other": "reference"}
    setup = match_setup(tested, PairwiseJudgeSettings(**settings))
    assert setup.decoding == STAGE_SPECS["answer"].decoding  # both models answer as the references were generated
    done = execute_run(tested, settings, "judge-models")
    match, found, gaps = seen(tested, settings)
    assert (found.difference, found.ties, found.judged) == (0.0, 10, 10) and not any(gaps.cut.values())
    assert match.about["tokens"] == 4096 and "cut off" not in done.message


def test_the_limit_of_the_references_is_read_from_their_calls(tested, settings):
    with tested.write() as db:
        db.execute("UPDATE calls SET max_tokens = 900, temperature = 0.2 WHERE stage = 'answer'")
    values = {"test": "first", "ours": "scripted"}
    of = lambda **more: match_setup(tested, PairwiseJudgeSettings(**values, **more)).decoding  # noqa: E731
    assert (of().max_tokens, of().temperature) == (900, 0.2)
    assert (of(answer_tokens=70).max_tokens, of(temperature=0).temperature) == (70, 0)
    assert (of(other="openai:scripted").max_tokens, of(other="openai:scripted").temperature) == (512, 0)


def test_cut_answers_are_reported_with_their_limit_and_advice(tested, teach, capsys):
    teach(judge(longer_wins))
    words = ["evaluate", "judge", str(tested.folder), "--test", "first", "--ours", "scripted", "--answer-tokens", "20"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "10 answers of Scripted teacher cut off at 20 tokens" in said and "raise max new tokens (--answer-tokens)" in said
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["answers"]["cut"]["answer_ours"] == 10 and data["max_tokens"] == 20


def test_a_model_judged_against_itself_gives_0_within_its_interval_and_answers_once(tested, teach):
    teach(judge(lambda nth, question, first, second: scores(3 + len(question) % 5, 3 + len(question) % 7)))
    done, (match, found, _) = judged(tested, ours="scripted", other="scripted")
    assert found.low <= 0 <= found.high and found.difference == 0 and found.disagreement > 0.5 and match.about["same"]
    calls = dict(tested.db.execute("SELECT stage, count(*) FROM calls WHERE run_id = ? GROUP BY stage", (done.id,)))
    assert calls == {"answer_ours": 10, "verdict": 20}


def test_broken_verdicts_and_refusals_are_counted_and_the_rest_is_judged(tested, teach):
    broken = {
        item.question: how
        for item, how in zip(glan_test_store.read_items(tested, "first"), ("junk", "refused", "half"), strict=False)
    }

    def behave(nth, question, first, second):
        match broken.get(question):
            case "junk":
                return "I think the first one is nicer."
            case "refused":
                return TeacherRefusal("filtered")
            case "half" if len(first) < len(second):
                return scores(8, 99)  # not a score from 1 to 10
            case _:
                return longer_wins(nth, question, first, second)

    teacher = teach(judge(lambda *args: behave(*args)))
    teacher.behave = lambda stage, nth, m: behave(
        nth, *(tag(m[0]["content"], t) for t in ("question_to_compare", FIRST, SECOND))
    )
    done, (_, found, gaps) = judged(tested)
    assert done.state == "finished" and (found.questions, found.judged) == (10, 7) and found.difference == -4.0
    assert gaps.verdicts == {"malformed": 3, "refused": 2}
    assert "3 verdicts could not be read" in done.message.lower() or "failed" in done.message
    broken.clear()  # the next run repeats only these calls
    before = len(teacher.asked)
    _, (_, found, gaps) = judged(tested)
    assert found.judged == 10 and not gaps.verdicts and len(teacher.asked) - before == 5


def test_cut_and_empty_answers_are_judged_and_counted_as_what_they_are(tested, teach, monkeypatch):
    teacher = teach(judge(longer_wins))
    said = iter([Reply("", "stop"), Reply("I'm sorry, but I can't help with that.", "stop"), Reply("half of it", "length")])
    mute = Canned(lambda stage, nth, m: next(said, "A whole answer."), name="mute")
    monkeypatch.setattr("glan_core.evaluation.judge.pairwise.open_teacher", lambda spec, base_url=None, **key: mute)
    _, (match, found, gaps) = judged(tested)
    assert found.judged == 10 and (gaps.refusals[OURS], gaps.empty[OURS], gaps.cut[OURS]) == (1, 1, 1)
    texts = match_rows.answers(tested.db, match.test, match.ours_key).values()
    assert "" in texts and f"half of it{CUT}" in texts
    assert any(NOTHING in m[0]["content"] for _, m in teacher.asked)
    assert gaps.answers == {OURS: {}, OTHER: {}}


def test_answers_that_never_come_are_counted_and_their_questions_not_judged(tested, teach, monkeypatch):
    teach(judge(longer_wins))
    shy = Canned(lambda stage, nth, m: TeacherRefusal("too long") if nth in (1, 2) else None, name="shy")
    monkeypatch.setattr("glan_core.evaluation.judge.pairwise.open_teacher", lambda spec, base_url=None, **key: shy)
    done, (_, found, gaps) = judged(tested)
    assert done.state == "finished" and (found.questions, found.judged) == (10, 8) and gaps.answers[OURS] == {"refused": 2}
    assert "2 answers of A were refused" in match_statistics.describe_missing(gaps)


def test_a_run_that_was_cut_short_goes_on_and_asks_nothing_twice(tested, teach):
    teacher = teach(judge(longer_wins))
    settings = {"test": "first", "ours": "scripted", "other": "reference", "answer_tokens": 20}
    planned = plan_judging(tested, PairwiseJudgeSettings(**settings))
    assert {s.stage: s.calls[0] for s in planned.stages} == {"answer_ours": 10, "answer_other": 0, "verdict": 20}
    done = execute_run(tested, settings | {"max_calls": 17}, "judge-models")
    assert done.state == "paused"
    rest = plan_judging(tested, PairwiseJudgeSettings(**settings))
    assert rest.calls[0] == 13
    assert resume_run(tested, done.id, settings).state == "finished"
    assert len(teacher.asked) == 20 and seen(tested, settings)[1].judged == 10
    assert plan_judging(tested, PairwiseJudgeSettings(**settings)).calls == (0, 0)


def test_a_larger_part_of_the_test_asks_for_the_difference_alone(tested, teach):
    teacher = teach(judge(longer_wins))
    judged(tested, questions=2)
    asked = len(teacher.asked)
    _, (_, found, _) = judged(tested, questions=4)
    assert asked == 8 and len(teacher.asked) == 16 and found.judged == 8


def test_tested_questions_are_counted_by_discipline(tested, teach):
    teach(judge(longer_wins))
    judged(tested, disciplines=["music"])
    judged(tested, disciplines=["music"])
    standings = coverage.coverage_by_node(tested)
    assert (standings["music"].counts["tested"], standings["mathematics"].counts["tested"]) == (5, 0)
    assert standings[""].counts["tested"] == 5


def test_results_break_down_by_discipline_and_strategy(tested, teach):
    musical = {item.question for item in glan_test_store.read_items(tested, "first") if item.discipline == "music"}
    teach(
        judge(
            lambda nth, question, first, second: (
                longer_wins(nth, question, first, second) if question in musical else scores(5, 5)
            )
        )
    )
    _, (match, found, _) = judged(tested)
    frame = match_statistics.item_frame(tested, match)
    by = match_statistics.outcomes_by(frame, "discipline").set_index("discipline")
    assert by["difference"].to_dict() == {"mathematics": 0.0, "music": -4.0} and found.difference == -2.0
    assert by["judged"].to_dict() == {"mathematics": 5, "music": 5} and by["low"].isna().all()
    assert match_statistics.outcomes_by(frame, "strategy")["questions"].sum() == 10


def test_the_interval_is_the_bootstrap_of_the_mean():
    values = np.random.default_rng(1).normal(0.5, 2, 400)
    low, high = match_statistics.bootstrap_interval(values)
    error = values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.05) and high == pytest.approx(
        values.mean() + 1.96 * error, abs=0.05
    )
    assert match_statistics.bootstrap_interval(values) == (low, high)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"test": "nope"}, "does not exist"), ({"ours": "tuned:nope"}, "does not exist"), ({"disciplines": ["cave-mapping"]}, "no questions"),
        ({"disciplines": ["nope"]}, "nope"), ({"ours": "gpt"}, "is not a model specification"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_said_before_anything_is_asked(tested, values, said):
    settings = PairwiseJudgeSettings(**{"test": "first", "ours": "scripted", **values})
    with pytest.raises(GlanError, match=said):
        plan_judging(tested, settings)


def test_references_are_needed_where_they_are_one_side(tested, tmp_path):
    import io

    glan_test_store.import_test(tested, io.BytesIO(b'{"instruction": "Sing."}\n'), "bare", 1.0, "bare.jsonl")
    with pytest.raises(GlanError, match="no reference answers"):
        plan_judging(tested, PairwiseJudgeSettings(test="bare", ours="scripted"))


def test_a_model_that_was_trained_on_the_test_is_told(tested, teach, tmp_path):
    teach(judge(longer_wins))
    execute_run(tested, {"name": "leaky", "include": ["held_out"], "split": "none"}, "snapshot")
    execute_run(tested, {"name": "clean", "split": "none"}, "snapshot")
    for name, snapshot in (("leaky", "leaky"), ("clean", "clean")):
        make_full(tested, name, snapshot)
    _, (leaky, _, _) = judged(tested, ours="tuned:leaky", questions=1)
    _, (clean, _, _) = judged(tested, ours="tuned:clean", questions=1)
    assert leaky.about["given_away"][OURS]["number"] >= 2 and clean.about["given_away"][OURS]["number"] == 0
    assert leaky.about["weights"][OURS]["weights"].startswith("sha256:")
    rows = read_snapshot(tested, "leaky").manifest.rows["train"]
    assert (leaky.about["given_away"][OURS]["rows"], leaky.about["given_away"][OURS]["of"]) == (rows, rows)


def test_only_rows_that_a_model_was_trained_on_count_as_leaks(tested, teach):
    """The number is that of a scan of the drawn rows: none of a sample of one clean row, one of a sample of one leaking row."""
    teach(judge(longer_wins))
    execute_run(tested, {"name": "leaky", "include": ["held_out"], "split": "none"}, "snapshot")
    snapshot = read_snapshot(tested, "leaky")
    guard = HeldOutFilter((item, 0.5) for item in glan_test_store.read_items(tested, "first"))
    leaks: dict[bool, int] = {}
    for seed in range(60):
        [row] = RowSample(snapshot, "train", 1, seed).rows()
        leaks.setdefault(bool(guard.hits(row["prompt"], row["concepts"])), seed)
    assert set(leaks) == {True, False}
    for leaking, seed in leaks.items():
        make_full(tested, f"one-{seed}", "leaky", settings={"rows": 1, "seed": seed})
        _, (match, _, _) = judged(tested, ours=f"tuned:one-{seed}")
        given = match.about["given_away"][OURS]
        assert (given["number"], given["rows"], given["of"]) == (int(leaking), 1, snapshot.manifest.rows["train"])


def test_weights_of_this_machine_answer_with_their_own_adapter_and_base(tested, teach, tmp_path):
    teach(judge(longer_wins))
    base = make_base(tmp_path / "base")
    make_tuned(tested, base, "tuned")
    settings = {"test": "first", "ours": "tuned:tuned", "other": "base:tuned", "answer_tokens": 8, "questions": 2}
    done = execute_run(tested, settings, "judge-models")
    assert done.state == "finished", done.message
    match, found, _ = seen(tested, settings)
    ours, other = (match_rows.answers(tested.db, match.test, key) for key in (match.ours_key, match.other_key))
    assert found.judged == 4 and len(ours) == len(other) == 4 and all(ours[id] != other[id] for id in ours)
    assert match.about["weights"][OURS]["adapter"].startswith("sha256:") and not match.about["weights"][OTHER]["adapter"]
    direct = _greedy(base, [item.question for item in glan_test_store.read_items(tested, "first") if item.id in other], 8)
    assert {text.removesuffix(CUT) for text in other.values()} == {text.strip() for text in direct}


def _greedy(folder, questions, tokens):
    """Return the greedy answers of transformers itself."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for question in questions:
        chat = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        written = model.generate(ids, max_new_tokens=tokens, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        yield tokenizer.decode(written, skip_special_tokens=True)


def test_the_scripted_judge_prefers_what_its_textbook_says_in_either_order(tested):
    _, (_, found, _) = judged(tested)
    assert found.difference < 0 and found.disagreement == 0 and found.judged == 10


def test_the_command_line_plans_judges_and_shows(tested, capsys):
    folder = str(tested.folder)
    tested.close()
    words = ["evaluate", "judge", folder, "--test", "first", "--ours", "scripted", "--answer-tokens", "20"]
    assert main([*words, "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == [30, 30]
    assert main([*words, "--by", "discipline", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"]["judged"] == 10 and {row["discipline"] for row in told["discipline"]} == {"mathematics", "music"}
    assert main(["evaluate", "judge", folder]) == 0
    assert "first" in capsys.readouterr().out
    assert main(["evaluate", "judge", folder, "--test", "nope", "--ours", "scripted"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_match_that_is_whole_costs_nothing_with_a_judge_of_unknown_price(tested, teach, capsys):
    teach(judge(lambda nth, question, first, second: scores(5, 5)))
    unknown = {"teacher": "openai:mystery", "base_url": "http://127.0.0.1:9/v1"}
    judged(tested, **unknown)
    words = ["evaluate", "judge", str(tested.folder), "--test", "first", "--ours", "scripted", "--answer-tokens", "20"]
    words += ["--teacher", unknown["teacher"], "--base-url", unknown["base_url"]]
    assert main([*words, "--plan", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["calls"] == [0, 0] and told["usd"] == [0, 0]
    assert main(words) == 0


def test_a_judge_that_is_not_there_is_one_line_and_the_page_of_an_empty_match_is_drawn(tested, capsys):
    folder, nowhere = str(tested.folder), "http://127.0.0.1:9/v1"
    words = ["--teacher", "openai:x", "--base-url", nowhere, "--price", "0,0"]
    code = main(["evaluate", "judge", folder, "--test", "first", "--ours", f"openai:x@{nowhere}", *words])
    assert code == 1 and "Traceback" not in (said := capsys.readouterr()).err + said.out
    [match] = match_rows.matches(tested.db)
    frame = match_statistics.item_frame(tested, match)
    assert match_statistics.outcome(frame).judged == 0 and len(match_statistics.outcomes_by(frame, "field")) == 0
    assert match_statistics.describe_missing(match_statistics.missing(tested, match, frame)) == ""


def test_calls_of_answers_are_accounted_for(tested, teach):
    teach(judge(longer_wins))
    done, _ = judged(tested)
    calls, _ = call_rows.run_cost(tested.db, done.id)
    assert calls == 30
