"""Sandbox child: the process that restricts itself and then runs generated code.

`runner` starts it by path and without this package, so that nothing of the studio is in its memory. Four restrictions complement
each other, none of which needs root: resource limits (time, memory, file size); Landlock (no writes outside the folder, reads of
Python's files only); a system call filter (no network, process, program, signal or access to other processes); and termination
with the parent process.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE = 1, 22, 38, 4
EPERM, ENOSYS = 1, 38
KILL, ERROR, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # filter results: SECCOMP_RET_KILL_PROCESS, _ERRNO, _ALLOW
LOAD, EQUAL, AT_LEAST, ANY_BIT, ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: ld word, jeq, jge, jset, ret
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
CLONE_THREAD = 0x10000
NEWER = 424  # first system call number shared by all architectures; later ones are refused except these:
NEWER_ALLOWED = (
    436,
    437,
    439,
    441,
    449,
    450,
)  # close_range, openat2, faccessat2, epoll_pwait2, futex_waitv, set_mempolicy_home_node
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446

# Refused system calls: network, processes and programs, signals, memory and limits of other processes, file metadata (which
# Landlock does not cover), and the kernel. The numbers below are in the same order.
NAMES = """socket socketpair fork vfork execve execveat kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo ptrace process_vm_readv
process_vm_writev kcmp prlimit64 setrlimit setpriority sched_setparam sched_setscheduler sched_setaffinity sched_setattr ioprio_set
migrate_pages move_pages chmod fchmod fchmodat chown lchown fchown fchownat utime utimes utimensat futimesat truncate setxattr
lsetxattr fsetxattr removexattr lremovexattr fremovexattr memfd_create shmget msgget semget mq_open mount umount2 pivot_root chroot
unshare setns init_module finit_module delete_module kexec_load kexec_file_load bpf perf_event_open userfaultfd keyctl add_key
request_key fanotify_init name_to_handle_at open_by_handle_at quotactl reboot swapon swapoff sethostname setdomainname settimeofday
clock_settime adjtimex clock_adjtime syslog acct personality ioperm iopl""".split()  # noqa: SIM905
NUMBERS = {  # None: this architecture has no such call
    "x86_64": (0xC000003E, 56, 72, (
        41, 53, 57, 58, 59, 322, 62, 200, 234, 129, 297, 101, 310, 311, 312, 302, 160, 141, 142, 144, 203, 314, 251, 256, 279, 90, 91,
        268, 92, 94, 93, 260, 132, 235, 280, 261, 76, 188, 189, 190, 197, 198, 199, 319, 29, 68, 64, 240, 165, 166, 155, 161, 272, 308,
        175, 313, 176, 246, 320, 321, 298, 323, 250, 248, 249, 300, 303, 304, 179, 169, 167, 168, 170, 171, 164, 227, 159, 305, 103,
        163, 135, 173, 172,
    )),
    "aarch64": (0xC00000B7, 220, 25, (
        198, 199, None, None, 221, 281, 129, 130, 131, 138, 240, 117, 270, 271, 272, 261, 164, 140, 118, 119, 122, 274, 30, 238, 239,
        None, 52, 53, None, None, 55, 54, None, None, 88, None, 45, 5, 6, 7, 14, 15, 16, 279, 194, 186, 190, 180, 40, 39, 41, 51, 97,
        268, 105, 273, 106, 104, 294, 280, 241, 282, 219, 217, 218, 262, 264, 265, 60, 142, 224, 225, 161, 162, 170, 112, 171, 266,
        116, 89, 92, None, None,
    )),
}  # fmt: skip
FCNTL_OWNER = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: could make a file signal another process

READ = 0b1100  # Landlock rights to read files (4) and folders (8)
ALL_RIGHTS = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # rights by the Landlock version that introduced them
TCP, SCOPES = 0b11, 0b11


class Unlocked(Exception):
    """A restriction that this machine does not support."""


def main() -> None:
    """Read the request from stdin, apply the restrictions, run the code and report the result.

    The report goes to the given file descriptor with a token that only the last line writes: code that ends the process early
    has not passed.
    """
    request = json.loads(sys.stdin.buffer.read())
    tell = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    try:
        _lock(request)
    except (OSError, Unlocked) as error:
        _tell(tell, {"unlocked": str(error)})
    source, token = request["code"], request["token"]
    del request
    try:
        exec(compile(source, "<generated>", "exec"), {"__name__": "__main__"})
    except BaseException as error:  # includes SystemExit: code that exits before its tests has not passed
        message = "".join(traceback.format_exception_only(error)).strip()
        _tell(tell, {"failed": message[:500]})
    _tell(tell, {"passed": token})


def _tell(tell, what: dict) -> None:
    tell.write(json.dumps(what))
    tell.flush()
    os._exit(0)


def _lock(request: dict) -> None:
    _call(LIBC.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != request["parent"]:
        os._exit(1)  # the parent died before this call took effect
    _call(LIBC.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, request["memory"]), (resource.RLIMIT_FSIZE, request["file_bytes"]),
        (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_CPU, request["cpu_seconds"]),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))
    _call(LIBC.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _landlock(request["readable"], os.getcwd())
    _seccomp()


def _landlock(readable: list[str], writable: str) -> None:
    version = LIBC.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        raise Unlocked("Landlock")
    rights = ALL_RIGHTS[max(known for known in ALL_RIGHTS if known <= version)]
    asked = struct.pack("<QQQ", rights, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _call(LIBC.syscall, LANDLOCK_CREATE, asked, ctypes.c_size_t(size), ctypes.c_uint(0))
    for path, allowed in [*((path, READ) for path in readable), (writable, rights), ("/dev/null", 0b110)]:
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


def _seccomp() -> None:
    program = filter_program(platform.machine())
    code = ctypes.create_string_buffer(program)
    sock_fprog = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", len(program) // 8, ctypes.addressof(code))
    _call(LIBC.prctl, PR_SET_SECCOMP, 2, ctypes.create_string_buffer(sock_fprog), 0, 0)


def filter_program(machine: str) -> bytes:
    """Return the system call filter as BPF.

    Raises:
        Unlocked: If the system call numbers of the architecture are unknown.
    """
    if machine not in NUMBERS:
        raise Unlocked(f"a system call filter for {machine}")
    architecture, clone, fcntl, numbers = NUMBERS[machine]
    refused = sorted(number for number in numbers if number is not None)
    steps: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), (ANSWER, 0, 0, KILL), (LOAD, 0, 0, NUMBER),
    ]  # fmt: skip
    for number in NEWER_ALLOWED:
        steps += [(EQUAL, 0, 1, number), (ANSWER, 0, 0, ALLOW)]
    steps += [(AT_LEAST, 0, 1, NEWER), (ANSWER, 0, 0, ERROR | ENOSYS)]  # also refuses the x32 numbers, from 2**30 on
    for number in refused:
        steps += [(EQUAL, 0, 1, number), (ANSWER, 0, 0, ERROR | EPERM)]
    steps += [(EQUAL, 0, 4, clone), (LOAD, 0, 0, ARGUMENTS), (ANY_BIT, 1, 0, CLONE_THREAD), (ANSWER, 0, 0, ERROR | EPERM),
              (ANSWER, 0, 0, ALLOW)]  # fmt: skip
    steps += [(EQUAL, 0, 1 + 2 * len(FCNTL_OWNER), fcntl), (LOAD, 0, 0, ARGUMENTS + 8)]
    for command in FCNTL_OWNER:
        steps += [(EQUAL, 0, 1, command), (ANSWER, 0, 0, ERROR | EPERM)]
    steps.append((ANSWER, 0, 0, ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _call(function, *arguments) -> int:
    result = function(*arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


if __name__ == "__main__":
    main()
