"""Golden screens: what stands on the glass for a meter whose every register is known."""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

import pytest
from display_meters import FLAT, SNAPSHOT, device, flat, profile_reader
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import registers
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.profile_entry import ProfileEntry
from meter_node.meter.snapshot import NANO, BreakerState, CreditState, Snapshot
from meter_node.meter.variant import Variant
from meter_node.ports.display import face, terminal, views
from meter_node.ports.display.digits import CELLS, DigitFormat
from meter_node.ports.display.lcd import Level, Push
from meter_node.ports.display.reading import Reading
from meter_node.ports.display.segments import ALL, Cell, cells
from meter_node.ports.display.views import ENERGY_FORMATS, POWER_FORMATS, Settings

DEFAULT = Settings()
ONE_DECIMAL = Settings(energy_digits=ENERGY_FORMATS["6.1"], power_digits=POWER_FORMATS["3.2"])

# Registers hold one nWh less than the next Wh: nothing of it may be rounded up.
GOLDEN = [
    ("import_active_energy", "1.8.0", "0012345", "kWh", "Import"),
    ("export_active_energy", "2.8.0", "0007654", "kWh", "Export"),
    ("import_active_energy_l1", "21.8.0", "0004000", "kWh", "Import L1"),
    ("import_active_energy_l2", "41.8.0", "0004100", "kWh", "Import L2"),
    ("import_active_energy_l3", "61.8.0", "0004245", "kWh", "Import L3"),
    ("export_active_energy_l1", "22.8.0", "0002000", "kWh", "Export L1"),
    ("export_active_energy_l2", "42.8.0", "0002600", "kWh", "Export L2"),
    ("export_active_energy_l3", "62.8.0", "0003053", "kWh", "Export L3"),
    *(
        (f"import_active_energy_t{t}", f"1.8.{t}", f"000{t}000", "kWh", f"Import T{t}")
        for t in range(1, 9)
    ),
    ("import_reactive_energy", "3.8.0", "0001500", "kvarh", "Reactive import R+"),
    ("export_reactive_energy", "4.8.0", "0000800", "kvarh", "Reactive export R-"),
    ("reactive_energy_q1", "5.8.0", "0001000", "kvarh", "Reactive, quadrant 1"),
    ("reactive_energy_q2", "6.8.0", "0000499", "kvarh", "Reactive, quadrant 2"),
    ("reactive_energy_q3", "7.8.0", "0000300", "kvarh", "Reactive, quadrant 3"),
    ("reactive_energy_q4", "8.8.0", "0000500", "kvarh", "Reactive, quadrant 4"),
    ("net_active_energy", "16.8.0", "0004691", "kWh", "Import - export"),
    ("import_active_power", "1.7.0", "02.345", "kW", "Power, import"),
    ("export_active_power", "2.7.0", "00.500", "kW", "Power, export"),
    ("export_active_power_l2", "42.7.0", "00.500", "kW", "Power, export L2"),
    ("voltage_l1", "32.7.0", "230.1", "V", "Voltage L1"),
    ("current_l1", "31.7.0", "010.234", "A", "Current L1"),
    ("power_factor", "13.7.0", "-0.985", "", "Power factor"),
    ("frequency", "14.7.0", "49.987", "Hz", "Frequency"),
    ("apparent_power", "9.7.0", "--.---", "kVA", "Apparent power"),
    ("operating_time", "0-0:96.8.0", "0008760", "h", "Operating time"),
    ("date", "0-0:1.0.0", "2026.07.01", "", "Date"),
    ("time", "0-0:1.0.0", "14:00:05", "", "Time"),
    ("breaker", "0-0:96.3.10", "ON", "", "Breaker"),
    ("relay_1", "0-1:96.3.10", "ON", "", "Relay 1"),
    ("relay_2", "0-2:96.3.10", "OFF", "", "Relay 2"),
    ("tariff", "0-0:96.14.0", "t3", "", "Tariff in force"),
    ("status_word", "0-0:97.97.0", "1000100", "", "Status word"),
    ("meter_number", "0-0:96.1.0", "8675309", "", "Meter number"),
    ("software", "0.2.0", "0.1.0", "", "Software"),
]


def shown(key: str, settings: Settings = DEFAULT) -> face.Face:
    return face.of_view(Reading(device()), key, settings)


