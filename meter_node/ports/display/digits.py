"""Numbers as an LCD shows them: so many digits before the point, so many behind it, cut off.

Must not know what the numbers mean. Nothing is ever rounded: what is shown is never more than what
the register holds.
"""

from __future__ import annotations

from dataclasses import dataclass

CELLS = 8
"""Places for digits on the glass."""


@dataclass(frozen=True, slots=True)
class DigitFormat:
    """So many digits before and behind the point: 7.0, 6.1, 2.3.

    `wraps`: what does not fit loses its first digits, as a counter that rolls over does; without,
    dashes say that it does not fit.
    """

    whole: int
    decimals: int
    wraps: bool = False

    @classmethod
    def parse(cls, text: str, *, wraps: bool = False) -> DigitFormat:
        """Read `7.0`. Raises ValueError."""
        whole, _, decimals = text.partition(".")
        if not (whole.isdecimal() and decimals.isdecimal()):
            raise ValueError(f"{text!r} is no format of digits; for example 7.0, 6.1 or 2.3")
        return cls(int(whole), int(decimals), wraps)

    @property
    def dashes(self) -> str:
        """What stands where there is no value."""
        return self._pointed("-" * (self.whole + self.decimals))

    def text(self, raw: int | None, scaler: int) -> str:
        """Return a number of so many 10^scaler, leading zeros kept and all that is finer cut off.

        A negative number has its sign before the digits and is cut towards zero; zero has none.
        """
        if raw is None:
            return self.dashes
        power = scaler + self.decimals
        if power > 0:
            raise ValueError(f"{self.decimals} decimals of a number in steps of 10^{scaler}")
        shown = int(abs(raw) // 10**-power)
        limit = 10 ** (self.whole + self.decimals)
        if self.wraps:
            shown %= limit
        elif shown >= limit:
            return self.dashes
        digits = self._pointed(f"{shown:0{self.whole + self.decimals}d}")
        return f"-{digits}" if raw < 0 and shown else digits

    def _pointed(self, digits: str) -> str:
        if not self.decimals:
            return digits
        return f"{digits[: self.whole]}.{digits[self.whole :]}"
