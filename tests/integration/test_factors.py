"""Enrolment and challenges on both databases."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import event, select, text, update
from structlog.testing import capture_logs

from tests import leaks
from tests.helpers import at_once, count, let_time_pass, wrong_code
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import ANN, audited
from worker.db import now_ms
from worker.errors import (
    FactorParameterError,
    FactorRefusedError,
    InvalidParameterError,
    KeyMissingError,
    NotFoundError,
)
from worker.factors import Asked, Challenge, Change, Config, Enrolment, totp
from worker.models import factors
from worker.paging import Window
from worker.services import Service
from worker.settings import SAMPLE_KEY, Settings
from worker.states import FactorRefusal
from worker.wiring import Sendcode

USER = "user-0001"
OTHER_KEY = "b" * 43 + "="


class App:
    """A user's authenticator app, and what the backend does with it.

    Its steps are a minute long, and `code` waits where the present one is about to end.
    """

    def __init__(self, parts: Sendcode, service: Service, user: str = USER, **config: Any) -> None:
        self.parts, self.where = parts, (ACCOUNT, service.sid, user)
        change = Change("Phone", period=60, **config)
        self.enrolled: Enrolment = parts.factors.create_factor(*self.where, change)
        self.sid = self.enrolled.factor.sid
        self.config = self.enrolled.factor.config

    def now(self) -> int:
        with self.parts.db.statement() as connection:
            return int(connection.execute(select(now_ms())).scalar_one())

    def code(self, steps: int = 0) -> str:
        """The code of the present step, or of one some steps away."""
        while self.now() % 60_000 > 50_000:
            time.sleep(0.5)
        secret = totp.read_secret(self.enrolled.secret)
        at = totp.step_at(self.now(), 60) + steps
        return leaks.used.code(totp.code_at(secret, self.config, at))

    def verify(self, code: str) -> str:
        return self.parts.factors.update_factor(*self.where, self.sid, Change(), code).status

    def verified(self) -> "App":
        """Verified, by the code of the step before, so that the present one is unused."""
        assert self.verify(self.code(-1)) == "verified"
        return self

    def ask(self, code: str | None = None, **asked: Any) -> Challenge:
        wanted = Asked(self.sid, **asked)
        return self.parts.factors.create_challenge(*self.where, wanted, code)

    def answer(self, challenge: Challenge, code: str) -> str:
        return self.parts.factors.answer_challenge(*self.where, challenge.sid, code).status

    @property
    def row(self) -> Any:
        with self.parts.db.statement() as connection:
            return connection.execute(select(factors).where(factors.c.sid == self.sid)).one()

    def set(self, **values: Any) -> None:
        with self.parts.db.begin() as connection:
            connection.execute(update(factors).where(factors.c.sid == self.sid).values(**values))


@pytest.fixture
def app(parts: Sendcode, service: Service) -> App:
    return App(parts, service)


def refusal(work: Callable[[], object]) -> FactorRefusal:
    with pytest.raises(FactorRefusedError) as caught:
        work()
    return caught.value.refusal


def outcomes(results: list[Any]) -> Counter[str]:
    return Counter(
        r.refusal.value if isinstance(r, FactorRefusedError) else str(getattr(r, "status", r))
        for r in results
    )


# Enrolment


@pytest.mark.kills("unverified-factor-is-asked", "any-code-verifies-a-factor")
def test_a_factor_counts_after_its_first_right_code(app: App) -> None:
    """Unverified it has no challenge; a wrong code leaves it so; the right one verifies it."""
    assert app.enrolled.factor.status == "unverified"
    assert refusal(app.ask) is FactorRefusal.UNVERIFIED
    assert app.verify(wrong_code(app.code())) == "unverified"
    assert refusal(app.ask) is FactorRefusal.UNVERIFIED
    assert app.verify(app.code()) == "verified"
    assert app.ask().status == "pending"


@pytest.mark.kills("any-code-verifies-a-factor")
def test_five_guesses_at_a_verification(app: App) -> None:
    """After five wrong codes the right one is refused too, and the factor stays unverified."""
    for _ in range(5):
        assert app.verify(wrong_code(app.code())) == "unverified"
    assert refusal(lambda: app.verify(app.code())) is FactorRefusal.VERIFICATION_SPENT
    assert app.row.status == "unverified"


def test_guesses_at_once_at_a_verification(app: App) -> None:
    """Of twenty wrong codes at once five are compared."""
    code = wrong_code(app.code())
    results = outcomes(at_once(20, lambda _: app.verify(code)))
    assert results == {"unverified": 5, "verification_spent": 15}


def test_a_factor_is_verified_once(app: App) -> None:
    """Of twenty right codes at once one verifies; the others learn that it is."""
    code = app.code()
    results = at_once(20, lambda _: app.verify(code))
    assert results.count("verified") == 1
    assert sum(isinstance(r, FactorParameterError) for r in results) == 19


def test_the_code_of_the_enrolment_is_used_up(app: App) -> None:
    """The code that verified a factor answers no challenge, and neither does an older one."""
    code, older = app.code(), app.code(-1)
    app.verify(code)
    challenge = app.ask()
    for used in (code, older):
        assert app.answer(challenge, used) == "pending"
    assert app.answer(challenge, app.code(1)) == "approved"


def test_an_unverified_factor_lapses(parts: Sendcode, app: App) -> None:
    """After a day it is not found, cannot be verified, and its secret is shown no more."""
    let_time_pass(parts, 86_399)
    assert parts.factors.enrolment(*app.where, app.sid).secret == app.enrolled.secret
    let_time_pass(parts, 2)
    with pytest.raises(NotFoundError):
        app.verify(app.code())
    with pytest.raises(NotFoundError):
        parts.factors.enrolment(*app.where, app.sid)
    assert parts.factors.list_factors(*app.where, Window(10)).items == []


@pytest.mark.kills("secret-is-shown-for-good")
def test_the_secret_is_shown_until_the_factor_is_verified(parts: Sendcode, app: App) -> None:
    """The enrolment says the same until the first right code, and then nothing."""
    assert parts.factors.enrolment(*app.where, app.sid) == app.enrolled
    app.verified()
    assert refusal(lambda: parts.factors.enrolment(*app.where, app.sid)) is FactorRefusal.VERIFIED


def test_a_verified_factor_keeps_how_its_codes_are_made(parts: Sendcode, app: App) -> None:
    """Length, algorithm and step change before the verification alone; name and skew later too."""
    change = parts.factors.update_factor
    made = change(*app.where, app.sid, Change(digits=8, algorithm="sha256"))
    assert made.config == Config("sha256", 8, 60, 1)
    app.config = made.config
    app.verified()
    for refused in (Change(digits=6), Change(algorithm="sha1"), Change(period=30)):
        with pytest.raises(FactorParameterError, match="cannot change"):
            change(*app.where, app.sid, refused)
    changed = change(*app.where, app.sid, Change("Tablet", skew=0))
    assert (changed.friendly_name, changed.config.skew) == ("Tablet", 0)
    assert (changed.config.digits, changed.status) == (8, "verified")


def test_only_the_right_code_verifies(parts: Sendcode, app: App) -> None:
    """No change of a factor without the right code makes it verified (pattern 61)."""
    change = Change("verified", digits=8, algorithm="sha512", period=60, skew=2)
    assert parts.factors.update_factor(*app.where, app.sid, change).status == "unverified"
    assert app.row.status == "unverified"
    assert "status" not in Change.__dataclass_fields__


def test_the_services_settings_are_the_defaults(parts: Sendcode) -> None:
    """Issuer, length, step and skew of a new factor are the service's, unless it says its own."""
    kept = {
        "totp_issuer": "Shop & Co",
        "totp_code_length": 8,
        "totp_time_step": 45,
        "totp_skew": 2,
    }
    service = parts.services.create(ACCOUNT, "Example", twilio_only=kept)
    make = parts.factors.create_factor
    made = make(ACCOUNT, service.sid, USER, Change("Phone"))
    assert made.factor.config == Config("sha1", 8, 45, 2)
    assert made.uri.startswith("otpauth://totp/Shop%20%26%20Co:Phone?")
    own = make(ACCOUNT, service.sid, USER, Change("Phone", "sha512", 6, 30, 0))
    assert own.factor.config == Config("sha512", 6, 30, 0)


