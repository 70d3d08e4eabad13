"""Twilio's Messages and Calls API: hand over, ask back, check a callback's signature."""

import json
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from twilio.base.exceptions import TwilioException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from worker.errors import OutcomeUnknownError, ProviderError
from worker.money import Money, told
from worker.providers import LAST_SECOND, Accepted, Outgoing, Report, twilio_errors
from worker.providers.http import Answer, NotSentError, PooledHttpClient
from worker.providers.twilio_errors import (
    CALL_STATUSES,
    MESSAGE_STATUSES,
    STATUS_KINDS,
    kind_of,
)
from worker.settings import RETRY_BUDGET_SECONDS
from worker.states import Channel, DeliveryState, ErrorKind

VALIDITY_SECONDS = 36_000  # the longest ValidityPeriod Twilio takes
CALL_EVENTS = ["initiated", "ringing", "answered", "completed"]
TRIAL_PREFIX = "Sent from your Twilio trial account - "  # a trial account's texts begin with it
CLOCK_SLACK = timedelta(seconds=10)  # between our clock and Twilio's
LOOK_BACK = 20  # newest messages or calls to the number that are looked through
_TRIES = 4

T = TypeVar("T")


class TwilioProvider:
    """One SDK client per process, shared by its threads.

    :param base_url: in place of Twilio's own, or None
    :param sender: E.164; the caller of calls and, without a messaging service, the sender of SMS
    :param connect_timeout: seconds, as `read_timeout`
    :param slots: requests in flight at once
    :param takes_services: the messaging services that verifications name are of this account
    """

    name = "twilio"
    words: Mapping[Channel, Mapping[str, DeliveryState]] = {
        Channel.SMS: MESSAGE_STATUSES,
        Channel.CALL: CALL_STATUSES,
    }

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        base_url: str | None,
        sender: str,
        messaging_service_sid: str,
        connect_timeout: float,
        read_timeout: float,
        slots: int,
        ring_seconds: int,
        call_seconds: int,
        takes_services: bool = True,
    ) -> None:
        self._sender = sender
        self._takes_services = takes_services
        self._sms_sender = (
            {"messaging_service_sid": messaging_service_sid}
            if messaging_service_sid
            else {"from_": sender}
        )
        self._ring_seconds = ring_seconds
        self._call_seconds = call_seconds
        self._write_within = RETRY_BUDGET_SECONDS + connect_timeout
        client = Client(
            account_sid,
            auth_token,
            http_client=_Transport(PooledHttpClient(connect_timeout, read_timeout, slots)),
        )
        client.region = client.edge = None  # from the environment; they would bend the host name
        if base_url:
            client.api.base_url = base_url
        self._messages = client.messages
        self._calls = client.calls

    def send(self, outgoing: Outgoing) -> Accepted:
        """Hand over one message or call; see `worker.providers.Provider.send`."""
        if outgoing.channel is Channel.SMS:
            return self._settle(
                lambda: _accepted(self._create_message(outgoing)), outgoing.remaining
            )
        if not self._sender:
            raise ProviderError("no_caller_number", ErrorKind.ACCOUNT)
        return self._settle(lambda: _accepted(self._create_call(outgoing)), outgoing.remaining)

    def find(
        self, outgoing: Outgoing, since: datetime, known: Callable[[], Collection[str]]
    ) -> Accepted | None:
        """Ask for what `send` may have handed over; see `worker.providers.Provider.find`.

        A message is known by its text, or by the code in other words. Any call of ours in that
        time is taken for the one asked for: a second would be worse than none.
        """
        earliest = since.astimezone(UTC) - CLOCK_SLACK
        listed = self._settle(
            lambda: [
                _accepted(record)
                for record in self._newest(outgoing)
                if _may_be(record, outgoing, earliest)
            ]
        )
        others = known() if listed else ()
        return next((one for one in reversed(listed) if one.sid not in others), None)

    def may_help(self, error_code: str | None) -> bool:
        return twilio_errors.may_help(error_code)

    def check(self) -> None:
        """Ask for the newest message; see `worker.providers.Provider.check`."""
        self._settle(lambda: self._messages.list(limit=1))

    def report(self, channel: Channel, provider_sid: str) -> Report:
        """Ask how it fares; see `worker.providers.Provider.report`."""
        kind = self._messages if channel is Channel.SMS else self._calls
        return self._settle(lambda: _report(kind(provider_sid).fetch()))

    def _create_message(self, outgoing: Outgoing) -> Any:
        return self._messages.create(
            to=outgoing.to,
            body=outgoing.content,
            status_callback=outgoing.callback_url,
            validity_period=max(1, min(VALIDITY_SECONDS, int(outgoing.remaining))),
            **(
                {"messaging_service_sid": outgoing.messaging_service_sid}
                if outgoing.messaging_service_sid and self._takes_services
                else self._sms_sender
            ),
        )

    def _create_call(self, outgoing: Outgoing) -> Any:
        return self._calls.create(
            to=outgoing.to,
            from_=self._sender,
            twiml=outgoing.content,
            status_callback=outgoing.callback_url,
            status_callback_event=CALL_EVENTS,
            timeout=self._ring_seconds,
            time_limit=self._call_seconds,
            **({"send_digits": outgoing.send_digits} if outgoing.send_digits else {}),
        )

    def _newest(self, outgoing: Outgoing) -> list[Any]:
        # Without a date: Twilio filters by DateSent and StartTime, which a queued one lacks.
        records: list[Any] = (
            self._messages.list(to=outgoing.to, limit=LOOK_BACK)
            if outgoing.channel is Channel.SMS
            else self._calls.list(to=outgoing.to, from_=self._sender, limit=LOOK_BACK)
        )
        return records

    def _settle(self, call: Callable[[], T], within: float = math.inf) -> T:
        """Repeat `call` while it surely was not taken and there is time; then return or raise.

        :param within: seconds after which no try may be written any more
        """
        PooledHttpClient.write_within(min(self._write_within, within - LAST_SECOND))
        verdict: _Verdict[T] = _RETRYING(_judge, call)
        if verdict.error is not None:
            raise verdict.error
        return verdict.value  # type: ignore[return-value]


