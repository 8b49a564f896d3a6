"""Free memory for weights, and the dtype that suits this machine. Imports torch."""

import time
from functools import cache

import torch

from glan_core.processes import available_memory

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
    return available_memory()


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
