"""How many of the provider's callbacks were refused lately, by any process, and why."""

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import redis

from worker.tallies import Tally

MINUTES = 10
TOO_MANY = 5  # more than this needs attention, as in the alert SendcodeWebhookSignatureFailures


@dataclass(frozen=True, slots=True)
class Refused:
    """
    :param reasons: how many, by our word for the reason
    :param accounts: of a wrong signature: how many, by the sid of our account at the provider
    """

    reasons: dict[str, int]
    accounts: dict[str, int]

    minutes: ClassVar[int] = MINUTES

    @property
    def total(self) -> int:
        return sum(self.reasons.values())

    @property
    def too_many(self) -> bool:
        """So many that they are hardly strangers' tries."""
        return self.total > TOO_MANY

    @property
    def words(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())


class RefusedCallbacks:
    """One thread of a process writes at a time: whoever sends much that is refused finds the others
    free, also where Redis hangs.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._tally = Tally(client, "callbacks-refused", 60, MINUTES, most=200)
        self._lock = threading.Lock()
        self._writes = False
        self._pending: Counter[str] = Counter()

    def note(self, reason: str, account: str = "") -> None:
        """Count one. Without Redis it is lost; the refusal stands.

        :param reason: a word of ours
        :param account: one of ours at the provider, never as a caller wrote it
        """
        with self._lock:
            self._pending[f"{reason} {account}"] += 1
            if self._writes:
                return  # who writes takes it along
            self._writes = True
        while pending := self._taken():
            with suppress(redis.RedisError), self._client.pipeline(transaction=False) as pipe:
                for what, count in pending.items():
                    self._tally.put(pipe, what, count)
                pipe.execute()

    def _taken(self) -> Counter[str]:
        with self._lock:
            pending, self._pending = self._pending, Counter()
            self._writes = bool(pending)
            return pending

    def look(self) -> Refused:
        """Those of the last ten minutes.

        :raises redis.RedisError: Redis does not answer
        """
        reasons: Counter[str] = Counter()
        accounts: Counter[str] = Counter()
        for what, count in self._tally.read().items():
            reason, _, account = what.partition(" ")
            reasons[reason] += count
            if account:
                accounts[account] += count
        return Refused(dict(reasons.most_common()), dict(accounts))
