"""The views of the dataset's checks: what they say before the first run, what they start, what they show of what was found."""

import json
import os
from types import SimpleNamespace

import pytest
from support.studio_app import Studio

from glan_core.dataset import decontamination_job, near_duplicate_job, quality_filter_job
from glan_core.dataset.settings import DecontaminationSettings, NearDuplicateSettings, QualityFilterSettings
from glan_core.dataset.text_spans import differing_spans, excerpt, quoted_spans
from glan_core.homework import review
from glan_core.workspace import homework_rows, run_rows, tag_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.tag_rows import Tag
from pages.components.dataset import checks
from pages.components.shared import page_frame
from pages.components.shared.highlighted_text import highlight

pytest_plugins = ["support.studio_fixtures"]

CLIPS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia "
    "sell altogether in April and May?"
)
REFUSED = "I'm sorry, but I can't help with that request."


@pytest.fixture
def started(monkeypatch):
    """Runs that pages start are queued and not launched; the ids of those."""
    from glan_core.runs import launcher

    launched = []
    monkeypatch.setattr(launcher, "launch", lambda ws, run_id, environment=None: launched.append(run_id))
    return launched


@pytest.fixture
def pairs(demo_ws):
    """The pairs of the demo, oldest first."""
    return homework_rows.pairs_page(demo_ws.db, PairFilter(), limit=96)[::-1]


def edit(ws, pair, question: str | None = None, answer: str | None = None) -> None:
    review.edit(ws, pair.question.id, "Ada", question=question or pair.question.text, answer=answer or pair.answer)


def check(ws, job, settings) -> str:
    """Carry out a job here and now."""
    with ws.write() as db:
        run_id = run_rows.add_run(db, settings.kind, "A check", settings.model_dump(mode="json"))
        run_rows.update_run(db, run_id, state="finished")
    return job(ws, settings, SimpleNamespace(step=lambda *_: None, check=lambda: None, run_id=run_id))


def view(name: str) -> Studio:
    shown = Studio("dataset", dataset_view=name)
    assert shown.fine
    return shown


def last_order(ws) -> dict:
    return run_rows.runs(ws.db, 1)[0].params


@pytest.mark.parametrize(("name", "why", "button"), [
    ("Filters", "excluded from the dataset but not deleted", "Apply 8 filters to 96 pairs"),
    ("Duplicates", "leak across a validation split", "Find duplicates among 96 questions"),
    ("Benchmarks", "invalidate the benchmark", None),
])  # fmt: skip
def test_before_the_first_run_each_says_what_it_is_good_for(demo_ws, name, why, button):
    shown = view(name)
    assert why in shown.said and "Last run" not in shown.said
    assert button in shown.labels() if button else "Check benchmarks" not in shown.labels()


def test_filters_that_know_only_english_say_so_and_count_what_they_cannot_judge(demo_ws, pairs):
    assert "English only" not in str([rule.description for rule in quality_filter_job.RULES.values() if not rule.english])
    shown = view("Filters")
    assert shown.said.count("English only.") == 4 and "not judged" not in shown.said
    edit(demo_ws, pairs[0], "पौधे ऊर्जा कैसे संग्रहीत करते हैं?", "पौधे सूर्य के प्रकाश से शर्करा बनाते हैं।")
    edit(demo_ws, pairs[1], "พืชเก็บพลังงานอย่างไร", "พืชสร้างน้ำตาลจากแสงอาทิตย์")
    shown.press("Test filters")
    assert shown.fine and shown.said.count("English only. 2 pairs not judged.") == 4
    check(demo_ws, quality_filter_job.tag_quality, QualityFilterSettings(rules=("refusal", "loop")))
    assert "2 pairs could not be fully judged: Refusals knows only English." in view("Filters").said


def test_a_focus_does_not_narrow_a_check_and_it_says_so(demo_ws):
    check(demo_ws, near_duplicate_job.tag_duplicates, NearDuplicateSettings())
    shown = Studio("dataset", dataset_view="Duplicates", focus="music")
    assert "Covers the whole workspace" in shown.said and "Find duplicates among 96 questions" in shown.labels()