@pytest.mark.parametrize(("key", "code", "digits", "unit", "caption"), GOLDEN)
def test_a_view_shows_its_register_and_nothing_more(
    key: str, code: str, digits: str, unit: str, caption: str
) -> None:
    drawn = shown(key)
    assert (drawn.code, drawn.digits, drawn.unit, drawn.caption) == (code, digits, unit, caption)


@pytest.mark.parametrize(
    ("key", "digits"),
    [
        ("import_active_energy", "012345.9"),  # 12 345 999 Wh and almost one more
        ("export_active_energy_l1", "002000.9"),
        ("import_active_power", "002.34"),
    ],
)
def test_a_display_may_have_other_digits(key: str, digits: str) -> None:
    assert shown(key, ONE_DECIMAL).digits == digits


@pytest.mark.parametrize(
    ("wh", "seven", "six_and_one"),
    [
        (0, "0000000", "000000.0"),
        (999, "0000000", "000000.9"),
        (1000, "0000001", "000001.0"),
        (9_999_999_999, "9999999", "999999.9"),  # the last Wh before the register rolls over
    ],
)
def test_energies_are_cut_off_and_never_rounded_up(wh: int, seven: str, six_and_one: str) -> None:
    assert ENERGY_FORMATS["7.0"].text(wh, -3) == seven
    assert ENERGY_FORMATS["6.1"].text(wh, -3) == six_and_one


def test_a_debt_that_is_too_small_to_be_shown_has_no_sign() -> None:
    assert DigitFormat(5, 2).text(-9, -3) == "00000.00"
    assert DigitFormat(5, 2).text(-10, -3) == "-00000.01"


def test_what_does_not_fit_is_dashes_and_not_its_last_digits() -> None:
    assert POWER_FORMATS["2.3"].text(999_999, -4) == "99.999"  # 99.9999 kW in 0.1 W
    assert POWER_FORMATS["2.3"].text(1_000_000, -4) == "--.---"


def test_danish_captions() -> None:
    danish = Settings(language="da")
    assert shown("export_active_energy_l2", danish).caption == "Levering L2"
    assert shown("import_active_energy_t4", danish).caption == "Forbrug T4"
    assert shown("time", danish).caption == "Klokken"


def test_every_view_has_both_captions_and_digits_that_fit() -> None:
    reading = Reading(device(number="A123456789BCDEF0"))
    for view in views.VIEWS:
        assert view.english
        assert view.danish
        if view.key != views.PAY:
            assert len(face.of_view(reading, view.key, DEFAULT).cells) == CELLS


def test_phases_show_the_direction_of_each() -> None:
    marks = shown("time").phases
    assert [(mark.name, mark.present, mark.direction) for mark in marks] == [
        ("L1", True, "import"),
        ("L2", True, "export"),
        ("L3", False, "idle"),  # 159.99 V: below the outage limit of 160 V
    ]


@pytest.mark.parametrize(
    ("drawn", "fed", "inductive", "capacitive", "quadrant"),
    [
        (1000, 0, 100, 0, 1),
        (0, 1000, 100, 0, 2),
        (0, 1000, 0, 100, 3),
        (1000, 0, 0, 100, 4),
        (0, 0, 0, 0, None),
    ],
)
def test_the_quadrant_is_that_of_all_phases_together(
    drawn: float, fed: float, inductive: float, capacitive: float, quadrant: int | None
) -> None:
    powers = {
        "import_active_power": drawn,
        "export_active_power": fed,
        "import_reactive_power": inductive,
        "export_reactive_power": capacitive,
    }
    made = device(Snapshot(0, {}, powers))
    assert face.quadrant(Reading(made)) == quadrant


def test_the_active_tariff_is_lit() -> None:
    assert shown("time").tariff == 3


@pytest.mark.parametrize(
    ("state", "digits", "symbol"),
    [
        (BreakerState(True, 1, 4, closed_wanted=True), "ON", "closed"),
        (BreakerState(False, 0, 4, closed_wanted=False), "OFF", "open"),
        (BreakerState(False, 2, 4, closed_wanted=False), "READY", "ready"),
        (None, "---", None),
    ],
)
def test_the_breaker_is_shown_where_it_stands(
    state: BreakerState | None, digits: str, symbol: str | None
) -> None:
    drawn = face.of_view(Reading(device(breaker=state)), "breaker", DEFAULT)
    assert (drawn.digits, drawn.symbols.breaker) == (digits, symbol)


