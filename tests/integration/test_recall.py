"""After the broker was emptied a number's limits go on from what the database knows."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.helpers import at_once, code_of, count, let_time_pass
from tests.integration.conftest import ACCOUNT
from tests.integration.hearing import listen
from tests.integration.operating import ADMIN, AMERICAN, ANN, BRITISH, start
from tests.integration.test_range_limits import named
from worker.errors import LimitReachedError
from worker.recall import SINCE
from worker.services import Service
from worker.settings import SAMPLE_KEY
from worker.states import Channel
from worker.wiring import Sendcode

CALL = Channel.CALL
OTHER_KEY = SAMPLE_KEY[::-1]
_DAY_LATER = """
local since = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], since - 86400000)
"""


def refusal(parts: Sendcode, service: Service, **values: Any) -> LimitReachedError:
    with pytest.raises(LimitReachedError) as stopped:
        start(parts, service, **values)
    return stopped.value


def answers(parts: Sendcode, service: Service, times: int, **values: Any) -> list[str]:
    """The limits that refuse so many starts to the British number; empty for each accepted."""
    return [named(parts, service, BRITISH, **values) for _ in range(times)]


def spread(parts: Sendcode, times: int, **values: Any) -> list[str]:
    """As `answers`, each of a service of its own."""
    services = [parts.services.create(ACCOUNT, f"Service {n}") for n in range(times)]
    return [named(parts, service, BRITISH, **values) for service in services]


def approve(parts: Sendcode, service: Service, sid: str) -> None:
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, sid), sid=sid)


@pytest.mark.kills("lost-list-counts-as-empty", "nothing-is-learnt")
def test_the_sixth_send_is_refused(parts: Sendcode, service: Service) -> None:
    """Of five sends and a lost broker the sixth is refused until the first leaves the window; a
    number that had none is not."""
    assert answers(parts, service, 2) == [""] * 2
    let_time_pass(parts, 200)
    assert answers(parts, service, 3) == [""] * 3
    parts.redis.flushdb()
    stopped = refusal(parts, service)
    assert (stopped.limit, 395 <= stopped.retry_after <= 400) == ("sends", True)
    assert named(parts, service, AMERICAN) == ""
    assert count(parts, "deliveries") == 6


def test_what_has_left_the_window_is_not_learnt(parts: Sendcode, service: Service) -> None:
    """Sends that are older than the window refuse nobody, and count for the day."""
    assert answers(parts, service, 5) == [""] * 5
    let_time_pass(parts, 601)
    parts.redis.flushdb()
    assert answers(parts, service, 6) == [""] * 5 + ["daily"]


@pytest.mark.kills("learnt-in-one-service-only")
def test_a_day_of_a_number_over_all_services(parts: Sendcode) -> None:
    """Ten sends a day, of whatever services, stay ten."""
    assert spread(parts, 9) == [""] * 9
    parts.redis.flushdb()
    assert spread(parts, 2) == ["", "daily"]


@pytest.mark.kills("texts-count-as-calls")
def test_calls_are_counted_for_themselves(parts: Sendcode) -> None:
    """Three calls a day stay three, and texts are no calls, over all services."""
    assert spread(parts, 4) == [""] * 4
    assert spread(parts, 2, channel=CALL) == [""] * 2
    parts.redis.flushdb()
    assert spread(parts, 2, channel=CALL) == ["", "daily_calls"]
    assert spread(parts, 4) == ["", "", "", "daily"]


@pytest.mark.kills("approved-sends-come-back")
@pytest.mark.parametrize("ending", ["approval", "cancel"])
def test_what_was_given_back_stays_so(parts: Sendcode, ending: str) -> None:
    """Sends that an approval or a cancel gave back are not counted again, those of an earlier
    verification included; later ones and the day's are."""
    service = parts.services.create(ACCOUNT, "Example", code_life=60)
    assert answers(parts, service, 2) == ["", ""]
    let_time_pass(parts, 61)
    sid = start(parts, service).sid
    if ending == "approval":
        approve(parts, service, sid)
    else:
        parts.verifications.cancel(ACCOUNT, service.sid, sid=sid)
    parts.redis.flushdb()
    assert answers(parts, service, 3) == [""] * 3
    parts.redis.flushdb()
    assert answers(parts, service, 3) == ["", "", "sends"]
    assert spread(parts, 3) == ["", "", "daily"]


def test_an_approval_after_the_loss_gives_back(parts: Sendcode, service: Service) -> None:
    """What an approval gives back after a loss is not learnt again, nor asked for."""
    sid = [start(parts, service).sid for _ in range(4)][-1]
    parts.redis.flushdb()
    assert answers(parts, service, 2) == ["", "sends"]
    approve(parts, service, sid)
    statements = listen(parts)
    assert answers(parts, service, 1) == [""]
    assert not asked(statements)
    assert answers(parts, service, 5) == [""] * 4 + ["daily"]


