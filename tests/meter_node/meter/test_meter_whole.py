"""The whole meter: parts agree with each other, and a power cut at any moment changes nothing."""

from __future__ import annotations

import random
from zoneinfo import ZoneInfo

from meter_node.channel import presets
from meter_node.channel.event_codes import BY_CODE, Log
from meter_node.meter.commands import Commands
from meter_node.meter.logs import GENESIS, verify
from meter_node.meter.meter import Meter
from meter_node.meter.parameters import Parameters
from meter_node.meter.rows import Image
from meter_node.meter.step import DigitalInputs
from meter_node.meter.tariff import TariffSettings
from meter_node.meter.variant import Variant
from meter_node.metrology.measurement import Measurement
from tests.meter_node.meter.steps import step, utc

ZONE = ZoneInfo("Europe/Copenhagen")
NOON_S = utc("2026-06-01 12:00")
HOUR_S, DAY_S = 3600, 86_400
DENMARK = Parameters(tariff=TariffSettings(calendar=presets.load("denmark_n1").calendar))


class Disk:
    """A store that forgets nothing: what a meter goes on from."""

    def __init__(self) -> None:
        self.image: Image | None = None
        self.logs: list[object] = []
        self.profiles: list[object] = []
        self.billing: list[object] = []

    def keep(self, meter: Meter) -> None:
        self.image = meter.image()
        self.logs += self.image.log_rows
        self.profiles += self.image.profile_rows
        self.billing += self.image.billing_rows
        meter.is_kept(self.image)

    def meter(self, heads: dict[Log, object] | None = None) -> Meter:
        image = self.image
        return Meter(
            Variant(),
            image.energies_nwh if image else None,
            zone=ZONE,
            parameters=DENMARK,
            states=image.states if image else None,
            log_heads=heads,  # type: ignore[arg-type]
        )


def minutes(start_s: int, count: int, seed: int = 1) -> list[Measurement]:
    """So many minutes of a house whose phases import and export as chance has it."""
    chance = random.Random(seed)
    return [
        step(
            start_s + 60 * number,
            60,
            tuple(chance.uniform(-2000, 4000) for _ in range(3)),
            (230.0, 231.0, 229.0),
        ).measurement
        for number in range(count)
    ]


def test_tariffs_add_up_to_the_total_over_two_days_of_low_high_and_peak() -> None:
    meter = Disk().meter()
    for measurement in minutes(NOON_S, 2 * 1440):
        meter.advance(measurement)
    energies = meter.snapshot().energies_nwh
    for name in ("import_active_energy", "export_active_energy"):
        parts = [energies[f"{name}_t{tariff}"] for tariff in range(1, 9)]
        assert sum(parts) == energies[name]
        assert sum(part > 0 for part in parts) == 3


def test_vector_summation_feeds_the_total_and_the_individual_one_stands_beside() -> None:
    one = step(NOON_S, 60, (1000.0, -1000.0, 0.0), (230.0,) * 3).measurement
    by_phase, by_vector = Meter(Variant()), Meter(Variant(), summation="vector")
    by_phase.advance(one)
    by_vector.advance(one)
    mine, theirs = by_phase.snapshot().energies_nwh, by_vector.snapshot().energies_nwh
    assert mine["import_active_energy"] == mine["export_active_energy"] > 0
    assert mine["other_import_active_energy"] == mine["other_export_active_energy"] == 0
    assert theirs["import_active_energy"] == theirs["export_active_energy"] == 0
    assert theirs["other_import_active_energy"] == mine["import_active_energy"]