def test_pay_stands_first_and_is_lit_where_credit_is_used_up() -> None:
    reading = Reading(flat())
    automatic, _ = face.lists(reading, DEFAULT)
    drawn = face.of_view(reading, automatic[0], DEFAULT)
    assert drawn.digits == "PAY"
    assert drawn.symbols.pay
    assert face.of_view(reading, "import_active_energy", DEFAULT).symbols.pay
    # -12 Wh: cut off towards zero, not made a larger debt
    assert face.of_view(reading, "credit", DEFAULT).digits == "-00000.01"


def test_pay_comes_first_whatever_views_are_configured() -> None:
    automatic, _ = face.lists(Reading(flat()), Settings(views=("time",)))
    assert automatic == ("pay", "time")


@pytest.mark.parametrize("credit", [None, CreditState(1, 0, exhausted=False)])
def test_pay_is_not_shown_while_there_is_credit_or_no_prepayment(
    credit: CreditState | None,
) -> None:
    reading = Reading(device(credit=credit))
    assert not face.of_view(reading, "time", DEFAULT).symbols.pay
    assert views.PAY not in face.lists(reading, DEFAULT)[0]


def test_what_a_meter_has_not_got_has_no_view() -> None:
    reading = Reading(device(variant=Variant("382M", 3)))
    automatic, manual = face.lists(reading, Settings(views=("breaker", "time", "relay_1")))
    assert automatic == ("time",)
    assert not {"relay_1", "relay_2", "breaker", "credit"} & set(manual)


def test_a_one_phase_meter_does_not_show_its_only_phase_beside_the_total() -> None:
    automatic, manual = face.lists(Reading(flat()), DEFAULT)
    assert "import_active_energy_l1" not in automatic + manual
    assert "voltage_l1" in manual
    assert "voltage_l2" not in manual


def test_a_meter_of_one_tariff_shows_none() -> None:
    energies = {**SNAPSHOT.energies_nwh} | {
        f"import_active_energy_t{tariff}": 0 for tariff in range(2, 9)
    }
    automatic, _ = face.lists(Reading(device(energies_nwh=energies, tariff=1)), DEFAULT)
    assert not any("_t" in key for key in automatic)


def test_the_default_list_has_each_phase_and_tariff_of_import_and_each_phase_of_export() -> None:
    automatic, _ = face.lists(Reading(device()), DEFAULT)
    wanted = [f"import_active_energy_t{t}" for t in range(1, 9)]
    wanted += [f"{kind}_active_energy_l{n}" for kind in ("import", "export") for n in (1, 2, 3)]
    assert set(wanted) <= set(automatic)
    assert list(automatic) == sorted(automatic, key=views.DEFAULT_VIEWS.index)


def test_a_long_meter_number_is_shown_in_two_views() -> None:
    reading = Reading(device(number="1234567890123456"))
    first = face.of_view(reading, "meter_number", DEFAULT)
    assert (first.digits, first.caption) == ("12345678", "Meter number 1234567890123456")
    assert face.of_view(reading, "meter_number_rest", DEFAULT).digits == "90123456"
    assert "meter_number_rest" in face.lists(reading, DEFAULT)[1]
    assert "meter_number_rest" not in face.lists(Reading(device()), DEFAULT)[1]


def test_the_display_test_lights_every_segment() -> None:
    drawn = shown("segment_test")
    assert all(cell.segments == ALL for cell in drawn.cells)
    assert drawn.test


def test_before_the_first_measurement_there_are_dashes() -> None:
    empty = LogicalDevice(Identity(b"MTN12345", "1", "382M", "0"), FLAT, SNAPSHOT_ZONE)
    reading = Reading(empty)
    assert face.of_view(reading, "import_active_energy", DEFAULT).digits == "-------"
    assert face.of_view(reading, "time", DEFAULT).digits == "--:--:--"


SNAPSHOT_ZONE = device().zone


