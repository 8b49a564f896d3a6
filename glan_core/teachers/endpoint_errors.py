"""Errors of endpoints: what a response says in the forms of the common servers, and which exception it becomes.

Forms: OpenAI and llama.cpp (`error` object), vLLM (fields at the top), Ollama and TGI (`error` string), Gemini (a list with one
object), FastAPI (`detail`), Mistral (`message` object), Anthropic (`type: error`), Cloudflare (`errors`), HTML pages.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from html import unescape
from time import time

from glan_core.delimited_spans import NextPlaces, replaced, spans
from glan_core.reply_parsing import storable
from glan_core.teachers.contract import TeacherBusy, TeacherError, TeacherFault, TeacherRefusal
from glan_core.teachers.secret_filter import MARK, SecretFilter

# Keys have digits: "key_concepts" and "hf-inference" are words.
SECRET = re.compile(
    r"\b(?i:sk|rk|key|pk|hf)[-_](?=[\w*.-]{0,200}[\d*]|[\w*.-]{200})[\w*.-]{6,}|\b(?i:Bearer)\s+\S+|\bAIza[\w-]{20,}"
    r"|\b(?:gsk|xai|csk|fw|r8|nvapi|pplx|tgp|gh[opsu]|github_pat|glpat)[-_](?=\w{0,20}\d)[\w-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\beyJ[\w-]{10,2000}\.[\w-]{10,2000}\.[\w-]{10,}"
)
SUCCESS = range(200, 300)  # statuses of replies: some gateways send 201 or 203
MAX_RETRY_AFTER = 86_400.0  # seconds
MESSAGE_LENGTH = 300  # characters shown of a message
QUOTA = re.compile(
    r"insufficient.?(?:quota|credits?|balance|funds)|billing_hard_limit|exceeded your current quota|credit balance is too low"
    r"|(?:out of|not enough|more) credits|quota.{0,20}exhausted|payment.required|usage limit reached",
    re.IGNORECASE,
)
LOADING = re.compile(
    r"\b(?:loading|warming up|starting)\b.{0,40}\bmodel|\bmodel\b.{0,40}\b(?:is |still )(?:loading|starting)", re.IGNORECASE
)
FILTERED = re.compile(r"moderat|flagged|content.?(?:filter|policy|management)|safety", re.IGNORECASE)
_AGAIN_IN = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+(?:(\d+)h)?\s*(?:(\d+)m(?!s))?\s*(?:(\d+(?:\.\d+)?)\s*(ms|s)?)?", re.IGNORECASE
)
_TITLE_OPENING, _TAG_OPENING = re.compile(r"<(title|h1)", re.IGNORECASE), re.compile("<")
_HIDDEN = re.compile(r"(script|style)\b", re.IGNORECASE)
_CLOSINGS = {name: re.compile(f"</{name}>", re.IGNORECASE) for name in ("title", "h1", "script", "style")}
QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits", "quota_exceeded_hard")
COMPLAINT = re.compile(
    r"support|permitted|allow|unknown|unrecogni[sz]ed|unexpected|extra (?:fields|inputs)|invalid|cannot|not both|may only|only"
    r"|must|should be|deprecated|compatible|not accept|reject|too (?:large|high|big)|at most|exceed|less than|greater than|range|no longer"
    r"|instead|please use|exclusive|either|default value|remove|(?:is|are)(?:n't| not) (?:possible|available|valid|recogni[sz]ed)|requested",
    re.IGNORECASE,
)
CAMEL_NAMES = {"topP": "top_p", "topK": "top_k", "maxOutputTokens": "max_tokens", "maxTokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class EndpointError:
    """What the body of a response says about an error; fields that it does not have are empty.

    Attributes:
        message: Text for people, at most `MESSAGE_LENGTH` characters.
        code: Code or type, such as 'insufficient_quota'.
        param: Rejected parameter.
        status: HTTP status given in the body, 0 if none.
        retry_after: Requested wait in seconds, None if the body names none.
    """

    message: str = ""
    code: str = ""
    param: str = ""
    status: int = 0
    retry_after: float | None = None


def redact(text: str, *secrets: str) -> str:
    """Replace secrets, anything that looks like a key, and what cannot be stored: endpoints quote keys, and send any characters."""
    return SECRET.sub(MARK, SecretFilter(secrets).text(storable(text)))


def read_error(raw: bytes, *secrets: str) -> EndpointError:
    """Return what a body says about an error, in any of the known forms; plain text and HTML give a message only.

    Args:
        raw: The body.
        secrets: Texts that its message must not have.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return EndpointError(_shown(_plain(raw), secrets))
    if isinstance(body, list) and body and isinstance(body[0], dict):
        body = body[0]
    if not isinstance(body, dict):
        return EndpointError("" if body is None else _shown(str(body), secrets))
    errors = body.get("errors")
    error = body.get("error") or (errors[0] if isinstance(errors, list) and errors else None) or body
    if not isinstance(error, dict):
        return EndpointError(_shown(str(error), secrets), str(body.get("error_type") or ""))
    inner = error.get("inner") or error.get("innererror")
    if isinstance(inner, dict) and not error.get("param") and inner.get("param"):
        error = error | {"param": inner["param"]}
    message, param = _message(error)
    code = (
        error.get("code")
        if isinstance(error.get("code"), str)
        else error.get("status") or error.get("type") or error.get("code")
    )
    numbers = [value for value in (error.get("code"), error.get("status"), error.get("status_code")) if type(value) is int]
    return EndpointError(
        _shown(message, secrets), str(code or "")[:80], str(error.get("param") or param or "")[:80],
        next((number for number in numbers if 400 <= number < 600), 0), _wait_in(error, message),
    )  # fmt: skip


