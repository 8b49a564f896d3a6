"""Installation check: required packages, SQLite version, disk space and endpoint."""

import asyncio
import importlib.metadata
import json
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import apsw

from glan_core.errors import GlanError
from glan_core.teachers.http_teacher import endpoint, key_from_environment, proxy_of
from glan_core.teachers.wire_format import OPENAI_URL, redact

PACKAGES = ("streamlit", "openai", "aiohttp", "apsw", "plotly", "networkx", "pandas", "pydantic", "transformers", "torch")
SAFE_SQLITE = (3, 51, 3)  # older versions can corrupt a WAL database with two writing connections
LOW_DISK = 2 * 2**30
ENDPOINT_SECONDS = 10  # for the whole response


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check; `ok` is False for a problem and None for a notice."""

    name: str
    ok: bool | None
    text: str


def run_checks(base_url: str | None = None, folder: Path | None = None) -> Iterator[Check]:
    """Run all checks, the endpoint last because it may take a while."""
    yield Check("Python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()}")
    for package in PACKAGES:
        yield _package(package)
    version = apsw.sqlite_lib_version()
    safe = tuple(map(int, version.split("."))) >= SAFE_SQLITE
    yield Check("SQLite", safe, version if safe else f"{version} is older than 3.51.3 and can corrupt a database; update apsw")
    free = shutil.disk_usage(folder if folder and folder.exists() else Path.cwd()).free
    yield Check("Disk", free > LOW_DISK, f"{free / 2**30:.1f} GiB free")
    yield _endpoint(base_url)


def _package(name: str) -> Check:
    try:
        return Check(name, ok=True, text=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, ok=False, text="not installed; run 'make run' or 'pip install -r requirements.txt'")


def _endpoint(base_url: str | None) -> Check:
    try:
        url = endpoint(base_url)
    except GlanError as error:
        return Check("Endpoint", ok=False, text=str(error))
    key = key_from_environment()
    if url == OPENAI_URL and not key:
        return Check(
            "Endpoint", ok=None, text="no OPENAI_API_KEY and no base URL; the offline teacher 'scripted' needs neither"
        )
    try:
        models = asyncio.run(_listed_models(url, key))
    except (TimeoutError, aiohttp.ClientConnectionError):
        why = "cannot be reached; check that the server is running and the address is right"
        return Check("Endpoint", ok=False, text=f"{url} {why}")
    except (GlanError, aiohttp.ClientError, ValueError) as error:
        return Check("Endpoint", ok=False, text=redact(str(error), key)[:300])
    shown = ", ".join(models[:5]) + (f" and {len(models) - 5} more" if len(models) > 5 else "")
    accepted = ", the key is accepted" if key else ""
    return Check("Endpoint", ok=True, text=f"{url} answers{accepted}; models: {shown or 'none'}")


async def _listed_models(url: str, key: str) -> list[str]:
    """Return the IDs of the models that an endpoint lists.

    Raises:
        GlanError: If the response is an error or not a list of models.
        aiohttp.ClientError: If the connection fails.
        TimeoutError: If the response takes longer than ENDPOINT_SECONDS.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limit = aiohttp.ClientTimeout(total=ENDPOINT_SECONDS)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=limit, proxy=proxy_of(url)) as session,
        session.get(f"{url}/models", allow_redirects=False) as response,
    ):
        if response.status in (401, 403):
            raise GlanError(f"{url} is reachable but rejects the key in OPENAI_API_KEY")
        if 300 <= response.status < 400:
            raise GlanError(f"{url} redirects to another address; use the address that it redirects to")
        raw = await response.read()
    try:
        if response.status == 200:
            return [str(model["id"]) for model in json.loads(raw)["data"]]
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    answered = "" if response.status == 200 else f" (status {response.status})"
    raise GlanError(f"{url} does not return a list of models{answered}; check that the address ends in /v1")
