"""Tests for the notifications of the Runs page: the webhook form, and the list that a browser reads."""

import json
import time

from support.studio_app import Studio, add_run, choose

from glan_core.runs import notifications
from glan_core.workspace import run_rows
from pages.components.shared import ended_runs

pytest_plugins = ["support.studio_fixtures"]
URL = "https://hooks.example/secret-token"


def test_the_webhook_is_saved_shown_without_its_secret_and_removed(demo_ws):
    shown = choose(Studio("runs"), webhook_url=URL)
    shown.press("Save webhook")
    assert shown.fine and notifications.webhooks() == {"": URL}
    assert "Webhook of all workspaces" in shown.said and "hooks.example" in shown.said and "secret-token" not in shown.said
    assert "secret-token" not in Studio("runs").said
    shown.press("Remove")
    assert notifications.webhooks() == {}


def test_an_address_that_is_not_valid_is_refused(demo_ws):
    shown = choose(Studio("runs"), webhook_url="ftp://x.example")
    shown.press("Save webhook")
    assert "is not an address of a webhook" in shown.said and notifications.webhooks() == {}


def test_a_test_that_fails_is_told(demo_ws):
    notifications.set_webhook("http://127.0.0.1:9/x")
    assert "did not accept the notification" in Studio("runs").press("Send test").said


def test_a_browser_is_told_of_long_runs_that_ended_lately_and_of_lost_ones(demo_ws):
    now = time.time()
    long = add_run(demo_ws, "failed", "long", message="No key.", started_at=now - 500, finished_at=now - 5)
    add_run(demo_ws, "finished", "short", started_at=now - 30, finished_at=now - 5)
    add_run(demo_ws, "finished", "yesterday", started_at=now - 90_000, finished_at=now - 86_400)
    live = add_run(demo_ws, "running", "live", pid=None)
    lost = add_run(demo_ws, "running", "lost", pid=None, started_at=now - 500, heartbeat_at=now - 100)
    found = {run["id"]: run for run in ended_runs.ended_runs(demo_ws, now)}
    assert set(found) == {long, lost} and live not in found
    assert (found[long]["state"], found[long]["message"], found[lost]["state"]) == ("failed", "No key.", "lost")
    with demo_ws.write() as db:
        run_rows.update_run(db, long, finished_at=now)
    assert ended_runs.ended_runs(demo_ws, now)[0]["key"] != found[long]["key"]  # resumed, and ended again


def test_only_workspaces_of_the_home_are_answered(home, demo_ws):
    for name, status in (("demo", 200), ("..", 404), ("", 404), (".archive", 404), ("demo/../demo", 404)):
        response = ended_runs._answer(home, name)
        assert response.status_code == status and json.loads(response.body)["runs"] == []
