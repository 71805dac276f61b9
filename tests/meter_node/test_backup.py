"""Back-up and restore: nothing goes back, nothing is given twice, and a copy is found out."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import aiomqtt
import pytest
from mosquitto import Mosquitto
from typer.testing import CliRunner

from meter_node import backup, cli, cli_backup, config, keys, node, store
from meter_node.backup import COUNTER_JUMP, STATE_PART, BackupError
from meter_node.channel import apdu, axdr, hello, meter_node_v1, objects, security
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.event_codes import Log
from meter_node.ciphering import InvocationCounter, PycryptodomeAead
from meter_node.cli_logs import verify_logs
from meter_node.cosem import push
from meter_node.meter import restored
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import EventLogs
from meter_node.meter.rows import ChainHead, Image
from meter_node.meter.snapshot import NANO
from meter_node.meter.supply import Cause, ControlState
from meter_node.ports import mqtt
from meter_node.ports.retained import retained
from meter_node.published import Published, UnprovedError, published

# 2026-01-15 12:00 UTC: 14.5 days after the counters' epoch.
NOON_S = 1_768_478_400
SECONDS_2026 = 14 * 86_400 + 43_200
LOCAL = LocalTime(ZoneInfo("Europe/Copenhagen"))
KWH = 1000 * NANO


class House:
    """A data directory with one meter, as a node would drive it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(exist_ok=True)
        self.meter = keys.load_or_make(data_dir, ["house"]).meters["house"]
        self.title = self.meter.system_title

    @property
    def key(self) -> str:
        return keys.push_counter(keys.load(self.data_dir).meters["house"])

    def start(self, now_s: int = NOON_S) -> bool:
        """Claim the directory; whether it was found to be a copy."""
        with closing(store.Store(self.data_dir / store.DATABASE)) as database:
            return backup.claim(self.data_dir, database, now_s, {self.title: LOCAL})

    def meter_until(
        self,
        time_s: int,
        energies_nwh: Mapping[str, int],
        event: str = "",
        states: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        with closing(store.Store(self.data_dir / store.DATABASE)) as database:
            logs = EventLogs(LOCAL, database.kept(self.title).log_heads)
            rows = logs.append([Event.of(event, time_s)] if event else [])
            texts = {part: json.dumps(state) for part, state in (states or {}).items()}
            database.commit(self.title, Image(time_s * NANO, energies_nwh, texts, rows))

    def kept(self) -> store.Kept:
        with closing(store.Store(self.data_dir / store.DATABASE)) as database:
            return database.kept(self.title)

    def take(self, times: int = 1) -> int:
        """Start, use so many numbers of the key, and return the last of them."""
        with closing(store.Store(self.data_dir / store.DATABASE)) as database:
            counter = InvocationCounter(
                database.reserved_counter(self.key),
                0,
                lambda bound: database.reserve_counter(self.key, bound),
            )
            return [counter.take() for _ in range(times)][-1]

    def status_log(self) -> list[tuple[int, str]]:
        with closing(store.Store(self.data_dir / store.DATABASE)) as database:
            return [(row.code, row.detail) for row in database.log_rows(self.title, Log.STATUS)]

    def tokens_wait(self) -> bool:
        state = self.kept().states.get(STATE_PART)
        return state is not None and bool(json.loads(state)["tokens_wait"])

    def state(self, part: str) -> dict[str, object]:
        return dict(json.loads(self.kept().states[part]))

    def restore(self, file: Path, **options: object) -> backup.Restored:
        return backup.restore(file, self.data_dir, now_s=NOON_S + 200, **options)  # type: ignore[arg-type]


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path / "data")
    made.start(NOON_S - 100)
    made.meter_until(NOON_S, {"import_active_energy": 10 * KWH}, "power_up")
    return made


@pytest.fixture
def old(house: House, tmp_path: Path) -> Path:
    """A back-up from before the house used 5 kWh and 40 numbers of its key."""
    file = tmp_path / "old.backup"
    backup.back_up(house.data_dir, file, NOON_S)
    house.meter_until(NOON_S + 100, {"import_active_energy": 15 * KWH}, "power_down")
    house.take(40)
    return file


