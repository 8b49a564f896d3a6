"""Removed files are set aside whole, and come back whole."""

import json

import pytest

from glan_core import access
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, removed


@pytest.fixture
def ws(tmp_path):
    made = Workspace.create(tmp_path / "ws")
    (made.folder / "models" / "one").mkdir(parents=True)
    (made.folder / "models" / "one" / "weights.bin").write_bytes(b"123")
    return made


def test_what_is_removed_can_be_put_back_or_purged(ws):
    place = ws.folder / "models" / "one"
    one = removed.set_aside(ws, place, "model", "one", base="x")
    assert not place.exists() and removed.list_removed(ws) == [one] and one.facts == {"base": "x"}
    place.mkdir()
    with pytest.raises(GlanError, match='"one" exists again'):
        removed.put_back(ws, one)
    place.rmdir()
    assert removed.put_back(ws, one) == place and (place / "weights.bin").read_bytes() == b"123"
    assert removed.list_removed(ws) == [] and not list((ws.folder / removed.FOLDER).iterdir())
    two = removed.set_aside(ws, place, "model", "one")
    removed.purge(ws, two)
    assert not place.exists() and removed.list_removed(ws) == []


def test_the_newest_is_first_and_names_may_repeat(ws):
    place = ws.folder / "models" / "one"
    first = removed.set_aside(ws, place, "model", "one")
    place.mkdir()
    second = removed.set_aside(ws, place, "model", "one")
    assert [one.id for one in removed.list_removed(ws)] == [second.id, first.id]
    with pytest.raises(GlanError, match="number 9"):
        removed.get_removed(ws, 9)


@pytest.mark.parametrize(
    "place",
    [
        "../outside",
        "/etc/x",
        "models/../../x",
        ".removed/1",
        "",
        "models//x",
        "models",
        "glan.sqlite-journal",
        "snapshots/x",
        7,
    ],
)
def test_a_record_that_leads_elsewhere_is_ignored(ws, place):
    one = removed.set_aside(ws, ws.folder / "models" / "one", "model", "one")
    about = ws.folder / removed.FOLDER / str(one.id) / removed.ABOUT
    about.write_text(json.dumps(json.loads(about.read_text()) | {"place": place}))
    assert removed.list_removed(ws) == []


def test_nothing_is_removed_where_nothing_may_change(ws):
    access.decide_by(lambda: access.Visitor("", "Not you."))
    try:
        with pytest.raises(GlanError, match="Not you"):
            removed.set_aside(ws, ws.folder / "models" / "one", "model", "one")
    finally:
        access.decide_by(None)
    assert (ws.folder / "models" / "one").exists()


@pytest.mark.parametrize(
    "change", [{"at": "now"}, {"facts": 1}, {"kind": "conversation"}, {"name": None}, {"id": 9}, {"other": 1}]
)
def test_a_record_that_cannot_be_right_is_ignored(ws, change):
    one = removed.set_aside(ws, ws.folder / "models" / "one", "model", "one")
    about = ws.folder / removed.FOLDER / str(one.id) / removed.ABOUT
    about.write_text(json.dumps(json.loads(about.read_text()) | change))
    assert removed.list_removed(ws) == []


def test_a_name_has_no_control_characters(ws):
    one = removed.set_aside(ws, ws.folder / "models" / "one", "model", "one\x1b[2J")
    assert removed.list_removed(ws)[0].name == "one\ufffd[2J" and one.kind == "model"


def test_nothing_is_restored_through_a_link(ws, tmp_path):
    one = removed.set_aside(ws, ws.folder / "models" / "one", "model", "one")
    (ws.folder / "models").rmdir()
    (tmp_path / "outside").mkdir()
    (ws.folder / "models").symlink_to(tmp_path / "outside")
    with pytest.raises(GlanError, match="leads out of the workspace"):
        removed.put_back(ws, one)
    assert not list((tmp_path / "outside").iterdir())
