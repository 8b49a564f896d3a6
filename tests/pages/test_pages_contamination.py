"""Evaluate, Contamination, in every state: what will be here, the order that the form gives, what was measured, and faults."""

import pytest
from support.model_rows import put_model
from support.probe_fixtures import make_rows, write_rows
from support.studio_app import Studio

from glan_core.evaluation.contamination.settings import ProbeSettings
from glan_core.evaluation.contamination.verdict import seen_train
from glan_core.evaluation.published_results import MARK
from glan_core.workspace import probe_rows, run_rows

pytest_plugins = ["support.studio_fixtures"]


def add_probe(
    ws,
    model: str,
    name: str = "GSM8K",
    train: float = 1.0,
    test: float = 1.2,
    alike=None,
    ends=(5.0, 22.0),
    by=(),
    rows: int = 400,
    cut: int = 3,
    bits: float | None = None,
) -> None:
    """A probe as a run leaves it."""
    split = {"mean": 1.0, "token_mean": 1.0, "rows": rows, "cut": cut, "left_out": 0, "tokens": 9000, "bits_per_byte": bits}
    file = {"source": "/data/gsm8k.jsonl", "label": "gsm8k", "sha256": "ab" * 32, "rows_sha256": "cd", "held": 1319, "empty": 0}
    fresh = file | {"written_by": list(by)}
    about = {
        "key": f"{model}{train}", "covers": "answer",
        "covers_said": "the tokens of the answer, given the question",
        "written": "plain", "written_said": "plain text: the question, a line break, the answer",
        "splits": {"train": split, "test": split}, "files": {"train": file, "test": file, **({"alike": fresh} if alike else {})},
        "shared": 0, "limit": 1024,
        "intervals": {"delta_percent": ends, "delta_alike": (-0.05, 0.03)}, "sample": 400, "seed": 0,
    }  # fmt: skip
    with ws.write() as db:
        probe_rows.put_probe(
            db, model=model, weights_hash="sha256:0", name=name, losses=(train, test, alike), about=about, run_id=None
        )


def field(shown: Studio, name: str):
    kinds = ("text_input", "selectbox", "multiselect", "number_input", "button_group")
    return next(one for kind in kinds for one in shown.app.get(kind) if one.key and one.key.endswith(f"_{name}"))


def evaluate(**chosen) -> Studio:
    """The view, with fields as a person left them: AppTest types nothing that is not among the options."""
    shown = Studio()
    for name, value in chosen.items():
        shown.app.session_state[f"run_probe_demo_{name}"] = value
    return shown.go("evaluate", evaluate_view="Contamination")


def test_without_a_probe_it_says_what_one_tells_and_offers_the_form(starter_ws):
    shown = evaluate()
    assert shown.fine and "compares a model's mean loss" in shown.said
    assert shown.button("Probe").disabled and "Select, or enter a file path" in {s.placeholder for s in shown.app.selectbox}
    options = field(shown, "train").options
    assert any("GSM8K" in option for option in options) and any("ARC-C" in option for option in options)


def test_the_form_gives_the_order_that_it_shows(demo_ws, launched, tmp_path):
    put_model(demo_ws, "student")
    paths = {
        role: str(write_rows(tmp_path / f"{role}.jsonl", make_rows(5, n))) for n, role in enumerate(("train", "test", "alike"))
    }
    shown = evaluate(**paths, covers="both", written="chat", sample=40, name="my codes")
    assert field(shown, "models").value == ["tuned:student", "base:student"], "the newest model and what it was before"
    assert "Loss on the tokens of question and answer. Formatted with the chat template." in shown.said
    shown.press("Probe 2 models")
    assert shown.fine and len(launched) == 1
    run = run_rows.run(demo_ws.db, launched[0])
    settings = ProbeSettings.model_validate(run.params)
    assert run.kind == "probe" and run.title == "Probe my codes" and settings.models == ("tuned:student", "base:student")
    assert {role: file.source for role, file in settings.files.items()} == paths
    assert (settings.covers, settings.written, settings.sample, settings.name) == ("both", "chat", 40, "my codes")
    assert "my codes: starting" in shown.said and shown.button("Probe 2 models").disabled


def test_what_is_wrong_with_a_file_is_told_and_nothing_begins(demo_ws, launched, tmp_path):
    put_model(demo_ws, "student")
    good = str(write_rows(tmp_path / "a.jsonl", make_rows(5, 1)))
    bad = str(write_rows(tmp_path / "b.jsonl", [{"asked": "x", "said": "y"}]))
    for chosen, words in (
        ({"train": good, "test": bad}, "asked, said"),
        ({"train": good, "test": good}, "have the same rows"),
        ({"train": good, "test": str(tmp_path / "none.jsonl")}, "does not exist"),
        ({"train": good, "test": bad, "models": ["scripted"]}, "scripted has no loss; only weights do"),
    ):
        shown = evaluate(**chosen).press("Probe ")
        assert shown.fine and words in shown.said and not launched


