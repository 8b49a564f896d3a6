"""Secret filter: removes keys from what an endpoint sends, which some endpoints quote.

A body may spell a key with JSON escapes or in another encoding, and a stream may send it in parts. So decoded texts are filtered, and
of a stream's text the end is withheld while it may be the beginning of a key.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from glan_core.teachers.contract import Reply

MARK = "[key]"
ESCAPED_BYTES = 12  # of a character outside the basic plane as JSON escapes; all others are shorter


def is_secret(value: str) -> bool:
    """Return whether the value of a key variable is a key, and not one of the words that servers without keys are given.

    Words such as 'EMPTY', 'none', 'ollama' or 'lm-studio' occur in ordinary text, which must not be changed.
    """
    return len(value) >= 16 or (len(value) >= 8 and any(map(str.isdigit, value)))


class SecretFilter:
    """Replaces the secrets of an endpoint by a mark.

    Args:
        secrets: Keys and values of headers; those that are no secrets (see `is_secret`) are ignored.

    Attributes:
        secrets: The secrets.
        longest: Bytes of the longest one, with every character as a JSON escape.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = tuple(filter(is_secret, secrets))
        self.longest = ESCAPED_BYTES * max(map(len, self.secrets), default=0)
        self._spellings = [re.compile(b"".join(map(_spellings, secret))) for secret in self.secrets]

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, MARK)
        return text

    def raw(self, raw: bytes) -> bytes:
        """Return a body without the secrets that it spells as they are."""
        for secret in self.secrets:
            raw = raw.replace(secret.encode(), MARK.encode())
        return raw

    def json(self, raw: bytes) -> bytes:
        """Return JSON text without the secrets that it spells as they are or with escapes."""
        for spellings in self._spellings:
            raw = spellings.sub(MARK.encode(), raw)
        return raw

    def reply(self, reply: Reply) -> Reply:
        """Return a reply without secrets in its texts."""
        if not self.secrets:
            return reply
        return replace(
            reply,
            text=self.text(reply.text),
            reasoning=self.text(reply.reasoning),
            finish_reason=self.text(reply.finish_reason),
        )

    def stream(self) -> "StreamFilter":
        """Return a filter for one stream of text."""
        return StreamFilter(self)


def _spellings(character: str) -> bytes:
    """Return a pattern of the spellings of a character in JSON."""
    units = character.encode("utf-16-be", "surrogatepass").hex()  # of an environment variable that is not UTF-8
    escapes = "".join(rf"\\u(?i:{units[n : n + 4]})" for n in range(0, len(units), 4))
    short = rf"\\{re.escape(character)}" if character in '"\\/' else escapes
    return rf"(?:{re.escape(character)}|{escapes}|{short})".encode("utf-8", "surrogatepass")


class StreamFilter:
    """Filters the pieces of one stream."""

    def __init__(self, secrets: SecretFilter) -> None:
        self._secrets, self._withheld = secrets, ""

    def feed(self, piece: str) -> str:
        """Return what can be shown after the next piece."""
        text = self._secrets.text(self._withheld + piece)
        shown = len(text) - max((_overlap(secret, text) for secret in self._secrets.secrets), default=0)
        self._withheld = text[shown:]
        return text[:shown]

    def rest(self) -> str:
        """Return what was withheld, after the last piece."""
        rest, self._withheld = self._withheld, ""
        return rest


def _overlap(secret: str, text: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a secret."""
    most = min(len(secret) - 1, len(text))
    return next((n for n in range(most, 0, -1) if secret.startswith(text[len(text) - n :])), 0)
