"""A second meter, as plain as can be: what the whole one must agree with after every step.

Written from the description of the meter and the tables of the standards: big integers that never
roll over, lists that are added up anew, sets of letters. Nothing of the meter's own code is called
here; what it draws by chance (a relay's delay) is told and held against its range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

NANO = 10**9
ROLLOVER_NWH = 10**7 * 1000 * NANO
"""10⁷ kWh."""
ZONE = ZoneInfo("Europe/Copenhagen")
HOUR_S, DAY_S = 3600, 86_400
RESERVE_S = 48 * HOUR_S
SLEW_LIMIT_NS, SLEW_PPM = 2 * NANO, 500
TRIES_AN_HOUR = 5
POWER_DOWN, CLOCK_ADJUSTED, SUMMER, CLOCK_INVALID = 7, 5, 3, 1
"""Bits of a profile's status."""

MODES = {0: "", 1: "bcfgde", 2: "bcfgae", 3: "bcgde", 4: "bcgae", 5: "bcfgdeh", 6: "bcgdeh"}
"""IEC 62056-6-2, class 70: a remote on, b and c remote off, d ready, e button on, f button off,
g the meter off, h the meter on."""

TARIFFED = (
    "import_active_energy",
    "export_active_energy",
    "import_reactive_energy",
    "export_reactive_energy",
)


