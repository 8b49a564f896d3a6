"""Tests for the search box of the sidebar and the Search page."""

import pytest
from support.studio_app import PAGES, Studio

from glan_core.workspace import homework_rows
from glan_core.workspace.pair_filter import PairFilter

pytest_plugins = ["support.studio_fixtures"]


def box(shown: Studio):
    return shown.app.text_input(key="search_words")


def first(shown: Studio, group: str):
    return next(button for button in shown.app.button if (button.key or "").startswith(f"found_{group}_0"))


def heads(shown: Studio) -> list[str]:
    return [one.value for one in shown.app.title]


@pytest.mark.parametrize("page", ["overview", "homework", "search"])
def test_enter_opens_the_results_and_the_query_is_in_the_address(demo_ws, page):
    shown = Studio(page)
    box(shown).set_value("  music ").run()
    assert shown.fine and heads(shown) == ["Search"] and shown.app.query_params["q"] == "music"
    assert box(shown).value == "music" and "Music" in [button.label for button in shown.app.button]
    box(shown).set_value("zzzz").run()
    assert "No matches" in shown.said and shown.app.query_params["q"] == "zzzz"


def test_another_page_begins_with_an_empty_box(demo_ws):
    shown = Studio("search", q="music")
    assert box(shown).value == "music"
    assert box(shown.go("overview")).value == ""


def test_the_box_shows_the_query_although_the_browser_still_sends_what_it_showed_before(demo_ws):
    shown = Studio("search", q="music")
    box(shown).set_value("").run()
    assert shown.fine and box(shown).value == "music" and "Results for “music”" in shown.said


@pytest.mark.long
def test_the_results_open_their_pages(demo_ws):
    first_discipline = first(Studio("search", q="music"), "Disciplines")
    assert first_discipline.label == "Music"
    shown = Studio("search", q="music")
    first(shown, "Disciplines").click().run()
    assert heads(shown) == ["Taxonomy · Music"] and shown.app.query_params["focus"] == "music"
    [subject, discipline] = demo_ws.db.execute("SELECT name, discipline_id FROM subjects LIMIT 1").fetchone()
    shown = Studio("search", q=subject)
    first(shown, "Subjects").click().run()
    assert heads(shown)[0].startswith("Syllabi · ") and shown.app.query_params["focus"] == discipline
    [concept] = demo_ws.db.execute(
        "SELECT c.name FROM concepts c JOIN question_concepts q ON q.concept_id = c.id LIMIT 1"
    ).fetchone()
    shown = Studio("search", q=concept)
    first(shown, "Key concepts").click().run()
    assert heads(shown)[0].startswith("Homework · ") and "concept" in shown.app.query_params
    pair = homework_rows.pairs_page(demo_ws.db, PairFilter(), limit=1)[0]
    shown = Studio("search", q=pair.question.id)
    first(shown, "Pairs").click().run()
    assert heads(shown)[0].startswith("Homework · ") and shown.app.query_params["pair"] == pair.question.id


def test_all_pairs_are_shown_on_homework(demo_ws):
    shown = Studio("search", q="the", focus="music")
    next(button for button in shown.app.button if button.key == "all_Pairs").click().run()
    assert shown.fine and heads(shown) == ["Homework"] and shown.app.query_params["words"] == "the"


@pytest.mark.parametrize("query", ["%", "a'b\"", "<b>x</b> [l](http://x) $x$", "x" * 5000, "\\"])
def test_any_query_is_shown_as_it_is(demo_ws, query):
    shown = Studio("search", q=query)
    assert shown.fine
    for text in (one.value for texts in (shown.app.caption, shown.app.markdown) for one in texts):
        assert "<b>" not in text and "](http" not in text and "$x$" not in text


def test_the_search_page_is_a_page(demo_ws):
    assert "search" in PAGES and "Search finds disciplines" in Studio("search").said
