"""The whole meter against a plain one, 10 000 steps: commands, energy, clocks, power cuts.

The machine is that of `tests/meter_node/meter/test_meter_stateful.py`; here it runs at its full
length, and a run in which something never happened is a missed budget, too.
"""

from __future__ import annotations

import os
import sys
import traceback

from scripts.benches.result import Result

STEPS = 10_000


def run() -> Result:
    """Run the machine and return what it performed."""
    os.environ["METER_NODE_FULL"] = "1"
    # The tests' package belongs to the development environment, as does hypothesis.
    from tests.meter_node.meter import test_meter_stateful as stateful

    details: list[str] = []
    try:
        stateful.perform(full=True)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        details = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]
    tally = stateful.TALLY
    violations = 1 if details else 0
    never = tally.without_effect()
    figures: dict[str, object] = {
        "steps": tally.steps,
        "violations": violations,
        "rules": dict(sorted(tally.rules.items())),
        "effects": dict(sorted(tally.effects.items())),
        "never": never,
        "details": details,
    }
    opened = {
        cause: tally.effects[f"opened: {cause}"]
        for cause in ("remote", "credit", "limiter", "neutral", "manual")
    }
    restarts = tally.effects["restart: kept"] + tally.effects["restart: crash"]
    rows = [
        ("steps", str(tally.steps), f"at least {STEPS}"),
        ("violations", str(violations), "0"),
        ("kinds of step performed", str(len(tally.rules)), str(len(stateful.ACTIONS))),
        ("breaker opened by", ", ".join(f"{cause} {n}" for cause, n in opened.items()), "each"),
        ("top-ups", str(tally.effects["token: accepted"]), "some"),
        ("power cuts", str(restarts), "some"),
        ("what never happened", ", ".join(never) or "nothing", "nothing"),
    ]
    missed = [details[0][:500]] if details else []
    if tally.steps < STEPS:
        missed.append(f"{tally.steps} steps, {STEPS} wanted")
    missed += [f"never happened: {name}" for name in never]
    return Result("stateful", figures, rows, missed)
