"""Event logs and event codes: what each number in a log means, once for both ends.

Numbers below 100 and 254, 255 follow the event tables of the IDIS packages (with DSMR P2 as their
ancestor); those from 160 on are this meter's own, in a range that those tables leave to makers.
Must not know how an event comes about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from . import obis


class Log(StrEnum):
    """The meter's event logs."""

    STATUS = "status"
    FRAUD = "fraud"
    DISCONNECTOR = "disconnector"
    POWER_QUALITY = "power_quality"
    COMMUNICATION = "communication"
    CLOCK = "clock"
    NEUTRAL_FAULT = "neutral_fault"
    PROFILE_CHANGES = "profile_changes"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class LogKind:
    """One log: its logical name (class 7) and how many entries it keeps."""

    log: Log
    logical_name: obis.LogicalName
    depth: int


LOGS: dict[Log, LogKind] = {
    kind.log: kind
    for kind in (
        LogKind(Log.STATUS, obis.parse("0.0.99.98.0.255"), 200),
        LogKind(Log.FRAUD, obis.parse("0.0.99.98.1.255"), 200),
        LogKind(Log.DISCONNECTOR, obis.parse("0.0.99.98.2.255"), 200),
        LogKind(Log.POWER_QUALITY, obis.parse("0.0.99.98.4.255"), 200),
        LogKind(Log.COMMUNICATION, obis.parse("0.0.99.98.5.255"), 200),
        LogKind(Log.CLOCK, obis.parse("0.0.99.98.7.255"), 200),
        LogKind(Log.NEUTRAL_FAULT, obis.parse("0.0.99.98.8.255"), 45),
        LogKind(Log.PROFILE_CHANGES, obis.parse("0.0.99.98.9.255"), 10),
        LogKind(Log.CREDIT, obis.parse("0.0.99.98.10.255"), 200),
    )
}
"""Depths: the maker's where it names one; E = 0 to 5 as in IDIS, 7 to 10 of our own."""
LOG_BY_LOGICAL_NAME: dict[obis.LogicalName, Log] = {
    kind.logical_name: log for log, kind in LOGS.items()
}


@dataclass(frozen=True, slots=True)
class EventCode:
    """One row: number, name in code and JSON, the log it belongs to, and its text for people."""

    code: int
    name: str
    log: Log
    english: str
    danish: str


def _per_phase(first: int, name: str, log: Log, english: str, danish: str) -> tuple[EventCode, ...]:
    return tuple(
        EventCode(
            first + phase - 1, f"{name}_l{phase}", log, f"{english} L{phase}", f"{danish} L{phase}"
        )
        for phase in (1, 2, 3)
    )


