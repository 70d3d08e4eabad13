"""The console's budgets: what their lines say, and their forms, which try first and ask why."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.operating import ADMIN, BRITISH
from tests.integration.test_console import signed_in
from tests.integration.test_console_actions import confirm
from tests.integration.test_records import start
from tests.pages import Page
from worker.audit import Operator
from worker.operators import Role
from worker.rollup import Rollup
from worker.services import Service
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MARKUP = """<svg/onload=alert(1)>"'>"""
SET = "/console/act/set-budget"


@pytest.fixture
def parts(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(prices="sms:*=0.10,call:*=0.05")


@pytest.fixture
def ann(parts: Sendcode) -> TestClient:
    return signed_in(parts)


def asked(scope: str, amount: str = "5", unit: str = "messages") -> str:
    """The address that the form on the page of limits leads to."""
    return f"{SET}?scope={scope}&amount={amount}&unit={unit}"


def lines(client: TestClient) -> list[str]:
    """The words of each budget's line."""
    section = client.get("/console/limits").text.partition("Spent today")[0]
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", section.partition("In force")[0], re.S)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows]


def allow(parts: Sendcode, scope: str, amount: str, unit: str = "messages", **rest: Any) -> None:
    parts.operations.budgets.set(ADMIN, scope, amount, unit, "a drill", **rest)


def test_a_budget_is_tried_set_and_removed(parts: Sendcode, ann: TestClient) -> None:
    """The form leads to a trial, which changes nothing; then the budget has its line, and its link
    leads to its end. Each is in the audit log with its reason.
    """
    form = Page(ann.get("/console/limits").text).form("/act/set-budget")
    assert (form.action, form.method) == (SET, "get")
    tried = ann.get(asked("gb", "12.50", "USD")).text
    assert "Nothing is done yet" in tried
    assert "United Kingdom" in tried
    assert parts.operations.budgets.all() == []
    assert "Done" in confirm(ann, asked("gb", "12.50", "USD"), "agreed").text
    (line,) = lines(ann)
    assert line.startswith("United Kingdom GB 0.00 USD 12.50 USD ● 0%")
    assert "agreed" in line
    link = Page(ann.get("/console/limits").text).link("Remove")
    assert "Done" in confirm(ann, link, "over").text
    assert parts.operations.budgets.all() == []
    audit = ann.get("/console/audit").text
    assert [words in audit for words in ("agreed", "over", "country GB")] == [True] * 3


def test_a_line_says_how_far_it_is_used(parts: Sendcode, service: Service, ann: TestClient) -> None:
    """Used up, nearly so, and what comes after an amount for a time; a service by its name."""
    for scope, amount in (("all", "6"), ("GB", "5"), (service.sid, "50")):
        allow(parts, scope, amount)
    allow(parts, "FR", "0", until=3600)
    for number in range(5):
        start(parts, service, f"{BRITISH[:-1]}{number}")
    found = {line.split()[0]: line for line in lines(ann)}
    assert "■ used up" in found["United"]
    assert "▲ 83%" in found["everything"]
    assert "Example service 5 messages 50 messages ● 10%" in found["Example"]
    assert re.search("■ used up in 5[89] m , then no budget", found["France"])


@pytest.mark.parametrize(
    ("scope", "amount", "unit"),
    [
        *(("ZZ", "5", "messages"), ("all", "-5", "messages"), ("all", "5", "EUR")),
        *(("all", "9" * 12, "USD"), ("all", "0.5", "messages"), ("all", "5", MARKUP)),
        *((MARKUP, "5", "USD"), ("all", MARKUP, "USD"), ("VA" + "0" * 32, "5", "USD")),
    ],
)
def test_what_is_no_budget_is_refused_in_words(
    parts: Sendcode, ann: TestClient, scope: str, amount: str, unit: str
) -> None:
    """The trial says what does not fit, the form sent all the same is refused, nothing changes."""
    given = {"scope": scope, "amount": amount, "unit": unit}
    tried = ann.get(SET, params=given)
    assert (tried.status_code, 'role="alert"' in tried.text) == (200, True)
    sent = ann.post(SET, data=Page(tried.text).form(SET).fields | given | {"reason": "a drill"})
    assert sent.status_code == 409
    for text in (tried.text, sent.text):
        assert "<svg/" not in text
    assert (parts.operations.budgets.all(), parts.operations.audit.page()) == ([], [])


def test_a_refusal_keeps_the_reason(parts: Sendcode, ann: TestClient) -> None:
    """Who is refused need not write why again; a number in it is not shown, nor what is too
    long.
    """
    allow(parts, "FR", "5")
    path = asked("FR", "5", "EUR")
    refused = confirm(ann, path, f"{MARKUP} for {BRITISH}")
    assert refused.status_code == 409
    assert 'value="&lt;svg/onload=alert(1)&gt;&#34;&#39;&gt; for [number]"' in refused.text
    assert BRITISH[3:] not in refused.text
    assert "x" * 201 not in confirm(ann, asked("FR"), "x" * 10_000).text


def test_what_is_refused_can_be_mended(parts: Sendcode, ann: TestClient) -> None:
    """The form of a refused trial lets what was typed be written anew, and takes it then."""
    tried = Page(ann.get(asked("FR", "5", "francs")).text)
    assert re.findall(r'<label>([^<]*) <input name="(scope|amount|unit)"', tried.text) == [
        *(("Of", "scope"), ("A day", "amount"), ("In", "unit")),
    ]
    form = tried.form(SET).fields | {"unit": "messages", "reason": "agreed"}
    assert "Done" in ann.post(SET, data=form).text
    (budget,) = parts.operations.budgets.all()
    assert (budget.scope, budget.most, budget.unit) == ("FR", 5, "messages")


def test_a_budget_that_is_used_already_says_so(
    parts: Sendcode, service: Service, ann: TestClient
) -> None:
    """Whoever sets less than was sent today learns before that nothing more is sent."""
    parts.dispatch.deliver([start(parts, service, BRITISH)])
    Rollup(parts.db, 30).look()
    words = "at once, until the day ends"
    assert words in ann.get(asked("GB", "1", "messages")).text
    assert words not in ann.get(asked("GB", "2", "messages")).text


def test_a_value_that_is_missing_is_named(ann: TestClient) -> None:
    """An address without an amount opens no form."""
    answer = ann.get(f"{SET}?scope=all&unit=messages")
    assert (answer.status_code, "amount" in answer.text) == (400, True)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_an_admin_is_offered_changes(parts: Sendcode, role: Role) -> None:
    """Others see what is used, with neither form nor link."""
    allow(parts, "FR", "5")
    page = signed_in(parts, "olga", role).get("/console/limits").text
    assert "France" in page
    assert "set-budget" not in page
    assert "clear-budget" not in page


def test_whoever_set_it_fills_no_phones_width(parts: Sendcode, ann: TestClient) -> None:
    """The sid of a caller of the API is cut short, as on the other pages; whole on hover."""
    key = "SK" + "1" * 32
    by = Operator(key, "192.0.2.1", admin=True)
    parts.operations.budgets.set(by, "FR", "5", "messages", MARKUP)
    page = ann.get("/console/limits").text
    assert f'<abbr title="{key}">SK11111111…</abbr>' in page
    assert "<svg/" not in page


def test_what_cannot_be_counted_says_so(parts: Sendcode, make_settings: Callable[..., Any]) -> None:
    """A budget in money stands there as sending nothing once there are no prices."""
    allow(parts, "FR", "5.00", "USD")
    changed = Sendcode(make_settings(prices=""))
    try:
        (line,) = lines(signed_in(changed))
        assert "no prices in USD: nothing is sent" in line
    finally:
        changed.db.close()
        changed.redis.close()


def test_without_the_broker_the_page_stands(
    parts: Sendcode, make_settings: Callable[..., Any]
) -> None:
    """What is used cannot be seen then, and the page says that and shows the limits."""
    allow(parts, "FR", "5")
    client = signed_in(parts)
    away = Sendcode(make_settings(broker_url="redis://127.0.0.1:1/0"))
    client.app.state.parts = away  # type: ignore[attr-defined]
    try:
        answer = client.get("/console/limits")
        assert answer.status_code == 200
        assert "The broker does not answer" in answer.text
        assert "SENDCODE_LIMIT_SENDS" in answer.text
    finally:
        away.db.close()
        away.redis.close()
