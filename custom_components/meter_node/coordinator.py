"""One meter: what it says, whether it is there, and what becomes of frames that are refused.

Owns the subscriptions and the watchdog; entities only read. Must not know MQTT or ciphers, nor
how long a silence is borne.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, Context, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util

from . import falls, log_entries, meter_time, pace, patience, price_history, scale
from .asking import Asker
from .capacity import Capacity
from .capacity_window import ClosedWindow
from .channel import frames, kamstrup_v0001
from .channel.activity_calendar import ActivityCalendar
from .channel.cosem_time import ClockStatus, CosemDateTime
from .channel.hello import Hello
from .channel.kamstrup_v0001 import DEFAULT_SCALER_PROFILE, SCALER_PROFILES
from .channel.objects import CosemObject
from .channel.pairing import Pairing
from .channel.reading import Reading, State
from .channel.security import Keys, ReceiverState, Refusal
from .choices import Choices
from .clock_deviation import ClockDeviation
from .const import (
    CONF_AUTHENTICATION_KEY,
    CONF_CONTROL_AUTHENTICATION_KEY,
    CONF_CONTROL_ENCRYPTION_KEY,
    CONF_ENCRYPTION_KEY,
    CONF_PAIRING_NAME,
    CONF_RAW_TOPIC,
    CONF_SCALER_PROFILE,
    CONF_SYSTEM_TITLE,
    DOMAIN,
    MISSED_PUSHES,
    PAIRING_REVOKED,
)
from .data import MeterData, States
from .kept_frames import KeptFrames
from .link_quality import LinkQuality
from .links import Links
from .log_entries import LogEntry, NewEntry
from .patience import Arrival
from .plain_order import Sent
from .price_history import PricesOfThen
from .pricing import Pricing
from .reader import KEY_REASONS, MeterReader, NotTakenError
from .scale import Rescaling
from .store import MeterRecord, MeterStore, fingerprint
from .tariff import COUNTERS, Tariffs
from .totals import Totals

if TYPE_CHECKING:
    from .history.importer import HistoryImporter

_LOGGER = logging.getLogger(__name__)

type MeterNodeConfigEntry = ConfigEntry[MeterNodeCoordinator]

WARN_EVERY = timedelta(hours=1)
"""Each kind of refusal: whoever sends refused frames must not fill the log."""

NEWS_KEPT = 32
"""For entities that are still being added: as many as one push carries at most."""

LATEST_PUSH = timedelta(minutes=1)
"""So late may a push come that is older than an answer: a clock that was set back is no reason."""

IMPORT = "import_active_energy"

SLOW: Final = object()
"""The context of who listens to what is shown anew once a minute."""

_OWN_MAKER = "Meter Node"
_MAKER_OF_LIST = {kamstrup_v0001.LIST_NAME: "Kamstrup"}
"""Where no system title tells the maker: a plain meter has none."""


def keys_of(entry: ConfigEntry) -> Keys | None:
    """Return the keys of an entry, None for a plain meter's."""
    if CONF_ENCRYPTION_KEY not in entry.data:
        return None
    return Keys(
        bytes.fromhex(entry.data[CONF_ENCRYPTION_KEY]),
        bytes.fromhex(entry.data[CONF_AUTHENTICATION_KEY]),
    )


def control_keys_of(entry: ConfigEntry) -> Keys | None:
    """Return the keys by which a meter is asked, None where it can only be listened to."""
    if CONF_CONTROL_ENCRYPTION_KEY not in entry.data:
        return None
    return Keys(
        bytes.fromhex(entry.data[CONF_CONTROL_ENCRYPTION_KEY]),
        bytes.fromhex(entry.data[CONF_CONTROL_AUTHENTICATION_KEY]),
    )


def pairing_of(entry: ConfigEntry) -> Pairing | None:
    """Return what an entry was paired with, None for a plain meter's."""
    if (keys := keys_of(entry)) is None:
        return None
    title, name = bytes.fromhex(entry.data[CONF_SYSTEM_TITLE]), entry.data.get(CONF_PAIRING_NAME)
    return Pairing(title, keys, control_keys_of(entry), name or "")