def test_two_factors_do_not_share_a_secret(parts: Sendcode, app: App) -> None:
    """A secret is imported once per entity: a second factor would take its codes again."""
    make = parts.factors.create_factor
    assert (
        refusal(lambda: make(*app.where, Change("Copy"), secret=app.enrolled.secret.lower()))
        is FactorRefusal.FACTOR_EXISTS
    )
    results = at_once(8, lambda _: make(*app.where, Change("New"), secret="GEZDGNBVGY3TQOJQ" * 2))
    assert sum(isinstance(r, Enrolment) for r in results) == 1


def test_a_hundred_factors_per_entity(parts: Sendcode, service: Service) -> None:
    """The hundredth factor is the last, also when they are made at once; and of a day too."""
    make = parts.factors.create_factor
    for _ in range(90):
        make(ACCOUNT, service.sid, USER, Change("Phone"))
    results = at_once(20, lambda _: make(ACCOUNT, service.sid, USER, Change("Phone")))
    assert sum(isinstance(r, Enrolment) for r in results) == 10
    assert count(parts, "factors") == 100
    first = parts.factors.list_factors(ACCOUNT, service.sid, USER, Window(1)).items[0]
    parts.factors.delete_factor(ACCOUNT, service.sid, USER, first.sid)
    more: Callable[[], object] = lambda: make(ACCOUNT, service.sid, USER, Change("Phone"))  # noqa: E731
    assert refusal(more) is FactorRefusal.TOO_MANY_CREATIONS
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE factors SET status = 'verified'"))
    let_time_pass(parts, 86_401)
    more()
    assert refusal(more) is FactorRefusal.TOO_MANY_FACTORS


