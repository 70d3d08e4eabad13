"""Factors brought in and taken out, on both databases."""

import pytest

from tests.helpers import count
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import ANN, audited
from tests.integration.test_factors import App
from worker.errors import NotFoundError
from worker.factors import Asked, rows, totp
from worker.factors.rows import FactorRow
from worker.factors.words import Config
from worker.paging import Window
from worker.services import Service
from worker.wiring import Sendcode

MINUTE = Config(period=60)
KEYS = [bytes([index]) * 20 for index in range(1, 5)]


def some(*identities: str, verified: bool = True) -> list[FactorRow]:
    return [
        FactorRow(index + 2, identity, "Phone", MINUTE, KEYS[index], verified)
        for index, identity in enumerate(identities)
    ]


@pytest.mark.kills("secrets-are-taken-out-unseen")
def test_what_is_taken_out_comes_in_elsewhere(parts: Sendcode, service: Service) -> None:
    """Another service takes an export whole, and its users go on with their apps; a code that
    may have been used before does not pass again."""
    first, second = App(parts, service), App(parts, service, "user-0002", digits=8, skew=0)
    first.verified()
    issuer, found = parts.factors.export_factors(ACCOUNT, service.sid, ANN)
    (entry,) = audited(parts)  # before the first secret is read
    assert (entry.action, entry.target, entry.who) == ("factors.export", service.sid, "ann")
    content = rows.csv_head() + "".join(map(rows.csv_row, found))
    assert issuer == "Example"
    other = parts.services.create(ACCOUNT, "Other")
    read = [row for row in rows.read(content) if isinstance(row, FactorRow)]
    assert parts.factors.import_factors(ACCOUNT, other.sid, read, verified=True) == (2, [])
    again = list(parts.factors.export_factors(ACCOUNT, other.sid)[1])
    assert [(r.identity, r.config, r.secret, r.verified) for r in again] == [
        (r.identity, r.config, r.secret, r.verified) for r in read
    ]
    where = ACCOUNT, other.sid, first.where[2]
    (there,) = parts.factors.list_factors(*where, Window(9)).items
    assert there.status == "verified"
    ask = parts.factors.create_challenge
    code = first.code()
    assert ask(*where, Asked(there.sid), code).status == "pending"
    assert ask(*where, Asked(there.sid), first.code(1)).status == "approved"
    (unproved,) = parts.factors.list_factors(ACCOUNT, other.sid, second.where[2], Window(9)).items
    assert (unproved.status, unproved.config) == ("unverified", Config("sha1", 8, 60, 0))


def test_what_comes_in_is_unverified_unless_the_operator_says_so(
    parts: Sendcode, service: Service
) -> None:
    """A row does not verify itself: without the operator's word it waits for a right code."""
    parts.factors.import_factors(ACCOUNT, service.sid, some("user-0001"))
    (found,) = parts.factors.list_factors(ACCOUNT, service.sid, "user-0001", Window(9)).items
    assert found.status == "unverified"


def test_a_bad_row_undoes_all(parts: Sendcode, service: Service) -> None:
    """A row that is there already leaves nothing written, or itself alone where bad ones are
    skipped; a file that is taken twice changes nothing the second time."""
    bring = parts.factors.import_factors
    bring(ACCOUNT, service.sid, some("user-0001"))
    more = some("user-0001", "user-0002", "user-0003")
    done, bad = bring(ACCOUNT, service.sid, more)
    assert (done, [row.number for row in bad]) == (0, [2])
    assert count(parts, "factors") == count(parts, "entities") == 1
    assert bring(ACCOUNT, service.sid, more, skip_bad=True)[0] == 2
    done, bad = bring(ACCOUNT, service.sid, more, skip_bad=True)
    assert (done, [row.number for row in bad]) == (0, [2, 3, 4])
    assert count(parts, "factors") == 3


def test_twice_in_one_file(parts: Sendcode, service: Service) -> None:
    """The second of two rows with one secret for one identity is bad."""
    twice = [*some("user-0001"), FactorRow(9, "user-0001", "Copy", MINUTE, KEYS[0])]
    done, bad = parts.factors.import_factors(ACCOUNT, service.sid, twice)
    assert (done, [row.number for row in bad]) == (0, [9])
    assert count(parts, "entities") == 0


def test_an_entity_has_room_for_a_hundred(parts: Sendcode, service: Service) -> None:
    """The hundred and first factor of an identity is bad."""
    many = [
        FactorRow(index, "user-0001", "Phone", MINUTE, index.to_bytes(20, "big"))
        for index in range(101)
    ]
    done, bad = parts.factors.import_factors(ACCOUNT, service.sid, many, skip_bad=True)
    assert (done, [row.number for row in bad]) == (100, [100])
    assert len(list(parts.factors.export_factors(ACCOUNT, service.sid)[1])) == 100


def test_only_the_services_own(parts: Sendcode, service: Service) -> None:
    """An export holds one service's factors; another account has no such service."""
    App(parts, service)
    other = parts.services.create(ACCOUNT, "Other")
    assert list(parts.factors.export_factors(ACCOUNT, other.sid)[1]) == []
    stranger = "AC" + "0" * 32
    with pytest.raises(NotFoundError):
        parts.factors.export_factors(stranger, service.sid)
    with pytest.raises(NotFoundError):
        parts.factors.import_factors(stranger, service.sid, some("user-0001"))
    assert totp.secret_text(KEYS[0]) not in repr(some("user-0001"))
    assert repr(KEYS[0]) not in repr(some("user-0001"))
