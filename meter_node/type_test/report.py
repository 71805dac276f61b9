"""Runs the type test and says what it found. Must not know a file or a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from meter_node.meter.variant import CURRENT_RANGES, PHASES_OF_MODEL, Variant

from . import bench, dial
from .bench import Bench, Stage
from .limits import Factor, Quantity, strictest
from .points import Plan

FREQUENCIES_HZ = (50.0, 60.0)
QUANTITIES: tuple[Quantity, ...] = ("active", "reactive")

MOST_OF_LIMIT: dict[Stage, float] = {"arithmetic": 0.1, "front_end": 1.0}
"""What of a limit each stage may use."""

HEADINGS: dict[Stage, str] = {"arithmetic": "arithmetic", "front_end": "front-end"}

BENCHES: dict[Stage, Callable[[Variant, float, int], Bench]] = {
    "arithmetic": bench.arithmetic,
    "front_end": bench.front_end,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested: a variant at a nominal frequency, sampled so often."""

    variant: Variant
    frequency_hz: float
    sampling_rate_hz: int = bench.SAMPLING_RATE_HZ

    def __str__(self) -> str:
        """As a heading."""
        variant = self.variant
        name = f"{variant.model} {variant.phases} × 230 V {variant.current_range} A"
        usual = self.sampling_rate_hz == bench.SAMPLING_RATE_HZ
        sampled = "" if usual else f", sampled at {self.sampling_rate_hz} Hz"
        return f"{name} {self.frequency_hz:g} Hz{sampled}"


@dataclass(frozen=True, slots=True)
class Result:
    """One point in one stage. `limits` (%) are of all classes that have one there."""

    subject: Subject
    stage: Stage
    quantity: Quantity
    condition: str
    current_a: float
    factor: Factor
    error_percent: float
    limits: dict[str, float]

    @property
    def limit_class(self) -> str:
        """The class whose limit the share is reckoned of: 0.2S where it has one, else 1."""
        return strictest(self.quantity, self.limits)

    @property
    def limit_percent(self) -> float:
        """That class's."""
        return self.limits[self.limit_class]

    @property
    def share(self) -> float:
        """Of this limit."""
        return abs(self.error_percent) / self.limit_percent

    def document(self) -> dict[str, object]:
        """For programs."""
        value, side = self.factor
        return {
            "stage": self.stage,
            "quantity": self.quantity,
            "current_a": self.current_a,
            "power_factor": value,
            "side": side,
            "condition": self.condition,
            "limit_class": self.limit_class,
            "limit_percent": self.limit_percent,
            "error_percent": self.error_percent,
            "share": self.share,
            "limits_percent": self.limits,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one or more subjects."""

    results: tuple[Result, ...]

    def worst_share(self, stage: Stage, quantity: Quantity) -> float:
        """The largest share of a limit that any point used."""
        return max(
            result.share
            for result in self.results
            if result.stage == stage and result.quantity == quantity
        )

    def missed(self) -> tuple[Result, ...]:
        """Every result that uses more than it may of its limit, or breaks that of any class."""
        return tuple(
            result
            for result in self.results
            if not result.share <= MOST_OF_LIMIT[result.stage]
            or abs(result.error_percent) > min(result.limits.values())
        )

    def document(self) -> dict[str, object]:
        """For programs."""
        worst = {
            quantity: {
                stage: {"worst_share": self.worst_share(stage, quantity)} for stage in BENCHES
            }
            for quantity in QUANTITIES
        }
        return {
            "ok": not self.missed(),
            "arithmetic": worst["active"]["arithmetic"],
            "front_end": worst["active"]["front_end"],
            # The arithmetic's share stands for the quantity, as it does for active energy.
            "reactive": worst["reactive"]["arithmetic"] | worst["reactive"],
            "points": [result.document() for result in self.results],
        }

    def by_subject(self) -> dict[Subject, Report]:
        """The same, apart."""
        apart: dict[Subject, list[Result]] = {}
        for result in self.results:
            apart.setdefault(result.subject, []).append(result)
        return {subject: Report(tuple(results)) for subject, results in apart.items()}


def every_subject() -> Iterator[Subject]:
    """All that the brochure offers: rows 21 and 22. A breaker changes nothing that is measured."""
    for model, phases in PHASES_OF_MODEL.items():
        for count, current_range, frequency_hz in product(phases, CURRENT_RANGES, FREQUENCIES_HZ):
            yield Subject(Variant(model, count, current_range), frequency_hz)


def steps(subjects: Sequence[Subject]) -> int:
    """How many results `run` will have, for a progress bar."""
    return sum(
        len(BENCHES) * (dial.READINGS + sum(1 for _ in _plan(subject).points()))
        for subject in subjects
    )


def run(subjects: Sequence[Subject], advance: Callable[[], None] = lambda: None) -> Report:
    """The whole test; `advance` is called after each result."""
    found = []
    for subject in subjects:
        for result in _results(subject):
            found.append(result)
            advance()
    return Report(tuple(found))


def _plan(subject: Subject) -> Plan:
    return Plan(subject.variant, subject.frequency_hz)


def _results(subject: Subject) -> Iterator[Result]:
    for stage, make in BENCHES.items():
        meter = make(subject.variant, subject.frequency_hz, subject.sampling_rate_hz)
        for point in _plan(subject).points():
            load = point.loads[0]
            yield Result(
                subject,
                stage,
                load.quantity,
                point.condition,
                load.current_a,
                load.factor,
                point.error_percent(meter.error_percent),
                point.limits,
            )
        for reading in dial.readings(meter):
            yield Result(
                subject,
                stage,
                reading.quantity,
                reading.condition,
                reading.current_a,
                reading.factor,
                reading.error_percent,
                reading.limits,
            )