# Challenges


def test_each_code_is_accepted_once(app: App) -> None:
    """Of twenty right codes at once in one challenge one is accepted (pattern 56)."""
    app.verified()
    challenge, code = app.ask(), app.code()
    results = outcomes(at_once(20, lambda _: app.answer(challenge, code)))
    assert results["approved"] == 1
    assert set(results) <= {"approved", "answered", "pending"}
    assert app.row.last_step == totp.step_at(app.now(), 60)


@pytest.mark.kills("app-code-twice")
def test_a_code_is_accepted_once_over_all_challenges(app: App) -> None:
    """Of twenty challenges answered at once with one right code one is approved (pattern 57)."""
    app.verified()
    made, code = [app.ask() for _ in range(20)], app.code()
    results = outcomes(at_once(20, lambda i: app.answer(made[i], code)))
    assert results == {"approved": 1, "pending": 19}


def test_a_code_is_accepted_once_over_all_creations(app: App) -> None:
    """Of twenty challenges made at once with one right code one is approved."""
    app.verified()
    code = app.code()
    results = outcomes(at_once(20, lambda _: app.ask(code)))
    assert results == {"approved": 1, "pending": 19}


@pytest.mark.kills("app-code-twice")
def test_a_used_code_is_refused_in_a_fresh_challenge(app: App) -> None:
    """After an approval neither its code nor an older one passes, whatever the challenge."""
    app.verified()
    code, older = app.code(1), app.code()
    assert app.ask(code).status == "approved"
    for used in (code, older):
        assert app.ask(used).status == "pending"
        assert app.answer(app.ask(), used) == "pending"


@pytest.mark.kills("app-code-guessed-for-ever")
def test_guesses_at_once_in_a_challenge(parts: Sendcode, app: App) -> None:
    """Of twenty wrong codes at once five are compared, and the right one is refused after them."""
    app.verified()
    challenge, code = app.ask(), app.code()
    bad = wrong_code(code)
    results = outcomes(at_once(20, lambda _: app.answer(challenge, bad)))
    assert results == {"pending": 5, "challenge_spent": 15}
    assert refusal(lambda: app.answer(challenge, code)) is FactorRefusal.CHALLENGE_SPENT
    assert app.row.failures == 5
    assert app.ask(code).status == "approved", "what was refused did not use the code up"
    assert app.row.failures == 0


