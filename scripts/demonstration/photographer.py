"""Takes pictures of pages in a headless Chromium. Must not know what is on them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CARDS_S = 12.0
"""Cards, graphs and icons arrive one after the other for some ten seconds."""
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--lang=en",
)


def missing_programs() -> list[str]:
    """Return what must be installed first."""
    return [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]


def take(address: str, pages: dict[str, Path], width: int, height: int, profile: Path) -> None:
    """Write a picture of each page (path below the address) into its file.

    Raises OSError where that can't be done.
    """
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.set_page_load_timeout(60)
        for page, file in pages.items():
            browser.get(address + page)
            time.sleep(CARDS_S)
            file.parent.mkdir(parents=True, exist_ok=True)
            if not browser.save_screenshot(str(file)):
                raise OSError(f"{file} could not be written")
    finally:
        browser.quit()


def main() -> int:
    """Take pictures as a process of its own, so that the browser can be ended with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("profile", type=Path, help="the browser's folder")
    parser.add_argument("size", help="WIDTHxHEIGHT")
    parser.add_argument("pages", nargs="+", help="PAGE=FILE")
    arguments = parser.parse_args()
    width, height = (int(number) for number in arguments.size.split("x"))
    pages = {page: Path(file) for page, _, file in (p.partition("=") for p in arguments.pages)}
    os.environ["TZ"] = "Europe/Copenhagen"  # a page shows its browser's time
    take(arguments.address, pages, width, height, arguments.profile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
