"""Actions: what a meter keeps is read in bounded parts, and what it refuses is told in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from homeassistant.core import HomeAssistant, SupportsResponse
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.setup import async_setup_component
from integration_home import NOON, Asked, AskedMeter, Home

from custom_components.meter_node import buffers
from custom_components.meter_node.actions import ACTIONS, AT_ONCE, BILLED_AT_ONCE
from custom_components.meter_node.asking import AskError
from custom_components.meter_node.channel import axdr, objects, registers, services
from custom_components.meter_node.channel.axdr import Value
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.event_codes import BY_NAME, LOGS, Log
from custom_components.meter_node.channel.objects import ClassId, CosemObject
from custom_components.meter_node.channel.profile_status import DAYLIGHT_SAVING, POWER_DOWN
from custom_components.meter_node.channel.services import Fault, Result
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.verdicts import Reason

FOLDER = Path(__file__).parents[3] / "custom_components" / DOMAIN
QUARTER = timedelta(minutes=15)
CAPTURED = ("import_active_energy", "export_active_energy")
CREDIT_LOG = CosemObject(ClassId.PROFILE_GENERIC, LOGS[Log.CREDIT].logical_name)
CLOCK = CosemObject(ClassId.CLOCK, registers.CLOCK)
TRIP_COUNTER = registers.BY_KEY["import_active_energy_customer"].logical_name


def captured(*which: CosemObject) -> bytes:
    """An array of capture objects."""
    return axdr.array(
        *(
            axdr.structure(
                axdr.long_unsigned(one.class_id),
                axdr.octet_string(one.logical_name),
                axdr.integer(2),
                axdr.long_unsigned(0),
            )
            for one in which
        )
    )


def register(key: str) -> CosemObject:
    return CosemObject(ClassId.REGISTER, registers.BY_KEY[key].logical_name)


PROFILE_COLUMNS = captured(
    CLOCK,
    objects.PROFILE_STATUS[objects.LOAD_PROFILE],
    objects.column(objects.LOAD_PROFILE.logical_name, objects.ENTRY),
    *map(register, CAPTURED),
)
LOG_COLUMNS = captured(
    CLOCK,
    objects.event_code(CREDIT_LOG.logical_name),
    *(
        objects.column(CREDIT_LOG.logical_name, what)
        for what in (objects.ENTRY, objects.DETAIL, objects.CHAIN)
    ),
)


def stamp(moment: datetime) -> bytes:
    return axdr.octet_string(CosemDateTime.at(moment, UTC).to_bytes())


def selected(rest: bytes) -> tuple[Value, Value]:
    """From and to of a selection by range."""
    assert rest[:2] == b"\x01\x01"
    selection = axdr.decode_all(rest[2:])
    assert isinstance(selection, tuple)
    return selection[1], selection[2]


def moment(value: Value) -> datetime:
    assert isinstance(value, bytes)
    return CosemDateTime.from_bytes(value).utc()


class Keeping:
    """A meter that keeps quarter-hours; one Wh more each, exported nothing at the very first."""

    def __init__(self, asked: AskedMeter, most_rows: int = 10_000) -> None:
        self.asked = asked
        self.most_rows = most_rows
        self.parts: list[tuple[datetime, datetime]] = []
        asked.serve = self.serve

    def serve(self, one: Asked) -> bytes | Result:
        if one.which != objects.LOAD_PROFILE:
            return self.asked.do(one)
        if one.number == 3:
            return PROFILE_COLUMNS
        first, last = map(moment, selected(one.rest))
        self.parts.append((first, last))
        number = -(-int(first.timestamp()) // 900)
        rows = []
        while number * 900 <= last.timestamp():
            rows.append(self.row(number))
            number += 1
        if len(rows) > self.most_rows:
            raise TooLongError
        return axdr.array(*rows)

    def row(self, number: int) -> bytes:
        ended = datetime.fromtimestamp(number * 900, UTC)
        return axdr.structure(
            stamp(ended),
            axdr.unsigned(POWER_DOWN | DAYLIGHT_SAVING if ended == NOON else 0),
            axdr.double_long_unsigned(number),
            axdr.long64_unsigned(number),
            axdr.null_data() if ended == NOON else axdr.long64_unsigned(7),
        )


class TooLongError(Exception):
    """The meter's answer would not fit."""


