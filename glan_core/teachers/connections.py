"""Connections: saved endpoints of a user (name, URL, model, name of the key variable, headers), and templates of providers.

A connection is named as a teacher with `@NAME`, or `@NAME:MODEL` for another model of the same endpoint. They are stored in
`connections.json` in the user's configuration folder (GLAN_CONFIG_HOME, else XDG_CONFIG_HOME/glan-studio or ~/.config/glan-studio).
Keys are never stored: the connection names the environment variable that holds the key.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from glan_core import access
from glan_core.errors import GlanError
from glan_core.io.atomic import atomic_output
from glan_core.json_text import parse_json
from glan_core.settings import read_settings
from glan_core.teachers.contract import TeacherError
from glan_core.teachers.endpoint_settings import NO_KEY, EndpointSettings, endpoint
from glan_core.teachers.wire_format import OPENAI_URL

FILE = "connections.json"
MARK = "@"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,39}")


class Connection(EndpointSettings):
    """A saved endpoint with a model."""

    name: str = Field(title="Name", description="Name of the connection; teachers refer to it as @NAME.")
    model: str = Field(min_length=1, max_length=200, title="Model", description="Name of the model as the endpoint knows it.")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise TeacherError(
                f"{value[:60]!r} is not a valid name of a connection. Use up to 40 letters, digits, '-', '_' and '.'."
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return endpoint(value) if value else None


@dataclass(frozen=True, slots=True)
class ProviderTemplate:
    """Values of a connection to a common provider or server.

    Attributes:
        title: Name of the provider.
        base_url: Address, with placeholders in capitals where the user's own name belongs.
        model: Example of a model name.
        key_variable: Environment variable of the key, None if the server needs no key.
        note: What to know about it, in a sentence.
        price: '0,0' for a server of the user's own, None for one that bills.
    """

    title: str
    base_url: str
    model: str
    key_variable: str | None = None
    note: str = ""
    price: str | None = None


PROVIDERS = {
    "openai": ProviderTemplate("OpenAI", "https://api.openai.com/v1", "gpt-4o-mini", "OPENAI_API_KEY"),
    "azure": ProviderTemplate(
        "Azure OpenAI", "https://RESOURCE.openai.azure.com?api-version=2024-10-21", "DEPLOYMENT", "AZURE_OPENAI_API_KEY",
        "The model is the name of the deployment; the key is sent in the header api-key.",
    ),
    "openrouter": ProviderTemplate(
        "OpenRouter", "https://openrouter.ai/api/v1", "openai/gpt-oss-120b", "OPENROUTER_API_KEY",
        'Routing is set with an extra field such as {"provider": {"sort": "price"}}.',
    ),
    "vllm": ProviderTemplate(
        "vLLM", "http://localhost:8000/v1", "Qwen/Qwen3-8B", None,
        'Reasoning is turned off with {"chat_template_kwargs": {"enable_thinking": false}}.', "0,0",
    ),
    "ollama": ProviderTemplate(
        "Ollama", "http://localhost:11434/v1", "qwen3:8b", None,
        "Start it with OLLAMA_CONTEXT_LENGTH=16384 or more: longer prompts are cut to the context without an error.", "0,0",
    ),
    "llamacpp": ProviderTemplate(
        "llama.cpp", "http://localhost:8080/v1", "default", None,
        "Start llama-server with --ctx-size 16384 or more, times the number of parallel slots.", "0,0",
    ),
    "lmstudio": ProviderTemplate(
        "LM Studio", "http://localhost:1234/v1", "openai/gpt-oss-20b", None,
        "Load the model with a context length of 16,384 tokens or more; it answers one request at a time.", "0,0",
    ),
    "transformers": ProviderTemplate(
        "transformers serve", "http://localhost:8000/v1", "HuggingFaceTB/SmolLM2-135M-Instruct", None,
        'Loads the model at the first request, and decodes greedily: {"frequency_penalty": 0.2} helps small models out of loops.',
        "0,0",
    ),
}  # fmt: skip


def file_path() -> Path:
    """Return the file of the user's connections."""
    if home := os.environ.get("GLAN_CONFIG_HOME"):
        return Path(home) / FILE
    base = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA")
    return (Path(base) if base else Path.home() / ".config") / "glan-studio" / FILE


