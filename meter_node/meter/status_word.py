"""The status word: seven digits that say what is wrong with the meter.

Must not know how a self-test is run or where an input comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from meter_node.meter.event import Event


class Digit(IntEnum):
    """Places in the word, from right to left, from 1 on; the first is not used.

    The maker's: EEPROM, magnet, RAM, ROM, external alarm, cover.
    """

    STORE = 2
    MAGNET = 3
    MEMORY = 4
    PROGRAM = 5
    EXTERNAL = 6
    COVER = 7


_TESTED = {
    Digit.STORE: "store_error",
    Digit.MEMORY: "memory_error",
    Digit.PROGRAM: "program_error",
}
"""What a self-test finds, with its event. These digits stay until the utility clears them."""


class StatusWord:
    """One meter's status word.

    The program's digest is compared with the first one seen of the same version: another version is
    an update and is learnt, other files under the same version are an error.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        kept = kept or {}
        self._errors = {Digit(digit) for digit in kept.get("errors", ())}
        self._learnt_digest: str | None = kept.get("program_digest")
        self._version: str | None = kept.get("program_version")
        # Conditions of the moment: told again by the first `advance`.
        self._now = {Digit(digit) for digit in kept.get("now", ())}
        self._seen_digest = self._learnt_digest

    @property
    def digits(self) -> frozenset[Digit]:
        """The places that show a 1."""
        return frozenset(self._errors | self._now)

    @property
    def errors(self) -> frozenset[Digit]:
        """What self-tests found and nobody has cleared."""
        return frozenset(self._errors)

    @property
    def has_errors(self) -> bool:
        """Whether a self-test's error stands: what is stored meanwhile is flagged."""
        return bool(self._errors)

    @property
    def text(self) -> str:
        """As it is shown: ``"0000100"`` for a strong field."""
        return f"{sum(10 ** (digit - 1) for digit in self.digits):07d}"

    @property
    def bits(self) -> int:
        """As a number with bit 0 for the first digit from the right."""
        return sum(1 << (digit - 1) for digit in self.digits)

    def advance(self, *, magnet: bool, cover_open: bool, external_alarm: bool = False) -> None:
        """Take over what is so now: these digits clear with their source."""
        for digit, is_so in (
            (Digit.MAGNET, magnet),
            (Digit.COVER, cover_open),
            (Digit.EXTERNAL, external_alarm),
        ):
            if is_so:
                self._now.add(digit)
            else:
                self._now.discard(digit)

    def report(
        self,
        now_s: int,
        *,
        store_ok: bool | None = None,
        memory_ok: bool | None = None,
        program_digest: str | None = None,
        program_version: str = "",
    ) -> list[Event]:
        """Results of self-tests (None: not run). Each error is told once until it is cleared."""
        events = self._judge(Digit.STORE, store_ok, now_s)
        events += self._judge(Digit.MEMORY, memory_ok, now_s)
        if program_digest is not None:
            if self._learnt_digest is None or program_version != self._version:
                self._learnt_digest, self._version = program_digest, program_version
            self._seen_digest = program_digest
            events += self._judge(Digit.PROGRAM, program_digest == self._learnt_digest, now_s)
        return events

    def clear_errors(self, now_s: int) -> list[Event]:
        """The utility says that it is seen to; a test that still fails will tell anew.

        The program as it is now becomes the right one. Nothing happens where there is no error.
        """
        if not self._errors:
            return []
        detail = ", ".join(str(int(digit)) for digit in sorted(self._errors))
        self._errors.clear()
        self._learnt_digest = self._seen_digest
        return [Event.of("errors_cleared", now_s, detail)]

    def state(self) -> dict[str, Any]:
        """Errors, conditions, and the program that was learnt."""
        return {
            "errors": sorted(int(digit) for digit in self._errors),
            "now": sorted(int(digit) for digit in self._now),
            "program_digest": self._learnt_digest,
            "program_version": self._version,
        }

    def _judge(self, digit: Digit, is_ok: bool | None, now_s: int) -> list[Event]:
        if is_ok is not False or digit in self._errors:
            return []
        self._errors.add(digit)
        return [Event.of(_TESTED[digit], now_s)]
