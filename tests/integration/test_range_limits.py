"""Limits that many numbers share: a range of neighbours and a country, on both databases."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.helpers import at_once, code_of, count
from tests.integration.breaking import break_writes_of_starts
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door, refused
from tests.integration.hearing import listen
from tests.integration.operating import AMERICAN, start
from worker.errors import LimitReachedError
from worker.recall import SINCE
from worker.services import Service
from worker.states import Channel
from worker.wiring import Sendcode

RANGE = [f"+447400123{last:03}" for last in range(1000)]
ELSEWHERE, FRENCH = "+447400124000", "+33612345678"
KEYS = "sendcode:limit:*"


def named(parts: Sendcode, service: Service, to: str, **values: Any) -> str:
    """The limit that refuses a start; empty when it is accepted."""
    try:
        start(parts, service, to, **values)
    except LimitReachedError as error:
        return error.limit
    return ""


@pytest.fixture
def tight(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(limit_range=3, limit_country=4)


@pytest.fixture
def example(tight: Sendcode) -> Service:
    return tight.services.create(ACCOUNT, "Example")


@pytest.mark.kills("range-counts-nothing", "limit-admits-everything")
def test_pumping_one_range_stops_by_itself(parts: Sendcode, service: Service) -> None:
    """As shipped, of a thousand neighbours the first fifty get a code in an hour, over either
    channel; other ranges go on."""
    channels = (Channel.SMS, Channel.CALL)
    for index, number in enumerate(RANGE[:50]):
        start(parts, service, number, channel=channels[index % 2])
    for number in (RANGE[50], RANGE[999], RANGE[0]):
        with pytest.raises(LimitReachedError) as stopped:
            start(parts, service, number)
        assert stopped.value.limit == "range"
        assert 3500 <= stopped.value.retry_after <= 3600
    assert named(parts, service, ELSEWHERE) == ""
    assert count(parts, "deliveries") == 51


@pytest.mark.kills("country-counts-nothing")
def test_a_country_has_an_end(tight: Sendcode, example: Service) -> None:
    """Starts to a country, spread over its ranges, end for a day; other countries go on."""
    for index in range(4):
        start(tight, example, f"+44740012{index}000")
    with pytest.raises(LimitReachedError) as stopped:
        start(tight, example, "+447400127000")
    assert stopped.value.limit == "country"
    assert 86_300 <= stopped.value.retry_after <= 86_400
    assert named(tight, example, FRENCH) == ""


def test_each_country_can_have_its_own_number(make_parts: Callable[..., Sendcode]) -> None:
    """A country that the settings name has that number or no end, all others the common one."""
    parts = make_parts(limit_range=0, limit_country=1, limit_countries="GB=2, FR=0")
    service = parts.services.create(ACCOUNT, "Example")
    british = [named(parts, service, number) for number in RANGE[:3]]
    french = [named(parts, service, f"{FRENCH[:-1]}{last}") for last in range(5)]
    american = [named(parts, service, f"{AMERICAN[:-1]}{last}") for last in range(2)]
    assert british == ["", "", "country"]
    assert french == [""] * 5
    assert american == ["", "country"]


def test_an_attack_on_one_service_stops_no_other(tight: Sendcode, example: Service) -> None:
    """Range and country are counted by service."""
    other = tight.services.create(ACCOUNT, "Other")
    assert [named(tight, example, n) for n in RANGE[:4]] == ["", "", "", "range"]
    assert [named(tight, other, n) for n in RANGE[:4]] == ["", "", "", "range"]


def test_neighbours_at_once_share_one_budget(tight: Sendcode, example: Service) -> None:
    """Of twelve starts at once to as many neighbours three are accepted."""
    results = at_once(12, lambda index: named(tight, example, RANGE[index]))
    assert Counter(results) == {"": 3, "range": 9}
    assert count(tight, "deliveries") == 3


def test_a_refused_start_is_counted_by_no_limit(tight: Sendcode, example: Service) -> None:
    """What the range refuses leaves number and country as they were, and what the number's own
    limit refuses leaves the range."""
    for number in RANGE[:3]:
        start(tight, example, number)
    before = state(tight)
    assert [named(tight, example, number) for number in RANGE[3:8]] == ["range"] * 5
    assert state(tight) == before
    for _ in range(3):
        named(tight, example, AMERICAN, channel=Channel.CALL)
    before = state(tight)
    assert named(tight, example, AMERICAN, channel=Channel.CALL) in ("daily_calls", "range")
    assert state(tight) == before


def state(parts: Sendcode) -> dict[bytes, list[bytes]]:
    """Every limit's key and its times."""
    return {key: parts.redis.lrange(key, 0, -1) for key in parts.redis.scan_iter(KEYS)}


