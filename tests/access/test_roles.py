"""Who may do what in a studio with sign-in: roles, the settings file, and the audit log."""

import os

import pytest

from glan_core import access, runs
from glan_core.access import Visitor
from glan_core.cli import main, studio
from glan_core.errors import GlanError
from glan_core.roles import Roles, read_roles
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, audit_rows, schema, taxonomy_rows

SETTINGS = """
[auth]
redirect_uri = "https://studio.example.org/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "glan"
client_secret = "hidden-value"
server_metadata_url = "https://id.example.org/.well-known/openid-configuration"

[roles]
editor = ["Ada@Example.org"]
viewer = ["*@example.org", "bob@else.net"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "auth.toml"
    path.write_text(SETTINGS)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("email", "role"),
    [("ada@example.org", "editor"), ("ADA@EXAMPLE.ORG ", "editor"), ("eve@example.org", "viewer"), ("bob@else.net", "viewer"),
     ("ada@example.org.evil.net", None), ("eve@sub.example.org", None), ("evil@x.net@example.org", None), ("", None), ("ada", None),
     ("bob@elseXnet", None), ("eve@example.org\n", "viewer"), ("@example.org", None), ("\u212aim@example.org", None),
     ("ada @example.org", None)],
)  # fmt: skip
def test_a_role_belongs_to_an_address(file, email, role):
    roles = read_roles(file)
    assert roles.role_of(email) == role and roles.host == "studio.example.org"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [('client_id = "glan"\n', "", "lacks client_id"), ("0123456789abcdef0123456789abcdef", "short", "shorter than 32"),
     ("[roles]", "[rolls]", r"needs the sections"), ("viewer", "owner", "unknown role 'owner'"), ("*@example.org", "everybody", "viewer in"),
     ("[auth]", "[auth", "not valid TOML"), ('editor = ["Ada@Example.org"]\nviewer = ["*@example.org", "bob@else.net"]', "", "nobody a role")],
)  # fmt: skip
def test_a_wrong_file_is_one_sentence_without_its_secrets(file, capsys, old, new, said):
    file.write_text(SETTINGS.replace(old, new))
    assert main(["studio", str(file.parent), "--host", "0.0.0.0", "--auth", str(file)]) == 2
    err = capsys.readouterr().err
    assert said in err and "hidden" not in err and 'short"' not in err and err.count("\n") == 1


def test_a_file_that_others_can_read_is_refused(file):
    file.chmod(0o640)
    with pytest.raises(GlanError, match="chmod 600"):
        read_roles(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.example.org", ""])
def test_other_addresses_are_refused_without_sign_in(tmp_path, capsys, host, monkeypatch):
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started"))
    assert main(["studio", str(tmp_path), "--host", host]) == 2
    assert "Add the sign-in" in capsys.readouterr().err


def test_the_sign_in_reaches_the_page_server(file, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execve", lambda *words: started.append(words))
    monkeypatch.setattr(studio.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(AssertionError):
        main(["studio", str(tmp_path), "--host", "0.0.0.0", "--auth", str(file), "--read-only"])
    (_, command, environment), *_ = started
    words = " ".join(command)
    assert "--server.address 0.0.0.0" in words and f"--secrets.files {file}" in words
    assert "--server.allowedHosts studio.example.org" in words and "--server.enableXsrfProtection true" in words
    assert environment["GLAN_AUTH"] == str(file) and environment["GLAN_READ_ONLY"] == "1" and "hidden-value" not in words


@pytest.fixture
def signed_in():
    def as_user(name: str, refusal: str | None = None) -> None:
        access.decide_by(lambda: Visitor(name, refusal))

    yield as_user
    access.decide_by(None)


def test_every_change_of_a_signed_in_user_is_logged(tmp_path, signed_in, monkeypatch):
    ws = Workspace.create(tmp_path / "ws")
    tree_editing.import_nodes(ws, [], "me")
    assert audit_rows.entries(ws.db) == [], "without sign-in nothing is logged"
    signed_in("ada@example.org")
    made = tree_editing.add(ws, "Chemistry", None, tree_editing.default_user(), kind="field")
    run = runs.submit(ws, "map", "Map of all", {})
    runs.cancel(ws, run)
    entries = audit_rows.entries(ws.db)
    assert {entry.who for entry in entries} == {"ada@example.org"}
    assert [(entry.action, entry.detail) for entry in entries] == [
        ("runs.launcher.cancel", f"run {run}"), ("runs.launcher.submit", "Map of all"), ("taxonomy.tree_editing.add", ""),
    ]  # fmt: skip
    assert taxonomy_rows.events(ws.db)[0].who == "ada@example.org" and made


def test_a_change_that_fails_is_not_logged(tmp_path, signed_in):
    ws = Workspace.create(tmp_path / "ws")
    signed_in("ada@example.org")
    with pytest.raises(ZeroDivisionError), ws.write():
        raise ZeroDivisionError
    signed_in("bob@else.net", "You may only look.")
    with pytest.raises(GlanError, match="only look"), ws.write():
        pass
    assert audit_rows.entries(ws.db) == [] and schema.MIGRATIONS


def test_roles_without_patterns_admit_nobody():
    assert Roles().role_of("ada@example.org") is None


def test_patterns_know_no_sign_but_the_star():
    roles = Roles(editor=("ada[1]@example.org", "b?b@example.org"), viewer=("*@lab.org",))
    assert [roles.role_of(email) for email in ("ada1@example.org", "bob@example.org", "ada[1]@example.org", "x@lab.org")] == [
        None, None, "editor", "viewer",
    ]  # fmt: skip
