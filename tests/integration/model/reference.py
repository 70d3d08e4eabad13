"""What sendcode promises about starts and checks, in plain Python: no race, no crash, no store.

Times are ms of the model's clock. A line is one number in one service.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

Key = tuple[str, str]  # service and number

LIFE = 600_000
GUESSES = 3  # per verification
FAILURES = 4  # wrong codes in a row that disable a line
SENDS, WINDOW = 4, 600_000  # per line
DRIFT = 60_000  # the limits run on a clock of their own, which an example's duration moves on

# Which state of a delivery may follow which; what is missing here is a fault.
MOVES = {
    "queued": {"sending", "expired", "canceled", "accepted", "sent", "delivered", "undelivered"},
    "sending": {"queued", "failed", "accepted", "sent", "delivered", "undelivered"},
    "accepted": {"sent", "delivered", "undelivered"},
    "sent": {"delivered", "undelivered"},
    "undelivered": {"delivered"},  # where nobody had reported, or on the other of two messages
    "failed": {"delivered"},  # a receipt proves the opposite
    "expired": {"delivered"},
    "canceled": {"delivered"},
}
ENDS = {"delivered", "undelivered", "failed", "expired", "canceled"}
# The same of a verification.
TURNS = {
    "pending": {"approved", "canceled", "max_attempts_reached", "expired"},
    "max_attempts_reached": {"expired"},
}


@dataclass
class Promise:
    """A verification: how it stands when nobody has looked at the clock yet."""

    sid: str
    line: Key
    code: str
    dies: int
    status: str = "pending"
    guesses: int = 0


@dataclass
class Line:
    failures: int = 0
    disabled: bool = False
    sends: list[int] = field(default_factory=list)
    unsure: bool = False  # a process died between counting sends, or giving them back, and writing


@dataclass
class Reference:
    now: int = 0
    promises: list[Promise] = field(default_factory=list)
    lines: dict[Key, Line] = field(default_factory=dict)
    requests: dict[str, tuple[Hashable, Promise]] = field(default_factory=dict)

    def line(self, key: Key) -> Line:
        return self.lines.setdefault(key, Line())

    def status(self, promise: Promise) -> str:
        """`expired` from the end of its life on, whether or not anybody wrote that down."""
        open_ = promise.status in TURNS
        return "expired" if open_ and promise.dies <= self.now else promise.status

    def newest(self, key: Key) -> Promise | None:
        return next((p for p in reversed(self.promises) if p.line == key), None)

    def start(self, key: Key, request: str | None, values: Hashable) -> set[str]:
        """What a start may come to; more than one where the limit's window is about to open."""
        if request in self.requests:
            return {"same" if self.requests[request][0] == values else "RequestConflictError"}
        line, last = self.line(key), self.newest(key)
        if line.disabled:
            return {"NumberDisabledError"}
        status = self.status(last) if last else "none"
        if status == "max_attempts_reached":
            return {"ChecksSpentError"}
        passed = "again" if status == "pending" else "new"
        surely = [t for t in line.sends if self.now - t < WINDOW - DRIFT]
        perhaps = [t for t in line.sends if self.now - t < WINDOW]
        if len(surely) >= SENDS:
            return {"LimitReachedError"}
        if len(perhaps) >= SENDS or line.unsure:
            return {"LimitReachedError", passed}
        return {passed}

    def started(
        self, key: Key, sid: str, code: str, dies: int, request: str | None, values: Hashable
    ) -> None:
        """A start passed."""
        promise = next((p for p in self.promises if p.sid == sid), None)
        if promise is None:
            promise = Promise(sid, key, code, dies)
            self.promises.append(promise)
        self.sent(key)
        if request is not None:
            self.requests[request] = (values, promise)

    def sent(self, key: Key) -> None:
        self.line(key).sends.append(self.now)

    def check(self, promise: Promise | None, code: str) -> str:
        """Take a guess; the status it is answered with, or the refusal."""
        if promise is None or self.status(promise) not in TURNS:
            return "NotFoundError"
        line = self.line(promise.line)
        if line.disabled:
            return "NumberDisabledError"
        if self.status(promise) == "max_attempts_reached":
            return "ChecksSpentError"
        promise.guesses += 1
        if code == promise.code:
            promise.status, line.failures = "approved", 0
            self._forget(promise)
            return "approved"
        line.failures += 1
        line.disabled = line.failures >= FAILURES
        if promise.guesses == GUESSES:
            promise.status = "max_attempts_reached"
        return promise.status

    def cancel(self, promise: Promise | None) -> str:
        if promise is None or self.status(promise) != "pending":
            return "NotFoundError"
        promise.status = "canceled"
        self._forget(promise)
        return "canceled"

    def enable(self, key: Key) -> str:
        line = self.line(key)
        was = line.disabled
        if was:
            line.disabled, line.failures = False, 0
        return "enabled" if was else "NotFoundError"

    def _forget(self, promise: Promise) -> None:
        """An approval or a cancel gives the line's sends back."""
        self.lines[promise.line] = replace(self.line(promise.line), sends=[], unsure=False)
