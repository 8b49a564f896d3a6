"""Editing a workspace's taxonomy: changes are validated, recorded and undoable; votes decide; generated data is kept."""

import time
from itertools import pairwise

import pytest
from support.runs import Canned, content, describe, execute_run, number, rows

from glan_core.records import Node
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.workspace import call_rows, taxonomy_rows
from glan_core.workspace.taxonomy_rows import Proposal


def live(ws) -> dict[str, Node]:
    """Return the live nodes by id."""
    return {node.id: node for node in taxonomy_rows.nodes(ws.db)}


def proposal(name: str, parent: str = "arts", **values) -> Proposal:
    """Build an open proposal."""
    return Proposal(
        0, f"prp-{name}", parent, name, values.get("kind", "discipline"), "", "", (), ("taxonomy_gaps",), "t", "open"
    )


def propose(ws, *proposals: Proposal) -> None:
    """Store proposals."""
    with ws.write() as db:
        for one in proposals:
            taxonomy_rows.put_proposal(db, one)


def vote(ws, target: str, ballots: str) -> None:
    """Cast one vote per ballot, each from another voter: + keeps, - removes."""
    for n, ballot in enumerate(ballots):
        tree_editing.vote(ws, target, keep=ballot == "+", voter=f"voter {n}")


def test_every_change_is_recorded_with_who_when_before_and_after(ws):
    start = time.time()
    node = tree_editing.add(ws, "Dance", "arts", "ann", description=" Steps. ")
    tree_editing.rename(ws, node.id, "Dance and Mime", "bob")
    describe(ws, node.id, "Steps and faces.", "cleo")
    tree_editing.move(ws, node.id, "crafts", "dan")
    tree_editing.remove(ws, node.id, "eve")
    tree_editing.restore(ws, node.id, "fay")
    events = taxonomy_rows.events(ws.db, node_id="dance")[::-1]
    assert [(event.action, event.who) for event in events] == [
        ("add", "ann"), ("rename", "bob"), ("describe", "cleo"), ("move", "dan"), ("remove", "eve"), ("restore", "fay")
    ]  # fmt: skip
    assert all(start <= event.at <= time.time() for event in events)
    for earlier, later in pairwise(events):
        assert later.before == earlier.after
    assert live(ws)["dance"] == Node("dance", "Dance and Mime", "discipline", "crafts", None, "Steps and faces.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ws: tree_editing.add(ws, "  ", "arts", "x"), "empty"),
        (lambda ws: tree_editing.add(ws, "MUSIC", "arts", "x"), "used twice under the same parent"),
        (lambda ws: tree_editing.add(ws, "Opera", "music", "x"), "disciplines are leaves"),
        (lambda ws: tree_editing.add(ws, "Opera", "nowhere", "x"), "does not exist"),
        (lambda ws: tree_editing.rename(ws, "nowhere", "X", "x"), "has no node"),
        (lambda ws: tree_editing.rename(ws, "music", "", "x"), "empty"),
        (lambda ws: tree_editing.move(ws, "earth", "earth-science", "x"), "cycle|leaves"),
        (lambda ws: tree_editing.move(ws, "earth", "earth", "x"), "cycle"),
        (lambda ws: tree_editing.move(ws, "arts", "crafts", "x"), "fields are at the top level"),
        (lambda ws: tree_editing.remove(ws, "nowhere", "x"), "has no node"),
        (lambda ws: tree_editing.restore(ws, "music", "x"), "is not removed"),
        (lambda ws: tree_editing.vote(ws, "nowhere", keep=True, voter="x"), "neither an open proposal nor a node"),
        (lambda ws: tree_editing.import_nodes(ws, [Node("a", "A", "discipline")], "x"), "only fields are at the top level"),
        (lambda ws: tree_editing.node_at(ws, ["Natural Sciences", "Moon"]), "\"Moon\" does not exist"),
    ],
)  # fmt: skip
def test_a_change_that_would_break_the_tree_is_refused_and_leaves_no_trace(ws, change, words):
    before, events = content(ws), number(ws, "SELECT count(*) FROM node_events")
    with pytest.raises(TaxonomyError, match=words):
        change(ws)
    assert content(ws) == before and number(ws, "SELECT count(*) FROM node_events") == events


