"""Long-term statistics without gaps: what a meter kept while nobody listened, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeassistant.util import dt as dt_util

if TYPE_CHECKING:
    from ..coordinator import MeterNodeCoordinator
    from .importer import HistoryImporter
    from .readings import ProfileSource


def importer_of(coordinator: MeterNodeCoordinator) -> HistoryImporter | None:
    """Return what fills a meter's history; None in a home without a recorder.

    The recorder is imported here and not before: a home can do without.
    """
    if "recorder" not in coordinator.hass.config.components:
        return None
    from .importer import HistoryImporter
    from .kept_past import KeptPast
    from .load_profile import AskedProfile

    def source() -> ProfileSource | None:
        if coordinator.asker is not None:
            # As the meter says it now, and not as it is shown: a total that fell is held.
            said = coordinator.reading.values if coordinator.reading is not None else {}
            return AskedProfile(coordinator.asker, said, coordinator.base)
        if (kept := coordinator.kept_frames) is not None:
            shown = coordinator.data.values
            return KeptPast(kept, dt_util.utcnow(), shown, coordinator.base)
        return None

    return HistoryImporter(coordinator, source)
