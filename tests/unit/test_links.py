"""The OpenAPI document's links: whoever follows them comes to every resource and has its names."""

from typing import Any

import jsonschema_rs
import pytest

from api_stub.app import create_app
from tests.unit.test_settings import COMPLETE
from worker.settings import load

DOCUMENT: dict[str, Any] = create_app(load(**COMPLETE, database_url="sqlite:///:memory:")).openapi()
PATHS = DOCUMENT["paths"]
OPERATIONS = {
    operation["operationId"]: (method, path)
    for path, operations in PATHS.items()
    for method, operation in operations.items()
}
LINKS = [
    ((method, path), OPERATIONS[link["operationId"]], link)
    for path, operations in PATHS.items()
    for method, operation in operations.items()
    for answer in operation["responses"].values()
    for link in answer.get("links", {}).values()
]
ENTITY = "/v2/Services/{service_sid}/Entities/{identity}"


def names(path: str) -> set[str]:
    return {f"path.{part[1:-1]}" for part in path.split("/") if part.startswith("{")}


def test_every_name_in_a_path_comes_from_some_answer() -> None:
    """Each operation on something that has a name is led to by what made or listed it."""
    named = {(m, p) for m, p in OPERATIONS.values() if names(p)}
    assert {target for _, target, _ in LINKS} >= named


def test_a_link_gives_every_name_and_knows_where_from() -> None:
    """Each link fills in the whole path, from a name of its own path or a key of its answer."""
    for (method, path), (_, target), link in LINKS:
        assert set(link["parameters"]) == names(target), (path, target)
        for value in (*link["parameters"].values(), *link.get("requestBody", {}).values()):
            if value.startswith("$request."):
                assert value.removeprefix("$request.") in names(path), value
                continue
            key, *_ = value.removeprefix("$response.body#/").split("/")
            assert key in _keys(method, path), (path, value)


def _keys(method: str, path: str) -> Any:
    answers = PATHS[path][method]["responses"]
    (content,) = next(a["content"] for s, a in answers.items() if s < "300").values()
    schema = content["schema"]
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema["properties"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("post", "/v2/Services"), ("get", "/v2/Services/{sid}")),
        (("get", "/v2/Services/{sid}"), ("post", "/v2/Services/{sid}")),
        (("post", "/v2/Services/{sid}"), ("delete", "/v2/Services/{sid}")),
        (("post", "/v2/Services"), ("post", "/v2/Services/{service_sid}/Verifications")),
        (("post", f"{ENTITY}/Factors"), ("get", f"{ENTITY}/Factors/{{sid}}/QrCode.svg")),
        (("post", f"{ENTITY}/Factors/{{sid}}"), ("post", f"{ENTITY}/Challenges")),
        (("post", f"{ENTITY}/BackupCodes"), ("post", f"{ENTITY}/BackupCodes/Check")),
        (
            ("post", "/v2/Services/{service_sid}/Verifications"),
            ("post", "/v2/Services/{service_sid}/VerificationCheck"),
        ),
    ],
)
def test_a_walk_goes_on(source: tuple[str, str], target: tuple[str, str]) -> None:
    """Making leads to fetching, fetching to changing, changing to deleting, and a parent to what
    is below it."""
    assert (source, target) in {(one, other) for one, other, _ in LINKS}


@pytest.mark.parametrize(("sid", "fits"), [("VL" + "0" * 32, True), ("", False), ("VE1", False)])
def test_chosen_deliveries_are_their_sids(sid: str, fits: bool) -> None:
    """The document lets a bulk job choose what the verb takes, and nothing else."""
    content = PATHS["/operator/v1/bulk"]["post"]["requestBody"]["content"]["application/json"]
    chosen = {"reason": "tests", "verb": "retry", "requests": [sid]}
    assert jsonschema_rs.is_valid(content["schema"], chosen) is fits


BODIES = {
    f"{method} {path}": content
    for method, path in OPERATIONS.values()
    if (taken := PATHS[path][method].get("requestBody"))
    for content in taken["content"].values()
}


@pytest.mark.parametrize("name", BODIES)
def test_every_example_of_a_body_fits_its_schema(name: str) -> None:
    """What the document shows is what it asks for, with everything that is required."""
    found = BODIES[name]
    assert found["example"]
    assert jsonschema_rs.is_valid(found["schema"], found["example"])
