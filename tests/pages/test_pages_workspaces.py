"""Tests for the Workspaces page and the sidebar: list, actions, reset of the demo, comparison; comparison of snapshots."""

from support.runs import execute_run
from support.studio_app import Studio, add_run, choose, copy_of, field

from glan_core.operations import workspace_check, workspaces
from glan_core.workspace import Workspace, find_workspaces, run_rows
from glan_core.workspace.workspace import set_metadata

pytest_plugins = ["support.studio_fixtures"]


def names(home) -> list[str]:
    return [folder.name for folder in find_workspaces(home)]


def key(shown: Studio, key: str):
    return next(button for button in shown.app.button if button.key == key)


def click(shown: Studio, name: str) -> Studio:
    key(shown, name).click().run()
    assert shown.fine
    return shown


def test_all_workspaces_are_listed_with_the_archived_ones(home, demo_ws, starter_ws):
    workspaces.archive(home, "starter")
    shown = Studio("workspaces", workspace="demo")
    table = shown.table("state")
    assert table["name"].tolist() == ["demo", "starter"] and table["state"].tolist() == ["open, demo", "archived"]
    assert "1 workspace · 1 archived" in shown.said and table["pairs"].tolist() == [96, 0]


def test_a_workspace_is_created_and_opened(home, demo_ws):
    shown = Studio("workspaces", workspace="demo")
    field = next(one for one in shown.app.text_input if one.label == "Name of the new workspace")
    field.set_value("My Research")
    next(button for button in shown.app.button if button.label == "Create workspace").click().run()
    assert shown.fine and names(home) == ["demo", "my-research"]
    assert shown.app.query_params["workspace"] == "my-research" and "2 workspaces" in shown.said


def test_the_open_workspace_is_renamed(home, demo_ws):
    shown = Studio("workspaces", workspace="demo", focus="music")
    choose(shown, new_name_demo="Second demo")
    click(shown, "rename_workspace_now_demo")
    assert names(home) == ["second-demo"] and shown.app.query_params["workspace"] == "second-demo"
    assert "second-demo" in shown.said and "does not exist" not in shown.said


def test_errors_are_shown(home, demo_ws, starter_ws):
    shown = Studio("workspaces", workspace="demo")
    choose(shown, new_name_demo="starter")
    click(shown, "rename_workspace_now_demo")
    assert "already exists" in shown.said and names(home) == ["demo", "starter"]


def test_a_workspace_is_archived_and_restored(home, demo_ws, starter_ws):
    shown = Studio("workspaces", workspace="demo")
    click(shown, "archive_workspace_now_demo")
    assert names(home) == ["starter"] and shown.app.query_params["workspace"] == "starter"
    assert shown.app.query_params["selected_workspace"] == ".archive/demo"
    click(shown, "restore_workspace_demo")
    assert names(home) == ["demo", "starter"]


def test_the_last_workspace_can_be_archived_and_restored(home, demo_ws):
    shown = click(Studio("workspaces"), "archive_workspace_now_demo")
    assert "No workspace in" in shown.said and shown.labels() == ["Create workspace", "Restore demo"]
    shown.press("Restore demo")
    assert shown.fine and names(home) == ["demo"] and "1 workspace" in shown.said


def test_a_live_run_blocks_what_moves_and_not_the_copy(home, demo_ws, launched):
    add_run(demo_ws, "running", "at work", pid=1)
    with demo_ws.write() as db:
        run_rows.update_run(db, run_rows.runs(db)[0].id, pid=None)
    shown = Studio("workspaces")
    assert "1 live run: it can be copied" in shown.said
    assert key(shown, "archive_workspace_now_demo").disabled and key(shown, "detail_reset_now").disabled
    click(shown, "duplicate_workspace_now_demo")
    [run] = [run for run in run_rows.runs(demo_ws.db) if run.kind == "duplicate"]
    assert launched == [run.id] and run.params["name"] == "Demo copy" and "Copy to Demo copy" in shown.said