@pytest.fixture
def keeping(asked: AskedMeter) -> Keeping:
    """A meter whose too long answers are refused as a node refuses them."""
    keeping = Keeping(asked)
    serve = asked._serve

    def bounded(one: Asked) -> bytes:
        try:
            return serve(one)
        except TooLongError:
            return bytes((services.EXCEPTION, 1, Fault.PDU_TOO_LONG))

    asked._serve = bounded  # type: ignore[method-assign]
    return keeping


async def act(home: Home, action: str, **data: Any) -> Any:
    """Call an action and return what it answers."""
    return await home.hass.services.async_call(
        DOMAIN, action, data, blocking=True, return_response=True
    )


# --- load profile --------------------------------------------------------------------------------


async def test_the_load_profile_is_rows_with_time_status_and_registers(
    paired: Home, keeping: Keeping
) -> None:
    await paired.hass.config.async_set_time_zone("Europe/Copenhagen")
    answer = await act(
        paired,
        "get_load_profile",
        start="2026-11-20T13:00:00",  # by Home Assistant's own zone: noon UTC
        end="2026-11-20T12:15:00+00:00",
    )
    number = int(NOON.timestamp()) // 900
    assert answer == {
        "rows": [
            {
                "time": "2026-11-20T13:00:00+01:00",
                "status": ["power_down", "daylight_saving"],
                "import_active_energy": number,
                "export_active_energy": None,
            },
            {
                "time": "2026-11-20T13:15:00+01:00",
                "status": [],
                "import_active_energy": number + 1,
                "export_active_energy": 7,
            },
        ]
    }
    json.dumps(answer)


async def test_a_long_period_is_read_in_parts_without_a_gap_or_an_overlap(
    paired: Home, keeping: Keeping
) -> None:
    answer = await act(paired, "get_load_profile", start=(NOON - timedelta(days=5)).isoformat())
    times = [datetime.fromisoformat(row["time"]) for row in answer["rows"]]
    assert times == [NOON - timedelta(days=5) + QUARTER * n for n in range(5 * 96 + 1)]
    assert len(keeping.parts) == 3
    assert all(last - first < AT_ONCE for first, last in keeping.parts)


async def test_a_part_that_is_too_long_for_one_answer_is_read_in_halves(
    paired: Home, keeping: Keeping
) -> None:
    keeping.most_rows = 60
    start = NOON - timedelta(days=2)
    answer = await act(paired, "get_load_profile", start=start.isoformat(), end=NOON.isoformat())
    times = [datetime.fromisoformat(row["time"]) for row in answer["rows"]]
    assert times == [start + QUARTER * n for n in range(193)]


async def test_a_meter_that_has_too_much_for_any_answer_ends_it(
    paired: Home, keeping: Keeping
) -> None:
    keeping.most_rows = 0
    with pytest.raises(AskError) as told:
        await act(paired, "get_load_profile", start=(NOON - timedelta(hours=4)).isoformat())
    assert told.value.reason is Reason.TOO_LONG
    assert len(keeping.parts) < 10


async def test_another_failure_ends_it_at_once(paired: Home, asked: AskedMeter) -> None:
    asked.serve = lambda one: PROFILE_COLUMNS if one.number == 3 else Result.TEMPORARY_FAILURE
    with pytest.raises(AskError):
        await act(paired, "get_load_profile", start=(NOON - timedelta(days=9)).isoformat())
    assert len(asked.received) == 2


@pytest.mark.parametrize("seconds", [0, 1, 2, 3599, 3600, 172_799, 172_800, 400_000])
def test_parts_cover_each_second_of_a_period_once(seconds: int) -> None:
    end = NOON + timedelta(seconds=seconds)
    for cut in (buffers.parts(NOON, end, timedelta(hours=1)), buffers.halves(NOON, end)):
        assert cut[0][0] == NOON
        assert cut[-1][1] == end
        for (_, last), (first, _) in pairwise(cut):
            assert first - last == timedelta(seconds=1)
    assert len(buffers.halves(NOON, end)) == (2 if seconds else 1)


# --- billing values ------------------------------------------------------------------------------

BILLED = ("import_active_energy", "import_active_demand_maximum", "export_active_energy")
A_DAY = timedelta(days=1)