@pytest.mark.parametrize("name", ["Filters", "Duplicates", "Benchmarks"])
def test_a_workspace_that_is_only_read_has_no_buttons_that_write(demo_ws, pairs, monkeypatch, name, tmp_path):
    edit(demo_ws, pairs[1], question=f"{pairs[0].question.text} {CLIPS}")
    edit(demo_ws, pairs[2], question=pairs[0].question.text, answer=REFUSED)
    check(demo_ws, near_duplicate_job.tag_duplicates, NearDuplicateSettings())
    check(demo_ws, quality_filter_job.tag_quality, QualityFilterSettings(rules=("refusal",)))
    check(demo_ws, decontamination_job.tag_contaminated, DecontaminationSettings(benchmarks=(_benchmark(tmp_path),)))
    page_frame._open.clear()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    shown = view(name)
    page_frame._open.clear()
    assert not {label.split()[0] for label in shown.labels()} & {"Apply", "Keep", "Look", "Check", "Remove"}
    assert "Open" in shown.labels(), "what was found can be read"


# ------------------------------------------------------------------------------------------------------------------- filters


def test_filters_are_tried_before_anything_is_tagged(demo_ws, pairs):
    edit(demo_ws, pairs[5], answer=REFUSED)
    shown = view("Filters").press("Test filters")
    assert "Tested on 96 pairs: 1 would be tagged" in shown.said
    assert "Refusals · would tag 1 of 96" in shown.said.replace("**", "")
    assert ":yellow-background[I'm sorry, but I can't help with that]" in shown.said
    assert tag_rows.tag_counts(demo_ws.db) == {} and run_rows.runs(demo_ws.db, 9) == [
        run for run in run_rows.runs(demo_ws.db, 9) if run.kind != "filter"
    ]


def test_the_filters_that_are_on_are_applied_with_their_settings(demo_ws, started):
    shown = view("Filters")
    next(toggle for toggle in shown.app.toggle if toggle.label == "Repetition loops").set_value(False)
    next(field for field in shown.app.number_input if field.label.startswith("Min answer")).set_value(7)
    next(field for field in shown.app.selectbox if field.label == "Language").select("de").run()
    shown.press("Apply 7 filters to 96 pairs")
    settings = last_order(demo_ws)
    assert (settings["language"], settings["min_answer_words"], len(settings["rules"])) == (
        "de",
        7,
        7,
    ) and "loop" not in settings["rules"]
    assert len(started) == 1 and shown.fine and "Quality filters: starting" in shown.said
    assert "Apply 7 filters to 96 pairs" not in shown.labels(), "not twice at a time"


def test_what_a_filter_tagged_is_listed_with_the_finding_and_can_be_overruled(demo_ws, pairs):
    edit(demo_ws, pairs[5], answer=REFUSED)
    edit(demo_ws, pairs[6], question=f"As discussed in class, {pairs[6].question.text}")
    check(demo_ws, quality_filter_job.tag_quality, QualityFilterSettings(rules=("refusal", "depends")))
    shown = view("Filters")
    assert "Last run just now on 96 pairs. Nothing added since." in shown.said and "96 pairs · 94 kept" in shown.said
    next(button for button in shown.app.button if button.key == "count_tagged_depends").click().run()
    assert ":yellow-background[As discussed in class]" in shown.said and REFUSED not in shown.said
    shown.press("Include anyway")
    assert homework_rows.pair(demo_ws.db, pairs[6].question.id).dropped is None and "included anyway by Ada" in shown.said
    shown.press("Exclude again")
    assert homework_rows.pair(demo_ws.db, pairs[6].question.id).dropped == "quality"
    shown.press("Open")
    assert shown.app.session_state["pair"] == pairs[6].question.id and shown.app.session_state["page"] == "Homework"


def test_a_filter_that_is_switched_off_says_what_becomes_of_its_tags(demo_ws, pairs, started):
    edit(demo_ws, pairs[5], answer=REFUSED)
    check(demo_ws, quality_filter_job.tag_quality, QualityFilterSettings(rules=("refusal",)))
    shown = view("Filters")
    assert "Apply 1 filter to 96 pairs" in shown.labels(), "those that were applied last are on"
    next(toggle for toggle in shown.app.toggle if toggle.label == "Refusals").set_value(False).run()
    assert "Refusals: 1 tag" in shown.said
    shown.press("Remove the tags of all filters")
    assert last_order(demo_ws)["rules"] == []


