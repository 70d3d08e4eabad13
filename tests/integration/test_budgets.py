"""Budgets: no more than was allowed is spent in a day, on both databases and a real broker."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.helpers import at_once, count, delivery, let_time_pass
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door, refused
from tests.integration.hearing import listen
from tests.integration.operating import (
    ADMIN,
    AMERICAN,
    ANN,
    BRITISH,
    audited,
    make_relay,
    start,
)
from tests.integration.test_metrics import gauges, scrape
from tests.standin import Standin
from worker.errors import (
    ActionRefusedError,
    BudgetExceededError,
    InvalidParameterError,
    LimitReachedError,
)
from worker.operations import Outcome
from worker.plan import read_plan
from worker.rollup import Rollup
from worker.services import Service
from worker.spends import DAY_MS
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode

PRICES = "sms:*=0.10,sms:GB=0.04,call:*=0.05"
DAY = DAY_MS // 1000
NUMBERS = [f"+4474001234{i:02}" for i in range(10, 90)]
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def parts(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(prices=PRICES)


def allow(parts: Sendcode, scope: str, amount: str, unit: str = "messages", **rest: Any) -> Outcome:
    return parts.operations.budgets.set(ADMIN, scope, amount, unit, "a drill", **rest)


def used(parts: Sendcode) -> dict[str, int]:
    return {one.scope: one.used for one in parts.operations.budgets.all()}


def counted(parts: Sendcode, scope: str, unit: str = "messages") -> dict[str, int]:
    """What Redis holds of a budget."""
    found: Any = parts.redis.hgetall(f"sendcode:budget:{scope}:{unit}")
    return {name.decode(): int(value) for name, value in found.items()}


def spend(parts: Sendcode, service: Service, times: int, first: int = 0) -> None:
    for number in NUMBERS[first : first + times]:
        start(parts, service, number)


@pytest.mark.kills("budget-is-not-asked")
@pytest.mark.parametrize("scope", ["all", "GB", "service"])
def test_what_is_used_up_refuses_until_the_day_ends(
    parts: Sendcode, service: Service, scope: str
) -> None:
    """After the last send of a budget a start is refused, with the time until midnight UTC."""
    scope = service.sid if scope == "service" else scope
    allow(parts, scope, "2")
    spend(parts, service, 2)
    with capture_logs() as lines, pytest.raises(BudgetExceededError) as caught:
        start(parts, service, NUMBERS[2])
    assert (caught.value.limit, caught.value.scope) == ("budget", scope)
    seconds: Any = parts.redis.time()
    assert abs(caught.value.retry_after - (DAY - seconds[0] % DAY)) <= 2
    assert [one["scope"] for one in lines if one["event"] == "budget.exceeded"] == [scope]
    assert count(parts, "deliveries") == 2
    assert used(parts) == {scope: 2}


def test_a_budget_covers_nothing_else(parts: Sendcode, service: Service) -> None:
    """A country's or a service's budget that is used up refuses no other's starts."""
    allow(parts, "GB", "0")
    start(parts, service, AMERICAN)
    other = parts.services.create(ACCOUNT, "Other")
    allow(parts, other.sid, "0")
    start(parts, service, AMERICAN)
    with pytest.raises(BudgetExceededError):
        start(parts, other, AMERICAN)


@pytest.mark.kills("budget-takes-one")
def test_money_is_counted_by_its_price(parts: Sendcode, service: Service) -> None:
    """A budget in money is used by the price of each channel and country, to the micro."""
    allow(parts, "all", "0.19", "usd")
    start(parts, service, BRITISH)
    start(parts, service, AMERICAN)
    start(parts, service, NUMBERS[1], channel=Channel.CALL)
    assert used(parts) == {"all": 190_000}
    with pytest.raises(BudgetExceededError):
        start(parts, service, NUMBERS[2])


@pytest.mark.kills("budget-is-counted-beside")
def test_it_counts_all_or_nothing(parts: Sendcode, service: Service) -> None:
    """A start that a limit refuses uses no budget, one that a budget refuses no limit, and of two
    budgets none where one refuses.
    """
    allow(parts, "all", "9")
    allow(parts, "GB", "9")
    for _ in range(5):
        start(parts, service, BRITISH)
    with pytest.raises(LimitReachedError) as caught:
        start(parts, service, BRITISH)
    assert caught.value.limit == "sends"
    assert used(parts) == {"all": 5, "GB": 5}
    allow(parts, "GB", "5")
    with pytest.raises(BudgetExceededError):
        start(parts, service, NUMBERS[3])
    parts.operations.budgets.clear(ADMIN, "GB", "a drill")
    for _ in range(4):
        start(parts, service, NUMBERS[3])


