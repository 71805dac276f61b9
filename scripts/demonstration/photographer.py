"""Takes pictures of pages in a headless Chromium. Must not know what is on them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CARDS_S = 12.0
"""Cards, graphs and icons arrive one after the other for some ten seconds."""
_DIALOG_S = 4.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--lang=en",
)

# A page of Home Assistant is elements within elements, each with a tree of its own.
_FIND = """
const within = (root, selector) => {
  const found = root.querySelector(selector);
  if (found) return found;
  for (const element of root.querySelectorAll("*")) {
    const deeper = element.shadowRoot && within(element.shadowRoot, selector);
    if (deeper) return deeper;
  }
  return null;
};
let element = document;
for (const selector of arguments[0]) {
  element = within(element.shadowRoot ?? element, selector) ?? within(element, selector);
  if (!element) return selector;
}
element.click();
return null;
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A page below the address, the file for it, and what is clicked before it is taken."""

    page: str
    file: str
    width: int
    height: int
    clicks: tuple[tuple[str, ...], ...] = ()
    """Each by selectors, one within the other."""
    then: tuple[tuple[str, ...], ...] = ()
    """What is clicked after it was taken."""
    remembered: tuple[tuple[str, str], ...] = ()
    """What the browser is to remember of earlier visits (of its local storage)."""
    is_phone: bool = False

    def to_text(self) -> str:
        """Return it as the photographer's process takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what ``to_text`` wrote."""
        fields: dict[str, Any] = json.loads(text)
        for name in ("clicks", "then", "remembered"):
            fields[name] = tuple(tuple(one) for one in fields[name])
        return cls(**fields)


def take(address: str, pictures: Sequence[Picture], profile: Path) -> None:
    """Write each picture into its file. Raises OSError where that can't be done."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.set_page_load_timeout(60)
        browser.get(address)  # what all pages share is loaded, and kept, before the first picture
        time.sleep(CARDS_S)
        for picture in pictures:
            _take(browser, address, picture)
    finally:
        browser.quit()


def _take(browser: webdriver.Chrome, address: str, picture: Picture) -> None:
    screen = {
        "width": picture.width,
        "height": picture.height,
        "deviceScaleFactor": 1,
        "mobile": picture.is_phone,
    }
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    for name, value in picture.remembered:
        browser.execute_script("localStorage.setItem(...arguments)", name, value)
    browser.get(address + picture.page)
    time.sleep(CARDS_S)
    _click(browser, picture.page, picture.clicks)
    file = Path(picture.file)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not browser.save_screenshot(str(file)):
        raise OSError(f"{file} could not be written")
    _click(browser, picture.page, picture.then)


def _click(browser: webdriver.Chrome, page: str, clicks: Sequence[tuple[str, ...]]) -> None:
    for click in clicks:
        missing = browser.execute_script(_FIND, list(click))
        if missing is not None:
            raise OSError(f"{page}: there is no {missing} to click on")
        time.sleep(_DIALOG_S)


def main() -> int:
    """Take pictures as a process of its own, so that the browser can be ended with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("zone", help="in whose time the pages are shown")
    parser.add_argument("profile", type=Path, help="the browser's folder")
    parser.add_argument("pictures", nargs="+", type=Picture.from_text, help="JSON")
    arguments = parser.parse_args()
    os.environ["TZ"] = arguments.zone  # a page shows its browser's time
    take(arguments.address, arguments.pictures, arguments.profile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
