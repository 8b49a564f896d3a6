"""The pages in every state of a workspace, driven as a user drives them: what they say, and what their buttons do."""

import pytest
from studio_app import PAGES, Studio, add_run, copy_of

from glan_core import coverage, demo, taxonomy, taxonomy_edit, taxonomy_file
from glan_core.taxonomy import Node
from glan_core.wording import number
from glan_core.workspace import Workspace, call_rows, homework_rows, taxonomy_rows
from glan_core.workspace.homework_rows import PairFilter
from glan_core.workspace.schema import MIGRATIONS
from glan_core.workspace.taxonomy_rows import Proposal

pytest_plugins = ["studio_fixtures"]


# ------------------------------------------------------------------------------------------------- states of a workspace


@pytest.mark.parametrize("page", PAGES)
def test_without_a_workspace_every_page_says_so_and_offers_to_make_one(home, page):
    shown = Studio(page)
    assert shown.fine
    assert f"There is no workspace in {home} yet" in shown.said
    assert shown.labels() == ["Make workspace"]


def test_the_home_folder_may_be_missing(home):
    home.rmdir()
    shown = Studio()
    assert shown.fine and "There is no workspace" in shown.said


def test_a_new_workspace_is_opened_at_once(home):
    shown = Studio()
    shown.press("Make workspace")
    assert "Give the workspace a name." in shown.said
    shown.app.text_input[0].set_value("My Research")
    shown.press("Make workspace")
    assert shown.fine and "0 of 126 disciplines begun" in shown.said
    assert shown.app.query_params["workspace"] == "my-research"
    shown.app.text_input[0].set_value("my research")
    shown.press("Make workspace")
    assert "already holds a workspace" in shown.said
    shown.app.text_input[0].set_value("second")
    shown.app.checkbox[0].check()
    shown.press("Make workspace")
    assert shown.app.query_params["workspace"] == "second" and "3 of 126 disciplines begun" in shown.said


EMPTY = {
    "overview": "the taxonomy has no disciplines",
    "taxonomy": "The taxonomy is empty",
    "homework": "There are none yet in this workspace",
    "runs": "There is no discipline",
}


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_taxonomy(home, page):
    Workspace.create(home / "empty").close()
    shown = Studio(page)
    assert shown.fine and EMPTY[page] in shown.said
    assert "None" not in shown.said and "nan" not in shown.said


def test_an_empty_taxonomy_can_be_filled_with_the_starter_taxonomy(home):
    ws = Workspace.create(home / "empty")
    shown = Studio("taxonomy").press("Use the starter taxonomy")
    assert shown.fine and "126 disciplines" in shown.said
    assert taxonomy_rows.nodes(ws.db) == taxonomy_file.read(demo.STARTER_TAXONOMY)


STARTER = {
    "overview": "0 of 126 disciplines begun · 0 pairs · no target yet",
    "taxonomy": "8 fields · 126 disciplines · 0 open proposals",
    "homework": "There are none yet in this workspace: a run writes them.",
    "runs": "No runs yet.",
}


@pytest.mark.parametrize("page", PAGES)
def test_a_taxonomy_without_data(starter_ws, page):
    shown = Studio(page)
    assert shown.fine and STARTER[page] in shown.said


DEMO = {
    "overview": "3 of 126 disciplines begun · 96 pairs",
    "taxonomy": "8 fields · 126 disciplines · 18 open proposals",
    "homework": "96 answered pairs · 0 questions without an answer",
    "runs": "4 runs · none at work",
}


@pytest.mark.parametrize("page", PAGES)
def test_the_demo_workspace_says_that_it_is_one(demo_ws, page):
    shown = Studio(page)
    assert shown.fine and DEMO[page] in shown.said
    assert "gray-badge[demo]" in shown.said


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


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_header, "is not a GLAN workspace"), (damage_middle, "is damaged"), (cut_short, "is damaged"),
        (make_newer, "was made by a newer release"), (empty_file, "holds no workspace"),
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
    demo.create(home / "other").close()
    shown = Studio()
    assert "is not a GLAN workspace" in shown.said
    shown.app.selectbox[0].set_value("other").run()
    assert "0 of 126 disciplines begun" in shown.said


