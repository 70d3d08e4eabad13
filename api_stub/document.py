"""The OpenAPI document: what the routes take, and every status and body that they answer with."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api_stub.answers import ERROR, SCHEMAS, body_of
from api_stub.links import Paths, links

_CREDENTIALS = "account sid and auth token, or an API key's sid and secret"
_MEANINGS = {
    "400": "a parameter is missing, unknown, repeated or has no value that it may have",
    "401": "no credentials, or wrong ones",
    "403": "the API key lacks the scope, or what was asked for may not be done",
    "404": "nothing of this kind has this name or sid",
    "409": "it is there already, or the state does not allow it",
    "410": "the factor is verified, and its secret is shown no more",
    "413": "the body is too large",
    "415": "the body is neither a form nor JSON",
    "422": "the Idempotency-Key was used for another request",
    "429": "too many, `Retry-After` says until when",
    "503": "broker or database does not answer, nothing was accepted",
}
_ALWAYS = ("401", "403", "404", "413", "503")
_NUMBER = "/v2/Services/{service_sid}/Verifications/{sid}"
_ENTITY = "/v2/Services/{service_sid}/Entities/{identity}"
# What an operation answers with beside what all of its method do.
_FURTHER = {
    ("post", "/v2/Services/{service_sid}/Verifications"): ("409", "422", "429"),
    ("get", _NUMBER): ("400",),
    ("post", _NUMBER): ("409", "429"),
    ("post", "/v2/Services/{service_sid}/VerificationCheck"): ("429",),
    ("delete", "/v2/Services/{sid}"): ("400",),
    ("post", "/v2/Services/{service_sid}/Entities"): ("409",),
    ("get", _ENTITY): ("400",),
    ("delete", _ENTITY): ("400",),
    ("post", f"{_ENTITY}/Factors"): ("409", "429"),
    ("post", f"{_ENTITY}/Factors/{{sid}}"): ("429",),
    ("post", f"{_ENTITY}/Challenges"): ("429",),
    ("post", f"{_ENTITY}/Challenges/{{sid}}"): ("429",),
    ("get", f"{_ENTITY}/Factors/{{sid}}/QrCode.svg"): ("410",),
    ("get", f"{_ENTITY}/Factors/{{sid}}/QrCode.png"): ("410",),
    ("post", f"{_ENTITY}/BackupCodes/Check"): ("429",),
    ("get", "/v2/SafeList/Numbers/{number}"): ("400",),
    ("delete", "/v2/SafeList/Numbers/{number}"): ("400",),
    ("post", "/operator/v1/retry"): ("429",),
    ("post", "/operator/v1/resend"): ("429",),
    ("post", "/operator/v1/senders/test"): ("429",),
}


def build(app: FastAPI) -> dict[str, Any]:
    """The document, with the one scheme that every `/v2` and `/operator` route asks for."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    parts = document["components"] = {"schemas": SCHEMAS}
    parts["responses"] = {status: _error(text) for status, text in _MEANINGS.items()}
    parts["securitySchemes"] = {
        "account": {"type": "http", "scheme": "basic", "description": _CREDENTIALS}
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe(document["paths"], path, method, operation)
    return document


def _describe(paths: Paths, path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    (status,) = answers
    if (body := body_of(path, method)) is not None:
        answers[status]["content"] = body
    else:
        answers[status].pop("content", None)
    if leads_to := links(paths, method, path):
        answers[status]["links"] = leads_to
    if path == "/readyz":
        answers["503"] = {"description": "broker, database or migrations fail", "content": body}
    if path.startswith(("/v2/", "/operator/")):
        operation["security"] = [{"account": []}]
        answers |= {s: {"$ref": f"#/components/responses/{s}"} for s in _refusals(path, method)}


def _refusals(path: str, method: str) -> list[str]:
    found = {*_ALWAYS, *_FURTHER.get((method, path), ())}
    if method == "post":
        found |= {"400", "415"}
    if method == "get" and "{" not in path.rpartition("/")[2]:
        found.add("400")
    if method == "post" and path.startswith("/operator/"):
        found.add("409")
    return sorted(found)


def _error(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": ERROR}}}