PUSHED = Published(counter=5000, energies_wh={"import_active_energy": 15_000})

# --- back-up ---


def test_a_back_up_is_one_file_that_only_its_owner_reads(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    backup.back_up(house.data_dir, folder / "file", NOON_S)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").stat().st_mode & 0o077 == 0


def test_no_key_is_in_a_back_up(house: House, old: Path) -> None:
    content = old.read_bytes()
    for key in (house.meter.push.encryption, house.meter.push.authentication):
        assert key not in content
        assert key.hex().encode() not in content


def test_a_back_up_can_be_made_while_the_node_writes(house: House, tmp_path: Path) -> None:
    with closing(store.Store(house.data_dir / store.DATABASE)) as running:
        running.commit(house.title, Image(NOON_S * NANO, {"import_active_energy": 11 * KWH}))
        backup.back_up(house.data_dir, tmp_path / "file", NOON_S)
        running.commit(house.title, Image(NOON_S * NANO, {"import_active_energy": 12 * KWH}))
    with closing(store.Store(tmp_path / "file")) as copy:
        assert copy.kept(house.title).energies_nwh == {"import_active_energy": 11 * KWH}


# --- restore ---


def test_a_restored_register_is_raised_to_what_was_published(house: House, old: Path) -> None:
    (house.data_dir / store.DATABASE).unlink()
    done = house.restore(old, last={house.title: PUSHED}, local={house.title: LOCAL})
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH}
    assert done.raised_nwh == {house.title: {"import_active_energy": 5 * KWH}}
    assert not done.new_keys
    assert house.status_log()[-1] == (193, "import_active_energy +5.000 kWh")


def test_a_restored_register_is_raised_to_what_the_store_here_holds(
    house: House, old: Path
) -> None:
    house.meter_until(NOON_S + 150, {"import_active_energy": 15 * KWH + 7})
    house.restore(old, replace=True)
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH + 7}


def test_a_restored_counter_gives_no_number_twice(house: House, old: Path) -> None:
    used = house.take(3)
    (house.data_dir / store.DATABASE).unlink()
    house.restore(old, last={house.title: PUSHED})
    first = house.take()
    assert first > used
    assert first > PUSHED.counter + COUNTER_JUMP - 1
    assert first >= 2 * SECONDS_2026


def test_a_restore_without_a_floor_is_refused_and_changes_nothing(house: House, old: Path) -> None:
    (house.data_dir / store.DATABASE).unlink()
    before = sorted(path.name for path in house.data_dir.iterdir())
    keys_before = (house.data_dir / keys.FILE_NAME).read_bytes()
    with pytest.raises(BackupError, match="--new-keys"):
        house.restore(old)
    assert sorted({*before, "lock"}) == sorted(path.name for path in house.data_dir.iterdir())
    assert (house.data_dir / keys.FILE_NAME).read_bytes() == keys_before


def test_a_restore_without_a_floor_rotates_the_keys_where_that_is_wanted(
    house: House, old: Path
) -> None:
    (house.data_dir / store.DATABASE).unlink()
    assert house.restore(old, new_keys=True).new_keys
    renewed = keys.load(house.data_dir).meters["house"]
    assert renewed.system_title == house.title
    assert renewed.push != house.meter.push
    assert house.kept().energies_nwh == {"import_active_energy": 10 * KWH}
    assert house.status_log()[-2:] == [(193, ""), (48, "")]


