"""Tests for all pages: every state of a workspace, and the choice of workspace and focus."""

import os

import apsw
import pytest
from support.demo import starter_workspace
from support.studio_app import PAGES, Studio, add_run, copy_of

from glan_core.operations import demo_workspace
from glan_core.records import Node
from glan_core.taxonomy import taxonomy_files, tree_editing
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.schema import APPLICATION_ID, MIGRATIONS

pytest_plugins = ["support.studio_fixtures"]


# ------------------------------------------------------------------------------------------------- states of a workspace


@pytest.mark.parametrize("page", PAGES)
def test_without_a_workspace_every_page_says_so_and_offers_to_make_one(home, page):
    shown = Studio(page)
    assert shown.fine
    assert f"No workspace in {home} yet" in shown.said
    assert shown.labels() == ["Create workspace"]


def test_the_home_folder_may_be_missing(home):
    home.rmdir()
    shown = Studio()
    assert shown.fine and "No workspace in" in shown.said


@pytest.mark.long
def test_a_new_workspace_is_opened_at_once(home):
    shown = Studio()
    shown.press("Create workspace")
    assert "Enter a workspace name." in shown.said
    shown.app.text_input[0].set_value("My Research")
    shown.press("Create workspace")
    assert shown.fine and "0 of 126 disciplines started" in shown.said
    assert shown.app.query_params["workspace"] == "my-research"
    shown.app.text_input[0].set_value("my research")
    shown.press("Create workspace")
    assert "already exists" in shown.said
    shown.app.text_input[0].set_value("second")
    shown.app.checkbox[0].check()
    shown.press("Create workspace")
    assert shown.app.query_params["workspace"] == "second" and "14 of 126 disciplines started" in shown.said


EMPTY = {
    "overview": "Add the default taxonomy",
    "taxonomy": "The taxonomy is empty",
    "syllabi": "No subjects in this workspace",
    "homework": "in this workspace yet",
    "diversity": "No questions to map yet",
    "dataset": "No pairs yet",
    "train": "Training needs question and answer pairs",
    "models": "No tuned models yet",
    "chat": "Models fine-tuned on this workspace can be compared here",
    "evaluate": "No evaluations yet",
    "runs": "No disciplines in focus",
    "connections": "No connections are saved",
    "workspaces": "1 workspace · none archived",
    "search": "Search finds disciplines",
}


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_taxonomy(home, page):
    Workspace.create(home / "empty").close()
    shown = Studio(page)
    assert shown.fine and EMPTY[page] in shown.said
    assert "None" not in shown.said and "nan" not in shown.said


def test_an_empty_taxonomy_can_be_filled_with_the_starter_taxonomy(home):
    ws = Workspace.create(home / "empty")
    shown = Studio("taxonomy").press("Use default taxonomy")
    assert shown.fine and "126 disciplines" in shown.said
    assert taxonomy_rows.nodes(ws.db) == taxonomy_files.read(demo_workspace.STARTER_TAXONOMY)


STARTER = {
    "overview": "0 of 126 disciplines started · 0 pairs · no target yet",
    "taxonomy": "8 fields · 126 disciplines · 0 open proposals",
    "syllabi": "No subjects in this workspace yet. A run generates subjects and their syllabi.",
    "homework": "No questions in this workspace yet. A run generates questions and answers.",
    "diversity": "No questions yet",
    "dataset": "No answered questions yet",
    "train": "Training needs question and answer pairs",
    "models": "No tuned models yet",
    "chat": "Models fine-tuned on this workspace can be compared here",
    "evaluate": "No evaluations yet",
    "runs": "No runs yet.",
    "connections": "No connections are saved",
    "workspaces": "1 workspace · none archived",
    "search": "Search finds disciplines",
}


@pytest.mark.long
@pytest.mark.parametrize("page", STARTER)
def test_a_taxonomy_without_data(starter_ws, page):
    shown = Studio(page)
    assert shown.fine and STARTER[page] in shown.said


