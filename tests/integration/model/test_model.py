"""Thousands of random steps, with kills at every border, against the plain model.

`SENDCODE_TEST_MODEL_STEPS` says how many steps; they are the same in every run. With
`SENDCODE_TEST_MODEL_RAW` a failure is shown as it came.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.databases import Databases
from tests.helpers import code_of, wrong_code
from tests.integration.conftest import ACCOUNT
from tests.integration.model.reference import (
    ENDS,
    FAILURES,
    GUESSES,
    LIFE,
    MOVES,
    SENDS,
    TURNS,
    WINDOW,
    Key,
    Promise,
    Reference,
)
from tests.integration.model.world import Call, Killed, World
from worker.errors import SendcodeError
from worker.plan import read_plan
from worker.providers import Outgoing
from worker.providers.twilio_errors import CALL_STATUSES, MESSAGE_STATUSES
from worker.services import Service
from worker.settings import SAMPLE_KEY, load
from worker.states import Channel
from worker.verifications import Start

STEPS = int(os.environ.get("SENDCODE_TEST_MODEL_STEPS", "10000"))
STEPS_PER_EXAMPLE = 100
# A failing run is cut down to the steps that matter, which takes a while.
PHASES = (
    [Phase.generate]
    if os.environ.get("SENDCODE_TEST_MODEL_RAW")
    else [Phase.generate, Phase.shrink]
)
NUMBERS = ("+447400123456", "+447400123457")

SETTLE, LEASE = 9_000, 31_000  # ms, a second more than the settings say
PICK = st.integers(0, 7)  # any of what there is, by its place modulo how many there are
CHANNEL = st.sampled_from([Channel.SMS, Channel.SMS, Channel.CALL])
REQUEST = st.sampled_from([None, None, "r1", "r2"])
RIGHT = st.sampled_from([False, False, False, True])
STATUS = st.sampled_from(["sent", "delivered", "undelivered", "failed", "in-progress", "busy"])
ANSWER = st.sampled_from(
    ["taken", "unanswered", "lost", "unanswered", "lost", "refused", "unreachable", "busy", "ours"]
)
LOOK_UP = st.sampled_from(["honest", "honest", "blind", "blind", "silent"])
FUSE = st.sampled_from([None] * 12 + list(range(9)))  # steps a process has left to live
WAIT = st.sampled_from([1_000, SETTLE, SETTLE, LEASE, LEASE, 65_000, 65_000, 300_000, LIFE])
MEANWHILE = st.sampled_from(
    [[]] * 8
    + [["receipt"], ["lapse"], ["lapse", "again"], ["again"], ["check"], ["cancel"], ["late"]]
)
# How often what happens, and with what.
WEIGHTS = {
    "work": 10,
    "start": 5,
    "check": 4,
    "receipt": 3,
    "relay": 2,
    "wait": 2,
    "cancel": 1,
    "enable": 1,
    "resurrect": 1,
    "empty_broker": 1,
}
VALUES: dict[str, list[st.SearchStrategy[Any]]] = {
    "work": [st.sampled_from([0, SETTLE, LEASE]), ANSWER, LOOK_UP, MEANWHILE, FUSE],
    "start": [PICK, CHANNEL, REQUEST, FUSE],
    "check": [PICK, st.booleans(), RIGHT, FUSE],
    "receipt": [PICK, STATUS],
    "relay": [FUSE],
    "wait": [WAIT],
    "cancel": [PICK],
    "enable": [PICK],
    "resurrect": [PICK],
    "empty_broker": [],
}
STEP = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]).flatmap(
    lambda name: st.tuples(st.just(name), *VALUES[name])
)


class Machine(RuleBasedStateMachine):
    """The rules: what backends, users, workers, the relay, the provider and death may do."""

    world: World
    services: tuple[Service, ...]
    steps = 0

    @initialize()
    def empty(self) -> None:
        self.world.empty()
        self.reference = Reference(self.world.clock.now)
        self.provider = self.world.provider
        self.provider.watch = self.called
        self.deliveries: dict[str, Any] = {}
        self.seen = 0
        self.wanted_calls = 0
        self.receipts: set[tuple[str, str]] = set()
        self.running: set[str | None] = set()  # requests whose process died
        for pick in range(len(NUMBERS) * len(self.services)):
            self.start(pick, Channel.SMS, None, None)

    @rule(step=STEP)
    def step(self, step: tuple[Any, ...]) -> None:
        """One rule, since Hypothesis would leave some of many out of most examples."""
        name, *values = step
        getattr(self, name)(*values)
        type(self).steps += 1

    # What may happen

    def start(self, pick: int, channel: Channel, request_id: str | None, fuse: int | None) -> None:
        """Also a resend, over either channel, and a request that is repeated."""
        service, to = self.services[pick % 2], NUMBERS[pick // 2 % 2]
        line = service.sid, to
        allowed = self.reference.start(line, request_id, (line, channel))
        if request_id in self.running and "same" not in allowed:
            allowed.add("RequestRunningError")
        parts, died = self.world.parts, True
        with self.process(fuse):
            wanted = Start(service.sid, to, channel=channel, request_id=request_id)
            try:
                found = parts.verifications.start(ACCOUNT, wanted)
            except SendcodeError as error:
                outcome = type(error).__name__
            else:
                outcome = "started"
            died = False
        if died:
            self.running |= {request_id} - {None}
            self.adopt(line, request_id, channel)
        elif outcome == "started":
            assert allowed & {"new", "again", "same"}, allowed
            newest = self.reference.newest(line)
            if allowed & {"again"}:
                assert newest is not None
                assert found.sid == newest.sid
            elif allowed & {"new"}:
                assert found.sid not in {p.sid for p in self.reference.promises}
            if allowed == {"same"}:
                assert request_id is not None
                assert found.sid == self.reference.requests[request_id][1].sid
            else:
                self.accepted(line, found.sid, request_id, channel)
        else:
            assert outcome in allowed

    def check(self, pick: int, by_number: bool, right: bool, fuse: int | None) -> None:
        target = promise = self.reference.promises[-1 - pick % len(self.reference.promises)]
        where: dict[str, str] = {"sid": promise.sid}
        if by_number:
            where = {"to": promise.line[1]}
            target = self.reference.newest(promise.line) or promise
        code = promise.code if right else wrong_code(promise.code)
        before, died = target.guesses, True
        with self.process(fuse):
            outcome = self.attempt(
                lambda: (
                    self.world.parts.verifications.check(
                        ACCOUNT,
                        target.line[0],
                        code,
                        **where,
                    ).status
                )
            )
            died = False
        if died and self.rows("verifications")[target.sid]["checks"] == before:
            return  # it died before the guess was taken
        expected = self.reference.check(target, code)
        if died:
            # An approval is written before it gives the sends back; else their windows end.
            self.reference.line(target.line).unsure = True
        else:
            assert outcome == expected

    def cancel(self, pick: int) -> None:
        promise = self.reference.promises[-1 - pick % len(self.reference.promises)]
        outcome = self.attempt(
            lambda: (
                self.world.parts.verifications.cancel(
                    ACCOUNT,
                    promise.line[0],
                    sid=promise.sid,
                ).status
            )
        )
        assert outcome == self.reference.cancel(promise)

    def enable(self, pick: int) -> None:
        service, to = self.services[pick % 2], NUMBERS[pick // 2 % 2]

        def enable() -> str:
            self.world.parts.verifications.enable_number(ACCOUNT, service.sid, to)
            return "enabled"

        assert self.attempt(enable) == self.reference.enable((service.sid, to))

    def work(
        self, ms: int, answer: str, look_up: str, meanwhile: list[str], fuse: int | None
    ) -> None:
        """A worker takes the messages. Where it dies, the rest of them is lost."""
        if ms:
            self.wait(ms)
            self.world.relay.tick()
        calls, steps = len(self.provider.calls), iter(meanwhile)

        def others(call: Call) -> None:
            for what in steps:  # once, at the first call
                self.meanwhile(what, call)

        self.provider.answer, self.provider.look_up = answer, look_up
        self.provider.meanwhile = others
        died = True
        with self.process(fuse):
            for task, arguments in self.world.waiting():
                self.world.run(task, arguments)
            died = False
        self.provider.look_up = "honest"
        for call in self.provider.calls[calls:]:
            call.told = call.told and not died and not meanwhile

    def resurrect(self, pick: int) -> None:
        """A message that was taken long ago comes back."""
        self.provider.answer, self.provider.look_up = "taken", "honest"
        self.provider.meanwhile = lambda _: None
        sid = sorted(self.deliveries)[-1 - pick % len(self.deliveries)]
        self.world.run("sendcode.deliver", [[sid], None])

    def empty_broker(self) -> None:
        """The messages are gone. The limits stay: without them nothing would be refused."""
        self.world.waiting()

    def relay(self, fuse: int | None) -> None:
        with self.process(fuse):
            self.world.relay.tick()

    def receipt(self, pick: int, status: str) -> None:
        taken = [call for call in self.provider.calls if call.taken]
        if taken:
            self.report(taken[-1 - pick % len(taken)], status)

    def wait(self, ms: int) -> None:
        self.world.pass_time(ms)
        self.reference.now = self.world.clock.now

    # How it happens

    @contextmanager
    def process(self, fuse: int | None) -> Iterator[None]:
        """A process that dies after `fuse` steps."""
        self.world.fuse.left = fuse
        try:
            yield
        except Killed:
            pass
        finally:
            self.world.fuse.left = None

    def attempt(self, act: Callable[[], object]) -> str:
        try:
            return str(act())
        except SendcodeError as error:
            return type(error).__name__

    def accepted(self, line: Key, sid: str, request_id: str | None, channel: Channel) -> None:
        self.reference.now = self.world.clock.now
        code, dies = code_of(self.world.parts, sid), self.reference.now + LIFE
        self.reference.started(line, sid, code, dies, request_id, (line, channel))
        self.wanted_calls += channel is Channel.CALL

    def adopt(self, line: Key, request_id: str | None, channel: Channel) -> None:
        """A start died: either all of it is written, or nothing but a counted send."""
        self.reference.line(line).unsure = True
        new = set(self.rows("deliveries")) - set(self.deliveries)
        assert len(new) <= 1
        for sid in new:
            verification = self.rows("deliveries")[sid]["verification_sid"]
            self.accepted(line, verification, request_id, channel)

    def meanwhile(self, what: str, call: Call) -> None:
        """What others do while a worker waits for the provider's answer."""
        sid = call.outgoing.delivery_sid
        if what == "receipt" and call.taken:
            self.report(call, "delivered")
        elif what in ("lapse", "late"):
            self.wait(LEASE if what == "lapse" else LIFE)
            self.world.relay.tick()
        elif what == "again":
            self.world.run("sendcode.deliver", [[sid], None])
        elif what in ("check", "cancel"):
            verification = self.rows("deliveries")[sid]["verification_sid"]
            promises = self.reference.promises
            index = next(i for i, p in enumerate(reversed(promises)) if p.sid == verification)
            self.check_or_cancel(what, promises[-1 - index])

    def check_or_cancel(self, what: str, promise: Promise) -> None:
        verifications, service = self.world.parts.verifications, promise.line[0]
        if what == "cancel":
            act = lambda: verifications.cancel(ACCOUNT, service, sid=promise.sid).status  # noqa: E731
            assert self.attempt(act) == self.reference.cancel(promise)
        else:
            code = promise.code
            act = lambda: verifications.check(ACCOUNT, service, code, sid=promise.sid).status  # noqa: E731
            assert self.attempt(act) == self.reference.check(promise, code)

    def report(self, call: Call, status: str) -> None:
        assert call.taken is not None
        words = (MESSAGE_STATUSES, CALL_STATUSES)[call.outgoing.channel is Channel.CALL]
        if status not in words:
            return
        sid = call.taken.sid
        self.provider.statuses[sid] = status
        moved = self.world.parts.receipts.apply(
            call.outgoing.delivery_sid,
            provider="twilio",
            provider_sid=sid,
            status=status,
            words=words,
            hope=status == "undelivered",
        )
        assert not (moved and (sid, status) in self.receipts), "a receipt counted twice"
        self.receipts.add((sid, status))

    def called(self, outgoing: Outgoing) -> None:
        """The provider is called: no connection is held, the code lives, and it is the first
        call that may be taken, or the second after an unknown outcome and a question."""
        assert self.world.db.in_use == 0
        row = self.rows("deliveries")[outgoing.delivery_sid]
        (promise,) = (p for p in self.reference.promises if p.sid == row["verification_sid"])
        self.reference.now = self.world.clock.now
        assert self.reference.status(promise) == "pending"
        assert self.reference.now < promise.dies
        digits = ", ".join(promise.code) if row["channel"] == "call" else promise.code
        assert digits in outgoing.content
        tried = [
            call
            for call in self.provider.calls
            if call.outgoing.delivery_sid == outgoing.delivery_sid
        ]
        for call in tried:
            assert self.reference.now >= call.at + call.rest, "too early"
        before = [call for call in tried if not call.surely_not]
        assert len(before) <= 1, "a third message"
        for call in before:
            assert not call.told, "sent again although it was taken"
            assert call.asked_since, "sent again without a question"
            assert call.outgoing.content == outgoing.content

    def rows(self, table: str) -> dict[str, Any]:
        return {row["sid"]: row for row in self.world.look(f"SELECT * FROM {table}")}

    # What must hold

    @invariant()
    def every_step_is_allowed(self) -> None:
        """Every single change of a state is one of the table's, and an approval comes in time."""
        self.world.clock.now += 5
        self.reference.now = self.world.clock.now
        query = "SELECT * FROM moves WHERE id > :seen ORDER BY id"
        for move in map(dict, self.world.look(query, seen=self.seen)):
            self.seen = move["id"]
            table = TURNS if move["sid"].startswith("VE") else MOVES
            assert move["became"] in table.get(move["was"], ()), move
            if move["was"] == "undelivered":
                assert move["undone"], move
            if move["became"] == "approved":
                assert move["at"] < move["dies"], move

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        rows = self.rows("verifications")
        assert set(rows) == {p.sid for p in self.reference.promises}
        for promise in self.reference.promises:
            row = rows[promise.sid]
            assert (row["checks"], row["expires_at"]) == (promise.guesses, promise.dies)
            assert row["checks"] <= row["max_checks"] == GUESSES
            written = row["status"]
            assert written in (promise.status, self.reference.status(promise))
        live = [p.line for p in self.reference.promises if rows[p.sid]["status"] in TURNS]
        assert len(live) == len(set(live))

    @invariant()
    def deliveries_are_those_asked_for(self) -> None:
        rows = self.rows("deliveries")
        lines = {p.sid: p.line for p in self.reference.promises}
        for sid in set(rows) - set(self.deliveries):
            row = rows[sid]
            assert row["created_at"] < row["expires_at"]
            if row["step"]:
                # A call of our own counts like a send that was asked for.
                self.reference.line(lines[row["verification_sid"]]).unsure = True
        self.deliveries = dict(rows)
        asked = sum(row["channel"] == "call" and not row["step"] for row in rows.values())
        assert asked == self.wanted_calls
        ours = [(row["verification_sid"], row["step"]) for row in rows.values() if row["step"]]
        assert len(ours) == len(set(ours))

    def teardown(self) -> None:
        """Everything that was accepted ends, with only relay and worker running."""
        self.provider.answer, self.provider.look_up = "taken", "honest"
        self.provider.meanwhile = lambda _: None
        for ms in (LEASE, LEASE, LEASE, LIFE, LEASE, LIFE):
            self.wait(ms)
            self.world.relay.tick()
            for task, arguments in self.world.waiting():
                self.world.run(task, arguments)
        self.every_step_is_allowed()
        self.reference.now = self.world.clock.now
        assert {row["state"] for row in self.rows("deliveries").values()} <= ENDS
        assert not {row["status"] for row in self.rows("verifications").values()} & set(TURNS)


