"""The Runs page: what it starts, shows and compares, and what it says of runs in every state."""

import os
import time

import pytest
from support.runs import Served
from support.studio_app import ORDER, Studio, add_failure, add_run, fill, ordered

from glan_core import runs
from glan_core.formatting import short
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.stage_specs import GENERATION_STAGES
from glan_core.settings import read_settings
from glan_core.taxonomy import tree_editing
from glan_core.workspace import call_rows, homework_rows, pair_filter, run_rows
from glan_core.workspace.run_rows import StageProgress

pytest_plugins = ["support.studio_fixtures"]

GONE = 2**22 + 12345  # above the largest process number of Linux


@pytest.fixture
def endpoint():
    """Serves the scripted teacher under a key; yields its address."""
    with Served(api_key="sk-secret-4711") as served:
        yield served.url


# ---------------------------------------------------------------------------------------------------------- what is shown


def view(shown: Studio) -> str:
    """Which of the page's views is open."""
    return next(control for control in shown.app.segmented_control if control.key == "runs_view").value


def test_the_page_opens_with_what_a_person_comes_for(starter_ws):
    assert view(Studio("runs")) == "Plan", "there is nothing to watch"
    add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    assert view(shown := Studio("runs")) == "Watch" and "Run 1: Algebra" in shown.said
    assert view(Studio("runs", runs_view="History")) == "History", "a link says what to show"
    shown = Studio("overview")
    shown.app.session_state["run_disciplines"] = ["music"]
    assert view(shown.go("runs")) == "Plan", "another page filled the form"
    assert "Running: run 1 (Algebra)" in shown.said


def test_a_view_is_open_after_back_has_taken_it_from_the_address(starter_ws):
    add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    shown = Studio("runs", runs_view="History")
    shown.app.session_state["runs_view"] = None
    del shown.app.query_params["runs_view"]
    shown.app.run()
    assert view(shown) == "Watch" and "Run 1: Algebra" in shown.said


@pytest.mark.long
def test_the_overview_and_the_run_itself_say_the_same_of_how_far_it_is(starter_ws):
    run = add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    with starter_ws.write() as db:
        run_rows.update_run(db, run, plan='{"stages": [{"stage": "question", "calls": [90, 120]}]}')
        run_rows.set_stage(db, run, StageProgress("syllabus", 10, 5, 0))
    assert "15 of at least 100 calls" in Studio("runs").said
    assert "Run 1, Algebra: 15 of at least 100 calls" in Studio("overview").said
    with starter_ws.write() as db:
        run_rows.update_run(db, run, state="paused")
    assert "15 of at least 100 calls" in Studio("runs", runs_view="Watch").said, "what is left counts while it rests"


@pytest.mark.parametrize(
    ("value", "written"),
    [(9_999, "9,999"), (12_345, "12.3k"), (300_000, "300k"), (4_560_000, "4.6M"), (1_372_200_000, "1.4B")],
)
def test_tight_places_hold_three_figures_or_so(value, written):
    assert short(value) == written


def test_a_run_of_another_workspace_is_not_taken_for_one_of_this(starter_ws, demo_ws):
    add_run(starter_ws, "finished", "Algebra")
    shown = Studio("runs", workspace="starter")
    shown.app.session_state["run"] = 1
    shown.app.run()
    assert "Run 1: Algebra" in shown.said
    shown.app.sidebar.selectbox[0].set_value("demo")
    shown.app.run()
    assert shown.fine and "Run 1: " not in shown.said


def test_a_workspace_without_runs_says_so_everywhere(starter_ws):
    for which, said in (("Plan", "No runs yet."), ("Watch", "Start one to watch it here"), ("History", "are listed here")):
        shown = Studio("runs", runs_view=which)
        assert shown.fine and said in shown.said
        if which != "Plan":
            shown.press("Plan a run")
            assert shown.fine and "**Target**" in shown.said


# ------------------------------------------------------------------------------------------------------------- running


@pytest.mark.long
def test_a_run_started_on_the_page_finishes_and_its_pairs_are_there(starter_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_queries=1, run_per=4)
    shown.press("Start ·")
    assert shown.fine
    shown.until(lambda page: "finished" in page.said and "live" in page.said and "none live" in page.said)
    run = run_rows.runs(starter_ws.db)[0]
    assert (run.state, run.title) == ("finished", "Mathematics") and run.plan["pairs"]
    assert f"Run {run.id}: Mathematics" in shown.said
    pairs = call_rows.counters(starter_ws.db)["mathematics"]["pairs"]
    assert pairs == 8 and "8 pairs" in shown.go("homework").said


