"""TCP delay of the studio's server: without this, each of its answers over a reused connection takes 40 ms longer.

An answer is written in two parts, its headers and its body. By default the system keeps the second part back until the other side has
confirmed the first, which browsers do 40 ms later. Servers therefore switch this off (TCP_NODELAY); asyncio does so for sockets whose
protocol is named, and that of Streamlit's socket is not.
"""

import os
import socket
from contextlib import suppress

import psutil


def switch_off() -> None:
    """Have connections to the listening sockets of this process send each part at once; on Windows, without effect."""
    with suppress(psutil.Error, OSError, RuntimeError):  # a system that hides them, or lists them in another format
        for connection in psutil.Process().net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.fd >= 0:
                with socket.socket(fileno=os.dup(connection.fd)) as listening:  # what it accepts takes over its options
                    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
