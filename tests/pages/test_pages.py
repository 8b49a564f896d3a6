"""The pages in every state of a workspace, driven as a user drives them: what they say, and what their buttons do."""

import os

import pytest
from support.studio_app import PAGES, Studio, add_failure, add_run, copy_of

from glan_core.figures.coverage import MEASURES
from glan_core.formatting import number
from glan_core.operations import demo_workspace
from glan_core.records import Node
from glan_core.taxonomy import coverage, taxonomy_files, tree_editing
from glan_core.workspace import Workspace, call_rows, homework_rows, run_rows, taxonomy_rows
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.schema import MIGRATIONS

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
    assert "already contains a workspace" in shown.said
    shown.app.text_input[0].set_value("second")
    shown.app.checkbox[0].check()
    shown.press("Create workspace")
    assert shown.app.query_params["workspace"] == "second" and "3 of 126 disciplines started" in shown.said


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
}


@pytest.mark.parametrize("page", STARTER)
def test_a_taxonomy_without_data(starter_ws, page):
    shown = Studio(page)
    assert shown.fine and STARTER[page] in shown.said


DEMO = {
    "overview": "3 of 126 disciplines started · 96 pairs",
    "taxonomy": "8 fields · 126 disciplines · 18 open proposals",
    "syllabi": "6 of 6 subjects have a syllabus",
    "homework": "96 pairs · 0 questions without an answer",
    "diversity": "96 questions · no map yet",
    "dataset": "96 pairs · 96 kept (100%)",
    "train": "Training needs a snapshot of the dataset. No snapshots yet.",
    "models": "No tuned models yet.",
    "chat": "Models fine-tuned on this workspace can be compared here",
    "evaluate": "No evaluations yet",
    "runs": "4 runs · none live",
}


@pytest.mark.parametrize("page", PAGES)
def test_the_demo_workspace_says_that_it_is_one(demo_ws, page):
    shown = Studio(page)
    assert shown.fine and DEMO[page] in shown.said
    assert "gray-badge[demo]" in shown.said


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
    assert [said in error.value for error in shown.app.error] == [True]
    assert (folder / "glan.sqlite").read_bytes() == before


def test_another_workspace_can_be_chosen_where_one_is_damaged(home, demo_made):
    damage_header(copy_of(demo_made, home, "demo") / "glan.sqlite")
    demo_workspace.create_workspace(home / "other").close()
    shown = Studio()
    assert "is not a GLAN workspace" in shown.said
    shown.app.selectbox[0].set_value("other").run()
    assert "0 of 126 disciplines started" in shown.said


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
        told = [text.value for texts in (app.header, app.subheader, app.markdown, app.caption, app.error) for text in texts]
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
    assert "of 2 subjects have a syllabus · 16 pairs · 33.3% of the target reached" in shown.said
    shown.go("homework")
    assert "Homework · Music" in shown.said and shown.app.query_params["focus"] == "music"
    shown.press("The arts")
    assert shown.app.query_params["focus"] == "the-arts"
    shown.press("All knowledge")
    assert "focus" not in shown.app.query_params and "96 pairs" in shown.said


@pytest.mark.parametrize(("focus", "pages"), [("no-such-node", ("overview",)), ("music", PAGES)])
def test_a_focus_that_is_no_longer_there_is_dropped(demo_ws, focus, pages):
    tree_editing.remove(demo_ws, "music", "test")
    for page in pages:
        shown = Studio(page, focus=focus)
        assert shown.fine and "focus" not in shown.app.query_params
        assert page.capitalize() in [header.value for header in shown.app.header]


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


# ---------------------------------------------------------------------------------------------------------------- overview


@pytest.mark.parametrize("focus", ["", "humanities", "the-arts", "music", "physics"])
def test_the_numbers_of_the_overview_are_those_of_coverage(demo_ws, focus):
    standing = coverage.coverage_by_node(demo_ws)[focus]
    shown = Studio(**({"focus": focus} if focus else {}))
    metrics = {metric.label: metric.value for metric in shown.app.metric}
    for label, measure in (("Pairs", "pairs"), ("Subjects", "subjects"), ("Syllabi", "syllabi"), ("Key concepts", "concepts")):
        assert metrics[label] == number(standing.counts[measure])
    assert (f"{standing.share:.1%} of the target reached" if standing.share is not None else "no target yet") in shown.said


