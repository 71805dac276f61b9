"""The type test as a picture. Must not know a file; needs matplotlib, which is an extra."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from .limits import ACTIVE_FACTORS, REACTIVE_FACTORS, Factor, Quantity
from .report import HEADINGS, MOST_OF_LIMIT, Report, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOADED = ("reference", "balanced", "L1 only", "L2 only", "L3 only", "exported")
"""The conditions under which an error stands for itself."""

FACTORS: dict[Quantity, tuple[Factor, ...]] = {
    "active": ACTIVE_FACTORS,
    "reactive": REACTIVE_FACTORS,
}
LEAST_SHARE = 1e-5
LINEAR_PERCENT = 1e-3


def draw(report: Report) -> Figure:
    """Errors over current within their limits, and what each condition uses of its limit."""
    figure = Figure(figsize=(15, 13), layout="constrained")
    axes = figure.subplots(3, 2)
    subjects = list(report.by_subject())
    title = str(subjects[0]) if len(subjects) == 1 else f"{len(subjects)} variants"
    figure.suptitle(f"Type test, {title}", fontsize=14)
    for column, stage in enumerate(HEADINGS):
        results = [result for result in report.results if result.stage == stage]
        for row, quantity in enumerate(FACTORS):
            own = [it for it in results if it.quantity == quantity and it.condition in LOADED]
            _errors(axes[row][column], own, quantity)
            axes[row][column].set_title(f"{quantity} energy, {HEADINGS[stage]}")
        _shares(axes[2][column], results, MOST_OF_LIMIT[stage])
    return figure


def _errors(axes: Axes, results: list[Result], quantity: Quantity) -> None:
    for number, factor in enumerate(FACTORS[quantity]):
        own = sorted((it for it in results if it.factor == factor), key=lambda it: it.current_a)
        colour = f"C{number}"
        value, side = factor
        axes.plot(
            [it.current_a for it in own],
            [it.error_percent for it in own],
            ".",
            color=colour,
            label=f"{value:g} {side}",
        )
        limits: dict[float, float] = {}
        for it in own:
            limits[it.current_a] = min(limits.get(it.current_a, it.limit_percent), it.limit_percent)
        for way in (-1, 1):
            axes.step(
                list(limits), [way * it for it in limits.values()], ":", color=colour, where="post"
            )
    axes.set_xscale("log")
    axes.set_xlabel("current, A")
    # Errors of the arithmetic are a hundredth of the limits, and both should be seen.
    axes.set_yscale("symlog", linthresh=LINEAR_PERCENT)
    axes.set_ylabel("error (dots) and limit, %")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(
        title="cos φ" if quantity == "active" else "sin φ",
        fontsize=7,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )


def _shares(axes: Axes, results: Iterable[Result], allowed: float) -> None:
    worst: dict[str, float] = {}
    for result in results:
        name = result.condition + (" (reactive)" if result.quantity == "reactive" else "")
        worst[name] = max(worst.get(name, LEAST_SHARE), result.share)
    names = list(worst)[::-1]
    colours = ["C3" if worst[name] > allowed else "C2" for name in names]
    axes.barh(names, [worst[name] for name in names], color=colours, left=0)
    axes.axvline(allowed, color="black", linestyle="--")
    axes.set_xscale("log")
    axes.set_xlim(LEAST_SHARE, 2)
    axes.set_xlabel("largest share of the limit; dashed: allowed")
    axes.tick_params(axis="y", labelsize=7)
