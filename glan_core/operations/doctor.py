"""Installation check: required packages, SQLite version, disk space and endpoint."""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from glan_core.errors import GlanError
from glan_core.teachers.connections import MARK, get_connection
from glan_core.teachers.endpoint_check import check_endpoint
from glan_core.teachers.endpoint_errors import redact
from glan_core.teachers.endpoint_settings import EndpointSettings, endpoint, environment_secrets, key_from_environment
from glan_core.teachers.wire_format import OPENAI_URL

PACKAGES = ("streamlit", "openai", "pycurl", "apsw", "plotly", "networkx", "pandas", "pydantic", "transformers", "torch")
SAFE_SQLITE = (3, 51, 3)  # older versions can corrupt a WAL database with two writing connections
LOW_DISK = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check; `ok` is False for a problem and None for a notice."""

    name: str
    ok: bool | None
    text: str


def run_checks(
    base_url: str | None = None, folder: Path | None = None, model: str = "", connection: str = ""
) -> Iterator[Check]:
    """Run all checks, the endpoint last because it may take a while."""
    yield Check("Python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()}")
    for package in PACKAGES:
        yield _package(package)
    version = apsw.sqlite_lib_version()
    safe = tuple(map(int, version.split("."))) >= SAFE_SQLITE
    yield Check("SQLite", safe, version if safe else f"{version} is older than 3.51.3 and can corrupt a database; update apsw")
    free = shutil.disk_usage(folder if folder and folder.exists() else Path.cwd()).free
    yield Check("Disk", free > LOW_DISK, f"{free / 2**30:.1f} GiB free")
    yield _endpoint(base_url, model, connection)


def _package(name: str) -> Check:
    try:
        return Check(name, ok=True, text=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, ok=False, text="not installed; run 'make run' or 'pip install -r requirements.txt'")


def _endpoint(base_url: str | None, model: str, connection: str) -> Check:
    """Check the endpoint that commands would use, with one token of a model."""
    try:
        settings = EndpointSettings(base_url=endpoint(base_url))
        if connection:
            saved = get_connection(connection.removeprefix(MARK))
            model, settings = model or saved.model, saved
        elif settings.base_url == OPENAI_URL and not key_from_environment():
            return Check(
                "Endpoint", ok=None, text="no OPENAI_API_KEY and no base URL; the offline teacher 'scripted' needs neither"
            )
        found = check_endpoint(model, settings)
    except GlanError as error:
        return Check("Endpoint", ok=False, text=redact(str(error), *environment_secrets())[:300])
    return Check("Endpoint", ok=None if found.state == "loading" else found.ok, text=found.text)
