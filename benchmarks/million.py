"""Fills a PostgreSQL database with deliveries of a month, as many as wanted, by SQL alone."""

from sqlalchemy import select, text

from worker.codes import new_salt
from worker.db import now_ms
from worker.models import deliveries, new_sid, receipts, services, verifications
from worker.wiring import Sendcode

DAYS = 30
BATCH = 500_000
_TABLES = (verifications, deliveries, receipts)

# One row for each n: a moment of the month, and by chance what became of it.
_ROWS = """
CREATE TEMPORARY TABLE seeded AS
SELECT n, at, lpad(to_hex(at), 12, '0') || substr(md5(n::text), 1, 20) AS tail,
       (ARRAY['US','US','US','GB','GB','DE','FR','IN','BR','NG'])[1 + n % 10] AS country,
       CASE WHEN n % 7 = 0 THEN 'call' ELSE 'sms' END AS channel,
       CASE WHEN at > :now - 60000 AND n % 3 = 0 THEN 'queued'
            WHEN n % 12 = 0 THEN 'undelivered' WHEN n % 29 = 0 THEN 'failed'
            ELSE 'delivered' END AS state
  FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n,
       LATERAL (SELECT CAST(:now - :span * (:total - n) / :total AS bigint) AS at) AS moment
"""
_VERIFICATIONS = """
INSERT INTO verifications (sid, account_sid, service_sid, key_id, number_index, number_sealed,
  salt, code_digest, code_length, country, locale, channel, own_code, status, checks, max_checks,
  created_at, updated_at, expires_at)
SELECT 'VE' || tail, :account, :service, :kid, decode(md5((n % 2000000)::text)
  || md5('x' || (n % 2000000)::text), 'hex'), :sealed, :salt, :digest, 6, country, 'en', channel,
  false, CASE WHEN state = 'queued' THEN 'pending' WHEN n % 5 < 3 THEN 'approved' ELSE 'expired'
  END, 1, 5, at, at + 20000, at + 600000
  FROM seeded ON CONFLICT DO NOTHING
"""
_DELIVERIES = """
INSERT INTO deliveries (sid, verification_sid, channel, queue, state, step, tries, doubts,
  next_try_at, hinted_at, expires_at, sender, provider, provider_sid, error_code, created_at,
  published_at, taken_at, accepted_at, delivered_at, ended_at, segments, encoding, price_micros,
  price_currency, price_told)
SELECT 'VL' || tail, v.sid, s.channel, s.channel, state, 0, 1, 0, at, at, at + 600000, 'main',
  'twilio', CASE WHEN state IN ('failed', 'queued') THEN NULL
  ELSE (CASE s.channel WHEN 'sms' THEN 'SM' ELSE 'CA' END) || md5('p' || n::text) END,
  CASE state WHEN 'undelivered' THEN (ARRAY['30003','30005','30006','30008'])[1 + n % 4]
  WHEN 'failed' THEN (ARRAY['21408','21211','21610'])[1 + n % 3] END,
  at, at + 5, at + 20, CASE WHEN state IN ('failed', 'queued') THEN NULL ELSE at + 60 + n % 900 END,
  CASE WHEN state = 'delivered' THEN at + 3000 + n % 9000 END,
  CASE WHEN state <> 'queued' THEN at + 12000 END,
  CASE WHEN s.channel = 'sms' THEN 1 END, CASE WHEN s.channel = 'sms' THEN 'GSM-7' END,
  CASE WHEN state NOT IN ('failed', 'queued') THEN 40000 + n % 9 * 1000 END,
  CASE WHEN state NOT IN ('failed', 'queued') THEN 'USD' END,
  CASE WHEN state NOT IN ('failed', 'queued') THEN false END
  FROM seeded AS s JOIN verifications AS v ON v.sid = 'VE' || tail
"""
_RECEIPTS = """
INSERT INTO receipts (provider, provider_sid, status, delivery_sid, error_code, received_at)
SELECT 'twilio', d.provider_sid, d.state, d.sid, d.error_code, d.ended_at
  FROM seeded AS s JOIN deliveries AS d ON d.sid = 'VL' || tail WHERE d.provider_sid IS NOT NULL
"""


def fill(ours: Sendcode, total: int) -> None:
    """Put `total` verifications with a delivery each into the empty tables."""
    account, service, keyring = ours.settings.account_sid, new_sid("VA"), ours.keyring
    made = ours.services.create(account, "Example") if not _service(ours) else None
    service = made.sid if made else _service(ours)
    with ours.db.statement() as connection:
        now = int(connection.execute(select(now_ms())).scalar_one())
    fixed = {
        "account": account,
        "service": service,
        "kid": keyring.kid,
        "sealed": keyring.seal_number("+447400123456", "VE"),
        "salt": new_salt(),
        "digest": bytes(32),
    }
    indexes = [index for table in _TABLES for index in table.indexes if not index.unique]
    with ours.db.begin() as connection:
        for index in indexes:
            index.drop(connection)
    for first in range(1, total + 1, BATCH):
        span = {"now": now, "span": DAYS * 86_400_000, "total": total, "first": first}
        with ours.db.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(_ROWS), span | {"last": min(total, first + BATCH - 1)})
            connection.execute(text(_VERIFICATIONS), fixed)
            connection.execute(text(_DELIVERIES))
            connection.execute(text(_RECEIPTS))
            connection.execute(text("DROP TABLE seeded"))
        print(f"{min(total, first + BATCH - 1):>12,} rows", flush=True)
    for index in indexes:
        with ours.db.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            index.create(connection)
        print(f"{index.name}", flush=True)
    with ours.db.statement() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM (ANALYZE) verifications"))
        connection.execute(text("VACUUM (ANALYZE) deliveries"))
        connection.execute(text("VACUUM (ANALYZE) receipts"))


def _service(ours: Sendcode) -> str | None:
    with ours.db.statement() as connection:
        found: str | None = connection.execute(select(services.c.sid).limit(1)).scalar()
    return found
