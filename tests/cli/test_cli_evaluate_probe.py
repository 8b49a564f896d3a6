"""`glan evaluate probe`: what it prints and refuses, the plan, exit codes."""

import json

import pytest
from support.probe_fixtures import make_rows, write_rows

from glan_core import runs
from glan_core.cli import main
from glan_core.workspace import probe_rows, run_rows

pytest_plugins = ["support.probe_fixtures"]


@pytest.fixture
def words(probed, ws):
    """The words of a command for models of the folder."""

    def build(*more: str, models: str = "crammed,other") -> list[str]:
        specs = ",".join(f"local:{probed / name}" for name in models.split(","))
        files = ["--train", str(probed / "train.jsonl"), "--test", str(probed / "test.jsonl")]
        return ["evaluate", "probe", str(ws.folder), "--models", specs, *files, *more]

    return build


def said(capsys, argv: list[str]) -> str:
    """What a command that must succeed prints."""
    assert main(argv) == 0
    return capsys.readouterr().out


def refused(capsys, argv: list[str]) -> str:
    """The one line that a refused command leaves on stderr."""
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("glan: ") and told.err.count("\n") == 1
    return told.err


@pytest.mark.long
def test_a_plan_says_what_is_read_and_loads_nothing(probed, ws, words, capsys):
    out = said(capsys, words("--sample", "5", "--plan"))
    assert "training split" in out and "answer tokens, given the question" in out and "Models: crammed, other." in out
    data = json.loads(said(capsys, words("--plan", "--json", "--covers", "both")))
    assert data["rows"] == {"train": 32, "test": 32} and data["covers"] == "question and answer tokens"
    assert not run_rows.runs(ws.db)


@pytest.mark.long
def test_it_measures_says_what_that_means_and_shows_it_again(probed, ws, words, capsys):
    out = said(capsys, words("--alike", str(probed / "alike.jsonl"), "--name", "codes"))
    assert (
        "Probed codes with 2 models: the largest delta is" in out and "crammed appears to have seen the training split" in out
    )
    assert "Too few rows to tell whether other saw the training split" in out and "Mean loss in nats/token on" in out
    again = said(capsys, words("--alike", str(probed / "alike.jsonl"), "--name", "codes"))
    assert "Probed codes with 0 models, 2 already known" in again
    shown = json.loads(said(capsys, ["evaluate", "probe", str(ws.folder), "--show", "--json"]))
    assert {row["verdict"]["level"] for row in shown} == {"seen", "unknown"} and all(row["loss_alike"] for row in shown)
    assert len(probe_rows.probes(ws.db)) == 2


def test_faults_are_told_in_a_line_and_nothing_begins(probed, ws, words, capsys):
    assert "no column 'reply'. Available columns: question, answer" in refused(capsys, words("--answer", "reply"))
    assert "scripted has no loss; only weights do" in refused(
        capsys, ["evaluate", "probe", str(ws.folder), "--models", "scripted", "--train", "a", "--test", "b"]
    )
    assert "does not exist" in refused(capsys, words("--alike", "/nowhere/x.jsonl"))
    assert "Give the models: --models" in refused(capsys, ["evaluate", "probe", str(ws.folder)])
    assert not run_rows.runs(ws.db)


def test_in_the_background_it_says_how_to_follow_it(ws, words, capsys, monkeypatch):
    monkeypatch.setattr(runs, "launch", lambda ws, run_id, environment=None: None)
    data = json.loads(said(capsys, words("--detach", "--json")))
    run = runs.get(ws, data["run"])
    assert (run.kind, run.state, run.params["name"]) == ("probe", "queued", "test")


def test_look_alikes_may_have_other_columns_than_the_benchmark(probed, ws, words, capsys):
    for role in ("train", "test"):
        write_rows(
            ws.folder / f"{role}.jsonl", [{"asked": r["question"], "said": r["answer"]} for r in make_rows(6, len(role))]
        )
    argv = [
        "evaluate",
        "probe",
        str(ws.folder),
        "--models",
        f"local:{probed / 'fresh'}",
        "--question",
        "asked",
        "--answer",
        "said",
    ]
    argv += [word for role in ("train", "test") for word in (f"--{role}", str(ws.folder / f"{role}.jsonl"))]
    data = json.loads(said(capsys, [*argv, "--alike", str(probed / "alike.jsonl"), "--plan", "--json"]))
    assert data["rows"] == {"train": 6, "test": 6, "alike": 32}
