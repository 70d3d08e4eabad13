"""A database that fails at a chosen place, for what must hold when it does."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from worker.verifications.together import Together
from worker.wiring import Sendcode


def away(*_: object, **__: object) -> Any:
    raise OperationalError("UPDATE", {}, Exception("away"))


def break_writes_of_starts(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on starts can look and not write, in either of their two ways."""
    monkeypatch.setattr(parts.db, "begin", away)
    monkeypatch.setattr(Together, "write", away)
