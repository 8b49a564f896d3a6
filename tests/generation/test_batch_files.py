"""Offline batches: request files are answered elsewhere, in the format of `vllm run_batch`, and their results are read."""

import itertools
import json
import os
import random
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st
from support.batch_server import completion_body
from support.runs import content, execute_run, latest_run, number, rows

from glan_core import runs
from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.generation import batch_files, batch_offline, batch_replies
from glan_core.runs import launcher
from glan_core.teachers.batch_format import read_result
from glan_core.workspace import batch_rows

NUMBERS = itertools.count(1)


def answered(line: str, **changes) -> dict:
    """Return the result of a request line as vLLM writes it."""
    row = json.loads(line)
    assert row["method"] == "POST" and row["url"] == "/v1/chat/completions"
    response = {"status_code": 200, "request_id": "vllm-1", "body": completion_body(row["body"]) | changes}
    return {"id": "vllm-2", "custom_id": row["custom_id"], "response": response, "error": None}


def write(path: Path, results) -> Path:
    """Write results to a file."""
    path.write_text("".join(json.dumps(result) + "\n" for result in results))
    return path


def write_lines(path: Path, lines) -> Path:
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def offline(ws, settings):
    """Start a run that writes files, and return a function that answers the present file: `step(change)` reads `change(results)`."""
    run = execute_run(ws, settings(teacher="openai:m", batch_files=True, questions_per_syllabus=6))
    assert run.state == "paused"

    def step(change=lambda results: results):
        [(_, path)] = batch_offline.waiting_files(ws)
        results = change([answered(line) for line in path.read_text().splitlines()])
        file = results if isinstance(results, Path) else write(ws.folder / "results.jsonl", results)
        read = batch_offline.read_results(ws, file)
        launcher.requeue(ws, read.run_id)
        return read, runs.work(ws, read.run_id)

    return step


@pytest.fixture
def expected(new_workspace, settings):
    """The rows of the online engine."""
    ws = new_workspace("online")
    execute_run(ws, settings(questions_per_syllabus=6))
    return content(ws, teachers=False)


def until_done(step, change=lambda results: results, most: int = 12):
    """Answer files until the run has ended."""
    for _ in range(most):
        read, run = step(change)
        if run.state != "paused":
            return read, run
    raise AssertionError("not in time")


def test_the_rows_equal_those_of_the_online_engine(ws, offline, expected):
    [(batch, path)] = batch_offline.waiting_files(ws)
    message = latest_run(ws).message
    assert f"run_batch -i {path} -o results.jsonl --model m" in message and "read results.jsonl" in message
    assert (batch.teacher, path.parent) == ("openai:m", ws.folder / "batches")
    body = json.loads(path.read_text().splitlines()[0])["body"]
    assert body["model"] == "m" and body["max_tokens"] == 4096 and "stream" not in body
    _, run = until_done(offline)
    assert run.state == "finished" and content(ws, teachers=False) == expected
    assert len(batch_rows.batches(ws.db, run.id)) == 6 and batch_offline.waiting_files(ws) == []


def test_results_in_any_order_with_repeated_unknown_and_damaged_lines(ws, offline, expected):
    rng = random.Random(3)

    def change(results):
        rng.shuffle(results)
        wrong = answered_as(results[0], "not this")
        foreign = {**results[0], "custom_id": "77-answer-ans-0000000000000000-00000000"}
        lines = [json.dumps(row) for row in (*results, wrong, foreign, {**foreign, "custom_id": "what"})] + [
            "{damaged",
            "[1, 2]",
        ]
        path = ws.folder / "odd.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(lines).encode() + b"\n")
        return path

    read, run = until_done(offline, change)
    assert run.state == "finished" and content(ws, teachers=False) == expected
    said = " ".join(read.notices)
    assert "2 lines of" in said and "belong to no request" in said and "1 line of" in said and "repeat a request" in said
    assert "cannot be read, the first of them is line" in said


@pytest.mark.parametrize(("status", "ok"), [(199, False), (200, True), (203, True), (299, True), (300, False)])
def test_a_line_of_results_holds_a_reply_whichever_status_of_success_it_has(status, ok):
    response = {"status_code": status, "body": {"choices": [{"message": {"content": "4"}}]}}
    assert read_result(json.dumps({"custom_id": "1", "response": response}).encode()).ok is ok


def answered_as(result: dict, text: str) -> dict:
    """Return a result with another text."""
    changed = json.loads(json.dumps(result))
    changed["response"]["body"]["choices"][0]["message"]["content"] = text
    return changed