CODES: tuple[EventCode, ...] = (
    EventCode(1, "power_down", Log.STATUS, "Power down", "Forsyning væk"),
    EventCode(2, "power_up", Log.STATUS, "Power up", "Forsyning tilbage"),
    EventCode(3, "daylight_saving", Log.CLOCK, "Daylight saving changed", "Sommertid skiftet"),
    EventCode(4, "clock_old", Log.CLOCK, "Clock set: old time", "Ur stillet: gammel tid"),
    EventCode(5, "clock_new", Log.CLOCK, "Clock set: new time", "Ur stillet: ny tid"),
    EventCode(6, "clock_invalid", Log.CLOCK, "Clock invalid", "Ur ugyldigt"),
    EventCode(9, "calendar_activated", Log.STATUS, "Tariffs activated", "Tariffer aktiveret"),
    EventCode(10, "errors_cleared", Log.STATUS, "Errors cleared", "Fejl kvitteret"),
    EventCode(12, "program_error", Log.STATUS, "Program checksum wrong", "Programfejl"),
    EventCode(13, "memory_error", Log.STATUS, "Memory faulty", "Hukommelsesfejl"),
    EventCode(14, "store_error", Log.STATUS, "Store faulty", "Lagerfejl"),
    EventCode(16, "measurement_error", Log.STATUS, "Measurement faulty", "Målefejl"),
    EventCode(
        19, "calendar_programmed", Log.STATUS, "Future tariffs received", "Nye tariffer modtaget"
    ),
    EventCode(40, "terminal_cover_opened", Log.FRAUD, "Terminal cover opened", "Klemdæksel åbnet"),
    EventCode(41, "terminal_cover_closed", Log.FRAUD, "Terminal cover closed", "Klemdæksel lukket"),
    EventCode(42, "magnet_on", Log.FRAUD, "Strong magnetic field", "Kraftigt magnetfelt"),
    EventCode(43, "magnet_off", Log.FRAUD, "Magnetic field gone", "Magnetfelt væk"),
    EventCode(44, "meter_cover_opened", Log.FRAUD, "Meter cover opened", "Målerdæksel åbnet"),
    EventCode(45, "meter_cover_closed", Log.FRAUD, "Meter cover closed", "Målerdæksel lukket"),
    EventCode(
        46, "authentication_failed", Log.COMMUNICATION, "Wrong password", "Forkert adgangskode"
    ),
    EventCode(47, "parameters_changed", Log.STATUS, "Parameters changed", "Parametre ændret"),
    EventCode(48, "keys_changed", Log.STATUS, "Keys changed", "Nøgler ændret"),
    EventCode(
        49, "decryption_failed", Log.COMMUNICATION, "Message not genuine", "Besked ikke ægte"
    ),
    EventCode(50, "replay", Log.COMMUNICATION, "Message repeated", "Besked gentaget"),
    EventCode(
        59, "breaker_ready", Log.DISCONNECTOR, "Ready for reconnection", "Klar til genindkobling"
    ),
    EventCode(60, "manual_disconnection", Log.DISCONNECTOR, "Off by button", "Afbrudt med knap"),
    EventCode(61, "manual_connection", Log.DISCONNECTOR, "On by button", "Indkoblet med knap"),
    EventCode(62, "remote_disconnection", Log.DISCONNECTOR, "Off remotely", "Fjernafbrudt"),
    EventCode(63, "remote_connection", Log.DISCONNECTOR, "On remotely", "Fjernindkoblet"),
    EventCode(
        64, "local_disconnection", Log.DISCONNECTOR, "Off by the meter", "Afbrudt af måleren"
    ),
    EventCode(
        65, "limiter_exceeded", Log.DISCONNECTOR, "Power limit exceeded", "Effektgrænse overskredet"
    ),
    EventCode(66, "limiter_ok", Log.DISCONNECTOR, "Below the power limit", "Under effektgrænsen"),
    EventCode(
        67, "limiter_changed", Log.DISCONNECTOR, "Power limit changed", "Effektgrænse ændret"
    ),
    EventCode(
        68,
        "breaker_failure",
        Log.DISCONNECTOR,
        "Breaker does not follow",
        "Afbryder følger ikke",
    ),
    EventCode(69, "local_connection", Log.DISCONNECTOR, "On by the meter", "Indkoblet af måleren"),
    *_per_phase(76, "under_voltage", Log.POWER_QUALITY, "Under-voltage", "Underspænding"),
    *_per_phase(79, "over_voltage", Log.POWER_QUALITY, "Over-voltage", "Overspænding"),
    *_per_phase(82, "missing_voltage", Log.POWER_QUALITY, "Missing voltage", "Manglende spænding"),
    *_per_phase(85, "voltage_normal", Log.POWER_QUALITY, "Voltage normal", "Spænding normal"),
    EventCode(
        88, "phase_order_wrong", Log.POWER_QUALITY, "Wrong phase order", "Forkert faserækkefølge"
    ),
    EventCode(89, "neutral_fault", Log.NEUTRAL_FAULT, "Neutral fault", "Fejl på nulleder"),
    EventCode(91, "current_reversed", Log.FRAUD, "Current reversed", "Strøm vendt"),
    EventCode(
        160,
        "neutral_fault_suspected",
        Log.NEUTRAL_FAULT,
        "Neutral fault suspected",
        "Mistanke om fejl på nulleder",
    ),
    EventCode(
        161, "neutral_fault_cleared", Log.NEUTRAL_FAULT, "Neutral mended", "Nulleder udbedret"
    ),
    *_per_phase(162, "sag", Log.POWER_QUALITY, "Sag", "Spændingsdyk"),
    EventCode(165, "sag", Log.POWER_QUALITY, "Sag of the supply", "Spændingsdyk i forsyningen"),
    *_per_phase(166, "swell", Log.POWER_QUALITY, "Swell", "Spændingsspids"),
    EventCode(
        169, "swell", Log.POWER_QUALITY, "Swell of the supply", "Spændingsspids i forsyningen"
    ),
    *_per_phase(170, "interruption", Log.POWER_QUALITY, "Interruption", "Afbrydelse"),
    EventCode(173, "interruption", Log.POWER_QUALITY, "Supply interrupted", "Forsyning afbrudt"),
    *_per_phase(174, "power_cut", Log.POWER_QUALITY, "Power cut", "Strømsvigt"),
    EventCode(177, "power_cut", Log.POWER_QUALITY, "Power cut of all phases", "Strømsvigt"),
    *_per_phase(178, "over_current", Log.POWER_QUALITY, "Over-current", "Overstrøm"),
    *_per_phase(
        181,
        "current_without_voltage",
        Log.FRAUD,
        "Current without voltage",
        "Strøm uden spænding",
    ),
    EventCode(
        184, "phase_order_right", Log.POWER_QUALITY, "Phase order right", "Faserækkefølge i orden"
    ),
    EventCode(185, "current_normal", Log.FRAUD, "Current normal again", "Strøm normal igen"),
    EventCode(190, "tariff_override", Log.STATUS, "Tariff overridden", "Tarif tilsidesat"),
    EventCode(
        191, "customer_counter_reset", Log.STATUS, "Trip counter reset", "Kundetæller nulstillet"
    ),
    EventCode(192, "parameters_refused", Log.STATUS, "Parameters refused", "Parametre afvist"),
    EventCode(193, "restored", Log.STATUS, "Restored from a back-up", "Gendannet fra kopi"),
    EventCode(
        194, "cloned", Log.STATUS, "A copy of this meter was found", "En kopi af måleren fundet"
    ),
    EventCode(195, "relay_switched", Log.DISCONNECTOR, "Load relay switched", "Lastrelæ skiftet"),
    EventCode(
        196, "relay_commanded", Log.DISCONNECTOR, "Load relay commanded", "Kommando til lastrelæ"
    ),
    EventCode(200, "credit_low", Log.CREDIT, "Credit low", "Lav saldo"),
    EventCode(201, "credit_exhausted", Log.CREDIT, "Credit used up", "Saldo opbrugt"),
    EventCode(202, "token_accepted", Log.CREDIT, "Token accepted", "Kode godkendt"),
    EventCode(203, "token_refused", Log.CREDIT, "Token refused", "Kode afvist"),
    EventCode(204, "prepayment_on", Log.CREDIT, "Prepayment on", "Forudbetaling til"),
    EventCode(205, "prepayment_off", Log.CREDIT, "Prepayment off", "Forudbetaling fra"),
    EventCode(
        206, "emergency_credit", Log.CREDIT, "Emergency credit taken", "Nødkredit taget i brug"
    ),
    EventCode(
        210, "profile_changed", Log.PROFILE_CHANGES, "Profile changed", "Belastningsprofil ændret"
    ),
    *_per_phase(220, "sag_over", Log.POWER_QUALITY, "Sag over", "Spændingsdyk slut"),
    EventCode(
        223,
        "sag_over",
        Log.POWER_QUALITY,
        "Sag of the supply over",
        "Spændingsdyk i forsyningen slut",
    ),
    *_per_phase(224, "swell_over", Log.POWER_QUALITY, "Swell over", "Spændingsspids slut"),
    EventCode(
        227,
        "swell_over",
        Log.POWER_QUALITY,
        "Swell of the supply over",
        "Spændingsspids i forsyningen slut",
    ),
    *_per_phase(
        228, "interruption_over", Log.POWER_QUALITY, "Interruption over", "Afbrydelse slut"
    ),
    EventCode(
        231,
        "interruption_over",
        Log.POWER_QUALITY,
        "Supply no longer interrupted",
        "Forsyning ikke længere afbrudt",
    ),
    *_per_phase(232, "power_cut_over", Log.POWER_QUALITY, "Power back", "Strømmen tilbage"),
    EventCode(
        235, "power_cut_over", Log.POWER_QUALITY, "Power of all phases back", "Strømmen tilbage"
    ),
    # Of a missing phase: it may well come back too low, which "voltage normal" would deny.
    *_per_phase(236, "voltage_returned", Log.POWER_QUALITY, "Voltage returned", "Spænding tilbage"),
    *_per_phase(239, "over_current_over", Log.POWER_QUALITY, "Over-current over", "Overstrøm slut"),
    EventCode(255, "log_cleared", Log.STATUS, "Log cleared", "Log slettet"),
)
"""Every event of the meter. `log_cleared` is written into whichever log was cleared."""

BY_NAME: dict[str, EventCode] = {code.name: code for code in CODES}
BY_CODE: dict[int, EventCode] = {code.code: code for code in CODES}
