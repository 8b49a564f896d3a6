"""Workspaces of a home folder: facts, names, moving, the archive, the fresh demo, and copies of a live workspace."""

import os
import shutil
import socket
import threading
import time

import pytest
from support.demo import small_demo
from support.runs import content, execute_run
from support.studio_app import add_run

from glan_core.errors import GlanError
from glan_core.operations import demo_workspace, duplicate_job, workspaces
from glan_core.workspace import Workspace, find_workspaces, homework_rows, run_rows, taxonomy_rows, workspace_copy
from glan_core.workspace.workspace import FILE, set_metadata


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def demo_made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "demo"
    small_demo(folder).close()
    return folder


@pytest.fixture
def demo(home, demo_made):
    ws = Workspace.open(shutil.copytree(demo_made, home / "demo"))
    yield ws
    ws.close()


def refusal(action, *args, **values) -> str:
    with pytest.raises(GlanError) as caught:
        action(*args, **values)
    return str(caught.value)


def live(ws, **values) -> int:
    """A run that this process executes."""
    return add_run(ws, "running", "at work", pid=os.getpid(), claim="me", **values)


def names(home) -> list[str]:
    return [folder.name for folder in find_workspaces(home)]


def test_the_list_states_name_pairs_size_change_demo_runs_and_archive(home, demo):
    workspaces.create(home, "My Research").close()
    live(demo)
    workspaces.archive(home, "my-research")
    first, second = workspaces.list_workspaces(home)
    assert (first.name, first.pairs, first.demo, first.archived, first.live, first.problem) == (
        "demo",
        homework_rows.last_seq(demo.db),
        True,
        False,
        1,
        "",
    )
    assert first.bytes >= (home / "demo" / FILE).stat().st_size and abs(first.changed_at - time.time()) < 60
    assert (second.name, second.title, second.pairs, second.archived) == ("my-research", "My Research", 0, True)
    assert [one.name for one in workspaces.list_workspaces(home, archived=False)] == ["demo"]


def test_listing_writes_nothing_and_names_what_cannot_be_read(home, demo):
    demo.close()
    (home / "damaged").mkdir()
    (home / "damaged" / FILE).write_bytes(b"not a database" * 100)
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in home.rglob("*")}
    found = {one.name: one for one in workspaces.list_workspaces(home)}
    assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in home.rglob("*")} == before
    assert "is not a GLAN workspace" in found["damaged"].problem and found["damaged"].pairs is None
    assert found["demo"].problem == ""


def test_a_lost_run_is_not_live(home, demo):
    add_run(demo, "running", "lost", pid=2**22 + 1, host=socket.gethostname())
    assert workspaces.list_workspaces(home)[0].live == 0


@pytest.mark.parametrize(
    ("name", "said"), [("", "is empty"), (" ", "is empty"), ("../..", "no letter or digit"), ("x" * 300, "is longer than")]
)
def test_names_are_validated(home, name, said):
    assert said in refusal(workspaces.create, home, name)
    assert not list(home.iterdir())


def test_names_become_folders_of_the_home(home):
    assert workspaces.folder_name("../My Research") == "my-research"
    workspaces.create(home, "Größe 物理").close()
    assert names(home)[0].startswith("grosse-") and workspaces.list_workspaces(home)[0].title == "Größe 物理"


def test_a_workspace_is_renamed_with_its_folder_and_title(home, demo):
    demo.close()
    before = content(Workspace.open(home / "demo"))
    place = workspaces.rename(home, "demo", "My Research")
    ws = Workspace.open(place)
    assert names(home) == ["my-research"] and ws.metadata("name") == "My Research" and content(ws) == before
    assert workspaces.rename(home, "my-research", "My research!") == place  # the same folder
    assert Workspace.open(place).metadata("name") == "My research!"


def test_nothing_is_overwritten(home, demo):
    workspaces.create(home, "other").close()
    (home / "notes").mkdir()
    for name in ("other", "Other", "notes"):
        assert "already exists" in refusal(workspaces.rename, home, "demo", name)
        assert "already exists" in refusal(workspaces.create, home, name)
    workspaces.archive(home, "other")
    workspaces.create(home, "other").close()
    assert "Restore it under another name" in refusal(workspaces.restore, home, "other")
    assert workspaces.restore(home, "other", "Second").name == "second" and names(home) == ["demo", "other", "second"]


