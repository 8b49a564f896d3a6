"""Free memory for weights, and the dtype that suits this machine. Used in the model server only."""

import time
from functools import cache
from pathlib import Path

import torch

PROBES = 8  # products per benchmark
SIDE = 1024  # of the square matrix


def device() -> str:
    """Return 'cuda' if there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def free_bytes() -> int:
    """Return the bytes a model may still use: of the GPU, or the smaller of machine and container memory."""
    if device() == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]
    import psutil

    return min(psutil.virtual_memory().available, _left_in_container())


def _left_in_container() -> int:
    """Return the memory left in the control group, not counting reclaimable cache."""
    group = Path("/sys/fs/cgroup")
    try:
        most = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        return 2**62 if most == "max" else int(most) - used + int(cached)
    except (OSError, ValueError, KeyError):
        return 2**62


@cache
def threads() -> int:
    """Return the number of compute threads: cores, or OMP_NUM_THREADS. Call it before changing the number."""
    return torch.get_num_threads()


@cache
def bfloat16_is_slow() -> bool:
    """Return whether this CPU multiplies bfloat16 slower than float32, from a benchmark."""
    if device() == "cuda":
        return False
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        matrix, vector = torch.ones(SIDE, SIDE, dtype=kind), torch.ones(1, SIDE, dtype=kind)
        best = torch.inf
        for _ in range(PROBES):
            start = time.perf_counter()
            vector @ matrix
            best = min(best, time.perf_counter() - start)
        seconds[kind] = best
    return seconds[torch.bfloat16] > seconds[torch.float32]
