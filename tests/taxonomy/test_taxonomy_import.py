"""Tests for the import of taxonomies of other tools: forms are recognized by content, ids and kinds are created."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from support import time_growth

from glan_core.records import Node
from glan_core.taxonomy import taxonomy_files, text_outlines, tree_editing
from glan_core.taxonomy.hierarchy import TaxonomyError, diff
from glan_core.taxonomy.taxonomy_import import parse_import, read_import
from glan_core.taxonomy.topics import merged

# The tree that most inputs below describe.
WANTED = {
    "Natural Sciences": {"Physics": {"Optics": {}, "Mechanics": {}}, "Chemistry": {}},
    "Humanities": {"History": {}},
}


def nested(nodes) -> dict:
    below = {node.id: {} for node in nodes}
    top = {}
    for node in nodes:
        (below[node.parent_id] if node.parent_id else top)[node.name] = below[node.id]
    return top


def tree(text: str | bytes, name: str = "tree") -> dict:
    return nested(parse_import(text.encode() if isinstance(text, str) else text, name).nodes)


NESTED_JSON = {"Natural Sciences": {"Physics": ["Optics", "Mechanics"], "Chemistry": []}, "Humanities": ["History"]}
OBJECTS = [
    {"name": "Natural Sciences", "subfields": [
        {"name": "Physics", "disciplines": ["Optics", {"name": "Mechanics"}]}, {"name": "Chemistry", "disciplines": []}]},
    {"name": "Humanities", "subfields": [{"name": "History", "disciplines": None}]},
]  # fmt: skip
TITLES = {"title": "A taxonomy of human knowledge", "version": 1, "fields": [
    {"title": "Natural Sciences", "id": 1, "children": [
        {"title": "Physics", "topics": [{"title": "Optics", "level": 3}, {"title": "Mechanics", "keywords": ["a", "b"]}]}, {"title": "Chemistry"}]},
    {"title": "Humanities", "children": [{"title": "History"}]},
]}  # fmt: skip
KEYED = {"taxonomy": {
    "Natural Sciences": {"description": "Nature.", "subfields": {"Physics": {"disciplines": ["Optics", "Mechanics"]}, "Chemistry": {}}},
    "Humanities": {"subfields": {"History": None}},
}}  # fmt: skip
BY_LEVEL = [
    {"field": "Natural Sciences", "sub_fields": [{"sub_field": "Physics", "disciplines": ["Optics", "Mechanics"]}, {"sub_field": "Chemistry"}]},
    {"field": "Humanities", "sub_fields": [{"sub_field": "History"}]},
]  # fmt: skip
KILN = {"topic": "", "samples": [], "sub_topics": [
    {"topic": "Natural Sciences", "samples": [{"input": "x", "output": None, "model_name": "m"}], "sub_topics": [
        {"topic": "Physics", "sub_topics": [{"topic": "Optics", "sub_topics": [], "samples": []},
            {"topic": "Mechanics", "sub_topics": [], "samples": []}], "samples": []},
        {"topic": "Chemistry", "sub_topics": [], "samples": []}]},
    {"topic": "Humanities", "samples": [], "sub_topics": [{"topic": "History", "sub_topics": [], "samples": []}]},
]}  # fmt: skip
PATHS = [["Natural Sciences", "Physics", "Optics"], ["Natural Sciences", "Physics", "Mechanics"], ["Natural Sciences", "Chemistry"],
         ["Humanities", "History"]]  # fmt: skip
GRAPH = {"root_id": 0, "degree": 2, "nodes": {
    "0": {"id": 0, "topic": "All knowledge taxonomy", "children": [1, 2], "parents": [], "metadata": {"uuid": "u"}},
    "1": {"id": 1, "topic": "Natural Sciences", "children": [3, 4], "parents": [0]},
    "2": {"id": 2, "topic": "Humanities", "children": [7], "parents": [0]},
    "3": {"id": 3, "topic": "Physics", "children": [5, 6], "parents": [1]}, "4": {"id": 4, "topic": "Chemistry", "children": [5], "parents": [1]},
    "5": {"id": 5, "topic": "Optics", "children": [], "parents": [3, 4]}, "6": {"id": 6, "topic": "Mechanics", "children": [1], "parents": [3]},
    "7": {"id": 7, "topic": "History", "children": [], "parents": [2]},
}}  # fmt: skip


def lines(rows) -> str:
    return "\n".join(map(json.dumps, rows)) + "\n"


FORMS = {
    "names as keys": json.dumps(NESTED_JSON, indent=2),
    "names as keys, one line": json.dumps(NESTED_JSON),
    "objects": json.dumps(OBJECTS),
    "a title and fields": json.dumps(TITLES),
    "keys with subfields": json.dumps(KEYED, indent=1),
    "keys by level": json.dumps(BY_LEVEL),
    "single-key objects": json.dumps([{"Natural Sciences": [{"Physics": ["Optics", "Mechanics"]}, "Chemistry"]}, {"Humanities": ["History"]}]),
    "fenced in prose": f"Sure! Here's a taxonomy:\n\n```json\n{json.dumps(OBJECTS, indent=2)}\n```\n\nLet me know if you'd like more detail!",
    "fence that was cut": f"```json\n{json.dumps(OBJECTS)}\n",
    "prose without fences": f"Here it is:\n\n{json.dumps(NESTED_JSON, indent=2)}\n\nI hope this helps [1].",
    "trailing commas": '{"Natural Sciences": {"Physics": ["Optics", "Mechanics",], "Chemistry": [],}, "Humanities": ["History",],}',
    "single quotes": str(NESTED_JSON),
    "Kiln": json.dumps(KILN),
    "Kiln list": json.dumps(KILN["sub_topics"], indent=4),
    "DeepFabric tree": lines({"path": path} for path in PATHS),
    "DeepFabric tree with a root": lines({"path": ["Root", *path], "id": n} for n, path in enumerate(PATHS)),
    "DeepFabric graph": json.dumps(GRAPH, indent=2),
    "lists of names, one a line": lines(PATHS),
    "a list of lists": json.dumps(PATHS),
    "paths under a key": json.dumps({"version": 2, "paths": PATHS}),
    "paths as text in JSON": json.dumps([" > ".join(path) for path in PATHS]),
    "rows with levels": json.dumps([dict(zip(("field", "sub_field", "discipline"), path, strict=False)) for path in PATHS]),
    "rows with parents": json.dumps([
        {"id": "a", "name": "Natural Sciences", "parent_id": None}, {"id": "c", "name": "Optics", "parent_id": "b"},
        {"id": "b", "name": "Physics", "parent_id": "a"}, {"id": "d", "name": "Mechanics", "parent_id": "b"},
        {"id": "e", "name": "Chemistry", "parent_id": "a"}, {"id": "f", "name": "Humanities", "parent_id": ""},
        {"id": "g", "name": "History", "parent_id": "f"},
    ]),
}  # fmt: skip


FORMS |= {
    file.stem.replace("_", " "): file.read_text("utf-8")
    for file in sorted((Path(__file__).parents[1] / "data/taxonomies").glob("*.txt"))
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["tree.txt", "tree.json"])  # the suffix does not decide
def test_a_form_is_recognized_by_its_content(form, name):
    assert tree(FORMS[form], name) == WANTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
@pytest.mark.parametrize(
    "form", ["names as keys", "headings and bullets", "csv levels", "indented", "DeepFabric tree", "yaml objects"]
)
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_encodings_and_line_ends(encoding, form, end):
    text = FORMS[form].replace("Optics", "Ôptics").replace("\n", end)
    data = text.encode(encoding)
    assert tree(data) == {
        "Natural Sciences": {"Physics": {"Ôptics": {}, "Mechanics": {}}, "Chemistry": {}}, "Humanities": {"History": {}},
    }  # fmt: skip
    assert tree(gzip.compress(data)) == tree(data)


def test_ids_and_kinds_follow_from_names_and_depth():
    found = parse_import(FORMS["objects"].encode(), "x.json")
    assert [(node.id, node.kind, node.parent_id) for node in found.nodes] == [
        ("natural-sciences", "field", None), ("physics", "sub-field", "natural-sciences"), ("optics", "discipline", "physics"),
        ("mechanics", "discipline", "physics"), ("chemistry", "discipline", "natural-sciences"), ("humanities", "field", None),
        ("history", "discipline", "humanities"),
    ]  # fmt: skip
    assert found.summary == "Read as nested tree (JSON): 2 fields, 1 sub-field, 4 disciplines."
    assert taxonomy_files.parse(taxonomy_files.dump(found.nodes, "yaml"), "yaml", "t") == found.nodes


def test_the_same_name_under_two_parents_gets_two_ids():
    nodes = parse_import(b"- Law\n  - History\n  - Theory\n- Art\n  - History\n", "x.md").nodes
    assert [node.id for node in nodes] == ["law", "history", "theory", "art", "history-2"]


def test_existing_nodes_keep_their_ids_groups_and_descriptions():
    old = [
        Node("sci", "Natural  sciences", "field", None, "Academic-Natural Science", "Nature."), Node("phy", "Physics", "discipline", "sci"),
        Node("hum", "Humanities", "field"), Node("past", "History", "discipline", "sci", None, "The past."),
        Node("music", "Music", "discipline", "hum"),
    ]  # fmt: skip
    nodes = parse_import(FORMS["bullets"].encode(), "x", old).nodes
    by_name = {node.name: node for node in nodes}
    assert by_name["Natural Sciences"].id == "sci" and by_name["Natural Sciences"].group == "Academic-Natural Science"
    assert by_name["Physics"] == Node("phy", "Physics", "sub-field", "sci") and by_name["History"].id == "past"
    changes = diff(old, nodes)
    assert [node.name for node in changes.removed] == ["Music"] and [now.name for _, now in changes.moved] == ["History"]
    added = merged(nodes, old)
    changes = diff(old, added)
    assert (changes.removed, changes.moved, changes.renamed) == ([], [], [])
    assert {node.name for node in changes.added} == {"Optics", "Mechanics", "Chemistry"}
    assert [(was.kind, now.kind) for was, now in changes.changed] == [("discipline", "sub-field")]


def test_a_native_file_is_read_as_such_and_its_faults_are_named():
    nodes = [Node("a", "A", "field"), Node("b", "B", "discipline", "a")]
    for kind in ("yaml", "json"):
        found = parse_import(taxonomy_files.dump(nodes, kind).encode("utf-16"), "any.txt")
        assert found.nodes == nodes and found.form.startswith("GLAN Studio taxonomy")
    with pytest.raises(TaxonomyError, match="newer version"):
        parse_import(b"format: glan-taxonomy/9\nnodes: []\n", "x")
    with pytest.raises(TaxonomyError, match='"format" is missing'):
        parse_import(b"nodes:\n- {id: a, name: A, kind: field}\n", "x.yaml")


def test_descriptions_come_along():
    for text in (
        "# Science\n- **Physics**: the study of matter\n- Chemistry - how substances react with others\n- Law: Contracts\n",
        json.dumps(
            {
                "Science": {
                    "Physics": "the study of matter",
                    "Chemistry": "how substances react with others",
                    "Law: Contracts": "",
                }
            }
        ),
        "field,discipline,description\nScience,Physics,the study of matter\n"
        "Science,Chemistry,how substances react with others\nScience,Law: Contracts,\n",
    ):
        nodes = parse_import(text.encode(), "x").nodes
        assert [(node.name, node.description) for node in nodes] == [
            ("Science", ""), ("Physics", "the study of matter"), ("Chemistry", "how substances react with others"), ("Law: Contracts", ""),
        ]  # fmt: skip


SMALL = {"Science": {"Physics": {}, "Biology": {}}, "Arts": {"Music": {}}}


@pytest.mark.parametrize("text", [
    "Sure!\n\n### 1. **Science**\n   - **1.1 Physics**\n   - **1.2 Biology** \n\n### 2. **Arts**\n   - **2.1 Music**\n\nAnything else?",
    "Here is *it*:\n\n# Science\n- Physics\n- Biology\n# Arts\n- Music\n",
    "I. Science\n   A. Physics\n   B. Biology\nII. Arts\n   A. Music\n", "* Science\n** Physics\n** Biology\n* Arts\n** Music\n",
    "Science\n• Physics\n• Biology\nArts\n• Music\n", "1 Science\n  1.1 Physics\n  1.2 Biology\n2 Arts\n  2.1 Music\n",
    "一、Science\n1. Physics\n2. Biology\n二、Arts\n1. Music\n", "Science\n\u00a0\u00a0Physics\n\u00a0\u00a0Biology\nArts\n\u3000Music\n",
    'fields = {\n  "Science": ["Physics", "Biology"],\n  "Arts": ["Music"]\n}\n',
    '{\n  // by us\n  "Science": ["Physics", /* "Chemistry", */ "Biology"],\n  "Arts": ["Music"] // "x"\n}\n',
    json.dumps([{"label": "1 Science", "child": [{"label": "1.1 Physics"}, {"label": "1.2 Biology"}]},
                {"label": "2 Arts", "child": [{"label": "2.1 Music"}]}]),
    json.dumps({"nodes": [{"id": n, "label": name} for n, name in enumerate(("Science", "Physics", "Biology", "Arts", "Music"))],
                "links": [{"source": 0, "target": 1}, {"source": 0, "target": 2}, {"source": 3, "target": 4}, {"source": 4, "target": 3}]}),
    json.dumps({"nodes": [{"id": 1, "name": "Science", "parent": None}, {"id": 2, "name": "Physics", "parent": 1},
                          {"id": 3, "name": "Biology", "parent": 1},
                          {"id": 4, "name": "Arts", "parent": None}, {"id": 5, "name": "Music", "parent": 4}]}),
    json.dumps({"fields": {"1": {"name": "Science", "disciplines": {"1": "Physics", "2": "Biology"}},
                           "2": {"name": "Arts", "disciplines": ["Music"]}}}),
])  # fmt: skip
def test_other_drafts(text):
    assert tree(text) == SMALL


def test_names_listed_behind_a_colon_are_children_if_there_are_no_other_levels():
    assert tree("- **Science**: Physics, Biology, and Law\n- **Arts**: Music; Dance\n") == {
        "Science": {"Physics": {}, "Biology": {}, "Law": {}}, "Arts": {"Music": {}, "Dance": {}},
    }  # fmt: skip


def test_a_list_without_levels_becomes_one_field():
    for text in ("Physics\nChemistry\n", "- Physics\n- Chemistry\n", '["Physics", "Chemistry"]', "topic\nPhysics\nChemistry\n"):
        found = parse_import(text.encode(), "folder/my_topics.txt")
        assert nested(found.nodes) in (
            {"My topics": {"Physics": {}, "Chemistry": {}}},
            {"My topics": {"topic": {}, "Physics": {}, "Chemistry": {}}},
        )
        assert "The file has no levels" in found.notes[0]


def test_yaml_words_stay_words_and_scripts_get_ids():
    assert tree("Länder:\n- No\n- Yes\n- 2024\nФизика:\n- 光学\n") == {
        "Länder": {"No": {}, "Yes": {}, "2024": {}},
        "Физика": {"光学": {}},
    }


KNOWLEDGE = """created_by: someone
version: 3
domain: {domain}
document_outline: |
  Information about the {domain} of
  stars
