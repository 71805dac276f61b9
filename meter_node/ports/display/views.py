"""The display's views in a table: what each shows, its captions, and where it is shown by default.

A view is a row. Must not know a device's values, the button or how a face is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from typing import Literal

from meter_node.channel import obis, objects, registers
from meter_node.channel.objects import ClassId
from meter_node.channel.registers import PHASES, TARIFFS, Quantity, Register, Unit
from meter_node.ports.display.digits import DigitFormat

type Language = Literal["en", "da"]


class Needs(Enum):
    """What there must be besides the object, for a view to be in a list that nobody configured."""

    NOTHING = auto()
    A_VALUE = auto()
    """Nothing to show is no view: credit while prepayment is off."""
    USED_TARIFF = auto()
    """A tariff that is in force, or in which something was counted, on a meter of many tariffs."""
    MORE_PHASES = auto()
    """Of a meter with one phase its only phase is the total."""
    NO_CREDIT = auto()
    """Credit is exhausted: then it is always there, and first."""


class Kind(Enum):
    """How a view's value becomes digits."""

    NUMBER = auto()
    TIME = auto()
    DATE = auto()
    TEXT = auto()
    TEXT_REST = auto()
    """What of a text did not fit into the first eight digits."""
    ON_OFF = auto()
    BREAKER = auto()
    PAY = auto()
    TEST = auto()


@dataclass(frozen=True, slots=True)
class View:
    """One row."""

    key: str
    class_id: ClassId
    logical_name: obis.LogicalName
    english: str
    danish: str
    attribute: int = 2
    kind: Kind = Kind.NUMBER
    needs: Needs = Needs.NOTHING
    register: Register | None = None
    """Whose unit and scaler a number has."""

    def caption(self, language: Language) -> str:
        """Return what stands below the digits."""
        return self.danish if language == "da" else self.english

    @property
    def code(self) -> str:
        """The OBIS code as a display writes it."""
        return code(self.logical_name)


def code(logical_name: obis.LogicalName) -> str:
    """Return the OBIS code as a display writes it: 1.8.0, and 0-0:1.0.0 where not electricity."""
    a, b, c, d, e, _ = logical_name
    return f"{c}.{d}.{e}" if a == 1 else f"{a}-{b}:{c}.{d}.{e}"


ENERGY_FORMATS = {text: DigitFormat.parse(text, wraps=True) for text in ("7.0", "6.1")}
POWER_FORMATS = {text: DigitFormat.parse(text) for text in ("2.3", "3.2")}
CREDIT_FORMAT = DigitFormat(5, 2)
KILO = 3
"""Energies and powers are shown in thousands of their units."""
UNITS: dict[Unit, str] = {
    Unit.WATT_HOUR: "kWh",
    Unit.VAR_HOUR: "kvarh",
    Unit.WATT: "kW",
    Unit.VAR: "kvar",
    Unit.VOLT_AMPERE: "kVA",
    Unit.VOLT: "V",
    Unit.AMPERE: "A",
    Unit.HERTZ: "Hz",
    Unit.PERCENT: "%",
    Unit.HOUR: "h",
    Unit.SECOND: "s",
    Unit.NONE: "",
}
IN_KILO = frozenset({Unit.WATT_HOUR, Unit.VAR_HOUR, Unit.WATT, Unit.VAR, Unit.VOLT_AMPERE})
IS_ENERGY = frozenset({Unit.WATT_HOUR, Unit.VAR_HOUR})
FORMATS: dict[Unit, DigitFormat] = {
    Unit.VOLT: DigitFormat(3, 1),
    Unit.AMPERE: DigitFormat(3, 3),
    Unit.HERTZ: DigitFormat(2, 3),
    Unit.PERCENT: DigitFormat(3, 1),
    Unit.HOUR: DigitFormat(7, 0),
    Unit.SECOND: DigitFormat(5, 2),
}
"""Of the units that no setting is for."""
RATIO_FORMAT, COUNT_FORMAT = DigitFormat(1, 3), DigitFormat(7, 0)
"""Of what has no unit: with decimals and without."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one meter's display is set. Raises ValueError for a view that there is not.

    `views`: the automatic list in its order; empty for the default. The breaker's hold is the
    meter's `button_hold_s`.
    """

    views: tuple[str, ...] = ()
    energy_digits: DigitFormat = ENERGY_FORMATS["7.0"]
    power_digits: DigitFormat = POWER_FORMATS["2.3"]
    scroll_s: float = 10.0
    breaker_hold_s: float = 6.0
    language: Language = "en"

    def __post_init__(self) -> None:
        check_keys(self.views)


