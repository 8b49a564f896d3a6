"""Control group: limits on memory and threads of a group of processes, where cgroup v2 can be used without being root.

That is where systemd or a container delegates a part of the hierarchy. Elsewhere the limits of the processes have to suffice.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
NEEDED = ("memory.max", "pids.max", "cgroup.procs")
REMOVE_SECONDS = 1.0  # for the last process to disappear from the group


@contextmanager
def control_group(memory: int, tasks: int) -> Iterator[Callable[[int], None]]:
    """Create a control group while the block runs; without cgroup v2, do nothing.

    Args:
        memory: Bytes of memory of all of its processes, with their files in memory.
        tasks: Processes and threads.

    Yields:
        A function that moves a process into the group, by its ID.
    """
    group = _create(memory, tasks)
    try:
        yield (lambda process: _write(group / "cgroup.procs", process)) if group else (lambda _: None)
    finally:
        if group:
            _remove(group)


def _create(memory: int, tasks: int) -> Path | None:
    for place in _places():
        group = place / f"glan-code-{os.getpid()}-{time.monotonic_ns()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if all((group / name).exists() for name in NEEDED):
            _write(group / "memory.max", memory)
            _write(group / "memory.swap.max", 0)
            _write(group / "pids.max", tasks)
            return group
        _remove(group)
    return None


def _places() -> list[Path]:
    """Return the groups that a new one can be created in: that of this process, or its parent, as groups with processes have none."""
    try:
        own = next(line[3:] for line in OWN.read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return []
    if not (MOUNT / "cgroup.controllers").exists():
        return []
    place = MOUNT / own.lstrip("/")
    return [place] if place == MOUNT else [place, place.parent]


def _write(file: Path, value: int) -> None:
    with suppress(OSError):
        file.write_text(str(value))


def _remove(group: Path) -> None:
    _write(group / "cgroup.kill", 1)
    end = time.monotonic() + REMOVE_SECONDS
    while time.monotonic() < end:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.002)
        else:
            return