@pytest.mark.parametrize("name", ["no-such", "..", ".archive", "demo/.."])
def test_only_workspaces_of_the_home_are_found(home, demo, name):
    for action in (workspaces.archive, workspaces.reset_demo, workspaces.restore):
        assert "does not exist" in refusal(action, home, name)
    assert "does not exist" in refusal(workspaces.rename, home, name, "x")


def test_a_workspace_with_a_live_run_stays_where_it_is(home, demo):
    id = live(demo)
    for action in (workspaces.archive, workspaces.reset_demo):
        said = refusal(action, home, "demo")
        assert f"1 live run: {id} (at work)" in said and "Pause or cancel it first" in said
    assert "live run" in refusal(workspaces.rename, home, "demo", "other")
    assert names(home) == ["demo"] and not (home / ".archive" / "demo").exists()


def test_a_read_only_workspace_is_not_moved(home, demo, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *where: False)
    assert "read-only" in refusal(workspaces.rename, home, "demo", "other")
    assert "read-only" in refusal(workspaces.archive, home, "demo")


def test_archived_workspaces_are_hidden_and_come_back_whole(home, demo):
    (home / "demo" / "exports").mkdir()
    (home / "demo" / "exports" / "file").write_text("kept")
    before = content(demo)
    first = workspaces.archive(home, "demo")
    assert first == home / ".archive" / "demo" and names(home) == []
    workspaces.restore(home, "demo")
    ws = Workspace.open(home / "demo")
    assert content(ws) == before and (home / "demo" / "exports" / "file").read_text() == "kept"


def test_the_archive_keeps_workspaces_of_equal_names_apart(home, demo):
    kept = [workspaces.archive(home, "demo")]
    for _ in range(3):
        workspaces.create(home, "demo").close()
        kept.append(workspaces.archive(home, "demo"))
    assert len(set(kept)) == 4 and names(home / ".archive") == sorted(place.name for place in kept)


def test_a_connection_that_was_open_during_a_move_does_not_harm_the_workspace_that_takes_its_place(home, demo):
    """SQLite deletes the write-ahead log by its path at close, which would be that of the other workspace."""
    assert homework_rows.last_seq(demo.db)
    workspaces.archive(home, "demo")
    new = workspaces.create(home, "demo")
    with new.write() as db:
        set_metadata(db, "mark", "here")
    assert (home / "demo" / f"{FILE}-wal").stat().st_size
    demo.close()
    assert (home / "demo" / f"{FILE}-wal").exists()
    assert Workspace.open(home / "demo").metadata("mark") == "here"
    assert homework_rows.last_seq(Workspace.open(home / ".archive" / "demo").db)


def test_a_demo_is_reset_and_the_former_one_kept(home, demo):
    with demo.write() as db:
        set_metadata(db, "mark", "mine")
    demo.close()
    kept = workspaces.reset_demo(home, "demo")
    assert kept.parent == home / ".archive" and kept.name.startswith("demo-20")
    assert Workspace.open(kept).metadata("mark") == "mine"
    fresh = Workspace.open(home / "demo")
    assert fresh.metadata("mark") is None and fresh.metadata("demo") and homework_rows.last_seq(fresh.db) > 4000


def test_a_demo_that_cannot_be_created_anew_stays(home, demo, monkeypatch):
    def fail(*args, **values):
        raise GlanError("no space")

    monkeypatch.setattr(demo_workspace, "create_workspace", fail)
    assert refusal(workspaces.reset_demo, home, "demo") == "no space"
    assert names(home) == ["demo"] and not list((home / ".archive").iterdir())
    assert homework_rows.last_seq(Workspace.open(home / "demo").db)


def test_only_a_demo_is_reset(home):
    workspaces.create(home, "mine").close()
    assert "is not a demo workspace" in refusal(workspaces.reset_demo, home, "mine")