def list_connections() -> list[Connection]:
    """Return the saved connections by name.

    Raises:
        TeacherError: If the file cannot be read.
    """
    path = file_path()
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(values, list):
            raise ValueError("it is not a list")
        found = [_read_entry(number, value) for number, value in enumerate(values, start=1)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, GlanError) as error:
        raise TeacherError(f"The connections in {path} cannot be read ({error}). Correct or remove the file.") from None
    return sorted(found, key=lambda connection: connection.name.casefold())


def _read_entry(number: int, value: object) -> Connection:
    """Return one entry of the file; raises ValueError that names it."""
    try:
        return read_settings(Connection, value if isinstance(value, dict) else {})
    except GlanError as error:
        raise ValueError(f"entry {number}, {str(error).rstrip('.')}") from None


def connection_names() -> list[str]:
    """Return the saved connections as '@NAME', for lists of models; none if the file cannot be read."""
    try:
        return [f"{MARK}{connection.name}" for connection in list_connections()]
    except TeacherError:
        return []


def get_connection(name: str) -> Connection:
    """Return a saved connection.

    Raises:
        TeacherError: If it does not exist; the message lists those that do.
    """
    known = list_connections()
    found = next((connection for connection in known if connection.name == name), None)
    if found is None:
        names = ", ".join(f"{MARK}{connection.name}" for connection in known)
        there = f"Saved connections: {names}." if names else "No connection is saved."
        raise TeacherError(
            f"There is no connection {MARK}{name}. {there} Add one with 'glan connections add {name or 'NAME'}'."
        )
    return found


def save_connection(connection: Connection, *, replace: bool = False) -> None:
    """Save a connection.

    Raises:
        TeacherError: If the name is taken and `replace` is False.
    """
    with _locked():
        known = list_connections()
        others = [other for other in known if other.name != connection.name]
        if not replace and len(others) != len(known):
            raise TeacherError(f"A connection {MARK}{connection.name} exists already. Choose another name, or replace it.")
        _write([*others, connection])


def remove_connection(name: str) -> None:
    """Remove a saved connection.

    Raises:
        TeacherError: If it does not exist.
    """
    with _locked():
        get_connection(name)
        _write([connection for connection in list_connections() if connection.name != name])


@contextmanager
def _locked() -> Iterator[None]:
    """Keep other processes from changing the connections within the block, where the system has file locks."""
    access.check_may_change()
    path = file_path().with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise TeacherError(f"The connections cannot be saved in {path.parent}: {error.strerror or error}.") from None
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:
            pass
        yield


def _write(connections: list[Connection]) -> None:
    path = file_path()
    values = [connection.model_dump(mode="json", exclude_defaults=True) for connection in connections]
    text = json.dumps(sorted(values, key=lambda value: value["name"].casefold()), ensure_ascii=False, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, folder=False, mark=os.getpid()) as new:
            new.write_text(f"{text}\n", encoding="utf-8")
    except (OSError, GlanError) as error:
        raise TeacherError(f"The connections cannot be saved: {error}") from None


def resolve(teacher: str) -> dict:
    """Return the settings that `@NAME` or `@NAME:MODEL` stands for: teacher and endpoint values that differ from the defaults.

    Raises:
        TeacherError: If the connection does not exist.
    """
    name, _, model = teacher.removeprefix(MARK).partition(":")
    connection = get_connection(name)
    values = connection.model_dump(exclude_defaults=True, exclude={"name", "model"})
    address = endpoint(connection.base_url)
    if connection.key_variable is None and address != OPENAI_URL:
        values["key_variable"] = NO_KEY  # OPENAI_API_KEY belongs to OpenAI
    return values | {"teacher": f"openai:{model.strip() or connection.model}", "base_url": address}


def with_connection(values: Mapping[str, object]) -> dict:
    """Return settings whose teacher `@NAME` is replaced by the connection; values that are given take precedence."""
    teacher = str(values.get("teacher") or "")
    if not teacher.startswith(MARK):
        return dict(values)
    given = {name: value for name, value in values.items() if value not in (None, {}, "", (), []) and name != "teacher"}
    resolved = resolve(teacher)
    if given.get("base_url") and str(given["base_url"]).rstrip("/") != resolved["base_url"]:
        resolved.pop("replicas", None)  # they serve the model of the connection's own address
    return {**values, **resolved, **given}