class MeterNodeCoordinator(DataUpdateCoordinator[MeterData]):
    """Takes one meter's pushes; ``data`` holds what they say."""

    config_entry: MeterNodeConfigEntry

    def __init__(self, hass: HomeAssistant, entry: MeterNodeConfigEntry, store: MeterStore) -> None:
        """Go on from where the store says that this meter was left, if its keys are the same."""
        super().__init__(hass, _LOGGER, config_entry=entry, name=entry.title)
        self.title: str = entry.data[CONF_SYSTEM_TITLE]
        self.hello: Hello | None = None
        self.reading: Reading | None = None
        self.last_good: datetime | None = None
        self.last_heard: datetime | None = None
        """When anything came on the meter's topic, good or not, that the broker had not kept."""
        self.node_online: bool | None = None
        """What the meter's node said last; None while it said nothing."""
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.clock = ClockDeviation()
        """Of the live frames, whether their times are sure or guessed (``meter_time``)."""
        self.slow_is_due = True
        """Whether slow quantities are shown anew with what was pushed last (``pace``)."""
        self._slow: list[CALLBACK_TYPE] = []
        self._slow_available = True
        self.is_remade = True
        """Whether there may be something now that was not there before."""
        self.context = Context()
        """What is measured changes by one push, or one turn of the clock."""
        self.asker: Asker | None = None  # without control keys it can't be asked
        self.history: HistoryImporter | None = None

        profile = SCALER_PROFILES[entry.options.get(CONF_SCALER_PROFILE, DEFAULT_SCALER_PROFILE)]
        keys = keys_of(entry)
        self._store = store
        self._record = _record_for(store, self.title, fingerprint(keys), profile.key)
        state = ReceiverState(self._record.highest, self._record.digest)
        last_plain = Sent.from_json(self._record.plain)
        self._reader = MeterReader(self.title, keys, profile, state, last_plain)

        choices = Choices.of(entry.options)
        self.tariffs = Tariffs(hass, entry, choices, self._record, self._turn)
        self._choices = choices
        self._currency = choices.currency(hass.config.currency)
        self._note_prices()
        self.capacity: Capacity | None = None  # no rule was chosen
        if choices.capacity_preset is not None:
            zone = dt_util.get_default_time_zone()
            self.capacity = Capacity(
                choices.capacity_preset, zone, choices.limit_w, self._record.capacity
            )
        # A plain frame proves nothing: as many have to agree as a silence is borne for.
        self.totals = Totals(self.name, self._record, store, MISSED_PUSHES if keys is None else 1)
        # Totals that come once an hour: as last shown, for as long as the meter is there.
        self.data = MeterData(values={**self._record.totals}, main_fuse_a=choices.main_fuse_a)

        self._started = dt_util.utcnow()
        self._listening = False  # a frame came that shows how things are
        self._slow_shown: datetime | None = None  # when slow quantities were shown, as pushed
        self._told = 0  # log entries, since the start
        self._fresh = False  # a sign of life came within the last three intervals
        self._silent_since = dt_util.utcnow()  # the last sign of life, or what was borne since
        self._last_live: Arrival | None = None
        self._link = LinkQuality()
        self._offline = False  # the node said so, and no live frame came since
        self._told_available = True
        self._keys_refused = False  # since the last sign of life
        self._warned: dict[str, datetime] = {}  # when, by kind of refusal
        self._texts: dict[str, str] = {}
        self._pushed_states: tuple[Sequence[State], States] = (), States()  # of the last push
        self._read: dict[tuple[CosemObject, int], object] = {}  # since the last push
        self._read_at: Arrival | None = None
        self._device: dr.DeviceInfo = {}
        self.links = Links(hass, self.title, self, entry.data.get(CONF_RAW_TOPIC))
        self._close_asker: CALLBACK_TYPE | None = None
        self._cancel_watchdog: CALLBACK_TYPE | None = None
        self._looks_at = self._silent_since  # when the watchdog looks next, while it runs

    @property
    def available(self) -> bool:
        """Whether the meter is there: three pushes were not missed, its node is not offline."""
        return self._fresh and not self._offline

    @property
    def list_name(self) -> str | None:
        """As its frames say, and its hello while none came: that anybody may have written."""
        if self.reading is not None:
            return self.reading.list_name
        return None if self.hello is None else self.hello.protocol

    @property
    def software(self) -> str | None:
        """As its frames say; its hello's word counts for nothing beside them."""
        if self.reading is not None:
            return self._texts.get("software")
        return None if self.hello is None else self.hello.software

    @property
    def push_interval_s(self) -> int:
        """As the last hello announced it."""
        return self._record.push_interval_s

    @property
    def observed_interval_s(self) -> int | None:
        """As the last good frames kept it; None while there were too few."""
        return patience.observed_s(self._record.gaps_s)

    @property
    def kept_frames(self) -> KeptFrames | None:
        """What its bridge can be asked for of the past; None where none says that it keeps any."""
        if self.hello is None or self.hello.keeps is None:
            return None
        return KeptFrames(self.hass, self.title, self._reader, dt_util.get_default_time_zone())

    @property
    def last_live(self) -> Arrival | None:
        """The last good frame that the broker had not kept."""
        return self._last_live

    @property
    def started(self) -> datetime:
        """Since when the meter is listened to."""
        return self._started

    @property
    def calendar(self) -> ActivityCalendar | None:
        """The meter's own or a preset's, None where neither is known."""
        return self.tariffs.calendar

    @property
    def pricing(self) -> Pricing | None:
        """None where no price was given."""
        return self.tariffs.pricing

    @property
    def prices_of_then(self) -> PricesOfThen | None:
        """The prices of what is over; None where no price was given."""
        if (now := self.pricing) is None:
            return None
        own = price_history.own_calendar(self._choices, now, self._record.calendar)
        record = self._record
        return PricesOfThen(record.prices, now, own, record.overridden, record.priced_since_s)

    @callback
    def async_forget_prices(self, key: str) -> None:
        """Let the prices of now serve for all that is over of an amount."""
        self._record.priced_since_s[key] = int(dt_util.utcnow().timestamp())
        self._store.async_changed()

    def _note_prices(self) -> None:
        currency = None if self.pricing is None else self._currency
        now_s = int(dt_util.utcnow().timestamp())
        prices = price_history.noted(
            self._record.prices, self.config_entry.options, currency, now_s
        )
        if prices != self._record.prices:
            self._record.prices = prices
            self._store.async_changed()

    @property
    def invocation_counter(self) -> int | None:
        """The highest that was verified."""
        return self._record.highest

    @property
    def history_marks(self) -> Mapping[str, Sequence[int]]:
        """How far the statistics of each total are filled: entry of the profile, hour (UTC, s)."""
        return self._record.history

    @callback
    def async_mark_history(self, key: str, mark: list[int]) -> None:
        """Remember how far a total's statistics are filled."""
        if self._record.history.get(key) != mark:
            self._record.history[key] = mark
            self._store.async_changed()

    @property
    def rescaling(self) -> Rescaling | None:
        """What the statistics of totals still lack after a change of scale; None: nothing."""
        return Rescaling.of(self._record.rescale)

    async def async_rescaled(self, *keys: str) -> None:
        """Note at once that the statistics of some totals are in the present scale."""
        totals = self._record.rescale.get("totals", {})
        for key in keys:
            totals.pop(key, None)
        if not totals:
            self._record.rescale = {}
        self._store.async_changed()
        await self._store.async_save()

    def _note_scale(self) -> None:
        """Note from when on totals are shown in a new scale."""
        record = self._record
        if record.rescale and record.rescale["since_s"] is None and self.available:
            record.rescale["since_s"] = int(dt_util.utcnow().timestamp())
            self._store.async_changed()

    @callback
    def async_show_history(self, filled_to: datetime | None) -> None:
        """Show up to when the statistics are filled."""
        if filled_to != self.data.history_filled_to:
            self.async_set_updated_data(replace(self.data, history_filled_to=filled_to))

    @override
    async def _async_setup(self) -> None:
        """Begin to listen. Raises ConfigEntryNotReady where there is no channel."""
        self._wind_watchdog(dt_util.utcnow())
        self.tariffs.async_start()
        self.data = self._as_of_now(self.data)
        if not await self.links.async_start():
            self.tariffs.async_stop()
            self._stop_watchdog()
            raise ConfigEntryNotReady(translation_domain=DOMAIN, translation_key="no_channel")
        self._describe_device()
        if (keys := control_keys_of(self.config_entry)) is not None:
            title = bytes.fromhex(self.title)
            self.asker = Asker(self.hass, self.links, title, keys, self._on_revoked)
            self._close_asker = self.asker.async_close
            await self.asker.async_start()

    @callback
    @override
    def async_add_listener(
        self, update_callback: CALLBACK_TYPE, context: object = None
    ) -> CALLBACK_TYPE:
        """Listen to all that is shown, or with the context ``SLOW`` to what is shown slowly."""
        if context is not SLOW:
            return super().async_add_listener(update_callback, context)
        self._slow.append(update_callback)
        return partial(self._slow.remove, update_callback)

    @callback
    @override
    def async_update_listeners(self) -> None:
        """Tell those who listen; half of a meter's entities need not be touched by each push."""
        self._note_scale()
        super().async_update_listeners()
        if self.slow_is_due or self.available != self._slow_available:
            self._slow_available = self.available
            for update in list(self._slow):
                update()

    @callback
    @override
    def async_set_updated_data(self, data: MeterData) -> None:
        """Show it; what is there for the first time is noticed once for all platforms."""
        self.is_remade = self.slow_is_due or not data.is_made_as(self.data)
        self.context = Context()
        super().async_set_updated_data(data)

    @override
    async def _async_update_data(self) -> MeterData:
        """Return what was pushed: a meter on this channel cannot be asked for a push."""
        return self.data

    @override
    async def async_shutdown(self) -> None:
        """Stop listening and write the counter down."""
        await super().async_shutdown()
        if self._close_asker is not None:
            self._close_asker()
            self._close_asker = None
        await self.links.async_stop()  # first: what still comes winds up the rest again
        self.tariffs.async_stop()
        self._stop_watchdog()
        if self._record.plain:
            self._store.async_changed()
        await self._store.async_save()

    # --- what arrives --------------------------------------------------------------------------

    @callback
    def on_hello(self, hello: Hello) -> None:
        """Learn the interval."""
        self.hello = hello
        if hello.push_interval != self._record.push_interval_s:
            self._record.push_interval_s = hello.push_interval
            self._store.async_changed()
            if self._cancel_watchdog is not None:  # the silence so far still counts
                self._wind_watchdog(self._silent_since)
        self._describe_device()

    @callback
    def on_status(self, online: bool) -> None:
        """Follow the node: its word is believed at once, that it is there or gone."""
        self._offline = not online
        self.node_online = online
        self._tell_availability("its node is offline")

    @callback
    def on_push(self, payload: bytes, retained: bool) -> bool:
        """Take a push, or count why not; return whether it is the meter's own."""
        if not retained:
            self.last_heard = dt_util.utcnow()
        try:
            verified = self._reader.read(payload, retained=retained, arrived=dt_util.now())
        except NotTakenError as error:
            self._keep_counter()  # a good frame may hold a list that is not understood
            self._refuse(error)
            return error.reason == Refusal.DUPLICATE
        self._keep_counter()
        reading, sent = verified.reading, _sent(verified.reading, retained=retained)
        if not retained:
            self._offline = False  # what a broker had kept does not prove that the node is there
            self._observe(sent)
            if self.asker is not None and sent is not None:
                self.asker.heard(sent)
            self.tariffs.ask_if_due(self.asker)
        alive = not retained or self._is_young(sent)
        if alive:
            self._see_life()
        elif verified.repeated:
            return True
        news = self._news(reading, sent, alive=alive, retained=retained)
        self._take(reading, sent, news, retained=retained)
        return True

    @callback
    def _on_revoked(self) -> None:
        """Ask for another pairing: this one's control keys are not the meter's any more."""
        self.config_entry.async_start_reauth(self.hass, data={PAIRING_REVOKED: True})

    def _observe(self, sent: datetime | None) -> None:
        """Learn how often the meter really sends, what of it comes, and how its clock goes."""
        arrival = Arrival(dt_util.utcnow(), sent)
        gap: int | None = None
        interval_s = self.observed_interval_s
        if self._last_live is not None:
            gap = patience.gap_s(self._last_live, arrival)
            gaps = [*self._record.gaps_s, gap][-patience.GAPS_KEPT :]
            if gaps != self._record.gaps_s:
                self._record.gaps_s = gaps
                self._store.async_changed(soon=False)
        self._last_live = arrival
        self._link.take(arrival.at, gap, interval_s, self._reader.state.highest)
        self.clock.take(arrival)

    def _see_life(self) -> None:
        self.last_good = dt_util.utcnow()
        self._keys_refused = False
        self._fresh = True
        self._wind_watchdog(self.last_good)

    def _take(
        self,
        reading: Reading,
        sent: datetime | None,
        news: tuple[NewEntry, ...],
        *,
        retained: bool,
    ) -> None:
        """Show a reading; one that is new and old at once is kept for when there is life."""
        self.accepted += 1
        self.reading = reading
        if reading.texts.items() - self._texts.items():
            self._texts |= reading.texts
            self._describe_device()
        self._pace(sent)
        self._tell_availability("its node is offline", update=False)
        known, now = None if _is_lost(reading.time) else sent, dt_util.utcnow()
        at = meter_time.booked_at(known, now, retained=retained)
        at_s = int((at or now).timestamp())
        data = replace(
            self.data,
            values=self.totals.take(reading.values, self.data.values, at_s),
            states=self._states(reading, sent),
            keeps_logs=bool(reading.logs or reading.events),
            news=(*self.data.news, *news)[-NEWS_KEPT:],
        )
        if self.slow_is_due:
            data = replace(
                data,
                clock_deviation_s=self.clock.whole_s() if _tells_utc(reading.time) else None,
                link_quality=self._link.percent,
            )
        if at is not None:
            self._account(reading, at, data)
        self.tariffs.told(news)
        self.async_set_updated_data(self._as_of_now(data))

    def _account(self, reading: Reading, at: datetime, data: MeterData) -> None:
        """Book what the counters have gone on until a moment."""
        counters_wh = {key: data.values[key] for key in COUNTERS if key in reading.values}
        self.tariffs.heard(at, counters_wh, data.states)
        record = self._record  # written with what it costs
        record.overridden, record.heard_s = price_history.heard(
            record.overridden,
            record.heard_s,
            int(at.timestamp()),
            self._patience_s,
            is_overridden=self.tariffs.is_overridden,
        )
        if self.capacity is not None:
            self.capacity.take(at, self._import_wh(reading), _import_power_w(reading.values))
            self._record.capacity = self.capacity.state()
        if self.capacity is not None or self.pricing is not None:
            self._store.async_changed(soon=False)

    def _import_wh(self, reading: Reading) -> float | None:
        """Return the counter of import itself: what is shown stands still while it is held."""
        register = reading.values.get(IMPORT)
        return None if register is None else register + self.totals.base(IMPORT)

    @callback
    def fill_capacity(self, windows: Iterable[ClosedWindow]) -> None:
        """Take whole intervals that were missed, as a load profile has them.

        Those that are yet to come are a wrong clock's: they would push the real months out.
        """
        if self.capacity is not None:
            now = dt_util.utcnow()
            self.capacity.fill(window for window in windows if window.start < now)
            self._record.capacity = self.capacity.state()
            self._turn()

    def _as_of_now(self, data: MeterData) -> MeterData:
        """Return what is known with what clock, calendar and prices make of it now."""
        tariff = self.tariffs.now(is_there=self.available)
        if tariff != data.tariff:
            data = replace(data, tariff=tariff)
        if self.capacity is None:
            return data
        power_w = _import_power_w(data.values)
        return replace(data, capacity=self.capacity.now(dt_util.utcnow(), power_w))

    @callback
    def _turn(self) -> None:
        """Show that the tariff, a price or the month has changed without a frame."""
        self._store.async_changed(soon=False)  # a calendar may have been read
        self.async_set_updated_data(self._as_of_now(self.data))

    @callback
    def async_take_states(self, read: Mapping[tuple[CosemObject, int], object]) -> None:
        """Show what the meter answered since its last push; an older push says nothing of it."""
        if self.asker is not None:
            self._read_at = Arrival(dt_util.utcnow(), self.asker.meter_time)
            self._read |= read
        self.async_set_updated_data(replace(self.data, states=self.data.states.but(read)))

    def _states(self, reading: Reading, sent: datetime | None) -> States:
        """Return what a push says, but for what was read of the meter after that was sent."""
        if reading.states is not self._pushed_states[0]:
            self._pushed_states = reading.states, States.of(reading.states)
        states, read_at = self._pushed_states[1], self._read_at
        if read_at is None or read_at.sent is None or sent is None:
            return states
        if sent < read_at.sent and dt_util.utcnow() - read_at.at < LATEST_PUSH:
            return states.but(self._read)
        self._read, self._read_at = {}, None
        return states

    def _pace(self, sent: datetime | None) -> None:
        """Find out whether slow quantities are shown with this push."""
        sent = sent or dt_util.utcnow()
        interval_s = self.observed_interval_s or self.push_interval_s
        self.slow_is_due = pace.is_due(sent, interval_s, self._slow_shown)
        if self.slow_is_due:
            self._slow_shown = sent

    def _news(
        self, reading: Reading, sent: datetime | None, *, alive: bool, retained: bool
    ) -> tuple[NewEntry, ...]:
        """Return the log entries to tell; what happened while nobody listened is only noted."""
        entries, seen = log_entries.unseen(
            reading, self._record.entries, dt_util.get_default_time_zone()
        )
        if seen != self._record.entries:
            self._record.entries = seen
            self._store.async_changed()
        if not alive:
            return ()
        if not self._listening:
            self._listening = True
            entries = [
                entry
                for entry in entries
                if not self._was_missed(entry, None if retained else sent)
            ]
        serials = range(self._told, self._told + len(entries))
        self._told += len(entries)
        return tuple(map(NewEntry, serials, entries))

    def _was_missed(self, entry: LogEntry, sent: datetime | None) -> bool:
        """Whether it had happened three intervals before the start already.

        How long ago, only the meter's clock can tell, which may be wrong: a live frame's own time
        stands for now.
        """
        now = dt_util.utcnow()
        as_of = sent or now
        borne = now - self._started + timedelta(seconds=self._patience_s)
        return as_of - entry.time > borne

    @callback
    def async_count_on(self) -> None:
        """Take the registers that fell as they are, and the capacity's counter with them."""
        moved_wh = self.totals.count_on()
        if IMPORT in moved_wh and self.capacity is not None:
            self.capacity.shift(moved_wh[IMPORT])
            self._record.capacity = self.capacity.state()

    def _is_young(self, sent: datetime | None) -> bool:
        """Whether a kept frame still tells how things are, by the meter's own clock."""
        if sent is None:
            return False
        return abs(dt_util.utcnow() - sent) < timedelta(seconds=self._patience_s)

    def _keep_counter(self) -> None:
        state = self._reader.state
        if state.highest != self._record.highest:
            self._record.highest = state.highest
            self._record.digest = state.digest
            self._store.async_changed(soon=False)
        last = self._reader.last_plain
        if last is not None:  # written with what else is: an earlier one only lets more pass
            self._record.plain = last.to_json()

    def _refuse(self, error: NotTakenError) -> None:
        """Count a refused frame; warn of each kind once an hour."""
        now = dt_util.utcnow()
        self.refused[error.reason] += 1
        if error.reason in KEY_REASONS:
            self._keys_refused = True
            if self._cancel_watchdog is None:  # it barked already: give good frames their time
                self._wind_watchdog(now)
        warned = self._warned.get(error.reason)
        if error.reason == Refusal.DUPLICATE or (warned and now - warned < WARN_EVERY):
            _LOGGER.debug("%s: a frame was refused: %s", self.name, error)
            return
        self._warned[error.reason] = now
        _LOGGER.warning("%s: a frame was refused: %s", self.name, error)

    # --- whether it is there -------------------------------------------------------------------

    @property
    def _patience_s(self) -> int:
        return patience.patience_s(self._record.push_interval_s, self._record.gaps_s)

    def _stop_watchdog(self) -> None:
        if self._cancel_watchdog is not None:
            self._cancel_watchdog()
            self._cancel_watchdog = None

    def _wind_watchdog(self, silent_since: datetime) -> None:
        """Have it bark when the silence since then has lasted too long.

        A timer for each push would cost as much as its bytes: the one that runs is let run, and
        looks whether it is time.
        """
        self._silent_since = silent_since
        due = silent_since + timedelta(seconds=self._patience_s)
        if self._cancel_watchdog is not None and self._looks_at <= due:
            return
        self._stop_watchdog()
        self._looks_at = due
        wait_s = max((due - dt_util.utcnow()).total_seconds(), 0)
        self._cancel_watchdog = async_call_later(self.hass, wait_s, self._bark)

    @callback
    def _bark(self, now: datetime) -> None:
        """Three intervals without one good frame: gone, or its keys have changed."""
        self._cancel_watchdog = None
        if now < self._silent_since + timedelta(seconds=self._patience_s):
            self._wind_watchdog(self._silent_since)
            return
        self._fresh = False
        self._tell_availability(f"no good frame came for {self._patience_s} s")
        if self._keys_refused:
            self._keys_refused = False
            self.config_entry.async_start_reauth(self.hass)

    def _tell_availability(self, why_not: str, *, update: bool = True) -> None:
        if self.available == self._told_available:
            return
        self._told_available = self.available
        if self.available:
            _LOGGER.info("%s is available again", self.name)
        else:
            _LOGGER.info("%s is unavailable: %s", self.name, why_not)
        if update:  # what it said of the tariff may be believed no more
            self.async_set_updated_data(self._as_of_now(self.data))

    # --- what it is ----------------------------------------------------------------------------

    def _describe_device(self) -> None:
        """Keep the device registry at what hello and readings say of the meter."""
        registry = dr.async_get(self.hass)
        identifier = (DOMAIN, self.title)
        device = dr.DeviceInfo(identifiers={identifier}, manufacturer=self._maker(), name=self.name)
        # What anybody may have written changes nothing that is known: it waits for a frame.
        known = registry.async_get_device_by_identifier(identifier, self.config_entry.entry_id)
        waits = self.reading is None and known is not None and known.model is not None
        said: dict[str, str] = {}
        if self.hello is not None and not waits:
            said = {"model": self.hello.model, "software": self.hello.software}
        said |= self._texts
        if "model" in said:
            device["model"] = said["model"]
        if "software" in said:
            device["sw_version"] = said["software"]
        number = self._texts.get("meter_number") or self._texts.get("gs1_number")
        if number is not None:
            device["serial_number"] = number
        if device != self._device:
            self._device = device
            registry.async_get_or_create(config_entry_id=self.config_entry.entry_id, **device)

    def _maker(self) -> str:
        if keys_of(self.config_entry) is not None:
            return frames.maker(bytes.fromhex(self.title)) or _OWN_MAKER
        return _MAKER_OF_LIST.get(self.reading.list_name if self.reading else "", _OWN_MAKER)


