"""The ways to a meter: real sockets, a pseudo-terminal, lines that lose and damage frames."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
import tty
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from meter_node import cli, cli_utility_acts
from meter_node.channel.event_codes import Log
from meter_node.channel.hdlc import Frame, FrameReader, encode
from meter_node.config import ConfigError
from meter_node.cosem.hdlc_control import LinkParameters, ServerAddress
from meter_node.cosem.hdlc_session import HdlcServer, HdlcSettings
from meter_node.ports.ami import AmiPort, AmiSettings
from meter_node.ports.bearers import Endpoint
from meter_node.ports.conversation import SerialLine
from meter_node.utility import link
from meter_node.utility.errors import NoAnswerError, UnreachableError
from meter_node.utility.hdlc_client import HdlcClient
from tests.loopback import free_port
from tests.meter_node.cosem.hdlc_client import Echo
from tests.meter_node.cosem.site import Site
from tests.meter_node.utility.counter import key_file

HERE = Endpoint("127.0.0.1", 0)


@asynccontextmanager
async def serving(
    site: Site, serial: SerialLine | None = None, physical: int | None = None
) -> AsyncIterator[AmiPort]:
    port = AmiPort(
        AmiSettings(tcp=HERE, hdlc_tcp=HERE, serial=serial, physical_address=physical),
        lambda transport: site.server.connect(transport, 0),
    )
    task = asyncio.create_task(port.run())
    async with asyncio.timeout(20):
        while len(port.listening) < 2:
            await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def utility(*arguments: object) -> str:
    """What the command line prints, while the meter goes on serving."""
    words = [str(one) for one in arguments]
    result = await asyncio.to_thread(CliRunner().invoke, cli_utility_acts.app, words)
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(("option", "name"), [("--tcp", "tcp"), ("--hdlc-tcp", "hdlc_tcp")])
async def test_over_tcp_a_meter_is_read_and_switched(
    socket_enabled: None, tmp_path: Path, option: str, name: str
) -> None:
    site = Site()
    site.run(minutes=60 * 60)  # 240 rows: two pieces
    keys = key_file(tmp_path)
    async with serving(site) as port:
        there = (option, f"127.0.0.1:{port.listening[name]}", "--keys", keys)

        document = json.loads(await utility(*there, "read", "1.8.0", "--json"))
        rows = json.loads(await utility(*there, "profile", "--json"))["rows"]
        await utility(*there, "tariff", "upload", "denmark_n1", "--now")
        await utility(*there, "breaker", "off")
        await utility(*there, "keys", "rotate")
        assert "62" in await utility(*there, "logs", "disconnector")

    raw = site.meter.snapshot().raw("import_active_energy")
    assert document["registers"][0]["value"] == raw
    assert len(rows) == len(site.store.profile_rows("load_profile")) > 200
    assert 62 in [code for code, _ in site.log(Log.DISCONNECTOR)]


async def test_without_keys_over_tcp(
    socket_enabled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METER_NODE_UTILITY_KEYS", raising=False)
    async with serving(Site()) as port:
        there = ("--tcp", f"127.0.0.1:{port.listening['tcp']}", "--data-dir", tmp_path)
        document = json.loads(await utility(*there, "read", "--json"))

    assert document["identity"]["model"] == "382M"


async def test_keys_of_the_environment(
    socket_enabled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_NODE_UTILITY_KEYS", key_file(tmp_path).read_text())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with serving(Site()) as port:
        there = ("--tcp", f"127.0.0.1:{port.listening['tcp']}")
        assert json.loads(await utility(*there, "clock", "show", "--json"))["valid"] is True


async def test_over_a_serial_line_by_the_meters_own_address(
    socket_enabled: None, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    far, near = os.openpty()
    for end in (master, slave, far, near):
        tty.setraw(end)
    meter, client = os.ttyname(slave), os.ttyname(near)
    stop = threading.Event()
    cables = [
        threading.Thread(target=_cable, args=(*ends, stop), daemon=True)
        for ends in ((master, far), (far, master))
    ]
    for cable in cables:
        cable.start()
    try:
        async with serving(Site(), SerialLine(meter, 9600), physical=17):
            there = ("--serial", client, "--keys", key_file(tmp_path), "--patience", 5)
            printed = await utility(*there, "--physical", 17, "read", "voltage_l1", "--json")
            with pytest.raises(NoAnswerError):
                await utility(*there[:-1], 0.2, "--physical", 18, "read", "voltage_l1")
    finally:
        stop.set()
        for end in (master, slave, far, near):
            with contextlib.suppress(OSError):
                os.close(end)

    assert json.loads(printed)["registers"][0]["value"] == 230


def _cable(one: int, other: int, stop: threading.Event) -> None:
    import select

    while not stop.is_set():
        try:
            ready, _, _ = select.select([one], [], [], 0.05)
            if ready:
                os.write(other, os.read(one, 4096))
        except (OSError, ValueError):
            return


# --- what goes wrong on the way -------------------------------------------------------------------


def main_of(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["meter-node", "utility", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_where_nobody_listens_it_is_one_line_and_exit_status_1(
    socket_enabled: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()

    status = main_of(
        monkeypatch, "--tcp", f"127.0.0.1:{port}", "--data-dir", tmp_path, "--public", "read"
    )

    assert status == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"meter-node: 127.0.0.1:{port}: no connection: Connection refused"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--tcp", "nowhere", "read"], "--tcp: 'nowhere' is not host:port"),
        (["--tcp", "h:1", "--serial", "/dev/x", "read"], "one of them"),
    ],
)
def test_wrong_options_are_exit_status_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    assert main_of(monkeypatch, *arguments) == 2
    assert text in capsys.readouterr().err


def test_a_key_file_for_all_to_read_is_exit_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = key_file(tmp_path)
    path.chmod(0o644)

    assert main_of(monkeypatch, "--keys", path, "read") == 1
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["tariff"], ["credit"], ["profile"]])
def test_help_teaches_by_examples(command: list[str]) -> None:
    printed = CliRunner().invoke(cli_utility_acts.app, [*command, "--help"]).stdout

    assert "xample" in printed


def test_help_needs_no_keys(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    path.chmod(0o644)

    result = CliRunner().invoke(
        cli_utility_acts.app, ["--keys", str(path), "breaker", "off", "--help"]
    )

    assert result.exit_code == 0
    assert "Disconnect the supply" in result.stdout


@contextlib.contextmanager
def stranger(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A server on TCP that answers what it likes; None: it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    while data := connection.recv(4096):
                        said = answer(data)
                        if said is None:
                            return
                        connection.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join(5)


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", UnreachableError, "speaks no DLMS"),
        (b"\x00\x01\x00\x01\x00\x10\x00\x00", UnreachableError, "an APDU of 0 bytes"),
        (b"", NoAnswerError, "does not answer within 0.3 s"),
        (b"\x00\x01\x00\x05\x00\x10\x00\x01\x61", NoAnswerError, "does not answer"),
        (None, UnreachableError, "closed the connection"),
    ],
)
def test_what_is_no_meter_is_told(
    socket_enabled: None, said: bytes | None, error: type[Exception], text: str
) -> None:
    with stranger(lambda _: said) as port:
        way = link.connect(link.Tcp("127.0.0.1", port), link.Address(), 16, 0.3)
        with pytest.raises(error, match=text):
            way.exchange(b"\x60\x00")
        way.close()


def test_what_speaks_no_hdlc_is_silent(socket_enabled: None) -> None:
    with (
        stranger(lambda _: b"no frame at all") as port,
        pytest.raises(NoAnswerError, match="does not answer on its HDLC link"),
    ):
        link.connect(link.HdlcTcp("127.0.0.1", port), link.Address(), 16, 0.1)


def test_a_serial_line_that_is_not_there_is_told() -> None:
    with pytest.raises(UnreachableError, match="/dev/nowhere: can't be opened"):
        link.connect(link.Serial("/dev/nowhere", 9600), link.Address(), 16, 0.1)


def test_an_address_is_no_host_and_port() -> None:
    from meter_node.cli_utility import _host_port

    assert _host_port("--tcp", "[::1]:4059") == ("::1", 4059)
    for text in ("4059", ":4059", "meter:", "meter:0", "meter:70000"):
        with pytest.raises(ConfigError, match="not host:port"):
            _host_port("--tcp", text)


# --- HDLC, sans-I/O -------------------------------------------------------------------------------


class Line:
    """A line to the server's end that does something to frames; silence is an empty answer."""

    def __init__(
        self,
        answer: Callable[[bytes], bytes | None] = lambda apdu: apdu,
        offered: LinkParameters | None = None,
        there: Callable[[bytes], bytes] = lambda data: data,
        back: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self.echo = Echo(answer)
        settings = HdlcSettings() if offered is None else HdlcSettings(offered=offered)
        self.server = HdlcServer(lambda: self.echo, settings)
        self.there, self.back = there, back
        self.polls = 0

    def run[T](self, talk: Generator[bytes, bytes, T]) -> T:
        waiting = b""
        try:
            data = next(talk)
            while True:
                if data:
                    self.polls += 1
                    assert self.polls < 2000, "it never ends"
                    asked = self.there(data)
                    waiting += self.back(b"".join(self.server.feed(asked, 10**9)))
                came, waiting = waiting, b""
                data = talk.send(came)
        except StopIteration as done:
            result: T = done.value
            return result


def client(**given: Any) -> HdlcClient:
    return HdlcClient(16, ServerAddress(1, None, 1), **given)


@pytest.mark.parametrize("information", [16, 128, 1024])
@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("size", [1, 125, 126, 5000])
def test_an_apdu_of_any_size_goes_and_comes(information: int, window: int, size: int) -> None:
    line = Line(offered=LinkParameters(information, information, window, window))
    asking = client()
    line.run(asking.connect())

    for start in range(3):
        apdu = bytes((start + place) % 251 for place in range(size))
        assert line.run(asking.exchange(apdu)) == apdu
    line.run(asking.disconnect())
    assert line.echo.closed_times == 1


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_lost_and_damaged_frames_are_made_good_or_told(data: st.DataObject) -> None:
    """Never twice what was asked once, and never a wrong answer."""
    kinds = st.sampled_from(["good", "good", "good", "lost", "bit"])

    def spoil(frames: bytes) -> bytes:
        found = b""
        for item in FrameReader(segmented=True).feed(frames):
            assert isinstance(item, Frame)
            what = data.draw(kinds)
            if what == "lost":
                continue
            raw = bytearray(encode(item))
            if what == "bit":
                raw[len(raw) // 2] ^= 0x10
            found += bytes(raw)
        return found

    line = Line(offered=LinkParameters(20, 20, 3, 3))
    asking = client()
    line.run(asking.connect())
    line.there = line.back = spoil
    asked = []
    with contextlib.suppress(NoAnswerError, UnreachableError):
        for place in range(4):
            apdu = bytes([place]) * 50
            asked.append(apdu)
            assert line.run(asking.exchange(apdu)) == apdu

    heard = [apdu for _, _, apdu, _ in line.echo.asked]
    assert heard == asked[: len(heard)]
    assert len(heard) >= len(asked) - 1


def test_a_silent_line_is_told_after_three_attempts() -> None:
    line = Line(there=lambda data: b"")

    with pytest.raises(NoAnswerError):
        line.run(client().connect())
    assert line.polls == 3


def test_an_answer_of_another_station_is_passed_over() -> None:
    other = encode(Frame(b"\x21", b"\x05", 0x73, b""))
    line = Line(back=lambda data: other)

    with pytest.raises(NoAnswerError):
        line.run(client().connect())


def test_a_link_that_the_meter_has_ended_is_told() -> None:
    line = Line()
    asking = client()
    line.run(asking.connect())
    line.server.close()

    with pytest.raises(UnreachableError, match="ended the HDLC link"):
        line.run(asking.exchange(b"one"))


def test_a_meter_without_an_answer_is_told() -> None:
    line = Line(lambda apdu: None)
    asking = client()
    line.run(asking.connect())

    with pytest.raises(NoAnswerError, match="no answer to what was asked"):
        line.run(asking.exchange(b"one"))


def test_an_answer_without_an_end_is_not_listened_to() -> None:
    received = 0

    def endless(_: bytes) -> bytes:
        nonlocal received
        said = 0x10 | received << 1 | 1 << 5
        received = (received + 1) % 8
        return encode(Frame(b"\x21", b"\x03", said, b"\xe6\xe7\x00" + bytes(1000), True))

    line = Line()
    asking = client()
    line.run(asking.connect())
    line.back = endless

    with pytest.raises(UnreachableError, match="without an end"):
        line.run(asking.exchange(b"one"))
