"""The node's configuration: one TOML file, checked whole before anything starts.

Must not start or open anything but the file. What is wrong is told with file, key and reason.
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from meter_node import config_faults
from meter_node.channel import presets
from meter_node.channel.hello import MOST_KEPT_DAYS
from meter_node.meter import parameters
from meter_node.meter.meter import Meter
from meter_node.meter.parameters import Parameters
from meter_node.meter.refused import RefusedError
from meter_node.meter.tariff import TariffSettings
from meter_node.meter.variant import Variant
from meter_node.ports import bearers
from meter_node.ports.ami import AmiSettings
from meter_node.ports.bearers import Endpoint, Place
from meter_node.ports.conversation import SerialLine
from meter_node.ports.display import views as display_views
from meter_node.ports.module import Numbers
from meter_node.ports.modules import KINDS as MODULE_KINDS
from meter_node.ports.modules import AnySettings
from meter_node.ports.outputs import Coils, InputLine, OutputLine, Wiring
from meter_node.sources.house import LEAST_ANNUAL_KWH
from meter_node.sources.scaling import CURRENT_FULL_SCALE_A, VOLTAGE_FULL_SCALE_V
from meter_node.store import Kept

FILE_NAME = "meter_node.toml"
OWN_FILES = frozenset({"meter_node", "keys", "store", "restore", "kept", "instance", "lock"})
"""What the node's files in its data directory are called, up to the first dot."""
BRIDGE_BAUDRATE = 2400
AMI_BAUDRATE = 9600


class ConfigError(Exception):
    """The configuration can't be used; each line names file, key and reason."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MqttConfig(_Section):
    """The broker, and how the node shows who it is."""

    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    password_file: str | None = None
    tls: bool = False
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.password or self.password_file) and self.username is None:
            raise ValueError("a password needs a username")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        if not self.tls and (self.ca_file or self.client_certificate):
            raise ValueError("certificates are only used with tls = true")
        return self


class StoreConfig(_Section):
    """How often the store commits: more often is safer, less often is kinder to an SD card."""

    commit_interval_s: int = Field(default=5, ge=1, le=60)


def _stream_url(url: str) -> str:
    parts = urlsplit(url)
    told = parse_qs(parts.query)
    baudrate = told.get("baudrate", ["0"])[0]
    if unknown := sorted(told.keys() - {"baudrate"}):
        raise ValueError(f"{url!r}: {unknown[0]!r} can't be set; only baudrate, of a serial line")
    try:
        if (
            (parts.scheme == "tcp" and parts.hostname and parts.port)
            or (parts.scheme == "serial" and parts.path and baudrate.isdecimal())
            or url == "stdin:"
        ):
            return url
    except ValueError:  # a port that is no number
        pass
    raise ValueError(
        f"{url!r} is none of tcp://host:port, serial:///dev/ttyACM0?baudrate=921600, stdin:"
    )


class SimulatedSourceConfig(_Section):
    """A simulated house."""

    kind: Literal["simulated"]
    nominal_frequency_hz: Literal[50, 60] = 50
    annual_consumption_kwh: float = Field(
        default=4000, ge=LEAST_ANNUAL_KWH, le=100_000, strict=False
    )
    solar_peak_w: float = Field(default=0, ge=0, le=100_000, strict=False)
    car: bool = False
    latitude_deg: float = Field(default=56.16, ge=-66, le=66, strict=False)
    longitude_deg: float = Field(default=10.20, ge=-180, le=180, strict=False)
    seed: int = Field(default=1, ge=0)


Gains = Annotated[
    tuple[float, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, (int, float)) else value),
]
"""One number for all phases, or one for each."""
Role = Literal["U1", "U2", "U3", "I1", "I2", "I3"]
SamplingRate = Annotated[int, Field(ge=2000, le=64_000)]


class _RealSourceConfig(_Section):
    """What all sources of real samples have in common."""

    nominal_frequency_hz: Literal[50, 60] = 50
    voltage_gain_v: Gains = ()
    current_gain_a: Gains = ()
    voltage_offset_codes: Gains = (0.0,)
    current_offset_codes: Gains = (0.0,)
    calibration_file: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_truth(self) -> Self:
        gains = {"voltage_gain_v", "current_gain_a", "voltage_offset_codes", "current_offset_codes"}
        if self.calibration_file and (given := sorted(gains & self.model_fields_set)):
            raise ValueError(f"calibration_file already says {', '.join(given)}")
        return self

    def _needs_gains(self) -> None:
        if not self.calibration_file and not (self.voltage_gain_v and self.current_gain_a):
            raise ValueError(
                "what is a code worth? give voltage_gain_v and current_gain_a, or calibration_file"
            )


class RecordingSourceConfig(_RealSourceConfig):
    """A recording, played as if it happened now."""

    kind: Literal["recording"]
    file: str = Field(min_length=1)
    channels: dict[Role, str | int] = Field(default_factory=dict)
    sampling_rate_hz: SamplingRate | None = None
    voltage_full_scale_v: float = Field(default=VOLTAGE_FULL_SCALE_V, gt=0, strict=False)
    current_full_scale_a: float = Field(default=CURRENT_FULL_SCALE_A, gt=0, strict=False)
    repeat: bool = False


class StreamSourceConfig(_RealSourceConfig):
    """A front-end that sends framed blocks."""

    kind: Literal["stream"]
    url: Annotated[str, AfterValidator(_stream_url)]
    sampling_rate_hz: SamplingRate
    clock: Literal["node", "front_end"] = "node"

    @model_validator(mode="after")
    def _scaled(self) -> Self:
        self._needs_gains()
        return self


class IioSourceConfig(_RealSourceConfig):
    """A converter that Linux's Industrial I/O drives."""

    kind: Literal["iio"]
    device: str = Field(pattern=r"^iio:device[0-9]+$")
    channels: dict[Role, str]
    sampling_rate_hz: SamplingRate
    voltage_ratio: float | None = Field(default=None, gt=0, strict=False)
    current_ratio_a_per_v: float | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _scaled(self) -> Self:
        if self.voltage_ratio is None or self.current_ratio_a_per_v is None:
            try:
                self._needs_gains()
            except ValueError as error:
                raise ValueError(f"{error}, or voltage_ratio and current_ratio_a_per_v") from None
        return self


