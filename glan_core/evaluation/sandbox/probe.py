"""Probe: tries what confined code must not be able to do. `runner.prove` runs its source in both processes of the sandbox."""

import ctypes
import errno
import os
import socket
import subprocess
import threading
from collections.abc import Callable


def probe(outside: str, memory: int) -> list[str]:
    """Return what worked although it must not, and what failed although it must work.

    Args:
        outside: A file outside the folder.
        memory: Bytes that exceed the limit of memory.
    """
    broken = []
    libc = ctypes.CDLL(None, use_errno=True)

    def tried(what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, MemoryError, subprocess.SubprocessError):
            return
        broken.append(what)

    def refused(what: str, name: str, *arguments: object) -> None:
        """Try a call that does nothing even where it is allowed: only the error tells that it is not."""
        function = getattr(libc, name, None)
        if function is not None and (function(*arguments) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)):
            broken.append(what)

    def fork() -> None:
        if not os.fork():
            os._exit(0)

    with open("own.txt", "w") as file:
        file.write("own")
    tried("the network", lambda: socket.socket())
    tried("the network", lambda: socket.socketpair())
    tried("other processes", fork)
    tried("other programs", lambda: subprocess.run(["/bin/true"], check=False))
    tried("signals", lambda: os.kill(os.getppid(), 0))
    tried("signals", lambda: os.kill(os.getpid(), 0))
    tried("files outside", lambda: os.open(outside, os.O_WRONLY | os.O_CREAT))
    tried("files outside", lambda: os.open(outside, os.O_RDONLY))
    tried("files outside", lambda: os.unlink(outside))
    tried("files outside", lambda: os.truncate(outside, 0))
    tried("files outside", lambda: os.chmod(outside, 0))
    tried("files outside", lambda: os.mkdir(outside + ".new"))
    tried("files outside", lambda: os.rename(outside, "here"))
    tried("files of others", lambda: os.listdir("/"))
    tried("files of others", lambda: os.open("/proc/self/status", os.O_RDONLY))
    tried("folders", lambda: os.mkdir("folder"))
    tried("links", lambda: os.symlink(outside, "link"))
    tried("links", lambda: os.link("own.txt", "link"))
    tried("named pipes and devices", lambda: os.mkfifo("pipe"))
    tried("named pipes and devices", lambda: os.mknod("node", 0o600))
    tried("uncounted files", lambda: os.unlink("own.txt"))
    tried("uncounted files", lambda: os.rename("own.txt", "other"))
    tried("uncounted files", lambda: os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600))
    tried("uncounted files", lambda: os.memfd_create("memory"))
    tried("file attributes", lambda: os.chmod("own.txt", 0o777))
    tried("file attributes", lambda: os.setxattr("own.txt", "user.a", b"b"))
    refused("other users", "setresuid", -1, -1, -1)
    refused("System V IPC", "shmget", 0x676C616E, ctypes.c_size_t(1), 0)
    refused("System V IPC", "shmat", -1, None, 0)
    refused("System V IPC", "semget", 0x676C616E, 1, 0)
    refused("System V IPC", "msgget", 0x676C616E, 0)
    refused("POSIX message queues", "mq_open", b"/glan", os.O_RDONLY)
    refused("other namespaces", "unshare", 0)
    refused("other processes", "ptrace", 3, 0, None, None)
    refused("priority", "setpriority", 99, 0, 0)
    refused("process settings", "prctl", 99, 0, 0, 0, 0)
    tried("memory", lambda: bytearray(memory))
    if set(os.environ) - {"HOME", "TMPDIR", "LC_ALL"}:
        broken.append("variables")
    try:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    except RuntimeError:
        broken.append("threads")
    with open("own.txt") as file:
        text = file.read()
    if text != "own" or os.listdir() != ["own.txt"]:
        broken.append("its own folder")
    return broken
