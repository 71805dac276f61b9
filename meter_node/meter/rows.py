"""What a meter only ever appends: entries of logs, profiles and billing.

Entry numbers begin at 1 and are never given twice, so that a clock that was set back leaves two
rows with one stamp and loses none. Must not know where rows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from meter_node.channel.event_codes import Log


@dataclass(frozen=True, slots=True)
class LogRow:
    """One entry of an event log; `chain` is the hash over it and the entry before it."""

    log: Log
    entry: int
    time_s: int
    offset_s: int
    """Local time less UTC at `time_s`."""
    code: int
    detail: str
    chain: bytes


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One interval of a profile, stamped with its end (UTC).

    `values` in units of their registers' scalers, None where a register had no value.
    """

    profile: str
    entry: int
    time_s: int
    offset_s: int
    status: int
    values: tuple[int | None, ...]


type BillingKind = Literal["daily", "monthly", "change"]


@dataclass(frozen=True, slots=True)
class BillingRow:
    """All billing registers at one instant."""

    kind: BillingKind
    entry: int
    time_s: int
    offset_s: int
    reason: str
    values: Mapping[str, int]