@pytest.mark.kills("window-is-wider")
@pytest.mark.parametrize("skew", [0, 1, 2])
def test_the_window_is_exact(parts: Sendcode, service: Service, skew: int) -> None:
    """By the database's clock the codes of the skew's steps pass, and no other (pattern 59)."""
    for steps in range(-3, 4):
        app = App(parts, service, f"user-{steps + 5:04}", skew=skew)
        app.set(status="verified")
        assert (app.ask(app.code(steps)).status == "approved") == (abs(steps) <= skew), steps


@pytest.mark.kills("failure-counts-against-every-factor")
def test_a_failure_counts_against_its_own_factor(parts: Sendcode, service: Service) -> None:
    """Wrong codes touch the factor that was asked, and no other of the entity (pattern 58)."""
    one, other = App(parts, service).verified(), App(parts, service).verified()
    assert one.ask(other.code()).status == "pending"
    assert (one.row.failures, other.row.failures) == (1, 0)
    assert other.ask(other.code()).status == "approved"


def test_too_many_failures_disable_a_factor(make_parts: Callable[..., Sendcode]) -> None:
    """At the set number of wrong codes in a row, over all challenges, even the right one is
    refused, until an operator enables the factor; other factors go on."""
    parts = make_parts(disable_after_failures=7)
    service = parts.services.create(ACCOUNT, "Example")
    app, other = App(parts, service).verified(), App(parts, service).verified()
    bad = wrong_code(app.code())
    first, second = app.ask(), app.ask()
    with capture_logs() as lines:
        results = outcomes(at_once(20, lambda i: app.answer((first, second)[i % 2], bad)))
    assert (results["pending"], sum(results.values())) == (7, 20)
    told = Counter((one["event"], one["factor"]) for one in lines)
    assert told == {("factor.disabled", app.sid): 1, ("totp.wrong", app.sid): 7}
    assert app.row.disabled_at
    assert refusal(app.ask) is FactorRefusal.DISABLED
    left = first if first.status == "pending" else second
    with pytest.raises(FactorRefusedError):
        app.answer(left, app.code())
    assert other.ask(other.code()).status == "approved"
    assert not parts.factors.enable_factor("AC" + "0" * 32, app.sid)
    assert parts.factors.enable_factor(ACCOUNT, app.sid, ANN)
    assert not parts.factors.enable_factor(ACCOUNT, app.sid, ANN)
    assert [(one.action, one.target) for one in audited(parts)] == [("factor.enable", app.sid)]
    assert app.ask(app.code()).status == "approved"


def test_a_challenge_ends(parts: Sendcode, app: App) -> None:
    """After its life the right code is refused and the status is expired; approved stays so."""
    app.verified()
    late, short = app.ask(), app.ask(expires_at=app.now() + 60_000)
    done = app.ask(app.code())
    assert (late.expires_at - late.created_at) // 1000 in (299, 300)
    assert refusal(lambda: app.answer(done, app.code(1))) is FactorRefusal.ANSWERED
    let_time_pass(parts, 61)
    assert refusal(lambda: app.answer(short, app.code(1))) is FactorRefusal.EXPIRED
    fetch = parts.factors.fetch_challenge
    statuses = [fetch(*app.where, one.sid).status for one in (late, short, done)]
    assert statuses == ["pending", "expired", "approved"]
    let_time_pass(parts, 240)
    assert refusal(lambda: app.answer(late, app.code(1))) is FactorRefusal.EXPIRED
    found = parts.factors.list_challenges(*app.where, Window(9), status="expired").items
    assert {one.sid for one in found} == {late.sid, short.sid}


def test_a_challenge_lives_an_hour_at_most(app: App) -> None:
    """An end in the past or more than an hour away is refused, and nothing is written."""
    app.verified()
    for away in (-1, 0, 3_700_000):
        with pytest.raises(FactorParameterError):
            app.ask(expires_at=app.now() + away)
    with pytest.raises(FactorParameterError):
        app.ask(expires_at=0)
    assert count(app.parts, "challenges") == 0


