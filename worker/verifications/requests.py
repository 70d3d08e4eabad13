"""Request ids: the same request twice is one verification."""

from sqlalchemy import Connection, bindparam, select

from worker.db import now_ms
from worker.errors import NotFoundError, RequestConflictError
from worker.models import requests, verifications
from worker.verifications.base import Base
from worker.verifications.words import Start, Verification

_v = verifications.c

_REQUEST = select(requests).where(
    requests.c.account_sid == bindparam("account"), requests.c.request_id == bindparam("request")
)


class Requests(Base):
    def _known_request(
        self,
        connection: Connection,
        account: str,
        request_id: str | None,
        fingerprints: list[bytes],
    ) -> Verification | None:
        if request_id is None:
            return None
        request = (
            connection.execute(_REQUEST, {"account": account, "request": request_id})
            .mappings()
            .one_or_none()
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
        return self._view(row, sent=self._sent(connection, row["sid"]))

    def _the_other(self, account: str, request_id: str, fingerprints: list[bytes]) -> Verification:
        with self._db.statement() as connection:
            known = self._known_request(connection, account, request_id, fingerprints)
        if known is None:
            raise RequestConflictError("the same request is still running")
        return known

    def _remember(
        self, connection: Connection, account: str, request_id: str, fingerprint: bytes, sid: str
    ) -> bool:
        statement = self._db.insert(requests).values(
            account_sid=account,
            request_id=request_id,
            fingerprint=fingerprint,
            verification_sid=sid,
            created_at=now_ms(),
        )
        inserted = statement.on_conflict_do_nothing().returning(requests.c.request_id)
        return connection.execute(inserted).first() is not None

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
        return self._keyring.number_indexes("\0".join(("request", *values)))
