"""A restored meter's supply and credit: what was cut stays cut, and what was spent stays spent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from zoneinfo import ZoneInfo

import pytest
from credit_steps import at
from supply_steps import step

from meter_node.channel import apdu, lists, objects
from meter_node.channel.kamstrup_v0001 import DEFAULT_SCALER_PROFILE, SCALER_PROFILES
from meter_node.channel.reading import State
from meter_node.cosem import push
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.commands import Commands
from meter_node.meter.credit import CreditSettings
from meter_node.meter.limiter import LimiterSettings
from meter_node.meter.meter import Meter
from meter_node.meter.neutral import NeutralSettings
from meter_node.meter.parameters import Parameters
from meter_node.meter.refused import RefusedError
from meter_node.meter.restored import NOTHING_SHOWN, Shown, shown, taken_over
from meter_node.meter.step import DigitalInputs
from meter_node.meter.supply import BreakerSettings, Cause, ControlState
from meter_node.meter.variant import Variant

# A Monday, when a meter without credit may cut.
NOON_S = at("2026-01-12 12:00")
WH = 10**9
ZONE = ZoneInfo("Europe/Copenhagen")
WITH_BREAKER = Variant("382M", 3, "5(65)", breaker=True)
PARAMETERS = Parameters(
    credit=CreditSettings(enabled=True, low_credit_wh=0, emergency_credit_wh=0),
    limiter=LimiterSettings(normal_w=1000, over_s=1),
    neutral=NeutralSettings(cut=True, delay_s=0),
)
PLENTY_WH = 50_000


@dataclass(frozen=True)
class Kept:
    """A store's image of one meter."""

    time_ns: int
    energies_nwh: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, object]:
        return dict(json.loads(self.states[name]))

    def with_part(self, name: str, **changes: object) -> "Kept":
        text = json.dumps(self.part(name) | changes)
        return Kept(self.time_ns, self.energies_nwh, {**self.states, name: text})


class House:
    """A meter with a breaker, second by second from noon, and what a store would keep of it."""

    def __init__(
        self,
        parameters: Parameters = PARAMETERS,
        kept: Kept | None = None,
        credit_wh: int = PLENTY_WH,
        now_s: int = NOON_S,
    ) -> None:
        bought = {"enabled": parameters.credit.enabled, "credit_nwh": credit_wh * WH}
        self.meter = Meter(
            WITH_BREAKER,
            kept.energies_nwh if kept else None,
            zone=ZONE,
            parameters=parameters,
            states=kept.states if kept else {"credit": json.dumps(bought)},
        )
        self.now_s = now_s
        self.pass_s(1)

    def pass_s(
        self,
        seconds: int,
        power_w: float = 0.0,
        volts: tuple[complex, ...] | None = None,
        *,
        button: bool = False,
    ) -> "House":
        for _ in range(seconds):
            one = step(self.now_s, powers_w=(power_w, 0.0, 0.0), voltages_v=volts)
            self.meter.advance(one.measurement, DigitalInputs(button=button))
            self.now_s += 1
        return self

    @property
    def closed(self) -> bool:
        assert self.meter.supply is not None
        return self.meter.supply.breaker.closed_wanted

    @property
    def causes(self) -> set[Cause]:
        assert self.meter.supply is not None
        return set(self.meter.supply.breaker.causes)

    @property
    def credit_nwh(self) -> int:
        assert self.meter.supply is not None
        return self.meter.supply.credit.credit_nwh

    def kept(self, later_s: int = 0, import_wh: int = 0) -> Kept:
        image = self.meter.image()
        energies = {**image.energies_nwh, "import_active_energy": import_wh * WH}
        return Kept(image.time_ns + later_s * WH, energies, image.states)

    def shown(self) -> Shown:
        """What its push shows, sent and read as a display would."""
        device = LogicalDevice(
            Identity(b"MTN12345", "8675309", "382M", "0.1.0"), WITH_BREAKER, ZONE
        )
        device.commit(self.meter.snapshot())
        sent = apdu.decode_data_notification(push.notification(device, 1))
        return shown(lists.read(sent, SCALER_PROFILES[DEFAULT_SCALER_PROFILE]).states)


def cut(*causes: Cause, parameters: Parameters = PARAMETERS) -> House:
    """A house that these have cut, in the order in which they can still act."""
    house = House(parameters, credit_wh=0 if Cause.CREDIT in causes else PLENTY_WH)
    if Cause.MANUAL in causes:
        house.pass_s(6, button=True).pass_s(1)
    if Cause.LIMITER in causes:
        house.pass_s(1, power_w=2000.0)
    if Cause.NEUTRAL in causes:
        house.pass_s(1, volts=(150 + 0j, 260 + 0j, 260 + 0j))
    if Cause.REMOTE in causes:
        Commands(house.meter).disconnect(who="utility")
    assert house.causes == set(causes)
    return house


