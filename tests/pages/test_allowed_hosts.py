"""The page server refuses requests and websockets of strangers: DNS rebinding, and pages of other origins."""

import asyncio
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from starlette.responses import PlainTextResponse
from support.runs import wait_for
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from glan_core import access
from glan_core.cli.studio import protection
from glan_core.resources import STUDIO
from pages.components.shared.asgi_app import AllowedHosts

NAME = "studio.example.org"


def health(port: int, host: str | None = None) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_stcore/health", headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.fixture(scope="module", params=["default", "named"])
def server(request, tmp_path_factory):
    """The page server as `streamlit run` (the settings file) or `glan studio --host-name` starts it; its port and own name."""
    folder = tmp_path_factory.mktemp("hosts")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    words = [] if request.param == "default" else protection([NAME])
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(STUDIO / "pages/components/shared/asgi_app.py"), "--server.headless=true",
             f"--server.port={port}", "--server.address=127.0.0.1", *words],
            cwd=STUDIO, env={**os.environ, "GLAN_HOME": str(folder)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(lambda: child.poll() is not None or health(port), "the page server")
        assert child.poll() is None, (folder / "log").read_text()
        yield port, request.param == "named"
    finally:
        child.kill()
        child.wait(20)


def opened(port: int, host: str, origin: str | None) -> bool:
    """Open the websocket of the studio with a Host and an Origin; return whether it was accepted."""
    sent = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        with connect(f"ws://{host}/_stcore/stream", sock=sent, origin=origin, subprotocols=["streamlit"]):
            return True
    except InvalidStatus as error:
        assert error.response.status_code == 403
        return False


@pytest.mark.long
def test_a_websocket_of_a_stranger_is_refused(server):
    port, named = server
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
        assert opened(port, host, f"http://{host}") and health(port, host) == 200
        assert not opened(port, host, "http://attacker.example"), "a page of another origin"
        for other in (
            f"localhost:{port + 1}",
            "localhost",
            f"127.0.0.1:{port - 1}",
            "127.0.0.1",
            "0.0.0.0:80",
            f"{host}.attacker.example",
        ):
            assert not opened(port, host, f"http://{other}"), "a page of another server of this machine"
        assert opened(port, host, None), "a program"
    for host in (
        f"attacker.example:{port}",
        "attacker.example",
        f"localhost.attacker.example:{port}",
        f"127.0.0.1.nip.io:{port}",
    ):
        assert not opened(port, host, f"http://{host}"), "a name that was made to lead here"
        assert not opened(port, host, None)
        assert health(port, host) == 421
    assert opened(port, NAME, f"https://{NAME}") is named
    assert health(port, NAME) == (200 if named else 421)


def test_pages_of_other_origins_cannot_show_the_studio_in_a_frame(server):
    port, _ = server
    for path in ("/", "/overview", "/no-such-page", "/_stcore/health", "/glan/accessibility.js"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            assert response.headers.get_all("Content-Security-Policy") == ["frame-ancestors 'self'"], path


@pytest.mark.parametrize(("read_only", "method", "path", "status"), [
    (True, "PUT", "/_stcore/upload_file/session/file", 403), (True, "GET", "/_stcore/health", 200),
    (False, "PUT", "/_stcore/upload_file/session/file", 200),
])  # fmt: skip
def test_a_read_only_studio_takes_no_uploads(monkeypatch, read_only, method, path, status):
    if read_only:
        monkeypatch.setenv(access.READ_ONLY, "1")
    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", b"127.0.0.1:8501")]}
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(AllowedHosts(PlainTextResponse("taken"))(scope, None, send))
    assert sent[0]["status"] == status and (b"content-security-policy", b"frame-ancestors 'self'") in sent[0]["headers"]
