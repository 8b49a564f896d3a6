"""Confinement: restricts the calling process for good, before it runs generated code.

Five restrictions complement each other: no privileges (those of root are dropped); resource limits (time, memory, file size, open
files, threads); Landlock (no file outside Python's libraries and the folder, and no folder, link or device created); a list of
allowed system calls (`syscall_filter`); and termination with the parent process. Requires a process with one thread.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct

from glan_core.evaluation.sandbox.syscall_filter import filter_program

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 1, 4, 22, 24, 28
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
CAPABILITY_VERSION, MOST_CAPABILITIES = 0x20080522, 64
SECUREBITS = 0b11101111  # root has no privileges, a change of user changes none, and both for good
CLONE_NEWUSER, SIGKILL = 0x10000000, 9
FIRST_USER = 1 << 30  # real user IDs of confined processes of root: this plus the process ID

LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ = 0b1100  # Landlock rights to read files (4) and folders (8)
WRITE = 1 << 1 | 1 << 8 | 1 << 14  # to write and create files, and to truncate them
ALL_RIGHTS = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # rights by the Landlock version that introduced them
TCP, SCOPES = 0b11, 0b11


class Unlocked(Exception):
    """A restriction that this machine does not support."""


def confine(limits: dict, readable: list[str], parent: int) -> None:
    """Restrict this process; its folder is the current one.

    Args:
        limits: Limits of the runner, as a dictionary.
        readable: Paths that it may read.
        parent: Its parent, with which it ends.

    Raises:
        Unlocked: If this machine lacks a restriction.
    """
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
            score.write("1000")  # where memory ends, the kernel ends this process first
        bounded = _drop_privileges()
        _limit(limits, threads=bounded)
        _call(LIBC.prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before this call took effect
        _call(LIBC.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)
        _call(LIBC.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        restrict_files(readable, os.getcwd())
        restrict_calls()
        check_status(status.read())


def _drop_privileges() -> bool:
    """Drop all capabilities; return whether the kernel counts the threads of this process apart from those of others.

    The effective user stays: another one might not be able to read Python. The kernel counts threads by real user, so root takes a
    real user of its own, which also ends root's exemption from that limit; other users take a user namespace, where they may.
    """
    root = os.geteuid() == 0
    if root:
        LIBC.setgroups(0, None)
    apart = (root and LIBC.setresuid(FIRST_USER + os.getpid(), 0, 0) == 0) or LIBC.unshare(CLONE_NEWUSER) == 0
    if root:
        LIBC.prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0)
        LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        for capability in range(MOST_CAPABILITIES):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    _call(LIBC.capset, struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24))
    return apart


def _limit(limits: dict, *, threads: bool) -> None:
    wanted = {
        resource.RLIMIT_AS: limits["memory"], resource.RLIMIT_DATA: limits["memory"],
        resource.RLIMIT_FSIZE: limits["file_bytes"], resource.RLIMIT_NOFILE: 64, resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0, resource.RLIMIT_MSGQUEUE: 0, resource.RLIMIT_SIGPENDING: 64,
        resource.RLIMIT_NICE: 0, resource.RLIMIT_RTPRIO: 0,
    }  # fmt: skip
    if threads:
        wanted[resource.RLIMIT_NPROC] = limits["threads"]
    for what, most in wanted.items():
        _set_limit(what, most, most)
    _set_limit(resource.RLIMIT_CPU, limits["cpu_seconds"], limits["cpu_seconds"] + 1)  # a signal that tells why, then SIGKILL


def _set_limit(what: int, soft: int, hard: int) -> None:
    now = resource.getrlimit(what)[1]
    soft, hard = (most if now == resource.RLIM_INFINITY else min(most, now) for most in (soft, hard))
    resource.setrlimit(what, (soft, hard))


def restrict_files(readable: list[str], writable: str) -> None:
    """Allow reading the given paths, and reading and writing files of one folder."""
    version = LIBC.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        raise Unlocked("Landlock")
    rights = ALL_RIGHTS[max(known for known in ALL_RIGHTS if known <= version)]
    asked = struct.pack("<QQQ", rights, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _call(LIBC.syscall, LANDLOCK_CREATE, asked, ctypes.c_size_t(size), ctypes.c_uint(0))
    for path, allowed in [*((path, READ) for path in readable), (writable, (READ | WRITE) & rights), ("/dev/null", 0b110)]:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # missing paths need no rights
        if not os.path.isdir(path):
            allowed &= 0b111  # files do not support folder rights
        rule = struct.pack("<Qi", allowed, opened)
        _call(LIBC.syscall, LANDLOCK_ADD, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
        os.close(opened)
    _call(LIBC.syscall, LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint(0))
    os.close(rules)


def restrict_calls() -> None:
    """Allow only the system calls of the list."""
    machine = os.uname().machine
    try:
        program = filter_program(machine)
    except KeyError:
        raise Unlocked(f"a system call filter for {machine}") from None
    code = ctypes.create_string_buffer(program)
    sock_fprog = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", len(program) // 8, ctypes.addressof(code))
    _call(LIBC.prctl, PR_SET_SECCOMP, 2, ctypes.create_string_buffer(sock_fprog), 0, 0)


def check_status(status: str) -> None:
    """Check what the kernel says about this process: no capability, no way to new ones, and a filter of system calls."""
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(facts.get(name, "1"), 16)]
    if held or facts.get("NoNewPrivs") != "1" or facts.get("Seccomp") != "2":
        raise Unlocked(f"a way to drop privileges ({', '.join(held) or 'no_new_privs'})")


def _call(function, *arguments) -> int:
    result = function(*arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