_QUANTITIES: dict[str, tuple[str, str]] = {
    "import_active_energy": ("Import", "Forbrug"),
    "export_active_energy": ("Export", "Levering"),
    "import_reactive_energy": ("Reactive import R+", "Reaktiv forbrug R+"),
    "export_reactive_energy": ("Reactive export R-", "Reaktiv levering R-"),
    "reactive_energy_q1": ("Reactive, quadrant 1", "Reaktiv, kvadrant 1"),
    "reactive_energy_q2": ("Reactive, quadrant 2", "Reaktiv, kvadrant 2"),
    "reactive_energy_q3": ("Reactive, quadrant 3", "Reaktiv, kvadrant 3"),
    "reactive_energy_q4": ("Reactive, quadrant 4", "Reaktiv, kvadrant 4"),
    "import_active_power": ("Power, import", "Effekt, forbrug"),
    "export_active_power": ("Power, export", "Effekt, levering"),
    "import_reactive_power": ("Reactive power, import", "Reaktiv effekt, forbrug"),
    "export_reactive_power": ("Reactive power, export", "Reaktiv effekt, levering"),
    "apparent_power": ("Apparent power", "Tilsyneladende effekt"),
    "voltage": ("Voltage", "Spænding"),
    "current": ("Current", "Strøm"),
    "power_factor": ("Power factor", "Effektfaktor"),
    "frequency": ("Frequency", "Frekvens"),
    "neutral_current": ("Neutral current", "Strøm i nulleder"),
    "voltage_thd": ("Voltage distortion", "Spændingsforvrængning"),
    "current_thd": ("Current distortion", "Strømforvrængning"),
    "import_active_demand": ("Demand now, import", "Løbende middel, forbrug"),
    "import_active_demand_last": ("Demand before, import", "Forrige middel, forbrug"),
    "import_active_demand_maximum": ("Peak demand, import", "Spidsbelastning, forbrug"),
    "export_active_demand": ("Demand now, export", "Løbende middel, levering"),
    "export_active_demand_last": ("Demand before, export", "Forrige middel, levering"),
    "export_active_demand_maximum": ("Peak demand, export", "Spidsbelastning, levering"),
    "absolute_active_energy": ("Import + export", "Forbrug + levering"),
    "net_active_energy": ("Import - export", "Forbrug - levering"),
    "import_active_energy_customer": ("Import, own counter", "Forbrug, egen tæller"),
    "voltage_average": ("Voltage, mean", "Spænding, middel"),
    "current_average": ("Current, mean", "Strøm, middel"),
    "voltage_sag_count": ("Sags", "Spændingsdyk"),
    "voltage_swell_count": ("Swells", "Spændingsstigninger"),
    "operating_time": ("Operating time", "Driftstid"),
}
"""A quantity's captions; its phase or tariff follows. What is not here has no view."""


def _of_register(register: Register) -> View:
    quantity = register.quantity
    english, danish = _QUANTITIES[quantity.name]
    suffix, needs = "", Needs.NOTHING
    if register.tariff is not None:
        suffix, needs = f" T{register.tariff}", Needs.USED_TARIFF
    elif register.phase is not None:
        suffix = f" L{register.phase}"
        if _is_summed(quantity):
            needs = Needs.MORE_PHASES
    return View(
        register.key,
        ClassId.REGISTER,
        register.logical_name,
        english + suffix,
        danish + suffix,
        needs=needs,
        register=register,
    )


