"""System call filter: the calls that generated code may make, as a seccomp program. All other calls fail.

The list has what Python needs to compute, to import its modules, to start threads, to tell the time and to use files in its
folder. It has no call that creates or renames folders, links, devices, pipes with names or files without names, that removes or
changes metadata of files, that reaches the network, other processes, System V or POSIX interprocess communication, or that is
new and unknown.
"""

import struct

EPERM, ENOSYS = 1, 38
KILL, ERROR, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # SECCOMP_RET_KILL_PROCESS, _ERRNO, _ALLOW
LOAD, EQUAL, AT_LEAST, ANY_BIT, ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: ld word, jeq, jge, jset, ret
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
NEWER = 424  # the first number shared by all architectures: refused as unknown, so that the C library tries an older call

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # audit number, position in a row of the table
ALLOWED: dict[str, tuple[int | None, int | None]] = {  # None: the architecture has no such call
    # files that are open, or opened below the folder or in Python's libraries
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "pwrite64": (18, 68),
    "open": (2, None), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436), "lseek": (8, 62), "ftruncate": (77, 46),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78), "getdents": (78, None),
    "getdents64": (217, 61), "getcwd": (79, 17), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None),
    "pipe2": (293, 59), "fcntl": (72, 25), "ioctl": (16, 29), "poll": (7, None), "ppoll": (271, 73), "select": (23, None),
    "pselect6": (270, 72),
    # its own memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "msync": (26, 227), "madvise": (28, 233),
    "brk": (12, 214),
    # its own threads, signal handlers and end
    "clone": (56, 220), "futex": (202, 98), "futex_waitv": (449, 449), "set_tid_address": (218, 96), "set_robust_list": (273, 99),
    "rseq": (334, 293), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "prctl": (157, 167),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "exit": (60, 93), "exit_group": (231, 94),
    # time, chance, and facts about itself
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "pause": (34, None), "alarm": (37, None),
    "getitimer": (36, 102), "setitimer": (38, 103), "getrandom": (318, 278), "getpid": (39, 172), "getppid": (110, 173),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getresuid": (118, 148), "getresgid": (120, 150), "getrlimit": (97, 163), "prlimit64": (302, 261), "getrusage": (98, 165),
    "sysinfo": (99, 179), "uname": (63, 160),
}  # fmt: skip

# CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS | PARENT_SETTID | CHILD_CLEARTID, musl adds DETACHED
THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
FCNTL = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
IOCTL = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS (isatty), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
PRCTL = (15, 16)  # PR_SET_NAME, PR_GET_NAME
NO_NAME = 0x400000  # __O_TMPFILE: files without a name would not be counted

# Conditions on arguments, all of which must hold: offset of the 32-bit word, the values it may have or the bits it must not have.
# Only pointers need their upper words compared: the kernel ignores those of the other arguments.
ONE_OF, NO_BIT = "one of", "no bit"
CONDITIONS: dict[str, tuple[tuple[int, str, tuple[int, ...]], ...]] = {
    "clone": ((ARGUMENTS, ONE_OF, THREAD_FLAGS),),
    "fcntl": ((ARGUMENTS + 8, ONE_OF, FCNTL),),
    "ioctl": ((ARGUMENTS + 8, ONE_OF, IOCTL),),
    "prctl": ((ARGUMENTS, ONE_OF, PRCTL),),
    "open": ((ARGUMENTS + 8, NO_BIT, (NO_NAME,)),),
    "openat": ((ARGUMENTS + 16, NO_BIT, (NO_NAME,)),),
    "prlimit64": (  # only reads its own limits: process 0, no new limit
        (ARGUMENTS, ONE_OF, (0,)), (ARGUMENTS + 16, ONE_OF, (0,)), (ARGUMENTS + 20, ONE_OF, (0,)),
    ),
}  # fmt: skip


def filter_program(machine: str) -> bytes:
    """Return the filter as BPF, little-endian.

    Args:
        machine: Architecture as `os.uname` names it.

    Raises:
        KeyError: If its system calls are not known.
    """
    audit_number, position = ARCHITECTURES[machine]
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, audit_number), (ANSWER, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    for name, numbers in ALLOWED.items():
        if (number := numbers[position]) is not None:
            answer = [*_conditions(name), (ANSWER, 0, 0, ALLOW)]
            steps += [(EQUAL, 0, len(answer), number), *answer]
    steps += [(AT_LEAST, 0, 1, NEWER), (ANSWER, 0, 0, ERROR | ENOSYS)]  # also the x32 numbers, from 2**30 on
    steps.append((ANSWER, 0, 0, ERROR | EPERM))
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _conditions(name: str) -> list[tuple[int, int, int, int]]:
    steps = []
    for offset, kind, values in CONDITIONS.get(name, ()):
        steps.append((LOAD, 0, 0, offset))
        if kind == ONE_OF:
            steps += [(EQUAL, len(values) - nth, 0, value) for nth, value in enumerate(values)]
        else:
            steps += [(ANY_BIT, 0, 1, values[0])]
        steps.append((ANSWER, 0, 0, ERROR | EPERM))
    return steps