def test_look_alikes_are_planned_before_they_are_paid_for_and_then_chosen(demo_ws, launched, tmp_path):
    put_model(demo_ws, "student")
    assert "Select a file as the test split first." in evaluate(test="gsm8k").said
    path = str(write_rows(tmp_path / "codes.jsonl", make_rows(7, 2)))
    shown = evaluate(test=path)
    assert "only changes numbers and names" in shown.said
    shown.press("Plan")
    assert {metric.label: metric.value for metric in shown.app.metric}["Calls"] == "7" and not launched
    shown.press("Start · 7 calls")
    [run] = [run_rows.run(demo_ws.db, id) for id in launched]
    assert run.kind == "lookalikes" and run.params["number"] == 200 and run.params["source"]["source"] == path
    assert run.title == "7 look-alikes by scripted" and shown.fine and "starting" in shown.said
    assert field(shown, "alike").value == str(demo_ws.folder / "benchmarks" / "codes-lookalikes.jsonl")


def test_what_was_measured_stands_beside_the_papers_numbers_and_is_put_into_words(demo_ws):
    add_probe(demo_ws, "base:student", train=1.2, test=1.2, alike=1.21, ends=(-3.0, 3.0))
    add_probe(demo_ws, "tuned:student", alike=1.21)
    shown = evaluate()
    assert (
        shown.fine
        and "student appears to have seen the training split: it is clearly easier than the test split." in shown.said
    )
    assert "The delta of the base model was +0.0%." in shown.said
    assert "No sign that student, student (base) saw the test split." in shown.said
    assert "Loss on the tokens of the answer, given the question." in shown.said and MARK in shown.said
    table = shown.table("percent")
    assert list(table["model"]) == ["student", "student (base)"] and table["percent"][0] == 16.7 and table["delta"][1] == 0
    assert table["interval"][0] == "+5.0 to +22.0" and table["rows"][0] == "400 + 400, 6 truncated"


def test_models_with_other_tokenizers_are_compared_by_bits_per_byte(demo_ws):
    """A model with few characters per token has a low loss per token that says nothing."""
    add_probe(demo_ws, "tuned:student", bits=0.8)
    add_probe(demo_ws, "base:student", bits=0.81)
    assert "tokenizers of these models differ" not in evaluate().said
    add_probe(demo_ws, "local:/x/smol", bits=0.4)
    shown = evaluate()
    assert "tokenizers of these models differ" in shown.said and sorted(shown.table("bits")["bits"]) == [0.4, 0.8, 0.81]


@pytest.mark.parametrize(
    ("rows", "ends", "level"),
    [
        (12, (-34.0, 17.0), "unknown"), (12, (8.0, 40.0), "unknown"), (19, (-2.0, 2.0), "unknown"), (20, (-2.0, 2.0), "none"),
        (400, (-2.0, 4.9), "none"), (400, (-2.0, 5.0), "unknown"), (400, (0.5, 30.0), "seen"),
    ],
)  # fmt: skip
def test_no_sign_is_claimed_only_if_a_large_delta_is_excluded(demo_ws, rows, ends, level):
    add_probe(demo_ws, "tuned:student", ends=ends, rows=rows, cut=11)
    [row] = probe_rows.probes(demo_ws.db)
    verdict = seen_train(row)
    assert verdict.level == level and f"n = {rows} and {rows} rows, 22 of them truncated" in verdict.numbers
    assert ("Too few rows" in verdict.said) == (level == "unknown")
    assert verdict.said in evaluate().said


def test_another_benchmark_stands_alone_and_the_picked_one_stays(demo_ws):
    add_probe(demo_ws, "tuned:student")
    add_probe(demo_ws, "local:/x/y", name="my own codes", ends=None)
    shown = evaluate()
    assert MARK not in shown.said and "Too few rows to tell whether y saw the training split." in shown.said
    next(one for one in shown.app.selectbox if one.key == "probe_picked").set_value("GSM8K").run()
    assert MARK in shown.said and "student appears to have seen" in shown.said and "delta_alike" not in shown.said
    assert "alike" not in shown.table("percent").columns


def test_look_alikes_of_the_scripted_teacher_are_marked(demo_ws):
    add_probe(demo_ws, "tuned:student", alike=1.21, by=("openai:gpt-4o",))
    assert "for demonstration" not in evaluate().said
    add_probe(demo_ws, "tuned:student", name="other", alike=1.21, by=("scripted",))
    assert "[scripted teacher] wrote these look-alikes" in evaluate().said


def test_a_read_only_workspace_shows_and_offers_nothing(demo_ws, monkeypatch):
    add_probe(demo_ws, "tuned:student")
    monkeypatch.setattr("glan_core.workspace.Workspace.read_only", True, raising=False)
    shown = evaluate()
    assert shown.fine and "student appears to have seen" in shown.said
    assert not [label for label in shown.labels() if label.startswith("Probe")]
