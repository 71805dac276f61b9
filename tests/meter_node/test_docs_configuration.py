"""The documentation names every parameter of the meter, with its default."""

from pathlib import Path

import pytest

from meter_node.meter.parameters import Parameters
from meter_node.meter.relays import RelaySettings
from meter_node.meter.supply import MODES, Transition

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
FIELDS = [
    (section, key)
    for section, field in Parameters.model_fields.items()
    if section != "tariff"
    for key in (
        RelaySettings if section == "relays" else field.annotation  # type: ignore[union-attr]
    ).model_fields
]


@pytest.mark.parametrize(("section", "key"), FIELDS)
def test_every_parameter_stands_in_the_documentation(section: str, key: str) -> None:
    assert f"| `{section}` |" in CONFIGURATION
    assert f"`{key}`" in CONFIGURATION


@pytest.mark.parametrize("mode", sorted(MODES))
def test_the_table_of_modes_is_that_of_the_breaker(mode: int) -> None:
    lines = (DOCS / "meter.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith((f"| {mode} |", f"| {mode} (")))
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    allowed = MODES[mode]
    on = "at once" if Transition.REMOTE_RECONNECT in allowed else "makes ready"
    assert cells == [
        "yes" if Transition.REMOTE_DISCONNECT in allowed else "–",
        "yes" if Transition.MANUAL_DISCONNECT in allowed else "–",
        "yes" if Transition.LOCAL_DISCONNECT in allowed else "–",
        on if allowed else "–",
        "yes" if Transition.MANUAL_RECONNECT in allowed else "–",
        "yes" if Transition.LOCAL_RECONNECT in allowed else "–",
    ]
