"""The words for where a verification and a delivery stand, and which step may follow which."""

from enum import StrEnum


class Channel(StrEnum):
    SMS = "sms"
    CALL = "call"


class Lane(StrEnum):
    """Which of a channel's queues a delivery waits in."""

    USUAL = "usual"
    BUSY = "busy"  # of services that start more than their share


def queue_of(channel: Channel, lane: Lane = Lane.USUAL) -> str:
    """The broker's queue."""
    return channel.value if lane is Lane.USUAL else f"{channel.value}.busy"


DELIVERY_QUEUES = tuple(queue_of(channel, lane) for lane in Lane for channel in Channel)
QUEUES = (*DELIVERY_QUEUES, "relay")


NO_ERROR = "none"  # as a filter by error code: what has none


class VerificationStatus(StrEnum):
    """Twilio Verify's words, on the wire as they are."""

    PENDING = "pending"  # alive: codes go out and checks are taken
    APPROVED = "approved"  # the right code came back, once
    CANCELED = "canceled"  # the backend withdrew it
    MAX_ATTEMPTS = "max_attempts_reached"  # every guess is spent; blocks a new one until it expires
    EXPIRED = "expired"  # its life ended unused
    FAILED = "failed"  # no delivery could be made


class DeliveryState(StrEnum):
    QUEUED = "queued"  # waits for a worker, now or at next_try_at
    SENDING = "sending"  # claimed: a worker holds the lease and may be calling the provider
    ACCEPTED = "accepted"  # the provider took it and gave a sid
    SENT = "sent"  # the carrier took it, or the phone rings
    DELIVERED = "delivered"  # the phone has it, or the call was answered to its end
    UNDELIVERED = "undelivered"  # the carrier or the callee did not take it
    FAILED = "failed"  # refused for good; error_code says why
    EXPIRED = "expired"  # the code's life ended before it could be sent
    CANCELED = "canceled"  # its verification ended before it was sent

    @property
    def final(self) -> bool:
        return self in FINAL_DELIVERY_STATES


NOT_ARRIVED = tuple(  # the failures of `ix_deliveries_failed`
    state.value
    for state in (DeliveryState.FAILED, DeliveryState.UNDELIVERED, DeliveryState.EXPIRED)
)
FINAL_DELIVERY_STATES = frozenset(
    {
        DeliveryState.DELIVERED,
        DeliveryState.UNDELIVERED,
        DeliveryState.FAILED,
        DeliveryState.EXPIRED,
        DeliveryState.CANCELED,
    }
)

# A receipt may move a delivery only along these edges, so any order of receipts, repeated or
# late, ends in the same state. EXPIRED, FAILED and CANCELED are our own words for "not sent"; a
# receipt that proves the opposite wins.
RECEIPT_MAY_FOLLOW: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.ACCEPTED: frozenset({DeliveryState.QUEUED, DeliveryState.SENDING}),
    DeliveryState.SENT: frozenset(
        {DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.ACCEPTED}
    ),
    DeliveryState.DELIVERED: frozenset(
        {
            DeliveryState.QUEUED,
            DeliveryState.SENDING,
            DeliveryState.ACCEPTED,
            DeliveryState.SENT,
            DeliveryState.EXPIRED,
            DeliveryState.FAILED,
            DeliveryState.CANCELED,
        }
    ),
    DeliveryState.UNDELIVERED: frozenset(
        {
            DeliveryState.QUEUED,
            DeliveryState.SENDING,
            DeliveryState.ACCEPTED,
            DeliveryState.SENT,
        }
    ),
}


BLOCKED = "blocked"  # our error code for a delivery to a number that an operator has blocked
DISCARDED = "discarded"  # our error code for a delivery that an operator has dropped unsent
NO_RECEIPT = "no_receipt"  # our error code for an accepted delivery nobody reported on


class ErrorKind(StrEnum):
    """What a provider's refusal means for the next step."""

    PERMANENT = "permanent"  # this number or text will never go through: stop
    TRANSIENT = "transient"  # the same request may succeed later
    ACCOUNT = "account"  # our account or sender is at fault: alarm, another sender, later
    ROUTE = "route"  # our sender may not reach this number or country: alarm, another sender
    CHANNEL = "channel"  # this channel cannot reach the number, another may


class FactorRefusal(StrEnum):
    """Why an entity, factor or challenge does not do what was asked."""

    ENTITY_EXISTS = "entity_exists"
    FACTOR_EXISTS = "factor_exists"  # the entity has one with this secret
    TOO_MANY_FACTORS = "too_many_factors"
    TOO_MANY_CREATIONS = "too_many_creations"  # of factors, in 24 hours
    VERIFICATION_SPENT = "verification_spent"  # every guess at the factor's verification
    UNVERIFIED = "unverified"  # the factor has not shown a right code yet
    VERIFIED = "verified"  # the factor has, and its secret is shown no more
    DISABLED = "disabled"  # too many wrong codes in a row
    TOO_MANY_CHALLENGES = "too_many_challenges"  # of one factor, in an hour or a day
    CHALLENGE_SPENT = "challenge_spent"  # every guess
    ANSWERED = "answered"  # the challenge was approved
    EXPIRED = "expired"  # the challenge was not, in time
    BACKUP_SPENT = "backup_spent"  # guesses at backup codes, in an hour
