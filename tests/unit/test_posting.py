"""Posts to addresses that customers chose: to the public internet only, to what was checked, and
bounded.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worker import posting
from worker.posting import Poster, TargetRefusedError, UnreachableError, is_public

PRIVATE = (
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "fd00:ec2::254", "fe80::1%eth0"),
    *("64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "::7f00:1", "ff02::1"),
    *("2001:db8::1", "nonsense", ""),
)
HOSTS = (
    *("127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"),
    *("2130706433", "0x7f.1", "169.254.169.254", "[fd00:ec2::254]", "100.64.0.1"),
    "[64:ff9b::7f00:1]",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_within_is_public(address: str) -> None:
    """Loopback, private, link-local, shared, mapped, translated and reserved ones are refused."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """What everybody can reach may be called."""
    assert is_public(address)


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_an_inner_host_is_called(host: str) -> None:
    """However this machine or a network's inside is spelled, nothing is sent there."""
    with pytest.raises((TargetRefusedError, UnreachableError)):
        Poster(anywhere=False).post(f"https://{host}/", b"", {})


@pytest.mark.parametrize("url", ["http://x.example/", "https://x.example:25/", "gopher://x/"])
def test_only_https_on_its_ports(url: str) -> None:
    """Plain http and ports of other services are refused before a name is looked up."""
    with pytest.raises(TargetRefusedError):
        Poster(anywhere=False, lookup=_never).post(url, b"", {})


def test_one_inner_address_among_public_ones_is_enough() -> None:
    """A name with a public and a private address is refused."""
    poster = Poster(anywhere=False, lookup=lambda *_: ["8.8.8.8", "127.0.0.1"])
    with pytest.raises(TargetRefusedError):
        poster.post("https://x.example/", b"", {})


def test_the_connection_goes_to_what_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once: one that answers differently a moment later leads nowhere."""
    asked, called = [], []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        called.append(address)
        raise OSError

    monkeypatch.setattr(posting.socket, "create_connection", connect)
    with pytest.raises(UnreachableError):
        Poster(anywhere=False, lookup=lookup).post("https://flips.example/", b"", {})
    assert (asked, called) == (["flips.example"], [("8.8.8.8", 443)])


def test_a_name_is_sent_along() -> None:
    """The other side sees the name it was called by, though the connection is to an address."""
    with _server(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, got):
        poster = Poster(anywhere=True, lookup=lambda *_: ["127.0.0.1"])
        assert poster.post(f"http://hooks.example:{port}/a?b=1", b"body", {"X": "y"}) == 204
    assert got[0].startswith(b"POST /a?b=1 HTTP/1.1\r\n")
    assert f"Host: hooks.example:{port}".encode() in got[0]
    assert got[0].endswith(b"\r\n\r\nbody")
    assert got[0].count(b"Host:") == 1


def test_a_redirect_is_an_answer_like_any_other() -> None:
    """A redirect's status is given back and nobody goes where it points."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"
    with _server(answer) as (port, _):
        assert _local().post(f"http://127.0.0.1:{port}/", b"", {}) == 302


def test_an_endless_body_is_not_read() -> None:
    """Of a large answer the status is taken and the rest is left."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000
    with _server(answer) as (port, _):
        assert _local().post(f"http://127.0.0.1:{port}/", b"", {}) == 200


def test_a_slow_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that drips for ever is cut off as a whole, and one that never comes as well."""
    monkeypatch.setattr(posting, "WHOLE_SECONDS", 0.5)
    dripping = _server(b"HTTP/1.1 200 OK\r\n", drip=b"X-Y: z\r\n")
    with dripping as (port, _), pytest.raises(UnreachableError):
        _local().post(f"http://127.0.0.1:{port}/", b"", {})
    monkeypatch.setattr(posting, "READ_SECONDS", 0.2)
    with _server(b"") as (port, _), pytest.raises(UnreachableError):
        _local().post(f"http://127.0.0.1:{port}/", b"", {})


def test_plaintext_behind_https_is_no_answer() -> None:
    """A server that speaks no TLS, such as a database, is sent no request."""
    with _server(b"+OK\r\n") as (port, got), pytest.raises(UnreachableError):
        _local().post(f"https://127.0.0.1:{port}/", b"secret", {})
    assert b"secret" not in b"".join(got)


def _local() -> Poster:
    return Poster(anywhere=True)


def _never(host: str, port: int) -> list[str]:
    raise AssertionError("looked up")


@contextmanager
def _server(answer: bytes, drip: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """One connection: keeps what comes, answers, and goes on dripping until it is cut."""
    listening = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(0.3)
            try:
                while chunk := connection.recv(65_536):
                    got.append(chunk)
                    whole = b"".join(got)
                    empty = b"Content-Length: 0" in whole and whole.endswith(b"\r\n\r\n")
                    if empty or whole.endswith(b"body"):
                        break
            except OSError:
                pass
            try:
                connection.sendall(answer)
                while drip and not done.wait(0.1):
                    connection.sendall(drip)
                done.wait(5)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1], got
    finally:
        done.set()
        thread.join()
        listening.close()
        got[:] = [b"".join(got)]