def test_a_removal_takes_its_descendants_along_and_a_restore_brings_them_back(ws):
    before = live(ws)
    gone = tree_editing.remove(ws, "natural-sciences", "ann")
    assert [node.id for node in gone] == ["natural-sciences", "earth", "earth-science", "cave-mapping"]
    assert set(live(ws)) == set(before) - {node.id for node in gone}
    with pytest.raises(TaxonomyError, match="Restore the parent first"):
        tree_editing.restore(ws, "earth", "ann")
    back = tree_editing.restore(ws, "natural-sciences", "ann")
    assert {node.id for node in back} == {node.id for node in gone}
    assert list(live(ws).items()) == list(before.items())


def test_a_restore_brings_back_only_what_went_at_the_same_time(ws):
    tree_editing.remove(ws, "cave-mapping", "ann")
    tree_editing.remove(ws, "earth", "ann")
    assert {node.id for node in tree_editing.restore(ws, "earth", "ann")} == {"earth", "earth-science"}
    tree_editing.restore(ws, "cave-mapping", "ann")
    assert "cave-mapping" in live(ws)


def test_a_removed_name_is_restored_rather_than_made_twice_and_can_be_used_elsewhere(ws):
    tree_editing.remove(ws, "music", "ann")
    with pytest.raises(TaxonomyError, match='Restore "music" instead'):
        tree_editing.add(ws, "Music", "arts", "bob")
    assert tree_editing.add(ws, "Music", "crafts", "bob").id == "music-2"
    assert tree_editing.restore(ws, "music", "bob")[0].parent_id == "arts"


def test_a_name_taken_meanwhile_stands_in_the_way_of_a_restore(ws):
    tree_editing.remove(ws, "music", "ann")
    tree_editing.rename(ws, tree_editing.add(ws, "Sound", "arts", "ann").id, "Music", "ann")
    with pytest.raises(TaxonomyError, match="used twice under the same parent"):
        tree_editing.restore(ws, "music", "ann")


def test_what_was_generated_survives_removal_rename_and_restore_to_the_byte(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("music", "mathematics"))
    before = {table: found for table, found in content(ws).items() if table != "nodes"}
    tree_editing.remove(ws, "arts", "ann")
    tree_editing.rename(ws, "mathematics", "Maths", "ann")
    assert {table: found for table, found in content(ws).items() if table != "nodes"} == before
    tree_editing.restore(ws, "arts", "ann")
    calls = len(teacher.asked)
    execute_run(ws, settings("music", "mathematics"))
    assert len(teacher.asked) == calls


def test_a_path_names_its_parents_in_any_case_or_by_id(ws):
    assert tree_editing.node_at(ws, ["natural sciences", "EARTH AND ITS SURFACE"]) == "earth"
    assert tree_editing.node_at(ws, ["earth"]) == "earth" and tree_editing.node_at(ws, []) is None


def test_the_majority_decides_and_a_tie_or_no_vote_changes_nothing(ws):
    propose(ws, *(proposal(name) for name in ("Dance", "Opera", "Mime", "Magic")))
    vote(ws, "prp-Dance", "++-")
    vote(ws, "prp-Opera", "--+")
    vote(ws, "prp-Mime", "+-")
    vote(ws, "mathematics", "+-")
    vote(ws, "bell-founding", "--+")
    verdict = tree_editing.apply_votes(ws, "chair")
    assert [node.name for node in verdict.added] == ["Dance"]
    assert verdict.rejected == ["prp-Opera"]
    assert [node.id for node in verdict.removed] == ["bell-founding"]
    assert {p.name for p in taxonomy_rows.proposals(ws.db)} == {"Mime", "Magic"}
    assert {"dance", "mathematics"} <= set(live(ws)) and "bell-founding" not in live(ws)
    assert taxonomy_rows.events(ws.db, node_id="dance")[0].who == "chair"
    again = tree_editing.apply_votes(ws, "chair")
    assert (again.added, again.rejected, again.removed) == ([], [], [])


def test_a_voters_later_vote_replaces_the_earlier(ws):
    propose(ws, proposal("Dance"))
    for keep in (False, False, True):
        tree_editing.vote(ws, "prp-Dance", keep=keep, voter="ann")
    assert [node.name for node in tree_editing.apply_votes(ws, "ann").added] == ["Dance"]


def test_a_removal_by_vote_takes_descendants_and_the_proposals_below_along(ws):
    propose(ws, proposal("Tides", "earth"), proposal("Glaciers", "earth"))
    vote(ws, "prp-Tides", "++")
    vote(ws, "earth", "-")
    vote(ws, "earth-science", "+++")
    verdict = tree_editing.apply_votes(ws, "chair")
    assert [node.id for node in verdict.removed] == ["earth", "earth-science", "cave-mapping"]
    assert verdict.added == [] and set(verdict.rejected) == {"prp-Tides", "prp-Glaciers"}
    assert [name for name, _ in verdict.refused] == ["Tides"]  # although the majority voted to keep it


