"""The settings in force, secrets masked, and this build."""

import os

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page
from worker import migrations
from worker.settings import PREFIX, Settings, masked

router = APIRouter()


@router.get("/settings")
def show(request: Request, session: Viewer) -> Response:
    ours = parts_of(request)
    return page(
        request, "settings.html", current="settings", rows=_rows(ours.settings),
        applied=migrations.applied(ours.db), head=migrations.head(), kids=ours.keyring.kids,
        dialect=ours.db.dialect,
    )  # fmt: skip


def _rows(settings: Settings) -> list[dict[str, str]]:
    return [
        {
            "name": f"{PREFIX}{name.upper()}",
            "value": str(masked(name, value)),
            "source": _source(name),
            "means": Settings.model_fields[name].description or "",
        }
        for name, value in settings
    ]


def _source(name: str) -> str:
    variable = f"{PREFIX}{name.upper()}"
    if f"{variable}_FILE" in os.environ:
        return "file"
    return "environment" if variable in os.environ else "default"
