"""The command line: reads arguments, calls the node, prints. No metering and no protocol here.

Exit status: 0 done, 1 it could not be done, 2 wrong arguments or configuration.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO
from zoneinfo import ZoneInfo, available_timezones

import typer
from rich.console import Console
from rich.logging import RichHandler

from meter_node import (
    __version__,
    backup,
    bridge,
    config,
    data_directory,
    keys,
    node,
    replay,
    store,
)
from meter_node.channel.axdr import AxdrError
from meter_node.ciphering import (
    COUNTS_PER_SECOND,
    CounterExhaustedError,
    InvocationCounter,
    time_floor,
)
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir
from meter_node.kept_frames import KeptFrames
from meter_node.log_queue import QueuedLog
from meter_node.ports import mqtt
from meter_node.sources import SourceError
from meter_node.utility.errors import UtilityError

_commands = typer.Typer(
    help="An intelligent household electricity meter in software.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_out = Console()
_errors = Console(stderr=True, highlight=False)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help=f"Another file than {config.FILE_NAME} in the data dir."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")]


class Model(StrEnum):
    """The two models of the brochure."""

    ONE_PHASE = "162M"
    THREE_PHASE = "382M"


@_commands.command()
def init(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    model: Annotated[Model, typer.Option(help="162M: one phase, 382M: three.")] = Model.THREE_PHASE,
) -> None:
    """Make a data directory: an example configuration, and keys. Nothing there is overwritten."""
    made = data_directory.write_configuration(data_dir, model.value)
    path = data_dir / config.FILE_NAME
    settings = config.load(path)
    keys.load_or_make(data_dir, [meter.name for meter in settings.meter])
    _out.print(f"{path}: {'written' if made else 'was there, left as it is'}", highlight=False)
    _out.print(f"{data_dir / keys.FILE_NAME}: the keys (mode 0600)", highlight=False)
    _out.print(f"Next: look through {path}, then meter-node run --data-dir {data_dir}")


@_commands.command()
def run(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    config_file: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Run the meters of a data directory until Ctrl-C."""
    path = config_file or data_dir / config.FILE_NAME
    reread = partial(config.load_to_run, path, data_dir)
    settings = reread()
    end_log = _log(verbose)
    _warn_of_readers(path, settings)
    _until_stopped(node.run(settings, data_dir, reread), end_log)


@_commands.command("bridge")
def bridge_command(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    config_file: ConfigFile = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="In place of the configuration's: tcp://host:port, "
            "serial:///dev/ttyUSB0?baudrate=2400 or file:path."
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Forward a real meter's customer port to the broker, still ciphered, until Ctrl-C."""
    path = config_file or data_dir / config.FILE_NAME
    settings = config.load(path)
    if settings.mqtt is None:
        raise config.ConfigError(f"{path}: mqtt: a bridge needs a broker")
    if source is not None:
        others = settings.bridge.model_dump(exclude={"source"}) if settings.bridge else {}
        try:
            chosen = config.BridgeConfig(source=source, **others)
        except ValueError:
            raise config.ConfigError(
                f"--source: {source!r} is none of tcp://host:port, "
                "serial:///dev/ttyUSB0?baudrate=2400, file:path"
            ) from None
    elif settings.bridge is not None:
        chosen = settings.bridge
    else:
        raise config.ConfigError(f"{path}: bridge: there is no [bridge] with a source")
    end_log = _log(verbose)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    _until_stopped(_bridge(settings.mqtt, chosen, data_dir), end_log)


@_commands.command("replay")
def replay_command(
    file: Annotated[Path, typer.Argument(help="JSON file of captured frames.")],
    frame: Annotated[str | None, typer.Option(help="Its name in the file; the first.")] = None,
    listen: Annotated[str, typer.Option(help="Where readers connect.")] = "127.0.0.1:4900",
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two frames.")] = 10,
    recipher: Annotated[
        bool,
        typer.Option(
            "--recipher",
            help="Go on from the capture under the keys that were published with it: rising "
            "counter, the present time, values that move.",
        ),
    ] = False,
    time_zone: Annotated[
        str, typer.Option(help="Where the captured meter stands: it tells its local time.")
    ] = "Europe/Copenhagen",
    verbose: Verbose = False,
) -> None:
    """Serve a captured frame as a meter's customer port would: verbatim once, or kept alive."""
    end_log = _log(verbose)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise config.ConfigError(f"--listen: {listen!r} is not host:port")
    if time_zone not in available_timezones():
        raise config.ConfigError(f"--time-zone: no time zone {time_zone!r}")
    capture = replay.load(file, frame)
    if recipher and interval < 1 / COUNTS_PER_SECOND:
        raise config.ConfigError(
            f"--interval: at least {1 / COUNTS_PER_SECOND:g} s with --recipher: more frames a "
            "second would use up counters that a later run begins with"
        )
    if recipher:
        continuation = replay.Continuation(capture)
        # Above the capture, and above every run before this one, one run at a time.
        floor = max(continuation.captured_counter + 1, time_floor(datetime.now(UTC)))
        counter = InvocationCounter(0, floor, lambda _: None)
        zone = ZoneInfo(time_zone)
        sending = continuation.frames(counter, lambda: datetime.now(zone))
    else:
        sending = iter((capture.frame,))
    _until_stopped(replay.serve(host, int(port), sending, interval), end_log)


@_commands.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"meter-node {__version__}\n")