def test_an_empty_directory_gets_the_meters_under_new_keys(
    house: House, old: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = backup.restore(old, elsewhere, now_s=NOON_S + 200)
    assert done.new_keys
    meter = keys.load(elsewhere).meters["house"]
    assert meter.system_title == house.title
    assert meter.push != house.meter.push


def test_tokens_wait_after_a_restore(house: House, old: Path) -> None:
    assert not house.tokens_wait()
    (house.data_dir / store.DATABASE).unlink()
    house.restore(old, last={house.title: PUSHED})
    assert house.tokens_wait()


def test_a_restored_log_goes_on_above_every_number_given_since(house: House, old: Path) -> None:
    house.restore(old, replace=True)
    entry = house.kept().log_heads[Log.STATUS].entry
    # Entry 1 was in the back-up, 2 was written after it: no log grows by one a second.
    assert entry == SECONDS_2026 + 200 + 1
    report = verify_logs(house.data_dir)
    assert report.whole
    (status,) = [log for log in report.logs if log.log == Log.STATUS]
    assert status.jumps == (SECONDS_2026 + 200,)


def test_a_restored_directory_is_no_copy_to_its_next_start(house: House, old: Path) -> None:
    house.restore(old, replace=True)
    assert not house.start(NOON_S + 300)
    assert not house.start(NOON_S + 400)


def test_a_back_up_restored_twice_gives_new_numbers_each_time(house: House, old: Path) -> None:
    house.restore(old, replace=True)
    first = house.take()
    entry = house.kept().log_heads[Log.STATUS].entry
    backup.restore(old, house.data_dir, now_s=NOON_S + 9000, replace=True)
    assert house.take() > first
    assert house.kept().log_heads[Log.STATUS].entry > entry


def test_a_newer_store_is_not_replaced_unless_asked(house: House, old: Path) -> None:
    with pytest.raises(BackupError, match="--replace"):
        house.restore(old)
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH}


def test_a_copied_store_is_no_floor(house: House, old: Path) -> None:
    (house.data_dir / backup.INSTANCE).write_text("another")
    with pytest.raises(BackupError, match="--new-keys"):
        house.restore(old, replace=True)


def test_a_damaged_store_is_put_aside(house: House, old: Path) -> None:
    path = house.data_dir / store.DATABASE
    path.write_bytes(b"\0" * 5000)
    house.restore(old, last={house.title: PUSHED})
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH}
    (aside,) = house.data_dir.glob("damaged-*")
    assert aside.read_bytes() == b"\0" * 5000


def test_a_damaged_back_up_is_refused(house: House, old: Path, tmp_path: Path) -> None:
    content = bytearray(old.read_bytes())
    content[4096 : 4096 * 3] = bytes(4096 * 2)
    old.write_bytes(content)
    with pytest.raises(BackupError, match=r"damaged|can't be read"):
        house.restore(old, replace=True)
    (tmp_path / "text").write_text("no database")
    with pytest.raises(BackupError, match="can't be read"):
        house.restore(tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE something (a)")
    with pytest.raises(BackupError, match="no back-up"):
        house.restore(tmp_path / "other")
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH}


def test_a_back_up_of_another_house_is_refused(old: Path, tmp_path: Path) -> None:
    stranger = House(tmp_path / "stranger")
    with pytest.raises(BackupError, match="no key of the meter"):
        stranger.restore(old, new_keys=True)


def test_nothing_is_restored_under_a_running_node(house: House, old: Path) -> None:
    with store.lock(house.data_dir), pytest.raises(store.DataDirectoryInUseError):
        house.restore(old, replace=True)


def test_nothing_is_restored_by_a_clock_that_is_wrong(house: House, old: Path) -> None:
    with pytest.raises(BackupError, match="clock"):
        backup.restore(old, house.data_dir, now_s=0, replace=True)


def test_a_back_up_of_version_1_is_restored(house: House, tmp_path: Path) -> None:
    file = tmp_path / "version 1"
    with closing(sqlite3.connect(file)) as old:
        old.executescript(store._MIGRATIONS[0] + "PRAGMA user_version=1")
        old.execute("INSERT INTO meter VALUES (?, 1)", (house.title,))
        old.execute("INSERT INTO energy VALUES (?, 'import_active_energy', 7, 5)", (house.title,))
        old.commit()
    (house.data_dir / store.DATABASE).unlink()
    house.restore(file, last={house.title: Published(0, {"import_active_energy": 7})})
    assert house.kept().energies_nwh == {"import_active_energy": 7 * NANO + 5}


# --- supply and credit ---

ON = {"closed": True, "causes": [], "wants_button": False}
OFF = {"closed": False, "causes": ["remote"], "wants_button": False}
SHOWN_OFF = restored.Shown(ControlState.DISCONNECTED, 5, frozenset({Cause.REMOTE}), 2_000)


