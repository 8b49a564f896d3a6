"""A read-only studio shows everything and changes nothing, whatever a browser sends: every button of every page is pressed."""

import subprocess

import pytest
from streamlit.testing.v1.element_tree import Widget
from support.studio_app import PAGES, Studio, add_run

from glan_core import access
from glan_core.access import READ_ONLY
from glan_core.chat import conversations
from glan_core.errors import GlanError
from glan_core.generation import preview
from glan_core.generation.settings import TeacherSettings
from glan_core.io.atomic import atomic_output
from glan_core.models import server_client
from glan_core.operations import workspaces
from glan_core.runs import notifications
from glan_core.taxonomy import tree_editing
from glan_core.teachers import connections
from glan_core.teachers.endpoint_check import check_endpoint
from glan_core.workspace import DatabaseError, Workspace

pytest_plugins = ["support.studio_fixtures"]
pytestmark = pytest.mark.pages

HARMLESS = ("focus_",)  # keys of buttons that only select, of which there are many


def contents(folder):
    """Every file below a folder but the shared memory and empty log that SQLite makes for readers, too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm") and not (path.name.endswith("-wal") and not path.stat().st_size)
    }  # fmt: skip


@pytest.fixture
def shown_home(home, demo_ws, monkeypatch):
    """The folder of a demo workspace in a read-only studio, where a process that starts or a request that is sent is an error."""
    for state in ("failed", "paused", "running"):
        add_run(demo_ws, state, f"A {state} run")
    demo_ws.close()
    monkeypatch.setenv(READ_ONLY, "1")

    def started(*args, **values):
        raise AssertionError(f"a process was started: {args[0]}")

    monkeypatch.setattr(Widget, "_assert_can_interact", lambda widget: None)  # a forged message presses disabled buttons, too
    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr("glan_core.http_client.HttpClient._perform", started)
    return home


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_pressing_every_button_changes_nothing(shown_home, page):
    before = contents(shown_home)
    shown = Studio(page, workspace="demo")
    assert shown.fine and "read-only" in shown.said
    keys = [button.key or button.label for button in shown.app.button if not (button.key or "").startswith(HARMLESS)]
    for key in keys:
        button = next((button for button in shown.app.button if key in (button.key, button.label)), None)
        if button is None:  # another page or selection
            shown = Studio(page, workspace="demo")
            button = next((button for button in shown.app.button if key in (button.key, button.label)), None)
        if button is not None:
            button.click().run()
            assert shown.fine, (key, shown.app.exception)
    assert contents(shown_home) == before


def test_nothing_of_the_core_changes_spends_or_starts(shown_home, tmp_path):
    before = contents(shown_home)
    ws = Workspace.open(shown_home / "demo")
    assert ws.read_only
    terms = TeacherSettings()
    actions = {
        "write": lambda: ws.write().__enter__(),
        "create": lambda: workspaces.create(shown_home, "new"),
        "rename": lambda: workspaces.rename(shown_home, "demo", "other"),
        "archive": lambda: workspaces.archive(shown_home, "demo"),
        "reset": lambda: workspaces.reset_demo(shown_home, "demo"),
        "file": lambda: atomic_output(tmp_path / "x", folder=False, mark=1).__enter__(),
        "connection": lambda: connections.save_connection(connections.Connection(name="x", model="y")),
        "endpoint": lambda: check_endpoint("m"),
        "webhook": lambda: notifications.set_webhook("http://localhost:1/x"),
        "webhook test": lambda: notifications.send("http://localhost:1/x", {}),
        "model server": server_client.ensure_running,
        "stop": server_client.release,
        "chat": lambda: conversations.ask(ws, None, conversations.ConversationSettings(specs=("scripted",)), "hello"),
        "node": lambda: tree_editing.rename(ws, "mathematics", "Maths", "me"),
        "preview": lambda: preview.create(ws, "astronomy", terms),
    }
    for name, action in actions.items():
        with pytest.raises(GlanError, match="read-only"):
            action()
            pytest.fail(f"{name} was not refused")
    with pytest.raises(DatabaseError):
        ws.db.execute("UPDATE meta SET value = value")
    assert contents(shown_home) == before


def test_a_role_is_asked_for_at_each_check(demo_ws):
    folder = demo_ws.folder
    reason = [None]
    access.decide_by(lambda: access.Visitor("eve@example.org", reason[0]))
    try:
        ws = Workspace.open(folder)
        with ws.write():
            pass
        reason[0] = "You may only look."
        with pytest.raises(GlanError, match="only look"), ws.write():
            pass
        assert Workspace.open(folder).read_only
    finally:
        access.decide_by(None)
    assert not Workspace.open(folder).read_only
