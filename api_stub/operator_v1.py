"""What operators do, over HTTP: the verbs of `worker.operations`. Ours, not Twilio's.

Every write takes `reason` and, for a trial, `dry_run`. An answer is what came of it, and never
holds a number but for `reveal`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import acting
from api_stub.parameters import Parameters, query
from api_stub.verify_v2.common import Admin, Given, Reader, parts_of
from api_stub.verify_v2.examples import EXAMPLES, example
from api_stub.verify_v2.openapi import TEXT, filled_in, may_be_empty
from worker import phone
from worker.holds import PauseKind
from worker.operations import Operations, Outcome
from worker.operations.bulk import MOST_CHOSEN, VERBS
from worker.operations.discarding import Which
from worker.operations.forcing import HOUR
from worker.operations.words import LONGEST
from worker.operators import Role
from worker.operators.words import shown_session
from worker.records import Filters
from worker.spends import MESSAGES
from worker.states import DELIVERY_QUEUES

router = APIRouter(prefix="/operator/v1", tags=["Operators"])
JobSid = Annotated[str, Path(pattern=r"^OJ[0-9a-f]{32}$")]
_SECRET = ("number", "link")  # of the verbs alone whose answer they are
_COMMON = ("reason", "dry_run")
_FILTERS = ("state", "channel", "country", "error_code", "within")
_COUNTRIES = "|".join(sorted(phone.regions()))
_DELIVERY = {"type": "string", "pattern": "^VL[0-9a-f]{32}$"}
_KINDS: dict[str, dict[str, Any]] = {
    "until": {"type": "integer", "minimum": 1, "maximum": LONGEST},
    "within": {"type": "integer"},
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
}

_COUNTRY = {"kind": "country", "name": "GB"}


def _body(
    *required: str, optional: tuple[str, ...] = (), shown_as: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The OpenAPI description of a JSON body.

    :param shown_as: values of its example, where the usual ones do not go together
    """
    names = ("reason", *required, *optional, "dry_run")
    kinds = {name: _KINDS.get(name, TEXT) for name in names}
    filled = {"reason", *required}
    shown = {n: filled_in(k) if n in filled else may_be_empty(k) for n, k in kinds.items()}
    schema = {
        "type": "object",
        "required": ["reason", *required],
        "properties": shown,
        "additionalProperties": False,
    }
    body = {
        "schema": schema,
        "example": example(kinds, ["reason", *required]) | {**(shown_as or {})},
    }
    return {"requestBody": {"required": True, "content": {"application/json": body}}}


def describe_money(document: Mapping[str, Any], currency: str) -> None:
    """Say in the OpenAPI document that a budget may be in the currency of the prices too."""
    post = document["paths"]["/operator/v1/budget"]["post"]
    known = post["requestBody"]["content"]["application/json"]["schema"]["properties"]
    known["unit"]["enum"] = [MESSAGES, currency]
    known["amount"]["pattern"] = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"


