"""The dataset in a real browser: it is frozen by a run of its own, verified, and taken away as a file."""

import json
import zipfile

import pytest
from support.browser_driver import enter, expect, press, still, visit

from glan_core.dataset import snapshot_store
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.pair_filter import PairFilter

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def ws(studio_home):
    """The demo workspace, as the studio changes it."""
    opened = Workspace.open(studio_home / "demo")
    yield opened
    opened.close()


def test_the_dataset_is_frozen_verified_and_downloaded(page, server, ws, tmp_path):
    visit(page, server, "/dataset?workspace=demo&dataset_view=Snapshots", "Dataset")
    enter(page, "Name", "first")
    press(page, "Create snapshot (96 pairs)")
    expect(page.get_by_text("Created snapshot")).to_be_visible()  # a process of its own did it, and the page saw its end
    manifest = snapshot_store.read_snapshot(ws, "first").manifest
    expect(page.get_by_text(manifest.hash)).to_be_visible()
    press(page, "Verify")
    expect(page.get_by_text("The rows match the hash")).to_be_visible()
    press(page, "Export")
    expect(page.get_by_role("button", name="Download 96 pairs")).to_be_visible()
    print("URL", page.url)
    with page.expect_download() as started:
        page.get_by_role("button", name="Download 96 pairs").click()
    assert started.value.suggested_filename == "first-chat.zip"
    started.value.save_as(tmp_path / "first.zip")
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        lines = [line for name in archive.namelist() if name.endswith(".jsonl") for line in archive.read(name).splitlines()]
        assert "README.md" in archive.namelist()
    wanted = {pair.question.id for pair in homework_rows.all_pairs(ws.db, PairFilter())}
    assert {json.loads(line)["provenance"]["id"] for line in lines} == wanted


@pytest.mark.slow
def test_the_workspace_is_written_to_a_file_of_this_machine(page, server, ws, tmp_path):
    visit(page, server, "/dataset?workspace=demo&focus=music&dataset_view=Export", "Dataset · Music")
    page.get_by_role("radio", name="Folder or file").or_(page.get_by_role("button", name="Folder or file")).first.click()
    still(page)
    enter(page, "Path", str(tmp_path / "music.jsonl"))
    press(page, "Export 16 pairs")
    expect(page.get_by_text("Wrote 16 pairs to")).to_be_visible()
    assert len((tmp_path / "music.jsonl").read_text("utf-8").splitlines()) == 16
