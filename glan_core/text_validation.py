"""Texts that people type: what cannot be kept is refused with a sentence that says why."""

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.reply_parsing import one_line, storable


def text(value: str, what: str, most: int, *, empty: bool = False) -> str:
    """A text without outer white space; GlanError when it is longer than `most` characters, holds what is no character, or
    has nothing in it and may not be `empty`. `what` is what the sentence calls it: 'text of the question'."""
    value = value.replace("\r\n", "\n").strip()
    if not value and not empty:
        raise GlanError(f"The {what} is empty.")
    if len(value) > most:
        raise GlanError(f"The {what} is longer than {most:,} characters.")
    if storable(value) != value:
        raise GlanError(f"The {what} holds something that is no character (half of one, or a NUL): take it out.")
    return value


def name(value: str, what: str) -> str:
    """A name, in one line; GlanError when it is empty, longer than 200 characters, or holds what is no character."""
    value = " ".join(value.split())
    if len(value) > MAX_NAME:
        raise GlanError(f"The name {quoted(value)} is longer than {MAX_NAME} characters.")
    return " ".join(str(one_line(text(value, f"name of a {what}", MAX_NAME))).split())


MAX_NAME = 200