def _is_summed(quantity: Quantity) -> bool:
    return quantity.total and quantity.per_phase


def _of_object(which: objects.CosemObject, key: str, english: str, danish: str, kind: Kind) -> View:
    return View(key, which.class_id, which.logical_name, english, danish, kind=kind)


PAY = "pay"
VIEWS: tuple[View, ...] = (
    View(
        PAY,
        objects.CREDIT.class_id,
        objects.CREDIT.logical_name,
        "Credit used up",
        "Saldo opbrugt",
        kind=Kind.PAY,
        needs=Needs.NO_CREDIT,
    ),
    *(
        _of_register(register)
        for register in registers.REGISTERS
        if register.quantity.name in _QUANTITIES
    ),
    View("date", ClassId.CLOCK, registers.CLOCK, "Date", "Dato", kind=Kind.DATE),
    View("time", ClassId.CLOCK, registers.CLOCK, "Time", "Klokken", kind=Kind.TIME),
    View(
        "credit",
        objects.CREDIT.class_id,
        objects.CREDIT.logical_name,
        "Credit left",
        "Saldo",
        needs=Needs.A_VALUE,
    ),
    View(
        "breaker",
        objects.BREAKER.class_id,
        objects.BREAKER.logical_name,
        "Breaker",
        "Afbryder",
        kind=Kind.BREAKER,
    ),
    *(
        _of_object(relay, f"relay_{number}", f"Relay {number}", f"Relæ {number}", Kind.ON_OFF)
        for number, relay in objects.RELAYS.items()
    ),
    _of_object(objects.ACTIVE_TARIFF, "tariff", "Tariff in force", "Gældende tarif", Kind.NUMBER),
    _of_object(objects.STATUS_WORD, "status_word", "Status word", "Statusord", Kind.TEXT),
    View(
        "meter_number",
        ClassId.DATA,
        registers.METER_NUMBER,
        "Meter number",
        "Målernummer",
        kind=Kind.TEXT,
    ),
    View(
        "meter_number_rest",
        ClassId.DATA,
        registers.METER_NUMBER,
        "Meter number, rest",
        "Målernummer, resten",
        kind=Kind.TEXT_REST,
        needs=Needs.A_VALUE,
    ),
    View("software", ClassId.DATA, registers.SOFTWARE, "Software", "Program", kind=Kind.TEXT),
    View(
        "segment_test",
        ClassId.DATA,
        registers.METER_NUMBER,
        "Display test",
        "Displaytest",
        kind=Kind.TEST,
    ),
)
BY_KEY: dict[str, View] = {view.key: view for view in VIEWS}

DEFAULT_VIEWS: tuple[str, ...] = (
    "import_active_energy",
    *(f"import_active_energy_t{tariff}" for tariff in TARIFFS),
    *(f"import_active_energy_l{phase}" for phase in PHASES),
    "export_active_energy",
    *(f"export_active_energy_t{tariff}" for tariff in TARIFFS),
    *(f"export_active_energy_l{phase}" for phase in PHASES),
    "import_active_power",
    "export_active_power",
    "credit",
    "breaker",
    "date",
    "time",
    "meter_number",
)
"""The automatic list where nothing is configured: of these, those that the meter has and uses."""


def check_keys(keys: Iterable[str]) -> None:
    """Raise ValueError naming what is no view."""
    for key in keys:
        if key not in BY_KEY:
            near = get_close_matches(key, BY_KEY, cutoff=0.5) or list(DEFAULT_VIEWS[:2])
            raise ValueError(f"no view {key!r}; there are, among others, {', '.join(near)}")
