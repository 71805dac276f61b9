"""What a meter only ever appends (entries of logs, profiles and billing), and its whole image.

Entry numbers begin at 1 and are never given twice, so that a clock that was set back leaves two
rows with one stamp and loses none. Must not know where rows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
class ChainHead:
    """How far a log has come: its last entry, and the hash over that and all before it."""

    entry: int
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


@dataclass(frozen=True, slots=True)
class Image:
    """All that must outlive a power cut, at one instant: kept whole or not at all.

    Rows are those since the last image that was kept; offering one again does no harm.
    """

    time_ns: int
    energies_nwh: Mapping[str, int] = field(default_factory=dict)
    """Register key to nWh or nvarh."""
    states: Mapping[str, str] = field(default_factory=dict)
    """Part of the meter to its state as JSON; a part that is absent stays as it was kept."""
    log_rows: Sequence[LogRow] = ()
    profile_rows: Sequence[ProfileRow] = ()
    billing_rows: Sequence[BillingRow] = ()
    profile_firsts: Mapping[str, int] = field(default_factory=dict)
    """Profile to its first entry that stays: those before were deleted with a change of it."""
    profile_depths: Mapping[str, int] = field(default_factory=dict)
    """Profile to how many rows it keeps, the newest; one that is absent keeps all."""
    billing_depths: Mapping[BillingKind, int] = field(default_factory=dict)