def test_the_overview_lists_what_lies_below(demo_ws):
    shown = Studio(focus="the-arts")
    below = shown.table("share")
    assert "Music" in list(below["name"])
    assert below.set_index("name").loc["Music", ["share", "pairs"]].round(1).to_list() == [33.3, 16]
    assert not [frame for frame in Studio(focus="music").app.dataframe if "share" in frame.value.columns]


@pytest.mark.parametrize(
    ("measure", "drawn"), [*((measure, "Rings") for measure in MEASURES), (next(iter(MEASURES)), "Tiles")]
)  # fmt: skip
def test_every_measure_colors_the_rings_and_one_the_tiles(demo_ws, measure, drawn):
    shown = Studio()
    shown.app.selectbox(key="measure").set_value(measure).run()
    shown.app.button_group(key="drawn").set_value(drawn).run()
    assert shown.fine and f"{MEASURES[measure].description} Gray: no data." in shown.said


def test_the_overview_says_what_the_last_run_added(demo_ws):
    shown = Studio()
    metrics = {metric.label: metric.delta for metric in shown.app.metric}
    assert (metrics["Pairs"], metrics["Subjects"], metrics["Rejected"]) == ("+16", "+2", "")
    assert "+: added by run 3 (Demo: music)." in shown.said
    elsewhere = Studio(focus="mathematics")
    assert not any(metric.delta for metric in elsewhere.app.metric) and "+: added" not in elsewhere.said


def test_the_emptiest_disciplines_lead_to_a_plan_for_them(demo_ws):
    shown = Studio(focus="natural-sciences", measure="Pairs")
    shown.app.session_state["overview_tabs"] = "Emptiest"
    shown.app.run()
    shares = shown.table("share")
    assert set(shares["name"]) == {"Astronomy", "Chemistry", "Physics", "Biology", "Earth science"}
    assert shares["name"].to_list()[-1] == "Earth science"
    shown.press("Plan a run for these 5 disciplines")
    assert shown.fine and "Runs · Natural Sciences" in shown.said
    assert len(shown.app.multiselect(key="run_disciplines").value) == 5


def test_a_run_at_work_stands_on_the_overview(demo_ws):
    add_run(demo_ws, "running", "Everything")
    shown = Studio()
    [run, *_] = run_rows.runs(demo_ws.db)
    assert shown.fine and f"Run {run.id}, Everything: 10 of 40 calls" in shown.said
    shown.press("Watch")
    assert shown.fine and f"Run {run.id}" in shown.said and "Pause" in shown.labels()


def test_failures_are_said_on_the_overview(demo_ws):
    assert "failed" not in Studio(focus="mathematics").said
    add_failure(demo_ws, None, "refused")
    assert "1 call failed; the next run retries it." in Studio(focus="mathematics").said


# ---------------------------------------------------------------------------------------------------------------- homework


EVERYTHING = PairFilter()


def questions(shown: Studio) -> list[str]:
    return list(shown.table("question")["question"])


def short_text(text: str) -> str:
    return text.replace("\n", " ")[:160]


def page_texts(ws, which: PairFilter = EVERYTHING, **place) -> list[str]:
    return [short_text(pair.question.text) for pair in homework_rows.pairs_page(ws.db, which, **place)]


def test_older_and_newer_lead_there_and_back(demo_ws):
    shown = Studio("homework")
    first = questions(shown)
    assert first == page_texts(demo_ws) and len(first) == 50
    assert "Newer" not in shown.labels()
    second = questions(shown.press("Older"))
    assert len(second) == 46 and "Older" not in shown.labels()
    assert len({*first, *second}) == len({short_text(p.question.text) for p in homework_rows.all_pairs(demo_ws.db)})
    assert questions(shown.press("Newer")) == first
    assert questions(shown.press("Older")) == second


