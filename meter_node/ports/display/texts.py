"""The display's and its page's texts that belong to no view, in English and Danish."""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.ports.display.views import Language


@dataclass(frozen=True, slots=True)
class Text:
    """One text in both languages."""

    english: str
    danish: str

    def of(self, language: Language, **numbers: float) -> str:
        """Return it in a language, with the numbers that it names."""
        return (self.danish if language == "da" else self.english).format(**numbers)


TEXTS: dict[str, Text] = {
    "no_entries": Text("No entries yet", "Ingen værdier endnu"),
    "held_short": Text("Release: next", "Slip: næste"),
    "held_medium": Text("Release: other list", "Slip: anden liste"),
    "held_long": Text("Held for the breaker", "Holdt for afbryder"),
    "held_long_alone": Text("No breaker here", "Ingen afbryder her"),
    "held_ready": Text("Closes the breaker", "Slutter afbryderen"),
    "button": Text("Button", "Knap"),
    "button_help": Text(
        "Short push: next view. 2 s: other list or load profile. {hold_s:g} s: the breaker's.",
        "Kort tryk: næste visning. 2 s: anden liste eller lastprofil. {hold_s:g} s: afbryderens.",
    ),
    "phasors": Text("Phasors", "Viserdiagram"),
    "waveforms": Text("Waveforms", "Kurveformer"),
    "no_picture": Text("Nothing is being sampled now", "Der samples intet nu"),
    "voltage": Text("Voltage", "Spænding"),
    "current": Text("Current", "Strøm"),
    "alarms": Text("Alarms", "Alarmer"),
    "no_alarms": Text("None", "Ingen"),
    "token": Text("Top-up token", "Optankningskode"),
    "enter": Text("Enter", "Indtast"),
    "credit": Text("Credit left", "Saldo"),
    "meters": Text("Meters", "Målere"),
    "lost": Text("No connection to the node; trying again", "Ingen forbindelse; prøver igen"),
    "software_meter": Text("Software meter, not for billing", "Softwaremåler, ikke til afregning"),
}
