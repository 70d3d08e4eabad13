"""The pages that act: each first says what would be done, asks why, and then does it."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api_stub.console import guard
from api_stub.console.filters import services_of
from api_stub.console.guard import Actor, Fields, ForbiddenError, Viewer, parts_of
from api_stub.console.pages import link, page
from api_stub.console.verb import Verb
from api_stub.console.verbs import OF_CHOSEN, VERBS, values_of
from worker.audit import MOST_REASON, without_numbers
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    ChecksSpentError,
    ConflictError,
    FeatureOffError,
    InvalidParameterError,
    LimitReachedError,
    NotFoundError,
    NumberDisabledError,
    OverloadedError,
    PausedError,
    PaymentError,
)
from worker.operations import Outcome
from worker.operators import Role, Session

router = APIRouter()
TRIAL = "a trial"  # the reason of a dry run, which is written down nowhere
_REFUSED = (
    *(ActionRefusedError, BlockedError, ConflictError, FeatureOffError, InvalidParameterError),
    *(LimitReachedError, PausedError, PaymentError, ChecksSpentError),
    *(NumberDisabledError, OverloadedError),
)


@router.get("/act/{name}")
def ask(request: Request, session: Viewer, name: str) -> Response:
    """What would be done, and a form that asks why."""
    verb = _verb(name)
    guard.require_role(request, session, verb.role)
    given = values_of(verb, request.query_params)
    if verb.typed:
        return _form(request, name, verb, given)
    return _try(request, session, name, verb, given)


@router.get("/chosen")
def choose(request: Request, session: Actor) -> Response:
    """Where rows are chosen: what was ticked came by a form, and is in no address."""
    return RedirectResponse(link("/requests"), 303)


@router.post("/chosen")
def ask_of_chosen(request: Request, session: Actor, fields: Fields) -> Response:
    """What would be done to the rows whose boxes are ticked, and a form that asks why."""
    wanted = OF_CHOSEN.get(fields.get("do", ""))
    if wanted is None or not fields.get("requests"):
        raise InvalidParameterError("requests", "tick the boxes of some first")
    verb = VERBS["bulk"]
    given = values_of(verb, {**wanted, "requests": fields["requests"]})
    return _try(request, session, "bulk", verb, given)


@router.post("/act/{name}")
def act(request: Request, session: Viewer, fields: Fields, name: str) -> Response:
    """Do it, or try what would be done where the form asks for that."""
    verb = _verb(name)
    guard.require_role(request, session, verb.role)
    given = {**values_of(verb, fields), **_chosen(fields)}
    if given.get("override") and not session.operator.role.allows(Role.ADMIN):
        raise ForbiddenError("Only an admin may override limits.")
    if fields.get("try"):
        return _try(request, session, name, verb, given)
    rest: dict[str, Any] = {"reason": fields.get("reason", ""), "dry_run": False}
    try:
        outcome = _done(request, session, verb, given, rest)
    except _REFUSED as error:
        why = without_numbers(rest["reason"][:MOST_REASON])
        return _form(request, name, verb, given, 409, refused=str(error), reason=why)
    request.app.state.looks.forget()
    return page(
        request, "done.html", outcome=outcome, verb=verb, title=verb.title(given),
        back=_back(verb, given, outcome), fresh=True, url=_url(request, outcome),
    )  # fmt: skip


def _try(
    request: Request, session: Session, name: str, verb: Verb, given: dict[str, str]
) -> Response:
    rest = {"reason": TRIAL, "dry_run": True}
    try:
        outcome = _done(request, session, verb, given, rest)
    except _REFUSED as error:
        return _form(request, name, verb, given, refused=str(error))
    return _form(request, name, verb, given, outcome=outcome)


def _done(
    request: Request, session: Session, verb: Verb, given: dict[str, str], rest: dict[str, Any]
) -> Outcome:
    by = guard.by(request, session)
    operations = parts_of(request).operations
    return verb.act(operations, by, given, rest)


def _form(
    request: Request,
    name: str,
    verb: Verb,
    given: dict[str, str],
    status: int = 200,
    outcome: Outcome | None = None,
    refused: str = "",
    reason: str = "",
) -> Response:
    services = services_of(parts_of(request)) if verb.of_service else []
    return page(
        request, "act.html", status, name=name, verb=verb, title=verb.title(given),
        given={key: value for key, value in given.items() if key in verb.takes},
        chosen=given.get("until", ""), outcome=outcome, refused=refused, back=_back(verb, given),
        services=services, service=given.get("service", ""), reason=reason,
    )  # fmt: skip


def _verb(name: str) -> Verb:
    if name not in VERBS:
        raise NotFoundError("action")
    return VERBS[name]


def _url(request: Request, outcome: Outcome) -> str:
    """The address of a link that was made, or nothing."""
    key = outcome.link
    return f"{parts_of(request).settings.base_url}{link('/link', key=key)}" if key else ""


def _chosen(fields: dict[str, str]) -> dict[str, str]:
    return {
        name: fields[name] for name in ("until", "override", "what", "service") if fields.get(name)
    }


def _back(verb: Verb, given: dict[str, str], outcome: Outcome | None = None) -> str:
    """Where to go on: to what was acted on."""
    if verb.back == "/bulk" and outcome is not None and outcome.target.startswith("OJ"):
        return f"/bulk/{outcome.target}"
    if outcome is not None and outcome.action == "test.send":
        return f"/requests/{(outcome.after or {})['delivery']}"
    return verb.back.format(**given)
