"""Sign-in with an OpenID Connect provider: strangers see nothing, viewers change nothing, and what editors change is logged."""

import json
import re
import urllib.error
import urllib.request

import pytest
from support.browser_driver import WAIT, expect, titled
from support.child_servers import Server, free_port
from support.identity_provider import IdentityProvider

from glan_core.cli.studio import protection
from glan_core.resources import STUDIO
from glan_core.workspace import Workspace, audit_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]
ROLES = 'editor = ["ada@example.org"]\nviewer = ["*@example.org"]'


@pytest.fixture(scope="module")
def provider():
    made = IdentityProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(studio_home, provider):
    """The studio with sign-in, as `glan studio --auth` starts it."""
    port = free_port()
    file = studio_home.parent / "auth.toml"
    file.write_text(provider.settings(f"http://localhost:{port}", ROLES))
    file.chmod(0o600)
    words = ["streamlit", "run", str(STUDIO / "pages/components/shared/asgi_app.py"), "--server.headless=true", f"--server.port={port}",
             "--server.address=127.0.0.1", f"--secrets.files={file}", *protection()]  # fmt: skip
    environment = {"GLAN_HOME": str(studio_home), "GLAN_AUTH": str(file)}
    served = Server(words, "/_stcore/health", studio_home.parent / "sign-in.log", environment, port=port)
    served.url = f"http://localhost:{port}"
    yield served
    served.stop()


def sign_in(page, server, provider, email, **values):
    provider.email, provider.verified = email, values.get("verified", True)
    page.goto(server.url + "/?workspace=demo")
    page.get_by_role("button", name="Sign in").click()


def test_a_stranger_sees_nothing(page, server, provider):
    page.goto(server.url + "/homework?workspace=demo")
    expect(page.get_by_text("Sign in to see this studio.")).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    assert "Homework" not in page.locator("body").inner_text() and "demo" not in page.locator("body").inner_text()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.url}/glan/ended-runs?workspace=demo", timeout=WAIT / 1000)
    assert refused.value.code == 403 and json.load(refused.value)["runs"] == []


@pytest.mark.parametrize(
    ("email", "verified", "said"),
    [
        ("eve@else.net", True, "has no role in this studio"),
        ("ada@example.org", False, "no verified email address"),
    ],
)
def test_an_account_without_a_role_is_told_so(page, server, provider, email, verified, said):
    sign_in(page, server, provider, email, verified=verified)
    expect(page.get_by_text(said)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Sign in to see this studio.")).to_be_visible()


def test_a_viewer_sees_all_and_changes_nothing(page, server, provider):
    sign_in(page, server, provider, "bob@example.org")
    titled(page, "Overview")
    expect(page.get_by_text("read-only", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("^bob@.*example.org$"))).to_be_visible()
    expect(page.get_by_role("button", name="Add discipline")).to_be_disabled()
    page.get_by_role("link", name="Runs").click()
    titled(page, "Runs")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Sign in to see this studio.")).to_be_visible()


def test_what_an_editor_changes_is_logged(page, server, provider, studio_home):
    sign_in(page, server, provider, "ada@example.org")
    titled(page, "Overview")
    expect(page.get_by_text("read-only", exact=True)).to_have_count(0)
    page.goto(server.url + "/homework?workspace=demo")
    titled(page, "Homework")
    page.get_by_role("button", name="Keep").first.click()
    ws = Workspace.open(studio_home / "demo")
    page.goto(server.url + "/workspaces?workspace=demo")
    titled(page, "Workspaces")
    page.get_by_text("Audit log").click()
    expect(page.get_by_role("heading", name="demo", exact=True).first).to_be_visible()
    found = [entry for entry in audit_rows.entries(ws.db) if entry.action.startswith("homework.review")]
    assert [entry.who for entry in found] == ["ada@example.org"]
    ws.close()
