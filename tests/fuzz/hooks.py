"""What schemathesis cannot know of the wire: rules of values that no schema can tell.

A request that fits the document must be taken. It may be refused for the value of one of the
parameters below, in Twilio's words, and for nothing else.
"""

import atexit
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData

from tests.fuzz.links import Followed
from tests.fuzz.realistic import Realistic

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
TYPED = {"integer", "boolean"}
REFUSED = re.compile(r"Invalid parameter `([A-Za-z._-]+)`: (.+)", re.DOTALL)
# Why a schema cannot tell.
BEYOND_A_SCHEMA = {
    **dict.fromkeys(
        ("To", "ChannelData.To", "PhoneNumber", "Number"), "the numbering plans decide"
    ),
    **dict.fromkeys(("FriendlyName", "TtsName", "CustomFriendlyName"), "hidden characters, links"),
    **dict.fromkeys(("Payee", "Amount", "Totp.Issuer", "Description"), "hidden characters, links"),
    **dict.fromkeys(("Country", "Locale", "DestinationPrefix"), "there are only so many"),
    **dict.fromkeys(("Url", "WebhookUrl", "WebOrigin"), "must be a server's public address"),
    **dict.fromkeys(("RateLimits", "Metadata", "HiddenDetails"), "JSON in a string"),
    **dict.fromkeys(("Details.Fields", "Binding.Secret"), "JSON or Base32 in a string"),
    **dict.fromkeys(("DateCreatedAfter", "DateCreatedBefore"), "years beyond 9999, leap seconds"),
    "ExpirationDate": "must be up to an hour from now",
    "CustomCode": "the service's own code length",
    "Code": "as many digits as were sent",
    "AuthPayload": "as many digits as the factor has",
    "DefaultTemplateSid": "must be one of the account's templates",
    "TemplateCustomSubstitutions": "JSON in a string",
    "Text": "a template: the code's place once, no link, one part",
    "Fallback": "a plan has a grammar of its own",
    "Scopes": "words in a list",
    "Scope": "one of the account's services",
    "Requests": "no filter goes with those that are chosen",
    **dict.fromkeys(("Sid", "Reason", "Kind", "Name", "State", "Sender"), "an operator's words"),
    **dict.fromkeys(("Error", "name"), "an operator's words"),
    **dict.fromkeys(("Channel", "Verb", "Until", "Within", "Country"), "an operator's words"),
}
# What Twilio refuses with a 400 of its own for another reason than a value.
TWILIOS_OWN = {
    **dict.fromkeys((60208, 60211, 60213, 60411), "it is there already: others say 409"),
    **dict.fromkeys((60207, 60210, 60315), "there are as many as there may be"),
    **dict.fromkeys((60206, 60214, 60602), "a parameter that goes with another's value"),
}


def _is_valid_as_a_form(case: Any) -> bool:
    """Whether the body fits once its strings that spell a number or a truth value are one: JSON
    takes them as a form does, and no schema can tell the bounds of such a string.
    """
    schema = case.operation.get_body_for_media_type(JSON).optimized_schema
    if not isinstance(case.body, dict):
        return False
    kinds = schema.get("properties", {})
    typed = {name for name, kind in kinds.items() if TYPED & {*_list(kind.get("type"))}}
    read = {name: _read(v) if name in typed else v for name, v in case.body.items()}
    return read != case.body and jsonschema_rs.is_valid(schema, read)


def _list(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether it is a failure: not where one value is refused for what no schema can tell."""
    if isinstance(failure, AcceptedNegativeData) and case.media_type == JSON:
        too_large = response.status_code == 413
        return not (too_large or _is_valid_as_a_form(case))
    if isinstance(failure, AcceptedNegativeData) and case.method == "GET":
        # An empty list is no parameter: what was made wrong has not reached the wire.
        sent = set(parse_qs(urlsplit(response.request.url).query, keep_blank_values=True))
        declared = {parameter.name for parameter in case.operation.query}
        return (
            "query: violates `additionalProperties`" not in failure.message or not sent <= declared
        )
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    body = response.json()
    if body["code"] in TWILIOS_OWN:
        return False
    found = REFUSED.fullmatch(body["message"])
    if found is None:
        return True
    name, reason = found.groups()
    if reason == "is given more than once":
        # A list for a name that is not in the document: a form can only repeat the name.
        return case.media_type != FORM
    return name not in BEYOND_A_SCHEMA or reason == "is required"


ANSWERS: Counter[str] = Counter()
FOLLOWED: list[Followed] = []  # of the one document of this process
REALISTIC = Realistic()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """In a walk, ask for what is accepted: random data seldom makes anything to walk on from."""
    drawn = case.meta
    if drawn and drawn.phase.name == TestPhase.STATEFUL and drawn.generation.mode.is_positive:
        operation, path = case.operation.definition.raw, case.path_parameters or {}
        case.body = REALISTIC.body(operation, path, case.body)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    ANSWERS[str(response.status_code)] += 1
    if not FOLLOWED:
        FOLLOWED.append(Followed(case.operation.schema.raw_schema))
    if 200 <= response.status_code < 300:
        answer = response.json() if response.headers.get("content-type") == [JSON] else None
        REALISTIC.remember(answer)
        asked = (case.operation.method.lower(), case.operation.path)
        FOLLOWED[0].note(asked, case.path_parameters or {}, case.body, answer)


@atexit.register
def tell() -> None:
    """Write down how many answers there were by status, and how many links were followed, where
    it is asked for.
    """
    if path := os.environ.get("SENDCODE_TEST_ANSWERS"):
        links = [[len(found.links), found.all] for found in FOLLOWED]
        told = {"answers": dict(sorted(ANSWERS.items())), "links": links}
        Path(path).write_text(json.dumps(told))
