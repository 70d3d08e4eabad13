"""Statements and limits that more than one use case needs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, func, select

from worker.db import now_ms
from worker.errors import NotFoundError, TooManyError
from worker.limits import Limit
from worker.models import new_sid, services, verifications
from worker.phone import Phone
from worker.plan import follow_in
from worker.recall import Sends
from worker.settings import Settings
from worker.states import Channel, DeliveryState, Lane, VerificationStatus, queue_of

Publish = Callable[[str, Sequence[str], int, int], bool]
"""Tells the broker of deliveries: queue, sids, seconds they live, and now by the database's
clock in ms. False when the broker did not take it."""

PENDING = VerificationStatus.PENDING.value
SPENT = VerificationStatus.MAX_ATTEMPTS.value
DAY = 86_400  # seconds
RANGE, COUNTRY = "range", "country"  # limits that many numbers share
ALIVE = and_(verifications.c.status == PENDING, verifications.c.expires_at > now_ms())


def insert_delivery(statement: Any) -> Any:
    """A delivery that is due now and of which the broker is told next. Made once, and run with
    `new_delivery`: a statement that is made for each row costs more than the database does.
    """
    return statement.values(
        next_try_at=now_ms(),
        hinted_at=now_ms(),
        created_at=now_ms(),
        follow_at=now_ms() + bindparam("b_wait", type_=BigInteger),
    )


def new_delivery(
    verification_sid: str,
    channel: Channel,
    expires_at: int,
    *,
    plan: Sequence[Mapping[str, Any]],
    step: int = 0,
    lane: Lane = Lane.USUAL,
    only_by: str | None = None,
) -> dict[str, Any]:
    """What `insert_delivery` is run with.

    :param plan: of the service; a start by call has none
    :param step: its place in the plan, 0 for what a backend asked for
    :param only_by: the one sender that may hand it over
    """
    return {
        "sid": new_sid("VL"),
        "verification_sid": verification_sid,
        "channel": channel.value,
        "queue": queue_of(channel, lane),
        "state": DeliveryState.QUEUED.value,
        "step": step,
        "tries": 0,
        "doubts": 0,
        "expires_at": expires_at,
        "only_by": only_by,
        "b_wait": follow_in(plan, step),
    }


def service_limit(
    settings: Settings,
    service_sid: str,
    index: bytes,
    indexes: Sequence[bytes] = (),
    *,
    send_limit: int | None = None,
) -> Limit:
    """Sends of one service to one number; given back by an approval or a cancel.

    :param indexes: see `number_limits`
    :param send_limit: likewise
    """
    return Limit(
        "sends",
        f"{service_sid}:{index.hex()}",
        send_limit or settings.limit_sends,
        settings.limit_sends_window,
        Sends(tuple(indexes) or (index,), service=service_sid),
    )


def number_limits(
    settings: Settings,
    service_sid: str,
    index: bytes,
    channel: Channel,
    indexes: Sequence[bytes] = (),
    *,
    send_limit: int | None = None,
) -> list[Limit]:
    """Every limit that one send to a number must pass.

    :param index: of the number, under which it is counted
    :param indexes: under every key, where they are known: what was lost is learnt by them
    :param send_limit: the service's own; None: as the settings say
    """
    number, every = index.hex(), tuple(indexes) or (index,)
    found = [
        service_limit(settings, service_sid, index, every, send_limit=send_limit),
        Limit("daily", number, settings.limit_daily, DAY, Sends(every)),
    ]
    if channel is Channel.CALL:
        calls = Sends(every, channel=Channel.CALL)
        found.append(Limit("daily_calls", number, settings.limit_daily_calls, DAY, calls))
    return found


def range_limits(
    settings: Settings, service_sid: str, number: Phone, index: Callable[[str], bytes]
) -> list[Limit]:
    """What a start to a number counts against its neighbours and its country, in one service.

    :param index: makes a keyed hash, see `worker.codes.Keyring.number_index`
    """
    found = []
    if settings.limit_range:
        neighbours = number.e164[: -settings.limit_range_digits]
        key = index("\0".join(("range", service_sid, neighbours))).hex()
        found.append(Limit(RANGE, key, settings.limit_range, settings.limit_range_window))
    if most := settings.most_to(number.country):
        found.append(Limit(COUNTRY, f"{service_sid}:{number.country}", most, DAY))
    return found


def require_service(
    connection: Connection,
    account_sid: str,
    service_sid: str,
    *,
    lock: bool = False,
    keep: bool = False,
) -> None:
    """
    :param lock: until the transaction ends no other passes here with the lock
    :param keep: it is not deleted before the transaction ends; others pass here
    :raises NotFoundError: no such service in the account
    """
    owned = select(services.c.sid).where(
        services.c.sid == service_sid, services.c.account_sid == account_sid
    )
    if lock or keep:
        owned = owned.with_for_update(read=not lock, key_share=not lock)
    if connection.execute(owned).first() is None:
        raise NotFoundError("service")


def refuse_more(connection: Connection, which: ColumnElement[bool], most: int, kind: str) -> None:
    """Hold the number of rows; the lock of `require_service` keeps others from adding one.

    :raises TooManyError: there are `most`
    """
    if connection.execute(select(func.count()).where(which)).scalar_one() >= most:
        raise TooManyError(kind, most)
