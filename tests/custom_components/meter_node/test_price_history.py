"""What is over is priced by the prices that were in force then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from custom_components.meter_node import price_history
from custom_components.meter_node.channel.activity_calendar import single_tariff
from custom_components.meter_node.price_history import ERAS_KEPT, SPANS_KEPT, Eras, PricesOfThen
from custom_components.meter_node.pricing import Prices, Pricing

NOW = Pricing("DKK", UTC, single_tariff(), Prices({1: Decimal(3)}), Prices())


def eras(*prices: tuple[int, float]) -> Eras:
    """Of (second, import price)."""
    noted: Eras = []
    for since_s, price in prices:
        noted = price_history.noted(noted, {"import_prices": {"1": price}}, "DKK", since_s)
    return noted


def price(noted: Eras, at_s: int) -> Decimal | None:
    then = PricesOfThen(noted, NOW, single_tariff(), [], {})
    return then.import_price(datetime.fromtimestamp(at_s, UTC))


@pytest.mark.parametrize(
    ("at_s", "wanted"), [(0, 1), (100, 1), (199, 1), (200, 2), (299, 2), (300, 3), (999, 3)]
)
def test_each_moment_has_its_own_price_and_what_was_before_the_first_has_that(
    at_s: int, wanted: int
) -> None:
    assert price(eras((100, 1.0), (200, 2.0), (300, 3.0)), at_s) == wanted


def test_other_options_are_no_other_prices() -> None:
    noted = eras((100, 3.0))
    options = {"import_prices": {"1": 3.0}, "capacity_preset": "norway_elvia", "main_fuse": 25}
    assert price_history.noted(noted, options, "DKK", 200) == noted


def test_prices_of_another_currency_serve_nobody() -> None:
    noted = price_history.noted(eras((100, 1.0)), {"import_prices": {"1": 3.0}}, "EUR", 200)
    assert price(noted, 0) == 3


def test_prices_that_were_emptied_for_a_time_price_nothing_in_it() -> None:
    """Even where the preset that was emptied with them had another currency than the home."""
    noted = price_history.noted(eras((100, 1.0)), {}, None, 200)
    noted = price_history.noted(noted, {"import_prices": {"1": 3.0}}, "DKK", 300)
    assert [price(noted, at_s) for at_s in (0, 199, 200, 299, 300)] == [1, 1, None, None, 3]


def test_the_first_prices_serve_for_the_time_before_any_was_given() -> None:
    noted = price_history.noted([], {"tariff_preset": "norway_elvia"}, None, 100)
    noted = price_history.noted(noted, {"import_prices": {"1": 3.0}}, "DKK", 200)
    assert price(noted, 0) == 3


def test_what_a_price_now_sensor_said_before_another_choice_is_not_known() -> None:
    noted = price_history.noted([], {"import_spot": "sensor.spot"}, "DKK", 100)
    noted = price_history.noted(noted, {"import_prices": {"1": 3.0}}, "DKK", 200)
    assert price(noted, 199) is None
    assert price(noted, 200) == 3


BOTH_NOW = replace(NOW, exported=Prices({1: Decimal(6)}))


def both(then: PricesOfThen, at_s: int) -> tuple[Decimal | None, Decimal | None]:
    moment = datetime.fromtimestamp(at_s, UTC)
    return then.import_price(moment), then.export_price(moment)


def test_the_first_prices_of_a_direction_serve_its_past_though_the_other_had_some() -> None:
    """Import from 100, export too from 200: its time before is that of a new total."""
    noted = eras((100, 1.0))
    options = {"import_prices": {"1": 3.0}, "export_prices": {"1": 6.0}}
    noted = price_history.noted(noted, options, "DKK", 200)
    then = PricesOfThen(noted, BOTH_NOW, single_tariff(), [], {})
    assert [both(then, at_s) for at_s in (199, 200)] == [(1, 6), (3, 6)]


def test_an_amount_that_was_deleted_is_priced_by_what_was_in_force_then_the_other_is_not() -> None:
    """Deleted at 250: up to there the prices from 200 on serve, and from 300 on those of now."""
    noted: Eras = []
    for since_s, imported, exported in ((100, 1.0, 4.0), (200, 2.0, 5.0), (300, 3.0, 6.0)):
        options = {"import_prices": {"1": imported}, "export_prices": {"1": exported}}
        noted = price_history.noted(noted, options, "DKK", since_s)
    then = PricesOfThen(noted, BOTH_NOW, single_tariff(), [], {"export_compensation": 250})
    assert [both(then, at_s) for at_s in (150, 250, 300)] == [(1, 5), (2, 5), (3, 6)]


def test_the_prices_that_are_kept_are_bounded() -> None:
    assert len(eras(*((n, float(n)) for n in range(100)))) == ERAS_KEPT


def heard(*moments: tuple[int, bool], patience_s: int = 30) -> list[list[int]]:
    """The spans that are noted of frames: their seconds, and whether they say an override."""
    spans: list[list[int]] = []
    stretch: list[int] = []
    for at_s, is_overridden in moments:
        spans, stretch = price_history.heard(
            spans, stretch, at_s, patience_s, is_overridden=is_overridden
        )
    return spans


def stretch(begin_s: int, end_s: int, *, overridden: bool = True) -> list[tuple[int, bool]]:
    return [(at_s, overridden) for at_s in range(begin_s, end_s, 20)]


def test_an_hour_with_an_override_has_no_price_of_the_calendar() -> None:
    """Heard from 00:59:40, overridden from 01:59:40 to 03:00:00."""
    spans = heard(*stretch(3580, 7180, overridden=False), *stretch(7180, 10_820))
    assert spans == [[1, 3]]
    then = PricesOfThen(eras((0, 3.0)), NOW, single_tariff(), spans, {})
    found = [
        then.import_price(datetime.fromtimestamp(at_s, UTC))
        for at_s in (3599, 3600, 14_399, 14_400)
    ]
    assert found == [3, None, None, 3]


def test_an_hour_that_was_not_heard_from_its_beginning_leaves_an_override_to_the_calendar() -> None:
    """From 01:00:10 to 03:10."""
    assert heard(*stretch(3610, 11_400)) == [[2, 3]]


def test_an_hour_in_which_an_absence_begins_or_ends_leaves_an_override_to_the_calendar() -> None:
    """From 01:00 to 03:30, and from 06:30 to 07:10."""
    assert heard(*stretch(3600, 12_600), *stretch(23_400, 25_800)) == [[1, 2], [7, 7]]


def test_a_silence_within_an_hour_or_shorter_than_a_row_leaves_an_override_as_it_was() -> None:
    """From 01:00 to 01:10, from 01:50 to 01:58, from 02:03 to 02:10."""
    frames = [*stretch(3600, 4200), *stretch(6600, 7080), *stretch(7360, 7800)]
    assert heard(*frames) == [[1, 2]]


def test_the_hours_with_an_override_that_are_kept_are_bounded() -> None:
    """Each other hour."""
    frames = [(hour * 3600, hour % 2 == 0) for hour in range(4 * SPANS_KEPT)]
    assert len(heard(*frames, patience_s=3600)) == SPANS_KEPT