def restored(
    back_up: Kept,
    ran: Kept | None = None,
    last: Shown = NOTHING_SHOWN,
    *,
    import_wh: int = 0,
    parameters: Parameters = PARAMETERS,
) -> House:
    """The house as it goes on, an hour later."""
    later_s = NOON_S + 3600
    states = taken_over(back_up, ran, last, import_wh * WH, later_s)
    energies = {**back_up.energies_nwh, "import_active_energy": import_wh * WH}
    kept = Kept(back_up.time_ns, energies, {**back_up.states, **states})
    return House(parameters, kept, now_s=later_s)


ALONE = [(cause,) for cause in Cause]
PAIRS = [pair for pair in combinations(Cause, 2) if Cause.MANUAL not in pair]
# Of a limiter the wait would be over, and a credit may be there again.
STAYS = [(Cause.REMOTE,), (Cause.NEUTRAL,), (Cause.MANUAL,), (Cause.REMOTE, Cause.NEUTRAL)]


# --- two stores ---


@pytest.mark.parametrize("causes", STAYS)
def test_what_ran_here_last_and_was_cut_stays_cut(causes: tuple[Cause, ...]) -> None:
    house = restored(House().kept(), cut(*causes).kept(later_s=60))
    assert not house.pass_s(100).closed
    assert house.causes == set(causes)


@pytest.mark.parametrize("causes", STAYS)
def test_what_was_cut_in_the_back_up_stays_cut(causes: tuple[Cause, ...]) -> None:
    house = restored(cut(*causes).kept(), House().kept(later_s=60))
    assert not house.pass_s(100).closed
    assert house.causes == set(causes)


def test_a_house_without_credit_stays_cut_whatever_the_back_up_had() -> None:
    house = restored(House().kept(), cut(Cause.CREDIT).kept(later_s=60))
    assert not house.pass_s(100).closed
    assert house.causes == {Cause.CREDIT}


def test_a_limiter_goes_on_waiting_as_it_did_here() -> None:
    ran = cut(Cause.LIMITER).kept(later_s=60)
    ran = ran.with_part("limiter", due_s=NOON_S + 3600 + 50)
    house = restored(House().kept(), ran)
    assert not house.pass_s(40).closed
    assert house.pass_s(20).closed


def test_a_limiter_that_waits_for_the_utility_in_either_does_so() -> None:
    waits = cut(Cause.LIMITER).kept().with_part("limiter", due_s=None, final=True)
    trips = cut(Cause.LIMITER).kept(later_s=60)
    house = restored(waits, trips).pass_s(200)
    assert (house.closed, house.causes) == (False, {Cause.LIMITER})


@pytest.mark.parametrize(("one", "other"), list(product(ALONE, ALONE)))
def test_causes_of_both_stores_are_united(one: tuple[Cause], other: tuple[Cause]) -> None:
    states = taken_over(cut(*one).kept(), cut(*other).kept(later_s=60), NOTHING_SHOWN, 0, 0)
    breaker = json.loads(states["breaker"])
    assert not breaker["closed"]
    assert set(breaker["causes"]) == {*one, *other}


def test_a_breaker_that_waited_for_the_button_is_not_closed_by_a_cause_that_goes() -> None:
    # The utility has reconnected, the button is still waited for; the back-up had no credit.
    ready = cut(Cause.REMOTE)
    Commands(ready.meter).reconnect(who="utility")
    house = restored(cut(Cause.CREDIT).kept(), ready.kept(later_s=60)).pass_s(10)
    assert (house.closed, house.causes) == (False, set())
    assert house.pass_s(1, button=True).closed


def test_both_closed_is_closed() -> None:
    assert restored(House().kept(), House().kept(later_s=60)).closed


def test_a_lost_neutral_stays_until_it_is_cleared() -> None:
    house = restored(House().kept(), cut(Cause.NEUTRAL).kept(later_s=60))
    assert house.meter.neutral.fault
    with pytest.raises(RefusedError, match="neutral"):
        Commands(house.meter).reconnect(who="utility")
    Commands(house.meter).clear_neutral("utility")
    assert not house.meter.neutral.fault
    assert house.pass_s(1, button=True).closed


def test_prepayment_that_was_switched_on_since_is_on() -> None:
    without = PARAMETERS.model_copy(update={"credit": CreditSettings()})
    before, now = House(without), House(without, credit_wh=0)
    Commands(now.meter).change_parameters({"credit": {"enabled": True}}, "utility")
    now.pass_s(1)
    assert now.causes == {Cause.CREDIT}
    house = restored(before.kept(), now.kept(later_s=60), parameters=without).pass_s(10)
    assert (house.closed, house.causes) == (False, {Cause.CREDIT})


def test_in_control_mode_0_the_supply_stays_on() -> None:
    always = Parameters(breaker=BreakerSettings(control_mode=0))
    manual = cut(Cause.MANUAL, parameters=Parameters()).kept()
    assert restored(manual, House(always).kept(later_s=60), parameters=Parameters()).closed
    assert restored(House(always).kept(), parameters=always).closed


# --- credit ---


