"""All that a utility can set, as one set: valid as a whole, or not taken at all.

Must not know how a parameter acts or who may change it; each part's own settings say what is
possible, here it says what goes together in one meter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from meter_node.meter.billing import BillingSettings
from meter_node.meter.clock import ClockSettings
from meter_node.meter.credit import CreditSettings
from meter_node.meter.demand import DemandSettings
from meter_node.meter.limiter import LimiterSettings
from meter_node.meter.neutral import NeutralSettings
from meter_node.meter.profile import AnalysisSettings, ProfileSettings
from meter_node.meter.push import PushSettings
from meter_node.meter.quality import QualitySettings
from meter_node.meter.refused import RefusedError
from meter_node.meter.relays import RelaySettings
from meter_node.meter.supply import MODES, BreakerSettings, Transition
from meter_node.meter.tamper import TamperSettings
from meter_node.meter.tariff import TariffSettings
from meter_node.meter.variant import Variant


class Parameters(BaseModel):
    """One meter's parameters, a section a part of the meter. JSON both ways."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clock: ClockSettings = ClockSettings()
    tariff: TariffSettings = TariffSettings()
    demand: DemandSettings = DemandSettings()
    load_profile: ProfileSettings = ProfileSettings()
    analysis_log: AnalysisSettings = AnalysisSettings()
    billing: BillingSettings = BillingSettings()
    quality: QualitySettings = QualitySettings()
    neutral: NeutralSettings = NeutralSettings()
    tamper: TamperSettings = TamperSettings()
    breaker: BreakerSettings = BreakerSettings()
    limiter: LimiterSettings = LimiterSettings()
    credit: CreditSettings = CreditSettings()
    push: PushSettings = PushSettings()
    relays: tuple[RelaySettings, ...] = ()
    """One for each load relay, in their order; one that is not given has the defaults."""

    def fitted(self, variant: Variant) -> Self:
        """Return these parameters for a meter of that make, each of its relays with settings.

        Raises RefusedError for what such a meter can't do or capture.
        """
        if len(self.relays) > variant.relays:
            raise RefusedError(
                f"relays: settings for {len(self.relays)}; this meter has {variant.relays}"
            )
        missing = (RelaySettings(),) * (variant.relays - len(self.relays))
        opens = Transition.LOCAL_DISCONNECT in MODES[self.breaker.control_mode]
        why = None
        if not variant.breaker:
            why = "this meter has no breaker"
        elif not opens:
            why = "in control mode 0 the breaker never opens"
        if why:
            for name, wanted in self._wishes_to_cut():
                if wanted:
                    raise RefusedError(f"{name}: {why}")
        if self.neutral.cut and variant.phases == 1:
            raise RefusedError("neutral.cut: one phase can only suspect a lost neutral")
        self.load_profile.layout(variant.register_keys)
        self.analysis_log.layout(variant.register_keys)
        self.billing.registers(variant.register_keys)
        return self.model_copy(update={"relays": (*self.relays, *missing)})

    def changed(self, changes: Mapping[str, object]) -> Parameters:
        """Return these with some fields of some sections changed.

        For example ``{"demand": {"interval_min": 30}}``. A section that is a list (`relays`) is
        given whole. Raises RefusedError with every fault.
        """
        merged: dict[str, object] = {name: getattr(self, name) for name in type(self).model_fields}
        for name, change in changes.items():
            section = merged.get(name)
            if isinstance(change, Mapping) and isinstance(section, BaseModel):
                # As Python values and not as JSON: a calendar is not taken apart and put together.
                kept = {key: getattr(section, key) for key in type(section).model_fields}
                merged[name] = kept | dict(change)
            else:
                merged[name] = change
        return read(merged)

    def sections_other_than(self, other: Parameters) -> tuple[str, ...]:
        """The names of the sections in which these differ, in the order above."""
        return tuple(
            name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)
        )

    def _wishes_to_cut(self) -> tuple[tuple[str, bool], ...]:
        limiter = self.limiter
        thresholds = (
            limiter.threshold("normal"),
            limiter.threshold("emergency"),
            limiter.threshold("prepaid"),
        )
        return (
            ("credit.enabled", self.credit.enabled),
            ("neutral.cut", self.neutral.cut),
            ("limiter", any(threshold is not None for threshold in thresholds)),
        )


_SAID = {
    "extra_forbidden": "there is no such parameter",
    "model_type": "a section of parameters is wanted",
}


def _why(fault: ErrorDetails) -> str:
    return _SAID.get(fault["type"], fault["msg"].removeprefix("Value error, "))


def read(given: Mapping[str, object]) -> Parameters:
    """Return the parameters that a mapping holds. Raises RefusedError with every fault in it."""
    try:
        return Parameters.model_validate(given)
    except ValidationError as error:
        raise RefusedError(
            "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {_why(fault)}"
                for fault in error.errors(include_url=False)
            )
        ) from None


def in_force(
    configured: Parameters, kept: Mapping[str, Any] | None, variant: Variant
) -> tuple[Parameters, tuple[str, ...]]:
    """Return what is in force after a start, and the sections that the configuration changed.

    `kept` holds what was configured then and what was in force. A utility's changes of a section
    stay until that section of the configuration is another one: that is newer. What then does not
    go together any more is all of the configuration's. The tariff keeps its own calendars.
    """
    if kept is None:
        return configured, ()
    try:
        changed = configured.sections_other_than(read(kept["configured"]))
        was_in_force = read(kept["in_force"])
    except RefusedError:  # of a version with other sections: the configuration is what is known
        return configured, ()
    newer = {name: getattr(configured, name) for name in changed}
    try:
        return was_in_force.model_copy(update=newer).fitted(variant), changed
    except RefusedError:
        return configured, configured.sections_other_than(was_in_force)
