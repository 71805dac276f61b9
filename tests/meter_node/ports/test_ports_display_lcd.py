"""The display's button: three lengths of push, time-outs, and moving on by itself."""

import pytest

from meter_node.ports.display.lcd import Lcd, Level, Push

AUTOMATIC = ("energy", "power", "time")
MANUAL = ("voltage", "current")
T0 = 1000.0


@pytest.fixture
def lcd() -> Lcd:
    made = Lcd(T0)
    made.offer(AUTOMATIC, MANUAL, profile=True)
    return made


def push(lcd: Lcd, at_s: float, length_s: float) -> Push | None:
    lcd.press(at_s)
    return lcd.release(at_s + length_s)


def where(lcd: Lcd, at_s: float) -> tuple[Level, str | None, int]:
    lcd.advance(at_s)
    shown = lcd.shown(at_s)
    return shown.level, shown.key, shown.back


@pytest.mark.parametrize(
    ("length_s", "is_"),
    [
        (0.05, Push.SHORT),
        (1.99, Push.SHORT),
        (2.0, Push.MEDIUM),
        (5.99, Push.MEDIUM),
        (6.0, Push.LONG),
        (60.0, Push.LONG),
    ],
)
def test_a_push_is_as_long_as_the_button_was_down(lcd: Lcd, length_s: float, is_: Push) -> None:
    assert push(lcd, T0, length_s) is is_


def test_a_short_push_shows_the_next_view_and_after_the_last_the_first(lcd: Lcd) -> None:
    keys = []
    for number in range(4):
        push(lcd, T0 + number, 0.2)
        keys.append(where(lcd, T0 + number + 0.5)[1])
    assert keys == ["power", "time", "energy", "power"]


def test_medium_pushes_go_through_the_levels(lcd: Lcd) -> None:
    levels = []
    for number in range(3):
        push(lcd, T0 + 10 * number, 2.0)
        levels.append(where(lcd, T0 + 10 * number + 3)[:2])
    assert levels == [
        (Level.MANUAL, "voltage"),
        (Level.PROFILE, None),
        (Level.AUTOMATIC, "energy"),
    ]


def test_in_the_profile_a_short_push_shows_the_next_older_entry(lcd: Lcd) -> None:
    push(lcd, T0, 2)
    push(lcd, T0 + 3, 2)
    assert where(lcd, T0 + 5) == (Level.PROFILE, None, 0)
    push(lcd, T0 + 6, 0.1)
    push(lcd, T0 + 7, 0.1)
    assert where(lcd, T0 + 8) == (Level.PROFILE, None, 2)
    lcd.no_such_entry(T0 + 8)
    assert where(lcd, T0 + 8) == (Level.PROFILE, None, 0), "behind the oldest the newest comes"


def test_a_meter_without_profile_has_no_such_level() -> None:
    lcd = Lcd(T0)
    lcd.offer(AUTOMATIC, MANUAL, profile=False)
    push(lcd, T0, 2)
    push(lcd, T0 + 3, 2)
    assert where(lcd, T0 + 6)[0] is Level.AUTOMATIC


def test_a_long_push_changes_no_view(lcd: Lcd) -> None:
    push(lcd, T0, 0.1)
    push(lcd, T0 + 1, 6.0)
    assert where(lcd, T0 + 8) == (Level.AUTOMATIC, "power", 0)


@pytest.mark.parametrize(
    ("held_s", "is_"),
    [(0.0, Push.SHORT), (1.99, Push.SHORT), (2.0, Push.MEDIUM), (5.99, Push.MEDIUM), (6.0, "long")],
)
def test_while_it_is_held_the_display_knows_how_long(lcd: Lcd, held_s: float, is_: str) -> None:
    lcd.press(T0)
    assert lcd.shown(T0 + held_s).held == is_


def test_the_breakers_hold_is_the_meters_setting() -> None:
    lcd = Lcd(T0, hold_s=10.0)
    lcd.offer(AUTOMATIC, MANUAL, profile=True)
    assert push(lcd, T0, 9.99) is Push.MEDIUM
    assert push(lcd, T0 + 20, 10.0) is Push.LONG


def test_two_minutes_without_a_push_lead_back_to_the_first_view(lcd: Lcd) -> None:
    push(lcd, T0, 2.0)  # released at T0 + 2
    push(lcd, T0 + 4, 0.5)  # released at T0 + 4.5
    assert where(lcd, T0 + 4.5 + 119.9) == (Level.MANUAL, "current", 0)
    assert where(lcd, T0 + 4.5 + 120) == (Level.AUTOMATIC, "energy", 0)


def test_a_button_that_is_held_is_no_rest(lcd: Lcd) -> None:
    push(lcd, T0, 2.0)
    lcd.press(T0 + 100)
    assert where(lcd, T0 + 500)[0] is Level.MANUAL


@pytest.mark.parametrize(
    ("after_s", "key"),
    [(9.9, "energy"), (10.0, "power"), (19.9, "power"), (20.0, "time"), (30.0, "energy")],
)
def test_the_automatic_list_moves_on_every_ten_seconds(lcd: Lcd, after_s: float, key: str) -> None:
    assert where(lcd, T0 + after_s)[1] == key


def test_after_a_push_it_stands_still_for_two_minutes_and_then_moves_on_again(lcd: Lcd) -> None:
    push(lcd, T0, 0.5)
    assert where(lcd, T0 + 60)[1] == "power"
    assert where(lcd, T0 + 0.5 + 120)[1] == "energy"
    assert where(lcd, T0 + 0.5 + 129.9)[1] == "energy"
    assert where(lcd, T0 + 0.5 + 130)[1] == "power"


def test_nobody_looked_for_an_hour_and_it_is_where_it_would_be(lcd: Lcd) -> None:
    # 3600 s are 360 views on, and 360 is a multiple of the list's three
    assert where(lcd, T0 + 3600)[1] == "energy"
    assert where(lcd, T0 + 3610)[1] == "power"


def test_whoever_held_the_button_and_vanished_meant_nothing(lcd: Lcd) -> None:
    lcd.press(T0)
    lcd.abandon(T0 + 3)
    assert where(lcd, T0 + 4) == (Level.AUTOMATIC, "energy", 0)
    assert lcd.release(T0 + 5) is None


def test_a_second_press_without_release_is_the_same_push(lcd: Lcd) -> None:
    lcd.press(T0)
    lcd.press(T0 + 1.5)
    assert lcd.release(T0 + 2) is Push.MEDIUM


def test_a_view_that_is_gone_gives_way_to_the_first(lcd: Lcd) -> None:
    push(lcd, T0, 0.1)
    lcd.offer(("energy", "time"), MANUAL, profile=True)
    assert where(lcd, T0 + 1)[1] == "energy"


def test_a_display_without_views_shows_none() -> None:
    lcd = Lcd(T0)
    lcd.offer((), (), profile=False)
    push(lcd, T0, 0.1)
    push(lcd, T0 + 1, 2.5)
    assert where(lcd, T0 + 100) == (Level.AUTOMATIC, None, 0)
