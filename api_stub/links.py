"""OpenAPI links: from what an answer names to the operations that take it."""

from collections.abc import Iterator, Mapping
from typing import Any

Paths = Mapping[str, Mapping[str, Mapping[str, Any]]]
Operation = tuple[str, str]  # method and path

# What names a resource in its answer, where it is not the sid.
_NAMED_BY = {
    "Entities": "identity",
    "MessagingConfigurations": "country",
    "Numbers": "phone_number",
}
_SERVICE = "/v2/Services/{service_sid}"
_ENTITY = f"{_SERVICE}/Entities/{{identity}}"
_JOB = {"path.sid": "$response.body#/jobs/0/sid"}
# To an operation whose path is not below the first one's: where it finds a name of its path, or a
# parameter.
_ACROSS: tuple[tuple[Operation, Operation, dict[str, str]], ...] = (
    (
        ("post", f"{_SERVICE}/Verifications"),
        ("post", f"{_SERVICE}/VerificationCheck"),
        {"VerificationSid": "$response.body#/sid"},
    ),
    (
        ("post", f"{_SERVICE}/Verifications"),
        ("get", "/v2/Attempts/{sid}"),
        {"path.sid": "$response.body#/send_code_attempts/0/attempt_sid"},
    ),
    (
        ("post", f"{_ENTITY}/Factors/{{sid}}"),  # which verifies it: an unverified one takes none
        ("post", f"{_ENTITY}/Challenges"),
        {"FactorSid": "$response.body#/sid"},
    ),
    (
        ("post", f"{_ENTITY}/BackupCodes"),
        ("post", f"{_ENTITY}/BackupCodes/Check"),
        {"Code": "$response.body#/codes/0"},
    ),
    (("post", f"{_ENTITY}/BackupCodes"), ("get", f"{_ENTITY}/BackupCodes"), {}),
    (
        ("get", "/operator/v1/requests"),
        ("get", "/operator/v1/requests/{sid}"),
        {"path.sid": "$response.body#/requests/0/sid"},
    ),
    (("get", "/operator/v1/bulk"), ("get", "/operator/v1/bulk/{sid}"), _JOB),
    (("get", "/operator/v1/bulk"), ("post", "/operator/v1/bulk/{sid}/stop"), _JOB),
)
# Below or beside what was made or changed, but of no use right after it: something else has to be
# there first, and leads there, or an ended verification is not to be fetched.
_NOT_YET: frozenset[Operation] = frozenset(
    {
        ("post", f"{_SERVICE}/VerificationCheck"),
        ("get", f"{_ENTITY}/BackupCodes"),
        ("post", f"{_ENTITY}/BackupCodes/Check"),
        ("post", f"{_ENTITY}/Challenges"),
    }
)
_VERIFICATION = f"{_SERVICE}/Verifications/{{sid}}"
_NO_MORE = (("post", _VERIFICATION), ("get", _VERIFICATION))


def links(paths: Paths, method: str, path: str) -> dict[str, Any]:
    """Where the answer of an operation leads, by the names of the operations.

    What makes something leads to what is done with it and what is below it; what fetches or
    changes it, to what else is done with it.
    """
    found = dict(_across(paths, (method, path)))
    for target, operations in paths.items():
        made = method == "post" and path.startswith("/v2/")
        given = _below(path, target) if made else None
        if given is None and method != "delete" and target == path and path.endswith("}"):
            given = _shared(path, target)
        for does, operation in operations.items() if given else ():
            ends = ((method, path), (does, target))
            if ends[0] != ends[1] and ends[1] not in _NOT_YET and ends != _NO_MORE:
                found[operation["operationId"]] = _link(operation, given or {}, {})
    return found


def _below(path: str, target: str) -> dict[str, str] | None:
    """The names in a target's path, of what was made in `path` too; None where the target is not
    below it, or takes the name of something else.
    """
    ours, theirs = path.split("/"), target.split("/")
    made, *rest = theirs[len(ours) :] or [""]
    if not _is_name(made) or any(map(_is_name, rest)):
        return None
    if any(
        a != b and not (_is_name(a) and _is_name(b)) for a, b in zip(ours, theirs, strict=False)
    ):
        return None
    named_by = _NAMED_BY.get(ours[-1], "sid")
    return _shared(path, target) | {f"path.{made[1:-1]}": f"$response.body#/{named_by}"}


def _shared(path: str, target: str) -> dict[str, str]:
    """The names that stand at the same place of both paths."""
    pairs = zip(path.split("/"), target.split("/"), strict=False)
    return {f"path.{b[1:-1]}": f"$request.path.{a[1:-1]}" for a, b in pairs if _is_name(a)}


def _is_name(part: str) -> bool:
    return part.startswith("{")


def _across(paths: Paths, source: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    for one, (method, target), values in _ACROSS:
        if one == source:
            operation = paths[target][method]
            path = {name: value for name, value in values.items() if name.startswith("path.")}
            body = {name: value for name, value in values.items() if name not in path}
            shared = {} if path else _shared(source[1], target)
            yield operation["operationId"], _link(operation, shared | path, body)


def _link(
    operation: Mapping[str, Any], parameters: dict[str, str], body: dict[str, str]
) -> dict[str, Any]:
    link = {"operationId": operation["operationId"], "parameters": parameters}
    return link | ({"requestBody": body} if body else {})
