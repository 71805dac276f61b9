"""meter-node utility: the other end, whole: what `cli_utility` reads, and all that changes things.

Must not know what a command does.
"""

from __future__ import annotations

from meter_node import cli_utility_supply, cli_utility_tariff, cli_utility_upkeep
from meter_node.cli_utility import app

__all__ = ["app"]

for name, commands in (
    ("tariff", cli_utility_tariff.tariff_commands),
    ("breaker", cli_utility_supply.breaker_commands),
    ("limiter", cli_utility_supply.limiter_commands),
    ("neutral", cli_utility_supply.neutral_commands),
    ("credit", cli_utility_supply.credit_commands),
    ("clock", cli_utility_upkeep.clock_commands),
    ("parameters", cli_utility_upkeep.parameters_commands),
    ("push", cli_utility_upkeep.push_commands),
    ("keys", cli_utility_upkeep.keys_commands),
):
    app.add_typer(commands, name=name)
app.command()(cli_utility_supply.relay)
app.command()(cli_utility_upkeep.firmware)
