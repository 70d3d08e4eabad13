"""Liveness, which asks nothing, and readiness, which asks everything that is needed."""

from collections.abc import Callable
from typing import Any

import redis
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text

from worker import migrations
from worker.circuits import CircuitState
from worker.errors import LimitsUnavailableError
from worker.presence import State
from worker.standing import Silent
from worker.wiring import Sendcode

log = structlog.get_logger()
router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> JSONResponse:
    """Broker, database and migrations decide: 200 when all are ready, else 503. A silent worker
    or relay, or an open circuit, only makes it `degraded`: codes can still be checked.
    """
    parts: Sendcode = request.app.state.parts
    needed = {
        "broker": _passes(lambda: parts.redis.ping()),
        "database": _passes(lambda: _answers(parts)),
        "migrations": _passes(lambda: migrations.applied(parts.db) == migrations.head()),
    }
    ready = all(needed.values())
    silent = _silent(parts) if needed["broker"] else Silent.WORKERS
    opened = _open_circuits(parts) if needed["broker"] else []
    checks = {name: "ok" if passed else "failed" for name, passed in needed.items()}
    checks["worker"] = "silent" if silent is Silent.WORKERS else "ok"
    checks["relay"] = {None: "ok", Silent.RELAY: "silent"}.get(silent, "unknown")
    status = ("degraded" if silent or opened else "ok") if ready else "unavailable"
    quiet = _quiet_workers(parts) if needed["broker"] else []
    body = {
        "status": status,
        "checks": checks,
        "open_circuits": opened,
        "quiet_workers": quiet,
    }
    return JSONResponse(body, 200 if ready else 503)


def _silent(parts: Sendcode) -> Silent | None:
    try:
        return parts.standing.silent()
    except redis.RedisError:
        return Silent.WORKERS


def _open_circuits(parts: Sendcode) -> list[str]:
    try:
        circuits = parts.standing.circuits()
    except LimitsUnavailableError:
        return []
    return [f"{c.sender}/{c.channel}" for c in circuits if c.state is not CircuitState.CLOSED]


def _quiet_workers(parts: Sendcode) -> list[str]:
    try:
        return [one.name for one in parts.standing.workers() if one.state == State.QUIET]
    except redis.RedisError:
        return []


def _answers(parts: Sendcode) -> bool:
    with parts.db.statement() as connection:
        return bool(connection.execute(text("SELECT 1")).scalar_one())


def _passes(check: Callable[[], Any]) -> bool:
    try:
        return bool(check())
    except Exception as error:
        log.warning("readyz.failed", error_class=type(error).__name__)
        return False
