"""The first picture of Overview: what the page says, in HTML, without changing or waiting for anything."""

import re
import sqlite3
import time
from html import unescape

import apsw
import pytest
from starlette.testclient import TestClient
from support.studio_app import Studio, add_run

from glan_core.figures.coverage import coverage_frame, shade_colors
from glan_core.figures.style import DARK, LIGHT
from glan_core.resources import ASSETS, STUDIO
from glan_core.roles import AUTH_FILE
from glan_core.taxonomy import tree_editing
from glan_core.taxonomy.coverage import coverage_by_node
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import FILE
from pages.components.overview.first_picture import first_picture
from pages.components.shared import asgi_app

pytest_plugins = ["support.studio_fixtures"]

ADDRESS = "/glan/first-picture"


@pytest.fixture
def client(home, monkeypatch):
    """The server, without its start."""
    monkeypatch.setenv("GLAN_HOME", str(home))
    return TestClient(asgi_app.app, base_url="http://localhost")


def test_it_says_what_the_page_says(demo_ws, client):
    answer = client.get(ADDRESS, params={"workspace": demo_ws.folder.name, "theme": "light"})
    shown = Studio()
    caption = next(one.value for one in shown.app.caption if "disciplines started" in one.value)
    assert answer.status_code == 200 and f"<p>{caption}</p>" in unescape(answer.text)
    steps = [button.label.replace("**", "") for button in shown.app.button if button.key and button.key.startswith("made_")]
    assert steps and all(f"<span><b>{step.replace(' ', '</b> ', 1)}</span>" in answer.text for step in steps)
    assert answer.headers["cache-control"] == "no-store" and "Music" in answer.text and "<small>demo</small>" in answer.text


def test_each_theme_has_its_colors(demo_ws, client):
    light, dark, unknown = (client.get(ADDRESS, params={"theme": theme}).text for theme in ("light", "dark", ""))
    assert LIGHT.ramp[3] in light and DARK.ramp[3] in dark and unknown == light


def test_a_workspace_without_data_has_rings_and_no_steps(starter_ws):
    html = first_picture(starter_ws.folder, "light")
    assert '<div class="steps">' not in html and "0 of 126 disciplines started" in html and "<small>" not in html


def test_the_tour_has_its_place_until_it_was_seen(demo_ws, starter_ws, monkeypatch, tmp_path):
    assert '<section class="tour">' not in first_picture(demo_ws.folder, "light")
    monkeypatch.setenv("GLAN_CONFIG_HOME", str(tmp_path / "new"))
    assert '<section class="tour">' in first_picture(demo_ws.folder, "light")
    assert '<section class="tour">' not in first_picture(starter_ws.folder, "light")


def test_without_a_name_it_is_the_workspace_that_the_page_opens(demo_ws, client, monkeypatch):
    monkeypatch.delenv("GLAN_WORKSPACE", raising=False)
    assert client.get(ADDRESS).text == client.get(ADDRESS, params={"workspace": demo_ws.folder.name}).text != ""


@pytest.mark.parametrize("asked", [{"focus": "music"}, {"drawn": "Tiles"}, {"measure": "pairs"}, {"shown": "All"}, {"workspace": "none"},
                                   {"workspace": "../demo"}])  # fmt: skip
def test_another_view_or_workspace_has_none(demo_ws, client, asked):
    answer = client.get(ADDRESS, params={"workspace": demo_ws.folder.name, "theme": "light"} | asked)
    assert (answer.status_code, answer.text) == (204, "")


def test_an_empty_home_and_an_empty_taxonomy_have_none(home, client):
    assert client.get(ADDRESS).status_code == 204
    Workspace.create(home / "nothing").close()
    assert client.get(ADDRESS, params={"workspace": "nothing"}).status_code == 204


def test_a_workspace_of_an_earlier_release_is_left_to_the_page(starter_ws):
    starter_ws.close()
    file = starter_ws.folder / FILE
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 3")
    db.close()
    before = file.read_bytes()
    assert first_picture(starter_ws.folder, "light") == "" and file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_no_workspace_has_none(home, content):
    folder = home / "broken"
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    assert first_picture(folder, "light") == ""


def test_a_damaged_database_has_none(starter_ws):
    starter_ws.close()
    file = starter_ws.folder / FILE
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    assert first_picture(starter_ws.folder, "light") == ""


def test_names_are_text(starter_ws):
    tree_editing.add(starter_ws, "<img src=x onerror=alert(1)>", None, "test", group="Academic-Formal Science")
    assert "<img" not in first_picture(starter_ws.folder, "light")


