"""Senders: who a message or call is sent as. A provider account, a number, and its pace."""

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from worker.states import Channel

ONLY = "main"  # the name of the one sender that the `SENDCODE_TWILIO_*` settings make


@dataclass(frozen=True, slots=True)
class Sender:
    """One way out. Senders are tried in the order of the settings.

    :param name: how operators and the rows call it
    :param account_sid: the Twilio account (`AC…`)
    :param number: E.164; the caller of calls and, without a messaging service, of SMS
    :param messaging_service_sid: `MG…`, or empty
    :param channels: what it is used for
    :param per_second: messages it hands over per second, over all workers; 0: no limit
    :param calls_per_second: calls, likewise
    """

    name: str
    account_sid: str
    auth_token: str = field(repr=False)
    number: str
    messaging_service_sid: str
    channels: frozenset[Channel]
    per_second: float = 0
    calls_per_second: float = 0

    def pace(self, channel: Channel) -> float:
        """What it may hand over per second on `channel`; 0: no limit."""
        return self.per_second if channel is Channel.SMS else self.calls_per_second

    def pace_key(self, channel: Channel) -> str:
        """Redis's key of when it has its next place free, ms since 1970 UTC."""
        return f"sendcode:pace:{self.name}:{channel.value}"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    account_sid: str = Field(pattern=r"^AC[0-9a-f]{32}$")
    auth_token: SecretStr = Field(min_length=1)
    number: str = Field("", alias="from", pattern=r"^(\+[1-9][0-9]{1,14})?$")
    messaging_service_sid: str = Field("", pattern=r"^(MG[0-9a-f]{32})?$")
    channels: list[Channel] = Field(default_factory=lambda: list(Channel), min_length=1)
    per_second: float = Field(0, ge=0, le=10_000)
    calls_per_second: float = Field(0, ge=0, le=10_000)


_ENTRIES = TypeAdapter(list[_Entry])


def read_senders(text: str) -> tuple[Sender, ...]:
    """The senders of `SENDCODE_SENDERS`, a JSON list.

    :raises ValueError: names the entry and the field, and never a value
    """
    try:
        entries = _ENTRIES.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ValueError(
            f"SENDCODE_SENDERS: {where or 'not a JSON list'}: {fault['msg']}"
        ) from None
    if not entries:
        raise ValueError("SENDCODE_SENDERS is an empty list: name a sender, or leave it unset")
    senders = tuple(_sender(entry) for entry in entries)
    if len({sender.name for sender in senders}) != len(senders):
        raise ValueError("SENDCODE_SENDERS names one sender twice")
    return senders


def _sender(entry: _Entry) -> Sender:
    if not (entry.number or entry.messaging_service_sid):
        raise ValueError(f"SENDCODE_SENDERS: {entry.name} needs `from` or `messaging_service_sid`")
    if Channel.CALL in entry.channels and not entry.number:
        raise ValueError(
            f"SENDCODE_SENDERS: {entry.name} has no `from`, which calls need:"
            ' give one, or `"channels": ["sms"]`'
        )
    return Sender(
        name=entry.name,
        account_sid=entry.account_sid,
        auth_token=entry.auth_token.get_secret_value(),
        number=entry.number,
        messaging_service_sid=entry.messaging_service_sid,
        channels=frozenset(entry.channels),
        per_second=entry.per_second,
        calls_per_second=entry.calls_per_second,
    )
