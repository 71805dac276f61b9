"""Bounds of parameters, told alike wherever one is set. Must not know what a parameter is for."""

from __future__ import annotations

from pydantic import AfterValidator


def within(lowest: int, highest: int, what: str, unit: str = "s") -> AfterValidator:
    """Return a check of a number; `what` says it with the number in place of ``{}``.

    ``within(0, 3600, "a delay of {}")`` refuses 3601 with "a delay of 3601 s; possible are 0 to
    3600 s".
    """
    unit = unit and f" {unit}"

    def checked(value: int) -> int:
        if not lowest <= value <= highest:
            said = what.format(f"{value}{unit}")
            raise ValueError(f"{said}; possible are {lowest} to {highest}{unit}")
        return value

    return AfterValidator(checked)
