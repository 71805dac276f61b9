"""One meter in real time: a source's samples in, committed images, pushes and switch states out.

Metering never waits for a disk or a broker: a snapshot is offered to the store's thread, and what
the store has is pushed and switched. Reads the wall clock. Must not know other meters.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from meter_node import (
    __version__,
    config,
    feeds,
    head_end,
    host_clock,
    keys,
    oscilloscope,
    profile_reader,
    store,
)
from meter_node.channel import apdu, hello, meter_node_v1, security
from meter_node.channel.event_codes import Log
from meter_node.channel.requests import MAX_RESPONSE_BYTES
from meter_node.ciphering import (
    CounterExhaustedError,
    InvocationCounter,
    PycryptodomeAead,
    time_floor,
)
from meter_node.cosem import push
from meter_node.cosem.access import Client
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.model import Links
from meter_node.cosem.profile_entry import LOAD_PROFILE, ProfileEntry
from meter_node.cosem.server import Server
from meter_node.meter.commands import Commands
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import Image, LogRow
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant
from meter_node.metrology import DigitalInputs, Engine, Measurement, SampleBlock, StreamError
from meter_node.module_keeping import ModuleKeeping
from meter_node.ports import mqtt, mqtt_requests
from meter_node.ports.display.screen import Screen, TokenAnswer
from meter_node.ports.module import MeterView
from meter_node.ports.outputs import BREAKER, RELAYS, GpioLines, Lines, OutputsPort, SimulatedLines
from meter_node.ports.requests import Requests
from meter_node.sources import Break, Damage, Item, LiveSource, SourceError

_LOGGER = logging.getLogger(__name__)

_WARN_AGAIN_S = 3600
_SETTLES_WITHIN_S = 10.0
MOST_ENTRIES_PUSHED = 32


def has_ended(intervals_s: AbstractSet[int], before_s: int, second: int) -> bool:
    """Whether any of these intervals of the clock has ended since the second before."""
    return any(second // interval_s != before_s // interval_s for interval_s in intervals_s)


def meter_number(settings: config.MeterConfig, system_title: bytes) -> str:
    """Return the configured number, or the one that the system title holds."""
    return settings.meter_number or str(int.from_bytes(system_title[3:]))


@dataclass(frozen=True, slots=True)
class _Sealing:
    """The keys that pushes go under, and the numbers of just these: they change together."""

    keys: keys.MeterKeys
    counter: InvocationCounter


@dataclass(frozen=True, slots=True)
class _Kept:
    """What came of a commit: the ciphered push where one is due, or why it can't be sent."""

    ciphered: bytes | None = None
    fault: Exception | None = None


@dataclass(slots=True)
class _Offer:
    """The newest image that waits for the store, how it shows, and whether a push is due."""

    image: Image
    snapshot: Snapshot
    push: bool
    number: int


class Radio(Protocol):
    """A port without a broker: whoever is near reads and asks there."""

    @property
    def connected(self) -> bool:
        """Whether somebody reads there now."""

    def announce(self, title: str, greeting: hello.Hello) -> None:
        """Show a meter's hello to whoever asks for it."""

    def push(self, title: str, ciphered: bytes) -> None:
        """Send a meter's push to those that read."""

    def listen(self, title: str, requests: Requests) -> None:
        """Have requests to a meter answered."""


