"""A node put together: meters, store and ports of one data directory.

Must not know how one meter runs: `runner` does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import aiomqtt

from meter_node import backup, config, head_end, keys, store
from meter_node.channel import hello, security
from meter_node.channel.reading import ListError
from meter_node.cosem.model import Links
from meter_node.meter.local_time import LocalTime
from meter_node.meter.self_test import program_digest
from meter_node.ports import mqtt
from meter_node.ports.ami import AmiPort
from meter_node.ports.module import ModuleSettings
from meter_node.ports.modules import Modules
from meter_node.ports.retained import retained
from meter_node.published import Published, UnprovedError, published
from meter_node.runner import MeterRunner

if TYPE_CHECKING:
    from meter_node.ports.ble import BlePort

_LOGGER = logging.getLogger(__name__)

SELF_TEST_EVERY_S = 86_400
_BROKER_WAIT_S = 5.0
_PROGRAM = Path(__file__).parent


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


async def run(
    settings: config.Config, data_dir: Path, reread: Callable[[], config.Config] | None = None
) -> None:
    """Run all meters of a data directory until cancelled.

    ``reread`` gives the configuration as it is now: on SIGHUP modules come and go by it.

    Raises DataDirectoryInUseError, StoreError, KeyFileError or ConfigError before anything runs.
    """
    if reread is not None:
        # Until there are modules: what is being started has just read it.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    with store.lock(data_dir):
        node_keys = own_keys(settings, data_dir)
        database = _open_store(data_dir / store.DATABASE)
        local = {
            node_keys.meters[meter.name].system_title: LocalTime(meter.zone())
            for meter in settings.meter
        }
        _claim(data_dir, database, local)
        port = (
            mqtt.MqttPort(broker(settings.mqtt), node_keys.node)
            if settings.mqtt is not None
            else None
        )
        radio = _radio(settings.bluetooth)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        runners: list[MeterRunner] = []
        modules = Modules()
        talking: set[asyncio.Task[None]] = set()
        try:
            runners += [
                MeterRunner(
                    meter,
                    settings.store.commit_interval_s,
                    node_keys.meters[meter.name],
                    database,
                    port,
                    thread,
                    _links(settings, node_keys, sap),
                    partial(keys.change_management, data_dir, meter.name),
                    keys.PairingWatch(data_dir, meter.name),
                    status_topic=hello.node_status_topic(node_keys.node),
                    radio=radio,
                )
                for sap, meter in enumerate(settings.meter, 1)
            ]
            async with asyncio.TaskGroup() as tasks:
                # What is measured while the broker is asked waits to be booked.
                for runner in runners:
                    tasks.create_task(runner.measure())
                    tasks.create_task(runner.drive())
                raised = await _raise_to_published(settings, node_keys, database, local)
                modules.see({runner.name: runner.view for runner in runners})
                for runner in runners:
                    runner.begin(raised=runner.system_title in raised)
                    tasks.create_task(runner.keep())
                # Now that it is known which requests are listened for.
                for what, talk in _talks(settings, runners, port, radio):
                    talking.add(asyncio.create_task(never_ending(what, talk)))
                modules.use(_modules_of(settings))
                if reread is not None:
                    _follow_changes(settings, reread, modules)
                tasks.create_task(_test_itself(runners, database, thread))
        finally:
            if reread is not None:
                asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
            # First what must not be lost; a broker that does not answer may take its time.
            for runner in runners:
                await runner.last_commit()
            await modules.close()
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
            thread.shutdown()
            database.close()


def _talks(
    settings: config.Config,
    runners: Sequence[MeterRunner],
    port: mqtt.MqttPort | None,
    radio: BlePort | None,
) -> Iterator[tuple[str, Callable[[], Coroutine[None, None, None]]]]:
    """Yield what talks with the world outside, by the name that a fault of it is told under."""
    if settings.display is not None:
        # A web server takes a while to load, and not every node has a page.
        from meter_node.ports.display.page import DisplayPage

        page = DisplayPage(
            settings.display.host,
            settings.display.port,
            {runner.name: runner.screen for runner in runners},
            settings.display.names,
        )
        yield "the display", page.run
    if port is not None:
        yield "the MQTT port", port.run
    if radio is not None:
        yield "the Bluetooth port", radio.run
    if port is not None or radio is not None:
        for runner in runners:
            yield "the answering of requests", runner.answer
    if settings.ami is not None:
        server_saps = frozenset({*range(1, 1 + len(runners)), head_end.AS_THE_REAL_METER})
        ami = AmiPort(settings.ami.settings(), partial(_connect, runners), server_saps=server_saps)
        yield "the utility's port", ami.run


def _modules_of(settings: config.Config) -> list[tuple[str, ModuleSettings]]:
    return [(meter.name, module) for meter in settings.meter for module in meter.module]


def _follow_changes(
    begun: config.Config, reread: Callable[[], config.Config], modules: Modules
) -> None:
    """Have modules come and go when the configuration is read anew (SIGHUP)."""
    running = [meter.name for meter in begun.meter]

    def follow() -> None:
        try:
            now = reread()
        except config.ConfigError as error:
            _LOGGER.error("the configuration stays as it was: %s", error)
            return
        there = [meter.name for meter in now.meter]
        new = [name for name in there if name not in running]
        if missing := [name for name in running if name not in there]:
            _LOGGER.error(
                "the configuration stays as it was: meter %s runs, and the file has no such meter "
                "any more; it has %s",
                ", ".join(missing),
                ", ".join(there),
            )
            return
        come, gone = modules.use(_modules_of(now))
        _LOGGER.info("the configuration was read: %d modules more, %d fewer", come, gone)
        if new:
            _LOGGER.warning(
                "meter %s is new in it: it and its modules begin when the node is restarted",
                ", ".join(new),
            )
        elif _without_modules(now) != _without_modules(begun):
            _LOGGER.warning("what else was changed in it takes effect when the node is restarted")

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, follow)


def _without_modules(settings: config.Config) -> config.Config:
    meters = tuple(meter.model_copy(update={"module": ()}) for meter in settings.meter)
    return settings.model_copy(update={"meter": meters})


def _radio(settings: config.BluetoothConfig | None) -> BlePort | None:
    """Return the Bluetooth port where one is wanted. Raises ConfigError without its library."""
    if settings is None or not settings.enabled:
        return None
    # It brings a whole Bluetooth stack, and few nodes have an adapter.
    try:
        from meter_node.ports.ble import BlePort
    except ImportError:
        raise config.ConfigError(
            "bluetooth: needs the bumble package: pip install meter-node[bluetooth]"
        ) from None
    return BlePort(settings.transport, settings.most_connections)


def _links(settings: config.Config, node_keys: keys.NodeKeys, sap: int = 1) -> Links:
    """What the set-up objects tell of how the meter is reached."""
    pushed_to = f"{settings.mqtt.host}:{settings.mqtt.port}" if settings.mqtt else ""
    devices = tuple(
        (number, node_keys.meters[meter.name].system_title)
        for number, meter in enumerate(settings.meter, 1)
    )
    if settings.ami is None:
        return Links(push_destination=pushed_to, server_sap=sap, logical_devices=devices)
    ami = settings.ami.settings()
    return Links(
        push_destination=pushed_to,
        tcp_port=ami.tcp.port if ami.tcp else 0,
        inactivity_s=ami.inactivity_s,
        most_connections=ami.most_connections,
        server_sap=sap,
        logical_devices=devices,
    )


def _connect(runners: Sequence[MeterRunner], source: str) -> head_end.Switchboard:
    servers = [runner.server for runner in runners if runner.server is not None]
    return head_end.Switchboard(servers, [runner.clock_ns for runner in runners], source)


def _claim(data_dir: Path, database: store.Store, local: Mapping[bytes, LocalTime]) -> None:
    """Make this the store's place: a copy goes on above all that the original can have sent."""
    try:
        if backup.claim(data_dir, database, int(time.time()), local):
            _LOGGER.warning(
                "%s: this is a copy, or was put back: counters and log entries jump, tokens wait "
                "for the utility",
                data_dir,
            )
    except store.StoreError as error:
        _LOGGER.warning("%s; whether this is a copy can't be told", error)


