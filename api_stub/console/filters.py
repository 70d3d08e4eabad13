"""What the pages offer to choose from: services and senders."""

from typing import Any

from fastapi import Request

from api_stub.console.guard import parts_of
from worker.services import Service
from worker.wiring import Sendcode

OFFERED = 200  # services


def whose(request: Request) -> dict[str, Any]:
    """The account's services, the oldest first, and the senders' names."""
    ours = parts_of(request)
    senders = [one.name for one in ours.settings.all_senders()]
    return {"services": services_of(ours), "senders": senders}


def services_of(ours: Sendcode) -> list[Service]:
    """The first `OFFERED` of the account, the oldest first."""
    return ours.services.page(ours.settings.account_sid, OFFERED)
