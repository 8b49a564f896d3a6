"""Search over names and words: case, wildcards, ranking, what is removed or retired, limits and ids."""

import pytest
from support.runs import execute_run

from glan_core.taxonomy import tree_editing
from glan_core.workspace import search_rows


@pytest.fixture
def made(ws, settings):
    execute_run(ws, settings("mathematics", "music", teacher="scripted"))
    return ws


def names(found) -> list[str]:
    return [one.name for one in found]


def test_nodes_are_found_by_all_words_without_regard_to_case(ws):
    assert names(search_rows.nodes(ws.db, "SCIENCE earth")) == ["Earth Science"]
    assert names(search_rows.nodes(ws.db, "earth")) == ["Earth Science", "Earth and its surface"]
    tree_editing.rename(ws, "music", "Größe und Maß", "test")
    assert names(search_rows.nodes(ws.db, "GRÖSSE")) == [] and names(search_rows.nodes(ws.db, "größe")) == ["Größe und Maß"]
    assert names(search_rows.nodes(ws.db, "GRÖ")) == ["Größe und Maß"]


@pytest.mark.parametrize("query", ["%", "_", "\\", "'", '"', "a%b", "* OR", "NEAR(", "\x00", "\ud800", "", "   "])
def test_wildcards_and_syntax_are_ordinary_characters(made, query):
    for find in (search_rows.nodes, search_rows.subjects, search_rows.concepts, search_rows.pairs):
        assert find(made.db, query) == [] or query.strip("*%_ ") not in ("", "%")


def test_a_percent_sign_in_a_name_is_found(ws):
    tree_editing.add(ws, "100% Wool_Felt", "crafts", "test")
    assert names(search_rows.nodes(ws.db, "0%")) == names(search_rows.nodes(ws.db, "l_f")) == ["100% Wool_Felt"]


def test_the_best_names_come_first(made):
    with made.write() as db:
        for number, name in enumerate(("Unique zebra", "Zebra crossings of old", "Zebra", "Azebra")):
            db.execute(
                "INSERT INTO subjects (id, discipline_id, position, name, level, subtopics, teacher) VALUES (?, 'music', ?, ?, '', '[]', 'x')",
                (f"s{number}", 90 + number, name),
            )
    found = search_rows.subjects(made.db, "zebra")
    assert names(found) == ["Zebra", "Zebra crossings of old", "Unique zebra", "Azebra"] and found[0].discipline == "Music"
    assert names(search_rows.subjects(made.db, "zebra", limit=2)) == ["Zebra", "Zebra crossings of old"]


def test_concepts_have_their_subject_and_retired_ones_are_left_out(made):
    id, name = made.db.execute(
        "SELECT concept_id, name FROM question_concepts q JOIN concepts c ON c.id = q.concept_id LIMIT 1"
    ).fetchone()
    one = next(one for one in search_rows.concepts(made.db, name) if one.id == id)
    assert one.asked and one.subject and one.discipline_id in ("mathematics", "music")
    with made.write() as db:
        db.execute("UPDATE concepts SET retired = 1 WHERE id = ?", (id,))
    assert id not in [one.id for one in search_rows.concepts(made.db, name)]


def test_what_lies_below_a_removed_discipline_is_not_found(made):
    subject = search_rows.subjects(made.db, "a", limit=50)[0]
    tree_editing.remove(made, subject.discipline_id, "test")
    assert subject.id not in [one.id for one in search_rows.subjects(made.db, subject.name, limit=50)]


def test_pairs_are_found_by_words_and_by_id(made):
    words, id = made.db.execute("SELECT text, id FROM questions LIMIT 1").fetchone()
    word = max((word.strip(".,:;\"'?()") for word in words.split()), key=len)
    assert id in [pair.question.id for pair in search_rows.pairs(made.db, word, limit=100)]
    assert [pair.question.id for pair in search_rows.pairs(made.db, id)] == [id]


def test_names_are_read_without_sorting_all_of_them(made):
    """At a million pairs there are some hundred thousand concepts; the limit ends the walk."""
    plan = made.db.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM concepts c CROSS JOIN syllabi y ON y.id = c.syllabus_id CROSS JOIN subjects s "
        "ON s.id = y.subject_id WHERE c.name LIKE '%x%' LIMIT 5"
    ).fetchall()
    assert not [row for row in plan if "B-TREE" in row[3]]