def valid_signature(
    auth_token: str, url: str, params: Mapping[str, str], signature: str | None
) -> bool:
    """Whether Twilio signed this callback.

    :param url: as Twilio was given it, with its query
    :param params: the form
    :param signature: the `X-Twilio-Signature` header
    """
    if not auth_token or not signature:
        return False
    try:
        return bool(RequestValidator(auth_token).validate(url, params, signature))
    except (ValueError, TypeError, AttributeError, KeyError):
        return False


class _RefusedError(Exception):
    """Twilio's answer is complete and is not a 2xx."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.status = answer.status
        self.code = _code(answer.text)
        self.retry_after = answer.retry_after


class _Transport(HttpClient):  # type: ignore[misc]
    """The SDK's way out. It never sees a refusal: its exceptions repeat number and URL."""

    def __init__(self, http: PooledHttpClient) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False)
        self._http = http

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        answer = self._http.request(
            method, uri, params=params, data=data, headers=headers, auth=auth
        )
        if not 200 <= answer.status < 300:
            raise _RefusedError(answer)
        return Response(answer.status, answer.text, answer.headers)


@dataclass(frozen=True, slots=True)
class _Verdict(Generic[T]):
    """What came of one call. A value, because a raised error would drag its cause along."""

    value: T | None = None
    error: ProviderError | OutcomeUnknownError | None = None
    again: bool = False


def _judge(call: Callable[[], T]) -> _Verdict[T]:
    try:
        return _Verdict(call())
    except NotSentError:
        return _Verdict(error=ProviderError("connect", ErrorKind.TRANSIENT), again=True)
    except OutcomeUnknownError as error:
        return _Verdict(error=OutcomeUnknownError(error.code))
    except _RefusedError as refusal:
        return _refused(refusal)
    except (TwilioException, ValueError, TypeError, AttributeError, KeyError):
        return _Verdict(error=OutcomeUnknownError("unreadable_answer"))


def _refused(refusal: _RefusedError) -> _Verdict[Any]:
    status, code = refusal.status, refusal.code
    if status >= 500:
        return _Verdict(error=OutcomeUnknownError(f"http_{status}"))
    if status < 400:
        return _Verdict(error=ProviderError(f"http_{status}", ErrorKind.ACCOUNT))
    kind = STATUS_KINDS.get(status, ErrorKind.PERMANENT)
    if code is not None:
        kind = kind_of(code, otherwise=kind)
    error = ProviderError(str(code or f"http_{status}"), kind, refusal.retry_after)
    return _Verdict(error=error, again=status == 429 and kind is ErrorKind.TRANSIENT)


def _wait(state: RetryCallState) -> float:
    """Full jitter, on top of what Twilio asks for."""
    jitter = _JITTER(state)
    verdict: _Verdict[object] = state.outcome.result()  # type: ignore[union-attr]
    asked = verdict.error.retry_after if isinstance(verdict.error, ProviderError) else None
    return jitter + (asked or 0)


_JITTER = wait_random_exponential(multiplier=0.5, max=2)
_RETRYING = Retrying(
    retry=retry_if_result(lambda verdict: verdict.again),
    wait=_wait,
    stop=stop_before_delay(RETRY_BUDGET_SECONDS) | stop_after_attempt(_TRIES),
    retry_error_callback=lambda state: state.outcome.result(),  # type: ignore[union-attr]
)


def _accepted(record: Any) -> Accepted:
    if not isinstance(record.sid, str) or not record.sid:
        raise ValueError("no sid")
    return Accepted(record.sid, str(record.status or ""), _price(record))


def _report(record: Any) -> Report:
    code = getattr(record, "error_code", None)
    return Report(str(record.status), str(code) if code else None, _price(record))


def _price(record: Any) -> Money | None:
    return told(getattr(record, "price", None), getattr(record, "price_unit", None))


def _may_be(record: Any, outgoing: Outgoing, earliest: datetime) -> bool:
    if record.direction != "outbound-api":
        return False
    if record.date_created is not None and record.date_created < earliest:
        return False
    if outgoing.channel is Channel.CALL:
        return True
    return outgoing.may_read((record.body or "").removeprefix(TRIAL_PREFIX))


def _code(text: str) -> int | None:
    try:
        code = json.loads(text)["code"]
    except (ValueError, TypeError, KeyError):
        return None
    return code if isinstance(code, int) and not isinstance(code, bool) else None
