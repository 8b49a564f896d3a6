"""`glan taxonomy` as a person types it: edits, imports, undo, proposals and votes."""

import json
import re

from support.runs import Canned

from glan_core.taxonomy import tree_editing
from glan_core.teachers.contract import TeacherError
from glan_core.workspace import taxonomy_rows


def test_taxonomy_commands_edit_the_tree_and_record_who(glan, starter):
    folder = starter.folder
    assert "virology" in glan("taxonomy", folder, "add", "Natural Sciences / Virology", "--who", "ada")[1]
    glan("taxonomy", folder, "rename", "virology", "Virus research", "--who", "bob")
    glan("taxonomy", folder, "move", "virology", "humanities", "--who", "bob")
    glan("taxonomy", folder, "remove", "virology", "--who", "cy")
    assert "virology" not in tree_editing.tree(starter)
    glan("taxonomy", folder, "restore", "virology", "--who", "ada")
    assert tree_editing.tree(starter).nodes["virology"]["node"].name == "Virus research"
    _, out, _ = glan("taxonomy", folder, "history", "--json")
    done = [(event["action"], event["who"]) for event in json.loads(out) if event["node_id"] == "virology"]
    assert done == [("restore", "ada"), ("remove", "cy"), ("move", "bob"), ("rename", "bob"), ("add", "ada")]


def test_a_taxonomy_of_another_tool_is_previewed_then_added_or_replaces(glan, starter, tmp_path):
    folder, file = starter.folder, tmp_path / "topics.md"
    file.write_bytes("# Humanities\r\n- Folklore: tales\tand customs of a people\r\n# Crafts\r\n- Pottery\r\n".encode("utf-16"))
    before = taxonomy_rows.nodes(starter.db)
    _, out, _ = glan("taxonomy", folder, "import", file, "--dry-run", "--add")
    assert out.startswith("Read as Markdown outline: 2 fields, 2 disciplines.\nWould be: 3 added, 0 removed, ")
    assert re.search(r"^added +Folklore +Humanities +discipline$", out, re.MULTILINE)
    assert taxonomy_rows.nodes(starter.db) == before
    _, out, _ = glan("taxonomy", folder, "import", file, "--add", "--json")
    assert json.loads(out)["form"] == "Markdown outline" and len(json.loads(out)["added"]) == 3
    assert len(taxonomy_rows.nodes(starter.db)) == len(before) + 3
    _, out, _ = glan("taxonomy", folder, "import", file)
    assert "Imported: 0 added, " in out and len(taxonomy_rows.nodes(starter.db)) == 4
    file.write_text("- A\n  - B\n  - b\n")
    code, _, said = glan("taxonomy", folder, "import", file)
    assert code == 2 and 'topics.md, line 3: the name "b" is used twice under "A"' in said and said.count("\n") == 1


def test_a_change_of_the_taxonomy_is_undone_and_done_again(glan, starter):
    folder = starter.folder
    glan("taxonomy", folder, "remove", "the-arts", "--who", "cy")
    change = json.loads(glan("taxonomy", folder, "history", "--json")[1])[0]["batch"]
    assert change in glan("taxonomy", folder, "history")[1]
    _, out, _ = glan("taxonomy", folder, "undo", change, "--who", "ada", "--json")
    assert "music" in tree_editing.tree(starter) and {event["who"] for event in json.loads(out)} == {"ada"}
    glan("taxonomy", folder, "undo", json.loads(out)[0]["batch"])
    assert "music" not in tree_editing.tree(starter)
    code, _, said = glan("taxonomy", folder, "undo", "nothing")
    assert code and "does not exist" in said


def test_a_path_is_split_at_slashes_with_spaces_and_says_the_kind(glan, starter):
    def add(*words):
        code, out, _ = glan("taxonomy", starter.folder, "add", *words, "--json")
        assert code == 0
        return json.loads(out)

    field = add("Networks", "--kind", "field", "--group", "Industry-Services")
    assert (field["kind"], field["parent_id"], field["group"]) == ("field", None, "Industry-Services")
    below = add("networks / Wires", "--kind", "sub-field")
    added = add("Networks / wires / TCP/IP networking", "--description", "Packets.")
    assert (added["name"], added["kind"], added["parent_id"]) == ("TCP/IP networking", "discipline", below["id"])


def test_proposing_that_does_not_end_well_says_so_and_exits_with_1(glan, starter, teach):
    teach(Canned(lambda stage, nth, messages: TeacherError("The endpoint does not accept the key.")))
    code, out, _ = glan("taxonomy", starter.folder, "propose", "--under", "humanities")
    assert code == 1 and "failed" in out and "does not accept the key" in out
    teach(Canned())
    code, out, _ = glan("taxonomy", starter.folder, "propose", "--under", "humanities", "--max-calls", 1)
    assert code == 1 and "paused" in out and "1 calls" in out


def test_proposing_voting_and_deciding_grows_the_tree(glan, starter):
    folder = starter.folder
    code, out, _ = glan("taxonomy", folder, "propose", "--under", "natural-sciences", "--json")
    proposals = json.loads(out)
    assert code == 0 and len(proposals) >= 4 and any(len(p["prompts"]) > 1 for p in proposals)
    kept, removed = proposals[0], proposals[1]
    glan("taxonomy", folder, "vote", kept["id"], "keep", "--who", "ada")
    glan("taxonomy", folder, "vote", removed["id"], "remove", "--who", "ada")
    glan("taxonomy", folder, "vote", removed["id"], "keep", "--who", "bob")
    glan("taxonomy", folder, "vote", removed["id"], "remove", "--who", "cy")
    glan("taxonomy", folder, "decide")
    names = {node.name for node in taxonomy_rows.nodes(starter.db)}
    assert kept["name"] in names and removed["name"] not in names
    assert {p.id for p in taxonomy_rows.proposals(starter.db)} == {p["id"] for p in proposals[2:]}
