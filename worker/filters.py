"""Which deliveries are meant: filters, and the statements that find what they name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, select, text

from worker.errors import InvalidParameterError
from worker.models import deliveries, verifications
from worker.states import NO_ERROR, NOT_ARRIVED, Channel, DeliveryState

SENDER = "(?!.*[0-9]{7})[a-z0-9][a-z0-9-]{0,31}"  # its name, and never a number
ANY_FAILURE = "not-arrived"  # as a filter by state: whatever ended before the phone
STATES = (*(state.value for state in DeliveryState), ANY_FAILURE)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_ERROR = re.compile(r"[0-9]{1,6}|[a-z][a-z0-9_]{0,31}", re.ASCII)
_SERVICE = re.compile(r"VA[0-9a-f]{32}", re.ASCII)
_SENDER = re.compile(SENDER, re.ASCII)
_d, _v = deliveries.c, verifications.c
_OF_DELIVERY = (
    *(_d.sid, _d.verification_sid, _d.channel, _d.state, _d.sender, _d.error_code),
    *(_d.provider_sid, _d.created_at),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is meant; None is everything.

    :param state: one of `STATES`
    :param error_code: the provider's or our word; `none` is those without one
    :param number: E.164 in any spelling
    :param within: seconds before now
    :param sids: these deliveries alone, however old
    :param service: a service's sid
    :param sender: who hands it over, or last tried to
    """

    state: str | None = None
    channel: str | None = None
    country: str | None = None
    error_code: str | None = None
    number: str | None = None
    within: int = 86_400
    sids: Sequence[str] | None = None
    service: str | None = None
    sender: str | None = None

    @property
    def narrowed(self) -> bool:
        """Whether anything of a delivery's own is asked for."""
        return any(value for value, _ in _words(self).values())


def check(filters: Filters) -> None:
    """
    :raises InvalidParameterError: a filter that no delivery can match, or that may be a number
    """
    for name, (value, known) in _words(filters).items():
        if value is not None and not known:
            raise InvalidParameterError(name, "is nothing that a delivery can have")


def _words(filters: Filters) -> dict[str, tuple[str | None, bool]]:
    """Each filter with whether it is one, by its name for a caller."""
    return {
        "State": (filters.state, filters.state in STATES),
        "Channel": (filters.channel, filters.channel in tuple(Channel)),
        "Country": (filters.country, bool(_COUNTRY.fullmatch(filters.country or ""))),
        "Error": (filters.error_code, bool(_ERROR.fullmatch(filters.error_code or ""))),
        "Service": (filters.service, bool(_SERVICE.fullmatch(filters.service or ""))),
        "Sender": (filters.sender, bool(_SENDER.fullmatch(filters.sender or ""))),
    }


def looked_at(filters: Filters, before: str, since: str) -> Select[Any]:
    """The deliveries between two sids among which `matching` picks, without an order."""
    newest = select(*_OF_DELIVERY).where(_d.sid < before, _d.sid >= since)
    if filters.sids:
        newest = newest.where(_d.sid.in_(filters.sids))
    if filters.state in (*NOT_ARRIVED, ANY_FAILURE):  # literal, so that the partial index applies
        newest = newest.where(text("deliveries.state IN ('failed', 'undelivered', 'expired')"))
    return newest


def matching(filters: Filters, of: Any) -> list[ColumnElement[bool]]:
    """What a delivery, joined with its verification, must fulfil.

    :param of: the columns of what `looked_at` gave
    """
    wanted = (
        (of.state, None if filters.state == ANY_FAILURE else filters.state),
        (of.channel, filters.channel),
        (of.sender, filters.sender),
        (of.error_code, None if filters.error_code == NO_ERROR else filters.error_code),
        (_v.country, filters.country),
        (_v.service_sid, filters.service),
    )
    found = [column == value for column, value in wanted if value is not None]
    return [*found, of.error_code.is_(None)] if filters.error_code == NO_ERROR else found