def test_filters_narrow_the_rows_and_are_shared_by_the_address(demo_ws):
    shown = Studio("homework")
    strategy, answer = shown.app.button_group(key="strategy"), shown.app.button_group(key="answered")
    strategy.set_value("pair").run()
    assert set(shown.table("question")["strategy"]) == {"pair"}
    again = Studio("homework", workspace="demo", strategy="pair")
    assert questions(again) == questions(shown) == page_texts(demo_ws, PairFilter(strategy="pair"))
    answer = shown.app.button_group(key="answered")
    answer.set_value("open").run()
    assert "No questions match these filters." in shown.said
    shown.press("Clear filters")
    assert questions(shown) == page_texts(demo_ws)


def test_words_are_searched_in_questions_and_answers(demo_ws):
    shown = Studio("homework")
    shown.app.text_input(key="words").set_value("standing wave").run()
    found = homework_rows.pairs_page(demo_ws.db, PairFilter(words="standing wave"))
    assert 0 < len(found) < 50 and questions(shown) == [short_text(pair.question.text) for pair in found]
    for odd in ('"', "*", "AND", "a-b:c(", "x" * 500):
        shown.app.text_input(key="words").set_value(odd).run()
        assert shown.fine


def test_the_focus_filters_the_rows(demo_ws):
    shown = Studio("homework", focus="music")
    assert set(shown.table("question")["discipline"]) == {"Music"} and len(shown.table("question")) == 16
    assert "16 pairs" in shown.said
    shown = Studio("homework", focus="physics")
    assert "No questions under this part of the taxonomy yet" in shown.said
    shown.press("Plan a run")
    assert shown.fine and "Runs · Physics" in shown.said


def test_a_focus_with_hundreds_of_disciplines(home):
    ws = Workspace.create(home / "wide")
    nodes = [Node("all", "Everything", "field"), *(Node(f"d{n}", f"Discipline {n}", "discipline", "all") for n in range(1200))]
    tree_editing.import_nodes(ws, nodes, "test")
    with ws.write() as db:
        homework_rows.add_question(db, homework_rows.Question(
            0, "q1", "s1", "d700", "single", "coverage", 0, 0, (), (), "What is it?", "scripted"
        ))  # fmt: skip
    assert [pair.question.id for pair in homework_rows.pairs_page(ws.db, PairFilter(tuple(f"d{n}" for n in range(1200))))] == [
        "q1"
    ]
    ws.close()


def test_a_picked_row_is_read_with_its_chain_and_prompts(demo_ws):
    pair = homework_rows.pairs_page(demo_ws.db, PairFilter())[3]
    shown = Studio("homework", pair=pair.question.id)
    assert pair.question.text[:60] in shown.said and pair.answer.split("\n")[0][:40] in shown.said
    node = taxonomy_rows.node(demo_ws.db, pair.question.discipline_id)
    assert f"Discipline: **{node.name}**" in shown.said and "scripted teacher" in shown.said
    shown.app.session_state["chain_tabs"] = "Prompts and replies"
    shown.app.run()
    calls = call_rows.calls_of(demo_ws.db, pair.question.id)
    assert f"prompt {calls[0].prompt_version} · temperature 1 · top-p 0.95" in shown.said
    assert "selected_key_concepts" in shown.said and pair.answer in [code.value for code in shown.app.code]


def test_a_question_without_an_answer_says_so(demo_ws):
    pair = homework_rows.pairs_page(demo_ws.db, PairFilter(), limit=1)[0]
    with demo_ws.write() as db:
        db.execute("DELETE FROM answers WHERE question_id = ?", (pair.question.id,))
        db.execute("UPDATE questions SET answered = 0 WHERE id = ?", (pair.question.id,))
        call_rows.count(db, pair.question.discipline_id, pairs=-1)
    shown = Studio("homework")
    assert shown.fine and "95 pairs · 1 question without an answer" in shown.said
    assert "No answer yet" in shown.said
    shown.app.button_group(key="answered").set_value("open").run()
    assert len(shown.table("question")) == 1


def test_homework_of_a_removed_discipline_stays_readable(demo_ws):
    tree_editing.remove(demo_ws, "music", "test")
    shown = Studio("homework")
    assert shown.fine and "Music" in list(shown.table("question")["discipline"])
    assert "Discipline (removed): **Music**" in shown.said