def test_a_value_beyond_all_measure_is_dashes_and_the_rest_is_shown() -> None:
    # 40 as a power factor is 40 000 in thousandths: more than 16 bits with a sign hold
    wild = {**SNAPSHOT.instantaneous, "power_factor": 40.0}
    reading = Reading(device(instantaneous=wild))
    assert face.of_view(reading, "power_factor", DEFAULT).digits == "-.---"
    assert face.of_view(reading, "import_active_energy", DEFAULT).digits == "0012345"


def test_an_invalid_clock_is_marked() -> None:
    assert face.of_view(Reading(device(clock_valid=False)), "time", DEFAULT).symbols.clock_invalid


# --- the profile's browser ---------------------------------------------------------------------

ENTRY = ProfileEntry(
    42,
    datetime(2026, 7, 1, 14, 0),  # noqa: DTZ001 - a meter's local time
    0,
    (("import_active_energy", 12_345_999), ("export_active_energy", 312), ("voltage_l1", None)),
)


@pytest.mark.parametrize(
    ("shown_s", "digits", "unit", "code", "name"),
    [
        (0.0, "12345.99", "kWh", "1.8.0", "Import"),  # as many decimals as there is room for
        (2.9, "12345.99", "kWh", "1.8.0", "Import"),
        (3.0, "0000.312", "kWh", "2.8.0", "Export"),
        (6.0, "---.-", "V", "32.7.0", "Voltage L1"),
        (9.0, "12345.99", "kWh", "1.8.0", "Import"),
    ],
)
def test_an_entry_shows_its_values_one_after_the_other(
    shown_s: float, digits: str, unit: str, code: str, name: str
) -> None:
    drawn = face.of_entry(Reading(device()), ENTRY, shown_s, DEFAULT)
    assert (drawn.digits, drawn.unit, drawn.code) == (digits, unit, code)
    assert drawn.caption == f"2026-07-01 14:00 #42 {name}"
    assert drawn.level is Level.PROFILE


def test_an_empty_profile_says_so() -> None:
    drawn = face.of_entry(Reading(device()), None, 0.0, DEFAULT)
    assert (drawn.digits, drawn.caption) == ("--------", "No entries yet")


def test_the_profile_is_read_through_the_device_in_local_time() -> None:
    made = LogicalDevice(
        Identity(b"MTN12345", "1", "382M", "0"),
        Variant(),
        SNAPSHOT_ZONE,
        profile_reader({8: (1000, 5), 9: (2000, None)}),
    )
    newest = made.profile_entry(Client.CONSUMER, "load_profile", 0)
    assert newest is not None
    assert (newest.entry, newest.local.isoformat()) == (9, "2026-07-01T14:00:00")
    assert newest.values == (("import_active_energy", 2000), ("export_active_energy", None))
    assert made.profile_entry(Client.CONSUMER, "load_profile", 2) is None


@pytest.mark.parametrize(
    ("client", "name", "result"),
    [
        (Client.PUBLIC, "load_profile", DataAccessResult.READ_WRITE_DENIED),
        (Client.CONSUMER, "other", DataAccessResult.OBJECT_UNDEFINED),
    ],
)
def test_a_profile_is_refused_with_its_reason(
    client: Client, name: str, result: DataAccessResult
) -> None:
    made = LogicalDevice(
        Identity(b"MTN12345", "1", "382M", "0"), Variant(), SNAPSHOT_ZONE, profile_reader({})
    )
    with pytest.raises(AccessError) as refused:
        made.profile_entry(client, name, 0)
    assert refused.value.result is result


# --- the button on the face --------------------------------------------------------------------


def test_a_long_push_shows_that_it_is_the_breakers() -> None:
    drawn = face.with_button(shown("time"), Level.AUTOMATIC, Push.LONG, DEFAULT)
    assert (drawn.view, drawn.digits, drawn.hint) == ("breaker", "ON", "Held for the breaker")


def test_a_push_says_that_it_closes_a_breaker_that_is_ready() -> None:
    ready = BreakerState(False, 2, 4, closed_wanted=False, button_reconnects=True)
    drawn = face.of_view(Reading(device(breaker=ready)), "time", DEFAULT)
    held = face.with_button(drawn, Level.AUTOMATIC, Push.SHORT, DEFAULT)
    assert held.hint == "Closes the breaker"


