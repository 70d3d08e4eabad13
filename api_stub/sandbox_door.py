"""Passes `/sandbox/…` on to the sandbox process, so that one URL is enough to try everything."""

from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse

from api_stub.errors import ApiError
from worker.settings import Settings

router = APIRouter(include_in_schema=False)

_REQUEST_HEADERS = (
    "authorization",
    "content-type",
    "cookie",
    "accept",
    "last-event-id",
    "if-none-match",
    "sec-fetch-site",
)
_ANSWER_HEADERS = (
    "content-type",
    "location",
    "set-cookie",
    "cache-control",
    "www-authenticate",
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "retry-after",
    "etag",
)
# `wait` holds an answer for up to 60 s.
_TIMEOUT = httpx.Timeout(5, read=70)


@router.api_route("/sandbox/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
async def pass_on(request: Request, path: str) -> StreamingResponse:
    settings: Settings = request.app.state.settings
    client: httpx.AsyncClient | None = getattr(request.app.state, "sandbox_client", None)
    if client is None:
        client = httpx.AsyncClient(
            base_url=settings.sandbox_url,
            timeout=_TIMEOUT,
            trust_env=False,
            # One browser's session, kept here, would be sent along with everybody's requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        request.app.state.sandbox_client = client
    target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    outgoing = client.build_request(
        request.method,
        httpx.URL(settings.sandbox_url).copy_with(raw_path=target.rstrip(b"?")),
        headers=_headers(request),
        content=await request.body(),
    )
    try:
        answer = await client.send(outgoing, stream=True)
    except httpx.HTTPError:
        raise ApiError(
            503, 20503, "The sandbox does not answer", headers={"Retry-After": "1"}
        ) from None
    return StreamingResponse(
        _body(answer),
        answer.status_code,
        {k: v for k, v in answer.headers.items() if k in _ANSWER_HEADERS},
    )


def _headers(request: Request) -> dict[str, str]:
    """What concerns the sandbox; the console's session is none of its business."""
    passed = {k: v for k, v in request.headers.items() if k in _REQUEST_HEADERS}
    if cookie := request.cookies.get("sandbox_phone"):
        passed["cookie"] = f"sandbox_phone={cookie}"
    else:
        passed.pop("cookie", None)
    return passed


async def close(app: FastAPI) -> None:
    client: httpx.AsyncClient | None = getattr(app.state, "sandbox_client", None)
    if client is not None:
        await client.aclose()


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
