"""The display's page in a real browser: digits change after a click, and nothing is refused."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from display_meters import device, flat
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from meter_node.cosem.oscillogram import Oscillogram, PhaseWave
from meter_node.ports.display.page import DisplayPage
from meter_node.ports.display.screen import Screen
from meter_node.ports.display.views import Settings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("socket_enabled")]
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--window-size=1280,930",
)
PATIENCE_S = 20.0


@pytest.fixture
async def page() -> AsyncIterator[DisplayPage]:
    shown = device()
    wave = PhaseWave([0.0, 325.0, 0.0, -325.0], [0.0, 7.0, 0.0, -7.0], 230 + 0j, 5 + 0j)
    shown.show(Oscillogram(0, 10**9, 200.0, (wave,) * 3))
    settings = Settings(scroll_s=100)
    screens = {
        "house": Screen(shown, settings=settings, clock=time.monotonic),
        "flat": Screen(flat(), settings=settings, clock=time.monotonic),
    }
    made = DisplayPage("127.0.0.1", 0, screens)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def browser(socket_enabled: None, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium, "scripts/setup --browser gets Chromium"
    assert driver, "scripts/setup --browser gets its driver"
    options = Options()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    made.set_page_load_timeout(60)
    yield made
    made.quit()


async def until(condition: Callable[[], object]) -> None:
    """Ask the browser, in a thread, until it is so; the page is served meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


async def test_the_display_lives_in_a_browser(
    page: DisplayPage, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    def digits() -> str | None:
        return browser.find_element(By.TAG_NAME, "body").get_attribute("data-digits")

    def view() -> str | None:
        return browser.find_element(By.TAG_NAME, "body").get_attribute("data-view")

    await asyncio.to_thread(browser.get, f"{page.address}/meter/house")
    await until(lambda: digits() == "0012345")
    lit = browser.find_elements(By.CSS_SELECTOR, "#lcd .digits .seg.on")
    # 0, 0, 1, 2, 3, 4, 5 have 6, 6, 2, 5, 5, 4, 5 segments
    assert len(lit) == 33
    assert len(browser.find_elements(By.CSS_SELECTOR, "#waves .wave")) == 6
    assert len(browser.find_elements(By.CSS_SELECTOR, "#phasors .phasor")) == 6

    button = browser.find_element(By.ID, "button")
    await asyncio.to_thread(button.click)
    await until(lambda: digits() == "0001000")
    assert view() == "import_active_energy_t1"

    # By the keyboard, held until the breaker's screen appears.
    await asyncio.to_thread(ActionChains(browser).key_down(" ").perform)
    await until(lambda: view() == "breaker")
    await asyncio.to_thread(ActionChains(browser).key_up(" ").perform)
    await until(lambda: view() == "import_active_energy_t1")

    picture = tmp_path / "display.png"
    assert await asyncio.to_thread(browser.save_screenshot, str(picture))
    assert picture.stat().st_size > 20_000, "not an empty page"

    await asyncio.to_thread(browser.get, page.address)
    await until(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".card .lcd .seg.on")) > 10)
    complaints = [
        entry["message"]
        for entry in await asyncio.to_thread(browser.get_log, "browser")
        if entry["level"] == "SEVERE"
    ]
    assert complaints == []
