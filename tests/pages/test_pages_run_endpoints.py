"""Runs that call several endpoints, a cluster or the Batch API: the form, and what the page and the command line list."""

import json
import os
from dataclasses import asdict

import pytest
from support.studio_app import Studio, add_run, fill, ordered

from glan_core.cli import main
from glan_core.workspace import batch_rows, run_rows
from glan_core.workspace.run_rows import EndpointProgress
from pages.components.runs.form import MORE

pytest_plugins = ["support.studio_fixtures"]


ENDPOINTS = (
    EndpointProgress("gpu1:8000", "in use", 6, 1200, 0, 0), EndpointProgress("gpu2:8000", "out of use", 0, 310, 9, 2),
)  # fmt: skip


@pytest.mark.parametrize("state", ["running", "finished"])
def test_the_endpoints_of_a_run_are_listed_while_it_runs_and_in_the_history(starter_ws, state, capsys):
    run = add_run(starter_ws, state, "Algebra", pid=os.getpid())
    with starter_ws.write() as db:
        run_rows.set_endpoints(db, run, ENDPOINTS)
    shown = Studio("runs", runs_view="Watch", run=str(run))
    assert shown.fine and "By endpoint" in shown.said
    rows = shown.table("outages")
    assert list(rows["name"]) == ["gpu1:8000", "gpu2:8000"] and list(rows["answered"]) == [1200, 310]
    assert [list(cell) for cell in rows["state"]] == [["in use"], ["out of use"]]
    main(["runs", str(starter_ws.folder), "show", str(run)])
    assert "gpu2:8000  out of use" in capsys.readouterr().out
    main(["runs", str(starter_ws.folder), "show", str(run), "--json"])
    assert json.loads(capsys.readouterr().out)["endpoints"] == [asdict(one) for one in ENDPOINTS]


def test_a_run_with_one_endpoint_has_no_list_of_endpoints(starter_ws):
    add_run(starter_ws, "finished", "Algebra")
    assert "By endpoint" not in Studio("runs", runs_view="Watch").said


def test_replicas_are_typed_planned_and_loaded_again(starter_ws):
    shown = fill(
        Studio("runs", focus="mathematics"), run_kind="endpoint", run_model="x", run_url="http://a/v1",
        run_replicas="http://b/v1, http://c/v1#KEY_C",
    )  # fmt: skip
    settings = ordered(shown, starter_ws)
    assert settings.replicas == ("http://b/v1", "http://c/v1#KEY_C")
    run = add_run(starter_ws, "finished", "Algebra", settings=settings.model_dump(mode="json"))
    again = Studio("runs", runs_view="Watch", run=str(run)).press("Run again")
    assert again.app.text_input(key="run_replicas").value == "http://b/v1, http://c/v1#KEY_C"


def test_batches_of_a_run_are_listed(starter_ws):
    run = add_run(starter_ws, "running", "Algebra", pid=os.getpid())
    with starter_ws.write() as db:
        run_rows.update_run(db, run, params='{"batch": true}')
        batch = batch_rows.add_batch(db, run, "openai:m", "http://127.0.0.1:9/v1", 1.0)
        batch_rows.update_batch(
            db,
            batch,
            step="submitted",
            requests=1200,
            status="in_progress",
            completed=500,
            failed=3,
            remote_id="batch_<b>7</b>",
        )
    shown = Studio("runs", runs_view="Watch")
    assert shown.fine and "**Batches**" in shown.said
    [frame] = [table.value for table in shown.app.dataframe if "remote" in table.value.columns]
    assert frame.iloc[0][["id", "requests", "state", "completed", "failed"]].tolist() == [1, 1200, "In progress", 500, 3]


def test_the_batch_api_halves_the_price_of_the_plan_and_needs_an_endpoint(starter_ws):
    shown = Studio("runs", runs_view="Plan", focus="mathematics")
    assert not any(one.key == "run_batch" for one in shown.app.toggle), "what is closed is not drawn"
    shown.app.session_state[MORE] = True
    shown.app.run()
    toggle = next(one for one in shown.app.toggle if one.key == "run_batch")
    assert toggle.disabled, "the scripted teacher has no Batch API"
    shown = fill(shown, run_kind="openai")
    shown = fill(shown, run_model="gpt-4o-mini", api_key="sk-test-0000000000000000")
    shown = fill(shown, run_batch=True)
    assert shown.fine and "half of the usual ones (Batch API)" in shown.said
    assert any("--batch" in command for command in shown.commands)


def test_the_engine_is_offered_only_where_an_endpoint_is_called(starter_ws):
    shown = Studio("runs", focus="mathematics")
    assert not any(one.key == "run_engine" for one in shown.app.selectbox)
    shown = fill(shown, run_kind="endpoint", run_model="x", run_url="http://a/v1")
    shown = fill(shown, run_engine="ray")
    shown = fill(shown, run_workers=3)
    settings = ordered(shown, starter_ws)
    assert (settings.engine, settings.ray_address, settings.ray_workers) == ("ray", "local", 3)
    assert fill(shown, run_kind="scripted").fine
