"""Templates: listed as Verify lists them, and written through routes of our own."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Admin, Given, Reader, base_of, parts_of
from api_stub.verify_v2.openapi import TEMPLATE, TEMPLATE_TEXT, form, listing
from api_stub.verify_v2.shapes import date
from worker.templates import Template, TemplateText

router = APIRouter(prefix="/v2", tags=["Templates"])
TemplateSid = Annotated[str, Path(pattern=r"^HJ[0-9a-f]{32}$")]


def _shape(found: Template) -> dict[str, Any]:
    return {
        "sid": found.sid,
        "account_sid": found.account_sid,
        "friendly_name": found.friendly_name,
        "channels": ["sms"],
        "translations": {locale: _text(text) for locale, text in found.texts.items()},
    }


def _text(text: TemplateText) -> dict[str, Any]:
    return {
        "is_default_translation": text.is_default,
        "status": "approved",
        "locale": text.locale,
        "text": text.text,
        "date_updated": date(text.updated_at),
        "date_created": date(text.created_at),
    }


@router.get("/Templates", openapi_extra=listing({"FriendlyName": {"type": "string"}}))
async def page(request: Request, account: Reader) -> JSONResponse:
    asked = paging.asked(request, "FriendlyName")
    name = asked.filters.text("FriendlyName")
    found = await run_in_threadpool(parts_of(request).templates.page, account, asked.window, name)
    body = paging.envelope(
        "templates",
        found,
        asked,
        url=f"{base_of(request)}/v2/Templates",
        shape=_shape,
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.post(
    "/Templates",
    status_code=201,
    openapi_extra=form(TEMPLATE, required=["FriendlyName", "Text"]),
)
async def create(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Write a template. Ours: with Twilio they come out of its console."""
    given.only(*TEMPLATE)
    name, text = given.required("FriendlyName"), given.required("Text")
    made = await run_in_threadpool(
        parts_of(request).templates.create, account, name, given.text("Locale") or "en", text
    )
    return JSONResponse(_shape(made), 201)


@router.get("/Templates/{sid}")
async def fetch(request: Request, account: Reader, sid: TemplateSid) -> JSONResponse:
    """One template. Ours: Twilio only lists them."""
    found = await run_in_threadpool(parts_of(request).templates.fetch, account, sid)
    return JSONResponse(_shape(found))


@router.post("/Templates/{sid}", openapi_extra=form(TEMPLATE_TEXT, required=["Locale", "Text"]))
async def translate(
    request: Request, account: Admin, sid: TemplateSid, given: Given
) -> JSONResponse:
    """Write the text of one locale. Ours."""
    given.only(*TEMPLATE_TEXT)
    locale, text = given.required("Locale"), given.required("Text")
    found = await run_in_threadpool(
        parts_of(request).templates.translate, account, sid, locale, text
    )
    return JSONResponse(_shape(found))


@router.delete("/Templates/{sid}", status_code=204)
async def delete(request: Request, account: Admin, sid: TemplateSid) -> Response:
    """Remove a template that is no service's default. Ours."""
    await run_in_threadpool(parts_of(request).templates.delete, account, sid)
    return Response(status_code=204)