@cache
def _add_the_rest() -> None:
    """Add the commands that a running node does not need: it would carry them for years."""
    from meter_node import (
        cli_backup,
        cli_calibrate,
        cli_list_keys,
        cli_logs,
        cli_measure,
        cli_pair,
        cli_show,
        cli_simulate,
        cli_type_test,
        cli_utility_acts,
        cli_wireless,
    )

    _commands.command()(cli_pair.pair)
    _commands.command("list-keys")(cli_list_keys.list_keys)
    _commands.command("wireless-key")(cli_wireless.wireless_key)
    _commands.command("show")(cli_show.command)
    _commands.command()(cli_measure.measure)
    _commands.command()(cli_calibrate.calibrate)
    _commands.command()(cli_type_test.type_test)
    _commands.command()(cli_simulate.simulate)
    _commands.command("backup")(cli_backup.back_up)
    _commands.command()(cli_backup.restore)
    _commands.command("verify-logs")(cli_logs.command)
    _commands.add_typer(cli_utility_acts.app, name="utility")


def __getattr__(name: str) -> typer.Typer:
    """Return ``app``: all commands."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _add_the_rest()
    return _commands


def main() -> None:
    """Run the command line; a fault that a user can mend is one line, not a traceback."""
    try:
        if sys.argv[1:2] != ["run"]:
            _add_the_rest()
        _commands()
    except config.ConfigError as error:
        _errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(2)
    except (
        store.StoreError,
        store.DataDirectoryInUseError,
        keys.KeyFileError,
        keys.PairingRefusedError,
        replay.ReplayError,
        SourceError,
        bridge.BridgeError,
        backup.BackupError,
        UtilityError,
        CounterExhaustedError,
        OSError,
    ) as error:
        _errors.print(f"meter-node: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
    except (AxdrError, OverflowError) as error:
        _errors.print(
            f"meter-node: a number or time is beyond what can be sent: {error}",
            markup=False,
            soft_wrap=True,
        )
        sys.exit(1)


def _warn_of_readers(path: Path, settings: config.Config) -> None:
    if settings.mqtt and settings.mqtt.password and path.stat().st_mode & 0o077:
        logging.getLogger(__name__).warning(
            "%s holds a password and others on this machine can read it; chmod 600 it", path
        )


async def _bridge(settings: config.MqttConfig, chosen: config.BridgeConfig, data_dir: Path) -> None:
    with store.lock(data_dir):
        own_keys = keys.load_or_make(data_dir, [])
        port = mqtt.MqttPort(node.broker(settings), own_keys.node)
        kept = KeptFrames(data_dir, chosen.keep_days) if chosen.keep_days else None
        forwarding = bridge.Bridge(port, chosen.push_interval_s, kept)
        running = asyncio.ensure_future(node.never_ending("the MQTT port", port.run))
        try:
            await bridge.forward(forwarding, port, chosen.source)
            await port.sent()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            if kept is not None:
                kept.close()


def _until_stopped(work: Coroutine[None, None, None], end_log: Callable[[], None]) -> None:
    """Run until the work ends, or until Ctrl-C or a service manager asks it to end."""

    async def stoppable() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            logging.getLogger(__name__).info("stopped")

    try:
        asyncio.run(stoppable())
    finally:
        end_log()  # before the reason why it ended is printed


def _log_queue() -> tuple[QueuedLog, TextIO]:
    """Return a way to standard error on which nobody waits, and the same for text."""
    if sys.stderr is None:  # it is closed
        descriptor, encoding = os.open(os.devnull, os.O_WRONLY), "utf-8"
    else:
        descriptor, encoding = sys.stderr.fileno(), sys.stderr.encoding
    queue = QueuedLog(descriptor)
    return queue, TextIOWrapper(queue, encoding, "backslashreplace", write_through=True)


def _log(verbose: bool) -> Callable[[], None]:
    """Begin to log; return what waits, for a bounded time, until all is written."""
    level = logging.DEBUG if verbose else logging.INFO
    queue, stream = _log_queue()
    atexit.register(queue.end)
    if _errors.is_terminal:
        console = Console(file=stream, highlight=False)
        handler = RichHandler(console=console, show_path=False, rich_tracebacks=False)
        logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
    else:  # a service's journal: a line is a line
        form = "%(asctime)s %(levelname)s %(message)s"
        logging.basicConfig(level=level, format=form, stream=stream)
    # Connection attempts of the library are told by the port, once and in plain words.
    logging.getLogger("mqtt").setLevel(logging.CRITICAL)
    return queue.end
