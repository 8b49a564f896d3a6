"""Settings of an OpenAI-compatible endpoint: address, key variable, headers, extra fields and timeouts."""

import ipaddress
import json
import os
import re
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, JsonValue, field_validator

from glan_core.settings import Settings
from glan_core.teachers.contract import TeacherError
from glan_core.teachers.endpoint_errors import SECRET, is_secret, redact
from glan_core.teachers.prices import PriceText
from glan_core.teachers.wire_format import OPENAI_URL

KEY_VARIABLE = "OPENAI_API_KEY"
CHAT_PATH = "/chat/completions"
FIXED_FIELDS = ("model", "messages", "stream", "n")  # of a request body: the studio depends on them
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<plain>[A-Za-z_]\w*))")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CREDENTIAL_HEADER = re.compile(r"auth|api-?key|token|secret|password|cookie|credential", re.IGNORECASE)
_CREDENTIAL_FIELD = re.compile(r"(?:api_?key|auth|token|secret|password|credentials?)\Z", re.IGNORECASE)
MAX_REPLICAS = 64
NO_KEY = "none"  # key variable of an endpoint that gets no key


class EndpointSettings(Settings):
    """How an OpenAI-compatible endpoint is called. Keys are never part of it, only the name of their environment variable."""

    base_url: str | None = Field(
        None, title="Base URL",
        description="Address of an OpenAI-compatible endpoint (default: OPENAI_BASE_URL, or else OpenAI). An Azure address has "
        "?api-version=… at its end.",
        json_schema_extra={"metavar": "URL"},
    )  # fmt: skip
    replicas: tuple[str, ...] = Field(
        (), max_length=MAX_REPLICAS, title="Replicas",
        description="Base URLs of further endpoints that serve the same model, separated by commas; a run distributes its calls over all. "
        "A replica on the host of the base URL gets the same key and headers. Another one gets none, unless the variable of its key follows "
        "its URL as in https://host/v1#NAME.",
        json_schema_extra={"metavar": "URL,URL"},
    )  # fmt: skip
    key_variable: str | None = Field(
        None, title="Key variable",
        description="Environment variable that holds the API key (default: OPENAI_API_KEY); none sends no key.",
        json_schema_extra={"metavar": "NAME"},
    )  # fmt: skip
    headers: dict[str, str] = Field(
        default_factory=dict, title="Headers",
        description="Additional HTTP headers as a JSON object; a value such as $NAME is read from the environment.",
        json_schema_extra={"metavar": "JSON"},
    )  # fmt: skip
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict, title="Extra fields",
        description='Further fields of the request body as a JSON object, such as {"reasoning_effort": "low"}.',
        json_schema_extra={"metavar": "JSON"},
    )  # fmt: skip
    idle_timeout: float = Field(
        300.0, gt=0, le=86_400, title="Idle timeout",
        description="Longest time without any data of a reply. After the first such timeout, replies are streamed, so that it applies "
        "between tokens.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip
    total_timeout: float | None = Field(
        3600.0, gt=0, le=604_800, title="Total timeout", description="Longest time for a whole reply; none for no limit.",
        json_schema_extra={"unit": "seconds"},
    )  # fmt: skip

    price: PriceText | None = Field(
        None, title="Price",
        description="Prices of prompt and completion tokens (default: those of the price table); 0,0 for a free endpoint.",
        json_schema_extra={"metavar": "IN,OUT", "unit": "USD per million tokens"},
    )  # fmt: skip

    @field_validator("replicas", mode="before")
    @classmethod
    def _replica_urls(cls, value: object) -> object:
        return () if value is None else check_replicas(value)

    @field_validator("key_variable")
    @classmethod
    def _variable_name(cls, value: str | None) -> str | None:
        return check_key_variable(value) if value else None

    @field_validator("headers", mode="before")
    @classmethod
    def _header_names(cls, value: object) -> object:
        return check_headers(_json_object(value, "Headers"))

    @field_validator("extra_body", mode="before")
    @classmethod
    def _body_fields(cls, value: object) -> object:
        return check_extra_body(_json_object(value, "Extra fields"))


def _json_object(value: object, what: str) -> dict:
    """Return a JSON object, which may be given as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError):
            raise TeacherError(f'{what} are not valid JSON. Use an object such as {{"name": "value"}}.') from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TeacherError(f'{what} are not a JSON object. Use an object such as {{"name": "value"}}.')
    return value


def check_key_variable(name: str) -> str:
    """Return the name of an environment variable.

    Raises:
        TeacherError: If it is not a valid name, for example because a key was pasted.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or (SECRET.search(name) and name not in os.environ):
        raise TeacherError(
            "The key variable is not the name of an environment variable. Give a name such as OPENAI_API_KEY, not the key itself."
        )
    return name


def check_headers(headers: dict) -> dict[str, str]:
    """Return valid headers.

    Raises:
        TeacherError: If a name or value is not valid, or a value is a credential.
    """
    for name, value in headers.items():
        if not isinstance(value, str) or not _HEADER_NAME.fullmatch(str(name)) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise TeacherError(f"The header {str(name)[:60]!r} is not valid. Use a name and a text value without line breaks.")
        if (_CREDENTIAL_HEADER.search(name) or SECRET.search(value)) and not _VARIABLE.search(value):
            raise TeacherError(
                f"The header {name} contains a credential, which would be stored. Put it into an environment variable and write "
                f"the value as $NAME, or use the key variable."
            )
    return headers


def check_extra_body(fields: dict) -> dict:
    """Return valid extra fields of a request body.

    Raises:
        TeacherError: If a field is one that the studio sets itself, or a value looks like a key.
    """
    for name in fields:
        if name in FIXED_FIELDS:
            raise TeacherError(f"The extra field {name!r} is set by the studio. Remove it.")
    if SECRET.search(json.dumps(fields, default=str)) or _has_credential(fields):
        raise TeacherError(
            "The extra fields contain what looks like a key, which would be stored. Use a header with $NAME instead."
        )
    return fields


def _has_credential(value: object) -> bool:
    """Whether a text in nested fields is named like a credential."""
    if isinstance(value, list):
        return any(map(_has_credential, value))
    if not isinstance(value, dict):
        return False
    return any(
        (isinstance(inner, str) and _CREDENTIAL_FIELD.search(str(name))) or _has_credential(inner)
        for name, inner in value.items()
    )


def key_from_environment(variable: str | None = None) -> str:
    """Return the API key in an environment variable, or '' if it is not set (vLLM and Ollama need none); 'none' is no variable."""
    if variable == NO_KEY:
        return ""
    return os.environ.get(variable or KEY_VARIABLE, "").strip()


def environment_secrets() -> tuple[str, ...]:
    """Return the values of all environment variables that are named like keys; texts that are stored must not contain them."""
    named = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
    return tuple(value.strip() for name, value in os.environ.items() if named.search(name) and is_secret(value.strip()))


def header_values(headers: dict[str, str]) -> dict[str, str]:
    """Return headers with the values of environment variables.

    Raises:
        TeacherError: If a variable is not set.
    """

    def value_of(found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"]
        if name not in os.environ:
            raise TeacherError(f"The environment variable {name} of a header is not set. Set it, then start again.")
        return os.environ[name].strip()

    return {name: _VARIABLE.sub(value_of, value) for name, value in headers.items()}


def header_variables(headers: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that headers name, with their values; those that are not set are left out."""
    names = [found["braced"] or found["plain"] for value in headers.values() for found in _VARIABLE.finditer(value)]
    return {name: os.environ[name] for name in names if name in os.environ}


def header_secrets(headers: dict[str, str]) -> list[str]:
    """Return the values of the environment variables in headers."""
    return [value for value in map(str.strip, header_variables(headers).values()) if is_secret(value)]


def endpoint(base_url: str | None) -> str:
    """Return the endpoint URL: `base_url`, OPENAI_BASE_URL or OpenAI's, without the path of a method.

    Raises:
        TeacherError: If the URL is not valid.
    """
    url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).strip()
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok = False
    if not port_ok or parts.scheme not in ("http", "https") or not parts.hostname:
        raise TeacherError(f"{redact(url)!r} is not a valid URL. Use a URL such as http://localhost:8000/v1.")
    query = parse_qs(parts.query)
    if SECRET.search(parts.path):
        raise TeacherError("The URL contains what looks like a key, which would be stored. Use a header with $NAME instead.")
    if parts.username or parts.password or (parts.query and set(query) != {"api-version"}):
        raise TeacherError(
            f"The URL contains a user name, password or query. Set the key in {KEY_VARIABLE} instead (only ?api-version=… of Azure "
            "may follow the address)."
        )
    path = parts.path.rstrip("/").removesuffix(CHAT_PATH).rstrip("/")
    version = f"?api-version={query['api-version'][0]}" if query else ""
    return f"{parts.scheme}://{parts.netloc}{path}{version}"


def check_replicas(value: object) -> object:
    """Return the URLs of replicas in one form, each once; a text has them separated by commas.

    Raises:
        TeacherError: If a URL, or the name of a key variable after it, is not valid.
    """
    if isinstance(value, str):
        value = tuple(part for part in map(str.strip, value.split(",")) if part)
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        return value  # refused by the type of the field
    return tuple(dict.fromkeys("#".join(filter(None, split_replica(part))) for part in value))


def split_replica(text: str) -> tuple[str, str]:
    """Return the endpoint URL of a replica and its own key variable, '' if none follows the URL after '#'.

    Raises:
        TeacherError: If the URL or the name is not valid.
    """
    url, _, variable = text.strip().partition("#")
    if not url:
        raise TeacherError("A replica has no URL. Use a URL such as http://localhost:8001/v1.")
    return endpoint(url), check_key_variable(variable) if variable else ""


def same_host(url: str, base_url: str) -> bool:
    """Whether what is sent to `base_url` in confidence may be sent to `url`: the same host, and not without the base's encryption."""
    to, base = urlsplit(url), urlsplit(base_url)
    return to.hostname == base.hostname and (to.scheme == base.scheme or to.scheme == "https")


def chat_url(url: str, model: str, method: str = CHAT_PATH) -> str:
    """Return the address of a method below an endpoint URL; Azure's classic addresses name the deployment and the version."""
    base, _, query = url.partition("?")
    if query and "/deployments/" not in base and not base.endswith("/v1"):
        base = f"{base.removesuffix('/openai')}/openai/deployments/{model}"
    return f"{base}{method}" + (f"?{query}" if query else "")


def is_azure(url: str) -> bool:
    """Whether an endpoint expects the key in the header `api-key`."""
    return "?api-version=" in url or (urlsplit(url).hostname or "").endswith((".azure.com", ".azure.us", ".azure.cn"))


def is_local(url: str) -> bool:
    """Whether an endpoint runs on this machine or in its network, where servers often answer one request at a time."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("localhost", "host.docker.internal") or host.endswith((".local", ".localhost", ".lan"))
    return address.is_private or address.is_loopback or address.is_unspecified
