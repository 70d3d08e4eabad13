"""HTTP to a provider: one pool per process, and a sure word on whether a request was written."""

import base64
import logging
import math
import re
import string
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ReadTimeoutError

from worker.errors import OutcomeUnknownError

ALWAYS_SAFE = frozenset(string.ascii_letters + string.digits + "_.-~")

# urllib3 logs URLs, and a look-up's query names the number.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class NotSentError(Exception):
    """Not a byte of the request was written, so the provider cannot have taken it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, whatever its status; header names in any case."""

    status: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def retry_after(self) -> float | None:
        """Seconds asked for by Retry-After, given in seconds or as a date; None if unreadable."""
        asked = self.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"[0-9]{1,9}", asked):
            return float(asked)
        try:
            return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None


class _Request(threading.local):
    """How far this thread's request has come."""

    written = False
    write_by = math.inf


_request = _Request()


def _about_to_write(connection: HTTPConnection) -> None:
    if connection.sock is None:
        connection.connect()
    if not _request.written and time.monotonic() > _request.write_by:
        raise ConnectTimeoutError(connection, "connected too late to write")
    _request.written = True


class _Http(HTTPConnection):
    def send(self, data: Any) -> None:
        _about_to_write(self)
        super().send(data)


class _Https(HTTPSConnection):
    def send(self, data: Any) -> None:
        _about_to_write(self)
        super().send(data)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class PooledHttpClient:
    """Sends form requests over kept connections. Follows no redirect, repeats nothing.

    A kept connection that the server closed meanwhile is noticed and replaced before it is used;
    if the close crosses our request on the way, the outcome is unknown like any other reset.

    :param connect_timeout: seconds for each address tried, and for each step of TLS
    :param read_timeout: seconds of silence after the request
    :param slots: connections kept, at least the number of threads that send
    """

    def __init__(self, connect_timeout: float, read_timeout: float, slots: int) -> None:
        self._timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._pool_timeout: Any = connect_timeout
        self._pools = PoolManager(maxsize=slots, block=True)
        self._pools.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        self._of_base: dict[str, HTTPConnectionPool] = {}

    @staticmethod
    def write_within(seconds: float) -> None:
        """This thread's requests are written within `seconds` from now, or not at all.

        Names and addresses may take longer than any timeout; a late request could outlive the
        claim it was made under.
        """
        _request.write_by = time.monotonic() + seconds

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its whole answer.

        :param params: the query; a list repeats its name, as in `data`, the form
        :raises NotSentError: nothing was written
        :raises worker.errors.OutcomeUnknownError: something was, and no whole answer came
        """
        _request.written = False
        try:
            pool, path = self._pool(url)
            response = pool.urlopen(
                method,
                f"{path}?{_form(params)}" if params else path,
                body=_form(data) if data else None,
                headers={**(headers or {}), **(_basic(auth) if auth else {})},
                timeout=self._timeout,
                pool_timeout=self._pool_timeout,
                redirect=False,
                retries=False,
            )
            text = response.data.decode("utf-8", "replace")
            return Answer(response.status, text, response.headers)
        except ReadTimeoutError:
            fault = "read_timeout"
        except (HTTPError, HTTPException, OSError, ValueError):
            fault = "connection_lost"
        # Raised out here so that no library's message, which names the URL, stays attached.
        if _request.written:
            raise OutcomeUnknownError(fault)
        raise NotSentError

    def _pool(self, url: str) -> tuple[HTTPConnectionPool, str]:
        """The connections to a URL's host, of which there are few, and the rest of the URL."""
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        base = f"{scheme}://{host}"
        pool = self._of_base.get(base)
        if pool is None:
            pool = self._of_base[base] = self._pools.connection_from_url(base)
        return pool, f"/{path}"


# The standard library's encoder takes as long for a message's form as for sending it.
_QUOTED = {byte: f"%{byte:02X}" for byte in range(256) if chr(byte) not in ALWAYS_SAFE} | {
    ord(" "): "+"
}


def _form(fields: Mapping[str, object]) -> str:
    """application/x-www-form-urlencoded, as browsers write it (WHATWG URL, 5.2) but for `~`."""
    return "&".join(
        f"{_quoted(name)}={_quoted(one)}"
        for name, value in fields.items()
        if value is not None
        for one in (value if isinstance(value, (list, tuple)) else (value,))
    )


def _quoted(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode("latin-1").translate(_QUOTED)


def _basic(auth: tuple[str, str]) -> dict[str, str]:
    token = base64.b64encode(":".join(auth).encode()).decode()
    return {"Authorization": f"Basic {token}"}
