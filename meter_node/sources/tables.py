"""Lines of numbers to arrays, quickly where they are in order. Knows no header and no format."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .items import SourceError


def numbers(
    lines: Sequence[str],
    delimiter: str,
    columns: int,
    where: Callable[[int], str],
    *,
    decimal_comma: bool = False,
) -> NDArray[np.float64]:
    """Float64 [lines, columns]; an empty field is not a number. Blank lines must be gone.

    `where` names line k of these for the SourceError of what can't be read.
    """
    if decimal_comma:
        lines = [line.replace(",", ".") for line in lines]
    try:
        table = np.loadtxt(lines, delimiter=delimiter, comments=None, ndmin=2)
    except ValueError:
        # Somewhere there is an empty field or something worse: find out where.
        return np.array(
            [
                _fields(line, delimiter, columns, where, place)
                for place, line in enumerate(lines)
            ]
        )  # fmt: skip
    if table.shape[1] != columns:
        raise SourceError(f"{where(0)}: {table.shape[1]} fields, not {columns}")
    return table


def _fields(
    line: str, delimiter: str, columns: int, where: Callable[[int], str], place: int
) -> list[float]:
    fields = [field.strip() for field in line.split(delimiter)]
    if len(fields) != columns:
        raise SourceError(f"{where(place)}: {len(fields)} fields, not {columns}")
    try:
        return [float(field) if field else np.nan for field in fields]
    except ValueError:
        wrong = next(field for field in fields if field and not _is_number(field))
        raise SourceError(f"{where(place)}: {wrong!r} is no number") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
