"""Checks the integration's translations against each other and against hassfest's rules.

English is what the code was written against: every other language has the same keys with the same
placeholders, no string is empty, and none holds an address or HTML (both come as placeholders).
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "custom_components" / "meter_node" / "translations"
LANGUAGES = ("da", "en")

PLACEHOLDER = re.compile(r"\{(\w+)\}")
ADDRESS = re.compile(r"\w+://|\bwww\.", re.IGNORECASE)
HTML = re.compile(r"</?[a-z][^>]*>", re.IGNORECASE)

type Tree = dict[str, "Tree | str"]


def strings(tree: Tree, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each string with its dotted key."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from strings(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def faults_of_one(language: str, texts: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with a language by itself."""
    for key, text in texts.items():
        if not isinstance(text, str):
            yield f"{language}: {key} is not a text"
        elif not text.strip():
            yield f"{language}: {key} is empty"
        elif ADDRESS.search(text):
            yield f"{language}: {key} holds an address; give it as a placeholder"
        elif HTML.search(text):
            yield f"{language}: {key} holds HTML"
        elif "[%key:" in text:
            yield f"{language}: {key} refers to another key, which a custom integration can't"


def faults_between(english: dict[str, str], language: str, texts: dict[str, str]) -> Iterator[str]:
    """Yield where a language differs from English in what must be the same."""
    for key in sorted(english.keys() - texts.keys()):
        yield f"{language}: {key} is missing"
    for key in sorted(texts.keys() - english.keys()):
        yield f"{language}: {key} is not in English"
    for key in sorted(english.keys() & texts.keys()):
        wanted, found = (set(PLACEHOLDER.findall(each[key])) for each in (english, texts))
        if wanted != found:
            yield f"{language}: {key} has placeholders {sorted(found)}, English {sorted(wanted)}"


def faults(folder: Path = FOLDER) -> list[str]:
    """Return everything that is wrong with the translations in the folder."""
    found = []
    present = {path.stem for path in folder.glob("*.json")}
    found += [f"{name}.json is missing" for name in LANGUAGES if name not in present]
    loaded = {
        name: dict(strings(json.loads((folder / f"{name}.json").read_text("utf-8"))))
        for name in sorted(present)
    }
    for language, texts in loaded.items():
        found += faults_of_one(language, texts)
        if language != "en" and "en" in loaded:
            found += faults_between(loaded["en"], language, texts)
    return found


if __name__ == "__main__":
    found = faults()
    print("\n".join(found) if found else "The translations agree.")
    sys.exit(bool(found))
