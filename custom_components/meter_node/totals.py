"""Totals of energy that never go down: what is shown where a register fell, rolled over, came back.

Must not know how frames come, nor who shows them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from homeassistant.util import dt as dt_util

from . import falls
from .channel import registers
from .store import MeterRecord, MeterStore

_LOGGER = logging.getLogger(__name__)

SELDOM = timedelta(minutes=5)
"""Totals that come no more often are written at once: a crash would show the earlier for long."""

LEAST_RETURN_WH = 20_000
"""A register does not go on by so much in one step, however long an hour's list was waited for."""

_ENERGIES = tuple(register.key for register in registers.REGISTERS if register.is_energy)
_TOTALS = frozenset(_ENERGIES)


class Totals:
    """What is shown of one meter's energy registers (Wh)."""

    def __init__(self, name: str, record: MeterRecord, store: MeterStore, needed: int) -> None:
        """So many frames in a row have to agree that a register fell."""
        self._name = name
        self._record = record
        self._store = store
        self._needed = needed
        self._held: dict[str, float] = {}  # totals that the meter now gives lower than before
        self._agreeing: Counter[str] = Counter()  # frames in a row that give a held total so
        self._came: datetime | None = None  # since the start
        self._seldom = False

    @property
    def fallen(self) -> dict[str, tuple[float, float]]:
        """Totals that are held, by register key: what is shown, and what the meter gives (Wh)."""
        return {
            key: (self._record.totals[key], self._record.bases.get(key, 0) + register)
            for key, register in self._held.items()
            if self._agreeing[key] >= self._needed
        }

    def base(self, key: str) -> float:
        """Return what is shown above the meter's own register, since it once went back."""
        return self._record.bases.get(key, 0)

    @property
    def came_s(self) -> int | None:
        """When totals came last (UTC seconds, by the meter's clock), None where none ever did."""
        return self._record.came_s

    def shown_wh(self, key: str, at_s: int, register: float) -> float:
        """Return what was shown of a register that stood so at a moment (UTC seconds)."""
        steps = self._record.steps.get(key, ())
        return falls.shown_wh(steps, self.base(key), at_s, register)

    def take(
        self, pushed: Mapping[str, float], before: Mapping[str, float], at_s: int
    ) -> dict[str, float]:
        """Return the values of a frame of that moment (UTC seconds), with totals as shown.

        Those that came with an earlier one are among them.

        Real meters send totals once an hour only; an instantaneous value that is not sent any
        more is none any more.
        """
        values = {**pushed}
        totals = self._record.totals
        if not _TOTALS.isdisjoint(pushed):
            now, came = dt_util.utcnow(), self._came
            self._seldom = came is None or now - came >= SELDOM
            self._came = now
        as_shown = not self._record.bases and not self._held
        for key in _ENERGIES:
            value = values.get(key)
            if value is None:
                if key in before:
                    values[key] = before[key]
            elif not as_shown or value != totals.get(key):
                values[key] = self._total(key, value, at_s)
        if not _TOTALS.isdisjoint(pushed):
            self._record.came_s = at_s  # written with what has changed
        return values

    def count_on(self) -> dict[str, float]:
        """Take the registers that fell as they are: what is shown goes on from where it stands.

        A lower total would be taken for a meter that began at zero: all of it would be counted
        once more as consumption. Returns by how much more (Wh) each is now shown above its
        register.
        """
        record, moved_wh = self._record, {}
        for key in self.fallen:
            register, before = self._held.pop(key), self.base(key)
            record.falls[key] = [record.totals[key] - before, register, before]
            record.bases[key] = record.totals[key] - register
            record.steps[key] = falls.with_base(record.steps[key], record.bases[key])
            moved_wh[key] = record.bases[key] - before
            del self._agreeing[key]
        self._store.async_changed()
        return moved_wh

    def _total(self, key: str, register: float, at_s: int) -> float:
        """Return a total that never goes down, but for a roll-over of the register."""
        before = self._record.totals.get(key)
        if key in self._record.falls and before is not None:
            self._look_for_return(key, before - self.base(key), register, at_s)
        value = register + self.base(key)
        if before is not None and value < before:
            if before > 0.9 * registers.ROLLOVER_WH and value < 0.1 * registers.ROLLOVER_WH:
                _LOGGER.warning("%s: %s rolled over", self._name, key)
            else:
                if key not in self._held:
                    _LOGGER.warning(
                        "%s: %s fell from %s to %s; the higher value is kept until it is reached",
                        self._name,
                        key,
                        before,
                        value,
                    )
                step = self._step(key, at_s, register, self.base(key))
                noted = self._record.steps.get(key, ())
                self._note_steps(key, falls.with_fall(noted, step, self._held.get(key)))
                agrees = register >= self._held.get(key, register)
                self._agreeing[key] = self._agreeing[key] + 1 if agrees else 1
                self._held[key] = register
                return before
        if key in self._held:
            del self._held[key], self._agreeing[key]
            self._note_steps(key, falls.made_good(self._record.steps[key], self._dated(key, at_s)))
        if value != before:
            self._record.totals[key] = value
            self._store.async_changed(soon=self._seldom)
        return value

    def _step(self, key: str, at_s: int, register: float, base: float) -> falls.Step:
        """Return what is known of a register that stands elsewhere now, with another base."""
        record, first_s, known_s = self._record, self._dated(key, at_s), self._known_s(key)
        if record.came_s is None and known_s:
            known_s -= 1  # an earlier version, which may have filled after the fall, kept none
        last_s = min(known_s or first_s, first_s)
        return falls.Step(last_s, first_s, register, self.base(key), base, record.totals[key])

    def _known_s(self, key: str) -> int:
        """Up to when a total is known or filled (UTC seconds)."""
        _, filled_s = self._record.history.get(key, (0, 0))
        return max(self._record.came_s or 0, filled_s)

    def _dated(self, key: str, at_s: int) -> int:
        return falls.dated(at_s, self._known_s(key), int(dt_util.utcnow().timestamp()))

    def _note_steps(self, key: str, steps: list[list[float]]) -> None:
        if steps != self._record.steps.get(key):
            self._record.steps[key] = steps
            self._store.async_changed()

    def _look_for_return(self, key: str, before: float, register: float, at_s: int) -> None:
        """Give a base up whose register came back to where it had fallen from: nothing was lost."""
        fell_from, fell_to, base = self._record.falls[key]
        if not came_back(fell_from, fell_to, before, register):
            return
        _LOGGER.warning(
            "%s: %s came back from %s to %s; it counts from there, and not on top of it",
            self._name,
            key,
            before,
            register,
        )
        step = self._step(key, at_s, register, base)
        self._note_steps(key, falls.with_step(self._record.steps.get(key, ()), step))
        del self._record.falls[key]
        self._record.bases[key] = base
        if not base:
            del self._record.bases[key]
        self._store.async_changed()


def came_back(fell_from: float, fell_to: float, before: float, register: float) -> bool:
    """Whether a register (Wh) stands again where it fell from: by one step, not by being used.

    An absence of weeks is a great step too. So one counts that makes good half of the fall at once,
    and more than a house uses in an hour, up to where it fell from; a tenth of the fall may lack,
    as one that is restored from a back-up stands somewhat lower.
    """
    fell = fell_from - fell_to
    near = fell_from - 0.1 * fell
    return before < near <= register and register - before >= max(fell / 2, LEAST_RETURN_WH)