@pytest.mark.kills("budget-is-overdrawn")
def test_many_at_once_at_the_edge(parts: Sendcode, service: Service) -> None:
    """Of twelve starts at once with five left, five are accepted."""
    allow(parts, "all", "5")
    results = at_once(12, lambda i: start(parts, service, NUMBERS[i]))
    assert sum(isinstance(one, BudgetExceededError) for one in results) == 7
    assert count(parts, "deliveries") == 5
    assert used(parts) == {"all": 5}


def test_resends_count_and_repeats_of_a_request_do_not(parts: Sendcode, service: Service) -> None:
    """A resend is a message more; the same request id again is not, also when nothing is left."""
    allow(parts, "all", "2")
    first = start(parts, service, request_id="r1")
    start(parts, service)
    assert start(parts, service, request_id="r1").sid == first.sid
    assert used(parts) == {"all": 2}


def test_what_was_never_written_is_given_back(parts: Sendcode, service: Service) -> None:
    """A start whose transaction fails uses nothing of the budget."""
    allow(parts, "all", "0.50", "USD")

    def fail(*_: object) -> None:
        raise LimitReachedError("a drill", 1)

    start(parts, service)
    with pytest.raises(LimitReachedError):
        parts.verifications.start(ACCOUNT, Start(service.sid, NUMBERS[0]), also=fail)
    assert used(parts) == {"all": 40_000}


