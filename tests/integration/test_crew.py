"""Workers told to be quiet, to work or to end, on both databases and a real Valkey."""

import pytest

from tests.integration.doors import door, refused
from tests.integration.operating import ANN, audited
from tests.integration.test_console import signed_in, token
from tests.integration.test_console_actions import confirm
from tests.pages import Page
from worker import presence
from worker.errors import ActionRefusedError, InvalidParameterError, NotFoundError
from worker.gauges import Gauges
from worker.operators import Role
from worker.presence import Order, State
from worker.wiring import Sendcode

NAME = "sendcode-1@host"


def say(parts: Sendcode, state: State = State.WORKING, name: str = NAME) -> Order | None:
    """A worker's word; what it is told to do."""
    job = {"task": "deliver", "sid": "VL" + "1" * 32, "since": 1}
    facts = {"state": state.value, "version": "9.9", "jobs": [job], "error": "KeyError"}
    return presence.announce(parts.redis, name, 8, 3, **facts, error_at=1, started_at=1)


@pytest.mark.kills("order-on-its-way-is-forgotten")
def test_an_order_is_taken_once(parts: Sendcode) -> None:
    """The worker that is named, and no other, gets the last order at its next word, once; the log
    says who gave it and why, and what it is told already changes nothing."""
    crew = parts.operations.crew
    say(parts)
    say(parts, name="sendcode-2@host")
    assert crew.quiet(ANN, NAME, "a trial", dry_run=True).result == "would"
    assert (say(parts), audited(parts)) == (None, [])
    assert crew.stop(ANN, NAME, "a bad host").result == "done"
    assert crew.quiet(ANN, NAME, "a bad host").result == "done"
    assert say(parts, name="sendcode-2@host") is None
    assert (say(parts), say(parts)) == (Order.QUIET, None)
    say(parts, State.QUIET)
    assert crew.quiet(ANN, NAME, "again").result == "unchanged"
    assert crew.work(ANN, NAME, "the wrong one").result == "done"
    assert crew.work(ANN, NAME, "twice").result == "unchanged"
    assert crew.quiet(ANN, NAME, "it was right").result == "done"  # though it is still quiet
    assert (say(parts, State.QUIET), say(parts, State.QUIET)) == (Order.QUIET, None)
    assert crew.work(ANN, NAME, "repaired").result == "done"
    assert say(parts, State.QUIET) is Order.WORK
    assert [(one.action, one.target) for one in audited(parts)] == [
        (f"worker.{order}", NAME) for order in ("stop", "quiet", "work", "quiet", "work")
    ]


def test_what_cannot_be_ordered(parts: Sendcode) -> None:
    """A worker that is not up, or about to end, and an order without a reason."""
    crew = parts.operations.crew
    with pytest.raises(NotFoundError):
        crew.quiet(ANN, NAME, "why")
    say(parts, State.DRAINING)
    with pytest.raises(ActionRefusedError):
        crew.work(ANN, NAME, "why")
    assert crew.stop(ANN, NAME, "why").result == "unchanged"
    with pytest.raises(InvalidParameterError):
        crew.stop(ANN, NAME, "")
    assert (say(parts), audited(parts)) == (None, [])


def test_a_word_of_the_version_before(parts: Sendcode) -> None:
    """While one version takes over from the other, the older one's workers are listed too."""
    say(parts)
    parts.redis.set(f"sendcode:worker:{NAME}", "2/16", ex=30)
    (worker,) = parts.standing.workers()
    assert (worker.busy, worker.slots, worker.state) == (2, 16, "working")


def test_a_quiet_worker_is_told_of(parts: Sendcode) -> None:
    """By /readyz, by a gauge and by the page of workers."""
    say(parts, State.QUIET)
    say(parts, name="sendcode-2@host")
    assert door(parts).get("/readyz").json()["quiet_workers"] == [NAME]
    gauges = Gauges(parts.standing, lambda: True, parts.operations.pauses.all, list).collect()
    found = {family.name: [sample.value for sample in family.samples] for family in gauges}
    assert found["sendcode_workers_quiet"] == [1]
    assert found["sendcode_workers_alive"] == [2]
    page = signed_in(parts, "vic", Role.VIEWER).get("/console/workers").text
    assert "</span> quiet</span>" in page
    assert all(word in page for word in (NAME, "3 of 8", "9.9", "KeyError", "VL" + "1" * 32))


def test_over_http_and_on_the_console(parts: Sendcode) -> None:
    """The page of workers leads operators to each order, and so do the calls."""
    client, why = door(parts), {"reason": "tests"}
    say(parts)
    (shown,) = client.get("/operator/v1/workers").json()["workers"]
    assert (shown["name"], shown["busy"], shown["version"]) == (NAME, 3, "9.9")
    told = client.post("/operator/v1/workers/quiet", json=why | {"worker": NAME}).json()
    assert (told["result"], told["after"]) == ("done", {"state": "quiet"})
    assert say(parts, State.QUIET) is Order.QUIET
    refused(client.post("/operator/v1/workers/stop", json=why | {"worker": "x"}), 404, 20404)
    olga = signed_in(parts, "olga", Role.OPERATOR)
    page = Page(olga.get("/console/workers").text)
    assert "Done" in confirm(olga, page.link("Work again")).text
    assert say(parts) is Order.WORK
    stop = page.link("Stop sendcode-1")
    assert "Done" in confirm(olga, stop).text
    assert say(parts) is Order.STOP
    vic = signed_in(parts, "vic", Role.VIEWER)
    assert vic.get(stop).status_code == 403
    form = {"csrf": token(vic), "name": NAME, "reason": "x"}
    assert vic.post("/console/act/stop-worker", data=form).status_code == 403
    assert say(parts) is None
