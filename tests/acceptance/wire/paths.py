"""Names, paths, methods and credentials that lead nowhere, and what is looked at first."""

from tests.acceptance.wire.rows import (
    ASKED_WHO,
    CHECK,
    FETCH,
    FORM,
    FOUR_TO_TEN,
    GOOD,
    NAMELESS,
    NO_METHOD,
    ONLY_PLUS,
    TO_START,
    TOO_LARGE,
    VERIFICATIONS,
    WHO,
    WRONG_KIND,
    ZEROS,
    Row,
    basic,
    check,
    fetch,
    kind,
    missing,
    parameter,
    start,
)

OTHERS = "/v2/Services/{others}/Verifications/{sid}"
FETCHES = (
    fetch(
        "unknown",
        f"{{service}}/Verifications/VE{ZEROS}",
        *missing(f"/Services/{{VA}}/Verifications/VE{ZEROS}"),
    ),
    fetch(
        "another's",
        "{service}/Verifications/{theirs}",
        *missing("/Services/{VA}/Verifications/{theirs}"),
    ),
    fetch("elsewhere", OTHERS, *missing("/Services/{others}/Verifications/{sid}")),
    fetch(
        "upper case", "{service}/Verifications/{SID}", *missing("/Services/{VA}/Verifications/-")
    ),
    fetch(
        "never sent",
        f"{{service}}/Verifications/{GOOD}",
        *missing("/Services/{VA}/Verifications/-"),
    ),
    fetch(
        "space for plus", f"{{service}}/Verifications/%20{GOOD[1:]}", *parameter("To", ONLY_PLUS)
    ),
    fetch(
        "address", "{service}/Verifications/a@b.example", *missing("/Services/{VA}/Verifications/-")
    ),
    fetch("NUL in a sid", FETCH + "%00", *missing("/Services/{VA}/Verifications/-")),
    fetch("line feed after a sid", FETCH + "%0A", *missing("/Services/{VA}/Verifications/{sid}")),
    fetch("slash after a sid", FETCH + "/", *missing("/Services/{VA}/Verifications/{sid}/")),
    fetch("escaped slash", FETCH + "%2F", *missing("/Services/{VA}/Verifications/{sid}/")),
    fetch("no UTF-8", "{service}/Verifications/%FF", *parameter("To", ONLY_PLUS)),
    fetch(
        "5000 letters",
        "{service}/Verifications/" + "x" * 5_000,
        *missing("/Services/{VA}/Verifications/-"),
    ),
)


def to_path(name: str, path: str, shown: str) -> Row:
    return Row(name, "POST", path, FORM, TO_START, *missing(shown))


def by(method: str, path: str, allowed: str) -> Row:
    code, message = (None, "") if method == "HEAD" else NO_METHOD[1:]
    name = f"{method} {path}"
    return Row(name, method, path, (), "", 405, code, message, answers={"allow": allowed})


PATHS = (
    to_path("slash after start", VERIFICATIONS + "/", "/Services/{VA}/Verifications/"),
    to_path("escaped slash after start", VERIFICATIONS + "%2F", "/Services/{VA}/Verifications/"),
    to_path("slash after check", CHECK + "/", "/Services/{VA}/VerificationCheck/"),
    to_path(
        "escaped slash within", "/v2/Services/VA%2F1/Verifications", "/Services/VA/-/Verifications"
    ),
    to_path("two slashes before", "/" + VERIFICATIONS, "//v2/Services/{VA}/Verifications"),
    to_path("lower case", "/v2/services/{VA}/Verifications", "/services/{VA}/Verifications"),
    to_path("NUL after start", VERIFICATIONS + "%00", "/Services/{VA}/-"),
    to_path("header in a path", CHECK + "%0d%0aX:1", "/Services/{VA}/-"),
    to_path(
        "sid of another kind", "/v2/Services/{sid}/Verifications", "/Services/{sid}/Verifications"
    ),
    to_path(
        "start at nobody's",
        f"/v2/Services/VA{ZEROS}/Verifications",
        f"/Services/VA{ZEROS}/Verifications",
    ),
    to_path(
        "line feed after a service",
        "/v2/Services/{VA}%0A/Verifications",
        "/Services/{VA}/Verifications",
    ),
    Row(
        "in the query",
        "POST",
        f"{VERIFICATIONS}?{TO_START}",
        (),
        "",
        *parameter("Channel", "is required"),
    ),
    *(by(method, VERIFICATIONS, "POST") for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")),
    *(by(method, CHECK, "POST") for method in ("GET", "HEAD", "PATCH", "DELETE", "OPTIONS")),
    *(by(method, FETCH, "GET, POST") for method in ("HEAD", "PUT", "DELETE")),
)
CREDENTIALS = tuple(
    Row(f"{name} to {path}", method, path, headers, body, *WHO, **ASKED_WHO, account=False)
    for name, headers in {
        "nobody": FORM,
        "no word": (("Authorization", ""), *FORM),
        "Basic alone": (("Authorization", "Basic"), *FORM),
        "Bearer": (("Authorization", "Bearer x"), *FORM),
        "no base64": (("Authorization", "Basic !!!"), *FORM),
        "no colon": basic(b"AC1"),
        "bytes": basic(b"\xff\xfe:\x00"),
        "50,000 letters": basic(b"A" * 37_500),
        "unknown key": basic(b"SK" + ZEROS.encode() + b":x"),
        "NUL in a key": basic(b"SK\x00:x"),
        "no UTF-8 in a key": basic(b"SK\xff:x"),
    }.items()
    for method, path, body in (
        ("POST", VERIFICATIONS, TO_START),
        ("POST", CHECK, "To={quoted}&Code=123456"),
        ("GET", FETCH, ""),
    )
)
ORDER = (
    start("nobody with XML", "x", *WHO, headers=kind("text/xml"), account=False, **ASKED_WHO),
    start("nobody with a megabyte", b"x" * 1_000_000, *TOO_LARGE, account=False),
    Row(
        "token in the query",
        *("POST", VERIFICATIONS + "?AuthToken={token}", FORM, TO_START, *WHO),
        **ASKED_WHO,
        account=False,
    ),
    Row(
        "kind before path",
        "POST",
        "/v2/Services/x/Verifications",
        kind("text/xml"),
        "x",
        *WRONG_KIND,
    ),
    check("name before code", "Code=x", *NAMELESS),
    check("code before sid", "VerificationSid=x", *parameter("Code", "is required")),
    start("channel before To", "To=1&Channel=x", *parameter("Channel", "must be sms or call")),
    start("To before service", "To=1&Channel=sms", *parameter("To", ONLY_PLUS)),
    Row(
        "To before nobody's service",
        *("POST", f"/v2/Services/VA{ZEROS}/Verifications", FORM, "To=1&Channel=sms"),
        *parameter("To", ONLY_PLUS),
    ),
    Row(
        "code before nobody's service",
        *("POST", f"/v2/Services/VA{ZEROS}/VerificationCheck", FORM, "To={quoted}&Code=12"),
        *parameter("Code", FOUR_TO_TEN),
    ),
)
