"""Registers raised to what was published: none below it, and all sums exact again."""

from hypothesis import given
from hypothesis import strategies as st

from meter_node.meter.floor import raised
from meter_node.meter.snapshot import NANO, ROLLOVER_NWH

PHASES = (1, 2, 3)
QUADRANTS = (1, 2, 3, 4)
IMPORT, EXPORT = "import_active_energy", "export_active_energy"


def registers(leaves: dict[str, int], tariffs: list[int]) -> dict[str, int]:
    """All energies of a meter from what its phases counted: nWh and nvarh."""
    values = {}
    for name in (IMPORT, EXPORT, *(f"reactive_energy_q{q}" for q in QUADRANTS)):
        for phase in PHASES:
            values[f"{name}_l{phase}"] = leaves[f"{name}_l{phase}"]
        values[name] = sum(leaves[f"{name}_l{phase}"] for phase in PHASES)
    for name, pair in (("import_reactive_energy", (1, 2)), ("export_reactive_energy", (3, 4))):
        for phase in PHASES:
            values[f"{name}_l{phase}"] = sum(leaves[f"reactive_energy_q{q}_l{phase}"] for q in pair)
        values[name] = sum(values[f"{name}_l{phase}"] for phase in PHASES)
    total = values[IMPORT]
    for tariff, share in enumerate(tariffs, 1):
        values[f"{IMPORT}_t{tariff}"] = total * share // 100
    values[f"{IMPORT}_t1"] += total - sum(values[f"{IMPORT}_t{t}"] for t in (1, 2, 3))
    return values


KEYS = [
    f"{name}_l{phase}"
    for name in (IMPORT, EXPORT, *(f"reactive_energy_q{q}" for q in QUADRANTS))
    for phase in PHASES
]
ENERGIES = st.fixed_dictionaries({key: st.integers(0, 3000 * NANO) for key in KEYS})


@given(ENERGIES, ENERGIES, st.sampled_from([[20, 30, 50], [98, 1, 1]]))
def test_a_copy_raised_to_what_was_published_is_nowhere_below_it_and_adds_up(
    old: dict[str, int], used: dict[str, int], tariffs: list[int]
) -> None:
    kept = registers(old, [50, 25, 25])
    since = registers({key: old[key] + used[key] for key in KEYS}, tariffs)
    floor = {key: value // NANO * NANO for key, value in since.items()}
    now = kept | raised(kept, floor)
    assert all(now[key] >= max(floor[key], kept[key]) for key in floor)
    leaves = {key: now[key] for key in KEYS}
    for key, value in registers(leaves, [0, 0, 0]).items():
        if "_t" not in key:
            assert now[key] == value, key
    assert sum(now[f"{IMPORT}_t{tariff}"] for tariff in (1, 2, 3)) == now[IMPORT]


def test_what_is_above_the_floor_stays_to_the_last_nanowatt_hour() -> None:
    assert raised({IMPORT: 5 * NANO + 1}, {IMPORT: 5 * NANO}) == {}


def test_a_total_that_lacks_more_than_its_phases_gives_the_rest_to_a_phase_that_lacks_too() -> None:
    kept = {IMPORT: 0, f"{IMPORT}_l1": 0, f"{IMPORT}_l2": 0}
    # Truly 0.6 and 1.7 Wh: shown as 0 and 1, together as 2.
    floor = {IMPORT: 2 * NANO, f"{IMPORT}_l1": 0, f"{IMPORT}_l2": NANO}
    assert raised(kept, floor) == {IMPORT: 2 * NANO, f"{IMPORT}_l2": 2 * NANO}


def test_a_register_that_rolled_over_since_the_copy_is_raised_through_zero() -> None:
    assert raised({IMPORT: ROLLOVER_NWH - NANO}, {IMPORT: 2 * NANO}) == {IMPORT: 2 * NANO}
    assert raised({IMPORT: 2 * NANO}, {IMPORT: ROLLOVER_NWH - NANO}) == {}


def test_a_meter_without_its_copy_gets_all_that_was_published() -> None:
    assert raised({}, {IMPORT: 7 * NANO}) == {IMPORT: 7 * NANO}


def test_what_may_fall_by_itself_has_no_floor() -> None:
    floor = {"net_active_energy": 9 * NANO, "import_active_energy_customer": 9 * NANO}
    assert raised({"net_active_energy": 0, "import_active_energy_customer": 0}, floor) == {}
