"""What the doors of entities, factors, challenges and backup codes share."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from api_stub.parameters import Parameters, is_plain, parameters
from api_stub.verify_v2.common import parts_of
from api_stub.verify_v2.openapi import IDENTITY
from worker.factors import Change, Factors

INVALID = 60300  # Twilio's code for a bad value of an entity, factor or challenge
NO_STORE = {"Cache-Control": "no-store"}
MAX_JSON = 1024
MAX_FIELDS = 20


async def _parameters(request: Request) -> Parameters:
    return (await parameters(request)).refusing_with(INVALID)


Identity = Annotated[str, Path(json_schema_extra={"pattern": IDENTITY})]
FactorSid = Annotated[str, Path(pattern=r"^YF[0-9a-f]{32}$")]
ChallengeSid = Annotated[str, Path(pattern=r"^YC[0-9a-f]{32}$")]
Given = Annotated[Parameters, Depends(_parameters)]


def room(request: Request) -> Factors:
    return parts_of(request).factors


def change(given: Parameters) -> Change:
    algorithm = given.text("Config.Alg")
    return Change(
        friendly_name=given.text("FriendlyName"),
        algorithm=algorithm and algorithm.lower(),
        digits=given.integer("Config.CodeLength"),
        period=given.integer("Config.TimeStep"),
        skew=given.integer("Config.Skew"),
    )


def strings(given: Parameters, name: str) -> dict[str, str] | None:
    """A JSON object of strings, written as a string of 1024 characters at most."""
    text = given.text(name)
    if text is None:
        return None
    value = _json(text) if len(text) <= MAX_JSON else None
    if not isinstance(value, dict) or not all(_is_text(one) for one in value.values()):
        raise given.refusal(name, "must be a JSON object of strings, of 1024 characters at most")
    if not all(is_plain(key) for key in value):
        raise given.refusal(name, "holds a character that is none")
    return value


def details(given: Parameters) -> dict[str, Any] | None:
    """`Details.Message` and `Details.Fields`, or None where neither is given."""
    message, fields = given.text("Details.Message"), given.texts("Details.Fields")
    if message is None and not fields:
        return None
    if message is not None and len(message) > 256:
        raise given.refusal("Details.Message", "must have 256 characters at most")
    read = [_json(field) for field in fields]
    if len(read) > MAX_FIELDS or not all(_is_field(field) for field in read):
        raise given.refusal("Details.Fields", "must be up to 20 objects of label and value")
    return {"message": message, "fields": read}


def moment(given: Parameters, name: str) -> int | None:
    """ISO 8601 as ms since 1970 UTC; without an offset it is UTC."""
    text = given.text(name)
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise given.refusal(name, "must be a date and time in ISO 8601") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_text(value: Any, most: int = MAX_JSON) -> bool:
    return isinstance(value, str) and len(value) <= most and is_plain(value)


def _is_field(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"label", "value"}
        and _is_text(value["label"], 36)
        and _is_text(value["value"], 128)
    )