DEMO = {
    "overview": "3 of 126 disciplines started · 96 pairs",
    "taxonomy": "8 fields · 126 disciplines · 18 open proposals",
    "syllabi": "4 of 4 subjects have a syllabus",
    "homework": "96 pairs · 0 questions without an answer",
    "diversity": "96 questions · no map yet",
    "dataset": "96 pairs · 96 kept (100%)",
    "train": "Training needs a snapshot of the dataset. No snapshots yet.",
    "models": "No tuned models yet.",
    "chat": "Models fine-tuned on this workspace can be compared here",
    "evaluate": "No evaluations yet",
    "runs": "4 runs with a teacher · 0 jobs · none live",
    "connections": "No connections are saved",
    "workspaces": "1 workspace · none archived",
    "search": "Type into the search box",
}


@pytest.mark.parametrize("page", PAGES)
def test_the_demo_workspace_says_that_it_is_one(demo_ws, page):
    shown = Studio(page)
    assert shown.fine and DEMO[page] in shown.said
    assert "gray-badge[demo]" in shown.said


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_a_read_only_workspace_says_so_once_and_offers_no_change(demo_ws, page, monkeypatch):
    demo_ws.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    shown = Studio(page)
    assert shown.fine and DEMO[page] in shown.said and shown.said.count("badge[read-only]") == 1
    changes = ("Add discipline", "Keep", "Reject", "Star", "Edit", "Start", "Undo", "Ask for", "Apply votes")
    assert not [label for label in shown.labels() if label.startswith(changes)]


def damage_header(file):
    file.write_bytes(b"not a database at all" * 100)


def damage_middle(file):
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)


def damage_the_end(file):
    """Opening goes well, reading does not."""
    content = bytearray(file.read_bytes())
    half = len(content) // 3
    content[-half:] = b"\xff" * half
    file.write_bytes(content)


def cut_short(file):
    file.write_bytes(file.read_bytes()[:5000])


def make_newer(file):
    content = bytearray(file.read_bytes())
    content[60:64] = (len(MIGRATIONS) + 3).to_bytes(4, "big")
    file.write_bytes(content)


def without_tables(file):
    """A database of something else with the header of a workspace."""
    file.unlink()
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE notes (text)")
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", len(MIGRATIONS))
    db.pragma("journal_mode", "wal")
    db.close()


def empty_file(file):
    file.write_bytes(b"")


# Every state on one page, and one state on every page: what opens a workspace is shared by all pages.
@pytest.mark.parametrize(
    ("page", "damage", "said"),
    [
        ("overview", damage_header, "is not a GLAN workspace"), ("overview", damage_middle, "is damaged"),
        ("overview", cut_short, "is damaged"), ("overview", make_newer, "was made by a newer release"),
        ("overview", empty_file, "contains no workspace"),
        *((page, damage_header, "is not a GLAN workspace") for page in PAGES if page != "overview"),
        *((page, without_tables, "damaged or unusable") for page in PAGES),
    ],
)  # fmt: skip
def test_a_workspace_that_cannot_be_read_is_told_in_a_sentence(home, demo_made, page, damage, said):
    folder = copy_of(demo_made, home, "demo")
    for beside in ("glan.sqlite-wal", "glan.sqlite-shm"):
        (folder / beside).unlink(missing_ok=True)
    damage(folder / "glan.sqlite")
    before = (folder / "glan.sqlite").read_bytes()
    shown = Studio(page)
    assert shown.fine
    assert [said in error.value for error in shown.app.error] == [True], [error.value for error in shown.app.error]
    assert (folder / "glan.sqlite").read_bytes() == before


def test_another_workspace_can_be_chosen_where_one_is_damaged(home, demo_made):
    damage_header(copy_of(demo_made, home, "demo") / "glan.sqlite")
    starter_workspace(home / "other").close()
    shown = Studio()
    assert "is not a GLAN workspace" in shown.said
    shown.app.selectbox[0].set_value("other").run()
    assert "0 of 126 disciplines started" in shown.said


@pytest.mark.long
def test_names_that_hold_markup_are_shown_as_they_are(home):
    ws = Workspace.create(home / "odd")
    name = "A*b*c $x$ and $y$ :red[hot] <b>#1</b> [link](http://x)"
    nodes = [Node("odd", name, "field"), Node("odder", f"{name} too", "discipline", "odd", None, "Costs $1 to $2 *or* more.")]
    tree_editing.import_nodes(ws, nodes, "test")
    add_run(ws, "failed", name, message="Spent $1.00 of $2.00: *no* more")
    ws.close()
    for page in PAGES:
        shown = Studio(page, focus="odder", workspace="odd")
        assert shown.fine
        app = shown.app
        told = [text.value for texts in (app.title, app.header, app.markdown, app.caption, app.error) for text in texts]
        told += [button.label for button in app.button]
        for text in told:
            for sign in ("*b*", "$x$", ":red[", "<b>", "](http", "*no*", "*or*"):
                assert sign not in text


