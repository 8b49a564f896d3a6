"""Plans by value: missing calls, estimates of subjects, prices with margins, durations and the description."""

import pytest
from support.curriculum import add_pairs, add_questions, add_subjects, add_syllabus
from support.runs import Served

from glan_core import ids, runs
from glan_core.errors import GlanError
from glan_core.generation import plan as plan_module
from glan_core.generation.estimates import spread
from glan_core.generation.plan import plan, price
from glan_core.generation.settings import GenerationSettings
from glan_core.runs.report import compare_with_plan
from glan_core.settings import read_settings
from glan_core.workspace import call_rows, curriculum_rows
from glan_core.workspace.call_rows import Call

STAGES = ("subject_list", "subjects", "syllabus", "sessions", "question", "answer")

UNTIMED = "the time is known after the first calls of a model"


def asked(*disciplines: str, **values) -> GenerationSettings:
    """Return settings with one subject query and four questions per syllabus, unless given."""
    names = ("subject_queries", "max_subjects", "questions_per_syllabus")
    target = {"subject_queries": 1, "questions_per_syllabus": 4} | {n: values.pop(n) for n in names if n in values}
    defaults = {"teacher": "local:m", "max_in_flight": 8}
    return read_settings(
        GenerationSettings, {"target": {"disciplines": list(disciplines) or ["music"], **target}, **defaults, **values}
    )


def calls(ws, *disciplines, **values) -> list[tuple[int, int]]:
    """Return the calls of each stage."""
    made = plan(ws, asked(*disciplines, **values))
    assert tuple(stage.stage for stage in made.stages) == STAGES
    return [stage.calls for stage in made.stages]


def add_query(ws, index: int, subjects: str | None = None, discipline: str = "music") -> None:
    with ws.write() as db:
        id = ids.query_id(discipline, index)
        curriculum_rows.add_subject_list(db, id, discipline, index, "- A")
        if subjects is not None:
            curriculum_rows.set_query_subjects(db, id, subjects)


def add_calls(ws, stage: str, number: int, tokens_in: int, tokens_out: int, seconds: float, teacher: str = "local:m") -> None:
    with ws.write() as db:
        for n in range(number):
            call_rows.add_calls(db, [Call(f"w{n}", None, stage, "music", teacher, "v", "s", 1, 1, 1, tokens_in, tokens_out, False, 0.0,
                                        int(1000 * seconds), 1, "stored", None, 1.0)])  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------ calls


def test_an_empty_discipline_needs_everything_and_a_query_brings_10_to_20_subjects(ws):
    assert plan_module.SUBJECTS_PER_QUERY == (10, 20)
    assert calls(ws) == [(1, 1), (1, 1), (10, 20), (10, 20), (40, 80), (40, 80)]
    assert calls(ws, subject_queries=3) == [(3, 3), (3, 3), (20, 60), (20, 60), (80, 240), (80, 240)]
    assert calls(ws, subject_queries=10)[2] == (67, 200)  # the paper reports 100 to 200
    assert calls(ws, "music", "mathematics") == [(2, 2), (2, 2), (20, 40), (20, 40), (80, 160), (80, 160)]
    assert calls(ws, max_subjects=15) == [(1, 1), (1, 1), (10, 15), (10, 15), (40, 60), (40, 60)]
    assert calls(ws, max_subjects=3, questions_per_syllabus=0) == [(1, 1), (1, 1), (3, 3), (3, 3), (0, 0), (0, 0)]


def test_the_subjects_of_the_scripted_teacher_are_known(ws):
    for teacher in ("scripted", "openai:scripted"):
        assert calls(ws, "music", subject_queries=5, teacher=teacher)[2:4] == [(1, 1), (1, 1)]
        assert calls(ws, "mathematics", subject_queries=5, teacher=teacher)[2:4] == [(2, 2), (2, 2)]
        assert calls(ws, "cave-mapping", subject_queries=5, teacher=teacher)[2:4] == [(6, 6), (6, 6)]
    add_query(ws, 0, "[]")
    add_subjects(ws, "music", 2)
    assert calls(ws, "music", subject_queries=5, teacher="scripted")[2] == (2, 2), "further queries bring no new ones"


def test_lists_and_subjects_that_exist_are_not_asked_for_again(ws):
    add_query(ws, 0, "[]")
    add_query(ws, 2)
    assert calls(ws, subject_queries=4)[:2] == [(2, 2), (3, 3)], "queries 1 and 3 are missing, and 2 is not extracted"
    assert calls(ws, subject_queries=2)[:2] == [(1, 1), (1, 1)], "query 2 is beyond the target"
    assert calls(ws, subject_queries=3)[:2] == [(1, 1), (2, 2)]
    assert calls(ws)[:3] == [(0, 0), (0, 0), (0, 0)]


