"""Operators sign in by password and second factor or by a link, and sessions end."""

import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from sqlalchemy import text

from tests.helpers import at_once, count
from worker.audit import Operator as By
from worker.errors import ConflictError, InvalidParameterError, NotFoundError, SignInRefusedError
from worker.operators import Operators, Role
from worker.operators.tries import ADDRESS, NAME, PAIR
from worker.wiring import Sendcode

PASSWORD = "correct horse battery"
HERE, THERE = "192.0.2.1", "198.51.100.7"
BROWSER = "Firefox"


def age(parts: Sendcode, seconds: int) -> None:
    """Let time pass for operators: the clock is the database's, so the rows move instead."""
    columns = {
        "operator_sessions": ("created_at", "seen_at", "expires_at"),
        "operator_links": ("expires_at",),
        "sign_in_tries": ("tries_from",),
    }
    with parts.db.begin() as connection:
        for table, names in columns.items():
            changes = ", ".join(f"{name} = {name} - {seconds * 1000}" for name in names)
            connection.execute(text(f"UPDATE {table} SET {changes}"))


def enrol(room: Operators, name: str) -> pyotp.TOTP:
    """A second factor in force for `name`; its app, whose present code is used up."""
    uri, offer = room.offer_totp(room.fetch(name))
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    room.accept_totp(room.fetch(name), offer, app.now(), keep="")
    return app


def next_code(app: pyotp.TOTP) -> str:
    return app.at(int(time.time()) + 30)


@pytest.fixture
def room(parts: Sendcode) -> Operators:
    return parts.operators


@pytest.fixture
def ann(room: Operators) -> pyotp.TOTP:
    """An operator with password and second factor; the app."""
    room.add("ann", "operator", PASSWORD)
    return enrol(room, "ann")


def try_in(room: Operators, password: str, code: str, name: str = "ann", at: str = HERE) -> Any:
    return room.sign_in(name, password, code, at, BROWSER)


def test_password_and_code_sign_in(room: Operators, ann: pyotp.TOTP) -> None:
    """Both right begin a session, which names operator, address and browser."""
    session = room.session(try_in(room, PASSWORD, next_code(ann)))
    assert session is not None
    assert (session.operator.name, session.operator.role) == ("ann", Role.OPERATOR)
    assert (session.address, session.browser) == (HERE, BROWSER)
    assert not session.only_enrols
    assert [one.sid for one in room.sessions()] == [session.sid]


def test_every_wrong_sign_in_reads_the_same(room: Operators, ann: pyotp.TOTP) -> None:
    """An unknown name, a wrong password, a wrong code, a disabled operator and one without a
    password have one answer."""
    room.add("bob", "viewer")
    room.add("eve", "viewer", PASSWORD)
    room.disable("eve")
    said = set()
    for name, password, code in (
        ("nobody", PASSWORD, ""),
        ("ann", "wrong password!", next_code(ann)),
        ("ann", PASSWORD, "000000" if next_code(ann) != "000000" else "000001"),
        ("ann", PASSWORD, ""),
        ("bob", "", ""),
        ("eve", PASSWORD, ""),
    ):
        with pytest.raises(SignInRefusedError) as refused:
            try_in(room, password, code, name)
        said.add((str(refused.value), refused.value.retry_after))
    assert len(said) == 1
    assert room.sessions() == []


def test_a_code_is_good_once(room: Operators, ann: pyotp.TOTP) -> None:
    """The code of the enrolment signs nobody in, and of fifteen sign-ins at once with one code
    from as many places one begins."""
    with pytest.raises(SignInRefusedError):
        try_in(room, PASSWORD, ann.now())
    code = next_code(ann)
    done = at_once(15, lambda i: try_in(room, PASSWORD, code, at=f"192.0.2.{i + 10}"))
    assert len([token for token in done if isinstance(token, str)]) == 1
    assert len(room.sessions()) == 1


def test_without_a_second_factor_it_can_only_be_set_up(room: Operators) -> None:
    """The password alone begins a session that enrols and does nothing else."""
    room.add("ann", "admin", PASSWORD)
    session = room.session(try_in(room, PASSWORD, ""))
    assert session is not None
    assert session.only_enrols
    uri, offer = room.offer_totp(session.operator)
    assert parse_qs(urlsplit(uri).query)["issuer"] == ["sendcode"]
    with pytest.raises(InvalidParameterError):
        room.accept_totp(session.operator, offer, "12345", session.sid)
    assert not room.fetch("ann").has_totp
    room.add("bob", "admin")
    code = pyotp.parse_uri(uri).now()  # type: ignore[union-attr]
    with pytest.raises(InvalidParameterError):
        room.accept_totp(room.fetch("bob"), offer, code, session.sid)


