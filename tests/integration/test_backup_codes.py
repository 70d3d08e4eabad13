"""Backup codes on both databases."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from tests.helpers import at_once, count, let_time_pass
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door, refused
from worker.errors import FactorParameterError, FactorRefusedError, NotFoundError
from worker.factors import backup
from worker.factors.backup import hash_code, new_code, shown
from worker.models import backup_codes, entities
from worker.services import Service
from worker.states import FactorRefusal
from worker.wiring import Sendcode

USER = "user-0001"


@pytest.fixture
def where(service: Service) -> tuple[str, str, str]:
    return ACCOUNT, service.sid, USER


@pytest.fixture
def codes(parts: Sendcode, where: tuple[str, str, str]) -> tuple[str, ...]:
    return parts.factors.make_backup_codes(*where).codes


def refusal(work: Callable[[], object]) -> FactorRefusal:
    with pytest.raises(FactorRefusedError) as caught:
        work()
    return caught.value.refusal


def outcomes(results: list[Any]) -> Counter[str]:
    return Counter(
        r.refusal.value if isinstance(r, FactorRefusedError) else str(getattr(r, "accepted", r))
        for r in results
    )


def test_ten_codes_each_good_once(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...]
) -> None:
    """Every one of the ten is accepted, then never again, and what is left counts down."""
    assert len(set(codes)) == 10
    check = parts.factors.check_backup_code
    for left, code in zip(range(9, -1, -1), codes, strict=True):
        with capture_logs() as lines:
            first, again = check(*where, code.lower()), check(*where, code)
        assert [(one["event"], one["remaining"]) for one in lines] == [("backup_code.used", left)]
        assert (first.accepted, first.remaining) == (True, left)
        assert (again.accepted, again.remaining) == (False, left)
        assert first.codes == again.codes == ()


@pytest.mark.kills("backup-code-twice")
def test_a_code_is_accepted_once_at_once(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...]
) -> None:
    """Of twenty checks of one code at once one is accepted, and the count is right after it."""
    check = parts.factors.check_backup_code
    results = outcomes(at_once(20, lambda _: check(*where, codes[0])))
    assert results["True"] == 1
    assert set(results) <= {"True", "False", "backup_spent"}
    assert parts.factors.fetch_backup_codes(*where).remaining == 9


def test_five_guesses_an_hour(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...]
) -> None:
    """Of twenty wrong codes at once five are compared; then the right one waits for the hour."""
    check = parts.factors.check_backup_code
    results = outcomes(at_once(20, lambda _: check(*where, new_code())))
    assert results == {"False": 5, "backup_spent": 15}
    with pytest.raises(FactorRefusedError) as caught:
        check(*where, codes[0])
    assert 3500 < (caught.value.retry_after or 0) <= 3600
    let_time_pass(parts, 3601)
    assert check(*where, codes[0]).accepted
    assert outcomes([check(*where, new_code()) for _ in range(5)]) == {"False": 5}


def test_what_is_no_code_is_no_guess(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...]
) -> None:
    """A text that cannot be a code is refused and counts as nothing."""
    for _ in range(6):
        with pytest.raises(FactorParameterError):
            parts.factors.check_backup_code(*where, "123456")
    assert parts.factors.check_backup_code(*where, codes[0]).accepted


def test_too_many_failures_end_a_set(make_parts: Callable[..., Sendcode]) -> None:
    """At the set number of wrong codes in a row a set is dead, also an hour later; new codes work
    again."""
    parts = make_parts(disable_after_failures=3)
    where = ACCOUNT, parts.services.create(ACCOUNT, "Example").sid, USER
    codes = parts.factors.make_backup_codes(*where).codes
    check = parts.factors.check_backup_code
    for _ in range(3):
        assert not check(*where, new_code()).accepted
    let_time_pass(parts, 3601)
    assert refusal(lambda: check(*where, codes[0])) is FactorRefusal.DISABLED
    new = parts.factors.make_backup_codes(*where).codes
    assert check(*where, new[0]).accepted


def test_new_codes_replace_the_old(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...]
) -> None:
    """After a second set the first one's codes are wrong; sets made at once leave one."""
    new = parts.factors.make_backup_codes(*where).codes
    assert not parts.factors.check_backup_code(*where, codes[0]).accepted
    assert parts.factors.check_backup_code(*where, new[0]).accepted
    made = at_once(4, lambda _: parts.factors.make_backup_codes(*where).codes)
    assert count(parts, "backup_codes") == 10
    check = parts.factors.check_backup_code
    assert [check(*where, one[0]).accepted for one in made].count(True) == 1