@pytest.fixture
def world(databases: Databases, broker_url: str) -> Iterator[World]:
    made = World(
        load(
            database_url=databases.make("sqlite"),
            broker_url=broker_url,
            secret_keys=f"k1:{SAMPLE_KEY}",
            account_sid=ACCOUNT,
            auth_token="t" * 32,
            twilio_account_sid="AC" + "1" * 32,
            twilio_auth_token="provider-token",
            twilio_from="+447700900999",
            max_checks=GUESSES,
            disable_after_failures=FAILURES,
            limit_sends=SENDS,
            limit_sends_window=WINDOW // 1000,
            limit_daily=1000,
            limit_daily_calls=1000,
            busy_starts=0,
            overload_seconds=0,
        )
    )
    yield made
    made.close()


@pytest.mark.kills(
    "claim-ignores-next-try",
    "sent-again-without-a-question",
    "third-message",
    "lease-comes-back-without-a-doubt",
)
@pytest.mark.timeout(120 + STEPS // 20)
def test_any_steps_in_any_order_keep_the_promises(world: World) -> None:
    """Whatever happens in whatever order, whoever dies where: sendcode does as the model says."""
    Machine.world, Machine.steps = world, 0
    Machine.services = (
        world.parts.services.create(ACCOUNT, "Example"),
        world.parts.services.create(ACCOUNT, "Calls", plan=read_plan("call:30")),
    )
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=STEPS // STEPS_PER_EXAMPLE * 21 // 20 + 5,  # some end early
            stateful_step_count=STEPS_PER_EXAMPLE,
            derandomize=True,
            phases=PHASES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Machine.steps >= STEPS