def test_a_cut_after_any_minute_changes_no_register_no_row_and_no_log() -> None:
    played = minutes(NOON_S, 300)
    through, whole = Disk(), Disk().meter()
    for measurement in played:
        whole.advance(measurement)
    through.keep(whole)
    cut, again = Disk(), Disk().meter()
    for number, measurement in enumerate(played):
        again.advance(measurement)
        if number % 7 == 0:
            heads = dict(again.snapshot().log_heads)
            cut.keep(again)
            again = cut.meter(heads)
    cut.keep(again)
    assert cut.image is not None
    assert through.image is not None
    assert cut.image.energies_nwh == through.image.energies_nwh
    assert cut.profiles == through.profiles
    assert cut.billing == through.billing
    assert cut.logs == through.logs


def test_two_days_give_192_quarters_in_each_profile_and_two_midnights() -> None:
    disk, meter = Disk(), None
    meter = disk.meter()
    for measurement in minutes(NOON_S, 2 * 1440):
        meter.advance(measurement)
    disk.keep(meter)
    assert len(disk.profiles) == 2 * 192
    assert [row.kind for row in disk.billing] == ["daily", "daily"]  # type: ignore[attr-defined]


def test_rows_are_offered_until_the_store_has_them_and_then_no_more() -> None:
    meter = Disk().meter()
    for measurement in minutes(NOON_S, 16):
        meter.advance(measurement)
    first = meter.image()
    for measurement in minutes(NOON_S + 16 * 60, 16):
        meter.advance(measurement)
    second = meter.image()
    assert second.profile_rows[: len(first.profile_rows)] == first.profile_rows
    meter.is_kept(first)
    meter.is_kept(second)
    assert meter.image().profile_rows == ()


def test_an_hour_without_power_is_told_and_leaves_no_dark_quarters() -> None:
    disk, meter = Disk(), Disk().meter()
    for measurement in minutes(NOON_S, 15):
        meter.advance(measurement)
    for measurement in minutes(NOON_S + 2 * HOUR_S, 15):
        meter.advance(measurement)
    disk.keep(meter)
    told = [BY_CODE[row.code].name for row in disk.logs if row.log is Log.STATUS]  # type: ignore[attr-defined]
    assert told == ["power_down", "power_up"]
    stamps = {row.time_s for row in disk.profiles if row.profile == "load_profile"}  # type: ignore[attr-defined]
    assert stamps == {NOON_S + 900, NOON_S + 2 * HOUR_S + 900}


def test_l1_importing_and_l2_exporting_a_kilowatt_move_both_registers_by_a_kilowatt_hour() -> None:
    meter = Meter(Variant())
    for minute in range(60):
        one = step(NOON_S + 60 * minute, 60, (1000.0, -1000.0, 0.0), (230.0,) * 3)
        meter.advance(one.measurement)
    assert (meter.raw("import_active_energy"), meter.raw("export_active_energy")) == (1000, 1000)
    assert meter.raw("net_active_energy") == 0
    assert meter.raw("absolute_active_energy") == 2000


def test_the_customers_counter_begins_anew_and_no_register_of_the_meter_moves() -> None:
    meter = Meter(Variant())
    for measurement in minutes(NOON_S, 60):
        meter.advance(measurement)
    before = dict(meter.snapshot().energies_nwh)
    Commands(meter).reset_customer_counter("customer")
    assert meter.raw("import_active_energy_customer") == 0
    assert meter.snapshot().energies_nwh == before


def test_a_magnet_and_an_open_cover_move_no_register_and_are_logged() -> None:
    quiet, disturbed = Meter(Variant()), Meter(Variant())
    for measurement in minutes(NOON_S, 10):
        quiet.advance(measurement)
        disturbed.advance(measurement, DigitalInputs(magnet=True, terminal_cover_open=True))
    assert disturbed.snapshot().energies_nwh == quiet.snapshot().energies_nwh
    told = {BY_CODE[row.code].name for row in disturbed.image().log_rows}
    assert {"magnet_on", "terminal_cover_opened"} <= told