@pytest.fixture
def prepaid(house: House, tmp_path: Path) -> tuple[House, Path]:
    """A house and its back-up; since then it drew 3 kWh of its 8, and the utility has cut it."""
    credit = {"enabled": True, "credit_nwh": 8 * KWH, "debt_nwh": 0, "sequence": 1}
    energies = {"import_active_energy": 10 * KWH}
    house.meter_until(NOON_S + 1, energies, states={"breaker": ON, "credit": credit})
    file = tmp_path / "prepaid.backup"
    backup.back_up(house.data_dir, file, NOON_S + 1)
    house.take(40)
    credit |= {"credit_nwh": 5 * KWH, "sequence": 2}
    energies = {"import_active_energy": 13 * KWH}
    house.meter_until(NOON_S + 100, energies, states={"breaker": OFF, "credit": credit})
    return house, file


def test_a_restore_energises_no_house_that_was_cut_since(prepaid: tuple[House, Path]) -> None:
    house, file = prepaid
    done = house.restore(file, replace=True)
    assert house.state("breaker") == OFF
    assert done.off == {house.title}
    assert house.status_log()[-1] == (193, "import_active_energy +3.000 kWh; supply off")


def test_a_restore_gives_no_spent_credit_back(prepaid: tuple[House, Path]) -> None:
    house, file = prepaid
    house.restore(file, replace=True)
    assert (house.state("credit")["credit_nwh"], house.state("credit")["sequence"]) == (5 * KWH, 2)


def test_tokens_do_not_wait_where_the_store_here_knows_which_are_spent(
    prepaid: tuple[House, Path],
) -> None:
    house, file = prepaid
    house.restore(file, replace=True)
    assert not house.tokens_wait()


def test_tokens_that_waited_here_wait_on(prepaid: tuple[House, Path]) -> None:
    house, file = prepaid
    house.meter_until(NOON_S + 101, {}, states={STATE_PART: {"tokens_wait": True}})
    house.restore(file, replace=True)
    assert house.tokens_wait()


def test_without_the_store_that_ran_here_the_last_push_tells(prepaid: tuple[House, Path]) -> None:
    house, file = prepaid
    (house.data_dir / store.DATABASE).unlink()
    pushed = Published(5000, {"import_active_energy": 13_000}, SHOWN_OFF)
    house.restore(file, last={house.title: pushed})
    assert house.state("breaker") == OFF | {"wants_button": True}
    assert house.state("credit")["credit_nwh"] == 2 * KWH
    assert house.tokens_wait()


def test_a_store_here_that_is_older_than_the_last_push_does_not_count(
    prepaid: tuple[House, Path],
) -> None:
    # It was put back with its whole disk, which nothing in it shows: but it reserved no 5000.
    house, file = prepaid
    pushed = Published(5000, {"import_active_energy": 13_000}, SHOWN_OFF)
    house.restore(file, last={house.title: pushed}, replace=True)
    assert house.state("credit")["credit_nwh"] == 2 * KWH
    assert house.tokens_wait()


def test_a_restore_with_new_keys_waits_for_the_button(prepaid: tuple[House, Path]) -> None:
    house, file = prepaid
    (house.data_dir / store.DATABASE).unlink()
    house.restore(file, new_keys=True)
    assert house.state("breaker") == ON | {"closed": False, "wants_button": True}
    assert house.state("credit")["credit_nwh"] == 8 * KWH


def test_a_copy_has_a_supply_of_its_own(prepaid: tuple[House, Path], tmp_path: Path) -> None:
    house, _ = prepaid
    house.meter_until(NOON_S + 101, {}, states={"breaker": ON})
    shutil.copytree(house.data_dir, tmp_path / "copy", copy_function=shutil.copy2)
    copy = House(tmp_path / "copy")
    assert copy.start()
    assert copy.state("breaker") == ON
    assert copy.state("credit") == house.state("credit")


# --- copies ---


def test_a_new_directory_and_one_that_stays_are_no_copies(house: House) -> None:
    assert not house.start()
    assert not house.start()
    assert [code for code, _ in house.status_log()] == [2]


def test_a_renamed_directory_is_no_copy(house: House, tmp_path: Path) -> None:
    house.data_dir = house.data_dir.rename(tmp_path / "moved")
    assert not house.start()


