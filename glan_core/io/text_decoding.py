"""Text decoding: bytes of people's files as text, the same for pages, the CLI and jobs.

UTF-8, UTF-16 and UTF-32 are recognized with and without a byte order mark; anything else is read as Windows-1252, of which
Latin-1 text is a part. Line ends are converted to line feeds.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, TextIO

from glan_core.errors import GlanError
from glan_core.formatting import quoted

SAMPLE = 1 << 12  # bytes that are searched for NULs, which tell UTF-16 without a byte order mark
CHUNK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# Characters of UTF-8 outside ASCII, and other bytes outside ASCII.
_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_NOT_WINDOWS = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # bytes without a character in Windows-1252
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def decode(content: bytes, name: str) -> str:
    """Return the text of a file with line feeds as line ends.

    Args:
        content: The bytes of the file.
        name: Name of the file for messages.

    Raises:
        GlanError: If the content is not text, or damaged; the message names the line.
    """
    encoding = detect_encoding(lambda: io.BytesIO(content), name)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise GlanError(f"{name}, line {line}: not {encoding[:6].rstrip('-').upper()} text; save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def detect_encoding(opened: Callable[[], BinaryIO], name: str) -> str:
    """Return the name of a file's encoding; a file in UTF-8 with a few damaged characters is 'utf-8'.

    Args:
        opened: Function that opens the file from its start.
        name: Name of the file for messages.

    Raises:
        GlanError: If the file is not text.
    """
    with opened() as file:
        start = file.read(SAMPLE)
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                return encoding
        if wide := _without_mark(start):
            return wide
    if _is_binary(start):
        raise GlanError(f"{quoted(name)[1:-1]} is not a text file")
    return "cp1252" if _is_damaged(opened) and _is_single_byte(opened) else "utf-8"


def _chunks(opened: Callable[[], BinaryIO]) -> Iterator[bytes]:
    with opened() as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _is_damaged(opened: Callable[[], BinaryIO]) -> bool:
    """Return whether a file is not valid UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(opened):
            if not (chunk.isascii() and not decoder.getstate()[0]):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return True
    return False


def _is_single_byte(opened: Callable[[], BinaryIO]) -> bool:
    """Return whether a file that is no UTF-8 is Windows-1252 rather than UTF-8 with a few damaged characters."""
    characters = others = 0
    for chunk in _chunks(opened):
        if _NOT_WINDOWS.search(chunk):
            return False
        whole = _CHARACTER.sub(b"", chunk)
        characters += (len(chunk) - len(whole)) // 2
        others += len(_BEYOND_ASCII.findall(whole))
    return others >= characters


def _without_mark(start: bytes) -> str | None:
    """Return the variant of UTF-16 or UTF-32 that the NULs of a text without a byte order mark tell, or None."""
    start = start[: len(start) // 4 * 4] or start
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if even == odd == 0:
        return None
    if len(start) >= 8 and start[2:4] == b"\0\0" != start[0:2] and not any(start[3::4]):
        return "utf-32-le"
    if len(start) >= 8 and start[0:2] == b"\0\0" and not any(start[0::4]):
        return "utf-32-be"
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    if min(even, odd) * 20 > max(even, odd):
        return None
    try:
        text = start[: len(start) // 2 * 2].decode(encoding, "ignore")
    except UnicodeDecodeError:
        return None
    return encoding if any(c in ' \n,:"' for c in text) and "\0" not in text else None


def _is_binary(start: bytes) -> bool:
    """Return whether the start of a file has more control characters than stray ones in a text."""
    return b"\0" in start or len(_CONTROL.findall(start)) * 50 > len(start)


def text_of(opened: Callable[[], BinaryIO], encoding: str, *, newline: str | None = None) -> TextIO:
    """Open a file as text; damaged characters become lone surrogates, which mark the rows that contain them."""
    return io.TextIOWrapper(opened(), encoding, "surrogateescape", newline=newline)
