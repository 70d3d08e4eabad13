"""Values that a start or a check does not take."""

from tests.acceptance.wire.rows import (
    AS_JSON,
    BAD_KEY,
    FOUR_TO_TEN,
    GOOD,
    JSON,
    NAME,
    NAMELESS,
    NO_CHECK,
    NO_UTF8,
    ODD,
    ONLY_PLUS,
    TO_START,
    TWICE,
    UNKNOWN,
    UNKNOWN_NAME,
    ZEROS,
    check,
    key,
    parameter,
    start,
)

STARTS = (
    start("bare plus", f"To={GOOD}&Channel=sms", *parameter("To", ONLY_PLUS)),
    start(
        "line break",
        f"To=%2B{GOOD[1:]}%0D%0A&Channel=sms",
        *parameter("To", "has a control character"),
    ),
    start("broken UTF-8", b"To=%FF&Channel=sms", *NO_UTF8),
    start("raw broken UTF-8", b"To=\xff&Channel=sms", *NO_UTF8),
    start("unknown name", f"{TO_START}&Chanel=call", *UNKNOWN_NAME),
    start("unknown name in JSON", AS_JSON.replace("To", "too"), *UNKNOWN_NAME, headers=JSON),
    start("NUL", TO_START + "%00", *parameter("Channel", ODD)),
    start("long value", TO_START + "x" * 4_094, *parameter("Channel", ODD)),
    start(
        "half a character",
        AS_JSON.replace("sms", r"\ud800"),
        *parameter("Channel", ODD),
        headers=JSON,
    ),
    start("true", '{"Channel": true}', *parameter("Channel", "must be a string"), headers=JSON),
    start("JSON null", '{"Channel": null}', *parameter("Channel", "is required"), headers=JSON),
    start("space after", TO_START + "%20", *parameter("Channel", "must be sms or call")),
    start(
        "e-mail", TO_START.replace("sms", "email"), 400, 60223, "Delivery channel disabled: EMAIL"
    ),
    start("no To", "Channel=sms", *parameter("To", "is required")),
    start(
        "name in two lines",
        f"{TO_START}&CustomFriendlyName=A%0D%0AB",
        *parameter("CustomFriendlyName", NAME),
    ),
    start(
        "marked-up name",
        f"{TO_START}&CustomFriendlyName=%3Cb%3E",
        *parameter("CustomFriendlyName", NAME),
    ),
    start(
        "long name",
        f"{TO_START}&CustomFriendlyName={'x' * 31}",
        *parameter("CustomFriendlyName", "must have 1 to 30 characters"),
    ),
    start(
        "custom code",
        f"{TO_START}&CustomCode=123456",
        403,
        60204,
        "Service does not support this feature: CustomCode",
    ),
    start(
        "payment", f"{TO_START}&Amount=1", 403, 60204, "Service does not support this feature: PSD2"
    ),
    start(
        "message", f"{TO_START}&CustomMessage=Hi", 400, 60243, "Custom messages are not supported"
    ),
    start(
        "app hash",
        f"{TO_START}&AppHash=x",
        *parameter("AppHash", "must be 11 characters of A-Z a-z 0-9 + /"),
    ),
    start(
        "app hash of a call",
        f"{TO_START.replace('sms', 'call')}&AppHash=aaaaaaaaaaa",
        *(400, 60602, "AppHash is supported with channel SMS only"),
    ),
    start("template", f"{TO_START}&TemplateSid=HJ{ZEROS}", 404, 60228, "template not found"),
    start(
        "no limits",
        f"{TO_START}&RateLimits=%5B%5D",
        *parameter("RateLimits", "must be a JSON object"),
    ),
    start(
        "unknown limit",
        f"{TO_START}&RateLimits=%7B%22a%22%3A%22b%22%7D",
        *parameter("RateLimits", "names a limit that the service does not have"),
    ),
    start(
        "digits to an SMS",
        f"{TO_START}&SendDigits=1",
        *parameter("SendDigits", "goes with channel call only"),
    ),
    start("empty key", TO_START, *BAD_KEY, headers=key("")),
    start("long key", TO_START, *BAD_KEY, headers=key("a" * 256)),
    start("tab in a key", TO_START, *BAD_KEY, headers=key("a\tb")),
    start("key of Latin 1", TO_START, *BAD_KEY, headers=key("\xe9")),
)
CHECKS = (
    check("empty check", "", *NAMELESS),
    check("code alone", "Code=123456", *NAMELESS),
    check("no code", "To={quoted}", *parameter("Code", "is required")),
    check("empty code", "To={quoted}&Code=", *parameter("Code", "is required")),
    check("short code", "To={quoted}&Code=12", *parameter("Code", FOUR_TO_TEN)),
    check("sign", "VerificationSid={sid}&Code=%2B12345", *parameter("Code", FOUR_TO_TEN)),
    check(
        "digit more", "VerificationSid={sid}&Code=1234567", *parameter("Code", "must have 6 digits")
    ),
    check("code twice", "To={quoted}&Code=123456&Code=123456", *parameter("Code", TWICE)),
    check(
        "number for a code",
        b'{"To": "+1", "Code": 123456}',
        *parameter("Code", "must be a string"),
        headers=JSON,
    ),
    check(
        "list for a sid",
        b'{"VerificationSid": ["a"]}',
        *parameter("VerificationSid", "must be a string"),
        headers=JSON,
    ),
    check("no number", "To=1&Code=123456", *parameter("To", ONLY_PLUS)),
    check("never sent to", f"To=%2B{GOOD[1:]}&Code=123456", *NO_CHECK, **UNKNOWN),
    check("no sid", "VerificationSid=x&Code=123456", *NO_CHECK, **UNKNOWN),
    check("unknown sid", f"VerificationSid=VE{ZEROS}&Code=123456", *NO_CHECK, **UNKNOWN),
    check("another's sid", "VerificationSid={theirs}&Code=123456", *NO_CHECK, **UNKNOWN),
    check(
        "sid of another number",
        f"To=%2B{GOOD[1:]}&VerificationSid={{sid}}&Code=123456",
        *NO_CHECK,
        **UNKNOWN,
    ),
)
