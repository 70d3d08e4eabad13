"""Texts: whether an SMS can carry what a start asks for, before anything is written."""

from collections.abc import Mapping
from typing import Any

from worker.errors import InvalidParameterError
from worker.messages import TextRefusedError, sms_text
from worker.prepared import Row
from worker.verifications.words import Payment


def check_text(
    start: Mapping[str, Any],
    service: Row,
    *,
    length: int,
    pattern: str | None,
    payment: Payment | None,
) -> None:
    """Make the text with a code that is none. Without hash and origin none is ever refused.

    :param start: columns of the verification: its name, hash and locale
    :param length: of the code
    :param pattern: the text of its template
    :raises InvalidParameterError: the text could never be sent
    """
    app_hash, origin = start["app_hash"], service["web_origin"]
    if app_hash is None and origin is None:
        return
    try:
        sms_text(
            code="0" * length,
            brand=start["friendly_name"] or service["friendly_name"],
            locale=start["locale"],
            do_not_share=service["do_not_share"],
            app_hash=app_hash,
            origin=origin,
            pattern=pattern,
            payment=payment,
        )
    except TextRefusedError as error:
        field = "WebOrigin" if app_hash is None else "AppHash"
        raise InvalidParameterError(field, f"does not fit: {error}") from None
