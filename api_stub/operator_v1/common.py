"""What the operators' routes share: how a verb is asked for and answered, and its description."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import acting
from api_stub.parameters import Parameters
from api_stub.verify_v2.common import parts_of
from api_stub.verify_v2.examples import example
from api_stub.verify_v2.openapi import SERVICE_SID, TEXT, filled_in, may_be_empty
from worker import phone
from worker.filters import Filters, check
from worker.holds import PauseKind
from worker.operations import Operations, Outcome
from worker.operations.bulk import MOST_CHOSEN, VERBS
from worker.operations.discarding import Which
from worker.operations.words import LONGEST
from worker.operators import Role
from worker.spends import MESSAGES
from worker.states import DELIVERY_QUEUES

DAY, LONGEST_AGO = 86_400, 99_999_999  # seconds
FILTERS = ("state", "channel", "country", "error_code", "service", "sender", "within")
_SECRET = ("number", "link")  # of the verbs alone whose answer they are
_COMMON = ("reason", "dry_run")
_COUNTRIES = "|".join(sorted(phone.regions()))
_DELIVERY = {"type": "string", "pattern": "^VL[0-9a-f]{32}$"}
KINDS: dict[str, dict[str, Any]] = {
    "until": {"type": "integer", "minimum": 1, "maximum": LONGEST},
    "within": {"type": "integer", "minimum": 1, "maximum": LONGEST_AGO},
    "dry_run": {"type": "boolean"},
    "override_limits": {"type": "boolean"},
    "channel": {"type": "string", "enum": ["sms", "call"]},
    "by": {"type": "string", "enum": ["sms", "call"]},
    "kind": {"type": "string", "enum": list(PauseKind)},
    "queue": {"type": "string", "enum": list(DELIVERY_QUEUES)},
    "which": {"type": "string", "enum": list(Which)},
    "role": {"type": "string", "enum": list(Role)},
    "verb": {"type": "string", "enum": list(VERBS)},
    "requests": {"type": "array", "items": _DELIVERY, "minItems": 1, "maxItems": MOST_CHOSEN},
    "scope": {"type": "string", "pattern": f"^(all|{_COUNTRIES}|VA[0-9a-f]{{32}})$"},
    "amount": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    "unit": {"type": "string", "enum": [MESSAGES]},
    "service": {"type": "string", "pattern": SERVICE_SID},
    "error_code": {"type": "string", "pattern": "^([0-9]{1,6}|[a-z][a-z0-9_]{0,31})$"},
}


def router_of_operators() -> APIRouter:
    """A router for some of the routes below `/operator/v1`."""
    return APIRouter(prefix="/operator/v1", tags=["Operators"])


def body(
    *required: str, optional: tuple[str, ...] = (), shown_as: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The OpenAPI description of a JSON body.

    :param shown_as: values of its example, where the usual ones do not go together
    """
    names = ("reason", *required, *optional, "dry_run")
    kinds = {name: KINDS.get(name, TEXT) for name in names}
    filled = {"reason", *required}
    shown = {n: filled_in(k) if n in filled else may_be_empty(k) for n, k in kinds.items()}
    schema = {
        "type": "object",
        "required": ["reason", *required],
        "properties": shown,
        "additionalProperties": False,
    }
    content = {
        "schema": schema,
        "example": example(kinds, ["reason", *required]) | {**(shown_as or {})},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


async def done(
    request: Request, given: Parameters, names: tuple[str, ...], verb: Callable[..., Outcome]
) -> JSONResponse:
    """Do a verb for the caller, with what every verb takes.

    :param names: of the parameters it takes beside these
    """
    given.only(*_COMMON, *names)
    by = acting(request)
    values = {"reason": given.required("reason"), "dry_run": bool(given.boolean("dry_run"))}
    outcome = await run_in_threadpool(lambda: verb(by, **values))
    shown = {name: value for name, value in asdict(outcome).items() if value or name not in _SECRET}
    if outcome.link is not None:
        base = parts_of(request).settings.base_url
        shown["link"] = f"{base}/console/link?key={outcome.link}"
    return JSONResponse(shown, headers={"Cache-Control": "no-store"})


def operations(request: Request) -> Operations:
    return parts_of(request).operations


def filters_of(given: Parameters, sids: list[str] | None = None) -> Filters:
    """The filters among the parameters, of the last day where no `within` is given.

    :param sids: these alone
    :raises InvalidParameterError: one that no delivery can match
    """
    texts = {name: given.text(name) for name in FILTERS if name != "within"}
    texts["country"] = texts["country"] and texts["country"].upper()
    within = given.integer("within")
    within = DAY if within is None else within
    if not 1 <= within <= LONGEST_AGO:
        raise given.refusal("within", f"must be from 1 to {LONGEST_AGO}")
    found = Filters(**texts, within=within, sids=sids)
    check(found)
    return found
