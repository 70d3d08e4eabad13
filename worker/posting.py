"""One POST to an address that a customer chose: only to the public internet, and bounded.

The name is resolved once, every address it has is checked, and the connection goes to the one
that was checked: a name that answers differently a moment later leads nowhere.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
WHOLE_SECONDS = 10.0  # of one request, however slowly its answer drips
PORTS = (443, 8443)
_TRANSLATED = tuple(
    ipaddress.ip_network(net)  # what carries another address within, which may be a private one
    for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)

Resolve = Callable[[str, int], list[str]]


class TargetRefusedError(Exception):
    """The address may not be called: not https, a port of something else, or not public."""


class UnreachableError(Exception):
    """No answer came: no such name, no connection, or too slow."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order to try."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Poster:
    """
    :param anywhere: to any address, with http as well: for the sandbox alone
    :param lookup: resolves names; another one in tests
    """

    def __init__(self, *, anywhere: bool, lookup: Resolve = resolve) -> None:
        self._anywhere = anywhere
        self._lookup = lookup
        self._tls = ssl.create_default_context()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status that the other side answers. Redirects are not followed, the answer's body is
        not read.

        :raises TargetRefusedError: it may not be called
        :raises UnreachableError: no answer came
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        address = self._address(parts.scheme, host, port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        named = host if port in (80, 443) else f"{host}:{port}"
        try:
            connection = self._connect(address, host, port, secure)
        except (OSError, ValueError) as error:
            raise UnreachableError(type(error).__name__) from None
        late = threading.Event()
        guard = threading.Timer(WHOLE_SECONDS, _cut, [connection.sock, late])
        guard.daemon = True
        guard.start()
        try:
            connection.request("POST", path, body, {**headers, "Host": named})
            status, fault = connection.getresponse().status, ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            fault = type(error).__name__
        finally:
            guard.cancel()
            connection.close()
        if late.is_set():  # what came before the cut reads like a whole answer
            fault = "too slow"
        if fault:
            raise UnreachableError(fault)
        return status

    def _address(self, scheme: str, host: str, port: int) -> str:
        """The address to connect to: the first, where all of them are public."""
        if not self._anywhere and (scheme != "https" or port not in PORTS):
            raise TargetRefusedError("https on port 443 or 8443 only")
        try:
            found = self._lookup(host, port)
        except (OSError, UnicodeError):
            raise UnreachableError("no such name") from None
        if not found:
            raise UnreachableError("no address")
        if not self._anywhere and not all(is_public(address) for address in found):
            raise TargetRefusedError("the name leads to an address that is not public")
        return found[0]

    def _connect(
        self, address: str, host: str, port: int, secure: bool
    ) -> http.client.HTTPConnection:
        sock = socket.create_connection((address, port), CONNECT_SECONDS)
        try:
            if secure:
                sock = self._tls.wrap_socket(sock, server_hostname=host)
            sock.settimeout(READ_SECONDS)
        except BaseException:
            sock.close()
            raise
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        return connection


def is_public(address: str) -> bool:
    """Whether an IP address, as text, is one of the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return False
        if any(ip in net for net in _TRANSLATED):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _cut(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