def test_names_that_hold_markup_are_shown_as_they_are(home):
    ws = Workspace.create(home / "odd")
    name = "A*b*c $x$ and $y$ :red[hot] <b>#1</b> [link](http://x)"
    nodes = [Node("odd", name, "field"), Node("odder", f"{name} too", "discipline", "odd", None, "Costs $1 to $2 *or* more.")]
    taxonomy_edit.import_nodes(ws, nodes, "test")
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
    assert Studio(workspace="starter").app.selectbox[0].value == "starter"


def test_the_focus_goes_along_from_page_to_page_and_is_cleared_by_the_breadcrumb(demo_ws):
    shown = Studio(focus="music")
    assert "of 2 subjects have a syllabus · 16 pairs · 33.3% of the target reached" in shown.said
    shown.go("homework")
    assert "Homework · Music" in shown.said and shown.app.query_params["focus"] == "music"
    shown.press("The arts")
    assert shown.app.query_params["focus"] == "the-arts"
    shown.press("All knowledge")
    assert "focus" not in shown.app.query_params and "96 answered pairs" in shown.said


@pytest.mark.parametrize("focus", ["no-such-node", "music"])
def test_a_focus_that_is_no_longer_there_is_dropped(demo_ws, focus):
    taxonomy_edit.remove(demo_ws, "music", "test")
    for page in PAGES:
        shown = Studio(page, focus=focus)
        assert shown.fine and "focus" not in shown.app.query_params
        assert page.capitalize() in [header.value for header in shown.app.header]


def test_another_workspace_forgets_the_focus(demo_ws, starter_ws):
    shown = Studio(workspace="demo", focus="music")
    shown.app.selectbox[0].set_value("starter").run()
    assert shown.fine and shown.app.query_params == {"workspace": "starter"}
    assert "0 of 126 disciplines begun" in shown.said


def test_an_address_with_another_workspace_wins_over_the_session(demo_ws, starter_ws):
    shown = Studio(workspace="demo", focus="music")
    shown.app.query_params = {"workspace": "starter", "focus": "history"}
    shown.app.run()
    assert shown.app.query_params == {"workspace": "starter", "focus": "history"}
    assert "Overview · History" in shown.said


# ---------------------------------------------------------------------------------------------------------------- overview


@pytest.mark.parametrize("focus", ["", "humanities", "the-arts", "music", "physics"])
def test_the_numbers_of_the_overview_are_those_of_coverage(demo_ws, focus):
    standing = coverage.standings(demo_ws)[focus]
    shown = Studio(**({"focus": focus} if focus else {}))
    metrics = {metric.label: metric.value for metric in shown.app.metric}
    for label, measure in (("Pairs", "pairs"), ("Subjects", "subjects"), ("Syllabi", "syllabi"), ("Failures", "failures")):
        assert metrics[label] == number(standing.counts[measure])
    assert (f"{standing.share:.1%} of the target reached" if standing.share is not None else "no target yet") in shown.said


def test_the_overview_lists_what_lies_below(demo_ws):
    shown = Studio(focus="the-arts")
    below = shown.table("share")
    assert "Music" in list(below["name"])
    assert below.set_index("name").loc["Music", ["share", "pairs"]].round(1).to_list() == [33.3, 16]
    assert not [frame for frame in Studio(focus="music").app.dataframe if "share" in frame.value.columns]


@pytest.mark.parametrize("measure", ["pairs", "subjects", "concepts"])
def test_another_measure_colours_the_picture(demo_ws, measure):
    shown = Studio()
    shown.app.button_group[0].set_value(measure).run()
    assert shown.fine and "Grey: none yet." in shown.said


# ---------------------------------------------------------------------------------------------------------------- taxonomy


def tree_names(ws) -> dict[str, str]:
    return {node.id: node.name for node in taxonomy_rows.nodes(ws.db)}


def test_the_outline_unfolds_what_is_in_focus(demo_ws):
    names = [name.strip("\u2003▸▾ ") for name in Studio("taxonomy").table("disciplines")["name"]]
    assert names == [node.name for node in taxonomy_rows.nodes(demo_ws.db) if node.parent_id is None]
    names = [name.strip("\u2003▸▾ ") for name in Studio("taxonomy", focus="the-arts").table("disciplines")["name"]]
    assert {"Humanities", "The arts", "Music"} < set(names) and "Physics" not in names
    unfolded = Studio("taxonomy")
    unfolded.app.toggle[0].set_value(True).run()
    assert len(unfolded.table("disciplines")) == len(tree_names(demo_ws))