def billing_columns(kind: str) -> bytes:
    buffer = objects.BILLING[kind].logical_name
    reason, entry = (objects.column(buffer, what) for what in (objects.DETAIL, objects.ENTRY))
    newer = CosemObject(ClassId.REGISTER, bytes((1, 0, 99, 99, 99, 255)))
    return captured(CLOCK, reason, entry, *map(register, BILLED), newer)


def bill(entry: int, at: datetime, reason: str = "scheduled") -> bytes:
    """What is billed: as many kWh imported as there were days, 1.5 kW at most, no export yet."""
    return axdr.structure(
        stamp(at),
        axdr.visible_string(reason),
        axdr.double_long_unsigned(entry),
        axdr.long64_unsigned(1000 * entry),
        axdr.double_long_unsigned(15_000),  # in 0.1 W
        axdr.null_data(),
        axdr.unsigned(7),
    )


class Billing:
    """A meter that freezes its registers at each midnight (UTC) of 2026, and at each change."""

    def __init__(self, asked: AskedMeter) -> None:
        self.parts: list[tuple[datetime, datetime]] = []
        self.rows = [
            (datetime(2026, 1, 1, tzinfo=UTC) + number * A_DAY, number + 1) for number in range(365)
        ]
        asked.serve = self.serve

    def serve(self, one: Asked) -> bytes | Result:
        for kind, which in objects.BILLING.items():
            if one.which == which and one.number == 3:
                return billing_columns(kind)
            if one.which == which:
                return self.found(kind, *map(moment, selected(one.rest)))
        return Result.OBJECT_UNDEFINED

    def found(self, kind: str, first: datetime, last: datetime) -> bytes:
        self.parts.append((first, last))
        reason = "tariffs" if kind == "change" else "scheduled"
        of_kind = [one for one in self.rows if kind != "monthly" or one[0].day == 1]
        return axdr.array(
            *(bill(entry, at, reason) for at, entry in of_kind if first <= at <= last)
        )


@pytest.fixture
def billing(asked: AskedMeter) -> Billing:
    return Billing(asked)


async def test_billing_values_say_when_and_why_and_how_far_the_registers_were(
    paired: Home, billing: Billing
) -> None:
    await paired.hass.config.async_set_time_zone("UTC")
    answer = await act(
        paired, "get_billing", kind="change", start="2026-02-01 00:00:00", end="2026-02-01 00:00:00"
    )
    assert answer == {
        "rows": [
            {
                "entry": 32,
                "time": "2026-02-01T00:00:00+00:00",
                "reason": "tariffs",
                "import_active_energy": 32_000,
                "import_active_demand_maximum": 1500,
                "export_active_energy": None,
            }
        ]
    }
    json.dumps(answer)


async def test_monthly_values_are_those_of_a_year_where_no_period_is_given(
    paired: Home, billing: Billing
) -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    answer = await act(paired, "get_billing", kind="monthly", end=end.isoformat())
    assert [
        datetime.fromisoformat(row["time"]).astimezone(UTC).month for row in answer["rows"]
    ] == [*range(1, 13)]
    assert billing.parts[0][0] == end - timedelta(days=366)


async def test_years_of_daily_values_are_read_in_parts_without_a_gap_or_an_overlap(
    paired: Home, billing: Billing
) -> None:
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    answer = await act(
        paired, "get_billing", kind="daily", start=start.isoformat(), end=end.isoformat()
    )
    assert [row["entry"] for row in answer["rows"]] == list(range(1, 366))
    assert (billing.parts[0][0], billing.parts[-1][1]) == (start, end)
    assert all(last - first < BILLED_AT_ONCE["daily"] for first, last in billing.parts)


# --- logs ----------------------------------------------------------------------------------------


def log_row(entry: int, code: int, detail: str) -> bytes:
    return axdr.structure(
        stamp(NOON),
        axdr.unsigned(code),
        axdr.double_long_unsigned(entry),
        axdr.utf8_string(detail),
        axdr.octet_string(bytes(32)),
    )


@pytest.fixture
def logging_meter(asked: AskedMeter) -> AskedMeter:
    """A meter with two entries in its credit log, one of them of a code from the future."""
    rows = axdr.array(
        log_row(7, BY_NAME["token_accepted"].code, "1000 Wh, 5"), log_row(8, 254, "—")
    )

    def serve(one: Asked) -> bytes | Result:
        if one.which != CREDIT_LOG:
            return Result.OBJECT_UNDEFINED
        return LOG_COLUMNS if one.number == 3 else rows

    asked.serve = serve
    return asked