def test_codes_are_kept_as_argon2id(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...], service: Service
) -> None:
    """A row is Argon2id of OWASP's least cost, and one code has another hash in another set."""
    with parts.db.statement() as connection:
        kept = list(connection.execute(select(backup_codes.c.code_hash)).scalars())
    assert {one[: len("$argon2id$v=19$m=19456,t=2,p=1$")] for one in kept} == {
        "$argon2id$v=19$m=19456,t=2,p=1$"
    }
    assert not any(code.replace("-", "") in one for code in codes for one in kept)
    assert len({one.split("$")[-2] for one in kept}) == 1
    other = parts.factors.make_backup_codes(ACCOUNT, service.sid, "user-0002")
    assert not parts.factors.check_backup_code(ACCOUNT, service.sid, "user-0002", codes[0]).accepted
    assert other.remaining == 10
    code = new_code()
    assert hash_code(code, b"a" * 16) != hash_code(code, b"b" * 16)
    assert shown(code).replace("-", "") == code


def test_none_were_made(parts: Sendcode, where: tuple[str, str, str]) -> None:
    """Without an entity, and of one without backup codes, there is nothing to fetch or check."""
    for _ in range(2):
        with pytest.raises(NotFoundError):
            parts.factors.fetch_backup_codes(*where)
        with pytest.raises(NotFoundError):
            parts.factors.check_backup_code(*where, new_code())
        if not count(parts, "entities"):
            parts.factors.create_entity(*where)


def test_an_entity_made_again_meanwhile(
    parts: Sendcode, where: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes that are hashed while their entity is deleted and made again are the new one's."""

    def replaced(code: str, salt: bytes) -> str:
        monkeypatch.undo()
        parts.factors.delete_entity(*where)
        parts.factors.create_entity(*where)
        return hash_code(code, salt)

    monkeypatch.setattr(backup, "hash_code", replaced)
    made = parts.factors.make_backup_codes(*where)
    assert made.remaining == 10
    assert made.entity == parts.factors.fetch_entity(*where)
    assert parts.factors.check_backup_code(*where, made.codes[0]).accepted


def test_nothing_is_hashed_for_nobody(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such service or identity it is said at once: hashing is dear."""

    def dear(*_: object) -> str:
        raise AssertionError("hashed")

    monkeypatch.setattr(backup, "hash_code", dear)
    with pytest.raises(NotFoundError):
        parts.factors.make_backup_codes(ACCOUNT, "VA" + "0" * 32, USER)
    service = parts.services.create(ACCOUNT, "Example")
    with pytest.raises(FactorParameterError):
        parts.factors.make_backup_codes(ACCOUNT, service.sid, "x")


def test_who_comes_while_others_hash_is_told_so(
    parts: Sendcode,
    where: tuple[str, str, str],
    codes: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no turn comes in time it is 429, no guess is taken and the old codes stay."""
    monkeypatch.setattr(backup, "TURN_SECONDS", 0.01)
    url = f"/v2/Services/{where[1]}/Entities/{USER}/BackupCodes"
    with backup._turn(), backup._turn():
        for _ in range(6):
            answer = door(parts).post(f"{url}/Check", data={"Code": codes[0]})
            refused(answer, 429, 20429)
            assert answer.headers["retry-after"] == "1"
        refused(door(parts).post(url), 429, 20429)
    assert parts.factors.check_backup_code(*where, codes[0]).accepted


def test_a_day_has_a_hundred_sets(
    parts: Sendcode, where: tuple[str, str, str], codes: tuple[str, ...]
) -> None:
    """Sets are counted with the factors that are made of an entity; a day later more may be."""
    with parts.db.begin() as connection:
        made = update(entities).values(factors_made=entities.c.factors_made + 99)
        connection.execute(made)
    make = parts.factors.make_backup_codes
    assert refusal(lambda: make(*where)) is FactorRefusal.TOO_MANY_CREATIONS
    assert parts.factors.check_backup_code(*where, codes[0]).accepted
    let_time_pass(parts, 86_401)
    assert len(make(*where).codes) == 10