def test_a_truncated_last_line_is_named_and_its_request_is_in_the_next_file(ws, offline, expected):
    cut = []

    def change(results):
        text = "".join(json.dumps(row) + "\n" for row in results)
        path = ws.folder / "cut.jsonl"
        if len(results) > 1 and not cut:
            cut.append(results[-1]["custom_id"])
            text = text[:-40]
        path.write_text(text)
        return path

    read = offline(change)[0]
    while not cut:
        read = offline(change)[0]
    assert read.missing == 1 and "The last line of" in read.notices[0] and "truncated" in read.notices[0]
    [(_, path)] = batch_offline.waiting_files(ws)
    assert cut[0].partition("-")[2] in path.read_text()
    assert until_done(offline, change)[1].state == "finished" and content(ws, teachers=False) == expected


def test_lines_of_any_size_are_read_in_bounded_memory(ws, offline, expected, monkeypatch):
    def change(results):
        lines = [json.dumps(result) for result in results]
        huge = json.dumps(results[0] | {"padding": "x" * 20_000})
        return write_lines(ws.folder / "r.jsonl", [lines[0], huge, "y" * 5000, *lines[1:], "z" * 12_000])

    with monkeypatch.context() as small:
        small.setattr(batch_files, "MOST_LINE", 5000)
        small.setattr(batch_replies, "CHUNK_BYTES", 1000)
        read, run = offline(change)
    assert read.missing == 0 and "cannot be read, the first of them is line 2" in " ".join(read.notices)
    while run.state == "paused":
        _, run = offline()
    assert run.state == "finished" and content(ws, teachers=False) == expected


def test_the_lines_of_a_file_are_found_whatever_their_length(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_files, "MOST_LINE", 8)
    parts = [b"short\n", b"1234567\n", b"12345678\n", b"x" * 30 + b"\n", b"\n", b"y" * 16 + b"\n", b"end"]
    (tmp_path / "f").write_bytes(b"".join(parts))
    with (tmp_path / "f").open("rb") as file:
        found = list(batch_files.lines(file))
    assert [at for at, _ in found] == [sum(map(len, parts[:n])) for n in range(len(parts))]
    long = batch_files.TOO_LONG + b"\n"
    assert [line for _, line in found] == [b"short\n", b"1234567\n", long, long, b"\n", long, b"end"]


def test_the_commands_that_a_run_names_can_be_typed_whatever_its_folder_is_called(new_workspace, settings):
    ws = new_workspace("a folder's name")
    run = execute_run(ws, settings(teacher="openai:m; ls", batch_files=True, questions_per_syllabus=0))
    vllm, read = re.findall(r"'((?:python|glan) .*?)'[,.](?: |$)", run.message)
    assert shlex.split(vllm)[-1] == "m; ls" and Path(shlex.split(vllm)[4]).is_file()
    assert shlex.split(read)[:3] == ["glan", "batch", str(ws.folder)]


def test_replies_of_another_model_are_refused_as_a_whole(ws, offline):
    with pytest.raises(GlanError, match=r'1 reply of the model "other", and the requests are for "m".*--served-model-name m'):
        offline(
            lambda results: [
                {**row, "response": {"status_code": 200, "body": {**row["response"]["body"], "model": "other"}}}
                for row in results
            ]
        )
    assert number(ws, "SELECT count(*) FROM calls") == 0 and len(batch_offline.waiting_files(ws)) == 1


def test_a_file_of_nothing_that_waits_is_refused(ws, offline, tmp_path):
    first = [answered(line) for line in batch_offline.waiting_files(ws)[0][1].read_text().splitlines()]
    offline()
    for results in (first, [], [{"custom_id": "1"}]):
        with pytest.raises(GlanError, match="has no result of a request that waits for one"):
            batch_offline.read_results(ws, write(tmp_path / "again.jsonl", results))
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(GlanError, match="is not a regular file"):
            batch_offline.read_results(ws, place)
    with pytest.raises(GlanError, match="cannot be read: No such file"):
        batch_offline.read_results(ws, tmp_path / "missing.jsonl")


def test_errors_of_the_engine_are_repeated_or_become_failures(ws, offline, expected):
    failed = []

    def change(results):
        if "-question-" in results[0]["custom_id"] and not failed:
            failed.extend(row["custom_id"] for row in results[:2])
            error = {"object": "error", "message": "out of memory", "type": "InternalServerError", "code": 500}
            results[0] |= {"response": {"status_code": 500, "request_id": "x"}, "error": error}
            results[1] |= {"response": None, "error": {"message": "prompt too long", "type": "BadRequestError", "code": 400}}
        return results

    _, run = until_done(offline, change)
    assert run.state == "finished" and "1 call failed: refused" in run.message
    assert rows(ws, "SELECT stage, cause FROM failures") == [("question", "refused")]
    assert number(ws, "SELECT count(*) FROM answers") == len(expected["answers"]) - 1


