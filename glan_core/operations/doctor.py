"""A check-up: is everything here that the studio needs, and does the endpoint answer?"""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from glan_core.errors import GlanError
from glan_core.teachers.http_teacher import endpoint, key_from_environment
from glan_core.teachers.wire_format import OPENAI_URL, redact

PACKAGES = ("streamlit", "openai", "aiohttp", "apsw", "plotly", "networkx", "pandas", "pydantic", "transformers", "torch")
SAFE_SQLITE = (3, 51, 3)  # older ones can corrupt a WAL database that two connections write
LOW_DISK = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `ok` False is a fault to mend, None something to know."""

    name: str
    ok: bool | None
    text: str


def examine(base_url: str | None = None, folder: Path | None = None) -> Iterator[Check]:
    """All checks, one after another; the endpoint's last, since it may take a while."""
    yield Check("Python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()}")
    for package in PACKAGES:
        yield _package(package)
    version = apsw.sqlite_lib_version()
    safe = tuple(map(int, version.split("."))) >= SAFE_SQLITE
    yield Check(
        "SQLite", safe, version if safe else f"{version}: older than 3.51.3, which two writers can corrupt; update apsw"
    )
    free = shutil.disk_usage(folder if folder and folder.exists() else Path.cwd()).free
    yield Check("Disk", free > LOW_DISK, f"{free / 2**30:.1f} GiB free")
    yield _endpoint(base_url)


def _package(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed: run 'make run' or 'pip install -r requirements.txt'")


def _endpoint(base_url: str | None) -> Check:
    import openai

    try:
        url = endpoint(base_url)
    except GlanError as error:
        return Check("Endpoint", False, str(error))
    key = key_from_environment()
    if url == OPENAI_URL and not key:
        return Check("Endpoint", None, "no OPENAI_API_KEY and no base URL: the offline teacher 'scripted' needs neither")
    client = openai.OpenAI(api_key=key or "none", base_url=url, max_retries=0, timeout=10)
    try:
        models = [model.id for model in client.models.list()]
    except openai.AuthenticationError:
        return Check("Endpoint", False, f"{url} is reachable, but does not accept the key in OPENAI_API_KEY")
    except openai.APIConnectionError:
        return Check("Endpoint", False, f"{url} cannot be reached: is the server running, and the address right?")
    except (openai.APIError, ValueError, AttributeError, TypeError) as error:
        return Check("Endpoint", False, f"{url} gives no list of models: {redact(str(error), key)[:200]}")
    shown = ", ".join(models[:5]) + (f" and {len(models) - 5} more" if len(models) > 5 else "")
    return Check("Endpoint", True, f"{url} answers{', the key is accepted' if key else ''}; models: {shown or 'none'}")
