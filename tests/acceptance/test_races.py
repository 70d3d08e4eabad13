"""Checks that arrive at once."""

import base64
import http.client
import json
from collections import Counter
from urllib.parse import urlencode

import pytest

from tests.acceptance.running import Up, wrong
from tests.helpers import at_once

TIMES = 200


def check_at_once(up: Up, to: str, codes: list[str]) -> Counter[tuple[int, str]]:
    """How often each answer came: its status, and its word or error code.

    Every check has a connection of its own.
    """
    pair = base64.b64encode(":".join(up.credentials).encode()).decode()
    headers = {
        "Authorization": f"Basic {pair}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    path = f"{up.path()}/VerificationCheck"

    def check(index: int) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=60)
        try:
            connection.request("POST", path, urlencode({"To": to, "Code": codes[index]}), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        return answer.status, str(body["status"] if answer.status == 200 else body["code"])

    return Counter(at_once(len(codes), check))


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_the_right_code_is_approved_once(up: Up, to: str, channel: str) -> None:
    """Of 200 checks of one right code at once exactly one approves, and the rest get 404."""
    up.start_code(to, channel)
    code = up.wait(to)["code"]
    answers = check_at_once(up, to, [code] * TIMES)
    assert answers == {(200, "approved"): 1, (404, "20404"): TIMES - 1}


def test_wrong_codes_are_compared_five_times(up: Up, to: str) -> None:
    """Of 200 wrong codes at once exactly five are compared, and the rest get 429."""
    started = up.start_code(to)
    guesses = wrong(up.wait(to)["code"])
    answers = check_at_once(up, to, [next(guesses) for _ in range(TIMES)])
    assert answers == {(200, "pending"): 5, (429, "60202"): TIMES - 5}
    query = "SELECT checks, status FROM verifications WHERE sid = :sid"
    assert up.rows(query, sid=started["sid"]) == [{"checks": 5, "status": "max_attempts_reached"}]


def test_starts_at_once_share_a_code_and_a_limit(up: Up, to: str) -> None:
    """Of 20 starts at once five pass, all with one sid, and one code reaches the phone."""
    form = {"To": to, "Channel": "sms"}
    answers = at_once(20, lambda _: up.http.post(f"{up.path()}/Verifications", data=form))
    passed = [a.json()["sid"] for a in answers if a.status_code == 201]
    refused = [a.json()["code"] for a in answers if a.status_code == 429]
    assert (len(passed), len(set(passed))) == (5, 1)
    assert refused == [60203] * 15
    last = 0
    for _ in range(5):
        last = (message := up.wait(to, after=last))["id"]
        assert up.inbox(to)[0]["code"] == message["code"]
