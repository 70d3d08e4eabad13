"""Request ids: the same request twice is one verification, and gets the same answer."""

import json
from dataclasses import replace

import structlog
from sqlalchemy import Connection, bindparam, select

from worker.db import now_ms
from worker.errors import NotFoundError, RequestConflictError
from worker.models import requests, verifications
from worker.prepared import Row
from worker.states import VerificationStatus
from worker.verifications.base import Base
from worker.verifications.words import Start, Verification

log = structlog.get_logger()
_v = verifications.c

_REQUEST = select(requests).where(
    requests.c.account_sid == bindparam("account"),
    requests.c.request_index.in_(bindparam("indexes", expanding=True)),
)


class Requests(Base):
    def _answered(
        self, account: str, request_id: str | None, fingerprints: list[bytes]
    ) -> Verification | None:
        """What the request was answered with before, if it was."""
        if request_id is None:
            return None
        with self._db.statement() as connection:
            return self._known_request(connection, account, request_id, fingerprints)

    def _known_request(
        self, connection: Connection, account: str, request_id: str, fingerprints: list[bytes]
    ) -> Verification | None:
        request = (
            connection.execute(
                _REQUEST, {"account": account, "indexes": self._request_indexes(request_id)}
            )
            .mappings()
            .first()
        )
        if request is None:
            return None
        if request["fingerprint"] not in fingerprints:
            raise RequestConflictError("the request id was used for another request")
        row = (
            connection.execute(select(verifications).where(_v.sid == request["verification_sid"]))
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise NotFoundError("verification")
        view = self._view(row, sent=self._sent(connection, row["sid"]))
        log.info("request.deduplicated", verification=row["sid"], delivery=request["delivery_sid"])
        return _as_answered(view, request["delivery_sid"], request["answered_at"])

    def _remember(
        self,
        connection: Connection,
        account: str,
        request_id: str,
        fingerprint: bytes,
        verification: Row,
        delivery: Row,
    ) -> bool:
        statement = self._db.insert(requests).values(
            account_sid=account,
            request_index=self._request_indexes(request_id)[0],
            fingerprint=fingerprint,
            verification_sid=verification["sid"],
            delivery_sid=delivery["sid"],
            answered_at=verification["updated_at"],
            created_at=now_ms(),
        )
        inserted = statement.on_conflict_do_nothing().returning(requests.c.request_index)
        return connection.execute(inserted).first() is not None

    def _request_indexes(self, request_id: str) -> list[bytes]:
        """What finds a request id, under every key: keyed, since it may tell of a person."""
        return self._keyring.number_indexes("\0".join(("request id", request_id)))

    def _running(self, account: str, request_id: str | None) -> str | None:
        """The name of a request while it is answered."""
        if request_id is None:
            return None
        return f"{account}:{self._request_indexes(request_id)[0].hex()}"

    def _fingerprints(self, wanted: Start, number: str) -> list[bytes]:
        """What the request asks for, under every key: keyed, since a number can be guessed."""
        values = (
            wanted.service_sid,
            number,
            wanted.channel,
            wanted.locale or "",
            wanted.friendly_name or "",
            wanted.app_hash or "",
        )
        # Later parameters count where they are given, so that older fingerprints still fit.
        given = {
            "template": wanted.template_sid,
            "code": wanted.custom_code,
            "payment": wanted.payment and json.dumps([*wanted.payment]),
            "digits": wanted.send_digits,
            "length": wanted.code_length and str(wanted.code_length),
            "limits": wanted.rate_limits and json.dumps(sorted(wanted.rate_limits.items())),
        }
        later = (f"{name}={value}" for name, value in given.items() if value)
        return self._keyring.number_indexes("\0".join(("request", *values, *later)))


def _as_answered(now: Verification, delivery_sid: str, answered_at: int) -> Verification:
    """The verification as the first answer to the request showed it."""
    shown = next((i for i, d in enumerate(now.deliveries) if d.sid == delivery_sid), None)
    if shown is None:
        return now
    return replace(
        now,
        status=VerificationStatus.PENDING,
        channel=now.deliveries[shown].channel,
        updated_at=answered_at,
        approved_at=None,
        deliveries=now.deliveries[: shown + 1],
    )