def test_credit_goes_on_from_what_ran_here_last() -> None:
    ran = House(credit_wh=300).kept(later_s=60, import_wh=700)
    ran = ran.with_part("credit", debt_nwh=5 * WH, tries_s=[NOON_S], sequence=4)
    back_up = House(credit_wh=1000).kept(import_wh=0)
    states = taken_over(back_up, ran, NOTHING_SHOWN, 700 * WH, NOON_S)
    assert json.loads(states["credit"]) == ran.part("credit")


def test_no_token_is_taken_again_whichever_store_saw_it() -> None:
    back_up = House().kept().with_part("credit", sequence=9)
    ran = House().kept(later_s=60).with_part("credit", sequence=4)
    states = taken_over(back_up, ran, NOTHING_SHOWN, 0, NOON_S)
    assert json.loads(states["credit"])["sequence"] == 9


def test_of_two_stores_the_newer_one_has_the_credit() -> None:
    back_up = House(credit_wh=100).kept(later_s=60, import_wh=900)
    ran = House(credit_wh=1000).kept(import_wh=0)
    assert restored(back_up, ran, import_wh=900).credit_nwh == 100 * WH


def test_credit_is_less_by_what_the_register_was_raised() -> None:
    back_up = House(credit_wh=1000).kept(import_wh=2000)
    assert restored(back_up, import_wh=2600).credit_nwh == (1000 - 600) * WH


def test_credit_is_no_more_than_what_was_shown_last() -> None:
    back_up = House(credit_wh=1000).kept(import_wh=2000)
    last = House(credit_wh=350).shown()
    assert restored(back_up, last=last, import_wh=2600).credit_nwh == 350 * WH


def test_credit_that_came_since_is_not_guessed() -> None:
    # 1000 Wh, less 600, and a token: it can be entered again once the utility allows it.
    back_up = House(credit_wh=1000).kept(import_wh=2000)
    last = House(credit_wh=9000).shown()
    assert restored(back_up, last=last, import_wh=2600).credit_nwh == 400 * WH


def test_prepayment_that_a_push_shows_is_on() -> None:
    without = PARAMETERS.model_copy(update={"credit": CreditSettings()})
    house = restored(
        House(without).kept(), last=cut(Cause.CREDIT).shown(), parameters=without
    ).pass_s(10)
    assert (house.closed, house.causes) == (False, {Cause.CREDIT})


def test_a_meter_without_prepayment_owes_nothing() -> None:
    without = PARAMETERS.model_copy(update={"credit": CreditSettings()})
    back_up = House(without, credit_wh=0).kept()
    assert restored(back_up, import_wh=600, parameters=without).credit_nwh == 0


# --- a push, or nothing ---


@pytest.mark.parametrize("causes", [*ALONE, *PAIRS])
def test_what_a_push_shows_as_cut_stays_cut(causes: tuple[Cause, ...]) -> None:
    house = restored(House().kept(), last=cut(*causes).shown())
    assert house.causes == set(causes)
    assert not house.pass_s(100).closed


def test_what_a_push_shows_as_on_is_on() -> None:
    assert restored(House().kept(), last=House().shown()).pass_s(10).closed


def test_a_push_that_shows_it_on_does_not_close_what_the_back_up_had_open() -> None:
    house = restored(cut(Cause.REMOTE).kept(), last=House().shown()).pass_s(10)
    assert (house.closed, house.causes) == (False, {Cause.REMOTE})


def test_a_limiter_that_a_push_shows_lets_the_button_close_after_its_wait() -> None:
    house = restored(House().kept(), last=cut(Cause.LIMITER).shown())
    assert not house.pass_s(50, button=False).pass_s(1, button=True).closed
    assert not house.pass_s(100).closed
    assert house.pass_s(1, button=True).closed


def test_a_lost_neutral_that_a_push_shows_can_be_cleared() -> None:
    house = restored(House().kept(), last=cut(Cause.NEUTRAL).shown())
    assert house.meter.neutral.fault
    Commands(house.meter).clear_neutral("utility")
    assert not house.meter.neutral.fault
    assert house.pass_s(1, button=True).closed


def test_a_cause_that_only_a_newer_version_knows_is_the_utilitys() -> None:
    breaker, causes = objects.BREAKER, objects.BREAKER_CAUSES
    states = [
        State(breaker.class_id, breaker.logical_name, 3, 0),
        State(causes.class_id, causes.logical_name, 2, "flood"),
    ]
    assert shown(states) == Shown(ControlState.DISCONNECTED, None, frozenset({Cause.REMOTE}))


def test_where_nothing_is_known_the_button_is_waited_for() -> None:
    house = restored(House().kept()).pass_s(100)
    assert (house.closed, house.causes) == (False, set())
    assert house.pass_s(1, button=True).closed


def test_where_nothing_is_known_the_back_ups_causes_stay() -> None:
    house = restored(cut(Cause.REMOTE).kept()).pass_s(1, button=True)
    assert (house.closed, house.causes) == (False, {Cause.REMOTE})


def test_a_meter_without_a_breaker_gets_none() -> None:
    assert taken_over(Kept(0), None, NOTHING_SHOWN, 0, NOON_S) == {}
