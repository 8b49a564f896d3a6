"""The Taxonomy page, driven as a user drives it: the graph and the outline, edits and their undo, votes, import and export."""

import json

import pytest
from support.studio_app import Studio

from glan_core.operations import demo_workspace
from glan_core.records import Node
from glan_core.taxonomy import hierarchy, taxonomy_files, tree_editing
from glan_core.workspace import curriculum_rows, taxonomy_rows
from glan_core.workspace.taxonomy_rows import Proposal
from pages.components.taxonomy.import_export import difference_frame

pytest_plugins = ["support.studio_fixtures"]


def spec(shown: Studio) -> dict:
    """The picture, as the browser gets it."""
    (chart,) = shown.app.get("echarts_chart")
    return json.loads(chart.proto.spec)


def drawn(shown: Studio) -> list[str]:
    """The ids of what is drawn."""
    return [node["id"] for node in spec(shown)["series"][1]["data"]]


def test_the_graph_shows_the_whole_tree_and_nothing_below_it(demo_ws):
    shown = Studio("taxonomy")
    assert {"", *tree_names(demo_ws)} <= set(drawn(shown))
    assert "3 started" in shown.said
    assert not [id for id in drawn(shown) if id.startswith(("sub-", "ses-", "con-"))]


def test_a_discipline_unfolds_its_subjects_and_a_subject_its_sessions_and_concepts(demo_ws):
    subjects = curriculum_rows.subjects(demo_ws.db, "music")
    shown = Studio("taxonomy", focus="music")
    assert {s.id for s in subjects} <= set(drawn(shown)) and set(tree_names(demo_ws)) <= set(drawn(shown))
    shown = Studio("taxonomy", focus="music", subject=subjects[0].id)
    syllabus = curriculum_rows.syllabus_states(demo_ws.db, "music")[subjects[0].id].id
    sessions = curriculum_rows.sessions(demo_ws.db, syllabus)
    concepts = {id for session in sessions for id, _ in session.concepts}
    assert {session.id for session in sessions} | concepts <= set(drawn(shown))
    assert subjects[0].id in drawn(shown)
    assert f"Subject of Music · {subjects[0].level}" in shown.said and subjects[0].subtopics[0] in shown.said


def test_a_syllabus_that_is_not_there_yet_is_told(demo_ws):
    with demo_ws.write() as db:
        db.execute("DELETE FROM syllabi WHERE discipline_id = 'music'")
    subject = curriculum_rows.subjects(demo_ws.db, "music")[0]
    shown = Studio("taxonomy", focus="music", subject=subject.id)
    assert shown.fine and "No syllabus yet" in shown.said and "Open on Syllabi page" in shown.labels()


def test_a_picture_stays_small_where_a_discipline_has_hundreds_of_subjects(demo_ws):
    with demo_ws.write() as db:
        db.executemany(
            "INSERT INTO subjects (id, discipline_id, position, name, level, subtopics, teacher) VALUES (?, 'music', ?, ?, '', '[]', 't')",
            [(f"sub-{n:016}", n + 9, f"A subject with a long name, number {n}") for n in range(600)],
        )
        db.execute("UPDATE counters SET value = 602 WHERE node_id = 'music' AND measure = 'subjects'")
    shown = Studio("taxonomy", focus="music")
    subjects = [id for id in drawn(shown) if id.startswith("sub-")]
    assert len(subjects) == 90 and len(json.dumps(spec(shown))) < 150_000
    assert "and 512 more" in json.dumps(spec(shown))
    assert set(curriculum_rows.syllabus_states(demo_ws.db, "music")) <= set(subjects)


def tree_names(ws) -> dict[str, str]:
    return {node.id: node.name for node in taxonomy_rows.nodes(ws.db)}


