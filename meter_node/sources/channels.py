"""Which channel of a recording is which phase's. Knows neither the file nor the samples."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meter_node.metrology.block import CODE_BITS

from .codes import rails
from .items import SourceError

MOST_PHASES = 3

# What recorders call the phases' voltages and currents, with everything but letters and digits
# taken out. "V1" and "VA" are as common as "U1"; neutral channels are nobody's.
_VOLTAGE_NAMES = ("u{n}", "v{n}", "ul{n}", "vl{n}", "l{n}u", "u{n}n", "v{n}n", "ul{n}n", "vl{n}n")
_CURRENT_NAMES = ("i{n}", "il{n}", "l{n}i")
_LETTERS = {1: "a", 2: "b", 3: "c"}


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as its file describes it.

    `factor`: volts or amperes for one unit of a value; None where the file holds codes. `gain`,
    `offset_codes`: volts or amperes a code and the code of zero, where the file knows them.
    `late_s`: how much later than the instant's first channel it was sampled. `limits`: the lowest
    and highest code of its converter. `unusable`: why nobody can measure with it, if so.
    """

    name: str
    factor: float | None = None
    gain: float | None = None
    offset_codes: float = 0.0
    late_s: float = 0.0
    limits: tuple[int, int] = rails(CODE_BITS)
    unusable: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where voltages and currents stand, L1 first; indices from 0."""

    voltage: tuple[int, ...]
    current: tuple[int, ...]


def rows(names: Sequence[str], wanted: Mapping[str, str | int] | None, phases: int | None) -> Rows:
    """The channel of each of U1…U3 and I1…I3.

    `wanted` maps these to a channel's name or number, from 1; without it names are recognised, and
    where there are none, two, four or six channels are all voltages, then all currents. `phases`
    takes the first ones only. Raises SourceError, telling what there is.
    """
    found = _wanted(names, wanted) if wanted else _recognised(names)
    count = phases or max(
        (n for n in range(1, MOST_PHASES + 1) if {f"U{n}", f"I{n}"} & found.keys()), default=0
    )
    roles = [f"{kind}{n}" for kind in "UI" for n in range(1, count + 1)]
    missing = [role for role in roles if role not in found]
    if missing or not roles:
        raise SourceError(
            f"no channel for {', '.join(missing) or 'U1 and I1'}; there are: {_listed(names)}. "
            "Say which is which, for example U1=1 I1=2"
        )
    return Rows(
        tuple(found[f"U{n}"] for n in range(1, count + 1)),
        tuple(found[f"I{n}"] for n in range(1, count + 1)),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {name}".strip() for number, name in enumerate(names, start=1))


def _wanted(names: Sequence[str], wanted: Mapping[str, str | int]) -> dict[str, int]:
    by_name = {name.casefold(): place for place, name in reversed(list(enumerate(names)))}
    found: dict[str, int] = {}
    for role, which in wanted.items():
        text = str(which).casefold()
        if text in by_name:
            found[role] = by_name[text]
        elif text.isdecimal() and 1 <= int(text) <= len(names):
            found[role] = int(text) - 1
        else:
            raise SourceError(f"no channel {which} for {role}; there are: {_listed(names)}")
    twice = sorted({role for role, place in found.items() if list(found.values()).count(place) > 1})
    if twice:
        raise SourceError(f"one channel can't be {' and '.join(twice)} at once")
    return found


def _recognised(names: Sequence[str]) -> dict[str, int]:
    plain = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in names]
    if not any(plain) and len(names) in (2, 4, 6):
        half = len(names) // 2
        return {f"U{n + 1}": n for n in range(half)} | {f"I{n + 1}": half + n for n in range(half)}
    found: dict[str, int] = {}
    for number in range(1, MOST_PHASES + 1):
        for role, patterns in (("U", _VOLTAGE_NAMES), ("I", _CURRENT_NAMES)):
            known = {
                pattern.format(n=n) for pattern in patterns for n in (number, _LETTERS[number])
            }
            places = [place for place, name in enumerate(plain) if name in known]
            if places:
                found[f"{role}{number}"] = places[0]
    return found
