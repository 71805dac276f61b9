"""The node's configuration: one TOML file, checked whole before anything starts.

Must not start or open anything but the file. What is wrong is told with file, key and reason.
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from meter_node.meter.variant import Variant
from meter_node.sources.house import LEAST_ANNUAL_KWH

FILE_NAME = "meter_node.toml"
FASTEST_BAUDRATE = 4_000_000


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


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"no time zone {name!r}; for example Europe/Copenhagen")
    return name


def _divides_a_day(seconds: int) -> int:
    if 86_400 % seconds:
        raise ValueError(
            f"{seconds} s does not divide a day evenly, so that pushes would drift from the clock; "
            "take for example 1, 5, 10, 60 or 3600"
        )
    return seconds


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
    source: SimulatedSourceConfig

    @model_validator(mode="after")
    def _offered(self) -> Self:
        self.variant()  # raises VariantError, a ValueError
        return self

    def variant(self) -> Variant:
        """Return what this meter is made as."""
        phases = self.phases or {"162M": 1, "382M": 3}[self.model]
        return Variant(self.model, phases, self.current_range, self.breaker, self.relays)

    def zone(self) -> ZoneInfo:
        """Return the meter's local time zone."""
        return ZoneInfo(self.time_zone)


def _line(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme == "tcp" and parts.hostname and parts.port:
        return address  # urlsplit itself refuses a port beyond 65535
    if parts.scheme in ("serial", "file") and (parts.netloc or parts.path):
        baudrate = parse_qs(parts.query).get("baudrate", ["2400"])[0]
        if parts.scheme == "file" or (
            baudrate.isdecimal() and 50 <= int(baudrate) <= FASTEST_BAUDRATE
        ):
            return address
    raise ValueError(
        f"{address!r} is none of tcp://host:port, serial:///dev/ttyUSB0?baudrate=2400, file:path"
    )


class BridgeConfig(_Section):
    """A real meter's customer port."""

    source: Annotated[str, AfterValidator(_line)]
    push_interval_s: int = Field(default=10, ge=1, le=3600)


class Config(_Section):
    """The whole file."""

    mqtt: MqttConfig | None = None
    store: StoreConfig = StoreConfig()
    meter: tuple[MeterConfig, ...] = ()
    bridge: BridgeConfig | None = None

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [meter.name for meter in self.meter]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two meters are called {', '.join(twice)}")
        return self


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
        faults = [
            f"{path}: {_key(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False)
        ]
    else:
        # What the file names must be there too, before anything is begun.
        faults = [f"{path}: mqtt.{fault}" for fault in _file_faults(settings.mqtt)]
    if faults:
        raise ConfigError("\n".join(faults))
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
        yield f"password_file: {config.password_file} can't be read ({_reason(error)})"
    context = ssl.create_default_context()
    if config.ca_file is not None:
        try:
            context.load_verify_locations(config.ca_file)
        except OSError as error:
            yield f"ca_file: {config.ca_file} is no certificate to go by ({_reason(error)})"
    if config.client_certificate is not None:
        try:
            context.load_cert_chain(config.client_certificate, config.client_key)
        except OSError as error:
            yield (
                f"client_certificate: {config.client_certificate} with {config.client_key} "
                f"can't be used ({_reason(error)})"
            )


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no text"
    return error.strerror or str(error)


def _lists_as_tuples(data: dict[str, Any]) -> dict[str, Any]:
    # TOML has lists only; strict checking wants the tuples that frozen sections hold.
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _key(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(file)"


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

[[meter]]
name = "house"
model = "{model}"              # 162M: one phase, 382M: three phases
push_interval_s = 10
time_zone = "Europe/Copenhagen"

[meter.source]
kind = "simulated"          # a simulated house
annual_consumption_kwh = 4000
solar_peak_w = 6000
seed = {seed}
"""