def test_logs_of_a_stormy_day_verify_against_their_heads() -> None:
    meter, disk = Disk().meter(), Disk()
    for number, measurement in enumerate(minutes(NOON_S, 300)):
        meter.advance(measurement, DigitalInputs(meter_cover_open=number % 3 == 0))
    heads = meter.snapshot().log_heads
    disk.keep(meter)
    for log, head in heads.items():
        rows = [row for row in disk.logs if row.log is log]  # type: ignore[attr-defined]
        assert verify(log, rows, [GENESIS], head) == []  # type: ignore[arg-type]
    assert heads[Log.FRAUD].entry > 100


def test_a_clock_put_an_hour_ahead_splits_the_interval_and_is_logged() -> None:
    disk, meter = Disk(), Disk().meter()
    for measurement in minutes(NOON_S, 5):
        meter.advance(measurement)
    Commands(meter).set_clock((NOON_S + 300 + HOUR_S) * 10**9, "utility")
    for measurement in minutes(NOON_S + 300, 10):
        meter.advance(measurement)
    disk.keep(meter)
    rows = [row for row in disk.profiles if row.profile == "load_profile"]  # type: ignore[attr-defined]
    assert [row.time_s for row in rows] == [NOON_S + 300, NOON_S + HOUR_S + 900]  # type: ignore[attr-defined]
    assert all(row.status & 0x20 for row in rows)  # type: ignore[attr-defined]
    told = [BY_CODE[row.code].name for row in disk.logs if row.log is Log.CLOCK]  # type: ignore[attr-defined]
    assert told == ["clock_old", "clock_new"]


def test_what_begins_right_after_the_clock_was_set_lasts_as_long_as_it_was_told() -> None:
    meter = Meter(Variant(breaker=True, relays=1), zone=ZONE, parameters=DENMARK)
    for measurement in minutes(NOON_S, 5):
        meter.advance(measurement)
    commands = Commands(meter)
    commands.set_clock((NOON_S + 300 + HOUR_S) * 10**9, "utility")
    meter.change_parameters({"relays": [{"delay_s": 600}]}, "utility")
    commands.override_tariff(3, meter.now_s + 600)
    commands.command_relay(1, "on", "utility")
    # Power fails for an hour at that very moment: the override is over, and so is the delay.
    meter.advance(minutes(NOON_S + 300 + HOUR_S, 1)[0])
    assert meter.tariff.overridden_until_s is None
    assert meter.relays[0].on_wanted


def test_a_relays_delay_is_none_the_longer_for_a_clock_set_just_before() -> None:
    meter = Meter(Variant(relays=1), zone=ZONE)
    for measurement in minutes(NOON_S, 5):
        meter.advance(measurement)
    meter.change_parameters({"relays": [{"delay_s": 600}]}, "utility")
    commands = Commands(meter)
    commands.set_clock((NOON_S + 300 + HOUR_S) * 10**9, "utility")
    commands.command_relay(1, "on", "utility")
    for measurement in minutes(NOON_S + 300, 11):
        meter.advance(measurement)
    assert meter.relays[0].on_wanted


def test_a_months_maximum_is_shown_among_the_past_ones_once_the_month_is_over() -> None:
    # 1 July begins in Copenhagen at 22:00 UTC. 1200 W from 23:30 to 00:00 local time are 20 Wh a
    # minute; from then on it is 600 W.
    meter, midnight_s = Meter(Variant(), zone=ZONE), utc("2026-06-30 22:00")
    shown = []
    for start_s, power_w in [(midnight_s - 60 * back, 400.0) for back in range(30, 0, -1)] + [
        (midnight_s + 60 * number, 200.0) for number in range(15)
    ]:
        meter.advance(step(start_s, 60, (power_w,) * 3, (230.0,) * 3).measurement)
        shown.append(meter.snapshot())
    key = "import_active_demand_maximum"
    assert (shown[29].counted[key], shown[29].past_maxima[key]) == (12_000, ())
    # Of two equal ones the first counts, a quarter before midnight.
    past = ((midnight_s - 900, 12_000),)
    assert (shown[-1].counted[key], shown[-1].past_maxima[key]) == (6_000, past)
