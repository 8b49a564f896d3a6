"""Validation of text entered by users."""

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.reply_parsing import one_line, storable


def text(value: str, what: str, most: int, *, empty: bool = False) -> str:
    """Validate text and strip surrounding white space.

    Args:
        value: The text as entered.
        what: What the error message calls it, such as 'text of the question'.
        most: Maximum length in characters.
        empty: Whether empty text is allowed.

    Raises:
        GlanError: If the text is empty and may not be, too long, or has characters that cannot be stored.
    """
    value = value.replace("\r\n", "\n").strip()
    if not value and not empty:
        raise GlanError(f"The {what} is empty.")
    if len(value) > most:
        raise GlanError(f"The {what} is longer than {most:,} characters.")
    if storable(value) != value:
        raise GlanError(f"The {what} has characters that cannot be stored (a lone surrogate or a NUL): remove them.")
    return value


def name(value: str, what: str) -> str:
    """Validate a name and collapse it to one line.

    Args:
        value: The name as entered.
        what: What is named, such as 'discipline'.

    Raises:
        GlanError: If the name is empty, longer than 200 characters, or has characters that cannot be stored.
    """
    value = " ".join(value.split())
    if len(value) > MAX_NAME:
        raise GlanError(f"The name {quoted(value)} is longer than {MAX_NAME} characters.")
    return " ".join(str(one_line(text(value, f"name of a {what}", MAX_NAME))).split())


MAX_NAME = 200
