"""docs/correctness.md names a test for every fault, and what needs no server is tested here."""

import ast
import re
from pathlib import Path

import pytest

from api_stub.app import create_app
from tests.unit.test_codes import DIGEST, KEYS
from tests.unit.test_routes import _all_routes
from tests.unit.test_settings import COMPLETE
from worker.messages import LOCALES, call_twiml, sms_text
from worker.settings import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "correctness.md").read_text()
PATTERNS = 61
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> dict[int, str]:
    """The page's table: number and the rest of the line."""
    found = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE, re.MULTILINE)
    assert len(found) == len(dict(found))
    return {int(number): rest for number, rest in found}


def test_every_pattern_is_listed_once() -> None:
    """The page has one row for each fault of the list, in order."""
    assert list(rows()) == list(range(1, PATTERNS + 1))


@pytest.mark.parametrize("number", range(1, PATTERNS + 1))
def test_every_pattern_has_a_test_or_a_reason(number: int) -> None:
    """Each row names tests that exist, or says why the fault cannot be ours."""
    named = NODE.findall(rows()[number])
    assert named or "Not ours:" in rows()[number] or "Open:" in rows()[number]
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def test_no_route_takes_a_code_in_its_url() -> None:
    """No path or query has a place for a code, so no log of URLs can hold one, but for what Authy's
    contract has there: a token to verify, a code to check, and a start's own one, which belongs in
    the body but is read wherever it comes.
    """
    paths = create_app(load(**COMPLETE, database_url="sqlite:///:memory:")).openapi()["paths"]
    documented = {
        (path, parameter["name"])
        for path, operations in paths.items()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
    }
    placed = {(route.path, name) for route in _all_routes() for name in route.param_convertors}
    read = {("authy", name) for name in authy_names()}
    assert {"service_sid", "delivery_sid"} <= {name for _, name in placed}
    assert {"phone_number", "user[email]", "force"} <= {name for _, name in read}
    assert {place for place in documented | placed | read if may_be_a_code(place[1])} == {
        ("/protected/json/verify/{token}/{authy_id}", "token"),
        ("authy", "verification_code"),
        ("authy", "custom_code"),
    }


def may_be_a_code(name: str) -> bool:
    if name in ("country_code", "user[country_code]", "code_length", "error_code"):
        return False
    return "code" in name.lower() or name.lower() in ("otp", "pin", "token")


def authy_names() -> set[str]:
    """What the Authy door reads by name: of query, form and JSON, which are one to it."""
    calls = [
        node
        for path in (ROOT / "api_stub" / "authy_v1").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    readers = {"text", "number", "required", "integer", "flag"}
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in readers and call.args
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def test_digests_of_neighbouring_codes_are_strangers() -> None:
    """How long a comparison takes says nothing: codes that share digits share no digest's start."""
    starts = {KEYS.digest("k1", **{**DIGEST, "code": f"{n:06}"})[:4] for n in range(2000)}
    assert len(starts) == 2000


@pytest.mark.parametrize("locale", LOCALES)
def test_no_text_promises_a_time(locale: str) -> None:
    """No text says how long its code is valid, so none can say it wrongly."""
    text = sms_text(code="480042", brand="Brand", locale=locale, do_not_share=True)
    spoken = call_twiml(code="480042", brand="Brand", locale=locale)
    said = re.sub(r'<\?xml.*?\?>|<[^>]*"[^>]*>', "", spoken)
    assert re.findall(r"\d+", text) == ["480042"]
    assert "".join(re.findall(r"\d", said)) == "480042" * 3