def test_the_outline_unfolds_what_is_in_focus(demo_ws):
    names = [name.strip("\u2003▸▾ ") for name in Studio("taxonomy", view="Outline").table("disciplines")["name"]]
    assert names == [node.name for node in taxonomy_rows.nodes(demo_ws.db) if node.parent_id is None]
    names = [
        name.strip("\u2003▸▾ ") for name in Studio("taxonomy", view="Outline", focus="the-arts").table("disciplines")["name"]
    ]
    assert {"Humanities", "The arts", "Music"} < set(names) and "Physics" not in names
    unfolded = Studio("taxonomy", view="Outline")
    unfolded.app.toggle[0].set_value(True).run()
    assert len(unfolded.table("disciplines")) == len(tree_names(demo_ws))


def test_the_search_finds_by_name_and_description_and_shows_the_way_there(demo_ws):
    shown = Studio("taxonomy", view="Outline")
    shown.app.text_input(key="taxonomy_search").set_value("ASTRO").run()
    names = [name.strip("\u2003▸▾ ") for name in shown.table("disciplines")["name"]]
    assert {"Natural Sciences", "Astronomy"} <= set(names) and "Music" not in names
    shown.app.text_input(key="taxonomy_search").set_value("no such thing").run()
    assert "No nodes match this search." in shown.said


def test_a_node_is_renamed_described_and_moved(demo_ws):
    shown = Studio("taxonomy", focus="music")
    next(field for field in shown.app.text_input if field.label == "Name").set_value("Music and sound")
    next(field for field in shown.app.text_area if field.label == "Description").set_value("What is heard.")
    next(field for field in shown.app.selectbox if field.label == "Parent").set_value("humanities")
    shown.press("Save")
    assert shown.fine and "Taxonomy · Music and sound" in shown.said and "What is heard" in shown.said
    node = taxonomy_rows.node(demo_ws.db, "music")
    assert (node.name, node.description, node.parent_id) == ("Music and sound", "What is heard.", "humanities")
    assert [event.who for event in taxonomy_rows.events(demo_ws.db, 3)] == ["Ada"] * 3
    shown.app.session_state["taxonomy_tabs"] = "Changes"
    shown.app.run()
    assert shown.table("what")["what"][0] == "Music edited, moved, renamed"


def test_an_edit_that_cannot_be_made_says_why_and_changes_nothing(demo_ws):
    before = taxonomy_rows.nodes(demo_ws.db)
    shown = Studio("taxonomy", focus="music")
    siblings = [n.name for n in before if n.parent_id == "the-arts" and n.id != "music"]
    next(field for field in shown.app.text_input if field.label == "Name").set_value(siblings[0])
    next(field for field in shown.app.text_area if field.label == "Description").set_value("Half an edit.")
    shown.press("Save")
    assert "is used twice under the same parent" in shown.app.error[0].value
    assert taxonomy_rows.nodes(demo_ws.db) == before


def test_an_edit_is_all_or_nothing(demo_ws):
    """A new name and a place where the name is taken: nothing of it is done."""
    before = taxonomy_rows.nodes(demo_ws.db)
    under = next(n for n in before if n.kind == "sub-field" and n.id != "the-arts")
    taken = next(n for n in before if n.parent_id == under.id)
    shown = Studio("taxonomy", focus="music")
    next(field for field in shown.app.text_input if field.label == "Name").set_value(taken.name)
    next(field for field in shown.app.selectbox if field.label == "Parent").set_value(under.id)
    shown.press("Save")
    assert shown.app.error and taxonomy_rows.nodes(demo_ws.db) == before


def test_a_removed_node_goes_with_all_below_it_and_the_removal_can_be_undone_and_done_again(demo_ws):
    before = taxonomy_rows.nodes(demo_ws.db)
    shown = Studio("taxonomy", focus="the-arts")
    count = sum(1 for _ in hierarchy.walk(tree_editing.tree(demo_ws), "the-arts"))
    shown.press(f"Remove {count} nodes")
    assert shown.fine and "Taxonomy · Humanities" in shown.said
    assert "music" not in tree_names(demo_ws) and len(tree_names(demo_ws)) == len(before) - count
    assert f"Removed The arts with {count - 1} nodes below it." in shown.said
    shown.press("Undo")
    assert shown.fine and taxonomy_rows.nodes(demo_ws.db) == before and "Undone: Removed The arts" in shown.said
    shown.press("Redo")
    assert "music" not in tree_names(demo_ws) and "Undone" not in shown.said


