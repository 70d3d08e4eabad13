"""What needs attention on the overview, and that it says what is so."""

import time
from collections.abc import Sequence

from api_stub.console import pages
from api_stub.console.concerns import concerns
from api_stub.console.look import Concern, Look
from tests.pages import Page
from worker.circuits import Circuit, CircuitState
from worker.operations import Pause
from worker.standing import QueueStanding
from worker.states import Channel


def look(
    queues: Sequence[QueueStanding] = (),
    pauses: Sequence[Pause] = (),
    circuits: Sequence[Circuit] = (),
) -> Look:
    return Look(
        0.0, queues=list(queues), flows={}, workers=[], silent=1.0, circuits=list(circuits),
        counted_at=round(time.time() * 1000), pauses=list(pauses),
    )  # fmt: skip


def part(name: str, of: Look) -> str:
    of.concerns = concerns(of)
    return pages.templates.get_template(f"parts/{name}.html").render(look=of)


def test_a_heartbeat_that_waits_is_no_code() -> None:
    """Neither the oldest waiting code nor a concern is of what the relay sends itself."""
    beats = QueueStanding("relay", 3, 0, 0, 40.0)
    assert look([beats]).oldest is None
    assert concerns(look([beats])) == []
    assert "nothing waits" in part("tiles", look([beats]))
    both = look([beats, QueueStanding("sms", 1, 0, 0, 20.0)])
    assert both.oldest == 20.0
    assert [one.what for one in concerns(both)] == ["A code has waited 20 s in sms"]


def test_a_pause_needs_attention() -> None:
    """While something is paused the overview does not say that nothing is the matter, but what is
    kept, by whom, since when and why, and leads to its end.
    """
    pause = Pause("channel", "sms", "<b>fraud</b>", "ann", 0, None)
    text = part("concerns", look(pauses=[pause]))
    assert "Codes go out, arrive and come back" not in text
    for words in ("Not sending: channel sms", "By ann", "01 Jan 00:00 UTC", "&lt;b&gt;fraud"):
        assert words in text, words
    assert Page(text).link("Send again: channel sms") == "/console/act/resume?kind=channel&name=sms"
    country = concerns(look(pauses=[Pause("country", "KE", "x", "ann", 0, 60_000)]))
    assert [(one.level, one.what) for one in country] == [("warn", "Not sending: country Kenya")]
    assert "01 Jan 00:01 UTC" in country[0].why


def of_circuit(state: CircuitState, forced: bool) -> list[Concern]:
    return concerns(look(circuits=[Circuit("main", Channel.SMS, state, 0, None, forced)]))


def test_a_circuit_says_who_opened_it() -> None:
    """One that opened by itself failed; one that an operator keeps open or closed says so; one that
    is closed by itself is no concern.
    """
    (failed,) = of_circuit(CircuitState.OPEN, forced=False)
    assert (failed.level, "failed more often than not" in failed.why) == ("bad", True)
    (opened,) = of_circuit(CircuitState.OPEN, forced=True)
    assert (opened.level, "failed" in opened.why) == ("warn", False)
    assert opened.what == "main is not used for sms: its circuit is kept open by hand"
    (closed,) = of_circuit(CircuitState.CLOSED, forced=True)
    assert closed.what == "main is used for sms whatever fails: its circuit is kept closed by hand"
    assert (closed.level, closed.path) == ("warn", "/senders")
    assert of_circuit(CircuitState.CLOSED, forced=False) == []
