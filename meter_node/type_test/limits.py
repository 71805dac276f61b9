"""The standards' limits as tables. Must not know what was measured.

Currents are shares of Ib: the meters are connected directly, so the In of class 0.2S is read as Ib,
and Itr is a tenth of Ib. Sources:

- IEC 62053-21:2003, tables 6 to 8 (classes 1, 2), IEC 62053-22:2003 and :2020 (0.2S), IEC 62053-23
  (reactive 2, sin φ of 1 and 0.5), read in extracts and in reports of tests by them;
- Directive 2014/32/EU, annex V, point 3 and table 2 (the errors over temperature);
- EN 50470-3 (A, B): balanced limits as test reports quote them. Its class A is class 2 of the IEC,
  its class B class 1, and where its own table was not seen, theirs stands here.

[M] marks what was written from memory and found in none of them. Of IEC 62053-23 only its scope and
the tables named above were to be had; of KEMA's certificate 1290-19 and NMi's reports 11200858 and
16200819, which test by it, only the first pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["active", "reactive"]
Side = Literal["", "ind", "cap"]
Factor = tuple[float, Side]
"""Power factor (of active energy) or sin φ (of reactive), and which way the current is off."""

STRICTEST: dict[Quantity, tuple[str, ...]] = {
    "active": ("0.2S", "1", "B"),
    "reactive": ("reactive 2",),
}
"""Which class's limit a share is reckoned of: the first of these that has one."""

ITR = 0.1
IMIN = 0.05


@dataclass(frozen=True, slots=True)
class Limit:
    """Error limit of one class from a current on (share of Ib), up to where another row begins."""

    of_class: str
    factors: tuple[Factor, ...]
    from_share: float
    percent: float


ONE: Factor = (1.0, "")
HALF: Factor = (0.5, "ind")
CAPACITIVE: Factor = (0.8, "cap")
QUARTER: Factor = (0.25, "ind")
HALF_CAPACITIVE: Factor = (0.5, "cap")
SINE_ONE: tuple[Factor, ...] = ((1.0, "ind"), (1.0, "cap"))
SINE_HALF: tuple[Factor, ...] = ((0.5, "ind"), (0.5, "cap"))
SINE_QUARTER: tuple[Factor, ...] = ((0.25, "ind"), (0.25, "cap"))

ACTIVE_FACTORS = (ONE, HALF, CAPACITIVE, QUARTER, HALF_CAPACITIVE)
REACTIVE_FACTORS = (*SINE_ONE, *SINE_HALF, *SINE_QUARTER)

BALANCED: dict[Quantity, tuple[Limit, ...]] = {
    "active": (
        Limit("0.2S", (ONE,), 0.01, 0.4),
        Limit("0.2S", (ONE,), 0.05, 0.2),
        Limit("0.2S", (HALF, CAPACITIVE), 0.02, 0.5),
        Limit("0.2S", (HALF, CAPACITIVE), 0.1, 0.3),
        Limit("0.2S", (QUARTER, HALF_CAPACITIVE), 0.1, 0.5),
        Limit("1", (ONE,), 0.05, 1.5),
        Limit("1", (ONE,), 0.1, 1.0),
        Limit("1", (HALF, CAPACITIVE), 0.1, 1.5),
        Limit("1", (HALF, CAPACITIVE), 0.2, 1.0),
        Limit("1", (QUARTER,), 0.2, 3.5),
        Limit("1", (HALF_CAPACITIVE,), 0.2, 2.5),
        Limit("2", (ONE,), 0.05, 2.5),
        Limit("2", (ONE,), 0.1, 2.0),
        Limit("2", (HALF,), 0.1, 2.5),
        Limit("2", (HALF,), 0.2, 2.0),
        Limit("B", (ONE, HALF, CAPACITIVE), IMIN, 1.5),
        Limit("B", (ONE, HALF, CAPACITIVE), ITR, 1.0),
        Limit("A", (ONE, HALF, CAPACITIVE), IMIN, 2.5),
        Limit("A", (ONE, HALF, CAPACITIVE), ITR, 2.0),
    ),
    "reactive": (
        Limit("reactive 2", SINE_ONE, 0.05, 2.5),
        Limit("reactive 2", SINE_ONE, 0.1, 2.0),
        Limit("reactive 2", SINE_HALF, 0.1, 2.5),
        Limit("reactive 2", SINE_HALF, 0.2, 2.0),
        Limit("reactive 2", SINE_QUARTER, 0.2, 2.5),  # [M]
    ),
}
"""Single-phase meters, and polyphase meters with balanced loads."""

ONE_PHASE_LOADED: dict[Quantity, tuple[Limit, ...]] = {
    "active": (
        # IEC 62053-22:2020, table 3, holds for single-phase loads too, by its title.
        *(limit for limit in BALANCED["active"] if limit.of_class == "0.2S"),
        Limit("1", (ONE,), 0.1, 2.0),
        Limit("1", (HALF,), 0.2, 2.0),
        Limit("2", (ONE,), 0.1, 3.0),
        Limit("2", (HALF,), 0.2, 3.0),
        # Those of classes 1 and 2.
        Limit("B", (ONE, HALF), ITR, 2.0),
        Limit("A", (ONE, HALF), ITR, 3.0),
    ),
    "reactive": (
        Limit("reactive 2", SINE_ONE, 0.1, 3.0),  # [M]
        Limit("reactive 2", SINE_HALF, 0.2, 3.0),  # [M]
    ),
}
"""One phase of a polyphase meter loaded, all voltages there."""

