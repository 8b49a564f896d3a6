"""The stakeholder report: every section with its numbers, one file without requests, hostile texts escaped, rules of output paths."""

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser

import pytest
from support.benchmark_rows import put_scores
from support.curriculum import add_pairs
from support.model_rows import add_training, put_model
from support.runs import execute_run
from support.studio_app import add_run, draw_map

from glan_core.cli import main
from glan_core.dataset.glan_test_store import GlanTestItem, write_test
from glan_core.errors import GlanError
from glan_core.operations.stakeholder_report import document
from glan_core.operations.stakeholder_report.dataset_card import dataset_card
from glan_core.operations.stakeholder_report.model_text import model_html
from glan_core.operations.stakeholder_report.stakeholder_report import MOST_BYTES, build_report, write_report
from glan_core.taxonomy import coverage, tree_editing
from glan_core.workspace import chat_rows, match_rows, probe_rows
from glan_core.workspace.match_rows import Answer, ArenaVote, Match, Verdict
from glan_core.workspace.workspace import set_metadata

EVIL = (
    '</script><script>alert(1)</script><img src=x onerror="alert(2)">[x](javascript:alert(3)) ![y](https://evil.example/y.png)'
)
EVERY = (
    "summary",
    "coverage",
    "dataset",
    "diversity",
    "examples",
    "training",
    "replies",
    "judge",
    "benchmarks",
    "contamination",
    "cost",
)
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Parsed(HTMLParser):
    """The elements of a document with their attributes, its visible text by section, and its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.sections: dict[str, str] = {}
        self.scripts: list[tuple[dict, str]] = []
        self._open: list[str] = []
        self._section = ""
        self.feed(html)
        assert self._open == []  # every element is closed

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.elements.append((tag, values))
        if tag == "section":
            self._section = values["id"]
        if tag == "script":
            self.scripts.append((values, ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self._section:
            self.sections[self._section] = self.sections.get(self._section, "") + data

    @property
    def figures(self) -> list[dict]:
        return [json.loads(text) for attrs, text in self.scripts if attrs.get("type") == "application/json"]


def put_match(ws, questions: int = 12, judge: str = "openai:judge") -> Match:
    """A match of a tuned model with its base on a test of hostile texts; the tuned one wins two of three questions."""
    items = [
        {
            "id": f"q{n}", "question": f"Question {n} {EVIL}", "reference": f"Reference {n}", "discipline": "music" if n % 2 else "mathematics",
            "taxonomy": ["Arts", "Music"] if n % 2 else ["Formal Sciences", "Mathematics"], "subject": "Subject", "level": "easy",
        }
        for n in range(questions)
    ]  # fmt: skip
    about = {"name": "first", "source": "test", "created_at": time.time()}
    test = write_test(ws, about, [GlanTestItem(**item) for item in items])
    match = Match(
        "mat-1", "first", test.hash, "tuned:student", "k1", "base:student", "k2", judge, {"tokens": 64}, None, time.time()
    )
    with ws.write() as db:
        match_rows.put_match(db, match)
        for n, item in enumerate(items):
            for key, words in (("k1", "tuned says"), ("k2", "base says")):
                match_rows.put_answer(
                    db, Answer(test.hash, item["id"], key, f"{words} {n} {EVIL}", f"local:{key}", None, time.time())
                )
            better = 1.0 if n % 3 else -0.5 if n % 2 else 0.0
            for swapped in (False, True):
                verdict = Verdict(
                    match.id, item["id"], swapped, 6 + better, 6.0, {"accuracy": (6 + better, 6.0)}, EVIL, time.time()
                )
                match_rows.put_verdict(db, verdict)
    return match


def put_probe(ws) -> None:
    split = {"mean": 1.0, "token_mean": 1.0, "rows": 400, "cut": 0, "left_out": 0, "tokens": 9000, "bits_per_byte": None}
    file = {
        "source": "x",
        "label": "gsm8k",
        "sha256": "ab",
        "rows_sha256": "cd",
        "held": 1319,
        "empty": 0,
        "written_by": ["scripted"],
    }
    about = {
        "key": "k", "covers": "answer", "covers_said": "the answer", "written": "plain", "written_said": "plain text",
        "splits": {"train": split, "test": split}, "files": {"train": file, "test": file, "alike": file}, "shared": 0, "limit": 1024,
        "intervals": {"delta_percent": (5.0, 22.0), "delta_alike": (-0.05, 0.03)}, "sample": 400, "seed": 0,
    }  # fmt: skip
    with ws.write() as db:
        probe_rows.put_probe(
            db, model="tuned:student", weights_hash="sha256:0", name="GSM8K", losses=(1.0, 1.2, 1.21), about=about, run_id=None
        )


@pytest.fixture
def filled(ws, settings):
    """Workspace with content for every section."""
    execute_run(ws, settings("mathematics", "music"))
    draw_map(ws)
    run_id = add_training(ws, "finished", "student")
    put_model(ws, "student", run_id=run_id)
    put_match(ws)
    put_scores(ws)
    put_probe(ws)
    return ws


def test_every_section_has_its_numbers_with_their_basis(filled):
    page = Parsed(build_report(filled))
    assert tuple(page.sections) == EVERY
    said = {id: " ".join(text.split()) for id, text in page.sections.items()}
    pairs = int(coverage.coverage_by_node(filled)[""].counts["pairs"])
    assert f"Pairs{pairs}answered questions" in said["summary"] and "were written by the scripted teacher" in said["summary"]
    assert "with pairs, of 5" in said["summary"] and "2 disciplines of 5 (40%) have pairs" in said["coverage"]
    assert (
        f"{pairs} pairs of {pairs} are in the dataset (100%)." in said["dataset"]
        and "Quality filtersnot run" in said["dataset"]
    )
    assert "colored by field" in said["diversity"] and "No diversity metrics yet" in said["diversity"]
    assert (
        said["examples"].count("Key concept") >= 3
        and "scripted teacher" in said["examples"]
        and "Formal Sciences › Mathematics" in said["examples"]
    )
    assert (
        "student" in said["training"]
        and "0.842" in said["training"]
        and "Loss of student by optimizer step" in said["training"]
    )
    for word in ("won", "tied", "lost"):
        assert f"The tuned model {word} this question" in said["replies"]
    assert (
        said["replies"].index("base says") < said["replies"].index("tuned says")
        and "n 12, judge openai:judge" in said["replies"]
    )
    assert (
        "student scored higher than student (base)" in said["judge"]
        and "95% interval" in said["judge"]
        and "12 of 12" in said["judge"]
    )
    assert said["judge"].split(" on 12 questions.")[0][-40:] in said["summary"]  # the same sentence
    assert "95% Wilson intervals" in said["benchmarks"] and "100" in said["benchmarks"] and "GSM8K" in said["benchmarks"]
    assert "appears to have seen the training split" in said["contamination"] and "+5.0 to +22.0" in said["contamination"]
    assert "Run history" in said["cost"] and "Generation$0.00" in said["cost"] and "subject lists" in said["cost"]


def test_figures_are_drawn_from_the_data_of_the_workspace(filled):
    figures = Parsed(build_report(filled)).figures
    kinds = [figure["data"][0]["type"] for figure in figures]
    assert kinds[:3] == ["sunburst", "bar", "scatter"] and "scattergl" not in json.dumps(kinds)
    pairs = int(coverage.coverage_by_node(filled)[""].counts["pairs"])
    assert [len(trace["x"]) for trace in figures[2]["data"] if isinstance(trace.get("x"), list)] or figures[2]["data"]
    assert f"{pairs:,}" in json.dumps(figures[1]["data"][0]["text"])


def test_an_empty_workspace_has_a_short_report(ws):
    for empty in (False, True):
        if empty:
            tree_editing.import_nodes(ws, [], "test")
        html = build_report(ws)
        page = Parsed(html)
        assert tuple(page.sections) == EVERY and len(page.figures) == (0 if empty else 1)
        missing = [attrs for tag, attrs in page.elements if tag == "p" and attrs.get("class") == "missing"]
        assert len(missing) >= 10
    assert len(html) < 60_000  # without a figure there is no plotly


def assert_no_request(html: str) -> Parsed:
    """No element and no style of the document refers to anything outside of it."""
    page = Parsed(html)
    for tag, attrs in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form"), tag
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "action", "srcset", "xlink:href", "data", "poster"):
                assert value.startswith("#"), (tag, value)
            assert not (name == "style" and "url(" in value)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in style and "@import" not in style
    [policy] = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy
    return page


def test_nothing_is_requested_and_hostile_texts_are_text(filled):
    add_pairs(
        filled,
        "bell-founding",
        (f"How? {EVIL}\n\n<script>alert(4)</script>\n\n| a |\n|---|\n| {EVIL} |", f"So: {EVIL}\n\n```\n</pre>{EVIL}\n```"),
    )
    with filled.write() as db:
        set_metadata(db, "name", EVIL)
    add_run(filled, "finished", EVIL)
    tree_editing.rename(filled, "crafts", "Crafts <b onclick=x>&</script>", "test")
    html = build_report(filled)
    page = assert_no_request(html)
    code = [text for attrs, text in page.scripts if attrs.get("type") != "application/json"]
    assert len(code) == 2 and "alert(" not in code[1]
    assert "<script>alert" not in html and "<img src=x" not in html and "onclick=x" in html.replace("&amp;", "&")
    assert "javascript:alert(3)" in page.sections["examples"]  # as text
    assert len(html.encode()) < MOST_BYTES
    for figure in page.figures:  # plotly interprets tags in texts, so names are escaped once more
        assert "<b onclick" not in json.dumps(figure)


def test_folders_of_local_models_are_not_shown(ws):
    put_match(ws, judge="local:/home/ada/models/Judge-8B")
    add_pairs(ws, "music", ("How?", "So."))
    with ws.write() as db:
        db.execute("UPDATE answers SET teacher = 'local:/home/ada/models/Teacher-8B'")
    html = build_report(ws)
    assert "local:Judge-8B" in html and "local:Teacher-8B" in html and "/home/ada" not in html


def test_votes_of_people_add_a_ranking_of_the_models(filled):
    assert "Ranking" not in Parsed(build_report(filled)).sections["judge"]
    with filled.write() as db:
        for n in range(4):
            match_rows.put_vote(db, ArenaVote("mat-1", f"q{n}", "ours", "Ada", 1.0))
    said = Parsed(build_report(filled)).sections["judge"]
    assert "Bradley-Terry" in said and "Judges and people prefer the same model in 1 of 1 pair" in said and "(n 12)" in said


def test_the_policy_holds_the_hashes_of_the_scripts(filled):
    page = Parsed(build_report(filled))
    [policy] = [attrs["content"] for _, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    for attrs, text in page.scripts:
        if attrs.get("type") != "application/json":
            assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_replies_come_from_the_chat_where_no_match_has_them(ws):
    put_model(ws, "student")
    with ws.write() as db:
        conversation = chat_rows.add_conversation(db, "Rings", {})
        turn = chat_rows.add_turn(db, conversation, None, "What is a ring?")
        for pane, model in enumerate(("tuned:student", "base:student")):
            chat_rows.put_reply(db, chat_rows.Reply(turn, 0, pane, model, chat_rows.DONE, f"I am {model}", "", {}, None, 1.0))
    said = Parsed(build_report(ws)).sections["replies"]
    assert said.index("I am base:student") < said.index("I am tuned:student") and "What is a ring?" in said


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** `c<d`", "<p>a <strong>b</strong> <code>c&lt;d</code></p>"),
        ("# Big\n\ntext", "<h6>Big</h6>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("[a](javascript:x) <http://e.example>", "[a](javascript:x) &lt;http://e.example&gt;"),
        ("![a](http://e.example/a.png)", "![a](http://e.example/a.png)"),
        ("[a]: http://e.example\n\n[a]", "[a]: http://e.example"),
        ("$5 and $6", "<p>$5 and $6</p>"),
        ("```\n$x$ </code>\n```", "$x$ &lt;/code&gt;"),
        ("`open $\\odd{a_b}$ *c*", '<p>`open <span class="tex">\\odd{a_b}</span> <em>c</em></p>'),
        (
            "so $a_b<1$.",
            "<p>so <math><mrow><msub><mi>a</mi><mrow><mi>b</mi></mrow></msub><mo>&lt;</mo><mn>1</mn></mrow></math>.</p>",
        ),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |", "<td>1</td>"),
    ],
)
def test_markdown_of_models_is_rendered_safely(text, html):
    rendered = model_html(text)
    assert html in rendered and "<a" not in rendered and "<img" not in rendered and "<script" not in rendered


def test_a_long_text_is_shortened_and_says_so():
    rendered = model_html("word " * 1000, 200)
    assert len(rendered) < 400 and "of 5,000 characters" in rendered


def test_an_earlier_report_is_replaced_only_on_request_and_other_files_never(ws, tmp_path):
    out = tmp_path / "report.html"
    assert write_report(ws, out) == out.stat().st_size
    with pytest.raises(GlanError, match=r"already exists\. Choose another name, or replace it with --force"):
        write_report(ws, out)
    assert write_report(ws, out, force=True)
    other = tmp_path / "notes.html"
    other.write_text("<p>notes</p>")
    for force in (False, True):
        with pytest.raises(GlanError, match="already exists"):
            write_report(ws, other, force=force)
    assert other.read_text() == "<p>notes</p>"
    for place in (ws.folder / "report.html", tmp_path, ws.folder / "glan.sqlite"):
        with pytest.raises(GlanError):
            write_report(ws, place, force=True)
    assert write_report(ws, ws.folder / "exports" / "report.html")


def test_the_card_is_that_of_the_dataset_without_its_figure(filled, new_workspace):
    text = dataset_card(filled)
    assert text.startswith("---\n") and "## Known limitations" in text and "![" not in text
    with pytest.raises(GlanError, match="no pairs yet"):
        dataset_card(new_workspace("empty"))


def test_the_command_writes_report_and_card(filled, tmp_path, capsys):
    out, card = tmp_path / "report.html", tmp_path / "card.md"
    assert main(["report", str(filled.folder), "--out", str(out), "--card", str(card), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"report": str(out), "bytes": out.stat().st_size, "card": str(card)} and document.MARK in out.read_text(
        "utf-8"
    )
    assert main(["report", str(filled.folder), "--out", str(out)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "--force" in err
    assert main(["report", str(filled.folder), "--out", str(out), "--card", str(card), "--force"]) == 0
    assert "Wrote" in capsys.readouterr().out
    for bad in ("", str(filled.folder / "x.html"), str(tmp_path / "none" / "x.html")):
        assert main(["report", str(filled.folder), "--out", bad]) == 2
        assert capsys.readouterr().err.count("\n") == 1
