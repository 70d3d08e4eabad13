"""Liveness, which asks nothing, and readiness, which asks broker, database and migrations."""

from collections.abc import Callable
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text

from worker import migrations
from worker.wiring import Sendcode

log = structlog.get_logger()
router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> JSONResponse:
    """Broker, database and migrations: 200 when all are ready, else 503 and which is not."""
    parts: Sendcode = request.app.state.parts
    checks = {
        "broker": _passes(lambda: parts.redis.ping()),
        "database": _passes(lambda: _answers(parts)),
        "migrations": _passes(lambda: migrations.applied(parts.db) == migrations.head()),
    }
    ready = all(checks.values())
    words = {name: "ok" if passed else "failed" for name, passed in checks.items()}
    return JSONResponse(
        {"status": "ok" if ready else "unavailable", "checks": words}, 200 if ready else 503
    )


def _answers(parts: Sendcode) -> bool:
    with parts.db.statement() as connection:
        return bool(connection.execute(text("SELECT 1")).scalar_one())


def _passes(check: Callable[[], Any]) -> bool:
    try:
        return bool(check())
    except Exception as error:
        log.warning("readyz.failed", reason=type(error).__name__)
        return False
