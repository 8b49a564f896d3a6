"""The Runs page: what it plans, what it starts, and what it says of runs in every state."""

import asyncio
import os
import shlex
import threading
import time

import pytest
from studio_app import Studio, add_failure, add_run

from glan_core import runs, taxonomy_edit
from glan_core.cli import _parser
from glan_core.cli.generating import _order
from glan_core.generation.order import Order, read_order
from glan_core.generation.plan import plan
from glan_core.teachers.server import serving
from glan_core.wording import money, short, span
from glan_core.workspace import call_rows, run_rows

pytest_plugins = ["studio_fixtures"]

GONE = 2**22 + 12345  # above the largest process number of Linux


@pytest.fixture
def endpoint():
    """Serves the scripted teacher under a key; yields its address."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []

    async def serve(stop: asyncio.Event) -> None:
        async with serving(api_key="sk-secret-4711") as url:
            address.append(url)
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(stop),))
    thread.start()
    assert ready.wait(20)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


def fill(shown: Studio, **values) -> Studio:
    """Type into the fields of the form by their keys."""
    for key, value in values.items():
        kinds = (shown.app.number_input, shown.app.text_input, shown.app.selectbox, shown.app.slider)
        next(field for kind in kinds for field in kind if field.key == key).set_value(value)
        shown.app.run()
    return shown


def ordered(shown: Studio, ws) -> Order:
    """The order that the shown command stands for."""
    program, *words = shlex.split(shown.app.code[0].value)
    args = _parser().parse_args(words)
    assert program == "glan" and args.command.__name__ == "_generate"
    return _order(ws, args)


# --------------------------------------------------------------------------------------------------------- plan and command


def test_the_numbers_are_those_of_the_plan(demo_ws):
    shown = fill(Studio("runs", focus="music"), run_per=30, run_queries=2)
    order = read_order(Order, {"target": {"disciplines": ["music"], "subject_queries": 2, "questions_per_syllabus": 30}})
    made = plan(demo_ws, order)
    metrics = {metric.label: metric.value for metric in shown.app.metric}
    assert metrics["Calls"] == span(tuple(map(short, made.calls))) and metrics["New pairs"] == span(
        tuple(map(short, made.pairs))
    )
    assert metrics["Price"] == money(made.usd) == "free"
    assert f"Start · {metrics['Calls']} calls · free" in shown.labels()
    stages = shown.table("stage")
    assert list(stages["calls"]) == [span(stage.calls) for stage in made.stages if stage.calls[1]]
    assert made.basis in shown.said


@pytest.mark.parametrize(
    "values",
    [
        {}, {"run_queries": 3, "run_most": 7, "run_per": 0}, {"run_share": 25, "run_law": "uniform", "run_seed": 9},
        {"run_calls": 50, "run_flight": 4, "run_rpm": 60, "run_tpm": 9000, "run_budget": 2.5},
    ],
)  # fmt: skip
@pytest.mark.parametrize("focus", ["", "music", "humanities"])
def test_the_shown_command_orders_the_same(demo_ws, values, focus, monkeypatch):
    submitted = []
    monkeypatch.setattr(runs, "submit", lambda ws, kind, title, params, plan: submitted.append(params) or 1)
    monkeypatch.setattr(runs, "launch", lambda ws, run_id, environment: None)
    shown = fill(Studio("runs", **({"focus": focus} if focus else {})), **values)
    if not shown.app.code:
        assert "already holds all of this target" in shown.said
        return
    order = ordered(shown, demo_ws)
    shown.press("Start ·")
    assert order.model_dump(mode="json") == submitted[0]


def test_the_shown_command_names_an_endpoint_and_never_the_key(demo_ws):
    shown = fill(Studio("runs", focus="physics"), run_kind="endpoint")
    assert "Give the model and the address to go on." in shown.said and not shown.app.error
    assert not [label for label in shown.labels() if label.startswith("Start")]
    shown = fill(shown, run_model="a 'model'", run_url="http://localhost:1/v1", run_price="0.5,1.5", api_key="sk-secret-4711")
    order = ordered(shown, demo_ws)
    assert (order.teacher, order.base_url, order.price) == ("openai:a 'model'", "http://localhost:1/v1", "0.5,1.5")
    assert "sk-secret" not in shown.said
    assert "about $" in next(label for label in shown.labels() if label.startswith("Start"))


def test_openai_without_a_key_starts_nothing(demo_ws):
    shown = fill(Studio("runs", focus="physics"), run_kind="openai", run_model="gpt-4o-mini").press("Start ·")
    assert shown.fine and "OPENAI_API_KEY is not set" in shown.said
    assert len(run_rows.runs(demo_ws.db)) == 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"run_kind": "endpoint", "run_model": "m", "run_url": "localhost"}, "is no address"),
        ({"run_kind": "endpoint", "run_model": "m", "run_url": "http://h/v1", "run_price": "x"}, "x"),
        (
            {"run_kind": "endpoint", "run_model": "m", "run_url": "http://h/v1", "run_budget": 1.0},
            "The price of openai:m is not known",
        ),
    ],
)
def test_what_cannot_be_ordered_is_told_and_not_offered(demo_ws, values, said):
    shown = fill(Studio("runs", focus="physics"), **values)
    assert shown.fine and said in shown.app.error[0].value.replace("\\", "")
    assert not [label for label in shown.labels() if label.startswith("Start")]


def test_a_reached_target_says_so(demo_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_queries=1, run_per=24)
    assert "already holds all of this target" in shown.app.success[0].value
    assert not [label for label in shown.labels() if label.startswith("Start")]


# ------------------------------------------------------------------------------------------------------------- running


def test_a_run_started_on_the_page_finishes_and_its_pairs_are_there(starter_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_queries=1, run_per=4)
    shown.press("Start ·")
    assert shown.fine
    shown.until(lambda page: "finished" in page.said and "at work" in page.said and "none at work" in page.said)
    run = run_rows.runs(starter_ws.db)[0]
    assert (run.state, run.title) == ("finished", "Mathematics") and run.plan["pairs"]
    assert f"Run {run.id}: Mathematics" in shown.said
    pairs = call_rows.counters(starter_ws.db)["mathematics"]["pairs"]
    assert pairs == 8 and "8 answered pairs" in shown.go("homework").said


def test_proposals_asked_for_on_the_taxonomy_page_arrive(starter_ws):
    shown = Studio("taxonomy", focus="natural-sciences").press("Ask what is missing · 4 calls")
    shown.until(lambda page: "Oceanography" in page.said)
    assert shown.fine and "open proposal" in shown.said


def test_a_typed_key_is_used_and_kept_nowhere(starter_ws, endpoint):
    shown = fill(
        Studio("runs", focus="mathematics"),
        run_queries=1,
        run_per=2,
        run_kind="endpoint",
        run_model="scripted",
        run_url=endpoint,
    )
    shown = fill(shown, api_key="sk-secret-wrong")
    shown.press("Start ·").until(lambda page: "failed" in page.said)
    shown = fill(shown, api_key="sk-secret-4711")
    shown.press("Continue").until(lambda page: "finished" in page.said)
    assert call_rows.counters(starter_ws.db)["mathematics"]["pairs"] == 4
    assert "sk-secret" not in shown.said
    starter_ws.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in starter_ws.folder.rglob("*"):
        assert not file.is_file() or b"sk-secret" not in file.read_bytes()


def test_a_typed_key_lasts_while_the_user_looks_at_other_pages(starter_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_kind="openai", run_model="gpt-4o-mini", api_key="sk-secret-4711")
    shown.go("homework").go("overview").go("runs")
    assert shown.app.session_state["api_key"] == "sk-secret-4711"
    assert (
        shown.app.selectbox(key="run_kind").value == "openai" and shown.app.text_input(key="run_model").value == "gpt-4o-mini"
    )


# ---------------------------------------------------------------------------------------------------- states of a run

CONTROLS = {"Pause", "Cancel", "Resume", "Continue"}


@pytest.mark.parametrize(
    ("state", "values", "badge", "controls"),
    [
        ("running", {"pid": os.getpid()}, "running", {"Pause", "Cancel"}),
        ("running", {"pid": os.getpid(), "wish": "pause"}, "running", set()),
        ("running", {"pid": GONE}, "lost", {"Continue", "Cancel"}),
        ("running", {"pid": GONE, "wish": "pause"}, "lost", {"Continue", "Cancel"}),
        ("running", {"pid": os.getpid(), "heartbeat_at": time.time() - 3600}, "lost", {"Continue", "Cancel"}),
        ("paused", {}, "paused", {"Resume", "Cancel"}), ("failed", {}, "failed", {"Continue"}),
        ("cancelled", {}, "cancelled", {"Continue"}), ("finished", {}, "finished", set()),
    ],
)  # fmt: skip
def test_a_run_shows_its_state_and_what_can_be_done(starter_ws, state, values, badge, controls):
    run_id = add_run(starter_ws, state, "Algebra", message="How it went.", **values)
    shown = Studio("runs")
    shown.app.session_state["run"] = run_id
    shown.app.run()
    assert shown.fine and f"Run {run_id}: Algebra" in shown.said and f"badge[{badge}]" in shown.said
    assert {label for label in shown.labels() if label in CONTROLS} == controls
    assert "How it went." in shown.said and "10 of 40 calls" in shown.said and "None" not in shown.said
    assert ("Its process is gone or silent" in shown.said) == (badge == "lost")


def test_pause_and_cancel_leave_a_wish_for_the_process(starter_ws):
    run_id = add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    shown = Studio("runs").press("Pause")
    assert runs.get(starter_ws, run_id).wish == "pause" and "Will pause once what is in flight is stored" in shown.said
    other = add_run(starter_ws, "running", "Geometry", pid=os.getpid())
    shown = Studio("runs").press("Cancel")
    assert runs.get(starter_ws, other).wish == "cancel"


def test_a_lost_run_is_cancelled_at_once(starter_ws):
    run_id = add_run(starter_ws, "running", "Algebra", heartbeat_at=1.0)
    shown = Studio("runs")
    shown.app.session_state["run"] = run_id
    shown.app.run()
    shown.press("Cancel")
    assert shown.fine and runs.get(starter_ws, run_id).state == "cancelled"


def test_failures_say_what_they_are_and_what_to_do(starter_ws):
    run_id = add_run(starter_ws, "finished", "Algebra", message="3 of the calls failed; the next run tries them again.")
    for n, cause in enumerate(("malformed", "malformed", "cut")):
        add_failure(starter_ws, run_id, cause, "no list in it", "I *can't* do that", work=f"w{n}")
    shown = Studio("runs")
    shown.app.session_state["run"] = run_id
    shown.app.run()
    assert shown.fine
    assert "2 × questions: malformed. The teacher did not keep to the form" in shown.said
    assert "1 × questions: cut. Replies ran into the token limit" in shown.said
    shown.app.session_state[f"failures_{run_id}"] = True
    shown.app.run()
    assert shown.fine and "I *can't* do that" in [code.value for code in shown.app.code]
    assert {metric.label: metric.value for metric in shown.go("overview").app.metric}["Failures"] == "3"


def test_history_lists_every_run_and_shows_the_picked_one(starter_ws):
    titles = {add_run(starter_ws, state, f"Part {state}", message=f"It is {state}."): state
              for state in ("finished", "failed", "paused", "cancelled")}  # fmt: skip
    lost = add_run(starter_ws, "running", "Part lost", pid=GONE)
    shown = Studio("runs")
    table = shown.table("state")
    assert list(table["id"]) == [lost, *sorted(titles, reverse=True)]
    assert [state for (state,) in table["state"]] == ["lost", "cancelled", "paused", "failed", "finished"]
    assert "5 runs · none at work" in shown.said
    for page in ("overview", "runs"):
        assert "Part lost" in Studio(page).said


def test_a_run_of_every_kind_is_shown(starter_ws):
    """A preview and a run for proposals have other stages than a generation."""
    for kind, stage in (("preview", "syllabus"), ("propose", "proposals")):
        with starter_ws.write() as db:
            id = run_rows.add_run(db, kind, f"A {kind}", {})
            run_rows.update_run(db, id, state="failed", started_at=1.0, heartbeat_at=2.0, finished_at=3.0)
            run_rows.set_stage(db, id, run_rows.StageProgress(stage, 4, 1, 0))
        shown = Studio("runs")
        shown.app.session_state["run"] = id
        shown.app.run()
        assert shown.fine and f"Run {id}: A {kind}" in shown.said and "1 of 4 calls" in shown.said


def test_a_run_of_a_removed_discipline_does_not_break_the_page(demo_ws):
    taxonomy_edit.remove(demo_ws, "music", "test")
    add_run(demo_ws, "paused", "Music", order={"target": {"disciplines": ["music"]}})
    shown = Studio("runs")
    assert shown.fine and "Music" in list(shown.table("state")["title"])