@pytest.mark.kills("forgotten-is-learnt-again")
def test_a_reset_after_the_loss_holds(parts: Sendcode, service: Service) -> None:
    """An operator's reset of a number's limits is not undone by what the database knows."""
    assert answers(parts, service, 5) == [""] * 5
    parts.redis.flushdb()
    assert answers(parts, service, 1) == ["sends"]
    told = parts.operations.numbers.reset_limits(ADMIN, BRITISH, "it was a drill")
    assert told.before == {"sends": 5, "daily": 5}
    assert answers(parts, service, 6) == [""] * 5 + ["sends"]
    told = parts.operations.numbers.reset_limits(ADMIN, BRITISH, "it was a drill")
    assert told.before == {"sends": 5, "daily": 5}


def test_what_an_operator_sends_counts(parts: Sendcode, service: Service) -> None:
    """What an operator sends again counts, as it did before the loss."""
    sid = start(parts, service).deliveries[0].sid
    parts.operations.sending.resend(ANN, sid, "call", "the text is late")
    parts.redis.flushdb()
    assert answers(parts, service, 4) == [""] * 3 + ["sends"]


def asked(statements: list[str]) -> list[str]:
    """What was asked of a number's sends or of any."""
    return [s for s in statements if "deliveries.created_at >" in s or " LIMIT " in s]


@pytest.mark.kills("a-number-without-sends-is-asked-about-again")
def test_a_number_is_asked_about_once(parts: Sendcode, service: Service) -> None:
    """After a loss a number costs a look once, also one that had no sends and is refused by
    something else."""
    start(parts, service, AMERICAN)
    parts.redis.flushdb()
    parts.operations.budgets.set(ADMIN, "GB", "0", "messages", "a drill")
    statements = listen(parts)
    costs = []
    for _ in range(3):
        with pytest.raises(LimitReachedError):
            start(parts, service)
        costs.append(len(asked(statements)))
    assert costs[0] > 0
    assert costs == costs[:1] * 3


@pytest.mark.kills("a-fresh-broker-is-never-whole")
def test_a_fresh_installation_costs_nothing(parts: Sendcode, service: Service) -> None:
    """Where nothing was sent before, the first start asks once whether there was, and no number
    is asked about."""
    statements = listen(parts)
    start(parts, service)
    assert len(asked(statements)) == 1
    statements.clear()
    assert (named(parts, service, AMERICAN), asked(statements)) == ("", [])
    assert parts.redis.get(SINCE) == b"0"


@pytest.mark.kills("a-loss-is-looked-after-for-ever")
def test_a_day_after_the_loss_it_costs_nothing(parts: Sendcode, service: Service) -> None:
    """Once the longest window has passed a start has the statements and round trips that it has
    where nothing was ever lost; what is paused is read when a second has passed."""
    costs = []
    start(parts, service, AMERICAN)
    for lost in (False, True):
        if lost:
            parts.redis.flushdb()
            start(parts, service, AMERICAN)
            parts.redis.eval(_DAY_LATER, 1, SINCE)
        statements = listen(parts)
        parts.redis.config_resetstat()
        assert named(parts, service, f"{BRITISH[:-1]}{int(lost)}") == ""
        sent: Any = parts.redis.info("commandstats")
        calls = {name: of["calls"] for name, of in sent.items()}
        others = [one for one in statements if "FROM pauses" not in one]
        costs.append((others, calls["cmdstat_evalsha"], calls["cmdstat_get"]))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("sent", [0, 2])
def test_many_at_once_after_the_loss(parts: Sendcode, service: Service, sent: int) -> None:
    """Of twelve starts at once after the loss as many are accepted as were left."""
    assert answers(parts, service, sent) == [""] * sent
    start(parts, service, AMERICAN)
    parts.redis.flushdb()
    results = at_once(12, lambda _: named(parts, service, BRITISH))
    assert (results.count(""), results.count("sends")) == (5 - sent, 7 + sent)