def _shown(message: str, secrets: Iterable[str]) -> str:
    return redact(message, *secrets)[:MESSAGE_LENGTH]


def _message(error: dict) -> tuple[str, str]:
    """Return the message of an error object and the parameter that it names."""
    for name in ("message", "detail", "msg", "error", "faultstring", "title"):
        value = error.get(name)
        if isinstance(value, dict):
            value = value.get("detail") or value.get("message") or value
        if isinstance(value, list):  # FastAPI: one entry per invalid field
            entries = [entry for entry in value if isinstance(entry, dict)]
            fields = [str(entry["loc"][-1]) for entry in entries if isinstance(entry.get("loc"), list) and entry["loc"]]
            texts = [f"{field}: {entry.get('msg', '')}" for field, entry in zip(fields, entries, strict=False)]
            return "; ".join(texts) or str(value), fields[0] if fields else ""
        if value:
            raw = (error.get("metadata") or {}).get("raw") if isinstance(error.get("metadata"), dict) else None
            return f"{value} ({raw})" if isinstance(raw, str) and raw else str(value), ""
    return ("" if not error else json.dumps(error)), ""


def _plain(raw: bytes) -> str:
    """Return the message of a body that is not JSON: the title or the text of a page, or the text itself."""
    text = raw[:20_000].decode("utf-8", "replace")
    if is_html(raw):
        text = _without_tags(_title(text) or text)
    return " ".join(unescape(text).split())


def _title(text: str) -> str:
    """Return the content of the first title or top heading of a page, '' if there is none."""
    places = NextPlaces(text)
    for opened in _TITLE_OPENING.finditer(text):
        begun = places.find(">", opened.end())
        closed = places.find(_CLOSINGS[opened[1].lower()], begun[1]) if begun else None
        if begun and closed:
            return text[begun[1] : closed[0]]
    return ""


def _without_tags(text: str) -> str:
    """Return the text of a page without tags, scripts and styles."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        hidden = _HIDDEN.match(text, found.end())
        closing = places.find(_CLOSINGS[hidden[1].lower()], hidden.end()) if hidden else None
        closing = closing or places.find(">", found.end())
        return closing[1] if closing else None

    return replaced(text, spans(text, _TAG_OPENING, end_of))


def is_html(raw: bytes) -> bool:
    """Whether a body is an HTML page, such as that of a proxy or a login."""
    return re.match(rb"\s*+(?:\xef\xbb\xbf)?\s*+<(?:!doctype\s+html|html|head|body)\b", raw[:400], re.IGNORECASE) is not None


def _wait_in(error: dict, message: str) -> float | None:
    """Return the wait that an error names: Gemini's RetryInfo, or 'try again in 6m0s'."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)s", delay)):
            return min(float(found[1]), MAX_RETRY_AFTER)
    again = _AGAIN_IN.search(message)
    if again is None or not any(again.group(n) for n in (1, 2, 3)):
        return None
    hours, minutes, amount, unit = again.groups()
    seconds = 3600 * float(hours or 0) + 60 * float(minutes or 0) + float(amount or 0) / (1000 if unit == "ms" else 1)
    return min(seconds, MAX_RETRY_AFTER)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the requested wait of a response in seconds, from retry-after-ms or Retry-After (number or date)."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            wait = float(milliseconds) / 1000
        elif value := headers.get("retry-after"):
            wait = float(value) if value.replace(".", "", 1).isdigit() else parsedate_to_datetime(value).timestamp() - time()
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    return None if wait != wait else min(max(wait, 0.0), MAX_RETRY_AFTER)  # float('nan') is accepted above