def test_the_search_finds_by_name_and_description_and_shows_the_way_there(demo_ws):
    shown = Studio("taxonomy")
    shown.app.text_input(key="taxonomy_search").set_value("ASTRO").run()
    names = [name.strip("\u2003▸▾ ") for name in shown.table("disciplines")["name"]]
    assert {"Natural Sciences", "Astronomy"} <= set(names) and "Music" not in names
    shown.app.text_input(key="taxonomy_search").set_value("no such thing").run()
    assert "Nothing is called so." in shown.said


def test_a_node_is_renamed_described_and_moved(demo_ws):
    shown = Studio("taxonomy", focus="music")
    next(field for field in shown.app.text_input if field.label == "Name").set_value("Music and sound")
    next(field for field in shown.app.text_area if field.label == "Description").set_value("What is heard.")
    next(field for field in shown.app.selectbox if field.label == "Under").set_value("humanities")
    shown.press("Save")
    assert shown.fine and "Taxonomy · Music and sound" in shown.said and "What is heard" in shown.said
    node = taxonomy_rows.node(demo_ws.db, "music")
    assert (node.name, node.description, node.parent_id) == ("Music and sound", "What is heard.", "humanities")
    assert [event.who for event in taxonomy_rows.events(demo_ws.db, 3)] == ["Ada"] * 3
    shown.app.session_state["taxonomy_tabs"] = "Changes"
    shown.app.run()
    assert list(shown.table("what")["what"][:3]) == [
        "Music and sound moved", "Music and sound described anew", "Music renamed to Music and sound"
    ]  # fmt: skip


def test_an_edit_that_cannot_be_made_says_why_and_changes_nothing(demo_ws):
    before = taxonomy_rows.nodes(demo_ws.db)
    shown = Studio("taxonomy", focus="music")
    siblings = [n.name for n in before if n.parent_id == "the-arts" and n.id != "music"]
    next(field for field in shown.app.text_input if field.label == "Name").set_value(siblings[0])
    next(field for field in shown.app.text_area if field.label == "Description").set_value("Half an edit.")
    shown.press("Save")
    assert "stands twice under the same parent" in shown.app.error[0].value
    assert taxonomy_rows.nodes(demo_ws.db) == before


def test_an_edit_is_all_or_nothing(demo_ws):
    """A new name and a place where the name is taken: nothing of it is done."""
    before = taxonomy_rows.nodes(demo_ws.db)
    under = next(n for n in before if n.kind == "sub-field" and n.id != "the-arts")
    taken = next(n for n in before if n.parent_id == under.id)
    shown = Studio("taxonomy", focus="music")
    next(field for field in shown.app.text_input if field.label == "Name").set_value(taken.name)
    next(field for field in shown.app.selectbox if field.label == "Under").set_value(under.id)
    shown.press("Save")
    assert shown.app.error and taxonomy_rows.nodes(demo_ws.db) == before


def test_a_removed_node_goes_with_all_below_it_and_comes_back(demo_ws):
    before = taxonomy_rows.nodes(demo_ws.db)
    shown = Studio("taxonomy", focus="the-arts")
    count = sum(1 for _ in taxonomy.walk(taxonomy_edit.tree(demo_ws), "the-arts"))
    shown.press(f"Remove {count} nodes")
    assert shown.fine and "Taxonomy · Humanities" in shown.said
    assert "music" not in tree_names(demo_ws) and len(tree_names(demo_ws)) == len(before) - count
    shown.app.session_state["taxonomy_tabs"] = "Changes"
    shown.app.run()
    assert "The arts is removed" in shown.said
    shown.press("Restore")
    assert shown.fine and taxonomy_rows.nodes(demo_ws.db) == before


def test_homework_of_a_removed_discipline_stays_readable(demo_ws):
    taxonomy_edit.remove(demo_ws, "music", "test")
    shown = Studio("homework")
    assert shown.fine and "Music" in list(shown.table("question")["discipline"])
    assert "Discipline (removed): **Music**" in shown.said