def test_a_killed_workers_delivery_counts_once(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A delivery that another worker takes over, and one that is repeated after an unknown
    outcome, was counted when it was accepted, and is not counted again.
    """
    allow(parts, "all", "0.50", "USD")
    sid = start(parts, service).deliveries[-1].sid
    provider.script.append("lost")
    parts.dispatch.deliver([sid])
    let_time_pass(parts, 9)
    parts.dispatch.deliver([sid])
    assert (delivery(parts, sid).state, len(provider.sent)) == ("accepted", 2)
    Rollup(parts.db, 30, parts.budgets.catch_up).look()
    parts.budgets.catch_up()
    assert used(parts) == {"all": 40_000}


def test_a_plans_step_and_an_operators_retry_count(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """What follows a text, and what an operator sends again, is refused too; past the limits it is
    sent, and counted once the relay has seen it.
    """
    parts = make_parts(prices=PRICES)
    service = parts.services.create(ACCOUNT, "Example", plan=read_plan("call"))
    allow(parts, "all", "1")
    sid = start(parts, service).deliveries[-1].sid
    provider.script.append((400, 21614, {}))
    parts.dispatch.deliver([sid])
    assert count(parts, "deliveries") == 1
    with pytest.raises(BudgetExceededError):
        parts.operations.sending.retry(ADMIN, sid, "a drill")
    parts.operations.sending.retry(ADMIN, sid, "a drill", override_limits=True)
    assert used(parts) == {"all": 1}
    Rollup(parts.db, 30).look()
    parts.budgets.catch_up()
    assert counted(parts, "all")["used"] == 2


@pytest.mark.kills("budget-forgets-with-the-broker")
@pytest.mark.parametrize("scope", ["all", "GB", "service"])
@pytest.mark.parametrize("unit", ["messages", "USD"])
def test_an_emptied_broker_forgets_no_budget(
    parts: Sendcode, service: Service, scope: str, unit: str
) -> None:
    """After the broker was emptied the next start counts on from what the database knows."""
    scope = service.sid if scope == "service" else scope
    other = parts.services.create(ACCOUNT, "Other")
    allow(parts, scope, "2" if unit == "messages" else "0.08", unit)
    for number in NUMBERS[:2]:
        parts.dispatch.deliver([start(parts, service, number).deliveries[-1].sid])
    if scope != "all":
        parts.dispatch.deliver([start(parts, other, AMERICAN).deliveries[-1].sid])
    Rollup(parts.db, 30).look()
    parts.redis.flushdb()
    assert used(parts)[scope] == (2 if unit == "messages" else 80_000)
    with pytest.raises(BudgetExceededError):
        start(parts, service, NUMBERS[2])
    assert counted(parts, scope, unit)["used"] == (2 if unit == "messages" else 80_000)


def test_longer_texts_are_caught_up_with(parts: Sendcode) -> None:
    """Where a text took more segments than the one that was counted, the relay's count holds; what
    it does not know yet stays counted.
    """
    service = parts.services.create(ACCOUNT, "Пример" * 5)
    allow(parts, "all", "9.00", "USD")
    sid = start(parts, service, locale="ru", app_hash="abcdefghijk").deliveries[-1].sid
    parts.dispatch.deliver([sid])
    Rollup(parts.db, 30).look()
    parts.budgets.catch_up()
    assert counted(parts, "all", "USD")["used"] == 40_000 * delivery(parts, sid).segments
    spend(parts, service, 3, first=1)
    before = counted(parts, "all", "USD")
    Rollup(parts.db, 30).look()
    parts.budgets.catch_up()
    assert counted(parts, "all", "USD") == before


@pytest.mark.parametrize("between", ["nothing", "messages"])
def test_what_no_budget_counted_counts_once_there_is_one(
    parts: Sendcode, service: Service, between: str
) -> None:
    """What was sent while the budget was away, or was one in messages, is spent when it is set
    again, from the first start on.
    """
    allow(parts, "GB", "0.20", "USD")
    start(parts, service, NUMBERS[0])
    if between == "nothing":
        parts.operations.budgets.clear(ADMIN, "GB", "a drill")
    else:
        allow(parts, "GB", "9")
    for number in NUMBERS[1:3]:
        parts.dispatch.deliver([start(parts, service, number).deliveries[-1].sid])
    Rollup(parts.db, 30).look()
    allow(parts, "GB", "0.08", "USD")
    with pytest.raises(BudgetExceededError):
        start(parts, service, NUMBERS[3])
    assert counted(parts, "GB", "USD")["used"] == 80_000


@pytest.mark.kills("budget-lasts-for-ever")
def test_a_new_day_begins_with_nothing_used(parts: Sendcode, service: Service) -> None:
    """What was used yesterday counts no more, also where the database is asked about it late."""
    allow(parts, "all", "1")
    start(parts, service)
    with pytest.raises(BudgetExceededError):
        start(parts, service, NUMBERS[1])
    day = counted(parts, "all")["day"]
    parts.redis.hset("sendcode:budget:all:messages", "day", day - 1)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE minutes SET minute = minute - 86400000"))
    assert used(parts) == {"all": 0}
    start(parts, service, NUMBERS[1])
    assert counted(parts, "all") == {"day": day, "used": 1}
    parts.limits.budgets._at_least(keys=["sendcode:budget:all:messages"], args=[day - 1, 500])
    assert counted(parts, "all") == {"day": day, "used": 1}


def test_prices_that_change_count_from_then_on(
    parts: Sendcode, service: Service, make_settings: Callable[..., Any]
) -> None:
    """With a new list of prices what was counted stays, and the next send counts by the new one."""
    allow(parts, "all", "0.50", "USD")
    start(parts, service)
    dearer = Sendcode(make_settings(prices="sms:*=0.30,call:*=0.05"))
    start(dearer, service, NUMBERS[1])
    assert used(parts) == {"all": 340_000}
    dearer.db.close()


def test_a_budget_that_cannot_be_counted_allows_nothing(
    parts: Sendcode, service: Service, make_settings: Callable[..., Any]
) -> None:
    """Where the prices' currency is another one now, or there are none, nothing is sent: two
    currencies are never added up.
    """
    allow(parts, "GB", "100.00", "USD")
    for changes in ({"prices": ""}, {"prices": PRICES, "price_currency": "EUR"}):
        changed = Sendcode(make_settings(**changes))
        with pytest.raises(BudgetExceededError):
            start(changed, service)
        start(changed, service, AMERICAN)
        (one,) = changed.operations.budgets.all()
        assert (one.countable, one.ratio) == (False, 1.0)
        changed.db.close()


def test_an_amount_for_a_time_stands_in_for_the_budget(parts: Sendcode, service: Service) -> None:
    """A raise with an end holds until then; afterwards the old budget is in force, and that is
    written down. Where there was none there is none again.
    """
    allow(parts, "all", "1")
    start(parts, service)
    allow(parts, "all", "3", until=3600)
    allow(parts, "GB", "3", until=3600)
    spend(parts, service, 2, first=1)
    with pytest.raises(InvalidParameterError, match="messages"):
        allow(parts, "all", "5.00", "USD", until=60)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE budgets SET until = until - 3600001"))
    parts.holds.refresh()
    assert [(one.scope, one.most, one.until) for one in parts.operations.budgets.all()] == [
        ("all", 1, None)
    ]
    with pytest.raises(BudgetExceededError):
        start(parts, service, NUMBERS[4])
    make_relay(parts)._operations.end_overdue()
    assert {(one.action, one.target) for one in audited(parts) if one.who == "sendcode"} == {
        ("budget.set", "all"),
        ("budget.clear", "country GB"),
    }
    assert count(parts, "budgets") == 1


@pytest.mark.parametrize(
    ("scope", "amount", "unit"),
    [
        ("ß", "5", "messages"),
        *(("ZZ", "5", "messages"), ("VA" + "0" * 32, "5", "messages"), ("", "5", "messages")),
        *(("all", "-5", "messages"), ("all", "5.5", "messages"), ("all", "1" * 10, "messages")),
        *(("all", "", "messages"), ("all", "5", "EUR"), ("all", "5", ""), ("all", "-5", "USD")),
        *(("all", "1e9", "USD"), ("all", "0.0000001", "USD"), ("all", "9" * 12, "USD")),
    ],
)
@ON_SQLITE
def test_what_is_no_budget_is_refused(parts: Sendcode, scope: str, amount: str, unit: str) -> None:
    """An unknown scope, an absurd amount and a currency without prices change nothing."""
    with pytest.raises(InvalidParameterError):
        allow(parts, scope, amount, unit)
    assert (count(parts, "budgets"), audited(parts)) == (0, [])


@ON_SQLITE
def test_what_is_no_scope_is_not_repeated(parts: Sendcode) -> None:
    """A number in the place of a scope is refused, and stands in no line and no answer."""
    budgets = parts.operations.budgets
    with capture_logs() as lines:
        for act in (
            lambda: budgets.clear(ADMIN, BRITISH, "a drill"),
            lambda: allow(parts, BRITISH, "5"),
            lambda: allow(parts, "all", BRITISH),
            lambda: allow(parts, "all", "5", BRITISH),
        ):
            with pytest.raises(InvalidParameterError) as caught:
                act()
            assert BRITISH not in str(caught.value)
    assert BRITISH not in str(lines)
    assert count(parts, "budgets") == 0


@ON_SQLITE
def test_without_prices_no_budget_in_money(make_parts: Callable[..., Sendcode]) -> None:
    """Money cannot be counted without prices, and the refusal says which setting is missing."""
    with pytest.raises(InvalidParameterError, match="SENDCODE_PRICES"):
        allow(make_parts(), "all", "5.00", "USD")


@ON_SQLITE
def test_only_an_administrator_changes_budgets(parts: Sendcode) -> None:
    """Who may not send past the limits may not raise what they allow."""
    budgets = parts.operations.budgets
    for act in (
        lambda: budgets.set(ANN, "all", "5", "messages", "a drill"),
        lambda: budgets.clear(ANN, "all", "a drill"),
    ):
        with pytest.raises(ActionRefusedError):
            act()
    assert count(parts, "budgets") == 0


def test_each_change_is_tried_written_down_and_harmless_twice(parts: Sendcode) -> None:
    """A dry run changes nothing; what is set or removed is in the audit log, once."""
    budgets = parts.operations.budgets
    assert allow(parts, "GB", "12.50", "USD", dry_run=True).result == "would"
    assert (count(parts, "budgets"), audited(parts)) == (0, [])
    done = at_once(4, lambda _: allow(parts, "GB", "12.50", "USD"))
    assert [one.result for one in done] == ["done"] * 4
    assert count(parts, "budgets") == 1
    assert budgets.clear(ADMIN, "GB", "over", dry_run=True).result == "would"
    assert [budgets.clear(ADMIN, "GB", "over").result for _ in "12"] == ["done", "unchanged"]
    first, *_, last = audited(parts)
    assert (first.action, first.target, first.before) == ("budget.set", "country GB", None)
    assert (first.after or {})["amount"] == "12.50 USD"
    assert (last.action, (last.before or {})["amount"]) == ("budget.clear", "12.50 USD")


def test_there_are_so_many_budgets_at_most(parts: Sendcode) -> None:
    """Each start asks its budgets, and each page shows all, so there is an end to them."""
    with parts.db.begin() as connection:
        for i in range(100):
            connection.execute(
                text(
                    "INSERT INTO budgets (scope, unit, most, reason, set_by, since)"
                    f" VALUES ('VA{i:032}', 'messages', 1, 'r', 'w', 0)"
                )
            )
    with pytest.raises(ActionRefusedError, match="100 budgets"):
        allow(parts, "all", "5")


def test_without_budgets_a_start_does_what_it_did(parts: Sendcode, service: Service) -> None:
    """No budget costs no statement of a start, and one that was counted when it was set neither."""
    seen = listen(parts)

    def statements(number: str) -> list[str]:
        parts.holds.refresh()
        seen.clear()
        start(parts, service, number)
        return [one for one in seen if "FROM pauses" not in one]

    start(parts, service, AMERICAN)  # of a new broker, asks whether any was sent
    without = statements(NUMBERS[0])
    assert not [one for one in without if "budget" in one or "minute" in one]
    assert without
    allow(parts, "all", "9")
    assert statements(NUMBERS[1]) == without


def test_the_doors_say_it_in_their_own_shape(parts: Sendcode, service: Service) -> None:
    """Twilio's door answers 429 with the time, the operators' one sets, shows and removes."""
    client = door(parts)
    body = {"scope": "GB", "amount": "1", "unit": "messages", "reason": "a drill", "until": 600}
    answer = client.post("/operator/v1/budget", json=body)
    assert (answer.status_code, answer.json()["target"]) == (200, "country GB")
    path = f"/v2/Services/{service.sid}/Verifications"
    assert client.post(path, data={"To": BRITISH, "Channel": "sms"}).status_code == 201
    answer = client.post(path, data={"To": BRITISH, "Channel": "sms"})
    refused(answer, 429, 20429)
    wait = answer.json()["details"]["retry_after"]
    assert answer.headers["Retry-After"] == str(wait)
    assert answer.json()["details"] == {"limit": "budget", "scope": "GB", "retry_after": wait}
    (shown,) = client.get("/operator/v1/budgets").json()["budgets"]
    assert (shown["used"], shown["most"], shown["ratio"], shown["then"]) == (1, 1, 1.0, None)
    refused(client.post("/operator/v1/budget", json=body | {"amount": "-1"}), 400, 60200)
    answer = client.post("/operator/v1/budget/remove", json={"scope": "GB", "reason": "a drill"})
    assert answer.json()["result"] == "done"
    assert client.get("/operator/v1/budgets").json() == {"budgets": []}


def test_how_full_they_are_is_a_gauge(parts: Sendcode, service: Service) -> None:
    """Prometheus is told each scope's share; of services the fullest, and no sid."""
    other = parts.services.create(ACCOUNT, "Other")
    for scope, amount in (("all", "10"), ("GB", "4"), (service.sid, "2"), (other.sid, "5")):
        allow(parts, scope, amount)
    start(parts, service)
    found = gauges(scrape(parts.settings))
    ratios = {key[1]: value for key, value in found.items() if key[0] == "budget_used_ratio"}
    assert ratios == {"all": 0.1, "country GB": 0.25, "service": 0.5}


def test_the_document_says_which_units_there_are(make_parts: Callable[..., Sendcode]) -> None:
    """A budget is in messages, and in the currency of the prices where there are any."""
    told = []
    for prices in ("", "sms:*=0.05,call:*=0.1"):
        document = door(make_parts(prices=prices)).get("/openapi.json").json()
        body = document["paths"]["/operator/v1/budget"]["post"]["requestBody"]["content"]
        known = body["application/json"]["schema"]["properties"]
        amounts = [bool(re.search(known["amount"]["pattern"], text)) for text in ("5", "0.5")]
        told.append((known["unit"]["enum"], amounts))
    assert told == [(["messages"], [True, False]), (["messages", "USD"], [True, True])]
