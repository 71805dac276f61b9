"""What stands on the glass: a view of a device, ready to be drawn. Must not know a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from meter_node.channel import objects, registers
from meter_node.channel.registers import Register, Unit
from meter_node.cosem.profile_entry import ProfileEntry
from meter_node.ports.display import views
from meter_node.ports.display.digits import CELLS, DigitFormat
from meter_node.ports.display.lcd import Level, Push
from meter_node.ports.display.reading import Reading
from meter_node.ports.display.segments import ALL, Cell, cells
from meter_node.ports.display.texts import TEXTS
from meter_node.ports.display.views import BY_KEY, Kind, Needs, Settings, View

IMPORT, EXPORT, IDLE = "import", "export", "idle"
CLOSED, OPEN, READY = "closed", "open", "ready"
_READY_FOR_RECONNECTION = 2
ROTATION_S = 3.0
"""So long each of the values of a profile's entry is shown."""
_PROFILE_CODE = "99.1.0"


@dataclass(frozen=True, slots=True)
class PhaseMark:
    """L1, L2 or L3: lit where its voltage is present, with the direction of its energy."""

    name: str
    present: bool
    direction: str


@dataclass(frozen=True, slots=True)
class Symbols:
    """What is lit around the digits. None: the meter has no such thing, or nobody told."""

    pay: bool = False
    alarm: bool = False
    breaker: str | None = None
    relays: tuple[bool | None, ...] = ()
    clock_invalid: bool = False
    communicating: bool | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """All that is lit at one moment."""

    view: str
    digits: str
    unit: str = ""
    code: str = ""
    caption: str = ""
    level: Level = Level.AUTOMATIC
    held: Push | None = None
    hint: str = ""
    """What letting go of the button now does; empty while it is up."""
    phases: tuple[PhaseMark, ...] = ()
    quadrant: int | None = None
    tariff: int | None = None
    symbols: Symbols = Symbols()
    power_w: int | None = None
    """Import less export: how fast the metering LED blinks."""
    test: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The digits as lit segments; all of them in a display test."""
        if self.test:
            return tuple(Cell(ALL, ".") for _ in range(CELLS))
        return cells(self.digits)

    @property
    def spoken(self) -> str:
        """The face in one line, for who does not see it."""
        spoken = f"{self.caption}: {self.digits} {self.unit}".rstrip()
        return f"{spoken}. PAY" if self.symbols.pay else spoken

    def as_json(self) -> dict[str, Any]:
        """For the page and for programs."""
        lit = [[cell.segments, cell.mark] for cell in self.cells]
        return {**asdict(self), "cells": lit, "spoken": self.spoken}


def lists(reading: Reading, settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the automatic list and all other views, by what the meter has now.

    A configured view stands there whenever the meter has its object, with dashes where it has no
    value now; PAY comes first whenever credit is used up.
    """
    if settings.views:
        chosen = [key for key in settings.views if _has(reading, BY_KEY[key])]
    else:
        chosen = [key for key in views.DEFAULT_VIEWS if _is_used(reading, BY_KEY[key])]
    if reading.credit_exhausted():
        chosen = [views.PAY, *(key for key in chosen if key != views.PAY)]
    others = [
        view.key
        for view in views.VIEWS
        if view.key not in chosen
        and _is_used(reading, view)
        and (view.register is None or reading.register(view.register.key) is not None)
    ]
    return tuple(chosen), tuple(others)


def of_view(reading: Reading, key: str, settings: Settings) -> Face:
    """Return the face of a view. Raises KeyError for none such."""
    view = BY_KEY[key]
    digits, unit = _DRAWN[view.kind](reading, view, settings)
    caption = view.caption(settings.language)
    if view.kind is Kind.TEXT and len(reading.text(view.logical_name)) > CELLS:
        caption = f"{caption} {reading.text(view.logical_name)}"
    return replace(
        _surroundings(reading),
        view=key,
        digits=digits,
        unit=unit,
        code="" if view.kind is Kind.TEST else view.code,
        caption=caption,
        test=view.kind is Kind.TEST,
    )


