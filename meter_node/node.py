"""A node put together: sources, meters, store and ports of one data directory.

The only place that knows the wall clock. Metering never waits for a disk or a broker: a snapshot
is offered to the store's thread, and what the store has is pushed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from meter_node import __version__, backup, config, feeds, keys, store
from meter_node.channel import apdu, hello, meter_node_v1, security
from meter_node.channel.event_codes import Log
from meter_node.ciphering import (
    CounterExhaustedError,
    InvocationCounter,
    PycryptodomeAead,
    time_floor,
)
from meter_node.cosem import push
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.local_time import LocalTime
from meter_node.meter.rows import Image, LogRow
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant
from meter_node.metrology import Engine, Measurement, SampleBlock, StreamError
from meter_node.ports import mqtt
from meter_node.sources import Break, Damage, Item, LiveSource, SourceError

_LOGGER = logging.getLogger(__name__)

DATABASE = "store.sqlite"
_WARN_AGAIN_S = 3600
MOST_ENTRIES_PUSHED = 32


def broker(settings: config.MqttConfig) -> mqtt.Broker:
    """Return the broker of a configuration, whose files were looked at as it was loaded."""
    context = (
        mqtt.tls_context(settings.ca_file, settings.client_certificate, settings.client_key)
        if settings.tls
        else None
    )
    return mqtt.Broker(
        settings.host, settings.port, settings.username, config.password(settings), context
    )


def meter_number(settings: config.MeterConfig, system_title: bytes) -> str:
    """Return the configured number, or the one that the system title holds."""
    return settings.meter_number or str(int.from_bytes(system_title[3:]))


@dataclass(slots=True)
class _Offer:
    """The newest image that waits for the store, how it shows, and whether a push is due."""

    image: Image
    snapshot: Snapshot
    push: bool


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
    ) -> None:
        """Go on from what the store has. Raises StoreError, ConfigError for a source of no use."""
        self.name = settings.name
        self._settings = settings
        self._commit_interval_s = commit_interval_s
        self._keys = own_keys
        self._store = database
        self._port = port
        self._thread = thread
        self.title = hello.topic_title(own_keys.system_title)
        variant = settings.variant()
        kept = database.kept(own_keys.system_title)
        if not kept.time_ns:
            _LOGGER.warning(
                "%s: nothing is known of this meter, its registers begin at zero", self.name
            )
        self._meter = settings.meter(kept)
        self._device = LogicalDevice(
            Identity(
                own_keys.system_title,
                meter_number(settings, own_keys.system_title),
                settings.model,
                __version__,
            ),
            variant,
            settings.zone(),
        )
        self._aead = PycryptodomeAead()
        key_name = _key_name(own_keys)
        self._counter = InvocationCounter(
            database.reserved_counter(key_name),
            time_floor(datetime.now(UTC)),
            lambda bound: database.reserve_counter(key_name, bound),
        )
        self._offer: _Offer | None = None
        self._offered = asyncio.Event()
        self._fault: str | None = None
        self._source, self._engine = _source_and_engine(settings, variant)
        self._offered_s = int(time.time())
        self._warned_s: dict[str, float] = {}
        self._unpushed: dict[tuple[Log, int], LogRow] = {}

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
            case Break():
                self._warn(item.reason)
                self._book(self._engine.flush())
            case Damage():
                self._warn(f"samples {item.kind}: {item.detail}")

    def _book(self, measurement: Measurement | None) -> None:
        if measurement is not None:
            self._meter.advance(measurement)
            self._offer_if_due(measurement.end_ns)

    def _warn(self, text: str) -> None:
        # What goes on and on must not fill the log: the same but for its numbers is told hourly.
        now_s, gist = time.monotonic(), re.sub(r"[\d.+-]+", "", text)
        known = now_s - self._warned_s.get(gist, -math.inf) < _WARN_AGAIN_S
        _LOGGER.log(logging.DEBUG if known else logging.WARNING, "%s: %s", self.name, text)
        if not known:
            self._warned_s[gist] = now_s

    async def keep(self) -> None:
        """Commit what is offered and push what is committed, until cancelled."""
        if self._port is not None:
            self._port.announce(self.title, self._greeting())
        loop = asyncio.get_running_loop()
        while True:
            await self._offered.wait()
            self._offered.clear()
            offer, self._offer = self._offer, None
            if offer is None:
                continue
            try:
                ciphered = await loop.run_in_executor(self._thread, self._commit, offer)
            except (store.StoreError, CounterExhaustedError) as error:
                self._say_fault(error)
                continue
            self._meter.is_kept(offer.image)
            self._say_well()
            if ciphered is not None and self._port is not None:
                self._port.push(self.title, ciphered)

    async def last_commit(self) -> None:
        """Commit what was measured since the last one: at a proper end nothing is lost."""
        offer = _Offer(self._meter.image(), self._meter.snapshot(), push=False)
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

        def crossed(interval_s: int) -> bool:
            return second // interval_s != before // interval_s

        # An event is kept and told at once.
        due = crossed(self._settings.push_interval_s) or self._meter.has_news
        if due or crossed(self._commit_interval_s):
            # A push that the store was too slow for is not forgotten with its snapshot.
            due = due or (self._offer is not None and self._offer.push)
            self._offer = _Offer(self._meter.image(), self._meter.snapshot(), due)
            self._offered.set()

    def _commit(self, offer: _Offer) -> bytes | None:
        """Commit, then show; return the ciphered push where one is due. Runs in the thread."""
        self._store.commit(self._keys.system_title, offer.image)
        self._device.commit(offer.snapshot)
        self._unpushed |= {(row.log, row.entry): row for row in offer.image.log_rows}
        if not offer.push:
            return None
        number = self._counter.take()
        # The heads tell a receiver how many entries there are beyond these.
        entries = list(self._unpushed.values())[-MOST_ENTRIES_PUSHED:]
        self._unpushed = {}
        plaintext = push.notification(self._device, number, entries)
        envelope = security.seal(
            self._aead, self._keys.push, self._keys.system_title, number, plaintext
        )
        return apdu.encode_general_glo_ciphering(envelope)

    def _greeting(self) -> hello.Hello:
        return hello.Hello(
            protocol=meter_node_v1.LIST_NAME,
            system_title=self.title,
            model=self._settings.model,
            software=__version__,
            push_interval=self._settings.push_interval_s,
            status_topic=self._port.status_topic if self._port else "",
            fault=self._fault,
        )

    def _say_fault(self, error: Exception) -> None:
        fault = "store" if isinstance(error, store.StoreError) else "counter"
        if self._fault == fault:
            return
        self._fault = fault
        _LOGGER.error("%s: nothing is published: %s; metering goes on", self.name, error)
        if self._port is not None:
            self._port.announce(self.title, self._greeting())
            self._port.set_online(False)

    def _say_well(self) -> None:
        if self._fault is None:
            return
        self._fault = None
        _LOGGER.warning("%s: readings are published again", self.name)
        if self._port is not None:
            self._port.announce(self.title, self._greeting())
            self._port.set_online(True)


def _source_and_engine(settings: config.MeterConfig, variant: Variant) -> tuple[LiveSource, Engine]:
    try:
        source = feeds.make(settings.source, variant.phases)
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


async def run(settings: config.Config, data_dir: Path) -> None:
    """Run all meters of a data directory until cancelled.

    Raises DataDirectoryInUseError, StoreError, KeyFileError or ConfigError before anything runs.
    """
    with store.lock(data_dir):
        own_keys = _own_keys(settings, data_dir)
        database = _open_store(data_dir / DATABASE)
        try:
            local = {
                own_keys.meters[meter.name].system_title: LocalTime(meter.zone())
                for meter in settings.meter
            }
            if backup.claim(data_dir, database, int(time.time()), local):
                _LOGGER.warning(
                    "%s: this is a copy, or was put back: counters and log entries jump, tokens "
                    "wait for the utility",
                    data_dir,
                )
        except store.StoreError as error:
            _LOGGER.warning("%s; whether this is a copy can't be told", error)
        port = (
            mqtt.MqttPort(broker(settings.mqtt), own_keys.node)
            if settings.mqtt is not None
            else None
        )
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        runners: list[MeterRunner] = []
        talking: set[asyncio.Task[None]] = set()
        try:
            runners += [
                MeterRunner(
                    meter,
                    settings.store.commit_interval_s,
                    own_keys.meters[meter.name],
                    database,
                    port,
                    thread,
                )
                for meter in settings.meter
            ]
            if port is not None:
                talking.add(asyncio.create_task(never_ending("the MQTT port", port.run)))
            async with asyncio.TaskGroup() as tasks:
                for runner in runners:
                    tasks.create_task(runner.keep())
                    tasks.create_task(runner.measure())
                    _LOGGER.info("%s: metering as %s", runner.name, runner.title)
        finally:
            # First what must not be lost; a broker that does not answer may take its time.
            for runner in runners:
                await runner.last_commit()
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
            thread.shutdown()
            database.close()


def _own_keys(settings: config.Config, data_dir: Path) -> keys.NodeKeys:
    """Return the keys; new ones for new meters, but never in the place of lost ones."""
    path = data_dir / keys.FILE_NAME
    if not path.exists() and (data_dir / DATABASE).exists():
        raise keys.KeyFileError(
            f"{path} is missing beside registers that were metered with it; put back a copy. "
            "meter-node init makes new keys: then every display must be paired anew, and the "
            "registers begin at zero"
        )
    own_keys = keys.load_or_make(data_dir, [meter.name for meter in settings.meter])
    for name in own_keys.meters.keys() - {meter.name for meter in settings.meter}:
        _LOGGER.warning("%s: has keys and is not in the configuration any more", name)
    return own_keys


def _open_store(path: Path) -> store.Store:
    """Open the store; where the disk takes nothing, so that metering can begin all the same."""
    try:
        return store.Store(path)
    except store.StoreError as error:
        opened = store.Store(path, alone=True)
        _LOGGER.warning("%s; its registers could be read, and metering begins", error)
        return opened


async def never_ending(what: str, port: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a port again and again: its faults are logged and never reach the metering."""
    while True:
        try:
            await port()
        except Exception:
            _LOGGER.exception("%s failed; metering goes on, and it begins again", what)
        await asyncio.sleep(mqtt.back_off(3))


def _key_name(own_keys: keys.MeterKeys) -> str:
    # A name for the key that does not tell the key: its counter belongs to it and to no other.
    digest = hashlib.sha256(b"push" + own_keys.system_title + own_keys.push.encryption)
    return digest.hexdigest()[:32]