TEST_CURRENTS = (0.01, 0.02, IMIN, ITR, 0.2, 1.0)
"""Shares of Ib; half of Imax and Imax come to them."""


def limits_at(rows: Iterable[Limit], factor: Factor, share: float) -> dict[str, float]:
    """Limits (%) of all classes that have one at this factor and current."""
    found: dict[str, Limit] = {}
    for row in rows:
        # A thousandth of leeway: 0.1 · 5 A over 5 A must not fall below 0.1.
        if factor in row.factors and share >= row.from_share * 0.999:
            held = found.get(row.of_class)
            if held is None or row.from_share > held.from_share:
                found[row.of_class] = row
    return {of_class: row.percent for of_class, row in found.items()}


def strictest(quantity: Quantity, limits: dict[str, float]) -> str:
    """The class whose limit the share is reckoned of."""
    return next(of_class for of_class in STRICTEST[quantity] if of_class in limits)


Influences = dict[str, dict[Factor, dict[str, float]]]


def _classes(one: float, two: float, strict: float | None) -> dict[str, float]:
    found = {"1": one, "2": two, "B": one, "A": two}
    return found if strict is None else {"0.2S": strict, **found}


INFLUENCE: dict[Quantity, Influences] = {
    "active": {
        "voltage ±10 %": {ONE: _classes(0.7, 1.0, 0.1), HALF: _classes(1.0, 1.5, 0.2)},
        "voltage −20/+15 %": {ONE: _classes(2.1, 3.0, 0.3)},
        "frequency ±2 %": {ONE: _classes(0.5, 0.8, 0.1), HALF: _classes(0.7, 1.0, 0.1)},
        "reversed phase order": {ONE: _classes(1.5, 1.5, 0.05)},
        "voltage unbalance": {ONE: _classes(2.0, 4.0, 0.5)},
        "5th harmonic": {ONE: _classes(0.8, 1.0, 0.4)},
        "sub-harmonics": {ONE: _classes(3.0, 6.0, 0.4)},
        "odd harmonics": {ONE: _classes(3.0, 6.0, 0.4)},
        "half-wave DC": {ONE: _classes(3.0, 6.0, None)},
        "temperature, per K": {ONE: _classes(0.05, 0.10, 0.01), HALF: _classes(0.07, 0.15, 0.02)},
    },
    "reactive": {  # [M], all of it
        "voltage ±10 %": {
            SINE_ONE[0]: {"reactive 2": 1.0},
            SINE_HALF[0]: {"reactive 2": 1.5},
        },
        "frequency ±2 %": {
            SINE_ONE[0]: {"reactive 2": 2.5},
            SINE_HALF[0]: {"reactive 2": 2.5},
        },
        "temperature, per K": {
            SINE_ONE[0]: {"reactive 2": 0.10},
            SINE_HALF[0]: {"reactive 2": 0.15},
        },
    },
}
"""Variation of the error (%) that an influence may bring, against reference conditions."""

# IEC 62053-21 and -22:2020, 7.8, have a limit of their own for it, which was not seen. This is a
# choice: the spread may not use more than a tenth of what the error may.
REPEATABILITY_SHARE = 0.1

STARTING_SHARE = 0.004
"""Of Ib: classes 1 and B. The meter has to start and go on registering."""

NO_LOAD_VOLTAGE = 1.15
NO_LOAD_K = 600.0
"""Class 1: at most one pulse in K · 10⁶ / (k · m · Un · Imax) minutes at 1.15 Un.

That and the quantities in it are IEC 62053-21:2003's (CLOU, "How long does a no-load test take?");
the 600 is [M]. It says that less than m · Un · Imax / 10⁴ creeps: 60 000 / (k · minutes) watts.
"""


@dataclass(frozen=True, slots=True)
class MidRange:
    """Maximum permissible errors (%) of the directive, from Imin and from Itr on, by class."""

    name: str
    temperatures_c: tuple[float, ...]
    from_imin: dict[str, float]
    from_itr: dict[str, float]


MID = (
    MidRange("5…30 °C", (5.0, 30.0), {"A": 3.5, "B": 2.0}, {"A": 3.5, "B": 2.0}),
    MidRange("−10…40 °C", (-10.0, 40.0), {"A": 5.0, "B": 2.5}, {"A": 4.5, "B": 2.5}),
    MidRange("−25…55 °C", (-25.0, 55.0), {"A": 7.0, "B": 3.5}, {"A": 7.0, "B": 3.5}),
    MidRange("−40…70 °C", (-40.0, 70.0), {"A": 9.0, "B": 4.0}, {"A": 9.0, "B": 4.0}),
)
"""Each range's ends; the errors between them belong to the range within."""

MID_FACTORS = (ONE, HALF, CAPACITIVE)
