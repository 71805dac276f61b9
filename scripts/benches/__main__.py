"""``scripts/bench [name …]``: runs benches, prints tables, exits 1 where a budget is missed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from scripts.benches import (
    dlms,
    fuzz,
    history,
    homeassistant,
    metrology,
    ports,
    powercut,
    stateful,
)
from scripts.benches.result import Result


@dataclass(frozen=True, slots=True)
class Bench:
    """One row: a bench and what it shows."""

    run: Callable[[], Result]
    shows: str


BENCHES: dict[str, Bench] = {
    "metrology": Bench(
        metrology.run, "the engine's speed and errors, beside pqopen-lib on the same signals"
    ),
    "powercut": Bench(
        powercut.run,
        "kill -9 of the store at 1000 random points and of nodes at 200, files torn at every "
        "offset: what is lost and repeated",
    ),
    "ports": Bench(
        ports.run,
        "a node in real time with every port on, beside a meter alone: share of a core and memory",
    ),
    "dlms": Bench(
        dlms.run, "300 rows of the load profile over the ciphered association, beside a plain read"
    ),
    "homeassistant": Bench(
        homeassistant.run,
        "the integration: decoding beside dlms-cosem, a push to its state, 1 000 meters in one "
        "Home Assistant",
    ),
    "fuzz": Bench(
        fuzz.run, "a million broken APDUs and frames: crashes, hangs, changes of the meter's state"
    ),
    "history": Bench(
        history.run,
        "a month, then three days that Home Assistant missed, filled hour by hour from the meter's "
        "load profile: real processes on clocks of their own (12 min)",
    ),
    "stateful": Bench(
        stateful.run,
        "10 000 steps of the whole meter against a plain one: energy, commands, clocks, power cuts",
    ),
}


def main(arguments: list[str]) -> int:
    """Run the named benches, all without a name; return the exit code."""
    console = Console()
    if {"-h", "--help"} & set(arguments) or set(arguments) - set(BENCHES):
        console.print("scripts/bench [name …]: without a name, all of them\n", markup=False)
        for name, bench in BENCHES.items():
            console.print(f"  {name:12} {bench.shows}")
        return 0 if {"-h", "--help"} & set(arguments) else 2
    missed = []
    for name in arguments or BENCHES:
        result = BENCHES[name].run()
        table = Table(title=name)
        for column in ("what", "figure", "budget"):
            table.add_column(column)
        for row in result.rows:
            table.add_row(*row)
        console.print(table)
        console.print(f"written to {result.write()}", highlight=False, soft_wrap=True)
        missed += [f"{name}: {text}" for text in result.missed]
    for text in missed:
        console.print(f"missed: {text}", style="red")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
