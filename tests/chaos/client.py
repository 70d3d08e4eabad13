"""A backend that starts and checks over HTTP, and what it was answered."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client was told. `status` 0: the connection broke, so it knows nothing.

    :param at: seconds since 1970, when the answer came
    :param of: the code that a check carried was the right one
    :param asked: seconds since 1970, when the question was put
    """

    kind: str
    at: float
    number: str = field(repr=False)
    status: int
    verification: str = ""
    delivery: str = ""
    word: str = ""
    of: bool = False
    asked: float = 0.0


class Client:
    """One connection to the doors."""

    def __init__(self, url: str, credentials: tuple[str, str], service: str) -> None:
        self.service = service
        self.http = httpx.Client(base_url=url, auth=credentials, timeout=12, trust_env=False)

    def post(self, path: str, **form: str) -> tuple[int, dict[str, Any]]:
        """Status and body; status 0 when the connection broke."""
        try:
            answer = self.http.post(f"/v2/Services/{self.service}/{path}", data=form)
            body = answer.json()
        except (httpx.HTTPError, ValueError):
            return 0, {}
        return answer.status_code, body if isinstance(body, dict) else {}

    def start(self, number: str, channel: str = "sms") -> Answer:
        asked = time.time()
        status, body = self.post("Verifications", To=number, Channel=channel)
        sent = body.get("send_code_attempts") or [{}]
        return Answer(
            "start",
            time.time(),
            number,
            status,
            str(body.get("sid", "")) if status == 201 else "",
            str(sent[-1].get("attempt_sid", "")) if status == 201 else "",
            str(body.get("message", "")) if status not in (0, 201) else "",
            asked=asked,
        )

    def check(self, number: str, verification: str, code: str, right: bool) -> Answer:
        asked, path = time.time(), "VerificationCheck"
        status, body = self.post(path, VerificationSid=verification, Code=code)
        told = (status, verification, "", str(body.get("status", "")), right, asked)
        return Answer("check", time.time(), number, *told)