@pytest.mark.kills("safe-list-passes-no-range")
def test_a_safe_number_passes_and_is_not_counted(tight: Sendcode, example: Service) -> None:
    """A number on the account's safe list passes a full range, and fills none."""
    safe = RANGE[7]
    tight.safelist.add(ACCOUNT, safe)
    assert named(tight, example, safe) == ""
    assert [named(tight, example, n) for n in RANGE[:4]] == ["", "", "", "range"]
    assert named(tight, example, safe) == ""
    tight.safelist.remove(ACCOUNT, safe)
    assert named(tight, example, safe) == "range"


def test_a_safe_number_passes_a_full_country(tight: Sendcode, example: Service) -> None:
    """A number on the safe list passes a country whose day is used up, and uses up none of it."""
    safe = RANGE[7]
    tight.safelist.add(ACCOUNT, safe)
    assert named(tight, example, safe) == ""
    starts = [named(tight, example, f"+44740012{index}000") for index in range(5)]
    assert starts == ["", "", "", "", "country"]
    assert named(tight, example, safe) == ""


def test_a_safe_number_keeps_its_own_limits(parts: Sendcode, service: Service) -> None:
    """The safe list lifts what neighbours share: a safe number has as many sends as any other."""
    safe = RANGE[7]
    parts.safelist.add(ACCOUNT, safe)
    most = parts.settings.limit_sends
    assert [named(parts, service, safe) for _ in range(most + 1)] == [""] * most + ["sends"]


def test_a_start_that_is_not_written_is_given_back(
    tight: Sendcode, example: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the database breaks a start off, range and country have not counted it."""
    break_writes_of_starts(tight, monkeypatch)
    for number in RANGE[:4]:
        with pytest.raises(OperationalError):
            start(tight, example, number)
    monkeypatch.undo()
    assert [named(tight, example, n) for n in RANGE[:4]] == ["", "", "", "range"]


def test_an_approval_gives_nothing_back(tight: Sendcode, example: Service) -> None:
    """Who reads the codes of a range cannot keep it open by checking them: the money is spent."""
    for number in RANGE[:3]:
        sid = start(tight, example, number).sid
        check = tight.verifications.check(ACCOUNT, example.sid, code_of(tight, sid), sid=sid)
        assert check.status == "approved"
    assert named(tight, example, RANGE[3]) == "range"


def test_no_key_tells_a_range(tight: Sendcode, example: Service) -> None:
    """Redis holds no part of a number that is longer than its country's code."""
    start(tight, example, RANGE[0])
    keys = [key.decode() for key in tight.redis.scan_iter(KEYS)]
    assert len(keys) == 4
    assert not [key for key in keys if "7400" in key or RANGE[0][1:-3] in key]


def test_the_backend_is_told_as_by_fraud_guard(tight: Sendcode, example: Service) -> None:
    """Verify's door answers 403/60410 with the limit's name and when to come back."""
    client, path = door(tight), f"/v2/Services/{example.sid}/Verifications"
    answers = [client.post(path, data={"To": n, "Channel": "sms"}) for n in RANGE[:4]]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 403]
    refused(answers[3], 403, 60410)
    wait = int(answers[3].headers["retry-after"])
    assert answers[3].json()["details"] == {"limit": "range", "retry_after": wait}
    assert 3500 <= wait <= 3600
    assert RANGE[3][3:] not in answers[3].text


def test_they_cost_no_round_trip(make_parts: Callable[..., Sendcode]) -> None:
    """A start asks database and broker as often with these limits as without."""
    asked = []
    for most in (0, 50):
        parts = make_parts(limit_range=most, limit_country=most)
        service = parts.services.create(ACCOUNT, "Example")
        parts.redis.set(SINCE, 0)  # nothing is learnt of the first one's numbers
        start(parts, service, AMERICAN)  # loads the scripts and what is paused
        statements = listen(parts)
        parts.redis.config_resetstat()
        start(parts, service, RANGE[0])
        sent = parts.redis.info("commandstats")
        asked.append((len(statements), {name: of["calls"] for name, of in sent.items()}))
        assert ("cmdstat_evalsha" in sent, len(parts.redis.keys(KEYS))) == (True, 8 if most else 4)
    assert asked[0][0] == asked[1][0] > 1
    assert asked[0][1]["cmdstat_evalsha"] == asked[1][1]["cmdstat_evalsha"]