def test_a_long_push_says_where_there_is_no_breaker() -> None:
    plain = face.of_view(Reading(device(variant=Variant("382M", 3))), "time", DEFAULT)
    drawn = face.with_button(plain, Level.AUTOMATIC, Push.LONG, DEFAULT)
    assert (drawn.view, drawn.hint) == ("time", "No breaker here")


# --- digits and segments -----------------------------------------------------------------------


@given(st.integers(0, registers.ROLLOVER_WH - 1), st.sampled_from(["7.0", "6.1"]))
def test_no_energy_is_shown_larger_than_its_register(wh: int, format_: str) -> None:
    text = ENERGY_FORMATS[format_].text(wh, -3)
    exact, shown_kwh = wh / 1000, float(text)
    if format_ == "6.1":  # has no place for the first digit
        exact = (wh % 10**9) / 1000
    assert shown_kwh <= exact
    assert exact - shown_kwh < {"7.0": 1.0, "6.1": 0.1}[format_] + 1e-6


@given(
    st.integers(-(2**31), 2**32 - 1),
    st.sampled_from([register for register in registers.REGISTERS if register.key in views.BY_KEY]),
)
def test_no_register_is_shown_larger_than_it_is(raw: int, register: registers.Register) -> None:
    """Nor with a digit that is finer than its scaler."""
    quantity = register.quantity
    kilo = 1000 if quantity.unit in views.IN_KILO else 1
    text, _ = face._number(raw, register, DEFAULT)
    assert len(cells(text)) == CELLS
    if "-" in text[1:]:
        return  # it does not fit, and dashes say so
    assert abs(Fraction(text)) <= abs(Fraction(raw) / 10**-quantity.scaler) / kilo
    decimals = len(text.partition(".")[2])
    assert decimals <= -quantity.scaler + (3 if kilo == 1000 else 0)


@given(st.integers(0, 10**7 - 1))
def test_each_digit_lights_the_segments_of_that_digit(number: int) -> None:
    digit_of = {cells(str(digit))[-1].segments: str(digit) for digit in range(10)}
    assert len(digit_of) == 10
    lit = cells(f"{number:07d}")
    assert lit[0] == Cell()
    assert "".join(digit_of[cell.segments] for cell in lit[1:]) == f"{number:07d}"


def test_a_point_belongs_to_the_cell_before_it() -> None:
    assert [cell.mark for cell in cells("001234.5")] == ["", "", "", "", "", "", ".", ""]
    assert [cell.mark for cell in cells("14:00:05")] == ["", "", "", ":", "", ":", "", ""]


def test_a_letter_that_can_not_be_drawn_is_a_line_at_the_bottom() -> None:
    assert cells("M")[-1].segments == 0b0001000


def test_every_character_that_is_drawn_differs_from_every_other() -> None:
    from meter_node.ports.display.segments import SEGMENTS

    drawn = sorted(SEGMENTS.values())
    assert all(one != other for one, other in pairwise(drawn))


def test_too_long_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="9 cells"):
        cells("123456789")


def test_more_decimals_than_a_register_has_are_refused() -> None:
    with pytest.raises(ValueError, match="3 decimals"):
        DigitFormat(2, 3).text(1, -2)


def test_an_unknown_view_is_named_with_one_that_is_meant() -> None:
    with pytest.raises(ValueError, match=r"no view 'voltage_l4'.*voltage_l"):
        Settings(views=("voltage_l4",))


# --- the terminal ------------------------------------------------------------------------------


def test_the_terminal_draws_the_same_segments() -> None:
    rows = terminal.figure_rows([[cell.segments, cell.mark] for cell in cells("1.8", 2)])
    assert rows == [
        "       ━━   ",
        "   ┃  ┃  ┃  ",
        "       ━━   ",
        "   ┃  ┃  ┃  ",
        "    ▪  ━━   ",
    ]


def test_the_terminal_tells_phases_and_symbols() -> None:
    document = replace(shown("time")).as_json()
    assert terminal.phases(document) == "L1▶  L2◀  -- "
    assert terminal.symbols(document) == "Q4  ─●─  R1"
    assert "PAY" in terminal.symbols(face.of_view(Reading(flat()), "time", DEFAULT).as_json())


def test_nothing_is_left_of_a_nano_watt_hour() -> None:
    """The snapshot of these tests really is a hair below the next Wh."""
    assert SNAPSHOT.energies_nwh["import_active_energy"] % NANO == NANO - 1
