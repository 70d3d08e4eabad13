"""The OpenAPI document is true: schemathesis, with all of its checks, finds nothing it hides."""

from pathlib import Path

import pytest

from tests.acceptance.running import Up
from tests.fuzz.run import SHORT, run


@pytest.mark.parametrize("up", ["sqlite"], indirect=True)
def test_generated_requests_are_answered_as_the_document_says(up: Up, tmp_path: Path) -> None:
    """Some hundred requests, good and bad, get a status, headers and a body that the document
    has, and none gets a 500. `python -m tests.fuzz` sends 20,000.
    """
    found = run(up, tmp_path, SHORT)
    assert found.passed, found.said
    assert found.requests > 300
    assert "500" not in found.answers