@pytest.mark.parametrize("limit", [PAIR, ADDRESS, NAME], ids=lambda limit: limit.scope)
def test_tries_are_limited(room: Operators, parts: Sendcode, limit: Any) -> None:
    """After as many wrong ones from one place, of one name, or of both, the right one is refused
    too and says until when; then it passes."""
    room.add("ann", "viewer", PASSWORD)
    for i in range(limit.most):
        name = "ann" if limit is not ADDRESS else f"name{i}"
        address = f"192.0.2.{i}" if limit is NAME else HERE
        with pytest.raises(SignInRefusedError) as wrong:
            try_in(room, "wrong password!", "", name, address)
        assert wrong.value.retry_after is None
    with pytest.raises(SignInRefusedError) as refused:
        try_in(room, PASSWORD, "")
    wait = refused.value.retry_after
    assert wait is not None
    assert 0 < wait <= limit.window / 1000
    age(parts, wait)
    assert try_in(room, PASSWORD, "")


def test_tries_at_once_are_all_counted(room: Operators) -> None:
    """Of twenty wrong sign-ins at once five are compared, the others told to wait."""
    room.add("ann", "viewer", PASSWORD)
    done = at_once(20, lambda _: try_in(room, "wrong password!", ""))
    waits = [one.retry_after for one in done if isinstance(one, SignInRefusedError)]
    assert len(waits) == 20
    assert len([wait for wait in waits if wait is None]) == PAIR.most


def test_a_right_sign_in_forgets_the_wrong_ones(room: Operators) -> None:
    """Four wrong and one right, again and again, is not refused."""
    room.add("ann", "viewer", PASSWORD)
    for _ in range(3):
        for _ in range(PAIR.most - 1):
            with pytest.raises(SignInRefusedError):
                try_in(room, "wrong password!", "")
        assert try_in(room, PASSWORD, "")


def test_a_link_is_good_once(room: Operators) -> None:
    """Of ten uses at once one begins a session; a newer link ends the older."""
    room.add("ann", "admin")
    key = room.make_link("ann")
    done = at_once(10, lambda _: room.use_link(key, HERE, BROWSER))
    assert len([token for token in done if isinstance(token, str)]) == 1
    older, newer = room.make_link("ann"), room.make_link("ann")
    with pytest.raises(SignInRefusedError):
        room.use_link(older, HERE, BROWSER)
    assert room.session(room.use_link(newer, HERE, BROWSER))


def test_a_link_gets_too_old(room: Operators, parts: Sendcode) -> None:
    """After fifteen minutes it signs nobody in."""
    room.add("ann", "admin")
    key = room.make_link("ann")
    age(parts, 15 * 60)
    with pytest.raises(SignInRefusedError):
        room.use_link(key, HERE, BROWSER)


def test_sessions_end(room: Operators, parts: Sendcode) -> None:
    """After thirty minutes without use, or twelve hours with it; a page that looks by itself is
    no use."""
    room.add("ann", "viewer")
    idle = room.use_link(room.make_link("ann"), HERE, BROWSER)
    for _ in range(2):
        age(parts, 16 * 60)
        kept = room.session(idle, used=False)
    assert kept is None
    busy = room.use_link(room.make_link("ann"), HERE, BROWSER)
    for _ in range(24):
        assert room.session(busy)
        age(parts, 30 * 60)
    assert room.session(busy) is None
    assert room.sessions() == []


@pytest.mark.parametrize("end", ["disable", "reset"])
def test_what_ends_every_session(room: Operators, ann: pyotp.TOTP, end: str) -> None:
    """Disabling and resetting end sessions and links; a reset forgets password and factor."""
    token = try_in(room, PASSWORD, next_code(ann))
    key = room.make_link("ann")
    getattr(room, end)("ann")
    assert room.session(token) is None
    with pytest.raises(SignInRefusedError):
        room.use_link(key, HERE, BROWSER)
    known = room.fetch("ann")
    assert (known.has_password, known.has_totp) == ((end == "disable",) * 2)
    assert room.anyone_has_password() is False


def test_a_new_password_ends_the_other_sessions(room: Operators) -> None:
    """The present one must be shown, and only the session that changed it goes on."""
    room.add("ann", "viewer", PASSWORD)
    mine, other = try_in(room, PASSWORD, ""), try_in(room, PASSWORD, "")
    session = room.session(mine)
    assert session is not None
    with pytest.raises(InvalidParameterError):
        room.set_password(session.operator, "another password", "wrong password!", session.sid)
    room.set_password(session.operator, "another password", PASSWORD, session.sid)
    assert room.session(mine)
    assert room.session(other) is None
    assert try_in(room, "another password", "")


def test_a_stolen_session_does_not_move_the_second_factor(room: Operators) -> None:
    """Another app takes the place of the one in force only with the password."""
    room.add("ann", "admin", PASSWORD)
    session = room.session(try_in(room, PASSWORD, ""))
    assert session is not None

    def move(password: str) -> None:
        uri, offer = room.offer_totp(session.operator)
        code = pyotp.parse_uri(uri).now()  # type: ignore[union-attr]
        room.accept_totp(session.operator, offer, code, session.sid, current=password)

    move("")  # the first one: there is nothing to guard yet
    for wrong in ("", "some other password"):
        with pytest.raises(InvalidParameterError) as caught:
            move(wrong)
        assert caught.value.field == "current"
    move(PASSWORD)