@pytest.mark.long
def test_proposals_asked_for_on_the_taxonomy_page_arrive(starter_ws):
    shown = Studio("taxonomy", focus="natural-sciences").press("Ask for missing nodes · 4 calls")
    shown.until(lambda page: "Oceanography" in page.said)
    assert shown.fine and "open proposal" in shown.said


@pytest.mark.long
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
    shown.press("Start ·").until(lambda page: "badge[failed]" in page.said)
    shown = fill(shown, api_key_1="sk-secret-4711")
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

CONTROLS = ("Pause", "Cancel", "Resume", "Continue", "Run again", "Retry failed calls")


@pytest.mark.long
@pytest.mark.parametrize(
    ("state", "values", "badge", "controls"),
    [
        ("running", {"pid": os.getpid()}, "running", {"Pause", "Cancel"}),
        ("running", {"pid": os.getpid(), "wish": "pause"}, "running", {"Cancel"}),
        ("running", {"pid": os.getpid(), "wish": "cancel"}, "running", set()),
        ("running", {"pid": GONE}, "lost", {"Continue", "Cancel", "Run again"}),
        ("running", {"pid": GONE, "wish": "pause"}, "lost", {"Continue", "Cancel", "Run again"}),
        ("running", {"pid": os.getpid(), "heartbeat_at": time.time() - 3600}, "lost", {"Continue", "Cancel", "Run again"}),
        ("paused", {}, "paused", {"Resume", "Cancel", "Run again"}), ("failed", {}, "failed", {"Continue", "Run again"}),
        ("cancelled", {}, "cancelled", {"Continue", "Run again"}), ("finished", {}, "finished", {"Run again"}),
    ],
)  # fmt: skip
def test_a_run_shows_its_state_and_what_can_be_done(starter_ws, state, values, badge, controls):
    run_id = add_run(starter_ws, state, "Algebra", message="Message.", **values)
    shown = Studio("runs")
    shown.app.session_state["run"] = run_id
    shown.app.run()
    assert shown.fine and f"Run {run_id}: Algebra" in shown.said and f"badge[{badge}]" in shown.said
    assert {word for word in CONTROLS if any(label.startswith(word) for label in shown.labels())} == controls
    assert "Message." in shown.said and "10 of 40 calls" in shown.said and "None" not in shown.said
    assert ("Worker lost (no heartbeat)" in shown.said) == (badge == "lost")


def test_pause_and_cancel_leave_a_wish_for_the_process(starter_ws):
    run_id = add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    shown = Studio("runs").press("Pause")
    assert runs.get(starter_ws, run_id).wish == "pause" and "Will pause after in-flight requests are stored" in shown.said
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
    for said in (
        "**Questions: malformed** · 2", "**Questions: cut** · 1", "The latest: no list in it", "Its reply begins: I *can't* do that",
        "Use a stronger model for this stage (--stage question:teacher=…).", "(--stage question:max_tokens=…)",
    ):  # fmt: skip
        assert said in shown.said
    assert "Retry failed calls" in shown.labels()
    shown.app.session_state[f"failures_{run_id}"] = True
    shown.app.run()
    assert shown.fine and "I *can't* do that" in [code.value for code in shown.app.code]


def test_history_lists_every_run_and_shows_the_picked_one(starter_ws):
    titles = {add_run(starter_ws, state, f"Part {state}", message=f"It is {state}."): state
              for state in ("finished", "failed", "paused", "cancelled")}  # fmt: skip
    lost = add_run(starter_ws, "running", "Part lost", pid=GONE)
    shown = Studio("runs", runs_view="History")
    table = shown.table("state")
    assert list(table["id"]) == [lost, *sorted(titles, reverse=True)]
    assert [state for (state,) in table["state"]] == ["lost", "cancelled", "paused", "failed", "finished"]
    assert "5 runs with a teacher · 0 jobs · none live" in shown.said
    assert "Part lost" in Studio("overview").said


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
    tree_editing.remove(demo_ws, "music", "test")
    add_run(demo_ws, "paused", "Music", settings={"target": {"disciplines": ["music"]}})
    shown = Studio("runs", runs_view="History")
    assert shown.fine and "Music" in list(shown.table("state")["title"])
    shown = Studio("runs", runs_view="Watch")
    assert shown.fine and "Run 5: Music" in shown.said