def _import_power_w(values: Mapping[str, float]) -> float | None:
    return values.get("import_active_power")


def _is_lost(time: CosemDateTime | None) -> bool:
    """Whether the meter itself says that its clock is not valid."""
    return time is not None and bool((time.status or 0) & ClockStatus.INVALID_VALUE)


def _tells_utc(time: CosemDateTime | None) -> bool:
    """Whether a meter's time has one meaning alone, and counts by its own word."""
    return time is not None and time.deviation_minutes is not None and not _is_lost(time)


def _sent(reading: Reading, *, retained: bool) -> datetime | None:
    """Return when the meter says that it sent a reading, which came just now.

    Where its local time can mean two moments, one that was kept counts as the older.
    """
    if reading.time is None:
        return None
    zone = dt_util.get_default_time_zone()
    return (
        reading.time.utc(zone)
        if retained
        else meter_time.moment(reading.time, dt_util.utcnow(), zone)
    )


def _record_for(store: MeterStore, title: str, keys: str, profile: str) -> MeterRecord:
    """Return the meter's record, begun anew in what other keys make void, in the chosen scale."""
    record = store.records.get(title)
    if record is None:
        record = MeterRecord(keys, profile)
    elif record.keys != keys:
        record = record.with_keys(keys, None, "")
    for key, base in record.bases.items():
        if key not in record.steps:  # an earlier version kept it
            _, hour_s = record.history.get(key, (0, 0))
            fall, total = record.falls.get(key, ()), record.totals.get(key, base)
            now_s = int(dt_util.utcnow().timestamp())
            record.steps[key] = falls.undated(base, fall, total, hour_s, now_s)
    if record.scaler_profile != profile:
        scale.change(record, profile)
        store.async_changed()
    store.records[title] = record
    return record
