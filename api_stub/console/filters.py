"""What the pages' filters by service and sender offer."""

from typing import Any

from fastapi import Request

from api_stub.console.guard import parts_of

OFFERED = 200  # services


def whose(request: Request) -> dict[str, Any]:
    """The account's services, the oldest first, and the senders' names."""
    ours = parts_of(request)
    services = ours.services.page(ours.settings.account_sid, OFFERED)
    senders = [one.name for one in ours.settings.all_senders()]
    return {"services": services, "senders": senders}
