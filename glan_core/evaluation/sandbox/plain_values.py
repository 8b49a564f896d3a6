"""Plain values: arguments and results as bytes, between the processes of the sandbox.

Reading a message creates values of known types only and runs no code of the sender (unlike pickle), and cannot crash Python (unlike
marshal). A value is a letter, a length where needed, and its content; one of any other type is an object with the name of its kind,
which a callback reads and writes. The modules of the processes import as little as possible, because each program starts two.
"""

from __future__ import annotations

import builtins
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

MOST_BYTES = 1 << 24  # of a message
MOST_VALUES = 1 << 20
MOST_DEPTH = 100
SIZE = 4  # bytes of a length
FLATTENED = (int, float, str, tuple, list, set, frozenset, dict, bytes, bytearray)  # bases of subclasses

_CONSTANTS = {b"N": None, b"T": True, b"F": False, b"A": Ellipsis, b"P": NotImplemented}
_SEQUENCES = {b"L": list, b"U": tuple, b"E": set, b"Z": frozenset}
_BYTES = {b"B": bytes, b"Y": bytearray}
_LETTERS: dict[type, bytes] = {kind: letter for letter, kind in (_SEQUENCES | _BYTES).items()}
_MADE: dict[str, Callable[[Any], list]] = {  # types whose values are made from arguments, by module and name
    "builtins.complex": lambda value: [value.real, value.imag],
    "builtins.range": lambda value: [value.start, value.stop, value.step],
    "builtins.slice": lambda value: [value.start, value.stop, value.step],
    "builtins.dict_keys": lambda value: [list(value)],
    "builtins.dict_values": lambda value: [list(value)],
    "builtins.dict_items": lambda value: [list(value)],
    "collections.deque": lambda value: [list(value), value.maxlen],
    "collections.Counter": lambda value: [dict(value)],
    "collections.OrderedDict": lambda value: [list(value.items())],
    "fractions.Fraction": lambda value: [value.numerator, value.denominator],
    "decimal.Decimal": lambda value: [str(value)],
    "datetime.date": lambda value: [value.year, value.month, value.day],
    "datetime.timedelta": lambda value: [value.days, value.seconds, value.microseconds],
    "datetime.datetime": lambda value: [*value.timetuple()[:6], value.microsecond],
    "datetime.time": lambda value: [value.hour, value.minute, value.second, value.microsecond],
}
_VIEWS: dict[str, Callable[[Any], Any]] = {
    "builtins.dict_keys": lambda items: dict.fromkeys(items).keys(),
    "builtins.dict_values": lambda items: dict(enumerate(items)).values(),
    "builtins.dict_items": lambda items: dict(items).items(),
}


class NotPlain(ValueError):
    """A value that cannot be sent."""


class Malformed(ValueError):
    """Bytes that are no message."""


def write_message(pipe: IO[bytes], data: bytes) -> None:
    """Write an encoded message with its length.

    Raises:
        NotPlain: If it is too long.
    """
    if len(data) > MOST_BYTES:
        raise NotPlain(f"more than {MOST_BYTES >> 20} MiB of data")
    pipe.write(len(data).to_bytes(SIZE, "big") + data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes | None:
    """Read a message; None at the end of the pipe.

    Raises:
        Malformed: If it is too long or incomplete.
    """
    head = pipe.read(SIZE)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if len(head) < SIZE or size > MOST_BYTES:
        raise Malformed("its length is wrong")
    data = pipe.read(size)
    if len(data) < size:
        raise Malformed("it is incomplete")
    return data


def encode(value: Any, refer: Callable[[Any], tuple[str, Any]] | None = None) -> bytes:
    """Encode a value. An instance of a subclass becomes one of its base, with the name of its class.

    Args:
        value: Value.
        refer: Returns kind and content of a value that is not plain.

    Raises:
        NotPlain: If it is nested too deeply, or is not plain and cannot be referred to.
    """
    parts: list[bytes] = []
    _write(value, refer or _refuse, parts, 0)
    return b"".join(parts)


def decode(data: bytes, resolve: Callable[[str, Any], Any] | None = None) -> Any:
    """Decode a value.

    Args:
        data: Bytes; untrusted.
        resolve: Returns the value of a kind and content of `refer`; also of kind `flat`, whose content is the name of a subclass
            and the value of the base.

    Raises:
        Malformed: If the bytes do not come from `encode`.
    """
    reader = _Reader(data, resolve or _unknown)
    try:
        value = reader.value(0)
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, ImportError, struct.error) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from None
    if reader.at != len(data):
        raise Malformed("something follows it")
    return value