def test_only_overview_asks_for_it(client):
    asked = {page: asgi_app.FIRST_PICTURE in client.get(page).text for page in ("/", "/runs", "/homework")}
    assert asked == {"/": True, "/runs": False, "/homework": False}


def test_with_sign_in_strangers_get_none(demo_ws, client, monkeypatch):
    monkeypatch.setenv(AUTH_FILE, str(demo_ws.folder / "no-file"))
    monkeypatch.setattr(asgi_app.sign_in, "is_admitted_request", lambda request: False)
    assert client.get(ADDRESS, params={"workspace": demo_ws.folder.name}).status_code == 204
    monkeypatch.setattr(asgi_app.sign_in, "is_admitted_request", lambda request: True)
    assert client.get(ADDRESS, params={"workspace": demo_ws.folder.name}).status_code == 200


def test_where_some_disciplines_have_data_only_these_are_drawn(demo_ws, starter_ws):
    some, none = first_picture(demo_ws.folder, "light"), first_picture(starter_ws.folder, "light")
    assert (some.count("<path"), 'class="disciplines"' in some.replace("'", '"')) == (rings_of(demo_ws, only_begun=True), True)
    assert (none.count("<path"), 'class="disciplines"' in none.replace("'", '"')) == (
        rings_of(starter_ws, only_begun=False),
        False,
    )


def rings_of(ws: Workspace, *, only_begun: bool) -> int:
    tree = tree_editing.tree(ws)
    return len(coverage_frame(tree, coverage_by_node(ws, tree), only_begun=only_begun))


def test_it_is_colored_by_the_measure_that_the_page_begins_with(demo_ws):
    tree = tree_editing.tree(demo_ws)
    frame = coverage_frame(tree, coverage_by_node(demo_ws, tree), "share", only_begun=True)
    colors = re.findall(r'<path [^>]*fill="(#\w+)"', first_picture(demo_ws.folder, "dark"))
    assert sorted(colors) == sorted(shade_colors(frame, DARK)) and Studio().app.selectbox(key="measure").value == "share"


def test_live_runs_have_their_place(demo_ws):
    assert '<div class="run">' not in first_picture(demo_ws.folder, "light")
    add_run(demo_ws, "running", "Law")
    assert first_picture(demo_ws.folder, "light").count('<div class="run">') == 1


def test_its_connection_reads_and_is_closed(demo_ws, monkeypatch):
    opened = []
    connect = Workspace.open_to_read.__func__

    def noted(folder) -> Workspace:
        ws = connect(Workspace, folder)
        opened.append(ws.db)
        assert ws.db.readonly("main")
        return ws

    monkeypatch.setattr(Workspace, "open_to_read", noted)
    assert first_picture(demo_ws.folder, "light")
    (connection,) = opened
    with pytest.raises(apsw.ConnectionClosedError):
        connection.execute("SELECT 1")


@pytest.mark.parametrize(
    "change",
    ["UPDATE nodes SET parent_id = id WHERE id = 'music'", "UPDATE nodes SET parent_id = 'nowhere' WHERE id = 'music'",
     "UPDATE nodes SET name = x'00ff' WHERE id = 'music'", "UPDATE meta SET value = '{' WHERE key = 'demo'",
     "CREATE TRIGGER one AFTER UPDATE ON meta BEGIN SELECT 1; END"],
)  # fmt: skip
def test_of_a_database_with_damaged_rows_or_programs_there_is_none(demo_ws, client, caplog, change):
    demo_ws.db.execute("PRAGMA foreign_keys = OFF")
    demo_ws.db.execute(change)
    assert client.get(ADDRESS, params={"workspace": demo_ws.folder.name}).status_code == 204
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]


def test_a_locked_database_is_not_waited_for(demo_ws):
    demo_ws.db.pragma("journal_mode", "delete")
    demo_ws.db.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    assert first_picture(demo_ws.folder, "light") == ""
    assert time.monotonic() - start < 10, "writers wait for 30 s"
    demo_ws.db.execute("ROLLBACK")


def test_its_colors_are_those_of_the_theme():
    config = (STUDIO / ".streamlit" / "config.toml").read_text("utf-8")
    styles = re.sub(
        r"h1 small \{.*?\}", "", (ASSETS / "first_picture.css").read_text("utf-8"), flags=re.DOTALL
    )  # Streamlit's badge
    colors = re.findall(r"#[0-9A-F]{6}", styles)
    assert len(colors) >= 10 and not [color for color in colors if f'"{color}"' not in config]
