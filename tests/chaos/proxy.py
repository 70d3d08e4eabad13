"""A TCP proxy in front of the broker, that cuts connections or forgets them without a word."""

import selectors
import socket
import threading
from contextlib import suppress

from worker.embedded.broker import free_port


class Proxy:
    """Forwards `port` to a port on this machine, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._forgotten: list[socket.socket] = []
        self._orders: list[str] = []
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset every connection that is open now."""
        self._order("cut")

    def forget(self) -> None:
        """Leave every client with a connection that nobody answers: no FIN, no RST."""
        self._order("forget")

    def close(self) -> None:
        self._closed = True
        self._order("cut")
        self._thread.join(5)
        self._listener.close()
        for left in self._forgotten:
            left.close()

    def _order(self, word: str) -> None:
        self._orders.append(word)
        self._wake.send(b"!")

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._woken:
                    self._obey()
                elif sock is self._listener:
                    self._accept()
                elif sock in self._peers:
                    self._forward(sock)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=1)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(2)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ, "client" if one is client else "")

    def _forward(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            if data:
                self._peers[sock].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        for one in (sock, self._peers[sock]):
            with suppress(KeyError):
                self._selector.unregister(one)
            self._peers.pop(one, None)
            one.close()

    def _obey(self) -> None:
        self._woken.recv(1000)
        while self._orders:
            word = self._orders.pop(0)
            clients = [k.fileobj for k in self._selector.get_map().values() if k.data == "client"]
            for client in clients:
                assert isinstance(client, socket.socket)
                if word == "forget":
                    self._forget(client)
                else:
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # close with a reset
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self._drop(client)

    def _forget(self, client: socket.socket) -> None:
        server = self._peers.pop(client)
        self._peers.pop(server)
        for one in (client, server):
            self._selector.unregister(one)
        server.close()
        self._forgotten.append(client)
