"""Program server: runs a program and then calls its functions for the process of the tests.

It is in the process of the untrusted program, which may change all of it. Everything it sends is a claim; what a claim is worth is
decided by `stand_ins` in the other process. It knows neither the tests nor what passes.
"""

from __future__ import annotations

import sys

from glan_core.evaluation.sandbox.plain_values import NotPlain, decode, encode, read_message, write_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, /, *arguments, **named: function(*arguments, **named),
    "getitem": lambda value, key: value[key],
    "getattr": getattr, "setattr": setattr, "iter": iter, "next": next, "len": len, "bool": bool, "str": str, "repr": repr,
}  # fmt: skip
MOST_TEXT = 500  # characters of an error
# Methods by which an object could decide a comparison; a stand-in for such an object refuses them.
_OPERATORS = """eq ne lt le gt ge contains add radd sub rsub mul rmul matmul rmatmul truediv rtruediv floordiv rfloordiv mod rmod
divmod rdivmod pow rpow lshift rlshift rshift rrshift and rand or ror xor rxor neg pos abs invert round trunc floor ceil int float
complex index reversed format bytes enter exit delitem setitem delattr"""
SPECIAL = frozenset(f"__{name}__" for name in _OPERATORS.split())


def describe(error: BaseException) -> str:
    """Return the type and text of an exception."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}"[:MOST_TEXT] if text else type(error).__name__


class ProgramServer:
    """A program and the objects of it that the tests know by number.

    Args:
        calls: Requests.
        replies: Replies, one for each request and one for the program.
    """

    def __init__(self, calls: IO[bytes], replies: IO[bytes]) -> None:
        self._calls, self._replies = calls, replies
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}  # by id(); the objects are kept

    def serve(self, program: str) -> None:
        """Run the program, then answer requests until their end."""
        module = type(sys)("__main__")
        sys.modules["__main__"] = module
        try:
            exec(compile(program, "<generated>", "exec", dont_inherit=True), module.__dict__)
        except BaseException as error:  # includes SystemExit: a program that exits before its tests has not passed
            self._send(encode({"failed": describe(error)}))
            return
        self._send(encode({"ran": True}))
        while (data := read_message(self._calls)) is not None:
            request = decode(data, self._resolve)
            self._send(self._names(module, request["names"]) if "names" in request else self._answer(request))

    def _names(self, module: Any, names: list[str]) -> bytes:
        known = {name: getattr(module, name) for name in names if hasattr(module, name)}
        for name, value in known.items():
            try:
                self._encode(value)
            except NotPlain:
                return encode({"unsupported": f"the value of {name}"})
        return self._encode({"names": known})

    def _answer(self, request: dict) -> bytes:
        arguments, named = request["arguments"], request["named"]
        before = self._encode([arguments, named])
        try:
            result = OPERATIONS[request["do"]](self._objects[request["on"]], *arguments, **named)
        except Exception as error:
            reply = {"raised": _builtin_name(error), "text": describe(error), "with": self._details(error)}
        except BaseException as error:
            return encode({"failed": describe(error)})
        else:
            reply = {"value": result}
        try:
            if self._encode([arguments, named]) != before:  # the program has changed them
                reply["changed"] = [arguments, named]
            return self._encode(reply)
        except NotPlain as error:
            return encode({"unsupported": f"a result or an argument with {error}"})

    def _details(self, error: Exception) -> list:
        try:
            self._encode(list(error.args))
        except Exception:
            return []
        return list(error.args)

    def _encode(self, value: Any) -> bytes:
        return encode(value, self._refer)

    def _refer(self, value: Any) -> tuple[str, Any]:
        """Give an object a number."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        kind = type(value)
        own = {name for base in kind.__mro__[:-1] for name in vars(base)} if not isinstance(value, type) else set()
        return "remote", [number, kind.__name__, not own.isdisjoint(SPECIAL)]

    def _resolve(self, kind: str, content: Any) -> Any:
        if kind == "remote":
            return self._objects[content]
        if kind == "flat":
            return content[1]
        if kind == "iterator":
            return iter(content)
        module, name = content  # a function or class of the standard library
        __import__(module)
        value = sys.modules[module]
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def _send(self, data: bytes) -> None:
        try:
            write_message(self._replies, data)
        except NotPlain as error:
            write_message(self._replies, encode({"unsupported": f"a result with {error}"}))


def _builtin_name(error: Exception) -> str:
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins")
