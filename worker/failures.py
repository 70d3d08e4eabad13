"""Failures in groups: what went wrong where, how often, and what to do about it. Reads only."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, bindparam, func, select, text

from worker.db import Database, now_ms
from worker.filters import ANY_FAILURE
from worker.models import deliveries, sid_at, verifications
from worker.providers.twilio_errors import KINDS, MEANINGS
from worker.states import NO_ERROR, NOT_ARRIVED, ErrorKind

MOST = 10_000  # the newest failures of the window that are looked at …
MOST_OF_SOME = 50_000  # … and where those of one country or the like are looked for among them
GROUPS = 50
PARTS = 24  # of the window, for the trend
SAMPLES = 3

_d, _v = deliveries.c, verifications.c
_newest = (
    select(
        *(_d.sid, _d.channel, _d.state, _d.error_code, _d.sender, _d.verification_sid),
        _d.created_at,
    )
    .where(
        text("deliveries.state IN ('failed', 'undelivered', 'expired')"),
        _d.sid >= bindparam("since"),
    )
    .order_by(_d.sid.desc())
    .limit(bindparam("most", type_=Integer()))
    .subquery("newest")
)
_LOOKED_AT = select(func.count()).select_from(_newest)
_n = _newest.c
_CODE = func.coalesce(_n.error_code, _n.state)
_PART = (_n.created_at - bindparam("began")) // bindparam("part")
_PARTS = (
    select(
        _CODE.label("code"),
        _n.channel,
        _v.country,
        _PART.label("part"),
        func.count().label("count"),
        func.min(_n.created_at).label("first_at"),
        func.max(_n.created_at).label("last_at"),
        func.max(_n.sid).label("sample"),
        func.min(_n.sid).label("earliest"),
    )
    .join(verifications, _v.sid == _n.verification_sid)
    .group_by(_CODE, _n.channel, _v.country, _PART)
)

OURS = {
    "expired": "the code's life ended before it could be sent",
    "connect": "the provider could not be reached",
    "read_timeout": "the provider did not answer in time",
    "connection_lost": "the connection to the provider broke",
    "unreadable_answer": "the provider's answer could not be read",
    "outcome_unknown": "two calls ended without an answer, and the provider knows of neither",
    "worker_lost": "the worker died while it held the delivery",
    "claim_too_old": "the worker was too slow to call in time",
    "cannot_render": "the text could not be made, or the row's secret key is not configured",
    "discarded": "an operator has dropped it unsent",
    "blocked": "an operator has blocked the number or its prefix",
    "sender_paused": "an operator has paused every sender",
    "no_caller_number": "the sender has no number to call from",
    "no_sender": "no sender may be used for this channel",
    "no_receipt": "accepted by the provider, and nobody reported on it",
    "circuit_open": "every sender's circuit was open until it was too late",
    "sender_pace": "the senders' pace left no place in time",
    "circuits_unavailable": "the broker was away",
    "undelivered": "the carrier or the callee did not take it, and no reason came",
    "failed": "refused, and no reason came",
}
_STEPS = {
    ErrorKind.PERMANENT: "nothing: this number or text will not go through",
    ErrorKind.TRANSIENT: "wait; when it stays, look at the provider's status page",
    ErrorKind.ACCOUNT: "correct the account or the sender in the provider's console",
    ErrorKind.ROUTE: "enable the country there, or use a sender that may reach it",
    ErrorKind.CHANNEL: "let a call follow: `sendcode services update --fallback call`",
}
_OUR_STEPS = {
    "expired": "look at the queues: it waited too long",
    "cannot_render": "`sendcode keys list` shows a key that is missing",
    "discarded": "the audit log says who and why; `sendcode retry` sends it again in time",
    "blocked": "`sendcode blocks` says who and why",
    "sender_paused": "`sendcode pauses` says who and why",
    "no_caller_number": "give the sender a number, or take calls from its channels",
    "no_receipt": "`sendcode doctor`: do callbacks reach the api?",
    "sender_pace": "a higher pace, another sender, or fewer codes",
}
_HTTP = {
    "3": "answered with another address: a wrong base URL",
    "4": "refused without a code of Twilio's: often a proxy or a wrong base URL",
    "5": "the provider's servers failed; it is asked whether it has sent it",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one code, channel and country. Times are ms since 1970 UTC.

    :param code: the provider's code, or our word
    :param share: of all failures that were found
    :param sample: the newest one's sid (`VL…`)
    :param samples: up to `SAMPLES` from all over the window, the newest first
    :param trend: how many in each of `PARTS` equal parts of the window, the oldest first
    """

    code: str
    channel: str
    country: str
    count: int
    share: float
    first_at: int
    last_at: int
    sample: str
    samples: tuple[str, ...]
    trend: tuple[int, ...]
    cause: str
    next_step: str

    @property
    def filters(self) -> dict[str, str | None]:
        """Its `state` and `error_code` as `worker.filters` has them: a group without a code is
        named by its state, one with a code has none that is still tried.
        """
        if self.code in NOT_ARRIVED:
            return {"state": self.code, "error_code": NO_ERROR}
        return {"state": ANY_FAILURE, "error_code": self.code}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found among the newest failures of a window.

    :param groups: the `GROUPS` largest, the largest first
    :param total: failures in all groups
    :param looked_at: failures of any country, channel and so on that were looked at
    :param at_least: there may be more, older than those that were looked at
    """

    groups: list[Group]
    total: int
    looked_at: int
    at_least: bool


class Failures:
    def __init__(self, db: Database) -> None:
        self._db = db

    def groups(self, within: int) -> list[Group]:
        """The groups of the last `within` seconds, as `look` finds them."""
        return self.look(within).groups

    def look(
        self,
        within: int,
        country: str = "",
        channel: str = "",
        service: str = "",
        sender: str = "",
    ) -> Found:
        """What failed in the last `within` seconds.

        :param country: that one alone, as a share of its own; likewise the others
        :param service: its sid
        :param sender: who tried last
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        wanted = [(_v.country, country), (_n.channel, channel)]
        wanted += [(_v.service_sid, service), (_n.sender, sender)]
        chosen = [column == value for column, value in wanted if value]
        most = MOST_OF_SOME if chosen else MOST
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            began = now - within * 1000
            span: dict[str, Any] = {"since": sid_at("VL", began), "most": most}
            looked_at = int(connection.execute(_LOOKED_AT, span).scalar_one())
            span |= {"began": began, "part": max(1, within * 1000 // PARTS)}
            rows = connection.execute(_PARTS.where(*chosen), span).mappings().all()
        total = sum(row["count"] for row in rows)
        return Found(_grouped(rows, total), total, looked_at, looked_at >= most)


def _grouped(rows: Sequence[Mapping[Any, Any]], total: int) -> list[Group]:
    grouped: dict[tuple[str, str, str], list[Mapping[Any, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["code"], row["channel"], row["country"]].append(row)
    groups = [_group(*what, parts, total) for what, parts in grouped.items()]
    return sorted(groups, key=lambda group: (-group.count, group.sample))[:GROUPS]


def _group(
    code: str, channel: str, country: str, parts: Sequence[Mapping[Any, Any]], total: int
) -> Group:
    samples = sorted({part[which] for part in parts for which in ("sample", "earliest")})[::-1]
    trend = [0] * PARTS
    for part in parts:
        trend[max(0, min(part["part"], PARTS - 1))] += part["count"]
    return Group(
        code=code,
        channel=channel,
        country=country,
        count=sum(trend),
        share=sum(trend) / total,
        first_at=min(part["first_at"] for part in parts),
        last_at=max(part["last_at"] for part in parts),
        sample=samples[0],
        samples=tuple(samples[:SAMPLES]),
        trend=tuple(trend),
        cause=cause(code),
        next_step=next_step(code),
    )


def cause(code: str) -> str:
    """What a provider's code or a word of ours means."""
    if code in OURS:
        return OURS[code]
    if code.startswith("http_"):
        return _HTTP.get(code[5:6], "an answer that no provider gives")
    if code.isascii() and code.isdigit():
        return MEANINGS.get(int(code[:9]), f"see twilio.com/docs/api/errors/{code[:9]}")
    return "the provider could not be asked" if code.startswith("ask_") else "unknown"


def next_step(code: str) -> str:
    """What an operator can do about it."""
    if code.isascii() and code.isdigit():
        kind = KINDS.get(int(code[:9]))
        return _STEPS[kind] if kind else "look the code up, and tell us"
    return _OUR_STEPS.get(code, "`sendcode doctor`, and the provider's status page")
