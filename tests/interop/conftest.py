"""Strangers: other people's programs, each in an environment and a process of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.meter_node.cosem.site import Site

VERSION = "1.0.203"
PLACE = Path(__file__).parents[2] / "build" / "strangers"
_CLIENT = Path(__file__).with_name("gurux_client.py")


@pytest.fixture(scope="session")
def gurux_python() -> Path:
    """The interpreter of an environment that has gurux-dlms; made once, kept between runs."""
    folder = PLACE / f"gurux-dlms-{VERSION}"
    python = folder / "bin" / "python"
    if not python.exists() or not _has_gurux(python):
        uv = [sys.executable, "-m", "uv"]
        for command in (
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [*uv, "pip", "install", "--quiet", "--python", str(python), f"gurux-dlms=={VERSION}"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"gurux-dlms {VERSION} can't be had: {done.stderr.strip()}")
    return python


def _has_gurux(python: Path) -> bool:
    command = [str(python), "-c", "import gurux_dlms"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Gurux:
    """The client's process."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), str(_CLIENT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **task: Any) -> Any:
        """Let it do something; the test fails where it reports an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **task}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            pytest.fail(f"gurux ended: {self._process.stderr.read()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            pytest.fail(f"{do}: {answer['error']}")
        return answer["result"]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def gurux(gurux_python: Path) -> Iterator[Gurux]:
    """A running client."""
    made = Gurux(gurux_python)
    yield made
    made.end()


class Wrapper:
    """The meter's server behind the TCP wrapper, as small as it can be."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked: list[tuple[int, bytes]] = []
        self.answered: list[bytes] = []
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._client = client
            with client, client.makefile("rb") as stream:
                connection = self.site.connect(max_pdu=0)
                while len(head := stream.read(8)) == 8:
                    version, source, destination, length = struct.unpack(">HHHH", head)
                    apdu = stream.read(length)
                    self.asked.append((source, apdu))
                    answer = connection.receive(source, destination, apdu, self.site.now_ns)
                    if answer is not None:
                        self.answered.append(answer)
                        back = struct.pack(">HHHH", version, destination, source, len(answer))
                        client.sendall(back + answer)
                connection.closed()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        if self._client is not None:
            with contextlib.suppress(OSError):  # it has hung up
                self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join()


@pytest.fixture
def wrapper(socket_enabled: None) -> Iterator[Wrapper]:
    """A meter with a day's rows behind a port."""
    site = Site()
    site.run(minutes=26 * 60)
    made = Wrapper(site)
    yield made
    made.close()