def test_a_change_of_long_ago_is_undone_from_the_list(demo_ws):
    before = taxonomy_rows.nodes(demo_ws.db)
    tree_editing.remove(demo_ws, "the-arts", "Bob")
    tree_editing.rename(demo_ws, "physics", "Natural philosophy", "Cleo")
    shown = Studio("taxonomy")
    assert "undo_last" not in [button.key for button in shown.app.button]  # it was not this session that did it
    shown.app.session_state["taxonomy_tabs"] = "Changes"
    shown.app.run()
    assert list(shown.table("what")["who"][:2]) == ["Cleo", "Bob"]
    newest = taxonomy_rows.events(demo_ws.db, 1)[0].batch
    shown.app.session_state[f"changes_{newest}"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    shown.app.run()
    shown.press("Undo: The arts")
    assert shown.fine
    assert {n.id: n for n in taxonomy_rows.nodes(demo_ws.db)}.keys() == {n.id for n in before}
    assert tree_names(demo_ws)["physics"] == "Natural philosophy"


def test_an_undo_that_cannot_be_says_why(demo_ws):
    node = tree_editing.add(demo_ws, "Crafts", "humanities", "Ada", kind="sub-field")
    added = taxonomy_rows.events(demo_ws.db, 1)[0].batch
    tree_editing.add(demo_ws, "Weaving", node.id, "Ada")
    shown = Studio("taxonomy")
    shown.app.session_state["taxonomy_tabs"] = "Changes"
    newest = taxonomy_rows.events(demo_ws.db, 1)[0].batch
    shown.app.session_state[f"changes_{newest}"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    shown.app.run()
    shown.press("Undo: Crafts added")
    assert '"Crafts" now contains "Weaving"' in shown.app.error[0].value.replace("\\", "")
    assert taxonomy_rows.events_of(demo_ws.db, added) and {"crafts", "weaving"} <= set(tree_names(demo_ws))


def test_nodes_of_every_kind_are_added_where_they_belong(demo_ws):
    shown = Studio("taxonomy")
    next(field for field in shown.app.text_input if field.label == "Name" and field.key.startswith("new_name")).set_value(
        "Household"
    )
    next(box for box in shown.app.selectbox if box.label == "Group").set_value("Industry-Services")
    shown.press("Add")
    assert shown.fine and "Added Household." in shown.said
    node = taxonomy_rows.node(demo_ws.db, "household")
    assert (node.kind, node.parent_id, node.group) == ("field", None, "Industry-Services")
    shown = Studio("taxonomy", focus="household")
    next(field for field in shown.app.text_input if field.label == "Name" and field.key.startswith("new_name")).set_value(
        "Cookery"
    )
    next(group for group in shown.app.button_group if group.key.startswith("new_kind")).set_value("sub-field")
    shown.press("Add")
    assert taxonomy_rows.node(demo_ws.db, "cookery").kind == "sub-field"


def add_below(shown: Studio, name: str) -> Studio:
    """Type a name into the form that adds a node, and press its button."""
    next(field for field in shown.app.text_input if (field.key or "").startswith("new_name")).set_value(name)
    return shown.press("Add")


def typed_name(shown: Studio) -> str:
    return next(field.value for field in shown.app.text_input if (field.key or "").startswith("new_name"))


def test_a_name_that_cannot_be_added_stays_in_its_field(demo_ws):
    shown = add_below(Studio("taxonomy", focus="natural-sciences"), "Physical sciences")
    assert shown.fine and "Physical sciences" in shown.said and typed_name(shown) == "Physical sciences"
    assert shown.app.error
    add_below(shown, "Oceanography")
    assert "Added Oceanography." in shown.said and not shown.app.error and typed_name(shown) == ""


def test_what_was_removed_comes_back_when_it_is_added_again(demo_ws):
    shown = add_below(Studio("taxonomy", focus="natural-sciences"), "Oceanography")
    shown.press("Undo")
    assert "oceanography" not in [node.id for node in taxonomy_rows.nodes(demo_ws.db)]
    add_below(shown, " Oceanography ")
    assert shown.fine and "Oceanography with its generated data." in shown.said
    assert "oceanography" in [node.id for node in taxonomy_rows.nodes(demo_ws.db)]
    shown.press("Undo")
    assert "oceanography" not in [node.id for node in taxonomy_rows.nodes(demo_ws.db)]


def test_votes_decide_a_proposal(demo_ws):
    first, second = taxonomy_rows.proposals(demo_ws.db)[:2]
    shown = Studio("taxonomy")
    shown.app.button(key=f"vote_{first.id}_True").click().run()
    shown.app.button(key=f"vote_{second.id}_False").click().run()
    assert taxonomy_rows.vote_counts(demo_ws.db) == {first.id: (1, 0), second.id: (0, 1)}
    assert {"Keep · 1", "Remove · 1"} <= set(shown.labels())
    shown.press("Apply votes · adds 1, rejects 1")
    assert shown.fine and "16 open proposals" in shown.said
    assert first.name in tree_names(demo_ws).values() and second.name not in tree_names(demo_ws).values()


def test_a_later_vote_replaces_the_earlier_and_a_node_can_be_voted_out(demo_ws):
    shown = Studio("taxonomy", focus="physics")
    assert "Apply votes · no majority yet" not in shown.labels()
    shown.app.button(key="vote_physics_True").click().run()
    shown.app.button(key="vote_physics_False").click().run()
    assert taxonomy_rows.vote_counts(demo_ws.db)["physics"] == (0, 1)
    shown.press("Apply votes · removes 1")
    assert shown.fine and "physics" not in tree_names(demo_ws)


def test_votes_on_a_node_can_be_counted_without_open_proposals(starter_ws):
    shown = Studio("taxonomy", focus="physics")
    shown.app.button(key="vote_physics_False").click().run()
    shown.press("Apply votes")
    assert shown.fine and "physics" not in tree_names(starter_ws)


def test_a_proposal_says_what_it_resembles_and_that_it_is_scripted(starter_ws):
    with starter_ws.write() as db:
        taxonomy_rows.put_proposal(db, Proposal(
            0, "p1", "natural-sciences", "Physics *2*", "discipline", "More of it.", "Why not.", ("Physics", "a_b"), ("gaps",),
            "scripted", "open",
        ))  # fmt: skip
    shown = Studio("taxonomy")
    assert shown.fine and "similar to Physics, a_b" in shown.said and "scripted teacher" in shown.said
    assert "**Physics \\*2\\***" in [text.value for text in shown.app.markdown]


def upload(shown: Studio, name: str, content: str | bytes) -> Studio:
    shown.app.session_state["taxonomy_tabs"] = "Import and export"
    shown.app.run()
    data = content.encode() if isinstance(content, str) else content
    shown.app.file_uploader[0].set_value((name, data, "application/octet-stream")).run()
    return shown


def test_an_imported_file_shows_its_difference_before_it_is_applied(demo_ws):
    nodes = taxonomy_rows.nodes(demo_ws.db)
    wanted = [n for n in nodes if n.id != "music"]
    wanted[0] = Node(wanted[0].id, "Letters and arts", wanted[0].kind, None, wanted[0].group, wanted[0].description)
    wanted.append(Node("juggling", "Juggling", "discipline", "humanities"))
    shown = upload(Studio("taxonomy"), "mine.yaml", taxonomy_files.dump(wanted, "yaml"))
    assert shown.fine
    assert "1 added" in shown.said and "Removes 1 node; generated data is kept." in shown.said
    assert shown.table("before")[["what", "name"]].values.tolist() == [
        ["added", "Juggling"], ["removed", "Music"], ["renamed", "Letters and arts"]
    ]  # fmt: skip
    assert taxonomy_rows.nodes(demo_ws.db) == nodes
    shown.press("Import · 3 changes")
    assert shown.fine and {n.id: n.name for n in wanted} == tree_names(demo_ws)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.yaml", b"\x89PNG\r\n\x1a\n\0\0\0\r", "is not a text file"), ("x.json", "{", "x.json"), ("x.yaml", "- a\n- a\n", "x.yaml, line 2"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_taxonomy_is_refused_with_a_reason(demo_ws, name, content, said):
    before = taxonomy_rows.nodes(demo_ws.db)
    shown = upload(Studio("taxonomy"), name, content)
    assert shown.fine and said in shown.said
    assert taxonomy_rows.nodes(demo_ws.db) == before


def test_an_outline_says_what_was_recognized_and_can_be_added_instead_of_replacing(demo_ws):
    before = taxonomy_rows.nodes(demo_ws.db)
    outline = "Here is a *draft*:\n\n# Humanities\n- Juggling\n# Crafts\n- Pottery\n".encode("utf-16")
    shown = upload(Studio("taxonomy"), "draft.txt", outline)
    assert shown.fine and "Read as Markdown outline" in shown.said and "2 fields, 2 disciplines" in shown.said
    assert "Text that names no topic is left out" in shown.said and "removed" in shown.said
    shown.app.button_group(key="import_mode").set_value("Add to the taxonomy").run()
    assert "3 added" in shown.said and "Removes nothing." in shown.said
    shown.press("Import · 3 changes")
    assert shown.fine and [node.name for node in taxonomy_rows.nodes(demo_ws.db) if node not in before] == [
        "Juggling",
        "Crafts",
        "Pottery",
    ]


def test_the_exported_file_imported_again_changes_nothing(demo_ws):
    for kind in ("yaml", "json"):
        text = taxonomy_files.dump(taxonomy_rows.nodes(demo_ws.db), kind)
        shown = upload(Studio("taxonomy"), f"taxonomy.{kind}", text)
        assert f"Taxonomy.{kind} is identical to the workspace's taxonomy." in shown.said


def test_the_shipped_taxonomy_is_compared_and_brought_back(demo_ws):
    tree_editing.rename(demo_ws, "music", "Sound", "Ada")
    tree_editing.remove(demo_ws, "physics", "Ada")
    tree_editing.move(demo_ws, "dance", "humanities", "Ada")
    shown = Studio("taxonomy")
    shown.app.session_state["taxonomy_tabs"] = "Import and export"
    shown.app.run()
    shown.app.button_group(key="compare_with").set_value("Default taxonomy").run()
    assert shown.table("before")[["what", "name"]].values.tolist() == [
        ["added", "Physics"], ["renamed", "Music"], ["moved", "Dance"]
    ]  # fmt: skip
    assert "Removes nothing." in shown.said
    shown.press("Import · 3 changes")
    assert shown.fine and taxonomy_rows.nodes(demo_ws.db) == taxonomy_files.read(demo_workspace.STARTER_TAXONOMY)
    shown.press("Undo")
    assert tree_names(demo_ws)["music"] == "Sound" and "physics" not in tree_names(demo_ws)


def test_a_difference_says_where_and_from_what_to_what():
    old = [
        Node("a", "A", "field"),
        Node("b", "B", "field"),
        Node("x", "X", "discipline", "a"),
        Node("y", "Y", "discipline", "a"),
    ]
    new = [Node("a", "A", "field"), Node("b", "B", "field"), Node("x", "X2", "discipline", "b", None, "New words.")]
    frame = difference_frame(hierarchy.diff(old, new), old, new)
    assert frame.values.tolist() == [
        ["removed", "Y", "A", "discipline", ""], ["renamed", "X2", "B", "X", "X2"], ["moved", "X2", "B", "A", "B"],
        ["changed", "X2", "B", "none", "New words."],
    ]  # fmt: skip
