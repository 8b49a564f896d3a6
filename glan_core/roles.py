"""Roles of a studio with sign-in: who may see it, and who may change, start and spend.

The file is TOML. `[auth]` is Streamlit's (redirect_uri, cookie_secret, client_id, client_secret, server_metadata_url of an OpenID
Connect provider); `[roles]` lists email addresses, or patterns such as '*@example.org':

    [roles]
    editor = ["ada@example.org"]
    viewer = ["*@example.org"]
    unverified = false        # true for providers that never state email_verified and let nobody choose an address
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from glan_core.errors import GlanError

AUTH_FILE = "GLAN_AUTH"  # environment variable with the path of the file
EDITOR, VIEWER = "editor", "viewer"
Role = Literal["editor", "viewer"]
NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
SHORTEST_SECRET = 32  # characters


@dataclass(frozen=True, slots=True)
class Roles:
    """Email addresses and patterns by role, and the host name at which the studio is reached (`redirect_uri`)."""

    host: str = ""
    unverified: bool = False  # whether addresses count that the provider does not call verified
    editor: tuple[str, ...] = ()
    viewer: tuple[str, ...] = ()

    def role_of(self, email: str) -> Role | None:
        """Return the role of a user, the higher one if both apply; None if neither does."""
        address = email.strip()
        if not address.isascii() or not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
            return None
        for role, patterns in ((EDITOR, self.editor), (VIEWER, self.viewer)):
            if any(_matches(address.lower(), pattern) for pattern in patterns):
                return role  # type: ignore[return-value]
        return None


def _matches(address: str, pattern: str) -> bool:
    """Return whether an address fits a pattern, in which '*' stands for any characters."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), address) is not None


def read_roles(path: Path) -> Roles:
    """Read and check a file of sign-in settings.

    Raises:
        GlanError: If it cannot be read, lacks a setting, others can read it, or it gives nobody a role. No message quotes a value.
    """
    try:
        mode = path.stat().st_mode
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GlanError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise GlanError(f"{path} is not valid TOML. docs/start/sharing.md has an example.") from None
    if mode & 0o077:
        raise GlanError(f"{path} holds secrets and can be read by others. Run: chmod 600 {path}")
    auth, roles = values.get("auth"), values.get("roles")
    if not isinstance(auth, dict) or not isinstance(roles, dict):
        raise GlanError(f"{path} needs the sections [auth] and [roles].")
    if missing := [name for name in NEEDED if not (isinstance(auth.get(name), str) and auth[name].strip())]:
        raise GlanError(f"{path} lacks {', '.join(missing)} in [auth].")
    if len(auth["cookie_secret"]) < SHORTEST_SECRET:
        raise GlanError(f"The cookie_secret of {path} is shorter than {SHORTEST_SECRET} characters. Use a random one.")
    if unknown := [name for name in roles if name not in (EDITOR, VIEWER, "unverified")]:
        raise GlanError(f"{path} has the unknown role {unknown[0]!r}. The roles are {EDITOR} and {VIEWER}.")
    lists = {name: _patterns(path, name, roles.get(name, [])) for name in (EDITOR, VIEWER)}
    if not lists[EDITOR] and not lists[VIEWER]:
        raise GlanError(f"{path} gives nobody a role. List email addresses in [roles].")
    if not isinstance(unverified := roles.get("unverified", False), bool):
        raise GlanError(f"unverified in [roles] of {path} is neither true nor false.")
    return Roles(unverified=unverified, host=urlsplit(auth["redirect_uri"]).hostname or "", **lists)


def _patterns(path: Path, role: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) and "@" in value for value in values):
        raise GlanError(f"{role} in [roles] of {path} is not a list of email addresses or patterns such as '*@example.org'.")
    return tuple(value.strip().lower() for value in values)