def test_a_restored_node_is_not_removed_again_by_its_old_votes(ws):
    vote(ws, "earth", "--")
    vote(ws, "earth-science", "-")  # removed with its parent before its own votes are applied
    tree_editing.apply_votes(ws, "chair")
    tree_editing.restore(ws, "earth", "chair")
    assert tree_editing.apply_votes(ws, "chair").removed == []
    assert "earth-science" in live(ws)


def test_a_removal_by_vote_can_be_restored(ws):
    vote(ws, "earth", "-")
    tree_editing.apply_votes(ws, "chair")
    assert {node.id for node in tree_editing.restore(ws, "earth", "ann")} == {"earth", "earth-science", "cave-mapping"}


def test_two_proposals_of_one_name_give_one_node(ws):
    propose(ws, proposal("Dance"), Proposal(0, "prp-2", "arts", "dance", "discipline", "", "", (), ("x",), "t", "open"))
    vote(ws, "prp-Dance", "+")
    vote(ws, "prp-2", "+")
    verdict = tree_editing.apply_votes(ws, "chair")
    assert len(verdict.added) == 1 and verdict.rejected == ["prp-2"]
    [(name, why)] = verdict.refused
    assert name == "dance" and "already exists" in why


def test_a_proposal_named_like_a_removed_node_brings_it_back_with_what_went_with_it(ws, settings, teach):
    teach(Canned())
    execute_run(ws, settings("cave-mapping"))
    made = content(ws)
    tree_editing.vote(ws, "cave-mapping", keep=False, voter="ann")  # not applied before its parent was removed
    tree_editing.remove(ws, "earth", "ann")
    propose(ws, proposal("EARTH and its surface", "natural-sciences", kind="sub-field"))
    vote(ws, "prp-EARTH and its surface", "+")
    verdict = tree_editing.apply_votes(ws, "chair")
    assert [node.id for node in verdict.added] == ["earth", "earth-science", "cave-mapping"]
    assert (verdict.rejected, verdict.removed, verdict.refused) == ([], [], [])
    assert content(ws) == made and taxonomy_rows.proposals(ws.db, "accepted")
    assert taxonomy_rows.events(ws.db, node_id="earth")[0].action == "restore"
    assert tree_editing.apply_votes(ws, "chair").removed == []


def test_a_proposal_that_cannot_join_stays_open_and_the_reason_is_told(ws):
    propose(ws, proposal("Two\nlines"), proposal("Rhythm", "music"), proposal("Dance"))
    for name in ("Two\nlines", "Rhythm", "Dance"):
        vote(ws, f"prp-{name}", "+")
    before = live(ws)
    verdict = tree_editing.apply_votes(ws, "chair")
    assert [node.name for node in verdict.added] == ["Dance"] and verdict.rejected == []
    assert [name for name, _ in verdict.refused] == ["Two\nlines", "Rhythm"] and all(why for _, why in verdict.refused)
    assert [p.name for p in taxonomy_rows.proposals(ws.db)] == ["Two\nlines", "Rhythm"]
    assert live(ws).keys() - before.keys() == {"dance"}


def test_a_node_that_is_voted_out_is_not_voted_in_by_the_same_count(ws):
    propose(ws, proposal("Music"))
    vote(ws, "prp-Music", "+")
    vote(ws, "music", "-")
    verdict = tree_editing.apply_votes(ws, "chair")
    assert ([node.id for node in verdict.removed], verdict.added, verdict.rejected) == (["music"], [], ["prp-Music"])
    assert verdict.refused and "music" not in live(ws)


def test_a_proposal_that_comes_again_only_gains_its_prompt(ws):
    with ws.write() as db:
        assert taxonomy_rows.put_proposal(db, proposal("Dance"))
        again = Proposal(0, "prp-Dance", "arts", "Dance", "discipline", "other", "", (), ("taxonomy_library",), "t", "open")
        assert not taxonomy_rows.put_proposal(db, again)
    (stored,) = taxonomy_rows.proposals(ws.db)
    assert stored.prompts == ("taxonomy_gaps", "taxonomy_library") and stored.description == ""