@pytest.mark.parametrize(
    ("digits", "most", "window"), [(6, 50, 3600), (4, 10, 86_400), (3, 10, 86_400)]
)
def test_challenges_of_a_factor_are_limited(
    parts: Sendcode, service: Service, digits: int, most: int, window: int
) -> None:
    """Fifty an hour, or ten a day where codes are short, counted over all callers at once."""
    app = App(parts, service, digits=digits)
    app.set(status="verified")
    for _ in range(most - 5):
        app.ask()
    results = outcomes(at_once(20, lambda _: app.ask()))
    assert results == {"pending": 5, "too_many_challenges": 15}
    with pytest.raises(FactorRefusedError) as caught:
        app.ask()
    assert caught.value.retry_after
    assert window - 60 <= caught.value.retry_after <= window
    let_time_pass(parts, window + 1)
    assert app.ask().status == "pending"


def test_a_hundred_challenges_a_day(parts: Sendcode, app: App) -> None:
    """The hour's limit passed twice is the day's."""
    app.verified()
    for _ in range(2):
        for _ in range(50):
            app.ask()
        let_time_pass(parts, 3601)
    assert refusal(app.ask) is FactorRefusal.TOO_MANY_CHALLENGES
    let_time_pass(parts, 86_400)
    assert app.ask().status == "pending"


def test_challenges_need_no_broker(make_settings: Callable[..., Settings]) -> None:
    """Authenticator apps go on while the broker is away."""
    parts = Sendcode(make_settings(broker_url="redis://127.0.0.1:1/0"))
    app = App(parts, parts.services.create(ACCOUNT, "Example")).verified()
    assert app.ask(app.code()).status == "approved"
    parts.db.close()


# Entities, and who may see what


def test_nothing_is_seen_through_another_service(parts: Sendcode, app: App) -> None:
    """Entity, factor and challenge are not found in another service, entity or account."""
    app.verified()
    challenge = app.ask()
    other = parts.services.create(ACCOUNT, "Other")
    parts.factors.create_entity(ACCOUNT, other.sid, USER)
    parts.factors.create_entity(app.where[0], app.where[1], "user-0002")
    theirs = [
        (ACCOUNT, other.sid, USER),
        (ACCOUNT, app.where[1], "user-0002"),
        ("AC" + "0" * 32, app.where[1], USER),
        (ACCOUNT, app.where[1], "user-000"),
        (ACCOUNT, app.where[1], "user\x000001"),
    ]
    room = parts.factors
    for where in theirs:
        for work in (
            lambda w: room.fetch_factor(*w, app.sid),
            lambda w: room.enrolment(*w, app.sid),
            lambda w: room.update_factor(*w, app.sid, Change("Mine")),
            lambda w: room.delete_factor(*w, app.sid),
            lambda w: room.create_challenge(*w, Asked(app.sid)),
            lambda w: room.fetch_challenge(*w, challenge.sid),
            lambda w: room.answer_challenge(*w, challenge.sid, app.code()),
        ):
            with pytest.raises(NotFoundError):
                work(where)
    assert app.row.friendly_name == "Phone"
    assert app.answer(challenge, app.code()) == "approved"


def test_an_entity_is_made_once(parts: Sendcode, service: Service) -> None:
    """Of twenty creations at once one makes the entity; a factor of it makes no second."""
    make = parts.factors.create_entity
    results = outcomes(at_once(20, lambda _: make(ACCOUNT, service.sid, USER)))
    assert results["entity_exists"] == 19
    App(parts, service)
    assert count(parts, "entities") == 1
    at_once(8, lambda i: App(parts, service, "user-0002"))
    assert count(parts, "entities") == 2


@pytest.mark.parametrize(
    "identity", ["", "short-1", "x" * 65, "user 0001", "usér-0001", "a\x00bcdefgh"]
)
def test_bad_identities(parts: Sendcode, service: Service, identity: str) -> None:
    """What is not 8 to 64 letters, digits and dashes makes no entity and no factor."""
    with pytest.raises(FactorParameterError):
        parts.factors.create_entity(ACCOUNT, service.sid, identity)
    with pytest.raises(FactorParameterError):
        parts.factors.create_factor(ACCOUNT, service.sid, identity, Change("Phone"))
    assert count(parts, "entities") == count(parts, "factors") == 0


