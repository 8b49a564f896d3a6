"""Whether the Hugging Face Hub can be reached at all, asked before its libraries are: these try for half a minute."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 4.0  # for a name to be found and a connection to be taken: a slow line needs one, never as long
REMEMBERED = 60  # seconds for which an answer is taken to hold


def reached() -> bool:
    """Whether the Hub, or the proxy on the way to it, takes connections; known within seconds. What is sent over a connection
    may then take as long as it takes."""
    return _reached(int(time.monotonic() // REMEMBERED))


@lru_cache(1)
def _reached(_now: int) -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    asking = threading.Thread(target=_connect, args=(constants.ENDPOINT, taken := []), daemon=True)
    asking.start()
    asking.join(SECONDS)  # a name can be sought for longer than that
    return bool(taken)


def _connect(address: str, taken: list[bool]) -> None:
    """Put something into `taken` if the address takes a connection."""
    hub = urlsplit(address)
    proxy = None if proxy_bypass(hub.hostname or "") else getproxies().get(hub.scheme)
    way = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else hub
    port = way.port or (443 if way.scheme == "https" else 80)
    try:
        socket.create_connection((way.hostname, port), SECONDS).close()
    except OSError:
        return
    taken.append(True)


@contextmanager
def offline() -> Iterator[None]:
    """Let the Hub's libraries look only at what this machine has of it."""
    import datasets
    from huggingface_hub import constants

    places = (constants, datasets.config)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, was in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = was