@pytest.mark.parametrize("page", PAGES)
def test_damage_that_shows_only_in_reading_is_told_too(home, demo_made, page):
    folder = copy_of(demo_made, home, "demo")
    damage_the_end(folder / "glan.sqlite")
    shown = Studio(page)
    assert shown.fine and (DEMO[page] in shown.said or "is damaged" in shown.said)
    assert "is damaged" in shown.said or page != "homework"


# ------------------------------------------------------------------------------------------------------ workspace and focus


@pytest.mark.long
def test_a_link_opens_its_workspace_and_focus_on_every_page(home, demo_ws, starter_ws):
    for page in PAGES:
        shown = Studio(page, workspace="demo", focus="music")
        assert shown.fine and f"{page.capitalize()} · Music" in shown.said
        assert shown.app.query_params == {"workspace": "demo", "focus": "music"}
    assert workspace_choice(Studio(workspace="starter")).value == "starter"


def workspace_choice(shown: Studio):
    return next(box for box in shown.app.selectbox if box.label == "Workspace")


def test_the_focus_goes_along_from_page_to_page_and_is_cleared_by_the_breadcrumb(demo_ws):
    shown = Studio(focus="music")
    assert "of 1 subject have a syllabus · 16 pairs · 33.3% of the target reached" in shown.said
    shown.go("homework")
    assert "Homework · Music" in shown.said and shown.app.query_params["focus"] == "music"
    shown.press("The arts")
    assert shown.app.query_params["focus"] == "the-arts"
    shown.press("All knowledge")
    assert "focus" not in shown.app.query_params and "96 pairs" in shown.said


@pytest.mark.long
@pytest.mark.parametrize(("focus", "pages"), [("no-such-node", ("overview",)), ("music", PAGES)])
def test_a_focus_that_is_no_longer_there_is_dropped(demo_ws, focus, pages):
    tree_editing.remove(demo_ws, "music", "test")
    for page in pages:
        shown = Studio(page, focus=focus)
        assert shown.fine and "focus" not in shown.app.query_params
        assert page.capitalize() in [title.value for title in shown.app.title]


def test_another_workspace_forgets_the_focus(demo_ws, starter_ws):
    shown = Studio(workspace="demo", focus="music")
    workspace_choice(shown).set_value("starter").run()
    assert shown.fine and shown.app.query_params == {"workspace": "starter"}
    assert "0 of 126 disciplines started" in shown.said


def test_an_address_with_another_workspace_wins_over_the_session(demo_ws, starter_ws):
    shown = Studio(workspace="demo", focus="music")
    shown.app.query_params = {"workspace": "starter", "focus": "history"}
    shown.app.run()
    assert shown.app.query_params == {"workspace": "starter", "focus": "history"}
    assert "Overview · History" in shown.said


def test_a_link_to_a_workspace_that_does_not_exist_says_which_is_open_instead(demo_ws, starter_ws):
    shown = Studio("overview", workspace="gone*away*")
    missing = 'Workspace "gone*away*" does not exist in'
    assert shown.fine and missing in shown.said and '"demo" is open instead' in shown.said
    shown.app.run()
    assert missing in shown.said
    workspace_choice(shown).set_value("starter").run()
    assert missing not in shown.said
    shown.go("runs", workspace="nothing")
    assert 'Workspace "nothing" does not exist in' in shown.said and '"starter" is open instead' in shown.said
    shown.go("taxonomy")
    assert "does not exist" not in shown.said


def test_a_workspace_that_is_renamed_or_archived_elsewhere_is_no_broken_link(home, demo_ws, starter_ws):
    shown = Studio("overview", workspace="starter")
    (home / "starter").rename(home / "second")
    shown.app.run()
    assert shown.fine and "does not exist" not in shown.said