# ---------------------------------------------------------------------------------------------------------------- duplicates


def test_repeats_stand_beside_the_row_that_they_repeat_with_what_differs_marked(demo_ws, pairs):
    text = "Explain in your own words how a {} chord is built from its root, which intervals it contains, and where composers use it most."
    edit(demo_ws, pairs[0], question=text.format("diminished"))
    edit(demo_ws, pairs[1], question=text.format("zeppelin"))
    edit(demo_ws, pairs[2], question=pairs[3].question.text.upper())
    check(demo_ws, near_duplicate_job.tag_duplicates, NearDuplicateSettings())
    shown = view("Duplicates")
    assert "Identical words" in shown.said and ":yellow-background" not in shown.said
    control = next(control for control in shown.app.segmented_control if control.label == "Kind")
    control.set_value("near").run()
    assert (
        ":yellow-background[zeppelin]" in shown.said
        and "similarity 0." in shown.said
        and "Similarity at least 0.70." in shown.said
    )
    shown.press("Include anyway")
    assert homework_rows.pair(demo_ws.db, pairs[1].question.id).dropped is None and "Included anyway" in shown.said


def test_in_meaning_needs_vectors_and_says_where_to_make_them(demo_ws):
    shown = view("Duplicates")
    toggle = next(toggle for toggle in shown.app.toggle if toggle.label == "Semantic duplicates")
    assert toggle.disabled and "requires embeddings" in shown.said and "Create a map" in shown.labels()


def test_the_run_compares_as_alike_as_asked(demo_ws, started, monkeypatch):
    from glan_core.diversity import vector_store

    monkeypatch.setattr(vector_store, "list_vectors", lambda ws: [SimpleNamespace(embedder="st:all-MiniLM-L6-v2")])
    monkeypatch.setattr(vector_store, "count_vectors", lambda ws, name: 90)
    shown = view("Duplicates")
    next(toggle for toggle in shown.app.toggle if toggle.label == "Semantic duplicates").set_value(True).run()
    assert "90 of 96 questions have an embedding" in shown.said
    next(slider for slider in shown.app.slider if slider.label.startswith("Jaccard")).set_value(0.8)
    shown.press("Find duplicates")
    settings = last_order(demo_ws)
    assert (settings["threshold"], settings["semantic"], settings["semantic_threshold"]) == (0.8, True, 0.9)
    assert settings["embedder"] == "st:all-MiniLM-L6-v2"


def test_a_long_list_is_turned_page_by_page_and_back(demo_ws, pairs):
    with demo_ws.write() as db:
        tags = [Tag(pair.question.seq, "duplicate", "exact", pairs[0].question.id, 1.0) for pair in pairs[1:26]]
        tag_rows.put_tags(db, tags, None)
    check(
        demo_ws,
        lambda ws, settings, progress: near_duplicate_job.set_metadata(ws.db, near_duplicate_job.FACT, _fact()),
        NearDuplicateSettings(),
    )
    shown = view("Duplicates")

    def opened() -> list[str]:
        return [button.key.rpartition("_")[2] for button in shown.app.button if button.label == "Open"]

    seen = [*opened(), *(shown.press("Older"), opened())[1], *(shown.press("Older"), opened())[1]]
    assert seen == [pair.question.id for pair in pairs[25:0:-1]] and "21 to 25" in shown.said
    shown.press("Newer")
    assert opened() == seen[10:20] and len(seen[:10]) == checks.PAGE


def _fact() -> dict:
    return {
        "settings": NearDuplicateSettings().model_dump(mode="json"),
        "rows": 96,
        "up_to": 1,
        "tagged": 25,
        "by": {},
        "at": 1.0,
    }


# ---------------------------------------------------------------------------------------------------------------- benchmarks


def _benchmark(folder, name: str = "sums_test.jsonl") -> dict:
    file = folder / name
    file.write_text("\n".join(json.dumps({"question": text}) for text in (CLIPS, "Who wrote Hamlet?")))
    return {"source": str(file)}


