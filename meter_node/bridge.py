"""A real meter's customer port: each push is forwarded as it came, still ciphered.

The keys stay with the homeowner's Home Assistant; nothing is opened here. Must not know a key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import serial_asyncio_fast

from meter_node import __version__
from meter_node.channel import apdu, frames, hdlc, kamstrup_v0001, lists
from meter_node.channel.hello import Hello
from meter_node.channel.reading import ListError
from meter_node.kept_frames import KeptFrames
from meter_node.ports.kept_requests import KeptRequestPort
from meter_node.ports.mqtt import MqttPort, back_off

_LOGGER = logging.getLogger(__name__)

MOST_METERS = 8
"""Meters that one port may name before the rest is taken for noise."""
LEAST_SILENCE_S = 30.0
_CHUNK = 4096
_TCP_PORT_TIMEOUT_S = 10.0


class Bridge:
    """Forwards the frames of one line to the MQTT port, and keeps some of them."""

    def __init__(
        self,
        port: MqttPort,
        push_interval_s: int,
        kept: KeptFrames | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``push_interval_s`` is announced to displays; a real port can't be asked for it.

        ``kept``: where frames are kept and given again to who asks; ``clock`` tells UTC.
        """
        self._port = port
        self.push_interval_s = push_interval_s
        self._kept = kept
        self._clock = clock
        if kept is not None:
            known = kept.titles()
            KeptRequestPort(port, kept.of, lambda title: title in known | self._announced)
        self._reader = hdlc.FrameReader()
        self._announced: set[str] = set()
        self._complaints: set[str] = set()
        self.forwarded = 0
        self.damaged = 0

    def feed(self, data: bytes) -> Iterator[None]:
        """Take bytes from the line; forward each frame that is complete with them, one a step."""
        for item in self._reader.feed(data):
            if isinstance(item, hdlc.Damaged):
                self.damaged += 1
                self._complain("damaged frame: " + item.reason)
                continue
            try:
                self._forward(frames.information_apdu(item))
            except (frames.ForeignError, apdu.ApduError, ListError) as error:
                self._complain(str(error))
                continue
            yield

    def _forward(self, data: bytes) -> None:
        title, greeting = self._identify(data)
        if title not in self._announced:
            if len(self._announced) >= MOST_METERS:
                self._complain(f"more than {MOST_METERS} meters on one port")
                return
            self._announced.add(title)
            self._port.announce(title, greeting)
            _LOGGER.info("meter %s: forwarding its pushes", title)
        self._port.push(title, data)
        self.forwarded += 1
        if self._kept is not None:
            self._kept.add(title, data, int(self._clock()))

    def _identify(self, data: bytes) -> tuple[str, Hello]:
        if data[:1] == bytes((apdu.GENERAL_GLO_CIPHERING,)):
            system_title = apdu.decode_general_glo_ciphering(data).system_title
            title = system_title.hex()
            ciphered = True
            maker = frames.maker(system_title) or "Unknown"
        else:
            notification = apdu.decode_data_notification(data)
            profile = kamstrup_v0001.SCALER_PROFILES[kamstrup_v0001.DEFAULT_SCALER_PROFILE]
            texts = lists.read(notification, profile).texts
            number = texts.get("meter_number") or texts.get("gs1_number")
            if not number or not (number.isascii() and number.isalnum()):
                raise ListError("a plain list without a meter number")
            title, ciphered, maker = number.lower(), False, "Kamstrup"
        return title, Hello(
            # The channel's real meters send one list; under the cipher its name can't be seen.
            protocol=kamstrup_v0001.LIST_NAME,
            system_title=title,
            model=f"{maker} meter",
            software=f"meter-node bridge {__version__}",
            push_interval=self.push_interval_s,
            status_topic=self._port.status_topic,
            ciphered=ciphered,
            keeps=None if self._kept is None else self._kept.days,
        )

    def _complain(self, text: str) -> None:
        # Noise on a line must not fill the log: each complaint is made once.
        if text not in self._complaints and len(self._complaints) < 50:
            self._complaints.add(text)
            _LOGGER.warning("not forwarded: %s", text)


class BridgeError(Exception):
    """A file can't be forwarded; the text says why."""


async def forward(bridge: Bridge, port: MqttPort, source: str) -> None:
    """Read a line until cancelled; comes back by itself after a cut, or a long silence.

    A file is forwarded to its end, each frame confirmed by the broker before the next. Raises
    BridgeError when it can't be read or holds no frame.
    """
    if source.startswith("file:"):
        await _forward_file(bridge, port, source)
        return
    silence_s = max(LEAST_SILENCE_S, 3.0 * bridge.push_interval_s)
    attempt = 0
    while True:
        try:
            async for data in _read_line(source, silence_s):
                attempt = 0
                for _ in bridge.feed(data):
                    port.set_online(True)
            reason = "the other side closed the line"
        except TimeoutError:
            reason = f"nothing was heard for {silence_s:.0f} s"
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
        port.set_online(False)
        wait = back_off(attempt)
        level = logging.WARNING if attempt == 0 else logging.DEBUG
        _LOGGER.log(level, "%s: %s; next attempt in %.0f s", source, reason, wait)
        attempt += 1
        await asyncio.sleep(wait)


async def _forward_file(bridge: Bridge, port: MqttPort, source: str) -> None:
    path = source.removeprefix("file:").removeprefix("//")
    try:
        # A capture may be of any size: a chunk at a time, off the event loop.
        file = await asyncio.to_thread(open, path, "rb")
        with file:
            while data := await asyncio.to_thread(file.read, _CHUNK):
                for _ in bridge.feed(data):
                    await port.sent()
    except OSError as error:
        raise BridgeError(f"{path}: can't be read ({error.strerror})") from None
    if not bridge.forwarded:
        raise BridgeError(f"{path}: there is no frame of a meter's customer port in it")


async def _read_line(source: str, silence_s: float) -> AsyncIterator[bytes]:
    """Yield what comes. Raises TimeoutError after a silence: an adapter without power is silent."""
    parts = urlsplit(source)
    if parts.scheme == "tcp":
        opening = asyncio.open_connection(parts.hostname, parts.port)
        reader, writer = await asyncio.wait_for(opening, _TCP_PORT_TIMEOUT_S)
    else:
        baudrate = int(parse_qs(parts.query).get("baudrate", ["2400"])[0])
        reader, writer = await serial_asyncio_fast.open_serial_connection(
            url=parts.netloc + parts.path, baudrate=baudrate
        )
    try:
        while data := await asyncio.wait_for(reader.read(_CHUNK), silence_s):
            yield data
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
