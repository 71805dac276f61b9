"""A real Mosquitto for the node's tests, on a port that stays the same when it comes back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path
from typing import Self

import aiomqtt

from scripts.demonstration import broker, ports


class Mosquitto:
    """Starts and stops; anonymous unless other lines of configuration are given."""

    def __init__(self, folder: Path, lines: tuple[str, ...] = ("allow_anonymous true",)) -> None:
        (self.port,) = ports.free_ports(1)
        self._folder = folder
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> Self:
        """Start, and return once it listens."""
        path = self._folder / "mosquitto.conf"
        lines = (f"listener {self.port} 127.0.0.1", "user root", *self._lines)
        path.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [broker.find(), "-c", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await ports.wait_until_open(self.port)
        return self

    def pause(self) -> None:
        """Let it hang: its connections stay, and it answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """End it; what it retained is gone with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, **arguments: object) -> aiomqtt.Client:
        """Return a client of the test's own."""
        return aiomqtt.Client(
            "127.0.0.1",
            self.port,
            protocol=aiomqtt.ProtocolVersion.V5,
            **arguments,  # type: ignore[arg-type]
        )


async def first(client: aiomqtt.Client, topic: str, seconds: float = 10) -> aiomqtt.Message:
    """Subscribe and return the first message of a topic filter."""
    await client.subscribe(topic, qos=1)
    async with asyncio.timeout(seconds):
        async for message in client.messages:
            return message
    raise AssertionError("the client was disconnected")