def test_known_subjects_count_within_the_maximum(ws):
    add_query(ws, 0, "[]")
    subjects = add_subjects(ws, "music", 5)
    assert calls(ws) == [(0, 0), (0, 0), (5, 5), (5, 5), (20, 20), (20, 20)]
    assert calls(ws, max_subjects=3) == [(0, 0), (0, 0), (3, 3), (3, 3), (12, 12), (12, 12)]
    assert calls(ws, subject_queries=2) == [(1, 1), (1, 1), (15, 25), (15, 25), (60, 100), (60, 100)]
    assert calls(ws, subject_queries=2, max_subjects=4)[2] == (4, 4)
    add_syllabus(ws, subjects[0], None)
    assert calls(ws) == [(0, 0), (0, 0), (4, 4), (5, 5), (20, 20), (20, 20)]
    add_syllabus(ws, subjects[1], [2, 2])
    assert calls(ws) == [(0, 0), (0, 0), (3, 3), (4, 4), (20, 20), (20, 20)]
    assert calls(ws, max_subjects=1) == [(0, 0), (0, 0), (0, 0), (1, 1), (4, 4), (4, 4)]


def test_questions_that_exist_are_subtracted_and_small_syllabi_have_few(ws):
    add_query(ws, 0, "[]")
    one, other = add_subjects(ws, "music", 2)
    full = add_syllabus(ws, one, [3, 3])
    add_questions(ws, full, ("A?", "a"), ("B?", None), ("C?", None))
    add_syllabus(ws, other, [1, 1])  # three combinations: each concept, and both
    assert calls(ws)[4:] == [(1 + 3, 1 + 3), (4 + 2, 4 + 2)]
    assert calls(ws, pair_share=0.0)[4] == (1 + 2, 1 + 2) and calls(ws, pair_share=1.0)[4] == (1 + 1, 1 + 1)
    assert calls(ws, questions_per_syllabus=2)[4:] == [(0 + 2, 0 + 2), (2 + 2, 2 + 2)]
    assert calls(ws, questions_per_syllabus=3)[4] == (0 + 3, 0 + 3)
    assert plan(ws, asked()).pairs == (6, 6)


def test_waiting_answers_count_in_their_discipline_only(ws):
    add_query(ws, 0, "[]")
    add_query(ws, 0, "[]", "mathematics")
    add_pairs(ws, "music", ("A?", None), ("B?", None))
    assert calls(ws, questions_per_syllabus=2)[5] == (2, 2) and calls(ws, "mathematics")[5] == (0, 0)


def test_a_discipline_that_does_not_exist_is_an_error(ws):
    with pytest.raises(GlanError, match="cave-painting"):
        plan(ws, asked("cave-painting"))


# ------------------------------------------------------------------------------------------------------------------ price


def test_averages_replace_typical_tokens_the_more_the_more_calls_there_are(ws):
    (stage,) = price(ws, asked(), {"answer": (2, 4)}).stages
    assert (stage.tokens_in, stage.tokens_out) == (190, 600) and stage.seconds == 0.5 + 600 / 60
    add_calls(ws, "answer", 19, 100, 30, 2.0)
    (stage,) = price(ws, asked(), {"answer": (2, 4)}).stages
    assert stage.tokens_in == pytest.approx((19 * 100 + 3 * 190) / 22) and stage.tokens_out == pytest.approx(
        (19 * 30 + 3 * 600) / 22
    )
    add_calls(ws, "answer", 1, 300, 50, 4.0)
    (stage,) = price(ws, asked(), {"answer": (2, 4)}).stages
    assert (stage.tokens_in, stage.tokens_out, stage.seconds) == (110, 31, 2.1)