def test_votes_decide_a_proposal(demo_ws):
    first, second = taxonomy_rows.proposals(demo_ws.db)[:2]
    shown = Studio("taxonomy")
    shown.app.button(key=f"vote_{first.id}_True").click().run()
    shown.app.button(key=f"vote_{second.id}_False").click().run()
    assert taxonomy_rows.tallies(demo_ws.db) == {first.id: (1, 0), second.id: (0, 1)}
    assert "1 keep, 0 remove" in shown.said
    shown.press("Count the votes · adds 1, rejects 1")
    assert shown.fine and "16 open proposals" in shown.said
    assert first.name in tree_names(demo_ws).values() and second.name not in tree_names(demo_ws).values()


def test_a_later_vote_replaces_the_earlier_and_a_node_can_be_voted_out(demo_ws):
    shown = Studio("taxonomy", focus="physics")
    assert "Count the votes · none yet" not in shown.labels()
    shown.app.button(key="vote_physics_True").click().run()
    shown.app.button(key="vote_physics_False").click().run()
    assert taxonomy_rows.tallies(demo_ws.db)["physics"] == (0, 1)
    shown.press("Count the votes · removes 1")
    assert shown.fine and "physics" not in tree_names(demo_ws)


def test_votes_on_a_node_can_be_counted_without_open_proposals(starter_ws):
    shown = Studio("taxonomy", focus="physics")
    shown.app.button(key="vote_physics_False").click().run()
    shown.press("Count the votes")
    assert shown.fine and "physics" not in tree_names(starter_ws)


def test_a_proposal_says_what_it_resembles_and_that_it_is_scripted(starter_ws):
    with starter_ws.write() as db:
        taxonomy_rows.put_proposal(db, Proposal(
            0, "p1", "natural-sciences", "Physics *2*", "discipline", "More of it.", "Why not.", ("Physics", "a_b"), ("gaps",),
            "scripted", "open",
        ))  # fmt: skip
    shown = Studio("taxonomy")
    assert shown.fine and "resembles Physics, a_b" in shown.said and "scripted teacher" in shown.said
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
    shown = upload(Studio("taxonomy"), "mine.yaml", taxonomy_file.dump(wanted, "yaml"))
    assert shown.fine
    for words in ("1 added: Juggling", "1 removed: Music", "1 renamed: Letters and arts"):
        assert words in shown.said
    assert taxonomy_rows.nodes(demo_ws.db) == nodes
    shown.press("Import · 3 changes")
    assert shown.fine and {n.id: n.name for n in wanted} == tree_names(demo_ws)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.yaml", b"\xff\xfe\x00", "is not text in UTF-8"), ("x.json", "{", "x.json"), ("x.yaml", "- just a list", "x.yaml"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_taxonomy_is_refused_with_a_reason(demo_ws, name, content, said):
    before = taxonomy_rows.nodes(demo_ws.db)
    shown = upload(Studio("taxonomy"), name, content)
    assert shown.fine and said in shown.said
    assert taxonomy_rows.nodes(demo_ws.db) == before


def test_the_exported_file_imported_again_changes_nothing(demo_ws):
    for kind in ("yaml", "json"):
        text = taxonomy_file.dump(taxonomy_rows.nodes(demo_ws.db), kind)
        shown = upload(Studio("taxonomy"), f"taxonomy.{kind}", text)
        assert "This file says what the workspace already holds." in shown.said


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
    assert "No row passes these filters." in shown.said
    shown.press("Clear the filters")
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
    assert "16 answered pairs" in shown.said
    shown = Studio("homework", focus="physics")
    assert "There are none yet under this part of the taxonomy" in shown.said
    shown.press("Plan a run")
    assert shown.fine and "Runs · Physics" in shown.said


def test_a_focus_with_hundreds_of_disciplines(home):
    ws = Workspace.create(home / "wide")
    nodes = [Node("all", "Everything", "field"), *(Node(f"d{n}", f"Discipline {n}", "discipline", "all") for n in range(1200))]
    taxonomy_edit.import_nodes(ws, nodes, "test")
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
    assert shown.fine and "95 answered pairs · 1 question without an answer" in shown.said
    assert "This question has no answer yet" in shown.said
    shown.app.button_group(key="answered").set_value("open").run()
    assert len(shown.table("question")) == 1
