"""What a meter is made as: model, current range, breaker, relays (brochure rows 21 and 22).

What a variant does not declare has no object and no entity. Must not know measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.channel.registers import registers_of


class VariantError(ValueError):
    """A combination that the brochure does not offer; the text says what is offered."""


PHASES_OF_MODEL: dict[str, tuple[int, ...]] = {"162M": (1,), "382M": (1, 2, 3)}
"""Phases on which each model can be used."""

CURRENT_RANGES: dict[str, bool] = {
    "5(65)": True,
    "10(60)": True,
    "5(85)": True,
    "10(85)": True,
    "5(100)": False,
}
"""Base and maximum current in ampere, and whether it is made with a breaker."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One meter as ordered. Raises VariantError for what the brochure does not offer."""

    model: str = "382M"
    phases: int = 3
    current_range: str = "5(65)"
    breaker: bool = False
    relays: int = 0

    def __post_init__(self) -> None:
        """Check against the brochure's rows."""
        if self.model not in PHASES_OF_MODEL:
            raise VariantError(f"model {self.model!r}; made are {', '.join(PHASES_OF_MODEL)}")
        if self.phases not in PHASES_OF_MODEL[self.model]:
            offered = ", ".join(map(str, PHASES_OF_MODEL[self.model]))
            raise VariantError(f"a {self.model} measures {offered} phases, not {self.phases}")
        if self.current_range not in CURRENT_RANGES:
            raise VariantError(
                f"current range {self.current_range!r}; made are {', '.join(CURRENT_RANGES)} A"
            )
        if self.breaker and not CURRENT_RANGES[self.current_range]:
            raise VariantError(f"the range {self.current_range} A is not made with a breaker")
        if not 0 <= self.relays <= 2:
            raise VariantError(f"{self.relays} load relays; a meter has none, one or two")

    @property
    def register_keys(self) -> tuple[str, ...]:
        """The registers that such a meter has, in the table's order."""
        return tuple(
            register.key
            for register in registers_of(self.phases)
            # of one phase it is the phase's
            if not (self.phases == 1 and register.key == "neutral_current")
        )

    @property
    def base_current_a(self) -> int:
        """Ib, the current to which accuracy limits refer."""
        return int(self.current_range.partition("(")[0])

    @property
    def maximum_current_a(self) -> int:
        """Imax, up to which accuracy limits hold."""
        return int(self.current_range.partition("(")[2].rstrip(")"))