# -------------------------------------------------------------------------------------------------------------- copies


def copy(ws, name="Copy", **values):
    return execute_run(ws, {"name": name, **values}, "duplicate")


def test_a_copy_has_rows_and_files_and_an_identity_of_its_own(home, demo):
    (home / "demo" / "exports").mkdir()
    (home / "demo" / "exports" / "file").write_text("kept")
    for hidden in (home / "demo" / ".unfinished", home / "demo" / "previews" / "music"):
        hidden.mkdir(parents=True)
        (hidden / "file").write_text("left")
    run = copy(demo, "My Copy")
    assert (run.state, run.message) == ("finished", 'Copied "demo" to "my-copy".')
    other = Workspace.open(home / "my-copy")
    assert content(other) == content(demo) and other.metadata("name") == "My Copy"
    assert other.metadata("id") != demo.metadata("id") and other.metadata("demo")
    assert (home / "my-copy" / "exports" / "file").read_text() == "kept"
    assert not (home / "my-copy" / ".unfinished").exists() and not (home / "my-copy" / "previews").exists()
    assert run_rows.require_run(other.db, run.id).state == "finished"
    with other.write() as db:
        taxonomy_rows.clear_votes(db, "nothing")
    assert [folder.name for folder in home.iterdir() if folder.name.startswith(".")] == []


def test_words_are_found_in_a_copy(home, demo):
    copy(demo)
    found = [workspace_words(ws) for ws in (demo, Workspace.open(home / "copy"))]
    assert found[0] and found[0] == found[1]


def workspace_words(ws) -> list[str]:
    which = homework_rows.PairFilter(words="the")
    return [pair.question.id for pair in homework_rows.pairs_page(ws.db, which, limit=500)]


def test_a_copy_made_during_a_run_is_consistent_and_its_run_is_paused(home, demo, monkeypatch):
    """Others write between the steps of the copy: it has the state of its beginning."""
    id = live(demo)
    monkeypatch.setattr(workspace_copy, "PAGES", 5)
    before, written = content(demo), []

    def write(done: int, of: int) -> None:
        def other_process() -> None:
            ws = Workspace.open(home / "demo")
            with ws.write() as db:
                number = len(written)
                db.execute("INSERT INTO answers (id, question_id, text, teacher) VALUES (?, ?, 'new', 'x')", (number, number))
            ws.close()

        thread = threading.Thread(target=other_process)
        thread.start()
        thread.join()
        written.append(done)

    workspace_copy.copy_database(demo, home / "copied.sqlite", write)
    (home / "copy").mkdir()
    (home / "copied.sqlite").rename(home / "copy" / FILE)
    workspace_copy.mark_as_copy(home / "copy", "copy", "demo", 0)
    other = Workspace.open(home / "copy")
    assert len(written) > 3 and content(other) == before and content(demo) != before
    run = run_rows.require_run(other.db, id)
    assert (run.state, run.claim, run.pid) == ("paused", None, None) and "Resume it to continue here" in run.message
    assert run_rows.require_run(demo.db, id).state == "running"


def test_a_copy_is_refused_without_space_and_under_a_name_that_exists(home, demo, monkeypatch):
    assert "already exists" in copy(demo, "demo").message
    full = shutil.disk_usage(home)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    run = copy(demo)
    assert run.state == "failed" and 'A copy of "demo" needs' in run.message and "1 kB left" in run.message
    assert names(home) == ["demo"]


def test_a_stopped_copy_leaves_nothing(home, demo, monkeypatch):

    def fail(*args):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(duplicate_job, "copy_database", fail)
    run = copy(demo)
    assert (run.state, run.message) == ("failed", "somewhere cannot be copied: No space left on device.")
    assert [folder.name for folder in home.iterdir()] == ["demo"]


def test_a_copy_that_was_finished_before_its_run_was_killed_is_not_made_again(home, demo):
    run = copy(demo)
    with demo.write() as db:
        run_rows.update_run(db, run.id, state="queued", claim=None, finished_at=None)
    from glan_core import runs

    assert runs.work(demo, run.id).message == 'Copied "demo" to "copy".'
