"""Twilio's words and ours: error codes, and the statuses in answers and receipts.

The codes are those of Twilio's dictionary (twilio.com/docs/api/errors) that a message or call of
ours can meet, in an answer or in a receipt.
"""

import structlog

from worker.states import DeliveryState, ErrorKind

log = structlog.get_logger()

ERRORS: dict[ErrorKind, dict[int, str]] = {
    ErrorKind.PERMANENT: {
        12100: "the call's TwiML cannot be parsed",
        13223: "the number's format is invalid",
        13224: "the number is invalid or Twilio does not call it",
        13225: "Twilio blocked the call",
        20422: "a parameter is invalid",
        21201: "no number to call was given",
        21202: "the number is a premium number",
        21208: "the ring timeout is invalid",
        21211: "the number is invalid",
        21216: "Twilio blocked the call",
        21217: "the number does not appear to be valid",
        21265: "the number is a short code",
        21266: "the number is our own sender",
        21268: "the number is a premium or information service",
        21401: "the number is invalid",
        21421: "the number is invalid",
        21602: "the message has no text",
        21604: "no number to send to was given",
        21605: "the text is too long",
        21610: "the recipient has opted out (STOP)",
        21617: "the text is longer than 1600 characters",
        21618: "this text cannot be sent",
        21619: "the message has no text",
        21624: "the validity period is out of range",
        30004: "the recipient or carrier blocked the message",
        30005: "the number is unknown or no longer in service",
        30012: "the validity period is too short",
        30013: "the validity period is too long",
        30014: "the number is invalid",
        30036: "the message waited longer than the code lives",
        30038: "the number is a Twilio number, which takes no one-time codes",
        30039: "filtered to prevent a message loop",
        30045: "the validity period is out of range",
        30450: "blocked by Twilio's SMS pumping protection",
        30453: "not delivered: suspected fraud",
        30485: "not delivered: suspected fraud",
    },
    ErrorKind.TRANSIENT: {
        10004: "too many calls at once",
        14107: "messages are sent too fast",
        20429: "too many requests",
        20500: "Twilio had an internal error",
        20503: "Twilio is unavailable",
        20504: "Twilio had an internal error",
        21611: "the sender's queue is full",
        21730: "Twilio is under maintenance",
        30001: "the queue overflowed",
        30008: "the carrier gave no reason",
        30017: "the carrier's network is congested",
        30021: "Twilio had an internal error",
        30022: "US 10DLC: messages are sent too fast",
        30410: "the carrier did not answer in time",
        30500: "Twilio had an internal error",
        63018: "messages are sent too fast",
    },
    ErrorKind.ACCOUNT: {
        10001: "the account is not active",
        10002: "trial accounts cannot do this",
        10005: "calls are disabled for the account",
        11200: "Twilio could not fetch our URL",
        11205: "Twilio could not connect to our URL",
        11210: "our URL's host name does not resolve",
        11220: "our URL's TLS handshake failed",
        20003: "the account sid or auth token is wrong, or lacks permission",
        20005: "the account is not active",
        20006: "access denied",
        20008: "test credentials cannot do this",
        20010: "the action is disabled for the account",
        20011: "this TLS version is not accepted",
        20403: "access denied",
        20404: "no such account or resource",
        21205: "our callback URL is invalid",
        21210: "the caller number is not verified",
        21212: "the sender number is invalid",
        21213: "no caller number is set",
        21264: "the sender number is not verified",
        21267: "trial account: no alphanumeric sender",
        21472: "the account is not active",
        21601: "the sender number cannot send SMS",
        21603: "no sender is set",
        21606: "the sender number cannot send SMS or is not ours",
        21607: "trial account: only its own sender number",
        21609: "our callback URL is invalid",
        21616: "the sender number is ambiguous",
        21626: "a callback event is invalid",
        21657: "the sender is invalid",
        21659: "the sender is not a Twilio number or does not fit the country",
        21660: "the sender belongs to another account",
        21661: "the sender number cannot send SMS",
        21663: "the sender's routing is misconfigured",
        21668: "the sender's type is not supported in the Ireland region",
        21701: "the messaging service does not exist",
        21702: "the messaging service takes no messages",
        21704: "the messaging service has no numbers",
        21705: "the messaging service is invalid",
        21709: "the messaging service's sender is invalid or not allowed",
        21711: "the sender is not in the messaging service",
        21712: "the sender is in another messaging service",
        21910: "sender and number are of different channels",
        30002: "the account is suspended",
        30010: "the price is above the maximum set",
        30018: "the carrier requires a registered sender",
        30023: "US 10DLC: the day's messages are used up",
        30024: "the carrier does not know the sender number",
        30027: "US 10DLC: the day's messages to T-Mobile are used up",
        30032: "the toll-free sender is not verified",
        30033: "US 10DLC: the campaign is suspended",
        30034: "US 10DLC: the sender is not registered",
        30035: "US 10DLC: the sender is still being set up",
        30037: "outbound messages are disabled",
        30040: "the carrier requires a registered sender",
        30042: "the sender name is generic or not ours",
        30044: "trial account: the text is too long",
        30454: "the account's message limit is reached",
        63038: "the account's daily message limit is reached",
    },
    ErrorKind.ROUTE: {
        13227: "calls to this country are not enabled (voice geographic permissions)",
        21203: "international calls are not enabled",
        21215: "calls to this country are not enabled (voice geographic permissions)",
        21219: "trial account: the number is not verified",
        21408: "messages to this country are not enabled (SMS geographic permissions)",
        21608: "trial account: the number is not verified",
        21612: "no SMS route from our sender to the number",
        21662: "sender and number do not go together in the Ireland region",
        21703: "the messaging service has no number for this message",
        30041: "the country requires a registered sender",
    },
    ErrorKind.CHANNEL: {
        21214: "the number cannot be called",
        21614: "the number is not a mobile",
        21635: "the number is a landline",
        30003: "the phone is off or out of reach",
        30006: "the number is a landline or its carrier is unreachable",
        30007: "the carrier or Twilio filtered the message",
    },
}
KINDS: dict[int, ErrorKind] = {code: kind for kind, codes in ERRORS.items() for code in codes}
MEANINGS: dict[int, str] = {
    code: meaning for codes in ERRORS.values() for code, meaning in codes.items()
}
# For a refusal that carries no code of Twilio's: a proxy's, or a wrong base URL.
STATUS_KINDS: dict[int, ErrorKind] = {
    401: ErrorKind.ACCOUNT,
    403: ErrorKind.ACCOUNT,
    404: ErrorKind.ACCOUNT,
    405: ErrorKind.ACCOUNT,
    407: ErrorKind.ACCOUNT,
    408: ErrorKind.TRANSIENT,
    429: ErrorKind.TRANSIENT,
}