def test_a_copied_directory_is_found_and_repeats_no_number(house: House, tmp_path: Path) -> None:
    taken = house.take()
    entry = house.kept().log_heads[Log.STATUS].entry
    shutil.copytree(house.data_dir, tmp_path / "copy", copy_function=shutil.copy2)
    copy = House(tmp_path / "copy")
    assert copy.start()
    assert copy.status_log()[-1] == (194, "")
    assert copy.take() > taken + COUNTER_JUMP - 1
    assert copy.kept().log_heads[Log.STATUS].entry > entry + 1
    assert copy.kept().energies_nwh == {"import_active_energy": 10 * KWH}
    assert copy.tokens_wait()
    assert verify_logs(copy.data_dir).whole
    assert not copy.start()  # it lives here now
    assert not house.start()  # and the first one never left


def test_a_directory_put_back_in_its_place_is_found(house: House, tmp_path: Path) -> None:
    shutil.copytree(house.data_dir, tmp_path / "copy", copy_function=shutil.copy2)
    house.start()
    for file in (tmp_path / "copy").iterdir():
        shutil.copy2(file, house.data_dir / file.name)  # into the same inodes
    assert house.start()


def test_a_database_put_back_alone_is_found(house: House, tmp_path: Path) -> None:
    shutil.copy2(house.data_dir / store.DATABASE, tmp_path / "copy")
    house.start()
    shutil.copy2(tmp_path / "copy", house.data_dir / store.DATABASE)
    assert house.start()


def test_a_database_that_is_gone_is_found(house: House) -> None:
    (house.data_dir / store.DATABASE).unlink()
    assert house.start()
    assert house.status_log() == [(194, "")]


def test_another_machine_is_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = house.data_dir / "machine"
    identity.write_text("another machine")
    monkeypatch.setattr(backup, "_MACHINE", (identity,))
    assert house.start()


@pytest.mark.parametrize("writes", ["_write", "_place"])
def test_a_cut_in_the_middle_of_a_start_makes_no_copy(
    house: House, monkeypatch: pytest.MonkeyPatch, writes: str
) -> None:
    class CutError(Exception):
        pass

    def cut(path: Path, *rest: str) -> object:
        if writes == "_place" and backup._read(path) == before:
            return original(path, *rest)
        raise CutError

    before = backup._read(house.data_dir / backup.INSTANCE)
    original: Callable[..., object] = getattr(backup, writes)
    with monkeypatch.context() as patch:
        patch.setattr(backup, writes, cut)
        with pytest.raises(CutError):
            house.start()
    assert not house.start()


def test_a_store_from_before_there_were_instances_is_no_copy(house: House) -> None:
    (house.data_dir / backup.INSTANCE).unlink()
    with closing(store.Store(house.data_dir / store.DATABASE)) as database:
        database.set_mark(backup.INSTANCE, None)
    assert not house.start()


# --- what the broker retains ---


def sealed(
    meter: keys.MeterKeys, counter: int, import_wh: int, prove: push.Prove | None = None
) -> bytes:
    """A push; whoever has the push keys alone can `prove` as he likes."""
    time = CosemDateTime.from_bytes(bytes.fromhex("07ea010f040c000000ffc400"))
    values = {"import_active_energy": import_wh, "import_active_power": 12_340}
    state = meter_node_v1.encode_state(
        1, objects.PUSH_PROOF.logical_name, 2, axdr.octet_string(bytes(16))
    )
    plaintext = push.proved(
        apdu.encode_data_notification(1, time, meter_node_v1.encode(time, values, [state])),
        counter,
        prove or meter.prove,
    )
    envelope = security.seal(PycryptodomeAead(), meter.push, meter.system_title, counter, plaintext)
    return apdu.encode_general_glo_ciphering(envelope)


def test_a_retained_push_tells_the_floor(house: House) -> None:
    pushed = published(sealed(house.meter, 77, 15_000), house.meter)
    assert pushed == Published(77, {"import_active_energy": 15_000})


