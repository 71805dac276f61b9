"""Captured frames served as a meter's customer port would: verbatim, or kept alive.

Kept alive means: under the keys that were published with the capture, with rising counter, the
present time and values that move on from the captured ones. For demonstrations and trials; must
not know MQTT or Home Assistant.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from meter_node.channel import apdu, frames, hdlc, kamstrup_v0001, lists, security
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.security import Keys
from meter_node.ciphering import InvocationCounter, PycryptodomeAead

_LOGGER = logging.getLogger(__name__)


class ReplayError(Exception):
    """The capture can't be replayed as asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One captured frame as it was on the line, with its keys where they were published."""

    name: str
    frame: bytes
    keys: Keys | None


def load(path: Path, name: str | None) -> Capture:
    """Return one capture of a JSON file (name, hex, key_encryption, key_authentication).

    Raises ReplayError naming what is there when the name is not.
    """
    try:
        entries = {entry["name"]: entry for entry in json.loads(path.read_text("utf-8"))}
        chosen = name or next(iter(entries))
        if chosen not in entries:
            raise ReplayError(f"{path}: no frame {chosen!r}; there are {', '.join(entries)}")
        entry = entries[chosen]
        frame = bytes.fromhex(entry["hex"])
        keys = (
            Keys(bytes.fromhex(entry["key_encryption"]), bytes.fromhex(entry["key_authentication"]))
            if entry.get("key_encryption") and entry.get("key_authentication")
            else None
        )
    except OSError as error:
        raise ReplayError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ReplayError(f"{path}: not a file of captured frames ({error!r})") from None
    return Capture(chosen, frame, keys)


class Continuation:
    """A captured ciphered frame that goes on: the same meter, later."""

    def __init__(self, capture: Capture) -> None:
        """Open the capture under its own keys. Raises ReplayError where that can't be."""
        if capture.keys is None:
            raise ReplayError(f"{capture.name}: no keys were published with it")
        self._capture_keys = capture.keys
        self._aead = PycryptodomeAead()
        try:
            self._frame = hdlc.decode(capture.frame)
            data = frames.information_apdu(self._frame)
            envelope = apdu.decode_general_glo_ciphering(data)
            receiver = security.Receiver(self._aead, envelope.system_title, capture.keys)
            notification = apdu.decode_data_notification(receiver.accept(data).plaintext)
            self._profile = kamstrup_v0001.SCALER_PROFILES[kamstrup_v0001.DEFAULT_SCALER_PROFILE]
            self._reading = lists.read(notification, self._profile)
        except (ValueError, security.RefusedError) as error:
            raise ReplayError(f"{capture.name}: {error}") from None
        self._layout = _layout_of(notification, capture.name)
        self.system_title = envelope.system_title
        self.captured_counter = envelope.invocation_counter

    def frames(self, counter: InvocationCounter, now: Callable[[], datetime]) -> Iterator[bytes]:
        """Yield frames, each as of the moment it is asked for, without end."""
        values = dict(self._reading.values)
        before = now()
        while True:
            moment = now()
            hours = max(0.0, (moment - before).total_seconds()) / 3600
            before = moment
            _move_on(values, moment, hours)
            yield self._seal(values, moment, counter.take())

    def _seal(self, values: dict[str, float], moment: datetime, number: int) -> bytes:
        # This meter writes its local time without deviation, so the continuation does too.
        local = moment.replace(tzinfo=None, microsecond=0)
        stamp = CosemDateTime(local, None, 0)
        body = kamstrup_v0001.encode(
            self._layout, self._profile, stamp, values, self._reading.texts
        )
        plaintext = apdu.encode_data_notification(0, stamp, body, hundredths=False)
        envelope = security.seal(
            self._aead, self._capture_keys, self.system_title, number, plaintext
        )
        information = hdlc.LLC_TO_CLIENT + apdu.encode_general_glo_ciphering(envelope)
        return hdlc.encode(
            hdlc.Frame(
                self._frame.destination, self._frame.source, self._frame.control, information
            )
        )


def _layout_of(notification: apdu.DataNotification, name: str) -> kamstrup_v0001.Layout:
    body = notification.body if isinstance(notification.body, tuple) else ()
    for layout in kamstrup_v0001.LAYOUTS.values():
        if body[1::2] == tuple(name for name, _ in layout.items):
            return layout
    raise ReplayError(f"{name}: its list has a layout that can't be written yet")


def _move_on(values: dict[str, float], moment: datetime, hours: float) -> None:
    """Let the house live for a while: a load that swings slowly, each phase on its own."""
    seconds = moment.timestamp()
    total_w = total_va = 0.0
    for phase in (1, 2, 3):
        swing = 180 * math.sin(seconds / 97 + 2 * phase) + 60 * math.sin(seconds / 7)
        active_w = round(420 + swing)
        voltage_v = round(224 + 2 * math.sin(seconds / 41 + phase))
        power_factor = round(0.95 + 0.04 * math.sin(seconds / 53 + phase), 2)
        apparent_va = active_w / power_factor
        values[f"import_active_power_l{phase}"] = active_w
        values[f"voltage_l{phase}"] = voltage_v
        values[f"current_l{phase}"] = round(apparent_va / voltage_v, 2)
        values[f"power_factor_l{phase}"] = power_factor
        values[f"import_active_energy_l{phase}"] += active_w * hours
        values["import_active_energy"] += active_w * hours
        total_w += active_w
        total_va += apparent_va
    reactive_var = math.sqrt(total_va**2 - total_w**2)
    values["import_active_power"] = total_w
    values["import_reactive_power"] = round(reactive_var)
    values["import_reactive_energy"] += reactive_var * hours
    values["power_factor"] = round(total_w / total_va, 2)


async def serve(host: str, port: int, sending: Iterator[bytes], interval_s: float) -> None:
    """Send a frame to every connected client at each multiple of the interval, until cancelled.

    The first frame waits for the first client, so that none is lost; without further frames the
    line stays open and silent, as a real port between two pushes.
    """
    clients: set[asyncio.StreamWriter] = set()
    arrived = asyncio.Event()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        arrived.set()
        try:
            while await reader.read(1024):
                pass  # a real port only transmits: what comes in is not heard
        except OSError:
            pass
        finally:
            clients.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(client, host, port)
    _LOGGER.info("listening on %s:%d", host, server.sockets[0].getsockname()[1])
    try:
        await arrived.wait()
        for frame in sending:
            for writer in tuple(clients):
                writer.write(frame)
                with suppress(OSError):
                    await writer.drain()
            # At :x0 of the clock, as the real meters do.
            await asyncio.sleep(interval_s - time.time() % interval_s)
        await asyncio.Event().wait()
    finally:
        server.close()
        server.close_clients()