MESSAGE_STATUSES: dict[str, DeliveryState] = {
    "accepted": DeliveryState.ACCEPTED,
    "scheduled": DeliveryState.ACCEPTED,
    "queued": DeliveryState.ACCEPTED,
    "sending": DeliveryState.ACCEPTED,
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.UNDELIVERED,
    "canceled": DeliveryState.UNDELIVERED,
}
CALL_STATUSES: dict[str, DeliveryState] = {
    "queued": DeliveryState.ACCEPTED,
    "initiated": DeliveryState.ACCEPTED,
    "ringing": DeliveryState.SENT,
    "in-progress": DeliveryState.SENT,
    "completed": DeliveryState.DELIVERED,
    "busy": DeliveryState.UNDELIVERED,
    "no-answer": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.UNDELIVERED,
    "canceled": DeliveryState.UNDELIVERED,
}


def kind_of(code: int, otherwise: ErrorKind = ErrorKind.PERMANENT) -> ErrorKind:
    """What a Twilio error code means for the next step.

    :param otherwise: the meaning of a code that is not in the table; the log then says so
    """
    kind = KINDS.get(code)
    if kind is None:
        log.error("provider.code_unknown", provider="twilio", error_code=code, treated_as=otherwise)
        return otherwise
    return kind


def may_help(error_code: str | None) -> bool:
    """Whether a delivery that did not arrive leaves hope: not where somebody refused it or does not
    exist. What our account or sender is to blame for may get through by another channel.
    """
    if not error_code:
        return True
    numeric = error_code.isascii() and error_code.isdigit()
    return numeric and kind_of(int(error_code[:9])) is not ErrorKind.PERMANENT