def test_costs_and_tokens_have_a_margin_that_is_smaller_with_averages(ws):
    settings = asked(teacher="openai:m", base_url="http://x/v1", price="2,10")
    made = price(ws, settings, {"answer": (4, 4)})
    call = (190 * 2 + 600 * 10) / 1e6
    assert made.usd == (pytest.approx(4 * call / 1.7), pytest.approx(4 * call * 1.7))
    assert made.tokens == (round(4 * 790 / 1.7), round(4 * 790 * 1.7)) and made.calls == (4, 4) == made.pairs
    add_calls(ws, "answer", 20, 100, 30, 2.0, "openai:m")
    made = price(ws, settings, {"answer": (4, 4)})
    call = (100 * 2 + 30 * 10) / 1e6
    assert made.usd == (pytest.approx(4 * call / 1.25), pytest.approx(4 * call * 1.25))
    assert made.stages[0].usd == made.usd and made.stages[0].teacher == "openai:m"


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 2), (1, 3), (2, 50)])
@pytest.mark.parametrize("margin", [1.0, 1.25, 1.7, 5.0])
def test_a_range_is_widened_around_its_middle_to_at_most_three_times_its_lower_end(low, high, margin):
    least, most = spread(low, high, margin)
    assert most / least <= 3.0001 and least * most == pytest.approx(low * high)
    if high / low * margin <= 1.7:
        assert least <= low and most >= high
    assert spread(0, 10, margin) == (0, 10 * margin)


def test_sums_are_over_all_stages(ws):
    settings = asked(teacher="openai:m", base_url="http://x/v1", price="1,1")
    made = price(ws, settings, {"question": (1, 2), "answer": (3, 5)})
    parts = [spread(3280, 2 * 3280, 1.7), spread(3 * 790, 5 * 790, 1.7)]
    assert made.calls == (4, 7) and made.pairs == (3, 5)
    assert made.tokens == tuple(sum(round(part[end]) for part in parts) for end in (0, 1))
    assert made.usd == tuple(pytest.approx(sum(part[end] for part in parts) / 1e6) for end in (0, 1))
    assert price(ws, settings, {"question": (1, 2)}).pairs == (0, 0)
    assert made.as_dict()["calls"] == (4, 7) and made.as_dict()["stages"][1]["stage"] == "answer"


def test_tokens_are_rounded_per_stage(ws):
    add_calls(ws, "answer", 19, 100, 30, 2.0)
    add_calls(ws, "answer", 1, 107, 30, 2.0)
    low, high = spread(2 * 130.35, 3 * 130.35, 1.25)
    assert price(ws, asked(), {"answer": (2, 3)}).tokens == (round(low), round(high))


def test_an_unknown_price_is_none_and_forbids_a_budget_only_if_it_is_used(ws):
    settings = asked(teacher="openai:mystery", base_url="http://x/v1")
    made = price(ws, settings, {"question": (0, 0), "answer": (0, 1)})
    assert made.usd is None and made.stages[1].usd is None and made.stages[0].usd == (0.0, 0.0)
    assert made.basis == f"tokens per call are typical values; the price of openai:mystery is unknown; {UNTIMED}."
    assert price(ws, settings, {"answer": (0, 0)}).usd == (0.0, 0.0)
    limited = settings.model_copy(update={"budget_usd": 1.0})
    with pytest.raises(GlanError, match="The price of openai:mystery is unknown, so a budget in USD cannot be enforced"):
        price(ws, limited, {"answer": (0, 1)})
    assert price(ws, limited, {"answer": (0, 0)}).usd == (0.0, 0.0)
    both = asked(teacher="openai:z", answer_teacher="openai:a", base_url="http://x/v1")
    assert price(ws, both, {"question": (1, 1), "answer": (1, 1)}).basis.endswith(
        f"the price of openai:a, openai:z is unknown; {UNTIMED}."
    )


def test_local_calls_are_free(ws):
    assert plan(ws, asked()).usd == (0.0, 0.0)


# --------------------------------------------------------------------------------------------------------------- duration


def middle(ends) -> float:
    assert ends[1] / ends[0] <= 3.0001
    return (ends[0] * ends[1]) ** 0.5


def test_calls_run_concurrently_but_one_call_of_each_stage_in_sequence(ws):
    for stage, seconds in (("question", 2.0), ("answer", 4.0)):
        add_calls(ws, stage, 20, 10, 10, seconds)
    settings = asked(max_in_flight=4)
    of = lambda **counts: price(ws, settings, counts).seconds  # noqa: E731
    at_once = 1.4 * (600 * 3 / 4 + 6)  # 600 calls of 3 s, 4 at once, and one of each stage in sequence
    assert middle(of(question=(300, 300), answer=(300, 300))) == pytest.approx(at_once, rel=0.05)
    assert middle(of(question=(1, 1), answer=(1, 1))) == pytest.approx(1.4 * (6 + 6 / 4), rel=0.2)
    assert of(question=(0, 0), answer=(0, 0)) == (0.0, 0.0)


