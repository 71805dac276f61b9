"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import time

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return that many ports that nobody uses now, all different."""
    sockets = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind((LOOPBACK, 0))
        sockets.append(listener)
    ports = [int(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def is_free(port: int) -> bool:
    """Say whether a server could listen there now."""
    with socket.socket() as listener:
        # As servers do: a connection of just before that is still dying away does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


async def wait_until_open(port: int, seconds: float = 15) -> None:
    """Return as soon as somebody listens there. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens on port {port} after {seconds:.0f} s") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
