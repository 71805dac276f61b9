"""What only the whole meter can show of the table "must be proved": parts act upon each other.

Where one part alone can show it, its own file does; `docs/proofs.md` says where each row is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from meter_node.channel import presets
from meter_node.channel.event_codes import BY_CODE, Log
from meter_node.meter.commands import Commands
from meter_node.meter.meter import Meter
from meter_node.meter.parameters import Parameters
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import BillingRow, Image, LogRow, ProfileRow
from meter_node.meter.step import DigitalInputs
from meter_node.meter.supply import ControlState
from meter_node.meter.token import make
from meter_node.meter.variant import Variant
from tests.meter_node.meter.steps import step, utc

NANO = 10**9
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
ZONE = ZoneInfo("Europe/Copenhagen")
KEY, TITLE = bytes(range(16)), b"MTN\x01\x02\x03\x04\x05"
DENMARK = presets.load("denmark_n1").calendar.to_json()
CLOCK_INVALID, CLOCK_ADJUSTED, POWER_DOWN = 1 << 1, 1 << 5, 1 << 7
NORMAL_V = (230.0, 230.0, 230.0)
# The neutral is lost: L1 drawn down, both others up.
DISPLACED_V = (180.0, 256.0, 257.0)


def at(local: str) -> int:
    """UTC seconds of a Danish wall clock."""
    return round(datetime.fromisoformat(local).replace(tzinfo=ZONE).timestamp())


def token(sequence: int, credit_wh: int) -> str:
    return make(KEY, TITLE, sequence, credit_wh)


class House:
    """A meter with breaker and one load relay, what is drawn through it, and its store."""

    def __init__(self, start_s: int, **parameters: object) -> None:
        self.now_s = start_s
        self.parameters = Parameters.model_validate(parameters)
        self.logs: list[LogRow] = []
        self.profiles: list[ProfileRow] = []
        self.bills: list[BillingRow] = []
        self.meter = self._made(None, {})
        # Whoever looks at "begins" and "ends" wants the first second behind it.
        self.run(1, power_w=(0.0,) * 3)

    def _made(self, image: Image | None, heads: object) -> Meter:
        return Meter(
            Variant("382M", 3, "5(65)", breaker=True, relays=1),
            image.energies_nwh if image else None,
            zone=ZONE,
            parameters=self.parameters,
            system_title=TITLE,
            vending_key=KEY,
            states=image.states if image else None,
            log_heads=heads,  # type: ignore[arg-type]
        )

    @property
    def commands(self) -> Commands:
        return Commands(self.meter)

    @property
    def closed(self) -> bool:
        assert self.meter.supply is not None
        return self.meter.supply.breaker.closed_wanted

    @property
    def state(self) -> ControlState:
        assert self.meter.supply is not None
        return self.meter.supply.breaker.control_state

    @property
    def causes(self) -> set[str]:
        assert self.meter.supply is not None
        return set(self.meter.supply.breaker.causes)

    @property
    def credit_wh(self) -> int:
        state = self.meter.snapshot().credit
        assert state is not None
        return state.credit_wh

    def run(
        self,
        seconds: int,
        power_w: Sequence[float] = (1000.0, 0.0, 0.0),
        *,
        volts: Sequence[float] = NORMAL_V,
        each_s: int = 1,
        trusted: bool = True,
        **inputs: bool,
    ) -> None:
        """So much time in steps of `each_s`."""
        for _ in range(seconds // each_s):
            one = step(self.now_s, each_s, power_w, volts)
            self.now_s += each_s
            self.meter.advance(one.measurement, DigitalInputs(**inputs), clock_trusted=trusted)

    def until(self, local: str, power_w: Sequence[float] = (0.0,) * 3) -> None:
        """By minutes to a time on the wall."""
        self.run(-self.now_s % MINUTE_S, power_w)
        self.run(at(local) - self.now_s, power_w, each_s=MINUTE_S)

    def keep(self) -> tuple[Image, object]:
        image = self.meter.image()
        self.logs += image.log_rows
        self.profiles += image.profile_rows
        self.bills += image.billing_rows
        self.meter.is_kept(image)
        return image, self.meter.logs.heads()

    def cut(self, dark_s: int, kept: tuple[Image, object] | None = None) -> None:
        """Power fails and comes back: a new meter from what was kept."""
        self.meter = self._made(*(kept or self.keep()))
        self.now_s += dark_s

    def told(self, log: Log) -> list[tuple[str, str]]:
        """Names and details of a log's entries."""
        self.keep()
        return [(BY_CODE[row.code].name, row.detail) for row in self.logs if row.log is log]