SourceConfig = Annotated[
    SimulatedSourceConfig | RecordingSourceConfig | StreamSourceConfig | IioSourceConfig,
    Field(discriminator="kind"),
]
SOURCE_KINDS = ("simulated", "recording", "stream", "iio")


class OutputLineConfig(_Section):
    """One driven line of the chip, by its offset."""

    offset: int = Field(ge=0)
    active_low: bool = False


class InputLineConfig(_Section):
    """One contact's line of the chip."""

    offset: int = Field(ge=0)
    active_low: bool = False
    pull: Literal["up", "down", "none"] = "none"


class CoilsConfig(_Section):
    """A bistable breaker's two coils."""

    opening: OutputLineConfig
    closing: OutputLineConfig
    pulse_ms: int = 100


class LinesConfig(_Section):
    """Which lines of a Linux GPIO chip drive breaker and relays, and which are contacts."""

    chip: str = Field(default="/dev/gpiochip0", min_length=1)
    debounce_ms: int = Field(default=20, ge=0, le=1000)
    breaker: CoilsConfig | None = None
    relays: tuple[OutputLineConfig, ...] = ()
    contacts: dict[str, InputLineConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _wired(self) -> Self:
        self.wiring()  # raises ValueError for a line used twice, an unknown contact, a long pulse
        return self

    def wiring(self) -> Wiring:
        """Return the wiring as the lines' port takes it."""
        coils = self.breaker
        return Wiring(
            self.chip,
            None
            if coils is None
            else Coils(
                OutputLine(coils.opening.offset, coils.opening.active_low),
                OutputLine(coils.closing.offset, coils.closing.active_low),
                coils.pulse_ms,
            ),
            tuple(OutputLine(line.offset, line.active_low) for line in self.relays),
            {
                name: InputLine(line.offset, line.active_low, line.pull)
                for name, line in self.contacts.items()
            },
            self.debounce_ms,
        )


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"no time zone {name!r}; for example Europe/Copenhagen")
    return name


def _preset(name: str) -> str:
    if name not in presets.names():
        raise ValueError(f"no tariff {name!r}; there are {', '.join(presets.names())}")
    return name


def _divides_a_day(seconds: int) -> int:
    if 86_400 % seconds:
        raise ValueError(
            f"{seconds} s does not divide a day evenly, so that pushes would drift from the clock; "
            "take for example 1, 5, 10, 60 or 3600"
        )
    return seconds


def _view(key: str) -> str:
    display_views.check_keys((key,))
    return key


