"""Calls back as Twilio does: forms signed with the auth token, in order, tried three times."""

import asyncio
import json
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
import structlog
from twilio.request_validator import (  # type: ignore[import-untyped, unused-ignore]
    RequestValidator,
)

from api_stub.sandbox.store import Item, Store
from worker.settings import Settings

log = structlog.get_logger()
PAUSES = (0.2, 0.6)
TIMEOUT = httpx.Timeout(5.0, connect=2.0)
AT_ONCE = 16  # httpx's pool slows down when hundreds wait in it


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Callbacks:
    """Signed requests to our own side only: loopback, and the host of `SENDCODE_PUBLIC_URL`.

    :param target: send what is for `SENDCODE_PUBLIC_URL` to this base instead (a container's
        inside address); the signature stays over the public URL, as behind a proxy
    """

    def __init__(self, store: Store, settings: Settings, target: str) -> None:
        self._store = store
        self._public = settings.base_url
        self._target = target.rstrip("/")
        self._validator = RequestValidator(settings.first_sender.auth_token)
        self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._senders: dict[int, asyncio.Task[None]] = {}

    async def close(self) -> None:
        senders = list(self._senders.values())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        await self._client.aclose()

    def queue(self, item: Item, params: dict[str, str]) -> None:
        """Send a status of the item after those before it, in the manner its fault orders."""
        url = item.param("StatusCallback")
        if not url or item.callbacks == "none":
            return
        for _ in range(2 if item.callbacks == "twice" else 1):
            self._store.db.execute(
                "INSERT INTO callbacks (item, url, params) VALUES (?, ?, ?)",
                (item.id, url, json.dumps(params)),
            )
        if item.callbacks != "reversed" or item.final:
            self.flush(item)

    def resume(self) -> None:
        """Send what an earlier run left."""
        for row in self._store.db.execute("SELECT DISTINCT item FROM callbacks").fetchall():
            item = self._store.one("id = ?", row["item"])
            if item and (item.callbacks != "reversed" or item.final):
                self.flush(item)

    def flush(self, item: Item) -> None:
        if item.id not in self._senders:
            sender = asyncio.create_task(self._send(item.id, item.callbacks == "reversed"))
            self._senders[item.id] = sender

    async def _send(self, item: int, newest_first: bool) -> None:
        order = "DESC" if newest_first else "ASC"
        query = f"SELECT * FROM callbacks WHERE item = ? ORDER BY id {order}"  # noqa: S608
        try:
            while row := self._store.db.execute(query, (item,)).fetchone():
                await self.post(row["url"], json.loads(row["params"]))
                self._store.db.execute("DELETE FROM callbacks WHERE id = ?", (row["id"],))
        finally:
            del self._senders[item]

    async def post(self, url: str, params: dict[str, str]) -> str | None:
        """POST the signed form and give the answer's text, or None when there was none."""
        address = self._address(url)
        if address is None:
            log.warning("sandbox.callback_refused")  # to a host that is not ours
            return None
        signature = self._validator.compute_signature(url, params)
        headers = {"X-Twilio-Signature": signature, "User-Agent": "TwilioProxy/1.1"}
        for pause in (*PAUSES, None):
            try:
                async with self._room:
                    response = await self._client.post(address, data=params, headers=headers)
                if response.status_code < 500:
                    return response.text if response.is_success else None
            except (httpx.HTTPError, httpx.InvalidURL):
                pass  # the next try, or the warning below, is the answer to it
            if pause is not None:
                await asyncio.sleep(pause)
        log.warning("sandbox.callback_given_up", tries=len(PAUSES) + 1)
        return None

    def _address(self, url: str) -> str | None:
        if self._target and url.startswith(f"{self._public}/"):
            return self._target + url[len(self._public) :]
        host = urlsplit(url).hostname or ""
        return url if _loopback(host) or host == urlsplit(self._public).hostname else None
