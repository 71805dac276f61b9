"""The serial list: the real meters' push list in HDLC frames, so that their readers take ours.

``plain`` and ``ciphered`` are pure, ``run`` sends what is due to all who listen. Must not know how
the meter works, nor where keys and numbers are kept.

Plain: every 10 s, and at five seconds past each hour the longer one with the energies. Ciphered:
the Danish one every 10 s, with all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal, override

from meter_node.channel import apdu, hdlc, kamstrup_v0001, registers, security
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.kamstrup_v0001 import LAYOUTS, SCALER_PROFILES, Layout
from meter_node.channel.security import Keys
from meter_node.ciphering import COUNTS_PER_SECOND, PycryptodomeAead
from meter_node.cosem.identity import Identity, digits_of

from . import bearers
from .broadcast import broadcast
from .module import BearerSettings, MeterView, Numbers

BAUDRATE = 2400
INTERVAL_S, HOUR_S = 10, 3600
HOURLY_AT_S = 5
"""Seconds past the hour, as the maker documents it."""
HOURLY_WITHIN_S = 60
"""An image that is later, for the disk is slow or nobody listened, is no hour's any more."""
_BEAT_S = 5
_PLAIN_ADDRESSES = b"\x2b", b"\x21"
_CIPHERED_ADDRESSES = b"\x41", b"\x03"
"""Destination and source as they stand on the wire."""
_COUNTED = {1: "one", 2: "two", 3: "three"}
_GS1_DIGITS = 16
_MODEL_CHARACTERS = 18
_NUMBER_DIGITS = 9
"""What always fits into the list's 32 bits."""

type Scale = Literal["energy_1_wh", "energy_10_wh"]


class HanSettings(BearerSettings):
    """``[[meter.module]]`` with ``kind = "han"``."""

    kind: Literal["han"]
    usual_baudrate = BAUDRATE
    bearer: str = "listen://127.0.0.1:2104"
    ciphered: bool = False
    scaler_profile: Scale = "energy_1_wh"
    """What one count of energy is worth: 1 Wh in Denmark and Sweden, 10 Wh in Norway."""

    @property
    @override
    def numbers(self) -> Numbers | None:
        """One a ciphered list."""
        if not self.ciphered:
            return None
        return Numbers("list keys", Fraction(60, INTERVAL_S), 60 * COUNTS_PER_SECOND // 2)

    @property
    @override
    def beat_s(self) -> int | None:
        """The hourly list is due between two of every 10 s."""
        return INTERVAL_S if self.ciphered else _BEAT_S


# --- the lists ------------------------------------------------------------------------------------


def plain(view: MeterView, scale: Scale, *, hourly: bool) -> bytes:
    """Return the plain frame of the committed image. Raises AccessError before there is one."""
    body = _notification(view, "hourly" if hourly else "10_s", scale)
    return _frame(_PLAIN_ADDRESSES, body)


def ciphered(view: MeterView, scale: Scale, keys: Keys, number: int) -> bytes:
    """Return the ciphered frame of the committed image; ``number`` was never used with the keys.

    Raises AccessError before there is an image.
    """
    body = _notification(view, "danish", scale)
    title = view.identity.system_title
    envelope = security.seal(PycryptodomeAead(), keys, title, number, body)
    return _frame(_CIPHERED_ADDRESSES, apdu.encode_general_glo_ciphering(envelope))


def _frame(addresses: tuple[bytes, bytes], data: bytes) -> bytes:
    return hdlc.encode(hdlc.Frame(*addresses, hdlc.UI, hdlc.LLC_TO_CLIENT + data))


def _notification(view: MeterView, which: str, scale: Scale) -> bytes:
    phases = sum(registers.BY_KEY[f"voltage_l{n}"] in view.registers for n in registers.PHASES)
    layout = LAYOUTS[f"{_COUNTED[phases]}_phase_{which}"]
    # Local time without its deviation, and no daylight saving in the status: as the real ones.
    time = CosemDateTime(view.time.local, None, 0)
    body = kamstrup_v0001.encode(
        layout, SCALER_PROFILES[scale], time, _values(view, layout), texts(view.identity)
    )
    return apdu.encode_data_notification(0, time, body, hundredths=False)


def _values(view: MeterView, layout: Layout) -> Mapping[str, Decimal]:
    """What the layout wants; 0 where the meter has no value (no current: no power factor)."""
    wanted = [registers.BY_LOGICAL_NAME.get(name) for name, _ in layout.items]
    return {
        register.key: abs(view.value(register.key) or Decimal(0))
        for register in wanted
        if register is not None
    }


def texts(identity: Identity) -> Mapping[str, str]:
    """Return number and model, as long as the real meters' are."""
    return {
        "gs1_number": identity.meter_number.rjust(_GS1_DIGITS, "0"),
        "model": f"{identity.model} {identity.software}".ljust(_MODEL_CHARACTERS),
        "meter_number": digits_of(identity.meter_number)[-_NUMBER_DIGITS:],
    }


# --- sending --------------------------------------------------------------------------------------


class Due:
    """Tells which plain lists a second brings. It knows no clock: seconds are handed to it."""

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self._interval: int | None = None
        self._hour: int | None = None

    def lists(self, second: int) -> tuple[bool, bool]:
        """Return whether the 10 s list and the hourly list are due."""
        interval = second // INTERVAL_S
        hour, past_s = divmod(second - HOURLY_AT_S, HOUR_S)
        due = interval != self._interval, hour != self._hour and past_s < HOURLY_WITHIN_S
        self._interval = interval
        if due[1]:
            self._hour = hour
        return due


async def run(view: MeterView, settings: HanSettings) -> None:
    """Send what is due to whoever listens, until cancelled."""
    due = Due()

    async def make(second: int) -> bytes:
        ten_seconds, hour = due.lists(second)
        scale = settings.scaler_profile
        if settings.ciphered:
            if not ten_seconds:
                return b""
            return ciphered(view, scale, view.keeping.list_keys, await view.keeping.list_number())
        frames = [plain(view, scale, hourly=False)] if ten_seconds else []
        frames += [plain(view, scale, hourly=True)] if hour else []
        return b"".join(frames)

    bearer = bearers.of(settings.bearer, f"{view.name}: serial list", baudrate=BAUDRATE)
    await broadcast(view, bearer, make)