async def test_a_log_is_entries_with_names(paired: Home, logging_meter: AskedMeter) -> None:
    answer = await act(paired, "get_log", log="credit")
    noon = {"time": "2026-11-20T04:00:00-08:00"}  # the test's home is in California
    assert answer == {
        "entries": [
            {"entry": 7, "event": "token_accepted", "code": 202, "detail": "1000 Wh, 5"} | noon,
            {"entry": 8, "event": None, "code": 254, "detail": "—"} | noon,
        ]
    }
    json.dumps(answer)
    assert logging_meter.asked[-1].rest == b"\x00", "all of them"


async def test_a_part_of_a_log_is_chosen_by_time(paired: Home, logging_meter: AskedMeter) -> None:
    start = NOON - timedelta(days=1)
    await act(paired, "get_log", log="credit", start=start.isoformat(), end=NOON.isoformat())
    assert list(map(moment, selected(logging_meter.asked[-1].rest))) == [start, NOON]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ({"first_entry": 7, "last_entry": 9}, (7, 9)),
        ({"first_entry": 7.0}, (7, 2**32 - 1)),
        ({"last_entry": 9}, (1, 9)),
    ],
)
async def test_a_part_of_a_log_is_chosen_by_number(
    paired: Home, logging_meter: AskedMeter, typed: dict[str, int], wanted: tuple[int, int]
) -> None:
    await act(paired, "get_log", log="credit", **typed)
    assert selected(logging_meter.asked[-1].rest) == wanted


# --- what can not be read ------------------------------------------------------------------------

READS: dict[str, dict[str, str]] = {
    "get_load_profile": {"start": NOON.isoformat()},
    "get_billing": {"kind": "daily"},
    "get_log": {"log": "credit"},
}


def noon_after(days: int) -> str:
    return (NOON + days * A_DAY).isoformat()


@pytest.mark.parametrize(
    ("action", "typed", "key"),
    [
        ("get_load_profile", {"start": noon_after(1), "end": noon_after(0)}, "period_backwards"),
        ("get_load_profile", {"start": noon_after(-367), "end": noon_after(0)}, "period_too_long"),
        ("get_billing", {"start": noon_after(1), "end": noon_after(0)}, "period_backwards"),
        ("get_billing", {"start": noon_after(-3661), "end": noon_after(0)}, "period_too_long"),
        ("get_log", {"start": noon_after(0), "first_entry": 1}, "period_or_entries"),
        ("get_log", {"end": noon_after(0)}, "start_missing"),
        ("get_log", {"first_entry": 9, "last_entry": 7}, "entries_backwards"),
    ],
)
async def test_a_choice_of_rows_that_can_not_be_is_not_asked_for(
    paired: Home, asked: AskedMeter, action: str, typed: dict[str, str | int], key: str
) -> None:
    with pytest.raises(ServiceValidationError) as told:
        await act(paired, action, **READS[action] | typed)
    assert told.value.translation_key == key
    assert not asked.received


PROFILE_ROW = (stamp(NOON), axdr.unsigned(0), axdr.unsigned(1), axdr.unsigned(1), axdr.unsigned(1))
LOG_ROW_WITHOUT_A_CODE = (
    stamp(NOON),
    axdr.null_data(),
    axdr.unsigned(1),
    axdr.utf8_string(""),
    axdr.octet_string(b""),
)


def one_row(*values: bytes) -> bytes:
    return axdr.array(axdr.structure(*values))


