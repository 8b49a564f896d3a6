"""Reading what teachers send back: tolerant of form, strict about substance."""

import json
import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Row = TypeVar("Row", bound=BaseModel)

REFUSAL = re.compile(
    r"(i'?m sorry,? but|i am sorry,? but|sorry,? (but )?i|i (can ?not|can'?t|won'?t|am (not able|unable) to) "
    r"(help|assist|comply|provide|answer|fulfil|do that|create|write)|as an ai( language)? model,? i (can|am|do))",
    re.IGNORECASE,
)


class Malformed(ValueError):
    """A reply that can't be kept as data. `cause` is one of the outcomes of a call; the text says what to mend.

    `repairable` says whether a repair turn makes sense: a wrong form can be mended, a refusal can't.
    """

    def __init__(self, cause: str, problem: str, *, repairable: bool = False) -> None:
        super().__init__(problem)
        self.cause = cause
        self.repairable = repairable


def storable(text: str) -> str:
    """The text with what no database or file holds, half characters (lone surrogates) and NULs, made visible."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def check_whole(text: str, finish_reason: str) -> str:
    """The reply without outer white space; Malformed when it was cut, withheld, empty or a refusal."""
    if finish_reason == "length":
        raise Malformed("cut", "the reply was cut at the token limit: raise max_tokens for this stage")
    if finish_reason in ("content_filter", "refusal"):
        raise Malformed("refused", "the teacher withheld its reply")
    text = text.strip()
    if not text:
        raise Malformed("empty", "the reply was empty")
    if len(text) < 600 and REFUSAL.match(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")):
        raise Malformed("refused", "the teacher refused")
    return text


def json_lines(text: str, row_type: type[Row]) -> list[Row]:
    """The JSON objects of a reply, as rows of a pydantic model, in their order.

    Tolerated: code fences, a JSON array in place of lines, objects spread over lines, text around them. Malformed
    (repairable) when there is none, or when one cannot be read as a `row_type`.
    """
    rows = []
    for number, value in enumerate(_objects(text), start=1):
        try:
            rows.append(row_type.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise Malformed("malformed", f"object {number}, {place or 'as a whole'}: {first['msg']}", repairable=True) from None
    if not rows:
        raise Malformed("malformed", "there is no JSON object in it", repairable=True)
    return rows


def _objects(text: str) -> Iterator[object]:
    """Every outermost JSON object in the text."""
    decoder = json.JSONDecoder()
    at = 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # ValueError: also a number of more digits than Python reads
            line = text.count("\n", 0, at) + 1
            raise Malformed(
                "malformed", f"the JSON object that begins on line {line} cannot be read", repairable=True
            ) from None
        yield value
