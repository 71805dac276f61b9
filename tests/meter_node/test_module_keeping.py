"""What modules keep: numbers given once, texts, and a key that nothing else is under."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meter_node import backup, keys
from meter_node.ciphering import (
    LAST_WIRELESS,
    WIRELESS_COUNTS_PER_MINUTE,
    CounterExhaustedError,
    time_floor,
    wireless_floor,
)
from meter_node.meter.local_time import LocalTime
from meter_node.module_keeping import ModuleKeeping
from meter_node.store import Store


class Site:
    """A data directory, whose node may be ended and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.meter = keys.load_or_make(folder, ["house"]).meters["house"]
        self.store = Store(folder / "store.sqlite")

    def keeping(self) -> ModuleKeeping:
        """What modules of a node have that was just started."""
        return ModuleKeeping(self.store, self.meter, self.thread)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.thread.shutdown()
    made.store.close()


async def test_numbers_rise_and_never_come_again_over_a_kill(site: Site) -> None:
    given: list[int] = []
    for _ in range(4):
        keeping = site.keeping()
        given += [await keeping.wireless_number() for _ in range(20)]
    assert given == sorted(set(given))


async def test_a_kill_leaves_out_fewer_numbers_than_were_given(site: Site) -> None:
    keeping = site.keeping()
    first, *_ = [await keeping.wireless_number() for _ in range(5)]
    after = await site.keeping().wireless_number()
    assert after - first == 1 + 2 + 4, "what was reserved, of which five were given"


async def test_a_store_that_was_put_back_goes_on_by_the_clock(site: Site) -> None:
    # 32 a minute since 2026: twice what two telegrams in eight seconds take, for what is left out.
    floor = wireless_floor(datetime.now(UTC))
    assert floor <= await site.keeping().wireless_number() <= floor + WIRELESS_COUNTS_PER_MINUTE
    assert wireless_floor(datetime(2026, 1, 1, 1, 0, tzinfo=UTC)) == 60 * 32


def test_the_clock_alone_does_not_use_the_numbers_up_within_a_meters_life() -> None:
    assert wireless_floor(datetime(2057, 1, 1, tzinfo=UTC)) < LAST_WIRELESS


async def test_behind_the_last_number_nothing_is_given(site: Site) -> None:
    site.store.reserve_counter(keys.wireless_counter(site.meter), LAST_WIRELESS)
    keeping = site.keeping()
    assert await keeping.wireless_number() == LAST_WIRELESS
    with pytest.raises(CounterExhaustedError):
        await keeping.wireless_number()


async def test_a_copy_of_the_directory_jumps_and_stays_within_29_bits(site: Site) -> None:
    last = await site.keeping().wireless_number()
    now_s = int(datetime.now(UTC).timestamp())
    backup.claim(site.folder, site.store, now_s, {})
    (site.folder / "instance").unlink()
    assert backup.claim(site.folder, site.store, now_s, {})
    following = await site.keeping().wireless_number()
    assert last + backup.WIRELESS_JUMP <= following < last + 3 * backup.WIRELESS_JUMP
    # A push's floor would use them up in 2034.
    assert time_floor(datetime(2035, 1, 1, tzinfo=UTC)) > LAST_WIRELESS


async def test_a_text_is_kept_for_its_meter(site: Site) -> None:
    await site.keeping().keep("address", "7")
    assert await site.keeping().kept("address") == "7"
    assert await site.keeping().kept("other") is None
    other = keys.load_or_make(site.folder, ["flat"]).meters["flat"]
    assert await ModuleKeeping(site.store, other, site.thread).kept("address") is None


def test_the_wireless_key_is_no_other_key(site: Site) -> None:
    meter = site.meter
    assert meter.management is not None
    others = {
        meter.push.encryption,
        meter.push.authentication,
        meter.vending,
        meter.management.master,
        meter.management.keys.encryption,
        meter.management.keys.authentication,
    }
    assert site.keeping().wireless_key not in others
    assert len(site.keeping().wireless_key) == 16
    assert site.keeping().wireless_key.hex() in (site.folder / keys.FILE_NAME).read_text()


def test_renewed_keys_have_a_new_wireless_one(site: Site) -> None:
    renewed = keys.renew(site.folder, {"house": site.meter.system_title}).meters["house"]
    assert renewed.wireless not in (None, site.meter.wireless)
    assert keys.wireless_counter(renewed) != keys.wireless_counter(site.meter)


async def test_the_serial_lists_numbers_rise_and_never_come_again_over_a_kill(site: Site) -> None:
    given: list[int] = []
    for _ in range(3):
        keeping = site.keeping()
        given += [await keeping.list_number() for _ in range(5)]
    assert given == sorted(set(given))
    assert given[0] >= time_floor(datetime.now(UTC)) - 10
    assert site.keeping().list_keys == site.meter.serial_list


async def test_what_follows_a_register_is_forgotten_where_the_registers_were_put_back(
    site: Site,
) -> None:
    keeping = site.keeping()
    await keeping.keep("counted import_active_energy pulses.csv", "17")
    await keeping.keep("address", "5")
    copy = site.folder.with_name("copy")
    titles = {site.meter.system_title: LocalTime(ZoneInfo("UTC"))}
    backup.claim(site.folder, site.store, 1_800_000_000, titles)
    assert await keeping.kept("counted import_active_energy pulses.csv") == "17"
    shutil.copytree(site.folder, copy)
    copied = Store(copy / "store.sqlite")
    assert backup.claim(copy, copied, 1_800_000_000, titles), "it is a copy"
    there = ModuleKeeping(copied, site.meter, site.thread)
    assert await there.kept("counted import_active_energy pulses.csv") is None
    assert await there.kept("address") == "5"
    copied.close()