def prepaid(start_s: int, credit_wh: int, **parameters: object) -> House:
    """A house with so much credit, and a warning no earlier than at zero."""
    house = House(start_s - 1, **parameters)
    house.meter.change_parameters({"credit": {"enabled": True, "low_credit_wh": 0}}, "utility")
    house.commands.enter_token(token(1, credit_wh))
    return house


# --- breaker: every transition in every mode, commanded as the utility does ----------------------

# IEC 62056-6-2, class 70, control_mode: b, c off from afar; f off by the button; g off by the
# meter; a on from afar; d ready from afar; e on by the button; h on by the meter.
STANDARD = {
    1: "bcfg" + "de",
    2: "bcfg" + "ae",
    3: "bcg" + "de",
    4: "bcg" + "ae",
    5: "bcfg" + "deh",
    6: "bcg" + "deh",
}
OFF, ON, READY = (
    ControlState.DISCONNECTED,
    ControlState.CONNECTED,
    ControlState.READY_FOR_RECONNECTION,
)


def overloaded(house: House) -> None:
    house.run(10, (9000.0, 0.0, 0.0))


def after_the_waiting_time(house: House) -> None:
    house.run(60, (0.0,) * 3)


def made_ready(house: House) -> None:
    """By a limiter whose retries are used up at once: only a person brings it back."""
    house.meter.change_parameters({"limiter": {"retries": 0}}, "utility")
    overloaded(house)
    after_the_waiting_time(house)


def pressed(seconds: int) -> Callable[[House], None]:
    def press(house: House) -> None:
        house.run(seconds, button=True)
        house.run(1)

    return press


def untouched(house: House) -> None:
    pass


def off(house: House) -> None:
    house.commands.disconnect("remote", "client 1")


def on(house: House) -> None:
    house.commands.reconnect("remote", "client 1")


# Arrow: what brings it there, the state before, what triggers, the state after, and the one where
# the mode has no such arrow.
ARROWS = {
    "a": (off, OFF, on, ON, READY),
    "b": (untouched, ON, off, OFF, ON),
    "c": (made_ready, READY, off, OFF, READY),
    "d": (off, OFF, on, READY, ON),
    "e": (made_ready, READY, pressed(1), ON, READY),
    "f": (untouched, ON, pressed(6), READY, ON),
    "g": (untouched, ON, overloaded, READY, ON),
    "h": (overloaded, READY, after_the_waiting_time, ON, READY),
}


@pytest.mark.parametrize("arrow", ARROWS)
@pytest.mark.parametrize("mode", STANDARD)
def test_in_each_mode_the_whole_meter_has_the_standards_transitions_and_no_other(
    mode: int, arrow: str
) -> None:
    bring, before, trigger, after, instead = ARROWS[arrow]
    limiter = {"normal_w": 5000.0, "over_s": 10, "waiting_s": 60}
    house = House(utc("2026-06-01 12:00"), limiter=limiter)
    house.meter.change_parameters({"breaker": {"control_mode": mode}}, "utility")
    bring(house)
    assert house.state == before
    trigger(house)
    assert house.state == (after if arrow in STANDARD[mode] else instead)


