"""What is written for people: complete in both languages, and where Home Assistant looks for it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from custom_components.meter_node import proof, reader
from custom_components.meter_node.binary_sensor import BINARY_SENSORS
from custom_components.meter_node.button import BUTTONS
from custom_components.meter_node.calendar import CALENDARS
from custom_components.meter_node.channel.event_codes import BY_NAME
from custom_components.meter_node.channel.hello import DISCOVERY_FILTER
from custom_components.meter_node.channel.kamstrup_v0001 import SCALER_PROFILES
from custom_components.meter_node.channel.security import Refusal
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.entity import MeterNodeDescription
from custom_components.meter_node.event import EVENTS
from custom_components.meter_node.select import SELECTS
from custom_components.meter_node.sensor import SENSORS
from custom_components.meter_node.switch import SWITCHES

FOLDER = Path(__file__).parents[3] / "custom_components" / DOMAIN
LANGUAGES = ("da", "en")
TABLES: dict[str, tuple[MeterNodeDescription, ...]] = {
    "binary_sensor": BINARY_SENSORS,
    "button": BUTTONS,
    "calendar": CALENDARS,
    "event": EVENTS,
    "select": SELECTS,
    "sensor": SENSORS,
    "switch": SWITCHES,
}
RAISING = (
    "actions.py",
    "asking.py",
    "control.py",
    "coordinator.py",
    "kept_frames.py",
    "verdicts.py",
)
# Never shown: a repeated frame is waited past.
UNTOLD = {Refusal.DUPLICATE, Refusal.REPLAY}


def texts(language: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "translations" / f"{language}.json").read_text())
    return loaded


def flat(tree: dict[str, Any], path: str = "") -> dict[str, str]:
    leaves: dict[str, str] = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return leaves


def test_both_languages_say_the_same_things() -> None:
    danish, english = flat(texts("da")), flat(texts("en"))
    assert danish.keys() == english.keys()
    for key, text in english.items():
        placeholders = sorted(re.findall(r"{\w+}", text))
        assert sorted(re.findall(r"{\w+}", danish[key])) == placeholders, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_holds_what_home_assistant_refuses(language: str) -> None:
    for key, text in flat(texts(language)).items():
        assert text == text.strip() != "", key
        assert "://" not in text, key
        assert not re.search(r"<\w|\[%key", text), key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("platform", TABLES)
def test_every_entity_has_a_name_of_its_own(language: str, platform: str) -> None:
    """Phase, tariff and relay are told by placeholders."""
    table, names = TABLES[platform], texts(language)["entity"][platform]
    assert set(names) == {row.translation_key for row in table}
    shown = {
        names[str(row.translation_key)]["name"].format(**(row.translation_placeholders or {}))
        for row in table
    }
    assert len(shown) == len(table)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_of_an_entity_with_a_few_is_put_into_words(language: str) -> None:
    names = texts(language)["entity"]
    for platform, row in (
        *(("sensor", row) for row in SENSORS),
        *(("select", row) for row in SELECTS),
    ):
        told = names[platform][str(row.translation_key)].get("state", {})
        assert set(told) == set(row.options or ()), row.key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_is_told_in_the_words_of_the_meters_display(language: str) -> None:
    for row in EVENTS:
        told = texts(language)["entity"]["event"][row.key]["state_attributes"]
        codes = [BY_NAME[name] for name in row.event_types or []]
        assert told["event_type"]["state"] == {
            code.name: code.danish if language == "da" else code.english for code in codes
        }
        assert set(told["log"]["state"]) == set(row.logs)
        assert set(told) == {"event_type", "log", "entry", "time", "detail"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_way_to_fail_is_put_into_words(language: str) -> None:
    source = (FOLDER / "config_flow.py").read_text()
    fields = {
        call.args[1].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "FieldError"
        and isinstance(call.args[1], ast.Constant)
    }
    frames = {reader.FOREIGN, reader.CIPHERED, reader.UNKNOWN_LIST, *Refusal}
    frames |= {proof.NO_FRAME, proof.KEPT_NOT_OPENED, proof.CONTROL_KEYS_REFUSED}
    errors = set(texts(language)["config"]["error"])
    pairing = {"no_pairing_text", "pairing_text_mistyped", "topic_silent"}
    assert errors == fields | pairing | {str(reason) for reason in frames - UNTOLD}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_abort_and_option_is_put_into_words(language: str) -> None:
    config = texts(language)["config"]
    source = (FOLDER / "config_flow.py").read_text()
    assert set(re.findall(r'async_abort\(reason="(\w+)"', source)) <= set(config["abort"])
    assert {"already_configured", "already_in_progress"} <= set(config["abort"])
    assert set(re.findall(r'async_show_form\(\s*step_id="(\w+)"', source)) == {"user"}
    assert set(config["step"]) == {"user"} | set(re.findall(r'_async_ask\("(\w+)"', source))
    assert set(texts(language)["selector"]["scaler_profile"]["options"]) == set(SCALER_PROFILES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_exception_is_put_into_words(language: str) -> None:
    sources = "".join((FOLDER / name).read_text() for name in RAISING)
    raised = set(re.findall(r'(?:translation_key=|Failure\([\w.]+, )"(\w+)"', sources))
    raised |= set(re.findall(r'"(ask_\w+)"', sources))
    raised |= set(re.findall(r'_bad\("(\w+)"', sources))
    assert raised == set(texts(language)["exceptions"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_and_what_is_wrong_with_one_is_put_into_words(language: str) -> None:
    options = texts(language)["options"]
    fields = {
        "init": {
            "scale": {"scaler_profile"},
            "tariff": {"tariff_preset"},
            "capacity": {"capacity_preset", "capacity_limit", "main_fuse"},
        },
        "prices": {
            way: {f"{way}_spot", *(f"price_t{tariff}" for tariff in range(1, 9))}
            for way in ("import", "export")
        },
    }
    assert set(options["step"]) == {*fields, "rescale"}
    assert set(options["step"]["rescale"]) == {"title", "description"}
    for step, sections in fields.items():
        told = options["step"][step]["sections"]
        assert set(told) == set(sections)
        for name, keys in sections.items():
            assert set(told[name]["data"]) == set(told[name]["data_description"]) == keys
    wrong = {"prices_incomplete", "spot_currency", "spot_missing", "spot_own", "spot_unit"}
    assert set(options["error"]) == {"limit_without_rule", "rescaling"} | {
        f"{way}_{why}" for way in ("import", "export") for why in wrong
    }


@pytest.mark.parametrize("platform", TABLES)
def test_icons_belong_to_entities(platform: str) -> None:
    icons = json.loads((FOLDER / "icons.json").read_text())["entity"]
    assert set(icons) == set(TABLES)
    assert set(icons[platform]) <= {row.translation_key for row in TABLES[platform]}


def test_the_manifest_is_as_home_assistant_and_hacs_want_it() -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    assert list(manifest) == ["domain", "name", *sorted(set(manifest) - {"domain", "name"})]
    assert manifest["domain"] == DOMAIN
    assert manifest["requirements"] == []
    assert manifest["mqtt"] == [DISCOVERY_FILTER]
    assert manifest["after_dependencies"] == sorted(manifest["after_dependencies"])
    for key in ("codeowners", "documentation", "issue_tracker", "name", "version"):
        assert manifest[key]


@pytest.mark.parametrize(("name", "size"), [("icon.png", 256), ("icon@2x.png", 512)])
def test_the_icon_has_the_size_that_brands_have(name: str, size: int) -> None:
    header = (FOLDER / "brand" / name).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (size, size)
