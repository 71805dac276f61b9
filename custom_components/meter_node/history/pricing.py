"""What history wants of prices. Must not know where they come from."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Protocol


class Prices(Protocol):
    """What a kWh costs and brings at a moment, None where that is not known."""

    def import_price(self, moment: datetime) -> Decimal | None:
        """Return the price of a kWh from the grid."""

    def export_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh to the grid brings."""
