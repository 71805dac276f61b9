"""What the last push of a meter says, for a store that may be older: nothing may fall short of it.

Must not know a store or a broker: whoever asks one hands in what it retains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meter_node import keys
from meter_node.channel import apdu, lists, security
from meter_node.channel.kamstrup_v0001 import DEFAULT_SCALER_PROFILE, SCALER_PROFILES
from meter_node.channel.registers import BY_KEY
from meter_node.ciphering import PycryptodomeAead
from meter_node.cosem import push
from meter_node.meter import restored
from meter_node.meter.snapshot import NANO


@dataclass(frozen=True, slots=True)
class Published:
    """What a push that was once published says."""

    counter: int
    energies_wh: Mapping[str, int]
    """Register key to Wh or varh, truncated as they are shown."""
    supply: restored.Shown = restored.NOTHING_SHOWN

    def energies_nwh(self) -> dict[str, int]:
        """Return the least that they were then (nWh, nvarh)."""
        return {key: energy * NANO for key, energy in self.energies_wh.items()}


class UnprovedError(ValueError):
    """A push under the push keys that the meter did not make: every display has those."""


def published(payload: bytes, meter: keys.MeterKeys) -> Published:
    """Open a meter's own push.

    Raises security.RefusedError, ListError or ValueError for any other frame, UnprovedError where
    somebody else with the push keys made it.
    """
    receiver = security.Receiver(PycryptodomeAead(), meter.system_title, meter.push)
    accepted = receiver.accept(payload, retained=True)
    if meter.own is None or not push.is_proved(accepted.plaintext, accepted.counter, meter.prove):
        raise UnprovedError("the meter has not made it")
    reading = lists.read(
        apdu.decode_data_notification(accepted.plaintext), SCALER_PROFILES[DEFAULT_SCALER_PROFILE]
    )
    energies = {key: int(value) for key, value in reading.values.items() if BY_KEY[key].is_energy}
    return Published(accepted.counter, energies, restored.shown(reading.states))