# ------------------------------------------------------------------------------------------- watching, comparing, again


@pytest.mark.long
def test_a_finished_run_shows_disciplines_estimate_and_the_latest_pairs(starter_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_queries=1, run_per=4)
    shown.press("Start ·").until(lambda page: "badge[finished]" in page.said)
    [row] = shown.table("wanted").to_dict("records")
    assert (row["name"], row["gained"], row["pairs"], row["wanted"], row["share"]) == ("Mathematics", 8, 8, 8, 100)
    verdicts = shown.table("verdict").set_index("measure")
    assert verdicts.loc["Pairs", "actual"] == "8" and verdicts.loc["Pairs", "verdict"] == "in range"
    assert {metric.label: metric.value for metric in shown.app.metric}["New pairs"] == "8"
    assert "Latest pairs" in shown.said
    newest = homework_rows.pairs_page(starter_ws.db, pair_filter.PairFilter(), limit=1)[0]
    shown.press("Open")
    assert shown.fine and shown.app.session_state["pair"] == newest.question.id
    assert shown.app.session_state["focus"] == "mathematics" and newest.question.text[:40] in shown.said


def test_a_run_waits_behind_another_and_says_so(starter_ws):
    add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    run_id = runs.submit(starter_ws, "generate", "Geometry", ORDER)
    shown = Studio("runs")
    assert shown.fine and f"Run {run_id}: Geometry" in shown.said and "Queued behind run 1 (Algebra)" in shown.said


def test_a_used_up_budget_is_raised_where_the_run_goes_on(demo_ws, monkeypatch):
    launched = []
    monkeypatch.setattr("glan_core.runs.launcher.launch", lambda ws, run_id, environment: launched.append(run_id))
    settings = read_settings(GenerationSettings, {**ORDER, "budget_usd": 1.5, "max_calls": 20, "price": "1,1"}).model_dump(
        mode="json"
    )
    settings["target"] = {**settings["target"], "questions_per_syllabus": 30}
    run_id = add_run(
        demo_ws, "paused", "Algebra", message="The budget of $1.50 does not cover another call.", settings=settings
    )
    shown = Studio("runs", runs_view="Watch")
    spent = next(metric for metric in shown.app.metric if metric.label == "Cost")
    assert (spent.value, spent.delta) == ("$1.25", "of $1.50")
    resume = shown.button("Resume")
    assert resume.label.startswith("Resume · 24 calls · about")
    shown = fill(shown, **{f"raise_budget_{run_id}": 4.0, f"raise_calls_{run_id}": 500}).press("Resume")
    run = runs.get(demo_ws, run_id)
    assert shown.fine and launched == [run_id]
    assert (run.state, run.params["budget_usd"], run.params["max_calls"]) == ("queued", 4.0, 500)
    assert run.params["target"] == settings["target"]


AGAIN = {
    "target": {"disciplines": ["physics", "music"], "subject_queries": 3, "max_subjects": 4, "questions_per_syllabus": 9},
    "teacher": "openai:m", "answer_teacher": "openai:n", "base_url": "http://localhost:1/v1", "price": "0.5,1.5",
    "budget_usd": 2.5, "max_calls": 600, "max_in_flight": 6, "requests_per_minute": 70, "tokens_per_minute": 9000, "seed": 8,
    "pair_share": 0.35, "draw_law": "uniform", "stages": {"question": {"temperature": 0.7, "max_tokens": 999}},
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{}, {"answer_teacher": None, "engine": "ray", "ray_address": "ray://head:10001", "ray_workers": 3},
     {"answer_teacher": "scripted"}, {"teacher": "local:w", "answer_teacher": None, "base_url": None, "price": None, "budget_usd": None},
     {"answer_teacher": None, "base_url": None, "price": None, "budget_usd": None}],
)  # fmt: skip
def test_running_again_puts_the_order_into_the_form_and_spends_nothing(demo_ws, changes):
    settings = read_settings(GenerationSettings, {**AGAIN, **changes})
    add_run(demo_ws, "finished", "Two", settings=settings.model_dump(mode="json"))
    shown = Studio("runs", runs_view="Watch", focus="humanities").press("Run again")
    assert shown.fine and view(shown) == "Plan" and len(run_rows.runs(demo_ws.db)) == 5
    assert shown.app.query_params["workspace"] == "demo", "a link to this still opens the same workspace"
    again = ordered(shown, demo_ws)
    assert set(again.target.disciplines) == {"physics", "music"}
    ours, theirs = (
        one.model_dump(mode="json", exclude={"target": {"disciplines"}, "answer_teacher": True, "stages": True})
        for one in (settings, again)
    )
    assert ours == theirs
    for stage in GENERATION_STAGES:
        assert (again.teacher_of(stage), again.decoding_of(stage)) == (settings.teacher_of(stage), settings.decoding_of(stage))