def test_a_run_for_proposals_asks_every_wording_once_and_drops_what_the_tree_has(ws, teach):
    lines = '{"name": "Dance", "kind": "discipline"}\n{"name": "music"}\n{"name": "Musics", "kind": "Sub field"}'
    teacher = teach(Canned(lambda stage, nth, messages: lines))
    run = execute_run(ws, {"parent_id": "arts"}, kind="propose")
    assert run.state == "finished" and teacher.seen == {"proposals": 4}
    dance, musics = taxonomy_rows.proposals(ws.db)
    assert (dance.name, dance.parent_id, len(dance.prompts)) == ("Dance", "arts", 4)
    assert (musics.kind, musics.similar_to) == ("sub-field", ("Music",))
    assert number(ws, "SELECT count(*) FROM calls WHERE stage = 'proposals' AND outcome = 'stored'") == 4
    assert not call_rows.failures(ws.db)


def test_proposals_under_a_discipline_are_refused(ws, teach):
    teach(Canned())
    run = execute_run(ws, {"parent_id": "music"}, kind="propose")
    assert run.state == "failed" and "disciplines are leaves" in run.message


def test_an_import_makes_the_tree_equal_and_says_what_changed(ws):
    old = list(live(ws).values())
    new = [node for node in old if node.id != "bell-founding"]
    new = [Node(n.id, "Songs", n.kind, n.parent_id, n.group, n.description) if n.id == "music" else n for n in new]
    new.append(Node("tides", "Tides", "discipline", "earth"))
    diff = tree_editing.import_nodes(ws, new, "ann")
    assert [n.id for n in diff.added] == ["tides"] and [n.id for n in diff.removed] == ["bell-founding"]
    assert [(was.name, now.name) for was, now in diff.renamed] == [("Music", "Songs")]
    assert list(live(ws).values()) == new
    assert {event.action for event in taxonomy_rows.events(ws.db, 3)} == {"remove", "import"}
    events = number(ws, "SELECT count(*) FROM node_events")
    again = tree_editing.import_nodes(ws, new, "ann")
    assert not (again.added or again.removed or again.renamed) and number(ws, "SELECT count(*) FROM node_events") == events


def test_an_import_can_bring_a_removed_node_back_and_keeps_its_data(ws, settings, teach):
    teach(Canned())
    execute_run(ws, settings("music"))
    old = list(live(ws).values())
    answers = rows(ws, "SELECT * FROM answers")
    tree_editing.import_nodes(ws, [node for node in old if node.id != "music"], "ann")
    tree_editing.import_nodes(ws, old, "ann")
    assert list(live(ws).values()) == old and rows(ws, "SELECT * FROM answers") == answers


def test_the_live_tree_is_always_a_taxonomy(ws):
    tree_editing.remove(ws, "earth", "ann")
    tree_editing.add(ws, "Earth and its surface", "crafts", "ann", kind="sub-field")
    hierarchy.check(taxonomy_rows.nodes(ws.db))
    assert list(tree_editing.tree(ws)) == list(live(ws))


# ------------------------------------------------------------------------------------------------------------------ undo


def last(ws) -> str:
    """Return the batch of the newest change."""
    return taxonomy_rows.events(ws.db, 1)[0].batch


def move_and_rename(ws) -> None:
    """Edit two properties of a node."""
    tree_editing.edit(ws, "music", "ann", name="Sound", description="What is heard.", parent_id="crafts")


def import_another(ws) -> None:
    """Import a taxonomy that adds, removes, renames and moves nodes."""
    nodes = [n for n in taxonomy_rows.nodes(ws.db) if n.id != "bell-founding"]
    nodes = [Node("music", "Songs", "discipline", "crafts") if n.id == "music" else n for n in nodes]
    tree_editing.import_nodes(ws, [*nodes, Node("tides", "Tides", "discipline", "earth")], "ann")


@pytest.mark.parametrize(
    "change",
    [
        lambda ws: tree_editing.add(ws, "Dance", "arts", "ann"),
        lambda ws: tree_editing.rename(ws, "music", "Sound", "ann"),
        lambda ws: describe(ws, "music", "What is heard.", "ann"),
        lambda ws: tree_editing.move(ws, "earth", "arts", "ann"),
        lambda ws: tree_editing.remove(ws, "natural-sciences", "ann"),
        move_and_rename, import_another,
    ],
)  # fmt: skip
def test_every_change_can_be_undone_done_again_and_undone_again(ws, change):
    before = live(ws)
    change(ws)
    after = live(ws)
    assert after != before
    for expected in (before, after, before):
        events = tree_editing.undo(ws, last(ws), "bob")
        assert live(ws) == expected
        assert {event.who for event in events} == {"bob"} and len({event.batch for event in events}) == 1
    hierarchy.check(list(live(ws).values()))


