"""The Chromium of this machine, driven without a window: Debian's package `chromium` on PATH."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pyotp
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PASSWORD = "nine lives of a cat"
MISSING = "no Chromium on PATH: install it (Debian, Ubuntu: apt-get install chromium)"
# As root Chromium has no sandbox of its own; small machines have little shared memory.
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb")


def program() -> str | None:
    """Where Chromium is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser, which is closed at the end."""
    found = program()
    assert found is not None, MISSING
    options = list(OPTIONS if os.geteuid() == 0 else OPTIONS[1:])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=options)
        try:
            yield browser
        finally:
            browser.close()


def complaints(page: Page) -> list[str]:
    """What the page's console and scripts complain of, as it comes."""
    heard: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            heard.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: heard.append(f"{page.url}: {error}"))
    return heard


def enrolled(page: Page, link: str) -> str:
    """Sign in by a new operator's link, and set up password and app; the app's key."""
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/console/account")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.goto("/console/account")
    page.get_by_role("button", name="Set it up").click()
    secret = page.locator("code.copy").inner_text().replace(" ", "")
    page.get_by_label("The code it shows now").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Confirm").click()
    page.goto("/console/account")
    return secret
