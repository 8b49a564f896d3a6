"""Sandbox child: a process that restricts itself and then runs a program, or the tests of a program that another child runs.

`runner` starts it without the user's environment. The request comes from stdin; the numbers of the pipes are its arguments.
"""

from __future__ import annotations

import os
import sys

from glan_core.evaluation.sandbox.confinement import Unlocked, confine
from glan_core.evaluation.sandbox.plain_values import decode, encode, write_message
from glan_core.evaluation.sandbox.program_server import ProgramServer, describe
from glan_core.evaluation.sandbox.stand_ins import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, NoReturn


def main() -> None:
    """Read the request, apply the restrictions, and run what is asked for."""
    role, numbers = sys.argv[1], [int(number) for number in sys.argv[2:]]
    request = decode(sys.stdin.buffer.read())
    locked = ""
    try:
        confine(request["limits"], request["readable"], request["parent"])
    except (OSError, ValueError, Unlocked) as error:
        locked = str(error)
    if role == "program":
        _program(os.fdopen(numbers[0], "rb"), os.fdopen(numbers[1], "wb"), request["source"], locked)
    calls, replies, report = (os.fdopen(number, mode) for number, mode in zip(numbers, ("wb", "rb", "wb"), strict=True))
    _tests(calls, replies, report, request, locked)


def _program(calls: IO[bytes], replies: IO[bytes], source: str, locked: str) -> NoReturn:
    try:
        if locked:
            _tell(replies, "unlocked", locked)
        ProgramServer(calls, replies).serve(source)
    finally:
        os._exit(0)


def _tests(calls: IO[bytes], replies: IO[bytes], report: IO[bytes], request: dict, locked: str) -> NoReturn:
    """Run the tests with stand-ins for what the program defines, and report what came of them."""

    def stop(what: str, why: str) -> NoReturn:
        _tell(report, what, why)

    if locked:
        stop("unlocked", locked)
    try:
        link = Link(calls, replies, stop)
        link.wait()
        module = _namespace(link, request)
        sys.modules["__main__"] = module
        exec(compile(request["tests"], "<tests>", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        stop("failed", describe(error))
    stop("passed", "")


def _namespace(link: Link, request: dict) -> Any:
    """Return the module of the tests, with everything that they need and do not define."""
    module = type(sys)("__main__")
    exec(compile(request["helpers"], "<prompt>", "exec", dont_inherit=True), module.__dict__)
    own, modules, library = request["names"], request["modules"], request["library"]
    for name, value in link.values([*own, *modules, *library]).items():
        if name in modules:
            value = __import__(modules[name])
        elif name in library:
            value = getattr(__import__(library[name]), name)
        setattr(module, name, value)
    return module


def _tell(pipe: IO[bytes], what: str, why: str) -> NoReturn:
    """Write a last message and end the process."""
    write_message(pipe, encode({what: why}))
    os._exit(0)
