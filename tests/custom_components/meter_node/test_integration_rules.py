"""What hassfest and HACS ask of a custom integration, as far as that needs no network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import voluptuous as vol
from homeassistant.const import Platform
from homeassistant.util.yaml import load_yaml_dict

from custom_components.meter_node.const import DOMAIN, PLATFORMS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "custom_components" / DOMAIN
LANGUAGES = sorted(path.stem for path in (FOLDER / "translations").glob("*.json"))

BRONZE = """action-setup appropriate-polling brands common-modules config-flow-test-coverage
config-flow dependency-transparency docs-actions docs-triggers docs-conditions
docs-high-level-description docs-installation-instructions docs-removal-instructions
entity-event-setup entity-unique-id has-entity-name runtime-data test-before-configure
test-before-setup unique-config-entry"""
SILVER = """action-exceptions config-entry-unloading docs-configuration-parameters
docs-installation-parameters entity-unavailable integration-owner log-when-unavailable
parallel-updates reauthentication-flow test-coverage"""
GOLD = """devices diagnostics discovery discovery-update-info docs-data-update docs-examples
docs-known-limitations docs-supported-devices docs-supported-functions docs-troubleshooting
docs-use-cases dynamic-devices entity-category entity-device-class entity-disabled-by-default
entity-translations exception-translations icon-translations reconfiguration-flow repair-issues
stale-devices"""
PLATINUM = "async-dependency inject-websession strict-typing"
RULES = [rule for level in (BRONZE, SILVER, GOLD, PLATINUM) for rule in level.split()]

# What a manifest may hold (custom integrations: without "disabled", with "version").
MANIFEST = vol.Schema(
    {
        vol.Required("domain"): DOMAIN,
        vol.Required("name"): vol.All(str, vol.Length(min=1)),
        vol.Required("integration_type"): vol.In(
            ("device", "entity", "hardware", "helper", "hub", "service", "system")
        ),
        vol.Required("config_flow"): True,
        vol.Required("documentation"): vol.Match(r"^https://"),
        vol.Required("issue_tracker"): vol.Match(r"^https://"),
        vol.Required("codeowners"): vol.All([vol.Match(r"^@[\w-]+$")], vol.Length(min=1)),
        vol.Required("iot_class"): vol.In(
            (
                *("assumed_state", "calculated", "cloud_polling", "cloud_push"),
                *("local_polling", "local_push"),
            )
        ),
        vol.Required("version"): vol.Match(r"^\d+\.\d+\.\d+$"),
        vol.Required("requirements"): [str],
        vol.Required("quality_scale"): "custom",
        vol.Optional("dependencies"): [str],
        vol.Optional("after_dependencies"): [str],
        vol.Optional("mqtt"): [str],
        vol.Optional("bluetooth"): [dict],
        vol.Optional("loggers"): [str],
        vol.Optional("single_config_entry"): bool,
    }
)

# HACS's own schemas: of its file, and of what it wants of a manifest.
HACS_FILE = vol.Schema(
    {
        vol.Required("name"): str,
        vol.Optional("content_in_root"): bool,
        vol.Optional("country"): vol.Any(str, [str]),
        vol.Optional("filename"): str,
        vol.Optional("hacs"): str,
        vol.Optional("hide_default_branch"): bool,
        vol.Optional("homeassistant"): vol.Match(r"^\d{4}\.\d{1,2}\.\d+$"),
        vol.Optional("persistent_directory"): str,
        vol.Optional("render_readme"): bool,
        vol.Optional("zip_release"): bool,
    }
)
HACS_MANIFEST = vol.Schema(
    {
        vol.Required("codeowners"): list,
        vol.Required("documentation"): str,
        vol.Required("domain"): str,
        vol.Required("issue_tracker"): str,
        vol.Required("name"): str,
        vol.Required("version"): str,
    },
    extra=vol.ALLOW_EXTRA,
)

# The parts that hassfest knows of a custom integration's translations.
CATEGORIES = {
    *("common", "conditions", "config", "config_panel", "config_subentries", "conversation"),
    *("device", "device_automation", "entity", "entity_component", "exceptions", "issues"),
    *("options", "preview_features", "selector", "services", "system_health", "title", "triggers"),
}
KEY = re.compile(r"^(?!.*__)[a-z0-9](?:[a-z0-9_]*[a-z0-9])?$")
"""What Home Assistant allows for a key: lower-case letters, digits and single underscores."""


def loaded(*path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FOLDER.joinpath(*path).read_text())
    return content


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        found |= leaves(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
    return found


# --- the quality scale ---------------------------------------------------------------------------


def scale() -> dict[str, Any]:
    rules: dict[str, Any] = load_yaml_dict(FOLDER / "quality_scale.yaml")["rules"]
    return rules


def test_there_are_fifty_four_rules_and_each_is_answered() -> None:
    assert [len(level.split()) for level in (BRONZE, SILVER, GOLD, PLATINUM)] == [20, 10, 21, 3]
    assert list(scale()) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_done_or_exempt_with_its_reason(rule: str) -> None:
    answer = scale()[rule]
    if answer != "done":
        assert answer["status"] == "exempt"
        assert len(answer["comment"]) > 20


DOCUMENTED = {
    "docs-actions": "## Actions",
    "docs-configuration-parameters": "## Configuration parameters",
    "docs-data-update": "## Data updates",
    "docs-examples": "## Examples",
    "docs-high-level-description": "# Meter Node in Home Assistant",
    "docs-installation-instructions": "## Installation",
    "docs-installation-parameters": "## Installation parameters",
    "docs-known-limitations": "## Known limitations",
    "docs-removal-instructions": "## Removal",
    "docs-supported-devices": "## Supported devices",
    "docs-supported-functions": "## Supported functions",
    "docs-troubleshooting": "## Troubleshooting",
    "docs-use-cases": "## Use cases",
}


@pytest.mark.parametrize("rule", DOCUMENTED)
def test_what_a_rule_wants_documented_has_its_section(rule: str) -> None:
    lines = (ROOT / "docs" / "home-assistant.md").read_text().splitlines()
    assert DOCUMENTED[rule] in lines


@pytest.mark.parametrize("page", ["README.md", "docs/home-assistant.md"])
def test_every_picture_and_page_that_is_linked_is_there(page: str) -> None:
    file = ROOT / page
    linked = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", file.read_text())
    assert linked
    assert [name for name in linked if not (file.parent / name).exists()] == []


def test_every_platform_says_how_many_updates_it_bears_at_once() -> None:
    for platform in PLATFORMS:
        assert "\nPARALLEL_UPDATES = " in (FOLDER / f"{platform}.py").read_text(), platform


def test_the_types_are_there_for_others_too() -> None:
    assert (FOLDER / "py.typed").exists()


# --- hassfest ------------------------------------------------------------------------------------


def test_the_manifest_holds_what_it_must_and_nothing_unknown() -> None:
    manifest = loaded("manifest.json")
    MANIFEST(manifest)
    assert list(manifest) == ["domain", "name", *sorted(manifest.keys() - {"domain", "name"})]
    for key in ("dependencies", "after_dependencies", "mqtt"):
        assert manifest[key] == sorted(manifest[key])
    assert not set(manifest["dependencies"]) & set(manifest["after_dependencies"])


def test_every_integration_that_is_imported_is_declared_or_there_anyway() -> None:
    """hassfest's rule of dependencies: what is not in the manifest may not be imported."""
    manifest = loaded("manifest.json")
    declared = {*manifest["dependencies"], *manifest["after_dependencies"]}
    # Platforms, and what hassfest lets everyone use.
    anyway = {str(platform) for platform in Platform} | {
        *("bluetooth", "diagnostics", "repairs", "automation", "persistent_notification"),
    }
    imported = {
        name
        for file in FOLDER.rglob("*.py")
        for name in re.findall(
            r"^\s*from homeassistant\.components(?:\.| import )(\w+)",
            file.read_text(),
            re.MULTILINE,
        )
    }
    assert imported <= declared | anyway


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_have_known_parts_keys_and_plain_texts(language: str) -> None:
    texts = loaded("translations", f"{language}.json")
    assert set(texts) <= CATEGORIES
    assert not (FOLDER / "strings.json").exists()
    for path, text in leaves(texts).items():
        assert isinstance(text, str), path
        assert text == text.strip() != "", path
        assert not re.search(r"://|\bwww\.|<[a-z/]|\[%key", text, re.IGNORECASE), path
        for key in path:
            assert KEY.match(key), path