def test_in_mode_0_the_whole_meter_is_always_connected() -> None:
    house = House(utc("2026-06-01 12:00"), breaker={"control_mode": 0})
    with pytest.raises(RefusedError, match="always connected"):
        off(house)
    pressed(10)(house)
    for changes in (
        {"limiter": {"normal_w": 5000.0}},
        {"credit": {"enabled": True}},
        {"neutral": {"cut": True}},
    ):
        with pytest.raises(RefusedError, match="never opens"):
            house.meter.change_parameters(changes, "utility")
    house.run(120, volts=DISPLACED_V)
    assert house.meter.neutral.fault
    assert house.closed


@pytest.mark.parametrize("mode", [1, 3, 5, 6])
def test_no_remote_command_energises_where_the_mode_wants_the_button(mode: int) -> None:
    house = House(utc("2026-06-01 12:00"), breaker={"control_mode": mode})
    off(house)
    for _ in range(3):
        on(house)
        house.run(10)
        assert not house.closed
    pressed(1)(house)
    assert house.closed


def test_a_breaker_that_does_not_follow_is_an_alarm_after_two_and_a_half_seconds() -> None:
    house = House(utc("2026-06-01 12:00"))
    off(house)
    house.run(2, breaker_closed=True)
    assert "breaker_failure" not in house.meter.snapshot().alarms
    house.run(1, breaker_closed=True)  # the first whole second after 2.5 s
    assert "breaker_failure" in house.meter.snapshot().alarms
    assert ("breaker_failure", "closed, wanted open") in house.told(Log.DISCONNECTOR)


# --- prepayment ----------------------------------------------------------------------------------


def test_zero_on_a_saturday_night_opens_the_breaker_on_monday_at_nine() -> None:
    # 2026-06-06 is a Saturday. 1200 W draw 1200 Wh in an hour: from 22:00 to 23:00.
    house = prepaid(at("2026-06-06 22:00"), 1200)
    house.until("2026-06-06 23:00", (1200.0, 0.0, 0.0))
    assert house.credit_wh == 0
    assert "credit_exhausted" in house.meter.snapshot().alarms
    house.until("2026-06-08 08:59", (1200.0, 0.0, 0.0))
    assert house.closed
    house.until("2026-06-08 09:00", (1200.0, 0.0, 0.0))
    assert not house.closed
    assert house.causes == {"credit"}
    # From Saturday 23:00 to Monday 09:00 are 34 h at 1200 W that nobody paid.
    assert house.credit_wh == -40_800
    assert house.told(Log.CREDIT)[-1][0] == "credit_exhausted"


def test_a_top_up_at_the_same_moment_as_the_cut_counts_once_and_closes() -> None:
    # Monday noon; 3600 W draw 1 Wh in a second.
    house = prepaid(at("2026-06-08 12:00"), 10)
    house.run(10, (3600.0, 0.0, 0.0))
    assert house.causes == {"credit"}
    cut_s = house.meter.now_s
    house.commands.enter_token(token(2, 500))
    assert house.meter.now_s == cut_s
    assert house.closed
    assert house.credit_wh == 500
    with pytest.raises(RefusedError, match="spent"):
        house.commands.enter_token(token(2, 500))
    assert house.credit_wh == 500
    names = [name for name, _ in house.told(Log.DISCONNECTOR)]
    assert names == ["local_disconnection", "local_connection"]


def test_a_top_up_just_before_the_last_watt_hour_cuts_nothing() -> None:
    house = prepaid(at("2026-06-08 12:00"), 10)
    house.run(9, (3600.0, 0.0, 0.0))
    house.commands.enter_token(token(2, 500))
    house.run(1, (3600.0, 0.0, 0.0))
    assert house.closed
    assert house.credit_wh == 500
    assert house.told(Log.DISCONNECTOR) == []


