"""A browser before the console of running processes, without JavaScript."""

import itertools
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import httpx

from tests.acceptance import commands
from tests.acceptance.running import Up
from tests.pages import Page

COOKIE = re.compile(r"([\w-]+)=([^;]*)")
_NUMBERS = itertools.count(os.getpid() * 1000)
PAGES = (
    *(
        "/",
        "/queues",
        "/failures",
        "/requests?since=30d",
        "/countries",
        "/countries/prefixes",
        "/senders",
        "/workers",
        "/webhooks",
    ),
    *("/limits", "/blocks", "/audit", "/bulk", "/settings", "/operators", "/account"),
    "/series.json",
)


class Console:
    """Follows links and sends forms; each is counted. Cookies go over plain HTTP, as browsers send
    them to this machine itself.
    """

    def __init__(self, up: Up) -> None:
        self._client = httpx.Client(base_url=up.url, timeout=30, trust_env=False)
        self._cookies: dict[str, str] = {}
        self.clicks = 0
        self.page = Page("")
        self.answers: list[httpx.Response] = []

    @classmethod
    def entered(cls, up: Up, link: str = "") -> "Console":
        """One that is signed in, by a link of the command line."""
        browser = cls(up)
        browser.open(link or new_link(up))
        browser.send("/console/link")
        browser.clicks = 0
        return browser

    def open(self, path: str) -> httpx.Response:
        """Go to an address."""
        return self._show(self._ask("GET", path))

    def click(self, words: str) -> httpx.Response:
        """Follow the first link that says `words`."""
        self.clicks += 1
        return self.open(self.page.link(words))

    def send(self, action: str, **fields: str) -> httpx.Response:
        """Fill a form of the page in and send it."""
        self.clicks += 1
        form = self.page.form(action)
        return self._show(self._ask("POST", form.action, data=form.fields | fields))

    def events(self) -> Iterator[dict[str, str]]:
        """The live parts of the pages, as they come."""
        with self._client.stream("GET", "/console/live", headers=self._headers()) as stream:
            assert stream.status_code == 200
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def close(self) -> None:
        self._client.close()

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._client.request(method, path, headers=self._headers(), **options)
        self.answers.append(answer)
        for kept in answer.headers.get_list("set-cookie"):
            found = COOKIE.match(kept)
            assert found is not None, kept
            self._cookies[found[1]] = found[2]
        if answer.status_code == 303:
            return self._ask("GET", answer.headers["location"])
        return answer

    def _show(self, answer: httpx.Response) -> httpx.Response:
        self.page = Page(answer.text)
        return answer


def new_link(up: Up, role: str = "admin") -> str:
    """The link of a new operator."""
    name = f"{role}{next(_NUMBERS)}"
    words = ("operators", "add", name, "--role", role, "--link", "--reason", "tests")
    code, output, errors = commands.run(words, up.environment)
    assert code == 0, errors
    return output.strip()
