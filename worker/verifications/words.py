"""What a caller hands to the verification module and gets back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.states import Channel, DeliveryState, VerificationStatus


@dataclass(frozen=True, slots=True)
class Delivery:
    """Times are ms since 1970 UTC."""

    sid: str
    channel: Channel
    state: DeliveryState
    error_code: str | None
    provider_sid: str | None
    created_at: int
    published_at: int | None
    taken_at: int | None
    accepted_at: int | None
    delivered_at: int | None


class Payment(NamedTuple):
    """What a code stands for where the service is for payments (PSD2); repeated by the check."""

    amount: str
    payee: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What the account that started it may see. Times are ms since 1970 UTC."""

    sid: str
    account_sid: str
    service_sid: str
    to: str = field(repr=False)
    channel: Channel
    status: VerificationStatus
    checks: int
    max_checks: int
    created_at: int
    updated_at: int
    expires_at: int
    approved_at: int | None
    deliveries: tuple[Delivery, ...] = ()
    payment: Payment | None = None
    lookup: bool = False  # the service wants to know the carrier


@dataclass(frozen=True, slots=True)
class Start:
    """What a backend asks for.

    :param to: a number in any international spelling
    :param rate_limits: by the service's names, the values that this start is counted under
    :param code_length: digits of a new code; None is the service's setting. A resend keeps its code
    :param only_by: the one sender that may hand it over, of an operator's test
    :param request_id: the same one twice, with the same values, is one verification
    """

    service_sid: str
    to: str = field(repr=False)
    channel: Channel = Channel.SMS
    locale: str | None = None
    friendly_name: str | None = None
    app_hash: str | None = None
    template_sid: str | None = None
    custom_code: str | None = field(default=None, repr=False)
    payment: Payment | None = None
    send_digits: str | None = None
    rate_limits: Mapping[str, str] = field(default_factory=dict, repr=False)
    code_length: int | None = None
    request_id: str | None = None
    only_by: str | None = None
