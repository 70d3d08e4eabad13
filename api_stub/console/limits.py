"""The limits and budgets in force, and how much of them is used."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from fastapi import APIRouter, Request, Response

from api_stub.console.filters import services_of
from api_stub.console.guard import Fields, Viewer, parts_of
from api_stub.console.pages import page
from api_stub.console.verbs import scope_of
from api_stub.console.wording import money
from worker import phone
from worker.errors import InvalidParameterError, LimitsUnavailableError, NotFoundError
from worker.money import Money
from worker.most_refused import Shown
from worker.operations import BudgetStanding
from worker.refusals import Kind
from worker.services import Service
from worker.settings import Settings
from worker.spends import ALL, MESSAGES
from worker.statements import COUNTRY, RANGE, number_limits, range_limits
from worker.states import Channel
from worker.wiring import Sendcode

router = APIRouter()
_SID = re.compile(r"VA[0-9a-f]{32}", re.ASCII)


@router.get("/limits")
def show(request: Request, session: Viewer) -> Response:
    return _page(request)


@router.post("/limits/number")
def of_number(request: Request, session: Viewer, fields: Fields) -> Response:
    """What a number has used. A form, as the number must not stand in an address."""
    try:
        number = phone.parse(fields.get("number", ""), Channel.CALL)
    except InvalidParameterError:
        return _page(request, wrong="Write the number with its country code: +44 7400 123456.")
    ours, given = parts_of(request), fields.get("service", "").strip()
    service = _chosen(ours, given)
    if service is None:
        return _page(request, wrong="No service has this sid, and none of the first 200 this name.")
    shown = {"service": given, "of": service.friendly_name, "number": phone.mask(number.e164)}
    return _page(request, used=_used(ours, service, number), **shown)


def _chosen(ours: Sendcode, given: str) -> Service | None:
    """The service of a sid, or of the name of one that is offered; the oldest of no name."""
    with suppress(NotFoundError):
        if _SID.fullmatch(given):
            return ours.services.fetch(ours.settings.account_sid, given)
    name = given.casefold()
    offered = services_of(ours)
    return next((one for one in offered if name in ("", one.friendly_name.casefold())), None)


def _used(ours: Sendcode, service: Service, number: phone.Phone) -> list[dict[str, Any]]:
    index = ours.keyring.number_index
    limits = number_limits(
        *(ours.settings, service.sid, index(number.e164), Channel.CALL),
        send_limit=service.send_limit,
    )
    limits += range_limits(ours.settings, service.sid, number, index)
    return [
        {"name": one.name, "used": used, "most": one.most, "opens": opens}
        for one, (used, opens) in zip(limits, ours.limits.used(limits), strict=True)
    ]


def _page(request: Request, wrong: str = "", **values: Any) -> Response:
    ours = parts_of(request)
    shown = {"used": None, "number": "", "service": "", "of": ""} | values
    services = services_of(ours)
    prices = ours.settings.price_list()
    units = [prices.currency, MESSAGES] if prices.micros else [MESSAGES]
    return page(
        request, "limits.html", 400 if wrong else 200, current="limits", back="/limits",
        limits=_in_force(ours.settings) + _own(services), services=services, units=units,
        budgets=_budgets(ours, {one.sid: one.friendly_name for one in services}),
        spent=ours.spent.by_country(), refused=_refused(ours), wrong=wrong,
        names={one.sid: one.friendly_name for one in services}, **shown,
    )  # fmt: skip


def _refused(ours: Sendcode) -> dict[Kind, list[Shown]] | None:
    """Whom the limits refuse most, by kind; None where the broker does not answer."""
    try:
        return ours.most_refused.look()
    except redis.RedisError:
        return None


def _budgets(ours: Sendcode, names: dict[str, str]) -> list[dict[str, Any]] | None:
    """What each budget's line shows; None where the broker does not answer."""
    try:
        found = ours.operations.budgets.all()
    except LimitsUnavailableError:
        return None
    return [_line(one, names) for one in found]


def _line(one: BudgetStanding, names: dict[str, str]) -> dict[str, Any]:
    kind = "" if one.scope == ALL else "service" if _SID.fullmatch(one.scope) else one.scope
    return {
        "budget": one, "what": names.get(one.scope) or scope_of({"scope": one.scope}),
        "kind": kind,
        **{name: None if value is None else _amount(value, one.unit)
           for name, value in (("used", one.used), ("most", one.most), ("then", one.then))},
    }  # fmt: skip


def _amount(value: int, unit: str) -> str:
    return f"{value:,} {unit}" if unit == MESSAGES else money(Money(value, unit))


def _in_force(s: Settings) -> list[tuple[str, str, str]]:
    """Name, what it allows, the setting that changes it."""
    return [
        ("sends", f"{s.limit_sends} in {s.limit_sends_window // 60} min, of a service to a number",
         "SENDCODE_LIMIT_SENDS"),
        ("daily", f"{s.limit_daily} a day per number, over all services", "SENDCODE_LIMIT_DAILY"),
        ("daily_calls", f"{s.limit_daily_calls} of them calls", "SENDCODE_LIMIT_DAILY_CALLS"),
        (RANGE, _of_range(s), "SENDCODE_LIMIT_RANGE"),
        (COUNTRY, _of_country(s), "SENDCODE_LIMIT_COUNTRY, SENDCODE_LIMIT_COUNTRIES"),
        ("checks", f"{s.max_checks} guesses per verification", "SENDCODE_MAX_CHECKS"),
        ("wrong codes in a row", f"{s.disable_after_failures}, then the number is disabled",
         "SENDCODE_DISABLE_AFTER_FAILURES"),
        ("starts of one service", f"{s.busy_starts} in ten seconds, then the busy queue",
         "SENDCODE_BUSY_STARTS"),
        ("overload", f"no new start while a code waits over {s.overload_seconds} s",
         "SENDCODE_OVERLOAD_SECONDS"),
    ]  # fmt: skip


def _own(services: Sequence[Service]) -> list[tuple[str, str, str]]:
    """What services have in place of a setting."""
    return [
        (f"{name} of {one.friendly_name}", f"{most} in place of the above", parameter)
        for one in services
        for name, most, parameter in (
            ("sends", one.send_limit, "SendLimit"),
            ("checks", one.check_limit, "CheckLimit"),
        )
        if most is not None
    ]


def _of_range(s: Settings) -> str:
    if not s.limit_range:
        return "off"
    minutes, size = s.limit_range_window // 60, 10**s.limit_range_digits
    return f"{s.limit_range} in {minutes} min, of a service to a range of {size:,} numbers"


def _of_country(s: Settings) -> str:
    most = f"{s.limit_country} a day" if s.limit_country else "no limit"
    others = f"; {s.limit_countries}" if s.limit_countries else ""
    return f"{most}, of a service to a country{others}"