class MeterDisplayConfig(_Section):
    """What one meter's display shows."""

    views: tuple[Annotated[str, AfterValidator(_view)], ...] = ()
    energy_digits: Literal["7.0", "6.1"] = "7.0"
    power_digits: Literal["2.3", "3.2"] = "2.3"
    scroll_s: float = Field(default=10, ge=2, le=120, strict=False)
    language: Literal["en", "da"] = "en"

    def settings(self, breaker_hold_s: float = 6.0) -> display_views.Settings:
        """Return it as the display takes it; the breaker's hold is the meter's parameter."""
        return display_views.Settings(
            self.views,
            display_views.ENERGY_FORMATS[self.energy_digits],
            display_views.POWER_FORMATS[self.power_digits],
            self.scroll_s,
            breaker_hold_s,
            self.language,
        )


class MeterConfig(_Section):
    """One meter."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    model: Literal["162M", "382M"]
    phases: int | None = Field(default=None, ge=1, le=3)
    current_range: str = "5(65)"
    breaker: bool = False
    relays: int = Field(default=0, ge=0, le=2)
    meter_number: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]{1,16}$")
    push_interval_s: Annotated[int, AfterValidator(_divides_a_day)] = Field(
        default=10, ge=1, le=3600
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "Europe/Copenhagen"
    clock: Literal["synchronised", "trusted"] = "synchronised"
    production_expected: bool = True
    summation: Literal["individual", "vector"] = "individual"
    tariff: Annotated[str, AfterValidator(_preset)] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    lines: LinesConfig | None = None
    display: MeterDisplayConfig = MeterDisplayConfig()
    source: SourceConfig
    module: tuple[AnySettings, ...] = ()

    @model_validator(mode="after")
    def _no_number_twice(self) -> Self:
        """Modules under one key take their numbers from one row, which the clock bounds."""
        taking: dict[str, list[tuple[str, Numbers]]] = {}
        for number, module in enumerate(self.module):
            if (numbers := module.numbers) is not None:
                taking.setdefault(numbers.key, []).append((f"module[{number}]", numbers))
        for key, takers in taking.items():
            a_minute = sum(numbers.a_minute for _, numbers in takers)
            most = takers[0][1].most_a_minute
            if a_minute > most:
                raise ValueError(
                    f"{', '.join(who for who, _ in takers)}: together {float(a_minute):.4g} "
                    f"telegrams a minute under the meter's {key}; there are numbers for {most}:"
                    " leave some of them out, or raise interval_s where they have it"
                )
        return self

    @model_validator(mode="after")
    def _offered(self) -> Self:
        self.all_parameters()  # raises VariantError or RefusedError, both a ValueError
        variant = self.variant()
        for number, module in enumerate(self.module):
            try:
                module.fit(variant.phases, variant.maximum_current_a)
            except ValueError as error:
                raise ValueError(f"module[{number}]: {error}") from None
        # A switch that moves nothing would lie: only what is played may do without lines.
        if self.lines is None and self.source.kind in ("simulated", "recording"):
            return self
        if self.breaker and (self.lines is None or self.lines.breaker is None):
            raise ValueError("breaker: which lines drive it? write [meter.lines.breaker]")
        wired = len(self.lines.relays) if self.lines else 0
        if self.relays != wired:
            raise ValueError(
                f"relays: {self.relays}, but [meter.lines] drives {wired}; write a line for each"
            )
        return self

    def variant(self) -> Variant:
        """Return what this meter is made as."""
        phases = self.phases or {"162M": 1, "382M": 3}[self.model]
        return Variant(self.model, phases, self.current_range, self.breaker, self.relays)

    def meter(
        self, kept: Kept, system_title: bytes = bytes(8), vending_key: bytes | None = None
    ) -> Meter:
        """Return the meter as it goes on from what is kept of it."""
        return Meter(
            self.variant(),
            kept.energies_nwh,
            zone=self.zone(),
            summation=self.summation,
            parameters=self.all_parameters(),
            system_title=system_title,
            vending_key=vending_key,
            states=kept.states,
            log_heads=kept.log_heads,
        )

    def all_parameters(self) -> Parameters:
        """Return what the meter is programmed with until a utility says otherwise.

        Raises RefusedError.
        """
        given = dict(self.parameters)
        if "tariff" in given:
            raise RefusedError("parameters.tariff: name a preset by the meter's tariff instead")
        if self.tariff:
            given["tariff"] = TariffSettings(calendar=presets.load(self.tariff).calendar)
        if "push" in given:
            raise RefusedError("parameters.push: it is the meter's push_interval_s")
        given["push"] = {"interval_s": self.push_interval_s}
        expected = {"production_expected": self.production_expected}
        tamper = given.get("tamper", {})
        given["tamper"] = expected | tamper if isinstance(tamper, dict) else tamper
        try:
            return parameters.read(given).fitted(self.variant())
        except RefusedError as error:
            raise RefusedError(f"parameters: {error}") from None

    def wiring(self) -> Wiring | None:
        """Return the lines that are driven and read; None where they are simulated."""
        return None if self.lines is None else self.lines.wiring()

    def zone(self) -> ZoneInfo:
        """Return the meter's local time zone."""
        return ZoneInfo(self.time_zone)


