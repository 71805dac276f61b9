"""Strangers: other people's programs, each in an environment and a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meter_node.cosem.access import Client
from meter_node.cosem.server import Connection
from meter_node.cosem.table import Caller
from meter_node.head_end import MOST_SENT
from meter_node.ports.ami import AmiPort, AmiSettings, Endpoint
from tests.interop.audit import Audit
from tests.interop.met import meet
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
    meet(_name(python))
    return python


_SAYS_WHO_IT_IS = """
import platform
from importlib.metadata import version
import gurux_dlms
print("gurux-dlms", version("gurux-dlms"), "on Python", platform.python_version())
"""


def _has_gurux(python: Path) -> bool:
    return _asked(python).returncode == 0


def _name(python: Path) -> str:
    """What it says of itself, in its own process."""
    said = _asked(python)
    if said.returncode or f"gurux-dlms {VERSION} " not in said.stdout:
        pytest.fail(f"{python}: no gurux-dlms {VERSION}: {said.stdout}{said.stderr}")
    return f"{said.stdout.strip()}, in a process of its own"


def _asked(python: Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", _SAYS_WHO_IT_IS]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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


class Recorded:
    """A connection to the meter that remembers what was said."""

    def __init__(self, site: Site, audit: Audit) -> None:
        self._site = site
        self._audit = audit
        self.connection: Connection = site.connect(MOST_SENT)
        self.answered: list[bytes] = []

    def receive(self, client_sap: int, server_sap: int, apdu: bytes, _: int) -> bytes | None:
        answer = self.connection.receive(client_sap, server_sap, apdu, self._site.now_ns)
        if answer is not None:
            self.answered.append(answer)
            self._audit.hear(client_sap, apdu, answer)
        return answer

    @property
    def proven(self) -> bool:
        return self.connection.proven

    def closed(self) -> None:
        self.connection.closed()

    def caller(self, client: Client) -> Caller:
        """Who the client is to the meter's objects, as long as he is associated."""
        association = self.connection._associations[client, 1]
        site = self._site
        return Caller(client, client.name, site.device.committed, site.now_ns, association)


class Meter:
    """A meter on the node's own port: behind the wrapper and on HDLC, both over TCP."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.audit = Audit()
        self.connections: list[Recorded] = []
        here = Endpoint("127.0.0.1", 0)
        self._port = AmiPort(AmiSettings(tcp=here, hdlc_tcp=here), self._connect)
        self._loop = asyncio.new_event_loop()
        self._running = self._loop.create_task(self._port.run())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _connect(self, _: str) -> Recorded:
        self.connections.append(Recorded(self.site, self.audit))
        return self.connections[-1]

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._running)
        except asyncio.CancelledError:
            self._loop.close()

    def port(self, transport: str) -> int:
        """Its TCP port."""

        async def listening() -> int:
            while transport not in self._port.listening:
                await asyncio.sleep(0.01)
            return self._port.listening[transport]

        return asyncio.run_coroutine_threadsafe(listening(), self._loop).result(20)

    @property
    def answered(self) -> list[bytes]:
        """All answers so far."""
        return [answer for one in self.connections for answer in one.answered]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join()


@pytest.fixture
def meter(socket_enabled: None) -> Iterator[Meter]:
    """A meter with a day's rows behind a port. At the end all that it ciphered is checked."""
    site = Site()
    site.run(minutes=26 * 60)
    made = Meter(site)
    yield made
    made.close()
    made.audit.check()
