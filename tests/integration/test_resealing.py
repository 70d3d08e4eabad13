"""After the secret key was changed, all that outlives it is sealed anew, and the old key can go."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.helpers import count
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.test_operators import HERE, PASSWORD, enrol, next_code, try_in
from worker.cli.keys import SEALED
from worker.errors import ConflictError, KeyMissingError, SignInRefusedError
from worker.models import metadata
from worker.settings import SAMPLE_KEY
from worker.wiring import Sendcode

OTHER_KEY = "b" * 43 + "="
OLD, NEW = f"k1:{SAMPLE_KEY}", f"k2:{OTHER_KEY}"


@pytest.mark.kills("second-factor-not-resealed")
def test_a_second_factor_survives_a_new_key(make_parts: Callable[..., Sendcode]) -> None:
    """An operator's app signs in under a new key beside the old one, and after it is sealed anew
    under the new one alone; one who has none is left as it is."""
    parts = make_parts(secret_keys=OLD)
    parts.operators.add("ann", "operator", PASSWORD)
    parts.operators.add("bob", "viewer", PASSWORD)
    app = enrol(parts.operators, "ann")
    both, alone = make_parts(secret_keys=f"{NEW},{OLD}"), make_parts(secret_keys=NEW)
    with pytest.raises(SignInRefusedError):
        try_in(alone.operators, PASSWORD, next_code(app))
    assert (both.operators.reseal(), both.operators.reseal()) == (1, 0)
    assert try_in(alone.operators, PASSWORD, next_code(app))
    assert try_in(alone.operators, PASSWORD, "", name="bob")


def test_hooks_and_safe_numbers_survive_a_new_key(make_parts: Callable[..., Sendcode]) -> None:
    """A hook's secret and a safe number are what they were under the new key alone."""
    parts = make_parts(secret_keys=OLD)
    service = parts.services.create(ACCOUNT, "Example")
    hook, secret = parts.hooks.create(ACCOUNT, service.sid, "https://example.com", ["*"])
    safe = parts.safelist.add(ACCOUNT, NUMBER)
    both, alone = make_parts(secret_keys=f"{NEW},{OLD}"), make_parts(secret_keys=NEW)
    for room in (both.hooks, both.safelist):
        assert (room.reseal(), room.reseal()) == (1, 0)
    with alone.db.statement() as connection:
        row = connection.execute(text("SELECT key_id, secret_sealed FROM event_hooks")).one()
    assert alone.keyring.open(row.key_id, row.secret_sealed, f"hook {hook.sid}") == secret
    assert alone.safelist.fetch(ACCOUNT, NUMBER) == safe
    with pytest.raises(ConflictError):
        alone.safelist.add(ACCOUNT, NUMBER)


def test_nothing_is_lost_where_a_key_is_missing(make_parts: Callable[..., Sendcode]) -> None:
    """Without the old key nothing is written, and says so."""
    parts = make_parts(secret_keys=OLD)
    parts.operators.add("ann", "operator", PASSWORD)
    app = enrol(parts.operators, "ann")
    alone = make_parts(secret_keys=NEW)
    with pytest.raises(KeyMissingError):
        alone.operators.reseal()
    assert count(parts, "operators WHERE key_id = 'k1'") == 1
    assert try_in(parts.operators, PASSWORD, next_code(app), at=HERE)


def test_every_table_with_a_key_is_counted() -> None:
    """`keys list` counts the rows of every table that names a key, so that none is forgotten when
    an old key is taken away."""
    named = {table for table in metadata.tables.values() if "key_id" in table.c}
    assert set(SEALED.values()) == named
