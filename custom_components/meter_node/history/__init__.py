"""Long-term statistics without gaps: what a meter kept while nobody listened, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeassistant.helpers.importlib import async_import_module
from homeassistant.util import dt as dt_util

if TYPE_CHECKING:
    from ..coordinator import MeterNodeCoordinator
    from .importer import HistoryImporter
    from .readings import ProfileSource


async def async_importer_of(coordinator: MeterNodeCoordinator) -> HistoryImporter | None:
    """Return what fills a meter's history; None in a home without a recorder.

    The recorder is imported here and not before: a home can do without. Reading so many files
    would hold the event loop up, so they are read beside it first.
    """
    if "recorder" not in coordinator.hass.config.components:
        return None
    for module in ("importer", "kept_past", "load_profile"):
        await async_import_module(coordinator.hass, f"{__name__}.{module}")
    from .importer import HistoryImporter
    from .kept_past import KeptPast
    from .load_profile import AskedProfile

    def source() -> ProfileSource | None:
        if coordinator.asker is not None:
            # As the meter says it now, and not as it is shown: a total that fell is held.
            said = coordinator.reading.values if coordinator.reading is not None else {}
            return AskedProfile(coordinator.asker, said)
        if (kept := coordinator.kept_frames) is not None:
            shown = coordinator.data.values  # totals may have come with an earlier list
            known = {key: value - coordinator.totals.base(key) for key, value in shown.items()}
            return KeptPast(kept, dt_util.utcnow(), known)
        return None

    return HistoryImporter(coordinator, source)