def test_a_copy_under_a_name_that_exists_is_refused_before_it_starts(home, demo_ws, launched):
    shown = choose(Studio("workspaces"), copy_name_demo="demo")
    click(shown, "duplicate_workspace_now_demo")
    assert "already exists" in shown.said and launched == []


def test_the_demo_is_reset(home, demo_ws):
    with demo_ws.write() as db:
        set_metadata(db, "mark", "mine")
    demo_ws.close()
    shown = click(Studio("workspaces", focus="music"), "detail_reset_now")
    assert names(home) == ["demo"] and Workspace.open(home / "demo").metadata("mark") is None
    assert "focus" not in shown.app.query_params and "1 archived" in shown.said
    [kept] = find_workspaces(home / ".archive")
    assert Workspace.open(kept).metadata("mark") == "mine"


def test_only_a_demo_offers_the_reset(starter_ws):
    assert "Archive and reset" not in Studio("workspaces").labels()


def test_another_workspace_is_selected_opened_and_compared(home, demo_ws, starter_ws):
    shown = Studio("workspaces", workspace="demo", selected_workspace="starter")
    assert "starter" in [one.value for one in shown.app.header]
    click(shown, "compare_workspace")
    assert field(shown, "compare_other").value == "starter"
    shown = click(Studio("workspaces", workspace="demo", selected_workspace="starter"), "open_workspace")
    assert shown.app.query_params["workspace"] == "starter"


def test_two_workspaces_are_compared(home, demo_ws, settings):
    other = workspaces.create(home, "other")
    execute_run(other, settings("music", teacher="scripted"))
    other.close()
    shown = Studio("workspaces", workspace="demo", workspaces_view="Compare")
    counts = shown.table("last").set_index("label")
    assert counts.loc["Disciplines with subjects"].tolist() == [3, 1, "-2"]
    assert "Latest generation runs" in shown.said and "Questions per syllabus" in shown.said and "Total" in shown.said


def test_one_workspace_cannot_be_compared(demo_ws):
    assert "needs two workspaces" in Studio("workspaces", workspaces_view="Compare").said


def test_a_workspace_that_cannot_be_read_is_listed_with_its_reason(home, demo_ws, demo_made):
    broken = copy_of(demo_made, home, "broken")
    (broken / "glan.sqlite").write_bytes(b"nothing" * 100)
    shown = Studio("workspaces", workspace="demo", selected_workspace="broken")
    assert shown.fine and "is not a GLAN workspace" in shown.said and "cannot be read" in shown.table("state")["state"].tolist()


def test_two_snapshots_are_compared(snapshot_ws):
    execute_run(snapshot_ws, {"name": "second", "which": {"disciplines": ["music"]}, "split": "none"}, kind="snapshot")
    shown = Studio("dataset", dataset_view="Snapshots", snapshot="first")
    assert "Rows in both" not in shown.said
    choose(shown, compare_snapshot="second")
    metrics = {one.label: one.value for one in shown.app.metric}
    assert metrics["Rows in both"] == "16" and metrics["Only in first"] == "80" and metrics["Only in second"] == "0"
    assert "Settings that differ" in shown.said and "validation rows of" not in shown.said


def test_rows_that_a_repair_removed_are_restored(home, demo_ws):
    with demo_ws.write() as db:
        db.execute("DELETE FROM syllabi WHERE discipline_id = 'music'")
    for finding in workspace_check.find_faults(demo_ws):
        workspace_check.repair(demo_ws, finding)
    shown = Studio("workspaces", workspace="demo")
    assert "Removed: 1 item" in shown.said and shown.table("at")["kind"].tolist() == ["rows"]
    assert shown.table("at")["name"].tolist()[0].startswith("16 of questions, ")
    shown.press("Restore")
    assert shown.fine and "Removed:" not in shown.said
    assert any(one.value.startswith("Restored: rows 16 of questions, ") for one in shown.app.toast)
    assert demo_ws.db.execute("SELECT count(*) FROM questions WHERE discipline_id = 'music'").fetchone() == (16,)