def of_entry(
    reading: Reading, entry: ProfileEntry | None, shown_s: float, settings: Settings
) -> Face:
    """Return the face of a profile's entry: its values one after the other, each for three seconds.

    `shown_s`: for how long it is shown already.
    """
    around = replace(
        _surroundings(reading), view="profile", code=_PROFILE_CODE, level=Level.PROFILE
    )
    if entry is None:
        caption = TEXTS["no_entries"].of(settings.language)
        return replace(around, digits="-" * CELLS, caption=caption)
    stamp = f"{entry.local:%Y-%m-%d %H:%M}"
    values = [(key, raw) for key, raw in entry.values if key in registers.BY_KEY]
    if not values:
        return replace(around, digits="-" * CELLS, caption=f"{stamp} #{entry.entry}")
    key, raw = values[int(shown_s // ROTATION_S) % len(values)]
    register = registers.BY_KEY[key]
    digits, unit = _number(raw, register, settings, finest=True)
    name = BY_KEY[key].caption(settings.language) if key in BY_KEY else key
    return replace(
        around,
        digits=digits,
        unit=unit,
        code=views.code(register.logical_name),
        caption=f"{stamp} #{entry.entry} {name}",
    )


def of_nothing(reading: Reading) -> Face:
    """Return the face of a display without any view: of a meter that has not metered yet."""
    return replace(_surroundings(reading), digits="-" * CELLS)


def with_button(face: Face, level: Level, held: Push | None, settings: Settings) -> Face:
    """Return a face with what the button is doing: what letting go of it now would mean."""
    if held is None:
        return replace(face, level=level)
    if held is not Push.LONG:
        closes = face.symbols.breaker == READY
        hint = TEXTS["held_ready" if closes else f"held_{held}"].of(settings.language)
        return replace(face, level=level, held=held, hint=hint)
    has_breaker = face.symbols.breaker is not None
    hint = TEXTS["held_long" if has_breaker else "held_long_alone"].of(settings.language)
    if not has_breaker:
        return replace(face, level=level, held=held, hint=hint)
    breaker = BY_KEY["breaker"]
    return replace(
        face,
        level=level,
        held=held,
        hint=hint,
        view=breaker.key,
        digits=_BREAKER_WORDS[face.symbols.breaker or OPEN],
        unit="",
        code=breaker.code,
        caption=breaker.caption(settings.language),
        test=False,
    )


def quadrant(reading: Reading) -> int | None:
    """Return the quadrant of the whole meter, 1 to 4; None without load or measurement."""
    active, reactive = reading.net_power("active"), reading.net_power("reactive")
    if active is None or reactive is None or not (active or reactive):
        return None
    if active >= 0:
        return 1 if reactive >= 0 else 4
    return 2 if reactive >= 0 else 3


def breaker_state(reading: Reading) -> str | None:
    """Return closed, open or ready (for reconnection); None without a breaker or before it is told.

    Where it stands is by its own feedback.
    """
    closed = reading.truth(objects.BREAKER)
    if closed is None:
        return None
    if closed:
        return CLOSED
    return READY if reading.number(objects.BREAKER, 3) == _READY_FOR_RECONNECTION else OPEN


def _surroundings(reading: Reading) -> Face:
    clock = reading.clock()
    active = reading.net_power("active")
    return Face(
        "",
        "",
        phases=tuple(
            PhaseMark(f"L{phase}", reading.is_present(phase), _direction(reading, phase))
            for phase in reading.phases
        ),
        quadrant=quadrant(reading),
        tariff=reading.number(objects.ACTIVE_TARIFF),
        symbols=Symbols(
            pay=reading.credit_exhausted(),
            alarm=bool(reading.alarms()),
            breaker=breaker_state(reading),
            relays=tuple(
                reading.truth(relay)
                for relay in objects.RELAYS.values()
                if reading.has(relay.class_id, relay.logical_name)
            ),
            clock_invalid=clock is not None and not clock[1],
        ),
        power_w=None if active is None else int(active / 10),
    )


def _direction(reading: Reading, phase: int) -> str:
    active = reading.net_power("active", phase)
    if not active:
        return IDLE
    return IMPORT if active > 0 else EXPORT


def _has(reading: Reading, view: View) -> bool:
    if view.needs is Needs.NO_CREDIT:
        return False  # put in front by itself, and only then
    if not reading.has(view.class_id, view.logical_name):
        return False
    if view.kind is Kind.TEXT_REST:
        return len(reading.text(view.logical_name)) > CELLS
    if view.needs is Needs.A_VALUE:
        return reading.value(view.class_id, view.logical_name, view.attribute) is not None
    return True


def _is_used(reading: Reading, view: View) -> bool:
    if not _has(reading, view):
        return False
    if view.needs is Needs.MORE_PHASES:
        return len(reading.phases) > 1
    if view.needs is Needs.USED_TARIFF and view.register is not None:
        return view.register.tariff in _used_tariffs(reading, view.register.quantity.name)
    return True


def _used_tariffs(reading: Reading, quantity: str) -> Sequence[int]:
    # With one tariff alone its register is the total's copy.
    used = [
        tariff
        for tariff in registers.TARIFFS
        if tariff == reading.number(objects.ACTIVE_TARIFF)
        or reading.register(f"{quantity}_t{tariff}")
    ]
    return used if len(used) > 1 else ()


def _number(
    raw: int | None, register: Register, settings: Settings, *, finest: bool = False
) -> tuple[str, str]:
    quantity = register.quantity
    unit, scaler = quantity.unit, quantity.scaler
    if unit in views.IN_KILO:
        scaler -= views.KILO
    if unit in views.IS_ENERGY:
        digits = settings.energy_digits
        if finest and raw is not None:
            digits = _finest(raw, scaler)
    elif unit in views.IN_KILO:
        digits = settings.power_digits
    elif unit is Unit.NONE:
        digits = views.RATIO_FORMAT if scaler else views.COUNT_FORMAT
    else:
        digits = views.FORMATS[unit]
    return digits.text(raw, scaler), views.UNITS[unit]


def _finest(raw: int, scaler: int) -> DigitFormat:
    """As many decimals as seven digits leave room for: an interval's energy is small."""
    whole = len(str(abs(raw) // 10**-scaler))
    return next(
        (
            it
            for it in (DigitFormat(4, 3), DigitFormat(5, 2), DigitFormat(6, 1))
            if whole <= it.whole
        ),
        DigitFormat(7, 0, wraps=True),
    )


def _of_number(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    value = reading.value(view.class_id, view.logical_name, view.attribute)
    raw = value if isinstance(value, int) else None
    if view.register is not None:
        return _number(raw, view.register, settings)
    if view.key == "credit":
        return views.CREDIT_FORMAT.text(raw, -views.KILO), "kWh"
    return ("-" if raw is None else f"t{raw}", "")


def _of_time(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    clock = reading.clock()
    return ("--:--:--" if clock is None else f"{clock[0]:%H:%M:%S}", "")


def _of_date(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    clock = reading.clock()
    return ("----.--.--" if clock is None else f"{clock[0]:%Y.%m.%d}", "")


def _of_text(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    return _fitting(reading.text(view.logical_name)), ""


def _of_text_rest(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    return _fitting(reading.text(view.logical_name)[CELLS:]), ""


def _fitting(text: str) -> str:
    """As much of a text as there are cells for; points need none."""
    while text:
        try:
            cells(text)
        except ValueError:
            text = text[:-1]
        else:
            break
    return text


def _of_relay(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    is_on = reading.value(view.class_id, view.logical_name)
    return ("---" if not isinstance(is_on, bool) else "ON" if is_on else "OFF", "")


def _of_breaker(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    state = breaker_state(reading)
    return ("---" if state is None else _BREAKER_WORDS[state], "")


def _of_pay(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    return "PAY", ""


def _of_test(reading: Reading, view: View, settings: Settings) -> tuple[str, str]:
    return "8" * CELLS, ""


_BREAKER_WORDS = {CLOSED: "ON", OPEN: "OFF", READY: "READY"}
_DRAWN: dict[Kind, Callable[[Reading, View, Settings], tuple[str, str]]] = {
    Kind.NUMBER: _of_number,
    Kind.TIME: _of_time,
    Kind.DATE: _of_date,
    Kind.TEXT: _of_text,
    Kind.TEXT_REST: _of_text_rest,
    Kind.ON_OFF: _of_relay,
    Kind.BREAKER: _of_breaker,
    Kind.PAY: _of_pay,
    Kind.TEST: _of_test,
}
