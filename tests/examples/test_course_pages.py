"""The lessons and the playground in a browser: no error, and a slider changes the picture.

They need Chromium with its driver (on Debian: chromium, chromium-driver), selenium and marimo:

    MINIGRAD_SCREENSHOTS=folder python -m pytest -m browser

writes each page, wide and narrow, light and dark, to folder/*.png.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

COURSE = Path(__file__).parents[2] / "examples" / "course"
PAGES = [*sorted(COURSE.glob("[0-9]*.py")), COURSE / "playground.py"]
WIDTHS = {"wide": 1400, "narrow": 420}
PATIENCE = 120  # seconds: lesson 6 trains networks

# marimo draws some of its elements in shadow roots, which querySelectorAll does not enter.
FIND = """
const found = [];
function search(root) {
    for (const x of root.querySelectorAll("*")) {
        if (x.matches(arguments[1])) found.push(x);
        if (x.shadowRoot) search(x.shadowRoot, arguments[1]);
    }
}
search(document, arguments[0]);
return found
"""


@pytest.fixture(scope="module")
def browser():
    """Return Chromium without a window."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    pytest.importorskip("marimo", reason="needs marimo")
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")  # containers have a small /dev/shm
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # the sandbox refuses root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


@contextmanager
def served(page, folder):
    """Run `marimo run` for a page; return its address. Check at the end what it has printed."""
    (folder / "marimo").mkdir()
    (folder / "marimo" / "marimo.toml").write_text('[display]\ntheme = "system"\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", page, "--headless", "--no-token"]
    command += ["--host", "127.0.0.1", "--port", f"{port}"]
    env = os.environ | {"XDG_CONFIG_HOME": f"{folder}", "MPLBACKEND": "Agg"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=env)
        try:
            wait_until(lambda: is_open(port) or server.poll() is not None, "the server answers")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)
    printed = (folder / "log").read_text()
    assert "Traceback" not in printed and "Warning" not in printed, printed


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_true, what):
    """Return the first true result; fail after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not (result := is_true()):
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)
    return result


def find(browser, selector):
    return browser.execute_script(FIND, selector)


def pictures(browser):
    script = FIND.replace("return found", "return found.map((image) => image.src)")
    return browser.execute_script(script, "img")


def settled_pictures(browser):
    """Return the pictures when they have been the same for half a second."""

    def same():
        before = pictures(browser)
        time.sleep(0.5)
        return before == pictures(browser) and before

    return wait_until(same, "the pictures are there")


def move(browser, thumb):
    """Move a slider by one key, to the side where there is room; wait for other pictures."""
    from selenium.webdriver.common.keys import Keys

    before, value = pictures(browser), thumb.get_attribute("aria-valuenow")
    is_last = value == thumb.get_attribute("aria-valuemax")
    thumb.send_keys(Keys.ARROW_LEFT if is_last else Keys.ARROW_RIGHT)
    wait_until(lambda: thumb.get_attribute("aria-valuenow") != value, "the slider has moved")
    wait_until(lambda: pictures(browser) != before, "the slider has changed a picture")
    settled_pictures(browser)


def assert_no_error(browser, address):
    """Fail if a cell or the console has an error, or if the page needs another host."""
    assert [error.text for error in find(browser, ".marimo-error")] == []
    for entry in browser.get_log("browser"):
        is_error = entry["level"] == "SEVERE" or "internal error" in entry["message"]  # of a cell
        assert not is_error or "/favicon.ico" in entry["message"], entry["message"]
    urls = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    for url in browser.execute_script(urls):
        assert url.startswith((address, "data:", "blob:")), f"from another host: {url}"


def assert_fits(browser, width):
    """Fail if a picture or a slider does not fit in the window."""
    for element in find(browser, "img, [role=slider]"):
        box = element.rect
        assert 0 <= box["x"] and box["x"] + box["width"] <= width, f"outside the window: {box}"


def show(browser, address, width, scheme):
    """Open the page in a window of this width, in light or dark colours."""
    set_window(browser, width, 900)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address)


def set_window(browser, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def save_screenshot(browser, width, file):
    """Save the whole page, also what is below the window."""
    height = "return document.querySelector('#App').scrollHeight"
    set_window(browser, width, browser.execute_script(height))
    assert browser.save_screenshot(f"{file}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_no_error_fits_its_window_and_follows_its_sliders(page, browser, tmp_path):
    folder = Path(os.environ.get("MINIGRAD_SCREENSHOTS", tmp_path)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with served(page, tmp_path) as address:
        for (window, width), scheme in product(WIDTHS.items(), ("light", "dark")):
            show(browser, address, width, scheme)
            settled_pictures(browser)
            is_dark = "return document.body.classList.contains('dark')"
            assert browser.execute_script(is_dark) == (scheme == "dark")
            assert_no_error(browser, address)
            assert_fits(browser, width)
            save_screenshot(browser, width, folder / f"{page.stem}_{window}_{scheme}.png")
            thumbs = find(browser, "[role=slider]")
            for thumb in dict.fromkeys([*thumbs[:2], thumbs[-1]]):
                move(browser, thumb)
            assert_no_error(browser, address)