def _every_day(switches: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {
        "id": 1,
        "switches": [{"at": f"{hour:02}:00", "tariff": tariff} for hour, tariff in switches],
    }


def _calendar(
    name: str, tariffs: int, days: list[dict[str, Any]], week: list[int], special: list[Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "tariffs": tariffs,
        "days": days,
        "weeks": [{"name": "week", "days": week}],
        "seasons": [{"name": "year", "start": "01-01", "week": "week"}],
        "special_days": special,
    }


CALENDARS = {
    "one": _calendar("one", 1, [_every_day([(0, 1)])], [1] * 7, []),
    "peak": _calendar(
        "peak",
        3,
        [_every_day([(0, 1), (6, 2), (17, 3), (21, 2)]), {**_every_day([(0, 1)]), "id": 2}],
        [1, 1, 1, 1, 1, 2, 2],
        [{"date": "*-03-30", "day": 2}],
    ),
    "eight": _calendar("eight", 8, [_every_day([(3 * n, n + 1) for n in range(8)])], [1] * 7, []),
}
"""What is uploaded; `tariff_at` says the same in three lines of its own."""


def is_special(calendar: str, day: date) -> bool:
    return calendar == "peak" and (day.month, day.day) == (3, 30)


def tariff_at(calendar: str, wall: datetime) -> int:
    if calendar == "eight":
        return wall.hour // 3 + 1
    if calendar == "peak" and wall.weekday() < 5 and not is_special(calendar, wall.date()):
        return 3 if 17 <= wall.hour < 21 else 2 if wall.hour >= 6 else 1
    return 1


def wall(utc_s: int) -> datetime:
    return datetime.fromtimestamp(utc_s, ZONE)


def midnight_after(utc_s: int) -> int:
    day = wall(utc_s).date() + timedelta(days=1)
    return round(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp())


def month(utc_s: int) -> int:
    return wall(utc_s).year * 12 + wall(utc_s).month


def nearest(at_ns: int) -> int:
    return round(at_ns / NANO)


def parts(active: int, reactive: int) -> dict[str, int]:
    """Directions and quadrants of one pair of energies (IEC 62053-23, annex C)."""
    quadrant = (1 if reactive > 0 else 4) if active >= 0 else (2 if reactive > 0 else 3)
    return {
        "import_active_energy": max(active, 0),
        "export_active_energy": max(-active, 0),
        "import_reactive_energy": max(reactive, 0),
        "export_reactive_energy": max(-reactive, 0),
        **{f"reactive_energy_q{q}": abs(reactive) * (q == quadrant) for q in (1, 2, 3, 4)},
    }


NAMES = tuple(parts(0, 0))


class Load(NamedTuple):
    """What one phase does for the whole of a step."""

    active_nwh: int = 0
    reactive_nvarh: int = 0
    power_w: float = 0.0
    voltage_v: float = 230.0


class ExpectedRow(NamedTuple):
    """A profile's row as it must come."""

    profile: str
    entry: int
    time_s: int
    status: int
    values: tuple[int, ...] | None


class ExpectedBill(NamedTuple):
    """A billing row as it must come."""

    kind: str
    entry: int
    time_s: int
    reason: str
    values: dict[str, int]


class Closed(NamedTuple):
    """An interval that has ended."""

    end_s: int
    whole: bool
    status: int


class Window:
    """The running interval as the list of what was measured of it."""

    def __init__(self, minutes: int) -> None:
        self.length_s = 60 * minutes
        self.begin_s = self.end_s = 0
        self.pieces: list[tuple[int, int]] | None = None
        self.bits: set[int] = set()

    @property
    def measured_s(self) -> int:
        return sum(end - start for start, end in self.pieces or ())

    def open(self, begin_s: int, bits: Iterable[int] = ()) -> None:
        self.begin_s, self.bits, self.pieces = begin_s, set(bits), []
        self.end_s = (begin_s // self.length_s + 1) * self.length_s

    def wake(self, start_s: int) -> list[Closed]:
        """Power is back, or comes for the first time."""
        closed = []
        if self.pieces is not None:
            if start_s < self.end_s:
                self.bits.add(POWER_DOWN)
                return []
            if self.measured_s:
                self.bits.add(POWER_DOWN)
                closed = [self._closed(self.end_s)]
        self.open(start_s // self.length_s * self.length_s)
        if start_s > self.begin_s:
            self.bits.add(POWER_DOWN)
        return closed

    def step(self, start_s: int, end_s: int, valid: bool) -> list[Closed]:
        assert self.pieces is not None
        self.pieces.append((start_s, min(end_s, self.end_s)))
        if not valid:
            self.bits.add(CLOCK_INVALID)
        if end_s < self.end_s:
            return []
        boundary_s = self.end_s
        closed = self._closed(boundary_s)
        self.open(boundary_s)
        self.pieces = [(boundary_s, end_s)]
        return [closed]

    def clock_stepped(self, old_s: int, new_s: int) -> list[Closed]:
        closed = []
        if self.measured_s:
            self.bits.add(CLOCK_ADJUSTED)
            closed = [self._closed(old_s)]
        self.open(new_s, {CLOCK_ADJUSTED})
        return closed

    def _closed(self, end_s: int) -> Closed:
        bits = self.bits | ({SUMMER} if wall(self.begin_s).dst() else set())
        return Closed(end_s, self.measured_s == self.length_s, sum(1 << bit for bit in bits))


class PlainBreaker:
    """Disconnect control by the standard's letters and a set of causes."""

    def __init__(self) -> None:
        self.mode, self.consumer_may, self.hold_s = 5, False, 6
        self.closed, self.wants_button = True, False
        self.causes: set[str] = set()
        self.held_s: int | None = None
        self.used = False
        self.closings = 0

    @property
    def allows(self) -> str:
        return MODES[self.mode]

    def open(self, cause: str) -> None:
        self.causes.add(cause)
        self.closed = False

    def close(self) -> None:
        assert self.causes <= {"manual"}
        self.causes, self.closed, self.wants_button = set(), True, False
        self.closings += 1

    def want(self, cause: str, wanted: bool, button: bool = False) -> None:
        """The limiter or the credit says whether it wants the supply off."""
        if wanted and "g" in self.allows:
            self.open(cause)
        elif not wanted and cause in self.causes:
            self.causes.discard(cause)
            self.wants_button |= button
            if not self.causes and not self.wants_button and "h" in self.allows:
                self.close()

    def disconnect(self, consumer: bool) -> bool:
        if consumer or "b" not in self.allows:
            return False
        self.open("remote")
        return True

    def reconnect(self, consumer: bool) -> bool:
        if consumer:
            if self.closed:
                return True
            if self.causes or self.wants_button or "a" not in self.allows or not self.consumer_may:
                return False
            self.close()
            return True
        if "neutral" in self.causes:
            return False
        if self.closed:
            return True
        if "remote" in self.causes and "d" in self.allows:
            self.wants_button = True
        self.causes.discard("remote")
        if "a" in self.allows and not self.causes:
            self.close()
        return True

    def clear_neutral(self) -> None:
        if "neutral" in self.causes:
            self.causes.discard("neutral")
            self.wants_button = True

    def look_at_button(self, pressed: bool, seconds: int, gap: bool) -> None:
        if not pressed:
            self.held_s, self.used = None, False
        elif gap:
            self.held_s, self.used = 0, True
        else:
            begins, self.held_s = self.held_s is None, (self.held_s or 0) + seconds
            if begins and not self.closed:
                self.used = True
                if self.causes <= {"manual"}:
                    self.close()
            elif (
                self.closed and not self.used and "f" in self.allows and self.held_s >= self.hold_s
            ):
                self.used = True
                self.open("manual")


class PlainLimiter:
    """A limit, how long it was exceeded, and what is done then."""

    def __init__(self) -> None:
        self.set: dict[str, Any] = {
            "normal_w": None,
            "emergency_w": None,
            "prepaid_maximum_w": None,
            "over_s": 30,
            "under_s": 10,
            "waiting_s": 60,
            "retries": 3,
            "window_s": 3600,
            "final": "ready",
            "emergency_groups": (),
        }
        self.prepaid = False
        self.emergency: list[int] | None = None
        self.emergency_active = False
        self.over: list[int] = []
        self.under: list[int] = []
        self.opens = self.exceeded = self.final = False
        self.due_s: int | None = None
        self.trips: list[int] = []

    @property
    def threshold(self) -> float | None:
        limits = [self.set["emergency_w" if self.emergency_active else "normal_w"]]
        if self.prepaid:
            limits.append(self.set["prepaid_maximum_w"])
        return min((limit for limit in limits if limit is not None), default=None)

    def follow_emergency(self, now_s: int) -> None:
        assert self.emergency is not None
        before = self.threshold
        _, at_s, lasts_s = self.emergency
        self.emergency_active = at_s <= now_s < at_s + lasts_s
        if now_s >= at_s + lasts_s:
            self.emergency = None
        self.changed(before)

    def changed(self, before: float | None) -> None:
        if self.threshold != before:
            self.over = []

    def activate(self, group: int, at_s: int, lasts_s: int, now_s: int) -> bool:
        if group not in self.set["emergency_groups"] or self.set["emergency_w"] is None:
            return False
        if [group, at_s, lasts_s] != self.emergency:
            self.emergency = [group, at_s, lasts_s]
            self.follow_emergency(now_s)
        return True

    def end_emergency(self) -> None:
        before = self.threshold
        self.emergency, self.emergency_active = None, False
        self.changed(before)

    def use_prepaid(self, enabled: bool) -> None:
        before = self.threshold
        self.prepaid = enabled and self.set["prepaid_maximum_w"] is not None
        self.changed(before)

    def configure(self, changes: dict[str, Any]) -> None:
        before = self.threshold
        self.set = {**self.set, **changes}
        if self.set["emergency_w"] is None:
            self.emergency, self.emergency_active = None, False
        self.prepaid = self.prepaid and self.set["prepaid_maximum_w"] is not None
        self.changed(before)
        if self.threshold is None:
            self.reset()

    def reset(self) -> None:
        self.over, self.under, self.trips = [], [], []
        self.final = self.final and self.opens
        self.exceeded = self.opens = False
        self.due_s = None

    def step(self, value_w: float, end_s: int, seconds: int, gap: bool, valid: bool) -> None:
        if self.emergency is not None and valid:
            self.follow_emergency(end_s)
        was_open = self.opens
        if self.due_s is not None and end_s >= self.due_s:
            self.due_s, self.opens = None, False
        if gap:
            self.over, self.under = [], []
        limit = self.threshold
        if limit is None:
            self.over = []
            if not self.opens:
                self.exceeded = False
        elif was_open:
            self.over, self.under = [], []
        elif value_w > limit:
            self.under = []
            self.over.append(seconds)
            if sum(self.over) >= self.set["over_s"]:
                self._trip(end_s)
        else:
            self.over = []
            self.under.append(seconds)
            if sum(self.under) >= self.set["under_s"]:
                self.exceeded = False

    def _trip(self, now_s: int) -> None:
        if self.final or (self.trips and now_s >= self.trips[0] + self.set["window_s"]):
            self.trips = []
        self.final = len(self.trips) >= self.set["retries"]
        self.trips.append(now_s)
        self.over, self.under = [], []
        self.exceeded = self.opens = True
        stays = self.final and self.set["final"] == "open"
        self.due_s = None if stays else now_s + self.set["waiting_s"]

    def move(self, by_s: int) -> None:
        if self.due_s is not None:
            self.due_s += by_s
        self.trips = [at_s + by_s for at_s in self.trips]
        if self.emergency_active and self.emergency is not None:
            self.emergency[1] += by_s


class PlainCredit:
    """What was paid less what was drawn; a loan is owed until it is repaid."""

    def __init__(self) -> None:
        self.set: dict[str, Any] = {
            "enabled": False,
            "low_credit_wh": 20_000,
            "emergency_credit_wh": 5_000,
            "maximum_credit_wh": 10_000_000,
            "friendly_from_minute": 18 * 60,
            "friendly_until_minute": 9 * 60,
        }
        self.paid: list[int] = []
        self.drawn: list[int] = []
        self.debt_nwh = 0
        self.highest = 0
        self.cut = False
        self.tries_s: list[int] = []

    @property
    def credit_nwh(self) -> int:
        """credit − debt = top-ups − consumption since prepayment was switched on."""
        return sum(self.paid) * NANO - sum(self.drawn) + self.debt_nwh

    def configure(self, changes: dict[str, Any]) -> None:
        before = self.set["enabled"]
        self.set = {**self.set, **changes}
        if before and not self.set["enabled"]:
            self.paid, self.drawn, self.debt_nwh, self.cut = [], [], 0, False
        self.rearm()

    def rearm(self) -> None:
        if self.credit_nwh > 0:
            self.cut = False

    def enter(self, kind: str, sequence: int, credit_wh: int, now_s: int) -> str:
        """Return "accepted", or why not."""
        if not self.set["enabled"]:
            return "off"
        self.tries_s = [at_s for at_s in self.tries_s if now_s - at_s < HOUR_S]
        if len(self.tries_s) >= TRIES_AN_HOUR:
            return "locked"
        if kind == "mistyped":
            return kind
        if kind in ("forged", "neighbours"):
            self.tries_s.append(now_s)
            return kind
        if sequence <= self.highest:
            return "spent"
        repaid = min(self.debt_nwh, credit_wh * NANO)
        if self.credit_nwh + credit_wh * NANO - repaid > self.set["maximum_credit_wh"] * NANO:
            return "above the maximum"
        self.highest = sequence
        self.paid.append(credit_wh)
        self.debt_nwh -= repaid
        self.rearm()
        return "accepted"

    def borrow(self) -> bool:
        loan = self.set["emergency_credit_wh"] * NANO
        low = self.credit_nwh <= self.set["low_credit_wh"] * NANO
        if not self.set["enabled"] or self.debt_nwh or not low or self.credit_nwh + loan <= 0:
            return False
        self.debt_nwh = loan
        self.rearm()
        return True

    def step(self, imported_nwh: int, now_s: int, valid: bool, calendar: str) -> None:
        if not self.set["enabled"]:
            return
        self.drawn.append(imported_nwh)
        if self.credit_nwh <= 0 and valid and not self.is_friendly(now_s, calendar):
            self.cut = True

    def is_friendly(self, now_s: int, calendar: str) -> bool:
        at = wall(now_s)
        if at.weekday() >= 5 or is_special(calendar, at.date()):
            return True
        begin, until = self.set["friendly_from_minute"], self.set["friendly_until_minute"]
        minutes = list(range(begin, until if until >= begin else until + 1440))
        return at.hour * 60 + at.minute in [minute % 1440 for minute in minutes]


class PlainRelay:
    """One load relay: the strongest that commands decides, and only towards on is waited."""

    def __init__(self) -> None:
        self.own, self.delay_s, self.consumer_may = "off", 0, True
        self.tariffs: tuple[int, ...] = ()
        self.commands: dict[str, bool | None] = {"utility": None, "consumer": None}
        self.own_on = self.on = self.drawing = False
        self.due_s: int | None = None

    def configure(self, own: str, tariffs: tuple[int, ...], delay_s: int, may: bool) -> None:
        self.own, self.tariffs, self.delay_s, self.consumer_may = own, tariffs, delay_s, may
        if own == "off":
            self.own_on = False
        if not may:
            self.commands["consumer"] = None

    def command(self, command: str, by: str, now_s: int) -> bool:
        if by == "consumer" and not self.consumer_may:
            return False
        on = {"automatic": None, "on": True, "off": False}[command]
        if self.commands[by] is not on:
            self.commands[by] = on
            self.follow(now_s)
        return True

    def step(self, tariff: int, end_s: int, valid: bool) -> None:
        if valid and self.own == "tariff":
            self.own_on = tariff in self.tariffs
        self.follow(end_s)

    def follow(self, now_s: int) -> None:
        by = next((who for who in ("utility", "consumer") if self.commands[who] is not None), None)
        wanted = self.own_on if by is None else self.commands[by]
        if not wanted:
            self.on, self.due_s = False, None
        elif not self.on:
            if by == "consumer" or (self.due_s is None and not self.delay_s):
                self.on, self.due_s = True, None
            elif self.due_s is None:
                self.drawing = True
            elif now_s >= self.due_s:
                self.on, self.due_s = True, None

    def told(self, on: bool, pending_s: int | None, now_s: int) -> None:
        """Hear what was drawn: it must lie within 0 to the delay, and is never drawn again."""
        if self.drawing:
            self.drawing = False
            self.on, self.due_s = on, pending_s
            assert on == (pending_s is None)
            assert pending_s is None or now_s < pending_s <= now_s + self.delay_s
        assert (on, pending_s) == (self.on, self.due_s)


class PlainDemand:
    """Whole intervals of one direction, the highest of the month among them."""

    def __init__(self) -> None:
        self.energy_nwh = 0
        self.last: tuple[int, int] | None = None
        self.whole: list[tuple[int, int]] = []
        self.month: int | None = None

    def close(self, closed: Closed, length_s: int) -> None:
        if closed.whole:
            # nWh in the interval to mW: · 3600 s/h ÷ s ÷ 10⁶ nW/mW
            self.last = (self.energy_nwh * 3600 // (length_s * 10**6), closed.end_s)
            self.whole.append(self.last)
            self._forget()
        self.energy_nwh = 0

    @property
    def highest(self) -> tuple[int, int] | None:
        """The first of the highest that ended in the month, or at the midnight that ends it."""
        return max(self._of(self.month), key=lambda demand: demand[0], default=None)

    def other_interval(self) -> None:
        self.energy_nwh, self.last = 0, None
        self.whole = self._of(None if self.month is None else self.month - 1)

    def _of(self, wanted: int | None) -> list[tuple[int, int]]:
        return [demand for demand in self.whole if month(demand[1] - 1) == wanted]

    def _forget(self) -> None:
        """All but the six months measured last, and the running one."""
        newest_first = [month(end_s - 1) for _, end_s in reversed(self.whole)]
        stay = [*dict.fromkeys(newest_first)][:6]
        self.whole = [
            demand for demand in self.whole if month(demand[1] - 1) in (*stay, self.month)
        ]


class PlainMeter:
    """All of it; `advance` in the order of the design: tariff, energy, windows, supply, relays."""

    def __init__(self, phases: int, summation: str, relays: int, start_nwh: dict[str, int]) -> None:
        self.phases, self.summation = phases, summation
        keys = [*NAMES, *(f"{name}_l{phase + 1}" for name in NAMES for phase in range(phases))]
        keys += [f"{name}_t{tariff}" for name in TARIFFED for tariff in range(1, 9)]
        keys += [f"other_{name}" for name in NAMES]
        self.energies = dict.fromkeys(keys, 0) | start_nwh
        self.customer_base = 0
        self.on_s = 0
        self.source_ns = self.offset_ns = self.slew_ns = self.now_ns = self.end_s = 0
        self.valid, self.asleep, self.awake_first = True, True, True
        self.calendar = "one"
        self.passive: tuple[str, int | None] = ("", None)
        self.by_calendar, self.tariff_saw_valid = 1, True
        self.override: list[int] | None = None
        self.billing_due = False
        self.breaker, self.limiter, self.credit = PlainBreaker(), PlainLimiter(), PlainCredit()
        self.relays = [PlainRelay() for _ in range(relays)]
        self.neutral_cut, self.neutral_delay_s = False, 60
        self.neutral_since_ns: int | None = None
        self.neutral_fault = False
        self.demand_window = Window(15)
        self.demands = {"import": PlainDemand(), "export": PlainDemand()}
        self.month: int | None = None
        self.month_end_s = 0
        self.windows = {"load_profile": Window(15), "analysis_log": Window(15)}
        self.entries = {"load_profile": 0, "analysis_log": 0}
        self.load_mode, self.load_captures = "absolute", TARIFFED
        self.load_interval_min = self.demand_interval_min = 15
        self.profile_first = 1
        self.profile_base: dict[str, int] | None = None
        self.midnight_s: int | None = None
        self.bills = {"daily": 0, "monthly": 0, "change": 0}
        self.rows: list[ExpectedRow] = []
        self.billing: list[ExpectedBill] = []
        self.whole_windows: set[tuple[int, int]] = set()

    # --- registers -------------------------------------------------------------------------------

    @property
    def tariff(self) -> int:
        return self.override[0] if self.override else self.by_calendar

    def registers(self) -> dict[str, int]:
        return {key: energy % ROLLOVER_NWH for key, energy in self.energies.items()}

    def shown(self) -> dict[str, int]:
        """What a bill holds: whole Wh and varh, hours, the month's maxima in 0.1 W."""
        values = {key: energy // NANO for key, energy in self.registers().items()}
        taken, given = self.energies["import_active_energy"], self.energies["export_active_energy"]
        values["absolute_active_energy"] = (taken + given) % ROLLOVER_NWH // NANO
        values["operating_time"] = self.on_s // HOUR_S
        for name, demand in self.demands.items():
            values[f"{name}_active_demand_maximum"] = round(
                (demand.highest[0] if demand.highest else 0) / 100
            )
        return values

    def net_wh(self) -> int:
        registers = self.registers()
        net = registers["import_active_energy"] - registers["export_active_energy"]
        return abs(net) // NANO * (1 if net >= 0 else -1)

    def _book(self, loads: Sequence[Load]) -> tuple[int, int]:
        single = [parts(load.active_nwh, load.reactive_nvarh) for load in loads]
        added = {name: sum(one[name] for one in single) for name in NAMES}
        vector = parts(
            sum(load.active_nwh for load in loads), sum(load.reactive_nvarh for load in loads)
        )
        feeds, other = (added, vector) if self.summation == "individual" else (vector, added)
        for name in NAMES:
            for phase, one in enumerate(single, start=1):
                self.energies[f"{name}_l{phase}"] += one[name]
            self.energies[name] += feeds[name]
            self.energies[f"other_{name}"] += other[name]
        for name in TARIFFED:
            self.energies[f"{name}_t{self.tariff}"] += feeds[name]
        return feeds["import_active_energy"], feeds["export_active_energy"]

    # --- time ------------------------------------------------------------------------------------

    def set_clock(self, to_ns: int) -> None:
        by_ns = to_ns - self.now_ns
        if self.valid and abs(by_ns) <= SLEW_LIMIT_NS:
            self.slew_ns = by_ns
            return
        self.slew_ns = 0
        self.offset_ns += by_ns
        self.now_ns, self.valid = to_ns, True
        self._clock_stepped(nearest(to_ns))

    def _clock_stepped(self, new_s: int) -> None:
        old_s, self.end_s = self.end_s, new_s
        by_s = new_s - old_s
        if not by_s:
            return
        for name, window in self.windows.items():
            for closed in window.clock_stepped(old_s, new_s):
                self._row(name, closed)
        self.demand_window.clock_stepped(old_s, new_s)
        for demand in self.demands.values():
            demand.energy_nwh = 0
        if self.month is not None and month(new_s) < self.month:
            self._turn_to_month(new_s)
        if self.midnight_s is not None:
            if new_s >= self.midnight_s:
                self._midnight(new_s, "clock_set")
            self.midnight_s = midnight_after(new_s)
        if self.override:
            self.override[1] += by_s
        self.limiter.move(by_s)
        self.credit.tries_s = [at_s + by_s for at_s in self.credit.tries_s]
        for relay in self.relays:
            if relay.due_s is not None:
                relay.due_s += by_s

    def restart(self) -> None:
        """As kept; what the next step is the first of."""
        self.asleep = self.awake_first = True

    def advance(
        self,
        start_ns: int,
        end_ns: int,
        loads: Sequence[Load],
        *,
        button: bool = False,
        trusted: bool = True,
    ) -> None:
        first = not self.source_ns
        if self.asleep:
            self.asleep = False
            if trusted:
                self.valid = True
            elif not 0 <= start_ns - self.source_ns <= RESERVE_S * NANO:
                self.valid = False
        gap = first or start_ns - self.source_ns > NANO // 2
        back = not first and self.source_ns - start_ns > NANO // 2
        at_ns = start_ns + self.offset_ns
        most_ns = (end_ns - start_ns) * SLEW_PPM // 10**6
        moved_ns = min(most_ns, abs(self.slew_ns)) * (1 if self.slew_ns > 0 else -1)
        self.offset_ns += moved_ns
        self.slew_ns -= moved_ns
        self.source_ns, self.now_ns = end_ns, end_ns + self.offset_ns
        if back:
            self._clock_stepped(nearest(at_ns))
        start_s = nearest(at_ns) if gap or back else self.end_s
        end_s = self.end_s = max(nearest(self.now_ns), start_s)
        if gap:
            self._wake(start_s)
        self._follow_tariff(start_s, gap)
        if self.billing_due:
            self._bill("change", start_s, "tariffs")
            self.billing_due = False
        taken, given = self._book(loads)
        self.on_s += (end_ns - start_ns) // NANO
        self._demand(start_s, end_s, taken, given, gap)
        for name, window in self.windows.items():
            for closed in window.step(start_s, end_s, self.valid):
                self._row(name, closed)
        assert self.midnight_s is not None
        if end_s >= self.midnight_s:
            reason = "scheduled" if self.valid else "clock_invalid"
            self._midnight(self.midnight_s, reason, end_s)
        self._watch_neutral(start_ns, end_ns, loads, gap)
        powers = [load.power_w for load in loads]
        value_w = sum(max(power, 0.0) for power in powers)
        if self.summation == "vector":
            value_w = max(sum(powers), 0.0)
        self.limiter.step(value_w, end_s, end_s - start_s, gap, self.valid)
        self.credit.step(taken, end_s, self.valid, self.calendar)
        self.settle()
        self.breaker.look_at_button(button, end_s - start_s, gap)
        for relay in self.relays:
            relay.step(self.tariff, end_s, self.valid)

    def _wake(self, start_s: int) -> None:
        if self.profile_base is None:
            self.profile_base = self.shown()
        for name, window in self.windows.items():
            for closed in window.wake(start_s):
                self._row(name, closed)
        if self.midnight_s is None:
            self.midnight_s = midnight_after(start_s)
        elif start_s >= self.midnight_s:
            self._midnight(start_s, "scheduled" if start_s == self.midnight_s else "late")

    # --- windows and rows ------------------------------------------------------------------------

    def _demand(self, start_s: int, end_s: int, taken: int, given: int, gap: bool) -> None:
        window = self.demand_window
        if gap:
            before = (window.begin_s, bool(window.measured_s))
            window.wake(start_s)
            if before != (window.begin_s, True):
                for demand in self.demands.values():
                    demand.energy_nwh = 0
        if start_s >= self.month_end_s and (self.valid or self.month is None):
            self._turn_to_month(start_s)
        self.demands["import"].energy_nwh += taken
        self.demands["export"].energy_nwh += given
        for closed in window.step(start_s, end_s, self.valid):
            for demand in self.demands.values():
                demand.close(closed, window.length_s)
                if closed.whole and demand.last:
                    self.whole_windows.add(demand.last)

    def _turn_to_month(self, utc_s: int) -> None:
        at = wall(utc_s)
        year, following = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
        self.month_end_s = round(datetime(year, following, 1, tzinfo=ZONE).timestamp())
        self.month = month(utc_s)
        for demand in self.demands.values():
            demand.month = self.month

    def set_demand(self, minutes: int) -> None:
        self.demand_interval_min = minutes
        self.demand_window = Window(minutes)
        self.demand_window.wake(self.end_s)
        for demand in self.demands.values():
            demand.other_interval()

    def set_load_profile(self, minutes: int, mode: str) -> None:
        if (minutes, mode) == (self.load_interval_min, self.load_mode):
            return
        self.load_interval_min, self.load_mode = minutes, mode
        self.profile_first = self.entries["load_profile"] + 1
        self.profile_base = self.shown()
        self.windows["load_profile"] = Window(minutes)
        self.windows["load_profile"].wake(self.end_s)

    def _row(self, name: str, closed: Closed) -> None:
        self.entries[name] += 1
        values = None
        if name == "load_profile":
            shown, base = self.shown(), self.profile_base
            assert base is not None
            values = tuple(shown[key] for key in self.load_captures)
            if self.load_mode == "delta":
                rollover = ROLLOVER_NWH // NANO
                values = tuple((shown[key] - base[key]) % rollover for key in self.load_captures)
                self.profile_base = shown
        self.rows.append(ExpectedRow(name, self.entries[name], closed.end_s, closed.status, values))

    def _midnight(self, taken_s: int, reason: str, now_s: int | None = None) -> None:
        assert self.midnight_s is not None
        self._bill("daily", taken_s, reason)
        if month(taken_s) != month(self.midnight_s - 1):
            self._bill("monthly", taken_s, reason)
        self.midnight_s = midnight_after(taken_s if now_s is None else now_s)

    def _bill(self, kind: str, taken_s: int, reason: str) -> None:
        self.bills[kind] += 1
        self.billing.append(ExpectedBill(kind, self.bills[kind], taken_s, reason, self.shown()))

    def parameters_changed(self) -> None:
        self._bill("change", self.end_s, "parameters")

    # --- tariff ----------------------------------------------------------------------------------

    def _follow_tariff(self, now_s: int, gap: bool) -> None:
        tariffs = CALENDARS[self.calendar]["tariffs"]
        if self.valid:
            name, at_s = self.passive
            if name and at_s is not None and at_s <= now_s:
                self.activate()
            self.by_calendar = tariff_at(self.calendar, wall(now_s))
        elif self.tariff_saw_valid and (gap or self.awake_first):
            self.by_calendar, self.override = 1, None
        elif self.by_calendar > tariffs:
            self.by_calendar = 1
        if self.override and self.override[1] <= now_s:
            self.override = None
        self.tariff_saw_valid, self.awake_first = self.valid, False

    def activate(self) -> bool:
        name, _ = self.passive
        if not name:
            return False
        self.calendar, self.passive, self.billing_due = name, ("", None), True
        if self.override and self.override[0] > CALENDARS[name]["tariffs"]:
            self.override = None
        return True

    def overridden(self, tariff: int, seconds: int) -> bool:
        if tariff > CALENDARS[self.calendar]["tariffs"] or not 1 <= seconds <= 31 * DAY_S:
            return False
        self.override = [tariff, self.end_s + seconds]
        return True

    # --- supply ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the breaker hear what is wanted of it."""
        if self.neutral_cut and self.neutral_fault and self.phases > 1 and self.breaker.mode:
            self.breaker.open("neutral")
        self.limiter.use_prepaid(self.credit.set["enabled"])
        self.breaker.want("limiter", self.limiter.opens, button=self.limiter.final)
        self.breaker.want("credit", self.credit.cut)

    def wishes_to_cut(self) -> bool:
        limits = ("normal_w", "emergency_w", "prepaid_maximum_w")
        return (
            self.credit.set["enabled"]
            or self.neutral_cut
            or any(self.limiter.set[name] is not None for name in limits)
        )

    def _watch_neutral(self, start_ns: int, end_ns: int, loads: Sequence[Load], gap: bool) -> None:
        if self.neutral_fault:
            return
        if gap:
            self.neutral_since_ns = None
        low = sum(load.voltage_v < 230 - 40 for load in loads)
        high = sum(load.voltage_v > 253 for load in loads)
        # One phase can't tell which of both it is; three need some of each and none between.
        bad = low + high == self.phases and (self.phases == 1 or (low > 0 and high > 0))
        if not bad:
            self.neutral_since_ns = None
            return
        if self.neutral_since_ns is None:
            self.neutral_since_ns = start_ns
        self.neutral_fault = end_ns - self.neutral_since_ns > self.neutral_delay_s * NANO

    def clear_neutral(self) -> None:
        if self.neutral_fault:
            self.neutral_fault, self.neutral_since_ns = False, None
        self.breaker.clear_neutral()

    def set_neutral(self, cut: bool, delay_s: int) -> None:
        self.neutral_cut, self.neutral_delay_s = cut, delay_s
        if not self.neutral_fault:
            self.neutral_since_ns = None