@pytest.mark.kills("present-password-uncounted")
def test_a_stolen_session_does_not_find_the_password_out(room: Operators) -> None:
    """Tries of the present password count with those of the sign-in, from the same place: after
    five the right one is refused, and another place still signs in."""
    room.add("ann", "admin", PASSWORD)
    session = room.session(try_in(room, PASSWORD, ""))
    assert session is not None
    by = By("ann", HERE)
    for _ in range(3):
        with pytest.raises(InvalidParameterError):
            room.set_password(session.operator, "another password", "wrong!", session.sid, by)
    for _ in range(2):
        with pytest.raises(SignInRefusedError):
            try_in(room, "wrong password!", "")
    with pytest.raises(SignInRefusedError) as refused:
        room.set_password(session.operator, "another password", PASSWORD, session.sid, by)
    assert refused.value.retry_after
    assert try_in(room, PASSWORD, "", at=THERE)


def test_a_new_second_factor_ends_the_other_sessions(room: Operators) -> None:
    """Who knows the password alone, and waits, is not let in when its owner sets the factor up."""
    room.add("ann", "admin", PASSWORD)
    mine, other = try_in(room, PASSWORD, ""), try_in(room, PASSWORD, "")
    session = room.session(mine)
    assert session is not None
    uri, offer = room.offer_totp(session.operator)
    code = pyotp.parse_uri(uri).now()  # type: ignore[union-attr]
    room.accept_totp(session.operator, offer, code, session.sid)
    assert room.session(other) is None
    kept = room.session(mine)
    assert kept is not None
    assert not kept.only_enrols


def test_one_session_can_be_ended(room: Operators) -> None:
    """By its sid, once."""
    room.add("ann", "viewer")
    token = room.use_link(room.make_link("ann"), HERE, BROWSER)
    (session,) = room.sessions()
    room.end_session(session.sid)
    assert room.session(token) is None
    with pytest.raises(NotFoundError):
        room.end_session(session.sid)


def test_nothing_secret_is_stored_as_it_is(room: Operators, parts: Sendcode) -> None:
    """Password, link, session and second factor are not in the tables."""
    room.add("ann", "admin", PASSWORD)
    app = enrol(room, "ann")
    key = room.make_link("ann")
    token = try_in(room, PASSWORD, next_code(app))
    held = ""
    with parts.db.statement() as connection:
        for table in ("operators", "operator_sessions", "operator_links", "sign_in_tries"):
            held += repr([tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))])
    assert "$argon2id$" in held
    for secret in (PASSWORD, key, token, app.secret, repr(app.byte_secret())[2:-1]):
        assert secret not in held


def test_what_no_operator_is_made_of(room: Operators) -> None:
    """Unusable names, roles and passwords are refused, and nobody is made."""
    unusable: list[tuple[str, str, str | None]] = [
        ("", "viewer", None),
        ("Ann Smith", "viewer", None),
        ("1st", "viewer", None),
        ("ann", "root", None),
        ("ann", "viewer", "short"),
        ("ann", "viewer", "aaaaaaaaaaaaaaaa"),
        ("annabella", "viewer", "annabella123"),
    ]
    for name, role, password in unusable:
        with pytest.raises(InvalidParameterError) as refused:
            room.add(name, role, password)
        assert not password or password not in str(refused.value)
    assert room.all() == []


def test_a_second_factor_whose_key_is_gone_signs_nobody_in(
    room: Operators, make_parts: Callable[..., Sendcode], ann: pyotp.TOTP
) -> None:
    """Without the key that sealed it a second factor is refused like a wrong code."""
    other = make_parts(secret_keys=f"k2:{base64.b64encode(bytes(range(32))).decode()}")
    with pytest.raises(SignInRefusedError):
        try_in(other.operators, PASSWORD, next_code(ann))


def test_a_name_is_there_once(room: Operators) -> None:
    """However it is written."""
    room.add("ann", "viewer")
    with pytest.raises(ConflictError):
        room.add(" ANN ", "admin")


def test_roles_include_one_another() -> None:
    """An admin may what an operator may, an operator what a viewer may, and not the other way."""
    assert [[one.allows(other) for other in Role] for one in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_what_has_ended_is_purged(parts: Sendcode, room: Operators, ann: pyotp.TOTP) -> None:
    """The relay deletes sessions that are over or idle, links that are too old and counts that no
    limit looks at; what still holds stays."""
    try_in(room, PASSWORD, next_code(ann))
    room.make_link("ann")
    with pytest.raises(SignInRefusedError):
        try_in(room, "wrong password!", "")
    parts.purging.purge()
    left = ("operator_sessions", "operator_links", "sign_in_tries")
    assert [count(parts, table) > 0 for table in left] == [True] * 3
    age(parts, 14 * 60)
    parts.purging.purge()
    assert [count(parts, table) for table in left[:2]] == [1, 1]
    age(parts, 20 * 60)
    parts.purging.purge()
    assert [count(parts, table) for table in left[:2]] == [0, 0], "the session is idle"
    assert count(parts, "sign_in_tries") > 0
    age(parts, 86_400)
    parts.purging.purge()
    assert count(parts, "sign_in_tries") == 0