def test_all_languages_have_the_same_keys() -> None:
    assert LANGUAGES == ["da", "en"]
    danish, english = (set(leaves(loaded("translations", f"{name}.json"))) for name in LANGUAGES)
    assert danish == english


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_issue_is_described_or_repaired_but_not_both(language: str) -> None:
    for key, issue in loaded("translations", f"{language}.json")["issues"].items():
        assert set(issue) in ({"title", "description"}, {"title", "fix_flow"}), key


def test_icons_are_those_of_material_design() -> None:
    icons = loaded("icons.json")
    assert set(icons) <= {"conditions", "entity", "services", "triggers"}
    for path, icon in leaves(icons).items():
        assert re.fullmatch(r"mdi:[a-z0-9-]+", icon), path


def actions() -> dict[str, Any]:
    path = FOLDER / "services.yaml"
    return load_yaml_dict(path) if path.exists() else {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_and_field_is_put_into_words_and_has_an_icon(language: str) -> None:
    described = loaded("translations", f"{language}.json").get("services", {})
    assert set(described) == set(actions())
    assert set(loaded("icons.json").get("services", {})) == set(actions())
    for name, action in actions().items():
        fields = (action or {}).get("fields", {})
        assert set(described[name].get("fields", {})) == set(fields), name
        assert {"name", "description"} <= set(described[name]), name
        for field in fields:
            assert {"name", "description"} <= set(described[name]["fields"][field]), field


def test_every_action_stands_in_the_documentation() -> None:
    documentation = (ROOT / "docs" / "home-assistant.md").read_text()
    for name in actions():
        assert f"`{DOMAIN}.{name}`" in documentation, name


# --- HACS ----------------------------------------------------------------------------------------


def test_hacs_takes_the_repository() -> None:
    HACS_FILE(json.loads((ROOT / "hacs.json").read_text()))
    HACS_MANIFEST(loaded("manifest.json"))
    integrations = [path for path in (ROOT / "custom_components").iterdir() if path.is_dir()]
    assert [path.name for path in integrations if path.name != "__pycache__"] == [DOMAIN]
    assert (FOLDER / "brand" / "icon.png").exists()
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert (ROOT / "README.md").exists()
