"""What the user chose in the options, read once: presets, prices, the capacity rule, the fuse.

Must not know Home Assistant. Presets have been loaded before (``presets.load_all`` reads files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from .channel import presets
from .channel.presets import Preset
from .const import (
    CONF_CAPACITY_LIMIT,
    CONF_CAPACITY_PRESET,
    CONF_EXPORT_PRICES,
    CONF_EXPORT_SPOT,
    CONF_IMPORT_PRICES,
    CONF_IMPORT_SPOT,
    CONF_MAIN_FUSE,
    CONF_SCALER_PROFILE,
    CONF_TARIFF_PRESET,
)

_W_A_KW = 1000


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of one meter; None where nothing was chosen."""

    is_bridged: bool
    """A real meter's list, which brings neither its scale nor a calendar."""
    tariff_preset: Preset | None
    import_prices: Mapping[int, Decimal]
    export_prices: Mapping[int, Decimal]
    import_spot: str | None
    export_spot: str | None
    """Entity ids of price-now sensors."""
    capacity_preset: Preset | None
    limit_w: float | None
    main_fuse_a: float | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Read an entry's options."""
        capacity_preset = _preset(options.get(CONF_CAPACITY_PRESET))
        if capacity_preset is not None and capacity_preset.capacity is None:
            capacity_preset = None
        limit_kw = options.get(CONF_CAPACITY_LIMIT)
        return cls(
            CONF_SCALER_PROFILE in options,
            _preset(options.get(CONF_TARIFF_PRESET)),
            _prices(options.get(CONF_IMPORT_PRICES)),
            _prices(options.get(CONF_EXPORT_PRICES)),
            options.get(CONF_IMPORT_SPOT),
            options.get(CONF_EXPORT_SPOT),
            capacity_preset,
            None if limit_kw is None else limit_kw * _W_A_KW,
            options.get(CONF_MAIN_FUSE),
        )

    @property
    def has_preset_prices(self) -> bool:
        """Whether a preset was chosen that knows prices, of whatever time."""
        return self.tariff_preset is not None and bool(self.tariff_preset.prices)

    def currency(self, of_home: str) -> str:
        """Return the currency of all prices: the preset's where it has some."""
        if self.tariff_preset is not None and self.has_preset_prices:
            return self.tariff_preset.currency
        return of_home


def _preset(preset_id: str | None) -> Preset | None:
    """Return a preset, None for one that this version does not have any more."""
    return presets.load_all().get(preset_id or "")


def _prices(chosen: Mapping[str, float] | None) -> dict[int, Decimal]:
    return {int(tariff): Decimal(str(price)) for tariff, price in (chosen or {}).items()}
