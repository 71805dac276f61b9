"""What was paid for import and is owed for export, in all: energy at the price of when it was used.

The counters of verified frames alone make them grow. Must not know entities, a clock or a store:
counters come in with the meter's time, prices by ``pricing``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from .channel.registers import ROLLOVER_WH, TARIFFS
from .pricing import LONGEST_GUESS, Prices, Pricing

IMPORT_COST = "import_cost"
EXPORT_COMPENSATION = "export_compensation"

_WH_A_KWH = 1000
_EXACT = Decimal("0.000000001")
_NEAR_ROLLOVER = 0.9


class _Counted(NamedTuple):
    """Up to where a counter was priced."""

    wh: float
    at: datetime


@dataclass(frozen=True, slots=True)
class _Direction:
    key: str
    register: str

    def prices(self, pricing: Pricing) -> Prices:
        return pricing.imported if self.key == IMPORT_COST else pricing.exported


_DIRECTIONS = (
    _Direction(IMPORT_COST, "import_active_energy"),
    _Direction(EXPORT_COMPENSATION, "export_active_energy"),
)


class Costs:
    """The totals by key, in one currency."""

    def __init__(self) -> None:
        """Begin with nothing priced."""
        self.currency = ""
        self.totals: dict[str, Decimal] = {}
        """A key is there, at 0, from when a counter and its price are known."""
        self.since: dict[str, datetime | None] = {}
        """When each total began at nothing; None for one that an earlier version had begun."""
        self.unpriced_wh = 0.0
        """Left out, since no price was known for the time in which it was used."""
        self._counted: dict[str, _Counted] = {}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.currency = kept.get("currency", "")
        self.totals = {key: Decimal(total) for key, total in kept.get("totals", {}).items()}
        since_s = kept.get("since", {})
        self.since = {
            key: datetime.fromtimestamp(since_s[key], UTC) if since_s.get(key) else None
            for key in self.totals
        }
        self.unpriced_wh = kept.get("unpriced_wh", 0.0)
        self._counted = {
            register: _Counted(wh, datetime.fromtimestamp(at_s, UTC))
            for register, (wh, at_s) in kept.get("counted", {}).items()
        }

    def state(self) -> dict[str, Any]:
        """Return what goes on after a restart."""
        return {
            "currency": self.currency,
            "totals": {key: str(total) for key, total in self.totals.items()},
            "since": {key: since and since.timestamp() for key, since in self.since.items()},
            "unpriced_wh": self.unpriced_wh,
            "counted": {
                register: [counted.wh, counted.at.timestamp()]
                for register, counted in self._counted.items()
            },
        }

    def book(
        self,
        pricing: Pricing,
        counters_wh: Mapping[str, float],
        at: datetime,
        *,
        by_tariff: bool,
    ) -> None:
        """Price what the counters have gone on since they came last.

        Over an absence the mean price of that time counts, never that of the return. Where the
        meter counts by the calendar's tariffs, each tariff's counter has its own price
        (`by_tariff`). A counter that comes for the first time, or began anew, is a start only: the
        total of its direction stands at 0 from then on, if a price is known, so that it can be
        chosen before anything was paid (a house may export for weeks).
        """
        if pricing.currency != self.currency:
            self.currency = pricing.currency
            self.totals = {}
            self.since = {}
        at = at.astimezone(UTC)
        for direction in _DIRECTIONS:
            prices = direction.prices(pricing)
            for register, tariff in _registers(direction.register, counters_wh, by_tariff):
                wh = counters_wh[register]
                energy_wh = self._gone_on(register, wh, at)
                if direction.key not in self.totals:
                    self._begin(direction.key, pricing, prices, tariff, at)
                if not prices.any or energy_wh == 0:
                    self._counted[register] = _Counted(wh, at)
                    continue
                self._price(direction.key, pricing, prices, register, tariff, energy_wh, at)
            self._pass_over(direction.register, counters_wh, at, by_tariff)
        for key in self.totals:
            self.since.setdefault(key, at)

    def _pass_over(
        self, total: str, counters_wh: Mapping[str, float], at: datetime, by_tariff: bool
    ) -> None:
        """Let the counters that were not priced now start from here: theirs was priced by others.

        Which ones are priced changes with the choice of tariff.
        """
        used = {register for register, _ in _registers(total, counters_wh, by_tariff)}
        if not used:
            return
        for register in (total, *(f"{total}_t{tariff}" for tariff in TARIFFS)):
            if register in used:
                continue
            if register in counters_wh:
                self._counted[register] = _Counted(counters_wh[register], at)
            elif (register == total) != (total in used):
                self._counted.pop(register, None)

    def _begin(
        self, key: str, pricing: Pricing, prices: Prices, tariff: int | None, at: datetime
    ) -> None:
        """Let a total stand at 0 from when a price is known; an old preset's may never be."""
        in_force = pricing.tariff_at(at) if tariff is None else tariff
        if prices.price(in_force, at, pricing.zone) is not None:
            self.totals[key] = Decimal(0)

    def _gone_on(self, register: str, wh: float, at: datetime) -> float:
        """Return what a counter has gone on, over a roll-over too; 0 where it begins."""
        before = self._counted.get(register)
        if before is None:
            return 0.0
        if wh >= before.wh:
            return wh - before.wh
        rolled_over = before.wh > _NEAR_ROLLOVER * ROLLOVER_WH
        return wh + ROLLOVER_WH - before.wh if rolled_over else 0.0

    def _price(
        self,
        key: str,
        pricing: Pricing,
        prices: Prices,
        register: str,
        tariff: int | None,
        energy_wh: float,
        at: datetime,
    ) -> None:
        before = self._counted[register]
        if before.at < at:
            price = pricing.mean(prices, before.at, at, tariff)
        else:  # the meter's clock was set back
            price = prices.price(tariff or pricing.tariff_at(at), at, pricing.zone)
        if price is None and at - before.at <= LONGEST_GUESS:
            return  # a price may still come: a spot sensor starts later than we do
        now_wh = (before.wh + energy_wh) % ROLLOVER_WH
        self._counted[register] = _Counted(now_wh, at)
        if price is None:
            self.unpriced_wh += energy_wh
            return
        amount = price * Decimal(str(energy_wh)) / _WH_A_KWH
        self.totals[key] = (self.totals.get(key, Decimal(0)) + amount).quantize(_EXACT)


def _registers(
    total: str, counters_wh: Mapping[str, float], by_tariff: bool
) -> Iterator[tuple[str, int | None]]:
    """Yield the counters to price with their tariff: those by tariff where they came, or one."""
    if by_tariff and f"{total}_t1" in counters_wh:
        for tariff in TARIFFS:
            if f"{total}_t{tariff}" in counters_wh:
                yield f"{total}_t{tariff}", tariff
    elif total in counters_wh:
        yield total, None