def test_a_changed_request_file_is_refused_and_a_batch_can_be_given_up(ws, offline, capsys):
    [(batch, path)] = batch_offline.waiting_files(ws)
    results = [answered(line) for line in path.read_text().splitlines()]
    path.write_text(path.read_text().replace("Mathematics", "Music"))
    read = batch_offline.read_results(ws, write(ws.folder / "r.jsonl", results))
    launcher.requeue(ws, read.run_id)
    run = runs.work(ws, read.run_id)
    assert run.state == "failed" and "was changed after it was written" in run.message
    assert main(["batch", str(ws.folder), "discard", str(batch.id)]) == 0
    assert "is given up" in capsys.readouterr().out
    launcher.requeue(ws, run.id)
    assert runs.work(ws, run.id).state == "paused" and batch_offline.waiting_files(ws)[0][0].id == batch.id + 1
    assert main(["batch", str(ws.folder), "discard", str(batch.id)]) == 2 and "has ended" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["x", "-1", "9" * 15, "9" * 5000, "٣", "1.5"])
def test_what_is_no_id_of_a_batch_is_one_line(ws, capsys, word):
    assert main(["batch", str(ws.folder), "discard", "--", word]) == 2
    told = capsys.readouterr().err
    assert told.startswith("glan: ") and told.count("\n") == 1


def test_a_cancelled_run_has_no_files_that_wait(ws, offline):
    run = latest_run(ws)
    runs.cancel(ws, run.id)
    assert batch_offline.waiting_files(ws) == []


def test_the_commands_repeat_until_nothing_is_left(ws, tmp_path, capsys):
    folder = str(ws.folder)
    options = ["--disciplines", "mathematics", "--subject-queries", "1", "--questions-per-syllabus", "2", "--price", "0,0"]
    assert main(["generate", folder, *options, "--teacher", "openai:m", "--batch-files"]) == 0
    assert "Requests are written to" in capsys.readouterr().out
    rounds = 0
    while main(["batch", folder, "next"]) == 0:
        path = Path(capsys.readouterr().out.strip())
        results = write(tmp_path / "results.jsonl", [answered(line) for line in path.read_text().splitlines()])
        assert main(["batch", folder, "read", str(results)]) == 0
        said = capsys.readouterr().out
        rounds += 1
    assert rounds == 6 and "is finished" in said
    assert main(["runs", folder, "show", "1"]) == 0
    shown = capsys.readouterr().out
    assert "batch  requests  status  completed  failed" in shown and shown.count(" read ") == 6
    assert main(["batch", folder, "read", str(results)]) == 2 and "No request file waits" in capsys.readouterr().err


@pytest.mark.long
@checks(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_attached_does_not_depend_on_the_order_of_the_lines(new_workspace, settings, expected, data):
    ws = new_workspace(f"ws{next(NUMBERS)}")
    execute_run(ws, settings(teacher="openai:m", batch_files=True, questions_per_syllabus=6))
    while waiting := batch_offline.waiting_files(ws):
        results = data.draw(st.permutations([answered(line) for line in waiting[0][1].read_text().splitlines()]))
        read = batch_offline.read_results(ws, write(ws.folder / "r.jsonl", results))
        launcher.requeue(ws, read.run_id)
        runs.work(ws, read.run_id)
    assert content(ws, teachers=False) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "error", "code", "usage", "status_code", "body"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.long
@checks(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    response=JSON,
    error=JSON,
    status=st.sampled_from([200, 200, 400, 404, 429, 500, "200", None]),
    body=JSON,
    whole=st.booleans(),
)
def test_results_of_any_shape_end_in_a_known_state(new_workspace, settings, response, error, status, body, whole):
    ws = new_workspace(f"any{next(NUMBERS)}")
    execute_run(ws, settings(teacher="openai:m", batch_files=True, questions_per_syllabus=0))
    custom_id = json.loads(batch_offline.waiting_files(ws)[0][1].read_text())["custom_id"]
    result = {"custom_id": custom_id, "response": response if whole else {"status_code": status, "body": body}, "error": error}
    read = batch_offline.read_results(ws, write(ws.folder / "r.jsonl", [result]))
    launcher.requeue(ws, read.run_id)
    run = runs.work(ws, read.run_id)
    assert run.state in ("paused", "finished", "failed") and "Unexpected" not in run.message
    assert number(ws, "SELECT count(*) FROM batch_requests WHERE batch = 1 AND outcome IS NULL") == 0


@given(line=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_lines_of_any_content_are_results_or_not(line):
    assert read_result(line) is None or isinstance(json.loads(line)["custom_id"], str)
