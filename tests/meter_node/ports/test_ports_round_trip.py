"""Whatever stands in the registers comes out of a second decoder, for every kind of module."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
import second_decoders as second
from display_meters import NOON_NS
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from module_house import LIST_KEYS, ONE_PHASE, THREE_PHASES, ModuleHouse

from meter_node.channel import registers
from meter_node.channel.registers import Register, Unit
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant
from meter_node.ports import han, p1, s0
from meter_node.ports.mbus import table
from meter_node.ports.mbus.address import SecondaryAddress
from meter_node.ports.mbus.slave import Conversation, Readout, Slave
from meter_node.ports.modules import KINDS
from meter_node.ports.pulse_train import PulseSettings
from meter_node.ports.wmbus import port as wmbus
from meter_node.ports.wmbus.frames import FORMATS
from tests.interop.test_mbus_readers import register_of

KEY = bytes(range(16))
MOST_WH = 10**10 - 1
# The widest that a register of that unit shows here: as the narrowest of the formats can.
WIDTHS: Mapping[Unit, tuple[int, int]] = {
    Unit.WATT_HOUR: (0, MOST_WH),
    Unit.VAR_HOUR: (0, MOST_WH),
    Unit.WATT: (0, 999_999),
    Unit.VAR: (0, 999_999),
    Unit.VOLT_AMPERE: (0, 999_999),
    Unit.VOLT: (0, 99_999),
    Unit.AMPERE: (0, 999_999),
    Unit.HERTZ: (0, 99_999),
    Unit.PERCENT: (0, 2**31 - 1),
    Unit.HOUR: (0, 2**31 - 1),
    Unit.SECOND: (1, 2**47 - 1),
}
NAMED_WIDTHS = {
    "power_factor": (-1000, 1000),
    "net_active_energy": (-MOST_WH, MOST_WH),
    # One at least: without any, the last one's values are absent.
    "voltage_sag_count": (1, 99_999),
    "voltage_swell_count": (1, 99_999),
}


class Drawn:
    """A meter whose every register was drawn, or is as low or as high as it goes."""

    def __init__(self, seed: int, choice: str, variant: Variant) -> None:
        self.random = random.Random(seed)
        self.phases = 3 if variant is THREE_PHASES else 1
        self.raw = {one.key: self._draw(one, choice) for one in registers.registers_of(self.phases)}
        energies = {
            one.key: self.raw[one.key] * NANO + self.random.randrange(NANO)
            for one in registers.registers_of(self.phases)
            if one.is_energy
        }
        others = {key: raw for key, raw in self.raw.items() if key not in energies}
        tariffs = self.random.randint(1, 8)
        self.tariffs = tariffs
        self.house = ModuleHouse(
            Snapshot(NOON_NS, energies, {}, others, tariffs=tariffs, tariff=tariffs), variant
        )
        self.view = self.house.view

    def _draw(self, register: Register, choice: str) -> int:
        quantity = register.quantity
        low, high = NAMED_WIDTHS.get(quantity.name) or WIDTHS[quantity.unit]
        ends = {"low": low, "high": high, "none": max(low, 0)}
        chosen = self.random.choice([*ends, "drawn"]) if choice == "mixed" else choice
        return self.random.randint(low, high) if chosen == "drawn" else ends[chosen]


meters = st.builds(
    Drawn,
    st.integers(0, 2**32),
    st.sampled_from(["low", "high", "drawn", "mixed"]),
    st.sampled_from([THREE_PHASES, ONE_PHASE]),
)


# --- the serial list ------------------------------------------------------------------------------

# Group C and D of OBIS to a register and how many of its steps are one of the list's.
TOTALS = {
    (1, 7): ("import_active_power", 10), (2, 7): ("export_active_power", 10),
    (3, 7): ("import_reactive_power", 10), (4, 7): ("export_reactive_power", 10),
}  # fmt: skip
ENERGIES = {
    (1, 8): ("import_active_energy", 1), (2, 8): ("export_active_energy", 1),
    (3, 8): ("import_reactive_energy", 1), (4, 8): ("export_reactive_energy", 1),
}  # fmt: skip
MAINS = {(12, 7): ("voltage", 100), (11, 7): ("current", 10)}
DANISH = MAINS | {
    (1, 7): ("import_active_power", 10), (2, 7): ("export_active_power", 10),
    (1, 8): ("import_active_energy", 1), (2, 8): ("export_active_energy", 1),
    (13, 7): ("power_factor", 10),
}  # fmt: skip
TEXTS = {"1.1.0.0.5.255", "1.1.96.1.1.255", "1.1.0.0.1.255", "0.1.1.0.0.255"}


def listed(
    meter: Drawn,
    totals: Mapping[tuple[int, int], tuple[str, int]],
    phases: Mapping[tuple[int, int], tuple[str, int]],
    wh: int,
) -> dict[str, int]:
    wanted = {f"1.1.{c}.{d}.0.255": (d, name, steps) for (c, d), (name, steps) in totals.items()}
    for phase in range(1, meter.phases + 1):
        for (c, d), (name, steps) in phases.items():
            wanted[f"1.1.{c + 20 * phase}.{d}.0.255"] = (d, f"{name}_l{phase}", steps)
    return {
        # 32 bits of a list's energy roll over; it has no signs.
        code: abs(meter.raw[key]) // (wh if d == 8 else steps) % 2**32
        for code, (d, key, steps) in wanted.items()
    }


def lists(meter: Drawn) -> None:
    for scale, wh in (("energy_1_wh", 1), ("energy_10_wh", 10)):
        assert scale in get_args(han.Scale.__value__)
        for hourly in (False, True):
            frame = han.plain(meter.view, scale, hourly=hourly)  # type: ignore[arg-type]
            said = second.flat_list(second.hdlc_information(frame))
            wanted = listed(meter, TOTALS | (ENERGIES if hourly else {}), MAINS, wh)
            assert {code: value for code, value in said.items() if code not in TEXTS} == wanted
        frame = han.ciphered(meter.view, scale, LIST_KEYS, 7)  # type: ignore[arg-type]
        apdu = second.hdlc_information(frame)
        text = second.opened(apdu, LIST_KEYS.encryption, LIST_KEYS.authentication)
        said = second.flat_list(text)
        totals = TOTALS | ENERGIES | {(13, 7): ("power_factor", 10)}
        wanted = listed(meter, totals, DANISH, wh)
        assert {code: value for code, value in said.items() if code not in TEXTS} == wanted


# --- P1 -------------------------------------------------------------------------------------------

# Code of the total; the register; unit, digits before the point and behind it; decimal places from
# the register's steps to the unit.
KW, KWH = ("kW", 2, 3, 4), ("kWh", 6, 3, 3)
CURRENTS = {"nl": ("A", 3, 0, 3), "be": ("A", 3, 2, 3), "se": ("A", 3, 1, 3)}
SWEDISH = {"kW": ("kW", 4, 3, 4), "kVAr": ("kVAr", 4, 3, 4)}


def telegram_values(meter: Drawn, variant: str) -> dict[str, tuple[str, tuple[str, int, int, int]]]:
    """Code to the register that stands there, and its form."""
    kw = KW if variant != "se" else SWEDISH["kW"]
    found = {
        "1-0:1.7.0": ("import_active_power", kw),
        "1-0:2.7.0": ("export_active_power", kw),
    }
    for phase in range(1, meter.phases + 1):
        c = 20 * phase
        found |= {
            f"1-0:{c + 1}.7.0": (f"import_active_power_l{phase}", kw),
            f"1-0:{c + 2}.7.0": (f"export_active_power_l{phase}", kw),
            f"1-0:{c + 12}.7.0": (f"voltage_l{phase}", ("V", 3, 1, 2)),
            f"1-0:{c + 11}.7.0": (f"current_l{phase}", CURRENTS[variant]),
        }
        if variant == "se":
            kvar = SWEDISH["kVAr"]
            found[f"1-0:{c + 3}.7.0"] = (f"import_reactive_power_l{phase}", kvar)
            found[f"1-0:{c + 4}.7.0"] = (f"export_reactive_power_l{phase}", kvar)
    if variant == "be":
        found["1-0:1.4.0"] = ("import_active_demand", kw)
    if variant == "se":
        for c, name in enumerate(("import_active", "export_active"), start=1):
            found[f"1-0:{c}.8.0"] = (f"{name}_energy", ("kWh", 8, 3, 3))
        for c, name in enumerate(("import_reactive", "export_reactive"), start=3):
            found[f"1-0:{c}.8.0"] = (f"{name}_energy", ("kVArh", 8, 3, 3))
            found[f"1-0:{c}.7.0"] = (f"{name}_power", SWEDISH["kVAr"])
    else:
        for c, name in enumerate(("import", "export"), start=1):
            for tariff in range(1, max(meter.tariffs, 2) + 1):
                found[f"1-0:{c}.8.{tariff}"] = (f"{name}_active_energy_t{tariff}", KWH)
    return found


def telegrams(meter: Drawn) -> None:
    for variant in get_args(p1.Variant.__value__):
        said = second.telegram_lines(p1.telegram(meter.view, variant))
        for code, (key, (unit, before, behind, places)) in telegram_values(meter, variant).items():
            (text,) = said.pop(code)
            exact = Decimal(meter.raw[key]).scaleb(-places) % 10**before
            step = Decimal(1).scaleb(-behind)
            assert second.quantity(text) == (exact // step * step, unit, (before, behind)), key
        left = {code for code, (text, *_) in said.items() if "*" in text}
        assert left <= {"0-0:17.0.0", "1-0:31.4.0"}, "the limiter's"
        if variant == "nl":
            for phase in range(1, meter.phases + 1):
                for what, d in (("sag", 32), ("swell", 36)):
                    (text,) = said[f"1-0:{12 + 20 * phase}.{d}.0"]
                    assert text == f"{meter.raw[f'voltage_{what}_count_l{phase}']:05}"


# --- M-Bus ----------------------------------------------------------------------------------------

NOT_TOLD = {
    "import_active_demand", "export_active_demand", "import_active_energy_customer",
    *(f"other_{name}" for name in registers.SUMMED_ENERGIES),
}  # fmt: skip


def registers_in(records: list[second.MbusRecord]) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        which = register_of(record.as_a_stranger_says)
        if which is not None:
            assert which[0] not in found
            assert record.number is not None
            found[which[0]] = record.number
    return found


def readouts(meter: Drawn) -> None:
    def read(group: int) -> Readout:
        return Readout(list(table.readout(meter.view, group)), table.status(meter.view))

    conversation = Conversation(Slave(SecondaryAddress("12345678"), 1, read))
    data, records = bytes.fromhex("10 7b 01 7c 16"), []
    for time_s in range(100):
        (answer,) = conversation.feed(data, float(time_s))
        page = second.mbus_answer(answer)
        records += list(second.mbus_records(page))
        if page[-1] != 0x1F:
            break
        # The other frame count bit asks for the next one.
        data = bytes.fromhex("10 5b 01 5c 16" if data[1] == 0x7B else "10 7b 01 7c 16")
    wanted = {
        one.key: meter.raw[one.key]
        for one in registers.registers_of(meter.phases, meter.tariffs)
        if one.quantity.name not in NOT_TOLD
    }
    assert registers_in(records) == wanted


# --- wireless M-Bus -------------------------------------------------------------------------------

REAL_METERS = [
    ("import_active_energy", "04"), ("export_active_energy", "843c"),
    ("import_active_power", "2b"), ("export_active_power", "ab3c"),
]  # fmt: skip


def wireless(meter: Drawn) -> None:
    number = meter.random.randrange(1 << 29)
    ell = wmbus.WmbusSettings(kind="wmbus")
    wanted = [meter.raw[key] // 10 for key, _ in REAL_METERS]
    full, compact = (
        second.extended_link(framed(wmbus.body(meter.view, ell, KEY, number, is_long=long)), KEY)
        for long in (True, False)
    )
    records = list(second.mbus_records(full[1:]))
    assert full[0] == 0x78
    assert [(one.vif, one.number) for one in records] == [
        (vif, value) for (_, vif), value in zip(REAL_METERS, wanted, strict=True)
    ]
    assert compact[0] == 0x79
    heads = b"".join(bytes((0x04,)) + bytes.fromhex(vif) for _, vif in REAL_METERS)
    assert compact[1:3] == second.wireless_crc(heads).to_bytes(2, "little")
    assert compact[3:5] == second.wireless_crc(full[1:]).to_bytes(2, "little")
    values = [int.from_bytes(compact[at : at + 4], "little") for at in range(5, len(compact), 4)]
    assert values == wanted
    secured = wmbus.WmbusSettings(kind="wmbus", protection="profile_a")
    body = framed(wmbus.body(meter.view, secured, KEY, number, is_long=True))
    keys = [key for key, _ in REAL_METERS]
    for name in ("voltage", "current"):
        keys += [f"{name}_l{phase}" for phase in range(1, meter.phases + 1)]
    if meter.tariffs > 1:
        keys += [f"import_active_energy_t{tariff}" for tariff in range(1, meter.tariffs + 1)]
    found = list(second.mbus_records(second.profile_a(body, KEY)))
    assert registers_in(found) == {key: meter.raw[key] for key in keys}


def framed(body: bytes) -> bytes:
    """A body by way of both frame formats of a transmitter."""
    for name, frame in FORMATS.items():
        assert second.without_checks(frame(body), name) == body
    return body


# --- pulses ---------------------------------------------------------------------------------------


def pulses(meter: Drawn) -> None:
    constant, pulse_ms = meter.random.randint(100, 1000), meter.random.choice((30, 80))
    begun = meter.raw["import_active_energy"]
    settings = PulseSettings(constant, pulse_ms)
    train = s0.Train(settings, s0.Kept(begun, 0, 0, constant), None)
    sent, grown, now_ns = [], 0, NOON_NS
    for _ in range(6):
        grown += meter.random.choice((0, 1, 3, 1000))
        register = (begun + grown) % 10**10  # ten million kWh and on from nothing
        sent += train.take(register, now_ns, now_ns + NANO)
        now_ns += NANO
    kept = train.kept()
    waits = kept.queued * 10**12 + kept.rest
    assert len(sent) * 10**12 + waits == grown * NANO * constant
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pulses"
        output = s0.RecordedOutput(path)
        for pulse in sent:
            output.set(True, pulse.on_ns)
            output.set(False, pulse.off_ns)
        output.close()
        lines = [tuple(map(int, line.split(","))) for line in path.read_text().splitlines()]
    assert lines == [(pulse.on_ns, pulse.off_ns) for pulse in sent]
    assert all(off - on >= pulse_ms * 10**6 for on, off in lines)
    assert all(later[0] - before[1] >= 30 * 10**6 for before, later in pairwise(lines))


READ_BACK: Mapping[str, Callable[[Drawn], None]] = {
    "han": lists,
    "mbus": readouts,
    "p1": telegrams,
    "s0": pulses,
    "wmbus": wireless,
}


def test_every_kind_is_read_back() -> None:
    assert set(READ_BACK) == set(KINDS)


@pytest.mark.parametrize("kind", READ_BACK)
@examples(max_examples=100)
@given(meter=meters)
def test_a_second_decoder_reads_what_the_registers_hold(kind: str, meter: Drawn) -> None:
    READ_BACK[kind](meter)