def test_power_lost_while_it_is_cut_for_credit_leaves_it_cut_until_a_top_up() -> None:
    house = prepaid(at("2026-06-08 12:00"), 10)
    house.run(10, (3600.0, 0.0, 0.0))
    house.cut(2 * HOUR_S)
    assert not house.closed
    house.run(60, (0.0,) * 3)
    assert house.causes == {"credit"}
    house.commands.enter_token(token(2, 500))
    assert house.closed
    assert house.credit_wh == 500


def test_power_lost_before_a_top_up_was_kept_leaves_its_token_good_once() -> None:
    house = prepaid(at("2026-06-08 12:00"), 10)
    kept = house.keep()
    house.commands.enter_token(token(2, 500))
    assert house.meter.has_news  # to be kept at once; here the power is faster
    house.cut(60, kept)
    house.run(1, (0.0,) * 3)
    assert house.credit_wh == 10
    house.commands.enter_token(token(2, 500))
    house.cut(60)
    with pytest.raises(RefusedError, match="spent"):
        house.commands.enter_token(token(2, 500))
    assert house.credit_wh == 510


def test_a_top_up_removes_its_own_cause_only_and_the_other_keeps_it_open() -> None:
    house = prepaid(at("2026-06-08 12:00"), 10)
    house.run(10, (3600.0, 0.0, 0.0))
    off(house)
    assert house.causes == {"credit", "remote"}
    house.commands.enter_token(token(2, 500))
    assert house.causes == {"remote"}
    assert not house.closed


# --- neutral -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "trips"), [(59, False), (61, True)])
def test_a_displaced_neutral_opens_after_61_seconds_and_not_after_59(
    seconds: int, trips: bool
) -> None:
    house = House(utc("2026-06-01 12:00"), neutral={"cut": True, "radial": "7"})
    house.run(seconds, volts=DISPLACED_V)
    house.run(5)
    assert house.closed is not trips
    assert ("neutral_fault" in house.meter.snapshot().alarms) is trips
    assert [detail.endswith("radial 7") for _, detail in house.told(Log.NEUTRAL_FAULT)] == [
        True
    ] * trips


def test_a_neutral_trip_outranks_reconnection_top_up_and_button_until_it_is_cleared() -> None:
    house = prepaid(at("2026-06-08 12:00"), 100, neutral={"cut": True}, breaker={"control_mode": 4})
    house.run(61, volts=DISPLACED_V)
    # Open: its cause looks gone.
    house.run(61, (0.0,) * 3)
    with pytest.raises(RefusedError, match="neutral"):
        on(house)
    house.commands.enter_token(token(2, 500))
    pressed(10)(house)
    house.cut(HOUR_S)
    house.run(1, (0.0,) * 3)
    assert house.causes == {"neutral"}
    house.commands.clear_neutral("client 1")
    assert (house.closed, house.state) == (False, READY)
    pressed(1)(house)
    assert house.closed


def test_a_balanced_house_without_a_neutral_stays_connected() -> None:
    house = House(utc("2026-06-01 12:00"), neutral={"cut": True})
    house.run(600, volts=(231.0, 229.0, 230.0), each_s=10)
    assert house.closed
    assert house.told(Log.NEUTRAL_FAULT) == []


# --- limiter -------------------------------------------------------------------------------------


def test_retries_exhausted_leave_the_house_to_the_button() -> None:
    limits = {"normal_w": 5000.0, "over_s": 10, "waiting_s": 60, "retries": 2}
    house = House(utc("2026-06-01 12:00"), limiter=limits)
    for _ in range(2):
        house.run(9, (9000.0, 0.0, 0.0))
        assert house.closed
        house.run(1, (9000.0, 0.0, 0.0))
        assert not house.closed
        house.run(59, (0.0,) * 3)
        assert not house.closed
        house.run(1, (0.0,) * 3)
        assert house.closed
    overloaded(house)
    house.run(HOUR_S, (0.0,) * 3, each_s=60)
    assert (house.closed, house.state) == (False, READY)
    pressed(1)(house)
    assert house.closed


