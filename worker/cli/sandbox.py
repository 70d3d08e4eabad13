"""What commands ask of the running sandbox."""

import json
from base64 import b64encode
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from worker.errors import InvalidParameterError, NotFoundError, SettingsError
from worker.posting import UnreachableError
from worker.settings import Settings

ANSWERS_WITHIN = 5  # seconds


class Sandbox:
    """Every method raises `UnreachableError` where it does not answer, or not as ours does."""

    def __init__(self, settings: Settings, what: str) -> None:
        """
        :param what: why it is needed, the begin of the refusal
        :raises SettingsError: codes go out by Twilio
        """
        if settings.provider != "sandbox":
            raise SettingsError(f"{what}, and SENDCODE_PROVIDER is {settings.provider}")
        self.url = settings.sandbox_url
        pair = f"{settings.account_sid}:{settings.auth_token.get_secret_value()}"
        self._headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def messages(self, number: str | None, after: int, limit: int) -> list[dict[str, Any]]:
        """What came after `after`, the newest first."""
        found = self._ask("GET", "/messages", query={"to": number or "", "limit": limit})
        return [one for one in found["messages"] if one["id"] > after]

    def next(self, number: str, after: int, wait: int) -> list[dict[str, Any]]:
        """The message that comes within `wait` seconds.

        :raises NotFoundError: none did
        """
        query = {"to": number, "after": after, "timeout": wait}
        return [self._ask("GET", "/messages/wait", ANSWERS_WITHIN + wait, query)]

    def requests(self, number: str | None, limit: int) -> list[dict[str, Any]]:
        """What it was asked for as the provider, the newest first."""
        query = {"to": number or "", "limit": limit}
        return list(self._ask("GET", "/requests", query=query)["requests"])

    def orders(self) -> list[dict[str, Any]]:
        """What goes wrong on order."""
        return list(self._ask("GET", "/faults")["faults"])

    def order(self, number: str, **what: Any) -> None:
        """Let something go wrong for a number, as `api_stub/sandbox/faults.py` has it."""
        self._ask("POST", "/faults", body={"to": number, **what})

    def take_back(self, number: str) -> None:
        """Forget every order for a number."""
        self._ask("DELETE", "/faults", query={"to": number})

    def _ask(
        self,
        method: str,
        path: str,
        within: int = ANSWERS_WITHIN,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        where = urlsplit(self.url)
        connection = HTTPConnection(where.netloc, timeout=within)
        target = f"{where.path}/sandbox/v1{path}?{urlencode(query or {})}"
        try:
            connection.request(method, target, json.dumps(body) if body else None, self._headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
        except (OSError, HTTPException) as error:
            raise UnreachableError(
                f"the sandbox does not answer at {self.url} ({type(error).__name__})"
            ) from None
        finally:
            connection.close()
        if status == HTTPStatus.BAD_REQUEST:
            raise InvalidParameterError("NUMBER", "must be in E.164, such as +12025550100")
        if status == HTTPStatus.REQUEST_TIMEOUT:
            raise NotFoundError("message")
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise UnreachableError(f"the sandbox at {self.url} answers {status}")
        return dict(json.loads(text))