def test_history_is_filtered_by_kind_and_state(starter_ws):
    for state in ("finished", "failed", "paused"):
        add_run(starter_ws, state, f"Part {state}")
    with starter_ws.write() as db:
        run_rows.update_run(db, run_rows.add_run(db, "propose", "Ideas", {}), state="finished")
    shown = Studio("runs", runs_view="History")
    shown.app.pills(key="history_state").set_value(["finished"])
    shown.app.run()
    assert list(shown.table("state")["title"]) == ["Ideas", "Part finished"]
    shown.app.pills(key="history_kind").set_value(["generate"])
    shown.app.run()
    assert list(shown.table("state")["title"]) == ["Part finished"]
    shown.app.pills(key="history_state").set_value(["failed"])
    shown.app.pills(key="history_kind").set_value(["propose"])
    shown.app.run()
    assert shown.fine and "No runs match these filters." in shown.said


def test_runs_are_compared_side_by_side(starter_ws, monkeypatch):
    other = {**ORDER, "target": {**ORDER["target"], "questions_per_syllabus": 40}}
    chosen = [add_run(starter_ws, "finished", "One"), add_run(starter_ws, "finished", "Two", settings=other)]
    add_failure(starter_ws, chosen[1], "cut")
    picked = [run for run in run_rows.runs(starter_ws.db) if run.id in chosen]
    monkeypatch.setattr("pages.components.shared.run_table.table", lambda *args, **settings: picked)
    shown = Studio("runs", runs_view="History")
    assert shown.fine and "2 runs compared" in shown.said
    came_to, orders = (shown.table(what).set_index(what) for what in ("Result", "Setting"))
    assert list(came_to.columns) == ["Run 1", "Run 2"]
    assert list(came_to.loc["Calls stored"]) == ["10", "10"] and list(came_to.loc["Open failures"]) == ["0", "1"]
    assert list(came_to.loc["Duration"]) == ["50 s", "50 s"] and list(came_to.loc["Cost"]) == ["$1.25", "$1.25"]
    assert list(orders.index) == ["Questions per syllabus"] and list(orders.iloc[0]) == ["4", "40"]
    picked[:] = picked[:1]
    shown = Studio("runs", runs_view="History")
    assert shown.fine and "Run 2: Two" in shown.said and "compared" not in shown.said


def test_a_run_that_failed_before_it_began_says_that_nothing_was_paid(starter_ws):
    run_id = runs.submit(starter_ws, "generate", "Algebra", ORDER)
    with starter_ws.write() as db:
        run_rows.update_run(db, run_id, state="failed", message="There is no discipline 'x'.", finished_at=time.time())
    shown = Studio("runs", runs_view="Watch")
    assert shown.fine and "nothing was spent" in shown.said


def test_a_link_opens_the_run_that_it_names(demo_ws):
    first = add_run(demo_ws, "failed", "The first")
    add_run(demo_ws, "finished", "The second")
    shown = Studio("runs", runs_view="Watch", run=str(first))
    assert f"Run {first}: The first" in shown.said and "The second" not in shown.said
    assert shown.app.query_params["run"] in (str(first), [str(first)])
    shown.app.button_group(key="runs_view").set_value("Plan").run()
    assert "run" not in shown.app.query_params and shown.fine
    assert Studio("runs", runs_view="Watch", run="999").fine and Studio("runs", run="x").fine


def test_a_run_with_nothing_left_to_do_is_not_gone_on_with(demo_ws):
    shown = Studio("runs", runs_view="Watch", run=str(add_run(demo_ws, "cancelled", "All there")))
    assert "nothing left to run" in shown.said and "Run again" in shown.labels()
    assert not [label for label in shown.labels() if label.startswith("Continue")]