def test_a_push_that_a_display_made_tells_nothing(house: House) -> None:
    """It has the push keys, and knows what the meter's own proofs look like."""
    genuine = sealed(house.meter, 77, 15_000)
    plain = security.Receiver(
        PycryptodomeAead(), house.meter.system_title, house.meter.push
    ).accept(genuine, retained=True).plaintext  # fmt: skip
    proof = plain[-20:-4]  # behind it no logs and no events: 01 00 01 00
    assert proof == house.meter.prove(77, plain[:-20] + bytes(16) + plain[-4:])
    huge = sealed(house.meter, 77, 987_654_321, lambda *_: proof)
    used_up = sealed(house.meter, 0xFFFF_FFF0, 15_000, lambda *_: proof)
    for forged in (huge, used_up, sealed(house.meter, 78, 15_000, lambda *_: bytes(16))):
        with pytest.raises(UnprovedError):
            published(forged, house.meter)


def test_a_meter_that_has_no_secret_yet_takes_no_push_for_its_own(house: House) -> None:
    payload = sealed(house.meter, 77, 15_000)
    with pytest.raises(UnprovedError):
        published(payload, replace(house.meter, own=None))


def test_a_push_without_a_proof_tells_nothing(house: House) -> None:
    time = CosemDateTime.from_bytes(bytes.fromhex("07ea010f040c000000ffc400"))
    plaintext = apdu.encode_data_notification(
        1, time, meter_node_v1.encode(time, {"import_active_energy": 987_654_321})
    )
    envelope = security.seal(
        PycryptodomeAead(), house.meter.push, house.meter.system_title, 77, plaintext
    )
    with pytest.raises(UnprovedError):
        published(apdu.encode_general_glo_ciphering(envelope), house.meter)


def test_a_push_of_other_keys_tells_nothing(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    with pytest.raises(security.RefusedError):
        published(sealed(other.meter, 77, 15_000), house.meter)


def hold(house: House, last: Published) -> Mapping[str, int] | None:
    with closing(store.Store(house.data_dir / store.DATABASE)) as database:
        return backup.raise_to_published(database, house.meter, last, NOON_S, LOCAL)


def test_a_start_that_knows_less_than_the_broker_was_restored(house: House) -> None:
    assert hold(house, PUSHED) == {"import_active_energy": 5 * KWH}
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH}
    assert house.status_log()[-1] == (193, "import_active_energy +5.000 kWh")
    assert house.take() > PUSHED.counter
    assert house.tokens_wait()


def test_a_start_that_knows_what_the_broker_does_goes_on_untouched(house: House) -> None:
    used = house.take(5)
    assert hold(house, Published(used, {"import_active_energy": 10_000})) is None
    assert [code for code, _ in house.status_log()] == [2]
    assert not house.tokens_wait()


def test_a_store_that_lacks_a_number_that_the_broker_has_seen_was_put_back(house: House) -> None:
    assert hold(house, Published(5000, {"import_active_energy": 10_000})) == {}
    assert house.take() > 5000
    assert house.status_log()[-1] == (193, "")
    assert house.tokens_wait()


def test_a_start_from_an_image_energises_no_house_that_was_cut_since(
    prepaid: tuple[House, Path],
) -> None:
    house, _ = prepaid
    house.meter_until(NOON_S + 101, {}, states={"breaker": ON})
    hold(house, Published(5000, {"import_active_energy": 14_000}, SHOWN_OFF))
    assert house.state("breaker") == OFF | {"wants_button": True}
    assert house.state("credit")["credit_nwh"] == 2 * KWH


def test_an_image_of_an_empty_house_is_found_by_the_number_of_the_last_push(
    prepaid: tuple[House, Path],
) -> None:
    house, _ = prepaid
    house.meter_until(NOON_S + 101, {}, states={"breaker": ON})
    hold(house, Published(5000, {"import_active_energy": 13_000}, SHOWN_OFF))
    assert house.state("breaker") == OFF | {"wants_button": True}


# --- commands ---


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_what_was_raised_is_printed_with_its_unit_totals_first_and_no_zero() -> None:
    raised = {
        "import_active_energy_l1": 26 * NANO,
        "reactive_energy_q1": NANO // 3,  # a third of a varh
        "import_active_energy_t1": 26 * NANO,
        "import_reactive_energy": 5 * NANO,
        "import_active_energy": 26 * NANO,
    }
    assert cli_backup.raised_lines(raised) == [
        "import_reactive_energy: raised by 0.005 kvarh",
        "import_active_energy: raised by 0.026 kWh",
        "import_active_energy_t1: raised by 0.026 kWh",
        "import_active_energy_l1: raised by 0.026 kWh",
    ]