@pytest.mark.parametrize(
    ("action", "columns", "rows"),
    [
        ("get_load_profile", axdr.unsigned(1), axdr.array()),
        ("get_load_profile", axdr.array(axdr.unsigned(1)), axdr.array()),
        ("get_load_profile", captured(CLOCK), axdr.array()),
        ("get_load_profile", PROFILE_COLUMNS, axdr.unsigned(1)),
        ("get_load_profile", PROFILE_COLUMNS, one_row(*PROFILE_ROW[:4])),
        ("get_load_profile", PROFILE_COLUMNS, one_row(axdr.unsigned(1), *PROFILE_ROW[1:])),
        (
            "get_load_profile",
            PROFILE_COLUMNS,
            one_row(axdr.octet_string(b"now"), *PROFILE_ROW[1:]),
        ),
        ("get_load_profile", PROFILE_COLUMNS, one_row(*PROFILE_ROW[:4], axdr.visible_string("7"))),
        ("get_billing", captured(CLOCK), axdr.array()),
        ("get_billing", PROFILE_COLUMNS, axdr.array()),
        ("get_billing", billing_columns("daily"), one_row(stamp(NOON))),
        ("get_log", captured(CLOCK), axdr.array()),
        ("get_log", LOG_COLUMNS, one_row(stamp(NOON))),
        ("get_log", LOG_COLUMNS, one_row(*LOG_ROW_WITHOUT_A_CODE)),
    ],
)
async def test_what_is_no_buffer_of_its_kind_is_told_and_not_guessed_at(
    paired: Home, asked: AskedMeter, action: str, columns: bytes, rows: bytes
) -> None:
    asked.serve = lambda one: columns if one.number == 3 else rows
    with pytest.raises(AskError) as told:
        await act(paired, action, **READS[action])
    assert told.value.reason is Reason.NOT_UNDERSTOOD


# --- credit and the trip counter -----------------------------------------------------------------


async def test_a_token_tops_the_credit_up_and_the_new_credit_is_told_and_shown(
    paired: Home, asked: AskedMeter
) -> None:
    def serve(one: Asked) -> bytes | Result:
        if one.service == services.ACTION:
            asked.values[objects.CREDIT, 2] = axdr.double_long(173_456)
        return asked.do(one)

    asked.serve = serve
    assert paired.state("credit") == "123.456"
    assert await act(paired, "enter_token", token=" 01234-56789 ") == {"credit_wh": 173_456}
    assert paired.state("credit") == "173.456"
    (command,) = asked.commands()
    assert (command.which, command.number) == (objects.TOKEN_GATEWAY, 1)
    assert command.rest == b"\x01" + axdr.octet_string(b"01234-56789")


async def test_a_refused_token_says_why_and_adds_nothing(paired: Home, asked: AskedMeter) -> None:
    asked.refuses[objects.TOKEN_GATEWAY] = Result.OTHER_REASON
    asked.sentence = "the token is mistyped: compare it with what you were given"
    with pytest.raises(HomeAssistantError, match="the token is mistyped"):
        await act(paired, "enter_token", token="0123456789")
    assert paired.state("credit") == "123.456"


@pytest.mark.parametrize("token", ["", "   ", "0" * 129])
async def test_what_can_be_no_token_is_not_sent(
    paired: Home, asked: AskedMeter, token: str
) -> None:
    with pytest.raises(ServiceValidationError) as told:
        await act(paired, "enter_token", token=token)
    assert told.value.translation_key == "no_token"
    assert not asked.received


async def test_a_token_that_was_never_confirmed_is_not_entered_twice(
    paired: Home, asked: AskedMeter
) -> None:
    asked.refuses[objects.CREDIT] = Result.OBJECT_UNAVAILABLE
    assert await act(paired, "enter_token", token="0123456789") == {"credit_wh": None}
    assert len(asked.commands()) == 1


async def test_emergency_credit_is_borrowed(paired: Home, asked: AskedMeter) -> None:
    assert await act(paired, "take_emergency_credit") == {"credit_wh": 123_456}
    (command,) = asked.commands()
    assert (command.which, command.number) == (objects.EMERGENCY_CREDIT, 3)


@pytest.mark.parametrize(("counted", "told"), [(4711, 4711), (None, None)])
async def test_the_trip_counter_begins_anew_and_tells_what_it_had_counted(
    paired: Home, asked: AskedMeter, counted: int | None, told: int | None
) -> None:
    value = axdr.null_data() if counted is None else axdr.long64_unsigned(counted)
    asked.values[register("import_active_energy_customer"), 2] = value
    assert await act(paired, "reset_trip_counter") == {"energy_wh": told}
    (command,) = asked.commands()
    assert (command.which.logical_name, command.number) == (TRIP_COUNTER, 1)


async def test_what_the_meter_does_not_have_is_told(paired: Home, asked: AskedMeter) -> None:
    with pytest.raises(HomeAssistantError) as told:
        await act(paired, "reset_trip_counter")
    assert told.value.translation_key == "ask_not_there"


# --- which meter ---------------------------------------------------------------------------------


