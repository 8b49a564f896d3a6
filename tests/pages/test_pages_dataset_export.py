"""The Dataset page's snapshots, exports and judge: the count before the button, what it does, and what it says in every state."""

import os
import shlex

import pytest
import streamlit as st
from support.studio_app import Studio, draw_map

from glan_core import runs
from glan_core.cli import build_parser
from glan_core.cli.dataset import _selection
from glan_core.dataset import snapshot_store
from glan_core.dataset.export_job import exports_folder
from glan_core.dataset.settings import RowSelection
from glan_core.homework import review
from glan_core.runs import launcher
from glan_core.workspace import homework_rows, judgment_rows, run_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag
from pages.components.dataset import row_choice

pytest_plugins = ["support.studio_fixtures"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Runs are carried out when they are started, in this process."""
    monkeypatch.setattr(launcher, "launch", lambda ws, run_id, environment=None: runs.work(ws, run_id))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)


@pytest.fixture
def tagged(demo_ws):
    """The demo workspace with a pair that a person rejected and two near-duplicates, all of Mathematics."""
    pairs = homework_rows.pairs_page(demo_ws.db, PairFilter(disciplines=("mathematics",)), limit=3)
    review.review(demo_ws, pairs[0].question.id, "reject", "Ada")
    with demo_ws.write() as db:
        tag_rows.put_tags(db, [Tag(pair.question.seq, "duplicate", "near", score=0.8) for pair in pairs[1:]], None)
    return demo_ws


def snapshots_view(**query) -> Studio:
    return Studio("dataset", dataset_view="Snapshots", **query)


def exports(**query) -> Studio:
    return Studio("dataset", dataset_view="Export", **query)


def field(shown: Studio, key: str):
    """The field of a key, whatever it is."""
    kinds = ("text_input", "selectbox", "number_input", "slider", "toggle", "checkbox", "button_group")
    return next(one for kind in kinds for one in shown.app.get(kind) if one.key == key)


def choose(shown: Studio, key: str, value) -> Studio:
    field(shown, key).set_value(value)
    shown.app.run()
    return shown


def download(shown: Studio):
    [button] = shown.app.download_button
    return button


def test_a_snapshot_is_taken_of_what_was_counted_and_told_in_words(tagged):
    shown = snapshots_view()
    assert "No snapshots yet" in shown.said and "Create snapshot (93 pairs)" in shown.labels()
    assert "Excluded: 1 rejected, 2 near-duplicates." in shown.said
    choose(shown, "run_snapshot_include", ["duplicate"])
    choose(shown, "run_snapshot_name", "first")
    shown.press("Create snapshot (95 pairs)")
    assert shown.fine and "Created snapsh" in shown.said
    [one] = snapshot_store.list_snapshots(tagged)
    assert (one.name, one.number, one.split, one.include) == ("first", 95, "syllabus", ("duplicate",))
    assert shown.table("hash")[["name", "pairs"]].values.tolist() == [["first", 95]]
    for words in ("1 rejected", "Included anyway", "not run", "scripted (95)", one.hash, "3 of 126 disciplines"):
        assert words in shown.said, words


def test_the_focus_limits_a_snapshot_and_says_so(tagged):
    shown = snapshots_view(focus="music")
    assert "Only pairs of Music" in shown.said
    shown.press("Create snapshot (16 pairs)")
    [one] = snapshot_store.list_snapshots(tagged)
    assert one.number == 16 and list(one.disciplines) == ["music"] and ":gray[Disciplines] Music" in shown.said


def test_a_snapshot_is_verified_taken_away_and_removed(tagged):
    shown = snapshots_view().press("Create snapshot")
    [one] = snapshot_store.list_snapshots(tagged)
    assert "rows match the hash" in shown.press("Verify").said
    file = next((tagged.folder / "snapshots").glob("*/train.parquet"))
    file.write_bytes(b"changed")
    assert "is damaged" in shown.press("Verify").said
    shown.press("Export")
    assert shown.fine and field(shown, "export_source").value == one.name and "is damaged" in shown.said
    assert shown.app.session_state["dataset_view"] == "Export" and download(shown).label == f"Download {one.number} pairs"
    shown = snapshots_view().press(f"Remove {one.number} pairs")
    assert not snapshot_store.list_snapshots(tagged) and "No snapshots yet" in shown.said


def test_a_name_that_is_taken_or_none_is_refused_before_anything_is_done(demo_ws):
    shown = snapshots_view().press("Create snapshot")
    [one] = snapshot_store.list_snapshots(demo_ws)
    choose(shown, "run_snapshot_name", one.name)
    assert "Choose another name" in shown.said and "Create snapshot (96 pairs)" not in shown.labels()
    choose(shown, "run_snapshot_name", "../elsewhere").press("Create snapshot")
    assert "letters, digits" in shown.said and len(snapshot_store.list_snapshots(demo_ws)) == 1


@pytest.mark.parametrize("form", ["chat", "datasets"])
def test_the_command_says_what_the_form_does(tagged, form):
    shown = exports(focus="mathematics")
    choose(shown, "run_export_place", "path")
    choose(shown, "run_export_form", form)
    choose(shown, "run_export_include", ["rejected"])
    choose(shown, "run_export_split", "combination")
    choose(shown, "run_export_share", 20)
    shown.press("Export 46 pairs")
    settings = run_rows.runs(tagged.db, 1)[0].params
    command = next(one for one in shown.commands if one.startswith("glan export"))
    args = build_parser().parse_args(shlex.split(command)[1:])
    assert (args.out, args.form, args.dir) == (settings["path"], form, str(tagged.folder))
    assert RowSelection.model_validate(_selection(tagged, args)) == RowSelection.model_validate(settings["choice"])
    assert "Wrote 46 pairs to" in shown.said and (exports_folder(tagged) / f"demo-{form}").is_dir()
    assert "exists and will be replaced" in shown.said


def test_every_format_shows_a_row_and_is_a_download(demo_ws):
    shown = exports()
    for form, sign in {"alpaca": '"instruction"', "sharegpt": '"conversations"', "prompt-completion": '"completion"',
                       "parquet": '"question_teacher"', "datasets": '"question_teacher"', "chat": '"messages"'}.items():  # fmt: skip
        choose(shown, "run_export_form", form)
        assert shown.fine and sign in shown.app.code[-1].value and download(shown).label == "Download 96 pairs", form
    assert "For TRL" in shown.said and "scripted teacher" in shown.said


def test_what_is_too_much_for_the_browser_goes_to_the_machine(demo_ws, monkeypatch):
    monkeypatch.setattr(row_choice, "MOST_DOWNLOADED", 50)
    shown = exports()
    assert field(shown, "run_export_place").value == "path" and "Export 96 pairs" in shown.labels()
    choose(shown, "run_export_place", "download")
    assert "Downloads are limited to 50 rows" in shown.said and download(shown).disabled
    shown.app.session_state["card_open"] = True
    shown.app.run()
    assert "create a snapshot" in shown.said


def test_the_card_is_shown_before_it_is_written(tagged):
    shown = exports()
    assert "Known limitations" not in shown.said
    shown.app.session_state["card_open"] = True
    shown.app.run()
    assert shown.fine and "Known limitations" in shown.said and "Not checked: quality filters" in shown.said
    assert "93 instruction pairs" in shown.said and "pretty_name" in shown.said


def test_the_hub_takes_its_token_from_the_machine_and_no_page_or_run_has_it(demo_ws, monkeypatch):
    shown = choose(exports(), "run_export_place", "hub")
    assert "You are not logged in to the Hub" in shown.said and "Upload 96 pairs" not in shown.labels()
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    sent = []
    monkeypatch.setattr("glan_core.io.hub.push", lambda folder, repo, **how: sent.append((repo, how["private"])) or "there")
    choose(shown, "run_export_repo", "ada/glan")
    choose(shown, "run_export_license", "cc-by-4.0")
    assert "You are not logged in" not in shown.said and "--push ada/glan --license cc-by-4.0" in shown.said
    shown.press("Upload 96 pairs")
    assert sent == [("ada/glan", True)] and "Uploaded 96 pair" in shown.said
    assert "hf_secret" not in shown.said and "hf_secret" not in str(run_rows.runs(demo_ws.db, 1)[0])
    choose(shown, "run_export_repo", "no name")
    assert "as owner/name" in shown.said and shown.fine


def test_a_job_that_failed_says_why(demo_ws):
    shown = choose(choose(exports(), "run_export_place", "path"), "run_export_path", "/nowhere/at/all.jsonl")
    shown.press("Export 96 pairs")
    assert shown.fine and "/nowhere/at/all.jsonl canno" in shown.said


def test_who_may_not_write_can_still_look_and_download(demo_ws, monkeypatch):
    snapshots_view().press("Create snapshot")
    demo_ws.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    st.cache_resource.clear()
    shown = snapshots_view()
    assert shown.fine and "read-only" in shown.said and len(shown.table("hash")) == 1
    assert not [label for label in shown.labels() if label.startswith(("Create snapshot", "Remove"))]
    shown = exports()
    assert shown.fine and not download(shown).disabled and "Hugging Face Hub" not in shown.said


def test_without_rows_in_focus_there_is_nothing_to_take(demo_ws):
    shown = snapshots_view(focus="law")
    assert shown.fine and "Create snapshot (0 pairs)" not in shown.labels()
    shown = exports(focus="law")
    assert shown.fine and download(shown).disabled and "No rows to show." in shown.said


def test_what_is_encircled_on_the_map_can_be_taken_away(tagged, monkeypatch):
    draw_map(tagged)
    shown = Studio("diversity")
    shown.app.session_state["map_area"] = "cluster~2~words~0"
    shown.app.run()
    assert shown.fine and "91 questions" in shown.said and download(shown).label == "Export 88"
    monkeypatch.setattr(row_choice, "MOST_DOWNLOADED", 10)
    shown.app.run()
    assert not shown.app.download_button


def test_the_judge_is_planned_with_its_price_before_it_is_started(demo_ws):
    shown = Studio("dataset", dataset_view="Judge")
    assert (
        shown.fine
        and "Excluded by the judge" in shown.said
        and "Plan" in shown.labels()
        and not [one for one in shown.labels() if one.startswith("Start")]
    )
    choose(shown, "run_judge_sample", 20).press("Plan")
    assert "Start · 20 calls · free" in shown.labels() and "free" in [metric.value for metric in shown.app.metric]
    choose(shown, "run_judge_difficulty", 5)
    assert "Plan" in shown.labels()  # another order than the planned one
    shown.press("Plan").press("Start")
    assert shown.fine and judgment_rows.count_judged(demo_ws.db) == 20 and "20 pairs judged" in shown.said
    tagged = tag_rows.tag_counts(demo_ws.db)["quality", "judge"][0]
    assert tagged and f"{tagged} pairs tagged" in shown.said and "**Difficulty" in shown.said
    shown.press("Include anyway")
    assert "included anyway by Ada" in shown.said and tag_rows.tag_counts(demo_ws.db)["quality", "judge"][1] == 1
    choose(shown, "run_judge_difficulty", 1).press("Plan")
    assert "Apply minimums" in shown.labels()
