"""A fast check whether the Hugging Face Hub is reachable, because its libraries retry for half a minute."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

TIMEOUT_SECONDS = 4.0  # timeout for DNS and the connection; slow networks need about 1 s
CACHE_SECONDS = 60  # seconds for which a result is cached


def is_reachable() -> bool:
    """Return whether the Hub, or the proxy in front of it, accepts connections; takes at most a few seconds."""
    return _reached(int(time.monotonic() // CACHE_SECONDS))


@lru_cache(1)
def _reached(_now: int) -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    successes: list[bool] = []
    attempt = threading.Thread(target=_connect, args=(constants.ENDPOINT, successes), daemon=True)
    attempt.start()
    attempt.join(TIMEOUT_SECONDS)  # DNS lookups have no timeout of their own
    return bool(successes)


def _connect(address: str, successes: list[bool]) -> None:
    """Append to `successes` if the address accepts a connection."""
    hub = urlsplit(address)
    proxy = None if proxy_bypass(hub.hostname or "") else getproxies().get(hub.scheme)
    target = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else hub
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        socket.create_connection((target.hostname, port), TIMEOUT_SECONDS).close()
    except OSError:
        return
    successes.append(True)


@contextmanager
def offline() -> Iterator[None]:
    """Restrict the Hub libraries to their local cache within the block."""
    import datasets
    from huggingface_hub import constants

    modules: tuple[Any, ...] = (constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value
