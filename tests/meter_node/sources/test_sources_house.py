"""The simulated house: plausible, and the same whenever it is asked."""

import random

import pytest

from meter_node.sources.house import YEAR_S, House, HouseConfig
from meter_node.sources.sun import clear_sky_plane_kw_per_m2

NANO = 10**9
NEW_YEAR_S = 1_767_225_600  # 2026-01-01 00:00 UTC
MIDSUMMER_S = 1_781_992_800  # 2026-06-20 22:00 UTC, midnight in Aarhus
DAY_S = 86_400


def total_w(house: House, time_s: float) -> float:
    return sum(load.active_power_w for load in house.loads(round(time_s * NANO)))


@pytest.mark.parametrize(
    ("config", "annual_kwh"),
    [
        (HouseConfig(), 4000),
        (HouseConfig(phases=1, seed=7), 4000),
        (HouseConfig(phases=2, annual_consumption_kwh=1500, seed=3), 1500),
    ],
)
def test_a_year_of_a_house_adds_up_to_its_consumption(
    config: HouseConfig, annual_kwh: float
) -> None:
    house, step_s = House(config), 1013
    times_s = range(NEW_YEAR_S, NEW_YEAR_S + int(YEAR_S), step_s)
    mean_w = sum(total_w(house, time_s) for time_s in times_s) / len(times_s)
    assert mean_w * YEAR_S / 3.6e6 == pytest.approx(annual_kwh, rel=0.025)


def test_the_evening_draws_more_than_the_night() -> None:
    house = House(HouseConfig())

    def mean_w(hour: float) -> float:
        start_s = NEW_YEAR_S + hour * 3600
        return sum(total_w(house, start_s + day * DAY_S) for day in range(300)) / 300

    assert mean_w(17.5) > 1.7 * mean_w(2.5)


def test_any_instant_can_be_asked_in_any_order() -> None:
    config = HouseConfig(solar_peak_w=6000, car=True)
    instants = [(MIDSUMMER_S + 397 * index) * NANO for index in range(300)]
    house = House(config)
    in_order = [house.loads(at_ns) for at_ns in instants]
    shuffled = random.Random(4).sample(range(300), 300)
    another = House(config)
    for index in shuffled:
        assert another.loads(instants[index]) == in_order[index]


def test_another_seed_is_another_house() -> None:
    at_ns = MIDSUMMER_S * NANO
    assert House(HouseConfig(seed=1)).loads(at_ns) != House(HouseConfig(seed=2)).loads(at_ns)


def test_values_change_every_few_seconds() -> None:
    house = House(HouseConfig())
    powers_w = {round(total_w(house, MIDSUMMER_S + second), 1) for second in range(60)}
    assert len(powers_w) >= 15


def test_the_sun_gives_nothing_at_night_and_much_at_noon() -> None:
    dark = House(HouseConfig(seed=2))
    panels = House(HouseConfig(seed=2, solar_peak_w=6000))
    # Voltage rises with what is fed in, loads do not: the difference in power is the sun's.
    for day in range(20):
        midnight_s = MIDSUMMER_S + day * DAY_S
        assert total_w(panels, midnight_s) == pytest.approx(total_w(dark, midnight_s))
        noon_s = midnight_s + DAY_S / 2
        solar_w = total_w(dark, noon_s) - total_w(panels, noon_s)
        assert 500 < solar_w < 6000


def test_six_kilowatts_of_panels_in_a_clear_june_stay_below_the_known_upper_bound() -> None:
    # facts/metrology.md: 1 326 kWh near Aarhus.
    june_s = 1_780_272_000
    kwh = sum(
        6 * 0.85 * clear_sky_plane_kw_per_m2(june_s + 600 * step, 56.16, 10.20, 35.0) / 6
        for step in range(30 * 144)
    )
    assert 1150 < kwh < 1326


def test_the_sun_is_highest_at_solar_noon_in_the_south_too() -> None:
    sydney = [
        clear_sky_plane_kw_per_m2(NEW_YEAR_S + 3600 * hour, -33.9, 151.2, 35.0)
        for hour in range(24)
    ]
    assert sydney.index(max(sydney)) == 2  # 02:00 UTC is 12:05 by Sydney's sun
    assert sydney[14] == 0


def test_a_car_charges_eleven_kilowatts_on_three_phases() -> None:
    plain, with_car = House(HouseConfig()), House(HouseConfig(car=True))
    extra_w = {
        round(total_w(with_car, time_s) - total_w(plain, time_s))
        for time_s in range(NEW_YEAR_S, NEW_YEAR_S + 5 * DAY_S, 600)
    }
    assert extra_w == {0, 11_040}


def test_voltage_and_frequency_stay_where_a_grid_keeps_them() -> None:
    house = House(HouseConfig(nominal_frequency_hz=60.0))
    for step in range(3000):
        for load in house.loads((NEW_YEAR_S + 611 * step) * NANO):
            assert 215 < load.voltage_v < 238
            assert abs(load.frequency_hz - 60) <= 0.02


def test_a_load_pulls_its_voltage_down() -> None:
    plain, with_car = House(HouseConfig()), House(HouseConfig(car=True))
    for time_s in range(NEW_YEAR_S, NEW_YEAR_S + 5 * DAY_S, 600):
        for before, after in zip(
            plain.loads(time_s * NANO), with_car.loads(time_s * NANO), strict=True
        ):
            extra_w = after.active_power_w - before.active_power_w
            assert before.voltage_v - after.voltage_v == pytest.approx(0.19 * extra_w / 230)


def test_the_current_phasor_lags_for_inductive_loads() -> None:
    load = House(HouseConfig()).loads(NEW_YEAR_S * NANO)[0]
    power = load.voltage_v * load.current_a.conjugate()
    assert power == pytest.approx(complex(load.active_power_w, load.reactive_power_var))


@pytest.mark.parametrize(
    "changes",
    [
        {"phases": 4},
        {"nominal_frequency_hz": 55.0},
        {"annual_consumption_kwh": 100.0},
        {"solar_peak_w": -1.0},
    ],
)
def test_an_impossible_house_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each names its own field
        HouseConfig(**changes)  # type: ignore[arg-type]
