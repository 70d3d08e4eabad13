"""Workers told to take nothing, to go on, or to end: at their next word, within seconds."""

import redis

from worker import presence
from worker.audit import Operator, clean_reason, write_down
from worker.db import Database
from worker.errors import ActionRefusedError, LimitsUnavailableError, NotFoundError
from worker.operations.words import Outcome, Result, acting, done_or_would
from worker.presence import Order, State, Worker

_WANTED = {
    Order.QUIET: State.QUIET,
    Order.WORK: State.WORKING,
    Order.STOP: State.DRAINING,
}


class Crew:
    """Every method raises NotFoundError where no worker of the name is up, ActionRefusedError
    (`draining`) where it is about to end, and LimitsUnavailableError while the broker is away.
    """

    def __init__(self, db: Database, broker: "redis.Redis") -> None:
        self._db = db
        self._broker = broker

    @acting("worker.quiet")
    def quiet(self, by: Operator, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Have a worker take nothing more and finish what it has, until it is told to work or is
        started anew. The others go on.
        """
        return self._order(by, Order.QUIET, name, reason, dry_run)

    @acting("worker.work")
    def work(self, by: Operator, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Have a quiet worker take messages again."""
        return self._order(by, Order.WORK, name, reason, dry_run)

    @acting("worker.stop")
    def stop(self, by: Operator, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Have a worker finish what it has and end, as SIGTERM does. What supervises it may start
        it anew.
        """
        return self._order(by, Order.STOP, name, reason, dry_run)

    def _order(self, by: Operator, order: Order, name: str, reason: str, dry_run: bool) -> Outcome:
        reason, action, wanted = clean_reason(reason), f"worker.{order.value}", _WANTED[order]
        try:
            found = self._find(name)
            ordered = presence.ordered(self._broker, name)
            before = {"state": found.state, "busy": found.busy}
            # It obeys at its next word: until then an order counts for more than what it says.
            if wanted == (_WANTED[ordered] if ordered else found.state):
                return Outcome(action, name, Result.UNCHANGED, before)
            if found.state == State.DRAINING:
                raise ActionRefusedError("draining", "the worker is about to end")
            after = {"state": wanted.value}
            if not dry_run:
                with self._db.begin() as connection:
                    write_down(connection, by, action, name, reason, before, after)
                    presence.give(self._broker, name, order)
        except redis.RedisError:
            raise LimitsUnavailableError("the broker does not answer") from None
        return Outcome(action, name, done_or_would(dry_run), before, after)

    def _find(self, name: str) -> Worker:
        for worker in presence.all_workers(self._broker):
            if worker.name == name:
                return worker
        raise NotFoundError("worker")
