"""The pages and the health doors, which need no credentials."""

import re

import httpx
import pytest

from tests.acceptance.running import Up, until

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)


def outside(html: str) -> list[str]:
    """The addresses on other hosts that a page names."""
    return re.findall(r"""["'(=\s](?:https?:)?//[^"')\s]+""", html)


def test_docs_need_no_other_host(up: Up) -> None:
    """/docs loads, names no other host, and everything that it loads comes from us."""
    page = httpx.get(f"{up.url}/docs")
    assert page.status_code == 200
    assert outside(page.text) == []
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/")
        assert httpx.get(up.url + address).status_code == 200


def test_the_api_is_described(up: Up) -> None:
    """/openapi.json names the doors and their parameters."""
    found = httpx.get(f"{up.url}/openapi.json", timeout=40)
    assert found.status_code == 200
    paths = found.json()["paths"]
    start = paths["/v2/Services/{service_sid}/Verifications"]["post"]
    form = start["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert {"To", "Channel", "Locale"} <= set(form["properties"])
    assert "/v2/Services/{service_sid}/VerificationCheck" in paths
    assert {"get", "post"} <= set(paths["/v2/Services"])


def test_health(up: Up) -> None:
    """/livez answers, and /readyz says that all is well once a worker was heard of."""
    live = httpx.get(f"{up.url}/livez")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    until(lambda: httpx.get(f"{up.url}/readyz").json()["status"] == "ok", about="a heartbeat")
    ready = httpx.get(f"{up.url}/readyz")
    checks = dict.fromkeys(("broker", "database", "migrations", "worker", "relay"), "ok")
    wanted = {"status": "ok", "checks": checks, "open_circuits": [], "quiet_workers": []}
    assert (ready.status_code, ready.json()) == (200, wanted)


def test_the_phone_that_was_printed_shows_the_code(up: Up, to: str) -> None:
    """The printed link opens the phone without other credentials, and the code is on its page; it
    opens it for that browser alone."""
    up.start_code(to)
    code = up.wait(to)["code"]
    wanted = rf"{re.escape(up.url)}/sandbox/phone\?key=\w+"
    link = until(lambda: re.search(wanted, up.said()), 30)
    with httpx.Client(follow_redirects=True) as browser:
        assert browser.get(f"{up.url}/sandbox/phone").status_code == 401
        assert browser.get(link[0]).status_code == 200
        page = browser.get(f"{up.url}/sandbox/phone", params={"to": to})
    assert httpx.get(f"{up.url}/sandbox/phone", follow_redirects=True).status_code == 401
    assert f"<mark>{code}</mark>" in page.text
    assert outside(page.text) == []
