"""Errors that cross a room's border. A docstring is the operator's message; no number, no code."""

from worker.states import ErrorKind, FactorRefusal


class SendcodeError(Exception):
    """Base of every error a caller of sendcode may see."""


class SettingsError(SendcodeError):
    """The settings do not fit together: the message names the setting and what to write there."""


class InvalidParameterError(SendcodeError):
    """A value from the caller cannot be used."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class FactorParameterError(InvalidParameterError):
    """A value for an entity, factor or challenge cannot be used."""


class FactorRefusedError(SendcodeError):
    """An entity, factor or challenge is not in a state to do what was asked.

    :param retry_after: whole seconds until it may be asked again, or None where that is no help
    """

    def __init__(self, refusal: FactorRefusal, retry_after: int | None = None) -> None:
        super().__init__(refusal.value.replace("_", " "))
        self.refusal = refusal
        self.retry_after = retry_after


class NotFoundError(SendcodeError):
    """No such service or verification, or it has ended.

    :param reason: of a verification, how it ended; `unknown` where there is none
    """

    def __init__(self, kind: str, reason: str = "unknown") -> None:
        super().__init__(f"{kind} not found")
        self.kind = kind
        self.reason = reason


class TemplateNotFoundError(NotFoundError):
    """No such template, or it has no text in the locale that was asked for."""

    def __init__(self, *, locale: bool = False) -> None:
        super().__init__("template text in this locale" if locale else "template")
        self.locale = locale


class ConflictError(SendcodeError):
    """There is one of this name already.

    :param kind: what is there twice
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} exists already")
        self.kind = kind


class TooManyError(SendcodeError):
    """There are as many as there may be.

    :param kind: of what
    """

    def __init__(self, kind: str, most: int) -> None:
        super().__init__(f"there are {most} of kind {kind}, and no more may be made")
        self.kind = kind
        self.most = most


class FeatureOffError(SendcodeError):
    """The service does not have this feature switched on.

    :param feature: its parameter
    """

    def __init__(self, feature: str) -> None:
        super().__init__(f"the service does not support {feature}")
        self.feature = feature


class PaymentError(SendcodeError):
    """Amount and payee are needed, since the service is for payments, and no call may say them."""

    def __init__(self, *, by_call: bool = False) -> None:
        super().__init__(
            "a call cannot say a payment" if by_call else "amount and payee are required"
        )
        self.by_call = by_call


class LandlineError(InvalidParameterError):
    """An SMS was asked for to a landline."""


class InUseError(SendcodeError):
    """It cannot go while something else needs it."""


class LimitReachedError(SendcodeError):
    """A limit refuses this send; `retry_after` says when to come back.

    :param limit: the limit's name, as in the settings
    :param retry_after: whole seconds, at least 1
    """

    def __init__(self, limit: str, retry_after: int) -> None:
        super().__init__(f"limit {limit} reached, try again in {retry_after} s")
        self.limit = limit
        self.retry_after = retry_after


class BudgetExceededError(LimitReachedError):
    """A day's budget that operators have set is used up; it opens when the day (UTC) ends.

    :param scope: `all`, a country, or a service's sid
    """

    def __init__(self, scope: str, retry_after: int) -> None:
        super().__init__("budget", retry_after)
        self.scope = scope


class RateLimitedError(LimitReachedError):
    """A limit of the service's own is reached by the value that came with this start."""


class SignInRefusedError(SendcodeError):
    """Name, password, code or link is wrong, or there were too many tries. It is not told which.

    :param retry_after: whole seconds until it may be tried again, or None where it may be now
    """

    def __init__(self, retry_after: int | None = None) -> None:
        when = "" if retry_after is None else f", try again in {retry_after} s"
        super().__init__(f"sign-in refused{when}")
        self.retry_after = retry_after


class ChecksSpentError(SendcodeError):
    """Every guess of the verification is used; it must expire before a new one can start."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"no check left, try again in {retry_after} s")
        self.retry_after = retry_after


class NumberDisabledError(SendcodeError):
    """Too many wrong codes in a row: the number is disabled in this service until re-enabled."""


class BlockedError(SendcodeError):
    """An operator has blocked the number, or the prefix that it begins with."""


class PausedError(SendcodeError):
    """An operator has paused the channel or the country: nothing is sent there now.

    :param kind: `channel` or `country`
    :param retry_after: whole seconds until it ends by itself, or None where it does not
    """

    def __init__(self, kind: str, name: str, retry_after: int | None = None) -> None:
        super().__init__(f"{kind} {name} is paused")
        self.kind = kind
        self.name = name
        self.retry_after = retry_after


class ActionRefusedError(SendcodeError):
    """What an operator wants cannot be done, or not any more.

    :param reason: a word for programs, such as `expired`
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class KeyMissingError(SendcodeError):
    """A row was written with a secret key that is not configured any more: put it back."""

    def __init__(self, kid: str) -> None:
        super().__init__(f"secret key {kid} is not in SENDCODE_SECRET_KEYS, and rows need it")
        self.kid = kid


class LimitsUnavailableError(SendcodeError):
    """The limits' store does not answer, so nothing may be sent."""


class NumberBusyError(SendcodeError):
    """Others for the same number were quicker: nothing is written, ask again in a second."""

    retry_after = 1


class OverloadedError(SendcodeError):
    """Codes wait too long for a worker: a new one would come too late, so it is refused.

    :param retry_after: whole seconds
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many codes wait to be sent, try again in {retry_after} s")
        self.retry_after = retry_after


class RequestConflictError(SendcodeError):
    """The same request id was used for a different request."""


class BusyError(OverloadedError):
    """Too many requests that cost much are being answered by this process at once."""


class RequestRunningError(SendcodeError):
    """A request with the same id is being answered at this moment: ask again in a second."""


class ProviderError(Exception):
    """A provider call did not end in acceptance.

    :param code: the provider's own code, or our word for a transport fault
    :param kind: what it means for the next step
    :param retry_after: seconds the provider asked us to wait, or None
    """

    def __init__(self, code: str, kind: ErrorKind, retry_after: float | None = None) -> None:
        super().__init__(f"provider answered {code} ({kind})")
        self.code = code
        self.kind = kind
        self.retry_after = retry_after


class OutcomeUnknownError(Exception):
    """The request was written but no answer came: the provider may or may not have taken it."""

    def __init__(self, code: str) -> None:
        super().__init__(f"provider call ended without an answer ({code})")
        self.code = code