def _write(value: Any, refer: Callable[[Any], tuple[str, Any]], parts: list[bytes], depth: int) -> None:
    if len(parts) > MOST_VALUES:
        raise NotPlain(f"more than {MOST_VALUES:,} values")
    if depth > MOST_DEPTH:
        raise NotPlain(f"data nested more than {MOST_DEPTH} levels deep")
    kind = type(value)
    if kind is int:
        _write_sized(b"I", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True), parts)
    elif kind is str:
        _write_sized(b"S", value.encode("utf-8", "surrogatepass"), parts)
    elif kind is float:
        parts.append(b"D" + struct.pack(">d", value))
    elif kind in (list, tuple, set, frozenset):
        parts.append(_LETTERS[kind] + len(value).to_bytes(SIZE, "big"))
        for item in value:
            _write(item, refer, parts, depth + 1)
    elif kind is dict:
        parts.append(b"M" + len(value).to_bytes(SIZE, "big"))
        for key, item in value.items():
            _write(key, refer, parts, depth + 1)
            _write(item, refer, parts, depth + 1)
    elif kind in (bytes, bytearray):
        _write_sized(_LETTERS[kind], bytes(value), parts)
    elif letter := next((letter for letter, constant in _CONSTANTS.items() if constant is value), b""):
        parts.append(letter)
    elif kind.__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        _write(value.item(), refer, parts, depth + 1)  # a scalar equals the number
    else:
        what, content = _object(value) or refer(value)
        parts.append(b"O")
        _write(what, refer, parts, depth)
        _write(content, refer, parts, depth + 1)


def _write_sized(letter: bytes, content: bytes, parts: list[bytes]) -> None:
    if len(content) > MOST_BYTES:
        raise NotPlain(f"more than {MOST_BYTES >> 20} MiB of data")
    parts.append(letter + len(content).to_bytes(SIZE, "big") + content)


def _object(value: Any) -> tuple[str, Any] | None:
    kind: type = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in _MADE and getattr(value, "tzinfo", None) is None:
        return name, _MADE[name](value)
    if isinstance(value, type) and value in vars(builtins).values():
        return "type", value.__name__
    for base in FLATTENED:
        if isinstance(value, base):
            return "flat", [kind.__name__, _flatten(value, base)]
    return None


def _flatten(value: Any, base: type) -> Any:
    if base is str:
        return str.__str__(value)
    if base is int:
        return int.__int__(value)
    if base is float:
        return float.__float__(value)
    if base is dict:
        return dict(dict.items(value))
    return base(base.__iter__(value))  # type: ignore[attr-defined]


class _Reader:
    """Reads values from bytes; `at` is its position."""

    def __init__(self, data: bytes, resolve: Callable[[str, Any], Any]) -> None:
        self._data, self._resolve, self.at = data, resolve, 0

    def value(self, depth: int) -> Any:
        if depth > 2 * MOST_DEPTH:
            raise Malformed("it is nested too deeply")
        letter = self._take(1)
        if letter == b"I":
            return int.from_bytes(self._sized(), "big", signed=True)
        if letter == b"S":
            return self._sized().decode("utf-8", "surrogatepass")
        if letter == b"D":
            return struct.unpack(">d", self._take(8))[0]
        if letter in _CONSTANTS:
            return _CONSTANTS[letter]
        if letter in _SEQUENCES:
            items = [self.value(depth + 1) for _ in range(self._size())]
            return items if letter == b"L" else _SEQUENCES[letter](items)
        if letter == b"M":
            return {self.value(depth + 1): self.value(depth + 1) for _ in range(self._size())}
        if letter in _BYTES:
            return _BYTES[letter](self._sized())
        if letter != b"O":
            raise Malformed(f"{letter!r} is no type")
        return self._object(self.value(depth + 1), self.value(depth + 1))

    def _object(self, kind: str, content: Any) -> Any:
        if kind in _VIEWS:
            return _VIEWS[kind](*content)
        if kind in _MADE:
            module, _, name = kind.rpartition(".")
            return getattr(__import__(module), name)(*content)
        if kind == "type":
            found = getattr(builtins, content)
            if not isinstance(found, type):
                raise Malformed(f"{content} is no type")
            return found
        return self._resolve(kind, content)

    def _take(self, size: int) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) < size:
            raise Malformed("it ends early")
        self.at += size
        return taken

    def _size(self) -> int:
        return int.from_bytes(self._take(SIZE), "big")

    def _sized(self) -> bytes:
        return self._take(self._size())


def _refuse(value: Any) -> tuple[str, Any]:
    raise NotPlain(f"a value of type {type(value).__name__}")


def _unknown(kind: str, _: Any) -> Any:
    raise Malformed(f"{kind!r} is no kind of value")
