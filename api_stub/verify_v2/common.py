"""What the routes of every resource share."""

from typing import Annotated

from fastapi import Depends, Path, Request

from api_stub.auth import may_administer, may_check, may_read, may_start
from api_stub.parameters import Parameters, parameters
from api_stub.verify_v2.openapi import SERVICE_SID
from worker.wiring import Sendcode

Starter = Annotated[str, Depends(may_start)]
Checker = Annotated[str, Depends(may_check)]
Admin = Annotated[str, Depends(may_administer)]
Reader = Annotated[str, Depends(may_read)]
ServiceSid = Annotated[str, Path(pattern=SERVICE_SID)]
Given = Annotated[Parameters, Depends(parameters)]


def parts_of(request: Request) -> Sendcode:
    parts: Sendcode = request.app.state.parts
    return parts


def base_of(request: Request) -> str:
    """Our base URL, which every URL in an answer begins with."""
    return parts_of(request).settings.base_url