# --- load relays ---------------------------------------------------------------------------------


def test_a_restart_in_the_middle_of_a_relays_delay_keeps_its_end() -> None:
    house = House(utc("2026-06-01 12:00"), relays=[{"delay_s": 10_800}])
    house.commands.command_relay(1, "on", "utility")
    due_s = house.meter.relays[0].pending_s
    assert due_s is not None
    half_s = (due_s - house.now_s) // 2
    house.cut(half_s)
    assert house.meter.relays[0].pending_s == due_s
    house.run(due_s - house.now_s - 1)
    assert not house.meter.relays[0].on_wanted
    house.run(1)
    assert house.meter.relays[0].on_wanted
    # Towards off there is none.
    house.commands.command_relay(1, "off", "utility")
    assert not house.meter.relays[0].on_wanted


# --- clock ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("day", "quarters"), [("2026-03-29", 92), ("2026-10-25", 100)])
def test_both_nights_of_change_have_their_quarters_and_their_tariffs(
    day: str, quarters: int
) -> None:
    house = House(at(f"{day} 00:00") - 1, tariff={"calendar": DENMARK})
    house.keep()
    house.profiles.clear()  # the second before midnight closed one of the day before
    start_s = house.now_s
    house.run(quarters * 15 * MINUTE_S, (1000.0, 0.0, 0.0), each_s=MINUTE_S)
    # The day on the wall is over, whatever its length was.
    assert datetime.fromtimestamp(house.now_s, ZONE).strftime("%H:%M") == "00:00"
    house.keep()
    rows = [row for row in house.profiles if row.profile == "load_profile"]
    assert [row.time_s for row in rows] == [
        start_s + 15 * MINUTE_S * number for number in range(1, quarters + 1)
    ]
    assert [bill.time_s for bill in house.bills if bill.kind == "daily"][-1] == house.now_s
    # Both are Sundays in the Danish preset: low from 00 to 06, peak from 17 to 21, else high.
    energies = house.meter.snapshot().energies_nwh
    hours = [energies[f"import_active_energy_t{tariff}"] / (1000 * NANO) for tariff in (1, 2, 3)]
    night_h = 6 + (quarters - 96) / 4
    assert hours == pytest.approx([night_h, 24 - 6 - 4, 4], abs=1e-6)


def test_a_reserve_exhausted_is_flagged_cuts_nobody_and_ends_when_the_clock_is_set() -> None:
    house = prepaid(at("2026-06-08 11:59"), 10, tariff={"calendar": DENMARK})
    house.cut(49 * HOUR_S)
    house.run(20 * MINUTE_S, (3600.0, 0.0, 0.0), trusted=False, each_s=MINUTE_S)
    # Wednesday a quarter past one by its guess: credit is long used up.
    assert "clock_invalid" in house.meter.snapshot().alarms
    assert house.credit_wh < 0
    assert house.closed
    house.keep()
    rows = [row for row in house.profiles if row.profile == "load_profile"]
    assert rows[-1].status & CLOCK_INVALID
    assert house.meter.tariff.tariff == 1
    house.commands.set_clock(house.now_s * NANO, "client 1")
    house.run(1, (3600.0, 0.0, 0.0))
    assert house.causes == {"credit"}
    assert house.meter.tariff.tariff == 2
    assert [name for name, _ in house.told(Log.CLOCK)] == [
        "clock_invalid",
        "clock_old",
        "clock_new",
    ]


def test_a_reserve_of_48_hours_keeps_the_time_and_cuts_as_ever() -> None:
    house = prepaid(at("2026-06-08 11:59"), 10)
    house.cut(48 * HOUR_S)
    house.run(20, (3600.0, 0.0, 0.0), trusted=False)
    assert house.causes == {"credit"}


# --- tamper, quality, profile --------------------------------------------------------------------


