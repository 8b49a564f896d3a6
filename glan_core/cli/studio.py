"""`glan studio`: open the studio in a browser."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from glan_core.access import READ_ONLY
from glan_core.errors import GlanError
from glan_core.resources import STUDIO
from glan_core.roles import AUTH_FILE, Roles, read_roles
from glan_core.workspace.workspace import FILE

DEFAULT_HOME = "workspaces"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    studio = commands.add_parser("studio", help="open the studio in a browser")
    studio.add_argument(
        "dir", nargs="?", metavar="DIR",
        help=f"a workspace, or a folder of workspaces (default: $GLAN_HOME, else ./{DEFAULT_HOME})",
    )  # fmt: skip
    studio.add_argument("--port", type=int, metavar="N", help="port of the page server (default: 8501, or the next free one)")
    studio.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    studio.add_argument(
        "--host-name", action="append", default=[], metavar="NAME",
        help="host name in the browser's address, if a proxy leads to the studio under another name than localhost",
    )  # fmt: skip
    studio.add_argument(
        "--read-only", action="store_true", help="show the workspaces: nothing can be changed, started or spent in this studio"
    )
    studio.add_argument(
        "--host", metavar="ADDRESS", default="localhost",
        help="address to listen on; others than this machine's own need --auth (default: %(default)s)",
    )  # fmt: skip
    studio.add_argument("--auth", metavar="FILE", help="TOML file with the settings of the sign-in and the roles of users")
    studio.set_defaults(command=_studio)


def _studio(args: argparse.Namespace) -> int:
    if importlib.util.find_spec("streamlit") is None:
        raise GlanError("The studio needs streamlit. Install it with: pip install streamlit")
    command = [sys.executable, "-m", "streamlit", "run", str(STUDIO / "pages/components/shared/asgi_app.py")]
    command += ["--server.port", str(args.port)] if args.port is not None else []
    command += ["--server.headless", "true"] if args.no_browser else []
    names = args.host_name
    environment = studio_environment(args.dir) | ({READ_ONLY: "1"} if args.read_only else {})
    if args.auth:
        file = Path(args.auth).expanduser().absolute()
        names = [*args.host_name, check_sign_in(file).host]
        command += ["--secrets.files", str(file)]
        environment |= {AUTH_FILE: str(file)}
    elif args.host not in LOCAL_HOSTS:
        raise GlanError(
            f"Listening on {args.host} would let everybody in the network spend your money. Add the sign-in with --auth FILE "
            "(docs/start/sharing.md)."
        )
    command += ["--server.address", args.host, *protection(names)]
    sys.stdout.flush()
    os.execve(sys.executable, command, os.environ | environment)
    raise AssertionError("not reached")


def check_sign_in(file: Path) -> Roles:
    """Check the settings of the sign-in, and that its library is installed; return the roles.

    Raises:
        GlanError: If a setting is missing or wrong, or Authlib is not installed.
    """
    roles = read_roles(file)
    if importlib.util.find_spec("authlib") is None:
        raise GlanError("The sign-in needs Authlib. Install it with: pip install 'glan-studio[auth]'")
    return roles


def protection(host_names: Sequence[str] = ()) -> list[str]:
    """Options of `streamlit run` that refuse pages of other origins, and host names that are not the studio's own.

    Args:
        host_names: Names under which a proxy leads to the studio, besides those of this machine.
    """
    hosts = [word for name in (*LOCAL_HOSTS, *host_names) for word in ("--server.allowedHosts", name)]
    return [*hosts, "--server.enableCORS", "true", "--server.enableXsrfProtection", "true"]


def studio_environment(folder: str | None) -> dict[str, str]:
    """Environment variables that tell the pages where the workspaces are, and which one to open first.

    Raises:
        GlanError: If the folder does not exist.
    """
    if folder is None:
        return {} if os.environ.get("GLAN_HOME") else {"GLAN_HOME": str(Path(DEFAULT_HOME).absolute())}
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise GlanError(f"{path} does not exist. Create a workspace with 'glan init {folder}'.")
    if (path / FILE).exists():
        return {"GLAN_HOME": str(path.parent), "GLAN_WORKSPACE": path.name}
    return {"GLAN_HOME": str(path)}
