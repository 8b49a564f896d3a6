"""The command line, as a person types it: what it prints, what it leaves behind, and its exit code."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import apsw
import pytest
from support.demo import small_demo
from support.runs import Canned

from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.homework import review
from glan_core.operations import demo_workspace
from glan_core.resources import CHECKOUT
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, homework_rows, run_rows
from glan_core.workspace.workspace import UNFINISHED, find_workspaces

TEXTBOOK = "mathematics,earth-science,music"


def test_init_makes_a_workspace_that_every_reporting_command_reads(glan, tmp_path):
    folder = tmp_path / "new"
    assert glan("init", folder)[0] == 0
    for words in (["status", folder], ["runs", folder], ["taxonomy", folder, "show"], ["taxonomy", folder, "history"],
                  ["taxonomy", folder, "proposals"], ["plan", folder, "--disciplines", "all"]):  # fmt: skip
        code, out, _ = glan(*words)
        assert code == 0 and out
        code, out, _ = glan(*words, "--json")
        assert code == 0 and json.loads(out) is not None
    assert Workspace.open(folder).metadata("demo") is None


def test_a_lost_run_shows_its_stages_in_order_and_the_time_in_which_it_was_active(glan, starter):
    with starter.write() as db:
        run_id = run_rows.add_run(db, "generate", "Law", {})
        run_rows.update_run(db, run_id, state="running", started_at=1000.0, heartbeat_at=1013.0)
        for stage in ("answer", "question", "sessions", "subject_list", "subjects", "syllabus"):
            run_rows.set_stage(db, run_id, run_rows.StageProgress(stage, 2, 1, 0))
        for at in (1001.0, 1013.0):
            run_rows.add_sample(db, run_id, run_rows.Sample(at, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0.0))
    code, out, _ = glan("runs", starter.folder, "show", run_id)
    titles = ["subject lists", "subjects", "syllabi", "class sessions", "questions", "answers"]
    assert code == 1 and "State: lost" in out and "12 s." in out
    assert re.findall(rf"^({'|'.join(titles)}) ", out, re.MULTILINE) == titles
    code, out, _ = glan("runs", starter.folder, "show", run_id, "--json")
    assert [stage["stage"] for stage in json.loads(out)["stages"]] == [
        "subject_list", "subjects", "syllabus", "sessions", "question", "answer"
    ]  # fmt: skip


def test_status_shows_disciplines_finished_under_way_and_begun(glan, tmp_path):
    small_demo(tmp_path / "demo").close()
    _, out, _ = glan("status", tmp_path / "demo", "--json")
    shares = {id: json.loads(out)[id]["share"] for id in ("mathematics", "earth-science", "music")}
    assert shares["mathematics"] == 1 and shares["earth-science"] == pytest.approx(2 / 3)


def test_generating_the_textbook_gives_true_pairs_that_lead_back_to_their_concepts(glan, starter):
    code, out, _ = glan(
        "generate", starter.folder, "--disciplines", TEXTBOOK, "--subject-queries", 2, "--questions-per-syllabus", 6
    )
    assert code == 0 and "finished" in out
    pairs = list(homework_rows.all_pairs(starter.db))
    assert len(pairs) == 24 and not any("[scaffold]" in pair.question.text + pair.answer for pair in pairs)
    for pair in pairs[::7]:
        code, out, _ = glan("show", starter.folder, pair.question.id, "--json")
        links = json.loads(out)
        assert [link["what"] for link in links][:1] == ["field"]
        assert {link["id"] for link in links if link["what"] == "key concept"} == set(pair.question.concepts)
        assert links[-1]["what"] == "answer" and links[-1]["text"] == pair.answer
        prompts = [call["messages"] for link in links for call in link["calls"]]
        assert all(prompts), "every prompt can be shown again from stored rows"


def test_a_finished_target_costs_nothing_with_a_teacher_of_unknown_price(glan, starter):
    target = (starter.folder, "--disciplines", "music", "--subject-queries", 1, "--questions-per-syllabus", 2)
    assert glan("generate", *target)[0] == 0
    unknown = ("--teacher", "openai:mystery", "--base-url", "http://127.0.0.1:9/v1")
    code, out, err = glan("plan", *target, *unknown)
    assert code == 0 and "Nothing to do" in out and not err
    code, out, _ = glan("plan", *target, *unknown, "--json")
    assert code == 0 and json.loads(out)["usd"] == [0, 0] and {tuple(s["usd"]) for s in json.loads(out)["stages"]} == {(0, 0)}
    assert glan("plan", *target, *unknown, "--budget-usd", 1)[0] == 0  # nothing is bought
    code, out, err = glan("generate", *target, *unknown)
    assert code == 0 and "finished" in out and "Traceback" not in err


def test_only_calls_that_are_made_need_a_price(glan, starter):
    target = (starter.folder, "--disciplines", "music", "--subject-queries", 1)
    assert glan("generate", *target, "--questions-per-syllabus", 2)[0] == 0
    more = (*target, "--questions-per-syllabus", 4, "--base-url", "http://127.0.0.1:9/v1", "--json")
    priced = ("--teacher", "openai:mystery", "--stage", "question:teacher=openai:gpt-4o", "--answer-teacher", "openai:gpt-4o")
    code, out, _ = glan("plan", *more, *priced)
    assert code == 0 and json.loads(out)["usd"][0] > 0  # the unknown price is that of stages with no calls left
    code, out, _ = glan("plan", *more, "--teacher", "openai:gpt-4o", "--answer-teacher", "openai:mystery")
    usd = {stage["stage"]: stage["usd"] for stage in json.loads(out)["stages"]}
    assert code == 0 and json.loads(out)["usd"] is None and usd["answer"] is None and usd["question"][0] > 0


def test_show_says_what_was_changed_and_what_the_teacher_had_written(glan, starter):
    glan("generate", starter.folder, "--disciplines", "music", "--subject-queries", 1, "--questions-per-syllabus", 1)
    pair = next(homework_rows.all_pairs(starter.db))
    review.edit(starter, pair.question.id, "Ada", question="Why do zebras wear stripes?", answer=None)
    _, out, _ = glan("show", starter.folder, pair.question.id)
    assert "text changed by Ada on 2" in out and f"before: {quoted(pair.question.text, 200)}" in out
    _, out, _ = glan("show", starter.folder, pair.question.id, "--json")
    *_, question, answer = json.loads(out)
    assert question["text"] == "Why do zebras wear stripes?" and question["calls"][-1]["reply"] == pair.question.text
    assert [change["before"] for change in question["changes"]] == [pair.question.text] and not answer["changes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "{ws}", "--disciplines", "alchemy"], "alchemy"),
        (["generate", "{ws}", "--disciplines", "music", "--subject-queries", "0"], "subject queries"),
        (["generate", "{ws}", "--disciplines", "music", "--teacher", "gpt-4o"], "is not a valid teacher"),
        (["generate", "{ws}", "--disciplines", "music", "--teacher", "openai:gpt-4o"], "OPENAI_API_KEY"),
        (["generate", "{ws}", "--disciplines", "music", "--base-url", "localhost"], "is not a valid URL"),
        (["generate", "{ws}", "--disciplines", "music", "--base-url", "http://me:secret@host/v1"], "Set the key in OPENAI_API_KEY"),
        (["plan", "{ws}", "--disciplines", "music", "--teacher", "openai:mystery", "--budget-usd", "1"], "is unknown"),
        (["plan", "{ws}", "--disciplines", "music", "--price", "cheap"], "is not a valid price"),
        (["plan", "{ws}", "--disciplines", "music", "--stage", "question"], "STAGE:KEY=VALUE"),
        (["plan", "{ws}", "--disciplines", "music", "--stage", "sing:temperature=1"], "Unknown stage"),
        (["plan", "{ws}", "--disciplines", "music", "--stage", "question:heat=1"], "heat"),
        (["status", "{ws}/nowhere"], "glan init"),
        (["init", "{ws}"], "already contains a workspace"),
        (["show", "{ws}", "qst-0"], "qst-0"),
        (["runs", "{ws}", "show", "7"], "Run 7 does not exist"),
        (["runs", "{ws}", "pause"], "Give the ID of the run"),
        (["export", "{ws}", "--out", "{ws}/../pairs.jsonl"], "no pairs"),
        (["export", "{ws}", "--out", "{ws}/no/such/folder.jsonl"], "parent folder does not exist"),
        (["taxonomy", "{ws}", "import", "{ws}/none.yaml"], "none.yaml"),
        (["taxonomy", "{ws}", "export", "{ws}/tree.txt"], ".yaml"),
        (["taxonomy", "{ws}", "add", "Alchemy / Gold"], "Alchemy"),
        (["taxonomy", "{ws}", "add", "Alchemy"], "--kind field"),
        (["taxonomy", "{ws}", "add", "Humanities / Alchemy", "--kind", "field"], "give its name only"),
        (["taxonomy", "{ws}", "rename", "music", "Muse", "--who", "\udcff"], "utf-8"),
        (["taxonomy", "{ws}", "propose", "--under", "humanities", "--teacher", "openai:gpt-4o"], "OPENAI_API_KEY"),
        (["status", "x" * 300], "too long"),
        (["init", "x" * 300], "too long"),
        (["runs", "{ws}", "show", str(10**30)], "too large"),
        (["serve-teacher", "--port", "99999"], "--port"),
        (["serve-teacher", "--latency-ms", "nan"], "--latency-ms"),
        (["serve-teacher", "--latency-ms", "-1"], "--latency-ms"),
        (["serve-teacher", "--fail-rate", "1.5"], "--fail-rate"),
        (["preview", "{ws}", "--discipline", "..", "--discard"], "no preview"),
        (["taxonomy", "{ws}", "vote", "nobody", "keep"], "nobody"),
        (["taxonomy", "{ws}", "propose", "--under", "music"], "discipline"),
        (["preview", "{ws}", "--discipline", "music", "--accept"], "no preview"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2_and_changes_nothing(glan, starter, words, said):
    before = starter.db.execute("SELECT count(*) FROM calls").fetchone()
    code, _, err = glan(*(word.format(ws=starter.folder) for word in words))
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1 and "Traceback" not in err
    assert starter.db.execute("SELECT count(*) FROM calls").fetchone() == before


def test_a_failed_run_says_why_and_exits_with_1(glan, starter):
    code, out, _ = glan("generate", starter.folder, "--disciplines", "music", "--teacher", "local:/no/such/model", "--json")
    assert code == 1
    assert json.loads(out)["state"] == "failed" and "/no/such/model" in json.loads(out)["message"]


def test_stage_settings_reach_the_calls(glan, starter):
    glan("generate", starter.folder, "--disciplines", "music", "--subject-queries", 1, "--questions-per-syllabus", 1,
         "--stage", "question:temperature=0.3,top_p=0.5", "--stage", "answer:max_tokens=900")  # fmt: skip
    made = {
        stage: values
        for stage, *values in starter.db.execute("SELECT DISTINCT stage, temperature, top_p, max_tokens FROM calls")
    }
    assert made["question"] == [0.3, 0.5, 2048] and made["answer"] == [0.7, 0.95, 900] and made["syllabus"] == [1.0, 0.95, 8192]


def test_show_names_parameters_that_were_not_sent(glan, starter):
    glan("generate", starter.folder, "--disciplines", "music", "--subject-queries", 1, "--questions-per-syllabus", 1,
         "--stage", "question:temperature=none", "--stage", "answer:top_p=none")  # fmt: skip
    [pair] = homework_rows.all_pairs(starter.db)
    code, out, _ = glan("show", starter.folder, pair.question.id)
    assert code == 0 and "temperature not sent, top-p 0.95: " in out and "temperature 0.7, top-p not sent: " in out


def test_everything_that_reports_does_so_in_json(glan, starter, tmp_path):
    folder, file = starter.folder, tmp_path / "tree.yaml"
    for words in (
        ["init", tmp_path / "new"], ["taxonomy", folder, "export", file], ["taxonomy", folder, "import", file],
        ["taxonomy", folder, "rename", "music", "Muse"], ["taxonomy", folder, "move", "music", "humanities"],
        ["taxonomy", folder, "remove", "music"], ["taxonomy", folder, "restore", "music"],
        ["taxonomy", folder, "vote", "music", "keep"], ["taxonomy", folder, "decide"],
        ["preview", folder, "--discipline", "music"], ["preview", folder, "--discipline", "music", "--discard"],
        ["preview", folder, "--discipline", "music"], ["preview", folder, "--discipline", "music", "--accept"],
    ):  # fmt: skip
        code, out, err = glan(*words, "--json")
        assert code == 0 and json.loads(out) and not err, words
    with starter.write() as db:
        paused, queued = (run_rows.add_run(db, "generate", "test", {}) for _ in range(2))
        run_rows.update_run(db, paused, state="paused")
        running = run_rows.add_run(db, "generate", "test", {})
        run_rows.update_run(db, running, state="running", heartbeat_at=time.time(), host="elsewhere")
    for action, id, state, wish in (
        ("pause", running, "running", "pause"), ("cancel", running, "running", "cancel"), ("pause", queued, "paused", None),
        ("cancel", queued, "cancelled", None), ("cancel", paused, "cancelled", None),
    ):  # fmt: skip
        code, out, _ = glan("runs", folder, action, id, "--json")
        assert code == 0 and (json.loads(out)["state"], json.loads(out)["wish"]) == (state, wish)


def test_a_preview_that_is_not_whole_says_why_and_exits_with_1(glan, starter, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth == 0 else None))
    code, out, _ = glan("preview", starter.folder, "--discipline", "music")
    assert code == 1 and "1 x answers: empty" in out
    teach(Canned(lambda stage, nth, messages: "" if stage == "syllabus" else None))
    code, out, _ = glan("preview", starter.folder, "--discipline", "music", "--json")
    assert code == 1 and json.loads(out)["pairs"] == [] and json.loads(out)["failures"][0]["stage"] == "syllabus"


def test_resuming_under_a_limit_that_is_none_is_refused_and_starts_nothing(glan, starter):
    glan("generate", starter.folder, "--disciplines", "music", "--max-calls", 3)
    before = run_rows.runs(starter.db)
    code, out, err = glan("runs", starter.folder, "resume", 1, "--max-calls", -5)
    assert code == 2 and not out and len(err.splitlines()) == 1 and "max calls" in err
    assert run_rows.runs(starter.db) == before and not list((starter.folder / "runs").glob("*"))


@pytest.mark.parametrize("error", [apsw.IOError("disk I/O error"), OSError(28, "No space left on device", "glan.sqlite")])
def test_what_the_system_refuses_is_one_sentence(glan, starter, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(run_rows, "runs", refuse)
    code, _, err = glan("runs", starter.folder)
    assert code == 2 and len(err.splitlines()) == 1


@pytest.mark.long
def test_a_demo_whose_making_was_killed_is_no_workspace_and_is_made_by_the_next_try(tmp_path):
    folder = tmp_path / "demo"
    script = (
        "import os, glan_core.operations.demo_workspace as d; unpack = d._unpack\n"
        "def killed(*paths): unpack(*paths); os._exit(9)\n"
        f"d._unpack = killed; d.create_workspace({str(folder)!r}, demo=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 9
    assert find_workspaces(tmp_path) == [] and list(folder.iterdir())
    assert demo_workspace.create_workspace(folder, demo=True).metadata("demo")
    assert find_workspaces(tmp_path) == [folder] and not (folder / UNFINISHED).exists()


def test_a_demo_that_cannot_be_made_leaves_nothing_behind_and_two_makers_do_not_meet(tmp_path, monkeypatch):
    def fail(*_):
        with pytest.raises(GlanError, match="Another process"):
            demo_workspace.create_workspace(tmp_path / "demo")
        raise GlanError("no")

    monkeypatch.setattr(demo_workspace, "_unpack", fail)
    with pytest.raises(GlanError, match=r"^no$"):
        demo_workspace.create_workspace(tmp_path / "demo", demo=True)
    assert not (tmp_path / "demo").exists()


def test_an_installation_without_the_demo_says_so(glan, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_workspace, "DEMO_ARCHIVE", tmp_path / "none.tar.xz")
    code, _, err = glan("init", tmp_path / "demo", "--demo")
    assert code == 2 and "has no demo" in err and not (tmp_path / "demo").exists()


def test_export_and_import_round_trip_and_a_dry_run_only_tells(glan, starter, tmp_path):
    file = tmp_path / "tree.json"
    glan("taxonomy", starter.folder, "export", file)
    glan("taxonomy", starter.folder, "remove", "humanities")
    _, out, _ = glan("taxonomy", starter.folder, "import", file, "--dry-run")
    assert "Would be" in out and "humanities" not in tree_editing.tree(starter)
    glan("taxonomy", starter.folder, "import", file)
    again = tmp_path / "again.json"
    glan("taxonomy", starter.folder, "export", again)
    assert again.read_text() == file.read_text()


@pytest.mark.long
def test_the_command_works_as_a_process_of_its_own_in_any_folder(tmp_path):
    def glan(*words):
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        return subprocess.run(
            [sys.executable, "-m", "glan_core", *words], cwd=tmp_path, capture_output=True, text=True, env=environment
        )

    assert glan("init", "here").returncode == 0
    done = glan("generate", "here", "--disciplines", "music", "--subject-queries", "1", "--questions-per-syllabus", "2")
    assert done.returncode == 0 and "answers 2/2" in done.stderr
    assert glan("export", "here", "--out", "pairs.jsonl").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and rows[0]["messages"][1]["role"] == "assistant"
    assert glan("frobnicate").returncode == 2


def test_resuming_with_a_larger_limit_goes_on(glan, starter):
    code, out, _ = glan("generate", starter.folder, "--disciplines", "music", "--max-calls", 10, "--json")
    assert code == 1 and json.loads(out)["state"] == "paused" and json.loads(out)["totals"]["done"] == 10
    run = run_rows.runs(starter.db)[0]
    assert "10 calls" in run.message


def test_doctor_reports_versions_and_a_working_endpoint(glan, monkeypatch):
    class Models(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(
                {
                    "object": "list",
                    "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "me"}],
                    "choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}],
                }
            ).encode()
            self.send_response(200 if self.headers["Authorization"] == "Bearer good-key" else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Models)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    monkeypatch.setenv("OPENAI_API_KEY", "good-key")
    code, out, _ = glan("doctor", "--base-url", url, "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert checks["SQLite"]["ok"] and "tiny" in checks["Endpoint"]["text"] and checks["Endpoint"]["ok"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-123456")
    code, out, _ = glan("doctor", "--base-url", url)
    assert code == 1 and "rejects the key" in out and "sk-wrong" not in out
    server.shutdown()
    server.server_close()
    assert "cannot be reached" in glan("doctor", "--base-url", url)[1]
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "needs neither" in glan("doctor")[1]


@pytest.mark.parametrize(("option", "value"), [("--budget-usd", "inf"), ("--budget-usd", "nan"), ("--pair-share", "nan")])
def test_a_number_that_is_not_finite_is_refused(glan, ws, option, value):
    code, _, err = glan("plan", str(ws.folder), "--disciplines", "music", option, value)
    assert code == 2 and "finite number" in err and "Traceback" not in err


def test_disciplines_without_new_ground_are_skipped_where_asked(ws, capsys):
    from glan_core.diversity.metric_store import MetricReport, write_metrics

    asked = ["plan", str(ws.folder), "--disciplines", "mathematics,music", "--skip-saturated", "--json"]
    assert main(asked) == 2 and "glan measure" in capsys.readouterr().err
    curves = {"mathematics": [(10 * n, 0.9 / n) for n in range(1, 9)], "music": [(10 * n, 0.7) for n in range(1, 9)]}
    write_metrics(ws, MetricReport("words", "", 384, "kept", 96, 1000, 0, 64, 1.0, 96, {}, curves))
    assert main(asked) == 0
    skipped = json.loads(capsys.readouterr().out)
    assert main([*asked[:3], "music", *asked[5:]]) == 0
    assert json.loads(capsys.readouterr().out) == skipped
    assert main([*asked[:3], "mathematics", *asked[4:]]) == 2 and "saturated" in capsys.readouterr().err
