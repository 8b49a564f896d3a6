"""Child processes by what their command lines say."""

from contextlib import suppress

import psutil


def children_with(word: str, pid: int | None = None) -> list[psutil.Process]:
    """Return the running processes below one (by default this one) whose command line contains a word."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):  # of one that has ended meanwhile
                if word in " ".join(child.cmdline()):
                    found.append(child)
    return found
