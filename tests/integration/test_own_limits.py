"""A service's own limits of sends and guesses, in place of the processes' settings."""

from collections.abc import Callable

import pytest

from tests.helpers import code_of, count, delivery, let_time_pass, wrong_code
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door, refused
from worker.errors import ChecksSpentError, LimitReachedError
from worker.plan import read_plan
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start, Verification
from worker.wiring import Sendcode


@pytest.fixture
def parts(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(limit_sends=3, limit_daily=100)


def start(parts: Sendcode, service: Service) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER, Channel.SMS))


def passes(parts: Sendcode, service: Service) -> bool:
    try:
        start(parts, service)
    except LimitReachedError as error:
        return error.limit != "sends"
    return True


def sends(parts: Sendcode, service: Service) -> int:
    """How many starts of ten pass."""
    return [passes(parts, service) for _ in range(10)].count(True)


@pytest.mark.parametrize("own", [1, 5])
def test_a_services_own_limit_of_sends(parts: Sendcode, service: Service, own: int) -> None:
    """It may be less or more than the setting, which others keep; taken away, it is the setting."""
    other = parts.services.create(ACCOUNT, "Other", send_limit=own)
    assert (sends(parts, other), sends(parts, service)) == (own, 3)
    parts.services.update(ACCOUNT, other.sid, send_limit=None)
    assert sends(parts, other) == max(0, 3 - own)


@pytest.mark.parametrize("own", [1, 5])
def test_what_was_lost_is_learnt_by_it(parts: Sendcode, service: Service, own: int) -> None:
    """After the broker lost everything the service's own limit holds, no less and no more."""
    other = parts.services.create(ACCOUNT, "Other", send_limit=own)
    for _ in range(own - 1):
        start(parts, other)
    parts.redis.flushdb()
    assert sends(parts, other) == 1


def test_a_repeat_by_an_operator_counts_by_it(parts: Sendcode) -> None:
    """What an operator sends again passes the service's own limit."""
    service = parts.services.create(ACCOUNT, "Other", send_limit=1)
    sid = start(parts, service).deliveries[-1].sid
    row = parts.operations.sending._row
    with parts.db.begin() as connection:
        (limit, *_) = parts.operations.sending._limits_of(row(connection, sid), Channel.SMS)
    assert (limit.name, limit.most) == ("sends", 1)


def test_a_plan_counts_by_it(parts: Sendcode) -> None:
    """What a plan sends passes the service's own limit too, and takes nothing from its count."""
    service = parts.services.create(ACCOUNT, "Other", send_limit=6, plan=read_plan("call:30"))
    sids = [start(parts, service).deliveries[-1].sid for _ in range(3)]
    let_time_pass(parts, 31)
    for sid in sids:
        parts.fallback.follow(sid)
    assert count(parts, "deliveries WHERE channel = 'call'") == 1
    assert sends(parts, service) == 2


def test_a_services_own_limit_of_guesses(parts: Sendcode, service: Service) -> None:
    """It is of the verifications that start from then on."""
    assert start(parts, service).max_checks == 5
    other = parts.services.create(ACCOUNT, "Other", check_limit=2)
    found = start(parts, other)
    parts.services.update(ACCOUNT, other.sid, check_limit=9)
    right = code_of(parts, found.sid)
    for _ in range(found.max_checks):
        parts.verifications.check(ACCOUNT, other.sid, wrong_code(right), to=NUMBER)
    with pytest.raises(ChecksSpentError):
        parts.verifications.check(ACCOUNT, other.sid, right, to=NUMBER)
    assert (found.max_checks, delivery(parts, found.deliveries[-1].sid).state) == (2, "queued")


def test_at_the_door(parts: Sendcode, service: Service) -> None:
    """`SendLimit` and `CheckLimit` are kept, taken away by an empty value, and have bounds."""
    client, path = door(parts), f"/v2/Services/{service.sid}"

    def own() -> tuple[int | None, int | None]:
        found = parts.services.fetch(ACCOUNT, service.sid)
        return found.send_limit, found.check_limit

    assert client.post(path, data={"SendLimit": "2", "CheckLimit": "10"}).status_code == 200
    assert own() == (2, 10)
    for field, value in (
        *(("SendLimit", "0"), ("SendLimit", "100001"), ("SendLimit", "x")),
        *(("CheckLimit", "0"), ("CheckLimit", "11")),
    ):
        refused(client.post(path, data={field: value}), 400, 60200)
    assert client.post(path, data={"FriendlyName": "Renamed"}).status_code == 200
    assert own() == (2, 10)
    assert client.post(path, data={"SendLimit": ""}).status_code == 200
    assert own() == (None, 10)