async def last_published(
    settings: config.MqttConfig, node_keys: keys.NodeKeys
) -> dict[bytes, Published]:
    """Return what the broker retains of each meter's last push, by system title.

    Raises aiomqtt.MqttError or OSError where it can't be reached.
    """
    meters = {
        hello.push_topic(hello.topic_title(meter.system_title)): meter
        for meter in node_keys.meters.values()
    }
    found = {}
    for topic, payload in (await retained(broker(settings), meters)).items():
        try:
            found[meters[topic].system_title] = published(payload, meters[topic])
        except UnprovedError:
            _LOGGER.warning(
                "%s: what the broker retains as its last push was not made by this meter, or by a "
                "version that did not prove its pushes: nothing is taken from it",
                meters[topic].system_title.hex(),
            )
        except (security.RefusedError, ListError, ValueError):
            continue  # under other keys, or not ours: no floor
    return found


async def _raise_to_published(
    settings: config.Config,
    node_keys: keys.NodeKeys,
    database: store.Store,
    local: Mapping[bytes, LocalTime],
) -> set[bytes]:
    """Hold the store against what displays were shown last; return the meters that were below.

    A card that was put back from an image knows nothing of that itself. Where the broker does not
    answer in time, metering begins all the same.
    """
    if settings.mqtt is None:
        return set()
    try:
        async with asyncio.timeout(_BROKER_WAIT_S):
            last_pushes = await last_published(settings.mqtt, node_keys)
    except (aiomqtt.MqttError, OSError) as error:
        _LOGGER.warning("what was published last can't be asked for: %r", error)
        return set()
    below = set()
    for meter in node_keys.meters.values():
        last = last_pushes.get(meter.system_title)
        if last is None or meter.system_title not in local:
            continue
        try:
            raised = backup.raise_to_published(
                database, meter, last, int(time.time()), local[meter.system_title]
            )
        except store.StoreError as error:
            _LOGGER.warning("%s; it can't be held against what was published", error)
            continue
        if raised is not None:
            _LOGGER.warning(
                "%s: the store was older than what was published; registers were raised, what was "
                "cut stays cut, and tokens wait for the utility",
                meter.system_title.hex(),
            )
        below.add(meter.system_title)
    return below


