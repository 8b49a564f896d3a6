"""How much memory is free for weights, and which number format suits this machine. In the model process only."""

import time
from functools import cache
from pathlib import Path

import torch

PROBES = 8  # products that are timed
SIDE = 1024  # of the square matrix in them


def device() -> str:
    """Where models run: 'cuda' where there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def free_bytes() -> int:
    """Bytes that a model may still take: of the GPU, or of this machine or its container, whichever is less."""
    if device() == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]
    import psutil

    return min(psutil.virtual_memory().available, _left_in_container())


def _left_in_container() -> int:
    """What a control group still allows, without what it only caches."""
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
    """How many threads may compute: as many as there are cores, or OMP_NUM_THREADS. To be asked before it is changed."""
    return torch.get_num_threads()


@cache
def half_is_slow() -> bool:
    """Whether this processor multiplies bfloat16 slower than float32, by a probe: it does where it has no instructions for it."""
    if device() == "cuda":
        return False
    taken = {}
    for kind in (torch.float32, torch.bfloat16):
        matrix, vector = torch.ones(SIDE, SIDE, dtype=kind), torch.ones(1, SIDE, dtype=kind)
        best = torch.inf
        for _ in range(PROBES):
            start = time.perf_counter()
            vector @ matrix
            best = min(best, time.perf_counter() - start)
        taken[kind] = best
    return taken[torch.bfloat16] > taken[torch.float32]