class MeterRunner:
    """One meter in real time: measures, offers snapshots, keeps and pushes them."""

    def __init__(
        self,
        settings: config.MeterConfig,
        commit_interval_s: int,
        own_keys: keys.MeterKeys,
        database: store.Store,
        port: mqtt.MqttPort | None,
        thread: ThreadPoolExecutor,
        links: Links | None = None,
        change_management: Callable[[keys.Management], None] | None = None,
        pairings: keys.PairingWatch | None = None,
        *,
        status_topic: str = "",
        radio: Radio | None = None,
    ) -> None:
        """Make ready to go on from what the store has; nothing is booked before ``begin``.

        `links`: how head-ends reach the meter; `change_management` keeps the utility's new keys;
        `pairings` tells who is paired where that changes; `status_topic` is where the node says on
        a broker whether it is there. Raises StoreError, ConfigError for a
        source or lines of no use.
        """
        self.name = settings.name
        self.system_title = own_keys.system_title
        self._settings = settings
        self._commit_interval_s = commit_interval_s
        self._own_keys = own_keys
        self._store = database
        self._port = port
        self._radio = radio
        self._status_topic = status_topic
        self._thread = thread
        self.title = hello.topic_title(own_keys.system_title)
        variant = settings.variant()
        self._go_on_from_the_store()
        self._device = LogicalDevice(
            Identity(
                own_keys.system_title,
                meter_number(settings, own_keys.system_title),
                settings.model,
                __version__,
            ),
            variant,
            settings.zone(),
            profile_reader.of_store(
                database, own_keys.system_title, lambda: self._meter.profile_captures
            ),
        )
        self.screen = Screen(
            self._device,
            settings=settings.display.settings(self._meter.parameters.breaker.button_hold_s),
            clock=time.monotonic,
            profile=self._profile_entry,
            enter_token=self._enter_token if variant.breaker else None,
        )
        keeping = ModuleKeeping(database, own_keys, thread)
        self.view = MeterView(self.name, self._device, keeping, self.screen)
        """What modules see of it."""
        self._aead = PycryptodomeAead()
        self.server: Server | None = None
        """The meter for head-ends, from ``begin`` on."""
        self._links = links
        self._change_management = change_management
        self._pairings = pairings
        self._requests: Requests | None = None
        self._begun = self._awake = False
        self._booked_ns = time.monotonic_ns()
        self._waiting: list[Measurement] = []
        self._offer: _Offer | None = None
        self._offered = asyncio.Event()
        self._offers = self._kept = 0
        self._settling: list[asyncio.Future[None]] = []
        self._fault: str | None = None
        self._outputs = OutputsPort(self._lines())
        self._source, self._engine = _source_and_engine(settings, variant, self._world)
        # The first second is kept and shown at once: who starts often must not lose all between.
        self._offered_s = 0
        self._announced_s: int | None = None
        self._warned_s: dict[str, float] = {}
        self._unpushed: dict[tuple[Log, int], LogRow] = {}

    def _go_on_from_the_store(self) -> None:
        kept = self._store.kept(self.system_title)
        self._meter = self._settings.meter(kept, self.system_title, self._own_keys.vending)
        self.commands = Commands(self._meter)
        self._was_metered = kept.time_ns > 0
        self._sealing = self._sealing_with(self._own_keys)

    def _sealing_with(self, own_keys: keys.MeterKeys) -> _Sealing:
        key_name = keys.push_counter(own_keys)
        counter = InvocationCounter(
            self._store.reserved_counter(key_name),
            time_floor(datetime.now(UTC)),
            lambda bound: self._store.reserve_counter(key_name, bound),
        )
        return _Sealing(own_keys, counter)

    def _lines(self) -> Lines:
        wiring = self._settings.wiring()
        if wiring is None:
            # A breaker is bistable: in a simulation, too, it stands where it stood.
            supply = self._meter.supply
            return SimulatedLines(
                self._settings.relays,
                clock=time.monotonic,
                breaker_closed=supply.breaker.closed_wanted if supply else None,
            )
        try:
            return GpioLines(wiring)
        except ImportError:
            raise config.ConfigError(
                f"meter {self.name}: lines: needs the gpiod package: pip install meter-node[gpio]"
            ) from None
        except (OSError, ValueError) as error:
            raise config.ConfigError(f"meter {self.name}: lines: {error}") from None

    def _world(self) -> DigitalInputs:
        """What a simulated house feels of the lines: an open breaker cuts it off."""
        return DigitalInputs(self._outputs.now.breaker_closed)

    def begin(self, *, raised: bool) -> None:
        """Book from now on. `raised`: the store was changed since this was made."""
        if raised:
            self._go_on_from_the_store()
        if self._was_metered:
            # What it goes on from is committed already.
            self._outputs.apply(_switches(self._meter.snapshot()))
        else:
            _LOGGER.warning(
                "%s: nothing is known of this meter, its registers begin at zero", self.name
            )
        self.server = self._serve()
        self._listen(self.server)
        self._begun = True
        waiting, self._waiting = self._waiting, []
        for measurement in waiting:
            self._book(measurement)
        _LOGGER.info("%s: metering as %s", self.name, self.title)

    def _listen(self, server: Server) -> None:
        """Have consumers' requests answered, by whichever way they come."""
        if self._port is None and self._radio is None:
            return
        self._requests = Requests(
            self.title,
            lambda source: server.connect(source, MAX_RESPONSE_BYTES),
            # Before the first second is booked it stands where the meter was switched off.
            lambda: self.clock_ns() if self._awake else None,
            self.settled,
            misled=lambda source: self.commands.count("decryption_failed", source),
        )
        if self._port is not None:
            mqtt_requests.listen(self._port, self.title, self._requests)
        if self._radio is not None:
            self._radio.listen(self.title, self._requests)

    def snapshot(self) -> Snapshot:
        """The meter as it is, committed or not: for who looks after it, never for a port."""
        return self._meter.snapshot()

    def _serve(self) -> Server:
        def refuse(_: keys.Management) -> None:
            raise keys.KeyFileError("this meter's keys can't be changed here")

        return head_end.serve(
            self._device,
            self._meter.variant,
            self.commands,
            head_end.StoreInThread(self._store, self.system_title, self._thread),
            head_end.credentials(self._own_keys, self._change_management or refuse),
            floor=time_floor(datetime.now(UTC)),
            links=self._links or Links(),
            commit=self.commit_now,
            knows_time=lambda: self._awake,
            look=self._look_at_pairings,
        )

    def _look_at_pairings(self) -> None:
        """Let those ask that the key file names now, and nobody who was revoked.

        New push keys are used from the next push on.
        """
        if self._pairings is None or self.server is None:
            return
        found = self._pairings.changed()
        if found is None:
            return
        changes = head_end.pair_anew(self.server.security.credentials, found.consumers)
        if found.push != self._sealing.keys.push:
            self._sealing = self._thread.submit(self._sealing_with, found).result()
            changes.append("push keys are new")
        for change in changes:
            _LOGGER.info("%s: %s", self.name, change)
            self.commands.keys_changed(change)

    async def answer(self) -> None:
        """Answer what consumers ask, until cancelled."""
        if self._requests is not None:
            await self._requests.run()

    def clock_ns(self) -> int:
        """The meter's time now (UTC), between its measurements too."""
        return self._meter.clock.now_ns + time.monotonic_ns() - self._booked_ns

    async def drive(self) -> None:
        """Bring breaker and relays to where they are wanted, and look at contacts."""
        await self._outputs.run()

    def self_tested(self, *, store_ok: bool | None, program_digest: str) -> None:
        """Take over what the node's own tests found."""
        self._meter.self_tested(
            store_ok=store_ok, program_digest=program_digest, program_version=__version__
        )

    async def measure(self) -> None:
        """Integrate and book what the source gives, until it ends or this is cancelled.

        A source that can't go on is told and ends; the registers stay.
        """
        try:
            async with aclosing(self._source.items()) as items:
                async for item in items:
                    self._take(item)
            _LOGGER.warning("%s: its source has ended; its registers stay", self.name)
        except (SourceError, OSError) as error:
            _LOGGER.error("%s: its source can't go on: %s; its registers stay", self.name, error)
        finally:
            self._book(self._engine.flush())

    def _take(self, item: Item) -> None:
        match item:
            case SampleBlock():
                try:
                    measurements = self._engine.push(item)
                except StreamError as error:
                    self._warn(f"samples refused: {error}")
                else:
                    for measurement in measurements:
                        self._book(measurement)
                    if measurements:
                        calibration = self._source.calibration
                        self._device.show(
                            oscilloscope.of_block(item, calibration, measurements[-1])
                        )
            case Break():
                self._warn(item.reason)
                self._book(self._engine.flush())
            case Damage():
                self._warn(f"samples {item.kind}: {item.detail}")

    def _book(self, measurement: Measurement | None) -> None:
        if measurement is None:
            return
        if not self._begun:
            self._waiting.append(measurement)
            return
        trusted = False
        if not (self._awake and self._meter.clock.valid):
            self._awake = True
            trusted = self._settings.clock == "trusted" or host_clock.is_synchronised()
        self._meter.advance(measurement, self._inputs(), clock_trusted=trusted)
        self._booked_ns = time.monotonic_ns()
        self._offer_if_due(measurement.end_ns)

    def _inputs(self) -> DigitalInputs:
        """What the lines' contacts say, or the front-end's own."""
        lines, front_end = self._outputs.contacts(), self._source.inputs()
        contact = lines.button or front_end.button
        self.screen.press(contact)
        return DigitalInputs(
            front_end.breaker_closed if lines.breaker_closed is None else lines.breaker_closed,
            lines.meter_cover_open or front_end.meter_cover_open,
            lines.terminal_cover_open or front_end.terminal_cover_open,
            lines.magnet or front_end.magnet,
            contact or self.screen.button,
        )

    async def _profile_entry(self, back: int) -> ProfileEntry | None:
        """Read a row of the load profile for the display, in the store's own thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._device.profile_entry, Client.CONSUMER, LOAD_PROFILE, back
        )

    async def _enter_token(self, text: str) -> TokenAnswer:
        """Take a token that somebody typed at the meter; answer once credit and token are kept."""
        try:
            self.commands.enter_token(text)
            refusal = None
        except RefusedError as error:
            refusal = str(error)
        try:
            await self.settled()
        except TimeoutError:
            return TokenAnswer(ok=False, text="the store is busy: look at the credit in a while")
        if refusal is not None:
            return TokenAnswer(ok=False, text=refusal)
        credit = self._meter.snapshot().credit
        left_kwh = credit.credit_wh / 1000 if credit else 0
        return TokenAnswer(ok=True, text=f"{left_kwh:.3f} kWh")

    def _warn(self, text: str) -> None:
        # What goes on and on must not fill the log: the same but for its numbers is told hourly.
        now_s, gist = time.monotonic(), re.sub(r"[\d.+-]+", "", text)
        known = now_s - self._warned_s.get(gist, -math.inf) < _WARN_AGAIN_S
        _LOGGER.log(logging.DEBUG if known else logging.WARNING, "%s: %s", self.name, text)
        if not known:
            self._warned_s[gist] = now_s

    async def keep(self) -> None:
        """Commit what is offered and push what is committed, until cancelled."""
        self._announced_s = self._meter.parameters.push.interval_s
        self._greet()
        loop = asyncio.get_running_loop()
        while True:
            await self._offered.wait()
            self._offered.clear()
            self._look_at_pairings()
            offer, self._offer = self._offer, None
            if offer is None:
                continue
            try:
                kept = await loop.run_in_executor(self._thread, self._commit, offer)
            except store.StoreError as error:
                self._say_fault(error)
                continue
            self._has_committed(offer, kept)

    def commit_now(self) -> None:
        """Commit what was commanded, and show and push it, before anything else happens.

        For a command's answer, which tells of what is kept. Raises StoreError.
        """
        # What waits is older: committed after this it would turn everything back.
        self._offer = None
        offer = self._make_offer(push=True)
        self._has_committed(offer, self._thread.submit(self._commit, offer).result())

    def _has_committed(self, offer: _Offer, kept: _Kept) -> None:
        self._meter.is_kept(offer.image)
        # One that was under way meanwhile is older than what was committed at once.
        is_newest = offer.number > self._kept
        if is_newest:
            self._kept = offer.number
            self._outputs.apply(_switches(offer.snapshot))
        self.view.tell()
        for waiting in self._settling:
            if not waiting.done():
                waiting.set_result(None)
        self._settling.clear()
        if kept.fault is not None:
            self._say_fault(kept.fault)
        elif is_newest and (kept.ciphered is not None or self._fault == "store"):
            self._say_well()
        self._say_how_often()
        ports = [port for port in (self._port, self._radio) if port is not None]
        if ports:
            self.screen.communicating = any(port.connected for port in ports)
        for port in ports:
            if kept.ciphered is not None:
                port.push(self.title, kept.ciphered)

    async def last_commit(self) -> None:
        """Commit what was measured since the last one: at a proper end nothing is lost."""
        if not self._begun:
            return
        offer = self._make_offer(push=False)
        if not offer.image.time_ns:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, offer)
        except store.StoreError as error:
            _LOGGER.error("%s: what was measured last is lost: %s", self.name, error)

    def _offer_if_due(self, end_ns: int) -> None:
        # Seconds of a live source end where its crystal says: each counts for the nearest whole
        # one, and none that is due is missed where two of them end about the same one.
        second, before = round(end_ns / NANO), self._offered_s
        self._offered_s = second
        # An event is kept and told at once.
        push_s = self._meter.parameters.push.interval_s
        due = has_ended({push_s}, before, second) or self._meter.has_news
        self.view.own_beats_s = frozenset({self._commit_interval_s, push_s})
        if due or has_ended(self.view.own_beats_s | self.view.beats_s, before, second):
            # A push that the store was too slow for is not forgotten with its snapshot.
            due = due or (self._offer is not None and self._offer.push)
            self._offer = self._make_offer(push=due)
            self._offered.set()

    def _make_offer(self, *, push: bool) -> _Offer:
        self._offers += 1
        return _Offer(self._meter.image(), self._meter.snapshot(), push, self._offers)

    async def settled(self) -> None:
        """Return when all that was commanded so far is committed. Raises TimeoutError."""
        if not self._meter.has_news:
            return
        self._offer = offer = self._make_offer(push=True)
        self._offered.set()
        async with asyncio.timeout(_SETTLES_WITHIN_S):
            while self._kept < offer.number:
                waiting = asyncio.get_running_loop().create_future()
                self._settling.append(waiting)
                await waiting

    def _commit(self, offer: _Offer) -> _Kept:
        """Commit, then show; return the ciphered push where one is due. Runs in the thread.

        What is committed stays so where there is no number for the push. Raises StoreError.
        """
        self._store.commit(self.system_title, offer.image)
        self._device.commit(offer.snapshot)
        self._unpushed |= {(row.log, row.entry): row for row in offer.image.log_rows}
        if not offer.push:
            return _Kept()
        sealing = self._sealing
        try:
            number = sealing.counter.take()
        except (CounterExhaustedError, store.StoreError) as error:
            return _Kept(fault=error)
        # The heads tell a receiver how many entries there are beyond these.
        entries = list(self._unpushed.values())[-MOST_ENTRIES_PUSHED:]
        self._unpushed = {}
        plaintext = push.notification(self._device, number, entries, sealing.keys.prove)
        envelope = security.seal(
            self._aead, sealing.keys.push, self.system_title, number, plaintext
        )
        return _Kept(apdu.encode_general_glo_ciphering(envelope))

    def _greet(self) -> None:
        greeting = hello.Hello(
            protocol=meter_node_v1.LIST_NAME,
            system_title=self.title,
            model=self._settings.model,
            software=__version__,
            push_interval=self._meter.parameters.push.interval_s,
            status_topic=self._status_topic,
            fault=self._fault,
        )
        if self._port is not None:
            self._port.announce(self.title, greeting)
        if self._radio is not None:
            self._radio.announce(self.title, greeting)

    def _say_fault(self, error: Exception) -> None:
        fault = "store" if isinstance(error, store.StoreError) else "counter"
        if self._fault == fault:
            return
        self._fault = fault
        _LOGGER.error("%s: nothing is published: %s; metering goes on", self.name, error)
        self._greet()
        if self._port is not None:
            self._port.set_online(False)

    def _say_how_often(self) -> None:
        """Announce anew where the utility has changed how often is pushed."""
        interval_s = self._meter.parameters.push.interval_s
        if interval_s == self._announced_s:
            return
        self._announced_s = interval_s
        self._greet()

    def _say_well(self) -> None:
        if self._fault is None:
            return
        self._fault = None
        _LOGGER.warning("%s: readings are published again", self.name)
        self._greet()
        if self._port is not None:
            self._port.set_online(True)


def _switches(shown: Snapshot) -> dict[str, bool]:
    """Where breaker and relays are wanted, by the lines' names."""
    wanted = {name: relay.on for name, relay in zip(RELAYS, shown.relays, strict=False)}
    if shown.breaker is not None:
        wanted[BREAKER] = shown.breaker.closed_wanted
    return wanted


def _source_and_engine(
    settings: config.MeterConfig, variant: Variant, world: Callable[[], DigitalInputs]
) -> tuple[LiveSource, Engine]:
    try:
        source = feeds.make(settings.source, variant.phases, world)
        engine = Engine(
            source.calibration,
            variant.phases,
            source.sampling_rate_hz,
            settings.source.nominal_frequency_hz,
            starting_current_a=0.004 * variant.base_current_a,
            full_scale_codes=source.full_scale_codes,
        )
    except (SourceError, OSError, ValueError) as error:
        raise config.ConfigError(f"meter {settings.name}: source: {error}") from None
    return source, engine