seed_examples:
  - context: |
      The **Phoenix** constellation
    questions_and_answers:
      - question: What is it?
        answer: 'A constellation: a minor one'
document:
  repo: https://example.org/x.git
  commit: abc
  patterns: ["*.md"]
"""
SKILL = "created_by: me\ntask_description: >\n  Write haiku about\n  seasons\nseed_examples:\n- question: Q\n  answer: 'A'\n"
FILES = {
    "knowledge/science/astronomy/constellations/phoenix/qna.yaml": KNOWLEDGE.format(domain="astronomy"),
    "knowledge/science/astronomy/constellations/phoenix/attribution.txt": "Title: x",
    "knowledge/science/physics/qna.yml": KNOWLEDGE.format(domain="physics"),
    "knowledge/arts/qna.yaml": KNOWLEDGE.format(domain="arts"),
    "knowledge/arts/music/qna.yaml": KNOWLEDGE.format(domain="music"),
    "compositional_skills/writing/free_form_haiku/qna.yaml": SKILL,
    "docs/README.md": "# no",
    ".git/qna.yaml": "x",
}
INSTRUCTLAB = {
    "Compositional skills": {"Writing": {"Free form haiku": {}}},
    "Knowledge": {"Arts": {"Music": {}}, "Science": {"Astronomy": {"Constellations": {"Phoenix": {}}}, "Physics": {}}},
}


def packed(files: dict[str, str], top: str = "") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(top + name, text)
    return data.getvalue()


def test_an_instructlab_tree_as_folder_and_zip(tmp_path):
    for name, text in FILES.items():
        (tmp_path / "taxonomy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "taxonomy" / name).write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    for found in (
        read_import(tmp_path / "taxonomy"),
        parse_import(packed(FILES), "t.zip"),
        parse_import(packed(FILES, "taxonomy-main/"), "t.zip"),
    ):
        assert nested(found.nodes) == INSTRUCTLAB and found.form == "InstructLab taxonomy"
        assert '"Arts" has a qna file and subfolders' in found.notes[0]
        assert {node.description for node in found.nodes if node.name == "Phoenix"} == {
            "Information about the astronomy of stars"
        }
    assert nested(read_import(tmp_path / "taxonomy" / "knowledge").nodes) == {"Knowledge": INSTRUCTLAB["Knowledge"]}
    assert nested(read_import(tmp_path / "taxonomy/knowledge/science/physics/qna.yml").nodes) == {
        "Knowledge": {"Science": {"Physics": {}}}
    }


def test_one_qna_file_without_its_folders():
    found = parse_import(KNOWLEDGE.format(domain="pop_music").encode(), "qna.yaml")
    assert nested(found.nodes) == {"Knowledge": {"Pop music": {}}} and found.form == "InstructLab taxonomy file"
    assert nested(parse_import(SKILL.encode(), "qna.yaml").nodes) == {"Compositional skills": {"Write haiku about seasons": {}}}


REFUSED = {
    "empty": ("", "x is empty"),
    "blank": (" \n\n", "x is empty"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\2\3\4\5", "x is not a text file"),
    "cut JSON": ('{"A": {"B": ["C", ', "x, line 1: "),
    "empty JSON": ("{}", "contains no topics"),
    "a number": ('{"A": [{"name": null}]}', r"A\[0\].*the name is nothing"),
    "an empty object": ('{"A": ["B", {}]}', r"x, A\[1\]: the topic is empty"),
    "a nameless list": ('{"A": [["B"], "C"]}', r"x, A\[0\]: a list directly within a list has no name"),
    "null in a list": ('{"A": ["B", null]}', r"x, A\[1\]: the name is empty"),
    "an empty name": ('{"A": ["B", " "]}', r"x, A\[1\]: the name is empty"),
    "duplicates in JSON": ('{"A": ["B", "b "]}', r"x, A\[1\]: the name \"b\" is used twice under \"A\" \(also at x, A\[0\]\)"),
    "equal keys": ('{"A": {"B": 1, "B": 2}}', 'the key "B" is used twice'),
    "duplicates in an outline": ("- A\n  - B\n  - C\n  - B\n", 'x, line 4: the name "B" is used twice under "A" .also at x, line 2.'),
    "duplicate fields": ("# A\n- B\n# A\n- C\n", 'x, line 3: the name "A" is used twice at the top'),
    "a long name": ("- A\n  - " + "B" * 201, "x, line 2: the name .* is longer than 200 characters"),
    "dedent": ("A\n    B\n  C\n", "x, line 3: the indentation of \"C\" .2 columns. matches no line above"),
    "indented first": ("   A\nB\n", "x, line 1: the first topic is indented further"),
    "prose": ("This text is about the sciences and has no topics in it at all.\nIt goes on.", "x, line 1: .* is a sentence"),
    "deep": ("\n".join("  " * n + f"- n{n}" for n in range(60)), "x, line 51: \"n50\" is deeper than 50 levels"),
    "deep JSON": ("[" * 5000 + "]" * 5000, "nested"),
    "deep YAML": ("a: " + "[" * 3000 + "b" + "]" * 3000 + "\nname: x", "nested deeper"),
    "laughs": ("name: lol\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n", "x, line 2: anchors"),
    "tab in YAML": ("name: A\nchildren:\n\t- B\n", "x, line 3: .*spaces instead of tabs"),
    "empty name in a path": ('{"path": ["A", ""]}\n{"path": ["A", "B"]}\n', "x, line 1: name 2 of the path is empty"),
    "null in a path": ('{"path": ["A", "B"]}\n{"path": ["A", null]}\n', "x, line 2: a name of the path is empty"),
    "broken line": ('{"path": ["A", "B"]}\n{"path": ["A", \n{"path": ["A", "C"]}\n', "x, line 2: not JSON"),
    "double separator": ("A > B > C\nA > > C\n", "x, line 2: name 2 of the path is empty"),
    "open quote": ("field,discipline\nA,\"B\nC,D\n", "x, line 2: not valid CSV: unexpected end"),
    "no name above": ("field,sub-field,discipline\n,B,C\n", "x, line 2: \"B\" has no name in the level above"),
    "no level": ("field,discipline,description\n,,text\n", "x, line 2: the row has no name"),
    "unknown parent": ('[{"id": 1, "name": "A", "parent": 9}, {"id": 2, "name": "B", "parent": 1}]', 'the parent "9" does not exist'),
    "cycle of parents": ("name,parent\nA,B\nB,A\n", "form a cycle"),
    "graph without a node": ('{"root_id": 0, "nodes": {"0": {"topic": "A", "children": [7]}}}', 'the node "7" does not exist'),
    "zip of nothing": (packed({"a.png": "x", "b.png": "y"}), "contains 2 files and no qna.yaml"),
    "broken zip": (b"PK\x03\x04 no", "x is not a complete zip"),
    "bad qna in a zip": (packed({"knowledge/a/qna.yaml": "seed_examples:\n - a: [\n"}), "x/knowledge/a/qna.yaml, line 3"),
    "no qna in a zip": (packed({"knowledge/a/qna.yaml": "a: 1"}), "x/knowledge/a/qna.yaml: no qna file"),
    "bomb": (gzip.compress(b"- A\n" * 10_000_000), "x is larger than 20 MB"),
    "HTML": ("<ul><li>A<ul><li>B</li></ul></li></ul>", "x is HTML or XML, which is not read"),
    "anchors in YAML": ("base: &b [x]\nScience: *b\n", "x, line 1: anchors"),
    "two documents": ("---\nA:\n  - B\n---\nC:\n  - D\n", "x, line 4: a second document starts here"),
    "cut gzip": (gzip.compress(b"- A\n" * 1000)[:-9], "x is not a complete gzip file"),
    "damaged": ("- café à la crème\n- ok\n- caf".encode() + b"\xe9\n", "x, line 3: not UTF-8 text"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_one_sentence_that_says_where(fault):
    content, says = REFUSED[fault]
    with pytest.raises(TaxonomyError, match=says) as caught:
        parse_import(content.encode() if isinstance(content, str) else content, "x")
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_large_trees_are_read_in_time_and_too_large_ones_refused():
    rows = [f"Field {n // 500},Area {n // 20},Discipline {n}" for n in range(20_000)]
    assert len(parse_import("\n".join(["field,area,discipline", *rows]).encode(), "x").nodes) == 20_000 + 1000 + 40
    with pytest.raises(TaxonomyError, match=r"contains 60,001 topics; the maximum is 50,000"):
        parse_import(json.dumps({"A": [f"B{n}" for n in range(60_000)]}).encode(), "x")


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(TaxonomyError, match="does not exist"):
        read_import(tmp_path / "none")
    with pytest.raises(TaxonomyError, match=r"contains no qna\.yaml"):
        read_import(tmp_path)


def test_the_example_of_the_page_is_that_of_the_readme():
    found = parse_import(taxonomy_files.EXAMPLE.encode(), "x")
    assert [node.kind for node in found.nodes] == ["field", "sub-field", "discipline"]
    assert taxonomy_files.EXAMPLE in (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_a_flat_file_is_imported_or_refused_in_linear_work(ws, monkeypatch):
    """The work per name does not grow with their number: names that share a slug, and positions among the siblings."""
    alike = ["Topic " + "".join("!?"[(number >> bit) & 1] for bit in range(12)) for number in range(3_000)]
    found = parse_import("\n".join(alike).encode(), "alike.txt")
    took = time_growth.seconds(lambda _: tree_editing.import_nodes(ws, found.nodes, "test"), "")
    took += time_growth.seconds(lambda text: parse_import(text.encode(), "alike.txt"), "\n".join(alike))
    assert took < 4  # 1 s; with a search per name it took longer than this for a third of them
    assert len(tree_editing.tree(ws).nodes) == 3_001 and len({node.id for node in found.nodes}) == 3_001
    assert [node.name for node in found.nodes[1:]] == alike

    read = []
    monkeypatch.setattr(text_outlines, "_name", lambda text: read.append(text) or (text, ""))
    content = "\n".join(f"Discipline number {number:06}" for number in range(50_001)).encode()
    with pytest.raises(TaxonomyError, match=r"contains 50,001 topics; the maximum is 50,000"):
        parse_import(content, "flat.txt")
    assert not read, "refused before the names are read"