def _line(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme == "tcp" and parts.hostname and parts.port:
        return address  # urlsplit itself refuses a port beyond 65535
    if parts.scheme == "serial":
        bearers.serial_line(address, BRIDGE_BAUDRATE)  # raises ValueError
        return address
    if parts.scheme == "file" and (parts.netloc or parts.path):
        return address
    raise ValueError(
        f"{address!r} is none of tcp://host:port, serial:///dev/ttyUSB0?baudrate=2400, file:path"
    )


class BridgeConfig(_Section):
    """A real meter's customer port."""

    source: Annotated[str, AfterValidator(_line)]
    push_interval_s: int = Field(default=10, ge=1, le=3600)
    keep_days: int = Field(default=130, ge=0, le=MOST_KEPT_DAYS)


class DisplayConfig(_Section):
    """The page that the displays are on; there is none without this section."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8162, ge=1, le=65535)
    names: tuple[str, ...] = ()


_ADAPTERS = ("hci-socket", "usb", "serial", "tcp-client")


def _adapter(transport: str) -> str:
    scheme, _, rest = transport.partition(":")
    if scheme in _ADAPTERS and rest:
        return transport
    raise ValueError(
        f"{transport!r} is none of hci-socket:0, usb:0, serial:/dev/ttyUSB0,1000000, "
        "tcp-client:host:port"
    )


class BluetoothConfig(_Section):
    """The Bluetooth adapter, which the node then has for itself."""

    enabled: bool = False
    transport: Annotated[str, AfterValidator(_adapter)] = "hci-socket:0"
    most_connections: int = Field(default=4, ge=1, le=16)


def _endpoint(text: str) -> str:
    parts = urlsplit(f"//{text}")
    try:
        if parts.hostname and parts.port and text == parts.netloc and "@" not in text:
            return text
    except ValueError:  # a port that is no number, or beyond 65535
        pass
    raise ValueError(f"{text!r} is not host:port; for example 127.0.0.1:4059")


def _serial_device(url: str) -> str:
    bearers.serial_line(url, AMI_BAUDRATE)  # raises ValueError
    return url


def _command(text: str) -> str:
    if text.isascii() and text.isprintable() and text.upper().startswith("AT"):
        return text
    raise ValueError("a modem's command begins with AT")  # it may hold a PIN: it is not shown


class AmiConfig(_Section):
    """How a utility's head-end reaches the meters: what is not named is not open."""

    tcp: Annotated[str, AfterValidator(_endpoint)] | None = None
    hdlc_tcp: Annotated[str, AfterValidator(_endpoint)] | None = None
    dial: Annotated[str, AfterValidator(_endpoint)] | None = None
    serial: Annotated[str, AfterValidator(_serial_device)] | None = None
    modem: Annotated[str, AfterValidator(_serial_device)] | None = None
    modem_commands: tuple[Annotated[str, AfterValidator(_command)], ...] = Field(
        default=(), repr=False
    )
    physical_address: int | None = Field(default=None, ge=16, le=0x3FFD)
    inactivity_s: int = Field(default=120, ge=10, le=3600)
    most_connections: int = Field(default=32, ge=1, le=256)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        given = [self.tcp, self.hdlc_tcp, self.dial, self.serial, self.modem]
        if not any(given):
            raise ValueError("name at least one of tcp, hdlc_tcp, dial, serial, modem")
        places = [place.partition("?")[0] for place in given if place]
        if twice := sorted({place for place in places if places.count(place) > 1}):
            raise ValueError(f"{twice[0]} can't be two things at once")
        if self.modem_commands and self.modem is None:
            raise ValueError("modem_commands are only used with a modem")
        if self.physical_address is not None and self.serial is None:
            raise ValueError("a physical_address is only used on a serial line")
        return self

    def places(self) -> Iterator[tuple[str, Place]]:
        """Yield what only one port can have, and which has it, in words."""
        settings = self.settings()
        for name, endpoint in (("tcp", settings.tcp), ("hdlc_tcp", settings.hdlc_tcp)):
            if endpoint is not None:
                yield f"ami: {name}", bearers.port_place(endpoint.host, endpoint.port)
        for name, line in (("serial", settings.serial), ("modem", settings.modem)):
            if line is not None:
                yield f"ami: {name}", bearers.path_place(line.device)

    def settings(self) -> AmiSettings:
        """Return them as the port takes them."""
        return AmiSettings(
            tcp=_endpoint_of(self.tcp),
            hdlc_tcp=_endpoint_of(self.hdlc_tcp),
            dial=_endpoint_of(self.dial),
            serial=_device(self.serial),
            modem=_device(self.modem),
            modem_commands=self.modem_commands,
            physical_address=self.physical_address,
            inactivity_s=self.inactivity_s,
            most_connections=self.most_connections,
        )


def _endpoint_of(text: str | None) -> Endpoint | None:
    parts = urlsplit(f"//{text}")
    return Endpoint(parts.hostname or "", parts.port or 0) if text else None


def _device(url: str | None) -> SerialLine | None:
    return bearers.serial_line(url, AMI_BAUDRATE) if url else None


class Config(_Section):
    """The whole file."""

    mqtt: MqttConfig | None = None
    store: StoreConfig = StoreConfig()
    display: DisplayConfig | None = None
    meter: tuple[MeterConfig, ...] = ()
    bridge: BridgeConfig | None = None
    ami: AmiConfig | None = None
    bluetooth: BluetoothConfig | None = None

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [meter.name for meter in self.meter]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two meters are called {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        """Two ports at one device, file or TCP port take each other's bytes, or never begin."""
        taken = list(self.places())
        for number, (who, place) in enumerate(taken):
            for other, its in taken[:number]:
                if place.excludes(its):
                    raise ValueError(f"{other} and {who} both have {place.text}: only one can")
        for meter in self.meter:
            for number, module in enumerate(meter.module):
                if (first := meter.module.index(module)) < number:
                    raise ValueError(
                        f"meter {meter.name}: module[{first}] and module[{number}] are the same "
                        f"({module.kind}): leave one out"
                    )
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        """Two meters with one address on an M-Bus, wired or not, can't be told apart there."""
        meters: dict[tuple[str, ...], tuple[str, str]] = {}
        for meter in self.meter:
            for number, module in enumerate(meter.module):
                name = module.name_on_bus(meter.meter_number)
                who = f"meter {meter.name}: module[{number}] ({module.kind})"
                if name is None:
                    continue
                other, its = meters.setdefault(name, (meter.name, who))
                if other != meter.name:
                    raise ValueError(
                        f"{its} and {who} are both {' '.join(name)} to readers: give one of them "
                        "another identification"
                    )
        return self

    def places(self) -> Iterator[tuple[str, Place]]:
        """Yield what only one port can have, and which has it, in words."""
        for meter in self.meter:
            of = f"meter {meter.name}"
            if (wiring := meter.wiring()) is not None:
                for offset in wiring.offsets:
                    yield f"{of}: lines", bearers.line_place(wiring.chip, offset)
            source = meter.source
            if isinstance(source, StreamSourceConfig) and source.url.startswith("serial:"):
                yield f"{of}: source", bearers.path_place(urlsplit(source.url).path)
            for number, module in enumerate(meter.module):
                for place in module.places:
                    yield f"{of}: module[{number}] ({module.kind})", place
        if self.display is not None:
            yield "display", bearers.port_place(self.display.host, self.display.port)
        if self.ami is not None:
            yield from self.ami.places()

    def files_read(self) -> Iterator[str]:
        """Yield the files that the node reads beside its own ones."""
        names: list[str | None] = []
        if (mqtt := self.mqtt) is not None:
            names += mqtt.password_file, mqtt.ca_file, mqtt.client_certificate, mqtt.client_key
        for source in (meter.source for meter in self.meter):
            if isinstance(source, _RealSourceConfig):
                names.append(source.calibration_file)
            if isinstance(source, RecordingSourceConfig):
                names.append(source.file)
        yield from filter(None, names)


def one_of(names: Iterable[str], chosen: str | None) -> str:
    """Return the meter that ``--meter`` chose, or the only one. Raises ConfigError."""
    meters = list(names)
    told = ", ".join(meters) or "none"
    if chosen is None and len(meters) != 1:
        raise ConfigError(f"--meter: which one? There are: {told}")
    if chosen is not None and chosen not in meters:
        raise ConfigError(f"--meter: no meter {chosen!r}; there are: {told}")
    return meters[0] if chosen is None else chosen


def load(path: Path) -> Config:
    """Read and check the file. Raises ConfigError with a line for each fault."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; meter-node init writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not TOML: nested without end") from None
    try:
        settings = Config.model_validate(_lists_as_tuples(data))
    except ValidationError as error:
        kinds = {"source": SOURCE_KINDS, "module": tuple(MODULE_KINDS)}
        told = config_faults.told(error, Config, kinds)
        faults = [f"{path}: {key}: {' or: '.join(why)}" for key, why in told.items()]
    else:
        # What the file names must be there too, before anything is begun.
        faults = [f"{path}: mqtt.{fault}" for fault in _file_faults(settings.mqtt)]
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


def load_to_run(path: Path, data_dir: Path) -> Config:
    """Read and check a file that meters are to run by, with keys and store in that directory.

    Raises ConfigError, also without a meter, and where a port would write among the node's files.
    """
    settings = load(path)
    if not settings.meter:
        raise ConfigError(f"{path}: meter: there is no [[meter]] to run")
    for who, place in settings.places():
        if place.stands_in(data_dir, OWN_FILES):
            raise ConfigError(
                f"{path}: {who} has {place.text}, which is a name of the node's own files (keys, "
                "registers): take another"
            )
        for read in (str(path), *settings.files_read()):
            if place.excludes(bearers.path_place(read)):
                raise ConfigError(f"{path}: {who} has {place.text}, which the node reads")
    return settings


def password(config: MqttConfig) -> str | None:
    """Return the broker's password, from the file where one is named.

    Raises OSError or UnicodeDecodeError, which ``load`` has told already as faults of the file.
    """
    if config.password_file is None:
        return config.password
    return Path(config.password_file).read_text("utf-8").rstrip("\n")


def _file_faults(config: MqttConfig | None) -> Iterator[str]:
    if config is None:
        return
    try:
        password(config)
    except (OSError, UnicodeDecodeError) as error:
        yield f"password_file: {config.password_file} can't be read ({_why(error)})"
    context = ssl.create_default_context()
    if config.ca_file is not None:
        try:
            context.load_verify_locations(config.ca_file)
        except OSError as error:
            yield f"ca_file: {config.ca_file} is no certificate to go by ({_why(error)})"
    if config.client_certificate is not None:
        try:
            context.load_cert_chain(config.client_certificate, config.client_key)
        except OSError as error:
            yield (
                f"client_certificate: {config.client_certificate} with {config.client_key} "
                f"can't be used ({_why(error)})"
            )


def _why(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no text"
    return error.strerror or str(error)


def _lists_as_tuples(data: Any) -> Any:
    # TOML has lists only; strict checking wants the tuples that frozen sections hold.
    if isinstance(data, dict):
        return {key: _lists_as_tuples(value) for key, value in data.items()}
    return tuple(map(_lists_as_tuples, data)) if isinstance(data, list) else data


EXAMPLE = """\
# Meter Node's configuration. Everything that is not written here has the default that the
# documentation names (docs/configuration.md).

# The broker that Home Assistant uses too. Without this section the node only measures.
[mqtt]
host = "127.0.0.1"
port = 1883
# username = "meter"
# password_file = "/etc/meter-node/mqtt-password"
# tls = true

# A Bluetooth adapter, by which Home Assistant can read the meters without a broker.
# [bluetooth]
# enabled = true
# transport = "hci-socket:0"

[[meter]]
name = "house"
model = "{model}"              # 162M: one phase, 382M: three phases
push_interval_s = 10
time_zone = "Europe/Copenhagen"
tariff = "denmark_n1"       # a preset; without this line there is one tariff

[meter.source]
kind = "simulated"          # a simulated house
annual_consumption_kwh = 4000
solar_peak_w = 6000
seed = {seed}
"""
