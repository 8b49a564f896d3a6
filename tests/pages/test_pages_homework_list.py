"""Tests for the list of questions on the Homework page: paging, filters, search, focus and provenance."""

from support.studio_app import Studio

from glan_core.records import Node
from glan_core.taxonomy import tree_editing
from glan_core.untrusted import clean_line
from glan_core.workspace import Workspace, call_rows, homework_rows, taxonomy_rows
from glan_core.workspace.pair_filter import PairFilter

pytest_plugins = ["support.studio_fixtures"]


EVERYTHING = PairFilter()


def questions(shown: Studio) -> list[str]:
    return list(shown.table("question")["question"])


def short_text(text: str) -> str:
    return clean_line(text.replace("\n", " ")[:160])


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
