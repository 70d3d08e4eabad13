"""Lists of what operators did: the audit log, blocks, and bulk jobs."""

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page

router = APIRouter()
PAGE = 50


@router.get("/audit")
def audit(
    request: Request, session: Viewer, before: str = "", action: str = "", who: str = ""
) -> Response:
    """Who did what to what, and why, the newest first."""
    entries = parts_of(request).operations.audit.page(
        PAGE + 1, before or None, action=action or None, who=who or None
    )
    further = entries[PAGE - 1].sid if len(entries) > PAGE else ""
    return page(
        request, "audit.html", current="audit", entries=entries[:PAGE], further=further,
        before=before, action=action, who=who,
    )  # fmt: skip


@router.get("/blocks")
def blocks(request: Request, session: Viewer, before: str = "") -> Response:
    found = parts_of(request).operations.blocks.all(PAGE + 1, before or None)
    further = found[PAGE - 1].sid if len(found) > PAGE else ""
    return page(
        request, "blocks.html", current="limits", blocks=found[:PAGE], further=further,
        before=before,
    )  # fmt: skip


@router.get("/bulk")
def jobs(request: Request, session: Viewer) -> Response:
    return page(
        request, "jobs.html", current="requests", jobs=parts_of(request).operations.bulk.all()
    )


@router.get("/bulk/{sid}")
def job(request: Request, session: Viewer, sid: str) -> Response:
    """One job with its progress."""
    found = parts_of(request).operations.bulk.fetch(sid)
    return page(request, "job.html", current="requests", job=found)
