"""Stand-ins: what the tests of a program hold in place of its functions, classes and objects, which are in another process.

A stand-in sends what is asked of it to the program's process and returns the answer. Answers are plain values of known types, so
that every comparison is made here, between values that the program does not control any more. An object that cannot be sent stays
a stand-in: it can be called, passed on, iterated and asked for attributes, but the tests stop where it would have to decide a
comparison itself, and the item is reported as not supported.
"""

from __future__ import annotations

import builtins
import sys

from glan_core.evaluation.sandbox.plain_values import (
    FLATTENED,
    Malformed,
    NotPlain,
    decode,
    encode,
    read_message,
    write_message,
)
from glan_core.evaluation.sandbox.program_server import SPECIAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any, NoReturn

    Stop = Callable[[str, str], NoReturn]

ENDED = "it ended before its tests"
MOST_ITEMS = 1 << 20  # of an iterator that is passed to the program


class Link:
    """The connection to the process of the program.

    Args:
        calls: Requests to it.
        replies: Its replies; untrusted.
        stop: Ends the tests with what happened (`failed` or `unsupported`) and why.
    """

    def __init__(self, calls: IO[bytes], replies: IO[bytes], stop: Stop) -> None:
        self._calls, self._replies, self.stop = calls, replies, stop
        self._remotes: dict[int, Remote] = {}

    def wait(self) -> None:
        """Wait until the program has run; the tests end here if it failed."""
        self._reply("ran")

    def values(self, names: list[str]) -> dict[str, Any]:
        """Return the values of the names that the program defines."""
        found = self._ask({"names": names}, "names")["names"]
        if not isinstance(found, dict):
            self._malformed()
        return {name: value for name, value in found.items() if name in names}

    def do(self, operation: str, number: int, arguments: tuple = (), named: dict[str, Any] | None = None) -> Any:
        """Let the program's process do an operation on one of its objects; return or raise what came of it.

        Lists, sets and dictionaries among the arguments are changed as the program changed them.
        """
        request = {"do": operation, "on": number, "arguments": list(arguments), "named": named or {}}
        reply = self._ask(request, "value", "raised")
        if "changed" in reply:
            self._change([request["arguments"], request["named"]], reply["changed"])
        if "raised" in reply:
            raise self._exception(operation, reply) from None
        return reply["value"]

    def _ask(self, request: dict, *expected: str) -> dict:
        try:
            write_message(self._calls, encode(request, self._refer))
        except NotPlain as error:
            self.stop("unsupported", f"the tests pass {error}")
        except OSError:
            pass  # it has ended, or its last reply says why
        return self._reply(*expected)

    def _reply(self, *expected: str) -> dict:
        try:
            data = read_message(self._replies)
            if data is None:
                self.stop("ended", ENDED)
            reply = decode(data, self._resolve)
        except Malformed:
            self._malformed()
        if not isinstance(reply, dict):
            self._malformed()
        for stopped in ("failed", "unsupported", "unlocked"):
            if stopped in reply:
                self.stop(stopped, str(reply[stopped]))
        if not any(key in reply for key in expected):
            self._malformed()
        return reply

    def _malformed(self) -> NoReturn:
        self.stop("failed", "it wrote to the channel of its results")

    def _resolve(self, kind: str, content: Any) -> Any:
        if kind == "flat":
            name, value = content
            return _flat(str(name), value, self)
        if kind != "remote":
            raise ValueError(kind)
        number, name, special = content
        if number not in self._remotes:
            self._remotes[number] = (SpecialRemote if special else Remote)(self, int(number), str(name))
        return self._remotes[number]

    def _refer(self, value: Any) -> tuple[str, Any]:
        if isinstance(value, Remote):
            return "remote", object.__getattribute__(value, "_number")
        if hasattr(type(value), "__next__"):
            items = []
            for item in value:
                items.append(item)
                if len(items) > MOST_ITEMS:
                    raise NotPlain("an iterator without end")
            return "iterator", items
        if known := _standard_name(value):
            return "named", known
        raise NotPlain(f"a value of type {type(value).__name__}, which cannot be sent to the program")

    def _exception(self, operation: str, reply: dict) -> Exception:
        """Make the exception of a reply, of a built-in type. StopIteration would end loops of the tests early."""
        kind = getattr(builtins, str(reply["raised"]), None)
        if kind is StopIteration and operation == "next":
            return StopIteration()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, StopIteration | StopAsyncIteration):
            try:
                return kind(*reply["with"])
            except Exception:
                pass  # the arguments are not those of the type
        return RuntimeError(str(reply.get("text", "")))

    def _change(self, before: list, after: Any) -> None:
        try:
            (arguments, named), (changed, changed_named) = before, after
            pairs = [*zip(arguments, changed, strict=True), *((value, changed_named[name]) for name, value in named.items())]
        except (TypeError, ValueError, LookupError):
            self._malformed()
        for old, new in pairs:
            if type(old) is not type(new):
                continue
            if isinstance(old, list | bytearray):
                old[:] = new
            elif isinstance(old, dict | set):
                old.clear()
                old.update(new)


def _standard_name(value: Any) -> list[str]:
    """Return module and name of a function or class of the standard library; empty for any other value."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] not in sys.stdlib_module_names:
        return []
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return [module, name] if found is value and module != "__main__" else []


class Remote:
    """A stand-in for an object of the program that compares by identity."""

    __slots__ = ("_link", "_name", "_number")
    _link: Link
    _name: str
    _number: int

    def __init__(self, link: Link, number: int, name: str) -> None:
        for slot, value in (("_link", link), ("_number", number), ("_name", name)):
            object.__setattr__(self, slot, value)

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:  # noqa: D102
        return self._link.do("call", self._number, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__name__":
            raise AttributeError(name)
        return self._link.do("getattr", self._number, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.do("setattr", self._number, (name, value))

    def __iter__(self) -> Any:
        return self._link.do("iter", self._number)

    def __next__(self) -> Any:
        return self._link.do("next", self._number)

    def __len__(self) -> int:
        return self._link.do("len", self._number)

    def __getitem__(self, key: Any) -> Any:
        return self._link.do("getitem", self._number, (key,))

    def __bool__(self) -> bool:
        return self._link.do("bool", self._number)

    def __str__(self) -> str:
        return self._link.do("str", self._number)

    def __repr__(self) -> str:
        return self._link.do("repr", self._number)

    def __instancecheck__(self, _: object) -> NoReturn:
        self._link.stop("unsupported", "the tests use a class of the program in isinstance")

    __subclasscheck__ = __instancecheck__


class SpecialRemote(Remote):
    """A stand-in for an object of the program with operators of its own: the tests stop where they are used."""

    __slots__ = ()
    __hash__ = object.__hash__


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Remote, *_: object) -> NoReturn:
        self._link.stop("unsupported", f"the tests compare or compute with an object of type {self._name} of the program")

    refuse.__name__ = name
    return refuse


for _name in SPECIAL:
    setattr(SpecialRemote, _name, _refuse(_name))


def _flat(name: str, value: Any, link: Link) -> Any:
    """Return a value of a subclass as an instance of its base: equal to it, but without what the subclass adds."""
    base = type(value)
    if base not in FLATTENED:
        raise ValueError(base)

    def stop(what: object) -> NoReturn:
        link.stop("unsupported", f"the tests use {what!r} of an object of type {name} of the program")

    def attribute(_: object, wanted: str) -> NoReturn:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        stop(wanted)

    members: dict[str, Any] = {"__slots__": (), "__getattr__": attribute}
    if base is dict:
        members["__missing__"] = lambda _, key: stop(key)
    return type(name, (base,), members)(value)