def test_benchmarks_are_chosen_by_name_or_path_and_checked(demo_ws, started, tmp_path):
    shown = view("Benchmarks")
    [chosen] = shown.app.multiselect
    assert any(option.startswith("GSM8K · grade school math word problems") for option in chosen.options)
    chosen.set_value(["gsm8k", str(tmp_path / "own.csv")]).run()
    field = next(field for field in shown.app.text_input if field.label == "Question column" and "detected" in field.placeholder
                 and field.key.startswith("run_"))  # fmt: skip
    field.set_value("task").run()
    next(toggle for toggle in shown.app.toggle if toggle.label == "Ignore numbers").set_value(True)
    shown.press("Check 96 pairs against 2 benchmarks")
    settings = last_order(demo_ws)
    assert settings["digits"] and settings["benchmarks"] == [
        {"source": "gsm8k", "column": None}, {"source": str(tmp_path / "own.csv"), "column": "task"},
    ]  # fmt: skip


def test_every_match_shows_both_texts_with_the_match_marked(demo_ws, pairs, tmp_path):
    edit(demo_ws, pairs[4], question=f"Read this with care. {CLIPS} Explain.")
    gone = {"source": str(tmp_path / "gone.csv")}
    settings = DecontaminationSettings(benchmarks=(_benchmark(tmp_path), gone))
    check(demo_ws, decontamination_job.tag_contaminated, settings)
    shown = view("Benchmarks")
    row = shown.table("hit").iloc[0]
    assert (row["benchmark"], row["split"], row["items"], row["hit"], row["rows"]) == ("sums_test", "test", 2, 1, 1)
    marks = [line for line in shown.said.splitlines() if ":yellow-background[Natalia sold" in line]
    assert len(marks) == 2 and marks[0].lstrip("\u2060").startswith("Read this with care.")
    assert "100% of the benchmark's question" in shown.said
    assert "Not checked: " in shown.said
    assert len(shown.app.multiselect[0].value) == 2, "the next check is of the same benchmarks"
    shown.press("Include anyway")
    assert homework_rows.pair(demo_ws.db, pairs[4].question.id).dropped is None
    shown.press("Remove sums_test".replace("_", "\\_"))
    assert "Natalia" not in shown.said and decontamination_job.split_reports(demo_ws) == []


# --------------------------------------------------------------------------------------------------------------------- marks


def test_words_that_differ_are_marked_unless_everything_does():
    one, other = differing_spans("The red cat sat here.", "The Red dog sat, here!")
    assert ([("The red cat sat here."[a:b]) for a, b in one], ["The Red dog sat, here!"[a:b] for a, b in other]) == (
        ["cat"],
        ["dog"],
    )
    assert differing_spans("Name a prime.", "Who wrote Hamlet?") == ([], [])


@pytest.mark.parametrize(("text", "found", "marked_as"), [
    ("I’m  sorry, but no.", "“I'm sorry”", "I’m  sorry"), ("It ends with the", "it ends with “…ends with the”", "ends with the"),
    ("Go on. Go on, and go on", "it ends in “go on” over and over", "go on"), ("Nothing", "the answer is in the language de", None),
    ("A very long sen-\ntence that was cut", "“A very long…”", "A very long"), ("Other text", "“gone”", None),
])  # fmt: skip
def test_what_a_filter_quotes_is_found_in_the_text(text, found, marked_as):
    assert [text[a:b] for a, b in quoted_spans(text, found)] == ([marked_as] if marked_as else [])


def test_a_long_text_is_shown_around_its_mark():
    text = "word " * 400 + "HERE " + "word " * 400
    shown, [(start, end)] = excerpt(text, [(2000, 2004)], 200)
    assert shown[start:end] == "HERE" and len(shown) <= 202 and shown[0] == shown[-1] == "…"
    assert excerpt("short", [(0, 2)], 200) == ("short", [(0, 2)])


def test_texts_of_models_are_shown_as_they_are_written():
    text = "# Head\n    code\n===\n<b>x</b> :red[y] $5 ![z](http://a.b/c)\n\n- [a](b) `c` ]"
    shown = highlight(text, [(2, len(text))])
    lines = [line.strip("\u2060 ") for line in shown.split("\n")]
    assert lines[0] == "\\# :yellow-background[Head]" and lines[1].startswith(":yellow-background[\u00a0\u00a0\u00a0\u00a0code")
    assert "<b>" not in shown and ":red[" not in shown.replace("\\:", "") and "](" not in shown.replace("\\]", "")
    assert all(line == "" or line.startswith("\u2060") for line in shown.split("\n")), "no line begins a block of Markdown"
