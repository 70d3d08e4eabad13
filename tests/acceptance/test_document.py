"""The OpenAPI document is true: schemathesis, with all of its checks, finds nothing it hides."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up
from tests.fuzz.run import SHORT, run


@pytest.fixture
def own(folder: Path) -> Iterator[Up]:
    """Processes that nobody else needs: what is generated makes services, pauses and blocks."""
    running = Up(Path(tempfile.mkdtemp(dir=folder)))
    try:
        running.start()
        yield running
    finally:
        running.kill()
        running.close()


@pytest.mark.timeout(300)
def test_generated_requests_are_answered_as_the_document_says(own: Up, tmp_path: Path) -> None:
    """Some hundred requests, good and bad, get a status, headers and a body that the document
    has, and none gets a 500. `python -m tests.fuzz` sends 20,000.
    """
    found = run(own, tmp_path, SHORT)
    assert found.passed, found.said
    assert found.requests > 300
    assert "500" not in found.answers
