"""Tells Verify's webhooks what became of factors and challenges, in Twilio's shape and signed."""

import base64
import hmac
import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

from sqlalchemy import RowMapping, select

from worker.db import Database
from worker.door_tables import factor_events, factor_webhooks
from worker.factor_outbox import ENABLED
from worker.posting import Poster
from worker.telling import Teller, event_digest

SIGNATURE = "X-Twilio-Signature"
FORM = "application/x-www-form-urlencoded"

_e, _w = factor_events.c, factor_webhooks.c
_DUE = (
    select(
        *(_e.hook_sid, _e.kind, _e.subject_sid, _e.factor_sid, _e.identity, _e.tries),
        *(_w.account_sid, _w.service_sid, _w.webhook_url.label("url"), _w.failures),
    )
    .join(factor_webhooks, _w.sid == _e.hook_sid)
    .where(_w.status == ENABLED)
)


class FactorTelling(Teller):
    """
    :param auth_token: the account's, which signs as Twilio's does
    """

    def __init__(self, db: Database, poster: Poster, auth_token: str) -> None:
        super().__init__(db, poster, factor_events, factor_webhooks, _DUE)
        self._token = auth_token

    def _request(self, row: RowMapping) -> tuple[bytes, Mapping[str, str]]:
        form = fields(row)
        signature = sign(self._token, row["url"], form)
        return urlencode(form).encode(), {"Content-Type": FORM, SIGNATURE: signature}


def fields(row: RowMapping) -> dict[str, str]:
    """Twilio's names. The backend's own name for the entity is in it, and nothing else of a
    person."""
    form = {
        "uuid": str(uuid.UUID(bytes=event_digest(row["kind"], row["subject_sid"])[:16])),
        "type": row["kind"],
        "account_sid": row["account_sid"],
        "service_sid": row["service_sid"],
        "entity_identity": row["identity"],
        "factor_sid": row["factor_sid"],
        "factor_type": "totp",
    }
    if row["subject_sid"] != row["factor_sid"]:
        form["challenge_sid"] = row["subject_sid"]
    return form


def sign(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """Twilio's signature: HMAC-SHA1, in Base64, of the URL and each sorted name with its value.

    Source: https://www.twilio.com/docs/usage/security#validating-requests
    """
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode(), "sha1")).decode()
