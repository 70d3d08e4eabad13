"""usage: ./dev shots [--only NAME] [--into FOLDER]

Starts a stack with a busy evening in it and takes every page light, dark and at a phone's width,
into docs/img. Needs Chromium on PATH (Debian, Ubuntu: apt-get install chromium). Nothing leaves
the machine.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests import plausible
from tests.acceptance.running import Up
from tests.browser import MISSING, program
from tests.shots.camera import Camera, opened

IMAGES = Path(__file__).parents[2] / "docs" / "img"
CONSOLE = {
    "overview": "/",
    "queues": "/queues",
    "failures": "/failures",
    "group": "/failures/group?code=21408&channel=sms&country=KE&since=1h",
    "stop": "/act/pause?kind=country&name=KE",
    "requests": "/requests?since=24h",
    "request": "/requests/{failed}",
    "countries": "/countries",
    "prefixes": "/countries/prefixes",
    "senders": "/senders",
    "workers": "/workers",
    "limits": "/limits",
    "blocks": "/blocks",
    "bulk": "/bulk",
    "job": "/bulk/{job}",
    "webhooks": "/webhooks",
    "audit": "/audit",
    "settings": "/settings",
    "operators": "/operators",
    "account": "/account",
}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(usage=(__doc__ or "").partition("usage: ")[2])
    parser.add_argument("--only", default="")
    parser.add_argument("--into", type=Path, default=IMAGES)
    asked = parser.parse_args(words)
    if program() is None:
        sys.stderr.write(f"shots: {MISSING}\n")
        return 1
    base = Path(tempfile.mkdtemp(prefix="sc-", dir="/tmp"))
    up = Up(base, SENDCODE_PRICES=plausible.PRICES)
    try:
        up.start()
        _take(up, asked.only, asked.into)
        up.stop()
    finally:
        up.kill()
        up.close()
        shutil.rmtree(base, ignore_errors=True)
    return 0


def _take(up: Up, only: str, into: Path) -> None:
    with opened(up) as context:
        camera = Camera(context, into, only)
        for name, path in phone(up):
            camera.take(name, path)
        plausible.evening(up)
        camera.settle()
        for name, path in console(up):
            camera.take(f"console-{name}", path)


def phone(up: Up) -> list[tuple[str, str]]:
    """The sandbox's phone, while a call asks for a key."""
    call = plausible.on_the_phone(up)
    plausible.told(up, call, "answer")
    plausible.asked(up, call)
    return [("phone", f"/sandbox/phone?to=%2B{plausible.PHONE[1:]}")]


def console(up: Up) -> list[tuple[str, str]]:
    """The console's pages, with what they show."""
    query = "SELECT verification_sid AS sid FROM deliveries WHERE state = 'failed' ORDER BY sid"
    found = {
        "failed": up.rows(query)[0]["sid"],
        "job": up.rows("SELECT sid FROM bulk_jobs")[0]["sid"],
    }
    return [(name, "/console" + path.format(**found)) for name, path in CONSOLE.items()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
