"""Puts live verifications with known codes into the database, without sending anything."""

from collections.abc import Sequence

from sqlalchemy import insert, select

from worker import logs
from worker.codes import new_salt
from worker.db import now_ms
from worker.models import new_sid, services, verifications
from worker.settings import load
from worker.wiring import Sendcode


def parts(env: dict[str, str]) -> Sendcode:
    """Ours in this process, with the settings of an environment."""
    prefix = "SENDCODE_"
    values = {k.removeprefix(prefix).lower(): v for k, v in env.items() if k.startswith(prefix)}
    settings = load(**{**values, "log_level": "warning"})
    logs.configure(settings)
    return Sendcode(settings)


def seed(ours: Sendcode, numbers: Sequence[str]) -> list[tuple[str, str]]:
    """One pending verification for each number; the numbers with their codes."""
    keyring, made, rows = ours.keyring, [], []
    with ours.db.statement() as connection:
        service = connection.execute(select(services.c.sid)).scalar_one()
        now = connection.execute(select(now_ms())).scalar_one()
    for number in numbers:
        sid, salt = new_sid("VE"), new_salt()
        code = keyring.derive_code(keyring.kid, salt, 6)
        made.append((number, code))
        rows.append(
            {
                "sid": sid,
                "account_sid": ours.settings.account_sid,
                "service_sid": service,
                "key_id": keyring.kid,
                "number_index": keyring.number_index(number),
                "number_sealed": keyring.seal_number(number, sid),
                "salt": salt,
                "code_digest": keyring.digest(
                    keyring.kid,
                    salt=salt,
                    verification=sid,
                    service=service,
                    number=number,
                    code=code,
                ),
                "code_length": 6,
                "country": "US",
                "locale": "en",
                "channel": "sms",
                "status": "pending",
                "checks": 0,
                "max_checks": 5,
                "created_at": now,
                "updated_at": now,
                "expires_at": now + 600_000,
            }
        )
    with ours.db.begin() as connection:
        connection.execute(insert(verifications), rows)
    return made


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