def test_the_concurrency_of_a_local_endpoint_grows_from_a_low_start(ws):
    add_calls(ws, "answer", 20, 10, 10, 1.0, "openai:m")
    times = {
        url: middle(price(ws, asked(teacher="openai:m", base_url=url, max_in_flight=64), {"answer": (64, 64)}).seconds)
        for url in ("http://127.0.0.1:1/v1", "https://api.example.com/v1")
    }
    assert times["http://127.0.0.1:1/v1"] > 3 * times["https://api.example.com/v1"]


def test_limits_per_minute_bound_the_time(ws):
    add_calls(ws, "answer", 20, 100, 100, 0.1, "openai:m")
    settings = asked(teacher="openai:m", base_url="https://x.example/v1", requests_per_minute=60)
    assert middle(price(ws, settings, {"answer": (600, 600)}).seconds) == pytest.approx(600, rel=0.01)
    settings = asked(teacher="openai:m", base_url="https://x.example/v1", tokens_per_minute=12_000)
    assert middle(price(ws, settings, {"answer": (600, 600)}).seconds) == pytest.approx(600, rel=0.01)


def test_the_time_is_unknown_until_a_model_has_answered(ws):
    settings = asked(teacher="openai:m", base_url="http://x/v1")
    assert price(ws, settings, {"answer": (5, 5)}).seconds is None
    add_calls(ws, "question", 20, 100, 50, 1.0, "openai:m")  # 50 tokens per second
    made = price(ws, settings, {"answer": (5, 5)})
    assert made.stages[0].seconds == pytest.approx(600 / 50) and made.seconds is not None


def test_the_time_of_the_scripted_teacher_is_measured(ws, monkeypatch):
    made = price(ws, asked(teacher="scripted"), {"answer": (1000, 1000)})
    assert 0.05 < middle(made.seconds) < 60
    monkeypatch.setattr(plan_module, "scripted_call_seconds", lambda: 0.5)
    assert middle(price(ws, asked(teacher="scripted"), {"answer": (100, 100)}).seconds) == pytest.approx(51.1)


# ------------------------------------------------------------------------------------------------------------ description


def test_the_basis_says_what_is_estimated(ws):
    subjects = "the number of subjects per query is estimated (the paper reports 100 to 200 from 10 queries); "
    assert plan(ws, asked()).basis == f"{subjects}tokens per call are typical values; {UNTIMED}."
    assert plan(ws, asked(max_subjects=5)).basis == f"tokens per call are typical values; {UNTIMED}."
    counts = {"question": (1, 1), "answer": (1, 1), "syllabus": (0, 0)}
    add_calls(ws, "answer", 20, 10, 10, 1.0)
    assert price(ws, asked(), counts).basis == "tokens per call are this workspace's averages where it has them."
    assert price(ws, asked(), counts | {"question": (0, 0)}).basis == "tokens per call are this workspace's averages."
    assert price(ws, asked(), {"question": (0, 1)}).basis == "tokens per call are typical values."
    assert price(ws, asked(), {"question": (0, 0), "answer": (0, 0)}).basis == "tokens per call are typical values."


# ----------------------------------------------------------------------------------------------------------------- trials


@pytest.mark.long
@pytest.mark.processes
def test_plans_hold_in_runs_of_the_scripted_teacher_over_http(new_workspace, monkeypatch):
    """benchmarks/estimates.py draws more settings; the time depends on the load of the machine, so only its width is checked."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    trials = [(("music",), 1, None, 4), (("cave-mapping", "mathematics"), 3, None, 6), (("music", "bell-founding"), 2, 3, 10),
              (("earth-science",), 5, 1, 30), (("mathematics",), 1, None, 1)]  # fmt: skip
    found = []
    with Served(latency_ms=2) as server:
        for nth, (disciplines, queries, subjects, questions) in enumerate(trials):
            ws = new_workspace(f"trial-{nth}")
            for more in (0, 8):  # a new workspace, then one with averages
                target = {"subject_queries": queries, "max_subjects": subjects, "questions_per_syllabus": questions + more}
                settings = asked(*disciplines, **target, teacher="openai:scripted", base_url=server.url, price="1.25,10")
                made = plan(ws, settings)
                run_id = runs.submit(ws, "generate", "trial", settings.model_dump(mode="json"), made.as_dict())
                found += compare_with_plan(ws, runs.work(ws, run_id))
                assert made.seconds is None or made.seconds[1] / made.seconds[0] <= 3.0001
    for measure in ("calls", "pairs", "tokens", "usd"):
        some = [one for one in found if one.measure == measure]
        assert len(some) == 10 and sum(one.off == 0 for one in some) >= 9, [one for one in some if one.off]
        assert all(one.high <= 3.0001 * one.low for one in some)