def test_verify_logs_finds_a_changed_row(house: House) -> None:
    house.meter_until(NOON_S, {}, "power_down")
    assert run("verify-logs", "--data-dir", house.data_dir)[0] == 0
    with closing(sqlite3.connect(house.data_dir / store.DATABASE)) as database:
        database.execute("UPDATE log SET time_s = time_s + 1 WHERE entry = 2")
        database.commit()
    status, output = run("verify-logs", "--data-dir", house.data_dir)
    assert status == 1
    assert "house: status: entry 2 was changed" in output
    status, output = run("verify-logs", "--data-dir", house.data_dir, "--json")
    assert status == 1
    (log,) = json.loads(output)["logs"]
    assert [fault["entry"] for fault in log["faults"]] == [2]


def test_verify_logs_holds_a_log_against_a_head_that_was_published(house: House) -> None:
    head = house.kept().log_heads[Log.STATUS].chain.hex()
    options = ("verify-logs", "--data-dir", house.data_dir, "--head")
    assert run(*options, f"status:1:{head}")[0] == 0
    status, output = run(*options, f"status:1:{'0' * 32}")
    assert (status, "published with another hash" in output) == (1, True)
    status, output = run(*options, f"fraud:1:{head}")
    assert (status, "was published and is not there" in output) == (1, True)


def test_verify_logs_finds_a_whole_log_that_was_removed_by_its_published_head(
    house: House,
) -> None:
    head = house.kept().log_heads[Log.STATUS]
    with closing(sqlite3.connect(house.data_dir / store.DATABASE)) as database:
        database.executescript("DELETE FROM log; DELETE FROM series;")
    assert verify_logs(house.data_dir).whole
    report = verify_logs(house.data_dir, [(Log.STATUS, ChainHead(1, head.chain))])
    assert not report.whole


def test_the_commands_back_up_and_restore(house: House, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert run("backup", file, "--data-dir", house.data_dir)[0] == 0
    status, output = run("restore", file, "--data-dir", house.data_dir)
    assert status == 0, output
    assert house.status_log()[-1][0] == 193
    (house.data_dir / store.DATABASE).unlink()
    with pytest.raises(BackupError, match="--new-keys"):
        run("restore", file, "--data-dir", house.data_dir)
    status, output = run("restore", file, "--data-dir", house.data_dir, "--new-keys")
    assert (status, "pair every display anew" in output) == (0, True)


async def test_restore_asks_the_broker_for_the_last_push(
    house: House, old: Path, broker: Mosquitto
) -> None:
    topic = hello.push_topic(hello.topic_title(house.title))
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.publish(topic, sealed(house.meter, 9000, 15_000), qos=1, retain=True)
    (house.data_dir / "meter_node.toml").write_text(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        '[[meter]]\nname = "house"\nmodel = "382M"\n[meter.source]\nkind = "simulated"\n'
    )
    (house.data_dir / store.DATABASE).unlink()
    status, output = await asyncio.to_thread(run, "restore", old, "--data-dir", house.data_dir)
    assert status == 0, output
    assert "import_active_energy: raised by 5.000 kWh" in output
    assert house.kept().energies_nwh == {"import_active_energy": 15 * KWH}
    assert house.take() > 9000


async def test_a_forged_push_that_the_broker_retains_is_no_floor_and_is_told(
    house: House, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    topic = hello.push_topic(hello.topic_title(house.title))
    forged = sealed(house.meter, 0xFFFF_FFF0, 987_654_321, lambda *_: bytes(16))
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.publish(topic, forged, qos=1, retain=True)
    where = config.MqttConfig(host="127.0.0.1", port=broker.port)
    assert await node.last_published(where, keys.load(house.data_dir)) == {}
    assert "was not made by this meter" in caplog.text


async def test_a_broker_that_retains_nothing_is_no_floor(house: House, broker: Mosquitto) -> None:
    where = mqtt.Broker("127.0.0.1", broker.port)
    assert await retained(where, ["meter_node/nobody/push"]) == {}
