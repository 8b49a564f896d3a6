"""Reading what teachers send back: tolerant of form, strict about substance."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

Row = TypeVar("Row", bound=BaseModel)

# What endpoints call a reply that its teacher ended itself; '' where they say nothing.
WHOLE = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "")
AT_THE_LIMIT = ("length", "max_tokens")
WITHHELD = ("content_filter", "refusal")
# A refusal says what it refuses ("help with that", "this request"); "I cannot create something from nothing is the claim of
# Lucretius" is an answer. Only a teacher that calls itself an AI may leave that unsaid.
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
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(value: object) -> object:
    """A text with every run of control characters and line breaks as one space; anything else as it is."""
    return CONTROL.sub(" ", value) if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(one_line)]
"""A text of one line, such as a name: it is shown in lists and put into the lines of prompts."""


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


def check_whole(text: str, finish_reason: str | None) -> str:
    """The reply without outer white space; Malformed when it was cut, withheld, empty or a refusal."""
    finish = (finish_reason or "").lower()
    if finish in AT_THE_LIMIT:
        raise Malformed("cut", "the reply was cut at the token limit: raise max_tokens for this stage")
    if finish in WITHHELD:
        raise Malformed("refused", "the teacher withheld its reply")
    if finish not in WHOLE:
        raise Malformed("cut", f"the reply ended before it was whole: its teacher gives “{finish_reason[:60]}” as the reason")
    text = text.strip()
    if not text:
        raise Malformed("empty", "the reply was empty")
    if len(text) < 600 and REFUSAL.match(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")):
        raise Malformed("refused", "the teacher refused")
    return text


def json_lines(text: str, row_type: type[Row]) -> list[Row]:
    """The JSON objects of a reply, as rows of a pydantic model, in their order.

    Tolerated: code fences, a JSON array in place of lines, an object that wraps the list, objects spread over lines, line
    breaks within strings, text around them, after the first row also text in braces. Malformed (repairable) when there is
    no row, or when one cannot be read as a `row_type`.
    """
    rows = []
    for number, value in enumerate(_objects(text, row_type), start=1):
        try:
            rows.append(row_type.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise Malformed("malformed", f"object {number}, {place or 'as a whole'}: {first['msg']}", repairable=True) from None
    if not rows:
        raise Malformed("malformed", "there is no JSON object in it", repairable=True)
    return rows


def _objects(text: str, row_type: type[BaseModel]) -> Iterator[object]:
    """Every outermost JSON object in the text; in place of one that wraps a list of objects, these."""
    decoder = json.JSONDecoder(strict=False)
    like_a_row = re.compile(rf"""\{{\s*(?:["'“]|(?:{"|".join(row_type.model_fields)})\s*:)""")
    at, found = 0, False
    while (at := text.find("{", at)) >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # ValueError: also a number of more digits than Python reads
            if found and text.find("}", at) > 0 and not like_a_row.match(text, at):
                at += 1  # a brace in a sentence
                continue
            line = text.count("\n", 0, at) + 1
            raise Malformed(
                "malformed", f"the JSON object that begins on line {line} cannot be read", repairable=True
            ) from None
        at, found = end, True
        yield from _unwrapped(value)


def _unwrapped(value: dict) -> list[dict]:
    [*inner] = value.values()
    if len(inner) == 1 and isinstance(inner[0], list) and inner[0] and all(isinstance(row, dict) for row in inner[0]):
        return inner[0]
    return [value]