async def _act(
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


def _operations(request: Request) -> Operations:
    return parts_of(request).operations


@router.post("/retry", openapi_extra=_body("sid", optional=("override_limits",)))
async def retry(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Send a code again, as it went before."""
    act, sid = _operations(request).sending, given.required("sid")
    override = bool(given.boolean("override_limits"))
    return await _act(
        *(request, given, ("sid", "override_limits")),
        lambda by, **rest: act.retry(by, sid, override_limits=override, **rest),
    )


@router.post("/resend", openapi_extra=_body("sid", "channel", optional=("override_limits",)))
async def resend(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Send a code by another channel."""
    act, sid, channel = _operations(request).sending, given.required("sid"), _channel(given)
    override = bool(given.boolean("override_limits"))
    return await _act(
        *(request, given, ("sid", "channel", "override_limits")),
        lambda by, **rest: act.resend(by, sid, channel, override_limits=override, **rest),
    )


@router.post("/cancel", openapi_extra=_body("sid"))
async def cancel(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End a verification."""
    act, sid = _operations(request).sending, given.required("sid")
    return await _act(request, given, ("sid",), lambda by, **rest: act.cancel(by, sid, **rest))


@router.post("/discard", openapi_extra=_body("sid"))
async def discard(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Drop a delivery that waits."""
    act, sid = _operations(request).discarding, given.required("sid")
    return await _act(request, given, ("sid",), lambda by, **rest: act.one(by, sid, **rest))


@router.post("/queues/discard", openapi_extra=_body("queue", "which"))
async def discard_queue(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Drop what waits in a queue: what is `expired`, or `all`."""
    act = _operations(request).discarding
    name, which = given.required("queue"), given.required("which")
    return await _act(
        *(request, given, ("queue", "which")),
        lambda by, **rest: act.queue(by, name, which, **rest),
    )


@router.post("/reveal", openapi_extra=_body("sid"))
async def reveal(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Show the whole number behind a sid."""
    act, sid = _operations(request).numbers, given.required("sid")
    return await _act(request, given, ("sid",), lambda by, **rest: act.reveal(by, sid, **rest))


@router.post("/limits/reset", openapi_extra=_body("number"))
async def reset_limits(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Give a number back the sends that were counted against it."""
    act, number = _operations(request).numbers, given.required("number")
    return await _act(
        request, given, ("number",), lambda by, **rest: act.reset_limits(by, number, **rest)
    )


@router.post("/pause", openapi_extra=_body("kind", "name", optional=("until",), shown_as=_COUNTRY))
async def pause(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Pause a queue, channel, country or sender; `until` is in seconds from now."""
    act, until = _operations(request).pauses, given.integer("until")
    kind, name = given.required("kind"), given.required("name")
    return await _act(
        *(request, given, ("kind", "name", "until")),
        lambda by, **rest: act.pause(by, kind, name, until=until, **rest),
    )


@router.post("/resume", openapi_extra=_body("kind", "name", shown_as=_COUNTRY))
async def resume(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End a pause."""
    act = _operations(request).pauses
    kind, name = given.required("kind"), given.required("name")
    return await _act(
        request, given, ("kind", "name"), lambda by, **rest: act.resume(by, kind, name, **rest)
    )


@router.get("/pauses")
async def pauses(request: Request, account: Reader) -> JSONResponse:
    """What is paused. Times are ms since 1970 UTC, here as everywhere below this path."""
    found = await run_in_threadpool(_operations(request).pauses.all)
    return JSONResponse({"pauses": [asdict(one) for one in found]})


@router.post("/block", openapi_extra=_body("to", optional=("until",)))
async def block(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Block a number or a prefix; `until` is in seconds from now."""
    act, what, until = _operations(request).blocks, given.required("to"), given.integer("until")
    return await _act(
        request, given, ("to", "until"), lambda by, **rest: act.block(by, what, until=until, **rest)
    )


@router.post("/unblock", openapi_extra=_body("to"))
async def unblock(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Unblock a number, a prefix, or what a block's sid names."""
    act, what = _operations(request).blocks, given.required("to")
    return await _act(request, given, ("to",), lambda by, **rest: act.unblock(by, what, **rest))


@router.get("/blocks")
async def blocks(request: Request, account: Reader) -> JSONResponse:
    """The newest 1000 blocks, numbers masked; `before` goes on behind a sid."""
    before = query(request).text("before")
    found = await run_in_threadpool(_operations(request).blocks.all, 1000, before)
    return JSONResponse({"blocks": [asdict(one) for one in found]})


@router.post("/budget", openapi_extra=_body("scope", "amount", "unit", optional=("until",)))
async def budget(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Let no more than `amount` (a text) be spent in a day of UTC: by `all`, in a country, or by a
    service; `unit` is `messages`, or the currency of the prices. For `until` seconds it stands in
    for the budget that is there.
    """
    act, until = _operations(request).budgets, given.integer("until")
    scope, amount, unit = (given.required(name) for name in ("scope", "amount", "unit"))
    return await _act(
        *(request, given, ("scope", "amount", "unit", "until")),
        lambda by, **rest: act.set(by, scope, amount, unit, until=until, **rest),
    )


@router.post("/budget/remove", openapi_extra=_body("scope"))
async def remove_budget(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Limit nothing there any more."""
    act, scope = _operations(request).budgets, given.required("scope")
    return await _act(request, given, ("scope",), lambda by, **rest: act.clear(by, scope, **rest))


@router.get("/budgets")
async def budgets(request: Request, account: Reader) -> JSONResponse:
    """The budgets with what is used of today, money in millionths; the fullest first."""
    found = await run_in_threadpool(_operations(request).budgets.all)
    return JSONResponse({"budgets": [{**asdict(one), "ratio": one.ratio} for one in found]})


@router.post("/circuit", openapi_extra=_body("sender", "channel", "state", optional=("until",)))
async def circuit(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Keep a circuit `open` or `closed` for `until` seconds, an hour by default, or `auto`."""
    act, until = _operations(request).circuits, given.integer("until")
    sender, channel, state = (given.required(name) for name in ("sender", "channel", "state"))
    span = HOUR if until is None else until
    return await _act(
        *(request, given, ("sender", "channel", "state", "until")),
        lambda by, **rest: act.set(by, sender, channel, state, until=span, **rest),
    )


@router.post("/senders/test", openapi_extra=_body("sender", "channel", "to", optional=("service",)))
async def test_sender(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Send a real code to a number by one sender alone, under its limits, and tell within five
    seconds what came of it.
    """
    act, service = _operations(request).testing, given.text("service")
    sender, channel, to = (given.required(name) for name in ("sender", "channel", "to"))
    return await _act(
        *(request, given, ("sender", "channel", "to", "service")),
        lambda by, **rest: act.send(by, sender, channel, to, service=service, **rest),
    )


@router.post("/senders/check", openapi_extra=_body("sender"))
async def check_sender(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Ask the provider whether a sender's credentials hold."""
    act, sender = _operations(request).testing, given.required("sender")
    return await _act(request, given, ("sender",), lambda by, **rest: act.check(by, sender, **rest))


@router.post(
    "/webhooks/replay",
    openapi_extra=_body(optional=("sid", "hook"), shown_as={"sid": EXAMPLES["sid"]}),
)
async def replay_webhook(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Tell hooks once more what became of a verification or delivery (`sid`), or a `hook` all that
    it has failed to take; with both, that hook alone.
    """
    act, sid, hook = _operations(request).replaying, given.text("sid"), given.text("hook")
    return await _act(
        *(request, given, ("sid", "hook")),
        lambda by, **rest: act.replay(by, sid=sid, hook=hook, **rest),
    )


@router.get("/webhooks")
async def webhooks(request: Request, account: Reader) -> JSONResponse:
    """Every event hook with what it is still to be told, addresses without their query."""
    found = await run_in_threadpool(_operations(request).replaying.hooks)
    return JSONResponse({"hooks": [asdict(one) for one in found]})


@router.post(
    "/bulk",
    openapi_extra=_body("verb", optional=(*_FILTERS, "requests", "by", "override_limits")),
)
async def bulk(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Do `retry`, `resend` (`by` a channel) or `cancel` to all deliveries that match, in the
    background; `within` is in seconds before now, and `error_code` may be `none`. With `requests`,
    a list of sids of deliveries, to those and without filters.
    """
    act, verb, by_channel = _operations(request).bulk, given.required("verb"), given.text("by")
    override, within = bool(given.boolean("override_limits")), given.integer("within")
    texts = {name: given.text(name) for name in _FILTERS[:4]}
    texts["country"] = texts["country"] and texts["country"].upper()
    chosen = given.texts("requests") if given.given("requests") else None
    filters = Filters(**texts, within=86_400 if within is None else within, sids=chosen)
    return await _act(
        *(request, given, ("verb", "by", "override_limits", "requests", *_FILTERS)),
        lambda by, **rest: act.start(
            by, verb, filters, channel=by_channel, override_limits=override, **rest
        ),
    )


@router.get("/bulk")
async def bulk_jobs(request: Request, account: Reader) -> JSONResponse:
    """The newest 50 bulk jobs with their progress."""
    found = await run_in_threadpool(_operations(request).bulk.all)
    return JSONResponse({"jobs": [asdict(job) for job in found]})


@router.get("/bulk/{sid}")
async def bulk_job(request: Request, account: Reader, sid: JobSid) -> JSONResponse:
    return JSONResponse(asdict(await run_in_threadpool(_operations(request).bulk.fetch, sid)))


@router.post("/bulk/{sid}/stop", openapi_extra=_body())
async def bulk_stop(request: Request, account: Admin, given: Given, sid: JobSid) -> JSONResponse:
    """Let a job end where it is."""
    act = _operations(request).bulk
    return await _act(request, given, (), lambda by, **rest: act.stop(by, sid, **rest))


@router.get("/operators")
async def operators(request: Request, account: Admin) -> JSONResponse:
    """Who may use the console, disabled ones too."""
    found = await run_in_threadpool(parts_of(request).operators.all)
    return JSONResponse({"operators": [asdict(one) for one in found]})


@router.post("/operators", openapi_extra=_body("name", "role"))
async def add_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Make an operator; `link` of the answer signs it in once, within 15 minutes."""
    act = _operations(request).people
    name, role = given.required("name"), given.required("role")
    return await _act(
        *(request, given, ("name", "role")),
        lambda by, **rest: act.add(by, name, role, link=True, **rest),
    )


@router.post("/operators/role", openapi_extra=_body("name", "role"))
async def set_role(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Give an operator another role."""
    act = _operations(request).people
    name, role = given.required("name"), given.required("role")
    return await _act(
        *(request, given, ("name", "role")),
        lambda by, **rest: act.set_role(by, name, role, **rest),
    )


@router.post("/operators/disable", openapi_extra=_body("name"))
async def disable_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End an operator's sessions and let no new one begin."""
    act, name = _operations(request).people, given.required("name")
    return await _act(request, given, ("name",), lambda by, **rest: act.disable(by, name, **rest))


@router.post("/operators/enable", openapi_extra=_body("name"))
async def enable_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Let a disabled operator sign in again."""
    act, name = _operations(request).people, given.required("name")
    return await _act(request, given, ("name",), lambda by, **rest: act.enable(by, name, **rest))


@router.post("/operators/reset", openapi_extra=_body("name"))
async def reset_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Forget an operator's password, second factor and sessions."""
    act, name = _operations(request).people, given.required("name")
    return await _act(request, given, ("name",), lambda by, **rest: act.reset(by, name, **rest))


@router.post("/operators/link", openapi_extra=_body("name"))
async def link_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Make a link that signs an operator in once; older ones end."""
    act, name = _operations(request).people, given.required("name")
    return await _act(request, given, ("name",), lambda by, **rest: act.link(by, name, **rest))


@router.get("/sessions")
async def sessions(request: Request, account: Admin) -> JSONResponse:
    """Who is signed in to the console, from where, the newest 200 first."""
    found = await run_in_threadpool(parts_of(request).operators.sessions)
    return JSONResponse({"sessions": [shown_session(one) for one in found]})


@router.post("/sessions/end", openapi_extra=_body("sid"))
async def end_session(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End one sign-in of an operator."""
    act, sid = _operations(request).people, given.required("sid")
    return await _act(request, given, ("sid",), lambda by, **rest: act.end_session(by, sid, **rest))


@router.get("/workers")
async def workers(request: Request, account: Reader) -> JSONResponse:
    """The workers that are up, with what they do now."""
    found = await run_in_threadpool(parts_of(request).standing.workers)
    return JSONResponse({"workers": [asdict(one) for one in found]})


@router.post("/workers/quiet", openapi_extra=_body("worker"))
async def quiet_worker(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Have a worker take nothing more and finish what it has."""
    act, name = _operations(request).crew, given.required("worker")
    return await _act(request, given, ("worker",), lambda by, **rest: act.quiet(by, name, **rest))


@router.post("/workers/work", openapi_extra=_body("worker"))
async def work_worker(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Have a quiet worker take messages again."""
    act, name = _operations(request).crew, given.required("worker")
    return await _act(request, given, ("worker",), lambda by, **rest: act.work(by, name, **rest))


@router.post("/workers/stop", openapi_extra=_body("worker"))
async def stop_worker(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Have a worker finish what it has and end."""
    act, name = _operations(request).crew, given.required("worker")
    return await _act(request, given, ("worker",), lambda by, **rest: act.stop(by, name, **rest))


@router.get("/audit")
async def audit(request: Request, account: Admin) -> JSONResponse:
    """Who did what and why, the newest first; `before` goes on behind a sid."""
    asked = query(request)
    asked.only("limit", "before", "action", "who", "target")
    limit = asked.integer("limit")
    limit = 50 if limit is None else limit
    if not 1 <= limit <= 1000:
        raise asked.refusal("limit", "must be from 1 to 1000")
    only = {name: asked.text(name) for name in ("action", "who", "target")}
    log, before = _operations(request).audit, asked.text("before")
    found = await run_in_threadpool(lambda: log.page(limit, before, **only))
    return JSONResponse({"entries": [asdict(entry) for entry in found]})


def _channel(given: Parameters) -> str:
    channel = given.required("channel")
    if channel not in ("sms", "call"):
        raise given.refusal("channel", "must be sms or call")
    return channel
