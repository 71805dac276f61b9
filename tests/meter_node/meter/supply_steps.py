"""Steps for the tests of breaker, limiter, relays and neutral guard."""

from collections.abc import Callable, Iterator, Sequence

from meter_node.meter.event import Event
from meter_node.meter.step import DigitalInputs, Step
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

NANO = 10**9
# 2026-03-02 00:00 UTC, a Monday.
START_S = 1_772_409_600


def step(
    start_s: int = START_S,
    duration_s: int = 1,
    *,
    powers_w: Sequence[float] = (0.0, 0.0, 0.0),
    currents_a: Sequence[float] | None = None,
    voltages_v: Sequence[complex] | None = None,
    button: bool = False,
    breaker_closed: bool | None = None,
    gap: bool = False,
    clock_valid: bool = True,
) -> Step:
    """One step of as many phases as there are powers, or voltages."""
    voltages_v = voltages_v or [230 + 0j] * len(powers_w)
    if len(powers_w) != len(voltages_v):
        powers_w = [0.0] * len(voltages_v)
    currents_a = currents_a or [abs(power_w) / 230 for power_w in powers_w]
    phases = tuple(
        PhaseMeasurement(
            abs(voltage_v),
            current_a,
            power_w,
            0.0,
            abs(power_w),
            1.0,
            0,
            0,
            voltage_phasor_v=voltage_v,
        )
        for voltage_v, current_a, power_w in zip(voltages_v, currents_a, powers_w, strict=True)
    )
    end_s = start_s + duration_s
    return Step(
        start_s,
        end_s,
        Measurement(start_s * NANO, end_s * NANO, 50.0, phases),
        DigitalInputs(button=button, breaker_closed=breaker_closed),
        clock_valid,
        gap,
    )


class Seconds:
    """A clock that counts the steps it hands out."""

    def __init__(self, now_s: int = START_S) -> None:
        self.now_s = now_s

    def of(self, count: int, **what: object) -> Iterator[Step]:
        """So many steps of a second."""
        for _ in range(count):
            self.now_s += 1
            yield step(self.now_s - 1, **what)  # type: ignore[arg-type]

    def through(
        self, advance: Callable[[Step], list[Event]], count: int, **what: object
    ) -> list[Event]:
        """What a part tells of so many seconds."""
        return [event for one in self.of(count, **what) for event in advance(one)]


def names(events: Sequence[Event]) -> list[str]:
    """What happened, in order."""
    return [event.code.name for event in events]
