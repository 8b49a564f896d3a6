"""Runs in batches against a double of the Batch API: rows, partial failures, expiry, faults, cancellation and budget."""

import asyncio
import json

import pytest
from aiohttp import web
from support.batch_server import LOST, BatchServer
from support.runs import content, execute_run, latest_run, number, resume_run, rows

from glan_core import runs
from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.generation import batch_engine
from glan_core.generation.batch_engine import Timing
from glan_core.generation.batch_steps import Clock
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.homework import review
from glan_core.settings import read_settings
from glan_core.workspace import batch_rows, call_rows, run_rows

STAGES = ("subject_list", "subjects", "syllabus", "sessions", "question", "answer")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Poll and retry at once."""
    monkeypatch.setattr(batch_engine, "TIMING", Timing(0, 1, 0, 0, 0, 60))


@pytest.fixture
def server():
    """The double of the endpoint."""
    return BatchServer()


@pytest.fixture
def in_batches(settings, server):
    """Return a function that builds settings of a run with the Batch API; the double serves until the test ends."""
    with server.serving() as served:

        def build(*disciplines: str, **values) -> dict:
            return settings(*disciplines, **{"teacher": "openai:scripted", "base_url": served.url, "batch": True, **values})

        yield build


def online(ws, settings, *disciplines: str, **values) -> dict:
    """Run the same with the scripted teacher online and return the rows."""
    execute_run(ws, settings(*disciplines, **values))
    return content(ws, teachers=False)


def test_the_rows_equal_those_of_the_online_engine(new_workspace, settings, in_batches, server):
    wanted = {"subject_queries": 2, "questions_per_syllabus": 5, "seed": 3}
    expected = online(new_workspace("online"), settings, "music", "mathematics", **wanted)
    ws = new_workspace()
    run = execute_run(ws, in_batches("music", "mathematics", **wanted))
    assert (run.state, run.message) == ("finished", "")
    assert content(ws, teachers=False) == expected
    assert set(server.served.values()) == {1} and sum(server.served.values()) == number(ws, "SELECT count(*) FROM calls")
    made = batch_rows.batches(ws.db, run.id)
    assert len(made) == 6 == server.submitted["batches"], "one batch per stage"
    assert {(batch.step, batch.status) for batch in made} == {("ended", "completed")}
    assert number(ws, "SELECT count(*) FROM batch_requests WHERE outcome IS NOT 'answered'") == 0


@pytest.mark.parametrize("seed", range(4))
def test_replies_attach_by_id_in_any_order(new_workspace, settings, in_batches, server, seed):
    expected = online(new_workspace("online"), settings, questions_per_syllabus=9)
    server._random.seed(seed)
    ws = new_workspace()
    execute_run(ws, in_batches(questions_per_syllabus=9))
    assert content(ws, teachers=False) == expected


def test_batches_are_split_and_overlap(new_workspace, settings, in_batches, server, monkeypatch):
    monkeypatch.setattr("glan_core.generation.batch_files.MAX_REQUESTS", 7)
    expected = online(new_workspace("online"), settings, questions_per_syllabus=12)
    ws = new_workspace()
    run = execute_run(ws, in_batches(questions_per_syllabus=12))
    assert run.state == "finished" and content(ws, teachers=False) == expected
    assert max(batch.requests for batch in batch_rows.batches(ws.db, run.id)) == 7 and set(server.served.values()) == {1}


def test_failed_lines_go_to_the_next_batch_and_others_are_kept(new_workspace, settings, in_batches, server):
    expected = online(new_workspace("online"), settings, questions_per_syllabus=6)
    failed = set()

    def answer(custom_id, body):
        task = custom_id.partition("-")[2]
        if task not in failed and len(failed) % 2 == 0:
            failed.add(task)
            return 500, {"error": {"message": "overloaded"}}
        failed.add(task)

    server.answer = answer
    ws = new_workspace()
    run = execute_run(ws, in_batches(questions_per_syllabus=6))
    assert (run.state, run.message) == ("finished", "") and content(ws, teachers=False) == expected
    assert set(server.served.values()) == {1} and len(batch_rows.batches(ws.db, run.id)) > 6


def test_a_request_that_always_fails_becomes_a_failure_and_the_rest_goes_on(ws, in_batches, server):
    bad = []

    def answer(custom_id, body):
        if "-question-" in custom_id and (not bad or bad[0] in custom_id):
            bad[:] = bad or [custom_id.split("-question-")[1]]
            return 503, {"error": {"message": "unlucky"}}

    server.answer = answer
    run = execute_run(ws, in_batches())
    assert run.state == "finished" and "1 call failed" in run.message
    [failure] = call_rows.failures(ws.db, run.id)
    assert (failure.stage, failure.cause) == ("question", "no reply") and "5 batches" in failure.message
    assert number(ws, "SELECT count(*) FROM answers") == number(ws, "SELECT count(*) FROM questions") == 7
    server.answer = None
    assert execute_run(ws, in_batches()).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 8 and call_rows.failures(ws.db) == []


def test_the_cost_of_a_run_includes_replies_that_were_damaged(ws, in_batches, server):
    damaged = []

    def answer(custom_id, body):
        if "-question-" in custom_id and not damaged:
            damaged.append(custom_id)
            return 200, {"choices": [{"message": {"content": 5}}]}

    server.answer = answer
    run = execute_run(ws, in_batches(price="1,2"))
    lost, cost = rows(ws, "SELECT sum(outcome = 'lost'), sum(cost_usd) FROM calls")[0]
    assert lost == 1 and run_rows.last_sample(ws.db, run.id).cost_usd == pytest.approx(cost)


def test_a_refused_request_fails_at_once_and_a_malformed_reply_is_repaired_in_the_next_batch(ws, in_batches, server):
    def answer(custom_id, body):
        if "-sessions-" in custom_id and not refused:
            refused.append(custom_id)
            return 400, {"error": {"message": "This content is filtered."}}
        if "-sessions-" in custom_id and len(body["messages"]) == 1:
            return "no JSON at all"

    refused = []
    server.answer = answer
    run = execute_run(ws, in_batches())
    assert run.state == "finished"
    [failure] = call_rows.failures(ws.db, run.id)
    assert failure.cause == "refused" and "filtered" in failure.message
    outcomes = rows(ws, "SELECT outcome, count(*) FROM calls WHERE stage = 'sessions' GROUP BY 1 ORDER BY 1")
    assert outcomes == [("malformed", 1), ("stored", 1)]


def test_an_expired_batch_keeps_what_was_finished_and_sends_the_rest_again(new_workspace, settings, in_batches, server):
    expected = online(new_workspace("online"), settings, questions_per_syllabus=6)
    server.ends = {5: "expired", 6: "expired"}
    ws = new_workspace()
    run = execute_run(ws, in_batches(questions_per_syllabus=6))
    assert run.state == "finished" and content(ws, teachers=False) == expected
    assert set(server.served.values()) == {1}
    assert [batch.status for batch in batch_rows.batches(ws.db, run.id)].count("expired") == 2
    assert any("had no result (expired)" in notice for notice in runs.get(ws, run.id).notices)


def test_a_rejected_parameter_is_left_out_of_the_next_batch(ws, in_batches, server):
    def answer(custom_id, body):
        if "temperature" in body:
            error = {"message": "Unsupported parameter: 'temperature' is not supported.", "param": "temperature"}
            return 400, {"error": error}

    server.answer = answer
    run = execute_run(ws, in_batches(questions_per_syllabus=1))
    assert run.state == "finished" and set(server.served.values()) == {1}
    assert number(ws, "SELECT count(*) FROM calls WHERE temperature IS NOT NULL") == 0
    assert len(batch_rows.batches(ws.db, run.id)) == 7, "only the first one is repeated"
    server.requests.clear()
    again = execute_run(ws, in_batches(questions_per_syllabus=2))
    assert len(batch_rows.batches(ws.db, again.id)) == 2, "a later process knows it"


def test_a_batch_that_exceeds_the_queue_of_the_account_is_sent_in_smaller_ones(new_workspace, settings, in_batches, server):
    expected = online(new_workspace("online"), settings, questions_per_syllabus=6)
    server.reject = lambda lines: ("token_limit_exceeded", "Enqueued token limit reached.") if len(lines) > 4 else None
    ws = new_workspace()
    run = execute_run(ws, in_batches(questions_per_syllabus=6))
    assert run.state == "finished" and content(ws, teachers=False) == expected and set(server.served.values()) == {1}


def test_a_rejected_batch_stops_the_run_with_its_message_and_can_be_resumed(ws, in_batches, server):
    server.reject = lambda lines: ("invalid_model", "The model does not exist.")
    run = execute_run(ws, in_batches())
    assert run.state == "failed" and "The model does not exist. None of its requests was processed." in run.message
    server.reject = None
    assert resume_run(ws, run.id).state == "finished"


@pytest.mark.long
@pytest.mark.parametrize("step", ["POST /files", "POST /batches", "GET /batches/ID", "GET /files/ID/content"])
@pytest.mark.parametrize("fault", [500, 429, LOST])
def test_errors_of_each_endpoint_are_repeated_and_nothing_is_submitted_twice(
    new_workspace, settings, in_batches, server, step, fault
):
    expected = online(new_workspace("online"), settings, questions_per_syllabus=2)
    server.faults[step] = [fault, fault] if fault != LOST else [fault]
    ws = new_workspace()
    run = execute_run(ws, in_batches(questions_per_syllabus=2))
    assert (run.state, server.faults[step]) == ("finished", [])
    assert content(ws, teachers=False) == expected and set(server.served.values()) == {1}
    assert server.submitted == {"files": 6, "batches": 6}


@pytest.mark.long
@pytest.mark.parametrize("value", ["\ud800", "a\x00b", "\x1b[31mred", "line\nbreak", "x" * 1000, ["a"], 5])
@pytest.mark.parametrize(("name", "field"), [("POST /files", "id"), ("POST /batches", "id"), ("GET /batches/ID", "status")])
def test_ids_and_statuses_that_are_none_end_in_a_sentence(ws, in_batches, server, monkeypatch, name, field, value):
    respond = server._respond

    async def strange(asked, parts, request):
        response = await respond(asked, parts, request)
        return web.json_response(json.loads(response.body) | {field: value}) if asked == name else response

    monkeypatch.setattr(server, "_respond", strange)
    run = execute_run(ws, in_batches("cave-mapping", subject_queries=1, questions_per_syllabus=0))
    if name == "GET /batches/ID":
        assert run.state == "failed" and "has no status." in run.message
    else:  # what was made is found in the list of the endpoint
        assert run.state == "finished" and server.submitted["files"] == server.submitted["batches"] == len(server.batches)


@pytest.mark.parametrize("counts", [{"completed": 10**30, "failed": -1}, {"completed": "9", "failed": 1e300}, [1], "many"])
def test_counts_that_are_none_are_ignored(ws, in_batches, server, monkeypatch, counts):
    respond = server._respond

    async def strange(asked, parts, request):
        response = await respond(asked, parts, request)
        return (
            web.json_response(json.loads(response.body) | {"request_counts": counts})
            if asked == "GET /batches/ID"
            else response
        )

    monkeypatch.setattr(server, "_respond", strange)
    assert execute_run(ws, in_batches("cave-mapping", subject_queries=1, questions_per_syllabus=0)).state == "finished"


def test_results_that_the_endpoint_does_not_have_are_named(ws, in_batches, server):
    server.faults["GET /files/ID/content"] = [404]
    run = execute_run(ws, in_batches("cave-mapping", subject_queries=1))
    assert run.state == "failed" and "does not have the file file-" in run.message and "discard ID" in run.message


@pytest.mark.parametrize("step", ["POST /files", "POST /batches", "GET /batches/ID", "GET /files/ID/content"])
def test_a_wrong_key_stops_the_run_and_the_batches_are_kept(ws, in_batches, server, step):
    server.faults[step] = [401]
    run = execute_run(ws, in_batches(questions_per_syllabus=2))
    assert run.state == "failed" and "API key" in run.message
    assert resume_run(ws, run.id).state == "finished"
    assert set(server.served.values()) == {1} and server.submitted["batches"] == 6


def test_an_endpoint_without_a_batch_api_is_named(ws, settings):
    from support.endpoints import always
    from support.runs import Served

    with Served(always(404, {"detail": "Not Found"}), everything=True) as served:
        run = execute_run(ws, settings(teacher="openai:scripted", base_url=served.url, batch=True))
    assert run.state == "failed" and "has no Batch API (status 404)" in run.message


def test_the_budget_is_reserved_at_half_price_and_batches_are_smaller_if_it_does_not_reach(ws, in_batches, server):
    wanted = in_batches(questions_per_syllabus=6, price="100,100", budget_usd=1.0, stages={"subject_list": {"max_tokens": 400}})
    read = read_settings(GenerationSettings, wanted)
    assert (read.price_of("answer").per_million_in, read.price_of("answer").per_million_out) == (50, 50)
    run = execute_run(ws, wanted)
    assert run.state == "paused" and "The budget of $1.00 does not cover another call" in run.message
    spent = number(ws, "SELECT total(cost_usd) FROM calls")
    tokens = number(ws, "SELECT sum(tokens_in + tokens_out) FROM calls")
    assert 0 < spent <= 1.0 and spent == pytest.approx(tokens * 50 / 1e6)
    wanted["budget_usd"] = 60.0
    run = resume_run(ws, run.id, wanted)
    assert run.state == "paused" or run.state == "finished"
    assert number(ws, "SELECT total(cost_usd) FROM calls") <= 60.0


def test_a_limit_of_calls_bounds_the_requests_of_batches(ws, in_batches, server):
    run = execute_run(ws, in_batches(max_calls=7))
    assert run.state == "paused" and "limit of 7 calls" in run.message
    assert sum(server.served.values()) == 7 == number(ws, "SELECT count(*) FROM calls")


def test_the_estimate_is_half_the_usual_one(ws, settings, in_batches):
    usual = plan(ws, read_settings(GenerationSettings, in_batches(batch=False, price="2,8")))
    half = plan(ws, read_settings(GenerationSettings, in_batches(price="2,8")))
    assert half.usd == pytest.approx([amount / 2 for amount in usual.usd]) and half.calls == usual.calls
    assert half.seconds is None and "half of the usual ones (Batch API)" in half.basis


def test_other_teachers_are_refused(settings):
    with pytest.raises(GlanError, match="The Batch API needs a teacher with an OpenAI-compatible endpoint in every stage"):
        read_settings(GenerationSettings, settings(batch=True))
    with pytest.raises(GlanError, match="the teacher of answer is local:m"):
        read_settings(GenerationSettings, settings(teacher="openai:m", answer_teacher="local:m", batch=True))
    with pytest.raises(GlanError, match="exclude each other"):
        read_settings(GenerationSettings, settings(teacher="openai:m", batch=True, batch_files=True))
    with pytest.raises(GlanError, match="The Batch API and the Ray engine exclude each other"):
        read_settings(GenerationSettings, settings(teacher="openai:m", batch=True, engine="ray"))
    with pytest.raises(GlanError, match="Batch files have one endpoint per teacher"):
        read_settings(GenerationSettings, settings(teacher="openai:m", batch_files=True, replicas=("http://b/v1",)))


def test_latencies_of_batches_do_not_count_as_those_of_the_teacher(ws, in_batches):
    execute_run(ws, in_batches(teacher="openai:m"))
    averages = call_rows.stage_averages(ws.db, "openai:m")
    assert averages["answer"][3] == 8 and {seconds for _, _, seconds, _ in averages.values()} == {0}
    made = plan(ws, read_settings(GenerationSettings, in_batches(questions_per_syllabus=9, batch=False, teacher="openai:m")))
    assert made.seconds is None and "time is known after the first calls" in made.basis


@pytest.fixture
def ask_during_run(monkeypatch):
    """Return a watcher that asks once for something while the batches of a run are at the endpoint."""
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.01)

    def build(ws, ask):
        done = []

        def watch(sample, stages, notices):
            run = latest_run(ws)
            if not done and any(batch.status == "in_progress" for batch in batch_rows.batches(ws.db, run.id)):
                done.append(notices)
                ask(ws, run.id)

        watch.seen = done
        return watch

    return build


def test_pausing_leaves_the_batch_at_the_endpoint_and_resuming_stores_its_replies(
    new_workspace, settings, in_batches, server, ask_during_run
):
    expected = online(new_workspace("online"), settings)
    server.held, ws = True, new_workspace()
    watch = ask_during_run(ws, runs.pause)
    run = execute_run(ws, in_batches(), watch=watch)
    assert run.state == "paused" and "go on at the endpoint" in run.message
    assert any("Waiting for batch 1 of 1 request (" in notice for notice in watch.seen[0])
    [batch] = server.batches.values()
    assert batch["status"] == "in_progress"
    with pytest.raises(GlanError, match="has 1 open batches at http"):
        runs.cancel(ws, run.id)
    other = execute_run(ws, settings())
    assert other.state == "failed" and f"Run {run.id} has open batches" in other.message
    assert execute_run(ws, settings("music")).state == "finished", "other disciplines are not affected"
    server.held = False
    assert resume_run(ws, run.id).state == "finished"
    assert {tuple(row) for row in expected["answers"]} <= set(content(ws, teachers=False)["answers"])
    assert set(server.served.values()) == {1} and server.submitted["batches"] == 6


def test_cancelling_cancels_the_batch_and_stores_what_was_finished(ws, in_batches, server, ask_during_run):
    execute_run(ws, in_batches(questions_per_syllabus=0))
    before = sum(server.served.values())
    server.held = True
    run = execute_run(ws, in_batches(questions_per_syllabus=6), watch=ask_during_run(ws, runs.cancel))
    assert run.state == "cancelled"
    assert [batch["status"] for batch in server.batches.values()][-1] == "cancelled"
    [batch] = batch_rows.batches(ws.db, run.id)
    assert (batch.step, batch.status) == ("ended", "cancelled")
    assert sum(server.served.values()) - before == 6 == number(ws, "SELECT count(*) FROM questions"), "half of the batch"
    server.held = False
    assert resume_run(ws, run.id).state == "finished"
    assert set(server.served.values()) == {1} and number(ws, "SELECT count(*) FROM answers") == 12


def test_an_answer_to_a_question_that_was_edited_meanwhile_is_discarded_and_asked_for_again(ws, in_batches, server):
    edited = []

    def answer(custom_id, body):  # while the batch of answers is at the endpoint
        if "-answer-" in custom_id and not edited:
            edited.append(rows(ws, "SELECT id FROM questions ORDER BY seq")[0][0])
            review.edit(ws, edited[0], "somebody", question="What is a group?", answer=None)

    server.answer = answer
    run = execute_run(ws, in_batches())
    assert run.state == "finished"
    outcomes = rows(ws, "SELECT outcome, count(*) FROM calls WHERE stage = 'answer' GROUP BY 1 ORDER BY 1")
    assert outcomes == [("discarded", 1), ("stored", 8)]
    [last] = server.lines(len(server.batches))
    assert last["body"]["messages"][0]["content"].endswith("What is a group?")


def test_the_commands_plan_at_half_price_and_list_the_batches(ws, in_batches, server, capsys):
    url = in_batches()["base_url"]
    options = [
        "--disciplines",
        "mathematics",
        "--subject-queries",
        "1",
        "--questions-per-syllabus",
        "2",
        "--teacher",
        "openai:m",
    ]
    options += ["--base-url", url, "--price", "2,8"]
    assert main(["plan", str(ws.folder), *options, "--json"]) == 0
    usual = json.loads(capsys.readouterr().out)
    assert main(["plan", str(ws.folder), *options, "--batch", "--json"]) == 0
    half = json.loads(capsys.readouterr().out)
    assert half["usd"] == pytest.approx([amount / 2 for amount in usual["usd"]])
    assert main(["generate", str(ws.folder), *options, "--batch"]) == 0
    capsys.readouterr()
    assert main(["runs", str(ws.folder), "show", "1"]) == 0
    shown = capsys.readouterr().out
    assert "batch  requests  status     completed  failed  at the endpoint" in shown and shown.count("completed ") >= 6
    assert main(["plan", str(ws.folder), "--disciplines", "music", "--batch"]) == 2
    assert "The Batch API needs a teacher with an OpenAI-compatible endpoint" in capsys.readouterr().err


def test_a_truncated_file_of_results_is_downloaded_again(new_workspace, settings, in_batches, server):
    expected = online(new_workspace("online"), settings)
    server.cuts, ws = [30, 1000, 30], new_workspace()
    run = execute_run(ws, in_batches())
    assert run.state == "finished" and content(ws, teachers=False) == expected
    assert server.requests["GET /files/ID/content"] == 9 and server.submitted["batches"] == 6


def test_batches_are_polled_less_and_less_often_and_the_clock_can_be_replaced(ws, in_batches, server, monkeypatch):
    time, waits = [1000.0], []

    async def wait(clock, event, seconds):
        waits.append(seconds)
        time[0] += seconds
        server.held = time[0] < 10_000
        await asyncio.sleep(0)

    monkeypatch.setattr(batch_engine, "TIMING", Timing())
    monkeypatch.setattr(Clock, "wait", wait)
    monkeypatch.setattr(Clock, "steady", lambda clock: time[0])
    server.held = True
    server.faults["GET /batches/ID"] = [500, 500, 500]
    run = execute_run(ws, in_batches(questions_per_syllabus=0))
    assert run.state == "finished"
    assert waits[:4] == [10, 5, 10, 20], "after the first interval, errors are repeated with growing waits"
    assert [round(seconds, 1) for seconds in waits[4:8]] == [15, 22.5, 33.8, 50.6] and max(waits) == 300
    assert len(waits) < 80
