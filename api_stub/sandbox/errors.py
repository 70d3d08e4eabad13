"""How the sandbox refuses: Twilio's envelope on its REST side, `{"error": …}` on ours."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

TWILIO_ROOT = "/2010-04-01/"
DOORS_CHALLENGE = 'Basic realm="sendcode sandbox"'
TWILIO_CHALLENGE = 'Basic realm="Twilio API"'


class TwilioError(Exception):
    """An answer in Twilio's error envelope.

    :param code: Twilio's error code
    :param retry_after: seconds for a `Retry-After` header
    """

    def __init__(
        self, status: int, code: int, message: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = TWILIO_CHALLENGE
        envelope = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return JSONResponse(envelope, self.status, headers)


class SandboxError(Exception):
    """An answer of the programs' API: a status and one clear sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.message = message


async def _twilio(request: Request, error: Exception) -> Response:
    assert isinstance(error, TwilioError)
    return error.response()


async def _sandbox(request: Request, error: Exception) -> Response:
    assert isinstance(error, SandboxError)
    headers = {"WWW-Authenticate": DOORS_CHALLENGE} if error.status == 401 else {}
    if request.url.path.startswith("/sandbox/phone"):
        return PlainTextResponse(error.message + "\n", error.status, headers)
    return JSONResponse({"error": error.message}, error.status, headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if path.startswith(TWILIO_ROOT):
        message = f"The requested resource {path.removeprefix('/2010-04-01')} was not found"
        code = 20404 if error.status_code == 404 else 20004
        return TwilioError(error.status_code, code, message).response()
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


def install(app: FastAPI) -> None:
    """Give the app both shapes of refusal."""
    app.add_exception_handler(TwilioError, _twilio)
    app.add_exception_handler(SandboxError, _sandbox)
    app.add_exception_handler(HTTPException, _http)
