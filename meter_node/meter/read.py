"""How parts of the meter read registers. Must not know what a register is made of."""

from collections.abc import Callable

type Read = Callable[[str], int | None]
"""Gives a register by its key in units of its scaler, None where it has no value now."""