def test_a_cover_opened_while_off_is_reported_at_power_up_with_its_digit() -> None:
    house = House(utc("2026-06-01 12:00"))
    house.cut(HOUR_S)
    house.run(1, terminal_cover_open=True)
    assert house.told(Log.FRAUD) == [("terminal_cover_opened", "without power")]
    assert house.meter.snapshot().status_word == "1000000"
    house.run(1)
    assert house.meter.snapshot().status_word == "0000000"


def test_an_event_open_across_a_restart_is_an_alarm_all_the_time_and_ends_once() -> None:
    house = House(utc("2026-06-01 12:00"))
    low = (200.0, 230.0, 230.0)  # under 230 V − 10 % = 207 V
    house.run(90, volts=low)
    assert "under_voltage_l1" in house.meter.snapshot().alarms
    house.cut(0)
    assert "under_voltage_l1" in house.meter.snapshot().alarms
    house.run(30, volts=low)
    house.run(5)
    assert "under_voltage_l1" not in house.meter.snapshot().alarms
    told = [one for one in house.told(Log.POWER_QUALITY) if one[0] != "phase_order_wrong"]
    begun, ended = [
        detail for name, detail in told if name in ("under_voltage_l1", "voltage_normal_l1")
    ]
    assert begun.startswith("200.0 V")
    # 90 s before the restart and 30 s after it
    assert ended == "200.0 V, 120.00 s"


def test_the_sum_of_deltas_is_the_difference_of_registers_over_cuts_and_clock_steps() -> None:
    house = House(at("2026-06-01 12:00") - 1, load_profile={"mode": "delta"})
    start = {key: house.meter.raw(key) for key in house.parameters.load_profile.captures}
    power_w = (1234.5, -678.9, 1.0)
    house.run(40 * MINUTE_S, power_w, each_s=MINUTE_S)
    house.cut(25 * MINUTE_S)
    house.run(7 * MINUTE_S, power_w, each_s=MINUTE_S)
    house.commands.set_clock((house.now_s - HOUR_S) * NANO, "client 1")
    house.run(38 * MINUTE_S, power_w, each_s=MINUTE_S)
    house.commands.set_clock((house.now_s + DAY_S) * NANO, "client 1")
    house.run(11 * MINUTE_S, power_w, each_s=MINUTE_S)
    house.commands.set_clock((house.now_s - 300) * NANO, "client 1")  # ends the running interval
    house.keep()
    rows = [row for row in house.profiles if row.profile == "load_profile"]
    for place, (key, before) in enumerate(start.items()):
        assert before is not None
        moved = sum(row.values[place] or 0 for row in rows)
        assert moved == (house.meter.raw(key) or 0) - before
    assert [row.entry for row in rows] == list(range(1, len(rows) + 1))
    stamps = [row.time_s for row in rows]
    assert len(set(stamps)) < len(stamps) or sorted(stamps) != stamps
    assert any(row.status & POWER_DOWN for row in rows)
    assert sum(bool(row.status & CLOCK_ADJUSTED) for row in rows) >= 3


def test_an_image_in_the_middle_of_everything_gives_the_same_meter() -> None:
    house = prepaid(
        at("2026-06-08 12:00"),
        10,
        limiter={"normal_w": 5000.0, "over_s": 10},
        neutral={"cut": True},
        relays=[{"delay_s": 600}],
        tariff={"calendar": DENMARK},
    )
    house.commands.command_relay(1, "on", "utility")
    house.commands.override_tariff(3, house.now_s + 300)
    house.run(5, (9000.0, 0.0, 0.0), volts=DISPLACED_V, button=True, magnet=True)
    off(house)
    with pytest.raises(RefusedError):
        house.commands.enter_token(make(bytes(16), TITLE, 9, 100))
    image, heads = house.keep()
    again = house._made(image, heads).image()
    assert again.states == image.states
    assert again.energies_nwh == image.energies_nwh
