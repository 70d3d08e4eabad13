"""`sendcode doctor`: is everything as it must be, and what to do where it is not."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.engine import make_url

from worker import migrations
from worker.cli.base import FAILED, UNREACHABLE, json_option, main, output, parts
from worker.db import now_ms
from worker.errors import OutcomeUnknownError
from worker.factor_telling import FORM, SIGNATURE, sign
from worker.providers.http import NotSentError, PooledHttpClient
from worker.senders import Sender
from worker.standing import HEARTBEAT
from worker.wiring import Sendcode

CLOCKS = 2_000  # ms two clocks may differ
HEARD_WITHIN = 10.0  # seconds for a message through the queue
BEATS_WITHIN = 8.0  # seconds for a heartbeat of the relay, which sends one every five
LEAST_DISK = 500 * 2**20  # bytes
TWILIO = "https://api.twilio.com"
NEEDED = ("broker", "database")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Check:
    """
    :param text: what was found, or what to do
    """

    name: str
    passed: bool
    text: str


class ProblemError(Exception):
    """What is wrong, and what to do about it."""


@main.command()
@json_option
def doctor() -> None:
    """Check broker, database, clocks, credentials, callbacks, relay, workers and disk.

    Exit codes: 0 all well, 1 something is not, 5 broker or database unreachable.
    """
    ours = parts()
    found = list(examine(ours))
    lines = [f"{'✓' if check.passed else '✗'} {check.name}: {check.text}" for check in found]
    output([asdict(check) for check in found], "\n".join(lines))
    failed = {check.name for check in found if not check.passed}
    if failed:
        sys.exit(UNREACHABLE if failed & set(NEEDED) else FAILED)


def examine(ours: Sendcode) -> Iterator[Check]:
    """Every check, also after one that failed."""
    yield _check("broker", lambda: _broker(ours))
    yield _check("database", lambda: _database(ours))
    yield _check("migrations", lambda: _migrations(ours))
    yield _check("clocks", lambda: _clocks(ours))
    for sender in ours.settings.all_senders():
        yield _check(f"credentials of {sender.name}", partial(_credentials, ours, sender))
    yield _check("callbacks", lambda: _callbacks(ours))
    yield _check("relay", lambda: _relay(ours))
    yield _check("worker", lambda: _worker(ours))
    yield _check("disk", lambda: _disk(ours))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except ProblemError as problem:
        return Check(name, False, str(problem))
    except Exception as error:
        # The library's text may hold an address with a password; its kind is enough.
        return Check(name, False, f"does not answer ({type(error).__name__})")


def _broker(ours: Sendcode) -> str:
    ours.redis.ping()
    information: Any = ours.redis.info("memory")
    policy = information.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ProblemError(f"evicts ({policy}): set `maxmemory-policy noeviction`")
    return f"answers, {information.get('used_memory_human', '?')} used"


def _database(ours: Sendcode) -> str:
    with ours.db.statement() as connection:
        connection.execute(select(now_ms())).scalar_one()
    return f"{ours.db.dialect} answers"


def _migrations(ours: Sendcode) -> str:
    applied, wanted = migrations.applied(ours.db), migrations.head()
    if applied != wanted:
        raise ProblemError(f"at {applied or 'none'}, not {wanted}: run `sendcode migrate`")
    return f"at {applied}"


def _clocks(ours: Sendcode) -> str:
    with ours.db.statement() as connection:
        database = int(connection.execute(select(now_ms())).scalar_one()) - _now()
    seconds, micros = ours.redis.time()
    broker = seconds * 1000 + micros // 1000 - _now()
    worst = max(abs(database), abs(broker), abs(database - broker))
    text = f"database {database:+} ms, broker {broker:+} ms"
    if worst > CLOCKS:
        raise ProblemError(f"{text}: run NTP on every host")
    return text


def _now() -> int:
    return time.time_ns() // 1_000_000


def _credentials(ours: Sendcode, sender: Sender) -> str:
    s = ours.settings
    base = s.twilio_base_url or (s.sandbox_url if s.provider == "sandbox" else TWILIO)
    url = f"{base.rstrip('/')}/2010-04-01/Accounts/{sender.account_sid}/Messages.json"
    auth = (sender.account_sid, sender.auth_token)
    status = _ask(ours, "GET", url, params={"PageSize": "1"}, auth=auth)
    if status in (401, 403):
        raise ProblemError(f"refused ({status}): is the auth token the account's?")
    if status != 200:
        raise ProblemError(f"unexpected answer {status} from {base}")
    return f"accepted by {base}"


def _callbacks(ours: Sendcode) -> str:
    """A callback as the provider would send it, of a delivery that does not exist."""
    s = ours.settings
    host = urlsplit(s.base_url).hostname or ""
    if s.provider == "twilio" and host in LOOPBACK:
        raise ProblemError(f"Twilio cannot reach {s.base_url}: set SENDCODE_PUBLIC_URL")
    sender = s.first_sender
    url = f"{s.base_url}/callbacks/twilio/sms/VL{'0' * 32}"
    form = {
        "AccountSid": sender.account_sid,
        "MessageSid": f"SM{'0' * 32}",
        "MessageStatus": "sent",
    }
    headers = {"Content-Type": FORM, SIGNATURE: sign(sender.auth_token, url, form)}
    status = _ask(ours, "POST", url, data=form, headers=headers)
    if status == 403:
        raise ProblemError("refused (403): a proxy changes the address, or another key signs")
    if status != 200:
        raise ProblemError(f"{s.base_url} answers {status}: do /callbacks/ reach the api?")
    return f"{s.base_url} takes them, seen from here"


def _ask(ours: Sendcode, method: str, url: str, **request: Any) -> int:
    """The status of the answer, in bounded time."""
    s = ours.settings
    client = PooledHttpClient(s.connect_timeout, s.read_timeout, 1)
    client.write_within(s.connect_timeout)
    try:
        return client.request(method, url, **request).status
    except NotSentError:
        raise ProblemError(f"{urlsplit(url).netloc} cannot be reached") from None
    except OutcomeUnknownError as error:
        raise ProblemError(f"{urlsplit(url).netloc} does not answer ({error.code})") from None


def _relay(ours: Sendcode) -> str:
    """A heartbeat that we did not send: one before us may be an earlier doctor's."""
    if (took := _heard(ours, _now(), BEATS_WITHIN)) is not None:
        return f"sent a heartbeat within {took:.1f} s"
    if ours.standing.beats():
        return "sends heartbeats, and no worker takes them"
    raise ProblemError(
        f"no heartbeat came within {BEATS_WITHIN:g} s: start it with `sendcode relay`"
    )


def _worker(ours: Sendcode) -> str:
    """A heartbeat of our own through the queue."""
    from worker.relay import send_heartbeat

    _ = ours.celery
    sent_at = _now()
    send_heartbeat()
    if (took := _heard(ours, sent_at, HEARD_WITHIN)) is None:
        raise ProblemError(f"none took a message within {HEARD_WITHIN:g} s: is one running?")
    return f"took a message within {took:.1f} s"


def _heard(ours: Sendcode, since: int, within: float) -> float | None:
    """Seconds until a heartbeat came through that was sent at `since` (ms since 1970 UTC) or
    later; None when none did in time."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < within:
        beat: Any = ours.redis.get(HEARTBEAT)
        if beat and int(beat) >= since:
            return took
        time.sleep(0.1)
    return None


def _disk(ours: Sendcode) -> str:
    url = make_url(ours.settings.database_url)
    kept = url.database if ours.db.dialect == "sqlite" else None
    folder = Path(kept).resolve().parent if kept and kept != ":memory:" else Path.cwd()
    free = shutil.disk_usage(folder).free
    text = f"{free // 2**20} MiB free in {folder}"
    if free < LEAST_DISK:
        raise ProblemError(f"{text}: make room")
    return text
