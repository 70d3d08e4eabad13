"""Pauses and bulk jobs beside real processes, killed ones too."""

import http.client
import os
import signal
import time
from collections.abc import Iterator

from tests.acceptance.running import Up, until

# Kept for films, so real to nobody, and used by no other test.
BRITISH = (f"+447700900{n:03}" for n in range(400, 1000))
WHY = {"reason": "tests"}


def act(up: Up, verb: str, /, **values: object) -> dict[str, object]:
    answer = up.http.post(f"/operator/v1/{verb}", json=WHY | values)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def started(up: Up, to: str) -> str:
    """The delivery of a code that is started."""
    return str(up.start_code(to)["send_code_attempts"][-1]["attempt_sid"])


def kill(up: Up, *parts: str) -> None:
    """kill -9, and wait until the supervisor has started them anew."""
    before = {part: up.pid(part) for part in parts}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for part, pid in before.items():
        until(lambda part=part, pid=pid: up.pid(part) != pid, 30, f"a new {part}")


def test_a_connection_may_rest(up: Up) -> None:
    """A backend's pooled connection still answers after it rested for longer than most pools of
    clients keep one (5 s)."""
    kept = http.client.HTTPConnection("127.0.0.1", up.port, timeout=10)
    kept.connect()
    opened = kept.sock
    for pause in (5.5, 0):
        kept.request("GET", "/livez")
        with kept.getresponse() as answer:
            assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
        time.sleep(pause)
    assert kept.sock is opened
    kept.close()


def test_a_pause_outlives_worker_and_relay(up: Up, to: str) -> None:
    """Nothing goes out to a paused country while others' codes do, also after a kill -9 of worker
    and relay; at resume what was kept goes out."""
    kept_for = next(BRITISH)
    os.kill(up.pid("worker"), signal.SIGSTOP)
    try:
        held, free = started(up, kept_for), started(up, to)
        act(up, "pause", kind="country", name="GB", until=600)
    finally:
        os.kill(up.pid("worker"), signal.SIGCONT)
    try:
        assert up.wait(to)["code"]
        until(lambda: up.delivery(free)["state"] == "delivered", about="the free one's receipt")
        kill(up, "worker", "relay")
        after = up.inbox(to)[0]["id"]
        started(up, to)
        assert up.wait(to, after=after, timeout=30)["code"]
        assert (up.inbox(kept_for), up.delivery(held)["state"]) == ([], "queued")
        form = {"To": next(BRITISH), "Channel": "sms"}
        refused = up.http.post(f"{up.path()}/Verifications", data=form)
        assert (refused.status_code, refused.json()["code"]) == (403, 60605)
        metrics = up.http.get("/metrics").text
        assert 'sendcode_paused_since_timestamp_seconds{kind="country",name="GB"}' in metrics
        assert 'sendcode_queue_depth{queue="sms",state="held"} 1.0' in metrics
        assert up.http.get("/readyz").status_code == 200
    finally:
        act(up, "resume", kind="country", name="GB")
    assert up.wait(kept_for, timeout=30)["code"]
    assert len(up.sent(kept_for)) == 1


def test_a_bulk_job_outlives_the_relay(up: Up) -> None:
    """A retry of all that failed, whose relay is killed on the way, sends each again once."""
    numbers = [next(BRITISH) for _ in range(60)]
    for to in numbers:
        up.fault(to, fail="reject", code=21617, times=1)
    sids = [started(up, to) for to in numbers]
    failed = "SELECT count(*) AS n FROM deliveries WHERE error_code = '21617'"
    until(lambda: up.rows(failed)[0]["n"] == len(sids), 30, "failures")
    os.kill(up.pid("relay"), signal.SIGSTOP)
    job = act(up, "bulk", verb="retry", state="failed", error_code="21617")["target"]
    os.kill(up.pid("relay"), signal.SIGCONT)
    progress = _progress(up, str(job))
    until(lambda: next(progress)["done"], about="a first step")
    kill(up, "relay")
    assert next(progress)["state"] == "running", "the relay died on the way"
    until(lambda: next(progress)["state"] == "done", 40, "the job's end")
    ended = next(progress)
    assert ended["done"] + ended["unchanged"] == ended["total"] == len(sids)
    for to in numbers:
        assert up.wait(to)["code"]
    up.settle()
    assert [len(up.sent(to)) for to in numbers] == [2] * len(numbers)


def _progress(up: Up, job: str) -> Iterator[dict[str, int | str]]:
    while True:
        yield up.rows("SELECT * FROM bulk_jobs WHERE sid = :sid", sid=job)[0]