def error_of(
    status: int, raw: bytes, headers: Mapping[str, str], *, where: str, model: str, key_variable: str = "OPENAI_API_KEY",
    secrets: Iterable[str] = (),
) -> Exception:  # fmt: skip
    """Return the exception for an error response, or for an error in the body of a successful one.

    Args:
        status: HTTP status; for 2xx the status in the body decides, else the error counts as transient.
        raw: The body.
        headers: The headers.
        where: URL of the endpoint.
        model: Name of the model.
        key_variable: Environment variable of the key, named in advice.
        secrets: Texts that must not be shown.

    Returns:
        TeacherError if retrying does not help (401, 402, 403, 404, other 4xx, exhausted quota), TeacherBusy for 429 and for a model
        that is being loaded, TeacherFault for 3xx, 408, 409, 425 and 5xx, TeacherRefusal for errors of a single request (400, 413,
        422, filtered content).
    """
    error = read_error(raw, *secrets)
    shown = error.message
    detail = f" Message: {shown}{'' if shown.endswith(('.', '!', '?')) else '.'}" if shown else ""
    if status in SUCCESS:
        said, said_in_body = f"{where} reports an error in a response with status {status}", not error.status
        status = error.status or (429 if "rate" in error.code.lower() and "limit" in error.code.lower() else 502)
    else:
        said, said_in_body = f"{where} failed with status {status}", False
    wait = header_wait if (header_wait := retry_after(headers)) is not None else error.retry_after
    spent = error.code in QUOTA_CODES or (wait is None and QUOTA.search(f"{error.code} {error.message}"))
    if status == 402 or (status in (403, 429) and spent):
        return TeacherError(
            f"{where} reports that the quota or credit is exhausted: add credit or raise the limit there, then resume the run.{detail}"
        )
    if status == 429:
        return TeacherBusy(f"{where} reports a rate limit (status 429).{detail}", wait)
    if status in (408, 409, 425) or status >= 500:
        if status == 503 and LOADING.search(f"{error.code} {error.message}"):
            return TeacherBusy(f"{where} is loading the model.", wait, loading=True)
        return TeacherFault(f"{said}.{detail}", retry_after=wait, misdirected=said_in_body)
    if 300 <= status < 400:
        target = redact(headers.get("location") or "", *secrets).split("?")[0][:200]
        hint = f" to {target}; if this persists, use that address as base URL" if target else ""
        return TeacherFault(f"{where} redirects{hint}.", retry_after=wait, misdirected=True)
    if status in (400, 413, 422) or (status == 403 and FILTERED.search(error.message)):
        return TeacherRefusal(f"{where} rejected the request (status {status}).{detail}")
    advice = {
        401: f"rejected the API key: set {key_variable} to a valid key",
        403: f"does not allow this key to use {model}",
        404: f"has no model {model}, or the URL is wrong (it should end in /v1)",
    }.get(status, f"rejected the request (status {status})")
    return TeacherError(f"{where} {advice}.{detail}")


def rejected_parameter(status: int, raw: bytes, sent: Iterable[str]) -> str | None:
    """Return the parameter of a request that a response complains about, if the request can be sent without it.

    Args:
        status: HTTP status of the response; complaints have 400 or 422, or an error in the body of a 2xx.
        raw: Its body.
        sent: Names of the parameters that were sent, without model and messages.
    """
    if status not in (*SUCCESS, 400, 422):
        return None
    error, sent = read_error(raw), list(sent)
    if error.param in sent:
        return error.param
    if not COMPLAINT.search(error.message) or FILTERED.search(error.message):
        return None
    text = error.message
    for camel, name in CAMEL_NAMES.items():
        text = text.replace(camel, name)
    found = {name: re.search(rf"(?<![\w.]){re.escape(name).replace('_', '[_ ]')}(?!\w)", text, re.IGNORECASE) for name in sent}
    places = {name: match.start() for name, match in found.items() if match}
    if "max_tokens" in sent and "max_tokens" not in places and "max_completion_tokens" in text:
        return "max_tokens"  # "Please use max_completion_tokens."
    if "top_p" in places and "temperature" in places:
        return "top_p"  # 'temperature and top_p cannot both be specified': the temperature is the one that people set
    return min(places, key=places.__getitem__, default=None)
