"""Webhooks: tells the event hooks what became of verifications and deliveries, signed."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, func, select

from worker import phone
from worker.codes import Keyring
from worker.db import Database
from worker.door_tables import event_hooks, events
from worker.models import deliveries, verifications
from worker.moments import stamp
from worker.outbox import Event
from worker.posting import Poster
from worker.states import DeliveryState
from worker.telling import Teller, event_digest

SIGNATURE = "Sendcode-Signature"

_e, _h, _v, _d = events.c, event_hooks.c, verifications.c, deliveries.c
_DUE = (
    select(
        *(_e.hook_sid, _e.kind, _e.subject_sid, _e.tries, _e.verification_sid),
        func.coalesce(_e.happened_at, _e.created_at).label("created_at"),
        *(_h.url, _h.key_id.label("hook_key"), _h.secret_sealed, _h.failures),
        *(_v.account_sid, _v.service_sid, _v.key_id, _v.number_sealed, _v.country, _v.channel),
        *(_d.channel.label("delivery_channel"), _d.error_code),
    )
    .join(event_hooks, _h.sid == _e.hook_sid)
    .join(verifications, _v.sid == _e.verification_sid)
    .outerjoin(deliveries, _d.sid == _e.subject_sid)
    .where(_h.enabled)
)


class Webhooks(Teller):
    def __init__(self, db: Database, keyring: Keyring, poster: Poster) -> None:
        super().__init__(db, poster, events, event_hooks, _DUE)
        self._keyring = keyring

    def _request(self, row: RowMapping) -> tuple[bytes, Mapping[str, str]]:
        body = json.dumps(self._body(row), separators=(",", ":")).encode()
        owner = f"hook {row['hook_sid']}"
        secret = self._keyring.open(row["hook_key"], row["secret_sealed"], owner)
        signature = sign(secret, int(time.time()), body)
        return body, {"Content-Type": "application/json", SIGNATURE: signature}

    def _body(self, row: RowMapping) -> Mapping[str, Any]:
        """Sids and a masked number; never a number or a code."""
        number = self._keyring.open_number(
            row["key_id"], row["number_sealed"], row["verification_sid"]
        )
        delivery = None
        if row["delivery_channel"] is not None:
            delivery = {
                "sid": row["subject_sid"],
                "channel": row["delivery_channel"],
                "error_code": _error_code(row),
            }
        return {
            "id": event_id(row["kind"], row["subject_sid"]),
            "type": row["kind"],
            "created": stamp(row["created_at"]),
            "account_sid": row["account_sid"],
            "service_sid": row["service_sid"],
            "verification_sid": row["verification_sid"],
            "to": phone.mask(number),
            "country": row["country"],
            "channel": row["channel"],
            "delivery": delivery,
        }


def _error_code(row: RowMapping) -> str | None:
    if row["kind"] == Event.DELIVERED:
        return None
    if row["kind"] == Event.FAILED:
        return row["error_code"] or DeliveryState.EXPIRED.value  # without a try there is none
    code: str | None = row["error_code"]
    return code


def sign(secret: str, at: int, body: bytes) -> str:
    """The header's value: `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body" in hex>`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def event_id(kind: str, subject_sid: str) -> str:
    """The same for every try and every hook: what a receiver drops repeats by."""
    return "EV" + event_digest(kind, subject_sid).hex()[:32]
