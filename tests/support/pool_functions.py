"""Functions for processes of a pool, which import them by name."""

import multiprocessing
import os
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from glan_core.errors import GlanError


def squares() -> Callable[[int], tuple[int, bool]]:
    """Square a number, and say whether a process of the pool did."""
    return lambda number: (number**2, multiprocessing.parent_process() is not None)


def fatal_at_seven() -> Callable[[int], int]:
    """Square a number; the number 7 ends a process of the pool as the kernel does for lack of memory."""

    def square(number: int) -> int:
        if number == 7 and multiprocessing.parent_process() is not None:
            os._exit(137)
        return number**2

    return square


def ending_in_a_result() -> Callable[[int], int]:
    """Square a number; a process of the pool is killed while it writes the result of 7."""

    def write_half(connection: Connection, buffer: memoryview) -> None:
        os.write(connection.fileno(), struct.pack("!i", len(buffer)) + bytes(buffer[: len(buffer) // 2]))
        os._exit(137)

    def square(number: int) -> int:
        if number == 7 and multiprocessing.parent_process() is not None:
            Connection._send_bytes = write_half
        return number**2

    return square


def refusing_seven() -> Callable[[int], int]:
    """Square a number other than 7."""

    def square(number: int) -> int:
        if number == 7:
            raise GlanError("Seven is not allowed.")
        return number**2

    return square


def endless() -> Callable[[str], None]:
    """Write the number of the process to a file of this folder, and never end."""

    def stay(folder: str) -> None:
        (Path(folder) / f"{os.getpid()}.new").touch()
        (Path(folder) / f"{os.getpid()}.new").rename(Path(folder) / str(os.getpid()))
        threading.Event().wait()

    return stay