def test_an_undo_leaves_what_was_changed_elsewhere_since(ws):
    tree_editing.rename(ws, "music", "Sound", "ann")
    renamed = last(ws)
    describe(ws, "music", "What is heard.", "ann")
    tree_editing.move(ws, "music", "crafts", "ann")
    tree_editing.remove(ws, "earth", "ann")
    tree_editing.undo(ws, renamed, "bob")
    assert live(ws)["music"] == Node("music", "Music", "discipline", "crafts", None, "What is heard.")
    assert "earth" not in live(ws)


def test_an_undone_removal_of_a_removal_brings_back_only_its_own(ws):
    tree_editing.remove(ws, "cave-mapping", "ann")
    tree_editing.remove(ws, "earth", "ann")
    tree_editing.undo(ws, last(ws), "ann")
    assert "earth-science" in live(ws) and "cave-mapping" not in live(ws)


def prepare(ws, *steps) -> str:
    """Run the steps in order and return the batch of the first."""
    steps[0](ws)
    first = last(ws)
    for step in steps[1:]:
        step(ws)
    return first


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((lambda ws: tree_editing.remove(ws, "music", "a"), lambda ws: tree_editing.rename(ws, tree_editing.add(
            ws, "Sound", "arts", "a").id, "Music", "a")), "used twice under the same parent"),
        ((lambda ws: tree_editing.add(ws, "Stage", "arts", "a", kind="sub-field"),
          lambda ws: tree_editing.add(ws, "Mime", "stage", "a")), '"Stage" now contains "Mime"'),
        ((lambda ws: tree_editing.add(ws, "Dance", "arts", "a"), lambda ws: tree_editing.remove(ws, "dance", "a")),
         '"Dance" was removed since'),
        ((lambda ws: tree_editing.rename(ws, "music", "Sound", "a"), lambda ws: tree_editing.rename(ws, "music", "Noise", "a")),
         '"Sound" was changed since'),
        ((lambda ws: tree_editing.remove(ws, "earth-science", "a"), lambda ws: tree_editing.remove(ws, "earth", "a")),
         'The parent of "Earth Science" was removed since'),
        ((lambda ws: tree_editing.remove(ws, "music", "a"), lambda ws: tree_editing.restore(ws, "music", "a")),
         '"Music" is already restored'),
        ((lambda ws: tree_editing.move(ws, "earth-science", "arts", "a"), lambda ws: tree_editing.remove(ws, "earth", "a")),
         'The parent of "Earth Science" was removed since'),
    ],
)  # fmt: skip
def test_an_undo_that_conflicts_with_later_changes_is_refused(ws, steps, words):
    batch = prepare(ws, *steps)
    before, events = content(ws), number(ws, "SELECT count(*) FROM node_events")
    with pytest.raises(TaxonomyError, match=words):
        tree_editing.undo(ws, batch, "bob")
    assert content(ws) == before and number(ws, "SELECT count(*) FROM node_events") == events


def test_an_unknown_batch_cannot_be_undone(ws):
    with pytest.raises(TaxonomyError, match="does not exist"):
        tree_editing.undo(ws, "nothing", "bob")


def test_an_undone_removal_brings_the_data_back_too(ws, settings, teach):
    teacher = teach(Canned())
    execute_run(ws, settings("music"))
    tree_editing.remove(ws, "arts", "ann")
    made = {table: found for table, found in content(ws).items() if table != "nodes"}
    tree_editing.undo(ws, last(ws), "ann")
    calls = len(teacher.asked)
    execute_run(ws, settings("music"))
    assert len(teacher.asked) == calls
    assert {table: found for table, found in content(ws).items() if table != "nodes"} == made


def test_the_deeds_are_listed_newest_first_with_what_each_did(ws):
    tree_editing.remove(ws, "earth", "ann")
    move_and_rename(ws)
    newest, removal, made = taxonomy_rows.recent_edits(ws.db)
    assert newest.actions == {"rename": 1, "describe": 1, "move": 1} and newest.first.action == "rename"
    assert removal.actions == {"remove": 3} and removal.first.before.name == "Earth and its surface"
    assert made.actions == {"import": 10} and len(taxonomy_rows.recent_edits(ws.db, 2)) == 2