async def _test_itself(
    runners: Sequence[MeterRunner], database: store.Store, thread: ThreadPoolExecutor
) -> None:
    """Test store and program at the start and once a day; each meter tests its own memory."""
    loop = asyncio.get_running_loop()
    while True:
        digest = await asyncio.to_thread(_digest_of_program)
        try:
            tested = await loop.run_in_executor(thread, database.test)
        except store.StoreError as error:
            # A full disk is no faulty store: commits tell of it.
            _LOGGER.warning("the store could not be tested: %s", error)
            holds = None
        else:
            holds = tested.holds
        if holds is False:
            _LOGGER.error("the store's self-test failed: %s", tested.integrity)
        for runner in runners:
            runner.self_tested(store_ok=holds, program_digest=digest)
        await asyncio.sleep(SELF_TEST_EVERY_S)


def _digest_of_program() -> str:
    # Through the link to the channel, too.
    names = {
        str(path.relative_to(_PROGRAM))
        for folder in (_PROGRAM, _PROGRAM / "channel")
        for path in folder.rglob("*.py")
    }
    return program_digest(names, lambda name: (_PROGRAM / name).read_bytes())


def own_keys(settings: config.Config, data_dir: Path) -> keys.NodeKeys:
    """Return the keys; new ones for new meters, but never in the place of lost ones."""
    path = data_dir / keys.FILE_NAME
    if not path.exists() and (data_dir / store.DATABASE).exists():
        raise keys.KeyFileError(
            f"{path} is missing beside registers that were metered with it; put back a copy. "
            "meter-node init makes new keys: then every display must be paired anew, and the "
            "registers begin at zero"
        )
    node_keys = keys.load_or_make(data_dir, [meter.name for meter in settings.meter])
    for name in node_keys.meters.keys() - {meter.name for meter in settings.meter}:
        _LOGGER.warning("%s: has keys and is not in the configuration any more", name)
    return node_keys


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
