"""Tests for the model server: access, streaming, stopping, crashes, idling and memory release."""

import http.client
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support.chat_models import GREEDY, make_base

from glan_core.errors import GlanError
from glan_core.models import server_client
from glan_core.models.model_specs import ReplyTarget, ResolvedModel, SeededDecodingParams, resolve_model
from glan_core.models.server import RELEASE_SECONDS
from glan_core.models.tuned_model_store import hash_weights
from glan_core.processes import is_running

pytest_plugins = ["support.chat_fixtures"]

CHAT = [{"role": "user", "content": "hello"}]
SCRIPTED = ResolvedModel(spec="scripted", teacher="scripted")
LONG = SeededDecodingParams(temperature=0, max_tokens=4000)


def settings(ws, *specs: str, decoding: SeededDecodingParams = GREEDY, **values):
    panes = [resolve_model(ws, spec) for spec in specs]
    return server_client.create_turn(panes, [CHAT] * len(panes), decoding, **values)


def texts_of(events) -> dict[int, str]:
    texts: dict[int, str] = {}
    for event in events:
        if "text" in event:
            texts[event["pane"]] = texts.get(event["pane"], "") + event["text"]
    return texts


def wait(true, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


# ------------------------------------------------------------------------------------------------------------- access


@pytest.mark.long
def test_nobody_is_answered_without_the_token_and_only_its_user_can_read_it(talking):
    server_client.ensure_running()
    address = json.loads((talking / server_client.ADDRESS).read_text())
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": "Bearer "}):
        for method, path in (
            ("GET", "/status"),
            ("POST", "/turns"),
            ("POST", "/release"),
            ("GET", "/turns/x"),
            ("GET", "/nowhere"),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", address["port"], timeout=20)
            connection.request(method, path, b"{}" if method == "POST" else None, headers)
            response = connection.getresponse()
            assert response.status == 401 and address["token"].encode() not in response.read()
            connection.close()
    assert server_client.status() is not None  # still running
    for name in (server_client.ADDRESS, server_client.LOG):
        assert stat.S_IMODE((talking / name).stat().st_mode) == 0o600
    assert address["token"] not in (talking / server_client.LOG).read_text()


def test_a_runtime_folder_that_others_can_read_is_refused(tmp_path, monkeypatch):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    open_to_all.chmod(0o755)
    monkeypatch.setenv("GLAN_RUNTIME", str(open_to_all))
    with pytest.raises(GlanError, match="accessible to you only"):
        server_client.status()


@pytest.mark.long
def test_two_that_start_it_at_the_same_time_get_the_same_one(talking):
    server_client.release()
    words = "from glan_core.models import server_client; server_client.ensure_running(); print(server_client.status()['pid'])"
    asked = [subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    pids = {child.communicate(timeout=90)[0].strip() for child in asked}
    assert len(pids) == 1 and int(pids.pop()) == server_client.status()["pid"]


# ------------------------------------------------------------------------------------------------------------- replies


@pytest.mark.long
def test_four_panes_answer_at_once_each_with_the_weights_that_it_names(talking, models_ws, chat_base):
    specs = ("base:tuned", "tuned:tuned", "base:whole", "tuned:whole")
    events = list(server_client.stream_turn(settings(models_ws, *specs)))
    texts, ends = texts_of(events), {event["pane"]: event for event in events if "state" in event}
    assert len(set(texts.values())) == 4 and all(end["state"] == "done" for end in ends.values())
    facts = [ends[n]["facts"] for n in range(4)]
    folder = models_ws.folder / "models"
    assert [f["weights_hash"] for f in facts] == [
        hash_weights(chat_base), hash_weights(chat_base), hash_weights(folder / "whole" / "base"), hash_weights(folder / "whole" / "weights")
    ]  # fmt: skip
    assert [f["adapter_hash"] for f in facts] == ["", hash_weights(folder / "tuned" / "weights"), "", ""]
    assert [f["adapter"] for f in facts] == ["off", "on", "none", "none"]
    for f in facts:
        assert f["tokens_out"] == 24 and f["finish"] == "length" and f["tokens_in"] > 5 and f["dtype"] == "float32"
        assert 0 < f["first_token"] <= f["seconds"]
    assert len(server_client.status()["held"]) == 3  # one copy of the base serves itself and its adapter


def test_the_texts_of_two_panes_come_interleaved(talking, models_ws):
    events = [e["pane"] for e in server_client.stream_turn(settings(models_ws, "base:tuned", "tuned:tuned", decoding=LONG.model_copy(
        update={"max_tokens": 300}))) if "text" in e]  # fmt: skip
    turns = sum(a != b for a, b in pairwise(events))
    assert turns > 4  # neither waits for the other's end


def test_a_seed_repeats_an_answer_whoever_is_asked_beside_it(talking, models_ws):
    decoding = SeededDecodingParams(temperature=1.0, max_tokens=24, seed=5)
    alone = texts_of(server_client.stream_turn(settings(models_ws, "tuned:tuned", decoding=decoding)))
    beside = texts_of(
        server_client.stream_turn(settings(models_ws, "base:whole", "base:tuned", "tuned:tuned", decoding=decoding))
    )
    assert beside[2] == alone[0]


@pytest.mark.long
def test_a_pane_that_can_not_answer_says_why_and_the_others_answer(talking, models_ws, tmp_path):
    short = make_base(tmp_path / "short", positions=16)
    panes = [
        SCRIPTED, resolve_model(models_ws, "openai:model@http://127.0.0.1:9/v1"), resolve_model(models_ws, f"local:{tmp_path / 'gone'}"),
        resolve_model(models_ws, f"local:{short}"),
    ]  # fmt: skip
    ends = {
        e["pane"]: e for e in server_client.stream_turn(server_client.create_turn(panes, [CHAT] * 4, GREEDY)) if "state" in e
    }
    assert [ends[n]["state"] for n in range(4)] == ["done", "failed", "failed", "failed"]
    assert "cannot be reached" in ends[1]["message"]
    assert "does not exist" in ends[2]["message"]
    assert "tokens, and the context of the model is 16" in ends[3]["message"]


@pytest.mark.long
def test_a_key_reaches_the_endpoint_and_nothing_else(talking, monkeypatch):
    from contextlib import ExitStack

    from support.child_servers import free_port

    secret, port = "sk-very-secret-0123456789", free_port()
    code = f"from glan_core.teachers.scripted.http_server import run; run(port={port}, api_key={secret!r})"
    with ExitStack() as stack:
        server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        stack.callback(server.wait)
        stack.callback(server.kill)
        server.stdout.readline()
        pane = ResolvedModel(spec="openai:scripted", teacher="openai:scripted", base_url=f"http://127.0.0.1:{port}/v1")
        asked = server_client.create_turn([pane], [CHAT], GREEDY)
        (end,) = (e for e in server_client.stream_turn(asked, "sk-wrong-key-0123456789") if "state" in e)
        assert end["state"] == "failed" and "rejected the API key" in end["message"] and "sk-" not in end["message"]
        (end,) = (e for e in server_client.stream_turn(asked.model_copy(update={"id": "again"}), secret) if "state" in e)
        assert end["state"] == "done" and end["facts"]["tokens_out"] > 0
        pid = server_client.status()["pid"]
    assert secret not in (talking / server_client.LOG).read_text()
    assert secret not in json.dumps(server_client.turn_state("again"))
    if os.path.exists(f"/proc/{pid}/environ"):
        assert b"OPENAI_API_KEY" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_nothing_is_allowed_above_four_panes_and_unknown_settings(talking, models_ws):
    with pytest.raises(ValueError, match="at most 4"):
        server_client.create_turn([SCRIPTED] * 5, [CHAT] * 5, GREEDY)
    with pytest.raises(GlanError, match="is not a model specification"):
        resolve_model(models_ws, "mistral")
    with pytest.raises(GlanError, match="does not exist"):
        resolve_model(models_ws, "tuned:nobody")


# ------------------------------------------------------------------------------------------------------------- shutdown


def test_stopping_keeps_what_was_written(talking, models_ws):
    long = settings(models_ws, "base:tuned", "tuned:tuned", decoding=LONG)
    server_client.start_turn(long)
    wait(lambda: all(pane["text"] for pane in server_client.turn_state(long.id)["panes"]))
    server_client.stop_turn(long.id)
    ended = wait(lambda: (now := server_client.turn_state(long.id))["ended"] and now)
    assert [pane["state"] for pane in ended["panes"]] == ["stopped"] * 2
    assert all(0 < pane["facts"]["tokens_out"] < 4000 and pane["text"] for pane in ended["panes"])


def test_a_reader_that_leaves_stops_the_answer(talking, models_ws):
    long = settings(models_ws, "tuned:whole", decoding=LONG)
    events = server_client.stream_turn(long)
    next(event for event in events if "text" in event)
    events.close()
    ended = wait(lambda: (now := server_client.turn_state(long.id))["ended"] and now)
    assert ended["panes"][0]["state"] == "stopped" and ended["panes"][0]["facts"]["tokens_out"] < 4000


def test_answers_with_the_same_weights_take_turns_and_a_waiting_one_can_be_stopped(talking, models_ws):
    first, second = settings(models_ws, "tuned:tuned", decoding=LONG), settings(models_ws, "base:tuned", decoding=LONG)
    server_client.start_turn(first)
    wait(lambda: server_client.turn_state(first.id)["panes"][0]["text"])
    server_client.start_turn(second)
    wait(lambda: "another reply" in server_client.turn_state(second.id)["panes"][0]["doing"])
    server_client.stop_turn(second.id)
    ended = wait(lambda: (now := server_client.turn_state(second.id))["ended"] and now)
    assert ended["panes"][0]["state"] == "stopped" and not ended["panes"][0]["text"]
    assert not server_client.turn_state(first.id)["ended"]
    server_client.stop_turn(first.id)


@pytest.mark.slow
def test_a_crash_is_a_message_and_the_next_question_starts_it_anew(talking, models_ws):
    events = server_client.stream_turn(settings(models_ws, "tuned:whole", decoding=LONG))
    next(event for event in events if "text" in event)
    pid = server_client.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(server_client.ServerLost, match="The model server exited unexpectedly"):
        list(events)
    wait(lambda: server_client.status() is None)
    assert texts_of(server_client.stream_turn(settings(models_ws, "tuned:whole")))[0]
    assert server_client.status()["pid"] != pid


def test_release_ends_the_process_and_what_it_wrote_is_stopped_in_words(talking, models_ws):
    said: list[dict] = []
    reader = threading.Thread(
        target=lambda: said.extend(server_client.stream_turn(settings(models_ws, "tuned:whole", decoding=LONG)))
    )
    reader.start()
    wait(lambda: (server_client.status() or {}).get("writing"))
    pid = server_client.status()["pid"]
    assert server_client.release()
    assert not is_running(pid)
    reader.join(20)
    assert said[-1]["state"] == "stopped" and "needed the memory" in said[-1]["message"]
    assert server_client.status() is None and not server_client.release()
    assert not (talking / server_client.ADDRESS).exists()


def test_a_reply_that_waits_to_be_stored_delays_no_release(talking, tmp_path):
    kept = ReplyTarget(folder=str(tmp_path / "moved"), turn_id=1, version=0)
    turn = server_client.create_turn([SCRIPTED], [CHAT], GREEDY, kept)
    server_client.start_turn(turn, "")
    wait(lambda: (server_client.turn_state(turn.id) or {}).get("ended"))
    assert server_client.status()["writing"] == 1, "it is tried again"
    start = time.monotonic()
    assert server_client.release()
    assert time.monotonic() - start < RELEASE_SECONDS


@pytest.mark.long
def test_it_ends_by_itself_when_nobody_asks(tmp_path, monkeypatch):
    monkeypatch.setenv("GLAN_RUNTIME", str(tmp_path / "run"))
    monkeypatch.setenv("GLAN_MODEL_IDLE", "1")
    server_client.ensure_running()
    pid = server_client.status()["pid"]
    wait(lambda: not is_running(pid))
    assert server_client.status() is None


def test_a_setting_for_idleness_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("GLAN_MODEL_IDLE", "soon")
    with pytest.raises(GlanError, match="GLAN_MODEL_IDLE must be a number of seconds"):
        server_client.idle_seconds()


@pytest.mark.slow
def test_the_self_test_over_the_wire(talking, models_ws):
    found = server_client.self_test([resolve_model(models_ws, spec) for spec in ("base:tuned", "tuned:tuned", "tuned:whole")])
    assert found["passed"] and len(found["pairs"]) == 3
    with pytest.raises(GlanError, match="Nothing to compare"):
        server_client.self_test([SCRIPTED])


@pytest.mark.long
def test_without_weights_torch_is_never_imported(talking):
    server_client.release()
    list(server_client.stream_turn(server_client.create_turn([SCRIPTED], [CHAT], GREEDY)))
    pid = server_client.status()["pid"]
    if os.path.exists(f"/proc/{pid}/maps"):
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
