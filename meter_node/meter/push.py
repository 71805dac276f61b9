"""How often a meter pushes. Must not know what is pushed, nor to whom."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

LONGEST_S = 3600
_DAY_S = 86_400


class PushSettings(BaseModel):
    """Seconds between two pushes, which divide a day; events are pushed at once besides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval_s: int = 10

    @field_validator("interval_s")
    @classmethod
    def _possible(cls, interval_s: int) -> int:
        if not 1 <= interval_s <= LONGEST_S or _DAY_S % interval_s:
            raise ValueError(f"{interval_s}: possible is what divides a day, 1 to {LONGEST_S} s")
        return interval_s
