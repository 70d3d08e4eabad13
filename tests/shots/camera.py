"""Takes a page light, dark and narrow, in small files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext

from tests.acceptance.running import Up
from tests.browser import NARROW, chromium, enrolled
from tests.plausible import command
from tests.shots.png import smaller

LOOKS = {
    "": ("light", {"width": 1200, "height": 760}),
    "-dark": ("dark", {"width": 1200, "height": 760}),
    "-narrow": ("light", NARROW),
}
TALLEST = 1400  # pixels of a picture


@contextmanager
def opened(up: Up) -> Iterator[BrowserContext]:
    """A browser in which an admin is signed in."""
    link = command(up, "operators", "add", "ann", "--role", "admin", "--link", "--reason", "setup")
    with chromium() as browser:
        context = browser.new_context(base_url=up.url, locale="en-GB", timezone_id="UTC")
        page = context.new_page()
        enrolled(page, link)
        page.get_by_role("link", name="Sandbox phone").click()
        page.get_by_role("heading", name="Phones").wait_for()
        page.close()
        yield context


class Camera:
    """
    :param only: take the pictures alone whose name begins so; empty for all
    """

    def __init__(self, context: BrowserContext, into: Path, only: str) -> None:
        self._page = context.new_page()
        self._into = into
        self._only = only
        into.mkdir(parents=True, exist_ok=True)

    def settle(self) -> None:
        """Wait until the overview has its failures, which are looked for now and then."""
        self._page.goto("/console/")
        self._page.get_by_role("link", name="to Kenya failed by sms").wait_for(timeout=20_000)

    def take(self, name: str, path: str) -> None:
        if not name.startswith(self._only):
            return
        for ending, (scheme, size) in LOOKS.items():
            self._page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            self._page.set_viewport_size(size)  # type: ignore[arg-type]
            self._page.goto(path)
            self._page.wait_for_timeout(400)  # charts and live parts draw themselves
            height = self._page.evaluate("document.documentElement.scrollHeight")
            self._page.set_viewport_size({**size, "height": min(max(height, 400), TALLEST)})  # type: ignore[arg-type]
            file = self._into / f"{name}{ending}.png"
            file.write_bytes(smaller(self._page.screenshot(animations="disabled", caret="hide")))
            sys.stderr.write(f"shots: {file.name}, {file.stat().st_size // 1024} KiB\n")
