"""Parsing of teacher replies: lenient about form, strict about content."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from glan_core.untrusted import clean

Row = TypeVar("Row", bound=BaseModel)

# Finish reasons of complete replies; '' for endpoints that report none.
COMPLETE = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "")
TRUNCATED = ("length", "max_tokens")
WITHHELD = ("content_filter", "refusal")
# A refusal names what it refuses ("help with that", "this request"); "I cannot create something from nothing is the claim of
# Lucretius" is an answer. Only a reply that says it comes from an AI may omit the object.
REFUSAL = re.compile(
    r"""
    (?:(?:i'm|i\sam)\s(?:\w+\s)?sorry\b\W*(?:but\s)? | (?:sorry|unfortunately|my\sapologies|i\sapologi[sz]e)\b\W*(?:but\s)?)?
    (?:as\san\sai(?:\slanguage)?(?:\smodel|\sassistant)?,?\s i\s
        (?:can\s?not|can't|won't|will\snot|am\s(?:not\sable|unable)\sto|(?:do\snot|don't)\shave\sthe\sability)\b
      | (?:i\s(?:can\s?not|can't|won't|will\snot|am\s(?:not\sable|unable)\sto)|i'm\s(?:not\sable|unable)\sto)\s(?:\w+ly\s)?
        (?:(?:help|assist)\s(?:you\s)?(?:with|in)\s
            (?:that|this|it|your|the|such|any|creating|writing|making|generating|providing|answering)\b
          | (?:help|assist)(?:\syou)?\s*(?:[.!]|$)
          | comply(?:\swith\b|\s*[.,!]|$)
          | (?:provide|give|offer|answer|fulfill?|do|create|write|generate|produce|complete|share|discuss)
            \s(?:you\s)?(?:with\s)?
            (?:(?:this|that|it)(?=\s*(?:[.,;:!]|$)|\s(?:because|since|as|due)\b)
              | (?:this|that|your|the|such|these|those)\s(?:(?:kind|type|sort)s?\sof\s)?
                (?:request|question|prompt|task|content|information|instructions|advice|answer|response|material)s?\b
              | an?\s(?:answer|response|reply|solution)(?=\s*[.!]|\s(?:to|for)\s(?:this|that|your|the\srequest)\b)
              | (?:any\s)?(?:content|instructions|information|assistance|advice|guidance)
                \s(?:that|which|on|about|for|to|with)\b)))
    """,
    re.IGNORECASE | re.VERBOSE,
)
_EMPTY = re.compile(r"\{\s*\}")  # the only object that begins with neither a quotation mark nor a name
_SURROGATE = re.compile("[\ud800-\udfff]")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(value: object) -> object:
    """Replace each run of line breaks and tabs by one space, and remove what `clean` removes; return non-strings unchanged.

    Lone surrogates are kept, so that a name with half a character is malformed rather than shortened.
    """
    if not isinstance(value, str):
        return value
    return CONTROL.sub(" ", value if _SURROGATE.search(value) else clean(value))


Line = Annotated[str, BeforeValidator(one_line)]
"""Single-line text such as a name, which appears in lists and on one line of a prompt."""


class MalformedReply(ValueError):
    """A reply that cannot be stored as data.

    Attributes:
        cause: The call outcome to record, such as 'cut', 'refused', 'empty' or 'malformed'.
        repairable: Whether a repair turn makes sense: a wrong format can be repaired, a refusal cannot.
    """

    def __init__(self, cause: str, problem: str, *, repairable: bool = False) -> None:
        super().__init__(problem)
        self.cause = cause
        self.repairable = repairable


def storable(text: str) -> str:
    """Join the halves of characters; replace lone ones by question marks and NULs by replacement characters, as neither can be stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = (
            text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass").encode("utf-8", "replace").decode()
        )
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def check_complete(text: str, finish_reason: str | None) -> str:
    """Return a complete reply, stripped of surrounding white space.

    Args:
        text: The reply.
        finish_reason: The finish reason that the endpoint reported, if any.

    Raises:
        Malformed: If the reply was truncated, withheld, empty or a refusal.
    """
    finish = (finish_reason or "").lower()
    if finish in TRUNCATED:
        raise MalformedReply("cut", "the reply was truncated at the token limit: raise max_tokens for this stage")
    if finish in WITHHELD:
        raise MalformedReply("refused", "the endpoint withheld the reply (content filter)")
    if finish not in COMPLETE:
        raise MalformedReply("cut", f"the reply is incomplete: its finish reason is “{(finish_reason or '')[:60]}”")
    text = text.strip()
    if not text:
        raise MalformedReply("empty", "the reply is empty")
    if len(text) < 600 and REFUSAL.match(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")):
        raise MalformedReply("refused", "the model refused")
    return text


def json_lines(text: str, row_type: type[Row]) -> list[Row]:
    """Parse the JSON objects of a reply as instances of a pydantic model, in order.

    Accepted: code fences, a JSON array instead of lines, an object that wraps the list, objects that span lines, line breaks
    within strings, surrounding text and, after the first object, text in braces.

    Args:
        text: The reply.
        row_type: The pydantic model of each object.

    Raises:
        Malformed: If there is no object or one is not a valid `row_type` (repairable).
    """
    rows = []
    for number, value in enumerate(_objects(text, row_type), start=1):
        try:
            rows.append(row_type.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise MalformedReply(
                "malformed", f"object {number}, {place or 'as a whole'}: {first['msg']}", repairable=True
            ) from None
    if not rows:
        raise MalformedReply("malformed", "it contains no JSON object", repairable=True)
    return rows


def _objects(text: str, row_type: type[BaseModel]) -> Iterator[object]:
    """Yield every outermost JSON object in the text; an object that wraps a list of objects is replaced by the list."""
    decoder = json.JSONDecoder(strict=False)
    like_a_row = re.compile(rf"""\{{\s*(?:["'“]|(?:{"|".join(row_type.model_fields)})\s*:)""")
    at, found, last = 0, False, text.rfind("}")
    while (at := text.find("{", at)) >= 0:
        if found and at < last and not (like_a_row.match(text, at) or _EMPTY.match(text, at)):
            at += 1  # a brace in prose
            continue
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # ValueError also covers integers above Python's digit limit
            if found and at < last and not like_a_row.match(text, at):
                at += 1
                continue
            line = text.count("\n", 0, at) + 1
            raise MalformedReply(
                "malformed", f"the JSON object that begins on line {line} cannot be read", repairable=True
            ) from None
        at, found = end, True
        yield from _unwrapped(value)


def _unwrapped(value: dict) -> list[dict]:
    [*inner] = value.values()
    if len(inner) == 1 and isinstance(inner[0], list) and inner[0] and all(isinstance(row, dict) for row in inner[0]):
        return inner[0]
    return [value]