@pytest.mark.kills("learnt-over-what-is-there")
def test_two_that_learn_the_same(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another learns and sends between question and answer, its send stays counted once."""
    assert answers(parts, service, 3) == [""] * 3
    parts.redis.flushdb()
    other = Sendcode(parts.settings)
    meanwhile(parts, monkeypatch, lambda: start(other, service))
    assert answers(parts, service, 2) == ["", "sends"]
    other.db.close()


@pytest.mark.kills("learnt-from-before-another-loss")
def test_a_second_loss_between_question_and_answer(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the broker is emptied again after the database was asked, what was sent meanwhile is
    learnt too."""
    assert answers(parts, service, 3) == [""] * 3
    parts.redis.flushdb()
    other = Sendcode(parts.settings)

    def send_and_lose() -> None:
        assert answers(other, service, 2) == ["", ""]
        parts.redis.flushdb()

    meanwhile(parts, monkeypatch, send_and_lose)
    assert answers(parts, service, 1) == ["sends"]
    assert count(parts, "deliveries") == 5
    other.db.close()


@pytest.mark.kills("nothing-sent-is-believed-late")
def test_a_second_loss_while_asking_whether_any_was_sent(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing was sent yet does not hold of a broker that lost sends since."""
    other, history = Sendcode(parts.settings), parts.limits._lists._history
    whole = history.has_any

    def late(window: int) -> bool:
        found = whole(window)
        monkeypatch.undo()
        assert answers(other, service, 5) == [""] * 5
        parts.redis.flushdb()
        named(other, service, AMERICAN)
        return found

    monkeypatch.setattr(history, "has_any", late)
    assert answers(parts, service, 1) == ["sends"]
    other.db.close()


def meanwhile(parts: Sendcode, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something once, after the database was asked for sends and before they are learnt."""
    lists = parts.limits._lists
    whole = lists._learn

    def late(**values: Any) -> Any:
        monkeypatch.undo()
        act()
        return whole(**values)

    monkeypatch.setattr(lists, "_learn", late)


def test_a_lost_marker_alone_changes_nothing(parts: Sendcode, service: Service) -> None:
    """Where the marker vanishes and the lists stay, they go on counting."""
    assert answers(parts, service, 3) == [""] * 3
    parts.redis.delete(SINCE)
    assert answers(parts, service, 3) == ["", "", "sends"]


def test_without_the_database_nothing_is_admitted(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the database cannot be asked for what was lost, the start fails and is not counted."""
    assert answers(parts, service, 5) == [""] * 5
    parts.redis.flushdb()

    def away(*_: Any) -> Any:
        raise OperationalError("", {}, Exception("away"))

    monkeypatch.setattr(parts.limits._lists._history, "ages", away)
    with pytest.raises(OperationalError):
        start(parts, service)
    monkeypatch.undo()
    assert parts.redis.keys("sendcode:limit:*") == []
    assert answers(parts, service, 1) == ["sends"]


@pytest.mark.kills("learnt-by-the-new-key-alone")
def test_sends_under_every_key_are_learnt(make_parts: Callable[..., Sendcode]) -> None:
    """While keys are rotated sends count whichever key wrote them."""
    old = make_parts()
    service = old.services.create(ACCOUNT, "Example")
    assert answers(old, service, 3) == [""] * 3
    new = make_parts(secret_keys=f"k2:{OTHER_KEY},k1:{SAMPLE_KEY}")
    assert answers(new, service, 3) == ["", "", "sends"]
    new.redis.flushdb()
    assert answers(new, service, 1) == ["sends"]


@pytest.mark.kills("learnt-by-the-rows-key-alone")
def test_a_retry_learns_what_another_key_wrote(make_parts: Callable[..., Sendcode]) -> None:
    """While keys are rotated a retry, which knows the number by its row alone, learns all sends."""
    old = make_parts()
    service = old.services.create(ACCOUNT, "Example", code_life=60)
    assert answers(old, service, 2) == ["", ""]
    let_time_pass(old, 61)
    new = make_parts(secret_keys=f"k2:{OTHER_KEY},k1:{SAMPLE_KEY}")
    sid = start(new, service).sid
    new.redis.flushdb()
    new.operations.sending.resend(ANN, sid, "call", "the text is late")
    assert answers(new, service, 2) == ["", "sends"]


@pytest.mark.kills("sends-of-an-old-verification-are-missed")
def test_late_sends_of_an_old_verification(parts: Sendcode) -> None:
    """A send counts by its own time, however long ago its verification began."""
    service = parts.services.create(ACCOUNT, "Example", code_life=86_400)
    start(parts, service)
    let_time_pass(parts, 80_000)
    assert answers(parts, service, 4) == [""] * 4
    parts.redis.flushdb()
    assert answers(parts, service, 2) == ["", "sends"]


def test_every_key_of_it_ends(parts: Sendcode, service: Service) -> None:
    """Lists that were learnt, and those that hold nothing, end as all of the limits do."""
    start(parts, service)
    parts.redis.flushdb()
    assert named(parts, service, AMERICAN, channel=CALL) == ""
    assert named(parts, service, BRITISH) == ""
    parts.verifications.cancel(ACCOUNT, service.sid, to=BRITISH)
    keys = list(parts.redis.scan_iter("sendcode:limit:*"))
    assert len(keys) >= 5
    assert all(0 < parts.redis.ttl(key) <= 86_400 for key in keys)