def test_deleting(parts: Sendcode, service: Service, app: App) -> None:
    """A factor goes with its challenges, an entity with all it has, a service with neither."""
    other = App(parts, service).verified()
    other.ask()
    app.verified().ask()
    parts.factors.make_backup_codes(*app.where)
    parts.factors.delete_factor(*app.where, app.sid)
    assert (count(parts, "factors"), count(parts, "challenges")) == (1, 1)
    with pytest.raises(InvalidParameterError):
        parts.services.delete(ACCOUNT, service.sid)
    parts.factors.delete_entity(*app.where)
    for table in ("entities", "factors", "challenges", "backup_sets", "backup_codes"):
        assert count(parts, table) == 0, table
    parts.services.delete(ACCOUNT, service.sid)


def test_deleting_while_challenges_are_made(parts: Sendcode, app: App) -> None:
    """An entity that is deleted while its factor is asked leaves nothing behind, and no error."""
    app.verified()

    def act(index: int) -> object:
        if index == 5:
            return parts.factors.delete_entity(*app.where)
        return app.ask()

    results = at_once(12, act)
    assert all(r is None or isinstance(r, Challenge | NotFoundError) for r in results), results
    assert count(parts, "challenges") == count(parts, "entities") == 0


# Secrets at rest


def test_a_secret_is_sealed_for_its_own_row(parts: Sendcode, app: App, service: Service) -> None:
    """No secret is in the database, and bytes copied to another row open nothing (pattern 60)."""
    other = App(parts, service)
    secret = totp.read_secret(app.enrolled.secret)
    for row in (app.row, other.row):
        for value in row:
            kept = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
            assert secret not in kept
            assert app.enrolled.secret.encode() not in kept
    assert app.verify(wrong_code(app.code())) == other.verify(wrong_code(app.code()))
    other.set(secret_sealed=app.row.secret_sealed)
    with pytest.raises(InvalidTag):
        other.verify(app.code())


def test_secrets_survive_a_new_key(make_parts: Callable[..., Sendcode]) -> None:
    """A factor of the old key works under a new one, and needs it until it is sealed anew."""
    parts = make_parts()
    app = App(parts, parts.services.create(ACCOUNT, "Example")).verified()
    both = make_parts(secret_keys=f"k2:{OTHER_KEY},k1:{SAMPLE_KEY}")
    alone = make_parts(secret_keys=f"k2:{OTHER_KEY}")
    app.parts = both
    assert app.ask(app.code()).status == "approved"
    app.parts = alone
    with pytest.raises(KeyMissingError):
        app.ask(app.code(1))
    assert both.factors.reseal() == 1
    assert both.factors.reseal() == 0
    assert app.row.key_id == "k2"
    assert app.ask(app.code(1)).status == "approved"


# Purge


def test_purge(parts: Sendcode, service: Service, app: App) -> None:
    """The relay deletes lapsed unverified factors and old challenges, and nothing else."""
    kept = App(parts, service).verified()
    kept.ask()
    let_time_pass(parts, 29 * 86_400)
    young = App(parts, service)
    new = kept.ask()
    parts.purging.purge()
    assert count(parts, "factors") == 2
    assert count(parts, "challenges") == 2
    let_time_pass(parts, 2 * 86_400)
    parts.purging.purge()
    assert [c.sid for c in parts.factors.list_challenges(*kept.where, Window(9)).items] == [new.sid]
    assert [f.sid for f in parts.factors.list_factors(*kept.where, Window(9)).items] == [kept.sid]
    assert young.sid != kept.sid


def test_the_next_page_is_found_by_index(parts: Sendcode, service: Service) -> None:
    """A page of a service's users begins behind the last one's sid, wherever that is, and sorts
    nothing."""
    asked: list[tuple[str, Any]] = []
    event.listen(
        parts.db.single,
        "before_cursor_execute",
        lambda connection, cursor, statement, given, *rest: asked.append((statement, given)),
    )
    parts.factors.list_entities(ACCOUNT, service.sid, Window(50, after="YE1"))
    statement, given = asked[-1]
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = str(connection.exec_driver_sql(f"{explain}{statement}", given).all())
    assert "ix_entities_service_sid_sid" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
