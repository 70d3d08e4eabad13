"""Time that passes in a row's world: what dies comes back, and each fault's end is noted."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from tests.chaos.parts import Part
from tests.chaos.postgres import PostgresServer
from tests.servers import BrokerHandle


class Passing:
    """
    :param parts: started again when they die, as broker and database are unless a row says no
    """

    def __init__(
        self, parts: Mapping[str, Part], broker: BrokerHandle, postgres: PostgresServer
    ) -> None:
        self.parts, self.broker, self.postgres = parts, broker, postgres
        self.watches_broker = self.watches_postgres = True
        self.injected = 0
        self.fault_ends: list[tuple[str, float]] = []
        self.violations: list[str] = []

    def look(self) -> None:
        """Start again what died."""
        for part in self.parts.values():
            part.look()
        if self.watches_postgres:
            self.postgres.look()
        child = self.broker.broker.child
        if self.watches_broker and child is not None and child.ended():
            with suppress(Exception):
                self.broker.start()

    def pause(self, seconds: float) -> None:
        """Let time pass, and start again what dies."""
        self.until(lambda: False, seconds)

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until it is done; whether it is."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() >= end:
                return False
            self.look()
            time.sleep(0.05)
        return True

    def demand(self, held: bool, otherwise: str) -> None:
        """Note what a fault showed to be broken."""
        if not held:
            self.violations.append(otherwise)

    def fault_over(self, what: str) -> None:
        """Note that one injected fault has ended now."""
        self.injected += 1
        self.fault_ends.append((what, time.time()))
