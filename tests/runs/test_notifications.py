"""Webhooks: whose address counts, what is sent and when, and servers that refuse, redirect, hang or are not there."""

import json
import stat
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.runs import execute_run

from glan_core import runs
from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.runs import notifications
from glan_core.workspace import Workspace, run_rows


class Hook:
    """An HTTP server that records what it is sent; `statuses` are its answers, the last one for all further requests."""

    def __init__(self, *statuses: int, hang: bool = False) -> None:
        self.received: list[dict] = []
        self.released = threading.Event()
        answers, hook = list(statuses) or [200], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if hang:
                    hook.released.wait(20)
                status = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-path"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Hook":
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def every_run(monkeypatch):
    """Every run counts as long."""
    monkeypatch.setattr(notifications, "LONG_SECONDS", 0.0)


def finished(ws: Workspace, settings, **values):
    return execute_run(ws, settings("music", teacher="scripted", **values))


def test_the_end_of_a_long_run_is_sent_with_its_counts(ws, settings, every_run):
    with Hook() as hook:
        notifications.set_webhook(hook.url)
        run = finished(ws, settings)
    [sent] = hook.received
    assert (sent["workspace"], sent["run"], sent["kind"], sent["state"]) == ("ws", run.id, "generate", "finished")
    assert sent["counts"]["pairs"] == 4 * sent["counts"]["syllabi"] and sent["cost_usd"] == 0 and sent["message"] == run.message
    assert "run 1" in sent["text"] and "finished" in sent["text"] and run.notices == ()


def test_a_failed_run_is_sent_without_keys(ws, settings, every_run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    with Hook() as hook:
        notifications.set_webhook(hook.url)
        with ws.write() as db:
            id = run_rows.add_run(db, "filter", "Filters", {"rules": "nothing"})
        with monkeypatch.context() as patch:
            patch.setattr(
                "glan_core.runs.worker.run_job", lambda *args: (_ for _ in ()).throw(GlanError("refused sk-very-secret-key"))
            )
            run = runs.work(ws, id)
    [sent] = hook.received
    assert run.state == sent["state"] == "failed" and "refused" in sent["message"]
    assert "sk-very-secret-key" not in json.dumps(sent)


def test_short_runs_and_those_of_previews_are_not_sent(ws, settings, tmp_path, monkeypatch):
    with Hook() as hook:
        notifications.set_webhook(hook.url)
        finished(ws, settings)
        monkeypatch.setattr(notifications, "LONG_SECONDS", 0.0)
        inner = Workspace.create(tmp_path / "ws" / "previews" / "music")
        execute_run(inner, {"rules": []}, "filter")
    assert hook.received == []


@pytest.mark.parametrize(
    ("statuses", "requests", "said"),
    [((500, 200), 2, ""), ((503,), 2, "status 503"), ((429, 204), 2, ""), ((404,), 1, "status 404"), ((302,), 1, "status 302")],
)  # fmt: skip
def test_a_request_is_repeated_once_where_that_helps(ws, settings, every_run, statuses, requests, said):
    with Hook(*statuses) as hook:
        notifications.set_webhook(hook.url)
        run = finished(ws, settings)
    assert len(hook.received) == requests and run.state == "finished"
    assert [said in notice for notice in run.notices] == ([True] if said else [])
    assert "secret-path" not in json.dumps(run.notices) and runs.get(ws, run.id).notices == run.notices


def test_a_server_that_hangs_or_is_not_there_does_not_change_the_run(ws, settings, every_run, monkeypatch):
    monkeypatch.setattr(notifications, "TIMEOUT_SECONDS", 0.2)
    with Hook(hang=True) as hook:
        notifications.set_webhook(hook.url)
        started = time.monotonic()
        run = finished(ws, settings)
        assert time.monotonic() - started < 15 and len(hook.received) == 2
    assert run.state == "finished" and "no answer within 0.2 s" in run.notices[0]
    with ws.write() as db:
        run_rows.update_run(db, run.id, notices="[]")
    notifications.notify_end(ws, run.id)  # the server is gone
    [notice] = runs.get(ws, run.id).notices
    assert f"The webhook at {notifications.host_of(hook.url)} did not accept the notification" in notice


def test_settings_that_cannot_be_read_are_a_notice(ws, settings, every_run):
    notifications.settings_path().parent.mkdir(parents=True, exist_ok=True)
    notifications.settings_path().write_text("[")
    run = finished(ws, settings)
    assert run.state == "finished" and "cannot be read" in run.notices[0]


def test_the_most_specific_address_counts_and_is_readable_by_its_user_only(ws):
    notifications.set_webhook("https://everywhere.example/a")
    assert notifications.webhook_of(ws.folder) == ("", "https://everywhere.example/a")
    notifications.set_webhook("https://home.example/b", str(ws.folder.parent))
    notifications.set_webhook("https://own.example/c", str(ws.folder))
    assert notifications.webhook_of(ws.folder)[1] == "https://own.example/c"
    assert notifications.webhook_of(ws.folder.parent / "other")[1] == "https://home.example/b"
    assert notifications.webhook_of(Path("/elsewhere"))[1] == "https://everywhere.example/a"
    assert stat.S_IMODE(notifications.settings_path().stat().st_mode) == 0o600
    assert not list(ws.folder.rglob(notifications.FILE))


@pytest.mark.parametrize(
    "url", ["", "ftp://x.example", "file:///etc/passwd", "javascript:x", "https://", "https://user:pw@x.example", "https://x.example:x/"]
)  # fmt: skip
def test_only_addresses_of_http_without_user_names_are_taken(url):
    with pytest.raises(GlanError):
        notifications.set_webhook(url)
    assert notifications.webhooks() == {}


def test_the_command_sets_shows_tests_and_removes(ws, capsys):
    def run(*words: str) -> tuple[int, str]:
        code = main(["notify", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    assert run("show")[1].startswith("No webhook is set.") and run("test")[0] == 2
    with Hook() as hook:
        assert run("set", hook.url)[0] == 0
        code, said = run("show")
        assert code == 0 and "127.0.0.1" in said and "secret-path" not in said
        assert run("test")[0] == 0 and hook.received[0]["kind"] == "test"
        assert run("set", f"{hook.url}/own", "--dir", str(ws.folder))[0] == 0
        assert run("test", "--dir", str(ws.folder))[0] == 0 and hook.received[1]["workspace"] == "ws"
    assert run("off", "--dir", str(ws.folder))[0] == 0
    code, said = run("test", "--dir", str(ws.folder))
    assert code == 2 and "did not accept" in said
    assert run("off")[0] == 0 and run("off")[0] == 2
    assert run("set", "gopher://x")[0] == 2 and run("set", "https://x.example", "--dir", "nowhere")[0] == 2
