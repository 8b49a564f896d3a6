"""`glan dedup`, `glan decontaminate` and `glan filter`: what they print and return."""

import json

import pytest
from support.runs import Canned, execute_run, number

from glan_core.cli import main

REFUSED = "I'm sorry, but I can't help with that request."


@pytest.fixture
def folder(ws, settings, teach):
    """A workspace with four pairs: a question, one that repeats it, one that was refused, and one of a benchmark."""
    asked = ["Define energy.", "DEFINE energy", "Define work in physics.", "Who wrote Hamlet?"]
    answers = {"Define work in physics.": f"{'Well. ' * 120}", "Define energy.": "It is what lets a body do work."}
    teach(Canned(
        lambda stage, nth, messages: asked[nth] if stage == "question"
        else answers.get(messages[-1]["content"]) if stage == "answer" else None,
        subjects=1,
    ))  # fmt: skip
    execute_run(ws, settings(max_in_flight=1))
    with ws.write() as db:
        db.execute("UPDATE answers SET text = ? WHERE text LIKE 'Well.%'", (REFUSED,))
    return ws


def said(capsys, *argv: object) -> str:
    """What a command that must succeed prints."""
    assert main([str(part) for part in argv]) == 0
    return capsys.readouterr().out


def test_dedup_says_what_it_found_and_shows_it(folder, capsys):
    assert said(capsys, "dedup", folder.folder, "--show") == "Not checked yet.\n"
    assert "4 questions compared. Duplicates: 1 exact" in said(capsys, "dedup", folder.folder)
    shown = said(capsys, "dedup", folder.folder, "--show")
    assert "DEFINE energy\n" in shown
    assert "Define energy." in shown.split("repeats")[1]
    data = json.loads(said(capsys, "dedup", folder.folder, "--show", "--json"))
    assert data["tags"] == {"exact": {"tagged": 1, "overruled": 0}}


def test_decontaminate_reports_each_benchmark(folder, capsys, tmp_path):
    file = tmp_path / "plays_test.jsonl"
    file.write_text(json.dumps({"question": "Who wrote Hamlet?"}) + "\n")
    assert "Not compared" in said(capsys, "decontaminate", folder.folder, "--show")
    assert "1 match." in said(capsys, "decontaminate", folder.folder, file)
    shown = said(capsys, "decontaminate", folder.folder, "--show")
    assert "plays_test" in shown
    assert "pair:      [Who wrote Hamlet]?" in shown
    data = json.loads(said(capsys, "decontaminate", folder.folder, "--show", "--json"))
    assert (data["splits"][0]["items_hit"], data["flags"][0]["share"]) == (1, 1.0)
    said(capsys, "decontaminate", folder.folder, "--forget", "plays_test")
    assert number(folder, "SELECT count(*) FROM tags") == 0


def test_filters_are_listed_tried_out_applied_and_taken_back(folder, capsys):
    assert "hand-in" in said(capsys, "filter", folder.folder, "--list")
    tried = said(capsys, "filter", folder.folder, "--preview")
    assert "4 of 4 pairs sampled; 1 would be tagged." in tried
    assert REFUSED in tried
    assert number(folder, "SELECT count(*) FROM tags") == 0
    assert "1 tagged (refusals 1)" in said(capsys, "filter", folder.folder)
    assert "“I'm sorry" in said(capsys, "filter", folder.folder, "--show")
    assert json.loads(said(capsys, "filter", folder.folder, "--preview", "--json"))["found"]["refusal"] == 1
    said(capsys, "filter", folder.folder, "--none")
    assert number(folder, "SELECT count(*) FROM tags") == 0


@pytest.mark.parametrize(("argv", "why"), [
    (["dedup", "--threshold", "0.2"], "threshold"), (["filter", "taste"], "Filter 'taste' does not exist"),
    (["decontaminate"], "Name at least one benchmark"), (["filter", "--language", "English"], "language"),
])  # fmt: skip
def test_bad_usage_is_refused_before_anything_begins(folder, capsys, argv, why):
    assert main([argv[0], str(folder.folder), *argv[1:]]) == 2
    assert why in capsys.readouterr().err
    assert number(folder, "SELECT count(*) FROM runs WHERE kind != 'generate'") == 0


def test_a_benchmark_that_cannot_be_had_fails_the_run_with_a_sentence(folder, capsys):
    assert main(["decontaminate", str(folder.folder), "gsm9k"]) == 1
    assert "Benchmark 'gsm9k' does not exist" in capsys.readouterr().out
