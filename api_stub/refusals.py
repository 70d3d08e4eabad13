"""What a door refuses before the core is asked: one line of the log, and one more in the count.

What the core refuses has its own line, also where the door says it in other words.
"""

import logging

import structlog
from starlette.requests import Request

from worker import metrics
from worker.errors import SendcodeError

log = structlog.get_logger()
_AUTHY = "/protected/json"
_ACTS = {
    "/v2/Services/{service_sid}/Verifications": "start",
    "/v2/Services/{service_sid}/VerificationCheck": "check",
    f"{_AUTHY}/sms/{{authy_id}}": "start",
    f"{_AUTHY}/call/{{authy_id}}": "start",
    f"{_AUTHY}/phones/verification/start": "start",
    f"{_AUTHY}/verify/{{token}}/{{authy_id}}": "check",
    f"{_AUTHY}/phones/verification/check": "check",
}
_REASONS = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method"}
_OWN_LINE = "/callbacks/"  # `webhook.rejected`


def tell(request: Request, error: Exception, status: int) -> None:
    """
    :param status: of the answer; from 500 on it is no refusal
    """
    of_core = isinstance(error, SendcodeError) or isinstance(error.__context__, SendcodeError)
    if of_core or status >= 500 or request.url.path.startswith(_OWN_LINE):
        return
    route = getattr(request.scope.get("route"), "path", None)  # never the path: it may be a number
    act, reason = _ACTS.get(route or ""), _REASONS.get(status, "invalid_parameter")
    if act is not None:
        metrics.refused_at_the_door(act, reason)
    told = {
        "act": act,
        "route": route,
        "field": getattr(error, "field", None),
        "error_code": str(getattr(error, "code", status)),
        "address": request.client.host if status == 401 and request.client else None,
    }
    known = {name: value for name, value in told.items() if value is not None}
    level = logging.INFO if route else logging.DEBUG  # whoever looks for a way in asks for much
    log.log(level, "request.rejected", reason=reason, status=status, **known)
