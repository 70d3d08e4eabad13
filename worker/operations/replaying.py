"""Replay: a hook is told once more what became of something, or all that it did not take."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    case,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)

from worker.audit import Operator, clean_reason, write_down
from worker.db import Database, now_ms
from worker.door_tables import event_hooks, events
from worker.errors import ActionRefusedError, InvalidParameterError, NotFoundError
from worker.models import deliveries, verifications
from worker.operations.words import Outcome, Result, acting, done_or_would
from worker.outbox import OF_STATE, OF_STATUS, Event
from worker.settings import Settings

MOST = 1000  # hooks that are listed
SCAN = 10_000  # events of a hook that are counted, or told again, at once
_e, _h, _v, _d = events.c, event_hooks.c, verifications.c, deliveries.c
_GIVEN_UP = _e.next_try_at.is_(None)
_LOOKED_AT = (
    select(_e.tries, _e.next_try_at)
    .where(_e.hook_sid == _h.sid)
    .limit(SCAN)
    .correlate(event_hooks)
    .subquery("looked_at")
)
_l = _LOOKED_AT.c


def _how_many(*which: ColumnElement[bool]) -> ScalarSelect[int]:
    counted = select(func.count()).select_from(_LOOKED_AT).where(*which)
    return counted.correlate(event_hooks).scalar_subquery()


_AGAIN = {
    "next_try_at": now_ms(),
    "created_at": now_ms(),
    "happened_at": func.coalesce(_e.happened_at, _e.created_at),
}
_HOOKS = (
    select(
        *(_h.sid, _h.service_sid, _h.url, _h.enabled, _h.failures, _h.wants),
        case((_h.paused_until > now_ms(), _h.paused_until)).label("paused_until"),
        _how_many(_l.next_try_at.is_not(None)).label("waiting"),
        _how_many(_l.next_try_at.is_not(None), _l.tries > 0).label("failed"),
        _how_many(_l.next_try_at.is_(None)).label("given_up"),
        (_how_many() == SCAN).label("at_least"),
    )
    .order_by(_h.sid)
    .limit(MOST)
)
_VERIFICATION = select(
    _v.sid,
    _v.service_sid,
    _v.account_sid,
    _v.status.label("word"),
    func.coalesce(_v.approved_at, _v.updated_at).label("at"),
)
_DELIVERY = select(
    _v.sid,
    _v.service_sid,
    _v.account_sid,
    _d.state.label("word"),
    func.coalesce(_d.delivered_at, _d.ended_at, _d.created_at).label("at"),
).join(verifications, _v.sid == _d.verification_sid)


@dataclass(frozen=True, slots=True)
class HookStanding:
    """How a hook does.

    :param url: without its query, which may hold a secret
    :param failures: in a row
    :param paused_until: ms since 1970 UTC; None where it is told at once
    :param waiting: events that it is still to be told
    :param failed: of these, how many it has failed to take
    :param given_up: events that it did not take within a day, and is told on demand alone
    :param at_least: it has more than were counted
    """

    sid: str
    service_sid: str
    url: str
    enabled: bool
    failures: int
    paused_until: int | None
    waiting: int
    failed: int
    given_up: int
    at_least: bool


@dataclass(frozen=True, slots=True)
class _Subject:
    sid: str
    verification: str
    service: str
    event: Event
    at: int


class Replaying:
    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._account = settings.account_sid

    def hooks(self) -> list[HookStanding]:
        """Every hook of the account, the oldest first."""
        with self._db.statement() as connection:
            rows = connection.execute(_HOOKS.where(_h.account_sid == self._account)).mappings()
            return [_standing(row) for row in rows]

    def is_hooked(self, service_sid: str) -> bool:
        """Whether anybody is told what becomes of a service's verifications."""
        wanted = select(_h.sid).where(_h.service_sid == service_sid, _h.enabled).limit(1)
        with self._db.statement() as connection:
            return connection.execute(wanted).first() is not None

    @acting("webhook.replay")
    def replay(
        self,
        by: Operator,
        reason: str,
        *,
        sid: str | None = None,
        hook: str | None = None,
        dry_run: bool = False,
    ) -> Outcome:
        """Tell hooks once more, at once: what became of a verification or delivery, or all that a
        hook has failed to take, with what was given up. An event keeps its id and its time, by
        which a receiver drops what it has, and is tried for a day from now on.

        :param sid: `VE…` or `VL…`
        :param hook: `EH…`: this one; without it every one of the service that wants the event
        :returns: in `after` how many are `told`
        :raises InvalidParameterError: neither is given, or no reason
        :raises NotFoundError: no such hook, verification or delivery
        :raises ActionRefusedError: `no_event`, nothing that a hook is told of has become of it;
            `no_hook`, none that is enabled wants it; `disabled`, the hook is
        """
        reason = clean_reason(reason)
        if not sid and not hook:
            raise InvalidParameterError("Sid", "name a sid, a hook, or both")
        with self._db.begin() as connection:
            if sid:
                subject = self._subject(connection, sid)
                found = self._wanting(connection, subject, hook)
                after: dict[str, Any] = {"event": subject.event.value, "told": len(found)}
                if not dry_run:
                    self._tell(connection, subject, found)
            else:
                found = [self._enabled(connection, hook or "")]
                told = self._failed(connection, found[0], dry_run)
                after = {"told": told} | ({"left": "more; do it again"} if told == SCAN else {})
                if not told:
                    return Outcome("webhook.replay", found[0], Result.UNCHANGED, after=after)
            target = sid or found[0]
            if not dry_run:
                awake = update(event_hooks).where(_h.sid.in_(found)).values(paused_until=0)
                connection.execute(awake)
                write_down(connection, by, "webhook.replay", target, reason, after=after)
        return Outcome("webhook.replay", target, done_or_would(dry_run), after=after)

    def _subject(self, connection: Connection, sid: str) -> _Subject:
        of_delivery = sid.startswith("VL")
        wanted = (
            _DELIVERY.where(_d.sid == sid) if of_delivery else _VERIFICATION.where(_v.sid == sid)
        )
        row = connection.execute(wanted).one_or_none()
        if row is None or row.account_sid != self._account:
            raise NotFoundError("delivery" if of_delivery else "verification")
        event = (OF_STATE if of_delivery else OF_STATUS).get(row.word)
        if event is None:
            raise ActionRefusedError("no_event", f"it is {row.word}, which no hook is told of")
        return _Subject(sid, row.sid, row.service_sid, event, row.at)

    def _wanting(self, connection: Connection, subject: _Subject, hook: str | None) -> list[str]:
        if hook:
            self._enabled(connection, hook)
        rows = connection.execute(
            select(_h.sid, _h.wants).where(_h.service_sid == subject.service, _h.enabled)
        )
        found = [r.sid for r in rows if r.wants & subject.event.bit and hook in (None, "", r.sid)]
        if not found:
            raise ActionRefusedError("no_hook", f"no enabled hook wants {subject.event.value}")
        return found

    def _enabled(self, connection: Connection, hook: str) -> str:
        wanted = select(_h.enabled).where(_h.sid == hook, _h.account_sid == self._account)
        enabled = connection.execute(wanted).scalar_one_or_none()
        if enabled is None:
            raise NotFoundError("event hook")
        if not enabled:
            raise ActionRefusedError("disabled", "the hook is disabled: enable it first")
        return hook

    def _tell(self, connection: Connection, subject: _Subject, hooks: list[str]) -> None:
        values = {
            "kind": subject.event.value,
            "subject_sid": subject.sid,
            "verification_sid": subject.verification,
            "tries": 0,
            "next_try_at": now_ms(),
            "created_at": now_ms(),
            "happened_at": subject.at,
        }
        statement = self._db.insert(events).on_conflict_do_update(
            index_elements=["hook_sid", "kind", "subject_sid"],
            set_={**_AGAIN, "happened_at": values["happened_at"]},
        )
        for hook in hooks:
            connection.execute(statement.values(hook_sid=hook, **values))

    def _failed(self, connection: Connection, hook: str, dry_run: bool) -> int:
        """How many are told, at most `SCAN` of them."""
        known = exists().where(_v.sid == _e.verification_sid)  # or purged: none can tell of it
        ill = (_e.hook_sid == hook, or_(_e.tries > 0, _GIVEN_UP), known)
        ours = select(_e.kind, _e.subject_sid).where(*ill).limit(SCAN)
        if dry_run:
            counted = select(func.count()).select_from(ours.subquery())
            return int(connection.execute(counted).scalar_one())
        these = tuple_(_e.kind, _e.subject_sid).in_(ours)
        change = update(events).where(_e.hook_sid == hook, these).values(**_AGAIN)
        return connection.execute(change).rowcount


def _standing(row: Any) -> HookStanding:
    url = urlsplit(row["url"])
    host = url.netloc.rpartition("@")[2]
    values = {name: row[name] for name in HookStanding.__dataclass_fields__}
    return HookStanding(**values | {"url": f"{url.scheme}://{host}{url.path}"})