async def test_a_meter_is_named_by_its_device_or_by_its_entry(
    paired: Home, asked: AskedMeter
) -> None:
    for which in (
        {"device_id": paired.device.id},
        {"config_entry_id": paired.entry.entry_id},
    ):
        assert await act(paired, "take_emergency_credit", **which) == {"credit_wh": 123_456}


@pytest.mark.parametrize("start", ["9999-12-31 23:59:59", "0001-01-01 00:00:00"])
async def test_a_time_that_no_meter_has_is_refused_in_words(
    paired: Home, asked: AskedMeter, start: str
) -> None:
    for action, more in (
        ("get_billing", {"kind": "daily"}),
        ("get_load_profile", {}),
        ("get_log", {"log": "credit"}),
    ):
        with pytest.raises(ServiceValidationError) as told:
            await act(paired, action, start=start, end=start, **more)
        assert told.value.translation_key == "no_such_time"
        assert told.value.translation_placeholders == {"first": "1970", "last": "2105"}
    assert not asked.received


async def test_a_meter_named_twice_is_none(paired: Home) -> None:
    with pytest.raises(ServiceValidationError) as told:
        await act(
            paired,
            "take_emergency_credit",
            device_id=paired.device.id,
            config_entry_id=paired.entry.entry_id,
        )
    assert told.value.translation_key == "device_or_entry"


@pytest.mark.parametrize(
    "which",
    [
        lambda home: {"device_id": "nothing"},
        lambda home: {"config_entry_id": "nothing"},
        lambda home: {
            "config_entry_id": home.hass.config_entries.async_entries("mqtt")[0].entry_id
        },
    ],
)
async def test_what_is_no_meter_is_not_asked(
    paired: Home, which: Callable[[Home], dict[str, str]]
) -> None:
    with pytest.raises(ServiceValidationError):
        await act(paired, "take_emergency_credit", **which(paired))


@pytest.mark.parametrize("by_device", [True, False])
async def test_a_meter_that_is_not_loaded_is_told_of(paired: Home, by_device: bool) -> None:
    which = (
        {"device_id": paired.device.id} if by_device else {"config_entry_id": paired.entry.entry_id}
    )
    await paired.hass.config_entries.async_unload(paired.entry.entry_id)
    with pytest.raises(ServiceValidationError):
        await act(paired, "take_emergency_credit", **which)


async def test_a_meter_without_control_keys_is_told_of(home: Home) -> None:
    await home.set_up()
    for action, data in (
        ("get_billing", {"kind": "monthly"}),
        ("get_load_profile", {"start": NOON.isoformat()}),
        ("get_log", {"log": "credit"}),
        ("enter_token", {"token": "0123456789"}),
        ("reset_trip_counter", {}),
    ):
        with pytest.raises(ServiceValidationError) as told:
            await act(home, action, **data)
        assert told.value.translation_key == "cannot_be_asked"


async def test_actions_are_there_before_any_meter_is(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, DOMAIN, {})
    assert set(hass.services.async_services_for_domain(DOMAIN)) == set(ACTIONS)
    for name in ("get_billing", "get_load_profile", "get_log"):
        assert hass.services.supports_response(DOMAIN, name) is SupportsResponse.ONLY


# --- what is written about them ------------------------------------------------------------------


@pytest.mark.parametrize("language", ["da", "en"])
def test_each_action_and_field_is_described(language: str) -> None:
    described = yaml.safe_load((FOLDER / "services.yaml").read_text())
    texts = json.loads((FOLDER / "translations" / f"{language}.json").read_text())
    icons = json.loads((FOLDER / "icons.json").read_text())["services"]
    assert set(described) == set(texts["services"]) == set(icons) == set(ACTIONS)
    for name, action in ACTIONS.items():
        fields = {"device_id", "config_entry_id", *map(str, action.fields)}
        assert set(described[name]["fields"]) == set(texts["services"][name]["fields"]) == fields
        for field in action.fields:
            required = described[name]["fields"][str(field)].get("required", False)
            assert required == (type(field).__name__ == "Required")
    options = described["get_log"]["fields"]["log"]["selector"]["select"]["options"]
    assert options == [str(log) for log in Log]
    assert set(texts["selector"]["log"]["options"]) == set(options)
    options = described["get_billing"]["fields"]["kind"]["selector"]["select"]["options"]
    assert options == list(objects.BILLING) == list(BILLED_AT_ONCE)
    assert set(texts["selector"]["billing"]["options"]) == set(options)
